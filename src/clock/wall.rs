//! The time of day: the machine's, or one that is made up and follows tokio's clock.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// A clock on the wall. Clones show the same time. The default is the machine's.
///
/// One [from](Wall::from) a stated time goes on with tokio's clock: where that is paused, time passes
/// only while everything waits for it, so that a run says the same whenever it is made.
#[derive(Clone, Debug, Default)]
pub struct Wall(Option<Arc<Start>>);

#[derive(Debug)]
struct Start {
    at: Timestamp,
    since: Instant,
    /// Whose clock it is: threads that read files are outside of the runtime.
    runtime: Option<Handle>,
}

impl Wall {
    /// The machine's.
    pub fn real() -> Self {
        Self::default()
    }

    /// One that shows this time now, and follows the clock of the runtime that it is made in.
    pub fn from(at: Timestamp) -> Self {
        Self(Some(Arc::new(Start {
            at,
            since: Instant::now(),
            runtime: Handle::try_current().ok(),
        })))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        let Some(start) = &self.0 else {
            return Timestamp::now();
        };
        let _inside = start.runtime.as_ref().map(Handle::enter);
        let passed = jiff::SignedDuration::try_from(start.since.elapsed()).unwrap_or_default();
        start.at.saturating_add(passed).unwrap_or(start.at)
    }

    /// The same, in microseconds since 1970.
    pub fn micros(&self) -> i64 {
        self.now().as_microsecond()
    }
}

impl PartialEq for Wall {
    /// Whether they are the same clock.
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Wall {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stated_time_follows_the_paused_clock_also_outside_of_the_runtime() {
        let start: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let wall = Wall::from(start);
        assert_eq!(wall.now(), start);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(wall.now().to_string(), "2026-01-02T04:04:05Z");
        let elsewhere = wall.clone();
        let told = std::thread::spawn(move || elsewhere.now()).join().unwrap();
        assert_eq!(told, wall.now());
    }

    #[test]
    fn the_real_one_is_the_machines() {
        let (before, now, after) = (Timestamp::now(), Wall::real().now(), Timestamp::now());
        assert!(before <= now && now <= after);
        assert_eq!(Wall::real(), Wall::default());
    }
}

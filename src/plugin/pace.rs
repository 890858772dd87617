//! How fast instances that died are made anew.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket of restarts: full at first, and filled at an even pace.
pub(super) struct Pace {
    rate: f64,
    left: f64,
    at: Option<Instant>,
}

impl Pace {
    /// So many a second, and as many at once.
    pub fn new(rate: u32) -> Self {
        let rate = f64::from(rate);
        Self {
            rate,
            left: rate,
            at: None,
        }
    }

    /// Takes one, and says how long to wait before it is used; nothing while there are some left.
    pub fn take(&mut self) -> Duration {
        let now = Instant::now();
        let since = self
            .at
            .replace(now)
            .map_or(0.0, |at| (now - at).as_secs_f64());
        self.left = (self.left + since * self.rate).min(self.rate) - 1.0;
        Duration::from_secs_f64((-self.left / self.rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_then_at_an_even_pace() {
        let mut pace = Pace::new(10);
        let waits: Vec<_> = (0..12).map(|_| pace.take().as_millis()).collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [100, 200]);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!((0..4).map(|_| pace.take().as_millis()).sum::<u128>(), 100);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!((0..10).map(|_| pace.take().as_millis()).sum::<u128>(), 0);
        assert_eq!(
            pace.take().as_millis(),
            100,
            "it holds no more than a second's"
        );
    }
}

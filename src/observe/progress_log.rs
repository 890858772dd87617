//! Progress where there is no terminal to draw on: a log line from time to time.

use std::time::Duration;

use tokio::time::Instant;

use super::progress::Progress;
use super::progress_bar::{Pace, message};

/// Between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// Awaits `done`, and tells meanwhile how far `progress` is.
pub(super) async fn log<T>(progress: &Progress, done: impl Future<Output = T>) -> T {
    let mut pace = Pace::new(Instant::now());
    let mut ticks = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut done = std::pin::pin!(done);
    loop {
        tokio::select! {
            biased;
            answer = &mut done => return answer,
            _ = ticks.tick() => {
                let now = progress.snapshot();
                pace.saw(now, Instant::now());
                tracing::info!("{}", message(now, &pace));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_work_goes_on_between_the_lines() {
        let progress = Progress::default();
        let work = async {
            tokio::time::sleep(EVERY * 3).await;
            7
        };
        assert_eq!(log(&progress, work).await, 7);
    }
}

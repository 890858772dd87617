//! How many calls are left, by what the platform's answers say.
//!
//! Every answer carries `inin-ratelimit-count` (used), `inin-ratelimit-allowed` and
//! `inin-ratelimit-reset` (seconds until the count begins anew). Calls that can wait are spread over
//! the rest of the window once most of it is used, so that those that cannot wait find room; after a
//! 429 everybody waits as long as the platform says.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::Instant;

use super::refusal::{Told, told};

/// From this share of the window on, calls that can wait are spread: four fifths.
const NEAR: (u64, u64) = (4, 5);
/// One of so many calls is left to those that cannot wait.
const SPARED: u64 = 20;
/// Longest window that is believed.
const LONGEST: Duration = Duration::from_secs(300);

/// The budget of one token.
#[derive(Default)]
pub(super) struct Budget(Mutex<Window>);

#[derive(Default)]
struct Window {
    /// Nobody calls before.
    paused: Option<Instant>,
    /// Spread until then, one call for each interval.
    spread: Option<Spread>,
}

#[derive(Clone, Copy)]
struct Spread {
    until: Instant,
    interval: Duration,
    next: Instant,
}

impl Budget {
    /// How long a call has to wait from now; takes its place.
    pub fn take(&self, urgent: bool) -> Duration {
        let now = Instant::now();
        let mut window = self.window();
        let paused = window.paused.map_or(now, |until| until.max(now));
        let Some(spread) = window.spread.as_mut().filter(|spread| spread.until > now) else {
            return paused - now;
        };
        if urgent {
            return paused - now;
        }
        // Past the end of the window the count begins anew, so nobody waits longer than that.
        let turn = spread.next.max(paused).min(spread.until.max(paused));
        spread.next = turn + spread.interval;
        turn - now
    }

    /// Learns from an answer.
    pub fn learn(&self, headers: &HeaderMap) {
        let Some(Told {
            count,
            allowed,
            reset,
        }) = told(headers)
        else {
            return;
        };
        let mut window = self.window();
        if count.saturating_mul(NEAR.1) < allowed.saturating_mul(NEAR.0) {
            window.spread = None;
            return;
        }
        let now = Instant::now();
        let reset = reset.min(LONGEST);
        // The last of it is for those that cannot wait.
        let left = allowed.saturating_sub(count.saturating_add(allowed / SPARED));
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        let next = match left {
            0 => now + reset,
            _ => window.spread.map_or(now, |spread| spread.next),
        };
        window.spread = Some(Spread {
            until: now + reset,
            interval: reset / left.max(1),
            next: next.min(now + reset),
        });
    }

    /// Everybody waits for so long.
    pub fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST);
        let mut window = self.window();
        window.paused = Some(window.paused.map_or(until, |paused| paused.max(until)));
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(count: u64, reset: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("inin-ratelimit-count", count.into());
        headers.insert("inin-ratelimit-allowed", 300.into());
        headers.insert("inin-ratelimit-reset", reset.parse().unwrap());
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_spread_over_the_rest_of_the_window() {
        let budget = Budget::default();
        budget.learn(&headers(100, "30"));
        assert_eq!(budget.take(false), Duration::ZERO);
        budget.learn(&headers(275, "30"));
        let waits: Vec<u64> = (0..12).map(|_| budget.take(false).as_secs()).collect();
        assert_eq!(waits, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 30]);
        assert_eq!(budget.take(true), Duration::ZERO);
        budget.learn(&headers(286, "20"));
        assert_eq!(budget.take(false), Duration::from_secs(20));
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(budget.take(false), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_for_all_and_nobody_can_ask_for_a_day() {
        let budget = Budget::default();
        budget.pause(Duration::from_secs(7));
        budget.pause(Duration::from_secs(2));
        assert_eq!(budget.take(true), Duration::from_secs(7));
        budget.pause(Duration::from_secs(86_400));
        assert_eq!(budget.take(false), LONGEST);
        budget.learn(&headers(300, "1e300"));
        budget.learn(&headers(u64::MAX, "nan"));
        budget.learn(&headers(301, "-1"));
        assert!(budget.take(false) <= 2 * LONGEST);
    }
}

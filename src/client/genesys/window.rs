//! How many messages an organisation may send, and when the next of them may go.
//!
//! The platform counts calls of a token in windows of a fixed length. Two windows are kept: that of the
//! tenant's own rate, and the platform's as its answers tell it (`inin-ratelimit-*`, which count also
//! what other workers and other programs called under the same token). A message goes when both have
//! room. After a 429 nobody goes before the platform says so; a limit that its body names holds for
//! every minute from then on, whether answers tell of it or not.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::Instant;

use super::refusal::{Limit, Told, told};
use super::shared::{Grant, Shared};

/// Longest window and longest pause that is believed.
const LONGEST: Duration = Duration::from_secs(300);
/// The platform's window.
const MINUTE: Duration = Duration::from_secs(60);
/// Two answers of one window disagree about its end by at most so much: it is told in whole seconds.
const ROUNDING: Duration = Duration::from_millis(1_500);

/// Messages in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1. Default 300.
    pub events: u32,
    /// In how long; default one minute.
    pub per: Duration,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            events: 300,
            per: MINUTE,
        }
    }
}

/// How an organisation stands with its budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages in the window that leaves the least room.
    pub allowed: u64,
    /// Used of them.
    pub used: u64,
    /// Calls that wait for their turn.
    pub waiting: usize,
}

/// The budget of one organisation.
pub(super) struct Window {
    state: Mutex<State>,
    waiting: AtomicUsize,
    shared: Option<Shared>,
}

#[derive(Default)]
struct State {
    rate: Rate,
    own: Span,
    platform: Span,
    /// A limit that a 429 named, for each minute.
    named: Option<u64>,
    /// Nobody goes before.
    paused: Option<Instant>,
}

/// A window that began.
#[derive(Clone, Copy, Default)]
struct Span {
    ends: Option<Instant>,
    allowed: u64,
    used: u64,
}

impl Span {
    /// The window of now: a new one where the last is over.
    fn roll(&mut self, now: Instant, allowed: u64, length: Duration) {
        if self.ends.is_none_or(|ends| ends <= now) {
            *self = Self {
                ends: Some(now + length),
                allowed,
                used: 0,
            };
        }
    }

    /// How long to wait for room.
    fn wait(&self, now: Instant) -> Option<Duration> {
        let ends = self.ends.filter(|ends| *ends > now)?;
        (self.used >= self.allowed).then(|| ends - now)
    }
}

impl State {
    fn roll(&mut self, now: Instant) {
        self.own.roll(now, self.rate.events.into(), self.rate.per);
        match self.named {
            Some(named) => self.platform.roll(now, named, MINUTE),
            // Nothing is known of the platform's window until an answer tells it.
            None if self.platform.ends.is_some_and(|ends| ends <= now) => {
                self.platform = Span::default();
            }
            None => {}
        }
    }

    /// How long to wait before asking again; nothing where a place was taken.
    fn take(&mut self, now: Instant, own: bool) -> Option<Duration> {
        self.roll(now);
        let pause = self.paused.filter(|until| *until > now);
        let pause = pause.map(|until| until - now);
        let own_wait = self.own.wait(now).filter(|_| own);
        let wait = [pause, self.platform.wait(now), own_wait]
            .into_iter()
            .flatten()
            .max();
        if wait.is_none() {
            self.own.used += u64::from(own);
            self.platform.used += 1;
        }
        wait
    }
}

impl Window {
    pub fn new(shared: Option<Shared>) -> Self {
        Self {
            state: Mutex::default(),
            waiting: AtomicUsize::new(0),
            shared,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on.
    pub fn set_rate(&self, rate: Rate) {
        let mut state = self.state();
        if state.rate != rate {
            state.rate = rate;
            let used = state.own.used;
            state.own = Span::default();
            state.own.roll(Instant::now(), rate.events.into(), rate.per);
            // What was used counts on, or a changed limit would double what goes.
            state.own.used = used;
        }
    }

    /// Waits for a place, and takes it.
    pub async fn turn(&self) {
        let _waits = Waits::begin(&self.waiting);
        while let Some(wait) = self.attempt().await {
            // The timer counts in milliseconds: never ask again before one has passed.
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }

    async fn attempt(&self) -> Option<Duration> {
        let Some(shared) = &self.shared else {
            return self.state().take(Instant::now(), true);
        };
        let (pause, rate) = {
            let mut state = self.state();
            (state.take(Instant::now(), false), state.rate)
        };
        if pause.is_some() {
            return pause;
        }
        let grant = shared.take(rate).await;
        let mut state = self.state();
        let now = Instant::now();
        let wait = match grant {
            Grant::Taken { used } => {
                state.own.roll(now, rate.events.into(), rate.per);
                state.own.used = used;
                return None;
            }
            Grant::Wait { wait, used } => {
                state.own.used = used;
                wait
            }
            // On its own a worker keeps to its share of what all of them may send.
            Grant::Away { workers } => {
                state.own.roll(now, rate.events.into(), rate.per);
                let share = (state.own.allowed / workers.max(1)).max(1);
                if state.own.used < share {
                    state.own.used += 1;
                    return None;
                }
                let ends = state.own.ends.unwrap_or(now);
                ends.saturating_duration_since(now)
            }
        };
        // The place in the platform's window is free again.
        state.platform.used = state.platform.used.saturating_sub(1);
        Some(wait)
    }

    /// A call went that did not wait for a turn.
    pub fn passed(&self) {
        let mut state = self.state();
        state.roll(Instant::now());
        state.own.used += 1;
        state.platform.used += 1;
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
        let now = Instant::now();
        let ends = now + reset.min(LONGEST);
        let mut state = self.state();
        state.roll(now);
        let named = state.named.unwrap_or(u64::MAX);
        let platform = &mut state.platform;
        let same = platform.ends.is_some_and(|known| ends <= known + ROUNDING);
        // What is under way counts, though the platform has not seen it yet.
        let used = if same {
            platform.used.max(count)
        } else {
            count
        };
        *platform = Span {
            ends: Some(ends),
            allowed: allowed.max(1).min(named),
            used,
        };
    }

    /// The platform has refused a call for being one too many.
    pub fn refused(&self, wait: Option<Duration>, limit: Option<&Limit>) {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(wait) = wait {
            let until = now + wait.min(LONGEST);
            state.paused = Some(state.paused.map_or(until, |paused| paused.max(until)));
        }
        let a_minute = limit.filter(|limit| limit.key.contains("per.minute"));
        if let Some(named) = a_minute.and_then(|limit| limit.value.parse::<f64>().ok())
            && named >= 1.0
        {
            // Fractions are cut; what is larger than any budget is none.
            let named = named.min(1e9) as u64;
            state.named = Some(named);
            state.platform.allowed = state.platform.allowed.min(named);
        }
    }

    /// Others who share the budget wait too.
    pub async fn tell_pause(&self, wait: Duration) {
        if let Some(shared) = &self.shared {
            shared.pause(wait.min(LONGEST)).await;
        }
    }

    pub fn usage(&self) -> Usage {
        let mut state = self.state();
        state.roll(Instant::now());
        let room = |span: &Span| span.allowed.saturating_sub(span.used);
        let (own, platform) = (state.own, state.platform);
        let tight = if platform.ends.is_some() && room(&platform) < room(&own) {
            platform
        } else {
            own
        };
        Usage {
            allowed: tight.allowed,
            used: tight.used,
            waiting: self.waiting.load(Relaxed),
        }
    }
}

/// One more waits, until this is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn begin(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Relaxed);
        Self(counter)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn window(events: u32, per: Duration) -> Window {
        let window = Window::new(None);
        window.set_rate(Rate { events, per });
        window
    }

    fn headers(count: u64, allowed: u64, reset: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("inin-ratelimit-count", count.into());
        headers.insert("inin-ratelimit-allowed", allowed.into());
        headers.insert("inin-ratelimit-reset", reset.into());
        headers
    }

    /// How many go at once, and after how long the next.
    async fn burst(window: &Window) -> (usize, u64) {
        let from = Instant::now();
        for n in 0.. {
            window.turn().await;
            if from.elapsed() > Duration::ZERO {
                return (n, from.elapsed().as_secs());
            }
        }
        unreachable!("a window ends")
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_go_in_a_window_and_the_next_one_waits_for_its_end() {
        let window = window(300, MINUTE);
        assert_eq!(burst(&window).await, (300, 60));
        assert_eq!(burst(&window).await, (299, 60), "one of them went already");
        let usage = window.usage();
        assert_eq!((usage.allowed, usage.used, usage.waiting), (300, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_platforms_own_count_corrects_ours() {
        let window = window(300, MINUTE);
        window.turn().await;
        // Somebody else uses the same token.
        window.learn(&headers(290, 300, 20));
        assert_eq!(burst(&window).await, (10, 20));
        // A lower limit than ours.
        window.learn(&headers(1, 5, 60));
        assert_eq!(burst(&window).await, (4, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_stops_everybody_and_its_limit_is_kept() {
        let window = window(300, MINUTE);
        let limit = Limit {
            key: "client.credentials.token.rate.per.minute".into(),
            namespace: "platform.api".into(),
            value: "100".into(),
        };
        window.refused(Some(7 * SECOND), Some(&limit));
        let from = Instant::now();
        window.turn().await;
        assert_eq!(from.elapsed().as_secs(), 7);
        let (more, _) = burst(&window).await;
        assert_eq!(more, 99, "of the hundred that the platform named");
        assert_eq!(burst(&window).await.0, 99);
        // Nobody can ask for a day, nor for nothing at all.
        let odd = |value: &str| Limit {
            value: value.into(),
            ..limit.clone()
        };
        for value in ["-1", "0", "nan", "", "1e300"] {
            window.refused(Some(Duration::from_secs(86_400)), Some(&odd(value)));
        }
        let from = Instant::now();
        window.turn().await;
        assert!(from.elapsed() <= LONGEST + MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_rate_holds_at_once_and_does_not_begin_anew() {
        let window = window(10, MINUTE);
        assert_eq!(burst(&window).await.0, 10);
        window.set_rate(Rate {
            events: 5,
            per: MINUTE,
        });
        assert_eq!(burst(&window).await.0, 4, "one went already");
    }
}

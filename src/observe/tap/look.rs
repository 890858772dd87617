//! Somebody who looks: what is taken for them, and how it is written.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Mask, Pattern, Side, Tap, Taps};
use crate::clock::format_timestamp;
use crate::event::{Event, write_json_str};

/// Events between the stream and the task that writes them: each keeps its whole batch alive.
const TAKEN: usize = 64;
/// Longest body that is shown, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024;
/// How often it is told how much is not shown.
const TOLD: Duration = Duration::from_secs(1);
/// After so many tellings that nobody took, nobody reads any more.
const STUCK: u32 = 60;

/// Whom a tap gives events.
pub(super) struct Looker {
    patterns: Vec<Pattern>,
    side: Option<Side>,
    /// Nanoseconds between two events that are taken.
    interval: u64,
    since: Instant,
    /// When the next one may be taken, in nanoseconds since `since`.
    due: AtomicU64,
    events: mpsc::Sender<Taken>,
    missed: AtomicU64,
}

/// An event that was taken, where and when (microseconds since 1970).
pub(super) struct Taken {
    tap: Tap,
    event: Event,
    at: i64,
}

impl Looker {
    pub fn new(
        patterns: Vec<Pattern>,
        side: Option<Side>,
        rate: u32,
    ) -> (Self, mpsc::Receiver<Taken>) {
        let (events, receiver) = mpsc::channel(TAKEN);
        let looker = Self {
            patterns,
            side,
            interval: 1_000_000_000 / u64::from(rate.max(1)),
            since: Instant::now(),
            due: AtomicU64::new(0),
            events,
            missed: AtomicU64::new(0),
        };
        (looker, receiver)
    }

    /// `silent`: the entrance of a node that has no outputs.
    pub fn looks_at(&self, tap: &Tap, silent: bool) -> bool {
        let side = match self.side {
            Some(side) => side == tap.0.side,
            None => tap.0.side == Side::Out || silent,
        };
        side && self.patterns.iter().any(|pattern| pattern.is_of(tap))
    }

    /// Takes what the rate allows of these events. Never waits.
    pub fn take(&self, tap: &Tap, events: &[Event], at: i64) {
        let now = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut taken = 0;
        for event in events {
            // What comes behind one that is not due is not due either.
            if !self.is_due(now) {
                break;
            }
            let (tap, event) = (tap.clone(), event.clone());
            if self.events.try_send(Taken { tap, event, at }).is_err() {
                break;
            }
            taken += 1;
        }
        self.missed.fetch_add(events.len() as u64 - taken, Relaxed);
    }

    /// One event of the rate, with bursts of a quarter of a second's worth at most.
    fn is_due(&self, now: u64) -> bool {
        let burst = (250_000_000 / self.interval).max(1) * self.interval;
        let step = |due: u64| {
            let from = due.max(now.saturating_sub(burst - self.interval));
            (from <= now).then(|| from + self.interval)
        };
        self.due.fetch_update(Relaxed, Relaxed, step).is_ok()
    }
}

/// A look at events that pass. Dropped, it ends.
pub struct Look {
    looker: Arc<Looker>,
    events: mpsc::Receiver<Taken>,
    mask: Option<Mask>,
    taps: Taps,
}

impl Drop for Look {
    fn drop(&mut self) {
        self.taps.forget(&self.looker);
    }
}

impl Look {
    pub(super) fn new(
        looker: Arc<Looker>,
        events: mpsc::Receiver<Taken>,
        mask: Option<Mask>,
        taps: Taps,
    ) -> Self {
        Self {
            looker,
            events,
            mask,
            taps,
        }
    }

    #[cfg(test)]
    pub(super) fn is_masked(&self) -> bool {
        self.mask.is_some()
    }

    /// Writes what is seen as lines of JSON until nobody takes them or `over` says that nothing comes
    /// any more. Each second a line tells how many events were not shown since the last one.
    ///
    /// A reader that does not keep up misses events; one that takes nothing for a minute is let go.
    pub async fn write<L: From<Vec<u8>>>(
        mut self,
        lines: mpsc::Sender<L>,
        over: impl Fn() -> bool,
    ) {
        let mut tick = tokio::time::interval(TOLD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stuck = 0;
        loop {
            tokio::select! {
                biased;
                () = lines.closed() => return,
                _ = tick.tick() => {
                    let ends = over();
                    self.drain(&lines);
                    let missed = self.looker.missed.swap(0, Relaxed);
                    let line = format!("{{\"not_shown\":{missed}}}\n").into_bytes();
                    match lines.try_send(line.into()) {
                        Ok(()) => stuck = 0,
                        Err(_) => {
                            self.looker.missed.fetch_add(missed, Relaxed);
                            stuck += 1;
                        }
                    }
                    if ends || stuck >= STUCK {
                        return;
                    }
                }
                Some(taken) = self.events.recv() => self.show(taken, &lines),
            }
        }
    }

    /// All that was taken before now.
    fn drain<L: From<Vec<u8>>>(&mut self, lines: &mpsc::Sender<L>) {
        while let Ok(taken) = self.events.try_recv() {
            self.show(taken, lines);
        }
    }

    fn show<L: From<Vec<u8>>>(&self, taken: Taken, lines: &mpsc::Sender<L>) {
        match lines.try_reserve() {
            // Masking is the dear part: not done for what nobody can take.
            Ok(place) => place.send(self.line(taken).into()),
            Err(_) => {
                self.looker.missed.fetch_add(1, Relaxed);
            }
        }
    }

    fn line(&self, taken: Taken) -> Vec<u8> {
        let Taken { tap, mut event, at } = taken;
        let mut out = Vec::with_capacity(512);
        let text = |name: &str, text: &str, out: &mut Vec<u8>| {
            out.extend_from_slice(name.as_bytes());
            write_json_str(text, out);
        };
        text("{\"node\":", &tap.address(), &mut out);
        text(",\"direction\":", tap.0.side.word(), &mut out);
        text(",\"at\":", &format_timestamp(at), &mut out);
        if event.length() > MAX_BODY_BYTES {
            out.extend_from_slice(format!(",\"too_long\":{}}}\n", event.length()).as_bytes());
            return out;
        }
        if let Some(mask) = &self.mask {
            mask(&mut event);
        }
        out.extend_from_slice(b",\"event\":");
        let body = out.len();
        event.write_json(&mut out);
        // A body that came on several lines has line breaks between its values, where spaces do as well.
        for byte in &mut out[body..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        out.extend_from_slice(b"}\n");
        out
    }
}

//! One batch on its way through a plugin: calls, and what is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::Refusal;
use super::answer::{self, Fate};
use super::guest::{Fault, Guest};
use super::runner::{Runner, Version};
use crate::event::{Batch, Event};
use crate::stage::Applied;

/// Most events of one call.
const CALL_EVENTS: usize = 1024;
/// Bodies of one call take at most this part of a guest's memory: it reads them into something, and
/// writes something new.
const CALL_SHARE: usize = 16;

/// A batch, and how far it is.
pub(super) struct Work {
    batch: Batch,
    fates: Vec<Fate>,
    /// Events before this one are given to the plugin one by one.
    alone: usize,
    version: Arc<Version>,
    guest: Option<Guest>,
    /// Whether the guest has answered before.
    used: bool,
    /// Set when nobody waits for the answer any more.
    given_up: Arc<AtomicBool>,
}

/// How a stretch of work ended.
pub(super) enum End {
    /// All is done.
    Done(Applied),
    /// It goes on after this time: too many instances died lately.
    Wait(Duration),
    /// There is no instance to be had.
    Stuck(Refusal),
    /// Nobody waits for it any more.
    GivenUp,
}

impl Work {
    pub fn new(batch: Batch, version: Arc<Version>, given_up: Arc<AtomicBool>) -> Self {
        Self {
            fates: Vec::with_capacity(batch.len()),
            batch,
            alone: 0,
            version,
            guest: None,
            used: true,
            given_up,
        }
    }

    /// Works on until it has to wait. Blocks.
    pub fn go(&mut self, runner: &Runner) -> End {
        while self.fates.len() < self.batch.len() {
            // A batch of events that all take too long would else outlive its run by hours.
            if self.given_up.load(Relaxed) {
                runner.rest(self.guest.take());
                return End::GivenUp;
            }
            let mut guest = match self.guest.take() {
                Some(guest) => guest,
                None => match runner.guest(&self.version) {
                    Ok((guest, used)) => {
                        self.used = used;
                        guest
                    }
                    Err(refusal) => return End::Stuck(refusal),
                },
            };
            let wait = self.call(&mut guest, runner);
            if !guest.is_dead() {
                self.guest = Some(guest);
            }
            if !wait.is_zero() {
                return End::Wait(wait);
            }
        }
        runner.rest(self.guest.take());
        runner.went(self.fates.iter().all(|it| matches!(it, Fate::Told(_))));
        let (batch, fates) = (
            std::mem::take(&mut self.batch),
            std::mem::take(&mut self.fates),
        );
        End::Done(answer::applied(batch, fates, runner.ears()))
    }

    /// One call, and how long to wait after it.
    fn call(&mut self, guest: &mut Guest, runner: &Runner) -> Duration {
        let from = self.fates.len();
        let to = match from < self.alone {
            true => from + 1,
            false => from + call_length(&self.batch.events()[from..], runner.memory()),
        };
        match guest.apply(&self.batch.events()[from..to]) {
            Ok(outcomes) => {
                self.used = true;
                self.fates.extend(outcomes.into_iter().map(Fate::Told));
                Duration::ZERO
            }
            Err(fault) => {
                let wait = match guest.is_dead() {
                    true => runner.died(&fault),
                    false => Duration::ZERO,
                };
                if to - from > 1 {
                    self.alone = to;
                } else if !(fault == Fault::Memory && self.used) {
                    // What filled its memory may have been what came before: another one is asked.
                    self.fates.push(Fate::Failed(fault));
                }
                wait
            }
        }
    }
}

/// How many of these events are given to a plugin at once.
fn call_length(events: &[Event], memory: usize) -> usize {
    let mut room = memory / CALL_SHARE;
    let fits = |event: &&Event| {
        let length = usize::try_from(event.length()).unwrap_or(usize::MAX);
        let fits = length <= room;
        room = room.saturating_sub(length);
        fits
    };
    let events = events.iter().take(CALL_EVENTS);
    events.take_while(fits).count().max(1)
}

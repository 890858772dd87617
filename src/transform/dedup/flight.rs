//! A batch on its way.

use std::mem;
use std::sync::Arc;

use super::fate::{self, Fate, Outcome};
use super::key::Fingerprint;
use super::window::{Ticks, Window};
use super::{Memory, Shared};
use crate::event::Origin;
use crate::failure::Failure;
use crate::state::Claim;

/// The keys of one batch while it is under way. However it ends, they are let go: dropped without
/// an answer (cancelled, or a panic below) they are free again, and who waits is told.
pub(super) struct Flight {
    pub shared: Arc<Shared>,
    pub number: u32,
    at: Ticks,
    pub keys: Vec<(Fingerprint, Origin)>,
    outcome: Arc<Outcome>,
    ended: bool,
    /// Of a shared state: what holds the keys there.
    pub claim: Option<Claim>,
    /// Keys that are delivered or under way elsewhere.
    pub elsewhere: Vec<(Fingerprint, Origin)>,
}

impl Flight {
    /// Begins one of so many events.
    pub fn begin(shared: &Arc<Shared>, window: &mut Window, at: Ticks, events: usize) -> Self {
        let outcome = fate::outcome();
        Self {
            shared: shared.clone(),
            number: window.begin(at, Some(outcome.clone())),
            at,
            keys: Vec::with_capacity(events),
            outcome,
            ended: false,
            claim: None,
            elsewhere: Vec::new(),
        }
    }

    /// Writes down what the answer, in which every origin is named, means for the keys.
    pub fn end(&mut self, answer: &Result<(), Failure>) -> Arc<Fate> {
        self.ended = true;
        let mut fate = Fate::default();
        if let Err(failure) = answer {
            let by_origin = fate::by_origin(failure);
            let lost = |(key, origin): &(Fingerprint, Origin)| {
                let loss = *by_origin.get(origin)?;
                Some((*key, loss.clone()))
            };
            fate.0 = self.keys.iter().filter_map(lost).collect();
            self.keys.retain(|(key, _)| !fate.0.contains_key(key));
        }
        self.settle(fate)
    }

    /// `keys` are by now those that were delivered.
    fn settle(&mut self, fate: Fate) -> Arc<Fate> {
        if self.keys.is_empty() && fate.0.is_empty() {
            return Arc::new(fate);
        }
        let mut memory = self.shared.lock();
        let Memory { window, log } = &mut *memory;
        for key in fate.0.keys() {
            window.free(*key, self.number);
        }
        if self.keys.is_empty() {
            window.forget(self.number);
        } else {
            window.commit(self.number);
            if let Some(log) = log {
                log.write(window, self.number, self.at, &self.keys);
            }
        }
        drop(memory);
        let fate = Arc::new(fate);
        self.outcome.send_replace(Some(fate.clone()));
        fate
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.ended {
            let elsewhere = mem::take(&mut self.elsewhere);
            self.keys.extend(elsewhere);
            let fate = lost(&mem::take(&mut self.keys));
            self.settle(fate);
        }
    }
}

/// The fate of keys whose answer never came.
pub(super) fn lost(keys: &[(Fingerprint, Origin)]) -> Fate {
    let failure = fate::lost_reply();
    let loss = &failure.losses()[0];
    Fate(keys.iter().map(|(key, _)| (*key, loss.clone())).collect())
}

//! What becomes of letters that are replayed, and when they leave their shelf.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Mark, Shelf};
use crate::event::Replay;
use crate::failure::{Failure, Which};

/// Rewriting takes at most this share of the time: a shelf is rewritten again when so many times as
/// long has passed as the last time took.
const REST: u32 = 10;
const LEAST_REST: Duration = Duration::from_secs(1);
/// Explanations that are kept to be shown; the others are counted.
pub(super) const SHOWN: usize = 20;

/// What became of the letters of a replay; removes those that are settled. Clones share it.
#[derive(Clone)]
pub struct Outcomes(Arc<Shared>);

struct Shared {
    shelves: Vec<Arc<dyn Shelf>>,
    state: Mutex<State>,
    /// Held while a shelf is rewritten.
    rewriting: tokio::sync::Mutex<()>,
}

struct State {
    tally: Tally,
    /// Settled and not yet removed, for each shelf.
    settled: Vec<HashSet<Mark>>,
    next_removal: Instant,
}

/// Figures of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// A sink took them, or a buffer on disk.
    pub delivered: u64,
    /// A rule dropped them.
    pub dropped: u64,
    /// They are in the dead letters anew.
    pub dead_lettered: u64,
    /// They were not delivered, and lie where they lay.
    pub failed: u64,
    /// Why, with how many.
    pub reasons: BTreeMap<String, u64>,
}

impl Outcomes {
    /// For letters of these shelves.
    pub fn new(shelves: Vec<Arc<dyn Shelf>>) -> Self {
        let settled = vec![HashSet::new(); shelves.len()];
        Self(Arc::new(Shared {
            shelves,
            state: Mutex::new(State {
                tally: Tally::default(),
                settled,
                next_removal: Instant::now() + LEAST_REST,
            }),
            rewriting: tokio::sync::Mutex::new(()),
        }))
    }

    /// What is known so far.
    pub fn tally(&self) -> Tally {
        self.state().tally.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many letters had no outcome: the run ended before.
    pub fn missing(&self, count: u64) {
        if count > 0 {
            self.failed("the run ended before their turn".into(), count);
        }
    }

    pub(super) fn failed(&self, reason: String, count: u64) {
        let mut state = self.state();
        state.tally.failed += count;
        let reasons = &mut state.tally.reasons;
        if reasons.len() < SHOWN || reasons.contains_key(&reason) {
            *reasons.entry(reason).or_default() += count;
        }
    }

    /// The outcome of one delivery. Settled letters leave their shelf from time to time, since each
    /// time the shelf is written anew; the last ones at [`finish`](Self::finish).
    pub(super) async fn settle(&self, letters: Vec<Underway>, outcome: Result<(), Failure>) {
        if let Err(failure) = &outcome {
            self.count_lost(&letters, failure);
        }
        let due = {
            let mut state = self.state();
            for (index, letter) in letters.iter().enumerate() {
                if outcome.as_ref().err().is_some_and(|it| loses(it, index)) {
                    continue;
                }
                let tally = &mut state.tally;
                // A part of it may have been delivered; what counts is what is left to do.
                match (
                    letter.replay.is_dead_lettered(),
                    letter.replay.is_delivered(),
                ) {
                    (true, _) => tally.dead_lettered += 1,
                    (false, true) => tally.delivered += 1,
                    (false, false) => tally.dropped += 1,
                }
                state.settled[letter.shelf].insert(letter.mark);
            }
            state.next_removal <= Instant::now()
        };
        if due && let Err(failure) = self.remove().await {
            // They are tried again at the end, which is where it is told.
            tracing::warn!(%failure, "settled letters could not be removed yet");
        }
    }

    fn count_lost(&self, letters: &[Underway], failure: &Failure) {
        let lost = (0..letters.len()).filter(|index| loses(failure, *index));
        let reason = failure.to_string();
        self.failed(reason, lost.count() as u64);
    }

    /// Removes what is settled from its shelf.
    ///
    /// # Errors
    /// When a shelf cannot be rewritten: then its settled letters lie there still.
    pub async fn finish(&self) -> Result<(), Failure> {
        self.remove().await
    }

    async fn remove(&self) -> Result<(), Failure> {
        let _alone = self.0.rewriting.lock().await;
        let begin = Instant::now();
        let mut outcome = Ok(());
        for (index, shelf) in self.0.shelves.iter().enumerate() {
            let marks = std::mem::take(&mut self.state().settled[index]);
            if marks.is_empty() {
                continue;
            }
            let shelf = shelf.clone();
            let task = tokio::task::spawn_blocking(move || (shelf.remove(&marks), marks));
            let (removed, marks) = task.await.unwrap_or_else(|_| {
                let failure = Failure::fatal("letters_failed", "the rewriting met an error");
                (Err(failure), HashSet::new())
            });
            if let Err(failure) = removed {
                self.state().settled[index].extend(marks);
                outcome = outcome.and(Err(failure));
            }
        }
        self.state().next_removal = Instant::now() + (begin.elapsed() * REST).max(LEAST_REST);
        outcome
    }
}

/// Whether the event at this place of the delivery was lost.
fn loses(failure: &Failure, index: usize) -> bool {
    failure.losses().iter().any(|loss| match &loss.which {
        Which::All => true,
        Which::Only(origins) => origins.iter().any(|origin| origin.index() == index),
    })
}

/// A letter whose event is under way.
pub(super) struct Underway {
    pub shelf: usize,
    pub mark: Mark,
    pub replay: Arc<Replay>,
}

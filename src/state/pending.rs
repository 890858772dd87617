//! Changes that were noted and wait for the commit of their delivery.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Op;
use crate::stage::Checkpoint;

/// Changes without a delivery that may wait for company; beyond that the next call of `commit`
/// writes them even if it has nothing else.
const MOST_SOON: usize = 4096;

/// A change, and whose.
pub(super) struct Noted {
    pub node: Arc<str>,
    pub op: Op,
    /// How long the shared form keeps the row.
    pub expiry: Option<Duration>,
}

/// What one call of `commit` took: to be written in one transaction, or to go back.
pub(super) struct Group {
    pub deliveries: Vec<(u64, Vec<Noted>)>,
    pub soon: Vec<Noted>,
    pub checkpoints: Vec<(Arc<str>, Checkpoint)>,
}

impl Group {
    /// Number of changes.
    pub fn len(&self) -> usize {
        let noted: usize = self.deliveries.iter().map(|(_, noted)| noted.len()).sum();
        noted + self.soon.len()
    }

    /// Every change, in the order in which they are made.
    pub fn noted(&self) -> impl Iterator<Item = &Noted> {
        let of_deliveries = self.deliveries.iter().flat_map(|(_, noted)| noted);
        of_deliveries.chain(&self.soon)
    }
}

#[derive(Default)]
pub(super) struct Pending(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    by_delivery: HashMap<u64, Vec<Noted>>,
    soon: Vec<Noted>,
    /// All changes that are not durable, those in the hands of the writer included.
    count: usize,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No method leaves it half changed, so what a panicking thread left is sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, delivery: u64, noted: Noted) {
        let mut waiting = self.lock();
        waiting.count += 1;
        waiting.by_delivery.entry(delivery).or_default().push(noted);
    }

    pub fn note_soon(&self, noted: Noted) {
        let mut waiting = self.lock();
        waiting.count += 1;
        waiting.soon.push(noted);
    }

    pub fn note_all_soon(&self, mut noted: Vec<Noted>) {
        let mut waiting = self.lock();
        waiting.count += noted.len();
        waiting.soon.append(&mut noted);
    }

    pub fn release(&self, delivery: u64) {
        let mut waiting = self.lock();
        if let Some(noted) = waiting.by_delivery.remove(&delivery) {
            waiting.soon.extend(noted);
        }
    }

    pub fn count(&self) -> usize {
        self.lock().count
    }

    /// True when a commit of these deliveries has nothing worth writing.
    pub fn has_nothing(&self, deliveries: &[u64]) -> bool {
        let waiting = self.lock();
        waiting.soon.len() < MOST_SOON
            && !deliveries
                .iter()
                .any(|delivery| waiting.by_delivery.contains_key(delivery))
    }

    /// Takes what was noted for these deliveries, and what goes with any commit.
    pub fn take(&self, deliveries: &[u64], checkpoints: Vec<(Arc<str>, Checkpoint)>) -> Group {
        let mut waiting = self.lock();
        let take = |delivery: &u64| {
            let noted = waiting.by_delivery.remove(delivery)?;
            Some((*delivery, noted))
        };
        Group {
            deliveries: deliveries.iter().filter_map(take).collect(),
            soon: std::mem::take(&mut waiting.soon),
            checkpoints,
        }
    }

    /// Ends a group: its changes are durable, or wait again in front of what came meanwhile.
    pub fn written(&self, group: Group, well: bool) {
        let mut waiting = self.lock();
        if well {
            waiting.count -= group.len();
            return;
        }
        for (delivery, mut noted) in group.deliveries {
            let later = waiting.by_delivery.entry(delivery).or_default();
            noted.append(later);
            *later = noted;
        }
        let mut soon = group.soon;
        soon.append(&mut waiting.soon);
        waiting.soon = soon;
    }
}

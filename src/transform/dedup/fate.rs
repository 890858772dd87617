//! What became of the events of a flight, for those that wait to share it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::key::Fingerprint;
use crate::event::Origin;
use crate::failure::{Cause, Failure, Kind, Loss, Which};

/// Where a flight's fate is told, once.
pub(super) type Outcome = watch::Sender<Option<Arc<Fate>>>;

/// The keys whose events were lost, and why; all others were delivered.
#[derive(Default)]
pub(super) struct Fate(pub HashMap<Fingerprint, Loss>);

/// A place to tell a fate.
pub(super) fn outcome() -> Arc<Outcome> {
    Arc::new(watch::channel(None).0)
}

/// Waits for the fate; `None` when nobody is left who could tell it.
pub(super) async fn learn(mut waiting: watch::Receiver<Option<Arc<Fate>>>) -> Option<Arc<Fate>> {
    let told = waiting.wait_for(|fate| fate.is_some()).await.ok()?;
    told.clone()
}

/// The failure of an answer that never came.
pub(super) fn lost_reply() -> Failure {
    Failure::transient("lost_reply", "the answer was lost")
}

/// For each origin that the failure names, the worst of its losses.
pub(super) fn by_origin(failure: &Failure) -> HashMap<Origin, &Loss> {
    let mut lost: HashMap<Origin, &Loss> = HashMap::new();
    for loss in failure.losses() {
        let Which::Only(origins) = &loss.which else {
            continue;
        };
        for origin in origins {
            let worst = lost.entry(*origin).or_insert(loss);
            if loss.kind > worst.kind {
                *worst = loss;
            }
        }
    }
    lost
}

/// Losses of duplicates, those of one cause together.
#[derive(Default)]
pub(super) struct Losses(Vec<Loss>);

impl Losses {
    /// The duplicate at `origin` shares this loss.
    pub fn share(&mut self, loss: &Loss, origin: Origin) {
        let alike = |other: &&mut Loss| {
            (other.kind, &other.node, &other.cause) == (loss.kind, &loss.node, &loss.cause)
        };
        match self.0.iter_mut().find(alike).map(|alike| &mut alike.which) {
            Some(Which::Only(origins)) => origins.push(origin),
            _ => self.0.push(Loss {
                which: Which::Only(vec![origin]),
                ..loss.clone()
            }),
        }
    }

    /// These events are refused.
    pub fn reject(&mut self, cause: Cause, origins: Vec<Origin>) {
        if let Some(failure) = Failure::only(Kind::Rejected, cause, origins) {
            self.0.extend(failure.into_losses());
        }
    }

    /// The answer, with that from below.
    pub fn join(self, below: Result<(), Failure>) -> Result<(), Failure> {
        Failure::join([below, Failure::from_losses(self.0).map_or(Ok(()), Err)])
    }
}

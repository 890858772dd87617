//! The contract between the parts of a pipeline. An author of a component meets only this page.
//!
//! **Answering is acknowledging.** Everything downstream of a source is one [`Stage`]. `Ok(())`:
//! every event of the batch was delivered, or was dropped or dead-lettered because a rule said so.
//! `Err(failure)`: the events that it names were not, and will be delivered again. A stage answers
//! each call once, when it *knows*; a reply that is lost reads as a failure.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::event::{Batch, Event, Origin, Position, Provenance};
use crate::failure::Failure;

/// Everything downstream of some point. `poll_ready` never answers `Err` (that would mean "throw
/// me away"); pending means pressure. Order is that of the calls: a stage takes its place in every
/// queue below it at the first poll of the call's future.
pub type Stage = tower::util::BoxCloneSyncService<Batch, (), Failure>;

/// How far a pipeline is. Stages that hold events watch it (`tokio::sync::watch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Sources are pulled.
    Running,
    /// All inputs have ended: what is held waits for nothing more and goes on, with its label.
    InputEnded,
    /// The run is being stopped: what is held is given back where it can be delivered again at
    /// the next run, and goes on with its label where it cannot.
    Stopping,
}

/// Pulled by the engine, one call at a time.
///
/// `Ok(None)`: the input is finished. `Err` of kind `Disconnected` or `Transient`: this connection
/// is dead, and the engine opens another with back-off; any other kind ends the run. A source
/// never reconnects itself and never sees shutdown: it is no longer pulled, then dropped.
/// Dropping the future of `next` must lose nothing (it is cancelled at shutdown).
pub trait Source: Send {
    /// Waits for what comes next and hands over whatever has arrived, up to a maximum.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>>;
}

/// Opens a source's connection; called again after each disconnection.
pub type OpenSource =
    Box<dyn Fn() -> BoxFuture<'static, Result<Box<dyn Source>, Failure>> + Send + Sync>;

/// What a source hands over. At most [`Origin::MAX_EVENTS`] events.
pub struct Delivery {
    /// The events. The engine gives them their origins.
    pub batch: Batch,
    /// Records that are no events (not JSON, too large): they go to the dead letters, and the
    /// delivery is settled only after that.
    pub refused: Vec<Letter>,
    /// Written into the state store in one transaction with the state of the stages, once this
    /// delivery *and all earlier ones* of the source are settled well. With none the delivery need not
    /// wait for earlier ones.
    pub checkpoints: Vec<Checkpoint>,
    /// Who delivers again what failed.
    pub redelivery: Redelivery,
    /// Runs exactly once, when the outcome is known and after the state is committed.
    pub settle: Settle,
}

impl Delivery {
    /// Events that the engine redelivers from memory and that nobody else waits for.
    pub fn new(batch: Batch) -> Self {
        Self {
            batch,
            refused: Vec::new(),
            checkpoints: Vec::new(),
            redelivery: Redelivery::Engine,
            settle: Settle::nothing(),
        }
    }
}

/// A source's place in its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which input (a file, a partition).
    pub key: Vec<u8>,
    /// How far; empty where the place is to be forgotten.
    pub value: Vec<u8>,
}

/// Who delivers again what failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// The engine, from memory, with back-off, until it goes well or the run ends.
    Engine,
    /// The transport behind the source, once `settle` told it (a broker's nack).
    Source,
}

/// Tells the transport the outcome: ack or nack, an HTTP reply, or nothing. Runs exactly once; one
/// that is dropped unrun reports a failure, never a success.
pub struct Settle(Option<Action>);

type Action = Box<dyn FnOnce(Result<(), Failure>) -> BoxFuture<'static, ()> + Send>;

impl Settle {
    /// With an action.
    pub fn new<F, Fut>(action: F) -> Self
    where
        F: FnOnce(Result<(), Failure>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self(Some(Box::new(|result| Box::pin(action(result)))))
    }

    /// For transports that need not be told.
    pub fn nothing() -> Self {
        Self(None)
    }

    /// Tells the outcome.
    pub async fn run(mut self, result: Result<(), Failure>) {
        if let Some(action) = self.0.take() {
            action(result).await;
        }
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        let Some(action) = self.0.take() else { return };
        let lost = action(Err(Failure::transient(
            "abandoned",
            "the delivery was abandoned",
        )));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(lost);
        }
    }
}

/// The easy transform: batch in, batch out. It never waits for the answer. A panic in it is a
/// failure of its batch.
pub trait Transform: Clone + Send + Sync + 'static {
    /// Changes, drops or rejects events.
    ///
    /// # Errors
    /// When the batch cannot be worked on at all; what is wrong with single events is in
    /// [`Applied::rejected`].
    fn apply(&self, batch: Batch) -> impl Future<Output = Result<Applied, Failure>> + Send;
}

/// What a transform made of a batch.
#[derive(Default)]
pub struct Applied {
    /// What goes on.
    pub batch: Batch,
    /// Dropped because a rule said so: reason and count.
    pub dropped: Vec<(&'static str, u64)>,
    /// The same, for reasons that are not known to the code: those of a plugin.
    pub dropped_as: Vec<(String, u64)>,
    /// Made in addition (one event split in several): how many more than came in.
    pub created: u64,
    /// Not taken: to the node's `invalid` output, or to the dead letters.
    pub rejected: Vec<Letter>,
}

impl From<Batch> for Applied {
    fn from(batch: Batch) -> Self {
        Self {
            batch,
            ..Self::default()
        }
    }
}

/// A transform with several outputs, such as `route`. Each event goes to exactly one output, or
/// is dropped.
pub trait Split: Clone + Send + Sync + 'static {
    /// One batch for each output, in the order of the outputs' names.
    fn split(&self, batch: Batch) -> (Vec<Batch>, Vec<(&'static str, u64)>);
}

/// Writes batches. Called concurrently up to the configured limit. Limits, retries, time-outs,
/// breaker, metrics and dead letters are around it, not in it.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Writes the batch; returns when it is durable on the other side.
    ///
    /// # Errors
    /// Names the events that were not written; they may have been.
    fn write(&self, batch: Batch) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// An event, or what should have been one, on its way to the dead letters.
#[derive(Clone)]
pub struct Letter {
    /// What it is about.
    pub subject: Subject,
    /// Stable word for the ledger, such as `not_json` or `schema`.
    pub reason: &'static str,
    /// For people; holds no value of the event.
    pub detail: String,
    /// What a schema found, path by path.
    pub violations: Vec<Violation>,
    /// The node that refused it.
    pub node: Arc<str>,
    /// How often it was tried.
    pub attempts: u32,
    /// The input event it came from.
    pub origin: Origin,
    /// Where it lay.
    pub position: Position,
    /// What it lay in.
    pub provenance: Arc<Provenance>,
}

/// What a letter is about.
#[derive(Clone)]
pub enum Subject {
    /// An event.
    Event(Event),
    /// Bytes that are no event: the first few of them, and how many there were.
    Text {
        /// At most 256 bytes, made valid UTF-8.
        sample: String,
        /// Length of the whole in bytes.
        length: u64,
    },
}

/// One thing that a schema says about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where in the event.
    pub path: String,
    /// What was due there.
    pub expected: String,
    /// What was there: its type or shape, never its value.
    pub found: String,
}

impl Letter {
    /// About an event.
    pub fn new(event: Event, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            violations: Vec::new(),
            node: Arc::default(),
            attempts: 1,
            origin: event.origin,
            position: event.position,
            provenance: event.provenance().clone(),
            subject: Subject::Event(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn settles_exactly_once_and_never_well_by_accident() {
        let (good, bad) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let settle = || {
            let (good, bad) = (good.clone(), bad.clone());
            Settle::new(move |result| async move {
                let counter = if result.is_ok() { good } else { bad };
                counter.fetch_add(1, Ordering::SeqCst);
            })
        };
        settle().run(Ok(())).await;
        drop(settle());
        tokio::task::yield_now().await;
        assert_eq!(
            (good.load(Ordering::SeqCst), bad.load(Ordering::SeqCst)),
            (1, 1)
        );
    }
}

//! `causal_reorder`: puts the events of each conversation in causal order, and numbers them.
//!
//! Events of one key (the conversation) leave in the order in which they happened, known by the
//! life cycle of states and event times, by a sequence number, or by vector clocks. What comes before
//! its predecessor is held until that comes or `max_wait` has passed; then it goes on with a label
//! (`orphan`, `gap`), never silently. What comes after its successor goes on with the label `late`.
//! Each event leaves with its conversation's own counter, its event time and its labels.
//!
//! **Answers.** The answer of a batch waits for those of its events that are held: an event goes on
//! in another batch than it came in, and `flight` joins the answers. When the input has ended
//! nothing waits any longer; when the run stops, what is held is answered as not delivered, for the
//! next run to bring again.
//!
//! **State.** The counters, and what else decides about the order, are durable with the answers
//! (see `order`), as hashes and numbers only. Behind an edge with partitions each lane has its share
//! of the bounds.
//!
//! Where workers share a Redis, the conversations of a batch are fetched before it is taken in, and
//! whichever is further, what is there or what is here, counts. That makes counters go on when a
//! conversation moves from one worker to another; two that work on the same conversation at the same
//! time would still give the same counter twice, so the transport has to send each to one of them.
//! While Redis is away nothing is taken in.

mod about;

pub use about::ABOUT;

mod config;
mod conversation;
mod conversations;
mod counters;
mod driver;
mod flight;
mod hash;
mod held;
mod order;
mod reading;
mod rules;
mod watermark;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tower::Service;

use crate::event::{Batch, Event};
use crate::failure::{Cause, Failure, Kind, Loss, Which};
use crate::layer::{Lane, Turns};
use crate::observe::NodeMeter;
use crate::stage::{Phase, Stage};
use crate::state::Table;

pub use config::{By, Config, Lifecycle};
pub use counters::Counters;

use conversation::Conversation;
use driver::{Shared, drive};
use flight::{Answer, Flight};
use order::{Known, Order};
use reading::{Facts, Reader, Refusal};

/// The stage, before it knows what is below it.
pub struct CausalReorder {
    reader: Reader,
    pass_without_key: bool,
    shared: Arc<Shared>,
    table: Table,
}

impl CausalReorder {
    /// Reads the conversations back from the table.
    ///
    /// # Errors
    /// When the table cannot be read, or holds what this version did not write.
    pub fn open(
        config: &Config,
        table: Table,
        meter: NodeMeter,
        phase: watch::Receiver<Phase>,
        lane: Lane,
    ) -> Result<Self, Failure> {
        let table = table.expiring(config.idle);
        let order = Order::open(config, table.clone(), meter, lane)?;
        Ok(Self {
            reader: Reader::new(config, table.seed()),
            pass_without_key: config.pass_without_key,
            shared: Arc::new(Shared::new(order, table.clone(), phase)),
            table,
        })
    }

    /// In front of `inner`. To be called within a runtime: the first batch starts a task, which
    /// ends with the last clone of the stage and the last answer.
    pub fn layer(self, inner: Stage) -> Stage {
        let handle = Arc::new(Handle {
            reader: self.reader,
            pass_without_key: self.pass_without_key,
            shared: self.shared,
            table: self.table,
            turns: Turns::default(),
            template: inner.clone(),
            driver: OnceLock::new(),
        });
        Stage::new(Reorder { handle, inner })
    }
}

/// What all clones of the stage share; the driver ends with it.
struct Handle {
    reader: Reader,
    pass_without_key: bool,
    shared: Arc<Shared>,
    table: Table,
    turns: Turns,
    template: Stage,
    driver: OnceLock<AbortHandle>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.get() {
            driver.abort();
        }
    }
}

impl Handle {
    fn read(&self, batch: &Batch) -> Vec<Result<Facts, Refusal>> {
        let mut scratch = Vec::new();
        let read = |event| self.reader.read(event, &mut scratch);
        batch.events().iter().map(read).collect()
    }

    fn arrive(&self, below: Stage, batch: Batch) -> Answer {
        let read = self.read(&batch);
        self.take(below, batch.into_events(), read, Known::new())
    }

    /// The conversations of a batch as other workers may have left them.
    async fn fetch(&self, read: &[Result<Facts, Refusal>]) -> Result<Known, Failure> {
        let keys: BTreeSet<u128> = read.iter().flatten().map(|f| f.conversation).collect();
        let names = keys.iter().map(|key| key.to_be_bytes().to_vec()).collect();
        let mut known = Known::new();
        for (key, row) in keys.into_iter().zip(self.table.fetch(names).await?) {
            let Some(row) = row else { continue };
            let (conversation, _) = Conversation::decode(key, &row).ok_or_else(|| {
                let text = "the state of a causal_reorder is damaged or of a newer version";
                Failure::fatal("state_corrupt", text)
            })?;
            known.insert(key, conversation);
        }
        Ok(known)
    }

    fn take(
        &self,
        below: Stage,
        mut events: Vec<Event>,
        mut read: Vec<Result<Facts, Refusal>>,
        known: Known,
    ) -> Answer {
        self.driver.get_or_init(|| {
            let driver = drive(Arc::clone(&self.shared), self.template.clone());
            tokio::spawn(driver).abort_handle()
        });
        let pass = |refusal: &Refusal| self.pass_without_key && *refusal == Refusal::MissingKey;
        let refused = |read: &Result<_, _>| read.as_ref().is_err_and(|refusal| !pass(refusal));
        let mut losses = Vec::new();
        if read.iter().any(refused) {
            let mut all = std::mem::take(&mut read).into_iter();
            events.retain(|event| match all.next() {
                Some(Err(refusal)) if !pass(&refusal) => {
                    losses.push(reject(event, refusal));
                    false
                }
                Some(facts) => {
                    read.push(facts);
                    true
                }
                None => false,
            });
        }
        let flight = Flight::new(events.len());
        for loss in losses {
            flight.lost(loss);
        }
        let facts = read.into_iter().map(Result::ok).collect();
        self.shared.arrive(below, events, facts, flight, known)
    }
}

fn reject(event: &Event, refusal: Refusal) -> Loss {
    Loss {
        kind: Kind::Rejected,
        node: Arc::default(),
        which: Which::Only(vec![event.origin]),
        cause: Cause::new(refusal.reason(), refusal.message()),
    }
}

#[derive(Clone)]
struct Reorder {
    handle: Arc<Handle>,
    inner: Stage,
}

impl Service<Batch> for Reorder {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        // The one that is ready goes with the batch; a clone of it is not ready.
        let fresh = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, fresh);
        let handle = Arc::clone(&self.handle);
        if handle.table.is_shared() {
            let turn = handle.turns.next();
            return Box::pin(async move {
                let read = handle.read(&batch);
                let known = handle.fetch(&read).await?;
                turn.wait().await;
                let answer = handle.take(ready, batch.into_events(), read, known);
                drop(turn);
                answer.await
            });
        }
        let answer = handle.arrive(ready, batch);
        Box::pin(async move {
            let answer = answer.await;
            drop(handle);
            answer
        })
    }
}

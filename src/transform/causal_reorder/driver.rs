//! Hands what was released to the stage below, in the order of its release.
//!
//! A stage takes its place in the queues below it at the first poll of its call. So one task makes
//! all calls of this stage, and polls each once before it makes the next; answers then come in any
//! order. The same task watches the clock and the phase. It ends with the stage that it belongs to;
//! when it ends early, all that waits is answered as not delivered.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tower::Service;

use super::flight::{Answer, Flight};
use super::order::{Known, Order, Release};
use super::reading::Facts;
use crate::event::Event;
use crate::failure::Failure;
use crate::stage::{Phase, Stage};
use crate::state::Table;

/// What callers and the driver share.
pub(super) struct Shared {
    lines: Mutex<Lines>,
    work: Notify,
    phase: watch::Receiver<Phase>,
    table: Table,
}

struct Lines {
    order: Order,
    /// What was released and is not under way yet.
    released: VecDeque<Release>,
    /// Stages that callers found ready; any of them serves any release. Never more than those.
    ready: Vec<Stage>,
    closed: bool,
}

impl Lines {
    fn line_up(&mut self) -> bool {
        let release = self.order.leave();
        let any = release.is_some();
        self.released.extend(release);
        any
    }

    fn settle(&mut self, phase: Phase) {
        match phase {
            Phase::Running => {}
            Phase::InputEnded => self.order.flush(),
            Phase::Stopping => self
                .order
                .give_back("stopping", "the run ended while the event was held"),
        }
    }
}

impl Shared {
    pub fn new(order: Order, table: Table, phase: watch::Receiver<Phase>) -> Self {
        Self {
            lines: Mutex::new(Lines {
                order,
                released: VecDeque::new(),
                ready: Vec::new(),
                closed: false,
            }),
            work: Notify::new(),
            phase,
            table,
        }
    }

    /// Takes a batch in; `below` was found ready by the caller.
    pub fn arrive(
        &self,
        below: Stage,
        events: Vec<Event>,
        facts: Vec<Option<Facts>>,
        flight: Arc<Flight>,
        known: Known,
    ) -> Answer {
        let mut lines = self.lock();
        let waited = lines.order.deadline().is_some();
        lines.order.arrive(events, facts, &flight, known);
        lines.settle(*self.phase.borrow());
        if lines.closed {
            lines.shut();
            return flight.answer();
        }
        let any = lines.line_up();
        if any {
            lines.ready.push(below);
        }
        let wake = any || (!waited && lines.order.deadline().is_some());
        drop(lines);
        if wake {
            self.work.notify_one();
        }
        flight.answer()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next release that has a stage to go to.
    fn next(&self) -> Option<(Stage, Release)> {
        let mut lines = self.lock();
        if lines.ready.is_empty() {
            return None;
        }
        let release = lines.released.pop_front()?;
        let below = lines.ready.pop()?;
        // A permit that nobody uses would be missing elsewhere.
        let most = lines.released.len();
        lines.ready.truncate(most);
        Some((below, release))
    }

    fn offer(&self, below: Stage) {
        self.lock().ready.push(below);
    }

    fn outlook(&self) -> (bool, Option<Instant>) {
        let lines = self.lock();
        (!lines.released.is_empty(), lines.order.deadline())
    }

    fn expire(&self) {
        let mut lines = self.lock();
        lines.order.expire();
        lines.line_up();
    }

    fn enter(&self, phase: Phase) {
        let mut lines = self.lock();
        lines.settle(phase);
        lines.line_up();
    }
}

impl Lines {
    /// Answers everything as not delivered.
    fn shut(&mut self) {
        self.closed = true;
        self.order
            .give_back("abandoned", "the stage that held the event has ended");
        self.line_up();
        self.ready.clear();
        // A ticket that is dropped answers a failure.
        self.released.clear();
    }
}

/// Closes the stage however the driver ends.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.lock().shut();
    }
}

/// Runs until it is aborted.
pub(super) async fn drive(shared: Arc<Shared>, template: Stage) {
    let closing = Closing(shared);
    let shared = &closing.0;
    let mut phase = shared.phase.clone();
    let mut watching = true;
    let mut running = FuturesUnordered::new();
    let mut below = template.clone();
    let mut asked = false;
    let first = *phase.borrow_and_update();
    shared.enter(first);
    loop {
        while let Some((below, release)) = shared.next() {
            let mut call = Box::pin(deliver(below, release, shared.table.clone()));
            if futures::poll!(call.as_mut()).is_pending() {
                running.push(call);
            }
        }
        let (waiting, deadline) = shared.outlook();
        if asked && !waiting {
            // It may be about to be given a permit, which would be missing elsewhere.
            below = template.clone();
            asked = false;
        }
        asked |= waiting;
        tokio::select! {
            // In one order, so that two runs on one clock say the same; what seldom comes is asked first,
            // so that nothing has to wait for ever for what comes often.
            biased;
            () = until(deadline), if deadline.is_some() => shared.expire(),
            changed = phase.changed(), if watching => match changed {
                Ok(()) => {
                    let now = *phase.borrow_and_update();
                    shared.enter(now);
                }
                Err(_) => watching = false,
            },
            // A stage never answers `Err` here; if it did, its call would.
            _ = futures::future::poll_fn(|cx| below.poll_ready(cx)), if waiting => {
                shared.offer(std::mem::replace(&mut below, template.clone()));
                asked = false;
            }
            Some(()) = running.next(), if !running.is_empty() => {}
            () = shared.work.notified() => {}
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Makes one call and hands on its answer. A panic below is a failure of this batch.
async fn deliver(mut below: Stage, release: Release, table: Table) {
    let Release { batch, ticket } = release;
    let call = async move { below.call(batch).await };
    let answer = AssertUnwindSafe(call).catch_unwind().await;
    let panicked = |_| Err(Failure::transient("panic", "a stage below panicked"));
    ticket.answer(answer.unwrap_or_else(panicked), &table);
}

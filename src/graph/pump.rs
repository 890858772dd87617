//! What drives a source: pulls it, hands its deliveries to the graph in order, delivers again what
//! failed, commits state with the answers, and settles each delivery exactly once.

mod delivery;

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, watch};
use tower::Service;

use crate::event::Origin;
use crate::failure::{Failure, Kind};
use crate::layer::{Backoff, LetterBox, guard};
use crate::observe::{Hours, NodeMeter};
use crate::stage::{Checkpoint, Delivery, OpenSource, Phase, Settle, Source, Stage};
use crate::state::Store;

/// Bounds on what one source has under way.
#[derive(Clone, Copy, Debug)]
pub struct PumpPolicy {
    /// Most events not yet answered; default 50,000. Exceeded by at most one delivery.
    pub max_events: usize,
    /// Most bytes not yet answered; default 256 MiB. Exceeded by at most one delivery.
    pub max_bytes: u64,
    /// How long an answer may take before the delivery counts as failed and goes again; default
    /// 5 minutes.
    pub deadline: Duration,
    /// Waits before events are delivered again.
    pub backoff: Backoff,
}

impl Default for PumpPolicy {
    fn default() -> Self {
        Self {
            max_events: 50_000,
            max_bytes: 256 << 20,
            deadline: Duration::from_secs(300),
            backoff: Backoff::default(),
        }
    }
}

/// Under which name the completeness ledger lies among the checkpoints: no source has a dot in its name.
pub(super) const HOURS: &str = ".hours";

/// What ends the run. Known at once, since the source that met it may not live to tell.
#[derive(Default)]
pub(super) struct Alarm {
    failure: OnceLock<Failure>,
    raised: Notify,
}

impl Alarm {
    fn raise(&self, failure: Failure) {
        // The first reason is the one that is told.
        let _ = self.failure.set(failure);
        self.raised.notify_one();
    }

    pub async fn raised(&self) {
        self.raised.notified().await;
    }

    /// `Err` when it was raised.
    pub fn outcome(&self) -> Result<(), Failure> {
        self.failure.get().cloned().map_or(Ok(()), Err)
    }
}

/// What all of a source's deliveries share.
#[derive(Clone)]
pub(super) struct Line {
    pub node: Arc<str>,
    pub stage: Stage,
    pub letters: LetterBox,
    pub meter: NodeMeter,
    pub store: Store,
    pub policy: PumpPolicy,
    /// Its own: what is read from others goes on a while longer than they do.
    pub phase: watch::Receiver<Phase>,
    /// Numbers deliveries over all sources of the pipeline.
    pub numbers: Arc<AtomicU64>,
    /// Told when something ends the run, before the answers under way are there.
    pub alarm: Arc<Alarm>,
    /// Whether the source is a buffer of this pipeline: it counted in what it took, and it keeps
    /// what could not be delivered.
    pub keeps: bool,
}

pub(super) struct Pump {
    pub line: Line,
    pub open: OpenSource,
    pub reconnect: Backoff,
    /// Told when the source's input has ended.
    pub ended: Box<dyn FnOnce() + Send>,
}

/// A delivery under way or waiting for earlier ones to be settled.
struct Slot {
    checkpoints: Vec<Checkpoint>,
    settle: Settle,
    events: usize,
    bytes: u64,
    /// How many events were not delivered, with the reason.
    outcome: Option<Outcome>,
}

/// The answer for a delivery, and how many of its events it gives back.
type Outcome = (Result<(), Failure>, u64);

type Pulled = (Box<dyn Source>, Result<Option<Delivery>, Failure>);
/// What is told once the state is committed, and about how many events.
type Told = (Settle, Result<(), Failure>, u64);
type Committed = (Vec<Told>, Result<(), Failure>);

struct Pumping {
    line: Line,
    /// By number: in the order in which they were begun.
    slots: BTreeMap<u64, Slot>,
    /// Those that were answered and wait for no earlier one. Found without a look at all others, of
    /// which there are many while somebody's messages wait for hours.
    ready: Vec<u64>,
    running: FuturesUnordered<BoxFuture<'static, (u64, Outcome)>>,
    committing: Option<BoxFuture<'static, Committed>>,
    /// Events of the deliveries in it.
    committing_events: u64,
    settling: FuturesUnordered<BoxFuture<'static, ()>>,
    events: usize,
    bytes: u64,
    /// The first delivery that failed for good: the cursor must not pass it.
    broken: Option<u64>,
    fatal: Option<Failure>,
}

impl Pump {
    /// Runs until the input has ended or the pipeline is stopped, and all answers are there.
    ///
    /// # Errors
    /// A failure after which the run cannot go on.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Pump {
            line,
            open,
            reconnect,
            ended,
        } = self;
        let mut phase = line.phase.clone();
        let mut stage = line.stage.clone();
        let mut pumping = Pumping::new(line);
        let mut opening: Option<BoxFuture<'_, Result<Box<dyn Source>, Failure>>> =
            Some(Box::pin(guard(async { open().await })));
        let mut pulling: Option<BoxFuture<'static, Pulled>> = None;
        let mut waiting: Option<Delivery> = None;
        let mut attempts = 0;
        let mut ended = Some(ended);
        loop {
            let stopping = *phase.borrow() == Phase::Stopping || pumping.fatal.is_some();
            if stopping || (opening.is_none() && pulling.is_none() && waiting.is_none()) {
                // Dropping a source's future loses nothing: it is a source's duty.
                (opening, pulling) = (None, None);
                if let Some(Delivery { settle, .. }) = waiting.take() {
                    let lost = Failure::transient("abandoned", "the run ended before its turn");
                    pumping.settle(settle, Err(lost));
                }
                if let Some(ended) = ended.take() {
                    ended();
                }
                if pumping.is_idle() {
                    return pumping.fatal.take().map_or(Ok(()), Err);
                }
            }
            tokio::select! {
                biased;
                () = pumping.progress() => {}
                _ = phase.changed() => {}
                ready = poll_fn(|cx| stage.poll_ready(cx)), if waiting.is_some() => {
                    if let Some(delivery) = waiting.take() {
                        pumping.begin(delivery, ready, &mut stage);
                    }
                }
                opened = poll_opt(&mut opening), if opening.is_some() => match opened {
                    Ok(source) => pulling = Some(pull(source)),
                    Err(failure) => {
                        attempts += 1;
                        opening = pumping.reopen(&open, failure, reconnect, attempts);
                    }
                },
                (source, pulled) = poll_opt(&mut pulling), if pulling.is_some() && waiting.is_none() && pumping.has_room() => match pulled {
                    Ok(Some(delivery)) => {
                        attempts = 0;
                        waiting = Some(delivery);
                        pulling = Some(pull(source));
                    }
                    Ok(None) => {}
                    Err(failure) => {
                        attempts += 1;
                        opening = pumping.reopen(&open, failure, reconnect, attempts);
                    }
                },
            }
        }
    }
}

/// A source that hands over more than it may has the last ones share their fate.
fn place(index: usize) -> usize {
    index.min(Origin::MAX_EVENTS - 1)
}

fn pull(mut source: Box<dyn Source>) -> BoxFuture<'static, Pulled> {
    Box::pin(async move {
        // A plain function may panic before there is a future to poll.
        let pulled = guard(async { source.next().await }).await;
        (source, pulled)
    })
}

/// Awaits a future that is there and takes it out when it is done.
async fn poll_opt<T>(slot: &mut Option<BoxFuture<'_, T>>) -> T {
    match slot {
        Some(future) => {
            let value = future.await;
            *slot = None;
            value
        }
        None => futures::future::pending().await,
    }
}

impl Pumping {
    fn new(line: Line) -> Self {
        Self {
            line,
            slots: BTreeMap::new(),
            ready: Vec::new(),
            running: FuturesUnordered::new(),
            committing: None,
            committing_events: 0,
            settling: FuturesUnordered::new(),
            events: 0,
            bytes: 0,
            broken: None,
            fatal: None,
        }
    }

    /// The completeness ledger, of which a buffer of this pipeline has no part of its own.
    fn hours(&self) -> Option<&Hours> {
        self.line.meter.hours().filter(|_| !self.line.keeps)
    }

    fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.committing.is_none() && self.settling.is_empty()
    }

    fn has_room(&self) -> bool {
        let PumpPolicy {
            max_events,
            max_bytes,
            ..
        } = self.line.policy;
        self.events < max_events && self.bytes < max_bytes && self.slots.len() < max_events
    }

    fn reopen<'a>(
        &mut self,
        open: &'a OpenSource,
        failure: Failure,
        reconnect: Backoff,
        attempts: u32,
    ) -> Option<BoxFuture<'a, Result<Box<dyn Source>, Failure>>> {
        if matches!(failure.kind(), Kind::Fatal | Kind::Rejected) {
            self.end(failure.at(&self.line.node));
            return None;
        }
        let wait = reconnect.wait(attempts, failure.retry_after());
        tracing::warn!(source = %self.line.node, %failure, ?wait, "disconnected; connecting again");
        self.line.meter.retried(1);
        Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            guard(async { open().await }).await
        }))
    }

    /// Gives a delivery its number and sends it on its way: its place in the graph's lines is
    /// taken before the next delivery is begun.
    fn begin(&mut self, delivery: Delivery, ready: Result<(), Failure>, stage: &mut Stage) {
        let Delivery {
            mut batch,
            mut refused,
            checkpoints,
            redelivery,
            settle,
        } = delivery;
        let number = self.line.numbers.fetch_add(1, Ordering::Relaxed);
        let mut bytes = 0;
        for (index, event) in batch.make_mut().iter_mut().enumerate() {
            event.origin = Origin::new(number, place(index));
            bytes += event.length();
        }
        for (index, letter) in refused.iter_mut().enumerate() {
            letter.origin = Origin::new(number, place(batch.len() + index));
        }
        if let Some(hours) = self.hours() {
            hours.begin(number, batch.events(), refused.len());
        }
        let events = batch.len() + refused.len();
        self.events += events;
        self.bytes += bytes;
        let slot = Slot {
            checkpoints,
            settle,
            events,
            bytes,
            outcome: None,
        };
        self.slots.insert(number, slot);
        let kept = batch.clone();
        let first = match ready {
            _ if batch.is_empty() => None,
            Ok(()) => Some(stage.call(batch)),
            Err(failure) => Some(Box::pin(futures::future::ready(Err(failure))) as _),
        };
        let line = self.line.clone();
        let drive = async move {
            let origins = if line.keeps {
                kept.origins()
            } else {
                Vec::new()
            };
            let answer = line.drive(kept, first, refused, redelivery).await;
            let back = answer.as_ref().map_or_else(|f| f.count(&origins), |()| 0);
            (number, (answer, back))
        };
        self.running.push(Box::pin(drive));
    }

    /// Moves on what is under way; ends when anything changed.
    async fn progress(&mut self) {
        tokio::select! {
            biased;
            Some((number, outcome)) = self.running.next(), if !self.running.is_empty() => {
                self.answered(number, outcome);
            }
            (settles, committed) = poll_opt(&mut self.committing), if self.committing.is_some() => {
                self.committed(settles, committed);
            }
            Some(()) = self.settling.next(), if !self.settling.is_empty() => {}
            else => futures::future::pending().await,
        }
        if self.committing.is_none() {
            self.commit();
        }
    }

    /// The run cannot go on. The first reason is the one that is told.
    fn end(&mut self, failure: Failure) {
        self.line.alarm.raise(failure.clone());
        self.fatal.get_or_insert(failure);
    }

    fn answered(&mut self, number: u64, outcome: Outcome) {
        if let Err(failure) = &outcome.0
            && failure.kind() == Kind::Fatal
        {
            self.end(failure.clone());
        }
        if let Some(slot) = self.slots.get_mut(&number) {
            self.events -= slot.events;
            self.bytes -= slot.bytes;
            slot.outcome = Some(outcome);
            if slot.checkpoints.is_empty() {
                self.ready.push(number);
            }
        }
    }

    /// Takes what can be settled: deliveries with a checkpoint only behind all earlier ones.
    fn take_settled(&mut self) -> Vec<(u64, Slot)> {
        let mut settled = Vec::new();
        while let Some(first) = self.slots.first_entry()
            && first.get().outcome.is_some()
        {
            settled.push(first.remove_entry());
        }
        self.ready.sort_unstable();
        for number in self.ready.drain(..) {
            // Some of them were among the first.
            settled.extend(self.slots.remove_entry(&number));
        }
        settled
    }

    /// Commits the state of all that can be settled, and the cursor with it, in one transaction.
    fn commit(&mut self) {
        let settled = self.take_settled();
        if settled.is_empty() {
            return;
        }
        let mut numbers = Vec::with_capacity(settled.len());
        let mut places: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut settles = Vec::with_capacity(settled.len());
        for (number, slot) in settled {
            let Slot {
                checkpoints,
                settle,
                outcome,
                events,
                ..
            } = slot;
            let (mut outcome, back) = outcome.unwrap_or((Ok(()), 0));
            numbers.push(number);
            if outcome.is_err() {
                self.broken = Some(self.broken.map_or(number, |first| first.min(number)));
            }
            let passes = self.broken.is_none_or(|first| number < first);
            if self.line.keeps && !passes {
                self.kept(events as u64, back);
                // What lies behind a hole is read again together with it.
                outcome = outcome.and_then(|()| {
                    let behind = "an earlier delivery failed, so this one comes again too";
                    Err(Failure::transient("behind", behind))
                });
            }
            if let Some(hours) = self.hours() {
                match passes && outcome.is_ok() {
                    true => hours.settle(number),
                    false => hours.forget(number),
                }
            }
            if passes {
                // Only the last place in each input matters.
                places.extend(
                    checkpoints
                        .into_iter()
                        .map(|place| (place.key, place.value)),
                );
            }
            settles.push((settle, outcome, events as u64));
        }
        self.committing_events = settles.iter().map(|(_, _, events)| events).sum();
        let node = &self.line.node;
        let named = |(key, value)| (node.clone(), Checkpoint { key, value });
        let mut checkpoints: Vec<_> = places.into_iter().map(named).collect();
        if let Some(hours) = self.hours() {
            let (name, changed): (Arc<str>, _) = (HOURS.into(), hours.take_changed());
            let place = |(key, value)| (name.clone(), Checkpoint { key, value });
            checkpoints.extend(changed.into_iter().map(place));
        }
        let store = self.line.store.clone();
        self.committing = Some(Box::pin(async move {
            let committed = store.commit(numbers, checkpoints).await;
            (settles, committed)
        }));
    }

    /// A buffer keeps a delivery: what of it was not delivered is inside again, and of what was,
    /// the next run makes a copy.
    fn kept(&self, events: u64, back: u64) {
        self.line.meter.received(back, 0);
        self.line.meter.redelivered(back);
        self.line.meter.created(events - back.min(events));
    }

    fn committed(&mut self, settles: Vec<Told>, committed: Result<(), Failure>) {
        self.committing_events = 0;
        if let Err(failure) = &committed {
            self.broken = Some(0);
            self.end(failure.clone().at(&self.line.node));
        }
        for (settle, outcome, events) in settles {
            if self.line.keeps && outcome.is_ok() && committed.is_err() {
                self.kept(events, 0);
            }
            let outcome = outcome.and_then(|()| committed.clone());
            self.settle(settle, outcome);
        }
    }

    fn settle(&mut self, settle: Settle, outcome: Result<(), Failure>) {
        self.settling.push(Box::pin(async move {
            // A panic in it changes nothing about what was delivered.
            let told = guard(async {
                settle.run(outcome).await;
                Ok(())
            });
            if let Err(failure) = told.await {
                tracing::error!(%failure, "telling a delivery's outcome failed");
            }
        }));
    }
}

impl Drop for Pumping {
    /// Given up: a buffer keeps what nobody settled.
    fn drop(&mut self) {
        if !self.line.keeps {
            return;
        }
        self.kept(self.committing_events, 0);
        for slot in self.slots.values() {
            let events = slot.events as u64;
            match &slot.outcome {
                Some((_, back)) => self.kept(events, *back),
                // Its account gives everything back as it is dropped.
                None => self.kept(events, events),
            }
        }
    }
}

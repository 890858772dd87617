//! The line of batches that wait.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{EdgePolicy, WhenFull};
use crate::event::Batch;
use crate::failure::Failure;
use crate::observe::NodeMeter;

/// The answer for one caller, and how many of its events did not fail.
pub(super) struct Answer {
    pub result: Result<(), Failure>,
    pub settled: u64,
}

/// The way back to one caller.
pub(super) struct Reply {
    sender: oneshot::Sender<Answer>,
    meter: NodeMeter,
}

impl Reply {
    pub(super) fn new(meter: &NodeMeter) -> (Self, Listening) {
        let (sender, answer) = oneshot::channel();
        let meter = meter.clone();
        let reply = Self {
            sender,
            meter: meter.clone(),
        };
        (reply, Listening { answer, meter })
    }

    pub(super) fn send(self, result: Result<(), Failure>, settled: u64) {
        if let Err(unheard) = self.sender.send(Answer { result, settled }) {
            unheard.count(&self.meter);
        }
    }

    /// Ready when the caller is gone.
    pub(super) fn poll_gone(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.sender.poll_closed(cx)
    }
}

impl Answer {
    /// Who no longer listens has given its events up, and they come again: those that were settled
    /// all the same were copies.
    fn count(&self, meter: &NodeMeter) {
        meter.created(self.settled);
        meter.given_back(self.settled);
    }
}

/// A caller that waits for its answer.
pub(super) struct Listening {
    answer: oneshot::Receiver<Answer>,
    meter: NodeMeter,
}

impl Listening {
    /// The answer; a reply that is lost reads as a failure.
    pub(super) async fn answer(mut self) -> Result<(), Failure> {
        match (&mut self.answer).await {
            Ok(answer) => answer.result,
            Err(_) => Err(lost()),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Closed first: either the answer is here, or whoever sends it finds nobody.
        self.answer.close();
        if let Ok(answer) = self.answer.try_recv() {
            answer.count(&self.meter);
        }
    }
}

fn lost() -> Failure {
    Failure::transient("lost_reply", "the worker behind the buffer is gone")
}

pub(super) struct Item {
    pub batch: Batch,
    pub reply: Reply,
}

#[derive(Default)]
struct Line {
    items: VecDeque<Item>,
    /// Callers that wait for room, in the order in which they came.
    outside: VecDeque<Item>,
    events: usize,
    bytes: u64,
    workers: usize,
    closed: bool,
    /// Until then batches are not put together.
    apart_until: Option<Instant>,
}

/// How long batches are kept apart after a panic: longer than an event's tries alone take.
const APART: Duration = Duration::from_secs(300);

impl Line {
    /// A batch larger than the whole edge goes in alone.
    fn fits(&self, batch: &Batch, policy: &EdgePolicy) -> bool {
        let events = self.events + batch.len();
        let bytes = self.bytes + batch.bytes();
        self.items.is_empty() || (events <= policy.max_events && bytes <= policy.max_bytes)
    }

    fn enter(&mut self, item: Item) {
        self.events += item.batch.len();
        self.bytes += item.batch.bytes();
        self.items.push_back(item);
    }

    fn leave(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.events -= item.batch.len();
        self.bytes -= item.batch.bytes();
        Some(item)
    }

    fn admit(&mut self, policy: &EdgePolicy) {
        while let Some(next) = self.outside.front()
            && self.fits(&next.batch, policy)
            && let Some(next) = self.outside.pop_front()
        {
            if !next.reply.sender.is_closed() {
                self.enter(next);
            }
        }
    }
}

pub(super) struct Queue {
    policy: EdgePolicy,
    meter: NodeMeter,
    line: Mutex<Line>,
    /// A worker is told that something waits, or that nothing more will come.
    stirred: Notify,
}

impl Queue {
    pub(super) fn new(policy: EdgePolicy, meter: NodeMeter) -> Self {
        let line = Line {
            workers: policy.workers.get(),
            ..Line::default()
        };
        let queue = Self {
            policy,
            meter,
            line: Mutex::new(line),
            stirred: Notify::new(),
        };
        queue.show(&queue.lock());
        queue
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, line: &Line) {
        let EdgePolicy {
            max_events,
            max_bytes,
            ..
        } = self.policy;
        self.meter
            .buffer(line.events as u64, line.bytes, max_events as u64, max_bytes);
    }

    /// Puts a batch in line, or at the end of those that wait for room, and so gives it its place.
    ///
    /// # Errors
    /// When there is no worker any more. `Ok(None)`: it was dropped by the edge's policy.
    pub(super) fn push(&self, batch: Batch) -> Result<Option<Listening>, Failure> {
        let (reply, answer) = Reply::new(&self.meter);
        let mut dropped = Vec::new();
        let mut line = self.lock();
        if line.workers == 0 {
            return Err(lost());
        }
        let fits = line.fits(&batch, &self.policy);
        let item = Item { batch, reply };
        match self.policy.when_full {
            WhenFull::Block if fits && line.outside.is_empty() => line.enter(item),
            WhenFull::Block => {
                // Those who went away are not kept waiting: their batches would pile up here.
                line.outside.retain(|item| !item.reply.sender.is_closed());
                line.outside.push_back(item);
                line.admit(&self.policy);
            }
            WhenFull::DropNewest if !fits => {
                drop(line);
                self.dropped("buffer_newest", &item.batch);
                return Ok(None);
            }
            WhenFull::DropNewest | WhenFull::DropOldest => {
                while !line.fits(&item.batch, &self.policy)
                    && let Some(oldest) = line.leave()
                {
                    dropped.push(oldest);
                }
                line.enter(item);
            }
        }
        self.show(&line);
        drop(line);
        self.stirred.notify_one();
        for Item { batch, reply } in dropped {
            self.dropped("buffer_oldest", &batch);
            // Dropped by a rule: that is an answer.
            reply.send(Ok(()), batch.len() as u64);
        }
        Ok(Some(answer))
    }

    /// What is dropped here never reaches the node that would count it in.
    fn dropped(&self, reason: &'static str, batch: &Batch) {
        self.meter.received(batch.len() as u64, batch.bytes());
        self.meter.dropped(reason, batch.len() as u64);
        for event in batch {
            let from = event.provenance();
            tracing::debug!(
                node = self.meter.name(), reason, source = %from.source, object = %from.object,
                line = event.position.line, offset = event.position.offset, "event dropped"
            );
        }
    }

    /// Takes what waits, up to the batch size; `None` when the edge is closed and empty.
    pub(super) async fn pop(&self) -> Option<Vec<Item>> {
        loop {
            {
                let mut line = self.lock();
                let taken = self.take(&mut line);
                if !taken.is_empty() {
                    self.show(&line);
                    if !line.items.is_empty() || line.closed {
                        // One call wakes one worker: hand the news on.
                        self.stirred.notify_one();
                    }
                    return Some(taken);
                }
                if line.closed {
                    self.stirred.notify_one();
                    return None;
                }
            }
            self.stirred.notified().await;
        }
    }

    fn take(&self, line: &mut Line) -> Vec<Item> {
        let mut taken: Vec<Item> = Vec::new();
        let mut events = 0;
        let apart = line.apart_until.is_some_and(|until| Instant::now() < until);
        while let Some(item) = line.items.front() {
            // Nobody waits for it any more, and it will come again.
            let gone = item.reply.sender.is_closed();
            if !gone {
                events += item.batch.len();
                if !taken.is_empty() && (apart || events > self.policy.batch_events) {
                    break;
                }
            }
            let item = line.leave();
            taken.extend(item.filter(|_| !gone));
            line.admit(&self.policy);
        }
        taken
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.stirred.notify_one();
    }

    #[cfg(test)]
    pub(super) fn fill(&self) -> (usize, u64) {
        let line = self.lock();
        (line.events, line.bytes)
    }

    pub(super) fn keep_apart(&self) {
        self.lock().apart_until = Some(Instant::now() + APART);
    }

    /// A worker has ended, well or not. With the last one, whoever still waits loses its reply.
    pub(super) fn worker_ended(&self) {
        let mut line = self.lock();
        line.workers -= 1;
        if line.workers == 0 {
            let items = std::mem::take(&mut line.items);
            let outside = std::mem::take(&mut line.outside);
            (line.events, line.bytes) = (0, 0);
            self.show(&line);
            drop(line);
            drop((items, outside));
        }
    }
}

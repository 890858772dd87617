//! The lanes of an edge, and the ways in and out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::item::Item;
use super::line::{Line, Room, Take};
use super::policy::EdgePolicy;
use super::reply::{Listening, call};
use super::split::{Piece, Splitter};
use super::{Fill, PriorityPolicy};
use crate::event::Batch;
use crate::observe::NodeMeter;

/// How long batches are kept apart after a panic: longer than an event's tries alone take.
const APART: Duration = Duration::from_secs(300);

struct State {
    lines: Vec<Line>,
    /// The number of the next batch that comes.
    number: u64,
    /// Batches that were taken out and not begun.
    unbegun: usize,
    closed: bool,
    /// Until then batches are not put together.
    apart_until: Option<Instant>,
}

pub(super) struct Queue {
    policy: EdgePolicy,
    meter: NodeMeter,
    splitter: Splitter,
    state: Mutex<State>,
    /// A lane's worker is told that something waits, or that nothing more will come.
    stirred: Vec<Notify>,
    /// Told whenever the edge may have become empty.
    calm: Notify,
}

/// What a worker took out.
pub(super) struct Taken {
    pub items: Vec<Item>,
    /// Until its call was polled once.
    pub unbegun: Unbegun,
    /// Until it is answered.
    pub under_way: UnderWay,
}

/// Says that a batch was begun, or will never be.
pub(super) struct Unbegun(Arc<Queue>);

impl Drop for Unbegun {
    fn drop(&mut self) {
        self.0.lock().unbegun -= 1;
        self.0.calm.notify_waiters();
    }
}

/// Keeps keys to one batch.
pub(super) struct UnderWay {
    queue: Arc<Queue>,
    lane: usize,
    keys: Vec<u64>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.queue.lock().lines[self.lane].release(&self.keys);
        }
    }
}

impl Queue {
    pub(super) fn new(policy: EdgePolicy, lanes: usize, workers: usize, meter: NodeMeter) -> Self {
        // An equal share each: a lane that is stuck never takes another's room.
        let room = Room {
            events: (policy.max_events / lanes.max(1)).max(1),
            bytes: (policy.max_bytes / lanes.max(1) as u64).max(1),
        };
        let splitter = Splitter::new(&policy, lanes, room);
        let line = || Line::new(splitter.classes(), room, workers);
        let state = State {
            lines: (0..lanes).map(|_| line()).collect(),
            number: 0,
            unbegun: 0,
            closed: false,
            apart_until: None,
        };
        let queue = Self {
            policy,
            meter,
            splitter,
            state: Mutex::new(state),
            stirred: (0..lanes).map(|_| Notify::new()).collect(),
            calm: Notify::new(),
        };
        queue.show(&queue.lock());
        queue
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, state: &State) {
        let EdgePolicy {
            max_events,
            max_bytes,
            ..
        } = self.policy;
        let Fill { events, bytes, .. } = fill(state);
        self.meter
            .buffer(events as u64, bytes, max_events as u64, max_bytes);
    }

    /// Puts a batch in line, or at the end of those that wait for room, and so gives it its place.
    /// Where there is no worker any more, or the policy drops it, it is answered at once.
    pub(super) fn push(&self, batch: Batch) -> Listening {
        let (pieces, _) = self.splitter.split(batch);
        let state = self.lock();
        self.enter(state, pieces)
    }

    /// Puts a batch in line if there is room for all of it.
    ///
    /// # Errors
    /// The batch, if there is not.
    pub(super) fn offer(&self, batch: Batch) -> Result<Listening, Batch> {
        let (pieces, places) = self.splitter.split(batch);
        let state = self.lock();
        let mut sums = vec![(0, 0, 0); state.lines.len()];
        for piece in &pieces {
            let (batches, events, bytes) = &mut sums[piece.lane];
            *batches += 1;
            *events += piece.batch.len();
            *bytes += piece.bytes;
        }
        let fits = |((batches, events, bytes), line): (&(usize, usize, u64), &Line)| {
            *batches == 0 || line.has_room(*batches, *events, *bytes)
        };
        if sums.iter().zip(&state.lines).all(fits) {
            return Ok(self.enter(state, pieces));
        }
        drop(state);
        Err(places.rejoin(pieces, self.splitter.classes()))
    }

    fn enter(&self, mut state: MutexGuard<'_, State>, pieces: Vec<Piece>) -> Listening {
        let (parts, listening) = call(&self.meter, pieces.len());
        let lanes: Vec<usize> = pieces.iter().map(|piece| piece.lane).collect();
        let (mut dropped, mut lost) = (Vec::new(), Vec::new());
        for (piece, part) in pieces.into_iter().zip(parts) {
            let (lane, class, number) = (piece.lane, piece.class, state.number);
            state.number += 1;
            let item = Item::new(piece, part, number);
            match state.lines.get_mut(lane) {
                Some(line) if line.workers > 0 => {
                    line.push(class, item, self.policy.when_full, &mut dropped);
                }
                _ => lost.push(item),
            }
        }
        self.show(&state);
        drop(state);
        lanes.into_iter().for_each(|lane| self.stir(lane));
        for (reason, item) in dropped {
            self.drop_by_rule(reason, item);
        }
        drop(lost);
        listening
    }

    fn stir(&self, lane: usize) {
        if let Some(stirred) = self.stirred.get(lane) {
            stirred.notify_one();
        }
    }

    /// What is dropped here never reaches the node that would count it in.
    fn drop_by_rule(&self, reason: &'static str, item: Item) {
        let Some((batch, part)) = item.open() else {
            return;
        };
        self.meter.received(batch.len() as u64, batch.bytes());
        self.meter.dropped(reason, batch.len() as u64);
        self.meter
            .ended(batch.events().iter().map(|event| event.origin));
        for event in &batch {
            let from = event.provenance();
            tracing::debug!(
                node = self.meter.name(), reason, source = %from.source, object = %from.object,
                line = event.position.line, offset = event.position.offset, "event dropped"
            );
        }
        // Dropped by a rule: that is an answer.
        part.answer(Ok(()), batch.len() as u64, batch.origins());
    }

    /// Takes what goes next in a lane, up to the batch size; `None` when the edge is closed and
    /// the lane empty.
    pub(super) async fn pop(self: &Arc<Self>, lane: usize) -> Option<Taken> {
        loop {
            {
                let mut state = self.lock();
                let how = self.how(&state);
                let closed = state.closed;
                let line = &mut state.lines[lane];
                let items = line.take(how);
                let empty = line.is_empty();
                if !items.is_empty() {
                    state.unbegun += 1;
                    self.show(&state);
                    drop(state);
                    if !empty || closed {
                        // One call wakes one worker: hand the news on.
                        self.stir(lane);
                    }
                    return Some(self.taken(lane, items));
                }
                drop(state);
                self.calm.notify_waiters();
                if closed && empty {
                    self.stir(lane);
                    return None;
                }
            }
            self.stirred[lane].notified().await;
        }
    }

    fn how(&self, state: &State) -> Take {
        let guard = self.policy.priority.as_ref();
        Take {
            events: self.policy.batch_events,
            apart: state
                .apart_until
                .is_some_and(|until| Instant::now() < until),
            guard: guard.map_or(PriorityPolicy::GUARD, |p| p.starvation_guard.get()),
        }
    }

    fn taken(self: &Arc<Self>, lane: usize, items: Vec<Item>) -> Taken {
        let keys = items.iter().flat_map(Item::keys).copied().collect();
        let queue = self.clone();
        Taken {
            items,
            unbegun: Unbegun(self.clone()),
            under_way: UnderWay { queue, lane, keys },
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.stirred.iter().for_each(Notify::notify_one);
    }

    pub(super) fn keep_apart(&self) {
        self.lock().apart_until = Some(Instant::now() + APART);
    }

    /// A worker has ended, well or not. With a lane's last one, whoever still waits there loses
    /// its reply.
    pub(super) fn worker_ended(&self, lane: usize) {
        let mut state = self.lock();
        let line = &mut state.lines[lane];
        line.workers -= 1;
        if line.workers > 0 {
            return;
        }
        let items = line.empty();
        self.show(&state);
        drop(state);
        drop(items);
        self.calm.notify_waiters();
    }

    pub(super) fn fill(&self) -> Fill {
        fill(&self.lock())
    }

    pub(super) async fn drained(&self) {
        loop {
            let calm = self.calm.notified();
            let mut calm = std::pin::pin!(calm);
            // Listens before it looks: what changes in between is not missed.
            calm.as_mut().enable();
            if self.is_drained() {
                return;
            }
            calm.await;
        }
    }

    fn is_drained(&self) -> bool {
        let state = self.lock();
        state.unbegun == 0 && state.lines.iter().all(Line::is_empty)
    }
}

fn fill(state: &State) -> Fill {
    let mut fill = Fill::default();
    for line in &state.lines {
        fill.events += line.events();
        fill.bytes += line.bytes();
        fill.outside += line.outside();
    }
    fill
}

//! The heart of the stage: which events go on, which wait, and which no longer.
//!
//! Everything here happens under one lock and without waiting. What goes on is collected and leaves
//! as one batch ([`Order::leave`]), in the order in which it was released.
//!
//! # Counters and failures
//!
//! A conversation moves on when an event of it is *released*: the next one needs to know. The event
//! may still fail downstream. Then its counter is not given to another event; it is kept for this
//! one, for when it is delivered again: a conversation knows its last few events by a hash of their
//! bodies, and such an event goes straight on with the counter and labels that it had. What is made
//! durable is, for each event that was answered well, the conversation as it was right after that
//! event. So after a crash an event that is delivered again finds either the state from before its
//! release, or one in which it is known.

mod load;
mod release;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::config::{By, Config};
use super::conversation::Conversation;
use super::conversations::Conversations;
use super::flight::{Flight, Ticket};
use super::hash::Keys;
use super::held::{Held, HeldEvents, NONE};
use super::reading::{Facts, UNRANKED};
use super::rules::Rules;
use super::watermark::Watermark;
use crate::event::{Batch, Event, Labels};
use crate::failure::{Cause, Failure, Kind, Loss, Which};
use crate::layer::Lane;
use crate::observe::NodeMeter;
use crate::state::{Op, Table};

/// Conversations as a shared state has them, by the hash of their key.
pub(super) type Known = HashMap<u128, Conversation>;

/// A batch that goes on, and who waits for its answer.
pub(super) struct Release {
    pub batch: Batch,
    pub ticket: Ticket,
}

/// All that waits and all that is remembered.
pub(super) struct Order {
    rules: Rules,
    /// States have ranks, so one without is worth counting.
    ranked: bool,
    max_wait: Duration,
    /// In microseconds; 0 when events do not wait for the watermark.
    lateness: i64,
    max_held: usize,
    lane: Lane,
    idle: u32,
    table: Table,
    durable: bool,
    meter: NodeMeter,
    started: Instant,
    batches: u64,
    arrivals: u64,
    conversations: Conversations,
    held: HeldEvents,
    sources: Vec<Source>,
    events: Vec<Event>,
    ticket: Ticket,
    counts: Counts,
}

/// What waits for the watermark of a source: time, rank, arrival, slot. An event may leave before
/// its turn; its entry here then means nothing, since no two events have the same arrival.
struct Source {
    name: Arc<str>,
    watermark: Watermark,
    waiting: BinaryHeap<Reverse<(i64, u8, u64, u32)>>,
}

#[derive(Default)]
struct Counts {
    labels: [u64; Labels::ALL.len()],
    unknown_state: u64,
    overflow: u64,
}

impl Order {
    /// Reads back what is stored.
    pub fn open(
        config: &Config,
        table: Table,
        meter: NodeMeter,
        lane: Lane,
    ) -> Result<Self, Failure> {
        let position = match config.by {
            By::Sequence { first, .. } => i64::try_from(first).unwrap_or(i64::MAX) - 1,
            _ => 0,
        };
        // Each lane has its share of the bounds.
        let share = |whole: usize| whole.div_ceil(lane.of as usize);
        let most = share(config.max_conversations);
        let mut conversations = Conversations::new(most, position);
        load::load(
            &table,
            &mut conversations,
            lane,
            most,
            config.max_conversations,
        )?;
        let keys = Keys::new(table.seed());
        let seeds = load::seed(&config.seeds, &keys, &mut conversations);
        // All lanes have the same ones. In a shared state rows come with what moves on.
        if table.is_durable() && !table.is_shared() && lane.index == 0 {
            table.note_all_soon(seeds);
        }
        let ranked = matches!(&config.by, By::Lifecycle(lifecycle) if lifecycle.path.is_some());
        Ok(Self {
            rules: Rules::new(config),
            ranked,
            max_wait: config.max_wait,
            lateness: i64::try_from(config.lateness.as_micros()).unwrap_or(i64::MAX),
            max_held: share(config.max_held),
            lane,
            idle: u32::try_from(config.idle.as_secs()).unwrap_or(u32::MAX),
            durable: table.is_durable(),
            table,
            meter,
            started: Instant::now(),
            batches: 0,
            arrivals: 0,
            conversations,
            held: HeldEvents::new(),
            sources: Vec::new(),
            events: Vec::new(),
            ticket: Ticket::default(),
            counts: Counts::default(),
        })
    }

    /// Takes in the events of a batch, each with its facts; one without goes straight on.
    /// `known` is what a shared state says of their conversations.
    pub fn arrive(
        &mut self,
        events: Vec<Event>,
        facts: Vec<Option<Facts>>,
        flight: &Arc<Flight>,
        mut known: Known,
    ) {
        let now = Instant::now();
        self.batches += 1;
        let (places, moves) = self.place(&facts, now);
        for (place, facts) in places.iter().zip(&facts) {
            let conversation = facts.as_ref().map(|facts| facts.conversation);
            if let Some(elsewhere) = conversation.and_then(|key| known.remove(&key)) {
                self.conversations.at(*place).catch_up(elsewhere);
            }
        }
        let (mut events, mut facts) = (events, facts);
        for (to, from) in moves {
            events.swap(to, from);
            facts.swap(to, from);
        }
        self.events.reserve(events.len());
        let deadline = now + self.max_wait;
        for ((event, facts), place) in events.into_iter().zip(facts).zip(places) {
            match facts {
                Some(facts) => self.admit(place, event, facts, flight, deadline),
                None => {
                    self.ticket.add(event.origin, flight);
                    self.events.push(event);
                }
            }
        }
        self.pass_watermarks();
        while self.held.len() > self.max_held {
            self.counts.overflow += 1;
            self.force_oldest();
        }
        self.forget(now);
    }

    /// Lets go what has waited too long.
    pub fn expire(&mut self) {
        let now = Instant::now();
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            self.force_oldest();
        }
    }

    /// Lets everything go.
    pub fn flush(&mut self) {
        while self.held.len() > 0 {
            self.force_oldest();
        }
    }

    /// Gives back everything that is held, as not delivered.
    pub fn give_back(&mut self, reason: &'static str, message: &'static str) {
        while let Some((slot, held)) = self.held.oldest() {
            let of = self.conversations.at(held.conversation);
            let Some(held) = self.held.remove(slot, of) else {
                break;
            };
            held.flight.lost(Loss {
                kind: Kind::Transient,
                node: Arc::default(),
                which: Which::Only(vec![held.event.origin]),
                cause: Cause::new(reason, message),
            });
            held.flight.answered(1);
        }
    }

    /// When the next event will have waited long enough.
    pub fn deadline(&self) -> Option<Instant> {
        self.held.oldest().map(|(_, held)| held.deadline)
    }

    /// What was released since the last time, as one batch; and counts its labels.
    pub fn leave(&mut self) -> Option<Release> {
        let counts = std::mem::take(&mut self.counts);
        for ((_, name), count) in Labels::ALL.into_iter().zip(counts.labels) {
            if count > 0 {
                self.meter.label(name, count);
            }
        }
        for (name, count) in [
            ("unknown_state", counts.unknown_state),
            ("held_overflow", counts.overflow),
        ] {
            if count > 0 {
                self.meter.label(name, count);
            }
        }
        if self.events.is_empty() {
            return None;
        }
        Some(Release {
            batch: std::mem::take(&mut self.events).into(),
            ticket: std::mem::take(&mut self.ticket),
        })
    }

    /// The slot of each event's conversation, and the swaps that put the events of every
    /// conversation in order among the places that they have in the batch.
    fn place(&mut self, facts: &[Option<Facts>], now: Instant) -> (Vec<u32>, Vec<(usize, usize)>) {
        let seconds = now.duration_since(self.started).as_secs();
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX - 1);
        // Other ways and the watermark put events in order by holding them.
        let sorting = matches!(self.rules, Rules::Lifecycle { .. }) && self.lateness == 0;
        let mut places = Vec::with_capacity(facts.len());
        let mut earlier = vec![NONE; if sorting { facts.len() } else { 0 }];
        let mut disordered = Vec::new();
        for (index, facts_here) in facts.iter().enumerate() {
            let Some(here) = facts_here else {
                places.push(NONE);
                continue;
            };
            let place = self.conversations.find(here.conversation, self.batches);
            let of = self.conversations.at(place);
            of.seen = seconds;
            of.inherited = false;
            if sorting && of.batch == self.batches {
                earlier[index] = of.batch_event;
                let before = facts[of.batch_event as usize].as_ref();
                if before.is_some_and(|before| before.order() > here.order()) {
                    disordered.push(place);
                }
            }
            of.batch = self.batches;
            of.batch_event = index as u32;
            places.push(place);
        }
        disordered.sort_unstable();
        disordered.dedup();
        let mut moves = Vec::new();
        for place in disordered {
            let mut indices = Vec::new();
            let mut index = self.conversations.at(place).batch_event;
            while index != NONE {
                indices.push(index as usize);
                index = earlier[index as usize];
            }
            indices.reverse();
            swaps(&indices, facts, &mut moves);
        }
        (places, moves)
    }

    fn admit(
        &mut self,
        place: u32,
        event: Event,
        facts: Facts,
        flight: &Arc<Flight>,
        deadline: Instant,
    ) {
        self.counts.unknown_state += u64::from(self.ranked && facts.rank == UNRANKED);
        let of = self.conversations.at(place);
        // What comes again has its place already.
        if of.known(facts.body).is_some() {
            self.go(place, event, facts, flight, false);
            return;
        }
        let gated = self.lateness == 0;
        if gated && self.rules.may_go(of, &facts) {
            self.go_and_follow(place, event, facts, flight);
            return;
        }
        self.arrivals += 1;
        let (time, rank, arrival) = (facts.time, facts.rank, self.arrivals);
        let source = (!gated).then(|| self.source(&event));
        let held = Held {
            event,
            facts,
            flight: Arc::clone(flight),
            conversation: place,
            arrival,
            deadline,
            gated,
        };
        let slot = self.held.insert(held, self.conversations.at(place));
        if let Some(source) = source.and_then(|at| self.sources.get_mut(at)) {
            source.watermark.see(time);
            source.waiting.push(Reverse((time, rank, arrival, slot)));
        }
    }

    /// Index of the event's source, which is made where it is new. There are as many as the
    /// pipeline has.
    fn source(&mut self, event: &Event) -> usize {
        let name = &event.provenance().source;
        let known = self
            .sources
            .iter()
            .position(|source| Arc::ptr_eq(&source.name, name) || source.name == *name);
        known.unwrap_or_else(|| {
            self.sources.push(Source {
                name: Arc::clone(name),
                watermark: Watermark::default(),
                waiting: BinaryHeap::new(),
            });
            self.sources.len() - 1
        })
    }

    /// Lets go, or wait for their predecessors only, those that their source's watermark passed.
    fn pass_watermarks(&mut self) {
        for index in 0..self.sources.len() {
            while let Some((arrival, slot)) = self.sources[index].pop(self.lateness) {
                let Some(held) = self.held.get_mut(slot) else {
                    continue;
                };
                if held.arrival != arrival || held.gated {
                    continue;
                }
                let of = self.conversations.at(held.conversation);
                if self.rules.may_go(of, &held.facts) {
                    self.let_go(slot);
                } else {
                    held.gated = true;
                }
            }
            // Events that left before their turn leave entries behind: bound them.
            let source = &mut self.sources[index];
            if source.waiting.len() > 2 * self.held.len() + 4096 {
                let held = &self.held;
                source.waiting.retain(|Reverse((_, _, arrival, slot))| {
                    held.get(*slot).is_some_and(|held| held.arrival == *arrival)
                });
            }
        }
    }

    /// Forgets conversations that have been silent for too long, a few with every batch.
    fn forget(&mut self, now: Instant) {
        let seconds = now.duration_since(self.started).as_secs();
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX - 1);
        let steps = 16 + self.conversations.len() / 1024;
        let before = seconds.saturating_sub(self.idle);
        self.conversations.sweep(steps, before, self.batches);
        for (key, version) in self.conversations.forgotten.drain(..) {
            // In a shared state rows go by themselves.
            if self.durable && !self.table.is_shared() {
                let key = key.to_be_bytes().to_vec();
                // Not where another lane has gone on with it meanwhile.
                self.table.note_soon(Op::DeleteOlder { key, version });
            }
        }
    }
}

impl Source {
    /// The next one that the watermark passed: its arrival and slot.
    fn pop(&mut self, lateness: i64) -> Option<(u64, u32)> {
        let Reverse((time, _, arrival, slot)) = *self.waiting.peek()?;
        if !self.watermark.passed(time, lateness) {
            return None;
        }
        self.waiting.pop();
        Some((arrival, slot))
    }
}

/// The swaps, to be made one after the other, that put the events at these indices in order.
fn swaps(indices: &[usize], facts: &[Option<Facts>], moves: &mut Vec<(usize, usize)>) {
    let mut sorted = indices.to_vec();
    sorted.sort_by_key(|index| facts[*index].as_ref().map(Facts::order));
    for at in 0..indices.len() {
        let (to, from) = (indices[at], sorted[at]);
        if to != from {
            moves.push((to, from));
            // What lay at `to` lies at `from` now.
            for later in &mut sorted[at + 1..] {
                if *later == to {
                    *later = from;
                }
            }
        }
    }
}

//! The events that wait, linked twice: in the order of their arrival, which is that of their
//! deadlines, and within their conversation in the order in which they will go on. Both lists live
//! in one vector, so holding an event allocates nothing once the vector has grown.

use std::sync::Arc;

use tokio::time::Instant;

use super::conversation::Conversation;
use super::flight::Flight;
use super::reading::Facts;
use crate::event::Event;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// An event that waits.
pub(super) struct Held {
    pub event: Event,
    pub facts: Facts,
    pub flight: Arc<Flight>,
    pub conversation: u32,
    pub arrival: u64,
    /// When it goes on whatever happens.
    pub deadline: Instant,
    /// It waits for its predecessor; else for the watermark of its source.
    pub gated: bool,
}

struct Slot {
    held: Held,
    older: u32,
    newer: u32,
    before: u32,
    behind: u32,
}

/// All of them.
pub(super) struct HeldEvents {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
}

impl HeldEvents {
    pub fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The one held longest.
    pub fn oldest(&self) -> Option<(u32, &Held)> {
        self.get(self.oldest).map(|held| (self.oldest, held))
    }

    pub fn get(&self, slot: u32) -> Option<&Held> {
        Some(&self.slots.get(slot as usize)?.as_ref()?.held)
    }

    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Held> {
        self.slot(slot).map(|slot| &mut slot.held)
    }

    /// The slot behind this one in its conversation.
    pub fn behind(&self, slot: u32) -> u32 {
        let slot = self.slots.get(slot as usize).and_then(Option::as_ref);
        slot.map_or(NONE, |slot| slot.behind)
    }

    fn slot(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Takes an event in, at its place in its conversation.
    pub fn insert(&mut self, held: Held, of: &mut Conversation) -> u32 {
        // From the end: what comes last mostly belongs last.
        let order = held.facts.order();
        let mut before = of.tail;
        while self
            .get(before)
            .is_some_and(|other| other.facts.order() > order)
        {
            before = self.slots[before as usize]
                .as_ref()
                .map_or(NONE, |slot| slot.before);
        }
        let behind = match before {
            NONE => of.head,
            before => self.behind(before),
        };
        let older = self.newest;
        let slot = Slot {
            held,
            older,
            newer: NONE,
            before,
            behind,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = Some(slot);
                at
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        match self.slot(older) {
            Some(older) => older.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        match self.slot(before) {
            Some(before) => before.behind = at,
            None => of.head = at,
        }
        match self.slot(behind) {
            Some(behind) => behind.before = at,
            None => of.tail = at,
        }
        at
    }

    /// Takes an event out.
    pub fn remove(&mut self, at: u32, of: &mut Conversation) -> Option<Held> {
        let Slot {
            held,
            older,
            newer,
            before,
            behind,
        } = self.slots.get_mut(at as usize)?.take()?;
        self.free.push(at);
        match self.slot(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.slot(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.slot(before) {
            Some(before) => before.behind = behind,
            None => of.head = behind,
        }
        match self.slot(behind) {
            Some(behind) => behind.before = before,
            None => of.tail = before,
        }
        Some(held)
    }
}

//! How an event goes on, and what follows it.

use std::sync::Arc;

use super::super::flight::Flight;
use super::super::held::{Held, NONE};
use super::super::reading::Facts;
use super::super::rules::Rules;
use super::Order;
use crate::event::{Event, Labels};

impl Order {
    /// Lets the one held longest go, and before it those of its conversation that precede it.
    pub(super) fn force_oldest(&mut self) {
        let Some((slot, held)) = self.held.oldest() else {
            return;
        };
        let (place, arrival) = (held.conversation, held.arrival);
        if !self.rules.may_go(self.conversations.at(place), &held.facts) {
            // An opener that waits for the watermark is there, so nothing must go without it.
            let opener = self.find(place, |held| held.facts.rank == 0);
            if let (Rules::Lifecycle { .. }, Some(opener)) = (self.rules, opener) {
                self.let_go(opener);
            }
        }
        while self
            .held
            .get(slot)
            .is_some_and(|held| held.arrival == arrival)
        {
            let first = self.conversations.at(place).head;
            self.let_go(first);
        }
    }

    /// The first of the conversation's held events that is such.
    fn find(&mut self, place: u32, is: impl Fn(&Held) -> bool) -> Option<u32> {
        let mut slot = self.conversations.at(place).head;
        while let Some(held) = self.held.get(slot) {
            if is(held) {
                return Some(slot);
            }
            slot = self.held.behind(slot);
        }
        None
    }

    /// A held event goes on.
    pub(super) fn let_go(&mut self, slot: u32) {
        if let Some((place, held)) = self.take_out(slot) {
            self.go_and_follow(place, held.event, held.facts, &held.flight);
        }
    }

    fn take_out(&mut self, slot: u32) -> Option<(u32, Held)> {
        let place = self.held.get(slot)?.conversation;
        let held = self.held.remove(slot, self.conversations.at(place))?;
        Some((place, held))
    }

    /// The event goes on, and right behind it what waited for it alone.
    pub(super) fn go_and_follow(
        &mut self,
        place: u32,
        event: Event,
        facts: Facts,
        flight: &Arc<Flight>,
    ) {
        let was_opened = self.conversations.at(place).opened;
        self.go(place, event, facts, flight, false);
        let of = self.conversations.at(place);
        if of.head == NONE {
            return;
        }
        match self.rules {
            Rules::Lifecycle { .. } if of.opened && !was_opened => self.follow_opener(place),
            Rules::Lifecycle { .. } => {}
            Rules::Sequence => self.follow_number(place),
            Rules::VectorClock => self.follow_clock(place),
        }
    }

    fn follow_opener(&mut self, place: u32) {
        let mut slot = self.conversations.at(place).head;
        while let Some(held) = self.held.get(slot) {
            let behind = self.held.behind(slot);
            if held.gated
                && let Some((_, held)) = self.take_out(slot)
            {
                self.go(place, held.event, held.facts, &held.flight, true);
            }
            slot = behind;
        }
    }

    fn follow_number(&mut self, place: u32) {
        loop {
            let of = self.conversations.at(place);
            let first = of.head;
            let next = self.held.get(first);
            if !next.is_some_and(|held| self.rules.may_go(of, &held.facts)) {
                return;
            }
            let Some((_, held)) = self.take_out(first) else {
                return;
            };
            self.go(place, held.event, held.facts, &held.flight, false);
        }
    }

    /// Held events are in the order of the sums of their clocks, which grow along every causal
    /// chain: one walk finds all that may go. Clocks that lie may need more walks; what a few do
    /// not find goes on later.
    fn follow_clock(&mut self, place: u32) {
        const WALKS: usize = 4;
        for _ in 0..WALKS {
            let mut slot = self.conversations.at(place).head;
            let mut went = false;
            while let Some(held) = self.held.get(slot) {
                let behind = self.held.behind(slot);
                if self.rules.may_go(self.conversations.at(place), &held.facts)
                    && let Some((_, held)) = self.take_out(slot)
                {
                    self.go(place, held.event, held.facts, &held.flight, false);
                    went = true;
                }
                slot = behind;
            }
            if !went {
                return;
            }
        }
    }

    /// The event goes on: with the next counter of its conversation, or the one it had.
    pub(super) fn go(
        &mut self,
        place: u32,
        mut event: Event,
        facts: Facts,
        flight: &Arc<Flight>,
        follows: bool,
    ) {
        let of = self.conversations.at(place);
        event.time = Some(facts.time);
        let (counter, labels) = match of.known(facts.body) {
            Some(before) => before,
            None => {
                let labels = self.rules.labels(of, &facts, follows);
                let counter = of.count(facts.body, labels);
                self.rules.advance(of, facts);
                (counter, labels)
            }
        };
        event.counter = counter;
        event.labels.insert(labels);
        if !labels.is_empty() {
            for (count, (label, _)) in self.counts.labels.iter_mut().zip(Labels::ALL) {
                *count += u64::from(labels.contains(label));
            }
        }
        self.ticket.add(event.origin, flight);
        if self.durable {
            self.ticket.note(of.key, of.counter, of.encode(self.lane));
        }
        self.events.push(event);
    }
}

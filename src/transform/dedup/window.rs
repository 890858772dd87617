//! The keys that are remembered: two generations and the flights that brought them.
//!
//! A *flight* is one batch on its way through what lies below. Its keys go into the table at
//! once, marked with its number; what its answer means for them is written in one place, the
//! flight's record, so that committing a batch touches no key again.
//!
//! New keys go into the current generation. Once that is full, or all of it is older than the
//! window, it becomes the previous one, and what was the previous one is forgotten. So at least
//! the last `max_keys` keys are remembered, and never more than twice as many.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use super::fate::Outcome;
use super::key::Fingerprint;

/// Nanoseconds on the stage's own clock.
pub(super) type Ticks = u64;

/// 20 bytes, and one of the table's own.
struct Entry {
    key: Fingerprint,
    flight: u32,
}

struct Record {
    /// When its events came.
    at: Ticks,
    /// Where to learn its fate; `None` once it is delivered.
    outcome: Option<Arc<Outcome>>,
}

/// What is known of a key.
pub(super) enum Seen {
    /// Nothing: from now on it belongs to the flight that asked.
    New,
    /// An event of that key came within the window and was delivered.
    Delivered,
    /// An event of that key is in the same flight.
    Own,
    /// An event of that key is under way in this earlier flight.
    UnderWay(u32, Arc<Outcome>),
}

/// See the module.
pub(super) struct Window {
    current: HashTable<Entry>,
    previous: HashTable<Entry>,
    /// When the current generation began.
    since: Ticks,
    flights: Flights,
    /// Number of the first flight with keys in the current generation.
    first_of_current: u32,
    max_keys: usize,
}

/// The flights of both generations. Numbers wrap around, so only distances between them count.
struct Flights {
    records: VecDeque<Record>,
    first: u32,
    /// How long a key is remembered.
    length: Ticks,
}

impl Flights {
    fn next(&self) -> u32 {
        self.first.wrapping_add(self.records.len() as u32)
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Record> {
        let index = number.wrapping_sub(self.first);
        self.records.get_mut(index as usize)
    }

    /// What an entry of flight `by` means to `asking`; `None` when it is too old to mean a thing.
    fn judge(&self, by: u32, asking: u32, now: Ticks) -> Option<Seen> {
        let flight = self.records.get(by.wrapping_sub(self.first) as usize)?;
        if now.saturating_sub(flight.at) >= self.length {
            return None;
        }
        Some(match &flight.outcome {
            None => Seen::Delivered,
            Some(_) if by == asking => Seen::Own,
            Some(outcome) => Seen::UnderWay(by, outcome.clone()),
        })
    }
}

impl Window {
    /// Remembers keys for `length`, and at least the last `max_keys` of them.
    pub fn new(length: Ticks, max_keys: usize) -> Self {
        Self {
            current: HashTable::new(),
            previous: HashTable::new(),
            since: 0,
            flights: Flights {
                records: VecDeque::new(),
                first: 0,
                length,
            },
            first_of_current: 0,
            max_keys,
        }
    }

    /// Takes in what an earlier run remembered, all of it: `fill` begins flights and sees keys. Where
    /// that is a generation or more, it becomes the previous one with the next key.
    pub fn take_over(&mut self, fill: impl FnOnce(&mut Self)) {
        let max_keys = mem::replace(&mut self.max_keys, usize::MAX);
        fill(self);
        self.max_keys = max_keys;
    }

    /// Begins a flight; one without an outcome is delivered already.
    pub fn begin(&mut self, now: Ticks, outcome: Option<Arc<Outcome>>) -> u32 {
        let number = self.flights.next();
        if now.saturating_sub(self.since) >= self.flights.length {
            // The previous generation was complete before the current one began, so all of it is
            // too old by now.
            self.rotate(number, now);
        }
        self.flights.records.push_back(Record { at: now, outcome });
        number
    }

    /// Looks the key up, and takes it for this flight, the last one begun, when it is new.
    pub fn see(&mut self, key: Fingerprint, flight: u32, now: Ticks) -> Seen {
        if self.current.len() >= self.max_keys {
            self.rotate(flight, now);
        }
        let same = |entry: &Entry| entry.key == key;
        let old = self.previous.find(key.short(), same);
        if let Some(seen) = old.and_then(|old| self.flights.judge(old.flight, flight, now)) {
            return seen;
        }
        match self
            .current
            .entry(key.short(), same, |entry| entry.key.short())
        {
            Slot::Vacant(slot) => {
                slot.insert(Entry { key, flight });
            }
            Slot::Occupied(mut slot) => {
                if let Some(seen) = self.flights.judge(slot.get().flight, flight, now) {
                    return seen;
                }
                slot.get_mut().flight = flight;
            }
        }
        Seen::New
    }

    fn rotate(&mut self, next: u32, now: Ticks) {
        mem::swap(&mut self.current, &mut self.previous);
        self.current.clear();
        let forgotten = self.first_of_current.wrapping_sub(self.flights.first) as usize;
        let records = &mut self.flights.records;
        records.drain(..forgotten.min(records.len()));
        self.flights.first = self.first_of_current;
        self.first_of_current = next;
        self.since = now;
    }

    /// All keys of the flight that were not freed are delivered.
    pub fn commit(&mut self, flight: u32) {
        if let Some(flight) = self.flights.get_mut(flight) {
            flight.outcome = None;
        }
    }

    /// Forgets a key, if it still belongs to this flight.
    pub fn free(&mut self, key: Fingerprint, flight: u32) {
        for table in [&mut self.current, &mut self.previous] {
            let ours = |entry: &Entry| entry.key == key && entry.flight == flight;
            if let Ok(entry) = table.find_entry(key.short(), ours) {
                entry.remove();
                return;
            }
        }
    }

    /// Ends a flight that has no keys (any more).
    pub fn forget(&mut self, flight: u32) {
        // One in the middle stays until its generation goes. At the end is where it matters: a
        // batch that fails again and again, or nothing but duplicates, must not pile up records.
        let is_last = flight.wrapping_add(1) == self.flights.next();
        // The previous generation must keep its length, or the numbers of this one would shift.
        if is_last && !is_before(flight, self.first_of_current) {
            self.flights.records.pop_back();
        } else {
            self.commit(flight);
        }
    }

    /// Whether all keys of the flight are forgotten because of their number or age.
    pub fn is_gone(&self, flight: u32) -> bool {
        is_before(flight, self.flights.first)
    }

    #[cfg(test)]
    pub fn allocated(&self) -> usize {
        let flights = self.flights.records.capacity() * size_of::<Record>();
        self.current.allocation_size() + self.previous.allocation_size() + flights
    }
}

/// Whether flight `a` began before `b`. Numbers wrap around, and fewer than half of them are in
/// use, so a distance beyond that is one backwards.
fn is_before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) > u32::MAX / 2
}

//! One lane: the line of batches that wait for its worker.

use std::collections::{HashSet, VecDeque};

use super::WhenFull;
use super::item::Item;

/// A bound on what may wait.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub events: usize,
    pub bytes: u64,
}

impl Room {
    pub(super) fn holds(self, events: usize, bytes: u64) -> bool {
        events <= self.events && bytes <= self.bytes
    }
}

/// What waits of one class.
#[derive(Default)]
struct Class {
    inside: VecDeque<Item>,
    /// Callers that wait for room, in the order in which they came.
    outside: VecDeque<Item>,
    /// Of those inside.
    events: usize,
    bytes: u64,
}

impl Class {
    fn waits(&self) -> bool {
        !self.inside.is_empty() || !self.outside.is_empty()
    }

    /// Those outside come after those inside, and may be taken without having been there.
    fn front(&self) -> Option<&Item> {
        self.inside.front().or_else(|| self.outside.front())
    }
}

/// How batches are taken.
#[derive(Clone, Copy)]
pub(super) struct Take {
    /// Waiting batches are put together up to this many events.
    pub events: usize,
    /// They are not put together.
    pub apart: bool,
    /// After so many batches that passed a lower class, one of those goes.
    pub guard: u32,
}

pub(super) struct Line {
    /// By number: 0 is the lowest.
    classes: Vec<Class>,
    room: Room,
    events: usize,
    bytes: u64,
    pub workers: usize,
    /// Batches in a row that passed a waiting lower class.
    passed: u32,
    /// Keys of what is under way.
    under_way: HashSet<u64>,
    /// With this many outside, those who went away are looked for.
    crowd: usize,
}

/// Callers outside before it is worth looking for those who went away.
const CROWD: usize = 16;

impl Line {
    pub(super) fn new(classes: usize, room: Room, workers: usize) -> Self {
        let mut line = Self {
            classes: Vec::new(),
            room,
            events: 0,
            bytes: 0,
            workers,
            passed: 0,
            under_way: HashSet::new(),
            crowd: CROWD,
        };
        line.classes.resize_with(classes, Class::default);
        line
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn outside(&self) -> usize {
        self.classes.iter().map(|class| class.outside.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.classes.iter().any(Class::waits)
    }

    /// A batch larger than the whole room goes in alone.
    pub(super) fn fits(&self, events: usize, bytes: u64) -> bool {
        self.events == 0 || self.room.holds(self.events + events, self.bytes + bytes)
    }

    /// Whether these fit that are to come in together, and nobody waits before them.
    pub(super) fn has_room(&self, batches: usize, events: usize, bytes: u64) -> bool {
        let alone = batches == 1 && self.events == 0;
        self.outside() == 0 && (alone || self.room.holds(self.events + events, self.bytes + bytes))
    }

    fn enter(&mut self, class: usize, item: Item) {
        self.events += item.events();
        self.bytes += item.bytes();
        self.classes[class].events += item.events();
        self.classes[class].bytes += item.bytes();
        self.classes[class].inside.push_back(item);
    }

    fn count_out(&mut self, class: usize, item: &Item) {
        self.events -= item.events();
        self.bytes -= item.bytes();
        self.classes[class].events -= item.events();
        self.classes[class].bytes -= item.bytes();
    }

    /// Puts a batch in line, or where the policy puts it. What is dropped for it, or is it, comes
    /// back with its reason.
    pub(super) fn push(
        &mut self,
        class: usize,
        item: Item,
        when_full: WhenFull,
        dropped: &mut Vec<(&'static str, Item)>,
    ) {
        match when_full {
            WhenFull::Block => {
                self.classes[class].outside.push_back(item);
                self.admit();
                self.look_around();
            }
            _ if self.fits(item.events(), item.bytes()) => self.enter(class, item),
            WhenFull::DropNewest => {
                self.make_room(class, &item, "buffer_newest", VecDeque::pop_back, dropped);
                self.enter_or_drop(class, item, dropped);
            }
            WhenFull::DropOldest => {
                self.make_room(
                    class + 1,
                    &item,
                    "buffer_oldest",
                    VecDeque::pop_front,
                    dropped,
                );
                self.enter_or_drop(class, item, dropped);
            }
        }
    }

    fn enter_or_drop(&mut self, class: usize, item: Item, dropped: &mut Vec<(&'static str, Item)>) {
        match self.fits(item.events(), item.bytes()) {
            true => self.enter(class, item),
            false => dropped.push(("buffer_newest", item)),
        }
    }

    /// Drops of the classes below `end`, the lowest first, until the batch fits; nothing where all
    /// of them would not be enough.
    fn make_room(
        &mut self,
        end: usize,
        item: &Item,
        reason: &'static str,
        pop: fn(&mut VecDeque<Item>) -> Option<Item>,
        dropped: &mut Vec<(&'static str, Item)>,
    ) {
        let (mut events, mut bytes) = (self.events, self.bytes);
        for class in &self.classes[..end] {
            (events, bytes) = (events - class.events, bytes - class.bytes);
        }
        if events > 0
            && !self
                .room
                .holds(events + item.events(), bytes + item.bytes())
        {
            return;
        }
        for class in 0..end {
            while !self.fits(item.events(), item.bytes())
                && let Some(gone) = pop(&mut self.classes[class].inside)
            {
                self.count_out(class, &gone);
                dropped.push((reason, gone));
            }
        }
    }

    /// Those outside enter while there is room, the highest class first.
    fn admit(&mut self) {
        for class in (0..self.classes.len()).rev() {
            while let Some(next) = self.classes[class].outside.front() {
                let gone = next.is_gone();
                if !gone && !self.fits(next.events(), next.bytes()) {
                    // A smaller one behind it, or below it, must not keep it out for ever.
                    return;
                }
                if let Some(next) = self.classes[class].outside.pop_front()
                    && !gone
                {
                    self.enter(class, next);
                }
            }
        }
    }

    /// Those who went away are not kept waiting outside: their batches would pile up there.
    fn look_around(&mut self) {
        if self.outside() < self.crowd {
            return;
        }
        for class in &mut self.classes {
            class.outside.retain(|item| !item.is_gone());
        }
        self.crowd = CROWD.max(2 * self.outside());
    }

    /// What goes next, put together; empty when nothing may go. Marks its keys as under way.
    pub(super) fn take(&mut self, how: Take) -> Vec<Item> {
        let guarded = self.guarded(how.guard);
        let highest_first = (0..self.classes.len()).rev();
        for class in guarded.into_iter().chain(highest_first) {
            if !self.classes[class].waits() {
                continue;
            }
            let taken = match self.under_way.is_empty() {
                true => self.take_first(class, how),
                false => self.take_free(class, how),
            };
            self.admit();
            if taken.is_empty() {
                continue;
            }
            let passes = self.classes[..class].iter().any(Class::waits);
            self.passed = match passes && guarded != Some(class) {
                true => self.passed.saturating_add(1),
                false => 0,
            };
            let keys = taken.iter().flat_map(Item::keys);
            self.under_way.extend(keys);
            return taken;
        }
        Vec::new()
    }

    /// The lower class that has waited longest, when it is time for it.
    fn guarded(&self, guard: u32) -> Option<usize> {
        if self.passed < guard {
            return None;
        }
        let highest = self.classes.iter().rposition(Class::waits)?;
        let fronts = self.classes[..highest].iter().enumerate();
        let waiting = fronts.filter_map(|(class, one)| Some((one.front()?.number(), class)));
        waiting.min().map(|(_, class)| class)
    }

    /// From the front of a class.
    fn take_first(&mut self, class: usize, how: Take) -> Vec<Item> {
        let mut taken: Vec<Item> = Vec::new();
        let mut events = 0;
        while let Some(item) = self.classes[class].front() {
            let gone = item.is_gone();
            if !gone {
                events += item.events();
                if !taken.is_empty() && (how.apart || events > how.events) {
                    break;
                }
            }
            let item = match self.classes[class].inside.pop_front() {
                Some(item) => {
                    self.count_out(class, &item);
                    Some(item)
                }
                None => self.classes[class].outside.pop_front(),
            };
            taken.extend(item.filter(|_| !gone));
        }
        taken
    }

    /// What shares no key with what is under way.
    fn take_free(&mut self, class: usize, how: Take) -> Vec<Item> {
        let mut free = Free {
            how,
            taken: Vec::new(),
            events: 0,
            full: false,
        };
        let waiting = &mut self.classes[class];
        let inside = std::mem::take(&mut waiting.inside);
        let outside = std::mem::take(&mut waiting.outside);
        // Counted anew, with what stays.
        self.events -= waiting.events;
        self.bytes -= waiting.bytes;
        (waiting.events, waiting.bytes) = (0, 0);
        for item in inside {
            if let Some(item) = free.leave(item, &self.under_way) {
                self.enter(class, item);
            }
        }
        let stay = outside
            .into_iter()
            .filter_map(|item| free.leave(item, &self.under_way));
        self.classes[class].outside = stay.collect();
        free.taken
    }

    /// These keys are under way no more.
    pub(super) fn release(&mut self, keys: &[u64]) {
        for key in keys {
            self.under_way.remove(key);
        }
    }

    /// Everything out, when there is no worker any more.
    pub(super) fn empty(&mut self) -> Vec<Item> {
        (self.events, self.bytes) = (0, 0);
        let mut items = Vec::new();
        for class in &mut self.classes {
            items.extend(std::mem::take(&mut class.inside));
            items.extend(std::mem::take(&mut class.outside));
            (class.events, class.bytes) = (0, 0);
        }
        items
    }
}

/// Taking what is free, from the front on.
struct Free {
    how: Take,
    taken: Vec<Item>,
    events: usize,
    full: bool,
}

impl Free {
    /// Takes of an item what may go; what is left of it stays in line.
    fn leave(&mut self, mut item: Item, under_way: &HashSet<u64>) -> Option<Item> {
        if item.is_gone() {
            return None;
        }
        if self.full {
            return Some(item);
        }
        // What is left waiting of an item has only keys that are under way, so nothing of its keys
        // that comes later overtakes it.
        let is_free = |key: &u64| !under_way.contains(key);
        let free = item.keys().iter().filter(|key| is_free(key)).count();
        let events = self.events + free;
        let first = self.taken.is_empty();
        if free > 0 && !first && (self.how.apart || events > self.how.events) {
            self.full = true;
            return Some(item);
        }
        if free == item.events() {
            self.events = events;
            self.taken.push(item);
            return None;
        }
        if free > 0
            && let Some(part) = item.take_free(&is_free)
        {
            self.events = events;
            self.taken.push(part);
        }
        Some(item)
    }
}

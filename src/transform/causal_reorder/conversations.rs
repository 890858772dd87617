//! All conversations that are remembered: at most so many, none longer silent than allowed.

use hashbrown::HashTable;

use super::conversation::Conversation;
use super::held::NONE;

/// Of how many the one that is silent longest makes room: close to the least recently used, at none
/// of the cost of keeping a list of them up to date with every event.
const SAMPLE: usize = 16;

/// Marks a slot that holds no conversation.
const VACANT: u32 = u32::MAX;

/// The conversations, found by the hash of their key.
pub(super) struct Conversations {
    places: HashTable<u32>,
    slots: Vec<Conversation>,
    free: Vec<u32>,
    limit: usize,
    /// The number before the first, for conversations by sequence.
    position: i64,
    /// Where the search for silent ones goes on.
    hand: usize,
    /// Keys of those forgotten since they were last taken, and up to which counter they may be
    /// forgotten in the store as well.
    pub forgotten: Vec<(u128, u64)>,
}

/// The key is a keyed hash already.
fn hash(key: u128) -> u64 {
    key as u64
}

impl Conversations {
    pub fn new(limit: usize, position: i64) -> Self {
        Self {
            places: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            limit,
            position,
            hand: 0,
            forgotten: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The conversation in a slot that [`Conversations::find`] gave for this batch.
    pub fn at(&mut self, slot: u32) -> &mut Conversation {
        &mut self.slots[slot as usize]
    }

    /// The slot of a conversation, which is made where it is new. It stays good for this batch.
    pub fn find(&mut self, key: u128, batch: u64) -> u32 {
        let slots = &self.slots;
        let known = self
            .places
            .find(hash(key), |slot| slots[*slot as usize].key == key);
        match known {
            Some(slot) => *slot,
            None => {
                if self.len() >= self.limit {
                    self.make_room(batch);
                }
                self.insert(Conversation::new(key, self.position))
            }
        }
    }

    /// Takes in one that is not there yet.
    pub fn insert(&mut self, conversation: Conversation) -> u32 {
        let key = conversation.key;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = conversation;
                slot
            }
            None => {
                self.slots.push(conversation);
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.places
            .insert_unique(hash(key), slot, |slot| hash(slots[*slot as usize].key));
        slot
    }

    /// Looks at a few more conversations, and forgets those not heard of since `before`.
    pub fn sweep(&mut self, steps: usize, before: u32, batch: u64) {
        for _ in 0..steps.min(self.slots.len()) {
            let at = self.advance();
            if self.may_go(at, batch) && self.slots[at].seen < before {
                let Conversation { key, counter, .. } = self.slots[at];
                self.forgotten.push((key, counter));
                self.forget(at);
            }
        }
    }

    /// Forgets the one silent longest among a few. None, while all of them are in use: then there
    /// are more than the limit for as long as that lasts, and events held and batches are bounded.
    fn make_room(&mut self, batch: u64) {
        let mut oldest: Option<usize> = None;
        let mut seen = 0;
        for _ in 0..self.slots.len().min(SAMPLE * 4) {
            let at = self.advance();
            if !self.may_go(at, batch) {
                continue;
            }
            if oldest.is_none_or(|oldest| self.slots[at].seen < self.slots[oldest].seen) {
                oldest = Some(at);
            }
            seen += 1;
            if seen == SAMPLE {
                break;
            }
        }
        if let Some(at) = oldest {
            let of = &self.slots[at];
            // For want of room only: the lane that it belongs to may still need it.
            if !of.inherited {
                self.forgotten.push((of.key, of.counter));
            }
            self.forget(at);
        }
    }

    fn advance(&mut self) -> usize {
        self.hand = if self.hand + 1 < self.slots.len() {
            self.hand + 1
        } else {
            0
        };
        self.hand
    }

    /// Neither vacant, nor of this batch, nor with events that are held.
    fn may_go(&self, at: usize, batch: u64) -> bool {
        let conversation = &self.slots[at];
        conversation.seen != VACANT && conversation.head == NONE && conversation.batch != batch
    }

    fn forget(&mut self, at: usize) {
        let key = self.slots[at].key;
        if let Ok(entry) = self
            .places
            .find_entry(hash(key), |slot| *slot as usize == at)
        {
            entry.remove();
        }
        self.slots[at].seen = VACANT;
        self.slots[at].clocks = None;
        self.free.push(at as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(all: &mut Conversations, key: u128, now: u32) {
        let slot = all.find(key, u64::from(now));
        all.at(slot).seen = now;
        all.at(slot).batch = u64::from(now);
    }

    #[test]
    fn forgets_the_one_silent_longest_when_full() {
        let mut all = Conversations::new(3, 0);
        for (now, key) in [
            (1, 10),
            (2, 20),
            (3, 30),
            (4, 10),
            (5, 40),
            (6, 10),
            (7, 50),
        ] {
            touch(&mut all, key, now);
        }
        assert_eq!(
            (all.len(), &all.forgotten[..]),
            (3, &[(20, 0), (30, 0)][..])
        );
    }

    #[test]
    fn forgets_the_silent_but_none_in_use() {
        let mut all = Conversations::new(100, 0);
        for key in 1..=10 {
            touch(&mut all, key, key as u32);
        }
        let held = all.find(3, 11);
        all.at(held).head = 0;
        all.sweep(100, 6, 11);
        let mut forgotten: Vec<u128> = all.forgotten.iter().map(|(key, _)| *key).collect();
        forgotten.sort_unstable();
        assert_eq!(forgotten, [1, 2, 4, 5]);
        // Those in use are kept even when there is no room: by a batch, or by what is held.
        let mut small = Conversations::new(1, 0);
        touch(&mut small, 1, 1);
        small.find(2, 1);
        assert_eq!(small.len(), 2);
    }
}

//! What is remembered of one conversation, in memory and in the store.

use super::hash::Keys;
use super::held::NONE;
use super::reading::UNRANKED;
use crate::clock::VectorClock;
use crate::event::Labels;
use crate::layer::Lane;

/// How many of the last events of a conversation are known again when they come again.
pub(super) const RING: usize = 8;

/// The first byte of a stored value: its form.
const FORM: u8 = 1;
/// The same, behind the number of the lane that wrote it and how many there were.
const FORM_OF_LANE: u8 = 2;

/// A conversation. Laid out by cache lines, since with many conversations each look at one is a
/// look at main memory: what every event needs, then the bodies, then what other ways need.
#[repr(C, align(64))]
pub(super) struct Conversation {
    /// Hash of its key.
    pub key: u128,
    /// Counter of the last event that went on as a new one.
    pub counter: u64,
    /// The latest time that went on, and the highest rank of that time.
    pub last_time: i64,
    pub last_rank: u8,
    /// Whose rank that is, by a hash; 0 where nobody is named, or after a restart.
    last_participant: u64,
    /// An event of rank 0 went on.
    pub opened: bool,
    /// An earlier run of another number of lanes wrote it, and nothing of it came since: it may
    /// belong to another lane by now.
    pub inherited: bool,
    /// Labels of the last events, four bits each.
    labels: u32,
    /// The events of it that are held, first and last in order.
    pub head: u32,
    pub tail: u32,
    /// The batch that brought an event of it last, and which event that was.
    pub batch: u64,
    pub batch_event: u32,
    /// When it was last heard of, in seconds of the stage's life.
    pub seen: u32,
    /// Bodies of the last events: that of counter `n` is at `n % RING`.
    bodies: [u64; RING],
    /// By sequence: the number that went on last, or the one before the first.
    pub position: i64,
    /// By vector clock.
    pub clocks: Option<Box<Clocks>>,
}

/// What a conversation has seen by vector clocks.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Clocks {
    /// All that went on.
    pub seen: VectorClock,
    /// The clock of the event that went on last.
    pub last: VectorClock,
}

impl Conversation {
    /// One that was never heard of. `position` is the number before the first.
    pub fn new(key: u128, position: i64) -> Self {
        Self {
            key,
            counter: 0,
            last_time: i64::MIN,
            last_rank: 0,
            last_participant: 0,
            position,
            opened: false,
            inherited: false,
            clocks: None,
            bodies: [0; RING],
            labels: 0,
            seen: 0,
            head: NONE,
            tail: NONE,
            batch: 0,
            batch_event: 0,
        }
    }

    /// Goes on from where another worker left it, if that is further. What is held stays.
    pub fn catch_up(&mut self, elsewhere: Self) {
        if elsewhere.counter <= self.counter {
            return;
        }
        *self = Self {
            head: self.head,
            tail: self.tail,
            batch: self.batch,
            batch_event: self.batch_event,
            seen: self.seen,
            ..elsewhere
        };
    }

    /// The counter and labels of this body, if it is one of the last few.
    pub fn known(&self, body: u64) -> Option<(u64, Labels)> {
        let kept = self.counter.min(RING as u64);
        (0..kept).map(|back| self.counter - back).find_map(|n| {
            let at = (n % RING as u64) as usize;
            (self.bodies[at] == body).then(|| (n, self.labels_at(at)))
        })
    }

    fn labels_at(&self, at: usize) -> Labels {
        let mut labels = Labels::default();
        for (bit, (label, _)) in Labels::ALL.into_iter().enumerate() {
            if self.labels >> (at * 4 + bit) & 1 == 1 {
                labels.insert(label);
            }
        }
        labels
    }

    /// Gives the next counter to the event of this body.
    pub fn count(&mut self, body: u64, labels: Labels) -> u64 {
        self.counter = self.counter.saturating_add(1);
        let at = (self.counter % RING as u64) as usize;
        self.bodies[at] = body;
        self.labels &= !(0xf << (at * 4));
        for (bit, (label, _)) in Labels::ALL.into_iter().enumerate() {
            self.labels |= u32::from(labels.contains(label)) << (at * 4 + bit);
        }
        self.counter
    }

    /// True when what is of this time and rank comes after something that went on before it.
    pub fn is_past(&self, time: i64, rank: u8, participant: u64) -> bool {
        let others = [participant, self.last_participant];
        match rank {
            UNRANKED => time < self.last_time,
            // What others do at the same time comes neither before nor after.
            _ if participant != self.last_participant && !others.contains(&0) => {
                time < self.last_time
            }
            rank => (time, rank) < (self.last_time, self.last_rank),
        }
    }

    /// Remembers the greatest (time, rank).
    pub fn advance(&mut self, time: i64, rank: u8, participant: u64) {
        let rank = if rank == UNRANKED { 0 } else { rank };
        if (time, rank) > (self.last_time, self.last_rank) {
            (self.last_time, self.last_rank) = (time, rank);
            self.last_participant = participant;
        }
    }

    /// As it is stored: hashes, numbers and times only.
    pub fn encode(&self, lane: Lane) -> Vec<u8> {
        let mut out = Vec::with_capacity(96);
        if lane == Lane::WHOLE {
            out.push(FORM);
        } else {
            out.push(FORM_OF_LANE);
            put(&mut out, u64::from(lane.index));
            put(&mut out, u64::from(lane.of));
        }
        for number in [
            self.counter,
            self.last_time as u64,
            self.position as u64,
            u64::from(self.labels),
        ] {
            put(&mut out, number);
        }
        out.extend([self.last_rank, u8::from(self.opened)]);
        for n in 0..self.counter.min(RING as u64) {
            let at = (self.counter - n) % RING as u64;
            out.extend(self.bodies[at as usize].to_le_bytes());
        }
        if let Some(clocks) = &self.clocks {
            put_clock(&mut out, &clocks.seen);
            put_clock(&mut out, &clocks.last);
        }
        out
    }

    /// Reads what [`Conversation::encode`] wrote, and which lane that was; `None` for anything
    /// else.
    pub fn decode(key: u128, value: &[u8]) -> Option<(Self, Lane)> {
        let (form, mut rest) = value.split_first()?;
        let from = &mut rest;
        let lane = match *form {
            FORM => Lane::WHOLE,
            FORM_OF_LANE => Lane {
                index: u32::try_from(take(from)?).ok()?,
                of: u32::try_from(take(from)?).ok()?,
            },
            _ => return None,
        };
        let mut conversation = Self::new(key, 0);
        conversation.counter = take(from)?;
        conversation.last_time = take(from)? as i64;
        conversation.position = take(from)? as i64;
        conversation.labels = u32::try_from(take(from)?).ok()?;
        let [rank, opened] = take_array(from)?;
        conversation.last_rank = rank;
        conversation.opened = opened == 1;
        for n in 0..conversation.counter.min(RING as u64) {
            let at = (conversation.counter - n) % RING as u64;
            conversation.bodies[at as usize] = u64::from_le_bytes(take_array(from)?);
        }
        if !from.is_empty() {
            let (seen, last) = (take_clock(from)?, take_clock(from)?);
            conversation.clocks = Some(Box::new(Clocks { seen, last }));
        }
        from.is_empty().then_some((conversation, lane))
    }
}

/// Numbers are stored in base 128, small end first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take_array(from)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take_array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*array)
}

fn put_clock(out: &mut Vec<u8>, clock: &VectorClock) {
    put(out, clock.len() as u64);
    for (node, counter) in clock.iter() {
        // A node's name is its hash (see `reading`).
        let hash = u64::from_str_radix(node, 16).unwrap_or_default();
        out.extend(hash.to_le_bytes());
        put(out, counter);
    }
}

fn take_clock(from: &mut &[u8]) -> Option<VectorClock> {
    let length = take(from)?;
    let mut good = true;
    let counters = (0..length).map_while(|_| {
        let hash = take_array(from).map(u64::from_le_bytes);
        let entry = hash.zip(take(from));
        good &= entry.is_some();
        entry.map(|(hash, counter)| (Keys::node_name(hash), counter))
    });
    let clock = VectorClock::from_counters(counters).ok()?;
    good.then_some(clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_last_eight_again_with_their_labels() {
        let mut conversation = Conversation::new(1, 0);
        for body in 0..20 {
            let late = body % 2 == 1;
            let labels = if late {
                Labels::LATE
            } else {
                Labels::default()
            };
            assert_eq!(conversation.count(body, labels), body + 1);
        }
        assert_eq!(conversation.known(11), None);
        assert_eq!(conversation.known(12), Some((13, Labels::default())));
        assert_eq!(conversation.known(19), Some((20, Labels::LATE)));
        // Nothing that went on is known in a new one, not even a body whose hash is 0.
        assert_eq!(Conversation::new(1, 0).known(0), None);
    }

    #[test]
    fn is_stored_and_read_back() {
        let mut a = Conversation::new(9, -1);
        (a.last_time, a.last_rank) = (-5, 2);
        a.opened = true;
        for counter in 0..11 {
            a.count(u64::MAX - counter, Labels::ORPHAN);
            let nodes = [
                (Keys::node_name(3), counter),
                (Keys::node_name(4), u64::MAX),
            ];
            let clock = VectorClock::from_counters(nodes).unwrap();
            a.clocks = (counter % 2 == 0).then(|| {
                Box::new(Clocks {
                    seen: clock.clone(),
                    last: VectorClock::new(),
                })
            });
            let of = 1 + counter as u32 % 3;
            let lane = Lane { index: of - 1, of };
            let stored = a.encode(lane);
            let (b, by) = Conversation::decode(9, &stored).unwrap();
            assert_eq!(by, lane);
            assert_eq!((b.counter, b.position), (a.counter, -1));
            assert_eq!((b.last_time, b.last_rank), (-5, 2));
            assert_eq!((b.bodies, b.labels, b.opened), (a.bodies, a.labels, true));
            assert_eq!(b.clocks, a.clocks);
            for length in 0..stored.len() {
                // Cut before the clocks it is whole; anywhere else it is refused.
                let cut = Conversation::decode(9, &stored[..length]);
                assert!(cut.is_none_or(|(cut, _)| cut.clocks.is_none() && a.clocks.is_some()));
            }
        }
    }
}

//! What came before what: vector clocks, the reading and printing of times, and the time of day.
//!
//! A [`VectorClock`] counts, for each node of a distributed system, how many of that node's events
//! its bearer has seen. Comparing two clocks tells whether one event can have known of the other
//! ([`Order::Before`], [`Order::After`]) or neither could ([`Order::Concurrent`]). The laws that make
//! this sound (a partial order, with `merge` as its least upper bound) are tested as properties.

mod json;
mod time;
mod wall;

#[cfg(test)]
mod laws;

use std::cmp::Ordering;
use std::fmt;

use compact_str::CompactString;

pub use time::{format_timestamp, parse_epoch, parse_lenient, parse_timestamp};
pub use wall::Wall;

/// Most nodes of one clock. Clocks come with hostile input, so they are bounded.
pub const MAX_NODES: usize = 64;

/// Longest name of a node, in bytes.
pub const MAX_NODE_LENGTH: usize = 128;

/// A counter for each node. A node that is not named counts 0, so a counter of 0 is not kept.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct VectorClock {
    /// Sorted by node, no node twice, no counter 0: equal clocks are equal vectors.
    counters: Vec<(CompactString, u64)>,
}

/// How two clocks, and so their events, stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first happened before the second.
    Before,
    /// The second happened before the first.
    After,
    /// They have seen the same.
    Equal,
    /// Neither can have known of the other.
    Concurrent,
}

/// Why a clock cannot be made or changed. The clock is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadClock {
    /// More than [`MAX_NODES`] nodes.
    TooManyNodes,
    /// A node's name is empty or longer than [`MAX_NODE_LENGTH`] bytes.
    BadNode,
    /// A node is named twice.
    RepeatedNode,
    /// A counter went past `u64::MAX`.
    Overflow,
    /// Not a JSON object of whole numbers from 0.
    NotCounters,
}

impl fmt::Display for BadClock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TooManyNodes => "a vector clock has at most 64 nodes",
            Self::BadNode => "a node's name has 1 to 128 bytes",
            Self::RepeatedNode => "a vector clock names each node once",
            Self::Overflow => "a counter of a vector clock is used up",
            Self::NotCounters => "a vector clock is an object of whole numbers from 0",
        })
    }
}

impl std::error::Error for BadClock {}

impl VectorClock {
    /// The clock that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// From nodes and their counters, in any order.
    ///
    /// # Errors
    /// When there are too many nodes, or one is named twice, not at all or at too great length.
    pub fn from_counters<N: AsRef<str>>(
        counters: impl IntoIterator<Item = (N, u64)>,
    ) -> Result<Self, BadClock> {
        let mut clock = Self::new();
        // A counter of 0 is not kept but counts as named: bounded work for hostile input.
        for (named, (node, counter)) in counters.into_iter().enumerate() {
            if named == MAX_NODES {
                return Err(BadClock::TooManyNodes);
            }
            match clock.find(node.as_ref()) {
                Ok(_) => return Err(BadClock::RepeatedNode),
                Err(at) => clock.insert(at, node.as_ref(), counter)?,
            }
        }
        Ok(clock)
    }

    /// How many of the node's events were seen; 0 for a node that is not named.
    pub fn get(&self, node: &str) -> u64 {
        self.find(node).map_or(0, |at| self.counters[at].1)
    }

    /// The nodes that count more than 0, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.counters
            .iter()
            .map(|(node, counter)| (node.as_str(), *counter))
    }

    /// How many nodes count more than 0.
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// True when nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// Counts one more event of the node, and says how many that makes.
    ///
    /// # Errors
    /// When the counter is used up, the clock is full or the name is no node's.
    pub fn increment(&mut self, node: &str) -> Result<u64, BadClock> {
        match self.find(node) {
            Ok(at) => {
                let counter = &mut self.counters[at].1;
                *counter = counter.checked_add(1).ok_or(BadClock::Overflow)?;
                Ok(*counter)
            }
            Err(at) => self.insert(at, node, 1).map(|()| 1),
        }
    }

    /// Takes in all that `other` has seen: for each node the greater counter.
    ///
    /// # Errors
    /// When both together name too many nodes.
    pub fn merge(&mut self, other: &Self) -> Result<(), BadClock> {
        let new = other
            .iter()
            .filter(|(node, _)| self.find(node).is_err())
            .count();
        if self.len() + new > MAX_NODES {
            return Err(BadClock::TooManyNodes);
        }
        for (node, theirs) in &other.counters {
            match self.find(node) {
                Ok(at) => self.counters[at].1 = self.counters[at].1.max(*theirs),
                Err(at) => self.counters.insert(at, (node.clone(), *theirs)),
            }
        }
        Ok(())
    }

    /// How this clock stands to `other`.
    pub fn compare(&self, other: &Self) -> Order {
        match (self.is_within(other), other.is_within(self)) {
            (true, true) => Order::Equal,
            (true, false) => Order::Before,
            (false, true) => Order::After,
            (false, false) => Order::Concurrent,
        }
    }

    /// True when `other` has seen all that this has, and more.
    pub fn happens_before(&self, other: &Self) -> bool {
        self.compare(other) == Order::Before
    }

    /// True when neither has seen all that the other has.
    pub fn concurrent(&self, other: &Self) -> bool {
        self.compare(other) == Order::Concurrent
    }

    /// The condition of causal delivery: an event of `node` that bears this clock may be delivered
    /// to one who has `seen` so much, when it is the node's next and all else that the node had
    /// seen by then has been delivered.
    pub fn is_next_after(&self, seen: &Self, node: &str) -> bool {
        seen.get(node).checked_add(1) == Some(self.get(node))
            && self
                .iter()
                .all(|(other, counter)| other == node || counter <= seen.get(other))
    }

    /// True when for no node this counts more than `other` does.
    fn is_within(&self, other: &Self) -> bool {
        // Both are sorted, so one walk over both is enough.
        let mut theirs = other.counters.iter().peekable();
        self.counters.iter().all(|(node, counter)| {
            while theirs
                .next_if(|(name, _)| name.cmp(node) == Ordering::Less)
                .is_some()
            {}
            theirs
                .next_if(|(name, _)| name == node)
                .is_some_and(|(_, greater)| counter <= greater)
        })
    }

    fn find(&self, node: &str) -> Result<usize, usize> {
        self.counters
            .binary_search_by(|(name, _)| name.as_str().cmp(node))
    }

    fn insert(&mut self, at: usize, node: &str, counter: u64) -> Result<(), BadClock> {
        if node.is_empty() || node.len() > MAX_NODE_LENGTH {
            return Err(BadClock::BadNode);
        }
        if counter == 0 {
            return Ok(());
        }
        if self.len() == MAX_NODES {
            return Err(BadClock::TooManyNodes);
        }
        self.counters.insert(at, (node.into(), counter));
        Ok(())
    }
}

impl fmt::Debug for VectorClock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(counters: &[(&str, u64)]) -> VectorClock {
        VectorClock::from_counters(counters.iter().copied()).unwrap()
    }

    #[test]
    fn compares_by_what_was_seen() {
        let (a, b) = (clock(&[("a", 1)]), clock(&[("a", 1), ("b", 1)]));
        assert_eq!(a.compare(&b), Order::Before);
        assert_eq!(b.compare(&a), Order::After);
        assert_eq!(a.compare(&clock(&[("c", 0), ("a", 1)])), Order::Equal);
        assert_eq!(b.compare(&clock(&[("a", 2)])), Order::Concurrent);
        assert!(VectorClock::new().happens_before(&a) && !a.happens_before(&a));
    }

    #[test]
    fn delivers_a_nodes_next_once_all_it_had_seen_was_delivered() {
        let seen = clock(&[("a", 2), ("b", 1)]);
        assert!(clock(&[("a", 3), ("b", 1)]).is_next_after(&seen, "a"));
        assert!(clock(&[("a", 1), ("c", 1)]).is_next_after(&seen, "c"));
        // Its predecessor is missing; it came before; it saw an event of `b` that is missing.
        assert!(!clock(&[("a", 4)]).is_next_after(&seen, "a"));
        assert!(!clock(&[("a", 2)]).is_next_after(&seen, "a"));
        assert!(!clock(&[("a", 3), ("b", 2)]).is_next_after(&seen, "a"));
    }

    #[test]
    fn is_bounded_and_never_wraps() {
        let name = |n: usize| format!("n{n}");
        let mut full =
            VectorClock::from_counters((0..MAX_NODES).map(|n| (name(n), u64::MAX))).unwrap();
        let before = full.clone();
        assert_eq!(full.increment("n0"), Err(BadClock::Overflow));
        assert_eq!(full.increment("another"), Err(BadClock::TooManyNodes));
        assert_eq!(
            full.merge(&clock(&[("another", 1)])),
            Err(BadClock::TooManyNodes)
        );
        assert_eq!(full, before);
        assert!(!clock(&[("n0", 1)]).is_next_after(&full, "n0"));
        let zeros = (0..=MAX_NODES).map(|n| (name(n), 0));
        assert_eq!(
            VectorClock::from_counters(zeros),
            Err(BadClock::TooManyNodes)
        );
        for (counters, bad) in [
            ([("a", 1), ("a", 2)], BadClock::RepeatedNode),
            ([("a", 1), ("", 2)], BadClock::BadNode),
        ] {
            assert_eq!(VectorClock::from_counters(counters), Err(bad));
        }
        assert_eq!(
            VectorClock::new().increment(&"x".repeat(129)),
            Err(BadClock::BadNode)
        );
    }
}

//! Which rows of the dimensions are known to stand in their tables, so that agents, queues and hours
//! are not sent again with every batch.

use std::sync::{Mutex, PoisonError};

use compact_str::CompactString;
use hashbrown::HashSet;

use super::load::{Cell, Load};
use super::model::{HOURS, Merge};

/// Keys of each generation. Two generations are kept: what was not asked for while a generation
/// filled up is forgotten, and then merely written once more.
const GENERATION: usize = 32 << 10;

/// Shared by all connections of a warehouse.
#[derive(Default)]
pub(super) struct Memo(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashSet<Key>,
    old: HashSet<Key>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(&'static str, CompactString),
    Hour(i64),
}

impl Memo {
    /// Whether this key's row is in the table.
    pub fn knows(&self, merge: &Merge, name: &str) -> bool {
        self.has(Key::Name(merge.table, CompactString::new(name)))
    }

    /// The same for `dim_time`.
    pub fn knows_hour(&self, start: i64) -> bool {
        self.has(Key::Hour(start))
    }

    fn has(&self, key: Key) -> bool {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.contains(&key) {
            return true;
        }
        let known = generations.old.contains(&key);
        if known {
            generations.insert(key);
        }
        known
    }

    /// To be told what was committed. Only rows that are never replaced are kept in mind.
    pub fn committed(&self, load: &Load<'_>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in load.parts.iter().filter(|part| part.merge.guard.is_empty()) {
            for row in &part.rows {
                match &row[0] {
                    Cell::Text(name) => {
                        generations.insert(Key::Name(part.merge.table, CompactString::new(name)));
                    }
                    Cell::Time(start) if part.merge.table == HOURS.table => {
                        generations.insert(Key::Hour(*start));
                    }
                    _ => {}
                }
            }
        }
    }
}

impl Generations {
    fn insert(&mut self, key: Key) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::{AGENTS, FACTS, QUEUES};
    use super::*;

    fn load(merge: &'static Merge, name: &'static str) -> Load<'static> {
        let mut load = Load::default();
        load.add(merge, vec![vec![Cell::text(Some(name))]]);
        load
    }

    #[test]
    fn keeps_dimensions_apart_and_facts_out() {
        let memo = Memo::default();
        memo.committed(&load(&AGENTS, "a"));
        memo.committed(&load(&FACTS, "f"));
        assert!(memo.knows(&AGENTS, "a"));
        assert!(!memo.knows(&QUEUES, "a") && !memo.knows(&FACTS, "f"));
    }

    #[test]
    fn what_is_asked_for_outlives_what_is_not() {
        let memo = Memo::default();
        memo.committed(&load(&AGENTS, "kept"));
        memo.committed(&load(&AGENTS, "forgotten"));
        for start in 0..2 * GENERATION as i64 + 2 {
            memo.0.lock().unwrap().insert(Key::Hour(start));
            assert!(memo.knows(&AGENTS, "kept"), "{start}");
        }
        assert!(!memo.knows(&AGENTS, "forgotten"));
        let generations = memo.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
    }
}

//! Stretches of sequence numbers.

use std::collections::BTreeMap;

/// Stretches that do not touch; what is added is merged with its neighbours.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// Start -> end (not included).
    parts: BTreeMap<u64, u64>,
    total: u64,
}

impl Ranges {
    /// Adds `from..to`; says how many of them are new.
    pub fn insert(&mut self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        let (mut start, mut end, before) = (from, to, self.total);
        // Every part that overlaps or touches ends up in the new one.
        while let Some((&first, &last)) = self.parts.range(..=end).next_back() {
            if last < start {
                break;
            }
            self.parts.remove(&first);
            self.total -= last - first;
            start = start.min(first);
            end = end.max(last);
        }
        self.parts.insert(start, end);
        self.total += end - start;
        self.total - before
    }

    /// Forgets everything below `to`.
    pub fn forget(&mut self, to: u64) {
        while let Some((&first, &last)) = self.parts.first_key_value() {
            if first >= to {
                break;
            }
            self.parts.remove(&first);
            self.total -= last - first;
            if last > to {
                self.parts.insert(to, last);
                self.total += last - to;
            }
        }
    }

    /// The end of the part that holds `at`; `at` itself where none does.
    pub fn end_from(&self, at: u64) -> u64 {
        match self.parts.range(..=at).next_back() {
            Some((_, &last)) if last > at => last,
            _ => at,
        }
    }

    /// How many numbers there are in all parts.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_set_of_numbers(
            steps in prop::collection::vec((0u64..60, 0u64..20, any::<bool>()), 0..40),
        ) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (from, length, forget) in steps {
                if forget {
                    ranges.forget(from);
                    model.retain(|at| *at >= from);
                } else {
                    let new = (from..from + length).filter(|at| model.insert(*at)).count();
                    prop_assert_eq!(ranges.insert(from, from + length), new as u64);
                }
                prop_assert_eq!(ranges.total(), model.len() as u64);
                for at in 0..90 {
                    let end = (at..).find(|at| !model.contains(at)).unwrap();
                    prop_assert_eq!(ranges.end_from(at), end);
                }
            }
        }
    }
}

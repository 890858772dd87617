//! Gaps: times in which a source could not hear what was said.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// Gaps of one source that are kept with their times; older ones are only counted.
const KEPT: usize = 1_024;

/// A time in which a source without replay was not connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When it last heard something.
    pub from: jiff::Timestamp,
    /// When it was connected again.
    pub to: jiff::Timestamp,
    /// Why, in `snake_case`: fixed in code.
    pub reason: &'static str,
    /// What was re-read to fill it (conversations), and how many of them could not be.
    pub reread: u64,
    /// Those that could not be re-read.
    pub failed: u64,
}

impl Gap {
    /// How long it lasted, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.to.duration_since(self.from).as_secs_f64().max(0.0)
    }
}

/// The gaps of one node.
#[derive(Default)]
pub(super) struct Gaps(Mutex<Told>);

#[derive(Clone, Default)]
pub(super) struct Told {
    pub(super) count: u64,
    pub(super) seconds: f64,
    pub(super) last: VecDeque<Gap>,
}

impl Gaps {
    pub(super) fn add(&self, gap: Gap) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.count += 1;
        told.seconds += gap.seconds();
        if told.last.len() == KEPT {
            told.last.pop_front();
        }
        told.last.push_back(gap);
    }

    pub(super) fn read(&self) -> Told {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_kept_and_all_are_counted() {
        let gaps = Gaps::default();
        let gap = |second: i64| Gap {
            from: jiff::Timestamp::from_second(second).unwrap(),
            to: jiff::Timestamp::from_second(second + 2).unwrap(),
            reason: "silent",
            reread: 0,
            failed: 0,
        };
        for second in 0..KEPT as i64 + 3 {
            gaps.add(gap(second));
        }
        let told = gaps.read();
        assert_eq!(told.count, KEPT as u64 + 3);
        assert!((told.seconds - 2.0 * told.count as f64).abs() < 1e-9);
        assert_eq!(told.last.len(), KEPT);
        assert_eq!(told.last[0], gap(3));
    }
}

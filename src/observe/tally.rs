//! Counts by reason, with a bound on how many reasons there are.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Reasons that one tally tells apart. Reasons come partly from outside (the text of a remote
/// system's refusal), and each would be a time series of its own.
pub(super) const MAX_REASONS: usize = 64;

/// Where counts go once a tally is full.
pub(super) const OTHER: &str = "other";

/// Longest reason kept, in bytes.
const MAX_REASON_BYTES: usize = 96;

/// A list, not a map: a node has a handful of reasons, and the one it counts is found in a few
/// comparisons.
#[derive(Default)]
pub(super) struct Tally(Mutex<Vec<(Box<str>, u64)>>);

impl Tally {
    pub(super) fn add(&self, reason: &str, n: u64) {
        if n == 0 {
            return;
        }
        let reason = shortened(reason);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = counts.iter_mut().find(|(known, _)| **known == *reason) {
            *count += n;
        } else if counts.len() < MAX_REASONS {
            counts.push((reason.into(), n));
        } else if let Some((_, count)) = counts.iter_mut().find(|(known, _)| &**known == OTHER) {
            *count += n;
        } else {
            counts.push((OTHER.into(), n));
        }
    }

    /// Sets what stands for the reason.
    pub(super) fn set(&self, reason: &'static str, n: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = counts.iter_mut().find(|(known, _)| **known == *reason) {
            *count = n;
        } else if counts.len() < MAX_REASONS {
            counts.push((reason.into(), n));
        }
    }

    pub(super) fn read(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .map(|(reason, count)| (reason.to_string(), *count))
            .collect()
    }
}

pub(super) fn shortened(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_past_the_bound_are_counted_together() {
        let tally = Tally::default();
        for i in 0..1_000 {
            tally.add(&format!("reason-{i}"), 2);
        }
        tally.add("reason-0", 1);
        let counts = tally.read();
        assert_eq!(counts.len(), MAX_REASONS + 1);
        assert_eq!(counts["reason-0"], 3);
        assert_eq!(counts[OTHER], 2 * (1_000 - MAX_REASONS as u64));
        assert_eq!(counts.values().sum::<u64>(), 2_001, "nothing is lost");
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let tally = Tally::default();
        tally.add(&"é".repeat(1_000), 1);
        tally.add(&format!("x{}", "é".repeat(1_000)), 1);
        for reason in tally.read().keys() {
            assert!(reason.len() <= MAX_REASON_BYTES && reason.len() > MAX_REASON_BYTES - 4);
        }
    }

    #[test]
    fn counting_nothing_makes_no_reason() {
        let tally = Tally::default();
        tally.add("never", 0);
        assert!(tally.read().is_empty());
    }
}

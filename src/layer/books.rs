//! What the ends of a pipeline can do for a run over a range of the past.

use std::collections::BTreeMap;

use futures::future::BoxFuture;

use crate::failure::Failure;
use crate::observe::{Hour, HourCounts};

/// What a source would read, found out without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Objects and their bytes as stored, by day (`2026-01-31`); empty text where no day is known.
    pub days: BTreeMap<String, (u64, u64)>,
}

impl Survey {
    /// Adds an object.
    pub fn add(&mut self, day: String, bytes: u64) {
        let (objects, sum) = self.days.entry(day).or_default();
        *objects += 1;
        *sum += bytes;
    }

    /// All objects and all bytes.
    pub fn total(&self) -> (u64, u64) {
        let days = self.days.values();
        days.fold((0, 0), |(n, sum), (objects, bytes)| {
            (n + objects, sum + bytes)
        })
    }
}

/// Where the completeness ledger of a run is kept and can be checked: a warehouse. Opens a connection
/// of its own, so it is asked when the run is over.
pub trait Books: Send + Sync {
    /// Writes the figures of this run, in place of what it wrote before.
    ///
    /// # Errors
    /// When they are not there.
    fn keep<'a>(
        &'a self,
        run: &'a str,
        hours: &'a BTreeMap<Hour, HourCounts>,
    ) -> BoxFuture<'a, Result<(), Failure>>;

    /// How many facts lie in each hour (since 1970) from the first to before the second; `None` where
    /// this kind of warehouse is not asked.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn facts(
        &self,
        from: i64,
        to: i64,
    ) -> BoxFuture<'_, Result<Option<BTreeMap<i64, u64>>, Failure>>;
}

//! How far behind the events their rows are: as figures of the node, and as a table in the warehouse.
//!
//! Each writer counts for itself, minute by minute, and writes its count so far in the transaction of
//! the batch. A count is taken over only when its commit is known to have gone well; a batch that
//! comes again after a commit whose outcome was lost therefore writes the same count again.

use std::sync::{Mutex, PoisonError};

use super::load::{Cell, Load};
use super::model::FRESHNESS;
use super::time;
use crate::observe::NodeMeter;

/// Milliseconds.
const MINUTE: i64 = 60_000;

/// Shared by all connections of a warehouse.
pub(super) struct Freshness {
    meter: NodeMeter,
    /// The counts that nobody is adding to just now; as many as there were writers at one time.
    /// `None` where the table is not wanted.
    idle: Option<Mutex<Vec<Count>>>,
    /// Tells this process from all others that write the same tables.
    writer: String,
}

/// What one writer has loaded in a minute.
#[derive(Clone, Default)]
struct Count {
    writer: String,
    /// Milliseconds since 1970 at which it begins.
    minute: i64,
    rows: i64,
    /// Milliseconds.
    lag_max: i64,
    lag_sum: i64,
    newest: i64,
}

/// A load on its way.
pub(super) struct Note<'f> {
    home: &'f Freshness,
    /// As it was, and as it will be.
    counts: Option<(Count, Count)>,
    /// Oldest and newest event of the load, in milliseconds since 1970.
    span: Option<(i64, i64)>,
}

impl Freshness {
    pub fn new(wanted: bool, meter: NodeMeter) -> Self {
        let mut bytes = [0; 8];
        // Without randomness the moment tells writers apart well enough.
        if getrandom::fill(&mut bytes).is_err() {
            bytes = jiff::Timestamp::now().as_nanosecond().to_le_bytes()[..8]
                .try_into()
                .unwrap_or_default();
        }
        Self {
            meter,
            idle: wanted.then(Mutex::default),
            writer: format!("{:016x}", u64::from_le_bytes(bytes)),
        }
    }

    /// A load of rows whose events have these times.
    pub fn note(&self, times: impl Iterator<Item = i64>) -> Note<'_> {
        self.note_at(times, jiff::Timestamp::now().as_millisecond())
    }

    fn note_at(&self, times: impl Iterator<Item = i64>, now: i64) -> Note<'_> {
        let counts = self.take().map(|count| (count.clone(), count));
        let mut note = Note {
            home: self,
            counts,
            span: None,
        };
        if let Some((_, next)) = &mut note.counts {
            next.turn(now);
        }
        for time in times {
            let (oldest, newest) = note.span.unwrap_or((time, time));
            note.span = Some((oldest.min(time), newest.max(time)));
            if let Some((_, next)) = &mut note.counts {
                next.add(time, now);
            }
        }
        note
    }

    fn take(&self) -> Option<Count> {
        let mut idle = self
            .idle
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Some(idle.pop().unwrap_or_default())
    }

    /// A name for a count: no two that are in use have the same, since one that is out was taken.
    fn name(&self, count: &mut Count) {
        if count.writer.is_empty() {
            let mut bytes = [0; 4];
            // One that cannot be told apart would share a row, and the larger count would stand.
            let _ = getrandom::fill(&mut bytes);
            count.writer = format!("{}-{:08x}", self.writer, u32::from_le_bytes(bytes));
        }
    }
}

impl Count {
    /// Begins anew when another minute has come.
    fn turn(&mut self, now: i64) {
        let minute = now.div_euclid(MINUTE) * MINUTE;
        if minute != self.minute {
            *self = Self {
                writer: std::mem::take(&mut self.writer),
                minute,
                newest: i64::MIN,
                ..Self::default()
            };
        }
    }

    fn add(&mut self, time: i64, now: i64) {
        // A clock that goes wrong elsewhere must not make the mean negative.
        let lag = now.saturating_sub(time).max(0);
        self.rows += 1;
        self.lag_max = self.lag_max.max(lag);
        self.lag_sum = self.lag_sum.saturating_add(lag);
        self.newest = self.newest.max(time);
    }
}

impl Note<'_> {
    /// Adds the count to what is written.
    pub fn add_to(&mut self, load: &mut Load<'_>) {
        let Some((before, next)) = self.counts.as_mut().filter(|_| self.span.is_some()) else {
            return;
        };
        self.home.name(next);
        // Whoever tries again goes on under the same name.
        before.writer.clone_from(&next.writer);
        let slot = format!("{}/{}", time::text(next.minute), next.writer);
        load.add(
            &FRESHNESS,
            vec![vec![
                Cell::Text(slot.into()),
                Cell::Time(next.minute),
                Cell::Text(next.writer.clone().into()),
                Cell::Integer(next.rows),
                Cell::Integer(next.lag_max),
                Cell::Integer(next.lag_sum),
                Cell::Time(next.newest),
            ]],
        );
    }

    /// The load has been committed.
    pub fn committed(mut self) {
        if let Some((before, next)) = &mut self.counts {
            std::mem::swap(before, next);
        }
        if let Some((oldest, newest)) = self.span {
            let now = jiff::Timestamp::now().as_millisecond();
            let age = |time: i64| u64::try_from(now.saturating_sub(time)).unwrap_or_default();
            let meter = &self.home.meter;
            meter.figure("freshness_oldest_ms", age(oldest));
            meter.figure("freshness_newest_ms", age(newest));
        }
    }
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if let (Some((count, _)), Some(idle)) = (self.counts.take(), &self.home.idle) {
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{NodeKind, Observer};

    fn freshness(wanted: bool) -> Freshness {
        let meter = Observer::new("p").node("w", NodeKind::Sink, "warehouse");
        Freshness::new(wanted, meter)
    }

    /// What is written: slot, rows, largest lag, sum, newest.
    fn written(note: &mut Note<'_>) -> Option<(String, [i64; 4])> {
        let mut load = Load::default();
        note.add_to(&mut load);
        let row = &load.parts.first()?.rows[0];
        let number = |place: usize| match &row[place] {
            Cell::Integer(number) | Cell::Time(number) => *number,
            _ => panic!("{place}"),
        };
        let Cell::Text(slot) = &row[0] else { panic!() };
        Some((slot.to_string(), [3, 4, 5, 6].map(number)))
    }

    #[test]
    fn counts_up_only_what_was_committed() {
        let freshness = freshness(true);
        let now = 10 * MINUTE + 5_000;
        let mut first = freshness.note_at([now - 10, now - 30].into_iter(), now);
        let (slot, numbers) = written(&mut first).unwrap();
        assert_eq!(numbers, [2, 30, 40, now - 10]);
        drop(first);
        // It failed, and comes again: the same row says the same.
        let mut again = freshness.note_at([now - 10, now - 30].into_iter(), now);
        assert_eq!(written(&mut again).unwrap(), (slot.clone(), numbers));
        again.committed();
        let mut next = freshness.note_at([now + 7].into_iter(), now);
        assert_eq!(written(&mut next).unwrap(), (slot, [3, 30, 40, now + 7]));
    }

    #[test]
    fn writers_at_the_same_time_have_rows_of_their_own_and_minutes_too() {
        let freshness = freshness(true);
        let mut one = freshness.note_at([0].into_iter(), MINUTE);
        let mut two = freshness.note_at([0].into_iter(), MINUTE);
        let slots = [written(&mut one).unwrap().0, written(&mut two).unwrap().0];
        assert_ne!(slots[0], slots[1]);
        one.committed();
        drop(two);
        let mut later = freshness.note_at([0].into_iter(), 2 * MINUTE);
        let (slot, numbers) = written(&mut later).unwrap();
        assert!(!slots.contains(&slot));
        assert_eq!(numbers[0], 1);
    }

    #[test]
    fn nothing_is_written_of_nothing_or_where_it_is_not_wanted() {
        assert!(written(&mut freshness(true).note_at([].into_iter(), 0)).is_none());
        assert!(written(&mut freshness(false).note_at([1].into_iter(), 0)).is_none());
    }
}

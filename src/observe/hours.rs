//! The completeness ledger: what became of every record of a run, by the hour of its own time.
//!
//! The engine enters a delivery when it begins ([`Hours::begin`]) and closes it when it is settled
//! ([`Hours::settle`]); in between, nodes say what became of records ([`Hours::tell`]), as often as
//! they like, since a record is known by its origin and has one fate. So a record is counted once,
//! whatever is delivered again, and where its time was changed on the way it stays in its hour.
//! What a settled delivery changes is written with the source's checkpoint, in one transaction:
//! after a crash the figures stand exactly where the cursor does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::clock::{parse_epoch, parse_lenient};
use crate::event::{Event, Kind, Origin, Path};

/// Hours that are told apart, eleven years of them; what lies in further ones is counted together.
pub const MAX_HOURS: usize = 100_000;

/// Events of a run that are told apart by their ids; they take about 64 MB.
const MAX_IDS: usize = 2_000_000;

const MICROS_IN_HOUR: i64 = 3_600_000_000;

/// The hour of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hour {
    /// Hours since 1970, UTC.
    At(i64),
    /// The record has no time that can be read, or is no record at all.
    Unknown,
    /// One of the hours past the first [`MAX_HOURS`].
    Other,
}

/// What a node did with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A rule ended its way.
    Dropped,
    /// A sink that is no warehouse took it.
    Elsewhere,
    /// A warehouse took it.
    Loaded,
    /// It is among the dead letters.
    Refused,
}

impl Fate {
    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The records of one hour. Each is counted once beside `read`, by the gravest thing that was told
/// of it or of any event that was made of it: refused before loaded before taken elsewhere before
/// dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HourCounts {
    /// Came out of the source, broken ones included, and were settled.
    pub read: u64,
    /// A warehouse has them.
    pub loaded: u64,
    /// Only sinks that are no warehouse have them.
    pub elsewhere: u64,
    /// A rule ended their way (duplicates, filters).
    pub dropped: u64,
    /// Are among the dead letters.
    pub refused: u64,
    /// Were answered with success though nobody said what became of them. Always a mistake.
    pub unexplained: u64,
    /// Events that made or replaced a row of the facts, of those records.
    pub rows_written: u64,
    /// Events whose row was there already, as new or newer.
    pub rows_unchanged: u64,
}

impl HourCounts {
    const FIELDS: usize = 8;

    /// Adds the figures of another hour.
    pub fn add(&mut self, other: &Self) {
        let sums = self.to_array().into_iter().zip(other.to_array());
        let sums: Vec<u64> = sums.map(|(one, two)| one.saturating_add(two)).collect();
        *self = Self::from_slice(&sums);
    }

    fn to_array(self) -> [u64; Self::FIELDS] {
        [
            self.read,
            self.loaded,
            self.elsewhere,
            self.dropped,
            self.refused,
            self.unexplained,
            self.rows_written,
            self.rows_unchanged,
        ]
    }

    /// Missing figures are 0: an older version knew fewer.
    fn from_slice(figures: &[u64]) -> Self {
        let at = |place: usize| figures.get(place).copied().unwrap_or(0);
        Self {
            read: at(0),
            loaded: at(1),
            elsewhere: at(2),
            dropped: at(3),
            refused: at(4),
            unexplained: at(5),
            rows_written: at(6),
            rows_unchanged: at(7),
        }
    }
}

/// The ledger of one run. Clones share it. Bounded: by [`MAX_HOURS`], and by the records that the
/// engine has under way.
#[derive(Clone, Default)]
pub struct Hours(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    paths: Vec<Path>,
    open: HashMap<u64, Vec<Record>>,
    hours: BTreeMap<Hour, HourCounts>,
    changed: BTreeSet<Hour>,
    ids: Ids,
}

/// The newest time of each event that a warehouse has of this run, by a hash of its id.
#[derive(Default)]
struct Ids {
    hasher: RandomState,
    /// In milliseconds since 1970.
    newest: HashMap<u64, i64>,
    /// There were more than [`MAX_IDS`].
    full: bool,
}

/// A record under way.
struct Record {
    hour: Hour,
    fates: u8,
}

impl Hours {
    /// Goes on from what [`Hours::settle`] gave to keep. Entries that cannot be read are left out.
    pub fn restore(kept: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let entries = kept.into_iter().filter_map(|(key, value)| {
            let figures = value.chunks_exact(8);
            let figures =
                figures.filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
            let figures: Vec<u64> = figures.take(HourCounts::FIELDS).collect();
            Some((hour_of_key(&key)?, HourCounts::from_slice(&figures)))
        });
        let book = Book {
            hours: entries.collect(),
            ..Book::default()
        };
        Self(Arc::new(Mutex::new(book)))
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a record's own time is found: the first of these that holds one.
    pub fn set_paths(&self, paths: Vec<Path>) {
        self.lock().paths = paths;
    }

    /// A delivery is under way: its events, and then as many records that are no events.
    pub fn begin(&self, delivery: u64, events: &[Event], refused: usize) {
        let mut book = self.lock();
        let mut records = Vec::with_capacity(events.len() + refused);
        for event in events {
            let micros = book.paths.iter().find_map(|path| time_at(event, path));
            let hour = micros.map_or(Hour::Unknown, |it| Hour::At(it.div_euclid(MICROS_IN_HOUR)));
            records.push(Record { hour, fates: 0 });
        }
        records.resize_with(events.len() + refused, || Record {
            hour: Hour::Unknown,
            fates: 0,
        });
        book.open.insert(delivery, records);
    }

    /// What became of these. Others than those under way are not looked at.
    pub fn tell(&self, fates: impl IntoIterator<Item = (Origin, Fate)>) {
        let mut book = self.lock();
        for (origin, fate) in fates {
            if let Some(record) = book.record(origin) {
                record.fates |= fate.bit();
            }
        }
    }

    /// Events that were written to a warehouse, and whether each made or replaced its row.
    pub fn rows(&self, rows: impl IntoIterator<Item = (Origin, bool)>) {
        let mut book = self.lock();
        for (origin, written) in rows {
            let Some(hour) = book.record(origin).map(|record| record.hour) else {
                continue;
            };
            let counts = book.counts(hour);
            match written {
                true => counts.rows_written += 1,
                false => counts.rows_unchanged += 1,
            }
        }
    }

    /// Events that a warehouse has taken: their ids, and their times in milliseconds since 1970.
    pub fn ids<'e>(&self, events: impl IntoIterator<Item = (&'e str, i64)>) {
        let ids = &mut self.lock().ids;
        for (id, time) in events {
            if ids.full {
                return;
            }
            let newest = ids.newest.entry(ids.hasher.hash_one(id)).or_insert(time);
            *newest = (*newest).max(time);
            if ids.newest.len() > MAX_IDS {
                ids.full = true;
                ids.newest = HashMap::new();
            }
        }
    }

    /// How many different events of this run alone a warehouse has, by the hour (since 1970) in which
    /// the newest of each id lies; `None` where they were too many to be told apart.
    #[must_use]
    pub fn loaded_ids(&self) -> Option<BTreeMap<i64, u64>> {
        let ids = &self.lock().ids;
        let mut hours = BTreeMap::new();
        for time in ids.newest.values() {
            *hours
                .entry(time.div_euclid(MICROS_IN_HOUR / 1000))
                .or_default() += 1;
        }
        (!ids.full).then_some(hours)
    }

    /// A delivery was settled well: its records are counted.
    pub fn settle(&self, delivery: u64) {
        let mut book = self.lock();
        for Record { hour, fates } in book.open.remove(&delivery).unwrap_or_default() {
            let counts = book.counts(hour);
            counts.read += 1;
            let is = |fate: Fate| fates & fate.bit() != 0;
            *match () {
                () if is(Fate::Refused) => &mut counts.refused,
                () if is(Fate::Loaded) => &mut counts.loaded,
                () if is(Fate::Elsewhere) => &mut counts.elsewhere,
                () if is(Fate::Dropped) => &mut counts.dropped,
                () => &mut counts.unexplained,
            } += 1;
        }
    }

    /// A delivery was not settled well: it comes again, and counts then.
    pub fn forget(&self, delivery: u64) {
        self.lock().open.remove(&delivery);
    }

    /// What is to be kept of the hours that changed since the last call, as keys and values.
    pub fn take_changed(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut book = self.lock();
        let changed = std::mem::take(&mut book.changed);
        let entry = |hour: &Hour| {
            let counts = book.hours.get(hour).copied().unwrap_or_default();
            let value = counts.to_array().into_iter().flat_map(u64::to_le_bytes);
            (key_of_hour(*hour), value.collect())
        };
        changed.iter().map(entry).collect()
    }

    /// The hours as they stand, in the order of time.
    #[must_use]
    pub fn read(&self) -> BTreeMap<Hour, HourCounts> {
        self.lock().hours.clone()
    }
}

impl Book {
    fn record(&mut self, origin: Origin) -> Option<&mut Record> {
        self.open
            .get_mut(&origin.delivery())?
            .get_mut(origin.index())
    }

    fn counts(&mut self, hour: Hour) -> &mut HourCounts {
        let full = self.hours.len() >= MAX_HOURS && !self.hours.contains_key(&hour);
        let hour = match hour {
            Hour::At(_) if full => Hour::Other,
            hour => hour,
        };
        self.changed.insert(hour);
        self.hours.entry(hour).or_default()
    }
}

fn time_at(event: &Event, path: &Path) -> Option<i64> {
    let value = event.get(path)?;
    match value.kind() {
        Kind::Number => parse_epoch(&value.as_plain()?),
        Kind::Text => parse_lenient(&value.as_str()?),
        _ => None,
    }
}

fn key_of_hour(hour: Hour) -> Vec<u8> {
    match hour {
        Hour::At(hours) => hours.to_be_bytes().to_vec(),
        Hour::Unknown => b"unknown".to_vec(),
        Hour::Other => b"other".to_vec(),
    }
}

fn hour_of_key(key: &[u8]) -> Option<Hour> {
    match key {
        b"unknown" => Some(Hour::Unknown),
        b"other" => Some(Hour::Other),
        key => Some(Hour::At(i64::from_be_bytes(key.try_into().ok()?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{PathSet, Provenance};

    fn event(json: &str, delivery: u64, index: usize) -> Event {
        let (set, from) = (
            Arc::new(PathSet::default()),
            Arc::new(Provenance::default()),
        );
        let mut event = Event::parse(json.to_owned(), &set, &from).unwrap();
        event.origin = Origin::new(delivery, index);
        event
    }

    fn hours() -> Hours {
        let hours = Hours::default();
        hours.set_paths(vec![Path::of(["timestamp"]), Path::of(["detail", "at"])]);
        hours
    }

    /// 2026-01-01T00:00:00Z.
    const FIRST: i64 = 490_896;

    #[test]
    fn each_record_has_one_fate_in_the_hour_of_its_own_time() {
        let hours = hours();
        let events = [
            event(r#"{"timestamp":"2026-01-01T00:59:59Z"}"#, 7, 0),
            event(r#"{"detail":{"at":1767229200}}"#, 7, 1), // 01:00:00
            event(r#"{"timestamp":"soon"}"#, 7, 2),
        ];
        hours.begin(7, &events, 1);
        // The first is split in two parts, one of which is refused; told twice, it counts once.
        let first = events[0].origin;
        hours.tell([
            (first.part(1), Fate::Loaded),
            (first.part(2), Fate::Refused),
        ]);
        hours.tell([(first.part(1), Fate::Loaded), (first, Fate::Refused)]);
        hours.tell([
            (events[1].origin, Fate::Dropped),
            (events[1].origin, Fate::Loaded),
        ]);
        hours.tell([
            (Origin::new(7, 3), Fate::Refused),
            (Origin::new(9, 0), Fate::Loaded),
        ]);
        hours.rows([(events[1].origin, true), (first.part(1), false)]);
        assert!(hours.read().values().all(|counts| counts.read == 0));
        hours.settle(7);
        hours.settle(7);
        let read = hours.read();
        let keys: Vec<_> = read.keys().copied().collect();
        assert_eq!(keys, [Hour::At(FIRST), Hour::At(FIRST + 1), Hour::Unknown]);
        let first = read[&Hour::At(FIRST)];
        assert_eq!((first.read, first.refused, first.loaded), (1, 1, 0));
        let second = read[&Hour::At(FIRST + 1)];
        assert_eq!(
            (second.loaded, second.dropped, second.rows_written),
            (1, 0, 1)
        );
        let unknown = read[&Hour::Unknown];
        assert_eq!(
            (unknown.read, unknown.refused, unknown.unexplained),
            (2, 1, 1)
        );
    }

    #[test]
    fn what_comes_again_counts_when_it_is_settled() {
        let hours = hours();
        let events = [event(r#"{"timestamp":"2026-01-01T00:00:00Z"}"#, 1, 0)];
        hours.begin(1, &events, 0);
        hours.tell([(events[0].origin, Fate::Loaded)]);
        hours.forget(1);
        hours.settle(1);
        assert!(hours.read().is_empty());
    }

    #[test]
    fn figures_outlive_the_run() {
        let before = hours();
        let events = [event(r#"{"timestamp":"1969-12-31T23:30:00Z"}"#, 1, 0)];
        before.begin(1, &events, 1);
        before.tell([(events[0].origin, Fate::Loaded)]);
        before.settle(1);
        let kept = before.take_changed();
        assert_eq!((kept.len(), before.take_changed().len()), (2, 0));
        let mut broken = kept.clone();
        broken.push((b"odd".to_vec(), vec![1]));
        let after = Hours::restore(broken);
        assert_eq!(after.read(), before.read());
        assert_eq!(after.read()[&Hour::At(-1)].loaded, 1);
    }

    #[test]
    fn ids_count_once_where_their_newest_time_lies() {
        let hours = hours();
        let hour = MICROS_IN_HOUR / 1000;
        hours.ids([("a", 5 * hour), ("b", hour - 1)]);
        // The newest came first.
        hours.ids([("a", 2 * hour), ("b", -1)]);
        let expected = BTreeMap::from([(0, 1), (5, 1)]);
        assert_eq!(hours.loaded_ids(), Some(expected));
        let more = (0..=MAX_IDS as u64).map(|id| (id, 0));
        hours.lock().ids.newest.extend(more);
        hours.ids([("c", 0), ("d", 0)]);
        assert_eq!(hours.loaded_ids(), None, "too many to be told apart");
        assert!(hours.lock().ids.newest.is_empty());
    }

    #[test]
    fn hours_past_the_bound_are_counted_together() {
        let hours = hours();
        {
            let mut book = hours.lock();
            (0..MAX_HOURS as i64).for_each(|hour| book.counts(Hour::At(hour)).read += 1);
        }
        let events = [
            event(r#"{"timestamp":"2026-01-01T00:00:00Z"}"#, 1, 0),
            event(r#"{"timestamp":"1970-01-01T00:00:00Z"}"#, 1, 1),
            event("{}", 1, 2),
        ];
        hours.begin(1, &events, 0);
        hours.settle(1);
        let read = hours.read();
        assert_eq!((read[&Hour::Other].read, read[&Hour::At(0)].read), (1, 2));
        assert_eq!((read[&Hour::Unknown].read, read.len()), (1, MAX_HOURS + 2));
    }
}

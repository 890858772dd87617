//! What a batch brings to each table: rows in the order of the table's columns, no key twice.

use std::borrow::Cow;
use std::cmp::Ordering;

use hashbrown::{HashMap, HashSet};

use super::memo::Memo;
use super::model::{
    AGENT_ID, AGENTS, DIRECTION, FACTS, HOURS, INTERACTION_ID, INTERACTION_TYPE, Merge, QUEUE_NAME,
    QUEUES, RECORDING_URL, RECORDINGS, STATE_NAME,
};
use super::row::Row;
use super::time::{HOUR, Hour};

/// A value of a row. It has no `Debug`: it may be personal data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell<'r> {
    Null,
    Text(Cow<'r, str>),
    /// Within the column's range.
    Integer(i64),
    /// Milliseconds since 1970, within the years 1 to 9999.
    Time(i64),
    /// Days since 1970.
    Date(i32),
}

impl<'r> Cell<'r> {
    /// Text, or nothing.
    pub fn text(text: Option<&'r str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(Cow::Borrowed(text)))
    }

    /// The text, if it is some.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Rows for one table, in the order of `merge.columns`; no key twice, and sorted by the key, so that
/// two transactions lock the same rows in the same order.
pub(super) struct Part<'r> {
    pub merge: &'static Merge,
    pub rows: Vec<Vec<Cell<'r>>>,
}

/// What a batch brings; parts without rows are left out. The parts come in the order of
/// [`MERGES`](super::model::MERGES), for the reason that rows are sorted.
#[derive(Default)]
pub(super) struct Load<'r> {
    pub parts: Vec<Part<'r>>,
    /// Whether somebody asks which facts were written, which costs an answer for each.
    pub told: bool,
}

impl<'r> Load<'r> {
    /// Folds rows of one event into the newest. Dimensions that `memo` knows are left out: they stand
    /// in their tables.
    pub fn of(rows: &'r [Row<'_>], source_system: &'r str, memo: &Memo) -> Self {
        let source = || Cell::text(Some(source_system));
        let facts = newest(rows.iter(), Row::order);
        let with = rows.iter().filter(|row| row.text(RECORDING_URL).is_some());
        // Of those that have a recording: a later event without one takes none away.
        let recordings = newest(with, Row::recording_order);
        // Of all rows, not only the newest: what the dimensions hold must not hang on which rows
        // happened to meet in one batch.
        let named = |merge: &'static Merge, place: usize| {
            let names: HashSet<&str> = rows.iter().filter_map(|row| row.text(place)).collect();
            let new = names.into_iter().filter(|name| !memo.knows(merge, name));
            new.map(|name| vec![Cell::text(Some(name)), source()])
                .collect()
        };
        let hours: HashSet<i64> = rows.iter().map(Row::hour).collect();
        let hours = hours.into_iter().filter(|hour| !memo.knows_hour(*hour));
        let mut load = Self::default();
        load.add(
            &FACTS,
            facts.into_iter().map(|row| fact(row, source())).collect(),
        );
        load.add(&RECORDINGS, recordings.into_iter().map(recording).collect());
        load.add(&AGENTS, named(&AGENTS, AGENT_ID));
        load.add(&QUEUES, named(&QUEUES, QUEUE_NAME));
        load.add(&HOURS, hours.map(hour).collect());
        load
    }

    /// Adds a part, unless it has no rows. No key may come twice.
    pub fn add(&mut self, merge: &'static Merge, mut rows: Vec<Vec<Cell<'r>>>) {
        if rows.is_empty() {
            return;
        }
        rows.sort_unstable_by(|one, other| one[0].cmp(&other[0]));
        self.parts.push(Part { merge, rows });
    }
}

fn fact<'r>(row: &'r Row<'_>, source: Cell<'r>) -> Vec<Cell<'r>> {
    let text = |place: usize| Cell::text(row.text(place));
    vec![
        Cell::text(Some(row.event_id())),
        text(INTERACTION_ID),
        Cell::Time(row.time),
        text(INTERACTION_TYPE),
        text(DIRECTION),
        text(STATE_NAME),
        row.duration
            .map_or(Cell::Null, |seconds| Cell::Integer(seconds.into())),
        text(QUEUE_NAME),
        text(AGENT_ID),
        source,
        Cell::Integer(row.counter),
    ]
}

fn recording<'r>(row: &'r Row<'_>) -> Vec<Cell<'r>> {
    vec![
        Cell::text(Some(row.event_id())),
        Cell::text(row.text(INTERACTION_ID)),
        Cell::text(row.text(RECORDING_URL)),
        Cell::Time(row.time),
        Cell::Integer(row.counter),
    ]
}

fn hour<'r>(start: i64) -> Vec<Cell<'r>> {
    let hour = Hour::starting(start);
    vec![
        Cell::Time(start),
        Cell::Date(hour.date),
        Cell::Integer(hour.year),
        Cell::Integer(hour.quarter),
        Cell::Integer(hour.month),
        Cell::Integer(hour.day),
        Cell::Integer(hour.hour),
        Cell::Integer(hour.day_of_week),
    ]
}

impl Row<'_> {
    /// Milliseconds since 1970 at which its hour begins.
    fn hour(&self) -> i64 {
        self.time.div_euclid(HOUR) * HOUR
    }
}

fn newest<'r, 'e>(
    rows: impl Iterator<Item = &'r Row<'e>>,
    order: impl Fn(&Row<'e>, &Row<'e>) -> Ordering,
) -> Vec<&'r Row<'e>> {
    let mut places = HashMap::with_capacity(rows.size_hint().0);
    let mut kept: Vec<&'r Row<'e>> = Vec::with_capacity(rows.size_hint().0);
    for row in rows {
        let place = *places.entry(row.event_id()).or_insert(kept.len());
        match kept.get_mut(place) {
            None => kept.push(row),
            Some(other) if order(row, other) == Ordering::Greater => *other = row,
            Some(_) => {}
        }
    }
    kept
}

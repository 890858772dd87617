//! A batch's rows, each table's rows once: of several rows of one event only the newest is written.

use std::cmp::Ordering;

use hashbrown::{HashMap, HashSet};

use super::model::{AGENT_ID, QUEUE_NAME, RECORDING_URL};
use super::row::Row;
use super::time::HOUR;

/// What a batch brings to each table.
pub(super) struct Load<'r, 'e> {
    pub facts: Vec<&'r Row<'e>>,
    /// The newest of those that have a recording: a later event without one takes none away.
    pub recordings: Vec<&'r Row<'e>>,
    /// Of all rows, not only the newest: what the dimensions hold must not hang on which rows
    /// happened to meet in one batch.
    pub agents: HashSet<&'r str>,
    pub queues: HashSet<&'r str>,
    /// Milliseconds since 1970 at which hours begin.
    pub hours: HashSet<i64>,
}

impl<'r, 'e> Load<'r, 'e> {
    /// Folds rows of one event into the newest.
    pub fn of(rows: &'r [Row<'e>]) -> Self {
        let recordings = rows.iter().filter(|row| row.text(RECORDING_URL).is_some());
        Self {
            facts: newest(rows.iter(), Row::order),
            recordings: newest(recordings, Row::recording_order),
            agents: rows.iter().filter_map(|row| row.text(AGENT_ID)).collect(),
            queues: rows.iter().filter_map(|row| row.text(QUEUE_NAME)).collect(),
            hours: rows
                .iter()
                .map(|row| row.time.div_euclid(HOUR) * HOUR)
                .collect(),
        }
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

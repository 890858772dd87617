//! The window in the state store: a row for what one batch brought of one delivery.
//!
//! Key: a growing number, 8 bytes; of one of several lanes behind its number and how many there
//! are, 4 bytes each. Value: wall time of arrival in milliseconds since 1970, 8 bytes, then the
//! keys' fingerprints. All big-endian. Nothing of an event can be read from it.
//!
//! **When the number of lanes has changed** nobody can tell from a row which lane its keys belong
//! to by now. So each lane takes in all rows of the other numbers of lanes, and none removes them
//! before they are older than the window, since another may need them at the next start.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::time::Duration;

use super::key::Fingerprint;
use super::window::{Ticks, Window};
use crate::event::Origin;
use crate::failure::Failure;
use crate::layer::Lane;
use crate::state::{Op, Table};

/// Old rows that one batch removes beyond those that it adds: enough to catch up, and never so
/// many that a rotation stalls the stream.
const SWEEP: usize = 64;

/// The rows of one stage.
pub(super) struct Log {
    table: Table,
    lane: Lane,
    /// Row number and flight, oldest first.
    rows: VecDeque<(u64, u32)>,
    next: u64,
    /// Rows of another number of lanes that this one removes: time of arrival and key, oldest
    /// first.
    inherited: VecDeque<(u64, Vec<u8>)>,
    /// Wall time at the start of the stage's clock.
    opened: u64,
    length: Ticks,
}

/// A row as it is read. Ordered by age.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    at: u64,
    place: Place,
    keys: Vec<Fingerprint>,
}

/// Which row: the number comes first, so that rows of one time keep the order they were made in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    number: u64,
    of: u32,
    index: u32,
}

impl Log {
    /// Fills the window with what the last run remembered, at most `max_keys` over all lanes.
    /// `opened`: the wall time now.
    pub fn open(
        table: Table,
        lane: Lane,
        window: &mut Window,
        length: Ticks,
        max_keys: usize,
        opened: u64,
    ) -> Result<Self, Failure> {
        let mut log = Self {
            table,
            lane,
            rows: VecDeque::new(),
            next: 0,
            inherited: VecDeque::new(),
            opened,
            length,
        };
        let rows = log.read(max_keys)?;
        window.take_over(|window| {
            for row in rows {
                // A wall clock that was set back must not make a row younger than now.
                let age = opened.saturating_sub(row.at).saturating_mul(1_000_000);
                let at = length.saturating_sub(age);
                let flight = window.begin(at, None);
                for key in row.keys {
                    window.see(key, flight, at);
                }
                if row.place.is_of(lane) {
                    log.rows.push_back((row.place.number, flight));
                }
            }
        });
        Ok(log)
    }

    fn window(&self) -> u64 {
        Duration::from_nanos(self.length).as_millis() as u64
    }

    /// The rows that still count, oldest first; own ones that do not are removed.
    fn read(&mut self, max_keys: usize) -> Result<Vec<Row>, Failure> {
        let (mut rows, mut total) = (BinaryHeap::new(), 0);
        let (mut next, mut bad, mut inherited) = (0, Vec::new(), Vec::new());
        let (lane, opened, window) = (self.lane, self.opened, self.window());
        self.table.scan(&mut |key, value| {
            let place = Place::read(key);
            match place {
                // Also of a row that makes no sense: its removal must not hit a new one.
                Some(place) if place.is_of(lane) => next = next.max(place.number + 1),
                // Of another lane of this same run.
                Some(place) if place.of == lane.of => return,
                _ => {}
            }
            match place.and_then(|place| read_row(place, value)) {
                Some(row) if opened.saturating_sub(row.at) < window => {
                    if !row.place.is_of(lane) && row.place.is_removed_by(lane) {
                        inherited.push((row.at, key.to_vec()));
                    }
                    total += row.keys.len();
                    rows.push(Reverse(row));
                }
                _ => bad.push(key.to_vec()),
            }
            // Never more in memory than the window may hold.
            while let Some(Reverse(oldest)) = rows.peek()
                && total - oldest.keys.len() >= max_keys
            {
                total -= oldest.keys.len();
                let gone = rows.pop().map(|Reverse(row)| row.place);
                bad.extend(gone.filter(|place| place.is_of(lane)).map(Place::key));
            }
        })?;
        for key in bad {
            self.table.note_soon(Op::Delete { key });
        }
        self.next = next;
        inherited.sort_unstable();
        self.inherited = inherited.into();
        let mut rows: Vec<Row> = rows.into_iter().map(|Reverse(row)| row).collect();
        rows.sort_unstable();
        Ok(rows)
    }

    /// Notes the keys that a flight delivered, and removes rows that no longer count. `keys` are
    /// in the order of the batch, in which the events of one delivery lie together.
    pub fn write(
        &mut self,
        window: &Window,
        flight: u32,
        at: Ticks,
        keys: &[(Fingerprint, Origin)],
    ) {
        let mut added = 0;
        if !window.is_gone(flight) {
            let wall = self.wall(at);
            for run in keys.chunk_by(|(_, a), (_, b)| a.delivery() == b.delivery()) {
                let mut value = Vec::with_capacity(8 + run.len() * Fingerprint::BYTES);
                value.extend_from_slice(&wall.to_be_bytes());
                for (key, _) in run {
                    value.extend_from_slice(&key.to_bytes());
                }
                let key = self.key(self.next);
                self.table.note(run[0].1.delivery(), Op::Put { key, value });
                self.rows.push_back((self.next, flight));
                self.next += 1;
                added += 1;
            }
        }
        for _ in 0..added + SWEEP {
            let Some((number, _)) = self.rows.front().filter(|row| window.is_gone(row.1)) else {
                break;
            };
            let key = self.key(*number);
            self.table.note_soon(Op::Delete { key });
            self.rows.pop_front();
        }
        self.sweep_inherited(at);
    }

    fn sweep_inherited(&mut self, at: Ticks) {
        let (window, now) = (self.window(), self.wall(at));
        for _ in 0..SWEEP {
            let old = |row: &mut (u64, Vec<u8>)| now.saturating_sub(row.0) >= window;
            let Some((_, key)) = self.inherited.pop_front_if(old) else {
                return;
            };
            self.table.note_soon(Op::Delete { key });
        }
    }

    /// The wall time at this time of the stage's clock.
    fn wall(&self, at: Ticks) -> u64 {
        self.opened + at.saturating_sub(self.length) / 1_000_000
    }

    fn key(&self, number: u64) -> Vec<u8> {
        let Lane { index, of } = self.lane;
        Place { number, of, index }.key()
    }
}

impl Place {
    fn key(self) -> Vec<u8> {
        let number = self.number.to_be_bytes();
        match self.of {
            1 => number.to_vec(),
            of => [&self.index.to_be_bytes()[..], &of.to_be_bytes(), &number].concat(),
        }
    }

    /// `None` for what was never written here.
    fn read(key: &[u8]) -> Option<Self> {
        let (lane, number) = key.split_last_chunk()?;
        let (index, of) = match lane {
            [] => (0, 1),
            _ => {
                let [index, of] = lane.as_chunks().0.try_into().ok()?;
                (u32::from_be_bytes(index), u32::from_be_bytes(of))
            }
        };
        let well = lane.is_empty() || (lane.len() == 8 && of > 1 && index < of);
        let number = u64::from_be_bytes(*number);
        // Numbers grow by one; one near the end of them was never given out.
        (well && number < u64::MAX / 2).then_some(Self { number, of, index })
    }

    fn is_of(self, lane: Lane) -> bool {
        (self.index, self.of) == (lane.index, lane.of)
    }

    /// Rows of another number of lanes are shared out among the lanes of this run.
    fn is_removed_by(self, lane: Lane) -> bool {
        self.number % u64::from(lane.of) == u64::from(lane.index)
    }
}

/// How many keys the rows of all lanes hold that are younger than the window.
pub(super) fn remembered(table: &Table, window: Duration, now: u64) -> Result<u64, Failure> {
    let mut keys = HashSet::new();
    table.scan(&mut |key, value| {
        let row = Place::read(key).and_then(|place| read_row(place, value));
        let young = |row: &Row| Duration::from_millis(now.saturating_sub(row.at)) < window;
        keys.extend(row.filter(young).into_iter().flat_map(|row| row.keys));
    })?;
    Ok(keys.len() as u64)
}

fn read_row(place: Place, value: &[u8]) -> Option<Row> {
    let (at, keys) = value.split_first_chunk()?;
    let (keys, rest) = keys.as_chunks();
    rest.is_empty().then_some(())?;
    Some(Row {
        at: u64::from_be_bytes(*at),
        place,
        keys: keys.iter().copied().map(Fingerprint::from_bytes).collect(),
    })
}

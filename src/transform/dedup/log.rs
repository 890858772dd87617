//! The window in the state store: a row for what one batch brought of one delivery.
//!
//! Key: a growing number, 8 bytes. Value: wall time of arrival in milliseconds since 1970, 8
//! bytes, then the keys' fingerprints. All big-endian. Nothing of an event can be read from it.

use std::collections::VecDeque;
use std::time::Duration;

use super::key::Fingerprint;
use super::window::{Ticks, Window};
use crate::event::Origin;
use crate::failure::Failure;
use crate::state::{Op, Table};

/// Old rows that one batch removes beyond those that it adds: enough to catch up, and never so
/// many that a rotation stalls the stream.
const SWEEP: usize = 64;

/// The rows of one stage.
pub(super) struct Log {
    table: Table,
    /// Row number and flight, oldest first.
    rows: VecDeque<(u64, u32)>,
    next: u64,
    /// Wall time at the start of the stage's clock.
    opened: u64,
    length: Ticks,
}

/// A row as it is read.
struct Row {
    number: u64,
    at: u64,
    keys: Vec<Fingerprint>,
}

impl Log {
    /// Fills the window with what the last run remembered. `opened`: the wall time now.
    pub fn open(
        table: Table,
        window: &mut Window,
        length: Ticks,
        max_keys: usize,
        opened: u64,
    ) -> Result<Self, Failure> {
        let mut log = Self {
            table,
            rows: VecDeque::new(),
            next: 0,
            opened,
            length,
        };
        for row in log.read(max_keys)? {
            // A wall clock that was set back must not make a row younger than now.
            let age = opened.saturating_sub(row.at).saturating_mul(1_000_000);
            let at = length.saturating_sub(age);
            let flight = window.begin(at, None);
            for key in row.keys {
                window.see(key, flight, at);
            }
            log.rows.push_back((row.number, flight));
        }
        Ok(log)
    }

    /// The rows that still count, oldest first; the others are removed.
    fn read(&mut self, max_keys: usize) -> Result<VecDeque<Row>, Failure> {
        let window = Duration::from_nanos(self.length).as_millis() as u64;
        let (mut rows, mut total) = (VecDeque::new(), 0);
        let (mut next, mut bad) = (0, Vec::new());
        self.table.scan(&mut |key, value| {
            let number = row_number(key);
            // Also of a row that makes no sense: its removal must not hit a new one.
            next = number.map_or(next, |number| number + 1);
            let row = number.and_then(|number| read_row(number, value));
            match row {
                Some(row) if self.opened.saturating_sub(row.at) < window => {
                    total += row.keys.len();
                    rows.push_back(row);
                }
                _ => bad.push(key.to_vec()),
            }
            // Never more in memory than the window may hold.
            while let Some(oldest) = rows.front().map(|row| row.keys.len())
                && total - oldest >= max_keys
            {
                total -= oldest;
                bad.extend(
                    rows.pop_front()
                        .map(|row| row.number.to_be_bytes().to_vec()),
                );
            }
        })?;
        for key in bad {
            self.table.note_soon(Op::Delete { key });
        }
        self.next = next;
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
            let wall = self.opened + at.saturating_sub(self.length) / 1_000_000;
            for run in keys.chunk_by(|(_, a), (_, b)| a.delivery() == b.delivery()) {
                let mut value = Vec::with_capacity(8 + run.len() * Fingerprint::BYTES);
                value.extend_from_slice(&wall.to_be_bytes());
                for (key, _) in run {
                    value.extend_from_slice(&key.to_bytes());
                }
                let key = self.next.to_be_bytes().to_vec();
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
            let key = number.to_be_bytes().to_vec();
            self.table.note_soon(Op::Delete { key });
            self.rows.pop_front();
        }
    }
}

/// Numbers grow by one; what is near the end of them was never written here.
fn row_number(key: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(key.try_into().ok()?);
    (number < u64::MAX / 2).then_some(number)
}

fn read_row(number: u64, value: &[u8]) -> Option<Row> {
    let (at, keys) = value.split_first_chunk()?;
    let (keys, rest) = keys.as_chunks();
    rest.is_empty().then_some(())?;
    Some(Row {
        number,
        at: u64::from_be_bytes(*at),
        keys: keys.iter().copied().map(Fingerprint::from_bytes).collect(),
    })
}

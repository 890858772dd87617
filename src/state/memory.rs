//! The form that lives in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pending::Group;
use super::{Op, is_newer, spaced, stored, unstored};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Same rows as on disk, in two maps.
#[derive(Default)]
pub(super) struct Memory(Mutex<Committed>);

#[derive(Default)]
struct Committed {
    tables: Rows,
    checkpoints: Rows,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Committed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, groups: &[Group]) {
        let mut committed = self.lock();
        for group in groups {
            for noted in group.noted() {
                apply(&mut committed.tables, &noted.node, &noted.op);
            }
            for (source, place) in &group.checkpoints {
                let key = spaced(source, &place.key);
                match place.value.is_empty() {
                    true => committed.checkpoints.remove(&key),
                    false => committed.checkpoints.insert(key, place.value.clone()),
                };
            }
        }
    }

    pub fn checkpoint(&self, source: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.lock().checkpoints.get(&spaced(source, key)).cloned()
    }

    pub fn checkpoints(&self, source: &str, visit: &mut dyn FnMut(&[u8], &[u8])) {
        each_of(&self.lock().checkpoints, source, visit);
    }

    pub fn scan(&self, node: &str, visit: &mut dyn FnMut(&[u8], &[u8])) {
        each_of(&self.lock().tables, node, &mut |key, bytes| {
            if let Some((_, value)) = unstored(bytes) {
                visit(key, value);
            }
        });
    }
}

fn each_of(rows: &Rows, name: &str, visit: &mut dyn FnMut(&[u8], &[u8])) {
    let space = spaced(name, b"");
    for (key, value) in rows.range(space.clone()..) {
        let Some(key) = key.strip_prefix(&space[..]) else {
            return;
        };
        visit(key, value);
    }
}

fn apply(rows: &mut Rows, node: &str, op: &Op) {
    match op {
        Op::Put { key, value } => {
            rows.insert(spaced(node, key), stored(None, value));
        }
        Op::PutNewer {
            key,
            version,
            value,
        } => {
            let key = spaced(node, key);
            if is_newer(*version, rows.get(&key).map(Vec::as_slice)) {
                rows.insert(key, stored(Some(*version), value));
            }
        }
        Op::Delete { key } => {
            rows.remove(&spaced(node, key));
        }
        Op::DeleteOlder { key, version } => {
            let key = spaced(node, key);
            let present = rows.get(&key).and_then(|row| unstored(row)?.0);
            if present.is_none_or(|present| present <= *version) {
                rows.remove(&key);
            }
        }
    }
}

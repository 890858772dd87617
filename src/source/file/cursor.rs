//! How far a file was read, as it is kept in the state store.

use std::collections::HashMap;
use std::fs::Metadata;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::codec::{Fingerprint, Likeness, Place, Position};
use crate::stage::Checkpoint;

/// Device and number: what a file keeps when it is renamed.
pub(super) type FileId = (u64, u64);

/// A place in a file, with what the file looked like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    pub fingerprint: Fingerprint,
    pub id: FileId,
    /// When the file was last changed, in microseconds since 1970.
    pub modified: u64,
    /// Everything before it is delivered.
    pub position: Position,
    /// The file was read to its end, or as far as it can be.
    pub done: bool,
    /// It was set aside: what lies behind the position cannot be read.
    pub damaged: bool,
    /// A place in it can be reached only by reading everything before.
    pub compressed: bool,
}

/// What is to be done with a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is as it was when it was read to its end.
    Skip,
    /// Go on here.
    Resume(Position),
    /// Nothing of it was read yet.
    New,
    /// It is another file than the one that was read.
    Changed,
}

/// When a file was last changed, in microseconds since 1970; 0 where that is not known.
pub(super) fn modified(metadata: &Metadata) -> u64 {
    let time = metadata.modified().ok();
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_micros() as u64)
}

impl Cursor {
    /// Compares with what the file looks like now.
    pub(super) fn verdict(&self, likeness: Likeness, modified: u64) -> Verdict {
        // Only lines and values one after the other mean the same with more behind them: an array
        // or an archive that is longer than it was is another one.
        let extendable = !self.compressed
            && matches!(
                self.position.place,
                Place::Start | Place::Lines | Place::Concatenated
            );
        match likeness {
            Likeness::Changed => Verdict::Changed,
            Likeness::Grown if !extendable || self.damaged => Verdict::Changed,
            Likeness::Same if self.damaged && modified != self.modified => Verdict::Changed,
            Likeness::Same if self.done => Verdict::Skip,
            Likeness::Same | Likeness::Grown => Verdict::Resume(self.position),
        }
    }
}

/// The cursors of a source, by the paths of their files.
#[derive(Default)]
pub(super) struct Cursors {
    places: HashMap<Vec<u8>, Cursor>,
    /// The last name of each file.
    names: HashMap<FileId, Vec<u8>>,
}

impl Cursors {
    /// As they were kept. One that cannot be read (of another version) counts as none, and its file
    /// is read from the beginning.
    pub(super) fn new(kept: Vec<Checkpoint>) -> Self {
        let mut cursors = Self::default();
        for Checkpoint { key, value } in kept {
            match serde_json::from_slice(&value) {
                Ok(cursor) => cursors.insert(&key, cursor),
                Err(_) => {
                    let path = String::from_utf8_lossy(&key);
                    tracing::warn!(%path, "the place kept for this file is not readable");
                }
            }
        }
        cursors
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&Cursor> {
        self.places.get(path)
    }

    /// Notes a place, and gives it in the form that is kept.
    pub(super) fn put(&mut self, path: &[u8], cursor: Cursor) -> Option<Checkpoint> {
        self.insert(path, cursor);
        // Numbers and words only: there is nothing in it that cannot be written.
        let value = serde_json::to_vec(&cursor).ok()?;
        Some(Checkpoint {
            key: path.to_vec(),
            value,
        })
    }

    /// A file under a new name goes on where it was read to under its old one, which by now is
    /// nobody's or another file's: `now` says whose. To be called for all files before any is read.
    pub(super) fn adopt(&mut self, path: &[u8], id: FileId, now: impl Fn(&[u8]) -> Option<FileId>) {
        if self.places.contains_key(path) {
            return;
        }
        let Some(before) = self.names.get(&id) else {
            return;
        };
        // The same file under two names at a time is read under both.
        if now(before) == Some(id) {
            return;
        }
        if let Some(cursor) = self.places.get(before).copied() {
            self.insert(path, cursor);
        }
    }

    fn insert(&mut self, path: &[u8], cursor: Cursor) {
        self.names.insert(cursor.id, path.to_vec());
        self.places.insert(path.to_vec(), cursor);
    }

    /// Forgets the files that are no longer there.
    pub(super) fn retain(&mut self, listed: impl Fn(&[u8]) -> bool) {
        self.places.retain(|path, _| listed(path));
        self.names.retain(|_, path| listed(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(id: u64, place: Place) -> Cursor {
        Cursor {
            fingerprint: Fingerprint::of(b"{}", 2),
            id: (1, id),
            modified: 7,
            position: Position {
                offset: 2,
                place,
                ..Position::default()
            },
            done: true,
            damaged: false,
            compressed: false,
        }
    }

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let plain = cursor(1, Place::Lines);
        assert_eq!(plain.verdict(Likeness::Same, 8), Verdict::Skip);
        let resume = Verdict::Resume(plain.position);
        assert_eq!(plain.verdict(Likeness::Grown, 8), resume);
        assert_eq!(plain.verdict(Likeness::Changed, 7), Verdict::Changed);
        let part = Cursor {
            done: false,
            ..plain
        };
        assert_eq!(part.verdict(Likeness::Same, 8), resume);
        let array = cursor(1, Place::ArrayEnd);
        assert_eq!(array.verdict(Likeness::Grown, 8), Verdict::Changed);
        let damaged = Cursor {
            damaged: true,
            ..plain
        };
        assert_eq!(damaged.verdict(Likeness::Same, 7), Verdict::Skip);
        assert_eq!(damaged.verdict(Likeness::Same, 8), Verdict::Changed);
        assert_eq!(damaged.verdict(Likeness::Grown, 8), Verdict::Changed);
    }

    #[test]
    fn places_are_kept_and_come_back() {
        let mut cursors = Cursors::default();
        let one = cursor(1, Place::Lines);
        let kept = cursors.put(b"one", one).unwrap();
        let broken = Checkpoint {
            key: b"two".to_vec(),
            value: b"?".to_vec(),
        };
        let cursors = Cursors::new(vec![kept, broken]);
        assert_eq!(cursors.get(b"one"), Some(&one));
        assert_eq!(cursors.get(b"two"), None);
    }

    #[test]
    fn a_renamed_file_keeps_its_place() {
        let mut cursors = Cursors::default();
        let one = cursor(1, Place::Lines);
        cursors.put(b"log", one).unwrap();
        cursors.adopt(b"link", (1, 1), |_| Some((1, 1)));
        assert_eq!(cursors.get(b"link"), None, "a second name of the same file");
        cursors.adopt(b"log.1", (1, 1), |_| Some((1, 2)));
        assert_eq!(cursors.get(b"log.1"), Some(&one));
        cursors.adopt(b"other", (1, 3), |_| None);
        assert_eq!(cursors.get(b"other"), None);
        cursors.retain(|path| path == b"log");
        assert_eq!(cursors.get(b"log.1"), None);
    }
}

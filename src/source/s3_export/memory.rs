//! What is known of the objects: which were read, how far, and what need not be remembered any more.
//!
//! Objects of the look-back window are remembered one by one, by hashes: 17 bytes of key and 17 of
//! value in the state store. What is older is remembered as a whole: everything that was last changed
//! before the *horizon* is done. The horizon rises when a listing of everything has been read to its
//! end; until then the listing's own place says the same of the keys that lie behind it. So the first
//! pass over millions of old objects leaves one row.
//!
//! The time of an object is the store's: for parts uploaded one by one it is when the upload *began*
//! (Amazon S3, "Uploading and copying objects using multipart upload"), so an object may turn up hours
//! after its time. The clocks of this machine and the store agree within 15 minutes, or the store would
//! refuse the requests. A folder is another matter, since files keep their times when they are moved
//! into it: there everything is remembered as long as it is there.

mod row;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::client::bucket::Object;
use crate::stage::Checkpoint;
pub(super) use row::{Id, Place};
use row::{Row, State, stamp};

/// Rows that one delivery takes out of the store, at most.
const MOST_DROPPED: usize = 2000;
/// The row of the window.
const WINDOW: &[u8] = b"w";

/// How the reading of an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At its end.
    Done,
    /// It cannot be read as it is.
    Aside,
    /// It may not be read; that may change without the object changing.
    Denied,
    /// It was replaced before anything of it was handed over: the next listing shows it as it is.
    Again,
}

/// What is done with an object that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is read from here; `told` says that it was denied before, and that a letter says so.
    Read { from: Option<Place>, told: bool },
    /// It is in the queue.
    Queued,
    /// It was handed over.
    Known,
}

/// The window, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    /// Of which selection of objects it speaks.
    selection: u64,
    /// All that was last changed before it is done, in microseconds since 1970.
    horizon: i64,
    /// Of the listing under way: all up to this key that was last changed before `before` is done.
    through: Option<String>,
    before: i64,
}

impl Window {
    /// Nothing is done yet. Files may be older than 1970.
    fn new(selection: u64) -> Self {
        Self {
            selection,
            horizon: i64::MIN,
            through: None,
            before: i64::MIN,
        }
    }
}

/// An object that waits to be read, or is being read.
struct Queued<T> {
    modified: i64,
    size: u64,
    /// Bytes of it that were read before it was found.
    begun: u64,
    /// What waits for its end.
    waiting: Vec<T>,
}

/// What a source that is opened again finds once more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Again {
    /// Objects, and their bytes.
    pub objects: u64,
    pub bytes: u64,
    /// How many of these bytes were read before.
    pub read: u64,
}

/// See the page.
pub(super) struct Memory<T> {
    rows: HashMap<Id, Row>,
    /// Found and not yet read to their ends.
    queued: HashMap<Id, Queued<T>>,
    window: Window,
    changed: bool,
    /// Rows to be taken out of the store.
    dropped: Vec<Id>,
    most: usize,
    /// How many may be remembered before the window gets shorter again.
    room: usize,
    /// A listing of everything is under way.
    passing: bool,
    /// How often the source was opened.
    generation: u64,
    /// The last key that a listing of this process has come to.
    seen: Option<String>,
    /// Bytes that were read of the object that is being read.
    begun: u64,
    /// The last key of it that was read.
    last: Option<String>,
    /// What was changed after it may have been left for its youth.
    ripe: i64,
    /// Whether times tell what is new.
    timed: bool,
}

impl<T> Memory<T> {
    /// As it was kept. A row that cannot be read counts as none. `timed`: whether the time of an object
    /// says when it turned up.
    pub(super) fn new(kept: Vec<Checkpoint>, selection: u64, most: usize, timed: bool) -> Self {
        let mut rows = HashMap::with_capacity(kept.len());
        let mut window = None;
        for Checkpoint { key, value } in kept {
            if key == WINDOW {
                window = serde_json::from_slice::<Window>(&value).ok();
            } else if let (Some(id), Some(row)) = (Id::from_row(&key), Row::read(&value)) {
                rows.insert(id, row);
            }
        }
        let fresh = Window::new(selection);
        let window = window.unwrap_or_else(|| fresh.clone());
        let other = window.selection != selection;
        if other && window.horizon > fresh.horizon {
            tracing::warn!("other objects are asked for than before: all are looked at again");
        }
        Self {
            rows,
            queued: HashMap::new(),
            window: if other { fresh } else { window },
            changed: other,
            dropped: Vec::new(),
            most,
            room: most,
            passing: false,
            generation: 0,
            seen: None,
            begun: 0,
            last: None,
            ripe: 0,
            timed,
        }
    }

    /// The source is opened again: what was found and not handed over is found again.
    pub(super) fn reopen(&mut self) -> Again {
        let mut again = Again {
            read: std::mem::take(&mut self.begun),
            ..Again::default()
        };
        for (_, queued) in self.queued.drain() {
            again.objects += 1;
            again.bytes = again.bytes.saturating_add(queued.size);
            again.read += queued.begun;
        }
        self.passing = false;
        self.generation += 1;
        again
    }

    /// So many bytes were read of the object that was begun and not read to its end.
    pub(super) fn begun(&mut self, bytes: u64) {
        self.begun = bytes;
    }

    /// A listing comes to this key. True where none of this process has come so far before.
    pub(super) fn is_news(&mut self, key: &str) -> bool {
        let news = self.seen.as_deref().is_none_or(|seen| seen < key);
        if news {
            self.seen = Some(key.to_owned());
        }
        news
    }

    /// How often the source was opened: whoever was started by an earlier opening changes nothing.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// What is to be done with an object. One that a message tells of is read unless it is remembered;
    /// one of a listing is also known where it belongs to what is remembered as a whole. `denied`: try
    /// those that were denied, too.
    pub(super) fn verdict(&self, id: Id, object: &Object, listed: bool, denied: bool) -> Verdict {
        let fresh = Verdict::Read {
            from: None,
            told: false,
        };
        if self.queued.contains_key(&id) {
            return Verdict::Queued;
        }
        match self.rows.get(&id) {
            Some(row) if row.version != stamp(&object.version) => fresh,
            Some(Row { state, .. }) => match state {
                State::Part(place) => Verdict::Read {
                    from: Some(**place),
                    told: false,
                },
                State::Denied if denied => Verdict::Read {
                    from: None,
                    told: true,
                },
                State::Done | State::Aside | State::Denied => Verdict::Known,
            },
            None if listed && self.is_behind(object) => Verdict::Known,
            None => fresh,
        }
    }

    /// Whether it belongs to what is remembered as a whole.
    fn is_behind(&self, object: &Object) -> bool {
        let Window {
            horizon,
            through,
            before,
            ..
        } = &self.window;
        let passed = through
            .as_ref()
            .is_some_and(|through| object.key <= *through);
        object.modified_micros < *horizon || (passed && object.modified_micros < *before)
    }

    /// An object goes into the queue; so many bytes of it were read before.
    pub(super) fn queue(&mut self, id: Id, object: &Object, begun: u64) {
        self.queued.entry(id).or_insert(Queued {
            modified: object.modified_micros,
            size: object.size,
            begun,
            waiting: Vec::new(),
        });
    }

    /// Has this wait for the end of an object in the queue; given back where it is not there.
    pub(super) fn wait_for(&mut self, id: Id, waiting: T) -> Option<T> {
        match self.queued.get_mut(&id) {
            Some(queued) => {
                queued.waiting.push(waiting);
                None
            }
            None => Some(waiting),
        }
    }

    /// A listing of everything begins; the one before has to be read to its end. One that an earlier
    /// run left goes on under its own time.
    pub(super) fn begin_pass(&mut self, now: i64, look_back: i64, min_age: i64) {
        (self.passing, self.last) = (true, self.window.through.clone());
        self.ripe = now.saturating_sub(min_age);
        if self.timed && self.window.through.is_none() {
            self.window.before = now.saturating_sub(look_back);
        }
    }

    /// A part of an object was handed over.
    pub(super) fn part(&mut self, id: Id, object: &Object, place: Place) -> Checkpoint {
        self.put(id, object, State::Part(Box::new(place)), false)
    }

    /// An object was read to its end, and that was handed over. `pass`: a listing of everything had
    /// found it. Answers with the place to keep, and what waited for it.
    pub(super) fn end(
        &mut self,
        id: Id,
        object: &Object,
        end: End,
        pass: bool,
    ) -> (Option<Checkpoint>, Vec<T>) {
        let waiting = self
            .queued
            .remove(&id)
            .map_or_else(Vec::new, |queued| queued.waiting);
        // A listing that was left by an earlier run is gone through from its beginning.
        if pass && self.last.as_ref().is_none_or(|last| *last < object.key) {
            self.last = Some(object.key.clone());
        }
        let state = match end {
            End::Done if pass && object.modified_micros < self.window.before => {
                self.window.through = self.last.clone();
                self.changed = true;
                let known = self.rows.remove(&id).is_some();
                let value = Vec::new();
                let key = id.row();
                return (known.then_some(Checkpoint { key, value }), waiting);
            }
            End::Done => State::Done,
            End::Aside => State::Aside,
            End::Denied => State::Denied,
            // A listing under way may have passed over it for being in the queue, and its end must
            // not say the same of what is there now: the row is of the version that is gone.
            End::Again => State::Part(Box::default()),
        };
        (Some(self.put(id, object, state, pass)), waiting)
    }

    fn put(&mut self, id: Id, object: &Object, state: State, passed: bool) -> Checkpoint {
        let row = Row {
            version: stamp(&object.version),
            modified: object.modified_micros,
            state,
            passed,
        };
        let (key, value) = (id.row(), row.write());
        self.rows.insert(id, row);
        if self.rows.len() > self.room.max(self.most) {
            self.shorten();
        }
        Checkpoint { key, value }
    }

    /// All that a listing of everything had found was handed over. `there`: what it had found, where
    /// times do not tell.
    pub(super) fn end_pass(&mut self, there: Option<&HashSet<Id>>) {
        self.passing = false;
        if let Some(there) = there {
            self.drop_rows(|id, _| !there.contains(id));
        }
        self.rows.values_mut().for_each(|row| row.passed = false);
        if self.timed || self.window.through.is_some() {
            // What a message told of and still waits is told again after a crash; all else that is
            // older came before the end of the pass.
            self.window.through = None;
            self.changed = true;
            self.raise(self.window.before);
        }
        if self.rows.len() > self.most {
            self.shorten();
        }
    }

    fn raise(&mut self, horizon: i64) {
        if horizon > self.window.horizon {
            self.window.horizon = horizon;
            self.changed = true;
        }
        let horizon = self.window.horizon;
        self.drop_rows(|_, row| row.is_over() && row.modified < horizon);
    }

    /// More is remembered than may be: the window gets shorter, by a quarter of what is in it. In a
    /// pass that is true only of the keys behind its place, and of the rows that it has made.
    fn shorten(&mut self) {
        let mut times: Vec<i64> = self.rows.values().map(|row| row.modified).collect();
        let nth = times.len() / 4;
        let (_, bound, _) = times.select_nth_unstable(nth);
        let bound = bound.saturating_add(1).min(self.ripe);
        tracing::warn!(
            remembered = self.rows.len(),
            "more objects in the look-back window than `settled_memory`: the window gets shorter"
        );
        if self.passing {
            self.window.through = self.last.clone();
            self.window.before = self.window.before.max(bound);
            self.changed = true;
            self.drop_rows(|_, row| row.is_over() && row.passed && row.modified < bound);
        } else {
            self.raise(bound.min(self.oldest().unwrap_or(i64::MAX)));
        }
        self.room = self.rows.len() + self.most / 8;
    }

    fn drop_rows(&mut self, drop: impl Fn(&Id, &Row) -> bool) {
        let (queued, dropped) = (&self.queued, &mut self.dropped);
        self.rows.retain(|id, row| {
            let goes = drop(id, row) && !queued.contains_key(id);
            if goes {
                dropped.push(*id);
            }
            !goes
        });
    }

    /// What else is to be kept with the next delivery: the window where it has changed, and rows to be
    /// taken out.
    pub(super) fn rest(&mut self) -> Vec<Checkpoint> {
        let left = self.dropped.len().saturating_sub(MOST_DROPPED);
        let rows = &self.rows;
        // One may have come back since.
        let gone = self
            .dropped
            .drain(left..)
            .filter(|id| !rows.contains_key(id));
        let mut rest: Vec<Checkpoint> = gone
            .map(|id| Checkpoint {
                key: id.row(),
                value: Vec::new(),
            })
            .collect();
        if std::mem::take(&mut self.changed) {
            rest.extend(self.place());
        }
        rest
    }

    /// The window, as it is kept.
    pub(super) fn place(&self) -> Option<Checkpoint> {
        // Numbers and text: there is nothing in it that cannot be written.
        let value = serde_json::to_vec(&self.window).ok()?;
        let key = WINDOW.to_vec();
        Some(Checkpoint { key, value })
    }

    /// Objects in the queue.
    pub(super) fn pending(&self) -> usize {
        self.queued.len()
    }

    /// Objects that are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.rows.len()
    }

    /// The time of the oldest object in the queue, in microseconds since 1970.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.queued.values().map(|queued| queued.modified).min()
    }
}

#[cfg(test)]
mod tests;

//! The durable log behind disk buffers: what was answered `Ok` survives a crash.
//!
//! A [`Journal`] is a folder of segments. Batches go in at an [`Entrance`], whose answer comes once
//! an fsync covers them (many share one: group commit), and come out at the [`Outlet`], a source
//! that a pump of its own drives. They are handed over from memory while the reader keeps up, and
//! read from disk, a record at a time, when it does not: a replay of any length stays in bounded
//! memory.
//!
//! # What holds
//!
//! - Every event has a sequence number. What was answered is delivered at least once, in order.
//! - A file of an earlier process, or one that could not be written, is never written again. Where
//!   its events end is said by the first number of the next one, so neither a torn tail nor a group
//!   that failed can come out as events that were answered.
//! - Damage costs what it hit: intact records before and behind it are delivered, what is missing
//!   is counted by sequence numbers, and the file is kept in `damaged/`. Any bytes on disk lead to
//!   a start, or to an error that says what a person has to do.
//! - The reader's place is its checkpoint, which is stored with the state of the stages behind it.
//!   The file `cursor` holds it too, as a hint for where there is no such store.
//!
//! Waiting callers are bounded by what their pumps have under way; everything else by [`Policy`].

mod book;
mod cursor;
mod decode;
mod encode;
mod entrance;
mod export;
mod format;
mod inspect;
mod outlet;
mod payload;
mod policy;
mod ranges;
mod repair;
mod replay;
mod room;
mod storage;
mod survey;
mod walk;
mod writer;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Notify, watch};

use crate::event::PathSet;
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::seal::{KeyId, Keyring};

pub use entrance::Entrance;
pub use export::{Exported, ExportedEvent, export, export_on};
pub use format::Id;
pub use inspect::{Inspection, SegmentReport, inspect, inspect_on, read_segment};
pub use outlet::Outlet;
pub use policy::{Policy, WhenFull};
pub use repair::{Repair, repair, repair_on};
pub use storage::{Folder, Storage, StoredFile};

use book::{Book, Core};
use cursor::{Cursor, Mark};
use survey::{Survey, failed};

/// What a journal did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups written.
    pub groups: u64,
    /// Syncs of segments: less than the groups when some held nothing.
    pub syncs: u64,
    /// Events written.
    pub events: u64,
    /// Bytes written, headers of records included.
    pub bytes: u64,
}

/// An open journal. Clones share it; the last part of it to go (entrances, outlets and unsettled
/// deliveries included) waits for the writer to end, and gives the folder free.
#[derive(Clone)]
pub struct Journal {
    handle: Arc<Handle>,
    resumed: u64,
}

/// Ends the writer when nobody can reach the journal any more.
struct Handle {
    core: Arc<Core>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Given back after the writer has ended.
    _lock: Box<dyn Send + Sync>,
    /// Goes last, and tells by it that the folder is free.
    ended: watch::Sender<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.lock().stop = true;
        self.core.stirred.notify_one();
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A panic of the writer was answered as a failure already.
            let _ = thread.join();
        }
    }
}

impl Journal {
    /// Opens the journal in this folder, which is made where it is missing, for its owner only.
    ///
    /// `settled` is asked with the journal's id for the value of the last checkpoint that was
    /// stored for it; it is what counts. `None`: the hint in the folder is used.
    ///
    /// # Errors
    /// Fatal: another process uses it (`buffer_locked`), it holds events sealed with a key that is
    /// not given (`buffer_key`), it was written by a newer version (`buffer_format`), or it cannot
    /// be read or made (`buffer_io`). And what `settled` answers.
    pub fn open(
        dir: &Path,
        policy: Policy,
        keys: Option<Keyring>,
        meter: NodeMeter,
        settled: impl FnOnce(&Id) -> Result<Option<Vec<u8>>, Failure>,
    ) -> Result<Self, Failure> {
        Self::open_on(Arc::new(Folder::new(dir)), policy, keys, meter, settled)
    }

    /// The same over any storage.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        storage: Arc<dyn Storage>,
        policy: Policy,
        keys: Option<Keyring>,
        meter: NodeMeter,
        settled: impl FnOnce(&Id) -> Result<Option<Vec<u8>>, Failure>,
    ) -> Result<Self, Failure> {
        let policy = policy.within_range();
        let size = policy.segment_size();
        Self::open_sized(storage, policy, size, keys, meter, settled)
    }

    fn open_sized(
        storage: Arc<dyn Storage>,
        policy: Policy,
        segment_size: u64,
        keys: Option<Keyring>,
        meter: NodeMeter,
        settled: impl FnOnce(&Id) -> Result<Option<Vec<u8>>, Failure>,
    ) -> Result<Self, Failure> {
        let lock = lock(&*storage)?;
        let survey = match survey::survey(&*storage)? {
            Some(survey) => survey,
            None => Survey::fresh()?,
        };
        set_strangers_aside(&*storage, &survey, policy.max_size)?;
        sync_last(&*storage, &survey)?;
        let stored = settled(&survey.id)?;
        let place = Place::of(&survey, stored.as_deref());
        check_keys(&*storage, &survey, place.settled, keys.as_ref())?;
        let number = survey.number;
        let mark = survey.mark.unwrap_or(Mark {
            id: survey.id,
            turn: 0,
            settled: 0,
            synced: 0,
            number: 0,
        });
        let core = Arc::new(Core {
            id: survey.id,
            policy,
            segment_size,
            keys,
            storage,
            meter,
            book: Mutex::new(place.book(survey)),
            stirred: Condvar::new(),
            arrived: Notify::new(),
        });
        let resumed = core.lock().stored();
        core.show(&core.lock());
        let thread = writer::start(core.clone(), Cursor::new(mark), number)
            .map_err(|error| failed(&*core.storage, "", &error))?;
        let handle = Handle {
            core,
            thread: Mutex::new(Some(thread)),
            _lock: lock,
            ended: watch::channel(()).0,
        };
        Ok(Self {
            handle: Arc::new(handle),
            resumed,
        })
    }

    /// The way in. The input of the outlet ends when all entrances are dropped.
    pub fn entrance(&self) -> Entrance {
        Entrance::new(self.handle.clone())
    }

    /// The way out, behind what was handed out already. `paths` are those that the stages behind
    /// it look up.
    pub fn outlet(&self, paths: Arc<PathSet>) -> Outlet {
        Outlet::new(self.handle.clone(), paths)
    }

    /// No more comes in: for a journal without an entrance, that is only read to its end.
    pub fn close(&self) {
        self.handle.core.lock().closed = true;
        self.handle.core.arrived.notify_one();
    }

    /// Waits until all of the journal is gone and its folder can be opened again. Holds nothing of
    /// it, so it is asked before the last part is dropped.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.handle.ended.subscribe();
        async move { while ended.changed().await.is_ok() {} }
    }

    /// Random, made once, kept in the folder: the key of the checkpoints.
    pub fn id(&self) -> Id {
        self.handle.core.id
    }

    /// Events that were found when it was opened, and not settled.
    pub fn resumed(&self) -> u64 {
        self.resumed
    }

    /// Events that are not settled yet, those handed out included.
    pub fn stored(&self) -> u64 {
        self.handle.core.lock().stored()
    }

    /// Whether nothing waits to be written, and all that was written was handed out.
    pub fn is_idle(&self) -> bool {
        let book = self.handle.core.lock();
        book.line.is_empty() && !book.writing && book.handed == book.synced
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.handle.core.lock().bytes()
    }

    /// What it did since it was opened.
    pub fn stats(&self) -> Stats {
        self.handle.core.lock().stats
    }
}

fn lock(storage: &dyn Storage) -> Result<Box<dyn Send + Sync>, Failure> {
    let locked = storage
        .lock()
        .map_err(|error| failed(storage, "", &error))?;
    locked.ok_or_else(|| {
        let path = storage.path("");
        let by = storage.locked_by().filter(|process| *process > 0);
        let by = by.map_or("another process".into(), |process| {
            format!("the process {process}")
        });
        let text = format!("the buffer `{}` is in use by {by}", path.display());
        Failure::fatal("buffer_locked", text)
    })
}

fn set_strangers_aside(storage: &dyn Storage, survey: &Survey, most: u64) -> Result<(), Failure> {
    for (name, reason) in &survey.strange {
        let moved = if survey::is_blank(storage, name) {
            // A process ended while it began this segment: nothing in it was ever answered.
            storage.remove(name)
        } else {
            let path = storage.path(name);
            tracing::warn!(path = %path.display(), reason, "a file of the buffer is set aside");
            room::set_aside(storage, name, most)
        };
        moved.map_err(|error| failed(storage, name, &error))?;
    }
    Ok(())
}

/// What was found at the end of the last segment counts from now on: a power cut must not take it
/// away after the numbers behind it were given out.
fn sync_last(storage: &dyn Storage, survey: &Survey) -> Result<(), Failure> {
    let Some(last) = survey.segments.back() else {
        return Ok(());
    };
    let synced = storage.open(&last.name, true).and_then(|file| file.sync());
    let synced = synced.and_then(|()| storage.sync_folder(""));
    synced.map_err(|error| failed(storage, &last.name, &error))
}

fn check_keys(
    storage: &dyn Storage,
    survey: &Survey,
    settled: u64,
    keys: Option<&Keyring>,
) -> Result<(), Failure> {
    for (index, segment) in survey.segments.iter().enumerate() {
        let limit = survey.limit(index);
        let known = |key: KeyId| keys.is_some_and(|keys| keys.ids().any(|one| one == key));
        if let Some(key) = segment.key
            && limit > settled
            && !segment.dropped
            && !known(key)
        {
            return Err(unknown_key(&storage.path(&segment.name), Some(key)));
        }
    }
    Ok(())
}

/// The key of a segment is not there.
fn unknown_key(path: &Path, key: Option<KeyId>) -> Failure {
    let key = key.map_or("an unknown key".into(), |key| format!("the key {key}"));
    let text = format!(
        "the buffer's segment `{}` is encrypted with {key}, which is not among the keys given",
        path.display()
    );
    Failure::fatal("buffer_key", text)
}

/// Where a journal goes on.
struct Place {
    settled: u64,
    /// What is missing below was settled and removed.
    known: u64,
    end: u64,
}

impl Place {
    fn of(survey: &Survey, stored: Option<&[u8]>) -> Self {
        let stored = stored.and_then(|value| value.try_into().ok());
        let stored = stored.map(u64::from_be_bytes);
        let hinted = survey.mark.map(|mark| mark.settled);
        let oldest = survey.segments.front().map(|segment| segment.first);
        let settled = stored.or(hinted).or(oldest).unwrap_or(survey.end);
        Self {
            settled,
            known: settled.max(hinted.unwrap_or(0)),
            // Numbers that were settled are not given out again.
            end: survey.end.max(settled),
        }
    }

    fn book(&self, survey: Survey) -> Book {
        let Place {
            settled,
            known,
            end,
        } = *self;
        let mut gone = survey.dropped;
        let oldest = survey.segments.front().map_or(end, |segment| segment.first);
        gone.insert(settled, known.min(oldest));
        gone.forget(settled);
        Book {
            line: VecDeque::new(),
            segments: survey.segments,
            active: false,
            writing: false,
            synced: end,
            settled,
            done: Default::default(),
            gone,
            handed: settled,
            taken: settled,
            failed: None,
            memory: VecDeque::new(),
            memory_events: 0,
            memory_bytes: 0,
            reading: None,
            outlet: 0,
            unreadable: (0, 0),
            entrances: 0,
            closed: false,
            stop: false,
            ended: false,
            // So that what was settled is removed at once.
            dirty: true,
            stats: Stats::default(),
        }
    }
}

#[cfg(test)]
mod tests;

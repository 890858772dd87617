//! What outlives a batch: the tables of the stages that remember, and the places of the sources.
//!
//! **State is committed with the answer.** A stage changes its memory when the answer of a batch
//! is `Ok` and *notes* what must survive a crash under the delivery that caused it. Once that
//! delivery is settled the engine commits: everything noted for it, in all tables, and the
//! source's checkpoint become durable in one transaction. After a crash a redelivered event
//! therefore finds the state that it found the first time.
//!
//! Commits of several callers share one transaction and one fsync (group commit): while the
//! writer thread waits for the disk, the next group gathers.
//!
//! Invariants: nothing of a delivery is durable before all of it is; what could not be written is
//! kept, so a later commit can succeed; no value of an event is ever interpreted here.

mod disk;
mod memory;
mod pending;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;
use crate::stage::Checkpoint;

use disk::Disk;
use memory::Memory;
use pending::{Group, Noted, Pending};

/// Commits that may wait for the writer; a further caller waits for a place.
const QUEUE: usize = 256;

/// The store of one run. Clones share it; the last one to go waits for the writer to end.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// Of the embedded form: the queue to the writer thread, and the thread.
    writer: Option<(mpsc::Sender<Waiting>, JoinHandle<()>)>,
}

/// What handles and the writer thread have in common.
struct Shared {
    seed: [u8; 16],
    durable: bool,
    pending: Pending,
    form: Form,
}

enum Form {
    Memory(Memory),
    Disk(Disk),
}

/// A group on its way to the writer, and who waits for it.
struct Waiting {
    group: Group,
    answer: oneshot::Sender<Result<(), Failure>>,
}

/// One change of a table.
#[derive(Clone, PartialEq, Eq)]
pub enum Op {
    /// Puts the value under the key.
    Put {
        /// Key in this table.
        key: Vec<u8>,
        /// Any bytes.
        value: Vec<u8>,
    },
    /// The same, but only where no version is stored or a smaller one: commits of deliveries do
    /// not come in the order in which the stages saw their events.
    PutNewer {
        /// Key in this table.
        key: Vec<u8>,
        /// Grows with each change of this key.
        version: u64,
        /// Any bytes.
        value: Vec<u8>,
    },
    /// Removes the key, its version included; nothing happens where it is not there.
    Delete {
        /// Key in this table.
        key: Vec<u8>,
    },
}

impl fmt::Debug for Op {
    /// Sizes only: the bytes may come from events.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Put { value, .. } => write!(out, "Put({} bytes)", value.len()),
            Op::PutNewer { version, value, .. } => {
                write!(out, "PutNewer({version}, {} bytes)", value.len())
            }
            Op::Delete { .. } => out.write_str("Delete"),
        }
    }
}

impl Store {
    /// In memory and gone with the process. [`is_durable`](Self::is_durable) is false, so stages
    /// do not write down what they remember.
    pub fn memory() -> Self {
        Self::of_memory(false)
    }

    /// In memory, but for stages like a durable one: a test restarts a pipeline by building it
    /// again over the same store, and finds what had been committed and nothing else.
    pub fn memory_durable() -> Self {
        Self::of_memory(true)
    }

    fn of_memory(durable: bool) -> Self {
        Self(Arc::new(Inner {
            shared: Arc::new(Shared {
                seed: new_seed(),
                durable,
                pending: Pending::default(),
                form: Form::Memory(Memory::default()),
            }),
            writer: None,
        }))
    }

    /// The embedded store in `state.redb` in this folder; both are made where they are missing,
    /// for their owner only. After a crash it is repaired to the last commit.
    ///
    /// # Errors
    /// Fatal: another process uses it (`state_locked`), it is damaged (`state_corrupt`), it was
    /// written by a newer version (`state_format`), or it cannot be read or made (`state_io`).
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        Self::on_disk(Disk::open(dir)?)
    }

    fn on_disk(disk: Disk) -> Result<Self, Failure> {
        let shared = Arc::new(Shared {
            seed: disk.seed(),
            durable: true,
            pending: Pending::default(),
            form: Form::Disk(disk),
        });
        let (sender, queue) = mpsc::channel(QUEUE);
        let thread = writer::start(shared.clone(), queue)?;
        Ok(Self(Arc::new(Inner {
            shared,
            writer: Some((sender, thread)),
        })))
    }

    /// Whether what is committed outlives the pipeline; where not, stages need not note anything.
    pub fn is_durable(&self) -> bool {
        self.0.shared.durable
    }

    /// Key of all keyed hashes in this store. Random, made once, kept in the store.
    pub fn seed(&self) -> [u8; 16] {
        self.0.shared.seed
    }

    /// The table of this node. Tables of different nodes share no key.
    pub fn table(&self, node: &str) -> Table {
        Table {
            store: self.clone(),
            node: node.into(),
        }
    }

    /// Number of changes that were noted and are not committed yet.
    pub fn pending(&self) -> usize {
        self.0.shared.pending.count()
    }

    /// Makes everything noted for these deliveries durable in one transaction, and the
    /// checkpoints (source name, place) with it. Returns at once where there is nothing to write.
    /// A caller that goes away while it waits takes nothing back: the commit happens.
    ///
    /// # Errors
    /// Fatal (`state_io`): nothing was written; what was noted is kept for a later commit, while
    /// the checkpoints must be given again.
    pub async fn commit(
        &self,
        deliveries: Vec<u64>,
        checkpoints: Vec<(Arc<str>, Checkpoint)>,
    ) -> Result<(), Failure> {
        let shared = &self.0.shared;
        if checkpoints.is_empty() && shared.pending.has_nothing(&deliveries) {
            return Ok(());
        }
        let Some((queue, _)) = &self.0.writer else {
            return shared.write([shared.pending.take(&deliveries, checkpoints)]);
        };
        // The place comes first: a caller that goes away while it waits for one has taken nothing.
        let place = queue.reserve().await.map_err(|_| writer_gone())?;
        let (answer, answered) = oneshot::channel();
        let group = shared.pending.take(&deliveries, checkpoints);
        place.send(Waiting { group, answer });
        answered.await.map_err(|_| writer_gone())?
    }

    /// This delivery will not be committed under its number (its transport brings what failed of
    /// it again, under another). What was noted for it goes with whichever commit comes next.
    pub fn release(&self, delivery: u64) {
        self.0.shared.pending.release(delivery);
    }

    /// The source's place in the input of this key, as last committed.
    ///
    /// # Errors
    /// Fatal (`state_io`, `state_corrupt`) when the store cannot be read.
    pub fn checkpoint(&self, source: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        match &self.0.shared.form {
            Form::Memory(memory) => Ok(memory.checkpoint(source, key)),
            Form::Disk(disk) => disk.checkpoint(source, key),
        }
    }

    /// All places of the source, in the order of their keys.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub fn checkpoints(&self, source: &str) -> Result<Vec<Checkpoint>, Failure> {
        let mut found = Vec::new();
        let mut take = |key: &[u8], value: &[u8]| {
            found.push(Checkpoint {
                key: key.to_vec(),
                value: value.to_vec(),
            });
        };
        match &self.0.shared.form {
            Form::Memory(memory) => memory.checkpoints(source, &mut take),
            Form::Disk(disk) => disk.checkpoints(source, &mut take)?,
        }
        Ok(found)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Store({} pending)", self.pending())
    }
}

/// What one node remembers. Clones share it.
#[derive(Clone, Debug)]
pub struct Table {
    store: Store,
    node: Arc<str>,
}

impl Table {
    /// As [`Store::is_durable`].
    pub fn is_durable(&self) -> bool {
        self.store.is_durable()
    }

    /// As [`Store::seed`].
    pub fn seed(&self) -> [u8; 16] {
        self.store.seed()
    }

    /// Notes a change that becomes durable when this delivery is committed, after those noted
    /// for it before.
    pub fn note(&self, delivery: u64, op: Op) {
        let node = self.node.clone();
        let pending = &self.store.0.shared.pending;
        pending.note(delivery, Noted { node, op });
    }

    /// Notes a change that belongs to no delivery (expiry): it goes with whichever commit comes
    /// next, and is made after those of the deliveries in it.
    pub fn note_soon(&self, op: Op) {
        let node = self.node.clone();
        self.store.0.shared.pending.note_soon(Noted { node, op });
    }

    /// Calls `visit` with every key and value that is committed, in the order of the keys.
    ///
    /// # Errors
    /// Fatal (`state_io`, `state_corrupt`) when the store cannot be read.
    pub fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Failure> {
        match &self.store.0.shared.form {
            Form::Memory(memory) => {
                memory.scan(&self.node, visit);
                Ok(())
            }
            Form::Disk(disk) => disk.scan(&self.node, visit),
        }
    }
}

impl Shared {
    /// Writes the groups in one transaction; on failure what was noted goes back.
    fn write<const N: usize>(&self, groups: [Group; N]) -> Result<(), Failure> {
        self.write_all(groups.into())
    }

    fn write_all(&self, groups: Vec<Group>) -> Result<(), Failure> {
        let written = match &self.form {
            Form::Memory(memory) => {
                memory.write(&groups);
                Ok(())
            }
            Form::Disk(disk) => disk.write(&groups),
        };
        for group in groups {
            self.pending.written(group, written.is_ok());
        }
        written
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some((queue, thread)) = self.writer.take() {
            // With the queue closed the writer finishes what is in it, closes the file and ends.
            drop(queue);
            // A panic of the writer was answered as a failure already; here it changes nothing.
            let _ = thread.join();
        }
    }
}

fn writer_gone() -> Failure {
    Failure::fatal("state_io", "the writer of the state store has ended")
}

/// Random enough for the key of a keyed hash: two hashes under the standard library's own random
/// keys.
fn new_seed() -> [u8; 16] {
    let half = || {
        RandomState::new()
            .hash_one(std::process::id())
            .to_le_bytes()
    };
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&half());
    seed[8..].copy_from_slice(&half());
    seed
}

/// A value as it is stored, in both forms: with the version it was put with, if any.
fn stored(version: Option<u64>, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + value.len());
    match version {
        None => bytes.push(0),
        Some(version) => {
            bytes.push(1);
            bytes.extend_from_slice(&version.to_be_bytes());
        }
    }
    bytes.extend_from_slice(value);
    bytes
}

/// The reverse of [`stored`]; `None` for bytes that it never made.
fn unstored(bytes: &[u8]) -> Option<(Option<u64>, &[u8])> {
    match bytes.split_first()? {
        (0, value) => Some((None, value)),
        (1, rest) => {
            let (version, value) = rest.split_first_chunk()?;
            Some((Some(u64::from_be_bytes(*version)), value))
        }
        _ => None,
    }
}

/// Whether a versioned value takes the place of these stored bytes.
fn is_newer(version: u64, present: Option<&[u8]>) -> bool {
    let present = present.and_then(unstored).and_then(|(version, _)| version);
    present.is_none_or(|present| version > present)
}

/// A key within a name's own space: the length in front keeps `a` + `bc` and `ab` + `c` apart.
fn spaced(name: &str, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + name.len() + key.len());
    bytes.extend_from_slice(&(name.len() as u32).to_be_bytes());
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(key);
    bytes
}

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
mod remote;
mod table;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use crate::failure::Failure;
use crate::seal::Keyring;
use crate::stage::Checkpoint;

use disk::Disk;
use memory::Memory;
use pending::{Group, Pending};
use remote::{Request, Server};

pub use remote::Remote;
pub use remote::claims::{Claim, Claims, Standing};
pub use table::{Op, Table};

/// Commits that may wait for the writer; a further caller waits for a place.
const QUEUE: usize = 256;

/// The store of one run. Clones share it; the last one to go waits for the writer to end.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    /// Of the embedded and the shared form: the queue to the writer thread, and the thread.
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
    Remote(Arc<Server>),
}

/// A group on its way to the writer, and who waits for it.
struct Waiting {
    group: Group,
    answer: oneshot::Sender<Result<(), Failure>>,
}

impl Store {
    /// In memory and gone with the process. [`is_durable`](Self::is_durable) is false, so stages
    /// do not write down what they remember.
    pub fn memory() -> Self {
        Self::of_memory(false, new_seed())
    }

    /// The same with hashes that are the same in each run. Not for what strangers choose the keys of:
    /// keys that meet in one place could be made up.
    pub fn rehearsed() -> Self {
        Self::of_memory(false, [7; 16])
    }

    /// In memory, but for stages like a durable one: a test restarts a pipeline by building it
    /// again over the same store, and finds what had been committed and nothing else.
    pub fn memory_durable() -> Self {
        Self::of_memory(true, new_seed())
    }

    /// The same with hashes that are the same in each run, as [`rehearsed`](Self::rehearsed).
    pub fn rehearsed_durable() -> Self {
        Self::of_memory(true, [7; 16])
    }

    fn of_memory(durable: bool, seed: [u8; 16]) -> Self {
        Self(Arc::new(Inner {
            shared: Arc::new(Shared {
                seed,
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
    /// With keys all values are sealed, the seed of the hashes too. What was written plain or with
    /// an older key of the ring is sealed anew at once, so the older key can go after that; pages
    /// that redb has not used again yet may still hold what was plain. The keys of the rows stay
    /// readable: names of nodes and inputs, numbers and keyed hashes.
    ///
    /// # Errors
    /// Fatal: another process uses it (`state_locked`), it is damaged (`state_corrupt`), it was
    /// written by a newer version (`state_format`) or with a key that is not given (`state_key`),
    /// or it cannot be read or made (`state_io`).
    pub fn open(dir: &Path, keys: Option<Keyring>) -> Result<Self, Failure> {
        Self::on_disk(Disk::open(dir, keys)?)
    }

    /// The shared form: a Redis that several workers of a pipeline use at the same time. Waits up to
    /// 30 s for one that is away. Later on whatever needs it waits for as long as it takes.
    ///
    /// What was noted for a delivery is lost where Redis loses it: it should write to its disk
    /// (`appendonly yes`), and must not be one that evicts keys.
    ///
    /// # Errors
    /// Fatal: it cannot be reached (`state_away`), or refuses or cannot be used (`state_io`).
    pub async fn remote(remote: &Remote, pipeline: &str) -> Result<Self, Failure> {
        let (server, seed, ready, thread) = remote::open(remote, pipeline).await?;
        let shared = Arc::new(Shared {
            seed,
            durable: true,
            pending: Pending::default(),
            form: Form::Remote(server),
        });
        let (sender, queue) = mpsc::channel(QUEUE);
        ready
            .send((shared.clone(), queue))
            .map_err(|_| writer_gone())?;
        Ok(Self(Arc::new(Inner {
            shared,
            writer: Some((sender, thread)),
        })))
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

    /// Of the shared form: why it is away, while it is. For the alert `state_away`.
    pub fn away(&self) -> Option<watch::Receiver<Option<String>>> {
        self.server().map(|server| server.away())
    }

    fn server(&self) -> Option<&Arc<Server>> {
        match &self.0.shared.form {
            Form::Remote(server) => Some(server),
            Form::Memory(_) | Form::Disk(_) => None,
        }
    }

    /// Key of all keyed hashes in this store. Random, made once, kept in the store.
    pub fn seed(&self) -> [u8; 16] {
        self.0.shared.seed
    }

    /// The table of this node. Tables of different nodes share no key.
    pub fn table(&self, node: &str) -> Table {
        Table::of(self.clone(), node)
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
    /// the checkpoints must be given again. The shared form waits for as long as it is away; a
    /// caller that goes meanwhile has its changes put back.
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
        if let Some(server) = self.server() {
            // Other workers wait for it, and here the next commit may be far off.
            server.ask(Request::Soon);
        }
    }

    /// The source's place in the input of this key, as last committed.
    ///
    /// # Errors
    /// Fatal (`state_io`, `state_corrupt`) when the store cannot be read.
    pub async fn checkpoint(&self, source: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.first_checkpoint(&[source], key).await
    }

    /// The place in the input of this key of the first of these sources that has one. Where the store
    /// is here, one look for all of them.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub async fn first_checkpoint<S: AsRef<str> + Sync>(
        &self,
        sources: &[S],
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, Failure> {
        match &self.0.shared.form {
            Form::Memory(memory) => {
                let mut sources = sources.iter();
                Ok(sources.find_map(|source| memory.checkpoint(source.as_ref(), key)))
            }
            Form::Disk(disk) => disk.checkpoint(sources, key),
            Form::Remote(server) => {
                for source in sources {
                    let found = place(server, source.as_ref(), key).await?;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                Ok(None)
            }
        }
    }

    /// All places of the source, in the order of their keys.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    pub async fn checkpoints(&self, source: &str) -> Result<Vec<Checkpoint>, Failure> {
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
            Form::Remote(server) => return places(server, source).await,
        }
        Ok(found)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Store({} pending)", self.pending())
    }
}

async fn place(server: &Server, source: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let (answer, answered) = oneshot::channel();
    server.ask(Request::Place {
        source: source.to_owned(),
        key: key.to_vec(),
        answer,
    });
    answered.await.map_err(|_| writer_gone())?
}

async fn places(server: &Server, source: &str) -> Result<Vec<Checkpoint>, Failure> {
    let (answer, answered) = oneshot::channel();
    let source = source.to_owned();
    server.ask(Request::Places { source, answer });
    answered.await.map_err(|_| writer_gone())?
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
            Form::Remote(_) => unreachable!("its own thread writes what it is given"),
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
            if let Form::Remote(server) = &self.shared.form {
                server.close();
            }
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

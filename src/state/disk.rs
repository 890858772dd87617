//! The embedded form: one redb file.
//!
//! Three tables: `meta` (format, seed, names of the keys in use), `state` and `checkpoints` (a
//! name's space and a key -> value). redb keeps the file whole through a crash and checks what it
//! reads.
//!
//! Why redb: with one fsync for each commit it, fjall and SQLite are about as fast on this work
//! (`benches/state`), since all of them wait for the disk. redb needs the least memory, is one file,
//! and checks every page of it at the start, which neither of the others does.
//!
//! With a key ring the values are sealed (see `sealed`). The keys of the rows stay readable: they
//! are names of nodes, names of inputs, numbers and keyed hashes, whose seed is sealed.

mod sealed;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Database, Durability, Error, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};

use super::pending::Group;
use super::{Op, new_seed, spaced};
use crate::failure::Failure;
use crate::seal::Keyring;

pub(super) use sealed::Values;

type Bytes = &'static [u8];

const META: TableDefinition<'static, &'static str, Bytes> = TableDefinition::new("meta");
const STATE: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("state");
const CHECKPOINTS: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("checkpoints");

/// Version of the layout described above, where values are as they are.
const PLAIN: u32 = 1;
/// The same, where values are sealed.
const SEALED: u32 = 2;

/// redb takes a gigabyte unless told; rows are read at start and else only written.
const CACHE: usize = 32 << 20;

/// Name of the file in the state folder.
const FILE: &str = "state.redb";

/// How the database is opened; tests put one under it that fails when told.
pub(super) type Opener = Box<dyn Fn(&Path) -> Result<Database, Error> + Send + Sync>;

/// One store file.
pub(super) struct Disk {
    path: PathBuf,
    opener: Opener,
    /// `None` after an error: redb answers nothing more then and must be opened anew.
    database: RwLock<Option<Database>>,
    values: Values,
    seed: [u8; 16],
}

/// What a file says of itself.
struct Meta {
    format: u32,
    /// Sealed in a sealed file.
    seed: Vec<u8>,
    /// Names of the keys that may have sealed something in it.
    keys: Vec<[u8; 8]>,
}

impl Disk {
    pub fn open(dir: &Path, keys: Option<Keyring>) -> Result<Self, Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| explain(dir, &Error::Io(error)))?;
        Self::open_with(dir.join(FILE), Box::new(open_file), keys)
    }

    pub fn open_with(
        path: PathBuf,
        opener: Opener,
        keys: Option<Keyring>,
    ) -> Result<Self, Failure> {
        let mut disk = Self {
            path,
            opener,
            database: RwLock::default(),
            values: Values::new(keys),
            seed: [0; 16],
        };
        let meta = disk.with(set_up)?;
        if ![PLAIN, SEALED].contains(&meta.format) {
            let (path, format) = (disk.path.display(), meta.format);
            let text = format!("`{path}` has format {format}, this version reads {SEALED}");
            return Err(Failure::fatal("state_format", text));
        }
        if let Some(missing) = disk.values.missing(&meta.keys) {
            let path = disk.path.display();
            let text = format!(
                "`{path}` is encrypted with the key {missing}, which is not among the keys given"
            );
            return Err(Failure::fatal("state_key", text));
        }
        disk.seed = disk.with(|_| disk.values.open_seed(&meta.seed))?;
        disk.seal_all(&meta)?;
        Ok(disk)
    }

    /// Seals what is plain or was sealed with an older key, so that the older key can be given up.
    /// A crash in between leaves both kinds; the next opening goes on.
    fn seal_all(&self, meta: &Meta) -> Result<(), Failure> {
        if self.values.is_uniform(&meta.keys) {
            return Ok(());
        }
        self.with(|database| self.values.begin(database, &meta.keys, self.seed))?;
        let mut from = Some(Vec::new());
        while let Some(after) = from {
            from = self.with(|database| self.values.seal_some(database, &after))?;
        }
        self.with(|database| self.values.finish(database))
    }

    pub fn seed(&self) -> [u8; 16] {
        self.seed
    }

    pub fn write(&self, groups: &[Group]) -> Result<(), Failure> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            self.write_groups(&transaction, groups)?;
            Ok(transaction.commit()?)
        })
    }

    /// The first of these sources that has a place in the input of this key, in one transaction.
    pub fn checkpoint<S: AsRef<str>>(
        &self,
        sources: &[S],
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, Failure> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(CHECKPOINTS)?;
            for source in sources {
                let key = spaced(source.as_ref(), key);
                if let Some(value) = table.get(key.as_slice())? {
                    return self.values.open_place(&key, value.value()).map(Some);
                }
            }
            Ok(None)
        })
    }

    pub fn checkpoints(
        &self,
        source: &str,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Failure> {
        self.with(|database| {
            each_of(database, CHECKPOINTS, source, &mut |key, row, value| {
                visit(key, &self.values.open_place(row, value)?);
                Ok(())
            })
        })
    }

    pub fn scan(&self, node: &str, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Failure> {
        self.with(|database| {
            each_of(database, STATE, node, &mut |key, row, bytes| {
                if let Some(value) = self.values.open(row, bytes)? {
                    visit(key, &value);
                }
                Ok(())
            })
        })
    }

    fn write_groups(&self, to: &WriteTransaction, groups: &[Group]) -> Result<(), Error> {
        let mut state = to.open_table(STATE)?;
        let mut checkpoints = to.open_table(CHECKPOINTS)?;
        for group in groups {
            for noted in group.noted() {
                self.apply(&mut state, &noted.node, &noted.op)?;
            }
            for (source, place) in &group.checkpoints {
                let key = spaced(source, &place.key);
                if place.value.is_empty() {
                    checkpoints.remove(key.as_slice())?;
                    continue;
                }
                let value = self.values.close_place(&key, &place.value);
                checkpoints.insert(key.as_slice(), value.as_slice())?;
            }
        }
        Ok(())
    }

    fn apply(&self, rows: &mut Table<'_, Bytes, Bytes>, node: &str, op: &Op) -> Result<(), Error> {
        let key = spaced(node, op.key());
        match op {
            Op::Put { value, .. } => {
                let value = self.values.close(&key, None, value);
                rows.insert(key.as_slice(), value.as_slice())?;
            }
            Op::PutNewer { version, value, .. } => {
                if version_at(rows, &key)?.is_none_or(|present| *version > present) {
                    let value = self.values.close(&key, Some(*version), value);
                    rows.insert(key.as_slice(), value.as_slice())?;
                }
            }
            Op::Delete { .. } => {
                rows.remove(key.as_slice())?;
            }
            Op::DeleteOlder { version, .. } => {
                if version_at(rows, &key)?.is_none_or(|present| present <= *version) {
                    rows.remove(key.as_slice())?;
                }
            }
        }
        Ok(())
    }

    /// Runs `work` on the open database. An error closes it, and the next call opens it again:
    /// after a full disk that is what makes going on possible.
    fn with<R>(&self, work: impl FnOnce(&Database) -> Result<R, Error>) -> Result<R, Failure> {
        // redb still panics on some kinds of damage; a broken file must stop the run with a
        // message, not the process with a backtrace.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let open = || self.database.read().unwrap_or_else(PoisonError::into_inner);
            let mut database = open();
            if database.is_none() {
                // Only here: whoever wants to change it waits for all who use it, and a commit uses
                // it for as long as the disk takes.
                drop(database);
                self.ensure_open()?;
                database = open();
            }
            database.as_ref().map_or(Err(Error::DatabaseClosed), work)
        }));
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.close();
                Err(explain(&self.path, &error))
            }
            Err(_) => {
                self.close();
                Err(explain(&self.path, &Error::Corrupted(String::new())))
            }
        }
    }

    fn ensure_open(&self) -> Result<(), Error> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some((self.opener)(&self.path)?);
        }
        Ok(())
    }

    fn close(&self) {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let database = database.take();
        // Closing writes, which on a damaged file may go wrong again; the first error is told.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }
}

fn open_file(path: &Path) -> Result<Database, Error> {
    if !path.try_exists()? {
        make_file(path)?;
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(path)?;
    let mut builder = Database::builder();
    let mut database = builder.set_cache_size(CACHE).create_file(file)?;
    // Reads do not verify checksums, so the whole file is verified here: what was damaged since
    // the last run is found now or never. Where the last commit is damaged but the one before it
    // is sound, redb goes back to that one, and sources deliver again what came since.
    database.check_integrity()?;
    // A new file's name must survive a crash as its content does.
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(database)
}

/// Makes an empty database. A file that is half made, by a crash or on a full disk, is one that
/// nobody can open, so it gets its name only when it is whole.
fn make_file(path: &Path) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    // Another process may make its own at the same time.
    beside.push(format!(".{:032x}.new", u128::from_be_bytes(new_seed())));
    let beside = PathBuf::from(beside);
    let make = || {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        drop(Database::builder().create_file(options.open(&beside)?)?);
        // A link, since a rename would take the place of what another process has made by now.
        match fs::hard_link(&beside, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => Ok(made?),
        }
    };
    let made = make();
    // What cannot be removed does no harm.
    let _ = fs::remove_file(&beside);
    made
}

/// Reads what the file says of itself; in a new one, writes it and makes the tables.
fn set_up(database: &Database) -> Result<Meta, Error> {
    let transaction = database.begin_write()?;
    let found = {
        let mut meta = transaction.open_table(META)?;
        if meta.get("format")?.is_none() {
            meta.insert("format", PLAIN.to_be_bytes().as_slice())?;
            meta.insert("seed", new_seed().as_slice())?;
            transaction.open_table(STATE)?;
            transaction.open_table(CHECKPOINTS)?;
        }
        read_meta(&meta)?
    };
    transaction.commit()?;
    Ok(found)
}

fn read_meta(meta: &impl ReadableTable<&'static str, Bytes>) -> Result<Meta, Error> {
    let read = |name| -> Result<Option<Vec<u8>>, Error> {
        Ok(meta.get(name)?.map(|value| value.value().to_vec()))
    };
    let format = read("format")?.and_then(|format| format.try_into().ok());
    let (Some(format), Some(seed)) = (format, read("seed")?) else {
        return Err(Error::Corrupted("format and seed".into()));
    };
    let keys = read("keys")?.unwrap_or_default();
    Ok(Meta {
        format: u32::from_be_bytes(format),
        seed,
        keys: keys.as_chunks().0.to_vec(),
    })
}

fn version_at(rows: &Table<'_, Bytes, Bytes>, key: &[u8]) -> Result<Option<u64>, Error> {
    Ok(rows.get(key)?.and_then(|row| sealed::version(row.value())))
}

/// Is shown a key in its space, the whole key of its row, and the row.
type VisitRow<'a> = &'a mut dyn FnMut(&[u8], &[u8], &[u8]) -> Result<(), Error>;

/// Calls `visit` with each key in the name's space, the whole key of its row, and the row.
fn each_of(
    database: &Database,
    table: TableDefinition<'static, Bytes, Bytes>,
    name: &str,
    visit: VisitRow<'_>,
) -> Result<(), Error> {
    let table = database.begin_read()?.open_table(table)?;
    let space = spaced(name, b"");
    for row in table.range(space.as_slice()..)? {
        let (row, value) = row?;
        let Some(key) = row.value().strip_prefix(space.as_slice()) else {
            break;
        };
        visit(key, row.value(), value.value())?;
    }
    Ok(())
}

/// For people: what is wrong with which file.
fn explain(path: &Path, error: &Error) -> Failure {
    let path = path.display();
    match error {
        Error::DatabaseAlreadyOpen => Failure::fatal(
            "state_locked",
            format!("another process uses the state in `{path}`"),
        ),
        Error::Io(error) if !is_damage(error) => {
            Failure::fatal("state_io", format!("state in `{path}`: {error}"))
        }
        Error::PreviousIo | Error::DatabaseClosed | Error::LockPoisoned(_) => {
            Failure::fatal("state_io", format!("state in `{path}`: {error}"))
        }
        _ => Failure::fatal(
            "state_corrupt",
            format!("`{path}` is damaged or no state of this program; set it aside to start anew"),
        ),
    }
}

/// Kinds of I/O errors by which redb reports content that makes no sense.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

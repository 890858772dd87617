//! The embedded form: one redb file.
//!
//! Three tables: `meta` (format, seed), `state` and `checkpoints` (a name's space and a key ->
//! value). redb keeps the file whole through a crash and checks what it reads.

use std::fs::{DirBuilder, File, OpenOptions};
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
use super::{Op, is_newer, new_seed, spaced, stored, unstored};
use crate::failure::Failure;

type Bytes = &'static [u8];

const META: TableDefinition<'static, &'static str, Bytes> = TableDefinition::new("meta");
const STATE: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("state");
const CHECKPOINTS: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("checkpoints");

/// Version of the layout described above.
const FORMAT: u32 = 1;

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
    seed: [u8; 16],
}

impl Disk {
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| explain(dir, &Error::Io(error)))?;
        Self::open_with(dir.join(FILE), Box::new(open_file))
    }

    pub fn open_with(path: PathBuf, opener: Opener) -> Result<Self, Failure> {
        let mut disk = Self {
            path,
            opener,
            database: RwLock::default(),
            seed: [0; 16],
        };
        let (format, seed) = disk.with(set_up)?;
        if format != FORMAT {
            let path = disk.path.display();
            let text = format!("`{path}` has format {format}, this version reads {FORMAT}");
            return Err(Failure::fatal("state_format", text));
        }
        disk.seed = seed;
        Ok(disk)
    }

    pub fn seed(&self) -> [u8; 16] {
        self.seed
    }

    pub fn write(&self, groups: &[Group]) -> Result<(), Failure> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            write_groups(&transaction, groups)?;
            Ok(transaction.commit()?)
        })
    }

    pub fn checkpoint(&self, source: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(CHECKPOINTS)?;
            let found = table.get(spaced(source, key).as_slice())?;
            Ok(found.map(|value| value.value().to_vec()))
        })
    }

    pub fn checkpoints(
        &self,
        source: &str,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<(), Failure> {
        self.with(|database| each_of(database, CHECKPOINTS, source, visit))
    }

    pub fn scan(&self, node: &str, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Failure> {
        self.with(|database| {
            each_of(database, STATE, node, &mut |key, bytes| {
                if let Some((_, value)) = unstored(bytes) {
                    visit(key, value);
                }
            })
        })
    }

    /// Runs `work` on the open database. An error closes it, and the next call opens it again:
    /// after a full disk that is what makes going on possible.
    fn with<R>(&self, work: impl FnOnce(&Database) -> Result<R, Error>) -> Result<R, Failure> {
        // redb still panics on some kinds of damage; a broken file must stop the run with a
        // message, not the process with a backtrace.
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.ensure_open()?;
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
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
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.mode(0o600).open(path)?;
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

/// Reads format and seed; in a new file, writes them and makes the tables.
fn set_up(database: &Database) -> Result<(u32, [u8; 16]), Error> {
    let transaction = database.begin_write()?;
    let found = {
        let mut meta = transaction.open_table(META)?;
        let found = read_meta(&meta)?;
        if found.is_none() {
            meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
            meta.insert("seed", new_seed().as_slice())?;
            transaction.open_table(STATE)?;
            transaction.open_table(CHECKPOINTS)?;
        }
        match found {
            Some(found) => Some(found),
            None => read_meta(&meta)?,
        }
    };
    transaction.commit()?;
    found.ok_or_else(|| Error::Corrupted("no format".into()))
}

fn read_meta(
    meta: &impl ReadableTable<&'static str, Bytes>,
) -> Result<Option<(u32, [u8; 16])>, Error> {
    let Some(format) = meta.get("format")? else {
        return Ok(None);
    };
    let format = format.value().try_into().ok().map(u32::from_be_bytes);
    let seed = meta.get("seed")?;
    let seed = seed.and_then(|seed| seed.value().try_into().ok());
    match (format, seed) {
        (Some(format), Some(seed)) => Ok(Some((format, seed))),
        _ => Err(Error::Corrupted("format and seed".into())),
    }
}

fn write_groups(transaction: &WriteTransaction, groups: &[Group]) -> Result<(), Error> {
    let mut state = transaction.open_table(STATE)?;
    let mut checkpoints = transaction.open_table(CHECKPOINTS)?;
    for group in groups {
        for noted in group.noted() {
            apply(&mut state, &noted.node, &noted.op)?;
        }
        for (source, place) in &group.checkpoints {
            let key = spaced(source, &place.key);
            checkpoints.insert(key.as_slice(), place.value.as_slice())?;
        }
    }
    Ok(())
}

fn apply(rows: &mut Table<'_, Bytes, Bytes>, node: &str, op: &Op) -> Result<(), Error> {
    match op {
        Op::Put { key, value } => {
            rows.insert(spaced(node, key).as_slice(), stored(None, value).as_slice())?;
        }
        Op::PutNewer {
            key,
            version,
            value,
        } => {
            let key = spaced(node, key);
            let present = rows.get(key.as_slice())?;
            if is_newer(*version, present.as_ref().map(|row| row.value())) {
                drop(present);
                rows.insert(key.as_slice(), stored(Some(*version), value).as_slice())?;
            }
        }
        Op::Delete { key } => {
            rows.remove(spaced(node, key).as_slice())?;
        }
    }
    Ok(())
}

fn each_of(
    database: &Database,
    table: TableDefinition<'static, Bytes, Bytes>,
    name: &str,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), Error> {
    let table = database.begin_read()?.open_table(table)?;
    let space = spaced(name, b"");
    for row in table.range(space.as_slice()..)? {
        let (key, value) = row?;
        let Some(key) = key.value().strip_prefix(space.as_slice()) else {
            break;
        };
        visit(key, value.value());
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

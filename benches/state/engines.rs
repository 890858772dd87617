//! The stores that are compared, behind the one call that matters.

use std::path::Path;

use fjall::{KeyspaceCreateOptions, PersistMode};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use rusqlite::Connection;
use tokio::runtime::Runtime;
use trunkline::seal::{Key, Keyring};
use trunkline::stage::Checkpoint;
use trunkline::state::{Op, Store};

/// The first is what the others are compared with.
pub const NAMES: [&str; 5] = ["redb", "fjall", "sqlite", "Store", "Store, sealed"];

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const PLACES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("places");

/// A source's cursor.
pub struct Place(pub u64);

/// One transaction.
pub struct Commit {
    pub put: Vec<(u64, Vec<u8>)>,
    pub delete: Vec<u64>,
    pub place: Place,
}

pub enum Engine {
    Redb(Database),
    Fjall {
        database: fjall::Database,
        rows: fjall::Keyspace,
        places: fjall::Keyspace,
    },
    Sqlite(Connection),
    Store(Runtime, Store),
}

impl Engine {
    pub fn open(name: &str, folder: &Path) -> Self {
        match name {
            "redb" => Self::redb(folder),
            "fjall" => Self::fjall(folder),
            "sqlite" => Self::sqlite(folder),
            "Store" => Self::store(folder, None),
            "Store, sealed" => {
                let key = Key::parse(&"07".repeat(32)).expect("a key");
                Self::store(folder, Some(Keyring::new(key, vec![]).expect("randomness")))
            }
            other => panic!("no store is called {other}"),
        }
    }

    fn redb(folder: &Path) -> Self {
        // As ours: a cache of 32 MiB, and the whole file is verified at the start.
        let mut builder = Database::builder();
        let database = builder.set_cache_size(32 << 20);
        let mut database = database.create(folder.join("redb")).expect("redb");
        database.check_integrity().expect("it is whole");
        let transaction = database.begin_write().expect("redb");
        transaction.open_table(ROWS).expect("redb");
        transaction.open_table(PLACES).expect("redb");
        transaction.commit().expect("redb");
        Self::Redb(database)
    }

    fn fjall(folder: &Path) -> Self {
        let builder = fjall::Database::builder(folder.join("fjall"));
        let database = builder.cache_size(32 << 20).open().expect("fjall");
        let open = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        let (rows, places) = (open("rows").expect("fjall"), open("places").expect("fjall"));
        Self::Fjall {
            database,
            rows,
            places,
        }
    }

    fn sqlite(folder: &Path) -> Self {
        let connection = Connection::open(folder.join("sqlite")).expect("sqlite");
        let set_up = "pragma journal_mode = wal; pragma synchronous = full;
            pragma cache_size = -32768;
            create table if not exists rows (key blob primary key, value blob) without rowid;
            create table if not exists places (key blob primary key, value blob) without rowid;";
        connection.execute_batch(set_up).expect("sqlite");
        Self::Sqlite(connection)
    }

    fn store(folder: &Path, keys: Option<Keyring>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let store = Store::open(folder, keys).expect("our store");
        Self::Store(runtime.expect("a runtime"), store)
    }

    pub fn commit(&mut self, commit: Commit) {
        let place = commit.place.0.to_be_bytes();
        match self {
            Self::Redb(database) => in_redb(database, &commit, &place),
            Self::Fjall {
                database,
                rows,
                places,
            } => {
                let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
                for (key, value) in &commit.put {
                    batch.insert(rows, key.to_be_bytes(), value.as_slice());
                }
                for key in &commit.delete {
                    batch.remove(rows, key.to_be_bytes());
                }
                batch.insert(places, b"file".as_slice(), place);
                batch.commit().expect("fjall");
            }
            Self::Sqlite(connection) => {
                let transaction = connection.transaction().expect("sqlite");
                let run = |sql: &str, parameters: &[&[u8]]| {
                    let mut statement = transaction.prepare_cached(sql).expect("sqlite");
                    let parameters = rusqlite::params_from_iter(parameters);
                    statement.execute(parameters).expect("sqlite");
                };
                for (key, value) in &commit.put {
                    run(
                        "insert or replace into rows values (?, ?)",
                        &[&key.to_be_bytes(), value],
                    );
                }
                for key in &commit.delete {
                    run("delete from rows where key = ?", &[&key.to_be_bytes()]);
                }
                run(
                    "insert or replace into places values ('file', ?)",
                    &[&place],
                );
                transaction.commit().expect("sqlite");
            }
            Self::Store(runtime, store) => {
                let table = store.table("unique");
                let deliveries = commit.put.iter().map(|(key, _)| *key).collect();
                for (number, value) in commit.put {
                    let key = number.to_be_bytes().to_vec();
                    table.note(number, Op::Put { key, value });
                }
                for key in commit.delete {
                    let key = key.to_be_bytes().to_vec();
                    table.note_soon(Op::Delete { key });
                }
                let place = Checkpoint {
                    key: b"file".to_vec(),
                    value: place.to_vec(),
                };
                let done = store.commit(deliveries, vec![("source".into(), place)]);
                runtime.block_on(done).expect("our store");
            }
        }
    }

    /// Bytes of all values.
    pub fn scan(&self) -> u64 {
        match self {
            Self::Redb(database) => {
                let rows = database.begin_read().expect("redb").open_table(ROWS);
                let rows = rows.expect("redb");
                let all = rows.range::<&[u8]>(..).expect("redb");
                all.map(|row| row.expect("redb").1.value().len() as u64)
                    .sum()
            }
            Self::Fjall { rows, .. } => {
                let length = |row: fjall::Guard| row.value().expect("fjall").len() as u64;
                rows.iter().map(length).sum()
            }
            Self::Sqlite(connection) => {
                let mut rows = connection
                    .prepare("select value from rows")
                    .expect("sqlite");
                let length = |row: &rusqlite::Row<'_>| Ok(row.get::<_, Vec<u8>>(0)?.len() as u64);
                let all = rows.query_map([], length).expect("sqlite");
                all.map(|length| length.expect("sqlite")).sum()
            }
            Self::Store(_, store) => {
                let mut bytes = 0;
                let mut visit = |_: &[u8], value: &[u8]| bytes += value.len() as u64;
                store.table("unique").scan(&mut visit).expect("our store");
                bytes
            }
        }
    }
}

fn in_redb(database: &Database, commit: &Commit, place: &[u8]) {
    let mut transaction = database.begin_write().expect("redb");
    transaction
        .set_durability(Durability::Immediate)
        .expect("redb");
    {
        let mut rows = transaction.open_table(ROWS).expect("redb");
        for (key, value) in &commit.put {
            rows.insert(key.to_be_bytes().as_slice(), value.as_slice())
                .expect("redb");
        }
        for key in &commit.delete {
            rows.remove(key.to_be_bytes().as_slice()).expect("redb");
        }
        let mut places = transaction.open_table(PLACES).expect("redb");
        places.insert(b"file".as_slice(), place).expect("redb");
    }
    transaction.commit().expect("redb");
}

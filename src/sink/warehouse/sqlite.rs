//! The embedded warehouse: one connection, one transaction for each batch.

mod failure;
mod schema;
mod staging;
mod statements;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hashbrown::HashSet;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::config::{Config, Target};
use super::load::Load;
use super::refusal::Refusal;
use super::row::{Cells, TIMES};
use super::store::{Store, Trouble, Written};
use super::thread::gone;
use super::time;
use crate::clock::parse_timestamp;
use crate::failure::Failure;
use crate::layer::rehearsal::Leaving;
use crate::layer::{Finding, Grade};

use failure::{constraint, failure};
use staging::Staging;
use statements::Statements;

/// How long a statement waits for another program that writes the same file.
const BUSY: Duration = Duration::from_secs(5);

/// An open warehouse. It blocks, so it lives on a thread of its own: every future here is ready at
/// the first poll.
pub(super) struct Sqlite {
    connection: Connection,
    file: PathBuf,
    statements: Statements,
    staging: Option<Staging>,
    /// Of the last load.
    written: Option<HashSet<String>>,
}

impl Store for Sqlite {
    /// Opens the file, makes what is missing where that is wanted, and proves that every statement
    /// can run.
    async fn open(config: &Config) -> Result<Self, Failure> {
        let file = path(config)?.to_owned();
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failure::folder(&error, folder))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let tell = |error| failure(&error, &file);
        let connection = Connection::open_with_flags(&file, flags).map_err(tell)?;
        prepare(&connection).map_err(tell)?;
        schema::bring_up(&connection, config, &file)?;
        let statements = Statements::new(&config.schema);
        statements
            .prove(&connection)
            .map_err(|error| schema::unusable(&error, &file))?;
        let staging = match config.staging {
            true => Some(Staging::open(&connection, config).map_err(tell)?),
            false => None,
        };
        Ok(Self {
            connection,
            statements,
            staging,
            written: None,
            file,
        })
    }

    async fn load(&mut self, load: &Load<'_>) -> Result<Written, Trouble> {
        let Self {
            connection,
            statements,
            written: facts,
            file,
            ..
        } = self;
        let written = begin(connection).and_then(|transaction| {
            let (changed, written) = statements.write(&transaction, load)?;
            transaction.commit()?;
            *facts = written;
            Ok(Written { changed })
        });
        written.map_err(|error| trouble(&error, file))
    }

    async fn stage(
        &mut self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Trouble> {
        let Self {
            connection,
            statements,
            staging,
            file,
            ..
        } = self;
        let Some(staging) = staging else {
            return Err(Failure::fatal("warehouse_error", "`staging` is off").into());
        };
        let mut found = Vec::new();
        let written = begin(connection).and_then(|transaction| {
            staging.write(&transaction, cells, &mut found)?;
            statements.write(&transaction, also)?;
            transaction.commit()
        });
        match written {
            Ok(()) => Ok(found),
            Err(error) => Err(trouble(&error, file)),
        }
    }

    fn written_facts(&mut self) -> Option<HashSet<String>> {
        self.written.take()
    }

    async fn facts(&mut self, from: i64, to: i64) -> Result<Option<BTreeMap<i64, u64>>, Failure> {
        // The hour as text sorts as time does, so the index on the times serves.
        let query = "SELECT substr(event_timestamp, 1, 13), count(*) FROM fact_interactions \
                     WHERE event_timestamp >= ?1 AND event_timestamp < ?2 GROUP BY 1";
        let hour = |hour: i64| {
            let ms = hour.saturating_mul(time::HOUR);
            time::text(ms.clamp(*TIMES.start(), *TIMES.end()))
        };
        let tell = |error| failure(&error, &self.file);
        let mut statement = self.connection.prepare_cached(query).map_err(tell)?;
        let rows = statement.query_map([hour(from), hour(to)], |row| {
            let hour = parse_timestamp(&format!("{}:00:00Z", row.get::<_, String>(0)?));
            Ok((hour, row.get::<_, i64>(1)?))
        });
        let mut facts = BTreeMap::new();
        for row in rows.map_err(tell)? {
            let (micros, count) = row.map_err(tell)?;
            if let (Some(micros), Ok(count)) = (micros, u64::try_from(count)) {
                facts.insert(micros.div_euclid(time::HOUR * 1000), count);
            }
        }
        Ok(Some(facts))
    }

    async fn probe(config: &Config) -> Vec<Finding> {
        let config = config.clone();
        let probed = tokio::task::spawn_blocking(move || schema::probe(&config)).await;
        let found = match probed.unwrap_or_else(|_| Err(gone())) {
            Ok(sentence) => Finding::new(Grade::Good, sentence),
            Err(failure) => Finding::new(Grade::Error, failure.to_string()),
        };
        vec![found]
    }
}

/// The database file.
fn path(config: &Config) -> Result<&Path, Failure> {
    match &config.target {
        Target::Sqlite { path } => Ok(path),
        _ => Err(Failure::fatal("warehouse_error", "no file of SQLite")),
    }
}

fn trouble(error: &rusqlite::Error, file: &Path) -> Trouble {
    match constraint(error) {
        Some(kind) => Trouble::Refused(format!("{kind} of the table refuses the row")),
        None => failure(error, file).into(),
    }
}

/// Takes the write lock at once: a lock that is taken at the first write can fail without waiting.
fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // Readers go on while a batch is written; where the file system cannot do it, SQLite keeps a
    // rollback journal, which is as durable.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // What is committed has reached the disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// What a load would say, but for the transaction around it.
pub(super) fn said(schema: &str, load: &Load<'_>) -> Result<Vec<Leaving>, Trouble> {
    let said = Statements::new(schema).said(load);
    said.map_err(|_| Failure::fatal("warehouse_error", "no statement for a table").into())
}

/// All that a run says, in the order of one batch with rows for every table.
pub(super) fn shown(schema: &str, staged: bool) -> Vec<String> {
    let mut all = vec!["BEGIN IMMEDIATE".to_owned()];
    match staged {
        true => all.extend(Staging::shown(schema)),
        false => all.extend(Statements::new(schema).shown().map(str::to_owned)),
    }
    all.push("COMMIT".to_owned());
    all
}

#[cfg(test)]
mod tests;

//! The embedded warehouse: one connection, one transaction for each batch.

mod failure;
mod load;
mod schema;
mod staging;

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::config::Config;
use super::model::WIDTH;
use super::refusal::{Refusal, Refusals};
use super::row::{self, Cells, Row};
use crate::event::{Batch, Path};
use crate::failure::Failure;

use failure::{constraint, failure};
use load::Load;
use staging::Staging;

/// How long a statement waits for another program that writes the same file.
const BUSY: Duration = Duration::from_secs(5);

/// An open warehouse. It blocks, so it lives on a thread of its own.
pub(super) struct Store {
    connection: Connection,
    file: PathBuf,
    paths: [Path; WIDTH],
    load: Load,
    staging: Option<Staging>,
}

impl Store {
    /// Opens the file, makes what is missing where that is wanted, and proves that every statement
    /// can run.
    pub fn open(config: &Config) -> Result<Self, Failure> {
        let file = config.path.clone();
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(|error| failure::folder(&error, folder))?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let tell = |error| failure(&error, &file);
        let connection = Connection::open_with_flags(&file, flags).map_err(tell)?;
        prepare(&connection).map_err(tell)?;
        schema::bring_up(&connection, config)?;
        let load = Load::new(config);
        load.prove(&connection)
            .map_err(|error| schema::unusable(&error, &file))?;
        let staging = match config.staging {
            true => Some(Staging::open(&connection, config).map_err(tell)?),
            false => None,
        };
        Ok(Self {
            connection,
            paths: config.paths.clone(),
            load,
            staging,
            file,
        })
    }

    /// Connects without writing and tells what was found.
    pub fn probe(config: &Config) -> Result<String, Failure> {
        schema::probe(config)
    }

    /// Writes a batch; durable when it returns.
    ///
    /// # Errors
    /// Names the events that are refused; all others are written. Any other failure speaks of the
    /// whole batch, of which then nothing is written.
    pub fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let mut refusals = Refusals::default();
        let mut cells = Vec::with_capacity(batch.len());
        for event in batch.events() {
            match row::read(&self.paths, event) {
                Ok(read) => cells.push(read),
                Err(refusal) => refusals.push(refusal, event.origin),
            }
        }
        let written = match self.staging.is_some() {
            true => self.write_staged(cells, &mut refusals),
            false => self.write_rows(cells, &mut refusals),
        };
        written.map_err(|error| failure(&error, &self.file))?;
        refusals.into_result()
    }

    fn write_rows(&mut self, cells: Vec<Cells<'_>>, refusals: &mut Refusals) -> Done {
        let rows = check(cells, refusals);
        if rows.is_empty() {
            return Ok(());
        }
        let transaction = begin(&mut self.connection)?;
        let written = self.load.write(&transaction, &rows);
        match written.and_then(|()| transaction.commit()) {
            Err(error) if constraint(&error).is_some() => self.write_singly(&rows, refusals),
            written => written,
        }
    }

    fn write_staged(&mut self, cells: Vec<Cells<'_>>, refusals: &mut Refusals) -> Done {
        let Some(staging) = self.staging.as_ref().filter(|_| !cells.is_empty()) else {
            return Ok(());
        };
        let transaction = begin(&mut self.connection)?;
        let mut found = Vec::new();
        let written = staging.write(&transaction, &cells, &mut found);
        match written.and_then(|()| transaction.commit()) {
            Err(error) if constraint(&error).is_some() => {
                let rows = check(cells, refusals);
                self.write_singly(&rows, refusals)
            }
            written => {
                for (refusal, place) in found {
                    refusals.push(refusal, cells[place].origin);
                }
                written
            }
        }
    }

    /// Each row by itself, still in one transaction: finds those that a constraint of the table
    /// refuses. Rows are not folded here, since the newest of one event may be the refused one.
    fn write_singly(&mut self, rows: &[Row<'_>], refusals: &mut Refusals) -> Done {
        let mut transaction = begin(&mut self.connection)?;
        for row in rows {
            let savepoint = transaction.savepoint()?;
            let written = self.load.write(&savepoint, std::slice::from_ref(row));
            match written {
                Ok(()) => savepoint.commit()?,
                Err(error) => {
                    drop(savepoint);
                    let Some(kind) = constraint(&error) else {
                        return Err(error);
                    };
                    // A trigger can end the whole transaction; what went before is then not written.
                    if transaction.is_autocommit() {
                        return Err(error);
                    }
                    refusals.push(Refusal::Constraint(kind), row.origin);
                }
            }
        }
        transaction.commit()
    }
}

type Done = rusqlite::Result<()>;

fn check<'e>(cells: Vec<Cells<'e>>, refusals: &mut Refusals) -> Vec<Row<'e>> {
    let mut rows = Vec::with_capacity(cells.len());
    for cells in cells {
        let origin = cells.origin;
        match Row::check(cells) {
            Ok(row) => rows.push(row),
            Err(refusal) => refusals.push(refusal, origin),
        }
    }
    rows
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

#[cfg(test)]
mod tests;

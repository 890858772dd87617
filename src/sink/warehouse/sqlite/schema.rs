//! The tables of a file: made where they are missing, checked where they are there.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::config::Config;
use super::super::dialect::{Dialect, ddl};
use super::super::schema::{Comparison, Found, compare, judge};
use super::failure::{failure, told};
use crate::failure::Failure;

/// Makes what is missing if the configuration wants it, and checks the rest.
pub(super) fn bring_up(
    connection: &Connection,
    config: &Config,
    file: &Path,
) -> Result<(), Failure> {
    judge(&inspect(connection, config, file)?, config, &place(file))?;
    if !config.auto_create {
        return Ok(());
    }
    let ddl = ddl(Dialect::Sqlite, &config.schema, None);
    let script = format!("BEGIN IMMEDIATE;\n{ddl}COMMIT;");
    connection.execute_batch(&script).map_err(|error| {
        // Closing the connection, which follows, would undo it as well.
        let _ = connection.execute_batch("ROLLBACK");
        failure(&error, file)
    })
}

/// Opens the file to read, if it is there, and looks at the tables.
pub(super) fn probe(config: &Config) -> Result<String, Failure> {
    let file = super::path(config)?;
    let name = file.display();
    if !file.exists() {
        return match config.auto_create {
            true => Ok(format!("`{name}` is not there yet and will be made")),
            false => Err(Failure::fatal(
                "warehouse_io",
                format!("`{name}` is not there, and `auto_create` is false"),
            )),
        };
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(file, flags).map_err(|error| failure(&error, file))?;
    let comparison = inspect(&connection, config, file)?;
    judge(&comparison, config, &place(file))?;
    let missing = comparison.missing();
    Ok(match missing.is_empty() {
        true => format!("`{name}` has all tables of the warehouse"),
        false => format!("`{name}`: `{}` will be made", missing.join("`, `")),
    })
}

fn place(file: &Path) -> String {
    format!("`{}`", file.display())
}

/// The statements of the load cannot run on these tables.
pub(super) fn unusable(error: &rusqlite::Error, file: &Path) -> Failure {
    match failure(error, file) {
        // An error of no class of its own is about the statement, and so about the tables.
        found if found.losses()[0].cause.reason == "warehouse_error" => Failure::fatal(
            "warehouse_schema",
            format!(
                "the tables of `{}` are not those of a warehouse: {}",
                file.display(),
                told(error)
            ),
        ),
        found => found,
    }
}

fn inspect(connection: &Connection, config: &Config, file: &Path) -> Result<Comparison, Failure> {
    let words = Dialect::Sqlite.words();
    let found = columns(connection, &words.columns(&config.schema))
        .map_err(|error| failure(&error, file))?;
    Ok(compare(words, &config.schema, &found))
}

fn columns(connection: &Connection, query: &str) -> rusqlite::Result<Vec<Found>> {
    let mut statement = connection.prepare(query)?;
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Found {
            table: row.get(0)?,
            column: row.get(1)?,
            kind: row.get(2)?,
            length: row.get(3)?,
            nullable: row.get(4)?,
            default: row.get(5)?,
        })
    };
    statement.query_map([], read)?.collect()
}

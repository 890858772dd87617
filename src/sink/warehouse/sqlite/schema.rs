//! The tables of a file: made where they are missing, checked where they are there.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::config::Config;
use super::super::dialect::{Sqlite, ddl};
use super::super::model::{Need, TABLES, Table};
use super::failure::{failure, told};
use crate::failure::Failure;

/// Makes what is missing if the configuration wants it, and checks the rest.
pub(super) fn bring_up(connection: &Connection, config: &Config) -> Result<(), Failure> {
    let missing = inspect(connection, &config.path)?;
    if config.auto_create {
        let script = format!(
            "BEGIN IMMEDIATE;\n{}COMMIT;",
            ddl(config.dialect, &config.schema, None)
        );
        return connection.execute_batch(&script).map_err(|error| {
            // Closing the connection, which follows, would undo it as well.
            let _ = connection.execute_batch("ROLLBACK");
            failure(&error, &config.path)
        });
    }
    match missing.first() {
        None => Ok(()),
        Some(table) => Err(Failure::fatal(
            "warehouse_schema",
            format!(
                "`{}` has no table `{table}`: set `auto_create: true` or make the tables first",
                config.path.display()
            ),
        )),
    }
}

/// Opens the file to read, if it is there, and looks at the tables.
pub(super) fn probe(config: &Config) -> Result<String, Failure> {
    let (file, name) = (&config.path, config.path.display());
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
    let missing = inspect(&connection, file)?;
    match (missing.is_empty(), config.auto_create) {
        (true, _) => Ok(format!("`{name}` has all tables of the warehouse")),
        (false, true) => Ok(format!("`{name}`: `{}` will be made", missing.join("`, `"))),
        (false, false) => Err(Failure::fatal(
            "warehouse_schema",
            format!("`{name}` has no `{}`", missing.join("`, `")),
        )),
    }
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

/// The tables that are missing. A table that is there must have all its columns.
fn inspect(connection: &Connection, file: &Path) -> Result<Vec<&'static str>, Failure> {
    let mut missing = Vec::new();
    let mut statements = Vec::new();
    for table in TABLES {
        let found = columns(connection, table.name).map_err(|error| failure(&error, file))?;
        match found.is_empty() {
            true => missing.push(table.name),
            false => statements.extend(remedies(table, &found)),
        }
    }
    if statements.is_empty() {
        return Ok(missing);
    }
    let message = format!(
        "tables of `{}` lack columns; run: {}",
        file.display(),
        statements.join(" ")
    );
    Err(Failure::fatal("warehouse_schema", message))
}

/// Names of a table's columns, in lower case; none if there is no such table.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare("SELECT lower(name) FROM pragma_table_info(?1, 'main')")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn remedies(table: &Table, found: &[String]) -> Vec<String> {
    table
        .columns
        .iter()
        .filter(|column| !found.iter().any(|name| name == column.name))
        .map(|column| match column.need {
            // No key can be added to a table.
            Need::Key => format!("ALTER TABLE \"{0}\" RENAME TO \"{0}_before\";", table.name),
            _ => Sqlite.add_column(table.name, column),
        })
        .collect()
}

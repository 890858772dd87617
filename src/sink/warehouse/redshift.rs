//! Redshift: rows are bound into temporary tables, many to a statement, and merged out of these.
//!
//! Redshift enforces no key, so that two transactions which insert the same new key would both
//! succeed: each transaction locks the tables it writes, and writers take turns. There is no COPY from
//! the client; where loads are so large that this is too slow, files in S3 and Redshift's own COPY are
//! the way. Temporary tables belong to the connection: a pooler in between must keep it for a session.

use std::collections::HashMap;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Statement};

use super::config::{Config, Target};
use super::dialect::Dialect;
use super::load::{Cell, Load};
use super::model::{EVENT_TIMESTAMP, INPUTS, Kind, MERGES, Merge};
use super::postgres::{Session, TABLE, kinds, probe, queries, refused, validation};
use super::refusal::Refusal;
use super::rehearsal::{rows_of, statement};
use super::row::Cells;
use super::store::{Store, Trouble, Written};
use super::time;
use crate::client::postgres::Settings;
use crate::failure::Failure;
use crate::layer::Finding;
use crate::layer::rehearsal::Leaving;

/// Rows to a statement: as many as possible of the first, then of the next. With eleven columns the
/// first stays well below the 32,767 parameters that a statement can have.
const ROWS: [usize; 4] = [1024, 128, 16, 1];

/// A connection, with the statements that were needed on it so far.
pub(super) struct Redshift {
    session: Session,
    /// The statements that fill a staging table, by its name and the number of rows.
    inserts: HashMap<(String, usize), Statement>,
    schema: String,
    source_system: String,
}

impl Store for Redshift {
    async fn open(config: &Config) -> Result<Self, Failure> {
        let mut session = Session::open(settings(config)?).await?;
        let words = Dialect::Redshift.words();
        session.bring_up(words, config).await?;
        let script = temporaries(config.staging).concat();
        let made = session.connection.batch_execute(&script).await;
        made.map_err(|error| session.failure(&error))?;
        session.also_begin(&lock(&config.schema));
        Ok(Self {
            session,
            inserts: HashMap::new(),
            schema: config.schema.clone(),
            source_system: config.source_system.clone(),
        })
    }

    async fn load(&mut self, load: &Load<'_>) -> Result<Written, Trouble> {
        let result = self.write(load).await;
        self.ended(result).await.map(|()| Written::default())
    }

    async fn stage(
        &mut self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Trouble> {
        let result = self.write_staged(cells, also).await;
        self.ended(result).await
    }

    async fn probe(config: &Config) -> Vec<Finding> {
        match settings(config) {
            Ok(settings) => probe(config, settings, Dialect::Redshift).await,
            Err(_) => Vec::new(),
        }
    }
}

impl Redshift {
    async fn ended<T>(&self, result: Result<T, Error>) -> Result<T, Trouble> {
        match result {
            Ok(done) => Ok(done),
            Err(error) => {
                let trouble = self.session.trouble(&error);
                self.session.rollback().await;
                Err(trouble)
            }
        }
    }

    async fn execute(&self, script: &str) -> Result<(), Error> {
        self.session.connection.batch_execute(script).await
    }

    async fn write(&mut self, load: &Load<'_>) -> Result<(), Error> {
        self.execute(self.session.begin()).await?;
        self.parts(load).await?;
        self.execute("COMMIT").await
    }

    /// Within a transaction.
    async fn parts(&mut self, load: &Load<'_>) -> Result<(), Error> {
        for part in &load.parts {
            let staging = staging(part.merge);
            let kinds = kinds(part.merge.table);
            self.execute(&emptied(&staging)).await?;
            let rows: Vec<Vec<Option<String>>> = part
                .rows
                .iter()
                .map(|row| row.iter().map(text).collect())
                .collect();
            self.fill(&staging, &kinds, &rows).await?;
            self.execute(&merged(&self.schema, part.merge)).await?;
        }
        Ok(())
    }

    /// Rows of texts into a temporary table of columns of these kinds.
    async fn fill(
        &mut self,
        table: &str,
        kinds: &[Kind],
        rows: &[Vec<Option<String>>],
    ) -> Result<(), Error> {
        let mut rest = rows;
        for size in ROWS {
            while rest.len() >= size {
                let (now, later) = rest.split_at(size);
                let statement = self.insert(table, kinds, size).await?;
                let values = now.iter().flatten();
                let values: Vec<&(dyn ToSql + Sync)> = values.map(|value| value as _).collect();
                self.session.connection.execute(&statement, &values).await?;
                rest = later;
            }
        }
        Ok(())
    }

    async fn insert(
        &mut self,
        table: &str,
        kinds: &[Kind],
        rows: usize,
    ) -> Result<Statement, Error> {
        let key = (table.to_owned(), rows);
        if let Some(known) = self.inserts.get(&key) {
            return Ok(known.clone());
        }
        let text = insertion(table, kinds, rows);
        // All as text, which is the same in the protocol's binary form and in its text form.
        let types = vec![Type::VARCHAR; rows * kinds.len()];
        let statement = self.session.connection.prepare_typed(&text, &types).await?;
        self.inserts.insert(key, statement.clone());
        Ok(statement)
    }

    async fn write_staged(
        &mut self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Error> {
        self.execute(self.session.begin()).await?;
        self.execute(&emptied(TABLE)).await?;
        let kinds = staged_kinds();
        let rows: Vec<Vec<Option<String>>> = cells.iter().enumerate().map(staged).collect();
        self.fill(TABLE, &kinds, &rows).await?;
        let (query, refusals) = validation();
        let found = refused(&self.session, &query, &refusals).await?;
        for (merge, query) in queries(&self.source_system, "") {
            let script = out_of_staging(&self.schema, merge, &query);
            self.execute(&script.join(";\n")).await?;
        }
        self.parts(also).await?;
        self.execute("COMMIT").await?;
        Ok(found)
    }
}

fn settings(config: &Config) -> Result<&Settings, Failure> {
    match &config.target {
        Target::Redshift(settings) => Ok(settings),
        _ => Err(Failure::fatal("warehouse_error", "no settings of Redshift")),
    }
}

/// The temporary tables that a connection has.
fn temporaries(staged: bool) -> Vec<String> {
    let words = Dialect::Redshift.words();
    let table = |merge: &&Merge| {
        let columns = merge.columns.iter().zip(kinds(merge.table));
        let columns: Vec<String> = columns
            .map(|(name, kind)| format!("{} {}", words.quote(name), words.kind(kind)))
            .collect();
        temporary(&staging(merge), &columns)
    };
    let mut all: Vec<String> = MERGES.iter().map(table).collect();
    if staged {
        let columns = INPUTS
            .iter()
            .map(|input| format!("{} VARCHAR(65535)", input.name));
        let columns: Vec<String> = std::iter::once("line BIGINT".to_owned())
            .chain(columns)
            .chain(["event_counter VARCHAR(20)".to_owned()])
            .collect();
        all.push(temporary(TABLE, &columns));
    }
    all
}

/// Makes writers take turns.
fn lock(schema: &str) -> String {
    let words = Dialect::Redshift.words();
    let tables: Vec<String> = MERGES
        .iter()
        .map(|merge| words.table(schema, merge.table))
        .collect();
    format!("LOCK {}", tables.join(", "))
}

/// TRUNCATE would end the transaction.
fn emptied(table: &str) -> String {
    format!("DELETE FROM {table}")
}

/// So many rows of bound texts into a temporary table of columns of these kinds.
fn insertion(table: &str, kinds: &[Kind], rows: usize) -> String {
    let words = Dialect::Redshift.words();
    let mut places = 1..;
    let row = |_| {
        let cells = kinds.iter().zip(&mut places);
        let cells = cells.map(|(kind, place)| match kind {
            Kind::Text(_) => format!("${place}"),
            kind => format!("CAST(${place} AS {})", words.kind(*kind)),
        });
        format!("({})", cells.collect::<Vec<_>>().join(", "))
    };
    let values: Vec<String> = (0..rows).map(row).collect();
    format!("INSERT INTO {table} VALUES {}", values.join(", "))
}

fn merged(schema: &str, merge: &Merge) -> String {
    Dialect::Redshift
        .words()
        .merge(schema, merge, &staging(merge))
}

/// The columns of the staging table of texts.
fn staged_kinds() -> Vec<Kind> {
    std::iter::once(Kind::Long)
        .chain(std::iter::repeat_n(Kind::Text(0), INPUTS.len() + 1))
        .collect()
}

/// What a query over the staging table of texts finds, into a table.
fn out_of_staging(schema: &str, merge: &Merge, query: &str) -> [String; 3] {
    let staging = staging(merge);
    [
        emptied(&staging),
        format!("INSERT INTO {staging} {query}"),
        merged(schema, merge),
    ]
}

/// What a load would say, but for the transaction and the lock around it.
pub(super) fn said(schema: &str, load: &Load<'_>) -> Vec<Leaving> {
    let mut said = Vec::new();
    for part in &load.parts {
        let (staging, kinds) = (staging(part.merge), kinds(part.merge.table));
        said.push(statement(&emptied(&staging), [], Vec::new()));
        let mut rest = &part.rows[..];
        for size in ROWS {
            while rest.len() >= size {
                let (now, later) = rest.split_at(size);
                let cells = now.iter().flatten().enumerate();
                let bound =
                    cells.map(|(place, cell)| (format!("${}", place + 1), text(cell).into()));
                let insertion = insertion(&staging, &kinds, size);
                said.push(statement(&insertion, bound, rows_of(part, now)));
                rest = later;
            }
        }
        said.push(statement(&merged(schema, part.merge), [], Vec::new()));
    }
    said
}

/// All that a run says, in the order of one batch with one row for every table.
pub(super) fn shown(schema: &str, staged: bool) -> Vec<String> {
    let mut all = temporaries(staged);
    all.extend(["BEGIN".to_owned(), lock(schema)]);
    if staged {
        all.extend([emptied(TABLE), insertion(TABLE, &staged_kinds(), 1)]);
        all.push(validation().0);
        all.push(format!("DELETE FROM {TABLE} WHERE line IN ($1)"));
        for (merge, query) in queries("source_system", "") {
            all.extend(out_of_staging(schema, merge, &query));
        }
    } else {
        for merge in MERGES {
            let staging = staging(merge);
            all.push(emptied(&staging));
            all.push(insertion(&staging, &kinds(merge.table), 1));
            all.push(merged(schema, merge));
        }
    }
    all.push("COMMIT".to_owned());
    all
}

fn temporary(name: &str, columns: &[String]) -> String {
    format!(
        "CREATE TEMP TABLE IF NOT EXISTS {name} ({});\n",
        columns.join(", ")
    )
}

/// The temporary table of a merge, on the connection alone.
fn staging(merge: &Merge) -> String {
    format!("stg_{}", merge.table)
}

/// A cell as text, from which its column's type is cast.
fn text(cell: &Cell<'_>) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Text(text) => Some(text.to_string()),
        Cell::Integer(number) => Some(number.to_string()),
        Cell::Time(ms) => Some(time::text(*ms)),
        Cell::Date(days) => Some(time::day_text(*days)),
    }
}

fn staged((line, cells): (usize, &Cells<'_>)) -> Vec<Option<String>> {
    let time = cells.time.map(time::text);
    let texts = cells
        .text
        .iter()
        .enumerate()
        .map(|(place, cell)| match &time {
            Some(time) if place == EVENT_TIMESTAMP => Some(time.clone()),
            _ => cell.as_ref().map(ToString::to_string),
        });
    std::iter::once(Some(line.to_string()))
        .chain(texts)
        .chain([Some(cells.counter.to_string())])
        .collect()
}

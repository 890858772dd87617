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
use super::row::Cells;
use super::store::{Store, Trouble, Written};
use super::time;
use crate::client::postgres::Settings;
use crate::failure::Failure;
use crate::layer::Finding;

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
        let mut script = String::new();
        for merge in MERGES {
            let columns = merge.columns.iter().zip(kinds(merge.table));
            let columns: Vec<String> = columns
                .map(|(name, kind)| format!("{} {}", words.quote(name), words.kind(kind)))
                .collect();
            script.push_str(&temporary(&staging(merge), &columns));
        }
        if config.staging {
            let columns = INPUTS
                .iter()
                .map(|input| format!("{} VARCHAR(65535)", input.name));
            let columns: Vec<String> = std::iter::once("line BIGINT".to_owned())
                .chain(columns)
                .chain(["event_counter VARCHAR(20)".to_owned()])
                .collect();
            script.push_str(&temporary(TABLE, &columns));
        }
        let made = session.connection.batch_execute(&script).await;
        made.map_err(|error| session.failure(&error))?;
        let tables: Vec<String> = MERGES
            .iter()
            .map(|merge| words.table(&config.schema, merge.table))
            .collect();
        session.also_begin(&format!("LOCK {}", tables.join(", ")));
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
            // TRUNCATE would end the transaction.
            self.execute(&format!("DELETE FROM {staging}")).await?;
            let rows: Vec<Vec<Option<String>>> = part
                .rows
                .iter()
                .map(|row| row.iter().map(text).collect())
                .collect();
            self.fill(&staging, &kinds, &rows).await?;
            let merge = Dialect::Redshift
                .words()
                .merge(&self.schema, part.merge, &staging);
            self.execute(&merge).await?;
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
        let text = format!("INSERT INTO {table} VALUES {}", values.join(", "));
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
        self.execute(&format!("DELETE FROM {TABLE}")).await?;
        let kinds: Vec<Kind> = std::iter::once(Kind::Long)
            .chain(std::iter::repeat_n(Kind::Text(0), INPUTS.len() + 1))
            .collect();
        let rows: Vec<Vec<Option<String>>> = cells.iter().enumerate().map(staged).collect();
        self.fill(TABLE, &kinds, &rows).await?;
        let (query, refusals) = validation();
        let found = refused(&self.session, &query, &refusals).await?;
        for (merge, query) in queries(&self.source_system, "") {
            let staging = staging(merge);
            let merge = Dialect::Redshift
                .words()
                .merge(&self.schema, merge, &staging);
            let script = format!("DELETE FROM {staging};\nINSERT INTO {staging} {query};\n{merge}");
            self.execute(&script).await?;
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

//! PostgreSQL: each part as arrays, which `unnest` makes rows of, in one guarded UPSERT.
//! `cargo bench --bench warehouse` compares that with a binary COPY into a temporary table, which is no
//! faster: nearly all of a row's cost is the UPSERT itself.
//!
//! All statements of a transaction are sent without waiting for the answers between them: a batch
//! costs one round trip, however many tables it touches. When one fails, the rest of the transaction
//! fails with it, and `COMMIT` undoes it.

mod arrays;
mod probe;
mod session;
mod staging;

use std::collections::BTreeMap;

use futures::future::join_all;
use hashbrown::HashSet;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

use super::config::{Config, Target};
use super::dialect::{Dialect, Words};
use super::load::{Load, Part};
use super::model::{FACTS, MERGES, Merge};
use super::refusal::Refusal;
use super::rehearsal::{rows_of, statement as statement_shown, value};
use super::row::Cells;
use super::store::{Store, Trouble, Written};
use crate::client::postgres::Settings;
use crate::failure::Failure;
use crate::layer::Finding;
use crate::layer::rehearsal::Leaving;

pub(super) use arrays::kinds;
use arrays::{Array, element};
pub(super) use probe::probe;
pub(super) use session::Session;
use staging::Staging;
pub(super) use staging::{TABLE, queries, refused, validation};

/// A connection, with what is prepared on it.
pub(super) struct Postgres {
    session: Session,
    statements: Vec<Prepared>,
    staging: Option<Staging>,
    /// The merge of the facts that answers which it has written, once that was asked.
    telling: Option<Statement>,
    /// Of the last load.
    written: Option<HashSet<String>>,
    /// The query of [`Store::facts`].
    facts: String,
    schema: String,
}

/// A merge of arrays.
struct Prepared {
    table: &'static str,
    statement: Statement,
    kinds: Vec<super::model::Kind>,
}

impl Store for Postgres {
    async fn open(config: &Config) -> Result<Self, Failure> {
        let session = Session::open(settings(config)?).await?;
        let words = Dialect::Postgres.words();
        session.bring_up(words, config).await?;
        let mut statements = Vec::with_capacity(MERGES.len());
        for merge in MERGES {
            statements.push(prepare(&session, words, &config.schema, merge).await?);
        }
        let staging = match config.staging {
            true => Some(Staging::open(&session, words, config).await?),
            false => None,
        };
        Ok(Self {
            session,
            statements,
            staging,
            telling: None,
            written: None,
            facts: facts_by_hour(words, &config.schema),
            schema: config.schema.clone(),
        })
    }

    async fn load(&mut self, load: &Load<'_>) -> Result<Written, Trouble> {
        self.written = None;
        self.ready(load).await?;
        let this = &*self;
        let connection = &this.session.connection;
        let parts = load
            .parts
            .iter()
            .map(|part| (part.merge, this.arrays(part)));
        let parts: Vec<_> = parts.collect();
        let merges = join_all(
            parts
                .iter()
                .map(|(merge, arrays)| this.merge(merge, arrays, load.told)),
        );
        let begin = connection.batch_execute(self.session.begin());
        let commit = connection.batch_execute("COMMIT");
        // Polled in this order, so sent in this order.
        let (begun, merged, committed) = futures::join!(begin, merges, commit);
        let merged: Result<Vec<Merged>, _> = merged.into_iter().collect();
        // The first error is the cause of all that follow it.
        match begun
            .and(merged)
            .and_then(|changed| committed.map(|()| changed))
        {
            Ok(merged) => {
                let changed = merged.iter().map(|merged| merged.changed).sum();
                self.written = merged.into_iter().find_map(|merged| merged.facts);
                Ok(Written { changed })
            }
            Err(error) => {
                let trouble = this.session.trouble(&error);
                this.session.rollback().await;
                Err(trouble)
            }
        }
    }

    async fn stage(
        &mut self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Trouble> {
        self.written = None;
        self.ready(also).await?;
        let Some(staging) = &self.staging else {
            return Err(Failure::fatal("warehouse_error", "`staging` is off").into());
        };
        let staged = async {
            staging.fill(&self.session, cells).await?;
            let found = staging.validate(&self.session).await?;
            let written = staging.merge(&self.session, also.told).await?;
            for part in &also.parts {
                self.merge(part.merge, &self.arrays(part), false).await?;
            }
            self.session.connection.batch_execute("COMMIT").await?;
            Ok((found, written))
        };
        match staged.await {
            Ok((found, written)) => {
                self.written = written;
                Ok(found)
            }
            Err(error) => {
                let trouble = self.session.trouble(&error);
                self.session.rollback().await;
                Err(trouble)
            }
        }
    }

    fn written_facts(&mut self) -> Option<HashSet<String>> {
        self.written.take()
    }

    async fn facts(&mut self, from: i64, to: i64) -> Result<Option<BTreeMap<i64, u64>>, Failure> {
        // No hour of a timestamp is too large for this.
        let (from, to) = (from as f64, to as f64);
        let connection = &self.session.connection;
        let rows = connection.query(&self.facts, &[&from, &to]).await;
        let rows = rows.map_err(|error| self.session.failure(&error))?;
        let read = |row: &tokio_postgres::Row| -> Result<(i64, u64), Error> {
            let count: i64 = row.try_get(1)?;
            Ok((row.try_get(0)?, count.unsigned_abs()))
        };
        let facts: Result<BTreeMap<i64, u64>, Error> = rows.iter().map(read).collect();
        facts
            .map(Some)
            .map_err(|error| self.session.failure(&error))
    }

    async fn probe(config: &Config) -> Vec<Finding> {
        match settings(config) {
            Ok(settings) => probe(config, settings, Dialect::Postgres).await,
            Err(_) => Vec::new(),
        }
    }
}

impl Postgres {
    fn prepared(&self, merge: &Merge) -> Option<&Prepared> {
        self.statements
            .iter()
            .find(|prepared| prepared.table == merge.table)
    }

    /// Prepares what only some loads need. A merge that is in no list would be a mistake in this
    /// program; its rows must not vanish.
    async fn ready(&mut self, load: &Load<'_>) -> Result<(), Failure> {
        let unknown = |part: &&Part<'_>| self.prepared(part.merge).is_none();
        if let Some(part) = load.parts.iter().find(unknown) {
            let message = format!("no statement for the table `{}`", part.merge.table);
            return Err(Failure::fatal("warehouse_error", message));
        }
        if load.told && self.telling.is_none() {
            let words = Dialect::Postgres.words();
            let text = told(&bound(words, &self.schema, &FACTS));
            let prepared = self.session.connection.prepare(&text).await;
            self.telling = Some(prepared.map_err(|error| self.session.failure(&error))?);
        }
        Ok(())
    }

    async fn merge(
        &self,
        merge: &Merge,
        arrays: &[Array<'_>],
        is_told: bool,
    ) -> Result<Merged, Error> {
        let Some(prepared) = self.prepared(merge) else {
            // [`Postgres::ready`] has seen to it.
            return Ok(Merged::default());
        };
        let parameters: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|array| array as _).collect();
        let connection = &self.session.connection;
        match &self.telling {
            Some(telling) if is_told && merge.table == FACTS.table => {
                let rows = connection.query(telling, &parameters).await?;
                let facts: Result<_, Error> = rows.iter().map(|row| row.try_get(0)).collect();
                Ok(Merged {
                    changed: rows.len() as u64,
                    facts: Some(facts?),
                })
            }
            _ => Ok(Merged {
                changed: connection.execute(&prepared.statement, &parameters).await?,
                facts: None,
            }),
        }
    }

    fn arrays<'a>(&self, part: &'a Part<'a>) -> Vec<Array<'a>> {
        let kinds = self
            .prepared(part.merge)
            .map_or(&[][..], |known| &known.kinds);
        let kinds = kinds.iter().enumerate();
        kinds
            .map(|(place, kind)| Array {
                part,
                place,
                kind: *kind,
            })
            .collect()
    }
}

/// What a merge has done.
#[derive(Default)]
struct Merged {
    changed: u64,
    /// The keys of the facts that were written.
    facts: Option<HashSet<String>>,
}

/// A merge of the facts that answers the keys it has written. Those that the guard leaves as they are
/// are not among them.
fn told(merge: &str) -> String {
    format!("{merge}\nRETURNING held.\"event_id\"")
}

/// Facts by hours since 1970, from one hour to before another. The times are compared as they lie in
/// the table, so that its index serves.
fn facts_by_hour(words: &dyn Words, schema: &str) -> String {
    let (time, table) = (
        words.quote("event_timestamp"),
        words.table(schema, FACTS.table),
    );
    let hour = words.hour(&time);
    let at = |place: u8| format!("TIMESTAMP '1970-01-01' + ${place}::float8 * INTERVAL '1 hour'");
    format!(
        "SELECT CAST(floor(extract(epoch FROM {hour}) / 3600) AS bigint), count(*) FROM {table} \
         WHERE {time} >= {} AND {time} < {} GROUP BY 1",
        at(1),
        at(2)
    )
}

fn settings(config: &Config) -> Result<&Settings, Failure> {
    match &config.target {
        Target::Postgres(settings) => Ok(settings),
        _ => Err(Failure::fatal(
            "warehouse_error",
            "no settings of PostgreSQL",
        )),
    }
}

/// Prepares a merge, and proves that it can run on the tables as they are.
async fn prepare(
    session: &Session,
    words: &dyn Words,
    schema: &str,
    merge: &'static Merge,
) -> Result<Prepared, Failure> {
    let told = |error: Error| match error.code().map(|code| code.code()) {
        // ON CONFLICT found no unique index.
        Some("42P10") => {
            let table = words.table(schema, merge.table);
            let message = format!(
                "the tables of {} do not fit; run: ALTER TABLE {table} ADD PRIMARY KEY ({});",
                session.place(),
                words.quote(merge.columns[0])
            );
            Failure::fatal("warehouse_schema", message)
        }
        _ => session.failure(&error),
    };
    // Keys and rights show only when the statement is planned, which preparing it does not do.
    let nothing = statement(words, schema, merge, &|_| "'{}'".to_owned());
    let explain = format!("EXPLAIN {nothing}");
    session
        .connection
        .batch_execute(&explain)
        .await
        .map_err(told)?;
    let text = bound(words, schema, merge);
    let statement = session.connection.prepare(&text).await.map_err(told)?;
    debug_assert!(statement.params().iter().all(<Array<'_> as ToSql>::accepts));
    Ok(Prepared {
        table: merge.table,
        statement,
        kinds: kinds(merge.table),
    })
}

/// A merge whose rows are arrays, one for each column. `array` says where each of them is.
fn statement(
    words: &dyn Words,
    schema: &str,
    merge: &Merge,
    array: &dyn Fn(usize) -> String,
) -> String {
    let arrays: Vec<String> = kinds(merge.table)
        .iter()
        .enumerate()
        .map(|(place, kind)| format!("{}::{}[]", array(place + 1), element(*kind).name()))
        .collect();
    let rows = format!("SELECT * FROM unnest({})", arrays.join(", "));
    words.merge(schema, merge, &rows)
}

/// The same, as it is prepared.
fn bound(words: &dyn Words, schema: &str, merge: &Merge) -> String {
    statement(words, schema, merge, &|place| format!("${place}"))
}

/// What a load would say, but for the transaction around it: each part at once, a column an array.
pub(super) fn said(schema: &str, load: &Load<'_>) -> Vec<Leaving> {
    let words = Dialect::Postgres.words();
    let parts = load.parts.iter();
    let said = parts.map(|part| {
        let text = bound(words, schema, part.merge);
        let columns = kinds(part.merge.table).into_iter().enumerate();
        let arrays = columns.map(|(place, kind)| {
            let cells = part.rows.iter().map(|row| value(&row[place]));
            let name = format!("${}::{}[]", place + 1, element(kind).name());
            (name, cells.collect())
        });
        statement_shown(&text, arrays, rows_of(part, &part.rows))
    });
    said.collect()
}

/// All that a run says, in the order of one batch with rows for every table.
pub(super) fn shown(schema: &str, staged: bool) -> Vec<String> {
    let words = Dialect::Postgres.words();
    let (create, loads) = match staged {
        true => {
            let (create, loads) = staging::shown(words, schema);
            (Some(create), loads)
        }
        false => {
            let merges = MERGES.iter();
            let loads = merges.map(|merge| bound(words, schema, merge));
            (None, loads.collect())
        }
    };
    let mut all: Vec<String> = create.into_iter().collect();
    all.push(session::begin("${statement_timeout}"));
    all.extend(loads);
    all.push("COMMIT".to_owned());
    all
}

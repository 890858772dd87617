//! PostgreSQL: each part as arrays, which `unnest` makes rows of, in one guarded UPSERT.
//!
//! All statements of a transaction are sent without waiting for the answers between them: a batch
//! costs one round trip, however many tables it touches. When one fails, the rest of the transaction
//! fails with it, and `COMMIT` undoes it.

mod arrays;
mod probe;
mod session;
mod staging;

use futures::future::join_all;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

use super::config::{Config, Target};
use super::dialect::{Dialect, Words};
use super::load::{Load, Part};
use super::model::{MERGES, Merge};
use super::refusal::Refusal;
use super::row::Cells;
use super::store::{Store, Trouble, Written};
use crate::client::postgres::Settings;
use crate::failure::Failure;
use crate::layer::Finding;

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
        })
    }

    async fn load(&mut self, load: &Load<'_>) -> Result<Written, Trouble> {
        let this = &*self;
        this.knows(load)?;
        let connection = &this.session.connection;
        let parts = load
            .parts
            .iter()
            .map(|part| (part.merge, this.arrays(part)));
        let parts: Vec<_> = parts.collect();
        let merges = join_all(
            parts
                .iter()
                .map(|(merge, arrays)| this.merge(merge, arrays)),
        );
        let begin = connection.batch_execute(self.session.begin());
        let commit = connection.batch_execute("COMMIT");
        // Polled in this order, so sent in this order.
        let (begun, merged, committed) = futures::join!(begin, merges, commit);
        let merged: Result<Vec<u64>, _> = merged.into_iter().collect();
        // The first error is the cause of all that follow it.
        match begun
            .and(merged)
            .and_then(|changed| committed.map(|()| changed))
        {
            Ok(changed) => Ok(Written {
                changed: changed.iter().sum(),
            }),
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
        let Some(staging) = &self.staging else {
            return Err(Failure::fatal("warehouse_error", "`staging` is off").into());
        };
        self.knows(also)?;
        let staged = async {
            staging.fill(&self.session, cells).await?;
            let found = staging.validate(&self.session).await?;
            staging.merge(&self.session).await?;
            for part in &also.parts {
                self.merge(part.merge, &self.arrays(part)).await?;
            }
            self.session.connection.batch_execute("COMMIT").await?;
            Ok(found)
        };
        match staged.await {
            Ok(found) => Ok(found),
            Err(error) => {
                let trouble = self.session.trouble(&error);
                self.session.rollback().await;
                Err(trouble)
            }
        }
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

    /// A merge that is in no list would be a mistake in this program; its rows must not vanish.
    fn knows(&self, load: &Load<'_>) -> Result<(), Trouble> {
        let unknown = |part: &&Part<'_>| self.prepared(part.merge).is_none();
        match load.parts.iter().find(unknown) {
            None => Ok(()),
            Some(part) => {
                let message = format!("no statement for the table `{}`", part.merge.table);
                Err(Failure::fatal("warehouse_error", message).into())
            }
        }
    }

    async fn merge(&self, merge: &Merge, arrays: &[Array<'_>]) -> Result<u64, Error> {
        let Some(prepared) = self.prepared(merge) else {
            // [`Postgres::knows`] has seen to it.
            return Ok(0);
        };
        let parameters: Vec<&(dyn ToSql + Sync)> = arrays.iter().map(|array| array as _).collect();
        let connection = &self.session.connection;
        connection.execute(&prepared.statement, &parameters).await
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
    let kinds = kinds(merge.table);
    let text = |array: &dyn Fn(usize) -> String| {
        let arrays = kinds.iter().enumerate();
        let arrays: Vec<String> = arrays
            .map(|(place, kind)| format!("{}::{}[]", array(place + 1), element(*kind).name()))
            .collect();
        let rows = format!("SELECT * FROM unnest({})", arrays.join(", "));
        words.merge(schema, merge, &rows)
    };
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
    let explain = format!("EXPLAIN {}", text(&|_| "'{}'".to_owned()));
    session
        .connection
        .batch_execute(&explain)
        .await
        .map_err(told)?;
    let bound = text(&|place| format!("${place}"));
    let statement = session.connection.prepare(&bound).await.map_err(told)?;
    debug_assert!(statement.params().iter().all(<Array<'_> as ToSql>::accepts));
    Ok(Prepared {
        table: merge.table,
        statement,
        kinds,
    })
}

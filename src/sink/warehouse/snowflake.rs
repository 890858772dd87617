//! The warehouse in Snowflake: a session, and one transaction of its own for each load.
//!
//! A merge takes its rows from one bound text, so there is no table to fill for it and no limit of
//! binds to keep; see `source` of the dialect. Keys are not enforced, and MERGEs of one table wait for
//! each other anyway: there is one writer.

mod probe;
mod settings;
mod staging;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::config::{Config, Target};
use super::dialect::merge::columns as columns_of;
use super::dialect::{self, Words};
use super::json;
use super::load::Load;
use super::model::{Kind, MERGES, Merge};
use super::refusal::Refusal;
use super::rehearsal::{rows_of, statement};
use super::row::Cells;
use super::schema::{self, Found};
use super::store::{Store, Trouble, Written};
use crate::client::snowflake::{Class, Error, Row, Session};
use crate::failure::Failure;
use crate::layer::Finding;
use crate::layer::rehearsal::Leaving;

pub use settings::Settings;
use staging::Staging;

/// The dialect's words.
const WORDS: dialect::Snowflake = dialect::Snowflake;

/// A session with its statements.
pub(super) struct Snowflake {
    session: Arc<Session>,
    /// The merge of each of [`MERGES`].
    merges: Vec<String>,
    staging: Option<Staging>,
    source_system: String,
    /// Whether a transaction may be open: its locks would stand in everybody's way.
    begun: bool,
}

impl Store for Snowflake {
    async fn open(config: &Config) -> Result<Self, Failure> {
        let session = connect(config).await?;
        bring_up(&session, config).await?;
        let mut store = Self {
            session: Arc::new(session),
            merges: merges(&config.schema),
            staging: config.staging.then(|| Staging::new(&config.schema)),
            source_system: config.source_system.clone(),
            begun: false,
        };
        store.prove().await?;
        Ok(store)
    }

    async fn load(&mut self, load: &Load<'_>) -> Result<Written, Trouble> {
        self.begin().await?;
        let written = self.write(load).await;
        self.end(written).await
    }

    async fn stage(
        &mut self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Trouble> {
        self.begin().await?;
        let written = self.write_staged(cells, also).await;
        self.end(written).await
    }

    async fn probe(config: &Config) -> Vec<Finding> {
        probe::probe(config).await
    }
}

/// What a load would say, but for the transaction around it. A text of several megabytes is several;
/// the rows are told of the first.
pub(super) fn said(schema: &str, load: &Load<'_>) -> Vec<Leaving> {
    let mut said = Vec::new();
    for part in &load.parts {
        let mut rows = rows_of(part, &part.rows);
        for text in json::texts(part, "") {
            let bound = [("1".to_owned(), text.into())];
            said.push(statement(
                &merge(schema, part.merge),
                bound,
                std::mem::take(&mut rows),
            ));
        }
    }
    said
}

impl Snowflake {
    /// Runs every statement on no rows, and takes it back: whatever is missing shows now.
    async fn prove(&mut self) -> Result<(), Failure> {
        if let Some(staging) = &self.staging {
            let made = self.session.run(&staging.create, &[]).await;
            made.map_err(failure)?;
        }
        self.begin().await.map_err(Trouble::into_failure)?;
        let proved = self.say_all().await;
        proved.map_err(failure)?;
        self.roll_back().await
    }

    async fn say_all(&self) -> Result<(), Error> {
        for merge in &self.merges {
            self.session.run(merge, &["[]"]).await?;
        }
        if let Some(staging) = &self.staging {
            staging
                .write(&self.session, &[], &self.source_system)
                .await?;
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), Trouble> {
        if self.begun {
            self.roll_back().await?;
        }
        // From here on: whether the answer comes or not.
        self.begun = true;
        self.session.run("BEGIN", &[]).await.map_err(trouble)?;
        Ok(())
    }

    async fn write(&self, load: &Load<'_>) -> Result<Written, Error> {
        let mut changed = 0;
        for part in &load.parts {
            let place = MERGES
                .iter()
                .position(|merge| merge.table == part.merge.table);
            let merge = place.and_then(|place| self.merges.get(place));
            let merge = merge.unwrap_or_else(|| unreachable!("all merges are in the list"));
            for rows in json::texts(part, "") {
                let answer = self.session.run(merge, &[&rows]).await?;
                changed += answer.first().map_or(0, counted);
            }
        }
        Ok(Written { changed })
    }

    async fn write_staged(
        &self,
        cells: &[Cells<'_>],
        also: &Load<'_>,
    ) -> Result<Vec<(Refusal, usize)>, Error> {
        let Some(staging) = &self.staging else {
            unreachable!("only a configuration with `staging` asks for it");
        };
        let found = staging.write(&self.session, cells, &self.source_system);
        let found = found.await?;
        self.write(also).await?;
        Ok(found)
    }

    /// Commits, or takes everything back.
    async fn end<T>(&mut self, written: Result<T, Error>) -> Result<T, Trouble> {
        let written = match written {
            Ok(written) => self.session.run("COMMIT", &[]).await.map(|_| written),
            Err(error) => Err(error),
        };
        match written {
            Ok(written) => {
                self.begun = false;
                Ok(written)
            }
            Err(error) if error.class == Class::Expired => Err(trouble(error)),
            Err(error) => {
                self.roll_back().await?;
                Err(trouble(error))
            }
        }
    }

    /// Ends whatever was begun. Where even that is not answered the session is given up.
    async fn roll_back(&mut self) -> Result<(), Failure> {
        match self.session.run("ROLLBACK", &[]).await {
            Ok(_) => {
                self.begun = false;
                Ok(())
            }
            Err(error) => Err(Failure::disconnected(
                "warehouse_connection",
                format!("the transaction could not be ended: {error}"),
            )),
        }
    }
}

impl Drop for Snowflake {
    /// A session that nobody answers for any more would keep its locks for minutes.
    fn drop(&mut self) {
        if self.begun
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let session = self.session.clone();
            runtime.spawn(async move {
                let _ = session.run("ROLLBACK", &[]).await;
            });
        }
    }
}

fn merges(schema: &str) -> Vec<String> {
    MERGES.iter().map(|of| merge(schema, of)).collect()
}

fn merge(schema: &str, merge: &Merge) -> String {
    WORDS.merge(schema, merge, &WORDS.source(&columns_of(merge)))
}

/// All that a run says, in the order of one batch with rows for every table.
pub(super) fn shown(schema: &str, staged: bool) -> Vec<String> {
    let mut all = vec!["BEGIN".to_owned()];
    match staged {
        true => {
            let staging = Staging::new(schema);
            all.insert(0, staging.create.clone());
            all.extend(staging.shown());
        }
        false => all.extend(merges(schema)),
    }
    all.push("COMMIT".to_owned());
    all
}

async fn connect(config: &Config) -> Result<Session, Failure> {
    let Target::Snowflake(settings) = &config.target else {
        return Err(Failure::fatal("warehouse_error", "no address of Snowflake"));
    };
    Session::open(&settings.client().await?)
        .await
        .map_err(failure)
}

/// Compares what is there with the model, and makes what is missing where that is wanted.
async fn bring_up(session: &Session, config: &Config) -> Result<(), Failure> {
    let found = columns(session, config).await?;
    let comparison = schema::compare(&WORDS, &config.schema, &found);
    let place = format!("the schema {}", WORDS.quote(&config.schema));
    schema::judge(&comparison, config, &place)?;
    let script = comparison.script(&WORDS, &config.schema);
    if !config.auto_create || script.is_empty() {
        return Ok(());
    }
    let script = WORDS.opening(&config.schema) + &script;
    for statement in script.split_terminator(";\n") {
        let made = session.run(statement, &[]).await;
        made.map_err(failure)?;
    }
    Ok(())
}

/// What is there.
async fn columns(session: &Session, config: &Config) -> Result<Vec<Found>, Failure> {
    let rows = session.run(&WORDS.columns(&config.schema), &[]).await;
    Ok(rows
        .map_err(failure)?
        .into_iter()
        .filter_map(found)
        .collect())
}

fn found(row: Row) -> Option<Found> {
    let mut cells = row.into_iter();
    let mut next = || cells.next().flatten();
    let (table, column, kind) = (next()?, next()?, next()?);
    Some(Found {
        table,
        column,
        kind,
        length: next().and_then(|length| length.parse().ok()),
        nullable: next().as_deref() == Some("1"),
        default: next().as_deref() == Some("1"),
    })
}

/// A merge answers how many rows it inserted and how many it changed.
fn counted(row: &Row) -> u64 {
    let numbers = row.iter().flatten();
    numbers
        .filter_map(|number| number.parse::<u64>().ok())
        .sum()
}

fn trouble(error: Error) -> Trouble {
    match error.class {
        Class::Data => Trouble::Refused(error.to_string()),
        _ => Trouble::Failed(failure(error)),
    }
}

fn failure(error: Error) -> Failure {
    let message = error.to_string();
    match error.class {
        Class::Expired => Failure::disconnected("warehouse_connection", message),
        Class::Busy => Failure::transient("warehouse_busy", message),
        Class::Data => Failure::rejected("constraint", message),
        Class::Setup => Failure::fatal("warehouse_setup", message + remedy(error.code.as_deref())),
    }
}

/// What a person can do about it.
fn remedy(code: Option<&str>) -> &'static str {
    match code {
        Some("002003" | "003001" | "002043") => {
            "; the role needs USAGE on the warehouse, the database and the schema, and SELECT, \
             INSERT and UPDATE on the tables (`trunkline ddl --dialect snowflake` prints them)"
        }
        Some("000606") => "; name a `warehouse` that the role may use",
        _ => "",
    }
}

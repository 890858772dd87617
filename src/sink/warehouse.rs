//! The warehouse: events as rows that reports can query, in the schema `cc_analytics`.
//!
//! `fact_interactions` has one row for each event id, `call_recordings` those that have a
//! recording, and `dim_agents`, `dim_queues` and `dim_time` (hours, UTC) what the facts refer to.
//!
//! Writing is an UPSERT guarded by event time and counter: a repeat changes nothing, and a row never
//! goes back in time. What two events with the same time and counter leave is decided by their
//! content. So the tables hold the same (but for `created_at`) whatever the order of the events, how
//! often they come, and how they are cut into batches.
//!
//! `dialect`: the words of each SQL dialect. `model`, `row`, `load`: what all dialects share.
//! `store`: what a connection of each dialect can do; `sqlite` and its siblings are those. `write`:
//! the way of a batch, the same for all. `pool` holds connections to servers, `thread` the embedded
//! database, which blocks.

mod about;

pub use about::ABOUT;

mod bigquery;
mod completeness;
mod config;
mod dialect;
mod freshness;
mod json;
mod load;
mod login;
mod memo;
mod model;
mod pool;
mod postgres;
mod redshift;
mod refusal;
mod rehearsal;
mod row;
mod schema;
mod snowflake;
mod sqlite;
mod staged;
mod store;
mod synapse;
mod thread;
mod time;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

pub use config::{Config, Target};
pub use dialect::{Dialect, ddl};

use crate::event::Batch;
use crate::failure::{Failure, Kind};
use crate::layer::{Backoff, Books, Finding, Script};
use crate::observe::NodeMeter;
use crate::stage::Sink;
use load::Load;
use pool::Pool;
use store::Store;
use thread::Thread;
use write::Shared;

/// Waits between tries to open it at the start.
const START: Backoff = Backoff {
    first: Duration::from_millis(250),
    most: Duration::from_secs(5),
};

/// An open warehouse. Clones share its connections; the last one to go waits for the batch that is
/// being written to an embedded database.
#[derive(Clone)]
pub struct Warehouse(Arc<dyn Door>);

/// What stands in front of one or more connections of one dialect.
trait Door: Send + Sync {
    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Failure>>;
    fn record(&self, load: Load<'static>) -> BoxFuture<'_, Result<(), Failure>>;
    /// As [`Store::facts`].
    fn facts(&self, from: i64, to: i64) -> Facts<'_>;
}

/// Facts by the hour since 1970, on their way.
type Facts<'a> = BoxFuture<'a, Result<Option<BTreeMap<i64, u64>>, Failure>>;

impl Config {
    /// Where the completeness ledger of a backfill is kept: in a table of its own.
    pub fn books(&self) -> Arc<dyn Books> {
        Arc::new(completeness::Ledger(self.clone()))
    }

    /// Connects without writing, and tells what was found.
    pub async fn probe(&self) -> Vec<Finding> {
        match &self.target {
            Target::Sqlite { .. } => sqlite::Sqlite::probe(self).await,
            Target::Postgres(_) => postgres::Postgres::probe(self).await,
            Target::Synapse(_) => synapse::Synapse::probe(self).await,
            Target::Redshift(_) => redshift::Redshift::probe(self).await,
            Target::Snowflake(_) => snowflake::Snowflake::probe(self).await,
            Target::BigQuery(_) => bigquery::BigQuery::probe(self).await,
        }
    }

    /// Opens the warehouse, and makes its tables unless `auto_create` is false.
    ///
    /// # Errors
    /// `Fatal`, when it cannot be opened or its tables do not fit; `Transient` or `Disconnected`,
    /// when another program holds it or it cannot be reached.
    pub async fn open(&self, meter: NodeMeter) -> Result<Warehouse, Failure> {
        let shared = Arc::new(Shared::new(self.clone(), meter));
        let door: Arc<dyn Door> = match &self.target {
            Target::Sqlite { .. } => Arc::new(Thread::open::<sqlite::Sqlite>(shared).await?),
            Target::Postgres(_) => pool::<postgres::Postgres>(shared).await?,
            Target::Synapse(_) => pool::<synapse::Synapse>(shared).await?,
            Target::Redshift(_) => pool::<redshift::Redshift>(shared).await?,
            Target::Snowflake(_) => pool::<snowflake::Snowflake>(shared).await?,
            Target::BigQuery(_) => pool::<bigquery::BigQuery>(shared).await?,
        };
        Ok(Warehouse(door))
    }

    /// As [`open`](Self::open), and tries again, for [`start_timeout`](Self::start_timeout) at most,
    /// while the server starts, is full or cannot be reached: it may have been told to start together
    /// with us. `node` is the sink's name, for the log.
    ///
    /// # Errors
    /// As [`open`](Self::open), at once where waiting would change nothing.
    pub async fn start(&self, node: &str, meter: NodeMeter) -> Result<Warehouse, Failure> {
        let until = Instant::now() + self.start_timeout;
        let mut attempt = 1;
        loop {
            let failure = match self.open(meter.clone()).await {
                Ok(warehouse) => return Ok(warehouse),
                Err(failure) => failure,
            };
            let wait = START.wait(attempt, failure.retry_after());
            let is_passing = matches!(failure.kind(), Kind::Transient | Kind::Disconnected);
            if !is_passing || Instant::now() + wait > until {
                return Err(failure);
            }
            tracing::warn!(sink = node, %failure, ?wait, "not ready at the start; trying again");
            attempt += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// The statements that make the tables, or those with which they are written.
    pub fn script(&self, wanted: Script<'_>) -> String {
        script(self.target.dialect(), &self.schema, self.staging, wanted)
    }
}

/// The statements that make a warehouse's tables, or those with which a run writes them: with
/// `staging` those of the staged load.
pub fn script(dialect: Dialect, schema: &str, staging: bool, wanted: Script<'_>) -> String {
    match wanted {
        Script::Ddl { role } => ddl(dialect, schema, role),
        Script::Statements => {
            let statements = match dialect {
                Dialect::Sqlite => sqlite::shown(schema, staging),
                Dialect::Postgres => postgres::shown(schema, staging),
                Dialect::Synapse => synapse::shown(schema, staging),
                Dialect::Redshift => redshift::shown(schema, staging),
                Dialect::Snowflake => snowflake::shown(schema, staging),
                Dialect::BigQuery => bigquery::shown(schema, staging),
            };
            statements
                .iter()
                .map(|text| ended(text))
                .collect::<Vec<_>>()
                .join("\n")
        }
    }
}

/// A statement as it stands in a file.
fn ended(statement: &str) -> String {
    match statement.trim_end().trim_end_matches(';') {
        "" => String::new(),
        text => format!("{text};\n"),
    }
}

/// A server's connections.
async fn pool<S: Store>(shared: Arc<Shared>) -> Result<Arc<dyn Door>, Failure> {
    Ok(Arc::new(Pool::<S>::open(shared).await?))
}

impl Warehouse {
    /// Writes rows that are no events, such as those of a ledger, in one transaction.
    ///
    /// # Errors
    /// When nothing of it is written, or it is not known whether it is.
    async fn record(&self, load: Load<'static>) -> Result<(), Failure> {
        self.0.record(load).await
    }
}

impl Sink for Warehouse {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        self.0.write(batch).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Event, PathSet, Provenance};
    use crate::observe::{NodeKind, Observer};

    fn config(folder: &std::path::Path) -> Config {
        Config {
            target: Target::Sqlite {
                path: folder.join("w.db"),
            },
            connections: 1,
            schema: "cc_analytics".to_owned(),
            auto_create: true,
            source_system: "TEST".to_owned(),
            staging: false,
            freshness: false,
            start_timeout: std::time::Duration::ZERO,
            paths: config::default_paths(),
        }
    }

    fn meter() -> NodeMeter {
        Observer::new("p").node("w", NodeKind::Sink, "warehouse")
    }

    fn batch(id: usize) -> Batch {
        let (set, from) = (
            Arc::new(PathSet::default()),
            Arc::new(Provenance::default()),
        );
        let json = format!(
            r#"{{"event_id":"e{id}","interaction_id":"i","timestamp":"2026-01-02T03:04:05Z"}}"#
        );
        vec![Event::parse(json, &set, &from).unwrap()].into()
    }

    #[tokio::test]
    async fn writes_concurrent_batches_and_leaves_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let warehouse = config.open(meter()).await.unwrap();
        let writes = (0..20).map(|id| {
            let warehouse = warehouse.clone();
            async move { warehouse.write(batch(id)).await }
        });
        Failure::join(futures::future::join_all(writes).await).unwrap();
        drop(warehouse);
        // The log is folded in when the last clone is gone.
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        let found = config.probe().await;
        assert!(found[0].message.contains("has all tables"), "{found:?}");
        let connection = rusqlite::Connection::open(folder.path().join("w.db")).unwrap();
        let query = "SELECT count(*) FROM fact_interactions WHERE source_system = 'TEST'";
        let count: i64 = connection.query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 20);
    }

    #[tokio::test]
    async fn an_opening_that_fails_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.target = Target::Sqlite {
            path: folder.path().to_owned(),
        };
        let failure = config.open(meter()).await.err().unwrap();
        assert_eq!(
            failure.losses()[0].cause.reason,
            "warehouse_io",
            "{failure}"
        );
    }
}

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
//! `dialect`: the words of one SQL dialect. `model`, `row`, `fold`: what all dialects share.
//! `sqlite`: the embedded warehouse itself, on a thread of its own.

mod config;
mod dialect;
mod fold;
mod model;
mod refusal;
mod row;
mod sqlite;
mod time;

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

pub use config::Config;
pub use dialect::{Dialect, ddl};

use crate::event::Batch;
use crate::failure::Failure;
use crate::stage::Sink;
use sqlite::Store;

/// Batches that wait for the writing thread. Who waits is held back, and the queue is short, since
/// the edge before the sink is where events wait.
const QUEUE: usize = 4;

/// An open warehouse. Clones share its connection; the last one to go waits for the batch that is
/// being written.
#[derive(Clone)]
pub struct Warehouse(Arc<Writer>);

impl Config {
    /// Connects without writing, and tells in a sentence what was found.
    ///
    /// # Errors
    /// When the warehouse could not be opened, or its tables do not fit.
    pub async fn probe(&self) -> Result<String, Failure> {
        let config = self.clone();
        let probed = tokio::task::spawn_blocking(move || Store::probe(&config)).await;
        probed.unwrap_or_else(|_| Err(gone()))
    }

    /// Opens the warehouse, and makes its tables unless `auto_create` is false.
    ///
    /// # Errors
    /// `Fatal`, when the file cannot be opened or its tables do not fit; `Transient`, when another
    /// program holds it.
    pub async fn open(&self) -> Result<Warehouse, Failure> {
        let config = self.clone();
        let (opened, opening) = oneshot::channel();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("warehouse".to_owned())
            .spawn(move || match Store::open(&config) {
                Ok(store) => {
                    // If nobody waits any more the queue is closed too, and the thread ends.
                    let _ = opened.send(Ok(()));
                    work(store, queue);
                }
                Err(failure) => {
                    let _ = opened.send(Err(failure));
                }
            })
            .map_err(|error| {
                Failure::transient("warehouse_error", format!("no thread to write on: {error}"))
            })?;
        let writer = Writer {
            jobs: Some(jobs),
            thread: Some(thread),
        };
        opening.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Warehouse(Arc::new(writer)))
    }
}

impl Sink for Warehouse {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.0.jobs.as_ref().ok_or_else(gone)?;
        let job = Job { batch, answer };
        jobs.send(job).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

fn gone() -> Failure {
    Failure::fatal(
        "warehouse_error",
        "the thread that writes the warehouse has ended",
    )
}

/// A batch on its way to the thread.
struct Job {
    batch: Batch,
    answer: oneshot::Sender<Result<(), Failure>>,
}

/// The thread that owns the connection, and the way to it.
struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends once the queue is closed; the connection is then closed in order, which
        // leaves one file. A thread that panicked has closed its connection already.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(mut store: Store, mut queue: mpsc::Receiver<Job>) {
    while let Some(Job { batch, answer }) = queue.blocking_recv() {
        // Who no longer waits (a time-out, the end of the run) will deliver the batch again.
        if answer.is_closed() {
            continue;
        }
        let _ = answer.send(store.write(&batch));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Event, PathSet, Provenance};

    fn config(folder: &std::path::Path) -> Config {
        Config {
            dialect: Dialect::Sqlite,
            path: folder.join("w.db"),
            schema: "cc_analytics".to_owned(),
            auto_create: true,
            source_system: "TEST".to_owned(),
            staging: false,
            paths: config::default_paths(),
        }
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
        let warehouse = config.open().await.unwrap();
        let writes = (0..20).map(|id| {
            let warehouse = warehouse.clone();
            async move { warehouse.write(batch(id)).await }
        });
        Failure::join(futures::future::join_all(writes).await).unwrap();
        drop(warehouse);
        // The log is folded in when the last clone is gone.
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(config.probe().await.unwrap().contains("has all tables"));
        let connection = rusqlite::Connection::open(&config.path).unwrap();
        let query = "SELECT count(*) FROM fact_interactions WHERE source_system = 'TEST'";
        let count: i64 = connection.query_row(query, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 20);
    }

    #[tokio::test]
    async fn an_opening_that_fails_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path());
        config.path = folder.path().to_owned();
        let failure = config.open().await.err().unwrap();
        assert_eq!(
            failure.losses()[0].cause.reason,
            "warehouse_io",
            "{failure}"
        );
    }
}

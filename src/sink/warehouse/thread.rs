//! A store that blocks has a thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::load::Load;
use super::store::{Store, Trouble};
use super::write::{Shared, write};
use super::{Door, Facts};
use crate::event::Batch;
use crate::failure::Failure;

/// Jobs that wait for the thread. Who waits is held back, and the queue is short, since the edge
/// before the sink is where events wait.
const QUEUE: usize = 4;

/// The thread that owns the connection, and the way to it.
pub(super) struct Thread {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

type Answer<T> = oneshot::Sender<Result<T, Failure>>;

enum Job {
    Write(Batch, Answer<()>),
    Record(Load<'static>, Answer<()>),
    Facts(i64, i64, Answer<Option<BTreeMap<i64, u64>>>),
}

impl Thread {
    /// Starts the thread and opens the store on it.
    pub async fn open<S: Store>(shared: Arc<Shared>) -> Result<Self, Failure> {
        let (opened, opening) = oneshot::channel();
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("warehouse".to_owned())
            .spawn(move || match block_on(S::open(&shared.config)) {
                Ok(store) => {
                    // If nobody waits any more the queue is closed too, and the thread ends.
                    let _ = opened.send(Ok(()));
                    work(store, &shared, queue);
                }
                Err(failure) => {
                    let _ = opened.send(Err(failure));
                }
            })
            .map_err(|error| {
                Failure::transient("warehouse_error", format!("no thread to write on: {error}"))
            })?;
        let this = Self {
            jobs: Some(jobs),
            thread: Some(thread),
        };
        opening.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(this)
    }

    async fn send<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job(answer)).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Door for Thread {
    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<(), Failure>> {
        self.send(|answer| Job::Write(batch, answer)).boxed()
    }

    fn record(&self, load: Load<'static>) -> BoxFuture<'_, Result<(), Failure>> {
        self.send(|answer| Job::Record(load, answer)).boxed()
    }

    fn facts(&self, from: i64, to: i64) -> Facts<'_> {
        self.send(move |answer| Job::Facts(from, to, answer))
            .boxed()
    }
}

pub(super) fn gone() -> Failure {
    Failure::fatal(
        "warehouse_error",
        "the thread that writes the warehouse has ended",
    )
}

impl Drop for Thread {
    fn drop(&mut self) {
        // The thread ends once the queue is closed; the connection is then closed in order, which
        // leaves one file. A thread that panicked has closed its connection already.
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work<S: Store>(mut store: S, shared: &Shared, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        match job {
            // Who no longer waits (a time-out, the end of the run) will deliver the batch again.
            Job::Write(_, answer) | Job::Record(_, answer) if answer.is_closed() => {}
            Job::Facts(from, to, answer) => {
                let _ = answer.send(block_on(store.facts(from, to)));
            }
            Job::Write(batch, answer) => {
                let _ = answer.send(block_on(write(&mut store, shared, &batch)));
            }
            Job::Record(load, answer) => {
                let written = block_on(store.load(&load)).map(drop);
                let _ = answer.send(written.map_err(Trouble::into_failure));
            }
        }
    }
}

//! Edges: the only queues there are.
//!
//! An edge is bounded by events *and* bytes, keeps the order of calls, has workers that take
//! batches out, and a policy for when it is full. A caller's answer is the one of the stage behind
//! the edge: being queued is not being delivered.

mod queue;
mod worker;

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tower::Service;

use crate::event::Batch;
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::stage::Stage;
use queue::Queue;

/// What happens to a batch that finds the edge full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits: the pressure goes upstream. Nothing is dropped.
    #[default]
    Block,
    /// It is dropped and counted as `buffer_newest`.
    DropNewest,
    /// What has waited longest is dropped and counted as `buffer_oldest`.
    DropOldest,
}

/// What a pipeline file says about an edge.
#[derive(Clone, Copy, Debug)]
pub struct EdgePolicy {
    /// Most events waiting; default 10,000.
    pub max_events: usize,
    /// Most bytes waiting; default 64 MiB.
    pub max_bytes: u64,
    /// Default: block.
    pub when_full: WhenFull,
    /// Tasks that take batches out; default 1, which keeps their order.
    pub workers: NonZeroUsize,
    /// Batches that one worker has under way; they are begun in order. Default 1.
    pub in_flight: NonZeroUsize,
    /// Waiting batches are put together up to this many events, without lingering; default 2,000.
    pub batch_events: usize,
}

impl Default for EdgePolicy {
    fn default() -> Self {
        Self {
            max_events: 10_000,
            max_bytes: 64 << 20,
            when_full: WhenFull::Block,
            workers: NonZeroUsize::MIN,
            in_flight: NonZeroUsize::MIN,
            batch_events: 2_000,
        }
    }
}

/// The tasks of a pipeline. Shutdown awaits all of them.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Starts a task that belongs to this set.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(task);
    }

    /// Waits until all have ended; says how many ended by a panic.
    pub async fn join(&self) -> usize {
        let mut panics = 0;
        loop {
            let next = std::future::poll_fn(|cx| {
                self.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .poll_join_next(cx)
            });
            match next.await {
                Some(Err(error)) if error.is_panic() => panics += 1,
                Some(_) => {}
                None => return panics,
            }
        }
    }

    /// Ends all of them where they are.
    pub fn abort(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
    }
}

/// The entrance of an edge. The edge ends, and its workers with it, when all clones are dropped
/// and what was in it has been answered.
#[derive(Clone)]
pub struct Edge {
    open: Arc<Open>,
}

/// Closes the queue when the last entrance is gone.
struct Open(Arc<Queue>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Edge {
    /// An edge in front of `inner`; its workers belong to `tasks`. `meter` is that of the node
    /// behind the edge.
    pub fn new(inner: Stage, policy: EdgePolicy, meter: NodeMeter, tasks: &Tasks) -> Self {
        let queue = Arc::new(Queue::new(policy, meter));
        for _ in 0..policy.workers.get() {
            tasks.spawn(worker::run(queue.clone(), inner.clone(), policy));
        }
        Self {
            open: Arc::new(Open(queue)),
        }
    }
}

impl Service<Batch> for Edge {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // A batch waits inside its call, where it has its place in the line.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let open = self.open.clone();
        Box::pin(async move {
            if batch.is_empty() {
                return Ok(());
            }
            match open.0.push(batch)? {
                // The edge may close: what is in it is answered all the same.
                Some(listening) => {
                    drop(open);
                    listening.answer().await
                }
                None => Ok(()),
            }
        })
    }
}

#[cfg(test)]
mod tests;

//! Edges: the only queues there are.
//!
//! An edge is bounded by events *and* bytes, keeps the order of calls, has workers that take
//! batches out, and a policy for when it is full. A caller's answer is the one of the stage behind
//! the edge: being queued is not being delivered.
//!
//! **Lanes** ([`PartitionPolicy`]): an edge may have several lines, each for its share of the keys
//! and each with one worker. A caller's batch is split by lane, every part enters its lane in the
//! order of calls, and the caller's one answer joins those of the parts. The bounds hold over all
//! lanes together: each has an equal share of the room, so a lane that is stuck fills its own share
//! and never another's. Parts larger than a share are cut.
//!
//! **Classes** ([`PriorityPolicy`]): within a lane the highest class that has something waiting
//! goes first, with a guard for those below. Order is kept within (lane, class) and nowhere else:
//! classes overtake each other, within a conversation too.

mod item;
mod line;
mod policy;
mod queue;
mod reply;
mod split;
mod tasks;
mod worker;

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tower::Service;

use crate::event::Batch;
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::stage::Stage;

pub use policy::{DiskPolicy, EdgePolicy, PartitionPolicy, PriorityPolicy, WhenFull, fingerprint};
use queue::Queue;
pub use tasks::Tasks;

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
    /// behind the edge. Where the policy has partitions, each of them calls a clone of `inner`.
    pub fn new(inner: Stage, policy: EdgePolicy, meter: NodeMeter, tasks: &Tasks) -> Self {
        let inners = vec![inner; policy.lanes()];
        Self::partitioned(inners, policy, meter, tasks)
    }

    /// An edge with one lane in front of each of `inners`, by the policy's key. Of one stage it is
    /// an edge without lanes, with as many workers as the policy says. With several, the policy
    /// says the key, not how many lanes there are: that is how many stages there are.
    pub fn partitioned(
        inners: Vec<Stage>,
        policy: EdgePolicy,
        meter: NodeMeter,
        tasks: &Tasks,
    ) -> Self {
        if let Some(share) = policy.drop_alert {
            meter.set_drops_alert(share);
        }
        let workers = match policy.partition {
            Some(_) => 1,
            None => policy.workers.get(),
        };
        let in_flight = policy.in_flight;
        let queue = Arc::new(Queue::new(policy, inners.len(), workers, meter));
        for (lane, inner) in inners.into_iter().enumerate() {
            for _ in 0..workers {
                let inner = inner.clone();
                tasks.spawn(worker::run(queue.clone(), lane, inner, in_flight.get()));
            }
        }
        Self {
            open: Arc::new(Open(queue)),
        }
    }

    /// Hands a batch over if there is room for all of it now and nobody waits for room; its answer
    /// is that of the stage behind the edge, and its place in line is taken already.
    ///
    /// # Errors
    /// The batch itself, when there is no room.
    pub fn offer(&self, batch: Batch) -> Result<BoxFuture<'static, Result<(), Failure>>, Batch> {
        if batch.is_empty() {
            return Ok(Box::pin(std::future::ready(Ok(()))));
        }
        let listening = self.open.0.offer(batch)?;
        Ok(Box::pin(listening))
    }

    /// Looks at the edge without keeping it open.
    pub fn watch(&self) -> EdgeWatch {
        EdgeWatch(self.open.0.clone())
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
            let listening = open.0.push(batch);
            // The edge may close: what is in it is answered all the same.
            drop(open);
            listening.await
        })
    }
}

/// How full an edge is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Events in line, over all lanes.
    pub events: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Batches, or parts of batches, that wait for room.
    pub outside: usize,
}

/// A look at an edge. It does not keep the edge open.
#[derive(Clone)]
pub struct EdgeWatch(Arc<Queue>);

impl EdgeWatch {
    /// Waits until nothing is in line and nobody waits for room, and all that was taken out was
    /// begun: its call was polled once, and so has its place behind the edge. A call that nobody
    /// polled yet is not known here.
    pub async fn drained(&self) {
        self.0.drained().await;
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        self.0.fill()
    }
}

#[cfg(test)]
mod tests;

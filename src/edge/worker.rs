//! What takes batches out of an edge.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tower::Service;

use super::EdgePolicy;
use super::queue::{Item, Queue, Reply};
use crate::event::{Batch, Origin};
use crate::failure::{Failure, Loss, Which};
use crate::layer::guard;
use crate::stage::Stage;

/// Tells the queue when its worker ends, by a panic or an abort too.
struct Ended(Arc<Queue>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.worker_ended();
    }
}

/// Runs until the edge is closed and empty and all answers are there.
pub(super) async fn run(queue: Arc<Queue>, mut inner: Stage, policy: EdgePolicy) {
    let _ended = Ended(queue.clone());
    let mut running = FuturesUnordered::new();
    let mut next: Option<Vec<Item>> = None;
    let mut open = true;
    while open || next.is_some() || !running.is_empty() {
        let free = open && next.is_none() && running.len() < policy.in_flight.get();
        tokio::select! {
            // First, so that a call is polled before the next one is begun: that poll gives it its
            // place in whatever line comes next.
            biased;
            Some(()) = running.next(), if !running.is_empty() => {}
            ready = poll_fn(|cx| inner.poll_ready(cx)), if next.is_some() => {
                let items = next.take().unwrap_or_default();
                running.push(deliver(&queue, &mut inner, ready, items));
            }
            items = queue.pop(), if free => match items {
                Some(items) => next = Some(items),
                None => open = false,
            },
        }
    }
}

type Caller = (Reply, Vec<Origin>);

/// Several waiting batches as one, and each caller's part of the answer. Ends early when no caller
/// is left: a deadline then reaches as far as the work does.
fn deliver(
    queue: &Arc<Queue>,
    inner: &mut Stage,
    ready: Result<(), Failure>,
    items: Vec<Item>,
) -> impl Future<Output = ()> + use<> {
    let queue = queue.clone();
    let mut callers: Vec<Caller> = Vec::with_capacity(items.len());
    let mut batches = Vec::with_capacity(items.len());
    for Item { batch, reply } in items {
        callers.push((reply, batch.origins()));
        batches.push(batch);
    }
    let batch = match batches.len() {
        1 => batches.remove(0),
        _ => batches.into_iter().flat_map(Batch::into_events).collect(),
    };
    let call = ready.map(|()| inner.call(batch));
    async move {
        let work = async {
            match call {
                Ok(call) => guard(call).await,
                Err(failure) => Err(failure),
            }
        };
        let gone = poll_fn(|cx| {
            let mut gone = callers.iter_mut().map(|(reply, _)| reply.poll_gone(cx));
            match gone.all(|gone| gone.is_ready()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        let answer = tokio::select! {
            biased;
            answer = work => answer,
            () = gone => return,
        };
        if let Err(failure) = &answer
            && failure.losses().iter().any(|l| l.cause.reason == "panic")
        {
            // A panic must be blamed on the event that does it, not on whoever stands beside it.
            queue.keep_apart();
        }
        reply(callers, answer);
    }
}

/// Tells every caller its part of the answer.
fn reply(callers: Vec<Caller>, answer: Result<(), Failure>) {
    let one = callers.len() == 1;
    for (reply, origins) in callers {
        let result = match &answer {
            Ok(()) => Ok(()),
            Err(failure) if one => Err(failure.clone()),
            Err(failure) => part(failure, &origins),
        };
        let lost = result.as_ref().map_or_else(|f| f.count(&origins), |()| 0);
        reply.send(result, origins.len() as u64 - lost);
    }
}

/// What an answer to all says to one caller.
fn part(failure: &Failure, origins: &[Origin]) -> Result<(), Failure> {
    let ours: HashSet<Origin> = origins.iter().map(|origin| origin.whole()).collect();
    let losses = failure.losses().iter().filter_map(|loss| {
        let which: Vec<Origin> = match &loss.which {
            Which::All => origins.to_vec(),
            // By the input event: a stage below may have named parts that it made of it.
            Which::Only(lost) => {
                let ours = lost.iter().filter(|o| ours.contains(&o.whole()));
                ours.copied().collect()
            }
        };
        let loss = Loss {
            which: Which::Only(which),
            ..loss.clone()
        };
        (loss.which != Which::Only(Vec::new())).then_some(loss)
    });
    Failure::from_losses(losses.collect()).map_or(Ok(()), Err)
}

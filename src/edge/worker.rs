//! What takes batches out of an edge.

use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tower::Service;

use super::item::Item;
use super::queue::{Queue, Taken};
use super::reply::Part;
use crate::event::{Batch, Origin};
use crate::failure::{Failure, Loss, Which};
use crate::layer::guard;
use crate::stage::Stage;

/// Tells the queue when its worker ends, by a panic or an abort too.
struct Ended(Arc<Queue>, usize);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.worker_ended(self.1);
    }
}

/// Runs until the edge is closed, the lane empty and all answers are there.
pub(super) fn run(
    queue: Arc<Queue>,
    lane: usize,
    inner: Stage,
    in_flight: usize,
) -> impl Future<Output = ()> + use<> {
    // Made here: a worker that is ended before it began has ended all the same.
    let ended = Ended(queue.clone(), lane);
    async move {
        let _ended = ended;
        work(queue, lane, inner, in_flight).await;
    }
}

async fn work(queue: Arc<Queue>, lane: usize, mut inner: Stage, in_flight: usize) {
    let mut running = FuturesUnordered::new();
    let mut next: Option<Taken> = None;
    let mut open = true;
    while open || next.is_some() || !running.is_empty() {
        let free = open && next.is_none() && running.len() < in_flight;
        tokio::select! {
            // First, so that a call is polled before the next one is begun: that poll gives it its
            // place in whatever line comes next.
            biased;
            Some(()) = running.next(), if !running.is_empty() => {}
            ready = poll_fn(|cx| inner.poll_ready(cx)), if next.is_some() => {
                if let Some(taken) = next.take() {
                    running.push(deliver(&queue, &mut inner, ready, taken));
                }
            }
            taken = queue.pop(lane), if free => match taken {
                Some(taken) => next = Some(taken),
                None => open = false,
            },
        }
    }
}

/// Who waits for a part of what is under way. One that is thrown away unanswered (the worker is
/// gone) reads as a failure of its events.
struct Caller {
    part: Option<Part>,
    origins: Vec<Origin>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            part.lose(std::mem::take(&mut self.origins));
        }
    }
}

/// Several waiting batches as one, and each caller's part of the answer. Ends early when no caller
/// is left: a deadline then reaches as far as the work does.
fn deliver(
    queue: &Arc<Queue>,
    inner: &mut Stage,
    ready: Result<(), Failure>,
    taken: Taken,
) -> impl Future<Output = ()> + use<> {
    let queue = queue.clone();
    let Taken {
        items,
        unbegun,
        under_way,
    } = taken;
    let mut callers: Vec<Caller> = Vec::with_capacity(items.len());
    let mut batches = Vec::with_capacity(items.len());
    for (batch, part) in items.into_iter().filter_map(Item::open) {
        callers.push(Caller {
            part: Some(part),
            origins: batch.origins(),
        });
        batches.push(batch);
    }
    let batch = match batches.len() {
        1 => batches.remove(0),
        _ => batches.into_iter().flat_map(Batch::into_events).collect(),
    };
    let call = ready.map(|()| inner.call(batch));
    async move {
        // Other batches with these keys wait until this one is over.
        let _under_way = under_way;
        let work = async {
            match call {
                Ok(call) => guard(call).await,
                Err(failure) => Err(failure),
            }
        };
        let mut work = pin!(work);
        let first = futures::poll!(&mut work);
        drop(unbegun);
        let gone = poll_fn(|cx| {
            let gone = |caller: &Caller| match &caller.part {
                Some(part) => part.poll_gone(cx).is_ready(),
                None => true,
            };
            match callers.iter().all(gone) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        });
        let answer = match first {
            Poll::Ready(answer) => answer,
            Poll::Pending => tokio::select! {
                biased;
                answer = work => answer,
                () = gone => return,
            },
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
    for mut caller in callers {
        let Some(way) = caller.part.take() else {
            continue;
        };
        let origins = std::mem::take(&mut caller.origins);
        let result = match &answer {
            Ok(()) => Ok(()),
            // What all of a call's events were handed over with is answered as it is.
            Err(failure) if one && way.is_whole() => Err(failure.clone()),
            Err(failure) => part(failure, &origins),
        };
        let lost = result.as_ref().map_or_else(|f| f.count(&origins), |()| 0);
        way.answer(result, origins.len() as u64 - lost, origins);
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

//! Transforms as stages.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tower::Service;

use super::{Account, LetterBox, Outputs, guard};
use crate::event::{Batch, Origin};
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::stage::{Applied, Letter, Split, Stage, Transform};

/// A [`Transform`] in front of its node's output. What it drops is counted; what it rejects goes
/// to the node's `invalid` output or to the dead letters, and the batch's answer waits for both.
#[derive(Clone)]
pub struct Transformed<T> {
    transform: T,
    inner: Stage,
    rejected: LetterBox,
    meter: NodeMeter,
    turns: Turns,
    aside: bool,
}

impl<T: Transform> Transformed<T> {
    /// `inner` is the node's output; `rejected` takes what the transform does not let through.
    pub fn new(transform: T, inner: Stage, rejected: LetterBox, meter: NodeMeter) -> Self {
        Self {
            transform,
            inner,
            rejected,
            meter,
            turns: Turns::default(),
            aside: false,
        }
    }

    /// Whether large batches are worked on side by side; they go on in the order of their calls.
    pub fn side_by_side(self, aside: bool) -> Self {
        Self { aside, ..self }
    }

    async fn run(mut self, batch: Batch, turn: Turn) -> Result<(), Failure> {
        let mut account = Account::open(&self.meter, batch.len() as u64, batch.bytes());
        let origins = batch.origins();
        let aside = self.aside && batch.len() >= ASIDE;
        let applied = match apply(&self.transform, batch, aside).await {
            Ok(applied) => applied,
            Err(failure) => {
                let failure = failure.at(&self.meter.name().into()).named(&origins);
                account.close(failure.count(&origins));
                return Err(failure);
            }
        };
        let Applied {
            batch,
            dropped,
            dropped_as,
            created,
            rejected,
        } = applied;
        account.created(created);
        let is_less = !dropped.is_empty() || !dropped_as.is_empty();
        if is_less && self.meter.hours().is_some() {
            // Dropped is what neither goes on nor was rejected.
            let on = batch.events().iter().map(|event| event.origin);
            let stays: HashSet<Origin> = on
                .chain(rejected.iter().map(|letter| letter.origin))
                .map(Origin::whole)
                .collect();
            let gone = origins.iter().filter(|it| !stays.contains(&it.whole()));
            self.meter.ended(gone.copied());
        }
        for (reason, count) in dropped {
            account.dropped(reason, count);
        }
        for (reason, count) in dropped_as {
            account.dropped(&reason, count);
        }
        turn.wait().await;
        let forwarded = self.forward(batch, rejected, turn, &mut account).await;
        match forwarded {
            Ok(()) => account.close(0),
            Err(ref failure) => account.close(failure.count(&origins)),
        }
        forwarded
    }

    /// Both ways out at once. What failed stays open in the account.
    async fn forward(
        &mut self,
        batch: Batch,
        rejected: Vec<Letter>,
        turn: Turn,
        account: &mut Account,
    ) -> Result<(), Failure> {
        let (origins, letters) = (batch.origins(), rejected.len());
        let account = Mutex::new(account);
        let mut call = self.inner.call(batch);
        // The first poll takes this batch's place in the lines below; then the next one may go.
        let first = futures::poll!(&mut call);
        drop(turn);
        let forwarded = async {
            let answer = match first {
                Poll::Ready(answer) => answer,
                Poll::Pending => call.await,
            };
            let answer = answer.map_err(|failure| failure.named(&origins));
            let lost = answer.as_ref().map_or_else(|f| f.count(&origins), |()| 0);
            lock(&account).settled(origins.len() as u64 - lost);
            answer
        };
        if letters == 0 {
            return forwarded.await;
        }
        let buried = async {
            let (origins, reasons): (Vec<_>, Vec<_>) =
                rejected.iter().map(|l| (l.origin, l.reason)).unzip();
            let kept = self.rejected.send(rejected).await;
            let mut account = lock(&account);
            bury(
                &self.rejected,
                &self.meter,
                &kept,
                &origins,
                &reasons,
                &mut account,
            );
            kept
        };
        let (forwarded, buried) = futures::join!(forwarded, buried);
        Failure::join([forwarded, buried])
    }
}

/// Events from which on a batch is worked on aside, by whichever core is free. Below, the hand-over
/// would cost more than it gains.
const ASIDE: usize = 128;

/// Applies a transform; when `aside`, in a task of its own, so that the batches of one pipeline
/// keep all cores busy. The task ends with the call.
async fn apply<T: Transform>(transform: &T, batch: Batch, aside: bool) -> Result<Applied, Failure> {
    if !aside {
        // A plain function that answers a ready future may panic before there is one to poll.
        return guard(async { transform.apply(batch).await }).await;
    }
    let transform = transform.clone();
    let work = guard(async move { transform.apply(batch).await });
    let mut task = Aside(tokio::spawn(work));
    match (&mut task.0).await {
        Ok(applied) => applied,
        Err(_) => Err(Failure::transient(
            "stopping",
            "the work on a batch was ended",
        )),
    }
}

/// Work in a task of its own that does not outlive its call.
struct Aside<T>(JoinHandle<T>);

impl<T> Drop for Aside<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Lets batches that were worked on side by side go on in the order of their calls.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<Line>>);

#[derive(Default)]
struct Line {
    /// Turns given out.
    given: u64,
    /// The turn that it is.
    now: u64,
    /// Later ones that are over before it was theirs: their calls failed or were given up.
    over: BTreeSet<u64>,
    waiting: HashMap<u64, Waker>,
}

/// A call's place in the line, until it is dropped.
pub(crate) struct Turn {
    number: u64,
    turns: Turns,
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Line> {
        // What a panic leaves behind here is still a valid line.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the call that is made now.
    pub fn next(&self) -> Turn {
        let mut line = self.lock();
        let number = line.given;
        line.given += 1;
        let turns = self.clone();
        Turn { number, turns }
    }
}

impl Turn {
    /// Waits until all earlier ones are over.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            let mut line = self.turns.lock();
            if line.now == self.number {
                return Poll::Ready(());
            }
            line.waiting.insert(self.number, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = self.turns.lock();
        line.waiting.remove(&self.number);
        line.over.insert(self.number);
        let line = &mut *line;
        while line.over.remove(&line.now) {
            line.now += 1;
        }
        if let Some(waker) = line.waiting.remove(&line.now) {
            waker.wake();
        }
    }
}

fn lock<'a, 'b>(account: &'a Mutex<&'b mut Account>) -> MutexGuard<'a, &'b mut Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts letters by what became of them.
fn bury(
    to: &LetterBox,
    meter: &NodeMeter,
    kept: &Result<(), Failure>,
    origins: &[Origin],
    reasons: &[&'static str],
    account: &mut Account,
) {
    let lost = kept
        .as_ref()
        .map_or_else(|f| f.lost_of(origins), |()| Default::default());
    for (origin, reason) in origins.iter().zip(reasons) {
        match (lost.contains(origin), to.is_routed()) {
            (true, _) => {}
            // The output that took it has counted it.
            (false, true) => account.settled(1),
            (false, false) => account.dead_lettered(reason),
        }
    }
    if to.is_routed() {
        meter.label("invalid", origins.len() as u64);
    }
}

impl<T: Transform> Service<Batch> for Transformed<T> {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let clone = self.clone();
        let turn = self.turns.next();
        Box::pin(std::mem::replace(self, clone).run(batch, turn))
    }
}

/// A [`Split`] in front of its node's named outputs. What goes to an output that nobody reads is
/// counted as dropped by the rule `unrouted`.
pub fn split_node<S: Split>(split: S, outputs: Outputs, meter: NodeMeter) -> Stage {
    Stage::new(tower::service_fn(move |batch: Batch| {
        let (split, outputs, meter) = (split.clone(), outputs.clone(), meter.clone());
        async move {
            let mut book = Account::open(&meter, batch.len() as u64, batch.bytes());
            let origins = batch.origins();
            let parts = guard(async { Ok(split.split(batch)) }).await;
            let (parts, dropped) = match parts {
                Ok(parts) => parts,
                Err(failure) => {
                    book.close(origins.len() as u64);
                    return Err(failure.at(&meter.name().into()).named(&origins));
                }
            };
            if meter.hours().is_some() {
                // What nobody reads ends here, too.
                let read = parts.iter().zip(&outputs.0).filter(|(_, to)| to.is_some());
                let on = read.flat_map(|(part, _)| part.events());
                let stays: HashSet<Origin> = on.map(|event| event.origin).collect();
                meter.ended(origins.iter().copied().filter(|it| !stays.contains(it)));
            }
            for (reason, count) in dropped {
                book.dropped(reason, count);
            }
            let account = Mutex::new(&mut book);
            let settled = |n| lock(&account).settled(n);
            let (answer, nowhere) = outputs.send(parts, &settled);
            if nowhere > 0 {
                lock(&account).dropped("unrouted", nowhere);
            }
            let answer = answer.await;
            let back = answer.as_ref().map_or_else(|f| f.count(&origins), |()| 0);
            book.close(back);
            answer
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use tower::ServiceExt;

    use super::*;
    use crate::layer::Output;
    use crate::layer::testing::{counts, delivery, kept, meter};

    /// Takes the longer the earlier the delivery; the one of number 3 panics.
    #[derive(Clone)]
    struct Slow;

    impl Transform for Slow {
        async fn apply(&self, batch: Batch) -> Result<Applied, Failure> {
            let number = batch.events()[0].origin.delivery();
            tokio::time::sleep(Duration::from_millis(10 - number)).await;
            assert!(number != 3, "the third");
            Ok(batch.into())
        }
    }

    async fn order(events: usize, aside: bool) -> (Vec<u64>, Vec<bool>, Duration) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let below = seen.clone();
        let inner = Stage::new(tower::service_fn(move |batch: Batch| {
            below
                .lock()
                .unwrap()
                .push(batch.events()[0].origin.delivery());
            futures::future::ready(Ok(()))
        }));
        let (observer, meter) = meter();
        let inner = Stage::new(Output::new(vec![inner], meter.clone()));
        let node = Transformed::new(Slow, inner, kept().0, meter).side_by_side(aside);
        let from = tokio::time::Instant::now();
        let batches = (1..=5).map(|number| delivery(number, &vec!["k"; events]));
        let mut calls = Vec::new();
        for batch in batches {
            let mut node = node.clone();
            calls.push(node.ready().await.unwrap().call(batch));
        }
        let answers = join_all(calls).await;
        let counts = counts(&observer);
        assert_eq!(counts.received, 5 * events as u64);
        assert_eq!(counts.given_back, events as u64);
        let seen = seen.lock().unwrap().clone();
        (
            seen,
            answers.iter().map(Result::is_ok).collect(),
            from.elapsed(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn batches_worked_on_side_by_side_go_on_in_the_order_of_their_calls() {
        for (events, aside) in [(ASIDE, true), (ASIDE, false), (3, true)] {
            let (seen, answers, took) = order(events, aside).await;
            assert_eq!(seen, [1, 2, 4, 5], "{events} {aside}");
            assert_eq!(answers, [true, true, false, true, true]);
            assert_eq!(took, Duration::from_millis(9), "all at the same time");
        }
    }
}

//! The entrance of a node: what stands behind it can be exchanged while events flow.
//!
//! Closed, it lets nobody in: calls wait in the order in which they came. What is inside is
//! answered, or given up after a deadline; then something else is put behind the gate and those
//! who waited go in, in their order. Nothing behind the gate ever sees a later event before an
//! earlier one because of an exchange.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot, watch};
use tower::{Service, ServiceExt};

use crate::event::Batch;
use crate::failure::Failure;
use crate::observe::Tap;
use crate::stage::Stage;

/// An entrance. Clones share it.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Told when the last one inside has left.
    empty: Notify,
    /// Counts the times at which all inside were given up.
    given_up: watch::Sender<u64>,
    /// Shows what comes, where there is one.
    tap: Option<Tap>,
}

struct State {
    /// `None` for good once the gate is shut.
    stage: Option<Stage>,
    closed: bool,
    inside: usize,
    /// Those that wait, in the order of their calls. The first of them may have been let in and not
    /// have gone in yet.
    waiting: VecDeque<oneshot::Sender<Turn>>,
    /// Somebody was let in and has not gone in yet.
    entering: bool,
}

impl Gate {
    /// An open gate in front of `stage`.
    pub fn new(stage: Stage) -> Self {
        Self::with(Some(stage), false, None)
    }

    /// A gate with nothing behind it yet: who comes waits.
    pub fn closed() -> Self {
        Self::with(None, true, None)
    }

    /// The same, and who looks at the tap sees what comes.
    pub fn tapped(tap: Tap) -> Self {
        Self::with(None, true, Some(tap))
    }

    fn with(stage: Option<Stage>, closed: bool, tap: Option<Tap>) -> Self {
        let state = State {
            stage,
            closed,
            inside: 0,
            waiting: VecDeque::new(),
            entering: false,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            empty: Notify::new(),
            given_up: watch::channel(0).0,
            tap,
        }))
    }

    /// Lets nobody in from now on.
    pub fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Waits until all inside are answered, at most this long; then gives up the rest, whose
    /// callers hear a transient failure. Says how many batches were given up.
    pub async fn drain(&self, deadline: Duration) -> usize {
        let drained = tokio::time::timeout(deadline, self.emptied()).await;
        if drained.is_ok() {
            return 0;
        }
        let left = self.0.lock().inside;
        self.0.given_up.send_modify(|times| *times += 1);
        self.emptied().await;
        left
    }

    async fn emptied(&self) {
        loop {
            let told = self.0.empty.notified();
            tokio::pin!(told);
            // Asked for before the look, so that nothing is missed in between.
            told.as_mut().enable();
            if self.0.lock().inside == 0 {
                return;
            }
            told.await;
        }
    }

    /// Puts something else behind the gate, and opens it.
    pub fn open_to(&self, stage: Stage) {
        self.0.lock().stage = Some(stage);
        self.open();
    }

    /// Lets in again, first those who waited, in their order. Without a stage nothing happens.
    pub fn open(&self) {
        let mut state = self.0.lock();
        if state.stage.is_some() {
            state.closed = false;
            drop(state);
            self.0.admit();
        }
    }

    /// For good: nothing stands behind the gate any more, and whoever comes or waits hears a
    /// transient failure.
    pub fn shut(&self) {
        let mut state = self.0.lock();
        let (stage, waiting) = (state.stage.take(), std::mem::take(&mut state.waiting));
        state.closed = false;
        state.entering = false;
        drop(state);
        // What goes with the stage may lock in turn.
        drop((stage, waiting));
    }

    /// As a stage.
    pub fn stage(&self) -> Stage {
        Stage::new(self.clone())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No method leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets in the next one that still waits.
    fn admit(self: &Arc<Self>) {
        loop {
            let mut state = self.lock();
            if state.closed || state.entering {
                return;
            }
            let Some(next) = state.waiting.pop_front() else {
                return;
            };
            state.entering = true;
            drop(state);
            // The turn itself is sent: one that nobody takes any more is passed on as it drops.
            match next.send(Turn(Some(self.clone()))) {
                Ok(()) => return,
                Err(mut turn) => turn.0 = None,
            }
            self.lock().entering = false;
        }
    }
}

/// One call's time inside.
struct Inside(Arc<Shared>);

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.inside -= 1;
        if state.inside == 0 {
            self.0.empty.notify_waiters();
        }
    }
}

/// One who was let in after waiting. Once in, or gone, the next one may go.
struct Turn(Option<Arc<Shared>>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.lock().entering = false;
            shared.admit();
        }
    }
}

fn shut() -> Failure {
    Failure::transient("reloaded", "the node was taken out of the pipeline")
}

impl Shared {
    /// In at once, or the place of one who waits.
    fn enter(self: &Arc<Self>) -> Entry {
        let mut state = self.lock();
        if state.closed || state.entering || !state.waiting.is_empty() {
            let (sender, turn) = oneshot::channel();
            // Those who went away are not kept waiting: they would pile up here.
            state.waiting.retain(|waiting| !waiting.is_closed());
            state.waiting.push_back(sender);
            return Entry::Wait(turn);
        }
        state.go_in(self)
    }
}

impl State {
    fn go_in(&mut self, shared: &Arc<Shared>) -> Entry {
        match &self.stage {
            None => Entry::Shut,
            Some(stage) => {
                self.inside += 1;
                Entry::In(stage.clone(), Inside(shared.clone()))
            }
        }
    }
}

enum Entry {
    In(Stage, Inside),
    Wait(oneshot::Receiver<Turn>),
    Shut,
}

impl Service<Batch> for Gate {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // A batch waits inside its call, where it has its place in the line.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let shared = self.0.clone();
        if let Some(tap) = &shared.tap {
            tap.pass(&batch);
        }
        let entry = shared.enter();
        Box::pin(async move {
            match entry {
                Entry::In(stage, inside) => within(stage, inside, batch, None).await,
                Entry::Shut => Err(shut()),
                Entry::Wait(turn) => {
                    let turn = turn.await.map_err(|_| shut())?;
                    let entry = shared.lock().go_in(&shared);
                    match entry {
                        Entry::In(stage, inside) => within(stage, inside, batch, Some(turn)).await,
                        _ => Err(shut()),
                    }
                }
            }
        })
    }
}

/// One call behind the gate. Its first poll takes its place in the lines there; then the next one
/// may go in.
async fn within(
    stage: Stage,
    inside: Inside,
    batch: Batch,
    turn: Option<Turn>,
) -> Result<(), Failure> {
    let mut given_up = inside.0.given_up.subscribe();
    let mut call = Box::pin(stage.oneshot(batch));
    let first = futures::poll!(&mut call);
    drop(turn);
    if let Poll::Ready(answer) = first {
        return answer;
    }
    tokio::select! {
        biased;
        answer = call => answer,
        _ = given_up.changed() => Err(Failure::transient(
            "reloaded",
            "no answer within the deadline of a reload",
        )),
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::layer::testing::{Script, batch, delivery};

    const SECOND: Duration = Duration::from_secs(1);

    fn slow() -> Script {
        Script::new(|_, _| async {
            tokio::time::sleep(SECOND).await;
            Ok(())
        })
    }

    fn numbers(script: &Script) -> Vec<usize> {
        script.seen().iter().map(Vec::len).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_in_in_order_and_behind_what_was_inside() {
        let (old, new) = (slow(), slow());
        let gate = Gate::new(old.stage());
        let first = tokio::spawn(gate.clone().oneshot(batch(1)));
        tokio::task::yield_now().await;
        gate.close();
        let calls: Vec<_> = (2..6)
            .map(|n| tokio::spawn(gate.clone().oneshot(batch(n))))
            .collect();
        assert_eq!(gate.drain(10 * SECOND).await, 0);
        first.await.unwrap().unwrap();
        // One of those who wait goes away.
        calls[1].abort();
        tokio::task::yield_now().await;
        assert_eq!((old.seen().len(), new.seen().len()), (1, 0));
        gate.open_to(new.stage());
        // One goes away after it was let in and before it went.
        calls[0].abort();
        let late = gate.clone().oneshot(batch(9));
        let answers = join_all(calls).await;
        assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 2);
        late.await.unwrap();
        assert_eq!(numbers(&new), [4, 5, 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_answered_in_time_is_given_up() {
        let dead = Script::new(|_, _| std::future::pending());
        let gate = Gate::new(dead.stage());
        let calls = (1..4).map(|n| tokio::spawn(gate.clone().oneshot(delivery(n, &["k"]))));
        let calls: Vec<_> = calls.collect();
        tokio::task::yield_now().await;
        gate.close();
        let from = tokio::time::Instant::now();
        assert_eq!(gate.drain(5 * SECOND).await, 3);
        assert_eq!(from.elapsed(), 5 * SECOND);
        for call in calls {
            let failure = call.await.unwrap().unwrap_err();
            assert_eq!(failure.losses()[0].cause.reason, "reloaded");
        }
        // A reload that fails opens it to what was there.
        gate.open();
        let call = tokio::spawn(gate.clone().oneshot(batch(1)));
        tokio::task::yield_now().await;
        assert_eq!(dead.seen().len(), 4);
        call.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn shut_it_answers_all_who_wait_and_come_and_lets_go_of_what_was_behind_it() {
        let gate = Gate::closed();
        let call = tokio::spawn(gate.clone().oneshot(batch(1)));
        tokio::task::yield_now().await;
        gate.open();
        assert!(!call.is_finished(), "there is nothing behind it yet");
        gate.shut();
        call.await.unwrap().unwrap_err();
        gate.clone().oneshot(batch(1)).await.unwrap_err();
    }
}

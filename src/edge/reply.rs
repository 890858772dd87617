//! The way back to a caller, whose batch may be in several parts.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::event::Origin;
use crate::failure::Failure;
use crate::observe::NodeMeter;

/// What has been answered of one call.
struct Call {
    meter: NodeMeter,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Parts that were ever made of it.
    parts: usize,
    /// Those that were not answered yet.
    open: usize,
    failure: Option<Failure>,
    /// Of a call in several parts, the events of those that were answered.
    origins: Vec<Origin>,
    /// Events, of parts that were answered, that did not fail.
    settled: u64,
    /// Nobody waits for the answer any more.
    gone: bool,
    caller: Option<Waker>,
    /// Who works on its parts, to be told when the caller goes away.
    working: Vec<Waker>,
}

impl State {
    /// Several events may have one origin (parts of parts). Where one of them failed the caller
    /// takes all of them for lost: those that were settled in another part were copies.
    fn copies(&mut self) -> u64 {
        let Some(failure) = &self.failure else {
            return 0;
        };
        if self.parts == 1 {
            return 0;
        }
        let settled = self.origins.len() as u64 - failure.count(&self.origins);
        let copies = self.settled.saturating_sub(settled);
        self.settled -= copies;
        copies
    }
}

impl Call {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who no longer listens has given its events up, and they come again: those that were settled
    /// all the same were copies.
    fn count_copies(&self, settled: u64) {
        self.meter.created(settled);
        self.meter.given_back(settled);
    }
}

pub(super) fn lost() -> Failure {
    Failure::transient("lost_reply", "the worker behind the buffer is gone")
}

/// A new call in this many parts, and who listens for its answer.
pub(super) fn call(meter: &NodeMeter, parts: usize) -> (Vec<Part>, Listening) {
    let state = State {
        parts,
        open: parts,
        ..State::default()
    };
    let call = Arc::new(Call {
        meter: meter.clone(),
        state: Mutex::new(state),
    });
    let parts = (0..parts).map(|_| Part(call.clone())).collect();
    let listening = Listening {
        call,
        answered: false,
    };
    (parts, listening)
}

/// A part of a call. It is answered once.
pub(super) struct Part(Arc<Call>);

impl Part {
    /// Another part of the same call.
    pub(super) fn split(&self) -> Part {
        let mut state = self.0.lock();
        state.parts += 1;
        state.open += 1;
        Part(self.0.clone())
    }

    /// Whether it is the only one of its call.
    pub(super) fn is_whole(&self) -> bool {
        self.0.lock().parts == 1
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_gone(&self) -> bool {
        self.0.lock().gone
    }

    /// Ready when the caller is gone.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.gone {
            return Poll::Ready(());
        }
        if !state.working.iter().any(|one| one.will_wake(cx.waker())) {
            state.working.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The answer for this part with these events, of which `settled` did not fail.
    pub(super) fn answer(
        self,
        result: Result<(), Failure>,
        settled: u64,
        mut origins: Vec<Origin>,
    ) {
        let mut state = self.0.lock();
        if state.gone {
            drop(state);
            return self.0.count_copies(settled);
        }
        state.open -= 1;
        state.settled += settled;
        if let Err(failure) = result {
            state.failure = Some(match state.failure.take() {
                Some(others) => others.and(failure),
                None => failure,
            });
        }
        if state.parts > 1 {
            state.origins.append(&mut origins);
        }
        let done = state.open == 0;
        let copies = if done { state.copies() } else { 0 };
        let caller = state.caller.take_if(|_| done);
        drop(state);
        self.0.count_copies(copies);
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// The answer for a part that nobody will work on any more.
    pub(super) fn lose(self, origins: Vec<Origin>) {
        self.answer(Err(lost().named(&origins)), 0, origins);
    }
}

/// A caller that waits for its answer: that of all parts.
pub(super) struct Listening {
    call: Arc<Call>,
    answered: bool,
}

impl Future for Listening {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.call.lock();
        if state.open > 0 {
            match &mut state.caller {
                Some(caller) => caller.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        let failure = state.failure.take();
        drop(state);
        self.answered = true;
        Poll::Ready(failure.map_or(Ok(()), Err))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let mut state = self.call.lock();
        state.gone = true;
        let (settled, working) = (state.settled, std::mem::take(&mut state.working));
        drop(state);
        self.call.count_copies(settled);
        working.into_iter().for_each(Waker::wake);
    }
}

//! Puts the lines of many calls together into requests.
//!
//! A request is open until it is full (by lines or bytes), until its oldest line has waited for
//! `flush_interval`, or until nothing more is to be expected: no line came for the time `quiet`, or
//! all calls that the stack lets in at the same time are waiting here. So a stream that comes fast
//! fills requests, a slow one is not held up for the sake of a request that will not fill, and
//! whatever bounds the calls above (a buffer's `in_flight`, the last events of an input) costs `quiet`
//! and not the whole interval. While all `requests` are under way an open one goes on filling: the
//! slower the server, the larger the requests.
//!
//! After a failure lines do not wait until one went well: the call that finds out whether the server
//! is back should not take longer than it must.
//!
//! A call that is given up leaves its lines where they are: they may be written, and will be again.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until};

use super::config::Batches;
use super::deliver::Outcome;
use super::lines::Lines;
use crate::event::Origin;
use crate::failure::Failure;

/// Who sends requests.
pub(super) trait Send: std::marker::Send + Sync + 'static {
    /// Sends lines; says what became of each, and whose they are.
    fn send(
        &self,
        lines: Lines,
    ) -> impl Future<Output = (Vec<Origin>, Outcome)> + std::marker::Send;
    /// Bytes that a request may have, as far as is known.
    fn max_bytes(&self) -> usize;
    /// Whether the last request failed.
    fn is_failing(&self) -> bool;
}

/// The open request and those under way. Clones share them.
pub(super) struct Gather<S>(Arc<Shared<S>>);

impl<S> Clone for Gather<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Shared<S> {
    batches: Batches,
    deliver: S,
    /// Calls that the stack lets in at the same time.
    most_calls: usize,
    calls: AtomicUsize,
    open: Mutex<Option<Open>>,
    slots: Semaphore,
}

/// A request that still takes lines.
struct Open {
    full: Full,
    /// Tells its task that lines came.
    stirred: Arc<Notify>,
    /// Hands it to its task when it is full.
    close: oneshot::Sender<Full>,
}

#[derive(Default)]
struct Full {
    lines: Lines,
    callers: Vec<Caller>,
}

type Answer = Result<(), Failure>;

/// Who waits for some of a request's lines.
struct Caller {
    lines: Range<usize>,
    answer: oneshot::Sender<Answer>,
}

/// One call, as long as it lasts.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<S: Send> Gather<S> {
    /// Empty. At most `most_calls` calls come at the same time.
    pub fn new(batches: Batches, most_calls: usize, deliver: S) -> Self {
        Self(Arc::new(Shared {
            batches,
            deliver,
            most_calls,
            calls: AtomicUsize::new(0),
            open: Mutex::default(),
            slots: Semaphore::new(batches.requests),
        }))
    }

    /// Writes the lines with those of others.
    ///
    /// # Errors
    /// Names the events whose lines were not written.
    pub async fn write(&self, lines: Lines) -> Answer {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let _inside = Inside(&self.0.calls);
        let answers = self.add(lines);
        let answers = join_all(answers).await;
        Failure::join(answers.into_iter().map(|answer| {
            answer.unwrap_or_else(|_| {
                let message = "the request was given up without an answer";
                Err(Failure::transient("influx_abandoned", message))
            })
        }))
    }

    /// Puts lines into the open request, and into new ones as each is full.
    fn add(&self, mut lines: Lines) -> Vec<oneshot::Receiver<Answer>> {
        let shared = &self.0;
        let max_bytes = shared.deliver.max_bytes().min(shared.batches.max_bytes);
        let (mut answers, mut from) = (Vec::with_capacity(1), 0);
        let mut slot = shared.lock();
        while from < lines.len() {
            let open = slot.get_or_insert_with(|| self.begin());
            let there = &mut open.full;
            let events = shared.batches.max_events - there.lines.len();
            let bytes = max_bytes.saturating_sub(there.lines.text.len());
            let count = lines.fit(from, events, bytes, there.lines.is_empty());
            let first = there.lines.len();
            if count > 0 {
                if first == 0 && count == lines.len() {
                    there.lines = std::mem::take(&mut lines);
                    from = 0;
                } else {
                    there.lines.append(&lines, from..from + count);
                    from += count;
                }
                let (answer, answered) = oneshot::channel();
                let lines = first..first + count;
                there.callers.push(Caller { lines, answer });
                answers.push(answered);
            }
            // What is left did not fit; and what is full by count waits for nothing either.
            let is_full = from < lines.len() || there.lines.len() >= shared.batches.max_events;
            open.stirred.notify_one();
            if is_full && let Some(Open { full, close, .. }) = slot.take() {
                // Its task waits for this as long as it lives; if it is gone, so are the answers.
                let _ = close.send(full);
            }
        }
        answers
    }

    /// An open request, and the task that will send it.
    fn begin(&self) -> Open {
        let (close, closed) = oneshot::channel();
        let stirred = Arc::new(Notify::new());
        tokio::spawn(self.clone().run(stirred.clone(), closed));
        Open {
            full: Full::default(),
            stirred,
            close,
        }
    }

    async fn run(self, stirred: Arc<Notify>, mut closed: oneshot::Receiver<Full>) {
        let shared = &*self.0;
        let full = shared.until_ripe(&stirred, &mut closed).await;
        // It goes on filling as long as it waits here. The semaphore is never closed.
        let slot = shared.slots.acquire().await;
        let full = match full {
            Some(full) => Some(full),
            None => match shared.take(&stirred) {
                Some(full) => Some(full),
                None => closed.await.ok(),
            },
        };
        let Some(Full { lines, callers }) = full else {
            return;
        };
        let (origins, answer) = shared.deliver.send(lines).await;
        drop(slot);
        for Caller { lines, answer: to } in callers {
            // Who went away will deliver again.
            let _ = to.send(answer.of(&origins, lines));
        }
    }
}

impl<S: Send> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the open request if it is the one with this bell.
    fn take(&self, stirred: &Arc<Notify>) -> Option<Full> {
        let mut slot = self.lock();
        let is_it = slot
            .as_ref()
            .is_some_and(|open| Arc::ptr_eq(&open.stirred, stirred));
        slot.take_if(|_| is_it).map(|open| open.full)
    }

    /// Waits until the request should go; the request itself if that is because it is full.
    async fn until_ripe(
        &self,
        stirred: &Notify,
        closed: &mut oneshot::Receiver<Full>,
    ) -> Option<Full> {
        let latest = Instant::now() + self.batches.flush_interval;
        let mut quiet = latest;
        loop {
            tokio::select! {
                biased;
                full = &mut *closed => return full.ok(),
                () = stirred.notified() => {
                    let all_here = self.calls.load(Ordering::SeqCst) >= self.most_calls;
                    if all_here || self.deliver.is_failing() {
                        return None;
                    }
                    quiet = Instant::now() + self.batches.quiet;
                }
                () = sleep_until(quiet.min(latest)) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests;

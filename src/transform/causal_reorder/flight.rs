//! Answers: of the batches that came in, by those of the batches that went on.
//!
//! An event that is held goes on in another batch than it came in. So a batch that came in is a
//! [`Flight`], which counts how many of its events have no answer yet, and a batch that goes on has
//! a [`Ticket`], which knows for each event which flight waits for it.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

use crate::event::Origin;
use crate::failure::{Failure, Loss, Which};
use crate::state::{Op, Table};

/// A batch that came in and is not answered yet.
pub(super) struct Flight {
    outstanding: AtomicUsize,
    losses: Mutex<Vec<Loss>>,
    waker: AtomicWaker,
}

impl Flight {
    /// Of so many events, each of which will be answered once.
    pub fn new(events: usize) -> Arc<Self> {
        Arc::new(Self {
            outstanding: AtomicUsize::new(events),
            losses: Mutex::default(),
            waker: AtomicWaker::new(),
        })
    }

    /// So many of its events have their answer.
    pub fn answered(&self, events: usize) {
        // Release: whoever reads zero also reads the losses that were noted before.
        if self.outstanding.fetch_sub(events, Ordering::AcqRel) == events {
            self.waker.wake();
        }
    }

    /// Notes a loss; to be called before the events it speaks of are answered.
    pub fn lost(&self, loss: Loss) {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        // Events are lost one by one but for the same cause: one loss names them all.
        let same = losses.iter_mut().find(|other| {
            other.kind == loss.kind && other.node == loss.node && other.cause == loss.cause
        });
        match (same.map(|other| &mut other.which), loss.which) {
            (Some(Which::Only(origins)), Which::Only(more)) => origins.extend(more),
            (_, which) => losses.push(Loss { which, ..loss }),
        }
    }

    /// Waits for the answer.
    pub fn answer(self: Arc<Self>) -> Answer {
        Answer(self)
    }
}

/// The answer of a flight.
pub(super) struct Answer(Arc<Flight>);

impl Future for Answer {
    type Output = Result<(), Failure>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.waker.register(cx.waker());
        if self.0.outstanding.load(Ordering::Acquire) > 0 {
            return Poll::Pending;
        }
        let mut losses = self.0.losses.lock().unwrap_or_else(PoisonError::into_inner);
        Poll::Ready(Failure::from_losses(std::mem::take(&mut losses)).map_or(Ok(()), Err))
    }
}

/// What is written down about an event's conversation once the event is answered well.
pub(super) struct Note {
    /// Which event of the ticket.
    pub event: u32,
    pub key: u128,
    pub version: u64,
    pub value: Vec<u8>,
}

/// Who waits for the events of a batch that goes on. Dropped unanswered, it answers a failure.
#[derive(Default)]
pub(super) struct Ticket {
    flights: Vec<Arc<Flight>>,
    /// For each event its origin and its place in `flights`.
    events: Vec<(Origin, u32)>,
    notes: Vec<Note>,
}

impl Ticket {
    /// Adds an event of this flight.
    pub fn add(&mut self, origin: Origin, flight: &Arc<Flight>) {
        // There are few flights, and the last one is mostly the one.
        let place = self.flights.iter().rposition(|f| Arc::ptr_eq(f, flight));
        let place = place.unwrap_or_else(|| {
            self.flights.push(Arc::clone(flight));
            self.flights.len() - 1
        });
        self.events.push((origin, place as u32));
    }

    /// Adds what is written down when the event that was added last is answered well.
    pub fn note(&mut self, key: u128, version: u64, value: Vec<u8>) {
        let event = self.events.len().saturating_sub(1) as u32;
        self.notes.push(Note {
            event,
            key,
            version,
            value,
        });
    }

    /// Hands the answer to everyone who waits for it.
    pub fn answer(mut self, answer: Result<(), Failure>, table: &Table) {
        let lost = match answer {
            Ok(()) => HashSet::new(),
            Err(failure) => self.fail(failure),
        };
        // Before the flights hear of it: their answers lead to the commit of what is noted.
        for Note {
            event,
            key,
            version,
            value,
        } in std::mem::take(&mut self.notes)
        {
            let (origin, _) = self.events[event as usize];
            if !lost.contains(&origin) {
                let key = key.to_be_bytes().to_vec();
                let put = Op::PutNewer {
                    key,
                    version,
                    value,
                };
                table.note(origin.delivery(), put);
            }
        }
        self.settle();
    }

    /// Notes the losses with the flights they belong to, and says which origins were lost.
    fn fail(&self, failure: Failure) -> HashSet<Origin> {
        let mut all_lost = HashSet::new();
        for loss in failure.into_losses() {
            let named: Option<HashSet<Origin>> = match &loss.which {
                Which::All => None,
                Which::Only(origins) => Some(origins.iter().copied().collect()),
            };
            // A loss that names nobody here is no reason to call everything delivered.
            let known = |lost: &HashSet<_>| self.events.iter().any(|(o, _)| lost.contains(o));
            let named = named.filter(known);
            let mut by_flight = vec![Vec::new(); self.flights.len()];
            for (origin, flight) in &self.events {
                if named.as_ref().is_none_or(|lost| lost.contains(origin)) {
                    by_flight[*flight as usize].push(*origin);
                    all_lost.insert(*origin);
                }
            }
            for (flight, origins) in self.flights.iter().zip(by_flight) {
                if !origins.is_empty() {
                    flight.lost(Loss {
                        which: Which::Only(origins),
                        ..loss.clone()
                    });
                }
            }
        }
        all_lost
    }

    fn settle(&mut self) {
        let mut counts = vec![0; self.flights.len()];
        for (_, flight) in self.events.drain(..) {
            counts[flight as usize] += 1;
        }
        for (flight, count) in self.flights.drain(..).zip(counts) {
            if count > 0 {
                flight.answered(count);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.events.is_empty() {
            self.fail(Failure::transient("abandoned", "the answer was lost"));
            self.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::failure::{Cause, Kind};
    use crate::state::Store;

    fn origin(index: usize) -> Origin {
        Origin::new(1, index)
    }

    fn ticket(of: &[(usize, &Arc<Flight>)]) -> Ticket {
        let mut ticket = Ticket::default();
        for (index, flight) in of {
            ticket.add(origin(*index), flight);
        }
        ticket
    }

    #[test]
    fn joins_answers_over_batches() {
        let table = Store::memory().table("t");
        let (a, b) = (Flight::new(2), Flight::new(1));
        let (first, second) = (ticket(&[(0, &a), (2, &b)]), ticket(&[(1, &a)]));
        let cause = Cause::new("timeout", "slow");
        let failure = Failure::only(Kind::Transient, cause.clone(), vec![origin(0)]).unwrap();
        first.answer(Err(failure.clone()), &table);
        assert_eq!(b.answer().now_or_never(), Some(Ok(())));
        assert_eq!(a.clone().answer().now_or_never(), None);
        second.answer(Ok(()), &table);
        assert_eq!(a.answer().now_or_never(), Some(Err(failure)));
    }

    #[test]
    fn never_takes_a_lost_answer_for_a_good_one() {
        let table = Store::memory().table("t");
        let (a, b) = (Flight::new(1), Flight::new(1));
        drop(ticket(&[(0, &a)]));
        let stranger = Failure::only(Kind::Fatal, Cause::new("x", "y"), vec![origin(9)]).unwrap();
        ticket(&[(1, &b)]).answer(Err(stranger), &table);
        let lost = a.answer().now_or_never().unwrap().unwrap_err();
        assert_eq!(lost.losses()[0].which, Which::Only(vec![origin(0)]));
        let lost = b.answer().now_or_never().unwrap().unwrap_err();
        assert_eq!(lost.losses()[0].which, Which::Only(vec![origin(1)]));
    }
}

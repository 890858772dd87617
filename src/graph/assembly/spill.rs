//! `when_full: spill`: memory first, disk when memory is full, and the order kept.
//!
//! There is one line of events, and it ends in the memory edge. A batch may go there past the disk
//! only when everything that went to disk has entered that edge before it. After a crash what was in
//! memory comes again from its source, behind what was on disk: across a crash order is not kept.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::{BoxFuture, poll_fn};
use tower::Service;

use super::Gate;
use crate::edge::{EdgePolicy, EdgeWatch};
use crate::event::Batch;
use crate::failure::Failure;
use crate::journal::{Entrance, Journal, Outlet};
use crate::stage::{Delivery, Source, Stage};

/// The way past the disk. Clones share it.
#[derive(Clone)]
pub(super) struct Way(Arc<Shared>);

struct Shared {
    journal: Journal,
    max_events: usize,
    max_bytes: u64,
    /// Deliveries that came out of the journal, or may be coming, and have not entered the edge.
    handed: Arc<AtomicU64>,
    to: Mutex<Option<(Gate, EdgeWatch)>>,
}

impl Way {
    pub fn new(journal: Journal, edge: &EdgePolicy) -> Self {
        Self(Arc::new(Shared {
            journal,
            max_events: edge.max_events,
            max_bytes: edge.max_bytes,
            handed: Arc::default(),
            to: Mutex::default(),
        }))
    }

    pub fn handed(&self) -> Arc<AtomicU64> {
        self.0.handed.clone()
    }

    /// The node behind the buffer.
    pub fn lead_to(&self, gate: Gate, edge: EdgeWatch) {
        let mut to = self.0.to.lock().unwrap_or_else(PoisonError::into_inner);
        *to = Some((gate, edge));
    }

    /// The gate, when the batch may go there at once. Asked with the lock of the front held, so
    /// that nobody goes to disk in between.
    fn is_free(&self, batch: &Batch) -> Option<Gate> {
        let way = &self.0;
        let to = way.to.lock().unwrap_or_else(PoisonError::into_inner);
        let (gate, edge) = to.as_ref()?;
        let fill = edge.fill();
        let has_room = fill.outside == 0
            && (fill.events == 0
                || fill.events + batch.len() <= way.max_events
                    && fill.bytes + batch.bytes() <= way.max_bytes);
        // Looked at in this order: what the journal hands out is counted before it is.
        let is_behind = way.journal.is_idle() && way.handed.load(Ordering::SeqCst) == 0;
        (has_room && is_behind).then(|| gate.clone())
    }
}

/// Where events come in.
#[derive(Clone)]
pub(super) struct Front {
    way: Way,
    entrance: Entrance,
    /// One at a time decides: who goes to disk is in line before the next one asks.
    turn: Arc<Mutex<()>>,
}

impl Front {
    pub fn new(way: Way, entrance: Entrance) -> Self {
        Self {
            way,
            entrance,
            turn: Arc::default(),
        }
    }

    /// Chooses the way, and takes the batch's place there.
    fn begin(&mut self, batch: Batch, cx: &mut Context<'_>) -> Begun {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut call = match self.way.is_free(&batch) {
            Some(mut gate) => gate.call(batch),
            None => self.entrance.call(batch),
        };
        match call.as_mut().poll(cx) {
            Poll::Ready(answer) => Begun::Answered(answer),
            Poll::Pending => Begun::Waits(call),
        }
    }
}

enum Begun {
    Answered(Result<(), Failure>),
    Waits(BoxFuture<'static, Result<(), Failure>>),
}

impl Service<Batch> for Front {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let mut front = self.clone();
        let mut batch = Some(batch);
        Box::pin(async move {
            let begun = poll_fn(|cx| {
                let batch = batch.take().unwrap_or_default();
                Poll::Ready(front.begin(batch, cx))
            });
            match begun.await {
                Begun::Answered(answer) => answer,
                Begun::Waits(call) => call.await,
            }
        })
    }
}

/// The outlet, with a count of what it hands over.
pub(super) struct Handed {
    outlet: Outlet,
    handed: Arc<AtomicU64>,
}

impl Handed {
    pub fn new(outlet: Outlet, handed: Arc<AtomicU64>) -> Self {
        Self { outlet, handed }
    }
}

impl Source for Handed {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        let Self { outlet, handed } = self;
        Box::pin(async move {
            let mut next = pin!(outlet.next());
            poll_fn(|cx| {
                // Counted before it is looked for: the journal is idle from the moment it hands
                // the last one over.
                handed.fetch_add(1, Ordering::SeqCst);
                let polled = next.as_mut().poll(cx);
                let counts = matches!(&polled, Poll::Ready(Ok(Some(it))) if !it.batch.is_empty());
                if !counts {
                    handed.fetch_sub(1, Ordering::SeqCst);
                }
                polled
            })
            .await
        })
    }
}

/// What the journal's pump calls: counts deliveries in as they enter the edge.
#[derive(Clone)]
pub(super) struct Back {
    way: Way,
    inner: Stage,
    /// The highest delivery that entered: those that come again were counted.
    entered: Arc<AtomicU64>,
}

impl Back {
    pub fn new(way: Way, inner: Stage) -> Self {
        let entered = Arc::default();
        Self {
            way,
            inner,
            entered,
        }
    }
}

impl Service<Batch> for Back {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let number = batch.events().first().map_or(0, |e| e.origin.delivery());
        let is_new = self.entered.fetch_max(number, Ordering::SeqCst) < number;
        let mut call = self.inner.call(batch);
        let way = self.way.clone();
        Box::pin(async move {
            let first = futures::poll!(&mut call);
            if is_new {
                way.0.handed.fetch_sub(1, Ordering::SeqCst);
            }
            match first {
                Poll::Ready(answer) => answer,
                Poll::Pending => call.await,
            }
        })
    }
}

//! What the tests of the layers and edges share.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{LetterBox, Redact};
use crate::event::{Batch, Event, Origin, Path, PathSet};
use crate::failure::{Cause, Failure, Kind};
use crate::observe::{Counts, NodeKind, NodeMeter, Observer, RunState};
use crate::stage::{Sink, Stage};

/// `events` of the delivery of this number, each with its place as `n` and a `key`.
pub(crate) fn delivery(number: u64, keys: &[&str]) -> Batch {
    let paths = Arc::new(PathSet::default());
    let event = |(index, key): (usize, &&str)| {
        let json = format!(r#"{{"n":{index},"key":"{key}"}}"#);
        let mut event = Event::parse(json, &paths, &Arc::default()).unwrap();
        event.origin = Origin::new(number, index);
        event
    };
    keys.iter().enumerate().map(event).collect()
}

pub(crate) fn batch(events: usize) -> Batch {
    delivery(1, &vec!["k"; events])
}

pub(crate) fn key() -> Path {
    Path::of(["key"])
}

/// Only these places of delivery 1.
pub(crate) fn only(kind: Kind, places: &[usize]) -> Failure {
    let origins = places.iter().map(|place| Origin::new(1, *place)).collect();
    Failure::only(kind, Cause::new("scripted", "no"), origins).unwrap()
}

pub(crate) fn busy() -> Failure {
    Failure::transient("busy", "busy")
}

/// When, and the places of its events.
type Call = (Instant, Vec<usize>);
type Answer = BoxFuture<'static, Result<(), Failure>>;

/// A sink that does as told, and notes when it was called with which places.
#[derive(Clone)]
pub(crate) struct Script {
    answer: Arc<dyn Fn(usize, Batch) -> Answer + Send + Sync>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Script {
    /// `answer` is given the number of the call, from 0.
    pub fn new<F, Fut>(answer: F) -> Self
    where
        F: Fn(usize, Batch) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Self {
            answer: Arc::new(move |call, batch| Box::pin(answer(call, batch))),
            calls: Arc::default(),
        }
    }

    pub fn well() -> Self {
        Self::new(|_, _| async { Ok(()) })
    }

    /// The places of each call's events.
    pub fn seen(&self) -> Vec<Vec<usize>> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(_, places)| places.clone()).collect()
    }

    /// When each call was made, in milliseconds after `from`.
    pub fn times(&self, from: Instant) -> Vec<u128> {
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .map(|(at, _)| (*at - from).as_millis())
            .collect()
    }

    pub fn stage(&self) -> Stage {
        Stage::new(super::Deliver::new(self.clone(), "sink"))
    }
}

impl Sink for Script {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            let places = batch.events().iter().map(|e| e.origin.index()).collect();
            calls.push((Instant::now(), places));
            calls.len() - 1
        };
        (self.answer)(number, batch).await
    }
}

pub(crate) fn meter() -> (Observer, NodeMeter) {
    let observer = Observer::new("p");
    let meter = observer.node("sink", NodeKind::Sink, "x");
    (observer, meter)
}

/// The counts of the one node, which add up.
pub(crate) fn counts(observer: &Observer) -> Counts {
    observer.set_state(RunState::Stopped);
    let counts = observer.ledger().nodes.remove(0).counts;
    assert_eq!(counts.held, 0, "{}", counts.equation());
    counts
}

struct Open;

impl Redact for Open {
    fn event(&self, _: &mut Event) {}
    fn text(&self, text: &str) -> String {
        text.into()
    }
}

/// A box in front of this stage.
pub(crate) fn letters(stage: Option<Stage>) -> LetterBox {
    LetterBox::new(stage, Arc::new(Open), "sink", None)
}

/// A box that keeps everything, and what it has kept.
pub(crate) fn kept() -> (LetterBox, Arc<Mutex<Vec<String>>>) {
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let into = kept.clone();
    let stage = tower::service_fn(move |batch: Batch| {
        into.lock()
            .unwrap()
            .extend(batch.events().iter().map(Event::to_json));
        async { Ok(()) }
    });
    (letters(Some(Stage::new(stage))), kept)
}

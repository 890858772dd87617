//! What stands between the nodes of a pipeline that is tested: taps, and failures in front of sinks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tower::Service;

use super::feed::value_of;
use super::{EVENTS, Fault};
use crate::event::{Batch, Event, Origin};
use crate::failure::{Cause, Failure, Kind};
use crate::layer::rehearsal::Front;
use crate::layer::{Kept, SinkContext, SinkPart, TransformContext, TransformPart, VisitPaths};
use crate::stage::Stage;
use crate::state::Table;

/// What came by at one place, in its order. Clones share it.
///
/// What was handed on and came back is kept where it stood, and counts once when it is handed on again.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    events: Vec<Value>,
    count: u64,
    /// What came back, and where it stands.
    back: HashMap<Origin, Vec<usize>>,
}

impl Tap {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came by, and how many they are with those that are not kept.
    pub fn seen(&self) -> (Vec<Value>, u64) {
        let seen = self.lock();
        (seen.events.clone(), seen.count)
    }

    /// What came back will come again under another name.
    pub fn restart(&self) {
        let mut seen = self.lock();
        let back = std::mem::take(&mut seen.back);
        let mut gone: Vec<usize> = back.into_values().flatten().collect();
        gone.sort_unstable();
        seen.count -= gone.len() as u64;
        for at in gone.into_iter().rev() {
            seen.events.remove(at);
        }
    }

    /// One event; says where it is kept.
    fn push(&self, event: &Event) -> Option<usize> {
        let mut seen = self.lock();
        if let Some(places) = seen.back.get_mut(&event.origin) {
            let at = (!places.is_empty()).then(|| places.remove(0));
            if let Some(slot) = at.and_then(|at| seen.events.get_mut(at)) {
                *slot = value_of(event);
                return at;
            }
        }
        seen.count += 1;
        (seen.events.len() < EVENTS).then(|| {
            seen.events.push(value_of(event));
            seen.events.len() - 1
        })
    }

    fn came_back(&self, places: &[(Origin, usize)], lost: Option<&Failure>) {
        let origins: Vec<Origin> = places.iter().map(|(origin, _)| *origin).collect();
        let lost = lost.map(|failure| failure.lost_of(&origins));
        let mut seen = self.lock();
        for (origin, at) in places {
            if lost.as_ref().is_none_or(|lost| lost.contains(origin)) {
                seen.back.entry(*origin).or_default().push(*at);
            }
        }
    }

    fn around(&self, inner: Stage) -> Stage {
        let tap = self.clone();
        Stage::new(Tapped { inner, tap })
    }
}

/// All taps of a test, by node or by `node.output`. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Taps(Arc<Mutex<HashMap<String, Tap>>>);

impl Taps {
    pub fn of(&self, place: &str) -> Tap {
        let mut taps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taps.entry(place.to_owned()).or_default().clone()
    }

    /// Everything that was seen, by place.
    pub fn all(&self) -> HashMap<String, (Vec<Value>, u64)> {
        let taps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = taps.iter();
        all.map(|(place, tap)| (place.clone(), tap.seen()))
            .collect()
    }

    pub fn restart(&self) {
        let taps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taps.values().for_each(Tap::restart);
    }

    fn around(&self, node: &str, outputs: HashMap<String, Stage>) -> HashMap<String, Stage> {
        let tapped = outputs.into_iter().map(|(output, stage)| {
            let tap = match output.as_str() {
                "" => self.of(node),
                output => self.of(&format!("{node}.{output}")),
            };
            (output, tap.around(stage))
        });
        tapped.collect()
    }
}

/// Sees what is handed to a stage.
#[derive(Clone)]
struct Tapped {
    inner: Stage,
    tap: Tap,
}

impl Service<Batch> for Tapped {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let mut handed = Handed {
            tap: self.tap.clone(),
            places: Vec::with_capacity(batch.len()),
        };
        for event in &batch {
            let at = self.tap.push(event);
            handed.places.extend(at.map(|at| (event.origin, at)));
        }
        let call = self.inner.call(batch);
        async move {
            let answer = call.await;
            let places = std::mem::take(&mut handed.places);
            if let Err(failure) = &answer {
                handed.tap.came_back(&places, Some(failure));
            }
            answer
        }
        .boxed()
    }
}

/// What was handed on and has no answer: it comes back where nobody waits for one any more.
struct Handed {
    tap: Tap,
    places: Vec<(Origin, usize)>,
}

impl Drop for Handed {
    fn drop(&mut self) {
        if !self.places.is_empty() {
            self.tap.came_back(&self.places, None);
        }
    }
}

/// A transform with taps at its outputs.
pub(super) struct TappedTransform {
    pub part: Box<dyn TransformPart>,
    pub taps: Taps,
}

impl TransformPart for TappedTransform {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        self.part.paths(visit);
    }

    fn holds(&self) -> bool {
        self.part.holds()
    }

    fn prepare<'a>(&'a mut self, table: &'a Table) -> BoxFuture<'a, Result<(), Failure>> {
        self.part.prepare(table)
    }

    fn stay_home(&mut self) -> Option<&'static str> {
        self.part.stay_home()
    }

    fn remembered(&self, table: &Table, now: u64) -> Result<Option<u64>, Failure> {
        self.part.remembered(table, now)
    }

    fn build(&self, mut context: TransformContext) -> Result<Stage, Failure> {
        context.outputs = self.taps.around(&context.node, context.outputs);
        self.part.build(context)
    }
}

/// How a sink behaves now, and what it took. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Entry {
    fault: Arc<Mutex<Fault>>,
    tap: Tap,
}

impl Entry {
    pub fn new(tap: Tap) -> Self {
        let fault = Arc::default();
        Self { fault, tap }
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn fault(&self) -> Fault {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.clone()
    }
}

impl Front for Entry {
    fn before(&self, batch: Batch) -> BoxFuture<'_, (Batch, Option<Failure>)> {
        let Fault {
            down,
            slow,
            rejects,
        } = self.fault();
        async move {
            tokio::time::sleep(slow.unwrap_or(Duration::ZERO)).await;
            if down {
                let failure = Failure::transient("unavailable", "the test has this sink down");
                return (Batch::default(), Some(failure));
            }
            let Some(rejects) = rejects else {
                return (batch, None);
            };
            let (refused, taken): (Vec<Event>, Vec<Event>) =
                (batch.into_events().into_iter()).partition(|event| rejects.holds(event));
            let cause = Cause::new("refused", "the test has this sink refuse it");
            let refused = refused.iter().map(|event| event.origin).collect();
            let failure = Failure::only(Kind::Rejected, cause, refused);
            (taken.into(), failure)
        }
        .boxed()
    }

    fn after(&self, batch: &Batch, failed: Option<&Failure>) {
        let lost = failed.map(|failure| failure.lost(batch));
        for event in batch {
            if lost
                .as_ref()
                .is_none_or(|lost| !lost.contains(&event.origin))
            {
                self.tap.push(event);
            }
        }
    }
}

/// A sink with taps at its outputs and something in front of its last step.
pub(super) struct WatchedSink {
    pub part: Box<dyn SinkPart>,
    pub taps: Taps,
    pub entry: Entry,
}

impl SinkPart for WatchedSink {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        self.part.paths(visit);
    }

    fn kept(&self) -> Kept {
        self.part.kept()
    }

    fn build(
        self: Box<Self>,
        mut context: SinkContext,
    ) -> BoxFuture<'static, Result<Stage, Failure>> {
        let Self { part, taps, entry } = *self;
        context.outputs = taps.around(&context.node, context.outputs);
        context.front = Some(Arc::new(entry));
        part.build(context)
    }
}

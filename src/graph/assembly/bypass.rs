//! What becomes of events that a disabled component does not look at.

use std::future::{Future, ready};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tower::{Service, ServiceExt};

use super::flagged::Flagged;
use crate::condition::Condition;
use crate::event::Batch;
use crate::failure::Failure;
use crate::graph::Enabled;
use crate::observe::NodeMeter;
use crate::stage::{Applied, Stage, Transform};

/// Hands on what it is given: in the place of a transform that is switched off.
#[derive(Clone)]
pub(super) struct PassOn;

impl Transform for PassOn {
    fn apply(&self, batch: Batch) -> impl Future<Output = Result<Applied, Failure>> + Send {
        ready(Ok(batch.into()))
    }
}

/// Drops what it is given, by rule: in the place of a sink that is switched off.
pub(super) fn drop_disabled(meter: NodeMeter) -> Stage {
    Stage::new(tower::service_fn(move |batch: Batch| {
        meter.received(batch.len() as u64, batch.bytes());
        meter.dropped("disabled", batch.len() as u64);
        meter.ended(batch.events().iter().map(|event| event.origin));
        ready(Ok(()))
    }))
}

/// Leads events to a component, or past it.
#[derive(Clone)]
pub(super) struct Bypass {
    when: Condition,
    through: Stage,
    past: Stage,
}

impl Bypass {
    /// What stands where a component of this setting is wanted; `through` is the component, which is
    /// not built where it would never be used.
    pub fn around(enabled: Enabled, through: Option<Stage>, past: impl FnOnce() -> Stage) -> Stage {
        match (enabled, through) {
            (Enabled::Always, Some(through)) => through,
            (Enabled::When(when), Some(through)) => Stage::new(Self {
                when,
                through,
                past: past(),
            }),
            (Enabled::Flag(flag), Some(through)) => Stage::new(Flagged::new(flag, through, past())),
            (Enabled::Never, _) | (_, None) => past(),
        }
    }
}

impl Service<Batch> for Bypass {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.through.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let holds = |event: &crate::event::Event| self.when.holds(event);
        match batch.events().iter().filter(|event| holds(event)).count() {
            all if all == batch.len() => return self.through.call(batch),
            0 => return Box::pin(self.past.clone().oneshot(batch)),
            _ => {}
        }
        let (through, past): (Vec<_>, Vec<_>) = batch.into_events().into_iter().partition(holds);
        let (through, past) = (Batch::from(through), Batch::from(past));
        let origins = (through.origins(), past.origins());
        let (through, past) = (self.through.call(through), self.past.clone().oneshot(past));
        Box::pin(async move {
            let (through, past) = futures::join!(through, past);
            Failure::join([
                through.map_err(|failure| failure.named(&origins.0)),
                past.map_err(|failure| failure.named(&origins.1)),
            ])
        })
    }
}

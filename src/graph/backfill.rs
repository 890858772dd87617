//! A run over a range of the past: one source of the pipeline, once, beside the live run.
//!
//! It is a run of the same pipeline with other settings ([`aim`]) and without what only a live run
//! needs ([`prepare`]); its state is its own, so neither run sees the other's cursor or the ids that
//! it remembers. Both may load the same events: the warehouse takes a repeat for what it is.

mod settings;

use std::future::Future;

use futures::future::BoxFuture;

use super::Pipeline;
use super::pump::HOURS;
use super::run::run;
use crate::event::Path;
use crate::failure::Failure;
use crate::layer::{Probing, Replays, SourceContext, SourcePart, Survey, VisitPaths};
use crate::observe::{Hours, Observer};
use crate::stage::OpenSource;
use crate::state::Store;

pub use settings::{Aim, Aimed, RANGED, aim};

/// Leaves of the pipeline what a backfill needs: the one source, whose records are counted by the
/// hour of their own time (the first of these that holds one: of `event_time`, or where nothing is
/// in it, of what the source's settings say). Buffers are in memory and nothing is dropped where one
/// is full: the source can wait, and is read again after a crash. Gives where times are looked for.
pub fn prepare(pipeline: &mut Pipeline, source: &str, mut event_time: Vec<Path>) -> Vec<Path> {
    let sources = std::mem::take(&mut pipeline.sources);
    for mut node in sources.into_iter().filter(|node| *node.name == *source) {
        if event_time.is_empty() {
            event_time = node.part.event_time().to_vec();
        }
        node.part = Box::new(Timed {
            part: node.part,
            event_time: event_time.clone(),
        });
        pipeline.sources.push(node);
    }
    for edge in pipeline.transforms.iter_mut().flat_map(|it| &mut it.buffer) {
        *edge = edge.behind_disk();
    }
    for sink in &mut pipeline.sinks {
        sink.buffer = sink.buffer.behind_disk();
    }
    pipeline.simulator = None;
    pipeline.api = None;
    event_time
}

/// Runs a prepared pipeline, until its source has nothing more or `stop` is ready. The completeness
/// ledger goes on from what earlier runs over the same state have counted.
///
/// # Errors
/// As [`run`].
pub async fn backfill(
    pipeline: Pipeline,
    observer: &Observer,
    store: Store,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let kept = store.checkpoints(HOURS).await?;
    let kept = kept.into_iter().map(|place| (place.key, place.value));
    observer.keep_hours(Hours::restore(kept));
    run(pipeline, observer, store, stop).await
}

/// A source that knows where its records have their time.
struct Timed {
    part: Box<dyn SourcePart>,
    event_time: Vec<Path>,
}

impl SourcePart for Timed {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        self.part.paths(visit);
        self.event_time.iter_mut().for_each(visit);
    }

    fn replays(&self) -> Replays {
        self.part.replays()
    }

    fn probe(&self) -> Probing<'_> {
        self.part.probe()
    }

    fn survey(&self) -> BoxFuture<'_, Result<Option<Survey>, Failure>> {
        self.part.survey()
    }

    fn event_time(&self) -> &[Path] {
        &self.event_time
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        if let Some(hours) = context.meter.hours() {
            hours.set_paths(self.event_time);
        }
        self.part.build(context)
    }
}

#[cfg(test)]
mod tests;

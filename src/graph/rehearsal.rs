//! A run whose ends are replaced: sources are fed from files, and sinks show what would leave.
//!
//! Between the ends it is the real graph: the same transforms, edges and lanes, the same dead letters,
//! the same ledger. Sinks make what they really send and leave it in a recorder
//! ([`SinkPart::rehearse`](crate::layer::SinkPart::rehearse)). Nothing is connected to, nothing is written to disk, and the state is in
//! memory. What only a live run needs (rates, breakers, retries, disk buffers, the interface, alerts) is
//! left out.
//!
//! It is meant for a [`runtime`] whose clock is paused: windows and time-outs pass at once, all input is
//! there before the first event goes on its way, and a rehearsal of the same input from the same
//! time of day says the same again. Only what has no order in a run either may change places: lanes of
//! one edge (`partition_by`) that let go of what they held at the end of the input.

pub(super) mod desk;
mod difference;
pub(super) mod input;
mod personal;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde::Serialize;

use super::run::run;
use super::{Pipeline, StateSetting};
use crate::clock::Wall;
use crate::edge::EdgePolicy;
use crate::layer::rehearsal::Leaving;
use crate::layer::{RetryPolicy, SourcePart, StackPolicy};
use crate::observe::{Ledger, Observer};
use crate::state::Store;

use desk::Desk;
pub use difference::{Change, Changes, Difference, compare};
pub use input::{Feeding, Input};
pub use personal::{Personal, is_allowed};

/// Events that are read, unless told.
pub const EVENTS: usize = 10_000;
/// Things of each sink, and dead letters, that are kept to be shown; more are counted.
pub const THINGS: usize = 10_000;
/// How long everything may wait for something, on the paused clock: what is not answered by then never
/// will be.
pub(super) const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// What is rehearsed with.
pub struct Setting {
    /// Sources by name, and what feeds them; the others end at once.
    pub inputs: Vec<(String, Input)>,
    /// Events that are read in all; default [`EVENTS`].
    pub limit: usize,
    /// Things of each sink that are kept to be shown; default [`THINGS`].
    pub things: usize,
    /// The time of day at which it begins.
    pub start: Timestamp,
}

impl Setting {
    /// Everything at its default, from this time on.
    pub fn new(start: Timestamp) -> Self {
        Self {
            inputs: Vec::new(),
            limit: EVENTS,
            things: THINGS,
            start,
        }
    }
}

/// What came of a rehearsal.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What the failure is that ended it before its time.
    pub failure: Option<String>,
    /// Events that were read.
    pub events: u64,
    /// Whether there is more in the input than the limit lets in.
    pub is_cut: bool,
    /// By sink, in the order of the file.
    pub sinks: Vec<Left>,
    /// Where dead letters would be kept, and as what.
    pub dead_letter_sinks: Vec<Left>,
    /// The dead letters themselves, in the order of the input; the first of them.
    pub dead_letters: Vec<DeadLetter>,
    /// How many there are.
    pub dead_letter_count: u64,
    /// Personal data that leaves, by sink, path and class.
    pub personal_data: Vec<Personal>,
    /// What was left out, or done otherwise than in a run.
    pub notes: Vec<String>,
    /// What became of each event.
    pub ledger: Ledger,
}

/// What would leave by one sink.
#[derive(Debug, Serialize)]
pub struct Left {
    /// The sink.
    pub node: Arc<str>,
    /// Its type.
    pub component: &'static str,
    /// How many things would leave.
    pub count: u64,
    /// The first of them, in the order in which they would leave.
    pub things: Vec<Leaving>,
}

/// A dead letter as it would be kept: masked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Why.
    pub reason: String,
    /// The node that refused it.
    pub node: String,
    /// The whole letter.
    pub letter: serde_json::Value,
}

impl DeadLetter {
    /// Where its event lay.
    fn place(&self) -> (Option<&str>, Option<&str>, Option<u64>, Option<u64>) {
        let source = &self.letter["source"];
        let text = |name: &str| source[name].as_str();
        let number = |name: &str| source[name].as_u64();
        (
            text("name"),
            text("object"),
            number("line"),
            number("offset"),
        )
    }
}

/// A runtime on which time passes as soon as everything waits for it.
///
/// # Errors
/// When the machine has no room for it.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build()
}

/// Rehearses a pipeline, best on a [`runtime`] of its own.
pub async fn rehearse(mut pipeline: Pipeline, setting: Setting) -> Outcome {
    let observer = Observer::with_clock(&pipeline.name, Wall::from(setting.start));
    let desk = Desk::new(setting.things);
    let names: Vec<(Arc<str>, &'static str)> = pipeline
        .sinks
        .iter()
        .map(|sink| (sink.name.clone(), sink.component))
        .collect();
    let feeding = Feeding::new(setting.limit, setting.inputs.len());
    replace_ends(&mut pipeline, setting.inputs, &feeding, &desk);
    for note in stay_home(&mut pipeline) {
        desk.note(note);
    }
    let late = tokio::time::sleep(LONGEST).shared();
    let ran = run(pipeline, &observer, Store::rehearsed(), late.clone()).await;
    let failure = match ran {
        Err(failure) => Some(failure.to_string()),
        Ok(()) if late.peek().is_some() => Some(format!(
            "something was not answered within {} days of the clock on the wall",
            LONGEST.as_secs() / 86_400
        )),
        Ok(()) => None,
    };
    desk.outcome(failure, &feeding, &names, observer.ledger())
}

/// Puts parts into the ends of the pipeline that connect to nothing.
fn replace_ends(
    pipeline: &mut Pipeline,
    mut inputs: Vec<(String, Input)>,
    feeding: &Feeding,
    desk: &Desk,
) {
    for source in &mut pipeline.sources {
        let place = inputs.iter().position(|(name, _)| **name == *source.name);
        source.part = match place.map(|place| inputs.remove(place).1) {
            Some(input) => feeding.part(input, &*source.part),
            None => Box::new(input::Ended) as Box<dyn SourcePart>,
        };
        source.dead_letter = source.dead_letter.take().map(|node| desk.letters(node));
    }
    for node in &mut pipeline.transforms {
        node.buffer = node.buffer.as_ref().map(EdgePolicy::behind_disk);
        node.dead_letter = node.dead_letter.take().map(|node| desk.letters(node));
    }
    let sinks = std::mem::take(&mut pipeline.sinks);
    for mut node in sinks {
        node.buffer = node.buffer.behind_disk();
        node.policy = patient();
        node.part = desk.sink(node.part, node.component, false);
        node.dead_letter = node.dead_letter.take().map(|node| desk.letters(node));
        pipeline.sinks.push(node);
    }
    pipeline.dead_letter = pipeline.dead_letter.take().map(|node| desk.letters(node));
}

/// Leaves out what a rehearsal does without; says what is otherwise for it.
pub(super) fn stay_home(pipeline: &mut Pipeline) -> Vec<String> {
    let mut notes = Vec::new();
    for node in &mut pipeline.transforms {
        if let Some(note) = node.part.stay_home() {
            notes.push(format!("{}: {note}", node.name));
        }
    }
    if let (Some(tenants), Some(platform)) = (&pipeline.tenants, pipeline.simulator.take()) {
        tenants.simulate(platform.stand_in());
    }
    if pipeline.encryption.take().is_some() {
        notes.push(
            "`encryption`: in a run each dead letter also holds its original, sealed".to_owned(),
        );
    }
    pipeline.simulator = None;
    pipeline.state = StateSetting::Memory;
    pipeline.api = None;
    pipeline.alerts = None;
    pipeline.metrics = None;
    notes
}

/// No limits, and one try: what does not go well at once is told.
fn patient() -> StackPolicy {
    StackPolicy {
        timeout: LONGEST,
        rate_limit: None,
        concurrency: NonZeroUsize::MIN,
        breaker: None,
        retry: RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        },
        per_key: None,
    }
}

/// The sources of a pipeline that can be fed, by name.
pub fn sources(pipeline: &Pipeline) -> Vec<String> {
    let names = pipeline.sources.iter();
    names.map(|source| source.name.to_string()).collect()
}

/// What feeds which source: `SOURCE=FILE`, or just a file where there is only one source.
///
/// # Errors
/// In words: there is no such source, or it is not clear which is meant.
pub fn inputs(said: &[String], sources: &[String]) -> Result<Vec<(String, Input)>, String> {
    let known = sources.join("`, `");
    let mut inputs: Vec<(String, Input)> = Vec::new();
    for said in said {
        // A name of a source before the first `=`; a path may hold one too.
        let named = said
            .split_once('=')
            .filter(|(name, _)| sources.iter().any(|source| source == name));
        let (name, path) = match (named, sources) {
            (Some((name, path)), _) => (name.to_owned(), path),
            (None, [only]) => (only.clone(), said.as_str()),
            (None, []) => return Err("the pipeline has no source that is switched on".to_owned()),
            (None, _) => {
                return Err(format!(
                    "the pipeline has several sources: say `SOURCE=FILE`, of `{known}`"
                ));
            }
        };
        if inputs.iter().any(|(other, _)| *other == name) {
            return Err(format!("the source `{name}` is fed twice"));
        }
        inputs.push((name, Input::File(PathBuf::from(path))));
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests;

//! What a component is given when it is built into a pipeline, and what the engine asks of it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::rehearsal::{Front, Fronted, Recorder, Records};
use super::{
    Books, DeadLetter, KeyedPolicy, LetterBox, Limits, Outputs, Probing, RetryPolicy, StackPolicy,
    Survey, Transformed, split_node, stack,
};
use crate::event::{Path, PathSet};
use crate::failure::Failure;
use crate::observe::{NodeMeter, Progress, Triggers, Views};
use crate::stage::{OpenSource, Phase, Sink, Split, Stage, Transform};
use crate::state::{Store, Table};

/// Visits every path of a component's configuration, so that the compiler can intern it.
pub type VisitPaths<'a> = &'a mut dyn FnMut(&mut Path);

/// A source that was checked and can be opened.
pub trait SourcePart: Send {
    /// Shows its paths.
    fn paths(&mut self, _: VisitPaths<'_>) {}
    /// Whether what was not answered comes again after a crash of the process.
    fn replays(&self) -> Replays;
    /// Whether whoever reads it has a buffer on disk where the file says nothing of one: nobody can be
    /// asked for its events again, and they are worth the fsync.
    fn wants_durable(&self) -> bool {
        false
    }
    /// Whether it reads the simulated platform of the run.
    fn wants_simulator(&self) -> bool {
        false
    }
    /// Connects and looks, without taking or changing anything, and tells what it found; none where
    /// there is nothing to look at.
    fn probe(&self) -> Probing<'_> {
        Box::pin(futures::future::ready(Vec::new()))
    }
    /// What it would read, where it reads objects that can be listed.
    fn survey(&self) -> BoxFuture<'_, Result<Option<Survey>, Failure>> {
        Box::pin(futures::future::ready(Ok(None)))
    }
    /// Where its records have their own time: the first of these that holds one. None where its
    /// settings do not say.
    fn event_time(&self) -> &[Path] {
        &[]
    }
    /// The same source, reading this file or folder once and nothing else; none where it reads no files.
    fn fed_from(&self, _: &std::path::Path) -> Option<Box<dyn SourcePart>> {
        None
    }
    /// How to open its connection; does not connect yet.
    fn build(self: Box<Self>, context: SourceContext) -> OpenSource;
}

/// What a source can do about events that had no answer when the process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replays {
    /// It reads them again, from its checkpoint; from the beginning where the state is in memory.
    Again,
    /// They are gone, for this reason (a clause such as "the pipe is gone").
    Gone(&'static str),
}

/// What becomes of events that a sink answered with `Ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// They are thrown away.
    Nothing,
    /// The next start empties the sink.
    UntilRestart,
    /// They stay.
    Lasting {
        /// Why an event that is written twice leaves what it leaves when it is written once; `None`
        /// where it is there twice.
        idempotent: Option<&'static str>,
        /// How far they stay, where that is not all the way (a clause for people).
        limit: Option<&'static str>,
    },
}

/// A transform that was checked and can be built.
pub trait TransformPart: Send {
    /// Shows its paths.
    fn paths(&mut self, _: VisitPaths<'_>) {}
    /// Whether it keeps events back until others come. Batches then reach it in the turn in which
    /// they were handed over, so that the end of the input finds all of them there.
    fn holds(&self) -> bool {
        false
    }
    /// Fetches what it needs before it is built: from another system, if it must be. Called once, also
    /// where there are several lanes, with the table that all of them have.
    fn prepare<'a>(&'a mut self, _: &'a Table) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(futures::future::ready(Ok(())))
    }
    /// From now on it connects to nothing: what it would fetch or ask of another system it goes
    /// without. Says what is otherwise then, in a sentence; none where nothing is.
    fn stay_home(&mut self) -> Option<&'static str> {
        None
    }
    /// How many keys another start at this time (milliseconds since 1970) would find in the table that all
    /// of its lanes have; `None` where it remembers none by key.
    ///
    /// # Errors
    /// Fatal when the state store cannot be read.
    fn remembered(&self, _: &Table, _now: u64) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
    /// Builds the node in front of its outputs; behind a partitioned edge once for each lane.
    ///
    /// # Errors
    /// When its state cannot be read.
    fn build(&self, context: TransformContext) -> Result<Stage, Failure>;
}

/// Where what a sink has written can be read again.
#[derive(Clone)]
pub enum Resting {
    /// In this file, as JSON lines.
    File(std::path::PathBuf),
    /// In a queue, one JSON object in a message.
    Queue(Arc<dyn Queued>),
}

/// A queue whose messages can be looked at and taken away one by one. All calls block.
pub trait Queued: Send + Sync {
    /// Its name for people, which no other queue has.
    fn name(&self) -> String;
    /// The bodies that lie there, in order, up to a bound; they stay.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self) -> Result<Vec<Vec<u8>>, Failure>;
    /// Takes away those of which `gone` says so; says how many.
    ///
    /// # Errors
    /// When it cannot be read; some may be gone then.
    fn remove(&self, gone: &dyn Fn(&[u8]) -> bool) -> Result<u64, Failure>;
}

/// What a person may want to read of a sink that speaks SQL before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script<'a> {
    /// The statements that make its tables.
    Ddl {
        /// With a role of this name that can read them and do nothing else.
        role: Option<&'a str>,
    },
    /// The statements with which it writes.
    Statements,
}

/// A sink that was checked and can be built.
pub trait SinkPart: Send {
    /// Where its events lie as they came, if they can be read and taken out again.
    fn rests(&self) -> Option<Resting> {
        None
    }
    /// Shows its paths.
    fn paths(&mut self, _: VisitPaths<'_>) {}
    /// What becomes of what it answered, as it is configured.
    fn kept(&self) -> Kept;
    /// Writes at the same time where the file says nothing of `concurrency` and the sink has no
    /// partitions; batches of such a sink may overtake each other.
    fn calls(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }
    /// By what its limits are kept apart, where the file says nothing of `per_key`; default: not at all.
    fn apart(&self) -> Option<KeyedPolicy> {
        None
    }
    /// Whether it writes to the simulated platform of the run.
    fn wants_simulator(&self) -> bool {
        false
    }
    /// Tries of what fails for a passing reason, the first included, where the file says nothing of
    /// `retry`.
    fn attempts(&self) -> u32 {
        RetryPolicy::default().attempts
    }
    /// Connects and looks, without writing anything, and tells what it found; none where there is
    /// nothing to look at.
    fn probe(&self) -> Probing<'_> {
        Box::pin(futures::future::ready(Vec::new()))
    }
    /// What it will say to a database; none where there is none.
    fn script(&self, _: Script<'_>) -> Option<String> {
        None
    }
    /// Where the completeness ledger of a backfill is kept, if it is here.
    fn books(&self) -> Option<Arc<dyn Books>> {
        None
    }
    /// The sink with its last step left out: what it would send is left in `show`. Connects to nothing.
    /// Default: each event leaves as JSON.
    ///
    /// # Errors
    /// When even that cannot be opened.
    fn rehearse(
        self: Box<Self>,
        context: SinkContext,
        show: Recorder,
    ) -> BoxFuture<'static, Result<Stage, Failure>> {
        let stage = context.stack(Records {
            show,
            kind: "record",
        });
        Box::pin(futures::future::ready(Ok(stage)))
    }
    /// Opens the sink and puts the stack around it.
    ///
    /// # Errors
    /// When it cannot be opened (a folder that is not writable, a schema that does not fit).
    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>>;
}

/// For a source.
#[derive(Clone)]
pub struct SourceContext {
    /// The node's name.
    pub node: Arc<str>,
    /// All paths that the pipeline reads.
    pub paths: Arc<PathSet>,
    /// Holds its checkpoints.
    pub store: Store,
    /// What the progress bar shows.
    pub progress: Progress,
    /// Its counters, beyond what the engine counts: gaps, drift, figures of its own.
    pub meter: NodeMeter,
    /// The simulated platform of this run, where the pipeline has one and the source wants it.
    pub simulator: Option<Simulated>,
    /// Where it can be told to look for more at once.
    pub triggers: Triggers,
}

/// Where the simulated platform of a run is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// Such as `http://127.0.0.1:40123`: all hosts of the platform in one.
    pub url: String,
    /// Credentials that it takes.
    pub client_id: String,
    /// And their secret, which is none.
    pub client_secret: String,
    /// The Open Messaging integration that it has.
    pub integration: String,
}

/// The unnamed output of a transform.
pub const MAIN: &str = "";

/// Which of several instances of a node this is: behind an edge with `partition_by` each lane has
/// its own, with the state of its keys alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane {
    /// From 0.
    pub index: u32,
    /// How many there are; at least 1.
    pub of: u32,
}

impl Lane {
    /// The only one.
    pub const WHOLE: Lane = Lane { index: 0, of: 1 };
}

/// For a transform.
pub struct TransformContext {
    /// The node's name.
    pub node: Arc<str>,
    /// Its outputs by name ([`MAIN`] is the unnamed one); those that nobody reads are not there.
    pub outputs: HashMap<String, Stage>,
    /// For what it rejects.
    pub letters: LetterBox,
    /// Its counters.
    pub meter: NodeMeter,
    /// Its state.
    pub table: Table,
    /// The pipeline's state, for what several nodes share.
    pub store: Store,
    /// How far the pipeline is.
    pub phase: watch::Receiver<Phase>,
    /// Whether large batches may be worked on side by side: not in front of a node that holds.
    pub aside: bool,
    /// Which instance of the node it is.
    pub lane: Lane,
}

impl TransformContext {
    fn main(&mut self) -> Stage {
        self.outputs
            .remove(MAIN)
            .unwrap_or_else(|| nowhere(self.meter.clone()))
    }

    /// A plain transform.
    pub fn plain<T: Transform>(mut self, transform: T) -> Stage {
        let main = self.main();
        Stage::new(
            Transformed::new(transform, main, self.letters, self.meter).side_by_side(self.aside),
        )
    }

    /// A transform whose rejects go to the output of this name, if anybody reads it.
    pub fn with_rejects<T: Transform>(mut self, transform: T, output: &str) -> Stage {
        if let Some(stage) = self.outputs.remove(output) {
            self.letters = self.letters.routed_to(stage);
        }
        self.plain(transform)
    }

    /// A transform with the named outputs.
    pub fn split<S: Split>(mut self, split: S, names: &[String]) -> Stage {
        let outputs = names.iter().map(|name| self.outputs.remove(name)).collect();
        split_node(split, Outputs(outputs), self.meter)
    }

    /// A node that is a layer of its own: `layer` puts it in front of the output. What it rejects
    /// goes to the dead letters.
    pub fn layered(mut self, layer: impl FnOnce(Stage) -> Stage) -> Stage {
        let node = layer(self.main());
        Stage::new(DeadLetter::around_stage(node, self.letters, self.meter))
    }
}

/// For what nobody reads: counted as dropped.
fn nowhere(meter: NodeMeter) -> Stage {
    Stage::new(tower::service_fn(move |batch: crate::event::Batch| {
        meter.dropped("unrouted", batch.len() as u64);
        meter.ended(batch.events().iter().map(|event| event.origin));
        futures::future::ready(Ok(()))
    }))
}

/// For a sink.
pub struct SinkContext {
    /// The node's name.
    pub node: Arc<str>,
    /// What is put around it.
    pub policy: StackPolicy,
    /// For what it rejects.
    pub letters: LetterBox,
    /// Its counters.
    pub meter: NodeMeter,
    /// Its state, for sinks that are views.
    pub table: Table,
    /// Where views are published, to be served over HTTP.
    pub views: Views,
    /// Holds what it has to know after a crash and cannot wait with until a delivery is settled.
    pub store: Store,
    /// Its outputs by name; those that nobody reads are not there.
    pub outputs: HashMap<String, Stage>,
    /// The simulated platform of this run, where the pipeline has one and the sink wants it.
    pub simulator: Option<Simulated>,
    /// What a rehearsal has in front of its last step; none in a run.
    pub front: Option<Arc<dyn Front>>,
}

impl SinkContext {
    /// Puts the stack around the sink.
    pub fn stack<S: Sink>(self, sink: S) -> Stage {
        self.stack_with(sink, ())
    }

    /// The same, where keys have limits of their own.
    pub fn stack_with<S: Sink>(self, sink: S, limits: impl Limits + 'static) -> Stage {
        match self.front {
            None => stack(sink, self.policy, limits, self.letters, self.meter),
            Some(front) => {
                let inner = sink;
                let sink = Fronted { inner, front };
                stack(sink, self.policy, limits, self.letters, self.meter)
            }
        }
    }
}

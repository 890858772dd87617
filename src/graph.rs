//! A checked pipeline and the services it is folded into.
//!
//! [`check`](check::check) turns a spanned tree into a [`Pipeline`] and finds every mistake on the
//! way; [`run`](run::run) folds it from the sinks back to the sources and drives it. Whatever wants
//! a pipeline with other ends (a test, an embedding program) puts its own parts into the nodes.

mod alerts;
mod assembly;
pub mod backfill;
mod buffer;
pub mod check;
mod common;
mod components;
pub mod draw;
mod enabled;
pub mod encryption;
mod flow;
mod interface;
mod off;
mod otlp;
pub mod outline;
mod print;
pub mod probe;
pub mod promise;
mod pump;
pub mod rehearsal;
pub mod replay;
mod roots;
pub mod run;
pub mod schema;
mod sections;
mod simulated;
mod storage;
pub mod svg;
pub mod trial;

use std::sync::Arc;
use std::time::Duration;

use crate::client::tenants::Tenants;
use crate::edge::EdgePolicy;
use crate::layer::{Backoff, SinkPart, SourcePart, StackPolicy, TransformPart};
use crate::seal::Keyring;

pub use alerts::AlertWebhook;
pub use components::Components;
pub use enabled::Enabled;
pub use interface::Interface;
pub use otlp::OtlpExport;
pub use print::Print;
pub use pump::PumpPolicy;
pub use simulated::Platform;

/// A pipeline that was checked: it can be built, drawn and run.
pub struct Pipeline {
    /// Its name, also in metrics and the ledger.
    pub name: Arc<str>,
    /// Sources, in the order of the file.
    pub sources: Vec<SourceNode>,
    /// Transforms, every one after those it reads.
    pub transforms: Vec<TransformNode>,
    /// Sinks, in the order of the file.
    pub sinks: Vec<SinkNode>,
    /// Where rejected events of nodes go that have no dead letters of their own.
    pub dead_letter: Option<DeadLetterNode>,
    /// Masks dead letters.
    pub redact: Arc<dyn crate::layer::Redact>,
    /// The simulated platform that some component speaks to; none where none asks for one.
    pub simulator: Option<Platform>,
    /// Who sends; none where no component asks.
    pub tenants: Option<Tenants>,
    /// Bounds on what is under way, and the deadline of a delivery.
    pub delivery: PumpPolicy,
    /// How long a drain may take before what is left is given up; default 30 s.
    pub grace: Duration,
    /// Where the state is kept.
    pub state: StateSetting,
    /// Keys for what rests on disk before the mask; `None`: it rests as it came.
    pub encryption: Option<Keyring>,
    /// Where metrics and health are served.
    pub api: Option<Interface>,
    /// Who is told of alerts, besides log and metric.
    pub alerts: Option<AlertWebhook>,
    /// Where metrics are sent, besides being there to be read.
    pub metrics: Option<OtlpExport>,
}

/// Where a pipeline keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateSetting {
    /// In memory: it does not survive a restart.
    Memory,
    /// In the embedded store in this folder.
    Embedded(std::path::PathBuf),
    /// In a Redis, shared by the workers of this pipeline.
    Redis(crate::state::Remote),
}

/// One output of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Input {
    /// The node that is read.
    pub node: String,
    /// Its output; empty for the unnamed one.
    pub output: String,
}

impl std::fmt::Display for Input {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.output.as_str() {
            "" => out.write_str(&self.node),
            output => write!(out, "{}.{output}", self.node),
        }
    }
}

/// A source in a pipeline.
pub struct SourceNode {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub component: &'static str,
    /// What it is.
    pub part: Box<dyn SourcePart>,
    /// Waits between connections.
    pub reconnect: Backoff,
    /// Where its refused records go, instead of the pipeline's dead letters.
    pub dead_letter: Option<DeadLetterNode>,
    /// Tells whether a reload has to build it anew.
    pub print: Print,
}

/// A transform in a pipeline.
pub struct TransformNode {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub component: &'static str,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// Whether it does what it is there for.
    pub enabled: Enabled,
    /// The edge in front of it; `None`: it is called directly.
    pub buffer: Option<EdgePolicy>,
    /// What it is.
    pub part: Box<dyn TransformPart>,
    /// Where its rejects go, instead of the pipeline's dead letters.
    pub dead_letter: Option<DeadLetterNode>,
    /// Tells whether a reload has to build it anew.
    pub print: Print,
}

/// A sink in a pipeline.
pub struct SinkNode {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub component: &'static str,
    /// Whether it does what it is there for.
    pub enabled: Enabled,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// The edge in front of it: a sink always has one.
    pub buffer: EdgePolicy,
    /// What is put around it.
    pub policy: StackPolicy,
    /// What it is.
    pub part: Box<dyn SinkPart>,
    /// Where its rejects go, instead of the pipeline's dead letters.
    pub dead_letter: Option<DeadLetterNode>,
    /// Tells whether a reload has to build it anew.
    pub print: Print,
}

/// Where dead letters are kept: a sink without dead letters of its own.
pub struct DeadLetterNode {
    /// Its type.
    pub component: &'static str,
    /// What it is.
    pub part: Box<dyn SinkPart>,
    /// What is put around it.
    pub policy: StackPolicy,
    /// Tells whether a reload has to build it anew.
    pub print: Print,
}

//! Tests of a pipeline, as they stand in its file below `tests:`.
//!
//! ```yaml
//! tests:
//!   - name: a repeat is written once
//!     input: { orders: [ { id: a }, { id: a } ] }
//!     expect:
//!       unique: { exactly: [ { id: a } ] }
//!       warehouse: { count: 1 }
//! ```
//!
//! A test is a [rehearsal](super::rehearsal) that is told what to do: sources are fed with the test's
//! events at its [steps](Step), the clock moves when it says so, a sink is [down or slow](Fault) where it
//! says so, behind all that really stands around it, and what every node handed on is seen. A run knows
//! nothing of them: they are checked with the file, and that is all.

mod expect;
mod feed;
mod judge;
mod pattern;
mod play;
mod read;
mod tap;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::condition::Condition;
use crate::diagnostic::Span;

pub use expect::{ByReason, Expect, Figures, Letters, NodeExpect, Stream, Things};
pub use judge::{Line, Problem, Sign, Verdict};
pub use pattern::Pattern;
pub use play::play;
pub(super) use read::read;

/// When a test begins that does not say so.
pub const START: &str = "2026-01-01T00:00:00Z";
/// Events that a test is given, and things that are kept of each node, at most.
pub const EVENTS: usize = 10_000;

/// One test of a pipeline.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What it is about.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// The time of day at which it begins; default [`START`].
    pub at: Timestamp,
    /// Variables that the file has for this test before all others; one without a value is not set.
    pub variables: Vec<(String, Option<String>)>,
    /// What is given before the first step.
    pub input: Vec<Given>,
    /// What happens, one after the other; `None`: the input ends, and that is all.
    pub steps: Option<Vec<Step>>,
    /// What has come of it at the end.
    pub expect: Expect,
}

/// What a source is given at once.
#[derive(Clone, Debug)]
pub struct Given {
    /// The source.
    pub source: String,
    /// Its events.
    pub gift: Gift,
}

/// Events, or where they are.
#[derive(Clone, Debug)]
pub enum Gift {
    /// As they leave the source.
    Events(Vec<Value>),
    /// In a file, folder or pattern, relative to the pipeline's file.
    File(PathBuf),
}

/// One thing that happens in a test.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sources are given something. What can be done with it without time passing is done.
    Send(Vec<Given>),
    /// Time passes.
    Advance(Duration),
    /// Sinks behave in another way from now on.
    Sinks(Vec<(String, Fault)>),
    /// The pipeline is stopped and started again, with the state that it keeps.
    Restart,
    /// The input ends; at the end of the test everything is awaited.
    End,
}

/// How a sink behaves.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    /// It cannot be reached.
    pub down: bool,
    /// It takes so long for each write.
    pub slow: Option<Duration>,
    /// It refuses these events for good.
    pub rejects: Option<Condition>,
}

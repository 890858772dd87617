//! What a component finds out about the system that it is to talk to, before anything runs.

use futures::future::BoxFuture;

/// One thing that a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub grade: Grade,
    /// A sentence for people. Without credentials and personal data.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As it should be.
    Good,
    /// It could not be found out, with the reason.
    Unknown,
    /// It works, but a person should know.
    Warning,
    /// The pipeline could not run.
    Error,
}

impl Finding {
    /// With this grade.
    pub fn new(grade: Grade, message: impl Into<String>) -> Self {
        Self {
            grade,
            message: message.into(),
        }
    }
}

/// A probe under way: it connects, writes nothing, and never fails but says what it met.
pub type Probing<'a> = BoxFuture<'a, Vec<Finding>>;

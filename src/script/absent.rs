//! What stands in for programs in a build without the feature `remap`: there is none.

use std::convert::Infallible;

use super::{CODE, Halt, Purpose, Ran, Source};
use crate::clock::Wall;
use crate::diagnostic::{Report, Span};
use crate::event::{Event, Path};

/// A compiled program.
#[derive(Clone, Debug)]
pub struct Script(Infallible);

/// A program at work.
pub struct Runner<'s>(&'s Infallible);

/// A time zone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zone(());

impl Zone {
    /// Any.
    pub fn parse(_: &str) -> Option<Self> {
        Some(Self(()))
    }
}

impl Script {
    /// Refuses every program.
    pub fn compile(source: Source<'_>, _: Purpose, _: Zone, report: &mut Report) -> Option<Self> {
        let span = match source {
            Source::Inline(node) => node.span,
            Source::File { .. } => Span::start(),
        };
        let message = "this build has no VRL: it was made without the feature `remap`";
        report.error(CODE, span, message);
        None
    }

    /// Shows every path.
    pub fn paths(&mut self, _: &mut dyn FnMut(&mut Path)) {
        match self.0 {}
    }

    /// Does it hold for this event?
    pub fn holds(&self, _: &Event) -> bool {
        match self.0 {}
    }

    /// To run it on several events.
    pub fn runner<'s>(&'s self, _: &Wall) -> Runner<'s> {
        Runner(&self.0)
    }
}

impl Runner<'_> {
    /// Runs it on one event.
    ///
    /// # Errors
    /// Never: there is no program.
    pub fn run(&mut self, _: &mut Event) -> Result<Ran, Halt> {
        match *self.0 {}
    }
}

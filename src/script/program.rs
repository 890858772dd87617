//! A compiled program, and running it.

use std::fmt;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use vrl::compiler::runtime::{Runtime, Terminate};
use vrl::compiler::state::RuntimeState;
use vrl::compiler::{Program, TimeZone};
use vrl::value::Value;

use super::target::{Body, Root, roots};
use super::{Halt, Purpose, Ran, STEPS, Source, compile, outcome};
use crate::clock::Wall;
use crate::diagnostic::Report;
use crate::event::{Event, Kind, Path};

/// A time zone: that of times which do not say theirs. By default UTC.
#[derive(Clone, Copy, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// By its name in the IANA database, such as `Europe/Berlin`.
    pub fn parse(name: &str) -> Option<Self> {
        // VRL reads nothing and `local` as the machine's, which is another on each machine.
        let named = TimeZone::parse(name)?;
        matches!(named, TimeZone::Named(_)).then_some(Self(named))
    }
}

impl Default for Zone {
    fn default() -> Self {
        // `UTC` is in every database; the machine's zone would stand in for it otherwise.
        Self(TimeZone::parse("UTC").unwrap_or_default())
    }
}

/// A program that compiles. Clones share it.
#[derive(Clone)]
pub struct Script {
    program: Arc<Program>,
    roots: Vec<Root>,
    zone: Zone,
}

/// A program at work on several events, one after the other.
pub struct Runner<'s> {
    script: &'s Script,
    runtime: Runtime,
    wall: Wall,
}

const NO_OBJECT: &str = "the event is no object";

impl Script {
    /// Compiles a program; every mistake goes into the report, at its place.
    pub fn compile(
        source: Source<'_>,
        purpose: Purpose,
        zone: Zone,
        report: &mut Report,
    ) -> Option<Self> {
        let program = compile::compile(source, purpose, report)?;
        let info = program.info();
        let named = info.target_queries.iter().chain(&info.target_assignments);
        Some(Self {
            roots: roots(named),
            program: Arc::new(program),
            zone,
        })
    }

    /// Shows the paths that it names, so that they can be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        self.roots.iter_mut().for_each(|root| visit(&mut root.path));
    }

    /// Does it hold for this event? Not for one that is no object, or that VRL cannot hold.
    pub fn holds(&self, event: &Event) -> bool {
        if event.body().kind() != Kind::Object {
            return false;
        }
        let wall = Wall::real();
        let mut body = Body::new(event, &self.roots, &wall);
        let mut runtime = Runtime::new(RuntimeState::default());
        let answer = self.resolve(&mut runtime, &mut body);
        let (_, losses) = body.finish();
        losses.refused.is_none() && matches!(answer, Ok(Value::Boolean(true)))
    }

    /// To run it on several events.
    pub fn runner(&self, wall: &Wall) -> Runner<'_> {
        Runner {
            script: self,
            runtime: Runtime::new(RuntimeState::default()),
            wall: wall.clone(),
        }
    }

    fn resolve(&self, runtime: &mut Runtime, body: &mut Body<'_>) -> Result<Value, Terminate> {
        let mut left = STEPS;
        let mut control = || match left.checked_sub(1) {
            Some(fewer) => {
                left = fewer;
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        };
        let run = || runtime.resolve_with_control(body, &self.program, &self.zone.0, &mut control);
        // A mistake in one of VRL's functions is the end of this event's way, and not of its batch:
        // that would be delivered again, and fail again. What is left of the run is thrown away.
        panic::catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Err(Terminate::Error("VRL panicked".into())))
    }
}

impl Runner<'_> {
    /// Runs it on one event, and lays over the event what it changed.
    ///
    /// # Errors
    /// When the program aborts, fails, or leaves what is no event. The event is as it was.
    pub fn run(&mut self, event: &mut Event) -> Result<Ran, Halt> {
        let failed = |why: &str| Halt::Failed(why.to_owned());
        if event.body().kind() != Kind::Object {
            return Err(failed(NO_OBJECT));
        }
        let mut body = Body::new(event, &self.script.roots, &self.wall);
        let answer = self.script.resolve(&mut self.runtime, &mut body);
        let (left, losses) = body.finish();
        // Variables are of one event.
        self.runtime.clear();
        if let Some(why) = losses.refused {
            return Err(failed(why));
        }
        answer.map_err(halt)?;
        let ran = outcome::apply(event, &left, &self.script.roots, &losses.numbers);
        ran.map_err(failed)
    }
}

fn halt(why: Terminate) -> Halt {
    use vrl::compiler::ExpressionError::Abort;
    match why {
        Terminate::Interrupted => Halt::Failed(format!("it takes more than {STEPS} steps")),
        Terminate::Abort(Abort { message, .. }) => Halt::Aborted(message),
        Terminate::Abort(error) | Terminate::Error(error) => Halt::Failed(error.to_string()),
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Script({} roots)", self.roots.len())
    }
}

//! Programs in VRL (the Vector Remap Language): compiled when a file is checked, run on events.
//!
//! VRL knows the type of every expression before an event is seen, and what can fail has to be handled;
//! what it finds is told at its own place in the file, all of it at once.
//!
//! # What a program sees
//!
//! `.` is the event's body, of which only those members are converted that the program names. `%` is what
//! is known of an event besides its body ([`Meta`](crate::event::Meta)), read-only. `now()` is the clock
//! of the run, and one time for all of an event. Functions that reach outside of the event (network,
//! environment, files, log) are not offered, nor those that a hostile value lets grow without bound
//! (decompression, XML): each is refused by name, with its reason. Random ones (`uuid_v4`,
//! `random_int`…) are offered; a program with them says something else each time.
//!
//! # What it leaves
//!
//! What a program did not change leaves as it came, letter by letter: changes are found by comparing, and
//! laid over the event member by member. A number that VRL cannot hold (an integer beyond 64 bits, more
//! digits than a float has) is a float in the program and keeps its text when it is moved or copied; two
//! of them that became the same float cannot be told apart, and an event that would have one written is
//! refused. So is one with a member twice in what the program reads, with bytes that are no text, or
//! whose result is too large.
//!
//! # What bounds it
//!
//! VRL has no loops but over the elements of a value, so a program's work is bounded by its length and
//! the event's; beyond that it is cut off after [`STEPS`] expressions. The text of a program is bounded
//! by [`SOURCE_BYTES`] and the depth of its expressions.
//!
//! All of this is in builds with the feature `remap`; others refuse a file that has a program.

use crate::event::Event;
use crate::setting::{Node, Written};

#[cfg(not(feature = "remap"))]
mod absent;
#[cfg(feature = "remap")]
mod compile;
#[cfg(feature = "remap")]
mod functions;
#[cfg(feature = "remap")]
mod metadata;
#[cfg(feature = "remap")]
mod nesting;
#[cfg(feature = "remap")]
mod number;
#[cfg(feature = "remap")]
mod outcome;
#[cfg(feature = "remap")]
mod program;
#[cfg(feature = "remap")]
mod target;
#[cfg(feature = "remap")]
mod tell;
#[cfg(all(test, feature = "remap"))]
mod tests;
#[cfg(feature = "remap")]
mod write;

#[cfg(not(feature = "remap"))]
pub use absent::{Runner, Script, Zone};
#[cfg(feature = "remap")]
pub use program::{Runner, Script, Zone};

/// Longest program, in bytes.
pub const SOURCE_BYTES: usize = 64 << 10;

/// Expressions that a program may evaluate for one event, those in closures counted each time.
pub const STEPS: u64 = 1_000_000;

/// The code of what is wrong with a program.
const CODE: &str = "vrl";

/// A program's text, and where it stands.
#[derive(Clone, Copy)]
pub enum Source<'s> {
    /// In a scalar of the pipeline file.
    Inline(&'s Node),
    /// In a file of its own, which the report is about.
    File {
        /// All of it.
        text: &'s str,
        /// Its lines.
        written: &'s Written,
    },
}

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It may change the event.
    Change,
    /// It answers `true` or `false`: typed boolean, cannot fail, and changes nothing.
    Ask,
}

/// What became of an event.
#[derive(Debug)]
pub enum Ran {
    /// It is as it was.
    Same,
    /// It was changed.
    Changed,
    /// `.` was made a list: these instead, of the same origin, its parts numbered from 1. May be empty.
    Several(Vec<Event>),
}

/// Why there is no outcome. The event is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// The program said `abort`; with its message, which may hold values of the event.
    Aborted(Option<String>),
    /// Something failed that the program lets fail (`!`), or the result is none; in words that may
    /// hold values of the event.
    Failed(String),
}

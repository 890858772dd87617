//! Dead letters that rest somewhere: read, chosen, opened, taken up again and removed.
//!
//! What a letter looks like is said where letters are written, in [`crate::layer`]. A place where
//! they lie is a [`Shelf`]; a file of JSON lines is one, a queue another. A letter is removed by its
//! [`Mark`], a hash of its line: whoever changes a file meanwhile changes other lines.
//!
//! **A letter leaves its shelf only when it is settled.** A replay hands its event to the node that
//! refused it, and removes the letter after the answer: delivered, dropped by a rule, or in the dead
//! letters anew, where the new letter has the attempts and the first time of the old one. A crash in
//! between leaves the letter where it was.

mod file;
mod filter;
mod kept;
mod outcomes;
mod queue;
mod replay;

use std::collections::HashSet;
use std::fmt;

use crate::failure::Failure;

pub use file::LetterFile;
pub use filter::{Filter, parse_when};
pub use kept::{Kept, Place, Reveal};
pub use outcomes::{Outcomes, Tally};
pub use queue::LetterQueue;
pub use replay::{Replaying, Taken, take};

/// Tells one line of a shelf from any other; equal lines are one letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark([u8; 16]);

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// What lies on a shelf.
pub enum Found {
    /// A dead letter.
    Letter(Box<Kept>),
    /// A line that is none, by its number from 1. It is left alone.
    Other(u64),
}

/// What is on a shelf when it is opened, in the order in which it was put there.
pub type Letters = Box<dyn Iterator<Item = Result<Found, Failure>> + Send>;

/// A place where dead letters lie. New ones are put there by the pipeline itself, also the one that
/// takes the place of another: it is written before the old one is removed.
pub trait Shelf: Send + Sync {
    /// Its name for people.
    fn name(&self) -> String;

    /// Opens it for reading.
    ///
    /// # Errors
    /// When it cannot be read. One that does not exist yet is empty.
    fn letters(&self) -> Result<Letters, Failure>;

    /// Removes these letters and no others; says how many. Blocks.
    ///
    /// # Errors
    /// When they are still there: nothing was changed then.
    fn remove(&self, gone: &HashSet<Mark>) -> Result<u64, Failure>;
}

//! The sink `blackhole`: takes everything and keeps nothing. For dry runs and for measuring what
//! comes before it.

mod about;

pub use about::ABOUT;

use crate::event::Batch;
use crate::failure::Failure;
use crate::setting::Fields;
use crate::stage::Sink;

/// The settings of a sink of type `blackhole`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config;

impl Config {
    /// Reads the fields, of which there are none.
    pub fn check(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self)
    }
}

/// Answers `Ok` at once; nothing is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blackhole;

impl Sink for Blackhole {
    async fn write(&self, _: Batch) -> Result<(), Failure> {
        Ok(())
    }
}

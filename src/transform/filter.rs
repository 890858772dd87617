//! `filter`: keeps the events for which a condition holds.
//!
//! ```yaml
//! calls: { type: filter, inputs: [x], where: { path: .type, equals: call } }
//! ```

mod about;

pub use about::ABOUT;

use std::sync::Arc;

use crate::condition::Condition;
use crate::event::{Batch, Path};
use crate::failure::Failure;
use crate::setting::Fields;
use crate::stage::{Applied, Transform};

/// Why an event was dropped, in the ledger.
const REASON: &str = "filtered";

/// The settings: one condition, `where`.
#[derive(Clone, Debug)]
pub struct Config {
    condition: Condition,
}

impl Config {
    /// Reads the settings; every mistake goes into the report.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let condition = fields.required("where")?;
        Some(Self { condition })
    }

    /// Shows every path, so that it can be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        self.condition.paths(visit);
    }

    /// The transform itself.
    pub fn open(self) -> Filter {
        Filter(Arc::new(self.condition))
    }
}

/// Drops, with the reason `filtered`, the events for which the condition does not hold.
#[derive(Clone, Debug)]
pub struct Filter(Arc<Condition>);

impl Transform for Filter {
    async fn apply(&self, mut batch: Batch) -> Result<Applied, Failure> {
        let fails = |event| !self.0.holds(event);
        // A batch that passes as a whole is not touched, shared or not.
        let Some(first) = batch.events().iter().position(fails) else {
            return Ok(batch.into());
        };
        let before = batch.len();
        let mut index = 0;
        batch.make_mut().retain(|event| {
            let keep = index < first || (index > first && self.0.holds(event));
            index += 1;
            keep
        });
        let dropped = vec![(REASON, (before - batch.len()) as u64)];
        Ok(Applied {
            batch,
            dropped,
            ..Applied::default()
        })
    }
}

#[cfg(test)]
mod tests;

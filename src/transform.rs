//! What happens to events on their way. One file each; they never import each other.

pub mod causal_reorder;
pub mod dedup;
pub mod filter;
pub mod genesys_normalize;
pub mod map;
pub mod pii_mask;
pub mod route;
pub mod schema_validate;

use std::future::ready;
use std::path::Path as FilePath;

use futures::future::BoxFuture;

use crate::failure::Failure;
use crate::layer::{TransformContext, TransformPart, VisitPaths};
use crate::setting::Fields;
use crate::stage::Stage;
use crate::state::Table;

/// The catalogue: every type of transform, by its name in a pipeline file.
pub const KINDS: &[&str] = &[
    "causal_reorder",
    "dedup",
    "filter",
    "genesys_normalize",
    "map",
    "pii_mask",
    "route",
    "schema_validate",
];

/// A transform as a pipeline file says it.
pub enum Config {
    /// Puts the events of a conversation in causal order.
    CausalReorder(causal_reorder::Config),
    /// Drops repeats.
    Dedup(dedup::Config),
    /// Keeps what a condition holds for.
    Filter(filter::Config),
    /// Makes participant events of what Genesys Cloud sends.
    GenesysNormalize(genesys_normalize::Config),
    /// Makes records of another shape.
    Map(map::Config),
    /// Masks personal data.
    PiiMask(pii_mask::Config),
    /// Sends each event to one of several outputs.
    Route(route::Config),
    /// Checks and coerces.
    SchemaValidate(schema_validate::Config),
}

/// The output of `schema_validate` for events that the schema refuses.
const INVALID: &str = "invalid";

impl Config {
    /// Reads the fields of a type of [`KINDS`]. Reports every mistake; touches nothing but files
    /// that the settings name, which lie relative to `base`.
    pub fn check(kind: &str, fields: &mut Fields<'_>, base: &FilePath) -> Option<Self> {
        match kind {
            "causal_reorder" => causal_reorder::Config::check(fields).map(Self::CausalReorder),
            "filter" => filter::Config::check(fields).map(Self::Filter),
            "genesys_normalize" => {
                genesys_normalize::Config::check(fields).map(Self::GenesysNormalize)
            }
            "map" => map::Config::check(fields).map(Self::Map),
            "route" => route::Config::check(fields).map(Self::Route),
            "dedup" => dedup::Config::check(fields).map(Self::Dedup),
            "pii_mask" => pii_mask::Config::check(fields).map(Self::PiiMask),
            "schema_validate" => {
                schema_validate::Config::check(fields, base).map(Self::SchemaValidate)
            }
            _ => None,
        }
    }

    /// Whether it has an unnamed output, and the names of its others.
    pub fn outputs(&self) -> (bool, Vec<String>) {
        match self {
            Self::SchemaValidate(_) => (true, vec![INVALID.into()]),
            Self::Route(config) => (false, config.outputs()),
            _ => (true, Vec::new()),
        }
    }
}

impl TransformPart for Config {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        match self {
            Self::CausalReorder(config) => config.paths(visit),
            Self::Dedup(config) => config.paths(visit),
            Self::Filter(config) => config.paths(visit),
            Self::GenesysNormalize(config) => config.paths(visit),
            Self::Map(config) => config.paths(visit),
            Self::Route(config) => config.paths(visit),
            Self::PiiMask(config) => config.paths(visit),
            Self::SchemaValidate(config) => config.paths(visit),
        }
    }

    fn prepare<'a>(&'a mut self, table: &'a Table) -> BoxFuture<'a, Result<(), Failure>> {
        match self {
            Self::CausalReorder(config) => Box::pin(config.prepare(table)),
            _ => Box::pin(ready(Ok(()))),
        }
    }

    fn holds(&self) -> bool {
        matches!(self, Self::CausalReorder(_))
    }

    fn build(&self, context: TransformContext) -> Result<Stage, Failure> {
        Ok(match self {
            Self::CausalReorder(config) => {
                let (table, meter) = (context.table.clone(), context.meter.clone());
                let (phase, lane) = (context.phase.clone(), context.lane);
                let reorder =
                    causal_reorder::CausalReorder::open(config, table, meter, phase, lane)?;
                context.layered(|inner| reorder.layer(inner))
            }
            Self::Filter(config) => context.plain(config.clone().open()),
            Self::GenesysNormalize(config) => {
                let normalize = config.clone().open(context.meter.clone());
                context.plain(normalize)
            }
            Self::Map(config) => context.plain(config.clone().open()),
            Self::Route(config) => {
                let outputs = config.outputs();
                context.split(config.clone().open(), &outputs)
            }
            Self::Dedup(config) => {
                let (table, meter) = (context.table.clone(), context.meter.clone());
                let dedup = dedup::Dedup::open(config, table, meter, context.lane)?;
                context.layered(|inner| dedup.layer(inner))
            }
            Self::PiiMask(config) => context.plain(config.clone().open()),
            Self::SchemaValidate(config) => context.with_rejects(config.clone().open(), INVALID),
        })
    }
}

//! What happens to events on their way. One file each; they never import each other.

pub mod causal_reorder;
pub mod dedup;
pub mod delivery_receipt;
pub mod filter;
pub mod genesys_normalize;
pub mod map;
pub mod pii_mask;
pub mod plugin;
pub mod remap;
pub mod route;
pub mod schema_validate;

use std::future::ready;
use std::path::Path as FilePath;

use futures::future::BoxFuture;

use crate::failure::Failure;
use crate::layer::{TransformContext, TransformPart, VisitPaths};
use crate::plugin::Engine;
use crate::setting::{About, Fields};
use crate::stage::Stage;
use crate::state::Table;

/// The catalogue: every type of transform, by its name in a pipeline file.
pub const KINDS: &[&str] = &[
    "causal_reorder",
    "dedup",
    "delivery_receipt",
    "filter",
    "genesys_normalize",
    "map",
    "pii_mask",
    "plugin",
    "remap",
    "route",
    "schema_validate",
];

/// What the fields of a type mean.
pub fn about(kind: &str) -> &'static [About] {
    match kind {
        "causal_reorder" => causal_reorder::ABOUT,
        "dedup" => dedup::ABOUT,
        "delivery_receipt" => delivery_receipt::ABOUT,
        "filter" => filter::ABOUT,
        "genesys_normalize" => genesys_normalize::ABOUT,
        "map" => map::ABOUT,
        "pii_mask" => pii_mask::ABOUT,
        "plugin" => plugin::ABOUT,
        "remap" => remap::ABOUT,
        "route" => route::ABOUT,
        "schema_validate" => schema_validate::ABOUT,
        _ => &[],
    }
}

/// A transform as a pipeline file says it.
pub enum Config {
    /// Puts the events of a conversation in causal order.
    CausalReorder(causal_reorder::Config),
    /// Drops repeats.
    Dedup(dedup::Config),
    /// Ties receipts to the messages that were sent.
    DeliveryReceipt(delivery_receipt::Config),
    /// Keeps what a condition holds for.
    Filter(filter::Config),
    /// Makes participant events of what Genesys Cloud sends.
    GenesysNormalize(genesys_normalize::Config),
    /// Makes records of another shape.
    Map(map::Config),
    /// Masks personal data.
    PiiMask(pii_mask::Config),
    /// Changes events by a program.
    Remap(remap::Config),
    /// What others have written.
    Plugin(plugin::Config),
    /// Sends each event to one of several outputs.
    Route(route::Config),
    /// Checks and coerces.
    SchemaValidate(schema_validate::Config),
}

/// The output of `schema_validate` for events that the schema refuses.
const INVALID: &str = "invalid";

impl Config {
    /// Reads the fields of a type of [`KINDS`]. Reports every mistake; touches nothing but files
    /// that the settings name, which lie relative to `base`. `engine` compiles plugins.
    pub fn check(
        kind: &str,
        fields: &mut Fields<'_>,
        base: &FilePath,
        engine: &Engine,
    ) -> Option<Self> {
        match kind {
            "causal_reorder" => causal_reorder::Config::check(fields).map(Self::CausalReorder),
            "filter" => filter::Config::check(fields).map(Self::Filter),
            "genesys_normalize" => {
                genesys_normalize::Config::check(fields).map(Self::GenesysNormalize)
            }
            "map" => map::Config::check(fields).map(Self::Map),
            "remap" => remap::Config::check(fields, base).map(Self::Remap),
            "route" => route::Config::check(fields).map(Self::Route),
            "dedup" => dedup::Config::check(fields).map(Self::Dedup),
            "delivery_receipt" => {
                delivery_receipt::Config::check(fields).map(Self::DeliveryReceipt)
            }
            "pii_mask" => pii_mask::Config::check(fields).map(Self::PiiMask),
            "plugin" => plugin::Config::check(fields, base, engine).map(Self::Plugin),
            "schema_validate" => {
                schema_validate::Config::check(fields, base).map(Self::SchemaValidate)
            }
            _ => None,
        }
    }

    /// What took time to check, and how long, for people.
    pub fn took(&self) -> Option<String> {
        match self {
            Self::Plugin(config) => Some(config.took()),
            _ => None,
        }
    }

    /// Whether it has an unnamed output, and the names of its others.
    pub fn outputs(&self) -> (bool, Vec<String>) {
        match self {
            Self::SchemaValidate(_) => (true, vec![INVALID.into()]),
            Self::Route(config) => (false, config.outputs()),
            Self::DeliveryReceipt(_) => (true, delivery_receipt::OUTPUTS.map(str::to_owned).into()),
            _ => (true, Vec::new()),
        }
    }
}

impl TransformPart for Config {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        match self {
            Self::CausalReorder(config) => config.paths(visit),
            Self::Dedup(config) => config.paths(visit),
            Self::DeliveryReceipt(config) => config.paths(visit),
            Self::Filter(config) => config.paths(visit),
            Self::GenesysNormalize(config) => config.paths(visit),
            Self::Map(config) => config.paths(visit),
            Self::Remap(config) => config.paths(visit),
            Self::Route(config) => config.paths(visit),
            Self::PiiMask(config) => config.paths(visit),
            Self::Plugin(_) => {}
            Self::SchemaValidate(config) => config.paths(visit),
        }
    }

    fn prepare<'a>(&'a mut self, table: &'a Table) -> BoxFuture<'a, Result<(), Failure>> {
        match self {
            Self::CausalReorder(config) => Box::pin(config.prepare(table)),
            _ => Box::pin(ready(Ok(()))),
        }
    }

    fn stay_home(&mut self) -> Option<&'static str> {
        match self {
            Self::CausalReorder(config) => config.stay_home(),
            Self::DeliveryReceipt(config) => config.stay_home(),
            Self::Plugin(config) => config.stay_home(),
            _ => None,
        }
    }

    fn holds(&self) -> bool {
        matches!(self, Self::CausalReorder(_))
    }

    fn remembered(&self, table: &Table, now: u64) -> Result<Option<u64>, Failure> {
        match self {
            Self::CausalReorder(_) => causal_reorder::Config::remembered(table).map(Some),
            Self::Dedup(config) => config.remembered(table, now).map(Some),
            _ => Ok(None),
        }
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
            Self::Remap(config) => config.build(context),
            Self::Route(config) => {
                let outputs = config.outputs();
                context.split(config.clone().open(), &outputs)
            }
            Self::Dedup(config) => {
                let (table, meter) = (context.table.clone(), context.meter.clone());
                let dedup = dedup::Dedup::open(config, table, meter, context.lane)?;
                context.layered(|inner| dedup.layer(inner))
            }
            Self::DeliveryReceipt(config) => config.build(context)?,
            Self::PiiMask(config) => context.plain(config.clone().open()),
            Self::Plugin(config) => config.build(context),
            Self::SchemaValidate(config) => context.with_rejects(config.clone().open(), INVALID),
        })
    }
}

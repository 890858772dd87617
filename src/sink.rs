//! Where events go.

pub mod activity;
pub mod blackhole;
pub mod file;
pub mod influxdb;
pub mod stdout;
pub mod warehouse;

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::failure::Failure;
use crate::layer::{
    Books, Kept, Probing, Resting, RetryPolicy, Script, SinkContext, SinkPart, VisitPaths,
};
use crate::setting::Fields;
use crate::stage::Stage;

/// The catalogue: every type of sink, by its name in a pipeline file.
pub const KINDS: &[&str] = &[
    "activity",
    "blackhole",
    "file",
    "influxdb",
    "stdout",
    "warehouse",
];

/// A sink as a pipeline file says it.
pub enum Config {
    /// Shows which interactions are active, and a heatmap, over HTTP.
    Activity(Box<activity::Config>),
    /// Takes everything and keeps nothing.
    Blackhole(blackhole::Config),
    /// Lines in a file.
    File(file::Config),
    /// Points in an InfluxDB.
    Influxdb(Box<influxdb::Config>),
    /// Lines on standard output.
    Stdout(stdout::Config),
    /// Tables, by UPSERT.
    Warehouse(Box<warehouse::Config>),
}

impl Config {
    /// Reads the fields of a type of [`KINDS`]. Pure: reports every mistake, touches nothing.
    pub fn check(kind: &str, fields: &mut Fields<'_>) -> Option<Self> {
        match kind {
            "activity" => activity::Config::check(fields)
                .map(Box::new)
                .map(Self::Activity),
            "blackhole" => blackhole::Config::check(fields).map(Self::Blackhole),
            "file" => file::Config::check(fields).map(Self::File),
            "influxdb" => influxdb::Config::check(fields)
                .map(Box::new)
                .map(Self::Influxdb),
            "stdout" => stdout::Config::check(fields).map(Self::Stdout),
            "warehouse" => warehouse::Config::check(fields)
                .map(Box::new)
                .map(Self::Warehouse),
            _ => None,
        }
    }
}

impl SinkPart for Config {
    fn rests(&self) -> Option<Resting> {
        match self {
            Self::File(config) => Some(Resting::File(config.path.clone())),
            Self::Activity(_)
            | Self::Blackhole(_)
            | Self::Influxdb(_)
            | Self::Stdout(_)
            | Self::Warehouse(_) => None,
        }
    }

    fn paths(&mut self, visit: VisitPaths<'_>) {
        match self {
            Self::Activity(config) => config.paths(visit),
            Self::Influxdb(config) => config.paths(visit),
            Self::Warehouse(config) => config.paths(visit),
            Self::Blackhole(_) | Self::File(_) | Self::Stdout(_) => {}
        }
    }

    fn kept(&self) -> Kept {
        match self {
            Self::Activity(config) => config.kept(),
            Self::Blackhole(_) => Kept::Nothing,
            Self::File(config) => config.kept(),
            Self::Influxdb(config) => config.kept(),
            Self::Stdout(_) => Kept::Lasting {
                idempotent: None,
                limit: Some("as far as the pipe: what its reader loses is not known here"),
            },
            Self::Warehouse(_) => Kept::Lasting {
                idempotent: Some("rows are written by their keys"),
                limit: None,
            },
        }
    }

    fn calls(&self) -> NonZeroUsize {
        match self {
            Self::Influxdb(_) => influxdb::CALLS,
            Self::Warehouse(config) => {
                NonZeroUsize::new(config.connections).unwrap_or(NonZeroUsize::MIN)
            }
            Self::Activity(_) | Self::Blackhole(_) | Self::File(_) | Self::Stdout(_) => {
                NonZeroUsize::MIN
            }
        }
    }

    fn attempts(&self) -> u32 {
        match self {
            // What it could not write goes back, and comes again.
            Self::Influxdb(_) => 1 + influxdb::RETRIES,
            _ => RetryPolicy::default().attempts,
        }
    }

    fn probe(&self) -> Probing<'_> {
        match self {
            Self::Influxdb(config) => config.probe().boxed(),
            Self::Warehouse(config) => config.probe().boxed(),
            Self::Activity(_) | Self::Blackhole(_) | Self::File(_) | Self::Stdout(_) => {
                Box::pin(futures::future::ready(Vec::new()))
            }
        }
    }

    fn script(&self, script: Script<'_>) -> Option<String> {
        match self {
            Self::Warehouse(config) => Some(config.script(script)),
            _ => None,
        }
    }

    fn books(&self) -> Option<Arc<dyn Books>> {
        match self {
            Self::Warehouse(config) => Some(config.books()),
            Self::Activity(_)
            | Self::Blackhole(_)
            | Self::File(_)
            | Self::Influxdb(_)
            | Self::Stdout(_) => None,
        }
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        async move {
            Ok(match *self {
                Self::Activity(config) => {
                    let sink = activity::open(*config, &context).await?;
                    context.stack(sink)
                }
                Self::Blackhole(_) => context.stack(blackhole::Blackhole),
                Self::File(config) => {
                    let sink = file::open(&config, &context.node).await?;
                    context.stack(sink)
                }
                Self::Influxdb(config) => {
                    let sink = config.open(&context.policy, context.meter.clone()).await?;
                    context.stack(sink)
                }
                Self::Stdout(_) => {
                    let sink = stdout::open(&context.node)?;
                    context.stack(sink)
                }
                Self::Warehouse(config) => {
                    let meter = context.meter.clone();
                    let sink = config.start(&context.node, meter).await?;
                    context.stack(sink)
                }
            })
        }
        .boxed()
    }
}

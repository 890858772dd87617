//! Where events go.

pub mod activity;
pub mod blackhole;
pub mod file;
pub mod influxdb;
pub mod open_messaging;
pub mod rabbitmq;
pub mod stdout;
pub mod warehouse;

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::client::tenants::Tenants;
use crate::failure::Failure;
use crate::layer::rehearsal::{Recorder, Records, Taken};
use crate::layer::{
    Books, Kept, KeyedPolicy, Probing, Resting, RetryPolicy, Script, SinkContext, SinkPart,
    VisitPaths,
};
use crate::setting::{About, Fields};
use crate::stage::Stage;

/// The catalogue: every type of sink, by its name in a pipeline file.
pub const KINDS: &[&str] = &[
    "activity",
    "blackhole",
    "file",
    "influxdb",
    "open_messaging",
    "rabbitmq",
    "stdout",
    "warehouse",
];

/// What comes out of a type of sink, besides what goes away: the names of its outputs. They need not be
/// read.
pub fn outputs(kind: &str) -> &'static [&'static str] {
    match kind {
        "open_messaging" => &[open_messaging::STATUSES],
        _ => &[],
    }
}

/// What the fields of a type mean.
pub fn about(kind: &str) -> &'static [About] {
    match kind {
        "activity" => activity::ABOUT,
        "blackhole" => blackhole::ABOUT,
        "file" => file::ABOUT,
        "influxdb" => influxdb::ABOUT,
        "open_messaging" => open_messaging::ABOUT,
        "rabbitmq" => rabbitmq::ABOUT,
        "stdout" => stdout::ABOUT,
        "warehouse" => warehouse::ABOUT,
        _ => &[],
    }
}

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
    /// Messages to customers, through Genesys Cloud.
    OpenMessaging(Box<open_messaging::Config>),
    /// Messages on an exchange, or in a queue.
    Rabbitmq(Box<rabbitmq::Config>),
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
            "open_messaging" => open_messaging::Config::check(fields)
                .map(Box::new)
                .map(Self::OpenMessaging),
            "rabbitmq" => rabbitmq::Config::check(fields)
                .map(Box::new)
                .map(Self::Rabbitmq),
            "stdout" => stdout::Config::check(fields).map(Self::Stdout),
            "warehouse" => warehouse::Config::check(fields)
                .map(Box::new)
                .map(Self::Warehouse),
            _ => None,
        }
    }

    /// Whether it sends for tenants.
    pub fn wants_tenants(&self) -> bool {
        matches!(self, Self::OpenMessaging(_))
    }

    /// Whether it does what it is asked for over HTTP.
    pub fn takes_orders(&self) -> bool {
        matches!(self, Self::OpenMessaging(config) if config.api)
    }

    /// Hands it the tenants that it sends for.
    pub fn meet(&mut self, tenants: &Tenants) {
        if let Self::OpenMessaging(config) = self {
            config.meet(tenants);
        }
    }
}

impl SinkPart for Config {
    fn rests(&self) -> Option<Resting> {
        match self {
            Self::File(config) => Some(Resting::File(config.path.clone())),
            Self::Rabbitmq(config) => config.rests(),
            Self::Activity(_)
            | Self::Blackhole(_)
            | Self::Influxdb(_)
            | Self::OpenMessaging(_)
            | Self::Stdout(_)
            | Self::Warehouse(_) => None,
        }
    }

    fn paths(&mut self, visit: VisitPaths<'_>) {
        match self {
            Self::Activity(config) => config.paths(visit),
            Self::Influxdb(config) => config.paths(visit),
            Self::OpenMessaging(config) => config.paths(visit),
            Self::Rabbitmq(config) => config.paths(visit),
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
            Self::OpenMessaging(config) => config.kept(),
            Self::Rabbitmq(config) => config.kept(),
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
            Self::OpenMessaging(_) => open_messaging::CALLS,
            Self::Warehouse(config) => {
                NonZeroUsize::new(config.connections).unwrap_or(NonZeroUsize::MIN)
            }
            Self::Activity(_)
            | Self::Blackhole(_)
            | Self::File(_)
            | Self::Rabbitmq(_)
            | Self::Stdout(_) => NonZeroUsize::MIN,
        }
    }

    fn apart(&self) -> Option<KeyedPolicy> {
        match self {
            Self::OpenMessaging(config) => Some(config.apart()),
            _ => None,
        }
    }

    fn attempts(&self) -> u32 {
        match self {
            // What it could not write goes back, and comes again.
            Self::Influxdb(_) => 1 + influxdb::RETRIES,
            // Giving up would break the order of a conversation: breaker and budget say when.
            Self::OpenMessaging(_) => u32::MAX,
            _ => RetryPolicy::default().attempts,
        }
    }

    fn probe(&self) -> Probing<'_> {
        match self {
            Self::Influxdb(config) => config.probe().boxed(),
            Self::OpenMessaging(config) => config.probe().boxed(),
            Self::Rabbitmq(config) => config.probe().boxed(),
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
            | Self::OpenMessaging(_)
            | Self::Rabbitmq(_)
            | Self::Stdout(_) => None,
        }
    }

    fn rehearse(
        self: Box<Self>,
        context: SinkContext,
        show: Recorder,
    ) -> BoxFuture<'static, Result<Stage, Failure>> {
        async move {
            let records = |kind| {
                let show = show.clone();
                Records { show, kind }
            };
            Ok(match *self {
                Self::Activity(config) => {
                    let shown = records("view");
                    let inner = activity::open(*config, &context).await?;
                    context.stack(Taken { inner, shown })
                }
                Self::Blackhole(_) => context.stack(records("discarded")),
                Self::File(_) | Self::Stdout(_) => context.stack(records("line")),
                Self::Influxdb(config) => context.stack(config.rehearse(show)?),
                Self::OpenMessaging(config) => config.rehearse(context, show)?,
                Self::Rabbitmq(config) => {
                    let sink = config.rehearse(&context, show);
                    context.stack(sink)
                }
                Self::Warehouse(config) => {
                    let sink = config.rehearse(context.meter.clone(), show);
                    context.stack(sink)
                }
            })
        }
        .boxed()
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
                Self::OpenMessaging(config) => config.build(context)?,
                Self::Rabbitmq(config) => {
                    let sink = config.open(&context);
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

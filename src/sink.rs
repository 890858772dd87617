//! Where events go.

pub mod blackhole;
pub mod file;
pub mod stdout;
pub mod warehouse;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::failure::Failure;
use crate::layer::{SinkContext, SinkPart, VisitPaths};
use crate::setting::Fields;
use crate::stage::Stage;

/// The catalogue: every type of sink, by its name in a pipeline file.
pub const KINDS: &[&str] = &["blackhole", "file", "stdout", "warehouse"];

/// A sink as a pipeline file says it.
pub enum Config {
    /// Takes everything and keeps nothing.
    Blackhole(blackhole::Config),
    /// Lines in a file.
    File(file::Config),
    /// Lines on standard output.
    Stdout(stdout::Config),
    /// Tables, by UPSERT.
    Warehouse(Box<warehouse::Config>),
}

impl Config {
    /// Reads the fields of a type of [`KINDS`]. Pure: reports every mistake, touches nothing.
    pub fn check(kind: &str, fields: &mut Fields<'_>) -> Option<Self> {
        match kind {
            "blackhole" => blackhole::Config::check(fields).map(Self::Blackhole),
            "file" => file::Config::check(fields).map(Self::File),
            "stdout" => stdout::Config::check(fields).map(Self::Stdout),
            "warehouse" => warehouse::Config::check(fields)
                .map(Box::new)
                .map(Self::Warehouse),
            _ => None,
        }
    }
}

impl SinkPart for Config {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        match self {
            Self::Warehouse(config) => config.paths(visit),
            Self::Blackhole(_) | Self::File(_) | Self::Stdout(_) => {}
        }
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        async move {
            Ok(match *self {
                Self::Blackhole(_) => context.stack(blackhole::Blackhole),
                Self::File(config) => {
                    let sink = file::open(&config, &context.node).await?;
                    context.stack(sink)
                }
                Self::Stdout(_) => {
                    let sink = stdout::open(&context.node)?;
                    context.stack(sink)
                }
                Self::Warehouse(config) => {
                    let sink = config.open().await?;
                    context.stack(sink)
                }
            })
        }
        .boxed()
    }
}

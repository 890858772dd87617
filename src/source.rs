//! Where events come from.

mod about;
pub mod file;
pub mod genesys_webhook;
pub mod genesys_websocket;
pub mod rabbitmq;
pub mod s3_export;
pub mod stdin;

pub use about::ABOUT;

use std::sync::Arc;

use futures::future::BoxFuture;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::codec::{Compression, Framing, Limits};
use crate::event::Path;
use crate::failure::Failure;
use crate::layer::{Probing, Replays, SourceContext, SourcePart, Survey, VisitPaths};
use crate::setting::{About, Fields, Size};
use crate::stage::{OpenSource, Source};

/// Most records that go on together.
const MOST_BATCH_EVENTS: usize = 2048;
/// Longest record that may be asked for, in bytes.
const MOST_RECORD_BYTES: u64 = 256 << 20;

/// How records lie in the bytes of a source. The fields `framing`, `compression`, `max_record` and
/// `batch_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Default: auto.
    pub framing: Framing,
    /// The default is the source's.
    pub compression: Compression,
    /// Of a record 1 MiB, of a batch 1,000 events, where nothing else is said.
    pub limits: Limits,
}

impl Format {
    /// Reads the four fields. Reports what is wrong and goes on with the defaults.
    pub fn check(fields: &mut Fields<'_>, compression: Compression) -> Self {
        let framing = fields.choice(
            "framing",
            &[
                ("auto", Framing::Auto),
                ("lines", Framing::Lines),
                ("concatenated", Framing::Concatenated),
                ("array", Framing::Array),
            ],
        );
        let said = fields.choice(
            "compression",
            &[
                ("auto", Compression::Auto),
                ("none", Compression::None),
                ("gzip", Compression::Gzip),
                ("zstd", Compression::Zstd),
            ],
        );
        let record = fields.or("max_record", Size(1 << 20));
        if !(1..=MOST_RECORD_BYTES).contains(&record.0) {
            let span = fields.span_of("max_record");
            let message = "`max_record` has to be between 1 byte and 256 MiB";
            fields.error("out-of-range", span, message);
        }
        let events = fields.or("batch_events", 1000_usize);
        if !(1..=MOST_BATCH_EVENTS).contains(&events) {
            let span = fields.span_of("batch_events");
            let message = format!("`batch_events` has to be between 1 and {MOST_BATCH_EVENTS}");
            fields.error("out-of-range", span, message);
        }
        Self {
            framing: framing.unwrap_or_default(),
            compression: said.unwrap_or(compression),
            limits: Limits {
                block_records: events,
                record_bytes: record.bytes(),
                ..Limits::default()
            },
        }
    }
}

/// A set of patterns. One without `/` speaks of what stands behind the last `/` of a name, one with it
/// of the whole name below the folder or prefix that is listed.
fn globs(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = match pattern.contains('/') {
            true => pattern.clone(),
            false => format!("**/{pattern}"),
        };
        let mut glob = GlobBuilder::new(&pattern);
        set.add(glob.literal_separator(true).build().map_err(glob_reason)?);
    }
    set.build().map_err(glob_reason)
}

/// Without the pattern, which may come from a variable.
#[allow(clippy::needless_pass_by_value)] // as `map_err` wants it
fn glob_reason(error: globset::Error) -> String {
    error.kind().to_string()
}

/// The catalogue: every type of source, by its name in a pipeline file.
pub const KINDS: &[&str] = &[
    "file",
    "genesys_webhook",
    "genesys_websocket",
    "rabbitmq",
    "s3_export",
    "stdin",
];

/// What the fields of a type mean.
pub fn about(kind: &str) -> &'static [About] {
    match kind {
        "file" => file::ABOUT,
        "genesys_webhook" => genesys_webhook::ABOUT,
        "genesys_websocket" => genesys_websocket::ABOUT,
        "rabbitmq" => rabbitmq::ABOUT,
        "s3_export" => s3_export::ABOUT,
        "stdin" => stdin::ABOUT,
        _ => &[],
    }
}

/// A source as a pipeline file says it.
pub enum Config {
    /// Files, folders and patterns of them.
    File(file::Config),
    /// What Open Messaging posts.
    GenesysWebhook(Box<genesys_webhook::Config>),
    /// The WebSockets of Genesys Cloud.
    GenesysWebsocket(genesys_websocket::Opener),
    /// The messages of a queue.
    Rabbitmq(rabbitmq::Opener),
    /// The objects of a bucket or folder.
    S3Export(s3_export::Opener),
    /// Standard input.
    Stdin(stdin::Config),
}

impl Config {
    /// Reads the fields of a type of [`KINDS`]. Pure: reports every mistake, touches nothing.
    pub fn check(kind: &str, fields: &mut Fields<'_>) -> Option<Self> {
        match kind {
            "file" => file::Config::check(fields).map(Self::File),
            "genesys_webhook" => genesys_webhook::Config::check(fields)
                .map(Box::new)
                .map(Self::GenesysWebhook),
            "genesys_websocket" => genesys_websocket::Config::check(fields)
                .map(genesys_websocket::Opener::new)
                .map(Self::GenesysWebsocket),
            "rabbitmq" => rabbitmq::Config::check(fields)
                .map(rabbitmq::Opener::new)
                .map(Self::Rabbitmq),
            "s3_export" => s3_export::Config::check(fields)
                .map(s3_export::Opener::new)
                .map(Self::S3Export),
            "stdin" => stdin::Config::check(fields).map(Self::Stdin),
            _ => None,
        }
    }
}

impl SourcePart for Config {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        match self {
            Self::GenesysWebsocket(source) => source.paths(visit),
            Self::Rabbitmq(source) => source.paths(visit),
            Self::File(_) | Self::GenesysWebhook(_) | Self::S3Export(_) | Self::Stdin(_) => {}
        }
    }

    fn replays(&self) -> Replays {
        match self {
            // The platform posts again what had no answer.
            Self::File(_) | Self::GenesysWebhook(_) | Self::Rabbitmq(_) | Self::S3Export(_) => {
                Replays::Again
            }
            Self::GenesysWebsocket(_) => {
                Replays::Gone("since the platform does not send events again")
            }
            Self::Stdin(_) => Replays::Gone("since a pipe is read once"),
        }
    }

    fn fed_from(&self, path: &std::path::Path) -> Option<Box<dyn SourcePart>> {
        match self {
            Self::File(config) => Some(Box::new(Self::File(config.fed_from(path)))),
            _ => None,
        }
    }

    fn wants_durable(&self) -> bool {
        matches!(self, Self::GenesysWebsocket(_))
    }

    fn wants_simulator(&self) -> bool {
        matches!(self, Self::GenesysWebsocket(source) if source.config().wants_simulator())
    }

    fn probe(&self) -> Probing<'_> {
        match self {
            Self::Rabbitmq(source) => Box::pin(source.config().probe()),
            Self::S3Export(source) => Box::pin(source.probe()),
            Self::File(config) => Box::pin(std::future::ready(vec![file::probe(config)])),
            Self::GenesysWebsocket(source) => Box::pin(source.probe()),
            Self::GenesysWebhook(_) | Self::Stdin(_) => Box::pin(std::future::ready(Vec::new())),
        }
    }

    fn survey(&self) -> BoxFuture<'_, Result<Option<Survey>, Failure>> {
        match self {
            Self::S3Export(source) => Box::pin(async { source.config().survey().await.map(Some) }),
            Self::File(_)
            | Self::GenesysWebhook(_)
            | Self::GenesysWebsocket(_)
            | Self::Rabbitmq(_)
            | Self::Stdin(_) => Box::pin(futures::future::ready(Ok(None))),
        }
    }

    fn event_time(&self) -> &[Path] {
        match self {
            Self::S3Export(source) => &source.config().event_time,
            Self::File(_)
            | Self::GenesysWebhook(_)
            | Self::GenesysWebsocket(_)
            | Self::Rabbitmq(_)
            | Self::Stdin(_) => &[],
        }
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let config = Arc::new(*self);
        Box::new(move || {
            let (config, context) = (config.clone(), context.clone());
            Box::pin(async move { config.open(&context).await })
        })
    }
}

impl Config {
    async fn open(&self, context: &SourceContext) -> Result<Box<dyn Source>, Failure> {
        let SourceContext {
            node,
            paths,
            store,
            progress,
            ..
        } = context;
        let (paths, progress) = (paths.clone(), progress.clone());
        match self {
            Self::File(config) => {
                let cursor = store.checkpoints(node).await?;
                let wall = context.meter.wall().clone();
                file::open(config, node, paths, cursor, progress, wall)
            }
            Self::GenesysWebhook(config) => genesys_webhook::open(config, context).await,
            Self::GenesysWebsocket(source) => source.open(context).await,
            Self::Rabbitmq(source) => source.open(context).await,
            Self::S3Export(source) => source.open(context).await,
            Self::Stdin(config) => stdin::open(config, node, paths, progress),
        }
    }
}

//! What a pipeline file says about a sink `influxdb`.

use std::path::PathBuf;
use std::time::Duration;

use super::line::{Content, Measurement, Points, Type, is_measurement, write_name};
use crate::client::influx::{Precision, Server};
use crate::diagnostic::{Span, quote};
use crate::event::Path;
use crate::setting::{Fields, Node, Setting, Size, wrong_type};

/// Most points of a request, unless told.
const MAX_EVENTS: usize = 5_000;
/// Most bytes of a request before compression, unless told.
const MAX_BYTES: u64 = 1 << 20;
/// More of either would be refused by every server, and held in memory for nothing.
const MOST_EVENTS: usize = 1_000_000;
const MOST_BYTES: u64 = 256 << 20;
/// Most requests under way at the same time that may be set.
const MOST_REQUESTS: usize = 64;

/// The fields of the sink `influxdb`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the points go.
    pub target: Target,
    /// `measurement`, `tags`, `fields`, `time`, `precision`.
    pub(super) points: Points,
    /// `gzip`: default true.
    pub gzip: bool,
    /// `max_batch`, `flush_interval`, `quiet`, `requests`.
    pub(super) batches: Batches,
}

/// Where points go.
#[derive(Clone, Debug)]
pub enum Target {
    /// `url`, `org`, `bucket`, `token`.
    Server(Server),
    /// `path`, where `url` is absent or empty: a file of line protocol, to be looked at or loaded
    /// later. Its folder is made if it is missing.
    File(PathBuf),
}

impl Target {
    fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let url = fields.node("url");
        let path: Option<PathBuf> = fields.optional("path");
        let named = url.is_some_and(|url| url.as_text() != Some(""));
        if named || path.is_none() {
            return Server::check(fields).map(Self::Server);
        }
        // A file that names a server too is one that can be switched over by a variable.
        for name in ["org", "bucket"] {
            fields.optional::<String>(name);
        }
        fields.node("token");
        path.map(Self::File)
    }
}

/// How points are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batches {
    /// Most points of a request; default 5,000.
    pub max_events: usize,
    /// Most bytes of a request before compression; default 1 MiB. A longer line goes alone.
    pub max_bytes: usize,
    /// How long a point waits for others at most; default 10 s.
    pub flush_interval: Duration,
    /// Points that wait are written when none has come for so long; default 250 ms.
    pub quiet: Duration,
    /// Requests under way at the same time; default 4.
    pub requests: usize,
}

impl Config {
    /// Reads the fields.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let target = Target::check(fields);
        let points = read_points(fields);
        let gzip = fields.or("gzip", true);
        let batches = read_batches(fields);
        Some(Self {
            target: target?,
            points: points?,
            gzip,
            batches,
        })
    }

    /// Calls `visit` with every path that is read from events.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        let points = &mut self.points;
        if let Measurement::At(path) = &mut points.measurement {
            visit(path);
        }
        points.tags.iter_mut().for_each(|(_, path)| visit(path));
        for (_, from) in &mut points.fields {
            if let Content::At(path, _) = from {
                visit(path);
            }
        }
        visit(&mut points.time);
    }
}

fn read_points(fields: &mut Fields<'_>) -> Option<Points> {
    let precision = fields.choice("precision", &Precision::ALL);
    let measurement = read_measurement(fields);
    let tags = read_tags(fields);
    let values = read_fields(fields);
    let time = fields.or("time", Path::of(["timestamp"]));
    let (mut tags, mut values) = (tags?, values?);
    for (name, _) in &values {
        if tags.iter().any(|(tag, _)| tag == name) {
            let message =
                format!("`{name}` is a tag and a field, and a query could not tell which");
            let span = fields.span_of("fields");
            fields.error("conflicting-fields", span, message);
            return None;
        }
    }
    tags.sort_by(|a, b| a.0.cmp(&b.0));
    values.sort_by(|a, b| a.0.cmp(&b.0));
    let before = |start: &str, name: &str| {
        let mut out = start.as_bytes().to_vec();
        write_name(name, true, &mut out);
        out.push(b'=');
        out
    };
    Some(Points {
        measurement: measurement?,
        tags: tags
            .into_iter()
            .map(|(name, path)| (before(",", &name), path))
            .collect(),
        fields: values
            .into_iter()
            .map(|(name, from)| (before("", &name), from))
            .collect(),
        time,
        // As exact as an event's time is here; finer units only make lines longer, coarser ones make
        // different points of a participant the same.
        precision: precision.unwrap_or(Precision::Us),
    })
}

fn read_measurement(fields: &mut Fields<'_>) -> Option<Measurement> {
    let text = fields.or("measurement", "participant_state".to_owned());
    if text.starts_with('.') {
        return fields.optional("measurement").map(Measurement::At);
    }
    let mut escaped = Vec::new();
    write_name(&text, false, &mut escaped);
    if is_measurement(&escaped) && !text.starts_with('_') {
        return Some(Measurement::Fixed(escaped));
    }
    let span = fields.span_of("measurement");
    fields
        .error("bad-name", span, "this cannot name a measurement")
        .hint("it must not be empty, nor begin with `#` or `_`");
    None
}

fn read_tags(fields: &mut Fields<'_>) -> Option<Vec<(String, Path)>> {
    let default = ["interactionId", "participantId", "state"];
    let read = |tags: &mut Fields<'_>| {
        tags.all_take(Path::shape);
        let entries = tags.entries().iter();
        let read: Vec<_> = entries
            .map(|(key, node)| {
                check_name(&key.name, key.span, tags);
                Some((key.name.clone(), Path::read(node, tags.report())?))
            })
            .collect();
        read.into_iter().collect()
    };
    match fields.has("tags") {
        true => fields.section("tags", "`tags`", read),
        false => Some(
            default
                .map(|name| (name.to_owned(), Path::of(["data", name])))
                .into(),
        ),
    }
}

fn read_fields(fields: &mut Fields<'_>) -> Option<Vec<(String, Content)>> {
    let read = |values: &mut Fields<'_>| {
        values.all_take(Path::shape);
        let entries = values.entries();
        if entries.is_empty() {
            let span = values.span();
            values.error("empty-value", span, "a point has at least one field");
            return None;
        }
        let read: Vec<_> = entries
            .iter()
            .map(|(key, node)| {
                check_name(&key.name, key.span, values);
                Some((key.name.clone(), read_content(&key.name, node, values)?))
            })
            .collect();
        read.into_iter().collect()
    };
    if fields.has("fields") {
        return fields.section("fields", "`fields`", read);
    }
    let role = Content::At(Path::of(["data", "role"]), Type::Auto);
    Some(vec![
        ("vector_clock".to_owned(), Content::Counter),
        ("role".to_owned(), role),
    ])
}

/// `counter`, a path, or `{ path, type }`.
fn read_content(name: &str, node: &Node, fields: &mut Fields<'_>) -> Option<Content> {
    if node.as_text() == Some("counter") {
        return Some(Content::Counter);
    }
    if node.as_text().is_some() {
        return Some(Content::At(Path::read(node, fields.report())?, Type::Auto));
    }
    if node.as_map().is_none() {
        let expected = "a path to a field, `counter`, or `{ path, type }`";
        wrong_type(node, expected, fields.report());
        return None;
    }
    let mut inner = Fields::new(node, &format!("the field `{name}`"), fields.report())?;
    let path = inner.required("path");
    let types = [
        ("auto", Type::Auto),
        ("integer", Type::Integer),
        ("unsigned", Type::Unsigned),
        ("float", Type::Float),
        ("string", Type::Text),
        ("boolean", Type::Boolean),
    ];
    let kind = inner.choice("type", &types).unwrap_or(Type::Auto);
    inner.finish();
    Some(Content::At(path?, kind))
}

/// Names that InfluxDB keeps for itself, or that cannot be written.
fn check_name(name: &str, span: Span, fields: &mut Fields<'_>) {
    let mut escaped = Vec::new();
    write_name(name, true, &mut escaped);
    if escaped.is_empty() || name == "time" || name.starts_with('_') {
        fields
            .error(
                "bad-name",
                span,
                format!("{} cannot name a tag or a field", quote(name)),
            )
            .hint("InfluxDB keeps `time` and names that begin with `_` for itself");
    }
}

fn read_batches(fields: &mut Fields<'_>) -> Batches {
    let read = |f: &mut Fields<'_>| {
        let events = f.or("events", MAX_EVENTS);
        let Size(bytes) = f.or("bytes", Size(MAX_BYTES));
        within(f, "events", events, MOST_EVENTS);
        if !(1..=MOST_BYTES).contains(&bytes) {
            let span = f.span_of("bytes");
            f.error("out-of-range", span, "`bytes` is not between 1 and 256MiB");
        }
        Some((events, bytes))
    };
    let batch = fields.section("max_batch", "`max_batch`", read);
    let (max_events, bytes) = batch.unwrap_or((MAX_EVENTS, MAX_BYTES));
    let flush_interval = fields.or("flush_interval", Duration::from_secs(10));
    let quiet = fields.or("quiet", Duration::from_millis(250));
    let requests = fields.or("requests", 4);
    within(fields, "requests", requests, MOST_REQUESTS);
    Batches {
        max_events,
        max_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
        flush_interval,
        quiet,
        requests,
    }
}

fn within(fields: &mut Fields<'_>, name: &'static str, number: usize, most: usize) {
    if !(1..=most).contains(&number) {
        let span = fields.span_of(name);
        let message = format!("`{name}` is not between 1 and {most}");
        fields.error("out-of-range", span, message);
    }
}

#[cfg(test)]
mod tests;

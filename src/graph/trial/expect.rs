//! What is expected of a test, and how it is read.

use super::pattern::{Pattern, event};
use crate::diagnostic::{Report, Span};
use crate::graph::outline::{self, Kind, Outline};
use crate::setting::{Fields, Node, Setting, Shape, wrong_type};

use super::read::unknown;

/// What has come of a test at its end. What is not said is not looked at.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// By node, or output of a node.
    pub nodes: Vec<NodeExpect>,
    /// All dead letters, in any order.
    pub dead_letters: Option<Letters>,
}

/// Of one node.
#[derive(Clone, Debug)]
pub struct NodeExpect {
    /// The node.
    pub node: String,
    /// Its output; empty for the unnamed one.
    pub output: String,
    /// Where it is named.
    pub span: Span,
    /// What it handed on, or what a sink took.
    pub events: Things,
    /// Of a sink: what would leave by it.
    pub leaves: Vec<(Stream, Things)>,
    /// Its figures in the ledger.
    pub figures: Option<Figures>,
    /// Of a transform: how many keys the state has of it, which another start would find.
    pub remembers: Option<(u64, Span)>,
}

/// One way to look at what would leave by a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Statements, as text with their parameters.
    Sql,
    /// Rows by their columns; `row` is the table with the key.
    Rows,
    /// Lines and points, as text.
    Lines,
    /// HTTP requests, as text with headers and body.
    Requests,
    /// Messages to a broker, as text with properties and body.
    Messages,
}

impl Stream {
    /// All of them with the fields that ask for them.
    pub const ALL: [(&'static str, Stream); 5] = [
        ("sql", Self::Sql),
        ("rows", Self::Rows),
        ("lines", Self::Lines),
        ("requests", Self::Requests),
        ("messages", Self::Messages),
    ];

    /// The field that asks for it.
    pub fn name(self) -> &'static str {
        let known = Self::ALL.iter().find(|(_, stream)| *stream == self);
        known.map_or("", |(name, _)| name)
    }
}

/// What is expected of a list of things.
#[derive(Clone, Debug, Default)]
pub struct Things {
    /// Just these, in this order.
    pub exactly: Option<(Vec<Pattern>, Span)>,
    /// These among others, each another one.
    pub contains: Vec<(Pattern, Span)>,
    /// So many; `none: true` is 0.
    pub count: Option<(u64, Span)>,
}

/// All dead letters.
#[derive(Clone, Debug)]
pub struct Letters {
    /// Where it is said.
    pub span: Span,
    /// Each by what is said of it: `reason`, `node`, `event`.
    pub letters: Vec<(Pattern, Span)>,
}

/// Counts by their reasons.
pub type ByReason = Vec<(String, u64)>;

/// Figures of a node.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// By their names, such as `received`.
    pub totals: Vec<(&'static str, u64, Span)>,
    /// `dropped`, `dead_lettered` and `labels`, by reason; each is whole.
    pub by_reason: Vec<(&'static str, ByReason, Span)>,
    /// Alerts that were raised meanwhile.
    pub alerts: Option<(Vec<String>, Span)>,
}

const TOTALS: [&str; 6] = [
    "received",
    "created",
    "delivered",
    "given_back",
    "retries",
    "held",
];
const BY_REASON: [&str; 3] = ["dropped", "dead_lettered", "labels"];

/// `expect:` of a test.
pub(super) fn read(fields: &mut Fields<'_>, outline: &Outline) -> Expect {
    let mut expect = Expect::default();
    let Some(node) = fields.required_node("expect") else {
        return expect;
    };
    let Some(mut inner) = Fields::new(node, "`expect` of a test", fields.report()) else {
        return expect;
    };
    let entries = inner.entries();
    // The one name that is no component.
    inner.takes("dead_letters", || Shape::Words(vec!["none".to_owned()]));
    inner.has("dead_letters");
    if entries.is_empty() {
        let message = "`expect` expects nothing";
        let entry = inner.error("empty-value", node.span, message);
        entry.hint("name a component and what comes out of it: `name: { count: 1 }`");
    }
    for (key, node) in entries {
        if key.name == "dead_letters" {
            expect.dead_letters = letters(node, inner.report());
            continue;
        }
        let (name, output) = key.name.split_once('.').unwrap_or((&key.name, ""));
        let shape = outline.nodes.iter().find(|shape| shape.name == name);
        match shape {
            Some(shape) => check_output(shape, output, outline, key.span, inner.report()),
            None => {
                let all = outline.nodes.iter().map(|shape| shape.name.as_str());
                unknown("a component", name, all, key.span, inner.report());
            }
        }
        let is_sink = shape.is_none_or(|it| it.kind == Kind::Sink) && output.is_empty();
        let what = format!("what is expected of `{}`", key.name);
        let Some(mut f) = Fields::new(node, &what, inner.report()) else {
            continue;
        };
        let events = things(&mut f);
        let mut leaves = Vec::new();
        for (name, stream) in Stream::ALL.into_iter().filter(|_| is_sink) {
            f.takes(name, || Shape::Any.list());
            if let Some(node) = f.node(name) {
                leaves.extend(leaving(name, node, f.report()).map(|things| (stream, things)));
            }
        }
        let is_transform = shape.is_none_or(|it| it.kind == Kind::Transform) && output.is_empty();
        let remembers = match is_transform {
            true => f.optional::<u64>("remembers"),
            false => None,
        };
        let remembers = remembers.map(|keys| (keys, f.key_span_of("remembers")));
        let figures = f.section("metrics", &format!("`metrics` of `{}`", key.name), figures);
        f.finish();
        expect.nodes.push(NodeExpect {
            node: name.into(),
            output: output.into(),
            span: key.span,
            events,
            leaves,
            figures,
            remembers,
        });
    }
    expect
}

/// What cannot be seen is a mistake and not an empty list.
fn check_output(
    shape: &outline::Shape,
    output: &str,
    outline: &Outline,
    span: Span,
    report: &mut Report,
) {
    if shape.component.is_empty() || (output.is_empty() && shape.main) {
        return;
    }
    if output.is_empty() {
        if shape.kind != Kind::Sink {
            let message = format!("`{}` has named outputs only", shape.name);
            let outputs = shape.outputs.join("`, `");
            let entry = report.error("unknown-output", span, message);
            entry.hint(format!("name one of its outputs: `{outputs}`"));
        }
        return;
    }
    let is_read = |(input, _): &(crate::graph::Input, Span)| {
        input.node == shape.name && input.output == output
    };
    if !shape.outputs.iter().any(|known| known == output) {
        let what = format!("an output of `{}`", shape.name);
        let known = shape.outputs.iter().map(String::as_str);
        let near = crate::diagnostic::nearest(output, known.clone());
        let shown = crate::diagnostic::quote(output);
        let hint = match near {
            Some(near) => format!("did you mean `{}.{near}`?", shape.name),
            None if shape.outputs.is_empty() => format!("name `{}` itself", shape.name),
            None => format!(
                "its outputs are `{}`",
                known.collect::<Vec<_>>().join("`, `")
            ),
        };
        let entry = report.error("unknown-output", span, format!("{shown} is not {what}"));
        entry.hint(hint);
    } else if !(outline.nodes.iter()).any(|node| node.inputs.iter().any(is_read)) {
        let message = format!(
            "nothing reads `{}.{output}`: there is nothing to be seen",
            shape.name
        );
        let entry = report.error("unknown-output", span, message);
        entry.hint("look at `metrics: { dropped: { unrouted: … } }` of the node");
    }
}

/// `exactly`, `contains`, `count`, `none`.
fn things(f: &mut Fields<'_>) -> Things {
    for name in ["exactly", "contains"] {
        f.takes(name, || Shape::Any.list());
    }
    let exactly = f.node("exactly").and_then(|node| {
        let all = list(node, f.report())?;
        let all = all.into_iter().map(|(pattern, _)| pattern).collect();
        Some((all, f.key_span_of("exactly")))
    });
    let contains = f
        .node("contains")
        .and_then(|node| list(node, f.report()))
        .unwrap_or_default();
    let count = f.optional::<u64>("count");
    let count = count.map(|count| (count, f.key_span_of("count")));
    let none = f.optional::<bool>("none");
    let span = f.key_span_of("none");
    if none == Some(true)
        && let Some(other) = ["exactly", "contains", "count"]
            .into_iter()
            .find(|it| f.has(it))
    {
        let message = format!("`none` and `{other}` exclude each other");
        f.error("conflicting-fields", span, message)
            .hint("take one of the two out");
    }
    let none = none.filter(|none| *none).map(|_| (0, span));
    Things {
        exactly,
        contains,
        count: count.or(none),
    }
}

/// Patterns with their places.
fn list(node: &Node, report: &mut Report) -> Option<Vec<(Pattern, Span)>> {
    let Some(items) = node.as_list() else {
        let entry = wrong_type(node, "a list of what is expected", report);
        entry.hint("write `[ { … } ]`, one for each; an empty list expects none");
        return None;
    };
    let read = |item: &Node| Some((Pattern::read(item, report)?, item.span));
    let read: Vec<_> = items.iter().map(read).collect();
    read.into_iter().collect()
}

/// Of what would leave: a list of all of it, or a mapping as for events.
fn leaving(name: &str, node: &Node, report: &mut Report) -> Option<Things> {
    if node.as_list().is_some() {
        let all = list(node, report)?;
        let all = all.into_iter().map(|(pattern, _)| pattern).collect();
        return Some(Things {
            exactly: Some((all, node.span)),
            ..Things::default()
        });
    }
    let mut fields = Fields::new(node, &format!("`{name}` of a test"), report)?;
    let things = things(&mut fields);
    fields.finish();
    Some(things)
}

fn letters(node: &Node, report: &mut Report) -> Option<Letters> {
    let span = node.span;
    if node.as_text() == Some("none") {
        let letters = Vec::new();
        return Some(Letters { span, letters });
    }
    let Some(items) = node.as_list() else {
        let entry = wrong_type(node, "`none` or a list of dead letters", report);
        entry.hint("write `[ { reason: schema, node: valid } ]`, one for each");
        return None;
    };
    let letters = items.iter().filter_map(|item| {
        let mut f = Fields::new(item, "a dead letter of a test", report)?;
        let mut members = Vec::new();
        f.takes("event", || Shape::Any.map());
        for name in ["reason", "node", "detail"] {
            f.takes(name, || Shape::Any);
            if let Some(node) = f.node(name) {
                members.extend(Pattern::read(node, f.report()).map(|it| (name.to_owned(), it)));
            }
        }
        if let Some(node) = f.node("event")
            && event(node, f.report()).is_some()
        {
            members.extend(Pattern::read(node, f.report()).map(|it| ("event".to_owned(), it)));
        }
        f.finish();
        Some((Pattern::Map(members), item.span))
    });
    let letters = letters.collect();
    Some(Letters { span, letters })
}

fn figures(f: &mut Fields<'_>) -> Option<Figures> {
    let mut figures = Figures::default();
    for name in TOTALS {
        if let Some(value) = f.optional::<u64>(name) {
            figures.totals.push((name, value, f.key_span_of(name)));
        }
    }
    for name in BY_REASON {
        let of = |inner: &mut Fields<'_>| {
            inner.all_take(u64::shape);
            let entries = inner.entries().iter();
            let count = |(key, node): &(crate::setting::Key, Node)| {
                let count = u64::read(node, inner.report())?;
                Some((key.name.clone(), count))
            };
            Some(entries.filter_map(count).collect::<Vec<_>>())
        };
        if let Some(counts) = f.section(name, &format!("`{name}` of a test"), of) {
            figures.by_reason.push((name, counts, f.key_span_of(name)));
        }
    }
    let alerts = f.optional::<Vec<String>>("alerts");
    figures.alerts = alerts.map(|alerts| (alerts, f.key_span_of("alerts")));
    Some(figures)
}

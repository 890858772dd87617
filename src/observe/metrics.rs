//! The metrics, in the text format of Prometheus (0.0.4). This page is their catalogue, for
//! OpenTelemetry too.

mod otlp;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::histogram::{BOUNDS_US, HistogramReading};
use super::reading::{BufferReading, NodeReading, Reading};
use super::{KeyFigures, NodeKind, Observer, RunState};

pub use otlp::{Instance, render as render_otlp};

/// The content type to serve [`render`]'s answer with.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric with one sample for each node that has it.
struct PerNode {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    figure: fn(&NodeReading) -> Option<f64>,
}

/// A counter with one sample for each node and reason.
struct PerReason {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    figures: fn(&NodeReading) -> &BTreeMap<String, u64>,
}

const fn counter(
    name: &'static str,
    help: &'static str,
    figure: fn(&NodeReading) -> Option<f64>,
) -> PerNode {
    PerNode {
        name,
        kind: "counter",
        help,
        figure,
    }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    figure: fn(&NodeReading) -> Option<f64>,
) -> PerNode {
    PerNode {
        name,
        kind: "gauge",
        help,
        figure,
    }
}

const PER_NODE: [PerNode; 20] = [
    counter(
        "trunkline_events_received_total",
        "Events that came into the node, those sent again included.",
        |n| whole(n.received),
    ),
    counter(
        "trunkline_events_created_total",
        "Events that the node made of others.",
        |n| whole(n.created),
    ),
    counter(
        "trunkline_events_resumed_total",
        "Events that a buffer found on disk from an earlier run.",
        |n| whole(n.resumed),
    ),
    counter(
        "trunkline_events_rejoined_total",
        "Created events that failed and went back as one with their original.",
        |n| whole(n.rejoined),
    ),
    counter(
        "trunkline_events_delivered_total",
        "Events that left the node and were settled.",
        |n| whole(n.delivered),
    ),
    counter(
        "trunkline_events_given_back_total",
        "Events answered with a failure, for the source to deliver again.",
        |n| whole(n.given_back),
    ),
    counter(
        "trunkline_events_redelivered_total",
        "Events that the source received again.",
        |n| whole(n.redelivered),
    ),
    gauge("trunkline_held_events", "Events inside the node.", |n| {
        signed(n.held())
    }),
    counter(
        "trunkline_bytes_received_total",
        "Bytes that came into the node.",
        |n| whole(n.bytes_received),
    ),
    counter(
        "trunkline_bytes_delivered_total",
        "Bytes that left the node.",
        |n| whole(n.bytes_delivered),
    ),
    counter(
        "trunkline_retries_total",
        "Attempts after the first.",
        |n| whole(n.retries),
    ),
    counter(
        "trunkline_rate_limited_seconds_total",
        "Time that calls waited for the rate limit.",
        |n| Some(n.rate_limited_seconds),
    ),
    counter(
        "trunkline_genesys_gaps_total",
        "Times in which the source was not connected, and could not hear what was said.",
        |n| (n.gaps.count > 0).then_some(n.gaps.count).and_then(whole),
    ),
    counter(
        "trunkline_genesys_gap_seconds_total",
        "How long the source was not connected, in seconds.",
        |n| (n.gaps.count > 0).then_some(n.gaps.seconds),
    ),
    gauge(
        "trunkline_buffer_events",
        "Events in the node's buffer.",
        |n| buffer(n, |buffer| buffer.events),
    ),
    gauge(
        "trunkline_buffer_bytes",
        "Bytes in the node's buffer.",
        |n| buffer(n, |buffer| buffer.bytes),
    ),
    gauge(
        "trunkline_buffer_capacity_events",
        "Events that the node's buffer can hold.",
        |n| buffer(n, |buffer| buffer.max_events),
    ),
    gauge(
        "trunkline_buffer_capacity_bytes",
        "Bytes that the node's buffer can hold.",
        |n| buffer(n, |buffer| buffer.max_bytes),
    ),
    gauge(
        "trunkline_breaker_state",
        "The worst state of the node's circuit breakers: 0 closed, 1 half-open, 2 open.",
        |n| n.breaker.and_then(|state| whole(state.figure())),
    ),
    gauge(
        "trunkline_breakers_open",
        "Circuit breakers of the node that are open.",
        |n| n.breaker.and_then(|_| whole(n.breakers_open)),
    ),
];

const PER_REASON: [PerReason; 5] = [
    PerReason {
        name: "trunkline_events_dropped_total",
        help: "Events that a rule of the node ended, by reason.",
        label: "reason",
        figures: |n| &n.dropped,
    },
    PerReason {
        name: "trunkline_events_dead_lettered_total",
        help: "Events that were refused for good and set aside, by reason.",
        label: "reason",
        figures: |n| &n.dead_lettered,
    },
    PerReason {
        name: "trunkline_labelled_total",
        help: "Events that went on with a label, by label.",
        label: "label",
        figures: |n| &n.labels,
    },
    PerReason {
        name: "trunkline_drift_total",
        help: "What was not as the other side describes it, by what.",
        label: "what",
        figures: |n| &n.drift,
    },
    PerReason {
        name: "trunkline_figure",
        help: "Figures of this kind of component alone, as they stand.",
        label: "figure",
        figures: |n| &n.figures,
    },
];

type PerKey = (&'static str, &'static str, fn(&KeyFigures) -> f64);

#[allow(clippy::cast_precision_loss)]
const PER_KEY: [PerKey; 4] = [
    (
        "trunkline_key_budget_allowed",
        "Events that may go in the current window of the key's budget.",
        |key| key.allowed as f64,
    ),
    (
        "trunkline_key_budget_used",
        "Events that went in the current window of the key's budget.",
        |key| key.used as f64,
    ),
    (
        "trunkline_key_waiting_events",
        "Events of the key that have no answer yet.",
        |key| key.waiting as f64,
    ),
    (
        "trunkline_key_oldest_waiting_seconds",
        "For how long the oldest of them is here.",
        |key| key.oldest,
    ),
];

/// Counters are exact in Prometheus up to 2^53 as well.
#[allow(clippy::cast_precision_loss)]
#[allow(clippy::unnecessary_wraps)]
fn whole(n: u64) -> Option<f64> {
    Some(n as f64)
}

#[allow(clippy::cast_precision_loss)]
#[allow(clippy::unnecessary_wraps)]
fn signed(n: i64) -> Option<f64> {
    Some(n as f64)
}

fn buffer(node: &NodeReading, figure: fn(BufferReading) -> u64) -> Option<f64> {
    node.buffer.and_then(|buffer| whole(figure(buffer)))
}

/// The metrics of all `observers`, each family once. Observers must be of different pipelines, since
/// the name of the pipeline is what tells their samples apart.
#[must_use]
pub fn render(observers: &[Observer]) -> String {
    let readings: Vec<Reading> = observers.iter().map(Observer::read).collect();
    let mut page = Page(String::with_capacity(16 * 1024));
    walk(&readings, &mut page);
    page.0
}

/// What the catalogue is written into. Samples stand behind their family.
trait Sheet {
    /// A family begins: of kind `counter`, `gauge` or `histogram`.
    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str);

    /// A figure of a counter or gauge.
    fn sample(&mut self, name: &'static str, labels: &[(&str, &str)], value: f64);

    /// All of a histogram.
    fn histogram(
        &mut self,
        name: &'static str,
        labels: &[(&str, &str)],
        reading: &HistogramReading,
    );
}

/// Every family with every sample, in the order of this page.
fn walk(readings: &[Reading], page: &mut impl Sheet) {
    let nodes = || {
        readings
            .iter()
            .flat_map(|r| r.nodes.iter().map(move |node| (r, node)))
    };

    page.family(
        "trunkline_up",
        "gauge",
        "1 while the pipeline runs or drains.",
    );
    for reading in readings {
        let up = matches!(reading.state, RunState::Running | RunState::Draining);
        page.sample(
            "trunkline_up",
            &[("pipeline", &reading.pipeline)],
            f64::from(u8::from(up)),
        );
    }
    page.family(
        "trunkline_node_info",
        "gauge",
        "Always 1: what kind of node this is.",
    );
    for (reading, node) in nodes() {
        let [pipeline, name, component] = labels(reading, node);
        page.sample(
            "trunkline_node_info",
            &[pipeline, name, component, kind(node)],
            1.0,
        );
    }
    for metric in &PER_NODE {
        page.family(metric.name, metric.kind, metric.help);
        for (reading, node) in nodes() {
            if let Some(figure) = (metric.figure)(node) {
                page.sample(metric.name, &labels(reading, node), figure);
            }
        }
    }
    for metric in &PER_REASON {
        // Only figures that stand as they are set can fall.
        let kind = if metric.name.ends_with("_total") {
            "counter"
        } else {
            "gauge"
        };
        page.family(metric.name, kind, metric.help);
        for (reading, node) in nodes() {
            for (reason, n) in (metric.figures)(node) {
                let [pipeline, name, component] = labels(reading, node);
                let labels = [pipeline, name, component, (metric.label, reason)];
                page.sample(metric.name, &labels, whole(*n).unwrap_or_default());
            }
        }
    }
    keys(page, nodes);
    latencies(page, nodes());
    alerts(page, readings);
}

fn labels<'a>(reading: &'a Reading, node: &'a NodeReading) -> [(&'static str, &'a str); 3] {
    [
        ("pipeline", &reading.pipeline),
        ("node", &node.name),
        ("component", &node.component),
    ]
}

/// Dead-letter writers can be told from sinks by it, and left out of sums over deliveries.
fn kind(node: &NodeReading) -> (&'static str, &'static str) {
    let kind = match node.kind {
        NodeKind::Source => "source",
        NodeKind::Transform => "transform",
        NodeKind::Buffer => "buffer",
        NodeKind::Sink => "sink",
        NodeKind::DeadLetter => "dead_letter",
    };
    ("kind", kind)
}

/// Writing to a `String` does not fail, so the results of `write!` are not looked at here.
struct Page(String);

impl Sheet for Page {
    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        self.line(name, "", labels, value);
    }

    fn histogram(
        &mut self,
        name: &'static str,
        labels: &[(&str, &str)],
        reading: &HistogramReading,
    ) {
        let bounds = BOUNDS_US.iter().map(|us| seconds(*us).to_string());
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&reading.cumulative) {
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            let count = whole(*count).unwrap_or_default();
            self.line(name, "_bucket", &labels, count);
        }
        let count = whole(reading.count()).unwrap_or_default();
        self.line(name, "_sum", labels, reading.sum_seconds);
        self.line(name, "_count", labels, count);
    }
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

impl Page {
    fn line(&mut self, name: &str, end: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "{name}{end}{{");
        for (i, (label, value)) in labels.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = write!(self.0, "{comma}{label}=\"");
            self.escaped(value);
            self.0.push('"');
        }
        let _ = writeln!(self.0, "}} {value}");
    }

    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                // The format ends lines at LF alone, but readers differ about the rest.
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }
}

/// Of keys with limits of their own, such as organisations.
fn keys<'a, I>(page: &mut impl Sheet, nodes: impl Fn() -> I)
where
    I: Iterator<Item = (&'a Reading, &'a NodeReading)>,
{
    for (name, help, figure) in PER_KEY {
        page.family(name, "gauge", help);
        for (reading, node) in nodes() {
            let [pipeline, named, component] = labels(reading, node);
            for (key, figures) in &node.keys {
                let labels = [pipeline, named, component, ("key", key)];
                page.sample(name, &labels, figure(figures));
            }
        }
    }
    const STATE: &str = "trunkline_key_breaker_state";
    page.family(
        STATE,
        "gauge",
        "The circuit breaker of the key: 0 closed, 1 half-open, 2 open.",
    );
    for (reading, node) in nodes() {
        let [pipeline, named, component] = labels(reading, node);
        for (key, state) in &node.breakers {
            let labels = [pipeline, named, component, ("key", key)];
            page.sample(STATE, &labels, whole(state.figure()).unwrap_or_default());
        }
    }
}

fn latencies<'a>(
    page: &mut impl Sheet,
    nodes: impl Iterator<Item = (&'a Reading, &'a NodeReading)>,
) {
    const NAME: &str = "trunkline_batch_latency_seconds";
    page.family(
        NAME,
        "histogram",
        "Time to an answer per batch, all attempts included.",
    );
    for (reading, node) in nodes.filter(|(_, node)| node.latency.count() > 0) {
        page.histogram(NAME, &labels(reading, node), &node.latency);
    }
}

fn alerts(page: &mut impl Sheet, readings: &[Reading]) {
    let families = [
        ("trunkline_alert", "gauge", "1 while the alert is raised."),
        (
            "trunkline_alerts_raised_total",
            "counter",
            "How often the alert was raised.",
        ),
    ];
    for (i, (name, kind, help)) in families.into_iter().enumerate() {
        page.family(name, kind, help);
        for reading in readings {
            for (alert, raised) in &reading.alerts {
                let node = alert.node.as_deref().unwrap_or("");
                let labels = [
                    ("pipeline", &*reading.pipeline),
                    ("node", node),
                    ("alert", alert.name),
                ];
                let figure = if i == 0 {
                    u64::from(alert.active)
                } else {
                    *raised
                };
                page.sample(name, &labels, whole(figure).unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests;

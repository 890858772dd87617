//! How the nodes of a run stand, for those who watch it live: figures, buffers, breakers, who waits.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::breaker::BreakerState;
use super::histogram::BOUNDS_US;
use super::reading::{BufferReading, NodeReading, Reading};
use super::{Counts, Ledger, NodeKind};

/// Most keys of one node that are told: there may be a thousand, and somebody asks every second.
const MOST_KEYS: usize = 100;

/// A node and what it reads, for pictures of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowNode {
    /// Its name, as its meter has it.
    pub name: Arc<str>,
    /// What it reads; of sources nothing, of dead letters the nodes whose refused events they keep.
    pub inputs: Vec<FlowInput>,
}

/// One output of a node that another one reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowInput {
    /// The node that is read.
    pub node: Arc<str>,
    /// Its output; left out where it is the unnamed one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
}

/// A run as it stands: its ledger, and its nodes in the order in which data flows, of one reading.
pub struct Status {
    /// What became of every event.
    pub ledger: Ledger,
    /// The nodes that the pipeline has now, each after those that it reads.
    pub nodes: Vec<NodeStatus>,
}

/// How one node stands. In JSON the counts stand beside the name.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// The node's name in the pipeline file.
    pub name: String,
    /// `source`, `transform`, `buffer`, `sink` or `dead_letter`.
    pub kind: NodeKind,
    /// Its component type, for example `dedup`.
    pub component: String,
    /// What it reads.
    pub inputs: Vec<FlowInput>,
    /// The figures.
    #[serde(flatten)]
    pub counts: Counts,
    /// Figures of this kind of component alone, as they stand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, u64>,
    /// Time to an answer, where it is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// How full its buffer is, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<BufferStatus>,
    /// Its circuit breakers, where it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerStatus>,
    /// Keys with limits of their own (organisations) whose events wait or whose breaker is not
    /// closed: open ones first, then those of which most wait, at most 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyStatus>,
}

/// Latencies since the run began. Two readings tell those of the time between.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Upper bounds of the buckets, in seconds.
    pub bounds: Vec<f64>,
    /// Batches at or below each bound, and then all of them: one more than there are bounds.
    pub counts: Vec<u64>,
    /// All latencies together, in seconds.
    pub sum: f64,
}

/// How full a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BufferStatus {
    /// Events in it.
    pub events: u64,
    /// Bytes in it.
    pub bytes: u64,
    /// Events that it holds at most.
    pub max_events: u64,
    /// Bytes that it holds at most.
    pub max_bytes: u64,
}

/// The circuit breakers of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BreakerStatus {
    /// The worst of them: `closed`, `half_open` or `open`.
    pub state: BreakerState,
    /// How many are open.
    pub open: u64,
}

/// How a key stands that has limits of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyStatus {
    /// The key, such as the name of an organisation.
    pub key: String,
    /// Its circuit breaker, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerState>,
    /// Events that may go in the current window of its budget.
    pub allowed: u64,
    /// How many of them went.
    pub used: u64,
    /// Events that are here and have no answer yet.
    pub waiting: u64,
    /// For how long the oldest of them is here, in seconds.
    pub oldest: f64,
}

impl Status {
    /// Nodes that a reload took out are in the ledger alone.
    pub(super) fn of(reading: &Reading, flow: &[FlowNode]) -> Self {
        let status = |node: &NodeReading, inputs: &[FlowInput]| NodeStatus::of(node, inputs);
        let by_name: BTreeMap<&str, &NodeReading> = reading
            .nodes
            .iter()
            .map(|node| (node.name.as_str(), node))
            .collect();
        let nodes = match flow.is_empty() {
            // Nobody said how data flows: as they were registered.
            true => reading.nodes.iter().map(|it| status(it, &[])).collect(),
            false => flow
                .iter()
                .filter_map(|node| Some(status(by_name.get(&*node.name)?, &node.inputs)))
                .collect(),
        };
        Self {
            ledger: Ledger::from_reading(reading),
            nodes,
        }
    }
}

impl NodeStatus {
    fn of(node: &NodeReading, inputs: &[FlowInput]) -> Self {
        Self {
            name: node.name.clone(),
            kind: node.kind,
            component: node.component.clone(),
            inputs: inputs.to_vec(),
            counts: Counts::of(node),
            figures: node.figures.clone(),
            latency: (node.latency.count() > 0).then(|| latency(node)),
            buffer: node.buffer.map(BufferStatus::from),
            breaker: node.breaker.map(|state| BreakerStatus {
                state,
                open: node.breakers_open,
            }),
            keys: keys(node),
        }
    }
}

impl From<BufferReading> for BufferStatus {
    fn from(reading: BufferReading) -> Self {
        Self {
            events: reading.events,
            bytes: reading.bytes,
            max_events: reading.max_events,
            max_bytes: reading.max_bytes,
        }
    }
}

/// Bounds are below 2^53 microseconds, so they are exact.
#[allow(clippy::cast_precision_loss)]
fn latency(node: &NodeReading) -> Latency {
    Latency {
        bounds: BOUNDS_US.iter().map(|us| *us as f64 / 1e6).collect(),
        counts: node.latency.cumulative.clone(),
        sum: node.latency.sum_seconds,
    }
}

/// Those that somebody should look at.
fn keys(node: &NodeReading) -> Vec<KeyStatus> {
    let names = node.keys.keys().map(String::as_str);
    let names: BTreeSet<&str> = names
        .chain(node.breakers.keys().map(|key| &**key))
        .collect();
    let all = names.into_iter().map(|key| {
        let figures = node.keys.get(key).copied().unwrap_or_default();
        KeyStatus {
            key: key.to_owned(),
            breaker: node.breakers.get(key).copied(),
            allowed: figures.allowed,
            used: figures.used,
            waiting: figures.waiting,
            oldest: figures.oldest,
        }
    });
    let stands_out = |key: &KeyStatus| {
        let closed = matches!(key.breaker, None | Some(BreakerState::Closed));
        key.waiting > 0 || !closed
    };
    let mut shown: Vec<KeyStatus> = all.filter(stands_out).collect();
    shown.sort_by_key(|key| Reverse((key.breaker, key.waiting)));
    shown.truncate(MOST_KEYS);
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::observe::{KeyFigures, Observer};

    fn input(node: &str) -> FlowInput {
        FlowInput {
            node: node.into(),
            output: String::new(),
        }
    }

    fn json(observer: &Observer) -> Value {
        serde_json::to_value(observer.status().nodes).unwrap()
    }

    #[test]
    fn nodes_stand_in_the_order_of_the_flow_with_what_they_read() {
        let observer = Observer::new("p");
        for (name, kind) in [
            ("gone", NodeKind::Transform),
            ("out", NodeKind::Sink),
            ("in", NodeKind::Source),
        ] {
            observer.node(name, kind, "x").received(3, 30);
        }
        assert_eq!(
            json(&observer)[0]["name"],
            "gone",
            "nobody said how it flows"
        );
        let node = |name: &str, inputs| FlowNode {
            name: name.into(),
            inputs,
        };
        let routed = FlowInput {
            output: "else".into(),
            ..input("in")
        };
        observer.set_flow(vec![
            node("in", vec![]),
            node("out", vec![routed]),
            node("no", vec![]),
        ]);
        let shown = json(&observer);
        assert_eq!(shown.as_array().unwrap().len(), 2, "{shown}");
        assert_eq!(
            (&shown[0]["name"], &shown[0]["received"]),
            (&json!("in"), &json!(3))
        );
        assert_eq!(
            shown[1]["inputs"],
            json!([{ "node": "in", "output": "else" }])
        );
        for absent in ["latency", "buffer", "breaker", "keys"] {
            assert_eq!(shown[0].get(absent), None, "{absent}");
        }
        assert_eq!(observer.status().ledger.nodes.len(), 3);
    }

    #[test]
    fn buffers_breakers_latencies_and_who_waits_are_told() {
        let observer = Observer::new("p");
        let sink = observer.node("out", NodeKind::Sink, "x");
        sink.buffer(5, 500, 1_000, 65_536);
        sink.latency(Duration::from_micros(70));
        let open = sink.breaker_of("acme");
        open.set(BreakerState::Open);
        let half = sink.breaker_of("slow");
        half.set(BreakerState::HalfOpen);
        let closed = sink.breaker_of("well");
        closed.set(BreakerState::Closed);
        let waits = |waiting| KeyFigures {
            allowed: 10,
            waiting,
            ..KeyFigures::default()
        };
        let keys = [("few", 1), ("idle", 0), ("many", 9), ("acme", 2)];
        sink.keys(BTreeMap::from(
            keys.map(|(key, n)| (key.to_owned(), waits(n))),
        ));
        let node = &json(&observer)[0];
        let buffer = json!({"events": 5, "bytes": 500, "max_events": 1000, "max_bytes": 65536});
        assert_eq!(node["buffer"], buffer);
        assert_eq!(node["breaker"], json!({"state": "open", "open": 1}));
        let told = node["keys"].as_array().unwrap().iter();
        let told: Vec<_> = told.map(|key| key["key"].as_str().unwrap()).collect();
        assert_eq!(told, ["acme", "slow", "many", "few"]);
        assert_eq!(node["keys"][0]["waiting"], 2);
        let latency = &node["latency"];
        assert_eq!(
            (&latency["bounds"][0], &latency["bounds"][18]),
            (&json!(0.00005), &json!(60.0))
        );
        assert_eq!(latency["counts"].as_array().unwrap().len(), 20);
        assert_eq!(
            (&latency["counts"][0], &latency["counts"][1]),
            (&json!(0), &json!(1))
        );
        drop((open, half, closed));
    }

    #[test]
    fn keys_have_a_bound() {
        let observer = Observer::new("p");
        let sink = observer.node("out", NodeKind::Sink, "x");
        let key = |n: usize| {
            let waiting = KeyFigures {
                waiting: n as u64,
                ..KeyFigures::default()
            };
            (n.to_string(), waiting)
        };
        sink.keys((1..=500).map(key).collect());
        let node = observer.status().nodes.remove(0);
        assert_eq!((node.keys.len(), node.keys[0].waiting), (MOST_KEYS, 500));
    }
}

//! What a process tells of its pipelines, and what two such readings say of the time between.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A pipeline as `GET /api/v1/pipelines` tells it. What an older process does not tell is empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pipeline {
    name: String,
    state: String,
    reason: Option<String>,
    started: String,
    seconds: f64,
    alerts: Vec<Alert>,
    whole: Counts,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Alert {
    pub name: String,
    pub node: Option<String>,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Counts {
    received: u64,
    delivered: u64,
    dropped: BTreeMap<String, u64>,
    dead_lettered: BTreeMap<String, u64>,
    held: i64,
    retries: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    name: String,
    kind: String,
    component: String,
    #[serde(flatten)]
    counts: Counts,
    latency: Option<Latency>,
    buffer: Option<Buffer>,
    breaker: Option<Breaker>,
    keys: Vec<Key>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Latency {
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Buffer {
    pub events: u64,
    bytes: u64,
    max_events: u64,
    max_bytes: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Breaker {
    pub state: String,
    pub open: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Key {
    pub key: String,
    pub breaker: Option<String>,
    pub allowed: u64,
    pub used: u64,
    pub waiting: u64,
    /// In seconds.
    pub oldest: f64,
}

/// A pipeline as it is shown. Rates are events a second between two readings; there are none where
/// the process began anew in between, or the pipeline was not there yet.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Shown {
    pub name: String,
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub seconds: f64,
    #[serde(rename = "in")]
    pub into: Option<f64>,
    pub out: Option<f64>,
    pub held: i64,
    pub alerts: Vec<Alert>,
    pub nodes: Vec<Row>,
}

/// A node as it is shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub name: String,
    pub kind: String,
    pub component: String,
    #[serde(rename = "in")]
    pub into: Option<f64>,
    pub out: Option<f64>,
    /// Half of the batches between the readings were answered in this time, in seconds.
    pub p50: Option<f64>,
    /// And all but one in a hundred in this.
    pub p99: Option<f64>,
    pub buffer: Option<Buffer>,
    /// How full the buffer is, from 0 to 1: by events or by bytes, whichever is more.
    pub fill: Option<f64>,
    pub held: i64,
    pub dropped: BTreeMap<String, u64>,
    pub dead_lettered: BTreeMap<String, u64>,
    pub retries: u64,
    pub breaker: Option<Breaker>,
    pub keys: Vec<Key>,
}

impl Row {
    pub fn dropped_total(&self) -> u64 {
        self.dropped
            .values()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    pub fn dead_total(&self) -> u64 {
        let all = self.dead_lettered.values();
        all.fold(0, |sum, n| sum.saturating_add(*n))
    }
}

/// What is shown of these readings.
pub(super) fn shown(before: &[Pipeline], now: &[Pipeline]) -> Vec<Shown> {
    let of = |pipeline: &Pipeline| {
        // A process that began anew counts from nothing.
        let same = |it: &&Pipeline| it.name == pipeline.name && it.started == pipeline.started;
        pipeline.since(before.iter().find(same))
    };
    now.iter().map(of).collect()
}

impl Pipeline {
    fn since(&self, before: Option<&Pipeline>) -> Shown {
        let seconds = before.map_or(0.0, |before| self.seconds - before.seconds);
        let whole = before.map(|before| &before.whole);
        let row = |node: &Node| {
            let known = before.and_then(|it| it.nodes.iter().find(|old| old.name == node.name));
            node.since(known, seconds, before.is_some())
        };
        Shown {
            name: self.name.clone(),
            state: self.state.clone(),
            reason: self.reason.clone(),
            seconds: self.seconds,
            into: rate(whole.map(|it| it.received), self.whole.received, seconds),
            out: rate(whole.map(|it| it.delivered), self.whole.delivered, seconds),
            held: self.whole.held,
            alerts: self.alerts.clone(),
            nodes: self.nodes.iter().map(row).collect(),
        }
    }
}

impl Node {
    fn since(&self, before: Option<&Node>, seconds: f64, compared: bool) -> Row {
        let counts = before.map(|it| &it.counts);
        // One that came with a reload begins at nothing.
        let old = |figure: fn(&Counts) -> u64| compared.then(|| counts.map_or(0, figure));
        let quantile = |share| {
            let earlier = before.and_then(|it| it.latency.as_ref());
            let latency = self.latency.as_ref().filter(|_| compared)?;
            latency.quantile(earlier, share)
        };
        Row {
            name: self.name.clone(),
            kind: self.kind.clone(),
            component: self.component.clone(),
            into: rate(old(|it| it.received), self.counts.received, seconds),
            out: rate(old(|it| it.delivered), self.counts.delivered, seconds),
            p50: quantile(0.5),
            p99: quantile(0.99),
            buffer: self.buffer,
            fill: self.buffer.and_then(Buffer::fill),
            held: self.counts.held,
            dropped: self.counts.dropped.clone(),
            dead_lettered: self.counts.dead_lettered.clone(),
            retries: self.counts.retries,
            breaker: self.breaker.clone(),
            keys: self.keys.clone(),
        }
    }
}

/// Events a second. None where nothing can be said.
#[allow(clippy::cast_precision_loss)]
fn rate(before: Option<u64>, now: u64, seconds: f64) -> Option<f64> {
    let more = now.checked_sub(before?)?;
    // The clock of a run that is over stands still.
    if seconds <= 0.0 {
        return (more == 0).then_some(0.0);
    }
    Some(more as f64 / seconds)
}

impl Buffer {
    #[allow(clippy::cast_precision_loss)]
    fn fill(self) -> Option<f64> {
        let share = |n: u64, most: u64| (most > 0).then(|| n as f64 / most as f64);
        let events = share(self.events, self.max_events);
        let bytes = share(self.bytes, self.max_bytes);
        let more = events.into_iter().chain(bytes).max_by(f64::total_cmp);
        more.map(|fill| fill.clamp(0.0, 1.0))
    }
}

impl Latency {
    /// The time in which this share of the batches since `before` was answered, within its bucket in
    /// proportion (as `histogram_quantile` of Prometheus has it). None where there were no batches.
    #[allow(clippy::cast_precision_loss)]
    fn quantile(&self, before: Option<&Latency>, share: f64) -> Option<f64> {
        let earlier = |at: usize| {
            before
                .and_then(|it| it.counts.get(at))
                .copied()
                .unwrap_or(0)
        };
        let since = |at: usize| self.counts.get(at).map(|n| n.saturating_sub(earlier(at)));
        let total = since(self.bounds.len())?;
        if total == 0 {
            return None;
        }
        let rank = total as f64 * share;
        let (mut low, mut below) = (0.0, 0);
        for (at, bound) in self.bounds.iter().enumerate() {
            let count = since(at)?;
            if count as f64 >= rank && count > below {
                let part = (rank - below as f64) / (count - below) as f64;
                return Some(low + (bound - low) * part.clamp(0.0, 1.0));
            }
            (low, below) = (*bound, count);
        }
        // Slower than every bound: at least the last.
        self.bounds.last().copied()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Two readings a second apart, with something in every column.
    pub(in super::super) fn readings() -> [Vec<Pipeline>; 2] {
        let of = |n: u64, seconds: f64| {
            json!([{
                "name": "calls", "state": "running", "started": "2026-01-01T00:00:00Z",
                "seconds": seconds,
                "alerts": [{"name": "breaker_open", "node": "out", "message": "the circuit breaker of `acme` is open"}],
                "promises": [],
                "whole": {"received": 5_000 * n, "delivered": 1_500 * n, "held": 700},
                "nodes": [
                    {"name": "in", "kind": "source", "component": "stdin", "inputs": [],
                     "received": 5_000 * n, "delivered": 5_000 * n, "held": 0},
                    {"name": "unique", "kind": "transform", "component": "dedup",
                     "received": 5_000 * n, "delivered": 1_500 * n,
                     "dropped": {"duplicate": 3_000 * n, "filtered": 500 * n}},
                    {"name": "out", "kind": "sink", "component": "open_messaging",
                     "received": 1_500 * n, "delivered": 3 * n, "held": 700, "retries": 4,
                     "dead_lettered": {"schema": 7},
                     "latency": {"bounds": [0.001, 0.01, 0.1], "counts": [0, 50 * n, 99 * n, 100 * n], "sum": 1.0},
                     "buffer": {"events": 650, "bytes": 10, "max_events": 1_000, "max_bytes": 1_000},
                     "breaker": {"state": "open", "open": 1},
                     "keys": [{"key": "acme", "breaker": "open", "allowed": 300, "used": 12, "waiting": 650, "oldest": 75.5}]},
                    {"name": "dead_letter", "kind": "dead_letter", "component": "file", "received": 7, "delivered": 7}
                ]
            }, {"name": "other", "state": "failed", "reason": "the disk is full"}])
        };
        [of(1, 10.0), of(2, 11.0)].map(|it| serde_json::from_value(it).unwrap())
    }

    #[test]
    #[allow(clippy::float_cmp)]
    fn rates_and_latencies_are_of_the_time_between() {
        let [before, now] = readings();
        let calls = &shown(&before, &now)[0];
        assert_eq!((calls.into, calls.out), (Some(5_000.0), Some(1_500.0)));
        let out = &calls.nodes[2];
        assert_eq!(
            (out.into, out.out, out.fill),
            (Some(1_500.0), Some(3.0), Some(0.65))
        );
        let millis = |time: Option<f64>| (time.unwrap() * 1e3).round();
        assert_eq!((millis(out.p50), millis(out.p99)), (10.0, 100.0));
        assert_eq!(calls.nodes[1].dropped_total(), 7_000);
        assert_eq!((calls.nodes[0].p50, calls.nodes[0].fill), (None, None));
    }

    #[test]
    fn nothing_is_said_of_the_time_between_two_runs() {
        let [mut before, now] = readings();
        before[0].started = "2025-12-31T00:00:00Z".into();
        let calls = &shown(&before, &now)[0];
        assert_eq!(
            (calls.into, calls.nodes[2].out, calls.nodes[2].p99),
            (None, None, None)
        );
        assert_eq!(shown(&[], &now)[0].into, None);
        // Figures that fall are of no run that goes on.
        let [before, now] = readings();
        assert_eq!(shown(&now, &before)[0].into, None);
    }

    #[test]
    fn a_node_that_came_with_a_reload_begins_at_nothing() {
        let [mut before, now] = readings();
        before[0].nodes.remove(2);
        let out = &shown(&before, &now)[0].nodes[2];
        assert_eq!(out.into, Some(3_000.0));
    }

    #[test]
    fn a_quantile_stays_within_its_bucket() {
        let latency = |counts: &[u64]| Latency {
            bounds: vec![1.0, 2.0, 4.0],
            counts: counts.to_vec(),
        };
        let of = |counts: &[u64], share| latency(counts).quantile(None, share);
        assert_eq!(of(&[0, 0, 0, 0], 0.5), None);
        assert_eq!(of(&[0, 10, 10, 10], 0.5), Some(1.5));
        assert_eq!(of(&[0, 0, 0, 3], 0.5), Some(4.0), "slower than every bound");
        assert_eq!(of(&[], 0.5), None);
        assert_eq!(of(&[1], 0.5), None, "fewer counts than bounds");
        let (before, now) = (latency(&[10, 10, 10, 10]), latency(&[10, 10, 20, 20]));
        assert_eq!(now.quantile(Some(&before), 0.5), Some(3.0));
    }
}

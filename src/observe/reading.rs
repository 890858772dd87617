//! What an observer's counters held at one moment: the ledger and the metrics are made from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alert::Alert;
use super::breaker::BreakerState;
use super::gap::Told;
use super::histogram::HistogramReading;
use super::{KeyFigures, NodeKind, RunState};

pub(super) struct Reading {
    pub(super) pipeline: String,
    pub(super) state: RunState,
    pub(super) started: jiff::Timestamp,
    pub(super) seconds: f64,
    pub(super) nodes: Vec<NodeReading>,
    pub(super) alerts: Vec<(Alert, u64)>,
}

pub(super) struct NodeReading {
    pub(super) name: String,
    pub(super) kind: NodeKind,
    pub(super) component: String,
    pub(super) received: u64,
    pub(super) created: u64,
    pub(super) resumed: u64,
    pub(super) stored: u64,
    pub(super) rejoined: u64,
    pub(super) delivered: u64,
    /// Of those delivered, how many went to another node out of a sink.
    pub(super) handed_on: u64,
    pub(super) given_back: u64,
    pub(super) redelivered: u64,
    pub(super) retries: u64,
    pub(super) bytes_received: u64,
    pub(super) bytes_delivered: u64,
    pub(super) rate_limited_seconds: f64,
    pub(super) dropped: BTreeMap<String, u64>,
    pub(super) dead_lettered: BTreeMap<String, u64>,
    pub(super) labels: BTreeMap<String, u64>,
    pub(super) drift: BTreeMap<String, u64>,
    pub(super) figures: BTreeMap<String, u64>,
    pub(super) keys: BTreeMap<String, KeyFigures>,
    pub(super) breakers: BTreeMap<Arc<str>, BreakerState>,
    pub(super) gaps: Told,
    pub(super) latency: HistogramReading,
    pub(super) buffer: Option<BufferReading>,
    pub(super) breaker: Option<BreakerState>,
    pub(super) breakers_open: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BufferReading {
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) max_events: u64,
    pub(super) max_bytes: u64,
}

impl NodeReading {
    /// What is inside: all that came, less all that left. Negative only when a node counts wrongly.
    pub(super) fn held(&self) -> i64 {
        let came = [self.received, self.created, self.resumed];
        let left = [
            self.rejoined,
            self.delivered,
            self.dropped.values().sum(),
            self.dead_lettered.values().sum(),
            self.given_back,
        ];
        difference(&came, &left)
    }
}

/// The sum of `came` less the sum of `left`, at the ends of the range when it does not fit.
pub(super) fn difference(came: &[u64], left: &[u64]) -> i64 {
    let sum = |figures: &[u64]| figures.iter().map(|n| i128::from(*n)).sum::<i128>();
    let held = sum(came) - sum(left);
    i64::try_from(held).unwrap_or(if held < 0 { i64::MIN } else { i64::MAX })
}

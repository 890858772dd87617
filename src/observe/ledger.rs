//! The ledger: what became of every event, for each node and for the whole.

use std::collections::BTreeMap;

use serde::Serialize;

use super::reading::{NodeReading, Reading, difference};
use super::{Gap, NodeKind, RunState, table};

/// What became of every event of a run, as `run --summary FILE` writes it and the API answers it.
///
/// The names of the JSON fields are those of the Rust fields and stay as they are; new ones may be
/// added. Counts are of events unless said otherwise.
#[derive(Clone, Debug, Serialize)]
pub struct Ledger {
    /// The name of the pipeline.
    pub pipeline: String,
    /// Where the run stood: `{"state": "stopped"}`, with a `reason` when it failed.
    pub run: RunState,
    /// When the run began (RFC 3339, UTC).
    pub started: String,
    /// How long it has run, in seconds.
    pub seconds: f64,
    /// One entry for each node, in the order of the graph.
    pub nodes: Vec<NodeLedger>,
    /// The pipeline as if it were one node.
    pub whole: Counts,
}

/// What became of the events of one node. In JSON the counts stand beside the name.
#[derive(Clone, Debug, Serialize)]
pub struct NodeLedger {
    /// The node's name in the pipeline file.
    pub name: String,
    /// `source`, `transform`, `buffer`, `sink` or `dead_letter`.
    pub kind: NodeKind,
    /// Its component type, for example `dedup`.
    pub component: String,
    /// The figures.
    #[serde(flatten)]
    pub counts: Counts,
    /// What was not as its description says, by what.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<String, u64>,
    /// Figures of this kind of component alone, as they stand.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, u64>,
    /// Times in which a source without replay was not connected: the last 1,024 of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub genesys_gap: Vec<Gap>,
}

/// The two sides of the equation, and some figures beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Came in, those that were sent again included.
    pub received: u64,
    /// Made here of those received (copies of a fan-out), less the copies that failed and went back
    /// as one.
    pub created: u64,
    /// Found on disk from an earlier run. Buffers only.
    #[serde(skip_serializing_if = "is_zero")]
    pub resumed: u64,
    /// Left and were settled.
    pub delivered: u64,
    /// Ended by a rule, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Refused for good and set aside, by reason.
    pub dead_lettered: BTreeMap<String, u64>,
    /// Answered with a failure, for the source to deliver again.
    pub given_back: u64,
    /// Of those received, how many were sent again. Sources only.
    pub redelivered: u64,
    /// What is inside: the difference of the two sides.
    pub held: i64,
    /// Of those held, how many are kept on disk for the next run. Buffers only.
    #[serde(skip_serializing_if = "is_zero")]
    pub stored: u64,
    /// Passed on with a label, by label.
    pub labels: BTreeMap<String, u64>,
    /// Attempts after the first, in batches.
    pub retries: u64,
    /// Bytes that came in.
    pub bytes_received: u64,
    /// Bytes that left.
    pub bytes_delivered: u64,
}

impl Counts {
    /// All that was dropped, whatever the reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// All that was dead-lettered, whatever the reason.
    #[must_use]
    pub fn dead_lettered_total(&self) -> u64 {
        self.dead_lettered.values().sum()
    }

    pub(super) fn of(node: &NodeReading) -> Self {
        Self {
            received: node.received,
            created: node.created.saturating_sub(node.rejoined),
            resumed: node.resumed,
            stored: node.stored,
            delivered: node.delivered,
            dropped: node.dropped.clone(),
            dead_lettered: node.dead_lettered.clone(),
            given_back: node.given_back,
            redelivered: node.redelivered,
            held: node.held(),
            labels: node.labels.clone(),
            retries: node.retries,
            bytes_received: node.bytes_received,
            bytes_delivered: node.bytes_delivered,
        }
    }

    /// Adds a node's part in the whole: what entered by its sources, left by its sinks, and what
    /// was made or ended anywhere.
    fn absorb(&mut self, node: &NodeReading) {
        match node.kind {
            NodeKind::DeadLetter => return,
            NodeKind::Source => {
                self.received += node.received;
                self.redelivered += node.redelivered;
                self.given_back += node.given_back;
                self.bytes_received += node.bytes_received;
            }
            NodeKind::Sink => {
                // What came out of it and was handed on is delivered where it went.
                self.delivered += node.delivered.saturating_sub(node.handed_on);
                self.bytes_delivered += node.bytes_delivered;
            }
            NodeKind::Buffer => {
                self.resumed += node.resumed;
                self.stored += node.stored;
            }
            NodeKind::Transform => {}
        }
        self.created += node.created.saturating_sub(node.rejoined);
        self.retries += node.retries;
        merge(&mut self.dropped, &node.dropped);
        merge(&mut self.dead_lettered, &node.dead_lettered);
        merge(&mut self.labels, &node.labels);
    }

    fn settle(mut self) -> Self {
        let came = [self.received, self.created, self.resumed];
        let left = [
            self.delivered,
            self.dropped_total(),
            self.dead_lettered_total(),
            self.given_back,
        ];
        self.held = difference(&came, &left);
        self
    }

    /// The equation in words, without the terms that are zero.
    #[must_use]
    pub fn equation(&self) -> String {
        let mut left = format!("received {}", table::thousands(self.received));
        if self.created > 0 {
            left.push_str(&format!(" + created {}", table::thousands(self.created)));
        }
        if self.resumed > 0 {
            left.push_str(&format!(" + resumed {}", table::thousands(self.resumed)));
        }
        let mut right = format!("delivered {}", table::thousands(self.delivered));
        let terms = [
            ("dropped", self.dropped_total()),
            ("dead-lettered", self.dead_lettered_total()),
            ("given back", self.given_back),
            ("held", u64::try_from(self.held).unwrap_or(0)),
        ];
        for (word, n) in terms.into_iter().filter(|(_, n)| *n > 0) {
            right.push_str(&format!(" + {word} {}", table::thousands(n)));
        }
        format!("{left} = {right}")
    }

    /// By how much the two sides differ where they should not: more left than came, or something
    /// is still held after a stop that is not on disk.
    pub(super) fn off_by(&self, run: &RunState) -> u64 {
        if matches!(run, RunState::Stopped) {
            difference(&[u64::try_from(self.held).unwrap_or(0)], &[self.stored])
                .unsigned_abs()
                .max(u64::try_from(-self.held).unwrap_or(0))
        } else {
            u64::try_from(-self.held).unwrap_or(0)
        }
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn merge(into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (reason, n) in from {
        *into.entry(reason.clone()).or_default() += n;
    }
}

impl Ledger {
    pub(super) fn from_reading(reading: &Reading) -> Self {
        let mut whole = Counts::default();
        reading.nodes.iter().for_each(|node| whole.absorb(node));
        let nodes = reading.nodes.iter().map(|node| NodeLedger {
            name: node.name.clone(),
            kind: node.kind,
            component: node.component.clone(),
            counts: Counts::of(node),
            drift: node.drift.clone(),
            figures: node.figures.clone(),
            genesys_gap: node.gaps.last.iter().cloned().collect(),
        });
        Self {
            pipeline: reading.pipeline.clone(),
            run: reading.state.clone(),
            started: format!("{:.3}", reading.started),
            seconds: reading.seconds,
            nodes: nodes.collect(),
            whole: whole.settle(),
        }
    }

    /// The entry of the node `name`.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeLedger> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Whether every event is accounted for, at every node and in the whole.
    ///
    /// While a run goes on, and after one that failed, events may be held; after one that stopped,
    /// none may.
    ///
    /// # Errors
    ///
    /// Names each node that does not add up, with its figures, one to a line.
    pub fn adds_up(&self) -> Result<(), String> {
        let nodes = self
            .nodes
            .iter()
            .map(|node| (format!("node `{}`", node.name), &node.counts));
        let all = nodes.chain([(format!("pipeline `{}`", self.pipeline), &self.whole)]);
        let wrong: Vec<String> = all
            .filter(|(_, counts)| counts.off_by(&self.run) > 0)
            .map(|(what, counts)| {
                let off = table::thousands(counts.off_by(&self.run));
                format!("{what} does not add up by {off}: {}", counts.equation())
            })
            .collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }

    /// The ledger as indented JSON that ends with a new line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps with string keys and finite numbers: nothing here can fail to be JSON.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// A table for the terminal, `width` columns wide where names allow, that ends with a new line.
    #[must_use]
    pub fn render(&self, width: usize, colour: bool) -> String {
        table::render(self, width, colour)
    }
}

//! What two versions of a pipeline do otherwise with the same input.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::{Left, Outcome};
use crate::layer::rehearsal::Row;

/// What is otherwise in the other version.
#[derive(Debug, Default, Serialize)]
pub struct Difference {
    /// By sink: those that differ.
    pub sinks: Vec<Changes>,
    /// Dead letters by node and reason: how many before and after, where that differs.
    pub dead_letters: BTreeMap<String, (u64, u64)>,
    /// How each of them ended where that differs: why it failed, or that it went well.
    pub failures: Option<(String, String)>,
    /// Things that were not compared, since there are more than are kept.
    pub uncompared: u64,
}

impl Difference {
    /// Whether everything is the same.
    pub fn is_none(&self) -> bool {
        self.sinks.is_empty() && self.dead_letters.is_empty() && self.failures.is_none()
    }
}

/// What differs at one sink.
#[derive(Debug, Serialize)]
pub struct Changes {
    /// The sink.
    pub node: Arc<str>,
    /// Rows, records or messages that are the same in both.
    pub same: u64,
    /// Only in the other version.
    pub added: Vec<Change>,
    /// Only in the first version.
    pub removed: Vec<Change>,
    /// In both, with other values.
    pub changed: Vec<Change>,
    /// How often each column or path has changed, come or gone.
    pub fields: BTreeMap<String, u64>,
    /// Whether only the statements around the rows differ, and not the rows.
    pub wording: bool,
}

/// A row, record or message that differs.
#[derive(Debug, Serialize)]
pub struct Change {
    /// What it is known by: a table and a key, or the event that it is of.
    pub key: String,
    /// By column or path: the value before and after; null where there is none.
    pub fields: Vec<(String, Value, Value)>,
}

/// Compares what two versions of a pipeline made of one input.
pub fn compare(before: &Outcome, after: &Outcome) -> Difference {
    let mut difference = Difference::default();
    let mut nodes: Vec<&Arc<str>> = before.sinks.iter().map(|left| &left.node).collect();
    let others = after.sinks.iter().map(|left| &left.node);
    for other in others {
        if !nodes.contains(&other) {
            nodes.push(other);
        }
    }
    for node in nodes {
        let of = |outcome: &'_ Outcome| outcome.sinks.iter().position(|left| left.node == *node);
        let (old, new) = (of(before), of(after));
        let (old, new) = (
            old.map(|at| &before.sinks[at]),
            new.map(|at| &after.sinks[at]),
        );
        difference.uncompared += unkept(old) + unkept(new);
        difference.sinks.extend(changes(node, old, new));
    }
    difference.dead_letters = letters(before, after);
    if before.failure != after.failure {
        let told = |outcome: &Outcome| outcome.failure.clone().unwrap_or("it went well".to_owned());
        difference.failures = Some((told(before), told(after)));
    }
    difference
}

fn unkept(left: Option<&Left>) -> u64 {
    left.map_or(0, |left| left.count - left.things.len() as u64)
}

/// Rows by key; of one key in the order in which they leave.
fn by_key(left: Option<&Left>) -> BTreeMap<&str, Vec<&Row>> {
    let mut rows: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    let things = left.into_iter().flat_map(|left| &left.things);
    for row in things.flat_map(|thing| &thing.rows) {
        rows.entry(&row.key).or_default().push(row);
    }
    rows
}

fn changes(node: &Arc<str>, before: Option<&Left>, after: Option<&Left>) -> Option<Changes> {
    let (old, new) = (by_key(before), by_key(after));
    let mut changes = Changes {
        node: node.clone(),
        same: 0,
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        fields: BTreeMap::new(),
        wording: false,
    };
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for key in keys {
        let none = Vec::new();
        let (old, new) = (old.get(key).unwrap_or(&none), new.get(key).unwrap_or(&none));
        for at in 0..old.len().max(new.len()) {
            changes.row(key, old.get(at).copied(), new.get(at).copied());
        }
    }
    let is_same =
        changes.added.is_empty() && changes.removed.is_empty() && changes.changed.is_empty();
    if is_same {
        changes.wording = words(before) != words(after);
    }
    (!is_same || changes.wording).then_some(changes)
}

/// What stands around the rows.
fn words(left: Option<&Left>) -> BTreeSet<(&'static str, String)> {
    let things = left.into_iter().flat_map(|left| &left.things);
    let word = |thing: &crate::layer::rehearsal::Leaving| match thing.kind {
        "sql" => (thing.kind, thing.head.clone()),
        // Their words are among their values, but for what is the same for all of them.
        kind => {
            let to = thing.details.iter().find(|(name, _)| name == "to");
            (kind, to.map_or_else(String::new, |(_, to)| to.to_string()))
        }
    };
    things.map(word).collect()
}

impl Changes {
    fn row(&mut self, key: &str, before: Option<&Row>, after: Option<&Row>) {
        let fields = fields(before, after);
        let list = match (before, after) {
            (Some(_), Some(_)) if fields.is_empty() => {
                self.same += 1;
                return;
            }
            (Some(_), Some(_)) => &mut self.changed,
            (None, _) => &mut self.added,
            (_, None) => &mut self.removed,
        };
        if before.is_some() && after.is_some() {
            for (name, ..) in &fields {
                *self.fields.entry(name.clone()).or_default() += 1;
            }
        }
        list.push(Change {
            key: key.to_owned(),
            fields,
        });
    }
}

/// The fields that differ. Of a path that comes more than once in a row the values are compared in
/// their order.
fn fields(before: Option<&Row>, after: Option<&Row>) -> Vec<(String, Value, Value)> {
    let by_name = |row: Option<&Row>| {
        let mut values: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (name, value) in row.into_iter().flat_map(|row| &row.fields) {
            values.entry(name.clone()).or_default().push(value.clone());
        }
        values
    };
    let (old, new) = (by_name(before), by_name(after));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let one = |values: Option<&Vec<Value>>| match values.map(Vec::as_slice) {
        None => Value::Null,
        Some([one]) => one.clone(),
        Some(many) => Value::from(many.to_vec()),
    };
    let differ = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name));
    differ
        .map(|name| (name.clone(), one(old.get(name)), one(new.get(name))))
        .collect()
}

fn letters(before: &Outcome, after: &Outcome) -> BTreeMap<String, (u64, u64)> {
    let mut all: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let count = |outcome: &Outcome, add: &mut dyn FnMut(String, u64)| {
        // The ledger has all of them, also those that are not kept.
        for node in &outcome.ledger.nodes {
            for (reason, count) in &node.counts.dead_lettered {
                add(format!("{} {reason}", node.name), *count);
            }
        }
    };
    count(before, &mut |name, n| all.entry(name).or_default().0 += n);
    count(after, &mut |name, n| all.entry(name).or_default().1 += n);
    all.retain(|_, (before, after)| before != after);
    all
}

//! `route`: sends each event to the first output whose condition holds.
//!
//! ```yaml
//! router:
//!   type: route
//!   inputs: [x]
//!   routes:
//!     vip:   { path: .queue, in: [gold, platinum] }
//!     calls: { path: .type, equals: call }
//!   else: rest                # the name of one more output, or `drop`; by default `else`
//! ```
//!
//! Read as `router.vip`, `router.calls` and `router.rest`.

mod about;

pub use about::ABOUT;

use std::sync::Arc;

use crate::condition::Condition;
use crate::event::{Batch, Event, Path};
use crate::setting::{Fields, Key, Setting, read_name, wrong_type};
use crate::stage::Split;

/// Why an event was dropped, in the ledger.
const REASON: &str = "unrouted";
/// The output for the rest, unless it is called otherwise.
const ELSE: &str = "else";
/// Not an output: the word that throws the rest away.
const DROP: &str = "drop";
/// What transforms call the output for events that they reject.
const INVALID: &str = "invalid";

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// In the order of the file, which is the order of asking.
    routes: Vec<(String, Condition)>,
    /// The output for the rest; `None` drops it.
    rest: Option<String>,
}

impl Config {
    /// Reads the settings; every mistake goes into the report.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let routes = routes(fields);
        let rest = rest(fields);
        let (routes, rest) = (routes?, rest?);
        if let Some(name) = rest.as_ref().filter(|name| {
            let mut names = routes.iter().map(|(route, _)| route);
            names.any(|route| route == *name)
        }) {
            let span = fields.span_of("else");
            let message = format!("two outputs are called `{name}`: a route and the rest");
            fields
                .error("duplicate-name", span, message)
                .hint("call the rest otherwise: `else: rest`");
            return None;
        }
        Some(Self { routes, rest })
    }

    /// The names of the outputs, in their order.
    pub fn outputs(&self) -> Vec<String> {
        let routes = self.routes.iter().map(|(name, _)| name);
        routes.chain(&self.rest).cloned().collect()
    }

    /// Shows every path, so that it can be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        for (_, condition) in &mut self.routes {
            condition.paths(visit);
        }
    }

    /// The transform itself.
    pub fn open(self) -> Route {
        Route {
            conditions: self.routes.into_iter().map(|(_, it)| it).collect(),
            drops: self.rest.is_none(),
        }
    }
}

fn routes(fields: &mut Fields<'_>) -> Option<Vec<(String, Condition)>> {
    fields.takes("routes", || Condition::shape().map());
    let node = fields.required_node("routes")?;
    let Some(entries) = node.as_map() else {
        wrong_type(node, "a mapping of names to conditions", fields.report());
        return None;
    };
    if entries.is_empty() {
        fields.error(
            "empty-value",
            node.span,
            "`routes` needs at least one route",
        );
        return None;
    }
    let read: Vec<_> = entries
        .iter()
        .map(|(key, node)| {
            let name = output_name(key, fields);
            let condition = Condition::check(node, fields.report());
            Some((name?, condition?))
        })
        .collect();
    read.into_iter().collect()
}

/// The rest's output: its name, or `Some(None)` for `drop`.
fn rest(fields: &mut Fields<'_>) -> Option<Option<String>> {
    fields.takes("else", String::shape);
    if !fields.has("else") {
        return Some(Some(ELSE.to_owned()));
    }
    let name: String = fields.optional("else")?;
    if name == DROP {
        return Some(None);
    }
    let key = Key {
        name,
        span: fields.span_of("else"),
    };
    output_name(&key, fields).map(Some)
}

fn output_name(key: &Key, fields: &mut Fields<'_>) -> Option<String> {
    let name = read_name(key, fields.report())?;
    if name == DROP || name == INVALID {
        let message = format!("`{name}` cannot name an output of a route");
        let hint = match name {
            DROP => "`else: drop` drops what no route takes",
            _ => "it is the name of the output for events that a transform rejects",
        };
        fields.error("bad-name", key.span, message).hint(hint);
        return None;
    }
    Some(name.to_owned())
}

/// Splits batches by conditions: the first that holds wins.
#[derive(Clone, Debug)]
pub struct Route {
    conditions: Arc<[Condition]>,
    drops: bool,
}

impl Route {
    /// The number of the output; that behind the last condition is the rest.
    fn output_of(&self, event: &Event) -> usize {
        let mut conditions = self.conditions.iter();
        let found = conditions.position(|condition| condition.holds(event));
        found.unwrap_or(self.conditions.len())
    }
}

impl Split for Route {
    fn split(&self, batch: Batch) -> (Vec<Batch>, Vec<(&'static str, u64)>) {
        let outputs = self.conditions.len() + 1;
        let numbers: Vec<usize> = batch.events().iter().map(|it| self.output_of(it)).collect();
        let mut batches = match numbers.first() {
            // All to one side, as sorted input often is: the batch goes there as it is.
            Some(first) if numbers.iter().all(|number| number == first) => {
                let mut batches = vec![Batch::default(); outputs];
                batches[*first] = batch;
                batches
            }
            _ => distribute(batch, &numbers, outputs),
        };
        let mut dropped = Vec::new();
        if self.drops {
            let rest = batches.pop().map_or(0, |batch| batch.len());
            dropped.extend((rest > 0).then_some((REASON, rest as u64)));
        }
        (batches, dropped)
    }
}

fn distribute(batch: Batch, numbers: &[usize], outputs: usize) -> Vec<Batch> {
    let mut parts: Vec<Vec<Event>> = vec![Vec::new(); outputs];
    for (event, number) in batch.into_events().into_iter().zip(numbers) {
        parts[*number].push(event);
    }
    parts.into_iter().map(Batch::from).collect()
}

#[cfg(test)]
mod tests;

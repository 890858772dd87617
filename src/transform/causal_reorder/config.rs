//! The settings of `causal_reorder`, and what contradicts what.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::counters::Counters;
use crate::event::Path;
use crate::failure::Failure;
use crate::setting::{Fields, OneOrMany};
use crate::state::Table;

/// Most groups of states in `lifecycle.order`.
const MAX_RANKS: usize = 64;

/// What the stage was told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The conversation. Required.
    pub key: Path,
    /// The event's own time. Default `.timestamp`.
    pub time: Path,
    /// How it knows what comes before what. Default `lifecycle`.
    pub by: By,
    /// Longest wait for a predecessor, by the wall clock. Default 2 s.
    pub max_wait: Duration,
    /// By `lifecycle`: how far event times are expected to be out of order; events wait until their
    /// source has shown a time this much later. Default 0: they do not.
    pub lateness: Duration,
    /// Events held at once, over all conversations. Default 10,000.
    pub max_held: usize,
    /// Conversations remembered at once. Default 1,000,000.
    pub max_conversations: usize,
    /// A conversation that is silent for so long is forgotten. Default 1 h.
    pub idle: Duration,
    /// Events without a key go on as they are instead of being rejected. Default false.
    pub pass_without_key: bool,
    /// Where counters are read back from; default nowhere but the state.
    pub counters: Option<Counters>,
    /// Counters that another system remembers, by the text of their keys. Read before the start.
    pub seeds: Arc<HashMap<String, u64>>,
}

/// How to know what comes before what.
#[derive(Clone, Debug)]
pub enum By {
    /// By the event's time and the rank of its state.
    Lifecycle(Lifecycle),
    /// By a number that counts up.
    Sequence {
        /// Where the number is. Required.
        path: Path,
        /// The number of a conversation's first event. Default 1.
        first: u64,
    },
    /// By the event's vector clock.
    VectorClock {
        /// Where the clock is, an object of counters. Required.
        path: Path,
        /// Where the name of the event's own node is. Required.
        node: Path,
    },
}

/// The states that a conversation goes through.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Where the state is; without it only times count.
    pub path: Option<Path>,
    /// Whose state it is: states of different ones at the same time come in any order. Default: the
    /// conversation's, so that ranks count among all of its events.
    pub participant: Option<Path>,
    /// Groups of states, earliest first.
    pub order: Vec<Vec<String>>,
    /// A conversation must begin with a state of the first group. Default true.
    pub opener_required: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Lifecycle,
    Sequence,
    VectorClock,
}

impl Config {
    /// Reads the settings and reports every mistake. No I/O.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let modes = [
            ("lifecycle", Mode::Lifecycle),
            ("sequence", Mode::Sequence),
            ("vector_clock", Mode::VectorClock),
        ];
        let key = fields.required("key");
        let time = fields.optional("time");
        let mode = match fields.has("by") {
            true => fields.choice("by", &modes),
            false => Some(Mode::Lifecycle),
        };
        let max_wait = fields.or("max_wait", Duration::from_secs(2));
        let lateness = fields.or("lateness", Duration::ZERO);
        let max_held = at_least_one(fields, "max_held", 10_000);
        let max_conversations = at_least_one(fields, "max_conversations", 1_000_000);
        let idle = fields.or("idle", Duration::from_secs(3600));
        let pass_without_key = match fields.has("missing_key") {
            true => fields.choice("missing_key", &[("pass", true), ("reject", false)]),
            false => Some(false),
        };
        let by = ways(fields, mode);
        let counters = Counters::check(fields);
        let lateness_span = fields.span_of("lateness");
        if !lateness.is_zero() && mode.is_some_and(|mode| mode != Mode::Lifecycle) {
            fields
                .error(
                    "conflicting-fields",
                    lateness_span,
                    "`lateness` is about event times and means nothing to this way of ordering",
                )
                .hint("remove it, or order `by: lifecycle`");
        }
        Some(Self {
            key: key?,
            time: time.unwrap_or_else(|| Path::of(["timestamp"])),
            by: by?,
            max_wait,
            lateness,
            max_held: max_held?,
            max_conversations: max_conversations?,
            idle,
            pass_without_key: pass_without_key?,
            counters,
            seeds: Arc::default(),
        })
    }

    /// Reads counters back where the state has none of its own; once, before the stage is opened.
    ///
    /// # Errors
    /// As [`Counters`] says: fatal.
    pub async fn prepare(&mut self, table: &Table) -> Result<(), Failure> {
        let Some(counters) = &self.counters else {
            return Ok(());
        };
        let mut remembers = false;
        table.scan(&mut |_, _| remembers = true)?;
        if !remembers {
            self.seeds = Arc::new(counters.read().await?);
        }
        Ok(())
    }

    /// How many conversations the table remembers, of all lanes.
    ///
    /// # Errors
    /// Fatal when the state store cannot be read.
    pub fn remembered(table: &Table) -> Result<u64, Failure> {
        let mut conversations = 0;
        table.scan(&mut |_, _| conversations += 1)?;
        Ok(conversations)
    }

    /// Counters are not read back from another system; says so.
    pub fn stay_home(&mut self) -> Option<&'static str> {
        self.counters.take()?;
        Some("counters are not read back from the InfluxDB: each conversation begins at 1")
    }

    /// Visits every path, so that the compiler can intern them.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        visit(&mut self.key);
        visit(&mut self.time);
        match &mut self.by {
            By::Lifecycle(lifecycle) => {
                let paths = [&mut lifecycle.path, &mut lifecycle.participant];
                paths.into_iter().flatten().for_each(visit);
            }
            By::Sequence { path, .. } => visit(path),
            By::VectorClock { path, node } => [path, node].into_iter().for_each(visit),
        }
    }
}

/// Reads the section of the mode in use, and refuses those of the others.
fn ways(fields: &mut Fields<'_>, mode: Option<Mode>) -> Option<By> {
    let lifecycle = fields.section("lifecycle", "`lifecycle`", check_lifecycle);
    let sequence = fields.section("sequence", "`sequence`", |fields| {
        let path = fields.required("path");
        let first = fields.or("first", 1);
        Some(By::Sequence { path: path?, first })
    });
    let clock = fields.section("vector_clock", "`vector_clock`", |fields| {
        let (path, node) = (fields.required("path"), fields.required("node"));
        let (path, node) = (path?, node?);
        Some(By::VectorClock { path, node })
    });
    let sections = [
        ("lifecycle", Mode::Lifecycle),
        ("sequence", Mode::Sequence),
        ("vector_clock", Mode::VectorClock),
    ];
    let mode = mode?;
    for (name, other) in sections {
        if other != mode && fields.has(name) {
            let span = fields.key_span_of(name);
            let message = format!("`{name}` is not the way by which this node orders");
            fields
                .error("conflicting-fields", span, message)
                .hint(format!("remove it, or order `by: {name}`"));
        }
    }
    match mode {
        Mode::Lifecycle if fields.has("lifecycle") => lifecycle,
        Mode::Lifecycle => Some(By::Lifecycle(Lifecycle::default())),
        Mode::Sequence => fields.required_node("sequence").and(sequence),
        Mode::VectorClock => fields.required_node("vector_clock").and(clock),
    }
}

fn check_lifecycle(fields: &mut Fields<'_>) -> Option<By> {
    let path = fields.required("path");
    let participant = fields.optional("participant");
    let order: Option<Vec<OneOrMany<String>>> = fields.required("order");
    let opener_required = match fields.has("opener") {
        true => fields.choice("opener", &[("required", true), ("optional", false)]),
        false => Some(true),
    };
    let order: Vec<Vec<String>> = order?.into_iter().map(|group| group.0).collect();
    let span = fields.span_of("order");
    if order.is_empty() || order.len() > MAX_RANKS {
        fields.error(
            "out-of-range",
            span,
            format!("`order` has 1 to {MAX_RANKS} groups of states"),
        );
        return None;
    }
    let states: Vec<_> = order.iter().flatten().collect();
    for (at, state) in states.iter().enumerate() {
        // Not shown: it may have come from a variable.
        if states[..at].iter().any(|s| s.eq_ignore_ascii_case(state)) {
            fields.error(
                "conflicting-fields",
                span,
                "a state is in `order` twice (upper and lower case are the same)",
            );
            return None;
        }
    }
    Some(By::Lifecycle(Lifecycle {
        path: Some(path?),
        participant,
        order,
        opener_required: opener_required?,
    }))
}

fn at_least_one(fields: &mut Fields<'_>, name: &'static str, default: usize) -> Option<usize> {
    let value = fields.or(name, default);
    if value > 0 && value <= 100_000_000 {
        return Some(value);
    }
    let span = fields.span_of(name);
    fields.error(
        "out-of-range",
        span,
        format!("`{name}` is at least 1 and at most 100000000"),
    );
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Report, Span};
    use crate::setting::{Key, Node, Value};

    fn node(json: &serde_json::Value) -> Node {
        use serde_json::Value as Json;
        let span = Span::start();
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => Value::Int(n.as_i64().unwrap()),
            Json::String(s) => Value::Text(s.clone()),
            Json::Array(items) => Value::List(items.iter().map(node).collect()),
            Json::Object(fields) => {
                let key = |name: &String| Key {
                    name: name.clone(),
                    span,
                };
                Value::Map(fields.iter().map(|(n, v)| (key(n), node(v))).collect())
            }
        };
        Node::new(value, span)
    }

    fn check(json: &str) -> (Option<Config>, Vec<&'static str>) {
        let node = node(&serde_json::from_str(json).unwrap());
        let mut report = Report::new("f");
        let mut fields = Fields::new(&node, "transform `ordered`", &mut report).unwrap();
        let config = Config::check(&mut fields);
        fields.finish();
        (config, report.iter().map(|item| item.code).collect())
    }

    #[test]
    fn has_defaults_for_all_but_the_key() {
        let (config, codes) = check(r#"{"key": ".id"}"#);
        let config = config.unwrap();
        assert!(codes.is_empty(), "{codes:?}");
        assert_eq!(config.time.to_string(), ".timestamp");
        assert_eq!(config.max_wait, Duration::from_secs(2));
        assert_eq!((config.max_held, config.pass_without_key), (10_000, false));
        assert!(matches!(
            config.by,
            By::Lifecycle(Lifecycle { path: None, .. })
        ));
    }

    #[test]
    fn reads_each_way_and_shows_all_its_paths() {
        for (json, paths) in [
            (
                r#"{"key": ".id", "lateness": "2s", "missing_key": "pass", "lifecycle":
                   {"path": ".state", "order": [["a", "b"], "c"], "opener": "optional"}}"#,
                ".id .timestamp .state",
            ),
            (
                r#"{"key": ".id", "time": ".at", "by": "sequence", "sequence": {"path": ".n"}}"#,
                ".id .at .n",
            ),
            (
                r#"{"key": ".id", "by": "vector_clock", "vector_clock": {"path": ".c", "node": ".n"}}"#,
                ".id .timestamp .c .n",
            ),
        ] {
            let (config, codes) = check(json);
            assert!(codes.is_empty(), "{codes:?}");
            let mut seen = Vec::new();
            config
                .unwrap()
                .paths(&mut |path| seen.push(path.to_string()));
            assert_eq!(seen.join(" "), paths);
        }
    }

    #[test]
    fn reports_what_is_wrong() {
        for (json, code) in [
            ("{}", "missing-field"),
            (r#"{"key": ".id", "by": "time"}"#, "unknown-value"),
            (r#"{"key": ".id", "by": "sequence"}"#, "missing-field"),
            (
                r#"{"key": ".id", "sequence": {"path": ".n"}}"#,
                "conflicting-fields",
            ),
            (
                r#"{"key": ".id", "by": "sequence", "sequence": {"path": ".n"}, "lateness": "1s"}"#,
                "conflicting-fields",
            ),
            (
                r#"{"key": ".id", "lifecycle": {"path": ".s", "order": []}}"#,
                "out-of-range",
            ),
            (
                r#"{"key": ".id", "lifecycle": {"path": ".s", "order": ["a", "A"]}}"#,
                "conflicting-fields",
            ),
            (r#"{"key": ".id", "max_held": 0}"#, "out-of-range"),
            (r#"{"key": ".id", "max_hold": 1}"#, "unknown-field"),
        ] {
            assert_eq!(check(json).1, [code], "{json}");
        }
    }
}

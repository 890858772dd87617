//! From `tests:` of a file to tests, with every mistake on the way.

use std::collections::{BTreeSet, HashMap};

use super::expect;
use super::pattern::{Time, event, named};
use super::{Fault, Gift, Given, START, Step, Trial};
use crate::condition::Condition;
use crate::diagnostic::{Report, Span, nearest, quote};
use crate::graph::outline::{Kind, Outline};
use crate::setting::{Fields, Node, Setting, Shape, Value, choice, wrong_type};

/// Names that a hint lists.
const MOST_NAMES: usize = 12;

/// Whether a sink is down, by the word for it.
const DOWN: &[(&str, bool)] = &[("up", false), ("down", true)];

const STEPS: [&str; 5] = ["send", "advance", "sink", "restart", "end"];

/// The tests of a file that names these variables.
pub(in crate::graph) fn read(
    fields: &mut Fields<'_>,
    outline: &Outline,
    variables: &BTreeSet<String>,
) -> Vec<Trial> {
    let mut names: HashMap<String, Span> = HashMap::new();
    fields.each("tests", |node, report| {
        let trial = trial(node, outline, variables, report)?;
        if let Some(first) = names.insert(trial.name.clone(), trial.span) {
            let message = format!("there is already a test called {}", quote(&trial.name));
            let entry = report.error("duplicate-name", trial.span, message);
            entry.hint(format!("it is at line {}", first.line));
        }
        Some(trial)
    })
}

fn trial(
    node: &Node,
    outline: &Outline,
    variables: &BTreeSet<String>,
    report: &mut Report,
) -> Option<Trial> {
    let said = node.get("name").and_then(Node::as_text);
    let what = match said {
        Some(name) => format!("test {}", quote(name)),
        None => "a test".to_owned(),
    };
    let mut fields = Fields::new(node, &what, report)?;
    let name = named(&mut fields, "name");
    let span = fields.span_of("name");
    let start = || START.parse().unwrap_or_default();
    let at = fields.optional::<Time>("at").map_or_else(start, |it| it.0);
    let what = format!("`variables` of {what}");
    let read = |f: &mut Fields<'_>| Some(own(f, variables));
    let variables = fields.section("variables", &what, read);
    let input = match fields.node("input") {
        Some(node) => given("input", node, outline, fields.report()),
        None => Vec::new(),
    };
    let listed = fields.has("steps");
    let steps = fields.each("steps", |node, report| step(node, outline, report));
    let expect = expect::read(&mut fields, outline);
    fields.finish();
    Some(Trial {
        name: name?,
        span,
        at,
        variables: variables.unwrap_or_default(),
        input,
        steps: listed.then_some(steps),
        expect,
    })
}

/// Values of variables, for one test. One that the file does not name would change nothing.
fn own(fields: &mut Fields<'_>, known: &BTreeSet<String>) -> Vec<(String, Option<String>)> {
    fields.all_take(|| {
        let scalar = Shape::Text("a text").or(Shape::Number).or(Shape::Bool);
        scalar.or(Shape::Nothing)
    });
    let mut all = Vec::new();
    for (key, node) in fields.entries() {
        if !known.contains(&key.name) {
            let message = format!("the file names no variable {}", quote(&key.name));
            let hint = match nearest(&key.name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a variable is named by `${NAME}` or `${NAME:-default}`".to_owned(),
            };
            let entry = fields.error("unknown-value", key.span, message);
            entry.hint(hint);
        }
        let value = match &node.value {
            Value::Null => None,
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(value.to_string()),
            Value::Text(value) => Some(value.clone()),
            Value::List(_) | Value::Map(_) => {
                let entry = wrong_type(node, "the text of a variable", fields.report());
                entry.hint("write `null` for one that is not set");
                continue;
            }
        };
        all.push((key.name.clone(), value));
    }
    all
}

/// A name that nothing has.
pub(super) fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    span: Span,
    report: &mut Report,
) {
    let message = format!("{} is not {what} of this pipeline", quote(name));
    let mut all: Vec<String> = known.clone().map(|it| format!("`{it}`")).collect();
    if all.len() > MOST_NAMES {
        all.truncate(MOST_NAMES);
        all.push("…".to_owned());
    }
    let hint = match nearest(name, known) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if all.is_empty() => None,
        None => Some(format!("there are only {}", all.join(", "))),
    };
    report.error("unknown-node", span, message).maybe_hint(hint);
}

fn check_name(kind: Kind, name: &str, outline: &Outline, span: Span, report: &mut Report) {
    let known = outline.nodes.iter().filter(|shape| shape.kind == kind);
    let known = known.map(|shape| shape.name.as_str());
    if !known.clone().any(|it| it == name) {
        unknown(&format!("a {}", kind.word()), name, known, span, report);
    }
}

/// What sources are given.
fn given(field: &str, node: &Node, outline: &Outline, report: &mut Report) -> Vec<Given> {
    let what = format!("`{field}` of a test");
    let Some(mut fields) = Fields::new(node, &what, report) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    fields.all_take(|| Shape::Any.map().list());
    for (key, node) in fields.entries() {
        check_name(Kind::Source, &key.name, outline, key.span, fields.report());
        let gift = match (node.as_list(), node.as_map()) {
            (Some(items), _) => {
                let report = fields.report();
                let events = items.iter().filter_map(|item| event(item, report));
                Some(Gift::Events(events.collect()))
            }
            (None, Some(_)) => {
                let what = format!("what `{}` is given", key.name);
                Fields::new(node, &what, fields.report()).and_then(|mut f| {
                    let path = f.required("file");
                    f.finish();
                    path.map(Gift::File)
                })
            }
            (None, None) => {
                let entry = wrong_type(node, "a list of events", fields.report());
                entry.hint("write `[ { … } ]`, or `{ file: PATH }`");
                None
            }
        };
        all.extend(gift.map(|gift| Given {
            source: key.name.clone(),
            gift,
        }));
    }
    all
}

fn step(node: &Node, outline: &Outline, report: &mut Report) -> Option<Step> {
    let mut fields = Fields::new(node, "a step of a test", report)?;
    let said: Vec<&str> = STEPS.into_iter().filter(|name| fields.has(name)).collect();
    let known = node.as_map().unwrap_or_default();
    let known = known.iter().any(|(key, _)| !STEPS.contains(&&*key.name));
    match said[..] {
        [_] => {}
        // What is there instead is told as unknown.
        [] if known => {}
        [] => {
            let message = "a step of a test says nothing";
            let entry = fields.error("missing-field", node.span, message);
            entry.hint(format!("it has one of `{}`", STEPS.join("`, `")));
        }
        _ => {
            let message = format!(
                "a step does one thing, and this has `{}`",
                said.join("`, `")
            );
            let entry = fields.error("conflicting-fields", node.span, message);
            entry.hint("write one step for each, in the order in which they happen");
        }
    }
    let mut steps = Vec::new();
    if let Some(node) = fields.node("send") {
        let sent = given("send", node, outline, fields.report());
        steps.push(Step::Send(sent));
    }
    steps.extend(fields.optional("advance").map(Step::Advance));
    if let Some(node) = fields.node("sink") {
        let faults = sinks(node, outline, fields.report());
        steps.push(Step::Sinks(faults));
    }
    for (name, step) in [("restart", Step::Restart), ("end", Step::End)] {
        if fields.optional::<bool>(name) == Some(true) {
            steps.push(step);
        }
    }
    fields.finish();
    steps.pop()
}

fn sinks(node: &Node, outline: &Outline, report: &mut Report) -> Vec<(String, Fault)> {
    let Some(mut fields) = Fields::new(node, "`sink` of a test", report) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    fields.all_take(Fault::shape);
    for (key, node) in fields.entries() {
        check_name(Kind::Sink, &key.name, outline, key.span, fields.report());
        let fault = Fault::read(node, fields.report());
        all.extend(fault.map(|fault| (key.name.clone(), fault)));
    }
    all
}

impl Setting for Fault {
    const EXPECTED: &'static str = "`up`, `down`, `{ slow: 2s }` or `{ rejects: CONDITION }`";

    fn shape() -> Shape {
        Shape::words(DOWN)
    }

    // The fields of the mapping that it can be are asked for one by one.
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        if node.as_text().is_some() {
            let down = choice(node, report, DOWN)?;
            let fault = Self::default();
            return Some(Self { down, ..fault });
        }
        if node.as_map().is_none() {
            wrong_type(node, Self::EXPECTED, report);
            return None;
        }
        let mut fields = Fields::new(node, "what a sink does", report)?;
        let slow = fields.optional("slow");
        let rejects = fields.optional::<Condition>("rejects");
        fields.finish();
        Some(Self {
            down: false,
            slow,
            rejects,
        })
    }
}

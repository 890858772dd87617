//! What the compiler knows about a pipeline's shape: who reads whom, and where that is written.

use std::collections::{HashMap, HashSet};

use super::Input;
use crate::diagnostic::{Report, Span, nearest, quote};
use crate::setting::{NAME_LENGTH, is_name};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Brings events in.
    Source,
    /// Changes, drops or routes them.
    Transform,
    /// Takes them out.
    Sink,
}

impl Kind {
    /// The word for messages.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Transform => "transform",
            Kind::Sink => "sink",
        }
    }
}

/// A node as it is written.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its `type`; empty when that is wrong.
    pub component: String,
    /// What it reads, and where that is written.
    pub inputs: Vec<(Input, Span)>,
    /// Outputs besides the unnamed one.
    pub outputs: Vec<String>,
    /// Whether it has an unnamed output.
    pub main: bool,
    /// Where its name is written.
    pub span: Span,
}

/// All nodes, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    /// The pipeline's name.
    pub name: String,
    /// Its nodes.
    pub nodes: Vec<Shape>,
}

/// What could not be told from the file, so that nothing is concluded from it.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Inputs whose text came from a variable: they are never shown.
    pub hidden: HashSet<Span>,
    /// Some node's inputs could not be read: who is unused is not known.
    pub unread: bool,
}

/// Circles that are told, and names that each of them shows. A hostile file has more.
const MOST_CIRCLES: usize = 8;
const MOST_NAMES: usize = 12;

impl Outline {
    /// Nodes by their names; of two that share one, the first.
    fn by_name(&self) -> HashMap<&str, &Shape> {
        let mut found = HashMap::with_capacity(self.nodes.len());
        for node in &self.nodes {
            found.entry(node.name.as_str()).or_insert(node);
        }
        found
    }

    /// Checks that every input is there, that nothing runs in a circle and nothing is unused.
    pub(super) fn check(&self, doubts: &Doubts, report: &mut Report) {
        let by_name = self.by_name();
        // What was meant counts as read: a misspelt input is one mistake and not two.
        let mut read: HashSet<Input> = HashSet::new();
        for node in &self.nodes {
            let mut seen: HashSet<&Input> = HashSet::new();
            for (input, span) in &node.inputs {
                if !seen.insert(input) {
                    let message = format!("`{}` reads {} twice", node.name, quote_input(input));
                    report
                        .error("duplicate-input", *span, message)
                        .hint("take one of the two out: each event would come twice");
                    continue;
                }
                let hidden = doubts.hidden.contains(span);
                read.insert(input.clone());
                read.extend(self.check_input(&by_name, input, (*span, hidden), report));
            }
        }
        for circle in self.circles(&by_name) {
            tell_circle(&circle, report);
        }
        if !doubts.unread {
            self.check_use(&read, report);
        }
    }

    /// Reports an input that leads nowhere; the result is what it may have been meant to be.
    fn check_input(
        &self,
        by_name: &HashMap<&str, &Shape>,
        input: &Input,
        (span, hidden): (Span, bool),
        report: &mut Report,
    ) -> Vec<Input> {
        let Some(node) = by_name.get(input.node.as_str()) else {
            return self.check_name(by_name, input, (span, hidden), report);
        };
        let shown = |text: String| match hidden {
            true => "the value of the variable".to_owned(),
            false => text,
        };
        if node.kind == Kind::Sink && node.outputs.is_empty() && !node.component.is_empty() {
            let name = shown(format!("`{}`", node.name));
            report
                .error(
                    "unknown-input",
                    span,
                    format!("{name} is a sink: nothing comes out of it"),
                )
                .hint("name what this sink reads, or a transform in front of it");
        } else if node.component.is_empty() {
            // Its settings are wrong, and that was said; what it puts out is not known.
        } else if input.output.is_empty() && !node.main {
            let message = format!("`{}` has named outputs only", node.name);
            let hint = format!("read one of `{}`", outputs_of(node).join("`, `"));
            report.error("unknown-output", span, message).hint(hint);
            let output = |output: &String| Input {
                node: node.name.clone(),
                output: output.clone(),
            };
            return node.outputs.iter().map(output).collect();
        } else if !input.output.is_empty() && !node.outputs.contains(&input.output) {
            let output = shown(quote(&input.output));
            let message = format!("`{}` has no output {output}", node.name);
            let near = nearest(&input.output, node.outputs.iter().map(String::as_str));
            let near = near.filter(|_| !hidden);
            let hint = match (near, node.outputs.is_empty()) {
                (Some(near), _) => format!("did you mean `{}.{near}`?", node.name),
                (None, true) => format!("read `{}` itself", node.name),
                (None, false) => format!("its outputs are `{}`", outputs_of(node).join("`, `")),
            };
            report.error("unknown-output", span, message).hint(hint);
            let meant = near.map(|near| Input {
                node: node.name.clone(),
                output: near.to_owned(),
            });
            return meant.into_iter().collect();
        }
        Vec::new()
    }

    fn check_name(
        &self,
        by_name: &HashMap<&str, &Shape>,
        input: &Input,
        (span, hidden): (Span, bool),
        report: &mut Report,
    ) -> Vec<Input> {
        // A name with a dot in it is none, which was said; that it is meant is clear.
        let whole: String = input.to_string().chars().take(NAME_LENGTH).collect();
        if let Some(node) = by_name
            .get(whole.as_str())
            .filter(|it| !is_name(&it.name) || input.node.len() > NAME_LENGTH)
        {
            return vec![Input {
                node: node.name.clone(),
                output: String::new(),
            }];
        }
        let names = self.nodes.iter();
        let names = names.filter(|node| node.kind != Kind::Sink || !node.outputs.is_empty());
        let names: Vec<&str> = names.map(|node| node.name.as_str()).collect();
        let near = nearest(&input.node, names.iter().copied()).filter(|_| !hidden);
        let hint = match near.and_then(|name| by_name.get(name)) {
            Some(node) => Some(format!(
                "did you mean `{}`, defined at line {}?",
                node.name, node.span.line
            )),
            None if names.is_empty() => None,
            None => Some(format!(
                "there are only {}",
                listed(names.iter().copied(), ", ")
            )),
        };
        let shown = match hidden {
            true => "the value of the variable".to_owned(),
            false => quote_input(input),
        };
        let message = format!("{shown} is not a source or transform of this pipeline");
        report
            .error("unknown-input", span, message)
            .maybe_hint(hint);
        let meant = near.map(|near| Input {
            node: near.to_owned(),
            output: input.output.clone(),
        });
        meant.into_iter().collect()
    }

    /// The first few circles, each in the order in which events would run through it.
    fn circles<'a>(&'a self, by_name: &HashMap<&str, &'a Shape>) -> Vec<Vec<&'a Shape>> {
        let mut walk = Walk::default();
        for node in &self.nodes {
            walk.from(node, by_name);
        }
        walk.circles
    }

    fn check_use(&self, read: &HashSet<Input>, report: &mut Report) {
        let names: HashSet<&str> = read.iter().map(|input| input.node.as_str()).collect();
        for node in self.nodes.iter().filter(|node| node.kind != Kind::Sink) {
            if !names.contains(node.name.as_str()) {
                let message = format!("nothing reads the {} `{}`", node.kind.word(), node.name);
                report
                    .error("unused-component", node.span, message)
                    .hint("name it in the `inputs` of a transform or a sink, or take it out");
            } else if !node.main {
                check_outputs(node, read, report);
            }
        }
    }

    /// Transforms, each after everything that it reads. Only for an outline without mistakes.
    pub(super) fn order(&self) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        let mut placed: HashSet<&str> = HashSet::new();
        let sources = self.nodes.iter().filter(|node| node.kind == Kind::Source);
        placed.extend(sources.map(|node| node.name.as_str()));
        loop {
            let ready: Vec<&Shape> = self
                .nodes
                .iter()
                .filter(|node| !placed.contains(node.name.as_str()))
                .filter(|node| {
                    node.inputs
                        .iter()
                        .all(|(i, _)| placed.contains(i.node.as_str()))
                })
                .collect();
            if ready.is_empty() {
                return order;
            }
            for node in ready {
                placed.insert(&node.name);
                if node.kind == Kind::Transform {
                    order.push(node.name.clone());
                }
            }
        }
    }
}

/// Outputs of a node without an unnamed one that nobody reads, while others are read.
fn check_outputs(node: &Shape, read: &HashSet<Input>, report: &mut Report) {
    for output in &node.outputs {
        let input = Input {
            node: node.name.clone(),
            output: output.clone(),
        };
        if !read.contains(&input) {
            let message = format!("nothing reads `{input}`: its events are dropped");
            report
                .warning("unread-output", node.span, message)
                .hint("name it in some `inputs`; what is dropped is counted as `unrouted`");
        }
    }
}

fn outputs_of(node: &Shape) -> Vec<String> {
    let outputs = node.outputs.iter();
    outputs.map(|it| format!("{}.{it}", node.name)).collect()
}

/// As it is written, but never more than a message holds.
fn quote_input(input: &Input) -> String {
    quote(&input.to_string())
}

/// Names in backticks; of very many, the first.
fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>, between: &str) -> String {
    let more = names.len() > MOST_NAMES;
    let mut shown: Vec<String> = names
        .take(MOST_NAMES)
        .map(|name| format!("`{name}`"))
        .collect();
    shown.extend(more.then(|| "…".to_owned()));
    shown.join(between)
}

fn tell_circle(circle: &[&Shape], report: &mut Report) {
    let Some(first) = circle.first() else { return };
    let message = match circle {
        [alone] => format!("`{}` reads itself", alone.name),
        _ => format!(
            "{} feed each other in a circle",
            listed(circle.iter().map(|node| node.name.as_str()), " -> ")
        ),
    };
    report
        .error("cycle", first.span, message)
        .hint("an event must leave the pipeline: take one of these inputs out");
}

/// A search in depth, against the flow, with a list of its own: a long chain is no reason to recurse.
#[derive(Default)]
struct Walk<'a> {
    trail: Vec<(&'a Shape, usize)>,
    /// Where a node stands in the trail; `None` once all that it reads was looked at.
    seen: HashMap<&'a str, Option<usize>>,
    circles: Vec<Vec<&'a Shape>>,
}

impl<'a> Walk<'a> {
    fn from(&mut self, start: &'a Shape, by_name: &HashMap<&str, &'a Shape>) {
        self.enter(start);
        while let Some((node, at)) = self.trail.last_mut() {
            let (node, next) = (*node, node.inputs.get(*at));
            *at += 1;
            let Some((input, _)) = next else {
                self.seen.insert(&node.name, None);
                self.trail.pop();
                continue;
            };
            if let Some(next) = by_name.get(input.node.as_str()) {
                self.enter(next);
            }
        }
    }

    fn enter(&mut self, node: &'a Shape) {
        match self.seen.get(node.name.as_str()) {
            None => {
                self.seen.insert(&node.name, Some(self.trail.len()));
                self.trail.push((node, 0));
            }
            // The trail runs against the flow: turn it round.
            Some(Some(from)) if self.circles.len() < MOST_CIRCLES => {
                let circle = self.trail[*from..].iter().rev().map(|(node, _)| *node);
                self.circles.push(circle.collect());
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;

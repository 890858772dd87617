//! Trees that no file says, for asking the readers of settings what they take.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::config::Loaded;
use crate::diagnostic::{Report, Span};
use crate::graph::check;
use crate::setting::{Key, Node, Record, Shape, Sketch, Value};

/// The name of an entry in a mapping whose names are free.
pub(super) const FREE: &str = "x";

/// A value that a reader is given.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    Map(Vec<(String, Given)>),
    List(Vec<Given>),
    Scalar(Value),
}

/// From a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Field(String),
    /// The first element of a list.
    Item,
}

impl Step {
    pub fn field(name: &str) -> Step {
        Step::Field(name.to_owned())
    }
}

impl Given {
    pub fn text(text: &str) -> Given {
        Given::Scalar(Value::Text(text.to_owned()))
    }

    pub fn empty() -> Given {
        Given::Map(Vec::new())
    }

    pub fn map<const N: usize>(entries: [(&str, Given); N]) -> Given {
        Given::Map(
            entries
                .into_iter()
                .map(|(name, given)| (name.to_owned(), given))
                .collect(),
        )
    }

    /// The value at the end of the way.
    pub fn at(&self, way: &[Step]) -> Option<&Given> {
        let Some((step, rest)) = way.split_first() else {
            return Some(self);
        };
        let inner = match (self, step) {
            (Given::Map(entries), Step::Field(name)) => {
                entries.iter().find(|(key, _)| key == name).map(|it| &it.1)
            }
            (Given::List(items), Step::Item) => items.first(),
            _ => None,
        };
        inner?.at(rest)
    }

    fn at_mut(&mut self, way: &[Step]) -> Option<&mut Given> {
        let Some((step, rest)) = way.split_first() else {
            return Some(self);
        };
        let inner = match (self, step) {
            (Given::Map(entries), Step::Field(name)) => entries
                .iter_mut()
                .find(|(key, _)| key == name)
                .map(|it| &mut it.1),
            (Given::List(items), Step::Item) => items.first_mut(),
            _ => None,
        };
        inner?.at_mut(rest)
    }

    /// The same with another value for a field of the mapping at the end of the way.
    pub fn with(&self, way: &[Step], name: &str, value: Given) -> Given {
        let mut all = self.clone();
        if let Some(Given::Map(entries)) = all.at_mut(way) {
            entries.retain(|(key, _)| key != name);
            entries.push((name.to_owned(), value));
        }
        all
    }

    /// A tree of it. Each value has a line of its own, and what is read as a mapping at the end of
    /// `way` is recorded in `sketch`.
    fn node(&self, way: Option<&[Step]>, sketch: &Sketch, line: &mut u32) -> Node {
        *line += 1;
        let span = Span::on_line(*line, 1, 1);
        let inside = |step: &Step| match way?.split_first() {
            Some((first, rest)) if first == step => Some(rest),
            _ => None,
        };
        let value = match self {
            Given::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(name, given)| {
                        let way = inside(&Step::field(name));
                        let name = name.clone();
                        (Key { name, span }, given.node(way, sketch, line))
                    })
                    .collect(),
            ),
            Given::List(items) => Value::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(at, given)| {
                        let way = if at == 0 { inside(&Step::Item) } else { None };
                        given.node(way, sketch, line)
                    })
                    .collect(),
            ),
            Given::Scalar(value) => value.clone(),
        };
        let mut node = Node::new(value, span);
        if way.is_some_and(<[Step]>::is_empty) {
            node.sketch = Some(sketch.clone());
        }
        node
    }

    /// Has it checked as a pipeline, and tells what was asked of the mapping at the end of `way`.
    pub fn record(&self, way: &[Step]) -> Record {
        self.checked(way).0
    }

    /// The same, and whatever was wrong: its code, and whether it was at that very place.
    pub fn checked(&self, way: &[Step]) -> (Record, Vec<(&'static str, bool)>) {
        let (sketch, mut line) = (Sketch::default(), 0);
        let tree = self.node(Some(way), &sketch, &mut line);
        let place = spanned(&tree, way).map(|node| node.span);
        let loaded = Loaded {
            file: PathBuf::from("schema.yaml").display().to_string().into(),
            text: "".into(),
            tree: Some(tree),
            report: Report::new("schema.yaml"),
            variables: BTreeSet::new(),
        };
        let report = check::check(&loaded).report;
        let wrong = report
            .iter()
            .filter(|it| it.severity == crate::diagnostic::Severity::Error)
            .map(|it| (it.code, it.span.is_some() && it.span == place));
        (sketch.record(), wrong.collect())
    }
}

fn spanned<'n>(node: &'n Node, way: &[Step]) -> Option<&'n Node> {
    let Some((step, rest)) = way.split_first() else {
        return Some(node);
    };
    let inner = match step {
        Step::Field(name) => node.get(name),
        Step::Item => node.as_list()?.first(),
    };
    spanned(inner?, rest)
}

/// A value that the shape takes.
pub(super) fn sample(shape: &Shape) -> Given {
    let scalar = Given::Scalar;
    match shape {
        Shape::Text(meaning) => Given::text(match *meaning {
            "a path to a field" => ".x",
            "an address such as 127.0.0.1:9100" => "127.0.0.1:9100",
            "a type" => "string",
            _ => "x",
        }),
        Shape::Bool => scalar(Value::Bool(true)),
        Shape::Off => scalar(Value::Bool(false)),
        Shape::Int { least, most } => scalar(Value::Int(1.clamp(*least, *most))),
        Shape::Number => scalar(Value::Float(1.5)),
        Shape::Duration => Given::text("1m"),
        Shape::Size => Given::text("1MiB"),
        Shape::Share => Given::text("5%"),
        Shape::Words(words) => words.first().map_or(Given::empty(), |it| Given::text(it)),
        Shape::Nothing => scalar(Value::Null),
        Shape::Any | Shape::Reference => scalar(Value::Int(1)),
        Shape::List(shape) => Given::List(vec![sample(shape)]),
        Shape::Map(shape) => Given::map([(FREE, sample(shape))]),
        Shape::Either(all) => all.first().map_or(Given::empty(), sample),
        Shape::Named("condition") => Given::map([
            ("path", Given::text(".x")),
            ("exists", scalar(Value::Bool(true))),
        ]),
        Shape::Named(_) => Given::map([("type", Given::text("blackhole"))]),
    }
}

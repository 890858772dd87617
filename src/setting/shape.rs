//! What a field takes, and a record of what a reader asked for: the schema of a pipeline file is
//! drawn from the very code that reads it.
//!
//! A [`Sketch`] hangs on a mapping of a made-up tree. Whoever reads that mapping with
//! [`super::Fields`] leaves in it the name of each field that was asked for, what it takes, and
//! whether it has to be there. Trees of real files have none, and nothing is recorded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;

/// What a field means: its path within the component (`buffer.type`; elements of lists and entries of
/// free names have no part in it), and a sentence or two. The empty path is the component itself.
pub type About = (&'static str, &'static str);

/// What a field takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Text, and what it stands for, with its article.
    Text(&'static str),
    /// `true` or `false`.
    Bool,
    /// `false` and nothing else: what switches a part off.
    Off,
    /// A whole number between these.
    Int { least: i64, most: i64 },
    /// Any finite number.
    Number,
    /// An amount with a unit: `5m`.
    Duration,
    /// Bytes, with a unit or without.
    Size,
    /// From 0 to 1, or `5%`.
    Share,
    /// One of these words.
    Words(Vec<String>),
    /// Nothing at all: `null`, or nothing behind the colon.
    Nothing,
    /// Any value.
    Any,
    /// A reference to a variable and nothing written out.
    Reference,
    /// A list, each element so.
    List(Box<Shape>),
    /// A mapping whose names are free, each value so.
    Map(Box<Shape>),
    /// Any of these.
    Either(Vec<Shape>),
    /// A definition that several share, or that contains itself.
    Named(&'static str),
}

impl Shape {
    /// A whole number from `least` on.
    pub fn from(least: i64) -> Shape {
        let most = i64::MAX;
        Shape::Int { least, most }
    }

    /// One of a closed set of words, as [`super::choice`] takes it.
    pub fn words<T>(choices: &[(&str, T)]) -> Shape {
        Shape::Words(choices.iter().map(|(word, _)| (*word).to_owned()).collect())
    }

    /// A list of these.
    pub fn list(self) -> Shape {
        Shape::List(Box::new(self))
    }

    /// A mapping of free names to these.
    pub fn map(self) -> Shape {
        Shape::Map(Box::new(self))
    }

    /// This or that.
    pub fn or(self, other: Shape) -> Shape {
        match self {
            Shape::Either(mut all) => {
                all.push(other);
                Shape::Either(all)
            }
            one => Shape::Either(vec![one, other]),
        }
    }
}

/// A field that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub name: &'static str,
    /// Whether it was asked for as one that has to be there.
    pub required: bool,
    /// What was said of its value, each once; empty where the reader took the node as it is.
    pub shapes: Vec<Shape>,
    /// Whether it was asked for, and not only spoken of.
    pub(super) known: bool,
    /// Whether the shapes were said by hand, and not by a type.
    pub(super) by_hand: bool,
    /// What stands in for it, where the reader said so.
    pub default: Option<Json>,
}

/// What was asked of one mapping.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Whether anybody read it as a mapping of fields.
    pub entered: bool,
    /// In the order in which they were asked for.
    pub asked: Vec<Asked>,
    /// Whether all names are taken.
    pub open: bool,
    /// What the values of free names are, where the reader said so.
    pub every: Vec<Shape>,
}

/// Records what is asked of a mapping. Clones share one record.
#[derive(Clone, Debug, Default)]
pub struct Sketch(Arc<Mutex<Record>>);

// Of two trees with the same content each may have a record of its own.
impl PartialEq for Sketch {
    fn eq(&self, _: &Sketch) -> bool {
        true
    }
}

impl Sketch {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has been recorded so far.
    pub fn record(&self) -> Record {
        let mut record = self.lock().clone();
        record.asked.retain(|asked| asked.known);
        record
    }

    pub(super) fn enter(&self) {
        self.lock().entered = true;
    }

    pub(super) fn open(&self) {
        self.lock().open = true;
    }

    pub(super) fn every(&self, shape: Shape) {
        let mut record = self.lock();
        if !record.every.contains(&shape) {
            record.every.push(shape);
        }
    }

    /// Changes what is known of a field.
    pub(super) fn note(&self, name: &'static str, change: impl FnOnce(&mut Asked)) {
        let mut record = self.lock();
        let at = match record.asked.iter().position(|asked| asked.name == name) {
            Some(at) => at,
            None => {
                record.asked.push(Asked {
                    name,
                    required: false,
                    shapes: Vec::new(),
                    known: false,
                    by_hand: false,
                    default: None,
                });
                record.asked.len() - 1
            }
        };
        change(&mut record.asked[at]);
    }
}

impl Asked {
    /// Said by hand: from the first time on nothing else counts.
    pub(super) fn takes(&mut self, shape: Shape) {
        if !self.by_hand {
            self.by_hand = true;
            self.shapes.clear();
        }
        self.add(shape);
    }

    /// Said by the type that it was read as.
    pub(super) fn typed(&mut self, shape: Shape) {
        if !self.by_hand {
            self.add(shape);
        }
    }

    fn add(&mut self, shape: Shape) {
        if !self.shapes.contains(&shape) {
            self.shapes.push(shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::diagnostic::{Report, Span};
    use crate::setting::{Fields, Node, Value};

    #[test]
    fn what_is_read_is_recorded() {
        let mut node = Node::new(Value::Map(Vec::new()), Span::on_line(1, 1, 1));
        let sketch = Sketch::default();
        node.sketch = Some(sketch.clone());
        let mut report = Report::new("f");
        let mut fields = Fields::new(&node, "it", &mut report).unwrap();
        fields.required::<u16>("port");
        fields.or("wait", Duration::from_millis(90_500));
        fields.choice("mode", &[("one", 1), ("two", 2)]);
        fields.has("port");
        fields.section("tls", "tls", |_| Some(()));
        fields.finish();
        let record = sketch.record();
        assert!(record.entered && !record.open);
        let port = Shape::Int {
            least: 0,
            most: 65535,
        };
        let told = |name, required, shapes, default: Option<&str>| Asked {
            name,
            required,
            shapes,
            known: true,
            by_hand: false,
            default: default.map(Json::from),
        };
        assert_eq!(
            record.asked,
            [
                told("port", true, vec![port], None),
                told("wait", false, vec![Shape::Duration], Some("1m30s500ms")),
                told(
                    "mode",
                    false,
                    vec![Shape::Words(vec!["one".into(), "two".into()])],
                    None
                ),
                told("tls", false, vec![], None),
            ]
        );
    }
}

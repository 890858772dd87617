//! The settings of a component as they stand in the file, and how to read them.
//!
//! A pipeline file becomes a tree of [`Node`]s that know their place. [`Fields`] reads a mapping
//! field by field into typed values ([`Setting`]), writes every mistake into the report, and ends
//! by naming the fields that nobody asked for. A value that came out of a variable or a secret
//! file is never printed: [`Node::shown`] knows.

mod amount;
mod fields;
mod name;
mod path;
mod read;
mod shape;
mod text;
mod written;

pub use amount::{Share, Size};
pub use fields::Fields;
pub use name::{NAME_LENGTH, is_name, read_name};
pub use read::{OneOrMany, Setting, choice, wrong_type};
pub use shape::{About, Asked, Record, Shape, Sketch};
pub use text::{Pattern, Secret};
pub(crate) use written::Run;
pub use written::Written;

use crate::diagnostic::{Span, quote};

/// A value at a place.
#[derive(Clone, PartialEq)]
pub struct Node {
    pub value: Value,
    /// Of an alias: the place of use. Of a mapping or list: from its first to its last character.
    pub span: Span,
    /// Whether any part of the value came from outside the file; if so it must not be shown.
    pub from_variable: bool,
    /// The other reading of a scalar that is one reference and nothing else: the text of what was
    /// taken for a number (a field that wants text gets `007`, not `7`), or the number that a
    /// quoted one could be (within `{...}` a reference must be quoted, also for a port).
    pub(crate) other: Option<Box<Value>>,
    /// Its mistake is reported already (a variable that is not set): readers stay silent.
    pub(crate) broken: bool,
    /// Of a scalar of several lines: where each of them stands.
    pub(crate) written: Option<Written>,
    /// Of a mapping in a tree that no file says: where its reader leaves what it asks for.
    pub(crate) sketch: Option<Sketch>,
}

/// The kinds of values there are.
#[derive(Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; no name twice.
    Map(Vec<(Key, Node)>),
}

/// The name of a field, at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub span: Span,
}

impl Node {
    /// A value as written in the file.
    pub fn new(value: Value, span: Span) -> Node {
        Node {
            value,
            span,
            from_variable: false,
            other: None,
            broken: false,
            written: None,
            sketch: None,
        }
    }

    /// Stands where a value could not be made out, which is reported already.
    pub(crate) fn broken(span: Span) -> Node {
        Node {
            broken: true,
            from_variable: true,
            ..Node::new(Value::Null, span)
        }
    }

    /// Whether it is one reference and nothing else, and empty: what `"${NAME:-}"` leaves of a
    /// variable that is not set.
    pub fn is_unset(&self) -> bool {
        let empty = matches!(&self.value, Value::Text(text) if text.is_empty());
        let null = |value: &Value| *value == Value::Null;
        let other = self.other.as_deref();
        (empty && other.is_some_and(null)) || (null(&self.value) && other.is_some())
    }

    /// Whether the value could not be made out and that is reported already: whoever reads nodes by
    /// hand says nothing more about it ([`wrong_type`] and all types here do so by themselves).
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// What kind of value this is, for "expected ..., found ...".
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value in backticks as a message may show it, or a stand-in where it may not.
    pub fn shown(&self) -> String {
        if self.from_variable {
            return "the value of the variable".to_owned();
        }
        match &self.value {
            Value::Bool(value) => format!("`{value}`"),
            Value::Int(value) => format!("`{value}`"),
            Value::Float(value) => format!("`{value}`"),
            Value::Text(text) => quote(text),
            Value::Null | Value::List(_) | Value::Map(_) => self.kind().to_owned(),
        }
    }

    /// The text, if this is text (or came from a variable as text).
    pub fn as_text(&self) -> Option<&str> {
        match (&self.value, self.other.as_deref()) {
            (Value::Text(text), _) | (_, Some(Value::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// Where these bytes of the text stand in the file; `None` where escapes, references or folding
    /// have made another text of what is written there.
    pub fn place_of(&self, from: usize, to: usize) -> Option<Span> {
        let text = self.as_text()?;
        if let Some(written) = &self.written {
            return written.place(text, from, to);
        }
        let Span { line, column, .. } = self.span;
        let letters = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        if line != self.span.end_line {
            return None;
        }
        // Plain it is as long as its text, in quotes and without escapes longer by the two of them.
        let quotes = (self.span.end_column.saturating_sub(column)).checked_sub(letters(text))?;
        let (before, within) = (text.get(..from)?, text.get(from..to)?);
        let column = column + quotes / 2 + letters(before);
        matches!(quotes, 0 | 2).then(|| Span::on_line(line, column, letters(within)))
    }

    /// The value for a field that wants anything but text.
    pub(crate) fn untexted(&self) -> &Value {
        match (&self.value, self.other.as_deref()) {
            (Value::Text(_), Some(other)) => other,
            (value, _) => value,
        }
    }

    /// The elements, if this is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The fields, if this is a mapping.
    pub fn as_map(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The field `name` of a mapping, without any bookkeeping.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.as_map()?
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
    }

    /// The value as JSON. What JSON has no number for is null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::{Number, Value as Json};
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => Json::Number((*value).into()),
            Value::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => {
                let member = |(key, node): &(Key, Node)| (key.name.clone(), node.to_json());
                Json::Object(entries.iter().map(member).collect())
            }
        }
    }

    /// This and all nodes below, this one counted.
    pub fn count(&self) -> usize {
        1 + match &self.value {
            Value::List(items) => items.iter().map(Node::count).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| node.count()).sum(),
            _ => 0,
        }
    }
}

// A tree may hold secrets, so neither form of it prints values that came from outside.
impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.value, self.from_variable) {
            (_, true) => f.write_str("[variable]"),
            (value, false) => value.fmt(f),
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => value.fmt(f),
            Value::Int(value) => value.fmt(f),
            Value::Float(value) => value.fmt(f),
            Value::Text(text) => text.fmt(f),
            Value::List(items) => f.debug_list().entries(items).finish(),
            Value::Map(entries) => f
                .debug_map()
                .entries(entries.iter().map(|(key, node)| (&key.name, node)))
                .finish(),
        }
    }
}

#[cfg(test)]
mod tests;

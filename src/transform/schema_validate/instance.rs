//! An event's body as the JSON Schema crate reads it, without converting it.

use std::borrow::Cow;

use compact_str::CompactString;
use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object, unique};
use serde_json::Number;

use super::shape::{count, is_whole_text, shape};
use crate::event::{Elements, Kind, Members, Value};

/// Our representation of JSON.
pub(super) struct Body;

/// A value of an event, or a member's name (which `propertyNames` checks like a value).
#[derive(Clone)]
pub(super) enum Instance<'a> {
    Value(Value<'a>),
    Name(&'a str),
}

impl Json for Body {
    type Node<'a> = Instance<'a>;
    type PreparedKey = CompactString;
    type StringBuffer = ();

    // A look-up here walks the members, so one walk over all of them is the cheaper way nearly always.
    const KEYS_PER_LOOKUP: usize = 16;

    fn prepare_key(key: &str) -> CompactString {
        key.into()
    }

    fn with_string_node<T>(_: &mut (), string: &str, f: impl FnOnce(Instance<'_>) -> T) -> T {
        f(Instance::Name(string))
    }
}

impl<'a> Node<'a, Body> for Instance<'a> {
    type Object = Container<'a>;
    type Array = Container<'a>;
    type Number = Written<'a>;

    fn as_object(&self) -> Option<Container<'a>> {
        self.container(Kind::Object)
    }

    fn as_array(&self) -> Option<Container<'a>> {
        self.container(Kind::Array)
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Instance::Value(value) => value.as_str(),
            Instance::Name(name) => Some(Cow::Borrowed(name)),
        }
    }

    fn as_number(&self) -> Option<Written<'a>> {
        match self {
            Instance::Value(value) => value.as_number().map(Written),
            Instance::Name(_) => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            Instance::Value(value) => value.as_bool(),
            Instance::Name(_) => None,
        }
    }

    fn is_null(&self) -> bool {
        self.json_type() == JsonType::Null
    }

    fn is_number(&self) -> bool {
        self.json_type() == JsonType::Number
    }

    fn json_type(&self) -> JsonType {
        match self {
            Instance::Value(value) => match value.kind() {
                Kind::Null => JsonType::Null,
                Kind::Bool => JsonType::Boolean,
                Kind::Number => JsonType::Number,
                Kind::Text => JsonType::String,
                Kind::Array => JsonType::Array,
                Kind::Object => JsonType::Object,
            },
            Instance::Name(_) => JsonType::String,
        }
    }

    fn equals_value(&self, expected: &serde_json::Value) -> bool {
        match (expected.as_str(), self.as_string()) {
            (Some(expected), Some(text)) => expected == text,
            (None, None) => jsonschema::json::cmp::equal(&self.copy(), expected),
            _ => false,
        }
    }

    /// Used for errors alone (what compares values is done above and below): the shape stands in
    /// for the value, so that no error holds personal data, or a copy of a large body.
    fn to_value(&self) -> Cow<'a, serde_json::Value> {
        Cow::Owned(serde_json::Value::String(match self {
            Instance::Value(value) => shape(value),
            Instance::Name(name) => {
                format!("name of {}", count(name.chars().count(), "character"))
            }
        }))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        let (address, tag) = match self {
            Instance::Value(value) => value.identity(),
            Instance::Name(name) => (name.as_ptr() as usize, u32::MAX - 1),
        };
        Some(NodeIdentity::tagged(address, tag))
    }
}

impl<'a> Instance<'a> {
    fn container(&self, kind: Kind) -> Option<Container<'a>> {
        match self {
            Instance::Value(value) if value.kind() == kind => Some(Container(*value)),
            _ => None,
        }
    }

    /// The value itself, for the few keywords that compare containers or numbers.
    fn copy(&self) -> serde_json::Value {
        match self {
            Instance::Name(name) => serde_json::Value::String((*name).to_owned()),
            Instance::Value(value) => {
                let mut json = Vec::new();
                value.write_json(&mut json);
                // Only a number past the range of a float cannot be read; null equals none either.
                serde_json::from_slice(&json).unwrap_or_default()
            }
        }
    }
}

/// A number's text.
pub(super) struct Written<'a>(&'a str);

impl JsonNumber for Written<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.parse().ok()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0)
    }

    fn to_number(&self) -> Cow<'_, Number> {
        let number = serde_json::from_str(self.0).ok();
        // Past the range of a float: the largest there is, on the right side of every limit.
        let largest = || {
            let sign = if self.0.starts_with('-') { -1.0 } else { 1.0 };
            Number::from_f64(sign * f64::MAX)
        };
        Cow::Owned(number.or_else(largest).unwrap_or_else(|| 0.into()))
    }

    fn is_integer(&self) -> bool {
        is_whole_text(self.0)
    }
}

/// An object or an array.
pub(super) struct Container<'a>(Value<'a>);

impl<'a> Object<'a, Body> for Container<'a> {
    type Node = Instance<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = MembersOf<'a>;

    fn len(&self) -> usize {
        self.0.members().count()
    }

    fn is_empty(&self) -> bool {
        self.0.members().next().is_none()
    }

    fn get(&self, key: &CompactString) -> Option<Instance<'a>> {
        self.0.member(key).map(Instance::Value)
    }

    fn members(&self) -> MembersOf<'a> {
        MembersOf(self.0.members())
    }
}

impl<'a> Array<'a, Body> for Container<'a> {
    type Node = Instance<'a>;
    type ElementsIter = ElementsOf<'a>;

    fn len(&self) -> usize {
        self.0.elements().count()
    }

    fn elements(&self) -> ElementsOf<'a> {
        ElementsOf(self.0.elements())
    }

    fn is_unique(&self) -> bool {
        let copy = |value| Instance::Value(value).copy();
        let values: Vec<_> = self.0.elements().map(copy).collect();
        unique::is_unique(&values)
    }
}

pub(super) struct MembersOf<'a>(Members<'a>);

impl<'a> Iterator for MembersOf<'a> {
    type Item = (Cow<'a, str>, Instance<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        Some((name, Instance::Value(value)))
    }
}

pub(super) struct ElementsOf<'a>(Elements<'a>);

impl<'a> Iterator for ElementsOf<'a> {
    type Item = Instance<'a>;

    fn next(&mut self) -> Option<Instance<'a>> {
        self.0.next().map(Instance::Value)
    }
}

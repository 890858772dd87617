//! What a field is compared with, and the comparing.

use std::borrow::Cow;
use std::cmp::Ordering;

use memchr::memmem::Finder;

use crate::clock::parse_timestamp;
use crate::event::{Kind, Value};
use crate::setting::Pattern;

/// One operator with its operand.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Equals(Literal),
    In(Choices),
    /// True when the comparison comes out as one of the two orders.
    Compare(Bound, [Ordering; 2]),
    Matches(Pattern),
    StartsWith(String),
    EndsWith(String),
    Contains(Box<Finder<'static>>),
    /// Needs no value, so the rule itself looks.
    Exists(bool),
    Is(Kind),
}

/// A scalar as it stands in the file. Types count: `1` is `1.0` but not `"1"`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// The operand of `greater` and its like.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    Int(i64),
    Float(f64),
    /// Microseconds since 1970.
    Time(i64),
}

/// The operand of `in`. Texts are sorted, since lists of queues and tenants can be long.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    texts: Vec<String>,
    others: Vec<Literal>,
}

impl Choices {
    pub(super) fn new(literals: Vec<Literal>) -> Self {
        let (mut texts, mut others) = (Vec::new(), Vec::new());
        for literal in literals {
            match literal {
                Literal::Text(text) => texts.push(text),
                other => others.push(other),
            }
        }
        texts.sort_unstable();
        Self { texts, others }
    }

    fn hold_text(&self, text: &str) -> bool {
        let found = self.texts.binary_search_by(|one| one.as_str().cmp(text));
        found.is_ok()
    }

    fn hold(&self, value: Value<'_>) -> bool {
        match value.as_str() {
            Some(text) => self.hold_text(&text),
            None => self.others.iter().any(|one| one.equals(value)),
        }
    }
}

impl Test {
    pub(super) fn holds(&self, value: Value<'_>) -> bool {
        let text = |is: &dyn Fn(Cow<'_, str>) -> bool| value.as_str().is_some_and(is);
        match self {
            Self::Equals(literal) => literal.equals(value),
            Self::In(choices) => choices.hold(value),
            Self::Compare(bound, wanted) => bound
                .compare(value)
                .is_some_and(|order| wanted.contains(&order)),
            Self::Is(kind) => value.kind() == *kind,
            Self::Exists(there) => *there,
            Self::Matches(_) | Self::StartsWith(_) | Self::EndsWith(_) | Self::Contains(_) => {
                text(&|it| self.holds_text(&it))
            }
        }
    }

    /// The same of a text that stands by itself.
    pub(super) fn holds_text(&self, it: &str) -> bool {
        match self {
            Self::Equals(literal) => matches!(literal, Literal::Text(text) if text == it),
            Self::In(choices) => choices.hold_text(it),
            Self::Compare(bound, wanted) => bound
                .compare_text(it)
                .is_some_and(|order| wanted.contains(&order)),
            Self::Matches(pattern) => pattern.is_match(it),
            Self::StartsWith(start) => it.starts_with(start.as_str()),
            Self::EndsWith(end) => it.ends_with(end.as_str()),
            Self::Contains(part) => part.find(it.as_bytes()).is_some(),
            Self::Exists(there) => *there,
            Self::Is(kind) => *kind == Kind::Text,
        }
    }
}

impl Literal {
    fn equals(&self, value: Value<'_>) -> bool {
        match self {
            Self::Null => value.kind() == Kind::Null,
            Self::Bool(wanted) => value.as_bool() == Some(*wanted),
            Self::Int(wanted) => value.as_i64() == Some(*wanted),
            Self::Float(wanted) => value.as_f64() == Some(*wanted),
            Self::Text(wanted) => value.as_str().is_some_and(|text| text == *wanted),
        }
    }
}

impl Bound {
    /// How the value stands to the bound; `None` where the two cannot be compared.
    fn compare(self, value: Value<'_>) -> Option<Ordering> {
        match self {
            // Whole numbers are compared as such: a float loses the last digits of a long one.
            Self::Int(bound) => match value.as_i64() {
                Some(whole) => Some(whole.cmp(&bound)),
                None => value.as_f64()?.partial_cmp(&(bound as f64)),
            },
            Self::Float(bound) => value.as_f64()?.partial_cmp(&bound),
            Self::Time(_) => self.compare_text(&value.as_str()?),
        }
    }

    /// Text is compared with times alone.
    fn compare_text(self, text: &str) -> Option<Ordering> {
        match self {
            Self::Time(bound) => Some(parse_timestamp(text)?.cmp(&bound)),
            Self::Int(_) | Self::Float(_) => None,
        }
    }
}

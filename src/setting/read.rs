//! Typed reading of single values: the basic types, lists of them, and closed sets of words.

use super::{Node, Shape, Value};
use crate::diagnostic::{Entry, Report, nearest};

/// A type that a field can have.
pub trait Setting: Sized {
    /// What the field takes, for "expected ..., found ...": with its article, in a few words.
    const EXPECTED: &'static str;

    /// What the field takes, for the schema of the file.
    fn shape() -> Shape;

    /// The value as a file would say it, for the schema; `None` where it says nothing.
    fn told(&self) -> Option<serde_json::Value> {
        None
    }

    /// The value, or `None` after writing into `report` why it is none. A value that came from a
    /// variable must not be in the message: [`Node::shown`] takes care of it.
    fn read(node: &Node, report: &mut Report) -> Option<Self>;
}

/// Reports `wrong-type` at the node. Silent where the node's own mistake is reported already.
pub fn wrong_type<'r>(node: &Node, expected: &str, report: &'r mut Report) -> Entry<'r> {
    if node.broken {
        return Entry::silent();
    }
    let found = match node.value {
        Value::Null if !node.from_variable => "nothing".to_owned(),
        _ if node.from_variable => format!("{} in the value of the variable", node.kind()),
        Value::List(_) | Value::Map(_) => node.kind().to_owned(),
        _ => format!("{} {}", without_article(node.kind()), node.shown()),
    };
    report.error(
        "wrong-type",
        node.span,
        format!("expected {expected}, found {found}"),
    )
}

fn without_article(kind: &str) -> &str {
    kind.strip_prefix("a ").unwrap_or(kind)
}

/// One of `choices` by its word; `unknown-value` with the nearest or all of them otherwise.
pub fn choice<T: Clone>(node: &Node, report: &mut Report, choices: &[(&str, T)]) -> Option<T> {
    let Some(word) = node.as_text() else {
        // `on`, `null` and the like stay text in YAML 1.2, but `true` does not.
        wrong_type(node, "one word", report).hint(all_of(choices));
        return None;
    };
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == word) {
        return Some(value.clone());
    }
    // The nearest word of a hidden value would tell most of it, so there it is always the list.
    let near = nearest(word, choices.iter().map(|(name, _)| *name));
    let hint = match near.filter(|_| !node.from_variable) {
        Some(near) => format!("did you mean `{near}`?"),
        None => all_of(choices),
    };
    let message = format!("{} is not a choice of this field", node.shown());
    report.error("unknown-value", node.span, message).hint(hint);
    None
}

fn all_of<T>(choices: &[(&str, T)]) -> String {
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    format!("one of `{}`", names.join("`, `"))
}

impl Setting for bool {
    const EXPECTED: &'static str = "`true` or `false`";

    fn shape() -> Shape {
        Shape::Bool
    }

    fn told(&self) -> Option<serde_json::Value> {
        Some((*self).into())
    }

    fn read(node: &Node, report: &mut Report) -> Option<bool> {
        match node.untexted() {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => {
                let written = text.to_ascii_lowercase();
                let entry = wrong_type(node, Self::EXPECTED, report);
                // What YAML 1.1 took for booleans is text in YAML 1.2.
                if ["yes", "no", "on", "off", "true", "false"].contains(&written.as_str()) {
                    entry.hint("write `true` or `false`, without quotes");
                }
                None
            }
            _ => {
                wrong_type(node, Self::EXPECTED, report);
                None
            }
        }
    }
}

impl Setting for i64 {
    const EXPECTED: &'static str = "a whole number";

    fn shape() -> Shape {
        Shape::from(i64::MIN)
    }

    fn told(&self) -> Option<serde_json::Value> {
        Some((*self).into())
    }

    fn read(node: &Node, report: &mut Report) -> Option<i64> {
        match node.untexted() {
            Value::Int(value) => Some(*value),
            // The tree keeps integers past 64 bits as floats: the kind is right, the size is not.
            Value::Float(value) if value.fract() == 0.0 && value.abs() >= 9.0e18 => {
                out_of_range(node, i64::MIN, i64::MAX, report);
                None
            }
            Value::Text(text) if !node.from_variable && text.trim().parse::<i64>().is_ok() => {
                wrong_type(node, Self::EXPECTED, report).hint("write the number without quotes");
                None
            }
            _ => {
                wrong_type(node, Self::EXPECTED, report);
                None
            }
        }
    }
}

fn out_of_range(
    node: &Node,
    least: impl std::fmt::Display,
    most: impl std::fmt::Display,
    report: &mut Report,
) {
    let message = format!("{} is not between {least} and {most}", node.shown());
    report.error("out-of-range", node.span, message);
}

macro_rules! unsigned {
    ($($kind:ty),*) => {$(
        impl Setting for $kind {
            const EXPECTED: &'static str = "a whole number";

            fn shape() -> Shape {
                let least = i64::try_from(<$kind>::MIN).unwrap_or(0);
                let most = i64::try_from(<$kind>::MAX).unwrap_or(i64::MAX);
                Shape::Int { least, most }
            }

            fn told(&self) -> Option<serde_json::Value> {
                Some((*self).into())
            }

            fn read(node: &Node, report: &mut Report) -> Option<$kind> {
                let wide = i64::read(node, report)?;
                let value = <$kind>::try_from(wide).ok();
                if value.is_none() {
                    out_of_range(node, <$kind>::MIN, <$kind>::MAX, report);
                }
                value
            }
        }
    )*};
}

unsigned!(u16, u32, u64, usize);

impl Setting for f64 {
    const EXPECTED: &'static str = "a number";

    fn shape() -> Shape {
        Shape::Number
    }

    fn told(&self) -> Option<serde_json::Value> {
        Some((*self).into())
    }

    fn read(node: &Node, report: &mut Report) -> Option<f64> {
        match node.untexted() {
            // Exact up to 2^53; what is larger loses digits that no ratio or rate needs.
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) if value.is_finite() => Some(*value),
            Value::Float(_) => {
                let message = format!("{} is not a finite number", node.shown());
                report.error("out-of-range", node.span, message);
                None
            }
            _ => {
                wrong_type(node, Self::EXPECTED, report);
                None
            }
        }
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "text";

    fn shape() -> Shape {
        Shape::Text(Self::EXPECTED)
    }

    fn told(&self) -> Option<serde_json::Value> {
        (!self.is_empty()).then(|| self.as_str().into())
    }

    fn read(node: &Node, report: &mut Report) -> Option<String> {
        if let Some(text) = node.as_text() {
            return Some(text.to_owned());
        }
        let entry = wrong_type(node, Self::EXPECTED, report);
        if matches!(node.value, Value::Bool(_) | Value::Int(_) | Value::Float(_)) {
            entry.hint("put it in quotes to have it as text");
        }
        None
    }
}

impl<T: Setting> Setting for Vec<T> {
    const EXPECTED: &'static str = "a list";

    fn shape() -> Shape {
        T::shape().list()
    }

    fn told(&self) -> Option<serde_json::Value> {
        let all: Option<Vec<_>> = self.iter().map(T::told).collect();
        all.filter(|all| !all.is_empty()).map(Into::into)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Vec<T>> {
        let Some(items) = node.as_list() else {
            wrong_type(
                node,
                &format!("a list, each element {}", T::EXPECTED),
                report,
            )
            .hint("a list of one is written `[x]`");
            return None;
        };
        // Every element is read before the whole is given up, so that every mistake shows.
        let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, report)).collect();
        read.into_iter().collect()
    }
}

/// One value, or a list of at least one: `.id` or `[.id, .type]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: Setting> Setting for OneOrMany<T> {
    const EXPECTED: &'static str = "one value or a list";

    fn shape() -> Shape {
        T::shape().or(T::shape().list())
    }

    fn read(node: &Node, report: &mut Report) -> Option<OneOrMany<T>> {
        match node.as_list() {
            None => T::read(node, report).map(|one| OneOrMany(vec![one])),
            Some([]) => {
                report.error(
                    "empty-value",
                    node.span,
                    "the list needs at least one element",
                );
                None
            }
            Some(_) => Vec::read(node, report).map(OneOrMany),
        }
    }
}

//! What a value is expected to be, and how it differs from what was found.

use regex::Regex;
use serde_json::Value;

use super::judge::{Line, Sign};
use crate::diagnostic::Report;
use crate::setting::{self, Fields, Node, Setting, Shape};

/// Deepest nesting of what is expected.
const MAX_DEPTH: usize = 64;

/// What a value is expected to be.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// Anything: `"*"` or `{ any: true }`.
    Any,
    /// Not there: `{ absent: true }`.
    Absent,
    /// Text in which this is found: `{ matches: REGEX }`.
    Matches(Regex),
    /// A mapping with these members; whether there may be others is said by who compares.
    Map(Vec<(String, Pattern)>),
    /// A list of just these.
    List(Vec<Pattern>),
    /// This.
    Just(Value),
}

impl Pattern {
    /// Reads one; mistakes go into the report.
    pub(super) fn read(node: &Node, report: &mut Report) -> Option<Self> {
        Self::within(node, 1, report)
    }

    fn within(node: &Node, depth: usize, report: &mut Report) -> Option<Self> {
        if depth > MAX_DEPTH {
            let message = format!("what is expected is nested deeper than {MAX_DEPTH} levels");
            report.error("too-complex", node.span, message);
            return None;
        }
        if let Some(items) = node.as_list() {
            let read = items
                .iter()
                .map(|item| Self::within(item, depth + 1, report));
            // All of them, so that every mistake shows.
            let read: Vec<_> = read.collect();
            return read.into_iter().collect::<Option<_>>().map(Self::List);
        }
        let Some(entries) = node.as_map() else {
            return Some(match node.as_text() {
                Some("*") => Self::Any,
                _ => Self::Just(json(node)),
            });
        };
        if let [(key, value)] = entries
            && let Some(said) = Self::special(&key.name, node, value, report)
        {
            return said;
        }
        let member = |(key, value): &(setting::Key, Node)| {
            Some((key.name.clone(), Self::within(value, depth + 1, report)?))
        };
        let read: Vec<_> = entries.iter().map(member).collect();
        read.into_iter().collect::<Option<_>>().map(Self::Map)
    }

    /// A mapping that stands for something else than itself.
    fn special(name: &str, node: &Node, value: &Node, report: &mut Report) -> Option<Option<Self>> {
        let is_true = value.value == setting::Value::Bool(true);
        match name {
            "any" if is_true => Some(Some(Self::Any)),
            "absent" if is_true => Some(Some(Self::Absent)),
            "matches" if value.as_text().is_some() => {
                let mut fields = Fields::new(node, "what is expected", report)?;
                let regex = fields.required::<setting::Pattern>("matches");
                Some(regex.map(|regex| Self::Matches((*regex).clone())))
            }
            _ => None,
        }
    }

    /// Whether a value is as expected. `partial`: mappings may have members that are not named.
    pub fn holds(&self, value: Option<&Value>, partial: bool) -> bool {
        match (self, value) {
            (Self::Absent, None) => true,
            (_, None) | (Self::Absent, Some(_)) => false,
            (Self::Any, Some(_)) => true,
            (Self::Matches(regex), Some(value)) => match value {
                Value::String(text) => regex.is_match(text),
                Value::Number(number) => regex.is_match(&number.to_string()),
                _ => false,
            },
            (Self::Just(expected), Some(found)) => is_same(expected, found),
            (Self::List(expected), Some(Value::Array(found))) => {
                expected.len() == found.len()
                    && expected
                        .iter()
                        .zip(found)
                        .all(|(expected, found)| expected.holds(Some(found), partial))
            }
            (Self::Map(expected), Some(Value::Object(found))) => {
                let named = |name: &str| expected.iter().any(|(known, _)| known == name);
                expected
                    .iter()
                    .all(|(name, expected)| expected.holds(found.get(name), partial))
                    && (partial || found.keys().all(|name| named(name)))
            }
            (Self::List(_) | Self::Map(_), Some(_)) => false,
        }
    }

    /// Whether a text is as expected; `partial`: or is a part of it.
    pub(super) fn holds_text(&self, text: &str, partial: bool) -> bool {
        match self {
            Self::Just(Value::String(expected)) if partial => text.contains(expected.trim_end()),
            // A block of text in YAML ends with a line break.
            Self::Just(Value::String(expected)) => text.trim_end() == expected.trim_end(),
            other => other.holds(Some(&Value::from(text)), partial),
        }
    }

    /// As it is shown to people.
    pub fn shown(&self) -> Value {
        match self {
            Self::Any => Value::from("*"),
            Self::Absent => serde_json::json!({ "absent": true }),
            Self::Matches(regex) => serde_json::json!({ "matches": regex.as_str() }),
            Self::Just(value) => value.clone(),
            Self::List(items) => items.iter().map(Self::shown).collect(),
            Self::Map(members) => {
                let members = members.iter();
                members
                    .map(|(name, it)| (name.clone(), it.shown()))
                    .collect()
            }
        }
    }

    /// How many things differ: the smaller, the nearer.
    pub(super) fn distance(&self, value: Option<&Value>, partial: bool) -> usize {
        match (self, value) {
            (Self::Map(expected), Some(Value::Object(found))) => {
                let members = expected.iter();
                let differ = members.map(|(name, it)| it.distance(found.get(name), partial));
                let named = |name: &str| expected.iter().any(|(known, _)| known == name);
                let more = found.keys().filter(|name| !partial && !named(name)).count();
                differ.sum::<usize>() + more
            }
            (Self::List(expected), Some(Value::Array(found))) => {
                let both = expected.iter().zip(found);
                let differ = both.map(|(it, found)| it.distance(Some(found), partial));
                differ.sum::<usize>() + expected.len().abs_diff(found.len())
            }
            _ => usize::from(!self.holds(value, partial)),
        }
    }

    /// How a value differs, line by line.
    pub(super) fn diff(&self, value: &Value, partial: bool, into: &mut Vec<Line>) {
        self.differ(None, Some(value), partial, 0, into);
    }

    fn differ(
        &self,
        name: Option<&str>,
        value: Option<&Value>,
        partial: bool,
        depth: usize,
        into: &mut Vec<Line>,
    ) {
        let label = |text: String| match name {
            Some(name) => format!("{}{}: {text}", "  ".repeat(depth), Value::from(name)),
            None => format!("{}{text}", "  ".repeat(depth)),
        };
        match (self, value) {
            (_, Some(value)) if self.holds(Some(value), partial) => {
                into.push(Line(Sign::Same, label(value.to_string())));
            }
            (Self::Map(expected), Some(Value::Object(found))) => {
                into.push(Line(Sign::Same, label("{".into())));
                // Both are told in one order, whatever that of the file is.
                let mut names: Vec<&String> = expected.iter().map(|(name, _)| name).collect();
                names.extend(found.keys().filter(|_| !partial));
                names.sort();
                names.dedup();
                for name in names {
                    match expected.iter().find(|(known, _)| known == name) {
                        Some((_, it)) => {
                            it.differ(Some(name), found.get(name), partial, depth + 1, into);
                        }
                        None => {
                            let more = found.get(name).unwrap_or(&Value::Null);
                            let text = format!(
                                "{}{}: {more}",
                                "  ".repeat(depth + 1),
                                Value::from(name.as_str())
                            );
                            into.push(Line(Sign::Found, text));
                        }
                    }
                }
                let is_missing = |(name, it): &(String, Self)| {
                    !found.contains_key(name) && !matches!(it, Self::Absent)
                };
                if partial && expected.iter().any(is_missing) {
                    let there: Vec<&str> = found.keys().map(String::as_str).collect();
                    let told = format!("{}has {}", "  ".repeat(depth + 1), there.join(", "));
                    into.push(Line(Sign::Note, told));
                }
                into.push(Line(Sign::Same, format!("{}}}", "  ".repeat(depth))));
            }
            (Self::Absent, None) => {}
            (expected, found) => {
                into.push(Line(Sign::Expected, label(expected.shown().to_string())));
                if let Some(found) = found {
                    into.push(Line(Sign::Found, label(found.to_string())));
                }
            }
        }
    }
}

/// 1 and 1.0 are one number.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() != b.is_f64() => {
            a.as_f64() == b.as_f64()
        }
        _ => one == other,
    }
}

/// A part of the file as JSON.
pub(super) fn json(node: &Node) -> Value {
    match &node.value {
        setting::Value::Null => Value::Null,
        setting::Value::Bool(value) => Value::from(*value),
        setting::Value::Int(value) => Value::from(*value),
        setting::Value::Float(value) => Value::from(*value),
        setting::Value::Text(text) => Value::from(text.as_str()),
        setting::Value::List(items) => items.iter().map(json).collect(),
        setting::Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| (key.name.clone(), json(value)))
            .collect(),
    }
}

/// What has to be a mapping, as JSON.
pub(super) fn event(node: &Node, report: &mut Report) -> Option<Value> {
    if node.as_map().is_none() {
        setting::wrong_type(node, "an event: a mapping of fields", report);
        return None;
    }
    Some(json(node))
}

/// Text that is not empty.
pub(super) fn named(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text = fields.required::<String>(name)?;
    if text.trim().is_empty() {
        let span = fields.span_of(name);
        fields.error("empty-value", span, format!("`{name}` is empty"));
        return None;
    }
    Some(text)
}

/// A time of day.
pub(super) struct Time(pub jiff::Timestamp);

impl Setting for Time {
    const EXPECTED: &'static str = "a time such as `2026-03-02T08:00:00Z`";

    fn shape() -> Shape {
        Shape::Text("a time such as `2026-03-02T08:00:00Z`")
    }

    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let time = node.as_text().and_then(|text| text.parse().ok());
        if time.is_none() {
            setting::wrong_type(node, Self::EXPECTED, report);
        }
        time.map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{Fixed, parse};

    fn pattern(yaml: &str) -> Pattern {
        let loaded = parse("p.yaml", &format!("a: {yaml}"), &Fixed::new());
        let mut report = loaded.report.clone();
        let tree = loaded.tree.unwrap();
        let pattern = Pattern::read(tree.get("a").unwrap(), &mut report);
        pattern.unwrap_or_else(|| panic!("{report:?}"))
    }

    #[test]
    fn mappings_are_whole_or_partial_and_lists_are_whole() {
        for (yaml, value, partial, whole) in [
            ("{ a: 1 }", json!({ "a": 1, "b": 2 }), true, false),
            ("{ a: 1 }", json!({ "a": 1.0 }), true, true),
            ("{ a: 1 }", json!({ "a": "1" }), false, false),
            ("{ a: null }", json!({}), false, false),
            ("{ a: null }", json!({ "a": null }), true, true),
            (r#"{ a: "*" }"#, json!({ "a": { "b": 1 } }), true, true),
            ("{ a: { any: true } }", json!({}), false, false),
            ("{ a: { absent: true } }", json!({}), true, true),
            ("{ a: { absent: true } }", json!({ "a": 1 }), false, false),
            (
                "{ a: { matches: '^x+$' } }",
                json!({ "a": "xx" }),
                true,
                true,
            ),
            (
                "{ a: { matches: '^x+$' } }",
                json!({ "a": "xy" }),
                false,
                false,
            ),
            ("{ a: { matches: '7' } }", json!({ "a": 17 }), true, true),
            ("[ { a: 1 } ]", json!([{ "a": 1, "b": 1 }]), true, false),
            (
                "[ { a: 1 } ]",
                json!([{ "a": 1 }, { "a": 1 }]),
                false,
                false,
            ),
            // One member more, and it is a mapping like others.
            (
                "{ any: true, b: 1 }",
                json!({ "any": true, "b": 1 }),
                true,
                true,
            ),
        ] {
            let pattern = pattern(yaml);
            let held = (
                pattern.holds(Some(&value), true),
                pattern.holds(Some(&value), false),
            );
            assert_eq!(held, (partial, whole), "{yaml} {value}");
        }
    }

    #[test]
    fn a_difference_names_what_is_expected_found_and_there() {
        let differ = |yaml: &str, value: Value, partial: bool| {
            let mut lines = Vec::new();
            pattern(yaml).diff(&value, partial, &mut lines);
            let shown = lines.iter().map(|Line(sign, text)| {
                let mark = match sign {
                    Sign::Same => ' ',
                    Sign::Expected => '-',
                    Sign::Found => '+',
                    Sign::Note => '#',
                };
                format!("{mark}{text}")
            });
            shown.collect::<Vec<_>>()
        };
        let found = json!({ "a": { "b": 1, "c": 2 }, "d": 3 });
        let whole = differ("{ d: 4, a: { b: 1 } }", found.clone(), false);
        let expected = [
            " {",
            "   \"a\": {",
            "     \"b\": 1",
            "+    \"c\": 2",
            "   }",
            "-  \"d\": 4",
            "+  \"d\": 3",
            " }",
        ];
        assert_eq!(whole, expected);
        let partial = differ("{ a: { b: 1 }, x: 1 }", found, true);
        let expected = [
            " {",
            "   \"a\": {\"b\":1,\"c\":2}",
            "-  \"x\": 1",
            "#  has a, d",
            " }",
        ];
        assert_eq!(partial, expected);
    }
}

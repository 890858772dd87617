//! The light form of a schema: fields and their types, checked directly on resolved paths.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use super::shape::{is_whole, shape};
use super::timestamp::is_timestamp;
use crate::diagnostic::{Report, nearest, quote};
use crate::event::{Event, Kind, Path, Value};
use crate::setting::{Fields, Key, Node, Setting, Shape};
use crate::stage::Violation;

/// A set of types: `integer`, `string|null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

const STRING: u8 = 1;
const INTEGER: u8 = 1 << 1;
const NUMBER: u8 = 1 << 2;
const BOOLEAN: u8 = 1 << 3;
const TIMESTAMP: u8 = 1 << 4;
const OBJECT: u8 = 1 << 5;
const ARRAY: u8 = 1 << 6;
const NULL: u8 = 1 << 7;

const NAMES: [(&str, u8); 8] = [
    ("string", STRING),
    ("integer", INTEGER),
    ("number", NUMBER),
    ("boolean", BOOLEAN),
    ("timestamp", TIMESTAMP),
    ("object", OBJECT),
    ("array", ARRAY),
    ("null", NULL),
];

impl Types {
    /// Is the value of one of these types?
    pub(super) fn accept(self, value: &Value<'_>) -> bool {
        let bit = match value.kind() {
            Kind::Null => NULL,
            Kind::Bool => BOOLEAN,
            Kind::Array => ARRAY,
            Kind::Object => OBJECT,
            Kind::Number if self.0 & NUMBER == 0 => {
                return self.0 & INTEGER != 0 && is_whole(value);
            }
            Kind::Number => NUMBER,
            Kind::Text if self.0 & STRING == 0 => {
                return self.0 & TIMESTAMP != 0
                    && value.as_str().is_some_and(|text| is_timestamp(&text));
            }
            Kind::Text => STRING,
        };
        self.0 & bit != 0
    }

    /// From `integer` or `string|null`; the word that is none otherwise.
    fn parse(text: &str) -> Result<Types, &str> {
        let mut bits = 0;
        for word in text.split('|').map(str::trim) {
            let known = NAMES.iter().find(|(name, _)| *name == word);
            bits |= known.ok_or(word)?.1;
        }
        Ok(Types(bits))
    }
}

impl fmt::Display for Types {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.iter().filter(|(_, bit)| self.0 & bit != 0);
        for (index, (name, _)) in names.enumerate() {
            let or = if index == 0 { "" } else { " or " };
            write!(out, "{or}{name}")?;
        }
        Ok(())
    }
}

impl Setting for Types {
    const EXPECTED: &'static str = "a type";

    fn shape() -> Shape {
        Shape::Text(Self::EXPECTED)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Types> {
        let text = String::read(node, report)?;
        let word = match Types::parse(&text) {
            Ok(types) => return Some(types),
            Err(word) => word,
        };
        let hint = match nearest(word, NAMES.iter().map(|(name, _)| *name)) {
            Some(near) if !node.from_variable => format!("did you mean `{near}`?"),
            _ => format!(
                "the types are `{}`; several are joined by `|`",
                NAMES.map(|(name, _)| name).join("`, `")
            ),
        };
        let message = format!("{} is not a type", node.shown());
        report.error("unknown-value", node.span, message).hint(hint);
        None
    }
}

/// One field and what it must be.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) path: Path,
    types: Types,
    optional: bool,
}

impl Check {
    /// Does the event hold what is due? On the path of every event, so it builds nothing.
    pub(super) fn holds(&self, event: &Event) -> bool {
        match event.get(&self.path) {
            Some(value) => self.types.accept(&value),
            None => self.optional,
        }
    }

    /// What is wrong, if anything is.
    pub(super) fn violation(&self, event: &Event) -> Option<Violation> {
        let found = match event.get(&self.path) {
            Some(value) if self.types.accept(&value) => return None,
            None if self.optional => return None,
            Some(value) => shape(&value),
            None => "missing".to_owned(),
        };
        Some(Violation {
            path: self.path.to_string(),
            expected: self.types.to_string(),
            found,
        })
    }
}

/// Reads `fields: { name: type, .a.path: { type: …, optional: true } }`.
pub(super) fn read(entries: &[(Key, Node)], report: &mut Report) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut first_lines = HashMap::new();
    for (key, node) in entries {
        let path = read_path(key, report);
        let typed = read_type(node, report);
        let (Some(path), Some((types, optional))) = (path, typed) else {
            continue;
        };
        match first_lines.entry(path.to_string()) {
            Entry::Occupied(first) => {
                let message = format!(
                    "{} is the same field as at line {}",
                    quote(&key.name),
                    first.get()
                );
                report.error("duplicate-field", key.span, message);
            }
            Entry::Vacant(first) => {
                first.insert(key.span.line);
                checks.push(Check {
                    path,
                    types,
                    optional,
                });
            }
        }
    }
    checks
}

/// A plain word is a member of the body; with a leading `.` it is a path.
fn read_path(key: &Key, report: &mut Report) -> Option<Path> {
    if !key.name.starts_with(['.', '[']) {
        return Some(Path::of([key.name.as_str()]));
    }
    let reason = match key.name.parse::<Path>() {
        // "Required" has no meaning where a path can lead to several places, or to none.
        Ok(path) if path.is_multiple() => "`[]` cannot be used here".to_owned(),
        Ok(path) => return Some(path),
        Err(bad) => bad.to_string(),
    };
    let message = format!("{} is not a field: {reason}", quote(&key.name));
    let hint = "write it as `name` or as `.data.name`";
    report.error("bad-field-path", key.span, message).hint(hint);
    None
}

fn read_type(node: &Node, report: &mut Report) -> Option<(Types, bool)> {
    if node.as_map().is_none() {
        return Some((Types::read(node, report)?, false));
    }
    let mut fields = Fields::new(node, "a field's type", report)?;
    let types = fields.required("type");
    let optional = fields.or("optional", false);
    fields.finish();
    Some((types?, optional))
}

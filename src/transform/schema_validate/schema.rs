//! JSON Schema: compiling one, and telling what it finds.

use std::borrow::Cow;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value as Json;

use super::instance::{Body, Instance};
use super::known::Known;
use super::shape::{Place, count};
use super::timestamp::is_timestamp;
use crate::diagnostic::{Report, Span, quote};
use crate::event::Event;
use crate::setting::{Node, Setting, Value};
use crate::stage::Violation;

/// Largest schema file, in bytes.
const FILE_BYTES: u64 = 4 << 20;
/// Steps that one pattern with look-around may take on one string. Others take linear time.
const BACKTRACKS: usize = 100_000;
/// Largest compiled pattern, in bytes.
const PATTERN_BYTES: usize = 1 << 20;
/// Longest piece of a schema in a message, in characters.
const SHOWN: usize = 80;

/// A compiled schema. Cheap to clone.
#[derive(Clone)]
pub(super) struct Schema {
    validator: Arc<Validator<Body>>,
    pub(super) known: Known,
}

impl Schema {
    /// From a mapping in the pipeline file, or from the file that the text names, relative to `base`.
    pub(super) fn read(node: &Node, base: &Path, report: &mut Report) -> Option<Schema> {
        let json = match &node.value {
            Value::Map(_) => node.to_json(),
            _ => read_file(
                &base.join(std::path::PathBuf::read(node, report)?),
                node,
                report,
            )?,
        };
        compile(&json, node.span, report)
    }

    /// Does the event fit? Builds nothing.
    pub(super) fn accepts(&self, event: &Event) -> bool {
        self.validator.is_valid(Instance::Value(event.body()))
    }

    /// What does not fit, up to `most` in all.
    pub(super) fn violations(&self, event: &Event, most: usize, found: &mut Vec<Violation>) {
        let left = most.saturating_sub(found.len());
        let errors = self.validator.iter_errors(Instance::Value(event.body()));
        found.extend(errors.take(left).map(|error| violation(&error)));
    }
}

fn read_file(path: &Path, node: &Node, report: &mut Report) -> Option<Json> {
    let mut bytes = Vec::new();
    if let Err(why) = read_bytes(path, &mut bytes) {
        let message = format!("the schema {} cannot be read: {why}", node.shown());
        let hint = "the path starts at the folder of the pipeline file";
        report.error("missing-file", node.span, message).hint(hint);
        return None;
    }
    if bytes.len() as u64 > FILE_BYTES {
        report.error("bad-schema", node.span, "the schema is larger than 4 MiB");
        return None;
    }
    let parsed = serde_json::from_slice(&bytes);
    parsed
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = format!(
                "the schema {} is not JSON: line {line}, column {column}",
                node.shown()
            );
            report.error("bad-schema", node.span, message);
        })
        .ok()
}

/// As many bytes as show that there are too many.
fn read_bytes(path: &Path, bytes: &mut Vec<u8>) -> Result<(), String> {
    let explained = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        kind => kind.to_string(),
    };
    // Opening a pipe would wait for its writer for ever, so the kind is asked for first.
    if !std::fs::metadata(path).map_err(explained)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let file = File::open(path).map_err(explained)?;
    let read = file.take(FILE_BYTES + 1).read_to_end(bytes);
    read.map(drop).map_err(explained)
}

fn compile(json: &Json, span: Span, report: &mut Report) -> Option<Schema> {
    let built = jsonschema::options_for::<Body>()
        .offline()
        .should_validate_formats(true)
        .with_format("date-time", is_timestamp)
        .with_pattern_options(
            PatternOptions::fancy_regex()
                .backtrack_limit(BACKTRACKS)
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(PATTERN_BYTES),
        )
        .build(json);
    match built {
        Ok(validator) => Some(Schema {
            validator: Arc::new(validator),
            known: Known::of_schema(json),
        }),
        Err(error) => {
            let entry = report.error("bad-schema", span, explain(&error));
            if matches!(error.kind(), ValidationErrorKind::Referencing(_)) {
                entry.hint("a `$ref` leads to a place in the same document, as `#/$defs/name`");
            } else if error.instance_path().as_str().ends_with("/type") {
                entry.hint(
                    "the types are `string`, `number`, `integer`, `boolean`, `object`, `array`, `null`",
                );
            }
            None
        }
    }
}

/// Why it is no schema; without its values, which a variable may have put there.
fn explain(error: &ValidationError<'_>) -> String {
    let place = error.instance_path();
    let at = match place.is_empty() {
        true => "the schema".to_owned(),
        false => format!("the schema, at {},", quote(place.as_str())),
    };
    match error.kind() {
        ValidationErrorKind::Referencing(_) => format!("{at} refers to what is not in it"),
        kind => format!("{at} is not valid: expected {}", expected(kind)),
    }
}

/// Settings as JSON. Numbers past JSON's range cannot occur: the tree has finite ones only.
fn violation(error: &ValidationError<'_>) -> Violation {
    let mut place = place(error.instance_path());
    let kind = error.kind();
    let found = match kind {
        ValidationErrorKind::Required { property } => {
            place.member(property.as_str().unwrap_or_default());
            "missing".to_owned()
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            count(unexpected.len(), "unknown field")
        }
        // What stands for the instance is its shape: see `Instance::to_value`.
        _ => match error.instance().as_ref() {
            Json::String(shape) => shape.clone(),
            _ => String::new(),
        },
    };
    Violation {
        path: place.finish(),
        expected: expected(kind),
        found,
    }
}

fn place(location: &Location) -> Place {
    let mut place = Place::default();
    for segment in location.segments() {
        match segment {
            LocationSegment::Property(name) => place.member(&name),
            LocationSegment::Index(index) => place.element(index),
        }
    }
    place
}

/// What the schema asks for, in its own words.
fn expected(kind: &ValidationErrorKind) -> String {
    use ValidationErrorKind as Is;
    match kind {
        Is::Type { kind } => types(kind),
        Is::Required { .. } => "a value".to_owned(),
        Is::Enum { options } => format!("one of {}", shown(&options.to_string())),
        Is::Constant { expected_value } => shown(&expected_value.to_string()).into_owned(),
        Is::Minimum { limit } => format!("at least {limit}"),
        Is::Maximum { limit } => format!("at most {limit}"),
        Is::ExclusiveMinimum { limit } => format!("more than {limit}"),
        Is::ExclusiveMaximum { limit } => format!("less than {limit}"),
        Is::MinLength { limit } => format!("at least {} characters", limit),
        Is::MaxLength { limit } => format!("at most {} characters", limit),
        Is::MinItems { limit } => format!("at least {limit} elements"),
        Is::MaxItems { limit } => format!("at most {limit} elements"),
        Is::MinProperties { limit } => format!("at least {limit} members"),
        Is::MaxProperties { limit } => format!("at most {limit} members"),
        Is::Pattern { pattern } => format!("a string like {}", shown(pattern)),
        Is::Format { format } if format == "date-time" => "timestamp".to_owned(),
        Is::Format { format } => format!("the format {}", shown(format)),
        Is::AdditionalProperties { .. } | Is::UnevaluatedProperties { .. } => {
            "no such field".to_owned()
        }
        Is::UniqueItems => "elements that differ".to_owned(),
        Is::FalseSchema => "nothing".to_owned(),
        other => format!("what `{}` asks for", other.keyword()),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.as_str().to_owned(),
        TypeKind::Multiple(set) => {
            let names: Vec<_> = set.iter().map(|one| one.as_str()).collect();
            names.join(" or ")
        }
    }
}

/// The beginning of a piece of the schema.
fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

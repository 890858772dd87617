//! `schema_validate`: events of the right shape go on, the others to the dead letters or away.
//!
//! In this order: declared coercions, unknown fields removed if so wished, then the checks. The
//! checks are a list of fields with types (fast), a JSON Schema (drafts 4 to 2020-12, `format`
//! included; references stay inside the document), or both. One bad event never holds up a batch.

mod about;

pub use about::ABOUT;

mod coerce;
mod fields;
mod instance;
mod known;
mod schema;
mod shape;
#[cfg(test)]
mod tests;
mod timestamp;

use std::path::Path as FilePath;
use std::sync::Arc;

use coerce::Coercion;
use fields::Check;
use known::Known;
use schema::Schema;

use crate::event::{Batch, Event, Path, Revision};
use crate::failure::Failure;
use crate::setting::{Fields, Setting, Shape, wrong_type};
use crate::stage::{Applied, Letter, Transform, Violation};

/// Violations that one letter tells; an event that is wrong everywhere is told by the first few.
const MOST_VIOLATIONS: usize = 16;
/// The word in the ledger and in the letters.
const REASON: &str = "schema";

/// What happens to members that neither the schema nor the fields name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    Keep,
    Drop,
    Reject,
}

/// What happens to an event that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnInvalid {
    Reject,
    Drop,
}

/// Settings of a `schema_validate`.
#[derive(Clone)]
pub struct Config {
    schema: Option<Schema>,
    checks: Vec<Check>,
    coercions: Vec<Coercion>,
    unknown: Unknown,
    on_invalid: OnInvalid,
}

impl Config {
    /// Reads `schema` (a file relative to `base`, the folder of the pipeline file, or a mapping),
    /// `fields`, `coerce`, `unknown_fields` (`keep`) and `on_invalid` (`reject`). Reads no file
    /// but the schema.
    pub fn check(fields: &mut Fields<'_>, base: &FilePath) -> Option<Self> {
        fields.takes("schema", || String::shape().or(Shape::Any.map()));
        let schema = fields
            .node("schema")
            .map(|node| Schema::read(node, base, fields.report()));
        let has_fields = fields.has("fields");
        let checks = read_checks(fields);
        let has_coercions = fields.has("coerce");
        let coercions = fields.each("coerce", Coercion::read);
        let words = [
            ("keep", Unknown::Keep),
            ("drop", Unknown::Drop),
            ("reject", Unknown::Reject),
        ];
        let unknown = fields.choice("unknown_fields", &words);
        let words = [("reject", OnInvalid::Reject), ("drop", OnInvalid::Drop)];
        let on_invalid = fields.choice("on_invalid", &words);
        let has_shape = schema.is_some() || has_fields;
        if !has_shape && !has_coercions {
            let message = format!("{} needs `schema` or `fields`", fields.what());
            fields
                .error("missing-field", fields.span(), message)
                .hint("`fields: { id: string, at: timestamp }` is the short form of a schema");
        } else if !has_shape && unknown.is_some_and(|unknown| unknown != Unknown::Keep) {
            let message = "without `schema` or `fields` every field is unknown";
            fields.error(
                "conflicting-fields",
                fields.span_of("unknown_fields"),
                message,
            );
        }
        Some(Self {
            schema: match schema {
                Some(read) => Some(read?),
                None => None,
            },
            checks,
            coercions,
            unknown: unknown.unwrap_or(Unknown::Keep),
            on_invalid: on_invalid.unwrap_or(OnInvalid::Reject),
        })
    }

    /// Shows every path to the compiler, which makes look-ups fast.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        for coercion in &mut self.coercions {
            visit(&mut coercion.path);
        }
        for check in &mut self.checks {
            visit(&mut check.path);
        }
    }

    /// The transform.
    pub fn open(self) -> SchemaValidate {
        let mut known = Known::of_fields(self.checks.iter().map(|check| &check.path));
        if let Some(schema) = &self.schema {
            known.merge(schema.known.clone());
        }
        SchemaValidate(Arc::new(Rules {
            config: self,
            known,
        }))
    }
}

fn read_checks(fields: &mut Fields<'_>) -> Vec<Check> {
    fields.takes("fields", || fields::Types::shape().map());
    let Some(node) = fields.node("fields") else {
        return Vec::new();
    };
    match node.as_map() {
        Some(entries) => fields::read(entries, fields.report()),
        None => {
            wrong_type(node, "a mapping of fields to types", fields.report());
            Vec::new()
        }
    }
}

/// The transform: see the module.
#[derive(Clone)]
pub struct SchemaValidate(Arc<Rules>);

struct Rules {
    config: Config,
    known: Known,
}

impl Transform for SchemaValidate {
    async fn apply(&self, batch: Batch) -> Result<Applied, Failure> {
        Ok(self.0.apply(batch))
    }
}

impl Rules {
    fn apply(&self, mut batch: Batch) -> Applied {
        if !self.config.coercions.is_empty() {
            for event in batch.make_mut() {
                for coercion in &self.config.coercions {
                    coercion.apply(event);
                }
            }
        }
        if self.config.unknown == Unknown::Drop {
            self.drop_unknown(&mut batch);
        }
        // Nearly every batch is good as a whole: it goes on as it is, without a copy.
        match batch.events().iter().position(|event| !self.accepts(event)) {
            None => batch.into(),
            Some(first) => self.divide(batch, first),
        }
    }

    fn accepts(&self, event: &Event) -> bool {
        self.config.checks.iter().all(|check| check.holds(event))
            && (self.config.schema.iter()).all(|schema| schema.accepts(event))
            && (self.config.unknown != Unknown::Reject || !self.known.has_unknown(event.body()))
    }

    /// The good from the bad; those before `first` are known to be good.
    fn divide(&self, batch: Batch, first: usize) -> Applied {
        let mut applied = Applied::default();
        let mut good = Vec::with_capacity(batch.len());
        let mut dropped = 0;
        for (index, event) in batch.into_events().into_iter().enumerate() {
            if index < first || index > first && self.accepts(&event) {
                good.push(event);
            } else if self.config.on_invalid == OnInvalid::Drop {
                dropped += 1;
            } else {
                applied.rejected.push(self.letter(event));
            }
        }
        if dropped > 0 {
            applied.dropped.push((REASON, dropped));
        }
        applied.batch = good.into();
        applied
    }

    fn letter(&self, event: Event) -> Letter {
        let violations = self.violations(&event);
        let detail = match violations.first() {
            Some(Violation {
                path,
                expected,
                found,
            }) => format!("{path}: expected {expected}, found {found}"),
            None => "does not fit the schema".to_owned(),
        };
        let mut letter = Letter::new(event, REASON, detail);
        letter.violations = violations;
        letter
    }

    fn violations(&self, event: &Event) -> Vec<Violation> {
        let checks = self.config.checks.iter();
        let mut found: Vec<_> = checks
            .filter_map(|check| check.violation(event))
            .take(MOST_VIOLATIONS)
            .collect();
        if let Some(schema) = &self.config.schema {
            schema.violations(event, MOST_VIOLATIONS, &mut found);
        }
        if self.config.unknown == Unknown::Reject {
            self.known
                .violations(event.body(), MOST_VIOLATIONS, &mut found);
        }
        found
    }

    fn drop_unknown(&self, batch: &mut Batch) {
        for index in 0..batch.len() {
            // Looked at before it is changed, so that a batch that others share is not copied for nothing.
            if self.known.has_unknown(batch.events()[index].body()) {
                self.trim(&mut batch.make_mut()[index]);
            }
        }
    }

    fn trim(&self, event: &mut Event) {
        let surplus = self.known.surplus(event.body()).or_else(|| {
            // A member that an earlier stage added is written into the text to be found there.
            *event = event.with_body(event.to_json()).ok()?;
            self.known.surplus(event.body())
        });
        let remove = |handle| (handle, Revision::Remove);
        event.revise(&mut surplus.into_iter().flatten().map(remove).collect());
    }
}

//! Components that are switched off: what stands in their place, and what is not held against them.
//!
//! What a file leaves to variables that are not set is empty. While the component is off nobody misses
//! it; all other mistakes show, so that switching it on is no surprise.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::enabled::Enabled;
use crate::diagnostic::{Diagnostic, Report, Span};
use crate::failure::Failure;
use crate::layer::{Kept, SinkContext, SinkPart, TransformContext, TransformPart};
use crate::setting::{Fields, Node, Value};
use crate::stage::Stage;

/// In the place of what is never built.
pub(super) struct Off;

impl SinkPart for Off {
    fn kept(&self) -> Kept {
        Kept::Nothing
    }

    fn build(self: Box<Self>, _: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        std::future::ready(Err(never())).boxed()
    }
}

impl TransformPart for Off {
    fn build(&self, _: TransformContext) -> Result<Stage, Failure> {
        Err(never())
    }
}

fn never() -> Failure {
    Failure::fatal("disabled", "what is switched off cannot be built")
}

/// Whether the settings of a component switch it off for good. What is wrong with `enabled` itself is
/// not told here.
pub(super) fn is_off(node: &Node) -> bool {
    let mut unheard = Report::new("");
    let fields = Fields::new(node, "", &mut unheard);
    // Whether events can be asked makes no difference to what is off for all.
    fields.is_some_and(|mut fields| Enabled::read(&mut fields, true).is_never())
}

/// Reads the settings of a component; where it is off, what is wrong with fields that were left unset
/// is not told.
pub(super) fn forgiving<T>(
    node: &Node,
    report: &mut Report,
    read: impl FnOnce(&mut Report) -> Option<T>,
) -> Option<T> {
    if !is_off(node) {
        return read(report);
    }
    let mut own = Report::new(report.file().clone());
    let value = read(&mut own);
    let mut unset = Vec::new();
    left_unset(node, &mut unset);
    own.retain(|found| !unset.iter().any(|field| is_about(found, field)));
    report.append(own);
    value
}

/// A field whose variable is not set.
struct Unset {
    /// As messages name it.
    name: String,
    span: Span,
}

fn left_unset(node: &Node, found: &mut Vec<Unset>) {
    match &node.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                match value.is_unset() {
                    true => found.push(Unset {
                        name: format!("`{}`", key.name),
                        span: value.span,
                    }),
                    false => left_unset(value, found),
                }
            }
        }
        Value::List(items) => items.iter().for_each(|item| left_unset(item, found)),
        _ => {}
    }
}

/// A mistake at its place, or that it is missing: that is told at the mapping that should have it.
fn is_about(found: &Diagnostic, field: &Unset) -> bool {
    let named = || {
        let hint = found.hint.as_deref().unwrap_or_default();
        found.message.contains(&field.name) || hint.contains(&field.name)
    };
    found.span == Some(field.span) || (found.code == "missing-field" && named())
}

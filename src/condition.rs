//! Conditions on events, as one writes them in a pipeline file.
//!
//! ```yaml
//! where: { path: .type, equals: completed }
//! where: { all: [ { path: .duration_seconds, greater: 30 }, { not: { label: late } } ] }
//! where: { meta: object, ends_with: _metadata.json }
//! where: { vrl: '.duration_seconds > 30 ?? false' }
//! ```
//!
//! `meta` is what is known of an event besides its body ([`Meta`]): text, compared as such.
//!
//! A condition never fails: what is not there, or is of another type than it is compared with,
//! makes every comparison false (and `not` of it true). A path with `[]` holds when any of the
//! places that it leads to does. One in VRL ([`script`](crate::script)) handles by itself what is not
//! there: it compiles only when it cannot fail.

mod check;
mod operand;
#[cfg(test)]
mod tests;

use crate::diagnostic::Report;
use crate::event::{Event, Labels, Meta, Path};
use crate::script::Script;
use crate::setting::{Node, Setting, Shape};

use operand::Test;

/// How deep conditions may be nested in each other.
pub const MAX_DEPTH: usize = 16;

/// Something that holds for an event or does not.
#[derive(Clone, Debug)]
pub struct Condition(Rule);

#[derive(Clone, Debug)]
enum Rule {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not(Box<Rule>),
    Label(Labels),
    Field(Path, Test),
    Meta(Meta, Test),
    Script(Script),
}

impl Condition {
    /// Reads a condition; every mistake in it goes into the report, at its place.
    pub fn check(node: &Node, report: &mut Report) -> Option<Self> {
        check::rule(node, 1, report).map(Self)
    }

    /// Does it hold for this event?
    pub fn holds(&self, event: &Event) -> bool {
        self.0.holds(event)
    }

    /// Shows every path in it, so that it can be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        self.0.paths(visit);
    }
}

/// What a condition may say, for the schema of the file: each field with its meaning and what it takes.
pub struct Definition {
    /// The fields of which there is one.
    pub forms: Vec<(&'static str, &'static str, Shape)>,
    /// The forms beside which there is one of the operators.
    pub comparing: [&'static str; 2],
    /// The comparisons.
    pub operators: Vec<(&'static str, &'static str, Shape)>,
}

pub use check::definition;

impl Setting for Condition {
    const EXPECTED: &'static str = "a condition";

    fn shape() -> Shape {
        Shape::Named("condition")
    }

    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        Self::check(node, report)
    }
}

impl Rule {
    fn holds(&self, event: &Event) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.holds(event)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(event)),
            Self::Not(rule) => !rule.holds(event),
            Self::Label(label) => event.labels.contains(*label),
            Self::Script(script) => script.holds(event),
            Self::Meta(meta, Test::Exists(there)) => event.meta(*meta).is_some() == *there,
            Self::Meta(meta, test) => event.meta(*meta).is_some_and(|text| test.holds_text(text)),
            Self::Field(path, Test::Exists(there)) => event.get(path).is_some() == *there,
            // Most paths lead to one place, which the parser has looked up already.
            Self::Field(path, test) if !path.is_multiple() => {
                event.get(path).is_some_and(|value| test.holds(value))
            }
            Self::Field(path, test) => {
                let mut any = false;
                event.each(path, &mut |value| any = any || test.holds(value));
                any
            }
        }
    }

    fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        match self {
            Self::All(rules) | Self::Any(rules) => {
                rules.iter_mut().for_each(|rule| rule.paths(visit));
            }
            Self::Not(rule) => rule.paths(visit),
            Self::Label(_) | Self::Meta(..) => {}
            Self::Field(path, _) => visit(path),
            Self::Script(script) => script.paths(visit),
        }
    }
}

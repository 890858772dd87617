//! From settings to a condition.

use std::cmp::Ordering::{Equal, Greater, Less};

use memchr::memmem::Finder;

use super::operand::{Bound, Choices, Literal, Test};
use super::{MAX_DEPTH, Rule};
use crate::clock::parse_timestamp;
use crate::diagnostic::Report;
use crate::event::{Kind, Labels, Meta, Path};
use crate::script::{Purpose, Script, Source, Zone};
use crate::setting::{Fields, Node, OneOrMany, Pattern, Setting, Shape, Value, choice, wrong_type};

/// The fields that each make a condition of their own kind.
const FORMS: [&str; 7] = ["path", "all", "any", "not", "label", "meta", "vrl"];

/// Those that want an operator beside them.
const COMPARING: [&str; 2] = ["path", "meta"];

/// The fields that may stand beside `path` or `meta`, exactly one of them.
const OPERATORS: [&str; 12] = [
    "equals",
    "in",
    "greater",
    "greater_or_equal",
    "less",
    "less_or_equal",
    "matches",
    "starts_with",
    "ends_with",
    "contains",
    "exists",
    "is",
];

const KINDS: [(&str, Kind); 6] = [
    ("string", Kind::Text),
    ("number", Kind::Number),
    ("boolean", Kind::Bool),
    ("null", Kind::Null),
    ("array", Kind::Array),
    ("object", Kind::Object),
];

/// The fields of a condition. `tests` hold it against `rule`.
pub fn definition() -> super::Definition {
    let condition = || Shape::Named("condition");
    let labels = Labels::ALL.map(|(label, name)| (name, label));
    let form = |name: &'static str| match name {
        "path" => ("The field that is compared.", Path::shape()),
        "all" => ("All of these hold.", condition().list()),
        "any" => ("At least one of these holds.", condition().list()),
        "not" => ("This does not hold.", condition()),
        "label" => ("The event bears this label.", Shape::words(&labels)),
        "vrl" => (
            "A program in VRL that answers `true` or `false`, cannot fail and changes nothing.",
            String::shape(),
        ),
        _ => (
            "What is compared is not in the event, but known of where it comes from.",
            Shape::words(&Meta::ALL),
        ),
    };
    let bound = || Shape::Number.or(Shape::Text("a time"));
    let operator = |name: &'static str| match name {
        "equals" => ("The value is this.", Literal::shape()),
        "in" => ("The value is one of these.", OneOrMany::<Literal>::shape()),
        "greater" => ("Above this number or time (RFC 3339).", bound()),
        "greater_or_equal" => ("This number or time, or above.", bound()),
        "less" => ("Below this number or time (RFC 3339).", bound()),
        "less_or_equal" => ("This number or time, or below.", bound()),
        "matches" => (
            "A regular expression that matches the text.",
            Pattern::shape(),
        ),
        "starts_with" => ("The text begins so.", String::shape()),
        "ends_with" => ("The text ends so.", String::shape()),
        "contains" => ("The text holds this.", String::shape()),
        "exists" => ("Whether there is such a field.", bool::shape()),
        _ => (
            "The kind of value.",
            Shape::words(&KINDS).or(Shape::Nothing),
        ),
    };
    let named = |(name, (about, shape))| (name, about, shape);
    super::Definition {
        forms: FORMS.map(|name| named((name, form(name)))).into(),
        comparing: COMPARING,
        operators: OPERATORS.map(|name| named((name, operator(name)))).into(),
    }
}

pub(super) fn rule(node: &Node, depth: usize, report: &mut Report) -> Option<Rule> {
    if depth > MAX_DEPTH {
        let message = format!("conditions nest deeper than {MAX_DEPTH} levels");
        report.error("too-complex", node.span, message);
        return None;
    }
    if node.as_map().is_none() {
        wrong_type(node, "a condition", report)
            .hint("write it as `{ path: .type, equals: completed }`");
        return None;
    }
    let mut fields = Fields::new(node, "the condition", report)?;
    let forms = there(&mut fields, &FORMS);
    let operators = there(&mut fields, &OPERATORS);
    let sound = is_one(&mut fields, node, &forms, &operators);
    // Every part is read, also where there are too many, so that every mistake shows.
    let mut rules: Vec<Rule> = Vec::new();
    for form in &forms {
        rules.extend(read_form(form, &operators, depth, &mut fields));
    }
    if !compares(&forms) {
        for operator in &operators {
            test(operator, &mut fields);
        }
    }
    fields.finish();
    rules.pop().filter(|_| sound)
}

/// Whether one of the forms wants an operator beside it.
fn compares(forms: &[&'static str]) -> bool {
    forms.iter().any(|form| COMPARING.contains(form))
}

/// Which of the names are there, in the order of the file.
fn there(fields: &mut Fields<'_>, names: &[&'static str]) -> Vec<&'static str> {
    let mut found: Vec<_> = names
        .iter()
        .copied()
        .filter(|name| fields.has(name))
        .collect();
    found.sort_by_key(|name| fields.key_span_of(name));
    found
}

/// Exactly one kind of condition, and exactly one operator where there is a path.
fn is_one(
    fields: &mut Fields<'_>,
    node: &Node,
    forms: &[&'static str],
    operators: &[&'static str],
) -> bool {
    const JOIN: &str = "join several conditions with `all: [...]` or `any: [...]`";
    let known = forms.len() + operators.len();
    let is_misspelt = node.as_map().is_some_and(|all| all.len() > known);
    let mut sound = true;
    if let [first, second, ..] = forms {
        let message = format!("one condition has both `{first}` and `{second}`");
        let span = fields.key_span_of(second);
        fields.error("bad-condition", span, message).hint(JOIN);
        sound = false;
    }
    match (compares(forms), operators) {
        (true, [first, second, ..]) => {
            let message = format!("one condition has both `{first}` and `{second}`");
            let span = fields.key_span_of(second);
            fields.error("bad-condition", span, message).hint(JOIN);
            sound = false;
        }
        // What nobody knows is reported as such, and is most likely what is missing here.
        (true, []) if !is_misspelt => {
            let span = fields.span();
            fields
                .error("bad-condition", span, "the condition compares with nothing")
                .hint(format!(
                    "beside `{}`, one of `{}`",
                    if forms.contains(&"path") {
                        "path"
                    } else {
                        "meta"
                    },
                    OPERATORS.join("`, `")
                ));
            sound = false;
        }
        (true, []) => sound = false,
        (false, [first, ..]) => {
            let message = format!("`{first}` needs the `path` of the field that it is about");
            let span = fields.key_span_of(first);
            fields.error("bad-condition", span, message);
            sound = false;
        }
        (false, []) if forms.is_empty() && !is_misspelt => {
            let span = fields.span();
            fields
                .error("bad-condition", span, "the condition is empty")
                .hint("write it as `{ path: .type, equals: completed }`");
        }
        _ => {}
    }
    sound
}

fn read_form(
    form: &'static str,
    operators: &[&'static str],
    depth: usize,
    fields: &mut Fields<'_>,
) -> Option<Rule> {
    match form {
        "path" => {
            let path = fields.required::<Path>("path");
            let tests: Vec<_> = operators.iter().map(|name| test(name, fields)).collect();
            let test = tests.into_iter().next().flatten();
            Some(Rule::Field(path?, test?))
        }
        "meta" => {
            let meta = fields.choice("meta", &Meta::ALL);
            let tests: Vec<_> = operators.iter().map(|name| test(name, fields)).collect();
            let test = tests.into_iter().next().flatten();
            Some(Rule::Meta(meta?, test?))
        }
        "all" => list("all", depth, fields).map(Rule::All),
        "any" => list("any", depth, fields).map(Rule::Any),
        "not" => {
            let node = fields.node("not")?;
            let inner = rule(node, depth + 1, fields.report())?;
            Some(Rule::Not(Box::new(inner)))
        }
        "vrl" => {
            let node = fields.node("vrl")?;
            String::read(node, fields.report())?;
            let (source, zone) = (Source::Inline(node), Zone::default());
            Script::compile(source, Purpose::Ask, zone, fields.report()).map(Rule::Script)
        }
        _ => {
            let labels = Labels::ALL.map(|(label, name)| (name, label));
            fields.choice("label", &labels).map(Rule::Label)
        }
    }
}

fn list(name: &'static str, depth: usize, fields: &mut Fields<'_>) -> Option<Vec<Rule>> {
    let node = fields.node(name)?;
    let Some(items) = node.as_list() else {
        wrong_type(node, "a list of conditions", fields.report());
        return None;
    };
    if items.is_empty() {
        let message = format!("`{name}` needs at least one condition");
        fields.error("empty-value", node.span, message);
        return None;
    }
    let read: Vec<_> = items
        .iter()
        .map(|item| rule(item, depth + 1, fields.report()))
        .collect();
    read.into_iter().collect()
}

fn test(operator: &'static str, fields: &mut Fields<'_>) -> Option<Test> {
    let node = fields.node(operator)?;
    let report = fields.report();
    let text = |report: &mut Report| String::read(node, report);
    match operator {
        "equals" => Literal::read(node, report).map(Test::Equals),
        "in" => {
            let OneOrMany(literals) = OneOrMany::read(node, report)?;
            Some(Test::In(Choices::new(literals)))
        }
        "greater" => Some(Test::Compare(bound(node, report)?, [Greater, Greater])),
        "greater_or_equal" => Some(Test::Compare(bound(node, report)?, [Greater, Equal])),
        "less" => Some(Test::Compare(bound(node, report)?, [Less, Less])),
        "less_or_equal" => Some(Test::Compare(bound(node, report)?, [Less, Equal])),
        "matches" => Pattern::read(node, report).map(Test::Matches),
        "starts_with" => text(report).map(Test::StartsWith),
        "ends_with" => text(report).map(Test::EndsWith),
        "contains" => {
            let finder = Finder::new(&text(report)?).into_owned();
            Some(Test::Contains(Box::new(finder)))
        }
        "exists" => bool::read(node, report).map(Test::Exists),
        _ => kind(node, report).map(Test::Is),
    }
}

/// `null` is a kind's name here, though YAML has a value of that name.
fn kind(node: &Node, report: &mut Report) -> Option<Kind> {
    match node.value {
        Value::Null if !node.is_broken() && !node.from_variable => Some(Kind::Null),
        _ => choice(node, report, &KINDS),
    }
}

fn bound(node: &Node, report: &mut Report) -> Option<Bound> {
    if let Some(time) = node.as_text().and_then(parse_timestamp) {
        return Some(Bound::Time(time));
    }
    let bound = match &node.value {
        Value::Int(whole) => Some(Bound::Int(*whole)),
        Value::Float(float) if float.is_finite() => Some(Bound::Float(*float)),
        _ => None,
    };
    if bound.is_none() && !node.is_broken() {
        let message = format!("{} is neither a number nor a time", node.shown());
        report
            .error("bad-condition", node.span, message)
            .hint("compare with a number or an RFC 3339 time such as `2026-11-20T09:00:00Z`");
    }
    bound
}

impl Setting for Literal {
    const EXPECTED: &'static str = "text, a number, a boolean or `null`";

    fn shape() -> Shape {
        Shape::Text("text")
            .or(Shape::Number)
            .or(Shape::Bool)
            .or(Shape::Nothing)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        match &node.value {
            Value::Null if !node.is_broken() => Some(Self::Null),
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::Float(value) if value.is_finite() => Some(Self::Float(*value)),
            Value::Text(text) => Some(Self::Text(text.clone())),
            _ => {
                wrong_type(node, Self::EXPECTED, report);
                None
            }
        }
    }
}

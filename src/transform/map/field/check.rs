//! From settings to a field's rule.

use super::super::item::{Cast, Factor};
use super::super::json::Json;
use super::super::locate::Locator;
use super::super::template::Template;
use super::{Better, Field, Found, Lookup, Otherwise, Source, Take};
use crate::diagnostic::Report;
use crate::event::{Meta, Path};
use crate::setting::{Fields, Key, Node, Pattern, Setting, Shape, Value, choice, wrong_type};

/// Exactly one of these says where the value comes from.
const SOURCES: [&str; 7] = [
    "from", "value", "template", "between", "earliest", "latest", "meta",
];

/// What can be done to a value; a constant is written as it is meant.
const CHANGES: [&str; 9] = [
    "pattern",
    "take",
    "present",
    "lookup",
    "otherwise",
    "divide",
    "multiply",
    "as",
    "default",
];

impl Field {
    fn of(source: Source) -> Self {
        Self {
            source,
            pattern: None,
            present: None,
            lookup: None,
            factor: None,
            cast: None,
            default: None,
        }
    }

    /// Reads `.path`, a list of paths, or the long form. `depth`: see [`Locator::read`].
    pub(in super::super) fn check(
        key: &Key,
        node: &Node,
        depth: usize,
        report: &mut Report,
    ) -> Option<Self> {
        match &node.value {
            Value::Text(_) | Value::List(_) => first(node, depth, report).map(Self::of),
            Value::Map(_) => {
                let mut fields = Fields::new(node, &format!("the field `{}`", key.name), report)?;
                let field = long(&mut fields, depth);
                fields.finish();
                field
            }
            _ => {
                wrong_type(node, "a path or a mapping", report)
                    .hint("write `.id`, `{ from: .id }`, or `{ value: 1 }` for a constant");
                None
            }
        }
    }
}

fn long(fields: &mut Fields<'_>, depth: usize) -> Option<Field> {
    says(fields);
    let source = source(fields, depth);
    let pattern = pattern(fields);
    let present = fields.optional("present");
    let lookup = lookup(fields);
    let factor = factor(fields);
    let cast = fields.choice("as", &Cast::ALL);
    let default = fields.optional("default");
    let field = Field {
        source: source?,
        pattern,
        present,
        lookup,
        factor,
        cast,
        default,
    };
    if let (Source::Constant(_), Some(name)) =
        (&field.source, CHANGES.iter().find(|it| fields.has(it)))
    {
        let span = fields.key_span_of(name);
        let message = format!("`{name}` changes nothing in a constant `value`");
        fields.error("conflicting-fields", span, message);
    }
    Some(field)
}

/// What is read by hand, for the schema of the file.
fn says(fields: &Fields<'_>) {
    let places = || Path::shape().or(Path::shape().list());
    for name in ["from", "earliest", "latest"] {
        fields.takes(name, places);
    }
    fields.takes("between", || Path::shape().list());
    fields.takes("template", String::shape);
    fields.takes("value", || Shape::Any);
    fields.takes("meta", || Shape::words(&Meta::ALL));
    fields.takes("take", || String::shape().or(Shape::from(0)));
    fields.takes("lookup", || Shape::Any.map());
}

fn source(fields: &mut Fields<'_>, depth: usize) -> Option<Source> {
    let mut names: Vec<_> = SOURCES.into_iter().filter(|it| fields.has(it)).collect();
    names.sort_by_key(|name| fields.key_span_of(name));
    if let [first, second, ..] = names[..] {
        let message = format!("the value comes from both `{first}` and `{second}`");
        let span = fields.key_span_of(second);
        fields.error("conflicting-fields", span, message);
    } else if names.is_empty() {
        let message = format!("{} says not where its value comes from", fields.what());
        let span = fields.span();
        fields
            .error("missing-field", span, message)
            .hint(format!("one of `{}`", SOURCES.join("`, `")));
    }
    let read: Vec<_> = names
        .iter()
        .map(|name| {
            let node = fields.node(name)?;
            let report = fields.report();
            match *name {
                "from" => first(node, depth, report),
                "template" => Template::read(node, depth, report).map(Source::Template),
                "between" => between(node, depth, report),
                "earliest" => extreme(node, depth, report, i64::min),
                "latest" => extreme(node, depth, report, i64::max),
                "meta" => choice(node, report, &Meta::ALL).map(Source::Meta),
                _ => fields.optional("value").map(Source::Constant),
            }
        })
        .collect();
    read.into_iter().next().flatten()
}

fn first(node: &Node, depth: usize, report: &mut Report) -> Option<Source> {
    locators(node, depth, report).map(Source::First)
}

fn extreme(node: &Node, depth: usize, report: &mut Report, better: Better) -> Option<Source> {
    locators(node, depth, report).map(|locators| Source::Extreme(locators, better))
}

fn between(node: &Node, depth: usize, report: &mut Report) -> Option<Source> {
    let mut both = locators(node, depth, report)?.into_iter();
    match (both.next(), both.next(), both.next()) {
        (Some(from), Some(to), None) => Some(Source::Between(from, to)),
        _ => {
            wrong_type(node, "a list of two paths", report).hint("write it as `[.start, .end]`");
            None
        }
    }
}

fn locators(node: &Node, depth: usize, report: &mut Report) -> Option<Vec<Locator>> {
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    if items.is_empty() {
        report.error("empty-value", node.span, "the list needs at least one path");
        return None;
    }
    let read: Vec<_> = items
        .iter()
        .map(|item| Locator::read(item, depth, report))
        .collect();
    read.into_iter().collect()
}

/// The expression, and its first group unless `take` says otherwise (the whole where it has none).
fn pattern(fields: &mut Fields<'_>) -> Option<(Pattern, Take)> {
    let pattern: Option<Pattern> = fields.optional("pattern");
    let take = fields.node("take");
    let take = match take.map(|node| (node, node.as_text())) {
        Some((node, Some(text))) => Some(pieces(node, text, fields.report())),
        Some(_) => Some(fields.optional("take").map(Take::Group)),
        None => None,
    };
    if !fields.has("pattern") {
        needs(fields, "take", "pattern");
        return None;
    }
    let pattern = pattern?;
    let groups = pattern.captures_len() - 1;
    let take = match take {
        Some(take) => take?,
        None => Take::Group(groups.min(1)),
    };
    let named = match &take {
        Take::Group(group) => *group,
        Take::Text(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Found::Group(group) => *group,
                Found::Text(_) => 0,
            })
            .max()
            .unwrap_or(0),
    };
    if named > groups {
        let span = fields.span_of("take");
        let message = format!("the expression has {groups} groups, so there is no group {named}");
        fields.error("out-of-range", span, message);
    }
    Some((pattern, take))
}

/// `take: "{1}-{2}"`: groups by their numbers, and text between them.
fn pieces(node: &Node, text: &str, report: &mut Report) -> Option<Take> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let group = rest[at..].strip_prefix('{');
        let group = group.and_then(|inside| inside.split_once('}'));
        let Some((number, behind)) = group else {
            return no_group(node, report);
        };
        let Ok(number) = number.parse() else {
            return no_group(node, report);
        };
        pieces.push(Found::Text(rest[..at].to_owned()));
        pieces.push(Found::Group(number));
        rest = behind;
    }
    if pieces.is_empty() {
        return no_group(node, report);
    }
    pieces.push(Found::Text(rest.to_owned()));
    Some(Take::Text(pieces))
}

fn no_group(node: &Node, report: &mut Report) -> Option<Take> {
    report
        .error(
            "bad-template",
            node.span,
            "`take` names no group of the expression",
        )
        .hint("write `take: 2` for one group, or join several: `take: \"{1}-{2}\"`");
    None
}

fn lookup(fields: &mut Fields<'_>) -> Option<Lookup> {
    let choices = [
        ("keep", Otherwise::Keep),
        ("null", Otherwise::Null),
        ("reject", Otherwise::Reject),
    ];
    let otherwise = nullable_choice(fields, "otherwise", &choices);
    let Some(node) = fields.node("lookup") else {
        needs(fields, "otherwise", "lookup");
        return None;
    };
    let Some(entries) = node.as_map() else {
        wrong_type(node, "a mapping of texts to values", fields.report());
        return None;
    };
    let mut table = Vec::with_capacity(entries.len());
    for (key, node) in entries {
        let value = <Json as crate::setting::Setting>::read(node, fields.report());
        table.extend(value.map(|value| (key.name.clone(), value)));
    }
    table.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(Lookup {
        table,
        otherwise: otherwise.unwrap_or(Otherwise::Keep),
    })
}

fn factor(fields: &mut Fields<'_>) -> Option<Factor> {
    let divide: Option<f64> = fields.optional("divide");
    let multiply: Option<f64> = fields.optional("multiply");
    if fields.has("divide") && fields.has("multiply") {
        let span = fields.key_span_of("multiply");
        fields
            .error("conflicting-fields", span, "both `divide` and `multiply`")
            .hint("one number does both");
    }
    match (divide, multiply) {
        (Some(0.0), _) => {
            let span = fields.span_of("divide");
            fields.error("out-of-range", span, "nothing can be divided by 0");
            None
        }
        (Some(by), _) => Some(Factor::Divide(by)),
        (_, by) => by.map(Factor::Multiply),
    }
}

/// An error when `name` is there, since it means nothing without `other`.
fn needs(fields: &mut Fields<'_>, name: &'static str, other: &str) {
    if fields.has(name) {
        let span = fields.key_span_of(name);
        let message = format!("`{name}` means nothing without `{other}`");
        fields.error("conflicting-fields", span, message);
    }
}

/// A choice of words of which one is `null`, which YAML takes for a value.
pub(in super::super) fn nullable_choice<T: Clone>(
    fields: &mut Fields<'_>,
    name: &'static str,
    choices: &[(&str, T)],
) -> Option<T> {
    fields.takes(name, || Shape::words(choices));
    fields.takes(name, || Shape::Nothing);
    let node = fields.node(name)?;
    match node.value {
        Value::Null if !node.is_broken() && !node.from_variable => {
            let mut choices = choices.iter();
            choices
                .find(|(word, _)| *word == "null")
                .map(|(_, value)| value.clone())
        }
        _ => choice(node, fields.report(), choices),
    }
}

//! From settings to a mapping.

use super::field::{Field, nullable_choice};
use super::json::Json;
use super::laid::Laid;
use super::locate::{Each, part};
use super::shape::Shape;
use super::{Config, Make, Named, OnError, Plan};
use crate::diagnostic::{Report, nearest, quote};
use crate::event::{Path, Segment};
use crate::setting::{self, Fields, Key, Node, OneOrMany, Setting, Value, wrong_type};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    None,
    All,
}

impl Config {
    /// Reads the settings; every mistake goes into the report.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let when = fields.optional("when");
        let keep = nullable_choice(fields, "keep", &[("none", Keep::None), ("all", Keep::All)]);
        let choices = [("reject", OnError::Reject), ("null", OnError::Null)];
        let on_error = nullable_choice(fields, "on_error", &choices).unwrap_or(OnError::Reject);
        let keep = keep.unwrap_or(Keep::None);
        says(fields, keep);
        let make = match keep {
            Keep::None => new(fields),
            Keep::All => over(fields).map(Make::Over),
        };
        Some(Self(Plan {
            when,
            make: make?,
            on_error,
        }))
    }
}

/// What is read by hand, for the schema of the file.
fn says(fields: &Fields<'_>, keep: Keep) {
    let place = || Path::shape().or(Path::shape().list());
    fields.takes("fields", || place().map());
    fields.takes("default", || setting::Shape::Any.map());
    match keep {
        Keep::None => fields.takes("each", Path::shape),
        Keep::All => {
            fields.takes("rename", || String::shape().map());
            fields.takes("drop", place);
        }
    }
}

fn new(fields: &mut Fields<'_>) -> Option<Make> {
    excluded(fields, &["rename", "drop"], "`keep: all`");
    let each = fields.node("each");
    let each = each.map(|node| Each::read(node, fields.report()));
    // Where `each` is wrong nobody knows how far out `^` may go: then all of it is let pass.
    let depth = match &each {
        None => 0,
        Some(each) => each.as_ref().map_or(usize::MAX, Each::depth),
    };
    let node = fields.required_node("fields");
    let mut named = node.and_then(|node| named(node, depth, fields.report()));
    for (name, path, value) in defaults(fields) {
        let Some(all) = &mut named else { continue };
        if own_default(all, &path, value, fields.report(), name).is_some() {
            no_field(all, name, fields.report());
        }
    }
    let mut shape = Shape::default();
    let (Some(keys), Some(named)) = (node.and_then(Node::as_map), named) else {
        return None;
    };
    let mut sound = true;
    for (index, (named, (key, _))) in named.iter().zip(keys).enumerate() {
        if !shape.insert(&named.path, index) {
            let message = format!("another field is in the place of {}", quote(&key.name));
            fields.error("conflicting-fields", key.span, message);
            sound = false;
        }
    }
    let each = match each {
        Some(each) => Some(each?),
        None => None,
    };
    sound.then_some(Make::New {
        each,
        fields: named,
        shape,
    })
}

fn no_field(all: &[Named], key: &Key, report: &mut Report) {
    let names = all.iter().map(|one| one.name.as_str());
    let hint = match nearest(&key.name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "without `keep: all` only what `fields` makes has a default".to_owned(),
    };
    let message = format!("`fields` makes no {}", quote(&key.name));
    report.error("unknown-field", key.span, message).hint(hint);
}

fn over(fields: &mut Fields<'_>) -> Option<Laid> {
    excluded(fields, &["each"], "`keep: none`");
    let mut laid = Laid::default();
    let mut sound = true;
    if let Some(node) = fields.node("fields") {
        let named = named(node, 0, fields.report());
        sound &= named.is_some();
        laid.fields = named.unwrap_or_default();
    }
    for (name, path, value) in defaults(fields) {
        let rest = own_default(&mut laid.fields, &path, value, fields.report(), name);
        laid.fills.extend(rest.map(|value| (path, value)));
    }
    if let Some(node) = fields.node("rename") {
        let renames = renames(node, fields.report());
        sound &= renames.is_some();
        laid.renames = renames.unwrap_or_default();
    }
    if fields.has("drop") {
        let drops: Option<OneOrMany<Path>> = fields.optional("drop");
        sound &= drops.is_some();
        laid.drops = drops.map(|OneOrMany(paths)| paths).unwrap_or_default();
        if laid.drops.iter().any(|path| path.segments().is_empty()) {
            let span = fields.span_of("drop");
            let message = "`.` is the whole event, which a `filter` drops";
            fields.error("bad-field-path", span, message);
            sound = false;
        }
    }
    let names = ["fields", "rename", "default", "drop"];
    if !names.into_iter().any(|name| fields.has(name)) {
        let (span, message) = (fields.span(), format!("{} changes nothing", fields.what()));
        fields
            .error("missing-field", span, message)
            .hint(format!("one of `{}`", names.join("`, `")));
        sound = false;
    }
    sound.then_some(laid)
}

fn excluded(fields: &mut Fields<'_>, names: &[&'static str], with: &str) {
    for name in names.iter().copied() {
        if fields.has(name) {
            let span = fields.key_span_of(name);
            let message = format!("`{name}` goes only with {with}");
            fields.error("conflicting-fields", span, message);
        }
    }
}

fn named(node: &Node, depth: usize, report: &mut Report) -> Option<Vec<Named>> {
    let Some(entries) = node.as_map() else {
        wrong_type(node, "a mapping of names to what is put there", report);
        return None;
    };
    if entries.is_empty() {
        report.error(
            "empty-value",
            node.span,
            "`fields` needs at least one field",
        );
        return None;
    }
    let read: Vec<_> = entries
        .iter()
        .map(|(key, node)| {
            let path = target(key, report);
            let field = Field::check(key, node, depth, report);
            Some(Named {
                name: key.name.clone(),
                path: path?,
                field: field?,
            })
        })
        .collect();
    read.into_iter().collect()
}

/// A place to write to: a name as it is, or, with a leading dot, a path of names.
fn target(key: &Key, report: &mut Report) -> Option<Path> {
    if !key.name.starts_with('.') {
        return Some(Path::of([key.name.as_str()]));
    }
    let written = Node::new(Value::Text(key.name.clone()), key.span);
    let path = Path::read(&written, report)?;
    let is_plain = |segment: &Segment| matches!(segment, Segment::Key(_));
    if path.segments().is_empty() || !path.segments().iter().all(is_plain) {
        let message = format!("{} is no place for one value", quote(&key.name));
        report
            .error("bad-field-path", key.span, message)
            .hint("a path of names, such as `.metadata.provider`");
        return None;
    }
    Some(path)
}

/// The entries of `default`.
fn defaults<'a>(fields: &mut Fields<'a>) -> Vec<(&'a Key, Path, Json)> {
    let Some(node) = fields.node("default") else {
        return Vec::new();
    };
    let report = fields.report();
    let Some(entries) = node.as_map() else {
        wrong_type(node, "a mapping of names to values", report);
        return Vec::new();
    };
    let read = entries.iter().filter_map(|(key, node)| {
        let path = target(key, report);
        let value = Json::read(node, report);
        Some((key, path?, value?))
    });
    read.collect()
}

/// Gives a default to the field that is made at this path; hands it back if there is none.
fn own_default(
    all: &mut [Named],
    path: &Path,
    value: Json,
    report: &mut Report,
    key: &Key,
) -> Option<Json> {
    let Some(named) = all.iter_mut().find(|named| named.path == *path) else {
        return Some(value);
    };
    if named.field.default.is_some() {
        let message = format!("{} has a default of its own", quote(&key.name));
        report.error("conflicting-fields", key.span, message);
    }
    named.field.default = Some(value);
    None
}

fn renames(node: &Node, report: &mut Report) -> Option<Vec<(Path, Path)>> {
    let Some(entries) = node.as_map() else {
        wrong_type(node, "a mapping of old names to new ones", report);
        return None;
    };
    let mut all: Vec<(Path, Path)> = Vec::with_capacity(entries.len());
    let mut sound = true;
    for (key, node) in entries {
        let from = target(key, report);
        let to = String::read(node, report).and_then(|name| {
            // At its own place, since it is written like a key.
            let span = part(node, &name, 0, name.chars().count()).span;
            target(&Key { name, span }, report)
        });
        let (Some(from), Some(to)) = (from, to) else {
            sound = false;
            continue;
        };
        if all.iter().any(|(_, other)| *other == to) {
            let message = format!("two members would be called `{to}`");
            report.error("conflicting-fields", node.span, message);
            sound = false;
        }
        all.push((from, to));
    }
    sound.then_some(all)
}

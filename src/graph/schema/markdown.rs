//! The settings as a page to read.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::model::{Cases, Field, Mapping, Type};
use super::{Part, Schema, Words, about};
use crate::setting::{About, Shape};

const HEAD: &str = "# Reference of pipeline files

Written by `trunkline schema --format markdown`, out of the code that reads the settings. A field in
**bold** has to be there. `name[]` are the elements of a list, `name.*` the entries of a mapping whose
names are free. Wherever one value stands, a variable can: `${NAME}`, `${NAME:-default}`,
`${file:PATH}`.

";

impl Schema {
    /// The reference of all components.
    pub fn markdown(&self) -> String {
        let mut page = HEAD.to_owned();
        page.push_str("## The file\n\n");
        table(&mut page, &self.root.mapping, &self.words(&self.root), &[]);
        for (section, title, common, what) in [
            ("source", "Sources", vec![about::SOURCE], "Of every source"),
            (
                "transform",
                "Transforms",
                vec![about::TRANSFORM],
                "Of every transform",
            ),
            (
                "sink",
                "Sinks",
                vec![about::TRANSFORM, about::SINK],
                "Of every sink",
            ),
        ] {
            let parts = || self.parts.iter().filter(|part| part.section == section);
            let common = [&[about::COMMON], &*common].concat();
            let _ = writeln!(page, "## {title}\n");
            for part in parts() {
                let _ = writeln!(page, "- [`{0}`](#{1}-{0})", part.kind, part.section);
            }
            page.push('\n');
            if let Some(first) = parts().next() {
                let _ = writeln!(page, "### {what}\n");
                let words = Words {
                    own: &[],
                    shared: common.clone(),
                };
                shared(&mut page, &first.mapping, &words);
            }
            for part in parts() {
                self.component(&mut page, part, &common);
            }
        }
        page.push_str("## Conditions\n\n");
        conditions(&mut page);
        page
    }

    fn component(&self, page: &mut String, part: &Part, common: &[&'static [About]]) {
        let words = self.words(part);
        let _ = writeln!(page, "### {} `{}`\n", part.section, part.kind);
        let _ = writeln!(page, "{}\n", words.about("").unwrap_or_default());
        table(page, &part.mapping, &words, common);
    }
}

/// The fields that a common table names.
fn shared(page: &mut String, mapping: &Mapping, words: &Words) {
    let mut rows = String::new();
    for field in &mapping.fields {
        if words.find(&field.name).is_some() {
            row(&mut rows, field, "", &field.name, words, "");
        }
    }
    finish(page, &rows);
}

/// The fields of a mapping, without those that are told elsewhere.
fn table(page: &mut String, mapping: &Mapping, words: &Words, common: &[&'static [About]]) {
    let elsewhere = |name: &str| {
        let known = |of: &About| of.0 == name;
        common.iter().copied().flatten().any(known) && !words.own.iter().any(known)
    };
    let mut rows = String::new();
    for field in &mapping.fields {
        if !elsewhere(&field.name) {
            let only = only(mapping.cases.as_ref(), &field.name);
            row(&mut rows, field, "", &field.name, words, &only);
        }
    }
    finish(page, &rows);
}

fn finish(page: &mut String, rows: &str) {
    match rows {
        "" => page.push_str("It has no fields of its own.\n\n"),
        rows => {
            page.push_str("| field | takes | default | |\n|---|---|---|---|\n");
            page.push_str(rows);
            page.push('\n');
        }
    }
}

/// With which words of another field this one may stand.
fn only(cases: Option<&Cases>, name: &str) -> String {
    let Some(cases) = cases else {
        return String::new();
    };
    let reads = |mapping: &Mapping| mapping.field(name).is_some_and(Field::is_read);
    let with = cases.all.iter().filter(|case| reads(&case.mapping));
    let words: Vec<_> = with.clone().flat_map(|case| &case.words).collect();
    if with.count() == cases.all.len() {
        return String::new();
    }
    let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    format!(" (`{}`: {})", cases.by, words.join(", "))
}

fn row(rows: &mut String, field: &Field, prefix: &str, path: &str, words: &Words, only: &str) {
    let shown = format!("{prefix}{}", field.name);
    let name = match field.required {
        true => format!("**`{shown}`**"),
        false => format!("`{shown}`"),
    };
    let default = match &field.default {
        Some(serde_json::Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
        None => String::new(),
    };
    let about = words.about(path).unwrap_or_default();
    let takes = takes(field).replace('|', "\\|");
    let about = about.replace('|', "\\|");
    let _ = writeln!(rows, "| {name} | {takes} | {default} | {about}{only} |");
    for one in &field.types {
        let (inner, prefix) = match one {
            Type::Shape(_) => continue,
            Type::Mapping(inner) => (inner, format!("{shown}.")),
            Type::List(inner) => (inner, format!("{shown}[].")),
            Type::Free(inner) => (inner, format!("{shown}.*.")),
        };
        nested(rows, inner, &prefix, path, words);
    }
}

fn nested(rows: &mut String, mapping: &Mapping, prefix: &str, path: &str, words: &Words) {
    for field in &mapping.fields {
        let only = only(mapping.cases.as_ref(), &field.name);
        let path = format!("{path}.{}", field.name);
        row(rows, field, prefix, &path, words, &only);
    }
    for one in mapping.free.iter().flatten() {
        if let Type::Mapping(inner) = one {
            nested(rows, inner, &format!("{prefix}*."), path, words);
        }
    }
}

fn takes(field: &Field) -> String {
    let mut all = BTreeSet::new();
    for one in &field.types {
        match one {
            Type::Shape(shape) => {
                all.insert(told(shape));
            }
            Type::Mapping(_) | Type::Free(_) => {
                all.insert("a mapping".to_owned());
            }
            Type::List(_) => {
                all.insert("a list".to_owned());
            }
        }
    }
    all.remove("");
    all.into_iter().collect::<Vec<_>>().join(", or ")
}

fn told(shape: &Shape) -> String {
    match shape {
        Shape::Text(meaning) => (*meaning).to_owned(),
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Off => "`false`".to_owned(),
        Shape::Int { .. } => "a whole number".to_owned(),
        Shape::Number => "a number".to_owned(),
        Shape::Duration => "a duration".to_owned(),
        Shape::Size => "a size".to_owned(),
        Shape::Share => "a share".to_owned(),
        Shape::Words(words) => {
            let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
            words.join(", ")
        }
        Shape::Nothing => "nothing".to_owned(),
        Shape::Any => "any value".to_owned(),
        Shape::Reference => String::new(),
        Shape::List(inner) => format!("a list: {}", told(inner)),
        Shape::Map(inner) => format!("a mapping: {}", told(inner)),
        Shape::Either(all) => all.iter().map(told).collect::<Vec<_>>().join(", or "),
        Shape::Named("condition") => "[a condition](#conditions)".to_owned(),
        Shape::Named("dead_letter") => "[a sink](#sinks) without `inputs`".to_owned(),
        Shape::Named(section) => format!("[components](#{section})"),
    }
}

fn conditions(page: &mut String) {
    let definition = crate::condition::definition();
    page.push_str(
        "One of the first six fields; beside `path` and `meta` exactly one of the others: \
         `{ path: .type, equals: completed }`.\n\n| field | takes | |\n|---|---|---|\n",
    );
    for (name, about, shape) in definition.forms.iter().chain(&definition.operators) {
        let _ = writeln!(page, "| `{name}` | {} | {about} |", told(shape));
    }
}

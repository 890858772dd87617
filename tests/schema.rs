//! The JSON Schema of pipeline files: what ships fits it, what is broken does not, and the files that
//! are made of it are as it is. After a change of settings: `UPDATE_REFERENCE=1 cargo test --test
//! schema`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use trunkline::config::{self, Fixed};
use trunkline::diagnostic::Severity;
use trunkline::graph::check::check;
use trunkline::graph::schema::Schema;
use trunkline::graph::svg;

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::read);
static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&SCHEMA.json()).unwrap());

fn pipelines(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn wrong(text: &str) -> Option<Vec<String>> {
    let value: Value = serde_yaml::from_str(text).ok()?;
    let errors = VALIDATOR.iter_errors(&value);
    Some(
        errors
            .map(|it| format!("{}: {it}", it.instance_path()))
            .collect(),
    )
}

#[test]
fn it_is_a_schema() {
    let schema = SCHEMA.json();
    assert!(jsonschema::meta::is_valid(&schema));
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
}

/// The schema, or what it refers to.
fn target<'s>(schema: &'s Value, json: &'s Value) -> &'s Value {
    match json["$ref"].as_str() {
        Some(to) => schema.pointer(to.trim_start_matches('#')).expect(to),
        None => json,
    }
}

/// Mappings that say what they hold, also those that are one choice of several.
fn closed(schema: &Value, json: &Value, path: &str, seen: &mut usize) {
    let all = json["anyOf"].as_array().into_iter().flatten();
    for json in std::iter::once(json).chain(all) {
        // Definitions are looked at by themselves; a condition holds conditions.
        if json.get("$ref").is_some() {
            continue;
        }
        if let Some(items) = json.get("items") {
            closed(schema, items, path, seen);
        }
        let Some(properties) = json["properties"].as_object() else {
            continue;
        };
        // Components are told apart by their type, and each is in a definition of its own.
        if json.get("allOf").is_none() {
            assert!(
                json.get("additionalProperties").is_some(),
                "{path} takes anything"
            );
        }
        for (name, field) in properties {
            let path = format!("{path}.{name}");
            let text = field["description"].as_str();
            let text = text.or(target(schema, field)["description"].as_str());
            let is_settled = field.get("const").is_some();
            assert!(
                is_settled || text.is_some_and(|it| it.len() > 5),
                "{path} is not described"
            );
            *seen += 1;
            closed(schema, field, &path, seen);
        }
    }
}

#[test]
fn every_section_is_described_and_takes_nothing_else() {
    let schema = SCHEMA.json();
    assert_eq!(schema["additionalProperties"], false);
    let sections = schema["properties"].as_object().unwrap();
    let known: BTreeSet<&str> = sections.keys().map(String::as_str).collect();
    let expected = [
        "alerts",
        "api",
        "dead_letter",
        "delivery",
        "encryption",
        "grace",
        "metrics",
        "name",
        "simulator",
        "sinks",
        "sources",
        "state",
        "tenants",
        "tests",
        "transforms",
        "version",
    ];
    assert_eq!(known, BTreeSet::from(expected));
    let mut seen = 0;
    closed(&schema, &schema, "", &mut seen);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        if !["condition", "variable"].contains(&name.as_str()) {
            closed(&schema, definition, name, &mut seen);
        }
    }
    assert!(seen > 500, "{seen}");
    for section in ["tests", "alerts", "api", "delivery", "state"] {
        let one = target(&schema, &sections[section]);
        let one = one.get("items").unwrap_or(one);
        let mut any = one["anyOf"].as_array().into_iter().flatten().chain([one]);
        let is_closed = |json: &Value| json["additionalProperties"] == false;
        assert!(
            any.any(|it| is_closed(target(&schema, it))),
            "{section}: {one:#}"
        );
    }
}

#[test]
fn what_ships_fits() {
    let mut files = pipelines("pipelines");
    files.extend(pipelines("examples"));
    assert!(files.len() >= 4);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        // What the type of another binary is, this one's schema cannot say.
        let is_of_another = file.ends_with("custom_sink/pipeline.yaml");
        if !text.contains("\nsources:") || is_of_another {
            continue;
        }
        let wrong = wrong(&text).unwrap();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", file.display());
        if file.starts_with("pipelines") {
            let first = "# yaml-language-server: $schema=schema.json\n";
            assert!(
                text.starts_with(first),
                "{} names no schema",
                file.display()
            );
        }
    }
}

/// What no schema of the whole can see, and why.
/// A code stands for all its files, `code--variant` for one.
const BEYOND: &[(&str, &str)] = &[
    ("bad-address", MEANING),
    ("bad-duration--too-long", MEANING),
    ("bad-field-path", MEANING),
    ("bad-glob", MEANING),
    ("bad-key", MEANING),
    ("bad-name--prefix", MEANING),
    ("bad-path", MEANING),
    ("bad-pattern", MEANING),
    ("bad-plugin", FILES),
    ("bad-schema", FILES),
    ("bad-share", BOUNDS),
    ("bad-template", MEANING),
    ("bad-url", MEANING),
    ("bad-variable", VARIABLES),
    ("buffer-needs-path", TOGETHER),
    ("conflicting-fields", TOGETHER),
    ("conflicting-limits", TOGETHER),
    ("cycle", GRAPH),
    ("duplicate-input", GRAPH),
    ("duplicate-name", GRAPH),
    ("duplicate-path", TOGETHER),
    ("empty-value", BOUNDS),
    ("missing-field--buffer", TOGETHER),
    ("missing-field--platform", TOGETHER),
    ("missing-field--program", TOGETHER),
    ("missing-field--tenants", TOGETHER),
    ("missing-field--webhook-secret", TOGETHER),
    ("missing-file", FILES),
    ("missing-variable", VARIABLES),
    ("mixed-partitions", GRAPH),
    ("out-of-range", BOUNDS),
    ("secrets", MEANING),
    ("too-complex--program", MEANING),
    ("unknown-input", GRAPH),
    ("unknown-node", GRAPH),
    ("unknown-output", GRAPH),
    ("unknown-value--key-time", MEANING),
    ("unknown-value--receipts", GRAPH),
    ("unknown-value--timezone", MEANING),
    ("unused-component", GRAPH),
    ("vrl", MEANING),
    // The YAML reader of this test takes `yes` for a boolean, as YAML 1.1 did.
    ("wrong-type--boolean", "the other reader"),
];
const MEANING: &str = "the text is one; what it means is known to its reader";
const BOUNDS: &str = "the type is right; how much is too much is known to its reader";
const TOGETHER: &str = "each field alone is right";
const GRAPH: &str = "names that have to be there, or may not be twice";
const FILES: &str = "what is in another file";
const VARIABLES: &str = "what a variable is";

#[test]
fn what_is_broken_does_not_fit() {
    let (mut missed, mut excused, mut seen) = (Vec::new(), BTreeSet::new(), 0);
    for file in pipelines("tests/bad_yaml") {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let code = name.split("--").next().unwrap();
        let checked = check(&config::parse("p.yaml", &text, &Fixed::new()));
        let is_error = checked
            .report
            .iter()
            .any(|it| it.severity == Severity::Error);
        // What is no YAML, or a warning, is not for a schema.
        let Some(wrong) = wrong(&text).filter(|_| is_error) else {
            continue;
        };
        let beyond = BEYOND.iter().find(|(of, _)| *of == name || *of == code);
        match (wrong.is_empty(), beyond) {
            (false, _) => seen += 1,
            (true, Some(beyond)) => drop(excused.insert(beyond)),
            (true, None) => missed.push(name),
        }
    }
    assert!(missed.is_empty(), "the schema does not see {missed:#?}");
    let spare: Vec<_> = BEYOND.iter().filter(|it| !excused.contains(it)).collect();
    assert!(spare.is_empty(), "the schema does see {spare:#?}");
    assert!(seen >= 40, "{seen}");
}

/// The file holds this; written where asked to.
fn is_as(file: &str, text: &str) {
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(file, text).unwrap();
    }
    let there = fs::read_to_string(Path::new(file)).unwrap_or_default();
    assert!(
        there == text,
        "{file} is old: UPDATE_REFERENCE=1 cargo test --test schema"
    );
}

#[test]
fn schema_and_reference_are_new() {
    is_as("pipelines/schema.json", &format!("{:#}\n", SCHEMA.json()));
    is_as("pipelines/REFERENCE.md", &SCHEMA.markdown());
}

#[test]
fn the_picture_in_the_readme_is_new_and_well_formed() {
    let text = fs::read_to_string("pipelines/participant-sync.yaml").unwrap();
    let checked = check(&config::parse("p.yaml", &text, &Fixed::new()));
    let picture = svg::svg(&checked.outline, &checked.pipeline.unwrap());
    is_as("examples/participant-sync/flow.svg", &picture);
    assert!(picture.contains("genesys: effectively once ("), "{picture}");
    well_formed(&picture);
}

/// Every element that is opened is closed, in the right order, and text has no bare `<` or `&`.
fn well_formed(xml: &str) {
    let mut open = Vec::new();
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        for entity in text.split('&').skip(1) {
            let known = ["amp;", "lt;", "gt;", "quot;"];
            assert!(known.iter().any(|it| entity.starts_with(it)), "&{entity}");
        }
        let end = tag.find('>').expect("a tag ends");
        let inside = &tag[1..end];
        assert!(!inside.contains('<'), "{inside}");
        assert_eq!(inside.matches('"').count() % 2, 0, "{inside}");
        let name = inside
            .trim_start_matches('/')
            .split(|c: char| !c.is_alphanumeric());
        let name = name.into_iter().next().unwrap_or_default();
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !inside.ends_with('/') {
            open.push(name);
        }
        rest = &tag[end + 1..];
    }
    assert!(open.is_empty() && rest.trim().is_empty());
}

use std::io::Write;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::diagnostic::Report;
use crate::event::PathSet;
use crate::stage::Subject;

/// Settings from YAML, or the diagnostics as `code line: message`.
fn check_at(yaml: &str, base: &FilePath) -> Result<Config, Vec<String>> {
    let loaded = crate::config::parse("t.yaml", yaml, &crate::config::Fixed::default());
    let mut report: Report = loaded.report;
    let tree = loaded.tree.expect("YAML");
    let mut fields =
        Fields::new(&tree, "transform `valid` (schema_validate)", &mut report).unwrap();
    let config = Config::check(&mut fields, base);
    fields.finish();
    let told = report.iter().map(|item| {
        let line = item.span.map_or(0, |span| span.line);
        format!("{} {line}: {}", item.code, item.message)
    });
    let told: Vec<_> = told.collect();
    match config {
        Some(config) if told.is_empty() => Ok(config),
        _ => Err(told),
    }
}

fn check(yaml: &str) -> Result<Config, Vec<String>> {
    check_at(yaml, FilePath::new("."))
}

fn apply(mut config: Config, bodies: &[String]) -> Applied {
    let mut set = PathSet::default();
    config.paths(&mut |path| set.intern(path));
    let set = Arc::new(set);
    let parse = |body: &String| Event::parse(body.clone(), &set, &Arc::default()).unwrap();
    let SchemaValidate(rules) = config.open();
    rules.apply(bodies.iter().map(parse).collect())
}

fn run(yaml: &str, bodies: &[&str]) -> Applied {
    let bodies: Vec<_> = bodies.iter().map(ToString::to_string).collect();
    apply(check(yaml).unwrap(), &bodies)
}

fn passed(applied: &Applied) -> Vec<String> {
    applied.batch.events().iter().map(Event::to_json).collect()
}

fn told(applied: &Applied) -> Vec<String> {
    let violations = applied
        .rejected
        .iter()
        .flat_map(|letter| &letter.violations);
    violations
        .map(|one| format!("{} | {} | {}", one.path, one.expected, one.found))
        .collect()
}

const FIELDS: &str = "
fields:
  event_id: string
  timestamp: timestamp
  duration: { type: integer, optional: true }
  .data.state: string|null
";

#[test]
fn one_bad_record_never_stops_the_others() {
    let good = r#"{"event_id":"a","timestamp":"2026-05-01T12:00:00Z","data":{"state":null}}"#;
    let bad = r#"{"event_id":7,"timestamp":"yesterday","duration":1.5,"data":{}}"#;
    let applied = run(FIELDS, &[good, bad, good, "[]", good]);
    assert_eq!(passed(&applied), [good; 3]);
    assert_eq!(applied.rejected.len(), 2);
    assert_eq!(
        told(&applied)[..4],
        [
            ".event_id | string | number",
            ".timestamp | timestamp | string of 9 characters",
            ".duration | integer | number with a fraction",
            ".data.state | string or null | missing",
        ]
    );
    let letter = &applied.rejected[0];
    assert_eq!(
        (letter.reason, letter.detail.as_str()),
        ("schema", ".event_id: expected string, found number")
    );
    assert!(matches!(&letter.subject, Subject::Event(event) if event.to_json() == bad));
    let dropping = format!("{FIELDS}on_invalid: drop");
    let applied = run(&dropping, &[good, bad, "7"]);
    assert_eq!(
        (applied.dropped, applied.rejected.len()),
        (vec![("schema", 2)], 0)
    );
}

#[test]
fn drift_is_coerced_where_a_rule_says_so_and_told_where_not() {
    let yaml = format!(
        "{FIELDS}coerce:
  - {{ path: .duration, to: integer }}
  - {{ path: .timestamp, to: timestamp, from: [number] }}
"
    );
    let applied = run(
        &yaml,
        &[
            r#"{"event_id":"a","timestamp":1767225600000,"duration":"345","data":{"state":"x"},"new":[1]}"#,
            r#"{"event_id":"b","timestamp":"1767225600000","duration":"long","data":{"state":"x"}}"#,
        ],
    );
    assert_eq!(
        passed(&applied),
        [
            r#"{"event_id":"a","timestamp":"2026-01-01T00:00:00.000Z","duration":345,"data":{"state":"x"},"new":[1]}"#
        ]
    );
    assert_eq!(
        told(&applied),
        [
            ".timestamp | timestamp | string of 13 characters",
            ".duration | integer | string of 4 characters",
        ]
    );
}

#[test]
fn unknown_fields_are_kept_dropped_or_rejected() {
    let body = r#"{"a":1, "jo@x.org":2, "b":{"c":3, "d":4}}"#;
    let yaml =
        |how: &str| format!("fields: {{ a: integer, .b.c: integer }}\nunknown_fields: {how}");
    assert_eq!(passed(&run(&yaml("keep"), &[body])), [body]);
    assert_eq!(
        passed(&run(&yaml("drop"), &[body])),
        [r#"{"a":1, "b":{"c":3}}"#]
    );
    let applied = run(&yaml("reject"), &[body]);
    assert_eq!(
        told(&applied),
        [
            r#"."…" | no such field | number"#,
            ".b.d | no such field | number"
        ]
    );
    // A closed schema passes what dropping made fit; many members go in one pass.
    let many: Vec<_> = (0..100_000).map(|n| format!("\"m{n}\":0")).collect();
    let closed =
        "schema: { properties: { a: {} }, additionalProperties: false }\nunknown_fields: drop";
    let body = format!("{{{},\"a\":1}}", many.join(","));
    assert_eq!(passed(&run(closed, &[&body])), [r#"{"a":1}"#]);
}

#[test]
fn a_json_schema_reads_events_in_place_and_shows_no_value() {
    let yaml = r##"
schema:
  type: object
  required: [id, state]
  properties:
    id: { type: string, pattern: "^(?!x)[a-z]+$", maxLength: 3 }
    state: { enum: [on, off, { deep: [1.0] }] }
    at: { type: string, format: date-time }
    n: { type: integer, minimum: 0, multipleOf: 5 }
    tags: { type: array, uniqueItems: true, items: { type: string } }
    next: { $ref: "#" }
  propertyNames: { pattern: "^[a-z]+$" }
  unevaluatedProperties: false
"##;
    let good = [
        r#"{"id":"ab","state":"on","at":"2026-05-01T12:00:00Z","n":10.0,"tags":["a","b"]}"#,
        r#"{"id":"\u0061b","state":{"deep":[1]},"next":{"id":"b","state":"off"}}"#,
    ];
    let bad = r#"{"id":"secret","state":"secret","at":"secret","n":-3,"tags":["t","t",1],"next":{"id":"x"},"Secret":1}"#;
    let applied = run(yaml, &[good[0], bad, good[1]]);
    assert_eq!(passed(&applied), good);
    let told = told(&applied);
    for expected in [
        ".id | at most 3 characters | string of 6 characters",
        r#".state | one of ["on","off",{"deep":[1.0]}] | string of 6 characters"#,
        ".at | timestamp | string of 6 characters",
        ".n | at least 0 | number",
        ".tags | elements that differ | array of 3 elements",
        ".tags[2] | string | number",
        ".next.id | a string like ^(?!x)[a-z]+$ | string of 1 character",
        ".next.state | a value | missing",
    ] {
        assert!(
            told.iter().any(|line| line == expected),
            "{expected} in {told:#?}"
        );
    }
    assert!(told.len() <= MOST_VIOLATIONS);
    let letter = format!(
        "{:?}{}",
        applied.rejected[0].violations, applied.rejected[0].detail
    );
    assert!(!letter.to_lowercase().contains("secret"), "{letter}");
}

#[test]
fn validates_what_changes_lie_over_the_text() {
    let mut config =
        check("schema: { required: [a], properties: { a: { const: [1] }, b: { type: integer } } }")
            .unwrap();
    config.paths(&mut |_| {});
    let SchemaValidate(rules) = config.open();
    let parse = |json: &str| Event::parse(json.into(), &Arc::default(), &Arc::default()).unwrap();
    let path = |text: &str| text.parse::<Path>().unwrap();
    let mut event = parse(r#"{"a":[1],"b":"x"}"#);
    assert!(!rules.accepts(&event));
    event.set(&path(".b"), "5");
    assert!(rules.accepts(&event));
    event.remove(&path(".a"));
    assert!(!rules.accepts(&event));
}

#[test]
fn a_schema_that_refers_to_itself_ends_and_numbers_have_no_bounds() {
    let SchemaValidate(rules) =
        check(r##"schema: { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/a" } } }"##)
            .unwrap()
            .open();
    let parse = |json: &str| Event::parse(json.into(), &Arc::default(), &Arc::default()).unwrap();
    rules.accepts(&parse(r#"{"a":1}"#));
    let SchemaValidate(rules) = check("schema: { maximum: 10 }").unwrap().open();
    assert!(rules.accepts(&parse("-1e999")));
    assert!(!rules.accepts(&parse("1e999")));
    assert!(!rules.accepts(&parse("99999999999999999999999")));
}

#[test]
fn reads_a_schema_file_beside_the_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let mut file = std::fs::File::create(folder.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let draft7 = json!({"$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"id": {"type": "string"}},
        "items": [{"$ref": "#/definitions/id"}], "additionalItems": false});
    write("seven.json", &draft7.to_string());
    let config = check_at("schema: seven.json", folder.path()).unwrap();
    let applied = apply(
        config,
        &[r#"["a"]"#.into(), r#"["a",1]"#.into(), "[1]".into()],
    );
    assert_eq!(passed(&applied), [r#"["a"]"#]);
    write("broken.json", "{\n  \"type\": secret\n}");
    let told = check_at("schema: broken.json", folder.path())
        .err()
        .unwrap();
    assert_eq!(
        told,
        ["bad-schema 1: the schema `broken.json` is not JSON: line 2, column 11"]
    );
    let told = check_at("schema: absent.json", folder.path())
        .err()
        .unwrap();
    assert!(
        told[0].starts_with("missing-file 1: the schema `absent.json` cannot be read"),
        "{told:?}"
    );
}

#[test]
fn mistakes_show_all_at_once_and_at_their_place() {
    let yaml = "
fields:
  a: strin
  .b..c: string
  .d[].e: string
  f: { type: integer, optionl: true }
  .g: string
  g: string
coerce:
  - { path: x, to: integer }
  - { path: .x, to: int }
unknown_fields: forbid
on_invalid: stop
";
    let told = check(yaml).err().unwrap();
    let codes: Vec<_> = told
        .iter()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "unknown-value 3",
            "bad-field-path 4",
            "bad-field-path 5",
            "unknown-field 6",
            "duplicate-field 8",
            "bad-field-path 10",
            "unknown-value 11",
            "unknown-value 12",
            "unknown-value 13",
        ]
    );
    let one = |yaml: &str| check(yaml).err().unwrap().join("; ");
    assert!(one("{}").starts_with("missing-field"));
    assert!(one("coerce: []\nunknown_fields: drop").starts_with("conflicting-fields 2"));
    assert!(one("schema: { type: secret }").starts_with("bad-schema 1: the schema, at `/type`,"));
    assert!(!one("schema: { type: secret }").contains("secret"));
    for away in [
        "https://example.com/s.json",
        "file:///etc/passwd",
        "#/$defs/none",
    ] {
        let told = one(&format!("schema: {{ $ref: \"{away}\" }}"));
        assert_eq!(told, "bad-schema 1: the schema refers to what is not in it");
    }
    assert!(one("schema: { pattern: \"(\" }").starts_with("bad-schema"));
}

const TYPES: [&str; 10] = [
    "string",
    "integer",
    "number",
    "boolean",
    "timestamp",
    "object",
    "array",
    "string|null",
    "integer|array",
    "timestamp|number",
];

fn as_schema(types: &str) -> serde_json::Value {
    let any: Vec<_> = types
        .split('|')
        .map(|one| match one {
            "timestamp" => json!({"type": "string", "format": "date-time"}),
            one => json!({"type": one}),
        })
        .collect();
    json!({ "anyOf": any })
}

fn values() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-5",
        "1.0",
        "1.5",
        "1e2",
        "1e-2",
        "1e400",
        "123456789012345678901",
        "\"\"",
        "\"a\"",
        "\"\\u0041\"",
        "\"2026-05-01T12:00:00Z\"",
        "\"2026-05-01\"",
        "[]",
        "[1]",
        "{}",
        "{\"x\":1}",
    ])
}

proptest! {
    #[test]
    fn both_forms_of_a_schema_agree(
        kinds in prop::collection::vec((prop::sample::select(&TYPES[..]), any::<bool>()), 4),
        given in prop::collection::vec(prop::option::of(values()), 4),
    ) {
        // Two members of the body, two below `data`.
        let name = |at: usize| ["a", "b", "data.c", "data.d"][at];
        let mut yaml = "fields:\n".to_owned();
        let (mut top, mut below) = (serde_json::Map::new(), serde_json::Map::new());
        let (mut required, mut required_below) = (Vec::new(), Vec::new());
        for (at, (types, optional)) in kinds.iter().enumerate() {
            yaml += &format!("  .{}: {{ type: \"{types}\", optional: {optional} }}\n", name(at));
            let (place, names) = if at < 2 { (&mut top, &mut required) } else { (&mut below, &mut required_below) };
            let key = name(at).trim_start_matches("data.");
            place.insert(key.into(), as_schema(types));
            if !optional {
                names.push(key);
            }
        }
        if !required_below.is_empty() {
            required.push("data");
        }
        let mut data = json!({"properties": below, "required": required_below});
        if !required_below.is_empty() {
            data["type"] = "object".into();
        }
        top.insert("data".into(), data);
        let mut schema = json!({"properties": top, "required": required});
        if !required.is_empty() {
            schema["type"] = "object".into();
        }
        let members = |range: std::ops::Range<usize>| {
            let present = range.filter_map(|at| given[at].map(|raw| format!("{:?}:{raw}", name(at).trim_start_matches("data."))));
            present.collect::<Vec<_>>().join(",")
        };
        let body = format!("{{{}{}\"data\":{{{}}}}}", members(0..2), if members(0..2).is_empty() { "" } else { "," }, members(2..4));
        let light = apply(check(&yaml).unwrap(), std::slice::from_ref(&body));
        let whole = apply(check(&format!("schema: {schema}")).unwrap(), std::slice::from_ref(&body));
        prop_assert_eq!(light.batch.len(), whole.batch.len(), "{} {} {}", yaml, schema, body);
    }

    #[test]
    fn nothing_that_comes_in_can_panic(body in "[\\[\\]{}\":,0-9a-z\\\\ ]{0,60}") {
        if let Ok(event) = Event::parse(body, &Arc::default(), &Arc::default()) {
            let yaml = "fields: { a: timestamp }\nunknown_fields: drop\nschema: { additionalProperties: { type: integer } }\ncoerce: [{ path: .a, to: timestamp }]";
            let SchemaValidate(rules) = check(yaml).unwrap().open();
            rules.apply(vec![event].into());
        }
    }
}

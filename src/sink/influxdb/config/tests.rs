use super::*;
use crate::diagnostic::{Report, Span};
use crate::setting::{Key, Value};

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn map(entries: Vec<(&str, Value)>) -> Value {
    let span = Span::default();
    let entry = |(name, value): (&str, Value)| {
        let name = name.to_owned();
        (Key { name, span }, Node::new(value, span))
    };
    Value::Map(entries.into_iter().map(entry).collect())
}

/// With `url` and `bucket`, and more.
fn check(more: Vec<(&str, Value)>) -> (Option<Config>, Vec<String>) {
    let mut entries = vec![("url", text("http://h")), ("bucket", text("b"))];
    entries.extend(more);
    check_all(entries)
}

fn check_all(entries: Vec<(&str, Value)>) -> (Option<Config>, Vec<String>) {
    let node = Node::new(map(entries), Span::default());
    let mut report = Report::new("f");
    let mut fields = Fields::new(&node, "sink `s` (influxdb)", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    let told = report
        .iter()
        .map(|item| format!("{}: {}", item.code, item.message));
    (config, told.collect())
}

#[test]
fn a_file_takes_the_place_of_a_server_that_is_not_named() {
    let config = |url| {
        let entries = vec![
            ("url", text(url)),
            ("path", text("out.lp")),
            ("org", text("")),
            ("bucket", text("b")),
        ];
        let (config, found) = check_all(entries);
        assert_eq!(found, Vec::<String>::new());
        config.unwrap().target
    };
    assert!(matches!(config(""), Target::File(path) if path.ends_with("out.lp")));
    assert!(matches!(config("http://h"), Target::Server(_)));
    let (_, found) = check_all(vec![("url", text("")), ("bucket", text("b"))]);
    assert_eq!(found, ["empty-value: `url` is empty"]);
    let (_, found) = check_all(vec![]);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_server_and_a_bucket_are_enough() {
    let (config, found) = check(vec![]);
    assert_eq!(found, Vec::<String>::new());
    let mut config = config.unwrap();
    let points = &config.points;
    assert_eq!(
        points.measurement,
        Measurement::Fixed(b"participant_state".to_vec())
    );
    assert_eq!(points.precision, Precision::Us);
    let names: Vec<_> = points
        .tags
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name))
        .collect();
    assert_eq!(names, [",interactionId=", ",participantId=", ",state="]);
    let names: Vec<_> = points
        .fields
        .iter()
        .map(|(name, _)| String::from_utf8_lossy(name))
        .collect();
    assert_eq!(names, ["role=", "vector_clock="]);
    assert_eq!(points.fields[1].1, Content::Counter);
    assert!(config.gzip);
    let expected = Batches {
        max_events: 5000,
        max_bytes: 1 << 20,
        flush_interval: Duration::from_secs(10),
        quiet: Duration::from_millis(250),
        requests: 4,
    };
    assert_eq!(config.batches, expected);
    let mut paths = Vec::new();
    config.paths(&mut |path| paths.push(path.to_string()));
    let expected = [
        ".data.interactionId",
        ".data.participantId",
        ".data.state",
        ".data.role",
        ".timestamp",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn everything_can_be_said() {
    let hold = map(vec![("path", text(".hold")), ("type", text("float"))]);
    let (config, found) = check(vec![
        ("measurement", text(".eventType")),
        ("tags", map(vec![("z a", text(".z")), ("b", text(".b"))])),
        ("fields", map(vec![("n", text("counter")), ("hold", hold)])),
        ("time", text(".t")),
        ("precision", text("ns")),
        ("gzip", Value::Bool(false)),
        (
            "max_batch",
            map(vec![("events", Value::Int(7)), ("bytes", text("2KiB"))]),
        ),
        ("flush_interval", text("1s")),
        ("quiet", text("1m")),
        ("requests", Value::Int(1)),
    ]);
    assert_eq!(found, Vec::<String>::new());
    let config = config.unwrap();
    assert_eq!(config.points.tags[1].0, b",z\\ a=");
    let hold = Content::At(".hold".parse().unwrap(), Type::Float);
    assert_eq!(config.points.fields[0], (b"hold=".to_vec(), hold));
    assert_eq!(
        config.points.measurement,
        Measurement::At(".eventType".parse().unwrap())
    );
    assert_eq!(
        (config.batches.max_events, config.batches.max_bytes),
        (7, 2048)
    );
    assert_eq!(
        (config.batches.requests, config.points.precision),
        (1, Precision::Ns)
    );
}

#[test]
fn all_mistakes_show() {
    let (config, found) = check(vec![
        ("precision", text("h")),
        ("measurement", text("#m")),
        ("tags", map(vec![("time", text(".t")), ("x", text("y"))])),
        (
            "fields",
            map(vec![
                ("_x", text(".x")),
                ("y", Value::Int(3)),
                ("z", map(vec![("typ", text("float"))])),
            ]),
        ),
        (
            "max_batch",
            map(vec![("events", Value::Int(0)), ("bytes", text("1GiB"))]),
        ),
        ("requests", Value::Int(65)),
        ("timeout_", text("1s")),
    ]);
    assert!(config.is_none());
    let codes: Vec<_> = found.iter().map(|f| f.split(':').next().unwrap()).collect();
    let expected = [
        "unknown-value",
        "bad-name",
        "bad-name",
        "bad-field-path",
        "bad-name",
        "wrong-type",
        "missing-field",
        "unknown-field",
        "out-of-range",
        "out-of-range",
        "out-of-range",
        "unknown-field",
    ];
    assert_eq!(codes, expected, "{found:#?}");
    let (_, found) = check(vec![("fields", map(vec![("state", text(".x"))]))]);
    assert!(found[0].starts_with("conflicting-fields"), "{found:?}");
    let (_, found) = check(vec![("fields", map(vec![]))]);
    assert!(found[0].starts_with("empty-value"), "{found:?}");
}

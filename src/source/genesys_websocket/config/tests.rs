//! The fields, one mistake at a time.

use super::*;
use crate::diagnostic::Report;
use crate::diagnostic::Span;
use crate::setting::{Key, Node, Value};

/// A mapping from lines of JSON-like YAML, made by hand: `config` is above this module.
fn node(json: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) => Value::Int(value.as_i64().unwrap()),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(members) => Value::Map(
            members
                .iter()
                .map(|(name, value)| {
                    let (name, span) = (name.clone(), Span::default());
                    (Key { name, span }, node(value))
                })
                .collect(),
        ),
    };
    Node::new(value, Span::default())
}

fn check(json: serde_json::Value) -> (Option<Config>, Vec<String>) {
    let mut report = Report::new("f");
    let node = node(&json);
    let mut fields = Fields::new(&node, "source `g` (genesys_websocket)", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    let found = report
        .iter()
        .map(|it| format!("{}: {}", it.code, it.message));
    (config, found.collect())
}

#[test]
fn topics_are_enough_for_the_simulator() {
    let (config, found) = check(serde_json::json!({
        "topics": ["v2.users.{user}.conversations"], "region": "", "endpoint": "",
        "auth": { "client_id": "", "client_secret": "" },
    }));
    assert_eq!(found, Vec::<String>::new());
    let config = config.unwrap();
    assert!(config.wants_simulator() && config.auth.is_none() && config.reuse_channels);
    assert_eq!(
        (config.queue_frames, config.queue_bytes),
        (10_000, 64 << 20)
    );
    assert_eq!(
        config.channels,
        Channels {
            max: 20,
            reserve: 2,
            topics: 1000
        }
    );
    assert_eq!(config.heartbeat_timeout, Duration::from_secs(40));
    let (config, found) = check(serde_json::json!({ "protocol": "events" }));
    assert_eq!((config.unwrap().topics.len(), found.len()), (4, 0));
}

#[test]
fn the_secret_is_never_shown_and_had_better_be_a_variable() {
    let (config, found) = check(serde_json::json!({
        "topics": ["v2.x"], "region": "mypurecloud.ie",
        "auth": { "client_id": "id", "client_secret": "hush" },
    }));
    let config = config.unwrap();
    assert_eq!(config.host, Host::Region("mypurecloud.ie".into(), None));
    assert!(!format!("{config:?} {found:?}").contains("hush"));
    assert!(
        found.len() == 1 && found[0].starts_with("plain-secret"),
        "{found:?}"
    );
}

#[test]
fn a_region_without_credentials_and_the_reverse_are_mistakes() {
    let codes = |json| -> Vec<String> {
        let (config, found) = check(json);
        assert!(config.is_none());
        found
            .iter()
            .map(|it| it.split(':').next().unwrap().to_owned())
            .collect()
    };
    let json = serde_json::json!({ "topics": ["v2.x"], "region": "mypurecloud.ie" });
    assert_eq!(codes(json), ["missing-field"]);
    let json = serde_json::json!({
        "topics": ["v2.x"], "region": "", "auth": { "client_id": "id", "client_secret": "" },
    });
    assert_eq!(codes(json), ["missing-field", "missing-field"]);
    let json = serde_json::json!({
        "topics": [], "endpoint": "nowhere", "environment": "x", "auth": { "client_id": "i" },
    });
    let expected = [
        "missing-field",
        "bad-url",
        "conflicting-fields",
        "conflicting-fields",
        "empty-value",
    ];
    assert_eq!(codes(json), expected);
}

#[test]
fn limits_are_told() {
    let (_, found) = check(serde_json::json!({
        "topics": ["v2.x"], "ping_interval": "1m", "roll_over": "25h",
        "channels": { "max": 2, "reserve": 2 }, "queue": { "frames": 0, "bytes": 1 },
        "backoff": { "first": "2s", "most": "1s" }, "queues": "some", "users": ["a b"],
        "gap_fill": { "concurrency": 1000, "enable": true },
    }));
    let codes: Vec<&str> = found
        .iter()
        .map(|it| it.split(':').next().unwrap())
        .collect();
    let expected = [
        "out-of-range",
        "out-of-range",
        "wrong-type",
        "unknown-value",
        "conflicting-limits",
        "out-of-range",
        "conflicting-limits",
        "out-of-range",
        "unknown-field",
        "conflicting-limits",
    ];
    assert_eq!(codes, expected, "{found:#?}");
}

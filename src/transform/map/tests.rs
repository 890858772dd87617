use std::path::Path as FilePath;
use std::sync::Arc;

use futures::FutureExt;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::Fixed;
use crate::event::PathSet;
use crate::setting::Fields;

const EVENTBRIDGE: &str = include_str!("tests/eventbridge.yaml");
const ANALYTICS: &str = include_str!("tests/analytics.yaml");

fn check(yaml: &str) -> Result<Config, Vec<String>> {
    let loaded = crate::config::parse("t.yaml", yaml, &Fixed::default());
    let mut report = loaded.report;
    let tree = loaded.tree.expect("YAML");
    let mut fields = Fields::new(&tree, "transform `x` (map)", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    let told = report.iter().map(|item| {
        let at = item.span.map_or((0, 0), |span| (span.line, span.column));
        format!("{} {}:{} {}", item.code, at.0, at.1, item.message)
    });
    let told: Vec<_> = told.collect();
    match config {
        Some(config) if told.is_empty() => Ok(config),
        _ => Err(told),
    }
}

fn apply(yaml: &str, bodies: &[&str]) -> Applied {
    let mut config = check(yaml).unwrap_or_else(|told| panic!("{yaml}: {told:?}"));
    let mut set = PathSet::default();
    config.paths(&mut |path| set.intern(path));
    let set = Arc::new(set);
    let parse = |(index, body): (usize, &&str)| {
        let mut event = Event::parse((*body).into(), &set, &Arc::default()).unwrap();
        event.origin = Origin::new(1, index);
        event
    };
    let batch: Batch = bodies.iter().enumerate().map(parse).collect();
    config.open().apply(batch).now_or_never().unwrap().unwrap()
}

fn texts(applied: &Applied) -> Vec<String> {
    applied.batch.events().iter().map(Event::to_json).collect()
}

/// The one record that the body becomes, or why it is rejected.
fn one(yaml: &str, body: &str) -> String {
    let applied = apply(yaml, &[body]);
    match applied.rejected.first() {
        Some(letter) => format!("{}: {}", letter.reason, letter.detail),
        None => texts(&applied).pop().unwrap(),
    }
}

/// The same for one field `x` with the rule given.
fn field(rule: &str, body: &str) -> String {
    one(&format!("fields: {{ x: {rule} }}"), body)
}

fn records(applied: &Applied) -> Vec<serde_json::Value> {
    let texts = texts(applied);
    texts
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

/// The same for an event that was read from the object.
fn field_of(object: &str, rule: &str) -> String {
    let mut config = check(&format!("fields: {{ x: {rule} }}")).unwrap();
    config.paths(&mut |_| {});
    let from = crate::event::Provenance {
        source: "exports".into(),
        object: object.into(),
        ..Default::default()
    };
    let event = Event::parse("{}".into(), &Arc::default(), &Arc::new(from)).unwrap();
    let map = config.open();
    let applied = map.apply([event].into_iter().collect());
    texts(&applied.now_or_never().unwrap().unwrap()).remove(0)
}

#[test]
fn what_is_known_of_an_event_can_be_a_field() {
    let key = "org/year=2026/month=3/day=4/hour=5/conversation_id=c-1/r-1_metadata.json";
    for (rule, made) in [
        ("{ meta: source }", r#"{"x":"exports"}"#),
        (
            "{ meta: object, pattern: 'conversation_id=([^/]+)' }",
            r#"{"x":"c-1"}"#,
        ),
        (
            r"{ meta: object, pattern: '([^/]+)_metadata\.json$' }",
            r#"{"x":"r-1"}"#,
        ),
        (
            r"{ meta: object, pattern: 'year=(\d+)/month=(\d+)/day=(\d+)/hour=(\d+)',
             take: '{1}-{2}-{3}T{4}:00:00Z', as: timestamp }",
            r#"{"x":"2026-03-04T05:00:00.000Z"}"#,
        ),
        (
            "{ meta: object, pattern: '(r-1)|(r-2)', take: '{2}{1}!' }",
            r#"{"x":"r-1!"}"#,
        ),
        (
            "{ meta: object, pattern: nothing, default: none }",
            r#"{"x":"none"}"#,
        ),
    ] {
        assert_eq!(field_of(key, rule), made, "{rule}");
    }
    // Where there is no object there is no field.
    assert_eq!(field_of("", "{ meta: object }"), "{}");
}

#[test]
fn the_earliest_and_the_latest_of_several_paths() {
    let body = r#"{"a":[{"t":"2026-03-2T9:00:00Z"},{"t":null},{"t":1772442000000}],"b":"2026-03-02T10:00:00Z"}"#;
    for (rule, made) in [
        (
            "{ earliest: ['.a[].t', .b] }",
            r#"{"x":"2026-03-02T09:00:00.000Z"}"#,
        ),
        (
            "{ latest: ['.a[].t', .b] }",
            r#"{"x":"2026-03-02T10:00:00.000Z"}"#,
        ),
        (
            "{ latest: '.a[].t' }",
            r#"{"x":"2026-03-02T09:00:00.000Z"}"#,
        ),
        ("{ latest: [.c, .d] }", "{}"),
        ("{ latest: .c, default: never }", r#"{"x":"never"}"#),
    ] {
        assert_eq!(field(rule, body), made, "{rule}");
    }
    assert_eq!(
        field("{ latest: .t }", r#"{"t":"soon"}"#),
        "map: `x`: not a time"
    );
}

#[test]
fn take_joins_groups_that_there_are() {
    assert_eq!(
        field(
            r"{ from: .t, pattern: '(\d+)-(\d+)', take: '{2}/{1}' }",
            r#"{"t":"7-8"}"#
        ),
        r#"{"x":"8/7"}"#
    );
    for (rule, code) in [
        ("{ from: .t, pattern: '(a)', take: '{2}' }", "out-of-range"),
        ("{ from: .t, pattern: '(a)', take: '{1' }", "bad-template"),
        ("{ from: .t, pattern: '(a)', take: '1' }", "bad-template"),
        ("{ from: .t, pattern: '(a)', take: '{x}' }", "bad-template"),
        ("{ from: .t, take: '{1}' }", "conflicting-fields"),
        ("{ from: .t, meta: object }", "conflicting-fields"),
        ("{ meta: objects }", "unknown-value"),
    ] {
        let told = check(&format!("fields: {{ x: {rule} }}")).unwrap_err();
        assert!(
            told.len() == 1 && told[0].starts_with(code),
            "{rule}: {told:?}"
        );
    }
}

/// A captured document, where the folder of those is there.
fn captured(name: &str) -> Option<String> {
    let here = FilePath::new(env!("CARGO_MANIFEST_DIR"));
    ["../shared", "../../shared"].iter().find_map(|shared| {
        std::fs::read_to_string(here.join(shared).join("data/genesys").join(name)).ok()
    })
}

const ENVELOPE: &str = r#"{"id":"e-1","detail-type":"v2.detail.events.conversation.{id}.user.end",
    "detail":{"eventBody":{"eventTime":1767323045000,"conversationId":"c-1","userId":"u-1",
    "mediaType":"VOICE","direction":"OUTBOUND","interactingDurationMs":11050,
    "outboundCampaignId":"k"}}}"#;

const CONVERSATION: &str = r#"{"conversationId":"c-2","conversationStart":"2021-04-2T9:05:00Z",
    "originatingDirection":"inbound","participants":[
    {"participantId":"p-1","sessions":[{"sessionId":"s-1","mediaType":"voice","ani":"tel:+1",
     "segments":[{"segmentStart":"2021-04-2T9:05:00Z","segmentEnd":"2021-04-2T9:05:30Z"},
                 {"segmentStart":"2021-04-2T9:05:30Z","queueId":"q"}]}]},
    {"participantId":"p-2"},
    {"userId":"u-9","sessions":[{"sessionId":"s-2","direction":"outbound"}]}]}"#;

#[test]
fn envelopes_become_facts_and_others_pass_through() {
    let other = r#"{ "id": 1 }"#;
    let applied = apply(EVENTBRIDGE, &[ENVELOPE, other]);
    assert_eq!(applied.batch.events()[1].to_json(), other);
    assert_eq!(
        records(&applied)[0],
        json!({"event_id":"e-1","timestamp":"2026-01-02T03:04:05.000Z","interaction_id":"c-1",
            "type":"call","direction":"outbound","state":"disconnected","duration_seconds":11,
            "agent_id":"user:u-1","source_system":"GENESYS_CLOUD","metadata":{"campaign_id":"k"}})
    );
    assert_eq!((applied.created, applied.dropped.len()), (0, 0));
    assert_eq!(applied.batch.events()[0].origin, Origin::new(1, 0));
}

#[test]
fn conversations_become_one_fact_for_each_session() {
    let applied = apply(ANALYTICS, &[ENVELOPE, CONVERSATION]);
    assert_eq!(applied.batch.events()[0].to_json(), ENVELOPE);
    assert_eq!(
        records(&applied)[1..],
        [
            json!({"event_id":"c-2:s-1","timestamp":"2021-04-02T09:05:00.000Z",
                "interaction_id":"c-2","type":"call","direction":"inbound","state":"active",
                "duration_seconds":30,"queue_name":"q","caller_number_masked":"tel:+1",
                "source_system":"GENESYS_CLOUD"}),
            json!({"event_id":"c-2:s-2","timestamp":"2021-04-02T09:05:00.000Z",
                "interaction_id":"c-2","direction":"outbound","state":"active",
                "agent_id":"user:u-9","source_system":"GENESYS_CLOUD"}),
        ]
    );
    let origins = applied.batch.origins();
    assert_eq!(
        origins[1..],
        [1, 2].map(|part| Origin::new(1, 1).part(part))
    );
    assert_eq!((applied.created, applied.rejected.len()), (1, 0));
}

#[test]
fn a_conversation_without_sessions_is_dropped_as_empty() {
    let body = r#"{"conversationId":"c","participants":[{"sessions":[]},{}]}"#;
    let applied = apply(ANALYTICS, &[body, body]);
    assert_eq!(applied.dropped, [("empty", 2)]);
    assert!(applied.batch.is_empty());
}

#[test]
fn the_captured_documents_become_facts() {
    let Some(end) = captured("eventbridge-conversation-end.json") else {
        return;
    };
    assert_eq!(
        records(&apply(EVENTBRIDGE, &[&end])),
        [
            json!({"event_id":"58fb5dac-f077-4eec-a25f-c638dbdd4368","timestamp":"2022-04-06T09:31:44.949Z",
            "interaction_id":"2f7bf00a-0fc2-4d6a-9b56-92238191433e","type":"chat",
            "direction":"inbound","state":"completed","duration_seconds":60,
            "source_system":"GENESYS_CLOUD"})
        ]
    );
    let start = captured("eventbridge-conversation-start.json").unwrap();
    let start = records(&apply(EVENTBRIDGE, &[&start]));
    assert_eq!(start[0]["state"], "started");
    assert_eq!(start[0]["timestamp"], "2022-04-06T09:30:44.949Z");
    let other = captured("eventbridge-non-conversation.json").unwrap();
    assert_eq!(texts(&apply(EVENTBRIDGE, &[other.trim()])), [other.trim()]);
    let conversation = captured("analytics-conversation.json").unwrap();
    let facts = records(&apply(ANALYTICS, &[&conversation]));
    let seconds: Vec<_> = facts.iter().map(|fact| &fact["duration_seconds"]).collect();
    assert_eq!(seconds, [930, 11, 930]);
    assert_eq!(
        facts[2]["agent_id"],
        "user:50fcd33c-f432-4726-abc9-979f3ca01555"
    );
    assert!(facts.iter().all(|fact| fact["state"] == "completed"));
}

#[test]
fn every_step_of_a_field() {
    for (rule, body, expected) in [
        (".a", r#"{"a":{"b":[1, 2]}}"#, r#"{"x":{"b":[1, 2]}}"#),
        (".a", "{}", "{}"),
        ("[.a, .b]", r#"{"a":null,"b":2}"#, r#"{"x":2}"#),
        ("[.a, .b]", r#"{"a":null}"#, r#"{"x":null}"#),
        ("{ from: .a, default: z }", r#"{"a":null}"#, r#"{"x":"z"}"#),
        (
            "{ value: [1, { a: null }, 'q\"'] }",
            "1",
            r#"{"x":[1,{"a":null},"q\""]}"#,
        ),
        (
            "{ template: '{.a}-{{{.b}}}' }",
            r#"{"a":1,"b":"c"}"#,
            r#"{"x":"1-{c}"}"#,
        ),
        ("{ template: '{.a}-{.b}' }", r#"{"a":1}"#, "{}"),
        (
            "{ from: .a, as: timestamp }",
            r#"{"a":1649237504949}"#,
            r#"{"x":"2022-04-06T09:31:44.949Z"}"#,
        ),
        (
            "{ from: .a, as: timestamp }",
            r#"{"a":1.649237504949E12}"#,
            r#"{"x":"2022-04-06T09:31:44.949Z"}"#,
        ),
        (
            "{ from: .a, as: timestamp }",
            r#"{"a":"2021-04-2T9:05:00+01:00"}"#,
            r#"{"x":"2021-04-02T08:05:00.000Z"}"#,
        ),
        (
            "{ from: .a, as: timestamp }",
            r#"{"a":"x"}"#,
            "map: `x`: not a time",
        ),
        (
            "{ from: .a, as: integer }",
            r#"{"a":" 345 "}"#,
            r#"{"x":345}"#,
        ),
        ("{ from: .a, as: integer }", r#"{"a":2.5}"#, r#"{"x":3}"#),
        (
            "{ from: .a, as: integer }",
            r#"{"a":9007199254740993}"#,
            r#"{"x":9007199254740993}"#,
        ),
        (
            "{ from: .a, as: integer }",
            r#"{"a":1e40}"#,
            "map: `x`: the number is too large to be whole",
        ),
        (
            "{ from: .a, as: number }",
            r#"{"a":"1.50"}"#,
            r#"{"x":1.5}"#,
        ),
        (
            "{ from: .a, as: number }",
            r#"{"a":"inf"}"#,
            "map: `x`: not a number",
        ),
        (
            "{ from: .a, as: boolean }",
            r#"{"a":"True"}"#,
            r#"{"x":true}"#,
        ),
        (
            "{ from: .a, as: string }",
            r#"{"a":1.50}"#,
            r#"{"x":"1.50"}"#,
        ),
        (
            "{ from: .a, as: string }",
            r#"{"a":[]}"#,
            "map: `x`: not a scalar",
        ),
        (
            "{ from: .a, as: upper }",
            r#"{"a":"straße"}"#,
            r#"{"x":"STRASSE"}"#,
        ),
        (
            "{ from: .a, as: json }",
            r#"{"a":{"b":"c"}}"#,
            r#"{"x":"{\"b\":\"c\"}"}"#,
        ),
        (
            "{ from: .a, divide: 1000 }",
            r#"{"a":11050}"#,
            r#"{"x":11.05}"#,
        ),
        (
            "{ from: .a, divide: 1000, as: integer }",
            r#"{"a":"11050"}"#,
            r#"{"x":11}"#,
        ),
        (
            "{ from: .a, multiply: 1e308 }",
            r#"{"a":1e9}"#,
            "map: `x`: the number is too large",
        ),
        (
            "{ from: .a, pattern: '\\.([a-z]+)$' }",
            r#"{"a":"v2.x.end"}"#,
            r#"{"x":"end"}"#,
        ),
        (
            "{ from: .a, pattern: '(a)(b)', take: 2 }",
            r#"{"a":"ab"}"#,
            r#"{"x":"b"}"#,
        ),
        (
            "{ from: .a, pattern: 'q', default: 0 }",
            r#"{"a":"ab"}"#,
            r#"{"x":0}"#,
        ),
        (
            "{ from: .a, as: lower, lookup: { voice: call } }",
            r#"{"a":"VOICE"}"#,
            r#"{"x":"call"}"#,
        ),
        (
            "{ from: .a, as: lower, lookup: { voice: call } }",
            r#"{"a":"CHAT"}"#,
            r#"{"x":"chat"}"#,
        ),
        (
            "{ from: .a, lookup: { '1': true }, otherwise: null }",
            r#"{"a":1}"#,
            r#"{"x":true}"#,
        ),
        (
            "{ from: .a, lookup: { '1': true }, otherwise: null }",
            r#"{"a":2}"#,
            r#"{"x":null}"#,
        ),
        (
            "{ from: .a, lookup: { b: c }, otherwise: reject }",
            r#"{"a":2}"#,
            "map: `x`: a value that `lookup` lacks",
        ),
        (
            "{ from: .a, present: yes, default: no }",
            r#"{"a":2}"#,
            r#"{"x":"yes"}"#,
        ),
        (
            "{ from: .a, present: yes, default: no }",
            r#"{"a":null}"#,
            r#"{"x":"no"}"#,
        ),
        (
            "{ between: [.a, .b] }",
            r#"{"a":"2021-01-01T00:00:00Z","b":"2021-01-01T00:00:01.5Z"}"#,
            r#"{"x":1.5}"#,
        ),
        (
            "{ between: [.a, .b] }",
            r#"{"a":"2021-01-01T00:00:00Z","b":null}"#,
            "{}",
        ),
        (
            "{ between: [.a, .b] }",
            r#"{"a":"2021-01-01T00:00:00Z","b":"later"}"#,
            "map: `x`: not a time",
        ),
        (
            "{ between: ['.s[].a', '.s[].b'] }",
            r#"{"s":[{"a":20,"b":30},{"a":10},{"b":25}]}"#,
            r#"{"x":20}"#,
        ),
    ] {
        assert_eq!(field(rule, body), expected, "{rule} on {body}");
    }
}

#[test]
fn failed_conversions_can_become_null_but_a_refusal_stays_one() {
    let yaml = "{ on_error: null, fields: { a: { from: .a, as: number }, b: { from: .b, lookup: { x: y }, otherwise: reject } } }";
    assert_eq!(one(yaml, r#"{"a":"q","b":"x"}"#), r#"{"a":null,"b":"y"}"#);
    assert_eq!(
        one(yaml, r#"{"b":"secret"}"#),
        "map: `b`: a value that `lookup` lacks"
    );
}

#[test]
fn a_rejected_event_does_not_hold_up_the_others() {
    let yaml = "fields: { a: { from: .a, as: number } }";
    let applied = apply(yaml, &[r#"{"a":1}"#, r#"{"a":"x"}"#, r#"{"a":3}"#]);
    assert_eq!(texts(&applied), [r#"{"a":1}"#, r#"{"a":3}"#]);
    assert_eq!(applied.rejected[0].origin, Origin::new(1, 1));
    let applied = apply(
        &format!("keep: all\n{yaml}"),
        &[r#"{"a":"1"}"#, r#"{"a":"x"}"#, "{}"],
    );
    assert_eq!(texts(&applied), [r#"{"a":1}"#, "{}"]);
    assert_eq!(applied.rejected[0].origin, Origin::new(1, 1));
}

#[test]
fn changes_are_laid_over_the_event() {
    for (yaml, body, expected) in [
        ("drop: .a", r#"{ "a": 1, "b": 2 }"#, r#"{ "b": 2 }"#),
        (
            "drop: ['.l[].x', .m]",
            r#"{"l":[{"x":1,"y":2},{"x":3}],"m":0}"#,
            r#"{"l":[{"y":2},{}]}"#,
        ),
        (
            "fields: { .o.b: .a }",
            r#"{"a":1}"#,
            r#"{"a":1,"o":{"b":1}}"#,
        ),
        (
            "fields: { a: .b, b: .a }",
            r#"{"a":1,"b":[2]}"#,
            r#"{"a":[2],"b":1}"#,
        ),
        (
            "fields: { .a.b: .c }",
            r#"{"a":1,"c":2}"#,
            "map: `.a.b`: it cannot be put there",
        ),
        (
            "rename: { a: b, b: a }",
            r#"{"a":1,"b":{"c":2}}"#,
            r#"{"b":1,"a":{"c":2}}"#,
        ),
        (
            "rename: { a: .m.a }",
            r#"{"a":{"k":1}}"#,
            r#"{"m":{"a":{"k":1}}}"#,
        ),
        ("rename: { a: b }", r#"{"c":1}"#, r#"{"c":1}"#),
        (
            "default: { q: unknown }",
            r#"{"q":null}"#,
            r#"{"q":"unknown"}"#,
        ),
        ("default: { q: unknown }", r#"{"q":"x"}"#, r#"{"q":"x"}"#),
        (
            "{ fields: { q: .p }, default: { q: 1 } }",
            r#"{"q":"x"}"#,
            r#"{"q":1}"#,
        ),
        (
            "{ fields: { q: { value: { z: 1 } } }, drop: .q.z }",
            "{}",
            r#"{"q":{}}"#,
        ),
    ] {
        let yaml = match yaml.strip_prefix('{') {
            Some(rest) => format!("{{ keep: all, {rest}"),
            None => format!("keep: all\n{yaml}"),
        };
        assert_eq!(one(&yaml, body), expected, "{yaml}");
    }
}

#[test]
fn what_is_put_in_place_cannot_break_the_body() {
    // Renamed, the repeated member would be one that is read; then nothing is changed.
    let yaml = "{ keep: all, when: { path: .b.x, exists: false }, rename: { a: b } }";
    let body = r#"{"a":{"x":1,"x":2}}"#;
    assert_eq!(one(yaml, body), "map: `.b`: it cannot be put there");
}

#[test]
fn one_event_cannot_become_too_much() {
    let long = "x".repeat(100_000);
    let body = format!(r#"{{"s":"{long}","l":[{}1]}}"#, "1,".repeat(4000));
    let yaml = "each: .l[]\nfields: { s: ^.s }";
    assert_eq!(one(yaml, &body), "map: it makes too much of one event");
    let body = format!(r#"{{"l":[{}1]}}"#, "1,".repeat(4095));
    let told = one("each: .l[]\nfields: { s: . }", &body);
    assert_eq!(told, "map: `each` leads to more than 4095 elements");
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (yaml, expected) in [
        (
            "{}",
            "missing-field 1:1 transform `x` (map) needs the field `fields`",
        ),
        (
            "fields: {}",
            "empty-value 1:9 `fields` needs at least one field",
        ),
        (
            "fields: { a: 1 }",
            "wrong-type 1:14 expected a path or a mapping, found whole number `1`",
        ),
        (
            "fields: { a: b }",
            "bad-field-path 1:14 not a path to a field: expected a leading `.`",
        ),
        (
            "fields: { a: ^.b }",
            "bad-field-path 1:14 `^` means nothing without `each`",
        ),
        (
            "each: .a[]\nfields: { a: ^^.b }",
            "bad-field-path 2:14 `^` leads beyond the event: `each` is left after 1 of them",
        ),
        (
            "each: .a[]\nfields: { a: ^.b..c }",
            "bad-field-path 2:18 not a path to a field: expected a field name",
        ),
        (
            "each: .a\nfields: { a: .b }",
            "bad-field-path 1:7 `each` goes through no array: its path has no `[]`",
        ),
        (
            "fields: { a: {} }",
            "missing-field 1:14 the field `a` says not where its value comes from",
        ),
        (
            "fields: { a: { from: .a, value: 1 } }",
            "conflicting-fields 1:26 the value comes from both `from` and `value`",
        ),
        (
            "fields: { a: { value: 1, as: string } }",
            "conflicting-fields 1:26 `as` changes nothing in a constant `value`",
        ),
        (
            "fields: { a: { from: .a, az: string } }",
            "unknown-field 1:26 the field `a` has no field `az`",
        ),
        (
            "fields: { a: { from: .a, as: strin } }",
            "unknown-value 1:30 `strin` is not a choice of this field",
        ),
        (
            "fields: { a: { from: .a, divide: 0 } }",
            "out-of-range 1:34 nothing can be divided by 0",
        ),
        (
            "fields: { a: { from: .a, take: 1 } }",
            "conflicting-fields 1:26 `take` means nothing without `pattern`",
        ),
        (
            "fields: { a: { from: .a, otherwise: null } }",
            "conflicting-fields 1:26 `otherwise` means nothing without `lookup`",
        ),
        (
            "fields: { a: { from: .a, pattern: x, take: 1 } }",
            "out-of-range 1:44 the expression has 0 groups, so there is no group 1",
        ),
        (
            "fields: { a: { between: [.a] } }",
            "wrong-type 1:25 expected a list of two paths, found a list",
        ),
        (
            "fields: { a: { template: '{.a' } }",
            "bad-template 1:27 this `{` is not closed",
        ),
        (
            "fields: { a: { template: '{.a}}' } }",
            "bad-template 1:31 this `}` closes nothing",
        ),
        (
            "fields: { a: { template: 'x{.a..b}' } }",
            "bad-field-path 1:32 not a path to a field: expected a field name",
        ),
        (
            "fields: { a: .a, .a.b: .b }",
            "conflicting-fields 1:18 another field is in the place of `.a.b`",
        ),
        (
            "fields: { '.a[0]': .a }",
            "bad-field-path 1:11 `.a[0]` is no place for one value",
        ),
        (
            "{ fields: { abc: .a }, default: { abd: 1 } }",
            "unknown-field 1:35 `fields` makes no `abd`",
        ),
        (
            "{ fields: { a: { from: .a, default: 2 } }, default: { a: 1 } }",
            "conflicting-fields 1:55 `a` has a default of its own",
        ),
        (
            "{ fields: { a: .a }, drop: .b }",
            "conflicting-fields 1:22 `drop` goes only with `keep: all`",
        ),
        (
            "{ keep: all, each: '.a[]', drop: .b }",
            "conflicting-fields 1:14 `each` goes only with `keep: none`",
        ),
        (
            "keep: all",
            "missing-field 1:1 transform `x` (map) changes nothing",
        ),
        (
            "{ keep: all, drop: . }",
            "bad-field-path 1:20 `.` is the whole event, which a `filter` drops",
        ),
        (
            "{ keep: all, rename: { a: c, b: c } }",
            "conflicting-fields 1:33 two members would be called `.c`",
        ),
        (
            "{ keep: some, fields: { a: .a } }",
            "unknown-value 1:9 `some` is not a choice of this field",
        ),
        (
            "{ when: { label: late, path: .a, equals: 1 }, fields: { a: .a } }",
            "bad-condition 1:24 one condition has both `label` and `path`",
        ),
    ] {
        assert_eq!(check(yaml).unwrap_err(), [expected], "{yaml}");
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|it| json!(it)),
        any::<i64>().prop_map(|it| json!(it)),
        any::<f64>().prop_map(|it| json!(it)),
        "[\\PC\"\\\\]{0,6}".prop_map(|it| json!(it)),
        "20[0-9]{2}-[0-9]{1,2}-[0-9]{1,2}T[0-9]{1,2}:[0-9]{2}:[0-9]{2}Z".prop_map(|it| json!(it)),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|it| json!(it)),
            prop::collection::btree_map("[abl]", inner, 0..4).prop_map(|it| json!(it)),
        ]
    })
}

proptest! {
    #[test]
    fn any_event_gives_json_and_is_accounted_for(
        body in any_json(),
        cast in prop::sample::select(Cast::ALL.map(|(name, _)| name).to_vec()),
        on_error in prop::sample::select(vec!["reject", "null"]),
        which in 0..6usize,
    ) {
        let yaml = [
            format!("{{ each: '.l[].b[]', fields: {{ a: . , b: {{ from: [^.a, ^^.b], as: {cast} }} }} }}"),
            format!("{{ fields: {{ .a.a: {{ from: .a, as: {cast} }}, .a.b: {{ template: '{{.a}}{{.b}}' }}, l: '.l[]' }} }}"),
            format!("{{ keep: all, fields: {{ a: {{ from: .b, as: {cast} }}, .l.a.b: .a }}, drop: ['.l[]', .b.a] }}"),
            "{ keep: all, rename: { a: b, .b.a: .l.x }, default: { .l.a: { b: 1 } }, drop: '.b.l[]' }".to_owned(),
            "{ keep: all, fields: { .a.b: .a, .b: .l }, drop: ['.a.b.b', '.b[].a'] }".to_owned(),
            "{ fields: { x: { between: ['.l[]', '.a[]'] }, y: { from: .a, divide: 3, lookup: { a: b } } } }".to_owned(),
        ][which].clone();
        let text = body.to_string();
        let yaml = format!("{{ on_error: {on_error}, {}", &yaml[1..]);
        let applied = apply(&yaml, &[&text]);
        for text in texts(&applied) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
        }
        let dropped: u64 = applied.dropped.iter().map(|(_, count)| count).sum();
        let out = applied.batch.len() as u64 + dropped + applied.rejected.len() as u64;
        prop_assert_eq!(out, 1 + applied.created);
    }
}

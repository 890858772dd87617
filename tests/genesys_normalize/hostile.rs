//! Documents that nobody in his right mind would send.

use super::*;

const FIXTURES: [&str; 9] = [
    "call-users.ndjson",
    "call-flat.ndjson",
    "call-reread.ndjson",
    "message.ndjson",
    "message-flat.ndjson",
    "details.ndjson",
    "details-eventbridge.ndjson",
    "canonical.ndjson",
    "others.ndjson",
];

/// Changes one place of a document: the `at`-th, counted through all of it.
fn spoil(document: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *document = with.clone();
    }
    *at = at.wrapping_sub(1);
    match document {
        Value::Array(list) => list.iter_mut().for_each(|item| spoil(item, at, with)),
        Value::Object(members) => members.values_mut().for_each(|item| spoil(item, at, with)),
        _ => {}
    }
}

fn places(document: &Value) -> usize {
    1 + match document {
        Value::Array(list) => list.iter().map(places).sum(),
        Value::Object(members) => members.values().map(places).sum(),
        _ => 0,
    }
}

fn junk() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(json!("x".repeat(5000))),
        Just(json!("\u{0}\"\\\u{1F600}")),
        Just(json!("2026-01-02T03:04:05Z")),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("connected")),
    ];
    scalar.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(
                "[a-zA-Z]{1,8}|id|calls|state|messages|participants",
                inner,
                0..4
            )
            .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_document_breaks_it(
        name in prop::sample::select(&FIXTURES[..]),
        line in any::<prop::sample::Index>(),
        spoils in prop::collection::vec((any::<prop::sample::Index>(), junk()), 1..6),
    ) {
        let lines = fixture(name);
        let mut document: Value = serde_json::from_str(line.get(&lines).as_str()).unwrap();
        for (at, with) in &spoils {
            let mut at = at.index(places(&document));
            spoil(&mut document, &mut at, with);
        }
        // Its answer adds up and is JSON, or the event is rejected.
        let made = Bench::new("{include: [names, addresses, attributes], drift: fields}").made(&[document.to_string()]);
        for event in &made.events {
            let time = event["timestamp"].as_str();
            prop_assert!(time.is_some_and(|time| trunkline::clock::parse_lenient(time).is_some()));
        }
    }

    #[test]
    fn no_text_breaks_it(text in "\\{\"topicName\":\"v2[.a-z{}?&]{0,40}\",\"eventBody\":\\{\"id\":\"x\"\\}\\}") {
        Bench::new(PLAIN).made(&[text]);
    }
}

#[test]
fn one_event_does_not_become_a_flood() {
    let line = changed("call-users.ndjson", 8, |it| {
        it["eventBody"]["id"] = json!("x".repeat(100_000));
        let one = it["eventBody"]["participants"][4].clone();
        it["eventBody"]["participants"] = vec![one; 400].into();
    });
    let made = Bench::new(PLAIN).made(&[line]);
    assert_eq!((made.rejected, made.events.len()), (vec!["too_large"], 0));
}

#[test]
fn five_hundred_are_taken() {
    let line = changed("call-users.ndjson", 8, |it| {
        let one = it["eventBody"]["participants"][4].clone();
        it["eventBody"]["participants"] = vec![one; 500].into();
    });
    let made = Bench::new(PLAIN).made(&[line]);
    assert_eq!((made.events.len(), made.created), (1000, 999));
}

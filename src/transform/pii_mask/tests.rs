use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::event::{Event, PathSet, json_str};
use crate::mask::Redactor;

/// Settings from YAML, or the diagnostics as `code line`.
fn check(yaml: &str) -> Result<Config, Vec<String>> {
    let loaded = crate::config::parse("t.yaml", yaml, &crate::config::Fixed::default());
    let mut report: Report = loaded.report;
    let tree = loaded.tree.expect("YAML");
    let mut fields = Fields::new(&tree, "transform `masked` (pii_mask)", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    let told = report.iter().map(|item| {
        let line = item.span.map_or(0, |span| span.line);
        assert!(!item.message.contains("hunter2"), "a secret was shown");
        format!("{} {line}", item.code)
    });
    let told: Vec<_> = told.collect();
    match config {
        Some(config) if told.is_empty() => Ok(config),
        _ => Err(told),
    }
}

fn parse(config: &mut Config, json: &str) -> Event {
    let mut set = PathSet::default();
    config.paths(&mut |path| set.intern(path));
    Event::parse(json.into(), &Arc::new(set), &Arc::default()).unwrap()
}

/// The masked body; masking it again must change nothing.
fn masked(yaml: &str, json: &str) -> String {
    let mut config = check(yaml).unwrap();
    let mut event = parse(&mut config, json);
    let PiiMask(policy) = config.open();
    policy.apply(std::slice::from_mut(&mut event));
    let once = event.to_json();
    policy.apply(std::slice::from_mut(&mut event));
    assert_eq!(
        event.to_json(),
        once,
        "laid over, masking twice is masking once"
    );
    let mut read = event.with_body(once.clone()).unwrap();
    policy.apply(std::slice::from_mut(&mut read));
    assert_eq!(
        read.to_json(),
        once,
        "read anew, masking twice is masking once"
    );
    once
}

#[test]
fn each_kind_of_rule_does_what_it_says() {
    let key = "key: 0123456789abcdef0123456789abcdef\n";
    for (rules, given, expected) in [
        (
            "[phone]",
            r#"{"a":"call +14155551234 or jo@example.com","b":[{"c":"+14155551234"}]}"#,
            r#"{"a":"call +1***-***-1234 or jo@example.com","b":[{"c":"+1***-***-1234"}]}"#,
        ),
        (
            "[{ class: card, action: replace, with: '[card]' }, email]",
            r#"{"a":"4111 1111 1111 1111","b":"x jo@example.com"}"#,
            r#"{"a":"[card]","b":"x j***@***.com"}"#,
        ),
        (
            "[{ path: .d.n, class: phone }]",
            r#"{"d":{"n":"+14155551234","m":"+14155551234"}}"#,
            r#"{"d":{"n":"+1***-***-1234","m":"+14155551234"}}"#,
        ),
        (
            "[{ path: .url, action: drop }, { path: '.l[].x', action: drop }]",
            r#"{"url":{"any":1},"l":[{"x":1,"y":2},{"x":3}]}"#,
            r#"{"l":[{"y":2},{}]}"#,
        ),
        (
            "[{ path: .notes, action: scrub }]",
            r#"{"notes":["jo@example.com", {"x":"at 203.0.113.195"}],"else":"jo@example.com"}"#,
            r#"{"notes":["j***@***.com", {"x":"at 203.0.***.***"}],"else":"jo@example.com"}"#,
        ),
        (
            "[{ fields: [name, participantName], class: name }]",
            r#"{"name":"Ann Lee","p":[{"participantName":{"first":"Bo","n":1}}],"title":"Ann Lee"}"#,
            r#"{"name":"A*** L***","p":[{"participantName":{"first":"B***","n":"1***"}}],"title":"Ann Lee"}"#,
        ),
        (
            "[{ fields: secret, action: drop }, { fields: pin, action: replace, with: '-' }]",
            r#"{"a":{"secret":[1,2]},"b":[{"pin":12,"secret":"x"},{"pin":null}]}"#,
            r#"{"a":{},"b":[{"pin":"-"},{"pin":null}]}"#,
        ),
    ] {
        assert_eq!(
            masked(&format!("{key}rules: {rules}"), given),
            expected,
            "{rules}"
        );
    }
}

#[test]
fn names_that_become_one_are_told_apart_and_stay_so() {
    let json = r#"{"https://x.org/1":1,"https://x.org/2":2,"https://x.org/3":3}"#;
    let expected = r#"{"https://***":1,"https://*** (2)":2,"https://*** (3)":3}"#;
    assert_eq!(masked("rules: [url]", json), expected);
}

#[test]
fn hashes_join_and_hide() {
    let yaml = "key: 0123456789abcdef\nrules: [{ fields: [a, b], class: phone, action: hash }]";
    let json = masked(
        yaml,
        r#"{"a":"+1 415 555 1234","b":"+14155551234","c":{"a":"+14155551235"}}"#,
    );
    let tokens: Vec<_> = json
        .split('"')
        .filter(|text| text.starts_with("tok_"))
        .collect();
    assert_eq!(tokens.len(), 3, "{json}");
    assert_eq!(tokens[0], tokens[1]);
    assert_ne!(tokens[0], tokens[2]);
}

#[test]
fn numbers_are_masked_and_become_text() {
    let given = r#"{"p":14155551234,"card":4111111111111111,"e":1.4155551234e10,"n":4155551234,
        "small":345,"ms":1767225600000,"f":3.25,"t":true}"#;
    let out = masked("rules: [phone, card]", given);
    for gone in ["4155551234", "4111111111111111", "1.4155551234e10"] {
        assert!(!out.contains(gone), "{out}");
    }
    for stays in [
        r#""small":345"#,
        r#""ms":1767225600000"#,
        r#""f":3.25"#,
        r#""t":true"#,
    ] {
        assert!(out.contains(stays), "{out}");
    }
    let by_path = masked(
        "rules: [{ path: .p, class: phone }]",
        r#"{"p":5551234,"q":5551234}"#,
    );
    assert!(
        by_path.starts_with(r#"{"p":""#) && by_path.ends_with(r#""q":5551234}"#),
        "{by_path}"
    );
}

#[test]
fn kept_places_are_left_alone_by_detection_only() {
    let yaml = "keep: [.id, '.l[].id', .free]\nrules: [phone, { path: .free.a, class: phone }]";
    let n = "4155551234";
    let given = format!(
        r#"{{"id":"{n}","x":"{n}","l":[{{"id":{n},"y":"{n}"}}],"free":{{"a":"{n}","b":["{n}"],"{n}":0}}}}"#
    );
    let out = masked(yaml, &given);
    assert_eq!(out.matches(n).count(), 4, "{out}");
    assert!(out.starts_with(&format!(r#"{{"id":"{n}","x":"*"#)), "{out}");
    assert!(out.contains(&format!(r#"[{{"id":{n},"y":"*"#)), "{out}");
    assert!(out.contains(&format!(r#""b":["{n}"],"{n}":0"#)), "{out}");
}

#[test]
fn names_of_members_are_masked_and_stay_apart() {
    let out = masked(
        "{}",
        r#"{"jo@example.com":1,"jim@example.com":"x","j***@***.com":2,"ok":{"+14155551234":["+14155551234"]}}"#,
    );
    let expected = r#"{"j***@***.com (2)":1,"j***@***.com (3)":"x","j***@***.com":2,"ok":{"+1***-***-1234":["+1***-***-1234"]}}"#;
    assert_eq!(out, expected);
}

#[test]
fn masks_what_an_earlier_stage_changed() {
    let mut config = check("rules: [email, { path: .a, class: phone }]").unwrap();
    let mut event = parse(&mut config, r#"{"a":"x","b":{"c":"y"}}"#);
    for (path, text) in [
        (".a", "+14155551234"),
        (".b.c", "jo@example.com"),
        (".new", "jo@example.com"),
    ] {
        event.set(&path.parse().unwrap(), json_str(text));
    }
    let PiiMask(policy) = config.open();
    policy.apply(std::slice::from_mut(&mut event));
    let expected = r#"{"a":"+1***-***-1234","b":{"c":"j***@***.com"},"new":"j***@***.com"}"#;
    assert_eq!(event.to_json(), expected);
}

#[test]
fn a_body_full_of_personal_data_takes_linear_time() {
    let many: Vec<_> = (0..50_000)
        .map(|n| format!("\"u{n}@example.com\":\"u{n}@example.com\""))
        .collect();
    let mut config = check("{}").unwrap();
    let mut event = parse(&mut config, &format!("{{{}}}", many.join(",")));
    let PiiMask(policy) = config.open();
    policy.apply(std::slice::from_mut(&mut event));
    assert_eq!(event.body().members().count(), 50_000);
    assert!(!event.to_json().contains("@example"));
}

#[test]
fn a_redactor_knows_all_rules_and_detects_everything() {
    let mut config = check("keep: .id\nrules: [{ path: .who, class: name }]").unwrap();
    let mut event = parse(
        &mut config,
        r#"{"id":"4155551234","who":"Ann Lee","x":"jo@example.com"}"#,
    );
    event.extra_mut().headers = vec![("from".into(), "+14155551234".to_owned())];
    let redactor = Redactor::new([config.policy()]);
    redactor.redact(&mut event);
    assert_eq!(
        event.to_json(),
        r#"{"id":"4155551234","who":"A*** L***","x":"j***@***.com"}"#
    );
    assert_eq!(event.extra().unwrap().headers[0].1, "+1***-***-1234");
    let line = Redactor::new([]).redact_text("broken {\"a\": \"+14155551234");
    assert_eq!(line, "broken {\"a\": \"+1***-***-1234");
}

#[test]
fn mistakes_show_all_at_once_and_at_their_place() {
    let yaml = "key: short
rules:
  - phon
  - name
  - { class: phone, action: mask, with: x }
  - { path: .a }
  - { path: .a, fields: [b], class: phone }
  - { class: phone, action: scrub }
  - { path: .c, class: phone }
  - { path: .c, action: drop }
  - { path: .d, action: replace }
  - { path: .e, class: email, action: replace, with: a@b.com }
  - { path: e, class: email }
  - { action: drop }
  - phone
  - { class: phone, action: drop }
  - { path: .f, class: name, action: scrub }
keep: [x]
";
    let expected = [
        "out-of-range 1",
        "unknown-value 3",
        "conflicting-fields 4",
        "conflicting-fields 5",
        "missing-field 6",
        "conflicting-fields 7",
        "conflicting-fields 8",
        "conflicting-fields 10",
        "missing-field 11",
        "conflicting-fields 12",
        "bad-field-path 13",
        "missing-field 14",
        "conflicting-fields 16",
        "conflicting-fields 17",
        "bad-field-path 18",
    ];
    assert_eq!(check(yaml).err().unwrap(), expected);
    let told = check("rules:\n- { path: .a, action: hash }").err().unwrap();
    assert_eq!(told, ["missing-field 2"]);
    assert!(check("key: hunter2hunter2hunter2\nrules: [phone, phone]").is_ok());
}

/// A piece of text, most of them with something to find.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "+14155551234",
        "(415) 555-1234",
        "0170/1234567",
        "+49 (0)30 1234567",
        "00 33 6 12 34 56 78",
        "090-1234-5678",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "jo@example.com",
        "zoë.müller@例え.jp",
        "用户@example.com",
        "https://x.org/r?id=1",
        "203.0.113.195",
        "2001:db8::1",
        "٠١٢٣٤٥٦٧٨٩",
        "bitte rufen Sie",
        "appelez le",
        "電話は",
        "позвоните",
        "إتصل",
        "id",
        "12",
        "\n",
        "\"",
        "\\",
        ",",
        " ",
        ".",
        "INV-2026-000123",
        "2026-05-01T12:00:00Z",
        "1767225600000",
    ]);
    let joint = prop::sample::select(vec!["", " ", ", ", "/", "："]);
    (prop::collection::vec(pieces, 0..5), joint).prop_map(|(pieces, joint)| pieces.join(joint))
}

fn json() -> impl Strategy<Value = String> {
    let number = prop::sample::select(vec![
        "14155551234",
        "4111111111111111",
        "3.5",
        "-7",
        "1e3",
        "null",
        "true",
    ]);
    let leaf = prop_oneof![3 => text().prop_map(|text| json_str(&text).to_string()), 1 => number.prop_map(str::to_owned)];
    leaf.prop_recursive(4, 32, 5, |below| {
        prop_oneof![
            prop::collection::vec(below.clone(), 0..5)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map(text(), below, 0..5).prop_map(|members| {
                let member =
                    |(name, value): (&String, &String)| format!("{}:{value}", json_str(name));
                format!(
                    "{{{}}}",
                    members.iter().map(member).collect::<Vec<_>>().join(",")
                )
            }),
        ]
    })
}

/// Every text of a body, members' names and numbers included.
fn texts(value: &serde_json::Value, all: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => all.push(text.clone()),
        serde_json::Value::Number(number) => all.push(number.to_string()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        serde_json::Value::Object(members) => members.iter().for_each(|(name, member)| {
            all.push(name.clone());
            texts(member, all);
        }),
        _ => {}
    }
}

/// Everything that detection would still change.
fn survivors(json: &str) -> Vec<String> {
    let mut all = Vec::new();
    texts(&serde_json::from_str(json).unwrap(), &mut all);
    let masker = Policy::detect_all(Vec::new());
    all.retain(|text| masker.detection().scrub(text).is_some());
    all
}

fn shape(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(shape).sum::<usize>(),
        serde_json::Value::Object(members) => 1 + members.values().map(shape).sum::<usize>(),
        _ => 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn nothing_detectable_survives(body in json()) {
        let out = masked("{}", &body);
        prop_assert_eq!(survivors(&out), Vec::<String>::new());
        let before: serde_json::Value = serde_json::from_str(&body).unwrap();
        let after: serde_json::Value = serde_json::from_str(&out).unwrap();
        prop_assert_eq!(shape(&before), shape(&after), "members and elements stay");
    }

    #[test]
    fn rules_of_every_kind_leave_json(body in json()) {
        let yaml = "key: 0123456789abcdef\nrules: [phone, { fields: [id, '12'], class: name }, { class: email, action: hash },
            { class: card, action: drop }, { path: '.id', action: scrub }, { path: '.\"12\"[]', action: drop }]";
        masked(yaml, &body);
    }
}

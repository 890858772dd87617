use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::Fixed;
use crate::event::PathSet;

fn read(yaml: &str) -> (Option<Condition>, Vec<String>) {
    let loaded = crate::config::parse("t.yaml", yaml, &Fixed::default());
    let mut report = loaded.report;
    let condition = Condition::check(&loaded.tree.unwrap(), &mut report);
    let told = report.iter().map(|item| {
        let at = item.span.map_or((0, 0), |span| (span.line, span.column));
        let hint = item.hint.map(|hint| format!(" ({hint})"));
        format!(
            "{} {}:{} {}{}",
            item.code,
            at.0,
            at.1,
            item.message,
            hint.unwrap_or_default()
        )
    });
    (condition, told.collect())
}

fn condition(yaml: &str) -> Condition {
    let (condition, told) = read(yaml);
    assert!(told.is_empty(), "{yaml}: {told:?}");
    condition.unwrap()
}

/// The answer, which must be the same with and without interned paths.
fn holds(yaml: &str, json: &str) -> bool {
    let mut condition = condition(yaml);
    let of = |set: &Arc<PathSet>| Event::parse(json.into(), set, &Arc::default()).unwrap();
    let walked = condition.holds(&of(&Arc::default()));
    let mut set = PathSet::default();
    condition.paths(&mut |path| set.intern(path));
    assert_eq!(condition.holds(&of(&Arc::new(set))), walked, "{yaml}");
    walked
}

#[test]
fn an_events_object_is_compared_as_text() {
    let from = crate::event::Provenance {
        source: "exports".into(),
        object: "org/conversation_id=c/r_metadata.json".into(),
        ..Default::default()
    };
    let event = |from| Event::parse("{}".into(), &Arc::default(), &Arc::new(from)).unwrap();
    let (known, unknown) = (event(from), event(Default::default()));
    for (yaml, expected) in [
        ("{ meta: object, ends_with: _metadata.json }", true),
        ("{ meta: object, matches: '/conversation_id=[^/]+/' }", true),
        ("{ meta: object, contains: nowhere }", false),
        ("{ meta: object, starts_with: org/ }", true),
        ("{ meta: source, equals: exports }", true),
        ("{ meta: source, equals: 1 }", false),
        ("{ meta: source, in: [other, exports] }", true),
        ("{ meta: source, is: string }", true),
        ("{ meta: source, is: 'null' }", false),
        ("{ meta: source, less: 5 }", false),
        ("{ meta: object, exists: true }", true),
        ("{ not: { meta: source, equals: other } }", true),
    ] {
        assert_eq!(condition(yaml).holds(&known), expected, "{yaml}");
    }
    assert!(!condition("{ meta: object, matches: '' }").holds(&unknown));
    assert!(condition("{ meta: object, exists: false }").holds(&unknown));
    for (yaml, word) in [
        ("{ meta: object }", "beside `meta`"),
        ("{ meta: key, equals: a }", "object"),
        ("{ meta: object, path: .a, equals: a }", "both"),
    ] {
        let (_, told) = read(yaml);
        assert!(
            told.len() == 1 && told[0].contains(word),
            "{yaml}: {told:?}"
        );
    }
}

const EVENT: &str = r#"{"type":"completed","n":30,"f":1.0,"big":9007199254740993,"s":"1","t":true,
    "nil":null,"at":"2026-11-20T10:00:00+01:00","tags":["a","vip"],"o":{"id":"user:jo"},
    "list":[{"x":1},{"x":5}]}"#;

#[test]
fn every_operator_holds_and_does_not() {
    for (yaml, expected) in [
        ("{ path: .type, equals: completed }", true),
        ("{ path: .type, equals: Completed }", false),
        ("{ path: .f, equals: 1 }", true),
        ("{ path: .n, equals: 30.0 }", true),
        ("{ path: .s, equals: 1 }", false),
        ("{ path: .f, equals: '1' }", false),
        ("{ path: .big, equals: 9007199254740993 }", true),
        ("{ path: .big, equals: 9007199254740992 }", false),
        ("{ path: .t, equals: true }", true),
        ("{ path: .nil, equals: null }", true),
        ("{ path: .none, equals: null }", false),
        ("{ path: .type, in: [open, completed, 3] }", true),
        ("{ path: .n, in: [open, 30] }", true),
        ("{ path: .n, in: [open, '30'] }", false),
        ("{ path: .n, greater: 30 }", false),
        ("{ path: .n, greater_or_equal: 30 }", true),
        ("{ path: .n, greater: 29.5 }", true),
        ("{ path: .n, less: 30.5 }", true),
        ("{ path: .n, less_or_equal: 29 }", false),
        ("{ path: .big, greater: 9007199254740992 }", true),
        ("{ path: .s, greater: 0 }", false),
        ("{ path: .at, less: '2026-11-20T09:00:01Z' }", true),
        (
            "{ path: .at, greater_or_equal: '2026-11-20T09:00:00Z' }",
            true,
        ),
        ("{ path: .type, less: '2026-11-20T09:00:01Z' }", false),
        ("{ path: .o.id, matches: '^user:' }", true),
        ("{ path: .n, matches: '3' }", false),
        ("{ path: .o.id, starts_with: 'user' }", true),
        ("{ path: .o.id, ends_with: 'user' }", false),
        ("{ path: .o.id, contains: 'r:j' }", true),
        ("{ path: .nil, exists: true }", true),
        ("{ path: .none, exists: true }", false),
        ("{ path: .none, exists: false }", true),
        ("{ path: '.list[].y', exists: false }", true),
        ("{ path: .nil, is: null }", true),
        ("{ path: .nil, is: string }", false),
        ("{ path: .tags, is: array }", true),
        ("{ path: .o, is: object }", true),
        ("{ path: '.tags[]', equals: vip }", true),
        ("{ path: '.tags[0]', equals: vip }", false),
        ("{ path: '.list[].x', greater: 4 }", true),
        ("{ path: '.list[].x', greater: 5 }", false),
        ("{ not: { path: .none, greater: 5 } }", true),
        (
            "{ all: [{ path: .n, greater: 1 }, { path: .n, less: 9 }] }",
            false,
        ),
        (
            "{ any: [{ path: .n, greater: 1 }, { path: .n, less: 9 }] }",
            true,
        ),
        ("{ label: late }", false),
    ] {
        assert_eq!(holds(yaml, EVENT), expected, "{yaml}");
    }
}

#[test]
fn labels_are_asked_for_by_name() {
    let mut event = Event::parse("{}".into(), &Arc::default(), &Arc::default()).unwrap();
    event.labels.insert(Labels::GAP);
    assert!(condition("{ label: gap }").holds(&event));
    assert!(!condition("{ label: orphan }").holds(&event));
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (yaml, expected) in [
        (
            "{ path: .a, eqals: 1 }",
            "unknown-field 1:13 the condition has no field `eqals` (did you mean `equals`?)",
        ),
        (
            "{ path: .a, less: 1, greater: 2 }",
            "bad-condition 1:22 one condition has both `less` and `greater` (join several conditions with `all: [...]` or `any: [...]`)",
        ),
        (
            "{ label: late, path: .a, equals: 1 }",
            "bad-condition 1:16 one condition has both `label` and `path` (join several conditions with `all: [...]` or `any: [...]`)",
        ),
        (
            "{ equals: 1 }",
            "bad-condition 1:3 `equals` needs the `path` of the field that it is about",
        ),
        (
            "{ path: a.b, equals: 1 }",
            "bad-field-path 1:9 not a path to a field: expected a leading `.` (write it as `.data.participants[0].name`)",
        ),
        (
            "{ path: .a, greater: x }",
            "bad-condition 1:22 `x` is neither a number nor a time (compare with a number or an RFC 3339 time such as `2026-11-20T09:00:00Z`)",
        ),
        (
            "{ path: .a, equals: [1] }",
            "wrong-type 1:21 expected text, a number, a boolean or `null`, found a list",
        ),
        (
            "{ path: .a, in: [] }",
            "empty-value 1:17 the list needs at least one element",
        ),
        (
            "{ all: [] }",
            "empty-value 1:8 `all` needs at least one condition",
        ),
        (
            "{ label: lat }",
            "unknown-value 1:10 `lat` is not a choice of this field (did you mean `late`?)",
        ),
        (
            "{ path: .a, is: text }",
            "unknown-value 1:17 `text` is not a choice of this field (one of `string`, `number`, `boolean`, `null`, `array`, `object`)",
        ),
        (
            "completed",
            "wrong-type 1:1 expected a condition, found text `completed` (write it as `{ path: .type, equals: completed }`)",
        ),
        (
            "{}",
            "bad-condition 1:1 the condition is empty (write it as `{ path: .type, equals: completed }`)",
        ),
    ] {
        let (condition, told) = read(yaml);
        assert!(condition.is_none(), "{yaml}");
        assert_eq!(told, [expected], "{yaml}");
    }
    let (_, told) = read("{ path: .a, matches: '(' }");
    assert!(told[0].starts_with("bad-pattern 1:23"), "{told:?}");
    let (_, told) = read("{ path: .a }");
    assert!(told[0].starts_with("bad-condition 1:1 the condition compares with nothing"));
}

#[test]
fn all_mistakes_show_at_once() {
    let (_, told) = read(
        "all:\n  - { path: a, equals: 1 }\n  - not: { path: .a, starts_wit: x }\n  - { any: 3 }\n",
    );
    let places: Vec<_> = told
        .iter()
        .map(|it| it.split(' ').take(2).collect::<Vec<_>>())
        .collect();
    assert_eq!(
        places,
        [
            ["bad-field-path", "2:13"],
            ["unknown-field", "3:22"],
            ["wrong-type", "4:12"]
        ]
    );
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| {
        let inner = "{ label: late }".to_owned();
        (1..depth).fold(inner, |inner, _| format!("{{ not: {inner} }}"))
    };
    assert!(read(&nested(MAX_DEPTH)).1.is_empty());
    let (condition, told) = read(&nested(MAX_DEPTH + 1));
    assert!(condition.is_none());
    assert!(told[0].starts_with("too-complex"), "{told:?}");
}

proptest! {
    /// `not` is the opposite, whatever the value; and nothing panics.
    #[test]
    fn not_is_the_opposite(value in "-?[0-9]{1,20}(\\.[0-9]{1,4})?(e-?[0-9]{1,3})?|\"[a-z:0-9]{0,8}\"|null|true|\\[\"a\",1\\]", which in 0..8usize) {
        let test = ["equals: 1", "in: [a, 1, null]", "greater: 1", "less_or_equal: 2.5", "matches: '^a'", "contains: a", "exists: false", "is: number"][which];
        // Leading zeros are no JSON, so such a number is no event.
        if let Ok(event) = Event::parse(format!("{{\"a\":{value}}}"), &Arc::default(), &Arc::default()) {
            let plain = condition(&format!("{{ path: .a, {test} }}"));
            let negated = condition(&format!("{{ not: {{ path: .a, {test} }} }}"));
            prop_assert_ne!(plain.holds(&event), negated.holds(&event));
        }
    }
}

#[cfg(feature = "remap")]
#[test]
fn a_program_is_a_condition_among_others() {
    let long = "{ all: [ { vrl: '(to_int(.n) ?? 0) > 30' }, { not: { vrl: 'exists(.off)' } } ] }";
    assert!(holds(long, r#"{"n":"31"}"#));
    assert!(!holds(long, r#"{"n":30}"#));
    assert!(!holds(long, r#"{"n":31,"off":null}"#));
    let any = "{ any: [ { path: .n, equals: 1 }, { vrl: '.n == 2' } ] }";
    let held = [1, 2, 3].map(|n| holds(any, &format!("{{\"n\":{n}}}")));
    assert_eq!(held, [true, true, false]);
    let (none, told) = read("{ all: [ { vrl: .n }, { vrl: 5 }, { vrl: 'true', label: late } ] }");
    assert!(none.is_none());
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told[0].starts_with("vrl 1:17 the condition is not a boolean"),
        "{told:?}"
    );
    assert!(told[1].starts_with("wrong-type 1:30"), "{told:?}");
}

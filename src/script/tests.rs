use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::clock::Wall;
use crate::config::{Fixed, parse};
use crate::diagnostic::{Report, render};
use crate::event::{Origin, PathSet};
use crate::setting::Value as Setting;

/// A node as a file would have it in `k: |`.
fn node(text: &str) -> Node {
    Node::new(
        Setting::Text(text.to_owned()),
        crate::diagnostic::Span::start(),
    )
}

fn compiled(text: &str, purpose: Purpose) -> Result<Script, String> {
    let mut report = Report::new("t");
    let node = node(text);
    let source = Source::Inline(&node);
    let script = Script::compile(source, purpose, Zone::default(), &mut report);
    script.ok_or_else(|| {
        let told = report.iter().map(|it| it.message);
        told.collect::<Vec<_>>().join("\n")
    })
}

/// An event of this body that was read with the paths of the script.
fn event(script: &mut Script, body: &str) -> Event {
    let mut paths = PathSet::default();
    script.paths(&mut |path| paths.intern(path));
    let mut event = Event::parse(body.to_owned(), &Arc::new(paths), &Arc::default()).unwrap();
    event.origin = Origin::new(7, 3);
    event
}

/// What a program makes of a body: the bodies, or why there is none.
fn made(text: &str, body: &str) -> Result<Vec<String>, Halt> {
    let mut script = compiled(text, Purpose::Change).unwrap();
    let mut event = event(&mut script, body);
    let wall = Wall::real();
    let ran = script.runner(&wall).run(&mut event);
    match ran {
        Ok(Ran::Several(events)) => Ok(events.iter().map(Event::to_json).collect()),
        Ok(Ran::Same) => {
            assert_eq!(event.to_json(), body);
            Ok(vec![body.to_owned()])
        }
        Ok(Ran::Changed) => Ok(vec![event.to_json()]),
        Err(halt) => {
            assert_eq!(event.to_json(), body, "it is as it was");
            Err(halt)
        }
    }
}

fn one(text: &str, body: &str) -> String {
    let all = made(text, body).unwrap();
    assert_eq!(all.len(), 1);
    all.into_iter().next().unwrap()
}

#[test]
fn only_what_changed_is_written_anew() {
    let body = r#"{ "a": 1.10, "b": {"c":12345678901234567890, "d" : "\u0041"}, "e": [1.50, 2] }"#;
    for (text, expected) in [
        (".", body.to_owned()),
        (".a = .a", body.to_owned()),
        (". = .", body.to_owned()),
        (".b = merge!(.b, {\"d\": \"A\"})", body.to_owned()),
        (".e[1] = 2", body.to_owned()),
        ("x = del(.b); .b = x", body.to_owned()),
        (".a = 2", body.replace("1.10", "2")),
        (".b.d = true", body.replace(r#""\u0041""#, "true")),
        ("del(.a)", body.replace(r#""a": 1.10, "#, "")),
        (
            ".f = .b.c",
            body.replace(" }", r#" ,"f":12345678901234567890}"#),
        ),
        (".e[1] = 3", body.replace("[1.50, 2]", "[1.50,3]")),
        (".e = push!(.e, 4)", body.replace("[1.50, 2]", "[1.50,2,4]")),
        ("del(.e[0])", body.replace("[1.50, 2]", "[2]")),
        (". |= {\"a\": 7}", body.replace("1.10", "7")),
    ] {
        assert_eq!(
            one(text, body).replace(" ,", ",").replace(" }", "}"),
            expected.replace(" ,", ",").replace(" }", "}"),
            "{text}"
        );
    }
}

#[test]
fn members_are_made_moved_and_removed_as_in_vrl() {
    for (text, body, expected) in [
        (".a.b.c = 1", "{}", r#"{"a":{"b":{"c":1}}}"#),
        // What stands in the way gives way.
        (
            ".a.b.c = 1",
            r#"{"a":"x","z":0}"#,
            r#"{"a":{"b":{"c":1}},"z":0}"#,
        ),
        (
            ".a.b = 1; .a.c = 2",
            r#"{"a":[1]}"#,
            r#"{"a":{"b":1,"c":2}}"#,
        ),
        (".a[2] = 1", r#"{"a":"x"}"#, r#"{"a":[null,null,1]}"#),
        (".b = del(.a)", r#"{"a":{"x":1.50}}"#, r#"{"b":{"x":1.5}}"#),
        (
            "del(.a.b, compact: true)",
            r#"{"a":{"b":1},"z":0}"#,
            r#"{"z":0}"#,
        ),
        ("del(.a.b)", r#"{"a":{"b":1},"z":0}"#, r#"{"a":{},"z":0}"#),
        ("del(.)", r#"{"a":1}"#, "{}"),
        (".a = 1; . = {\"b\": .a}", r#"{"a":0,"c":2}"#, r#"{"b":1}"#),
        (". = null", r#"{"a":0}"#, r#"{"message":null}"#),
        (". = \"x\"", r#"{"a":0}"#, r#"{"message":"x"}"#),
        (
            ".x = encode_json(.)",
            r#"{"a":1}"#,
            r#"{"a":1,"x":"{\"a\":1}"}"#,
        ),
        (
            ".a = 2; .x = encode_json(.)",
            r#"{"a":1}"#,
            r#"{"a":2,"x":"{\"a\":2}"}"#,
        ),
        (
            ".x = encode_json(.); .y = .a",
            r#"{"a":1}"#,
            r#"{"a":1,"x":"{\"a\":1}","y":1}"#,
        ),
        (
            ".t = parse_timestamp!(.t, \"%d.%m.%Y %H:%M\")",
            r#"{"t":"05.03.2026 14:00"}"#,
            r#"{"t":"2026-03-05T14:00:00Z"}"#,
        ),
        (".l = .a[-1]", r#"{"a":[1,2]}"#, r#"{"a":[1,2],"l":2}"#),
        (
            ".f = 1.0; .g = 0.1 + 0.2",
            "{}",
            r#"{"f":1.0,"g":0.30000000000000004}"#,
        ),
    ] {
        assert_eq!(one(text, body), expected, "{text}");
    }
}

#[test]
fn many_changes_are_laid_as_few_are() {
    let members: Vec<String> = (0..40).map(|n| format!("\"m{n:02}\":{n}.0")).collect();
    let body = format!("{{\"in\":{{{}}},\"z\":1.10}}", members.join(","));
    let changed = one(
        ".in = map_values(object!(.in)) -> |v| { to_float!(v) + 1.0 }",
        &body,
    );
    assert!(
        changed.starts_with(r#"{"in":{"m00":1.0,"m01":2.0,"#),
        "{changed}"
    );
    assert!(changed.ends_with(r#","m39":40.0},"z":1.10}"#), "{changed}");
    let renamed = one(
        ". = map_keys(., recursive: true) -> |key| { upcase(key) }",
        &body,
    );
    assert!(renamed.contains(r#""M39":39.0}"#), "{renamed}");
    assert!(renamed.contains(r#""Z":1.1}"#), "{renamed}");
}

#[test]
fn a_list_becomes_events_of_one_origin() {
    let mut script = compiled(". = unnest!(.items)", Purpose::Change).unwrap();
    let mut event = event(&mut script, r#"{"id":1.10,"items":[{"a":1},{"a":2}]}"#);
    let wall = Wall::real();
    let Ok(Ran::Several(parts)) = script.runner(&wall).run(&mut event) else {
        panic!("several");
    };
    let bodies: Vec<_> = parts.iter().map(Event::to_json).collect();
    assert_eq!(
        bodies,
        [
            r#"{"id":1.10,"items":{"a":1}}"#,
            r#"{"id":1.10,"items":{"a":2}}"#
        ]
    );
    let origins: Vec<_> = parts.iter().map(|it| it.origin).collect();
    assert_eq!(origins, [event.origin.part(1), event.origin.part(2)]);
    assert_eq!(made(". = []", "{}").unwrap(), Vec::<String>::new());
    assert_eq!(made(". = [1]", "{}").unwrap(), [r#"{"message":1}"#]);
    let long = format!("{{\"a\":[{}0]}}", "0,".repeat(5000));
    assert!(matches!(made(". = .a", &long), Err(Halt::Failed(_))));
}

#[test]
fn what_vrl_cannot_hold_is_refused_or_kept() {
    let refused = |text, body| match made(text, body) {
        Err(Halt::Failed(why)) => why,
        other => panic!("{text}: {other:?}"),
    };
    let two = r#"{"a":12345678901234567890,"b":12345678901234567891}"#;
    assert!(refused(".c = .a; .d = .b", two).contains("cannot tell"));
    assert_eq!(
        one(".c = 1; x = .a; y = .b; .e = x == y", two),
        two.replace('}', r#","c":1,"e":true}"#)
    );
    let twice = r#"{"in":{"a":1,"a":2}}"#;
    assert!(refused(".x = .in.b; .y = .in", twice).contains("comes twice"));
    assert_eq!(one(".x = 1", twice), r#"{"in":{"a":1,"a":2},"x":1}"#);
    assert!(refused(".a = decode_base64!(.b)", r#"{"b":"/w=="}"#).contains("no text"));
    assert!(refused(".a = .b", "[1]").contains("no object"));
    assert_eq!(one(".b = .a", r#"{"a":1e999}"#), r#"{"a":1e999,"b":1e999}"#);
    assert!(refused(".b = .a * .a ?? 0", r#"{"a":1e200}"#).contains("infinite"));
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(94), "]".repeat(94));
    assert!(refused(".a = [[[.a]]]", &deep).contains("deeper"));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let doubling = "x = string!(.a)\n".to_owned() + &"x = x + x\n".repeat(5) + ".b = x";
    assert!(refused(&doubling, &large).contains("too large"));
}

#[test]
fn aborts_and_failures_leave_the_event_alone() {
    let body = r#"{"a":"x"}"#;
    assert_eq!(made(".b = 1; abort", body), Err(Halt::Aborted(None)));
    let said = made("abort \"no \" + string!(.a)", body);
    assert_eq!(said, Err(Halt::Aborted(Some("no x".into()))));
    let Err(Halt::Failed(why)) = made(".b = 1; .c = to_int!(.a)", body) else {
        panic!("a failure");
    };
    assert!(why.contains("to_int"), "{why}");
    let endless =
        "for_each(range(0, 100000)) -> |_i, _v| { for_each(range(0, 100)) -> |_j, _w| { .a = 1 } }";
    let endless = endless
        .replace("range(0, 100000)", "range!(0, 100000)")
        .replace("range(0, 100)", "range!(0, 100)");
    let Err(Halt::Failed(why)) = made(&endless, body) else {
        panic!("it ends");
    };
    assert!(why.contains("steps"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_that_of_the_run() {
    let mut script = compiled(".at = now(); .again = now()", Purpose::Change).unwrap();
    let start: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
    let wall = Wall::from(start);
    let mut event = event(&mut script, "{}");
    script.runner(&wall).run(&mut event).unwrap();
    let expected = r#"{"at":"2026-03-04T05:06:07Z","again":"2026-03-04T05:06:07Z"}"#;
    let sorted = r#"{"again":"2026-03-04T05:06:07Z","at":"2026-03-04T05:06:07Z"}"#;
    assert!(
        [expected, sorted].contains(&event.to_json().as_str()),
        "{}",
        event.to_json()
    );
}

#[test]
fn what_is_known_of_an_event_is_there_to_read() {
    let mut script = compiled(".o = %object; .q = %routing_key", Purpose::Change).unwrap();
    let mut paths = PathSet::default();
    script.paths(&mut |path| paths.intern(path));
    let from = crate::event::Provenance {
        object: "a.json".into(),
        ..Default::default()
    };
    let mut event = Event::parse("{}".into(), &Arc::new(paths), &Arc::new(from)).unwrap();
    let wall = Wall::real();
    script.runner(&wall).run(&mut event).unwrap();
    assert_eq!(event.to_json(), r#"{"o":"a.json","q":null}"#);
    let wrong = compiled(".o = %objekt", Purpose::Change).unwrap_err();
    assert!(wrong.contains("`%objekt`"), "{wrong}");
    assert!(compiled("%object = \"x\"", Purpose::Change).is_err());
}

#[test]
fn variables_are_of_one_event() {
    let mut script = compiled("if .a == 1 { x = 5 }; .x = x", Purpose::Change);
    if let Ok(script) = &mut script {
        let wall = Wall::real();
        let bodies = [r#"{"a":1}"#, r#"{"a":2}"#];
        let events = bodies.map(|body| event(script, body));
        let mut runner = script.runner(&wall);
        let left = events.map(|mut event| {
            runner.run(&mut event).unwrap();
            event.to_json()
        });
        assert_eq!(left[1], r#"{"a":2,"x":null}"#);
    }
}

#[test]
fn a_condition_answers_and_changes_nothing() {
    let holds = |text: &str, body: &str| {
        let mut script = compiled(text, Purpose::Ask).unwrap();
        let event = event(&mut script, body);
        let held = script.holds(&event);
        assert_eq!(event.to_json(), body);
        held
    };
    let long = "(to_int(.duration) ?? 0) > 30 && exists(.queue)";
    assert!(holds(long, r#"{"duration":"31","queue":1}"#));
    assert!(!holds(long, r#"{"duration":30,"queue":1}"#));
    assert!(!holds(long, r#"{"duration":31}"#));
    assert!(!holds("true", "[1]"), "it is no object");
    assert!(
        !holds("exists(.in)", r#"{"in":{"a":1,"a":2}}"#),
        "one of two"
    );
    for (text, why) in [
        (".a", "not a boolean"),
        (".a = true", "read-only"),
        ("to_bool!(.a)", "can fail"),
        ("to_bool(.a)", "unhandled"),
        ("abort", "cannot `abort`"),
        ("if .a == 1 { abort } else { true }", "abort"),
        ("now() > now()", "undefined function"),
    ] {
        let told = compiled(text, Purpose::Ask).unwrap_err();
        assert!(told.contains(why), "{text}: {told}");
    }
}

#[test]
fn deep_programs_are_refused_before_they_exhaust_a_stack() {
    let sum = |terms: usize| format!(".a = 1{}", " + 1".repeat(terms));
    let group = |depth: usize| format!(".a = {}1{}", "(".repeat(depth), ")".repeat(depth));
    let list = |depth: usize| format!(".a = {}1{}", "[".repeat(depth), "]".repeat(depth));
    let branches = |n: usize| format!("if .a == 0 {{ 1 }}{}", " else if .a == 1 { 2 }".repeat(n));
    // On the stack of a test, which is that of a worker.
    for text in [
        sum(190),
        group(30),
        list(30),
        branches(90),
        format!(".a = {}true", "!".repeat(190)),
    ] {
        let script = compiled(&text, Purpose::Change);
        let mut script = script.unwrap_or_else(|why| panic!("{text}: {why}"));
        let mut event = event(&mut script, "{}");
        let wall = Wall::real();
        script.runner(&wall).run(&mut event).unwrap();
    }
    for text in [
        sum(9000),
        group(9000),
        list(9000),
        branches(2000),
        "!".repeat(60_000),
    ] {
        assert!(compiled(&text, Purpose::Change).is_err());
    }
    assert!(compiled(&"# long\n".repeat(20_000), Purpose::Change).is_err());
}

#[test]
fn every_mistake_is_told_at_its_place() {
    let file = "k: |\n  .a = totl\n  .b = upcase(5)\n";
    let loaded = parse("t.yaml", file, &Fixed::new());
    let tree = loaded.tree.clone().unwrap();
    let mut report = Report::new("t.yaml");
    let source = Source::Inline(tree.get("k").unwrap());
    Script::compile(source, Purpose::Change, Zone::default(), &mut report);
    let places: Vec<_> = report.iter().filter_map(|it| it.span).collect();
    let drawn = render::text(&report, &loaded.sources(), false);
    assert_eq!(places.len(), 2, "{drawn}");
    assert_eq!((places[0].line, places[0].column), (2, 8), "{drawn}");
    assert_eq!((places[1].line, places[1].column), (3, 15), "{drawn}");
}

/// JSON as it comes: numbers in any notation, escapes, spaces, anything below.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|it| it.to_string()),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?",
    ];
    let text = any::<String>().prop_map(|it| serde_json::to_string(&it).unwrap());
    let escaped = Just(r#""\u00e9\/\uD83D\uDE00""#.to_owned());
    let word = prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned);
    let leaf = prop_oneof![number, text, escaped, word];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..5)
            .prop_map(|all| format!("[{}]", all.join(" , ")));
        prop_oneof![list, object(inner, 5)]
    })
}

/// An object whose names come once.
fn object(member: impl Strategy<Value = String>, most: usize) -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-f]", member, 0..most).prop_map(|all| {
        let members: Vec<_> = all.iter().map(|(k, v)| format!("\"{k}\" : {v}")).collect();
        format!("{{ {} }}", members.join(", "))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_program_that_changes_nothing_leaves_every_byte(body in object(json(), 6)) {
        for text in [
            ".",
            "if exists(.a) { .a = .a }; if exists(.b) { .b = .b }",
            ". = .",
            "if !exists(.a) { true } else { x = del(.a); .a = x }",
            ".z = 1; del(.z); y = encode_json(.); y",
        ] {
            match made(text, &body) {
                Ok(left) => prop_assert_eq!(&left[0], &body, "{}", text),
                Err(Halt::Failed(why)) => prop_assert!(why.contains("cannot"), "{}", why),
                Err(other) => prop_assert!(false, "{:?}", other),
            }
        }
    }

    #[test]
    fn a_change_touches_nothing_but_its_member(body in object(json(), 6)) {
        let Ok(left) = made(".q = 1", &body) else { return Ok(()) };
        let expected = match body.as_str() {
            "{  }" => "{  \"q\":1}".to_owned(),
            body => format!("{},\"q\":1}}", &body[..body.len() - 1]),
        };
        prop_assert_eq!(&left[0], &expected);
        let left = made(".a.b = 1", &body).unwrap();
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        let (Some(mut before), Some(after)) = (read(&body), read(&left[0])) else { return Ok(()) };
        if !before["a"].is_object() {
            before["a"] = serde_json::json!({});
        }
        before["a"]["b"] = serde_json::json!(1);
        prop_assert_eq!(before, after);
    }

    #[test]
    fn no_text_is_too_strange_to_be_compiled(text in ".{0,200}") {
        let _ = compiled(&text, Purpose::Change);
    }
}

//! The hard cases of JSON (RFC 8259), held against `serde_json`: the same verdict and the same
//! values, but for the differences that are listed here with their reasons.

use std::sync::Arc;

use serde_json::Value as Json;
use trunkline::event::{BadJson, Event, Kind, Path, PathSet, Provenance, Value};

fn parse(text: &str, paths: &[&str]) -> Result<Event, BadJson> {
    let mut set = PathSet::default();
    for path in paths {
        set.intern(&mut path.parse::<Path>().unwrap());
    }
    Event::parse(
        text.to_owned(),
        &Arc::new(set),
        &Arc::new(Provenance::default()),
    )
}

/// What readers of the event see; of a name that comes twice the last counts, as in `serde_json`.
fn seen(value: Value<'_>) -> Json {
    match value.kind() {
        Kind::Null => Json::Null,
        Kind::Bool => Json::Bool(value.as_bool().unwrap()),
        Kind::Number => serde_json::from_str(value.as_number().unwrap()).unwrap(),
        Kind::Text => Json::String(value.as_str().unwrap().into_owned()),
        Kind::Array => value.elements().map(seen).collect(),
        Kind::Object => {
            let members = value.members();
            members
                .map(|(name, value)| (name.to_string(), seen(value)))
                .collect()
        }
    }
}

const ACCEPTED: &[&str] = &[
    // Numbers.
    "0",
    "-0",
    "-0.0",
    "1",
    "-1",
    "10",
    "1.5",
    "0.1",
    "-0.1",
    "1e0",
    "1E0",
    "1e+0",
    "1e-0",
    "1E+10",
    "0e1",
    "0E-1",
    "123.456e78",
    "1.7976931348623157e308",
    "5e-324",
    "1e-400",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "0.1234567890123456789012345678901234567890",
    "20e1",
    "-1e-2",
    "1.000000000000000005",
    // Literals.
    "true",
    "false",
    "null",
    // White space: these four and no others.
    " \t\r\n1 \t\r\n",
    "[ ]",
    "{ }",
    "[ 1 , 2 ]",
    "{ \"a\" : 1 , \"b\" : 2 }",
    "\n[\n]\n",
    // Strings.
    r#""""#,
    r#""a""#,
    r#""\"\\\/\b\f\n\r\t""#,
    r#""\u0000""#,
    r#""\u0020\u007f\u0080""#,
    r#""\uD83D\uDE00""#,
    r#""\ud83d\ude00""#,
    r#""\uDBFF\uDFFF""#,
    r#""\uFFFF\uFDD0""#,
    r#""\u00e9\u4e2d""#,
    r#""\\u0041""#,
    r#""\\\\""#,
    r#""/""#,
    "\"\u{7f}\"",
    "\"\u{80}\"",
    "\"é中😀\"",
    "\"\u{2028}\u{2029}\"",
    "\"\u{feff}\"",
    "\"\u{10ffff}\"",
    "\"\u{e000}\"",
    r#""1234567""#,
    r#""12345678""#,
    r#""123456789""#,
    r#""1234567\n""#,
    r#""12345678\"""#,
    r#""the eighth\nhas an escape and the sixteenth too\t""#,
    // Containers.
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[[],[]]",
    r#"{"a":{}}"#,
    r#"{"":0}"#,
    r#"{"a":[]}"#,
    r#"[null,true,false,0,"",[],{}]"#,
    r#"{"a b":1}"#,
    r#"{"\u0061":1}"#,
    r#"{"a\"b":1}"#,
    r#"{"\ud83d\ude00":1}"#,
    "{\"\u{0301}\":1}",
    r#"{"a":1,"a ":2}"#,
    r#"[1,[2,[3,[4]]]]"#,
    r#"{"a":{"b":{"c":{"d":1}}}}"#,
    r#"["a,b","c:d","{}","[]"]"#,
    r#"{"a":"}","b":"]"}"#,
];

const REFUSED: &[&str] = &[
    "",
    " ",
    "\n",
    // Numbers.
    "+1",
    "01",
    "-01",
    "00",
    "-",
    "--1",
    "1.",
    ".1",
    "-.1",
    "1.e1",
    "1e",
    "1e+",
    "1E-",
    "0x10",
    "1_000",
    "1,000",
    "0b1",
    "1f",
    "1.2.3",
    "1e1.5",
    "1e1e1",
    "- 1",
    "1 2",
    "Infinity",
    "-Infinity",
    "NaN",
    "nan",
    "inf",
    "0e",
    "1/2",
    "١",
    "１",
    // Literals.
    "True",
    "TRUE",
    "nul",
    "nulll",
    "tru",
    "truee",
    "fals",
    "undefined",
    "None",
    "nil",
    "yes",
    "t",
    "n",
    "f",
    "true false",
    "nullnull",
    // White space and what is none.
    "\u{a0}1",
    "1\u{a0}",
    "\u{2003}1",
    "\u{feff}1",
    "\u{feff}{}",
    "\u{c}1",
    "\u{b}1",
    "\u{85}1",
    "[1\u{200b}]",
    "1\0",
    "\0",
    "[1]\0",
    "{}\0",
    "[\0]",
    // Comments.
    "// a\n1",
    "/* a */1",
    "1 # a",
    "[1/**/]",
    // Strings.
    "\"",
    "\"a",
    "a\"",
    "a",
    "'a'",
    "`a`",
    "\"\\\"",
    r#""\"#,
    r#""\a""#,
    r#""\'""#,
    r#""\0""#,
    r#""\x41""#,
    r#""\u""#,
    r#""\u1""#,
    r#""\u12""#,
    r#""\u123""#,
    r#""\u123g""#,
    r#""\u+123""#,
    r#""\u 123""#,
    r#""\U0041""#,
    r#""\u{41}""#,
    r#""\u00""#,
    r#""\u004""#,
    "\"\\\n\"",
    "\"\n\"",
    "\"\r\"",
    "\"\t\"",
    "\"\0\"",
    "\"\u{1}\"",
    "\"\u{1f}\"",
    "\"1234567\u{1f}\"",
    "\"12345678\u{1f}\"",
    "\"a\u{8}b\"",
    // Surrogates that are no pair.
    r#""\ud800""#,
    r#""\udbff""#,
    r#""\udc00""#,
    r#""\udfff""#,
    r#""\ud800\ud800""#,
    r#""\udc00\ud800""#,
    r#""\ud800x""#,
    r#""\ud800\n""#,
    r#""\ud800\u0041""#,
    r#""\ud83d\ude0""#,
    r#""\ud83d\""#,
    r#""\ud83d\u""#,
    r#"{"\ud800":1}"#,
    // Containers.
    "[",
    "]",
    "{",
    "}",
    "[}",
    "{]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[1;2]",
    "[]]",
    "[[]",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,}",
    "{,\"a\":1}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{\"a\":}",
    "{:1}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{null:1}",
    "{[]:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1;\"b\":2}",
    "{\"a\":1}}",
    "{\"a\":1}{",
    "{}{}",
    "[][]",
    "{} []",
    "1 {}",
    "[1]x",
    "{}x",
    "{\"a\"=1}",
    "[\"a\":1]",
    "{\"a\",\"b\"}",
    "<a/>",
    "{\"a\":1}\n{\"a\":2}",
    "(1)",
    "*",
    "\\",
    ":",
    ",",
    "#",
    "-[]",
    "\"a\"b\"",
];

#[test]
fn what_is_json_is_accepted_with_the_same_values() {
    for text in ACCEPTED {
        let expected: Json = serde_json::from_str(text)
            .unwrap_or_else(|error| panic!("the table is wrong about {text:?}: {error}"));
        let event = parse(text, &[]).unwrap_or_else(|bad| panic!("{text:?}: {bad}"));
        assert_eq!(seen(event.body()), expected, "{text:?}");
        let again: Json = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!(again, expected, "{text:?} written again");
    }
}

#[test]
fn what_is_no_json_is_refused_at_a_place_inside_it() {
    for text in REFUSED {
        let expected = serde_json::from_str::<Json>(text);
        assert!(expected.is_err(), "the table is wrong about {text:?}");
        let bad = match parse(text, &[]) {
            Ok(_) => panic!("{text:?} is accepted"),
            Err(bad) => bad,
        };
        assert_eq!(bad.reason, "not_json", "{text:?}");
        assert!(bad.at <= text.len(), "{text:?}: {bad}");
    }
}

#[test]
fn what_is_broken_off_is_refused() {
    for text in ACCEPTED
        .iter()
        .filter(|text| text.starts_with(['{', '[', '"']))
    {
        let whole = text.trim_end();
        for (end, _) in whole.char_indices() {
            let part = &whole[..end];
            let same = parse(part, &[]).is_ok() == serde_json::from_str::<Json>(part).is_ok();
            assert!(same, "{part:?}");
        }
    }
}

#[test]
fn any_text_after_a_value_is_refused() {
    for text in ACCEPTED {
        for tail in ["x", ",", "]", "}", "\"", "\0", " 1", "\u{feff}"] {
            let text = format!("{text}{tail}");
            let expected = serde_json::from_str::<Json>(&text).is_ok();
            assert_eq!(parse(&text, &[]).is_ok(), expected, "{text:?}");
        }
    }
}

#[test]
fn nesting_ends_at_96_where_serde_json_has_128() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(parse(&nested(96), &[]).is_ok());
    assert!(parse(&objects(96), &[]).is_ok());
    for text in [nested(97), objects(97), nested(127), "[".repeat(1 << 20)] {
        let bad = parse(&text, &[]).map(drop).unwrap_err();
        assert_eq!(bad.reason, "too_deep");
        assert!(bad.at < 1000, "it does not read on: {}", bad.at);
    }
    assert!(serde_json::from_str::<Json>(&nested(127)).is_ok());
}

#[test]
fn numbers_beyond_a_double_keep_their_text() {
    for text in ["1e309", "-1e309", "1e99999", "123e4567890123"] {
        assert!(serde_json::from_str::<Json>(text).is_err());
        let event = parse(text, &[]).unwrap();
        assert_eq!(event.to_json(), text);
        assert_eq!(event.body().as_number(), Some(text));
        assert_eq!(event.body().as_i64(), None);
    }
    // Digits that a double would round stay as well: an identifier is not to change on its way.
    let text = r#"{"id":12345678901234567890123,"x":0.10000000000000000000001}"#;
    assert_eq!(parse(text, &[".id"]).unwrap().to_json(), text);
}

#[test]
fn a_name_twice_is_refused_where_the_pipeline_reads_it() {
    let texts = [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"a":{"b":1},"a":{"b":2}}"#,
        r#"{"a":1,"b":0,"a":1}"#,
    ];
    for text in texts {
        assert!(serde_json::from_str::<Json>(text).is_ok());
        assert!(parse(text, &[".x"]).is_ok(), "{text}");
        let bad = parse(text, &[".a"]).map(drop).unwrap_err();
        assert_eq!(bad.reason, "duplicate_key", "{text}");
    }
    let below = r#"{"a":{"b":1,"b":2},"b":3}"#;
    assert!(parse(below, &[".a", ".b"]).is_ok(), "nobody reads `.a.b`");
    assert!(parse(below, &[".a.b"]).is_err());
    // A name that only looks the same is another one.
    assert!(parse("{\"é\":1,\"e\u{301}\":2}", &[".\"é\""]).is_ok());
}

#[test]
fn strings_end_where_they_end_at_every_length() {
    // The scan looks at eight bytes at once: each kind of byte at each place of such a word.
    for length in 0..40 {
        for special in [
            "\"", "\\", "\\\"", "\\u0041", "\u{1f}", "\u{7f}", "é", "\u{80}", "\u{ff}", " ",
        ] {
            for at in 0..=length {
                let (left, right) = ("x".repeat(at), "y".repeat(length - at));
                let text = format!("[\"{left}{special}{right}\"]");
                let expected = serde_json::from_str::<Json>(&text).ok();
                let found = parse(&text, &[]).ok().map(|event| seen(event.body()));
                assert_eq!(found, expected, "{text:?}");
            }
        }
    }
}

//! Lines are read back by a small strict reader, and held against what others print.

use std::collections::BTreeMap;
use std::sync::Arc;

use influxdb2::models::data_point::WriteDataPoint;
use influxdb2::models::{DataPoint, FieldValue};
use proptest::prelude::*;

use super::*;
use crate::event::{PathSet, Provenance, json_str};

fn event(json: &str) -> Event {
    let (paths, from) = (
        Arc::new(PathSet::default()),
        Arc::new(Provenance::default()),
    );
    Event::parse(json.to_owned(), &paths, &from).unwrap()
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn name(start: &str, text: &str) -> Vec<u8> {
    let mut out = start.as_bytes().to_vec();
    write_name(text, true, &mut out);
    out.push(b'=');
    out
}

fn points(tags: &[(&str, &str)], fields: &[(&str, Content)]) -> Points {
    let tag = |(key, at): &(&str, &str)| (name(",", key), path(at));
    let field = |(key, content): &(&str, Content)| (name("", key), content.clone());
    Points {
        measurement: Measurement::Fixed(b"m".to_vec()),
        tags: tags.iter().map(tag).collect(),
        fields: fields.iter().map(field).collect(),
        time: path(".at"),
        precision: Precision::Us,
    }
}

fn line(points: &Points, json: &str) -> Result<String, Refusal> {
    let mut out = b"before\n".to_vec();
    let written = points.write(&event(json), &mut out);
    let text = String::from_utf8(out).unwrap();
    let line = text.strip_prefix("before\n").unwrap().to_owned();
    assert_eq!(written.is_err(), line.is_empty());
    written.map(|()| line)
}

fn at(text: &str, kind: Type) -> Content {
    Content::At(path(text), kind)
}

#[test]
fn a_point_as_the_pipeline_writes_it() {
    let points = points(
        &[("id", ".data.id"), ("state", ".data.state")],
        &[
            ("role", at(".data.role", Type::Auto)),
            ("vector_clock", Content::Counter),
        ],
    );
    let json = r#"{"at":"2026-11-20T09:00:00.123Z","data":{"id":"i-1","state":"on hold","role":"agent \"7\""}}"#;
    let mut out = Vec::new();
    let mut event = event(json);
    event.counter = 42;
    points.write(&event, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "m,id=i-1,state=on\\ hold role=\"agent \\\"7\\\"\",vector_clock=42i 1795165200123000\n"
    );
}

#[test]
fn fields_have_types() {
    let cases = [
        (Type::Auto, "7", Some("7i")),
        (Type::Auto, "-0", Some("-0i")),
        (
            Type::Auto,
            "18446744073709551615",
            Some("18446744073709551615u"),
        ),
        (
            Type::Auto,
            "18446744073709551616",
            Some("18446744073709551616"),
        ),
        (Type::Auto, "7.0", Some("7.0")),
        (Type::Auto, "-1.5E+3", Some("-1.5E+3")),
        (Type::Auto, "1e999", None),
        (Type::Auto, "true", Some("true")),
        (Type::Auto, "\"a\\nb\"", Some("\"a\\\\nb\"")),
        (Type::Auto, "[1]", None),
        (Type::Auto, "{}", None),
        (Type::Integer, "7.0", Some("7i")),
        (Type::Integer, "7.5", None),
        (Type::Integer, "\"7\"", None),
        (Type::Unsigned, "7", Some("7u")),
        (Type::Unsigned, "-7", None),
        (Type::Float, "7", Some("7")),
        (Type::Float, "true", None),
        (Type::Text, "7", Some("\"7\"")),
        (Type::Text, "false", Some("\"false\"")),
        (Type::Boolean, "false", Some("false")),
        (Type::Boolean, "0", None),
    ];
    for (kind, json, expected) in cases {
        let points = points(&[], &[("f", at(".v", kind))]);
        let found = line(&points, &format!(r#"{{"at":1,"v":{json}}}"#));
        let expected = expected.map(|text| format!("m f={text} 1000000\n"));
        assert_eq!(found, expected.ok_or(Refusal::WrongType), "{kind:?} {json}");
    }
}

#[test]
fn what_is_no_point_says_why() {
    let mut points = points(&[("t", ".t")], &[("f", at(".f", Type::Auto))]);
    for (json, refusal) in [
        (r#"{"f":1}"#, Refusal::BadTime),
        (r#"{"f":1,"at":"yesterday"}"#, Refusal::BadTime),
        (r#"{"f":1,"at":"2026-11-20T09:00:00"}"#, Refusal::BadTime),
        (r#"{"f":1,"at":null}"#, Refusal::BadTime),
        (r#"{"at":1}"#, Refusal::NoFields),
        (r#"{"at":1,"f":null}"#, Refusal::NoFields),
        (r#"{"at":1,"f":1,"t":{}}"#, Refusal::WrongType),
    ] {
        assert_eq!(line(&points, json), Err(refusal), "{json}");
    }
    // A time beyond the year 2262 has no nanoseconds in 64 bits.
    points.precision = Precision::Ns;
    let json = r#"{"at":"9999-01-01T00:00:00Z","f":1}"#;
    assert_eq!(line(&points, json), Err(Refusal::BadTime));
    points.precision = Precision::S;
    assert_eq!(line(&points, json).unwrap(), "m f=1i 253370764800\n");
    let json = r#"{"at":"1969-12-31T23:59:59.5Z","f":1,"t":""}"#;
    assert_eq!(line(&points, json).unwrap(), "m f=1i -1\n");
    points.precision = Precision::Ms;
    assert_eq!(line(&points, json).unwrap(), "m f=1i -500\n");
    points.measurement = Measurement::At(path(".m"));
    for m in ["", "#x", "\\\\"] {
        let json = format!(r#"{{"at":1,"f":1,"m":"{m}"}}"#);
        assert_eq!(line(&points, &json), Err(Refusal::NoMeasurement), "{m}");
    }
    let json = r#"{"at":1,"f":1,"m":"a=b, c"}"#;
    assert_eq!(line(&points, json).unwrap(), "a=b\\,\\ c f=1i 1000\n");
}

#[test]
fn backslashes_never_touch_what_ends_a_tag() {
    for (text, expected) in [
        (r"a\b", r"a\b"),
        (r"a\", "a"),
        (r"\\\", ""),
        (r"a\,b", r"a\,b"),
        (r"a\\ b", r"a\ b"),
        (r"a\=", r"a\="),
        ("a\\\nb", "a\\nb"),
        ("tab\there\r", "tab\\there\\r"),
    ] {
        let mut out = Vec::new();
        write_name(text, true, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?}");
    }
}

/// A point, read back.
#[derive(Debug, PartialEq)]
struct Read {
    measurement: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, String>,
    time: i64,
}

/// Up to a bare one of `ends`; a backslash makes `,` `=` and space part of the text.
fn name_until<'a>(text: &'a str, ends: &str, two_is_one: bool) -> (String, &'a str) {
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        let next = text[place..].chars().nth(1);
        match letter {
            '\\' if next
                .is_some_and(|next| ",= ".contains(next) || (two_is_one && next == '\\')) =>
            {
                out.extend(next);
                letters.next();
            }
            letter if ends.contains(letter) => return (out, &text[place..]),
            letter => out.push(letter),
        }
    }
    (out, "")
}

/// Strict: one line, all of it. `two_is_one` reads backslashes as version 3 does.
fn read(line: &str, two_is_one: bool) -> Read {
    let line = line.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n') && !line.starts_with('#'), "{line:?}");
    let (measurement, mut rest) = name_until(line, ", ", two_is_one);
    let (mut tags, mut fields) = (BTreeMap::new(), BTreeMap::new());
    while let Some(tag) = rest.strip_prefix(',') {
        let (key, after) = name_until(tag, "=, ", two_is_one);
        let (value, after) = name_until(after.strip_prefix('=').unwrap(), "=, ", two_is_one);
        assert!(!key.is_empty() && !value.is_empty(), "{line:?}");
        assert!(tags.insert(key, value).is_none());
        rest = after;
    }
    rest = rest.strip_prefix(' ').unwrap();
    loop {
        let (key, after) = name_until(rest, "=, ", two_is_one);
        let value = after.strip_prefix('=').unwrap();
        let end = match value.starts_with('"') {
            true => {
                let mut escaped = false;
                let end = value[1..].find(|letter| {
                    let is_end = letter == '"' && !escaped;
                    escaped = letter == '\\' && !escaped;
                    is_end
                });
                end.unwrap() + 2
            }
            false => value.find([',', ' ']).unwrap(),
        };
        assert!(fields.insert(key, value[..end].to_owned()).is_none());
        rest = &value[end..];
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => break,
        }
    }
    let time = rest.strip_prefix(' ').unwrap().parse().unwrap();
    Read {
        measurement,
        tags,
        fields,
        time,
    }
}

/// What of a text a name or tag can say.
fn sayable(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::new();
    for (place, letter) in letters.iter().enumerate() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => {
                let next = letters[place..].iter().find(|letter| **letter != '\\');
                if next.is_some_and(|next| *next > ' ' && !",=".contains(*next)) {
                    out.push('\\');
                }
            }
            letter => out.push(*letter),
        }
    }
    out
}

fn string_field(text: &str) -> String {
    let text = text.replace('\n', "\\n").replace('\r', "\\r");
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Texts of the letters that matter, and of any.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[,= \\\\\"\n\r\t#a\u{e9}\u{1}i]{0,8}",
        "\\PC{0,12}",
        "[0-9a-f]{8}-[0-9a-f]{4}",
    ]
}

proptest! {
    #[test]
    fn lines_are_read_back_as_what_they_say(tags in proptest::collection::vec((texts(), texts()), 0..4), text in texts(), number: i64) {
        let names: Vec<String> = tags.iter().enumerate().map(|(n, (key, _))| format!("{n}{key}")).collect();
        let json = tags.iter().enumerate().map(|(n, (_, value))| format!("\"{n}\":{}", json_str(value)));
        let json = json.chain([format!("\"f\":{}", json_str(&text)), format!("\"n\":{number}"), "\"at\":7".into()]);
        let json = format!("{{{}}}", json.collect::<Vec<_>>().join(","));
        let tag = |(n, key): (usize, &String)| (name(",", key), Path::of([n.to_string().as_str()]));
        let points = Points {
            tags: names.iter().enumerate().map(tag).collect(),
            ..points(&[], &[("f", at(".f", Type::Auto)), ("n", at(".n", Type::Auto))])
        };
        let line = line(&points, &json).unwrap();
        let mut expected = Read {
            measurement: "m".into(),
            tags: BTreeMap::new(),
            fields: [("f".into(), string_field(&text)), ("n".into(), format!("{number}i"))].into(),
            time: 7_000_000,
        };
        for (key, (_, value)) in names.iter().zip(&tags) {
            if !sayable(value).is_empty() {
                expected.tags.insert(sayable(key), sayable(value));
            }
        }
        prop_assert_eq!(read(&line, false), expected);
        // Version 3 takes two backslashes for one, and so much is all that it reads differently.
        let single = |text: &String| text.replace("\\\\", "\\");
        let first = read(&line, false).tags;
        let first = first.iter().map(|(key, value)| (single(key), single(value)));
        prop_assert_eq!(read(&line, true).tags, first.collect::<BTreeMap<_, _>>());
    }

    /// The crate `influxdb2` leaves backslashes and line breaks as they are (and so can end a tag or
    /// a string too early or too late), and says `t` for `true`. Everything else it prints alike.
    #[test]
    fn others_print_the_same(a in "[^\\\\\n\r\t]{1,12}", b in "[^\\\\\n\r\t]{1,12}", text in "[^\\\\\n\r]{0,12}", whole: i64, fraction in -1e15..1e15f64, time in -10_000_000_000i64..10_000_000_000) {
        let json = format!(
            "{{\"a\":{},\"b\":{},\"text\":{},\"whole\":{whole},\"fraction\":{fraction},\"at\":{time}}}",
            json_str(&a), json_str(&b), json_str(&text)
        );
        let points = points(
            &[("key of, a=", ".a"), ("other", ".b")],
            &[("fraction", at(".fraction", Type::Float)), ("t e,x=t", at(".text", Type::Auto)), ("whole", at(".whole", Type::Auto))],
        );
        let theirs = DataPoint::builder("m")
            .tag("key of, a=", a.as_str()).tag("other", b.as_str())
            .field("fraction", fraction).field("t e,x=t", FieldValue::String(text)).field("whole", whole)
            .timestamp(time * 1_000_000)
            .build().unwrap();
        let mut printed = Vec::new();
        theirs.write_data_point_to(&mut printed).unwrap();
        prop_assert_eq!(line(&points, &json).unwrap(), String::from_utf8(printed).unwrap());
    }
}

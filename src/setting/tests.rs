use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::diagnostic::{Diagnostic, Report};

pub(super) fn node(value: Value) -> Node {
    Node::new(value, Span::on_line(3, 10, 5))
}

pub(super) fn text(text: &str) -> Node {
    node(Value::Text(text.into()))
}

fn hidden(value: Value) -> Node {
    Node {
        from_variable: true,
        ..node(value)
    }
}

/// The value, or the one diagnostic that says why there is none.
fn read<T: Setting>(node: &Node) -> Result<T, Diagnostic> {
    let mut report = Report::new("f");
    let value = T::read(node, &mut report);
    match value {
        Some(value) if report.is_empty() => Ok(value),
        _ => {
            assert_eq!(report.len(), 1, "{:?}", report.iter().collect::<Vec<_>>());
            Err(report.iter().next().unwrap())
        }
    }
}

fn code<T: Setting + std::fmt::Debug>(node: &Node) -> &'static str {
    read::<T>(node).unwrap_err().code
}

#[test]
fn durations() {
    let of = |written: &str| read::<Duration>(&text(written)).map(|d| d.as_millis());
    for (written, ms) in [
        ("500ms", 500),
        ("2s", 2_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("1m30s", 90_000),
        ("1h0m1ms", 3_600_001),
        ("0s", 0),
        ("3650d", 315_360_000_000),
    ] {
        assert_eq!(of(written), Ok(ms), "{written}");
    }
    for bad in [
        "",
        "5",
        "s",
        "5 m",
        "5min",
        "-1s",
        "1.5s",
        "30s1m",
        "1s1s",
        "5M",
        "1s ",
        "3651d",
        "99999999999999999999s",
        "18446744073709551615d",
        "5m\u{663}s",
    ] {
        let found = of(bad).unwrap_err();
        assert_eq!(found.code, "bad-duration", "{bad}");
        assert!(found.hint.is_some());
    }
    let bare = read::<Duration>(&node(Value::Int(5))).unwrap_err();
    assert_eq!(
        (bare.code, &*bare.message),
        ("bad-duration", "`5` has no unit")
    );
    assert!(bare.hint.unwrap().contains("`1m30s`"));
    assert_eq!(code::<Duration>(&node(Value::List(vec![]))), "wrong-type");
}

#[test]
fn sizes() {
    for (written, bytes) in [
        ("64KiB", 65_536),
        ("10MB", 10_000_000),
        ("1GiB", 1 << 30),
        ("1B", 1),
        ("3kB", 3_000),
        ("77", 77),
    ] {
        assert_eq!(read(&text(written)), Ok(Size(bytes)), "{written}");
    }
    assert_eq!(read(&node(Value::Int(4096))), Ok(Size(4096)));
    for bad in [
        "",
        "KiB",
        "1kib",
        "1 MB",
        "1.5GB",
        "-1B",
        "1MB1",
        "9999999999TiB",
        "99999999999999999999",
    ] {
        assert_eq!(code::<Size>(&text(bad)), "bad-size", "{bad}");
    }
    assert_eq!(code::<Size>(&node(Value::Int(-1))), "bad-size");
    assert_eq!(code::<Size>(&node(Value::Float(1.5))), "bad-size");
    assert_eq!(code::<Size>(&node(Value::Bool(true))), "wrong-type");
}

#[test]
fn shares() {
    assert_eq!(read(&text("5%")), Ok(Share(0.05)));
    assert_eq!(read(&text("12.5 %")), Ok(Share(0.125)));
    assert_eq!(read(&node(Value::Float(0.05))), Ok(Share(0.05)));
    assert_eq!(read(&node(Value::Int(1))), Ok(Share(1.0)));
    for bad in ["101%", "-1%", "inf%", "nan%", "%", "5", "1e1%"] {
        assert_eq!(code::<Share>(&text(bad)), "bad-share", "{bad}");
    }
    assert_eq!(code::<Share>(&node(Value::Int(5))), "bad-share");
    assert_eq!(code::<Share>(&node(Value::Float(f64::NAN))), "bad-share");
}

#[test]
fn numbers_and_booleans() {
    assert_eq!(read(&node(Value::Int(-3))), Ok(-3_i64));
    assert_eq!(read(&node(Value::Int(65_535))), Ok(65_535_u16));
    assert_eq!(read(&node(Value::Int(2))), Ok(2.0_f64));
    assert_eq!(read(&node(Value::Bool(true))), Ok(true));
    let large = read::<u16>(&node(Value::Int(65_536))).unwrap_err();
    assert_eq!(
        (large.code, &*large.message),
        ("out-of-range", "`65536` is not between 0 and 65535")
    );
    assert_eq!(code::<u32>(&node(Value::Int(-1))), "out-of-range");
    assert_eq!(
        code::<u64>(&node(Value::Float(1e20))),
        "out-of-range",
        "past 64 bits"
    );
    assert_eq!(code::<i64>(&node(Value::Float(1.5))), "wrong-type");
    assert_eq!(
        code::<f64>(&node(Value::Float(f64::INFINITY))),
        "out-of-range"
    );
    let quoted = read::<usize>(&text("10")).unwrap_err();
    assert_eq!(quoted.message, "expected a whole number, found text `10`");
    assert_eq!(
        quoted.hint.as_deref(),
        Some("write the number without quotes")
    );
    let yes = read::<bool>(&text("yes")).unwrap_err();
    assert_eq!(
        yes.hint.as_deref(),
        Some("write `true` or `false`, without quotes")
    );
}

#[test]
fn text_and_paths() {
    assert_eq!(read(&text("x")), Ok("x".to_owned()));
    let number = read::<String>(&node(Value::Int(5))).unwrap_err();
    assert_eq!(number.message, "expected text, found whole number `5`");
    assert_eq!(
        number.hint.as_deref(),
        Some("put it in quotes to have it as text")
    );
    assert_eq!(
        read::<String>(&node(Value::Null)).unwrap_err().message,
        "expected text, found nothing"
    );
    assert_eq!(read(&text("a/b")), Ok(PathBuf::from("a/b")));
    assert_eq!(code::<PathBuf>(&text("")), "bad-path");
    assert_eq!(code::<PathBuf>(&text("a\0b")), "bad-path");
}

#[test]
fn lists_report_every_element() {
    let list = |items| node(Value::List(items));
    assert_eq!(
        read(&list(vec![text("a"), text("b")])),
        Ok(vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(read(&text("a")), Ok(OneOrMany(vec!["a".to_owned()])));
    assert_eq!(
        read(&list(vec![text("a")])),
        Ok(OneOrMany(vec!["a".to_owned()]))
    );
    assert_eq!(code::<OneOrMany<String>>(&list(vec![])), "empty-value");
    assert_eq!(code::<Vec<String>>(&text("a")), "wrong-type");
    let mut report = Report::new("f");
    let mixed = list(vec![
        node(Value::Int(1)),
        text("a"),
        node(Value::Bool(true)),
    ]);
    assert_eq!(Vec::<String>::read(&mixed, &mut report), None);
    assert_eq!(report.len(), 2);
}

#[test]
fn patterns_show_where_they_go_wrong() {
    assert!(read::<Pattern>(&text("^a+$")).unwrap().is_match("aa"));
    // Five characters wide: plain, so the place inside is known.
    let plain = read::<Pattern>(&text("ab(cd")).unwrap_err();
    assert_eq!(
        (plain.code, plain.span),
        ("bad-pattern", Some(Span::on_line(3, 12, 1)))
    );
    assert_eq!(
        plain.message,
        "the regular expression does not compile: unclosed group"
    );
    let quoted = read::<Pattern>(&text("a(b")).unwrap_err();
    assert_eq!(
        quoted.span,
        Some(Span::on_line(3, 12, 1)),
        "behind the quote"
    );
    let escaped = read::<Pattern>(&text("a(")).unwrap_err();
    assert_eq!(
        escaped.span,
        Some(Span::on_line(3, 10, 5)),
        "not letter by letter: the whole"
    );
    let big = read::<Pattern>(&text("((a{99}){99}){99}")).unwrap_err();
    assert_eq!(big.code, "bad-pattern");
    assert!(big.message.contains("memory"), "{}", big.message);
    let secret = read::<Pattern>(&hidden(Value::Text("hush(".into()))).unwrap_err();
    assert!(!format!("{secret:?}").contains("hush"));
}

#[test]
fn secrets_are_never_shown() {
    let secret = read::<Secret>(&text("hush")).unwrap();
    assert_eq!(secret.expose(), "hush");
    assert_eq!(format!("{secret} {secret:?}"), "[secret] [secret]");
    assert_eq!(code::<Secret>(&text("")), "empty-value");
    let digits = read::<Secret>(&node(Value::Int(31337))).unwrap_err();
    assert!(!format!("{digits:?}").contains("31337"));
}

#[test]
fn no_error_prints_what_a_variable_held() {
    fn check<T: Setting>(node: &Node) {
        let mut report = Report::new("f");
        let _ = T::read(node, &mut report);
        let found: Vec<_> = report.iter().collect();
        assert!(!format!("{found:?}").contains("777"), "{found:?}");
    }
    let bad = [
        Value::Text("h777".into()),
        Value::Int(-777),
        Value::Float(777.5),
        Value::Float(7.77e30),
    ];
    for node in bad.map(hidden) {
        check::<bool>(&node);
        check::<u16>(&node);
        check::<i64>(&node);
        check::<f64>(&node);
        check::<String>(&node);
        check::<Duration>(&node);
        check::<Size>(&node);
        check::<Share>(&node);
        check::<Secret>(&node);
        check::<Vec<String>>(&node);
        let mut report = Report::new("f");
        assert_eq!(choice(&node, &mut report, &[("g777", 1)]), None);
        assert!(!report.iter().next().unwrap().message.contains("777"));
        assert!(!format!("{node:?}").contains("777"));
    }
}

#[test]
fn a_broken_node_is_not_reported_again() {
    let node = Node::broken(Span::start());
    let mut report = Report::new("f");
    assert_eq!(String::read(&node, &mut report), None);
    assert_eq!(u16::read(&node, &mut report), None);
    assert_eq!(Duration::read(&node, &mut report), None);
    assert_eq!(Size::read(&node, &mut report), None);
    assert_eq!(Share::read(&node, &mut report), None);
    assert_eq!(Secret::read(&node, &mut report), None);
    assert!(Pattern::read(&node, &mut report).is_none());
    assert_eq!(Vec::<String>::read(&node, &mut report), None);
    assert_eq!(choice(&node, &mut report, &[("a", 1)]), None);
    assert!(Fields::new(&node, "x", &mut report).is_none());
    assert!(report.is_empty());
}

#[test]
fn text_from_a_variable_is_text_as_it_was_set() {
    let node = Node {
        other: Some(Box::new(Value::Text("007".into()))),
        ..hidden(Value::Int(7))
    };
    assert_eq!(read(&node), Ok("007".to_owned()));
    assert_eq!(read(&node), Ok(7_u32));
    let other = Some(Box::new(Value::Int(7)));
    let quoted = Node {
        other,
        ..hidden(Value::Text("007".into()))
    };
    assert_eq!(read(&quoted), Ok("007".to_owned()));
    assert_eq!(
        read(&quoted),
        Ok(7_u16),
        "a quoted reference also serves where a number is wanted"
    );
    assert_eq!(read(&quoted), Ok(Size(7)));
}

#[test]
fn choices() {
    let choices = [("block", 1), ("drop_newest", 2)];
    let mut report = Report::new("f");
    assert_eq!(choice(&text("block"), &mut report, &choices), Some(1));
    assert_eq!(choice(&text("blok"), &mut report, &choices), None);
    assert_eq!(choice(&text("reject"), &mut report, &choices), None);
    let hints: Vec<_> = report
        .iter()
        .map(|found| (found.code, found.hint.unwrap()))
        .collect();
    assert_eq!(
        hints[0],
        ("unknown-value", "did you mean `block`?".to_owned())
    );
    assert_eq!(
        hints[1],
        ("unknown-value", "one of `block`, `drop_newest`".to_owned())
    );
}

#[test]
fn what_is_told_of_a_default_reads_as_the_same() {
    fn again<T: Setting + PartialEq + std::fmt::Debug>(value: T) -> String {
        let told = value.told().unwrap();
        let node = text(told.as_str().unwrap());
        let mut report = Report::new("f");
        assert_eq!(T::read(&node, &mut report).as_ref(), Some(&value), "{told}");
        told.as_str().unwrap().to_owned()
    }
    for (millis, told) in [
        (0, "0s"),
        (1, "1ms"),
        (60_000, "1m"),
        (90_500, "1m30s500ms"),
        (86_400_000, "1d"),
    ] {
        assert_eq!(again(Duration::from_millis(millis)), told);
    }
    for (bytes, told) in [
        (0, "0B"),
        (1000, "1000B"),
        (1 << 20, "1MiB"),
        (3 << 29, "1536MiB"),
    ] {
        assert_eq!(again(Size(bytes)), told);
    }
    assert_eq!(again("x".to_owned()), "x");
    assert_eq!(Share(0.25).told(), Some(0.25.into()));
    assert_eq!(String::new().told(), None, "nothing stands in for it");
}

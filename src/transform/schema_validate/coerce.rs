//! Declared coercions: a value of the wrong type that says the same as one of the right type.
//!
//! Nothing is guessed. What cannot be coerced without loss stays as it is, and the check after it
//! says so.

use compact_str::{CompactString, ToCompactString};

use super::shape::is_whole;
use super::timestamp::is_timestamp;
use crate::diagnostic::Report;
use crate::event::{Event, Handle, Kind, Path, Revision, Value, json_str};
use crate::setting::{Fields, Node, Shape, choice};

/// What a value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// From text (`"345"`) and from numbers written with a fraction of nothing (`345.0`).
    Integer,
    /// From text that is a JSON number.
    Number,
    /// From numbers, as written, and booleans.
    Text,
    /// From the texts `true` and `false`, in any case.
    Boolean,
    /// From milliseconds since 1970, as a number or as digits: RFC 3339 in UTC.
    Timestamp,
}

const TARGETS: [(&str, To); 5] = [
    ("integer", To::Integer),
    ("number", To::Number),
    ("string", To::Text),
    ("boolean", To::Boolean),
    ("timestamp", To::Timestamp),
];

const ORIGINS: [(&str, Kind); 3] = [
    ("string", Kind::Text),
    ("number", Kind::Number),
    ("boolean", Kind::Bool),
];

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Coercion {
    pub(super) path: Path,
    to: To,
    /// Kinds that it applies to; all when empty.
    from: Vec<Kind>,
}

impl Coercion {
    /// Reads `{ path, to, from }`.
    pub(super) fn read(node: &Node, report: &mut Report) -> Option<Coercion> {
        let mut fields = Fields::new(node, "a coercion", report)?;
        let path = fields.required("path");
        fields.takes("to", || Shape::words(&TARGETS));
        fields.takes("from", || Shape::words(&ORIGINS).list());
        let to = match fields.required_node("to") {
            Some(node) => choice(node, fields.report(), &TARGETS),
            None => None,
        };
        let from = fields.each("from", |node, report| choice(node, report, &ORIGINS));
        fields.finish();
        Some(Coercion {
            path: path?,
            to: to?,
            from,
        })
    }

    /// Changes the event where the rule applies.
    pub(super) fn apply(&self, event: &mut Event) {
        let (mut made, all_placed) = self.plan(event);
        if all_placed && !made.is_empty() {
            event.revise(&mut made);
        } else if !all_placed {
            // An earlier change lies over the value: written into the text, it can be changed again.
            if let Ok(written) = event.with_body(event.to_json()) {
                *event = written;
                let (mut made, _) = self.plan(event);
                event.revise(&mut made);
            }
        }
    }

    fn plan(&self, event: &Event) -> (Vec<(Handle, Revision)>, bool) {
        let mut made = Vec::new();
        let mut all_placed = true;
        event.each(&self.path, &mut |value| {
            if let Some(raw) = self.coerced(&value) {
                match value.handle() {
                    Some(handle) => made.push((handle, Revision::Replace(raw))),
                    None => all_placed = false,
                }
            }
        });
        (made, all_placed)
    }

    /// The value's new JSON text; `None` when it stays.
    fn coerced(&self, value: &Value<'_>) -> Option<CompactString> {
        let kind = value.kind();
        if !self.from.is_empty() && !self.from.contains(&kind) {
            return None;
        }
        match (self.to, kind) {
            (To::Integer, Kind::Number) => {
                let plain = value.as_number()?.parse::<i64>().is_ok();
                let whole = value.as_i64().filter(|_| !plain && is_whole(value));
                whole.map(|number| number.to_compact_string())
            }
            (To::Integer, Kind::Text) => integer(&value.as_str()?),
            (To::Number, Kind::Text) => {
                let text = value.as_str()?;
                is_number(&text).then(|| CompactString::from(text.as_ref()))
            }
            (To::Text, Kind::Number | Kind::Bool) => Some(json_str(&value.as_plain()?)),
            (To::Boolean, Kind::Text) => {
                let text = value.as_str()?;
                let same = |word: &&str| text.eq_ignore_ascii_case(word);
                ["true", "false"].into_iter().find(same).map(Into::into)
            }
            (To::Timestamp, Kind::Number) => timestamp(value.as_i64()?),
            (To::Timestamp, Kind::Text) => {
                let text = value.as_str()?;
                if is_timestamp(&text) {
                    return None;
                }
                timestamp(text.parse().ok()?)
            }
            _ => None,
        }
    }
}

/// `345`, `-7`, `345.0`; leading zeros go, since a declared integer is no identifier.
fn integer(text: &str) -> Option<CompactString> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.to_compact_string());
    }
    let (whole, fraction) = text.split_once('.')?;
    let nothing = !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    let number: i64 = whole.parse().ok().filter(|_| nothing)?;
    Some(number.to_compact_string())
}

/// A JSON number within the range of a float.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let whole = match digits {
        [b'0', rest @ ..] => Some(rest),
        [b'1'..=b'9', ..] => some_digits(digits),
        _ => None,
    };
    let after_fraction = whole.and_then(|rest| match rest {
        [b'.', fraction @ ..] => some_digits(fraction),
        rest => Some(rest),
    });
    let rest = after_fraction.and_then(|rest| match rest {
        [b'e' | b'E', b'+' | b'-', power @ ..] | [b'e' | b'E', power @ ..] => some_digits(power),
        rest => Some(rest),
    });
    rest.is_some_and(<[u8]>::is_empty) && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// What follows at least one digit.
fn some_digits(bytes: &[u8]) -> Option<&[u8]> {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    (digits > 0).then(|| &bytes[digits..])
}

/// Milliseconds since 1970 as RFC 3339, for the years 0 to 9999 that it has.
fn timestamp(milliseconds: i64) -> Option<CompactString> {
    let time = jiff::Timestamp::from_millisecond(milliseconds).ok()?;
    let text = compact_str::format_compact!("\"{time:.3}\"");
    // Years before 0 have a sign.
    text.as_bytes()
        .get(1)
        .filter(|byte| byte.is_ascii_digit())?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn coerced(to: To, from: &[Kind], json: &str) -> String {
        let path: Path = ".a[]".parse().unwrap();
        let rule = Coercion {
            path,
            to,
            from: from.to_vec(),
        };
        let body = format!(r#"{{"a":[{json}]}}"#);
        let mut event = Event::parse(body, &Arc::default(), &Arc::default()).unwrap();
        rule.apply(&mut event);
        let after = event.to_json();
        rule.apply(&mut event);
        assert_eq!(event.to_json(), after, "coercing twice is coercing once");
        after[6..after.len() - 2].to_owned()
    }

    #[test]
    fn each_rule_changes_what_says_the_same_and_leaves_the_rest() {
        for (to, given, expected) in [
            (
                To::Integer,
                r#""345",345.0,3e2,-7,"007","345.00""#,
                "345,345,300,-7,7,345",
            ),
            (
                To::Integer,
                r#""3.5",3.5,"x","",true,null,"1e3""#,
                r#""3.5",3.5,"x","",true,null,"1e3""#,
            ),
            (
                To::Integer,
                r#""99999999999999999999",1e300"#,
                r#""99999999999999999999",1e300"#,
            ),
            (To::Number, r#""3.5","-0.1e+3",7,"0""#, "3.5,-0.1e+3,7,0"),
            (
                To::Number,
                r#"".5","05","1.","1e999","NaN","+1"," 1""#,
                r#"".5","05","1.","1e999","NaN","+1"," 1""#,
            ),
            (
                To::Text,
                r#"345,3.50,true,"x",null,[1]"#,
                r#""345","3.50","true","x",null,[1]"#,
            ),
            (
                To::Boolean,
                r#""true","False",1,"yes",true"#,
                r#"true,false,1,"yes",true"#,
            ),
            (
                To::Timestamp,
                r#"1767225600123,"1767225600000","2026-01-01T00:00:00Z","soon",1e300"#,
                r#""2026-01-01T00:00:00.123Z","2026-01-01T00:00:00.000Z","2026-01-01T00:00:00Z","soon",1e300"#,
            ),
        ] {
            assert_eq!(coerced(to, &[], given), expected, "{to:?}");
        }
    }

    #[test]
    fn a_rule_keeps_to_the_kinds_it_names() {
        assert_eq!(coerced(To::Text, &[Kind::Bool], "1,true"), r#"1,"true""#);
    }

    #[test]
    fn changes_a_value_that_was_changed_before_and_many_at_once() {
        let path: Path = ".a".parse().unwrap();
        let mut event =
            Event::parse(r#"{"a":1}"#.into(), &Arc::default(), &Arc::default()).unwrap();
        event.set(&path, "\"42\"");
        let rule = Coercion {
            path,
            to: To::Integer,
            from: Vec::new(),
        };
        rule.apply(&mut event);
        assert_eq!(event.to_json(), r#"{"a":42}"#);
        let many = vec!["\"5\""; 50_000].join(",");
        assert_eq!(
            coerced(To::Integer, &[], &many),
            vec!["5"; 50_000].join(",")
        );
    }
}

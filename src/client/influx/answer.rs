//! What a server says about lines that it does not take.
//!
//! - InfluxDB 1: `{"error":"partial write: unable to parse 'LINE': … dropped=0"}` or `partial write:
//!   field type conflict: … dropped=2`; what could be written is.
//! - InfluxDB 2: `{"code":"invalid","message":"unable to parse 'LINE': …"}`, and then nothing is
//!   written; or 422 `failure writing points to database: partial write: … dropped=2`, and then the
//!   others are.
//! - InfluxDB 3: `{"error":"partial write of line protocol occurred","data":[{"line_number":2,
//!   "error_message":…,"original_line":…}]}`, lines from 1; and with one object for `data` where
//!   nothing is written.

use std::collections::HashMap;

use serde_json::Value;

/// How many quotes after a line's beginning are looked at for its end.
const MOST_QUOTES: usize = 64;

/// Why a line is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A field has another type in the bucket.
    TypeConflict,
    /// Its time is before what the bucket keeps.
    Retention,
    /// It is no line protocol to this server.
    Unparsed,
    /// It alone is larger than the server takes.
    TooLarge,
    /// Something else.
    Other,
}

impl Why {
    /// The stable word for ledgers and dead letters.
    pub fn reason(self) -> &'static str {
        match self {
            Why::TypeConflict => "influx_type_conflict",
            Why::Retention => "influx_retention",
            Why::Unparsed => "influx_unparsed",
            Why::TooLarge => "influx_too_large",
            Why::Other => "influx_partial_write",
        }
    }

    /// For people; what the server said is not in it, since that repeats the line.
    pub fn message(self) -> &'static str {
        match self {
            Why::TypeConflict => "InfluxDB refuses the point: a field has another type there",
            Why::Retention => "InfluxDB refuses the point: it is older than what the bucket keeps",
            Why::Unparsed => "InfluxDB cannot read the point",
            Why::TooLarge => "InfluxDB refuses the point: it is too large",
            Why::Other => "InfluxDB refuses the point",
        }
    }

    fn of(message: &str) -> Self {
        let message = message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if says(&["type conflict", "invalid column type", "is already type"]) {
            Why::TypeConflict
        } else if says(&["retention"]) {
            Why::Retention
        } else if says(&["unable to parse", "pars", "trailing content", "no fields"]) {
            Why::Unparsed
        } else {
            Why::Other
        }
    }
}

/// An answer that refuses lines.
#[derive(Debug)]
pub struct Refused {
    /// Why, as a whole.
    pub why: Why,
    /// Lines that are named by number, from 0.
    numbered: Vec<(usize, Why)>,
    /// What follows each `unable to parse '`.
    quoted: Vec<String>,
    /// How many lines were not written, where it is said.
    pub dropped: Option<u64>,
    /// Whether the lines that it does not speak of are written.
    pub others_written: bool,
}

impl Refused {
    /// Which of the lines that were sent it names. None may mean that it does not say.
    pub fn named(&self, lines: &[&[u8]]) -> Vec<(usize, Why)> {
        let mut named = self.numbered.clone();
        if !self.quoted.is_empty() {
            let mut places: HashMap<&[u8], Vec<usize>> = HashMap::with_capacity(lines.len());
            for (place, line) in lines.iter().enumerate() {
                places.entry(line).or_default().push(place);
            }
            for text in &self.quoted {
                // The line may hold quotes itself: it ends at the first that makes it one of ours.
                let ends = memchr::memchr_iter(b'\'', text.as_bytes()).take(MOST_QUOTES);
                let mut found = ends.filter_map(|end| places.get(&text.as_bytes()[..end]));
                let found = found.next().into_iter().flatten();
                named.extend(found.map(|place| (*place, Why::Unparsed)));
            }
        }
        named.retain(|(place, _)| *place < lines.len());
        named.sort_by_key(|(place, _)| *place);
        named.dedup_by_key(|(place, _)| *place);
        named
    }
}

/// Reads the body of a 400 or 422. What is no JSON says nothing about lines.
pub(super) fn read(body: &[u8]) -> Refused {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
    let message = match text("message") {
        "" => text("error"),
        message => message,
    };
    let numbered: Vec<_> = match json.get("data") {
        Some(Value::Array(items)) => items.iter().filter_map(numbered).collect(),
        Some(item) => numbered(item).into_iter().collect(),
        None => Vec::new(),
    };
    let why = match numbered.first() {
        Some((_, why)) => *why,
        None => Why::of(message),
    };
    Refused {
        why,
        numbered,
        quoted: quoted(message),
        dropped: dropped(message),
        others_written: message.contains("partial write"),
    }
}

fn numbered(item: &Value) -> Option<(usize, Why)> {
    let number = item.get("line_number")?.as_u64()?.checked_sub(1)?;
    let message = item.get("error_message").and_then(Value::as_str);
    let why = message.map_or(Why::Other, Why::of);
    Some((usize::try_from(number).ok()?, why))
}

fn quoted(message: &str) -> Vec<String> {
    const START: &str = "unable to parse '";
    let mut found: Vec<String> = Vec::new();
    let mut rest = message;
    while let Some(at) = rest.find(START) {
        rest = &rest[at + START.len()..];
        // Up to the next one: the texts together are no longer than the message.
        let end = rest.find(START).unwrap_or(rest.len());
        found.push(rest[..end].to_owned());
    }
    found
}

fn dropped(message: &str) -> Option<u64> {
    let (_, rest) = message.rsplit_once("dropped=")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(body: &str, lines: &[&str]) -> (Vec<(usize, Why)>, bool) {
        let refused = read(body.as_bytes());
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        (refused.named(&lines), refused.others_written)
    }

    #[test]
    fn reads_what_version_1_says() {
        let lines = ["m v=1", "m,t=it's v=2", "m", "m"];
        let body = r#"{"error":"partial write: unable to parse 'm': missing fields\nunable to parse 'm,t=it's v=2': 'oh' dropped=0"}"#;
        let (found, others) = named(body, &lines);
        assert!(others);
        assert_eq!(
            found,
            [(1, Why::Unparsed), (2, Why::Unparsed), (3, Why::Unparsed)]
        );
        let body = r#"{"error":"partial write: field type conflict: input field \"v\" on measurement \"m\" is type string, already exists as type float dropped=12"}"#;
        let refused = read(body.as_bytes());
        assert_eq!(
            (refused.why, refused.dropped),
            (Why::TypeConflict, Some(12))
        );
        assert!(refused.others_written && refused.named(&[b"m v=1"]).is_empty());
    }

    #[test]
    fn reads_what_version_2_says() {
        let body = r#"{"code":"invalid","message":"unable to parse 'm v=': missing field value"}"#;
        assert_eq!(
            named(body, &["m v=1", "m v="]),
            (vec![(1, Why::Unparsed)], false)
        );
        let body = r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped 4 points outside retention policy of duration 24h0m0s - oldest point m at 1970-01-01T00:00:01Z dropped because it violates a Retention Policy Lower Bound at 2025-05-20T19:06:17Z dropped=4"}"#;
        let refused = read(body.as_bytes());
        assert_eq!((refused.why, refused.dropped), (Why::Retention, Some(4)));
        assert!(refused.others_written);
    }

    #[test]
    fn reads_what_version_3_says() {
        let body = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"m v=hi 2","line_number":2,"error_message":"invalid column type for column 'v', expected iox::column_type::field::float, got iox::column_type::field::string"},{"line_number":1,"error_message":"No fields were provided"},{"line_number":9},{"line_number":0}]}"#;
        let (found, others) = named(body, &["m", "m v=\"hi\" 2", "m v=1 3"]);
        assert_eq!(found, [(0, Why::Unparsed), (1, Why::TypeConflict)]);
        assert!(others);
        let body = r#"{"error":"parsing failed for write_lp endpoint","data":{"original_line":"m","line_number":1,"error_message":"No fields were provided"}}"#;
        assert_eq!(
            named(body, &["m", "m v=1"]),
            (vec![(0, Why::Unparsed)], false)
        );
    }

    #[test]
    fn what_says_nothing_names_nothing() {
        for body in [
            "",
            "<html>no</html>",
            "[]",
            "{}",
            r#"{"data":7,"error":3}"#,
            r#"{"error":"dropped="}"#,
        ] {
            let refused = read(body.as_bytes());
            assert_eq!((refused.why, refused.dropped), (Why::Other, None), "{body}");
            assert!(refused.named(&[b"m v=1"]).is_empty() && !refused.others_written);
        }
    }
}

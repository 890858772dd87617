//! Events as points in line protocol, and how each character is written there.
//!
//! What is escaped is what versions 1, 2 and 3 of InfluxDB read alike:
//!
//! - In names and tags `,` `=` and space get a backslash. There is no way to write a backslash that
//!   stands before one of those or at the end: version 1 takes it for an escape, version 3 takes two
//!   for one. It is left out there. Elsewhere it stands for itself.
//! - In string fields `"` and `\` get a backslash.
//! - A line break would end the line (or the point, for servers that split at lines first), and so
//!   is written as the two letters `\n` or `\r`, in string fields too; tabs in names and tags as `\t`,
//!   which is what the clients of InfluxDB do. A line is always one point.
//! - An empty tag cannot be written and is left out.

use crate::client::influx::Precision;
use crate::clock::{parse_epoch, parse_lenient};
use crate::event::{Event, Kind, Path, Value};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// As in the event: text, `true`, or a number (whole ones as integers).
    Auto,
    /// A whole number of 64 bits.
    Integer,
    /// A whole number from 0; not all servers know it.
    Unsigned,
    /// A number, whole or not.
    Float,
    /// Text; numbers and booleans as they are written.
    Text,
    /// `true` or `false`.
    Boolean,
}

/// Where a field's value comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// The event's counter, as `causal_reorder` gave it; 0 where there is none.
    Counter,
    /// The event itself.
    At(Path, Type),
}

/// Where the measurement comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measurement {
    /// Escaped already.
    Fixed(Vec<u8>),
    /// The text there.
    At(Path),
}

/// How an event becomes a point.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Points {
    pub measurement: Measurement,
    /// `,name=` and where the value is; sorted by name, which servers sort by.
    pub tags: Vec<(Vec<u8>, Path)>,
    /// `name=` and where the value is; sorted by name.
    pub fields: Vec<(Vec<u8>, Content)>,
    pub time: Path,
    pub precision: Precision,
}

/// Why an event is no point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoMeasurement,
    NoFields,
    BadTime,
    WrongType,
}

impl Refusal {
    /// The stable word for ledgers and dead letters.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::NoMeasurement => "missing_measurement",
            Refusal::NoFields => "missing_fields",
            Refusal::BadTime => "bad_timestamp",
            Refusal::WrongType => "wrong_type",
        }
    }

    /// For people; holds no value of the event.
    pub fn message(self) -> &'static str {
        match self {
            Refusal::NoMeasurement => "the event has no text that can name its measurement",
            Refusal::NoFields => "the event has none of the point's fields",
            Refusal::BadTime => {
                "the event has no time that can be read (RFC 3339 with its offset, or a number \
                 since 1970)"
            }
            Refusal::WrongType => "a tag or field cannot hold what the event has there",
        }
    }
}

impl Points {
    /// Appends the event's line, its `\n` included.
    ///
    /// # Errors
    /// When it is no point; nothing is appended then.
    pub fn write(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let start = out.len();
        let written = self.try_write(event, out);
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn try_write(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), Refusal> {
        // First: what is refused costs little.
        let time = self.time(event).ok_or(Refusal::BadTime)?;
        self.write_measurement(event, out)?;
        for (name, path) in &self.tags {
            let Some(value) = event.get(path) else {
                continue;
            };
            match value.as_plain() {
                Some(text) => {
                    let before = out.len();
                    out.extend_from_slice(name);
                    let value = out.len();
                    write_name(&text, true, out);
                    if out.len() == value {
                        out.truncate(before);
                    }
                }
                None if value.kind() == Kind::Null => {}
                None => return Err(Refusal::WrongType),
            }
        }
        let mut next = b' ';
        for (name, from) in &self.fields {
            let before = out.len();
            out.push(next);
            out.extend_from_slice(name);
            match write_field(event, from, out)? {
                true => next = b',',
                false => out.truncate(before),
            }
        }
        if next == b' ' {
            return Err(Refusal::NoFields);
        }
        out.push(b' ');
        write_i64(time, out);
        out.push(b'\n');
        Ok(())
    }

    fn write_measurement(&self, event: &Event, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let path = match &self.measurement {
            Measurement::Fixed(name) => {
                out.extend_from_slice(name);
                return Ok(());
            }
            Measurement::At(path) => path,
        };
        let start = out.len();
        if let Some(text) = event.text(path) {
            write_name(&text, false, out);
        }
        match is_measurement(&out[start..]) {
            true => Ok(()),
            false => Err(Refusal::NoMeasurement),
        }
    }

    /// The event's time in the unit of the precision, cut off and not rounded.
    fn time(&self, event: &Event) -> Option<i64> {
        let value = event.get(&self.time)?;
        let micros = match value.as_number() {
            Some(number) => parse_epoch(number)?,
            None => parse_lenient(&value.as_str()?)?,
        };
        match self.precision {
            Precision::Ns => micros.checked_mul(1000),
            Precision::Us => Some(micros),
            Precision::Ms => Some(micros.div_euclid(1000)),
            Precision::S => Some(micros.div_euclid(1_000_000)),
        }
    }
}

/// Whether this, escaped, can begin a line: `#` begins a comment.
pub(super) fn is_measurement(escaped: &[u8]) -> bool {
    !matches!(escaped.first(), None | Some(b'#'))
}

/// Appends the value; `false` where there is none (what was appended then does not count).
fn write_field(event: &Event, from: &Content, out: &mut Vec<u8>) -> Result<bool, Refusal> {
    let (path, kind) = match from {
        Content::Counter => {
            let counter = i64::try_from(event.counter).map_err(|_| Refusal::WrongType)?;
            write_i64(counter, out);
            out.push(b'i');
            return Ok(true);
        }
        Content::At(path, kind) => (path, *kind),
    };
    let Some(value) = event.get(path) else {
        return Ok(false);
    };
    match (kind, value.kind()) {
        (_, Kind::Null) => return Ok(false),
        (Type::Auto | Type::Text, Kind::Text) => {
            write_string(&value.as_str().unwrap_or_default(), out);
        }
        (Type::Text, Kind::Number | Kind::Bool) => {
            write_string(&value.as_plain().unwrap_or_default(), out);
        }
        (Type::Auto | Type::Boolean, Kind::Bool) => {
            out.extend_from_slice(value.as_plain().unwrap_or_default().as_bytes());
        }
        (Type::Auto | Type::Integer | Type::Unsigned | Type::Float, Kind::Number) => {
            write_number(&value, kind, out)?;
        }
        _ => return Err(Refusal::WrongType),
    }
    Ok(true)
}

fn write_number(value: &Value<'_>, kind: Type, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let text = value.as_number().ok_or(Refusal::WrongType)?;
    let is_whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let signed = || text.parse::<i64>().ok().filter(|_| is_whole);
    let unsigned = || text.parse::<u64>().ok().filter(|_| is_whole);
    let letter = match kind {
        // What is too large for both is a float, as it is in JSON.
        Type::Auto if signed().is_some() => b'i',
        Type::Auto if unsigned().is_some() => b'u',
        Type::Integer => {
            // `3.0` is whole, but not to InfluxDB.
            write_i64(value.as_i64().ok_or(Refusal::WrongType)?, out);
            out.push(b'i');
            return Ok(());
        }
        Type::Unsigned if unsigned().is_some() => b'u',
        Type::Unsigned => return Err(Refusal::WrongType),
        _ => {
            // JSON has no infinity, but it has 1e999.
            let is_finite = text.parse::<f64>().is_ok_and(f64::is_finite);
            out.extend_from_slice(text.as_bytes());
            return is_finite.then_some(()).ok_or(Refusal::WrongType);
        }
    };
    out.extend_from_slice(text.as_bytes());
    out.push(letter);
    Ok(())
}

/// Appends a name or a tag's value; `equals` says whether `=` ends it. Nothing where nothing of it
/// can be written.
pub(super) fn write_name(text: &str, equals: bool, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    // Ids and words need nothing: one pass without branches, and one copy.
    let odd = |b: u8| b <= b' ' || b == b',' || b == b'=' || b == b'\\';
    if !bytes.iter().fold(false, |found, b| found | odd(*b)) {
        return out.extend_from_slice(bytes);
    }
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        match byte {
            b',' | b' ' => out.extend_from_slice(&[b'\\', byte]),
            b'=' if equals => out.extend_from_slice(b"\\="),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\\' => {
                let run = bytes[at - 1..].iter().take_while(|b| **b == b'\\').count();
                let next = bytes.get(at - 1 + run);
                let ends = matches!(next, None | Some(b',' | b'=' | 0..=b' '));
                if !ends {
                    out.extend_from_slice(&bytes[at - 1..at - 1 + run]);
                }
                at += run - 1;
            }
            _ => out.push(byte),
        }
    }
}

/// Appends a string field, quotes included.
fn write_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let odd = |b: u8| b == b'"' || b == b'\\' || b == b'\n' || b == b'\r';
    out.push(b'"');
    match bytes.iter().fold(false, |found, b| found | odd(*b)) {
        false => out.extend_from_slice(bytes),
        true => {
            for byte in bytes {
                match byte {
                    b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                    // Of the two letters the backslash is escaped like any other.
                    b'\n' => out.extend_from_slice(b"\\\\n"),
                    b'\r' => out.extend_from_slice(b"\\\\r"),
                    byte => out.push(*byte),
                }
            }
        }
    }
    out.push(b'"');
}

fn write_i64(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests;

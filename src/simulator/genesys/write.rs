//! JSON by hand. 50,000 snapshots a second leave no room for a tree of values.

use super::random::Uuid;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A UUID without quotes.
pub(super) fn uuid(out: &mut String, id: Uuid) {
    let bytes = id.0.to_be_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        out.push(HEX[usize::from(byte >> 4)] as char);
        out.push(HEX[usize::from(byte & 15)] as char);
    }
}

/// RFC 3339 in UTC with milliseconds, without quotes, from microseconds since 1970.
pub(super) fn time(out: &mut String, micros: i64) {
    let millis = micros.div_euclid(1_000);
    let (days, in_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let (year, month, day) = date(days);
    let seconds = in_day / 1_000;
    digits(out, year, 4);
    out.push('-');
    digits(out, month, 2);
    out.push('-');
    digits(out, day, 2);
    out.push('T');
    digits(out, seconds / 3_600, 2);
    out.push(':');
    digits(out, seconds / 60 % 60, 2);
    out.push(':');
    digits(out, seconds % 60, 2);
    out.push('.');
    digits(out, in_day % 1_000, 3);
    out.push('Z');
}

/// Days since 1970 as a date of the Gregorian calendar (years begin in March, so that the day which
/// not every year has comes last).
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn digits(out: &mut String, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(HEX[digit.unsigned_abs() as usize] as char);
    }
}

/// A whole number.
pub(super) fn number(out: &mut String, value: i64) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

/// A string with its quotes, escaped.
pub(super) fn text(out: &mut String, value: &str) {
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..='\u{1f}' => {
                out.push_str("\\u00");
                out.push(HEX[letter as usize >> 4] as char);
                out.push(HEX[letter as usize & 15] as char);
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// Writes the members of an object, with its commas.
pub(super) struct Object<'o> {
    pub(super) out: &'o mut String,
    begun: bool,
}

impl<'o> Object<'o> {
    pub(super) fn new(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, begun: false }
    }

    /// The name of a member; its value is to be written next.
    pub(super) fn name(&mut self, name: &str) -> &mut String {
        if std::mem::replace(&mut self.begun, true) {
            self.out.push(',');
        }
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    /// A string that needs no escaping.
    pub(super) fn word(&mut self, name: &str, value: &str) {
        let out = self.name(name);
        out.push('"');
        out.push_str(value);
        out.push('"');
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        text(self.name(name), value);
    }

    pub(super) fn uuid(&mut self, name: &str, id: Uuid) {
        let out = self.name(name);
        out.push('"');
        uuid(out, id);
        out.push('"');
    }

    pub(super) fn time(&mut self, name: &str, micros: i64) {
        let out = self.name(name);
        out.push('"');
        time(out, micros);
        out.push('"');
    }

    /// Left out when there is none.
    pub(super) fn maybe_time(&mut self, name: &str, micros: Option<i64>) {
        if let Some(micros) = micros {
            self.time(name, micros);
        }
    }

    pub(super) fn number(&mut self, name: &str, value: i64) {
        number(self.name(name), value);
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.name(name)
            .push_str(if value { "true" } else { "false" });
    }

    /// JSON as it is.
    pub(super) fn raw(&mut self, name: &str, json: &str) {
        self.name(name).push_str(json);
    }

    pub(super) fn object(&mut self, name: &str) -> Object<'_> {
        Object::new(self.name(name))
    }

    pub(super) fn end(self) {
        self.out.push('}');
    }
}

/// Writes a list, one item after another.
pub(super) fn list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut item: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (at, value) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        item(out, value);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::format_timestamp;

    #[test]
    fn times_are_printed_as_the_clock_prints_them() {
        for micros in [
            0,
            1_767_323_045_100_000,
            951_782_400_000_000,
            4_102_444_799_999_000,
            -1_000,
        ] {
            let mut mine = String::new();
            time(&mut mine, micros);
            assert_eq!(mine, format_timestamp(micros));
        }
    }

    #[test]
    fn what_is_written_is_json() {
        let mut out = String::new();
        let mut object = Object::new(&mut out);
        object.text("a", "q\"\\\u{1}\né");
        object.flag("b", true);
        object.number("c", -5);
        list(object.name("d"), [1, 2], number);
        object.end();
        let read: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"a": "q\"\\\u{1}\né", "b": true, "c": -5, "d": [1, 2]})
        );
    }
}

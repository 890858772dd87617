//! The range of time and the rate, as they are written on the command line.

use crate::clock::{format_timestamp, parse_timestamp};
use crate::diagnostic::{Report, Span};
use crate::setting::{Node, Setting, Size, Value};

const MICROS_IN_DAY: i64 = 86_400_000_000;

/// From a time to before another, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    from: i64,
    to: i64,
}

impl Range {
    /// # Errors
    /// When there is nothing in it.
    pub(super) fn new(from: i64, to: i64) -> Result<Self, String> {
        match from < to {
            true => Ok(Self { from, to }),
            false => Err("the range is empty: `--to` has to be later than `--from`".into()),
        }
    }

    pub(super) fn begin(self) -> String {
        format_timestamp(self.from)
    }

    pub(super) fn end(self) -> String {
        format_timestamp(self.to)
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        format!("{} to before {} (UTC)", short(self.from), short(self.to))
    }

    /// The name of a folder for this range alone.
    pub(super) fn folder(&self) -> String {
        let name = |time| short(time).replace(':', "-");
        format!("backfill-{}-{}", name(self.from), name(self.to))
    }
}

/// A date where the time is the beginning of a day.
fn short(time: i64) -> String {
    let text = format_timestamp(time);
    match time.rem_euclid(MICROS_IN_DAY) {
        0 => text.split('T').next().unwrap_or(&text).to_owned(),
        _ => text,
    }
}

/// A date, or a time with or without an offset.
pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    let forms = [
        text.to_owned(),
        format!("{text}Z"),
        format!("{text}T00:00:00Z"),
    ];
    let time = forms.iter().find_map(|form| parse_timestamp(form));
    time.ok_or_else(|| "write a date (2026-01-31) or a time (2026-01-31T06:00:00Z)".into())
}

/// Bytes a second.
pub(super) fn parse_rate(text: &str) -> Result<u64, String> {
    let size = text.strip_suffix("/s").unwrap_or(text);
    let mut report = Report::new("");
    let node = Node::new(Value::Text(size.to_owned()), Span::default());
    let plain = size.parse().ok();
    let read = plain.or_else(|| Size::read(&node, &mut report).map(|size| size.0));
    let enough = read.filter(|rate| *rate >= 1024);
    enough.ok_or_else(|| "write a rate such as `20MB/s`, at least `1KiB/s`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_unless_they_have_an_offset() {
        let day = parse_time("2026-01-01").unwrap();
        assert_eq!(day, 1_767_225_600_000_000);
        assert_eq!(parse_time("2026-01-01T00:00:00"), Ok(day));
        assert_eq!(parse_time("2026-01-01T01:00:00+01:00"), Ok(day));
        assert_eq!(parse_time("2026-01-01 00:00:00Z"), Ok(day));
        for bad in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-01-01T25:00:00Z",
            "2026-1-1",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_has_a_beginning_and_a_later_end() {
        let time = |text| parse_time(text).unwrap();
        let range = Range::new(time("2026-01-01"), time("2026-01-02T06:30:00")).unwrap();
        assert_eq!(
            range.folder(),
            "backfill-2026-01-01-2026-01-02T06-30-00.000Z"
        );
        assert_eq!(range.begin(), "2026-01-01T00:00:00.000Z");
        assert!(Range::new(range.to, range.from).is_err() && Range::new(1, 1).is_err());
    }

    #[test]
    fn rates_have_units() {
        assert_eq!(parse_rate("20MB/s"), Ok(20_000_000));
        assert_eq!(parse_rate("1KiB"), Ok(1024));
        assert_eq!(parse_rate("5000"), Ok(5000));
        for bad in ["", "0", "1023", "-1MB", "fast", "1MB/m"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}

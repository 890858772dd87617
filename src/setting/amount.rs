//! Amounts with units: durations, sizes in bytes, and shares of a whole.

use std::time::Duration;

use super::{Node, Setting, Shape, Value, wrong_type};
use crate::diagnostic::Report;

/// Ten years: past it a duration is a mistake, and adding it to a clock could overflow.
const LONGEST_MS: u64 = 3650 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

const TIME_UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", DAY_MS),
];

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration";

    fn shape() -> Shape {
        Shape::Duration
    }

    fn told(&self) -> Option<serde_json::Value> {
        Some(duration_told(*self).into())
    }

    /// `500ms`, `2s`, `5m`, `1h`, `1d`, or several from large to small: `1m30s`. Never a bare
    /// number, which would leave the unit to guessing.
    fn read(node: &Node, report: &mut Report) -> Option<Duration> {
        const FORMS: &str = "write a duration as `500ms`, `2s`, `5m`, `1h`, `1d` or `1m30s`";
        let hint = match &node.value {
            Value::Text(text) => match parse_duration(text) {
                Ok(value) => return Some(value),
                Err(Wrong::Form) => FORMS,
                Err(Wrong::Size) => "at most ten years (`3650d`)",
            },
            Value::Int(_) | Value::Float(_) => FORMS,
            _ => {
                wrong_type(node, Self::EXPECTED, report).hint(FORMS);
                return None;
            }
        };
        let message = match node.value {
            Value::Text(_) => format!("{} is not a duration", node.shown()),
            _ => format!("{} has no unit", node.shown()),
        };
        report.error("bad-duration", node.span, message).hint(hint);
        None
    }
}

/// As a file would say it: `1m30s`.
fn duration_told(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut told = String::new();
    for (unit, each) in TIME_UNITS.iter().rev() {
        if rest >= *each {
            told.push_str(&format!("{}{unit}", rest / each));
            rest %= each;
        }
    }
    if told.is_empty() { "0s".into() } else { told }
}

#[derive(Debug, PartialEq)]
enum Wrong {
    Form,
    Size,
}

fn parse_duration(text: &str) -> Result<Duration, Wrong> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let (count, unit, after) = split_amount(rest).ok_or(Wrong::Form)?;
        let &(_, each) = TIME_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(Wrong::Form)?;
        if each >= smallest {
            return Err(Wrong::Form);
        }
        smallest = each;
        let part = count
            .and_then(|count| count.checked_mul(each))
            .ok_or(Wrong::Size)?;
        total = total
            .checked_add(part)
            .filter(|ms| *ms <= LONGEST_MS)
            .ok_or(Wrong::Size)?;
        rest = after;
    }
    if smallest == u64::MAX {
        Err(Wrong::Form)
    } else {
        Ok(Duration::from_millis(total))
    }
}

/// Digits, the letters after them, and the rest. The count is `None` when it passes 64 bits.
fn split_amount(text: &str) -> Option<(Option<u64>, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, tail) = text.split_at(digits);
    let letters = tail
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(tail.len());
    let (unit, rest) = tail.split_at(letters);
    (digits > 0 && letters > 0).then(|| (count.parse().ok(), unit, rest))
}

/// A number of bytes: `64KiB`, `10MB`, `1GiB`, or a plain whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl Size {
    /// The number of bytes, or the most that this machine can address.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Setting for Size {
    const EXPECTED: &'static str = "a size";

    fn shape() -> Shape {
        Shape::Size
    }

    fn told(&self) -> Option<serde_json::Value> {
        Some(size_told(self.0).into())
    }

    fn read(node: &Node, report: &mut Report) -> Option<Size> {
        const FORMS: &str = "write a size as `64KiB`, `10MB`, `1GiB` or a whole number of bytes";
        let size = match node.untexted() {
            Value::Int(bytes) => u64::try_from(*bytes).ok(),
            Value::Text(text) => parse_size(text),
            Value::Float(_) => None,
            _ => {
                wrong_type(node, Self::EXPECTED, report).hint(FORMS);
                return None;
            }
        };
        if size.is_none() {
            let message = format!("{} is not a size", node.shown());
            report.error("bad-size", node.span, message).hint(FORMS);
        }
        size.map(Size)
    }
}

/// As a file would say it, in the largest unit that leaves nothing over: `64KiB`.
fn size_told(bytes: u64) -> String {
    let whole = |each: u64| bytes >= each && bytes.is_multiple_of(each);
    let mut units = SIZE_UNITS.iter().rev();
    match units.find(|(name, each)| name.ends_with("iB") && whole(*each)) {
        Some((unit, each)) => format!("{}{unit}", bytes / each),
        None => format!("{bytes}B"),
    }
}

fn parse_size(text: &str) -> Option<u64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let (count, unit, rest) = split_amount(text)?;
    let (_, each) = SIZE_UNITS.iter().find(|(name, _)| *name == unit)?;
    // Sizes stay in what a file offset can be, so that adding two never overflows.
    let bytes = count?.checked_mul(*each)?;
    (rest.is_empty() && i64::try_from(bytes).is_ok()).then_some(bytes)
}

/// A share of a whole, from 0 to 1: `5%` or `0.05`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl Setting for Share {
    const EXPECTED: &'static str = "a share";

    fn shape() -> Shape {
        Shape::Share
    }

    fn told(&self) -> Option<serde_json::Value> {
        Some(self.0.into())
    }

    fn read(node: &Node, report: &mut Report) -> Option<Share> {
        const FORMS: &str = "write a share as `5%` or `0.05`, from 0 to 1";
        let share = match node.untexted() {
            Value::Int(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Text(text) => parse_percent(text),
            _ => {
                wrong_type(node, Self::EXPECTED, report).hint(FORMS);
                return None;
            }
        };
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            let message = format!("{} is not a share of a whole", node.shown());
            report.error("bad-share", node.span, message).hint(FORMS);
        }
        share.map(Share)
    }
}

fn parse_percent(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim_end();
    // `f64` would also take `inf`, `nan` and exponents.
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let percent: f64 = number.parse().ok().filter(|_| plain)?;
    Some(percent / 100.0)
}

//! Numbers that VRL cannot hold as they are.

use compact_str::CompactString;
use vrl::prelude::NotNan;
use vrl::value::Value;

/// Digits that every float keeps.
const SAFE_DIGITS: usize = 15;
/// Most of them that are kept for one event; more are refused.
const MOST: usize = 1024;

/// The texts of numbers that became floats and are not the same any more, by the float's bits.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<(u64, CompactString)>);

/// Two numbers became the same, and it is not known which of them is meant.
#[derive(Debug)]
pub(super) struct Ambiguous;

/// A number as VRL has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Held {
    Integer(i64),
    Float(f64),
}

impl Held {
    /// Whether it is the very value.
    pub fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Integer(one), Value::Integer(other)) => one == *other,
            (Self::Float(one), Value::Float(other)) => one.to_bits() == other.to_bits(),
            _ => false,
        }
    }
}

/// The number of this JSON text.
pub(super) fn held(text: &str) -> Held {
    // There is no integer of which `-0` would be left.
    let whole = text.parse().ok().filter(|_| text != "-0");
    whole.map_or_else(
        || Held::Float(text.parse().unwrap_or_default()),
        Held::Integer,
    )
}

impl Numbers {
    /// The number as VRL's value; `None` where there are too many to be remembered.
    pub fn take(&mut self, text: &str) -> Option<Value> {
        let float = match held(text) {
            Held::Integer(whole) => return Some(Value::Integer(whole)),
            Held::Float(float) => float,
        };
        // No JSON number is none.
        let value = Value::Float(NotNan::new(float).unwrap_or_default());
        if is_kept(text, float) {
            return Some(value);
        }
        let known = |(bits, other): &(u64, CompactString)| {
            *bits == float.to_bits() && other.as_str() == text
        };
        if !self.0.iter().any(known) {
            if self.0.len() == MOST {
                return None;
            }
            self.0.push((float.to_bits(), text.into()));
        }
        Some(value)
    }

    /// The text that became this float, where it was not the same.
    pub fn text(&self, float: f64) -> Result<Option<&str>, Ambiguous> {
        let mut texts = self.0.iter().filter(|(bits, _)| *bits == float.to_bits());
        match (texts.next(), texts.next()) {
            (_, Some(_)) => Err(Ambiguous),
            // What became nothing must not stand in for a zero that was computed.
            (Some(_), None) if float == 0.0 => Err(Ambiguous),
            (found, None) => Ok(found.map(|(_, text)| text.as_str())),
        }
    }
}

/// Whether a float says the same as the text that it was read from.
fn is_kept(text: &str, float: f64) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit);
    let significant = digits.skip_while(|it| *it == b'0').count();
    let nonzero = significant > 0;
    let is_normal = float.is_normal() || (float == 0.0 && !nonzero);
    is_normal && significant <= SAFE_DIGITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_float_does_not_hold_keeps_its_text() {
        let mut numbers = Numbers::default();
        let kept = |numbers: &mut Numbers, text: &str| {
            let Some(Value::Float(float)) = numbers.take(text) else {
                return "an integer".to_owned();
            };
            let told = numbers.text(float.into_inner()).unwrap();
            told.unwrap_or("the float").to_owned()
        };
        for text in ["1", "-9223372036854775808", "0"] {
            assert_eq!(kept(&mut numbers, text), "an integer", "{text}");
        }
        for text in ["-0", "1.10", "1e3", "0.0", "12345678901234.0", "0e9"] {
            assert_eq!(kept(&mut numbers, text), "the float", "{text}");
        }
        let lost = ["9223372036854775808", "1e999", "0.1234567890123456789"];
        for text in lost {
            assert_eq!(kept(&mut numbers, text), text);
            // The same number again is no other one.
            assert_eq!(kept(&mut numbers, text), text);
        }
    }

    #[test]
    fn two_that_became_one_cannot_be_told_apart() {
        let mut numbers = Numbers::default();
        numbers.take("12345678901234567890").unwrap();
        let Some(Value::Float(float)) = numbers.take("12345678901234567891") else {
            panic!("a float");
        };
        assert!(numbers.text(float.into_inner()).is_err());
        numbers.take("1e-400").unwrap();
        assert!(numbers.text(0.0).is_err());
    }
}

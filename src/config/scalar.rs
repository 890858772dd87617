//! Plain scalars by the core schema of YAML 1.2 (section 10.3.2). `yes`, `on`, `0755` and `1_000`
//! are therefore no booleans and no numbers with a hidden base, as they were in YAML 1.1.

use crate::setting::Value;

/// What an unquoted scalar means.
pub fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    integer(text)
        .or_else(|| float(text))
        .unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn integer(text: &str) -> Option<Value> {
    let based = |digits: &str, base: u32| {
        let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
        all.then(|| i64::from_str_radix(digits, base).ok())
            .flatten()
            .map(Value::Int)
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return based(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(digits, 8);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Past 64 bits it stays a number, so that the error speaks of the range and not of the type.
    text.parse()
        .map(Value::Int)
        .ok()
        .or_else(|| text.parse().map(Value::Float).ok())
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`, `.inf` and `.nan`.
fn float(text: &str) -> Option<Value> {
    let (negative, rest) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if matches!(rest, ".inf" | ".Inf" | ".INF") {
        return Some(Value::Float(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }));
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Value::Float(f64::NAN));
    }
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let filled = !whole.is_empty() || !fraction.is_empty();
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let form = filled && digits(whole) && digits(fraction) && exponent_ok;
    form.then(|| text.parse().ok()).flatten().map(Value::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema() {
        assert_eq!(resolve("12"), Value::Int(12));
        assert_eq!(resolve("-7"), Value::Int(-7));
        assert_eq!(resolve("+7"), Value::Int(7));
        assert_eq!(resolve("0x1F"), Value::Int(31));
        assert_eq!(resolve("0o17"), Value::Int(15));
        assert_eq!(resolve("007"), Value::Int(7));
        assert_eq!(resolve("1e3"), Value::Float(1000.0));
        assert_eq!(resolve(".5"), Value::Float(0.5));
        assert_eq!(resolve("5."), Value::Float(5.0));
        assert_eq!(resolve("-.inf"), Value::Float(f64::NEG_INFINITY));
        assert_eq!(resolve("99999999999999999999"), Value::Float(1e20));
        assert_eq!(resolve("~"), Value::Null);
        assert_eq!(resolve("True"), Value::Bool(true));
    }

    #[test]
    fn the_rest_is_text() {
        for text in [
            "yes",
            "no",
            "on",
            "off",
            "1_000",
            "0x",
            "0xg",
            "-0x1",
            ".",
            "-",
            "+",
            "e5",
            "1e",
            "1e+",
            "1.2.3",
            "2024-01-01",
            "5m",
            "inf",
            "nan",
            "tRue",
            "NuLL",
            "-.nan",
            "1 2",
            "١",
        ] {
            assert_eq!(resolve(text), Value::Text(text.to_owned()));
        }
    }
}

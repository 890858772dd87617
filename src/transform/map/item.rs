//! A value on its way into a field, and what can be done to it.

use std::borrow::Cow;

use crate::clock::{format_timestamp, parse_epoch, parse_lenient};
use crate::event::{Kind, Value, write_json_str};

/// Above this a float no longer says which whole number was meant.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A value.
#[derive(Clone)]
pub(super) enum Item<'a> {
    Null,
    Bool(bool),
    /// As JSON has it.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    Container(Value<'a>),
    /// JSON text of the file's own.
    Constant(&'a str),
}

/// `as`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cast {
    String,
    Lower,
    Upper,
    Integer,
    Number,
    Boolean,
    Timestamp,
    Json,
}

impl Cast {
    pub(super) const ALL: [(&'static str, Cast); 8] = [
        ("string", Cast::String),
        ("lower", Cast::Lower),
        ("upper", Cast::Upper),
        ("integer", Cast::Integer),
        ("number", Cast::Number),
        ("boolean", Cast::Boolean),
        ("timestamp", Cast::Timestamp),
        ("json", Cast::Json),
    ];

    /// Those that make text of a scalar: they come before `lookup`, the others after it.
    pub(super) fn is_textual(self) -> bool {
        matches!(self, Self::String | Self::Lower | Self::Upper)
    }
}

/// A calculation with one number of the file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Factor {
    Divide(f64),
    Multiply(f64),
}

/// Why a conversion failed; never with the value.
pub(super) type Why = &'static str;

impl<'a> Item<'a> {
    pub(super) fn of(value: Value<'a>) -> Self {
        let plain = || value.as_plain().unwrap_or_default();
        match value.kind() {
            Kind::Null => Self::Null,
            Kind::Bool => Self::Bool(value.as_bool() == Some(true)),
            Kind::Number => Self::Number(plain()),
            Kind::Text => Self::Text(plain()),
            Kind::Array | Kind::Object => Self::Container(value),
        }
    }

    /// A scalar as text.
    pub(super) fn into_text(self) -> Result<Cow<'a, str>, Why> {
        match self {
            Self::Text(text) | Self::Number(text) => Ok(text),
            Self::Bool(value) => Ok(Cow::Borrowed(if value { "true" } else { "false" })),
            Self::Null | Self::Container(_) | Self::Constant(_) => Err("not a scalar"),
        }
    }

    pub(super) fn scaled(self, factor: Factor) -> Result<Self, Why> {
        let number = self.float()?;
        Self::number(match factor {
            Factor::Divide(by) => number / by,
            Factor::Multiply(by) => number * by,
        })
    }

    pub(super) fn cast(self, to: Cast) -> Result<Self, Why> {
        Ok(match to {
            Cast::String => Self::Text(self.into_text()?),
            Cast::Lower => Self::Text(self.into_text()?.to_lowercase().into()),
            Cast::Upper => Self::Text(self.into_text()?.to_uppercase().into()),
            Cast::Integer => match &self {
                Self::Number(text) | Self::Text(text) if text.trim().parse::<i64>().is_ok() => {
                    let whole: i64 = text.trim().parse().map_err(|_| "not a whole number")?;
                    Self::Number(whole.to_string().into())
                }
                _ => Self::integer(self.float()?)?,
            },
            Cast::Number => match self {
                Self::Number(_) => self,
                _ => Self::number(self.float()?)?,
            },
            Cast::Boolean => Self::Bool(self.boolean()?),
            Cast::Timestamp => Self::Text(format_timestamp(self.time()?).into()),
            Cast::Json => {
                let mut out = Vec::new();
                self.write_json(&mut out);
                let text = String::from_utf8(out).map_err(|_| "not text")?;
                Self::Text(text.into())
            }
        })
    }

    /// Microseconds since 1970, out of text or a number of seconds, milli- or microseconds.
    pub(super) fn time(&self) -> Result<i64, Why> {
        let time = match self {
            Self::Text(text) => parse_lenient(text.trim()),
            // Also as other programs print long numbers: `1.649237444949E12`.
            Self::Number(text) => parse_epoch(text).or_else(|| {
                let float: f64 = text.parse().ok()?;
                (float.abs() < EXACT).then(|| parse_epoch(&float.trunc().to_string()))?
            }),
            _ => None,
        };
        time.ok_or("not a time")
    }

    fn float(&self) -> Result<f64, Why> {
        let float = match self {
            Self::Number(text) | Self::Text(text) => text.trim().parse::<f64>().ok(),
            _ => None,
        };
        // `parse` also takes `inf` and `nan`, which JSON does not have.
        float.filter(|it| it.is_finite()).ok_or("not a number")
    }

    fn boolean(&self) -> Result<bool, Why> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Self::Text(text) | Self::Number(text) if text == "1" => Ok(true),
            Self::Text(text) | Self::Number(text) if text == "0" => Ok(false),
            _ => Err("not a boolean"),
        }
    }

    pub(super) fn number(float: f64) -> Result<Self, Why> {
        if !float.is_finite() {
            return Err("the number is too large");
        }
        match float.fract() == 0.0 && float.abs() < EXACT {
            true => Self::integer(float),
            false => Ok(Self::Number(float.to_string().into())),
        }
    }

    /// The nearest whole number.
    fn integer(float: f64) -> Result<Self, Why> {
        let whole = float.round();
        if whole.abs() > EXACT {
            return Err("the number is too large to be whole");
        }
        Ok(Self::Number((whole as i64).to_string().into()))
    }

    pub(super) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(text) => out.extend_from_slice(text.as_bytes()),
            Self::Text(text) => write_json_str(text, out),
            Self::Container(value) => value.write_json(out),
            Self::Constant(text) => out.extend_from_slice(text.as_bytes()),
        }
    }
}

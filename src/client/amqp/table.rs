//! Between AMQP's typed values and text.

use std::fmt::Write;

use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::event::write_json_str;
use crate::setting::{Key, Node, Value};

/// Deepest table inside of tables that is written out.
const DEEPEST: usize = 8;

/// A short string; `None` where it is longer than the 255 bytes that it can be.
pub fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

/// A count in any of the types of whole numbers that brokers use; `None` for anything else.
pub fn count_of(value: &AMQPValue) -> Option<u64> {
    match value {
        AMQPValue::ShortShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortShortUInt(n) => Some(u64::from(*n)),
        AMQPValue::ShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortUInt(n) => Some(u64::from(*n)),
        AMQPValue::LongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::LongUInt(n) => Some(u64::from(*n)),
        AMQPValue::LongLongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::Timestamp(n) => Some(*n),
        _ => None,
    }
}

/// A value as text: scalars plain, tables and lists as JSON.
pub fn text_of(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        other => {
            let mut out = String::new();
            write(other, DEEPEST, &mut out);
            out
        }
    }
}

fn write(value: &AMQPValue, depth: usize, out: &mut String) {
    // Writing into a string cannot fail.
    let _ = match value {
        AMQPValue::Boolean(is) => write!(out, "{is}"),
        AMQPValue::LongLongInt(n) => write!(out, "{n}"),
        AMQPValue::ShortShortInt(n) => write!(out, "{n}"),
        AMQPValue::ShortInt(n) => write!(out, "{n}"),
        AMQPValue::LongInt(n) => write!(out, "{n}"),
        AMQPValue::Float(n) if n.is_finite() => write!(out, "{n}"),
        AMQPValue::Double(n) if n.is_finite() => write!(out, "{n}"),
        AMQPValue::LongString(text) => string(&text.to_string(), out),
        AMQPValue::ShortString(text) => string(text.as_str(), out),
        AMQPValue::ByteArray(bytes) => string(&String::from_utf8_lossy(bytes.as_slice()), out),
        AMQPValue::DecimalValue(n) => string(&format!("{}e-{}", n.value, n.scale), out),
        AMQPValue::FieldArray(items) if depth > 0 => {
            out.push('[');
            for (index, item) in items.as_slice().iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, depth - 1, out);
            }
            write!(out, "]")
        }
        AMQPValue::FieldTable(table) if depth > 0 => {
            out.push('{');
            for (index, (name, item)) in table.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                let _ = string(name.as_str(), out);
                out.push(':');
                write(item, depth - 1, out);
            }
            write!(out, "}}")
        }
        counted => match count_of(counted) {
            Some(n) => write!(out, "{n}"),
            None => write!(out, "null"),
        },
    };
}

fn string(text: &str, out: &mut String) -> std::fmt::Result {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    write_json_str(text, &mut bytes);
    out.push_str(&String::from_utf8_lossy(&bytes));
    Ok(())
}

/// A table of what a pipeline file says, with free names; `Err` names the entry that cannot be one.
///
/// # Errors
/// The key whose value is no text, number, truth value, list or mapping of such, or whose name is too long.
pub fn table_of(entries: &[(Key, Node)]) -> Result<FieldTable, &Key> {
    let mut table = FieldTable::default();
    for (key, node) in entries {
        let (Some(name), Some(value)) = (short(&key.name), value_of(node)) else {
            return Err(key);
        };
        table.insert(name, value);
    }
    Ok(table)
}

fn value_of(node: &Node) -> Option<AMQPValue> {
    Some(match &node.value {
        Value::Null => return None,
        Value::Bool(is) => AMQPValue::Boolean(*is),
        Value::Int(n) => AMQPValue::LongLongInt(*n),
        Value::Float(n) => AMQPValue::Double(*n),
        Value::Text(text) => AMQPValue::LongString(text.as_str().into()),
        Value::List(items) => {
            let items: Option<Vec<_>> = items.iter().map(value_of).collect();
            AMQPValue::FieldArray(items?.into())
        }
        Value::Map(entries) => AMQPValue::FieldTable(table_of(entries).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_plain_and_tables_are_json() {
        let mut death = FieldTable::default();
        death.insert("count".into(), AMQPValue::LongLongInt(2));
        death.insert("reason".into(), AMQPValue::LongString("re\"jected".into()));
        death.insert("at".into(), AMQPValue::Timestamp(7));
        death.insert("nan".into(), AMQPValue::Double(f64::NAN));
        let list = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into());
        let json = text_of(&list);
        assert_eq!(
            json,
            r#"[{"at":7,"count":2,"nan":null,"reason":"re\"jected"}]"#
        );
        assert_eq!(text_of(&AMQPValue::LongString("a \"b\"".into())), "a \"b\"");
        assert_eq!(text_of(&AMQPValue::Boolean(true)), "true");
    }

    #[test]
    fn tables_without_end_are_cut() {
        let mut value = AMQPValue::Boolean(true);
        for _ in 0..1000 {
            value = AMQPValue::FieldArray(vec![value].into());
        }
        assert_eq!(text_of(&value), "[[[[[[[[null]]]]]]]]");
    }

    #[test]
    fn a_short_string_has_255_bytes() {
        assert!(short(&"x".repeat(255)).is_some() && short(&"x".repeat(256)).is_none());
    }

    #[test]
    fn counts_are_not_negative() {
        assert_eq!(count_of(&AMQPValue::LongInt(3)), Some(3));
        assert_eq!(count_of(&AMQPValue::LongLongInt(-1)), None);
        assert_eq!(count_of(&AMQPValue::LongString("3".into())), None);
    }
}

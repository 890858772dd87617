//! Constants of a mapping as JSON text.

use compact_str::CompactString;

use crate::diagnostic::Report;
use crate::event::write_json_str;
use crate::setting::{Node, Setting, Shape, Value, wrong_type};

/// A value of the file as JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Json(pub CompactString);

impl Setting for Json {
    const EXPECTED: &'static str = "a value";

    fn shape() -> Shape {
        Shape::Any
    }

    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let mut out = Vec::new();
        let sound = write(node, &mut out, report);
        let text = CompactString::from_utf8(out).ok()?;
        sound.then_some(Self(text))
    }
}

fn write(node: &Node, out: &mut Vec<u8>, report: &mut Report) -> bool {
    match &node.value {
        Value::Null if node.is_broken() => return false,
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Float(value) if value.is_finite() => {
            out.extend_from_slice(value.to_string().as_bytes());
        }
        Value::Float(_) => {
            wrong_type(node, "a finite number", report);
            return false;
        }
        Value::Text(text) => write_json_str(text, out),
        Value::List(items) => {
            return list(out, b"[]", items, |item, out| write(item, out, report));
        }
        Value::Map(entries) => {
            return list(out, b"{}", entries, |(key, node), out| {
                write_json_str(&key.name, out);
                out.push(b':');
                write(node, out, report)
            });
        }
    }
    true
}

fn list<T>(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    items: &[T],
    mut one: impl FnMut(&T, &mut Vec<u8>) -> bool,
) -> bool {
    let mut sound = true;
    out.push(brackets[0]);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        sound &= one(item, out);
    }
    out.push(brackets[1]);
    sound
}

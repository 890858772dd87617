//! What a node's settings say, as one number: a reload keeps the nodes whose number is the same.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;

use crate::setting::{Node, Value};

/// Of a node's settings without the fields named. Places do not count, only what is said.
pub(super) fn print(node: &Node, without: &[&str]) -> Print {
    let mut hasher = SipHasher13::new();
    match node.as_map() {
        Some(entries) => {
            for (key, value) in entries {
                if !without.contains(&key.name.as_str()) {
                    key.name.hash(&mut hasher);
                    hash(value, &mut hasher);
                }
            }
        }
        None => hash(node, &mut hasher),
    }
    Print(hasher.finish())
}

/// See [`print`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Print(u64);

impl Print {
    /// The number with something more in it.
    pub(super) fn and(self, more: impl Hash) -> Self {
        let mut hasher = SipHasher13::new();
        self.0.hash(&mut hasher);
        more.hash(&mut hasher);
        Self(hasher.finish())
    }
}

fn hash(node: &Node, into: &mut SipHasher13) {
    hash_value(&node.value, into);
    // A reference can be read in two ways, and which one counts is the field's business.
    node.as_text().hash(into);
}

fn hash_value(value: &Value, into: &mut SipHasher13) {
    std::mem::discriminant(value).hash(into);
    match value {
        Value::Null => {}
        Value::Bool(value) => value.hash(into),
        Value::Int(value) => value.hash(into),
        Value::Float(value) => value.to_bits().hash(into),
        Value::Text(text) => text.hash(into),
        Value::List(items) => {
            items.len().hash(into);
            items.iter().for_each(|item| hash(item, into));
        }
        Value::Map(entries) => {
            entries.len().hash(into);
            for (key, value) in entries {
                key.name.hash(into);
                hash(value, into);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Span;
    use crate::setting::Key;

    fn node(line: u32, fields: &[(&str, Value)]) -> Node {
        let span = Span::on_line(line, 1, 1);
        let entry = |(name, value): &(&str, Value)| {
            let key = Key {
                name: (*name).into(),
                span,
            };
            (key, Node::new(value.clone(), span))
        };
        Node::new(Value::Map(fields.iter().map(entry).collect()), span)
    }

    #[test]
    fn places_and_fields_left_out_do_not_count_and_all_else_does() {
        let text = |text: &str| Value::Text(text.into());
        let base = node(1, &[("key", text("a")), ("inputs", text("x"))]);
        let of = |node: &Node| print(node, &["inputs"]);
        let same = node(9, &[("key", text("a")), ("inputs", text("y"))]);
        assert_eq!(of(&base), of(&same));
        for other in [
            node(1, &[("key", text("b"))]),
            node(1, &[("kez", text("a"))]),
            node(1, &[("key", Value::Int(1))]),
            node(1, &[("key", text("a")), ("more", Value::Null)]),
            node(1, &[]),
        ] {
            assert_ne!(of(&base), of(&other));
        }
        assert_ne!(of(&base), of(&base).and(1));
    }
}

//! `encryption:` of a pipeline, and what would rest readable without it.

use std::collections::HashSet;

use super::outline::{Kind, Outline};
use crate::diagnostic::Report;
use crate::seal::{Key, Keyring};
use crate::setting::{Fields, Node, Setting};

/// How to make a key.
const HINT: &str = "make one with `head -c 32 /dev/urandom | base64`, keep it in a secret, and \
                    write `key: \"${NAME}\"` or `key: \"${file:/run/secrets/name}\"`";
/// Older keys that a pipeline may name: each piece that is opened is looked up among them.
const MOST_OLD_KEYS: usize = 32;

/// `encryption: { key, old_keys }`. `None` when it is absent, or wrong (which is reported).
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Keyring> {
    fields.section("encryption", "encryption", |f| {
        f.takes("key", String::shape);
        f.takes("old_keys", || String::shape().or(String::shape().list()));
        let first = f
            .required_node("key")
            .and_then(|node| key("key", node, f.report()));
        let old = match f.node("old_keys") {
            Some(node) => old_keys(node, f.report()),
            None => Vec::new(),
        };
        let span = f.span();
        match Keyring::new(first?, old) {
            Ok(ring) => Some(ring),
            Err(failure) => {
                f.error("bad-key", span, failure.to_string());
                None
            }
        }
    })
}

/// One key, or a list of them. Those that are empty are left out: a variable that is set only while
/// a key is being changed.
fn old_keys(node: &Node, report: &mut Report) -> Vec<Key> {
    let items = node.as_list().unwrap_or(std::slice::from_ref(node));
    if items.len() > MOST_OLD_KEYS {
        let message = format!("there are {} keys, of at most {MOST_OLD_KEYS}", items.len());
        report
            .error("out-of-range", node.span, message)
            .hint("take out those that nothing on disk was encrypted with");
        return Vec::new();
    }
    items
        .iter()
        .filter(|item| item.as_text() != Some(""))
        .filter_map(|item| key("old_keys", item, report))
        .collect()
}

/// A message about a key written into the file has no place: the line would be shown with it.
fn key(field: &str, node: &Node, report: &mut Report) -> Option<Key> {
    if node.is_broken() {
        return None;
    }
    let line = node.span.line;
    let (place, shown) = match node.from_variable {
        true => (Some(node.span), "the value of the variable".to_owned()),
        false => (None, format!("what stands in `{field}` at line {line}")),
    };
    let key = node.as_text().and_then(Key::parse);
    if key.is_none() {
        let message = format!("{shown} is not a key: 32 bytes in base64, or 64 hexadecimal digits");
        report.error("bad-key", place, message).hint(HINT);
    } else if !node.from_variable {
        let message = format!("`{field}` at line {line} is written into the file, for all to read");
        let hint = "take it from a variable or a file: `\"${NAME}\"`, `\"${file:PATH}\"`";
        report.warning("plain-secret", place, message).hint(hint);
    }
    key
}

/// Whether events can come to the entrance of this node from a source without passing a `pii_mask`:
/// what rests there unencrypted is personal data for anybody to read.
pub fn is_unmasked(outline: &Outline, node: &str) -> bool {
    let mut seen = HashSet::from([node]);
    let mut open = vec![node];
    while let Some(name) = open.pop() {
        let Some(shape) = outline.nodes.iter().find(|shape| shape.name == name) else {
            continue;
        };
        // The node itself may be the mask: what waits in front of it has not been through it.
        if shape.kind == Kind::Source && name != node {
            return true;
        }
        if shape.component == "pii_mask" && name != node {
            continue;
        }
        let inputs = shape.inputs.iter().map(|(input, _)| input.node.as_str());
        open.extend(inputs.filter(|input| seen.insert(input)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Fixed};
    use crate::graph::check::{Checked, check};

    const GOOD: &str = "dHJ1bmtsaW5lLWV4YW1wbGUta2V5LTMyLWJ5dGVzLSE=";

    fn checked(encryption: &str, variables: &Fixed) -> Checked {
        let text = format!(
            "version: 1\nname: p\nencryption: {encryption}\nsources:\n  in: {{ type: stdin }}\n\
             sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n\
             dead_letter: {{ type: blackhole }}\n"
        );
        check(&config::parse("p.yaml", &text, variables))
    }

    fn codes(checked: &Checked) -> Vec<&'static str> {
        checked.report.iter().map(|found| found.code).collect()
    }

    #[test]
    fn keys_come_from_variables_and_an_empty_old_one_is_none() {
        let hex = "0f".repeat(32);
        let variables = Fixed::new()
            .with("KEY", GOOD)
            .with("OLD", &hex)
            .with("DIGITS", &"1".repeat(64));
        let ids = |encryption: &str| {
            let checked = checked(encryption, &variables);
            assert_eq!(codes(&checked), Vec::<&str>::new(), "{encryption}");
            let ring = checked.pipeline.unwrap().encryption.unwrap();
            ring.ids().collect::<Vec<_>>()
        };
        let (good, old) = (Key::parse(GOOD).unwrap(), Key::parse(&hex).unwrap());
        assert_eq!(ids("{ key: \"${KEY}\" }"), [good.id()]);
        let with = "{ key: \"${KEY}\", old_keys: [\"${OLD}\", \"${NONE:-}\"] }";
        assert_eq!(ids(with), [good.id(), old.id()]);
        assert_eq!(
            ids("{ key: \"${OLD}\", old_keys: \"${KEY}\" }"),
            [old.id(), good.id()]
        );
        assert_eq!(ids("{ key: \"${DIGITS}\" }").len(), 1, "it is no number");
    }

    #[test]
    fn what_is_no_key_is_told_and_never_shown() {
        let variables = Fixed::new().with("SHORT", "hunter2");
        for encryption in [
            "{ key: hunter2 }",
            "{ key: 271828 }",
            "{ key: [hunter2] }",
            "{ key: \"${SHORT}\" }",
            "{ key: \"${SHORT}${SHORT}\" }",
        ] {
            let checked = checked(encryption, &variables);
            assert_eq!(codes(&checked), ["bad-key"], "{encryption}");
            let found = checked.report.iter().next().unwrap();
            let said = format!("{found:?}");
            assert!(
                !said.contains("hunter2") && !said.contains("271828"),
                "{said}"
            );
            assert!(found.hint.unwrap().contains("/dev/urandom"));
            assert_eq!(
                found.span.is_some(),
                encryption.contains('$'),
                "{encryption}"
            );
        }
        let empty = checked("{ key: \"${NONE:-}\" }", &variables);
        assert_eq!(
            codes(&empty),
            ["bad-key"],
            "an empty key would seal nothing"
        );
    }

    #[test]
    fn a_key_for_all_to_read_is_a_warning() {
        let checked = checked(&format!("{{ key: {GOOD} }}"), &Fixed::new());
        assert_eq!(codes(&checked), ["plain-secret"]);
        assert!(checked.pipeline.unwrap().encryption.is_some());
        assert!(!format!("{:?}", checked.report.iter().next()).contains(GOOD));
    }

    #[test]
    fn events_are_unmasked_where_any_way_leads_past_the_mask() {
        let text = "version: 1\nname: p\nsources:\n  in: { type: stdin }\n  other: { type: stdin }\n\
            transforms:\n\
            \x20 split: { type: route, inputs: [in], routes: { a: { path: .x, equals: 1 } } }\n\
            \x20 mask: { type: pii_mask, inputs: [split.a] }\n\
            \x20 unique: { type: dedup, inputs: [mask], key: .id, window: 1m }\n\
            \x20 both: { type: dedup, inputs: [mask, split.else], key: .id, window: 1m }\n\
            sinks:\n\
            \x20 masked: { type: blackhole, inputs: [unique] }\n\
            \x20 mixed: { type: blackhole, inputs: [both] }\n\
            \x20 direct: { type: blackhole, inputs: [other] }\n";
        let outline = check(&config::parse("p.yaml", text, &Fixed::new())).outline;
        let unmasked: Vec<_> = outline
            .nodes
            .iter()
            .filter(|shape| is_unmasked(&outline, &shape.name))
            .map(|shape| &*shape.name)
            .collect();
        assert_eq!(unmasked, ["split", "mask", "both", "mixed", "direct"]);
    }
}

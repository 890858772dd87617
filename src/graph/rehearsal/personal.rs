//! Personal data in what would leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::layer::rehearsal::Leaving;
use crate::mask::{Action, Class, Classes, Found, Masker, detect, mask_as};

/// Places that are told apart: the names of members may come from anywhere.
const MOST: usize = 10_000;
/// What is looked for. A URL alone is about nobody, and what is in one is found by its own class.
const LOOKED_FOR: [Class; 5] = [
    Class::Phone,
    Class::Email,
    Class::Card,
    Class::Ipv4,
    Class::Ipv6,
];
/// No telephone or card number is that short where it is a number.
const SHORT: usize = 8;
/// Fields that hold a person's name by what they are called: names cannot be told from other words by
/// how they look. In lower case and without underscores.
const NAMES: &[&str] = &[
    "firstname",
    "lastname",
    "fullname",
    "familyname",
    "givenname",
    "surname",
    "nickname",
    "agentname",
    "callername",
    "contactname",
    "customername",
    "participantname",
    "personname",
    "username",
];

/// Values of one class at one place of what leaves by one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Personal {
    /// The sink, or the dead letters.
    pub node: Arc<str>,
    /// A path in the body, a column, a header.
    pub path: String,
    /// What it looks like: `phone`, `email`, `card`, `ipv4`, `ipv6` or `name`.
    pub class: &'static str,
    /// How many values.
    pub count: u64,
    /// The first of them, masked.
    pub example: String,
}

impl Personal {
    /// What it is allowed by: the sink and the path.
    pub fn name(&self) -> String {
        format!("{}.{}", self.node, self.path.trim_start_matches('.'))
    }
}

/// Whether one of these allows it: its name, or that of something which it lies in (`messages`,
/// `messages.body`).
pub fn is_allowed(personal: &Personal, allowed: &[String]) -> bool {
    let name = personal.name();
    allowed.iter().any(|allowed| {
        let allowed = allowed.trim_end_matches('.');
        let rest = name.strip_prefix(allowed);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// Looks for personal data, and counts it.
pub(super) struct Finder {
    classes: Classes,
    masker: Masker,
    found: BTreeMap<(Arc<str>, String, Class), (u64, String)>,
}

impl Default for Finder {
    fn default() -> Self {
        let rules = LOOKED_FOR.map(|class| (class, Action::Mask));
        Self {
            classes: LOOKED_FOR.into_iter().collect(),
            // Masks are never replacements, which are all that can be refused.
            masker: Masker::new(rules)
                .unwrap_or_else(|refused| unreachable!("no replacement, yet {refused}")),
            found: BTreeMap::new(),
        }
    }
}

impl Finder {
    /// What is thrown away does not leave.
    pub fn look(&mut self, node: &Arc<str>, leaving: &Leaving) {
        if leaving.kind == "discarded" {
            return;
        }
        for (path, value) in leaving.rows.iter().flat_map(|row| &row.fields) {
            self.field(node, path, value);
        }
    }

    fn field(&mut self, node: &Arc<str>, path: &str, value: &Value) {
        // A member's name may be personal data itself, and is told as a place then.
        let shown = self.masker.scrub(path);
        if shown.is_some() {
            self.text(node, path, shown.as_deref().unwrap_or(path));
        }
        let path = shown.as_deref().unwrap_or(path);
        match value {
            Value::String(text) => {
                self.text(node, text, path);
                self.name(node, text, path);
            }
            Value::Number(number) => {
                let text = number.to_string();
                if text.len() > SHORT {
                    self.text(node, &text, path);
                }
            }
            // Bound arrays are laid out by their rows.
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
        }
    }

    fn text(&mut self, node: &Arc<str>, text: &str, path: &str) {
        let mut found = Vec::new();
        detect(text, self.classes, &mut found);
        for Found { start, end, class } in found {
            // None is masked already.
            if let Some(masked) = mask_as(class, &text[start..end]) {
                self.count(node, path, class, masked.as_str());
            }
        }
    }

    fn name(&mut self, node: &Arc<str>, text: &str, path: &str) {
        let last = path.rsplit(['.', '[']).find(|part| *part != "]");
        let called = last.unwrap_or_default().replace('_', "").to_lowercase();
        let has_letter = text.chars().any(char::is_alphabetic);
        if !NAMES.contains(&called.as_str()) || !has_letter {
            return;
        }
        if let Some(masked) = mask_as(Class::Name, text) {
            self.count(node, path, Class::Name, masked.as_str());
        }
    }

    fn count(&mut self, node: &Arc<str>, path: &str, class: Class, masked: &str) {
        let key = (node.clone(), path.to_owned(), class);
        let is_full = self.found.len() >= MOST;
        match self.found.get_mut(&key) {
            Some((count, _)) => *count += 1,
            None if is_full => {}
            None => {
                self.found.insert(key, (1, masked.to_owned()));
            }
        }
    }

    /// By sink, path and class.
    pub fn found(&self) -> Vec<Personal> {
        let found = self.found.iter();
        found
            .map(|((node, path, class), (count, example))| Personal {
                node: node.clone(),
                path: path.clone(),
                class: class.name(),
                count: *count,
                example: example.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::rehearsal::{Row, fields_of};

    fn found(json: &str) -> Vec<String> {
        let mut finder = Finder::default();
        let row = Row {
            key: String::new(),
            fields: fields_of("", json),
        };
        let leaving = Leaving {
            rows: vec![row.clone(), row],
            ..Leaving::new("record", String::new())
        };
        finder.look(&"out".into(), &leaving);
        let shown =
            |it: Personal| format!("{} {} {} {}", it.name(), it.class, it.count, it.example);
        finder.found().into_iter().map(shown).collect()
    }

    #[test]
    fn what_is_not_masked_is_found_where_it_lies() {
        let json = r#"{"a":{"mail":"write to jo@example.com"},"tel":[{"n":"+14155551234"}],
            "number":14155551234,"firstName":"Ann Lee","queue":"Billing","last_name":"L***",
            "masked":"+1***-***-1234","short":12345678,"card":"4111 1111 1111 1111"}"#;
        assert_eq!(
            found(json),
            [
                "out.a.mail email 2 j***@***.com",
                "out.card card 2 ****-****-****-1111",
                "out.firstName name 2 A*** L***",
                "out.number phone 2 ***-***-1234",
                "out.tel[].n phone 2 +1***-***-1234",
            ]
        );
    }

    #[test]
    fn a_members_name_is_no_way_out() {
        let shown = found(r#"{"+14155551234":1}"#);
        assert_eq!(shown, ["out.+1***-***-1234 phone 2 +1***-***-1234"]);
    }

    #[test]
    fn a_place_is_allowed_by_its_name_or_by_what_it_lies_in() {
        let personal = Personal {
            node: "messages".into(),
            path: "body.to[].id".to_owned(),
            class: "phone",
            count: 1,
            example: String::new(),
        };
        let allowed = |by: &str| is_allowed(&personal, &[by.to_owned()]);
        for by in [
            "messages",
            "messages.body",
            "messages.body.to",
            "messages.body.to[].id",
        ] {
            assert!(allowed(by), "{by}");
        }
        for by in [
            "message",
            "messages.bod",
            "body",
            "messages.body.to[].id.x",
            "",
        ] {
            assert!(!allowed(by), "{by}");
        }
    }
}

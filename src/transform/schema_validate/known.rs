//! Which members an object may have: read out of a schema or a list of fields, to find the others.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value as Json;

use super::shape::{Place, shape};
use crate::event::{Handle, Path, Segment, Value};
use crate::stage::Violation;

/// References and combinations are followed this deep; what lies deeper is left alone.
const MAX_DEPTH: usize = 24;
/// Places that a schema is expanded to: one that refers to itself is a tree without end.
const MAX_PLACES: usize = 4096;

/// What is said about one place of a body.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The members that are named; `None` where none is, and then any may be there.
    members: Option<HashMap<String, Known>>,
    /// What is said about all elements.
    elements: Option<Box<Known>>,
    /// Any member may be there beside those named (a map, a part that could not be followed).
    open: bool,
}

impl Known {
    /// What the paths of `fields` name.
    pub(super) fn of_fields<'p>(paths: impl Iterator<Item = &'p Path>) -> Known {
        let mut known = Known::default();
        for path in paths {
            let mut place = &mut known;
            for segment in path.segments() {
                place = match segment {
                    Segment::Key(key) => {
                        let members = place.members.get_or_insert_default();
                        members.entry(key.to_string()).or_default()
                    }
                    Segment::Index(_) | Segment::Each => place.elements.get_or_insert_default(),
                };
            }
        }
        known
    }

    /// What the `properties` of a schema name, through its references and combinations.
    pub(super) fn of_schema(schema: &Json) -> Known {
        let mut reader = Reader {
            root: schema,
            left: MAX_PLACES,
        };
        reader.read(schema, 0)
    }

    /// What either says.
    pub(super) fn merge(&mut self, other: Known) {
        self.open |= other.open;
        if let Some(theirs) = other.members {
            let ours = self.members.get_or_insert_default();
            for (name, known) in theirs {
                ours.entry(name).or_default().merge(known);
            }
        }
        if let Some(elements) = other.elements {
            self.elements.get_or_insert_default().merge(*elements);
        }
    }

    /// Calls `visit` with every member that is not named, until it answers `false`.
    fn unknown<'a>(
        &self,
        value: Value<'a>,
        trail: &mut Vec<Step<'a>>,
        visit: &mut dyn FnMut(&[Step<'a>], Value<'a>) -> bool,
    ) -> bool {
        let Some(named) = &self.members else {
            return self.unknown_in_elements(value, trail, visit);
        };
        for (name, member) in value.members() {
            let known = named.get(name.as_ref());
            trail.push(Step::Member(name));
            let on = match known {
                Some(known) => known.unknown(member, trail, visit),
                None => self.open || visit(trail, member),
            };
            trail.pop();
            if !on {
                return false;
            }
        }
        self.unknown_in_elements(value, trail, visit)
    }

    fn unknown_in_elements<'a>(
        &self,
        value: Value<'a>,
        trail: &mut Vec<Step<'a>>,
        visit: &mut dyn FnMut(&[Step<'a>], Value<'a>) -> bool,
    ) -> bool {
        let Some(known) = &self.elements else {
            return true;
        };
        for (index, element) in value.elements().enumerate() {
            trail.push(Step::Element(index));
            let on = known.unknown(element, trail, visit);
            trail.pop();
            if !on {
                return false;
            }
        }
        true
    }

    /// The members to remove. `None`: one of them is a change that is not in the text yet.
    pub(super) fn surplus(&self, body: Value<'_>) -> Option<Vec<Handle>> {
        let mut found = Vec::new();
        let all = self.unknown(body, &mut Vec::new(), &mut |_, value| {
            found.extend(value.handle());
            value.handle().is_some()
        });
        all.then_some(found)
    }

    /// Adds a violation for each unknown member, up to `most` in all.
    pub(super) fn violations(&self, body: Value<'_>, most: usize, found: &mut Vec<Violation>) {
        if found.len() >= most {
            return;
        }
        self.unknown(body, &mut Vec::new(), &mut |trail, value| {
            let mut place = Place::default();
            for step in trail {
                match step {
                    Step::Member(name) => place.member(name),
                    Step::Element(index) => place.element(*index),
                }
            }
            found.push(Violation {
                path: place.finish(),
                expected: "no such field".to_owned(),
                found: shape(&value),
            });
            found.len() < most
        });
    }

    /// Is there any unknown member?
    pub(super) fn has_unknown(&self, body: Value<'_>) -> bool {
        !self.unknown(body, &mut Vec::new(), &mut |_, _| false)
    }
}

enum Step<'a> {
    Member(Cow<'a, str>),
    Element(usize),
}

struct Reader<'s> {
    root: &'s Json,
    left: usize,
}

impl Reader<'_> {
    fn read(&mut self, schema: &Json, depth: usize) -> Known {
        let mut known = Known::default();
        let Some(schema) = schema.as_object() else {
            return known;
        };
        if depth > MAX_DEPTH || self.left == 0 {
            known.open = true;
            return known;
        }
        self.left -= 1;
        for (keyword, part) in schema {
            match (keyword.as_str(), part) {
                ("properties", Json::Object(properties)) => {
                    let members = known.members.get_or_insert_default();
                    for (name, part) in properties {
                        let read = self.read(part, depth + 1);
                        members.entry(name.clone()).or_default().merge(read);
                    }
                }
                ("patternProperties", _) => known.open = true,
                ("additionalProperties" | "unevaluatedProperties", part) => {
                    known.open |= *part != Json::Bool(false);
                }
                ("items" | "prefixItems" | "additionalItems" | "contains", part) => {
                    for part in one_or_many(part) {
                        let read = self.read(part, depth + 1);
                        known.elements.get_or_insert_default().merge(read);
                    }
                }
                ("allOf" | "anyOf" | "oneOf" | "if" | "then" | "else", part) => {
                    for part in one_or_many(part) {
                        known.merge(self.read(part, depth + 1));
                    }
                }
                ("dependentSchemas", Json::Object(parts)) => {
                    for part in parts.values() {
                        known.merge(self.read(part, depth + 1));
                    }
                }
                ("$ref", Json::String(target)) => match self.follow(target) {
                    Some(part) => known.merge(self.read(part, depth + 1)),
                    None => known.open = true,
                },
                ("$dynamicRef" | "$recursiveRef", _) => known.open = true,
                _ => {}
            }
        }
        known
    }

    /// A pointer into this document; names (`$anchor`) and other documents are not followed.
    fn follow<'s>(&self, target: &str) -> Option<&'s Json>
    where
        Self: 's,
    {
        self.root.pointer(target.strip_prefix('#')?)
    }
}

fn one_or_many(part: &Json) -> &[Json] {
    match part {
        Json::Array(parts) => parts,
        part => std::slice::from_ref(part),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::event::Event;

    fn unknown(known: &Known, body: Json) -> Vec<String> {
        let event = Event::parse(body.to_string(), &Arc::default(), &Arc::default()).unwrap();
        let mut found = Vec::new();
        known.violations(event.body(), 16, &mut found);
        assert_eq!(known.has_unknown(event.body()), !found.is_empty());
        assert_eq!(known.surplus(event.body()).unwrap().len(), found.len());
        found.into_iter().map(|violation| violation.path).collect()
    }

    #[test]
    fn follows_references_combinations_and_lists() {
        let known = Known::of_schema(&json!({
            "properties": {"a": {}, "list": {"items": {"$ref": "#/$defs/item"}}, "map": {
                "properties": {"x": {}}, "additionalProperties": {"type": "string"}}},
            "allOf": [{"properties": {"b": {"properties": {"c": true}}}}, {"required": ["a"]}],
            "if": {"properties": {"d": {}}},
            "$defs": {"item": {"properties": {"id": {}, "again": {"$ref": "#/$defs/item"}}}}
        }));
        let body = json!({"a": {"any": 1}, "b": {"c": 1, "e": 2}, "d": 1, "f": 1,
            "map": {"free": 1}, "list": [{"id": 1}, {"again": {"id": 2, "no": 3}}, 7]});
        assert_eq!(unknown(&known, body), [".b.e", ".f", ".list[1].again.no"]);
    }

    #[test]
    fn a_schema_without_end_ends() {
        let wide: serde_json::Map<_, _> = (0..50)
            .map(|n| (format!("m{n}"), json!({"$ref": "#"})))
            .collect();
        let known = Known::of_schema(&json!({"properties": wide}));
        assert_eq!(unknown(&known, json!({"m1": {"m2": {}}, "x": 1})), [".x"]);
        assert!(unknown(&Known::of_schema(&json!({"$ref": "#"})), json!({"x": 1})).is_empty());
        assert!(unknown(&Known::of_schema(&json!(true)), json!({"x": 1})).is_empty());
    }

    #[test]
    fn fields_name_members_at_any_depth() {
        let paths: Vec<Path> = [".id", ".data.state", ".data", ".list[0].x"]
            .map(|path| path.parse().unwrap())
            .into();
        let known = Known::of_fields(paths.iter());
        let body = json!({"id": {"free": 1}, "data": {"state": 1, "jo@x.org": 2}, "y": 1,
            "list": [{"x": 1, "z": 1}]});
        assert_eq!(unknown(&known, body), [r#".data."…""#, ".list[0].z", ".y"]);
    }
}

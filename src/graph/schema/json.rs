//! The settings as a JSON Schema (draft 2020-12), as servers of the YAML language read it.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json, json};

use super::model::{Case, Field, Mapping, Type};
use super::{Part, Schema, Words};
use crate::condition;
use crate::setting::Shape;

/// Names of components, as `setting::is_name` has them.
const NAME: &str = "^[A-Za-z_][A-Za-z0-9_-]{0,63}$";
/// A text in which a variable stands: what it is then is known when it is read.
const VARIABLE: &str = r"\$\{";
/// What is as long and comes twice gets a name of its own.
const LONG: usize = 300;

impl Schema {
    /// The schema of a pipeline file.
    pub fn json(&self) -> Json {
        let mut defs = BTreeMap::new();
        defs.insert(
            "variable".to_owned(),
            json!({
                "description": "A variable or a file: `${NAME}`, `${NAME:-default}`, `${file:PATH}`.",
                "type": "string",
                "pattern": VARIABLE,
            }),
        );
        defs.insert("condition".to_owned(), condition_json());
        for part in &self.parts {
            let name = part.definition();
            defs.insert(name, component(part, &self.words(part)));
        }
        for section in ["source", "transform", "sink", "dead_letter"] {
            let parts = self.parts.iter().filter(|part| part.section == section);
            defs.insert(section.to_owned(), choice_of(parts.collect()));
        }
        let mut root = mapping(&self.root.mapping, "", &self.words(&self.root));
        share(&mut root, &mut defs);
        let mut whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Trunkline pipeline",
            "description": "A pipeline of Trunkline: sources, transforms and sinks.",
        });
        if let (Some(whole), Json::Object(root)) = (whole.as_object_mut(), root) {
            whole.extend(root);
            whole.insert("$defs".to_owned(), defs.into_iter().collect());
        }
        whole
    }
}

/// A component by its type.
fn choice_of(parts: Vec<&Part>) -> Json {
    let kinds: Vec<_> = parts.iter().map(|part| part.kind).collect();
    let all: Vec<_> = parts
        .iter()
        .map(|part| {
            let of_kind =
                json!({ "properties": { "type": { "const": part.kind } }, "required": ["type"] });
            json!({ "if": of_kind, "then": reference(&part.definition()) })
        })
        .collect();
    let about = "What it is: the other fields depend on it.";
    let kind = json!({ "description": about, "anyOf": [{ "enum": kinds }, reference("variable")] });
    json!({
        "type": "object",
        "required": ["type"],
        "properties": { "type": kind },
        "allOf": all,
    })
}

fn component(part: &Part, words: &Words) -> Json {
    let mut json = mapping(&part.mapping, "", words);
    json["description"] = words.about("").unwrap_or_default().into();
    json["properties"]["type"] = json!({ "const": part.kind });
    json
}

fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn inside(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// A mapping at `path`, which is empty for a component itself.
fn mapping(mapping: &Mapping, path: &str, words: &Words) -> Json {
    let properties: Map<String, Json> = (mapping.fields.iter())
        .map(|it| (it.name.clone(), field(it, &inside(path, &it.name), words)))
        .collect();
    let free = match &mapping.free {
        None => Json::Bool(false),
        Some(types) if types.is_empty() => Json::Bool(true),
        Some(types) => types_json(types, path, words),
    };
    let mut json = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": free,
    });
    let required = required(mapping, &[]);
    if !required.is_empty() {
        json["required"] = required.into();
    }
    if let Some(cases) = &mapping.cases {
        let all = cases.all.iter();
        json["allOf"] = all
            .map(|case| of_case(case, &cases.by, mapping, path, words))
            .collect();
    }
    json
}

fn required<'m>(mapping: &'m Mapping, but: &[&str]) -> Vec<&'m str> {
    let names = mapping.fields.iter().filter(|field| field.required);
    let names = names.map(|field| field.name.as_str());
    names.filter(|name| !but.contains(name)).collect()
}

/// What holds where the field `by` has these words.
fn of_case(case: &Case, by: &str, union: &Mapping, path: &str, words: &Words) -> Json {
    let mut decides = json!({ "properties": { by: { "enum": case.words } } });
    if !case.is_default {
        decides["required"] = json!([by]);
    }
    let mut properties = Map::new();
    for known in &union.fields {
        match case.mapping.field(&known.name) {
            // Asked for only to say that it does not belong here.
            None => {
                properties.insert(known.name.clone(), Json::Bool(false));
            }
            Some(own) if own.types.is_empty() => {
                properties.insert(known.name.clone(), Json::Bool(false));
            }
            Some(own) if own.types != known.types => {
                let path = inside(path, &own.name);
                properties.insert(own.name.clone(), types_json(&own.types, &path, words));
            }
            Some(_) => {}
        }
    }
    let mut then = json!({ "properties": properties });
    let required = required(&case.mapping, &required(union, &[]));
    if !required.is_empty() {
        then["required"] = required.into();
    }
    if let Some(cases) = &case.mapping.cases {
        let all = cases.all.iter();
        then["allOf"] = all
            .map(|inner| of_case(inner, &cases.by, &case.mapping, path, words))
            .collect();
    }
    json!({ "if": decides, "then": then })
}

fn field(field: &Field, path: &str, words: &Words) -> Json {
    let mut json = types_json(&field.types, path, words);
    if let Some(about) = words.about(path) {
        json["description"] = about.into();
    }
    if let Some(default) = &field.default {
        json["default"] = default.clone();
    }
    json
}

/// Any of the types. Lists are one list of anything that one of them holds, and so are mappings.
fn types_json(types: &[Type], path: &str, words: &Words) -> Json {
    let (mut any, mut items, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for one in types {
        match one {
            Type::Shape(shape) => sort(shape, &mut any, &mut items, &mut values),
            Type::Mapping(inner) => any.push(mapping(inner, path, words)),
            Type::List(inner) => items.push(mapping(inner, path, words)),
            Type::Free(inner) => values.push(mapping(inner, path, words)),
        }
    }
    if !items.is_empty() {
        any.push(json!({ "type": "array", "items": one_of(items) }));
    }
    if !values.is_empty() {
        any.push(json!({ "type": "object", "additionalProperties": one_of(values) }));
    }
    let scalar = types
        .iter()
        .any(|it| matches!(it, Type::Shape(shape) if is_scalar(shape)));
    if scalar
        && !any
            .iter()
            .any(|it| it["type"] == "string" && it.get("pattern").is_none())
    {
        any.push(reference("variable"));
    }
    any.dedup();
    one_of(any)
}

fn one_of(mut any: Vec<Json>) -> Json {
    match any.len() {
        0 => json!({}),
        1 => any.remove(0),
        _ => json!({ "anyOf": any }),
    }
}

/// Whether a value of it is written as one scalar, which a variable may be as well.
fn is_scalar(shape: &Shape) -> bool {
    match shape {
        Shape::List(_) | Shape::Map(_) | Shape::Named(_) | Shape::Any => false,
        Shape::Either(all) => all.iter().any(is_scalar),
        _ => true,
    }
}

/// Puts the shape among the values, or what it holds among those of lists or mappings.
fn sort(shape: &Shape, any: &mut Vec<Json>, items: &mut Vec<Json>, values: &mut Vec<Json>) {
    match shape {
        Shape::List(inner) => items.push(whole(inner)),
        Shape::Map(inner)
            if matches!(**inner, Shape::Named("sources" | "transforms" | "sinks")) =>
        {
            let names = json!({ "pattern": NAME });
            let entries = whole(inner);
            any.push(json!({ "type": "object", "propertyNames": names, "additionalProperties": entries }));
        }
        Shape::Map(inner) => values.push(whole(inner)),
        Shape::Either(all) => all.iter().for_each(|one| sort(one, any, items, values)),
        shape => any.push(scalar(shape)),
    }
}

fn whole(shape: &Shape) -> Json {
    types_json(&[Type::Shape(shape.clone())], "", &Words::none())
}

fn scalar(shape: &Shape) -> Json {
    match shape {
        Shape::Text("a name") => json!({ "type": "string", "pattern": NAME }),
        Shape::Text(_) => json!({ "type": "string" }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Off => json!({ "const": false }),
        Shape::Int { least, most } => whole_number(*least, *most),
        Shape::Number => json!({ "type": "number" }),
        Shape::Duration => json!({
            "type": "string",
            "pattern": "^([0-9]+(ms|s|m|h|d))+$",
            "examples": ["500ms", "5m", "1h30m"],
        }),
        Shape::Size => json!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^[0-9]+([kKMGT]?B|[KMGT]iB)?$",
            "examples": ["64KiB", "10MB"],
        }),
        Shape::Share => json!({
            "type": ["number", "string"],
            "minimum": 0,
            "maximum": 1,
            "pattern": "^[0-9.]+ *%$",
            "examples": ["5%", 0.05],
        }),
        Shape::Words(words) => json!({ "enum": words }),
        Shape::Nothing => json!({ "type": "null" }),
        Shape::Any => json!({}),
        Shape::Reference => reference("variable"),
        Shape::Named(name) => reference(name.strip_suffix('s').unwrap_or(name)),
        // Taken apart before.
        Shape::List(_) | Shape::Map(_) | Shape::Either(_) => whole(shape),
    }
}

fn whole_number(least: i64, most: i64) -> Json {
    if least == most {
        return json!({ "const": least });
    }
    let mut json = json!({ "type": "integer" });
    if least > i64::MIN {
        json["minimum"] = least.into();
    }
    if most < i64::MAX {
        json["maximum"] = most.into();
    }
    json
}

/// One kind of condition, and beside some kinds exactly one comparison.
fn condition_json() -> Json {
    let definition = condition::definition();
    let all = definition.forms.iter().chain(&definition.operators);
    let properties: Map<String, Json> = all
        .map(|(name, about, shape)| {
            let mut json = whole(shape);
            json["description"] = (*about).into();
            ((*name).to_owned(), json)
        })
        .collect();
    let forms = definition.forms.iter().map(|(name, ..)| {
        let fields = if definition.comparing.contains(name) {
            2
        } else {
            1
        };
        let others = definition.forms.iter().filter(|(other, ..)| other != name);
        let others: Map<String, Json> = others.map(|it| (it.0.to_owned(), false.into())).collect();
        json!({
            "required": [name],
            "properties": others,
            "minProperties": fields,
            "maxProperties": fields,
        })
    });
    json!({
        "description": "A condition on an event, such as `{ path: .type, equals: completed }`.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": forms.collect::<Vec<_>>(),
    })
}

/// Gives a definition of its own to each long part that comes more than once.
fn share(root: &mut Json, defs: &mut BTreeMap<String, Json>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    count(root, &mut seen);
    defs.values().for_each(|def| count(def, &mut seen));
    let mut named: BTreeMap<String, (String, Json)> = BTreeMap::new();
    take_out(root, &seen, &mut named);
    for def in defs.values_mut() {
        take_out(def, &seen, &mut named);
    }
    defs.extend(named.into_values());
}

fn count(json: &Json, seen: &mut HashMap<String, usize>) {
    for (_, value) in properties(json) {
        let text = value.to_string();
        if text.len() > LONG {
            *seen.entry(text).or_default() += 1;
        }
    }
    inner(json).for_each(|inner| count(inner, seen));
}

fn properties(json: &Json) -> impl Iterator<Item = (&String, &Json)> {
    json.get("properties")
        .and_then(Json::as_object)
        .into_iter()
        .flatten()
}

fn inner(json: &Json) -> Box<dyn Iterator<Item = &Json> + '_> {
    match json {
        Json::Object(all) => Box::new(all.values()),
        Json::Array(all) => Box::new(all.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

fn take_out(
    json: &mut Json,
    seen: &HashMap<String, usize>,
    named: &mut BTreeMap<String, (String, Json)>,
) {
    if let Some(properties) = json.get_mut("properties").and_then(Json::as_object_mut) {
        for (name, value) in properties {
            let text = value.to_string();
            if seen.get(&text).is_none_or(|count| *count < 2) {
                continue;
            }
            if !named.contains_key(&text) {
                // Several of one name differ: `auth`, `auth_2`.
                let taken = |name: &str| named.values().any(|(known, _)| known == name);
                let numbered = (2..).map(|number| format!("{name}_{number}"));
                let mut names = std::iter::once(format!("{name}_")).chain(numbered);
                let free = names.find(|name| !taken(name)).unwrap_or_default();
                let mut whole = value.clone();
                take_out(&mut whole, seen, named);
                named.insert(text.clone(), (free, whole));
            }
            if let Some((name, _)) = named.get(&text) {
                *value = reference(name);
            }
        }
    }
    match json {
        Json::Object(all) => all.values_mut().for_each(|it| take_out(it, seen, named)),
        Json::Array(all) => all.iter_mut().for_each(|it| take_out(it, seen, named)),
        _ => {}
    }
}

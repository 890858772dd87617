use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value as Json, json};

use super::given::sample;
use super::model::{Field, Type};
use super::*;
use crate::setting::Shape;

static SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::read);
static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&SCHEMA.json()).unwrap());

fn all() -> impl Iterator<Item = &'static Part> {
    std::iter::once(&SCHEMA.root).chain(&SCHEMA.parts)
}

fn walk(mapping: &Mapping, path: &str, visit: &mut dyn FnMut(&Field, &str)) {
    for field in &mapping.fields {
        let path = match path {
            "" => field.name.clone(),
            path => format!("{path}.{}", field.name),
        };
        visit(field, &path);
        for one in &field.types {
            match one {
                Type::Shape(_) => {}
                Type::Mapping(inner) | Type::List(inner) | Type::Free(inner) => {
                    walk(inner, &path, visit);
                }
            }
        }
    }
    for one in mapping.free.iter().flatten() {
        if let Type::Mapping(inner) = one {
            walk(inner, path, visit);
        }
    }
}

#[test]
fn every_field_says_what_it_takes_and_what_it_means() {
    let mut bare = Vec::new();
    for part in all() {
        let words = SCHEMA.words(part);
        let name = part.definition();
        if words.about("").is_none() {
            bare.push(format!("{name} is not described"));
        }
        walk(&part.mapping, "", &mut |field, path| {
            if words.about(path).is_none() {
                bare.push(format!("{name}: `{path}` is not described"));
            }
            if field.types.is_empty() && path != "type" {
                bare.push(format!("{name}: `{path}` takes nobody knows what"));
            }
        });
    }
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

#[test]
fn every_description_is_of_a_field_that_is_read() {
    let mut found: BTreeSet<&About> = BTreeSet::new();
    let mut known = Vec::new();
    for part in all() {
        let words = SCHEMA.words(part);
        walk(&part.mapping, "", &mut |_, path| {
            found.extend(words.find(path))
        });
        let tables = std::iter::once(words.own).chain(words.shared);
        known.extend(tables.flatten().map(|about| (about, part.definition())));
    }
    let mut spare: Vec<_> = known
        .into_iter()
        .filter(|(about, _)| !about.0.is_empty() && !found.contains(about))
        .map(|(about, part)| format!("{part}: `{}`", about.0))
        .collect();
    spare.sort();
    spare.dedup();
    assert!(spare.is_empty(), "nothing reads\n{}", spare.join("\n"));
}

fn json(given: &Given) -> Json {
    match given {
        Given::Map(entries) => {
            let entries = entries.iter().map(|(name, it)| (name.clone(), json(it)));
            Json::Object(entries.collect())
        }
        Given::List(items) => items.iter().map(json).collect(),
        Given::Scalar(value) => match value {
            Value::Null => Json::Null,
            Value::Bool(it) => json!(it),
            Value::Int(it) => json!(it),
            Value::Float(it) => json!(it),
            Value::Text(it) => json!(it),
            Value::List(_) | Value::Map(_) => unreachable!("no scalar"),
        },
    }
}

/// With all that the mapping has to have.
fn filled(base: &Given, way: &[Step], mapping: &Mapping) -> Given {
    let mut base = base.clone();
    for field in mapping.fields.iter().filter(|field| field.required) {
        let inner = [way, &[Step::field(&field.name)]].concat();
        if base.at(&inner).is_some() {
            continue;
        }
        base = base.with(way, &field.name, first_value(field));
        for (inner, steps) in inside(field) {
            let way = [way, &[Step::field(&field.name)], &*steps].concat();
            if base.at(&way) == Some(&Given::empty()) {
                base = filled(&base, &way, inner);
            }
        }
    }
    base
}

/// What the first of its types takes.
fn first_value(field: &Field) -> Given {
    match field.types.first() {
        // The sample of a component is a sink.
        Some(Type::Shape(shape)) if *shape == Shape::Named("transforms").map() => Given::empty(),
        Some(Type::Shape(Shape::Reference)) => Given::text("${NAME:-}"),
        Some(Type::Shape(shape)) => sample(shape),
        Some(Type::List(_)) => Given::List(vec![Given::empty()]),
        Some(Type::Free(_)) => Given::map([("x", Given::empty())]),
        _ => Given::empty(),
    }
}

/// With all that the mapping can have, of one word where a word decides.
fn whole(base: &Given, way: &[Step], mapping: &Mapping, word: usize) -> Given {
    if let Some(cases) = &mapping.cases {
        let case = &cases.all[word.min(cases.all.len() - 1)];
        let base = base.with(way, &cases.by, Given::text(&case.words[0]));
        return whole(&base, way, &case.mapping, word);
    }
    let mut base = base.clone();
    for field in mapping.fields.iter().filter(|field| field.is_read()) {
        let inner = [way, &[Step::field(&field.name)]].concat();
        if base.at(&inner).is_none() {
            base = base.with(way, &field.name, first_value(field));
        }
        for (mapping, steps) in inside(field) {
            let way = [&inner[..], &steps].concat();
            if base.at(&way) == Some(&Given::empty()) {
                base = whole(&base, &way, mapping, word);
            }
        }
    }
    base
}

#[test]
fn a_document_with_everything_in_it_fits() {
    let mut seen = 0;
    for part in all() {
        let (given, way) = around(part.section, part.kind);
        let words = part
            .mapping
            .cases
            .as_ref()
            .map_or(1, |cases| cases.all.len());
        for word in 0..words {
            let document = json(&whole(&given, &way, &part.mapping, word));
            let wrong = VALIDATOR.iter_errors(&document);
            let wrong: Vec<_> = wrong
                .map(|it| format!("{}: {it}", it.instance_path()))
                .collect();
            assert!(wrong.is_empty(), "{}: {wrong:#?}", part.definition());
            // With one letter too many it does not.
            let mut other = whole(&given, &way, &part.mapping, word);
            other = other.with(&way, "nobody_knows_it", Given::empty());
            assert!(!VALIDATOR.is_valid(&json(&other)), "{}", part.definition());
            seen += document.to_string().matches(':').count();
        }
    }
    assert!(seen > 1_000, "{seen}");
}

fn inside(field: &Field) -> impl Iterator<Item = (&Mapping, Vec<Step>)> {
    field.types.iter().filter_map(|one| match one {
        Type::Shape(_) => None,
        Type::Mapping(inner) => Some((inner, vec![])),
        Type::List(inner) => Some((inner, vec![Step::Item])),
        Type::Free(inner) => Some((inner, vec![Step::field("x")])),
    })
}

/// One value of each kind.
fn values() -> Vec<Given> {
    let mut all: Vec<_> = [
        Value::Null,
        Value::Bool(true),
        Value::Int(-7),
        Value::Float(0.5),
    ]
    .into_iter()
    .map(Given::Scalar)
    .collect();
    all.push(Given::text("no word that anybody knows"));
    all.push(Given::List(vec![Given::List(Vec::new())]));
    all.push(Given::map([("nobody_knows", Given::Scalar(Value::Int(1)))]));
    all
}

/// The reader and the schema of one field, each kind of value in turn.
fn compare(base: &Given, way: &[Step], field: &Field, told: &mut Vec<String>) {
    let inner = [way, &[Step::field(&field.name)]].concat();
    let before = base.checked(&inner).1.len();
    for value in values() {
        let tree = base.with(way, &field.name, value);
        let wrong = tree.checked(&inner).1;
        let takes = VALIDATOR.is_valid(&json(&tree));
        // Of a text only its reader knows whether it says something.
        let is_text = matches!(tree.at(&inner), Some(Given::Scalar(Value::Text(_))));
        let refused = wrong
            .iter()
            .any(|(code, here)| *here && *code == "wrong-type");
        let plain = |code: &str| ["wrong-type", "bad-key"].contains(&code);
        let said = wrong.iter().any(|(code, here)| *here || plain(code));
        let told_here = wrong.len() > before || said;
        if (takes && refused && !is_text) || (!takes && !told_here) {
            let what = if takes { "takes" } else { "refuses" };
            let value = json(tree.at(&inner).unwrap_or(&Given::empty()));
            told.push(format!(
                "{inner:?}: the schema {what} {value}, the reader says {wrong:?}"
            ));
        }
    }
}

fn compare_all(base: &Given, way: &[Step], mapping: &Mapping, told: &mut Vec<String>) {
    if let Some(cases) = &mapping.cases {
        for case in &cases.all {
            let base = base.with(way, &cases.by, Given::text(&case.words[0]));
            compare_all(&base, way, &case.mapping, told);
        }
        return;
    }
    let base = filled(base, way, mapping);
    if !VALIDATOR.is_valid(&json(&base)) {
        told.push(format!("{way:?}: the schema refuses {}", json(&base)));
        return;
    }
    for field in mapping.fields.iter().filter(|field| field.name != "type") {
        if field.is_read() {
            compare(&base, way, field, told);
        }
        for (inner, steps) in inside(field) {
            let value = match steps.first() {
                None => Given::empty(),
                Some(Step::Item) => Given::List(vec![Given::empty()]),
                Some(Step::Field(_)) => Given::map([("x", Given::empty())]),
            };
            let base = base.with(way, &field.name, value);
            let way = [way, &[Step::field(&field.name)], &*steps].concat();
            compare_all(&base, &way, inner, told);
        }
    }
}

#[test]
fn schema_and_readers_agree_on_every_kind_of_value_of_every_field() {
    let mut told = Vec::new();
    for part in all() {
        let (given, way) = around(part.section, part.kind);
        compare_all(&given, &way, &part.mapping, &mut told);
    }
    told.sort();
    told.dedup();
    assert!(
        told.is_empty(),
        "{} of them:\n{}",
        told.len(),
        told.join("\n")
    );
}

#[test]
fn schema_and_reader_agree_on_conditions() {
    let place = [Step::field("transforms"), Step::field(IT)];
    let (given, _) = around("transform", "filter");
    let definition = crate::condition::definition();
    let forms = || definition.forms.iter().chain(&definition.operators);
    for (one, _, shape) in forms() {
        for (other, _, beside) in forms() {
            let mut condition = Given::map([(one, sample(shape))]);
            condition = condition.with(&[], other, sample(beside));
            let tree = given.with(&place, "where", condition.clone());
            let wrong = tree.checked(&place).1;
            // What a text means is beyond a schema: a sample is no pattern, and no program.
            const MEANING: [&str; 4] = ["bad-pattern", "unused-component", "vrl", "not-built-in"];
            let wrong: Vec<_> = wrong
                .iter()
                .filter(|(code, _)| !MEANING.contains(code))
                .collect();
            let takes = VALIDATOR.is_valid(&json(&tree));
            assert_eq!(takes, wrong.is_empty(), "{condition:?}: {wrong:?}");
        }
    }
}

#[test]
fn a_word_decides_on_the_other_fields() {
    let warehouse = SCHEMA
        .parts
        .iter()
        .find(|part| part.definition() == "sink_warehouse");
    let cases = warehouse.unwrap().mapping.cases.as_ref().unwrap();
    assert_eq!(cases.by, "dialect");
    let of = |word: &str| {
        let has = |case: &&super::model::Case| case.words.iter().any(|it| it == word);
        &cases.all.iter().find(has).unwrap().mapping
    };
    assert!(of("snowflake").field("account").unwrap().required);
    assert!(!of("bigquery").field("account").unwrap().is_read());
    let with = |dialect: &str, field: &str| {
        let (given, way) = around("sink", "warehouse");
        let given = given.with(&way, "dialect", Given::text(dialect));
        let given = given.with(&way, "database", Given::text("d"));
        let given = given.with(&way, "host", Given::text("h"));
        let given = given.with(&way, "user", Given::text("u"));
        VALIDATOR.is_valid(&json(&given.with(&way, field, Given::text("x"))))
    };
    assert!(with("postgresql", "password") && !with("postgresql", "account"));
    assert!(with("${DIALECT}", "account"), "known only when it runs");
}

//! Asking the readers of settings what they take.
//!
//! A mapping is given to its reader empty, then with what it asks for, one field at a time, and as
//! each of the words that it lets choose from. What is asked for each time is in its record.

use super::given::{FREE, Given, Step, sample};
use super::model::{Case, Cases, Field, Mapping, Type};
use crate::setting::{Asked, Record, Shape};

/// Most rounds in which required fields ask for more of them.
const ROUNDS: usize = 6;
/// Mappings in mappings; none of the settings goes as deep.
const DEEPEST: usize = 12;

/// What is asked of the mapping at the end of `way`. `fixed` are fields whose words are settled.
pub(super) fn explore(base: &Given, way: &[Step], fixed: &[&str]) -> Option<Mapping> {
    if way.len() > DEEPEST {
        return None;
    }
    let base = grown(base, way);
    let first = recorded(&base, way);
    if !first.entered {
        return None;
    }
    for asked in &first.asked {
        if !fixed.contains(&asked.name)
            && let Some(cases) = cases(&base, way, fixed, asked, &first)
        {
            return Some(Mapping::of(cases));
        }
    }
    Some(plain(&base, way, &first, fixed))
}

/// With all fields that have to be there.
fn grown(base: &Given, way: &[Step]) -> Given {
    let mut base = base.clone();
    for _ in 0..ROUNDS {
        let record = base.record(way);
        let there = |name: &str| {
            let way = [way, &[Step::field(name)]].concat();
            base.at(&way).is_some()
        };
        let missing: Vec<Asked> = (record.asked.into_iter())
            .filter(|asked| asked.required && !there(asked.name))
            .collect();
        if missing.is_empty() {
            break;
        }
        for asked in missing {
            let value = value_of(&base, way, &asked);
            base = base.with(way, asked.name, value);
        }
    }
    base
}

/// What is asked of the mapping, and of fields that are only read once they are there.
fn recorded(base: &Given, way: &[Step]) -> Record {
    let mut record = base.record(way);
    for asked in &mut record.asked {
        if asked.shapes.is_empty() {
            asked.shapes = said_of_text(base, way, asked.name);
        }
    }
    record
}

/// What is said of a field that is only read once it is there.
fn said_of_text(base: &Given, way: &[Step], name: &str) -> Vec<Shape> {
    let record = base.with(way, name, Given::text(".x")).record(way);
    let asked = record.asked.into_iter().find(|asked| asked.name == name);
    asked.map_or(Vec::new(), |asked| asked.shapes)
}

/// Some value for a field.
fn value_of(base: &Given, way: &[Step], asked: &Asked) -> Given {
    if let Some(shape) = asked.shapes.first() {
        return sample(shape);
    }
    let entered = containers().into_iter().find(|(given, steps)| {
        let inner = [way, &[Step::field(asked.name)], steps].concat();
        let base = base.with(way, asked.name, given.clone());
        base.record(&inner).entered
    });
    entered.map_or(Given::empty(), |(given, _)| given)
}

/// Values in which a mapping may be read, and where it is in them.
fn containers() -> [(Given, Vec<Step>); 3] {
    [
        (Given::empty(), vec![]),
        (Given::List(vec![Given::empty()]), vec![Step::Item]),
        (
            Given::map([(FREE, Given::empty())]),
            vec![Step::field(FREE)],
        ),
    ]
}

/// The names that are asked for and what is said of them, in any order.
fn signature(record: &Record, but: &str) -> Vec<(&'static str, bool, Vec<Shape>)> {
    let asked = record.asked.iter().filter(|asked| asked.name != but);
    let mut all: Vec<_> = asked
        .map(|asked| (asked.name, asked.required, asked.shapes.clone()))
        .collect();
    all.sort_by_key(|(name, ..)| *name);
    all
}

/// The mapping for each word of a field, where that makes a difference.
fn cases(
    base: &Given,
    way: &[Step],
    fixed: &[&str],
    asked: &Asked,
    without: &Record,
) -> Option<Cases> {
    let words = asked.shapes.iter().find_map(|shape| match shape {
        Shape::Words(words) => Some(words),
        _ => None,
    })?;
    let by = asked.name;
    let mut groups: Vec<(Vec<String>, Vec<_>)> = Vec::new();
    for word in words {
        let given = base.with(way, by, Given::text(word));
        let signature = signature(&recorded(&grown(&given, way), way), by);
        match groups.iter_mut().find(|(_, known)| *known == signature) {
            Some((group, _)) => group.push(word.clone()),
            None => groups.push((vec![word.clone()], signature)),
        }
    }
    let without = signature(without, by);
    if groups.len() < 2 {
        return None;
    }
    let fixed = [fixed, &[by]].concat();
    let all = groups.into_iter().filter_map(|(words, signature)| {
        let given = base.with(way, by, Given::text(words.first()?));
        Some(Case {
            is_default: !asked.required && signature == without,
            mapping: explore(&given, way, &fixed)?,
            words,
        })
    });
    let (by, all) = (by.to_owned(), all.collect());
    Some(Cases { by, all })
}

/// A mapping whose fields are always the same.
fn plain(base: &Given, way: &[Step], first: &Record, fixed: &[&str]) -> Mapping {
    let mut known: Vec<Asked> = Vec::new();
    let mut optional: Vec<&'static str> = Vec::new();
    let mut learn = |record: &Record, known: &mut Vec<Asked>| {
        for asked in &record.asked {
            if !asked.required {
                optional.push(asked.name);
            }
            match known.iter_mut().find(|it| it.name == asked.name) {
                None => known.push(asked.clone()),
                Some(it) => {
                    let new = asked.shapes.iter().filter(|one| !it.shapes.contains(one));
                    let new: Vec<_> = new.cloned().collect();
                    it.shapes.extend(new);
                    it.default = it.default.take().or_else(|| asked.default.clone());
                }
            }
        }
        // What is not asked for at all may be absent then.
        optional.extend(
            (known.iter())
                .filter(|it| !record.asked.iter().any(|asked| asked.name == it.name))
                .map(|it| it.name),
        );
    };
    learn(first, &mut known);
    let mut fields = Vec::new();
    let mut at = 0;
    while let Some(asked) = known.get(at).cloned() {
        at += 1;
        if fixed.contains(&asked.name) {
            fields.push((asked.name, Vec::new()));
            continue;
        }
        for shape in &asked.shapes {
            let record = base.with(way, asked.name, sample(shape)).record(way);
            learn(&record, &mut known);
        }
        let (types, record) = types(base, way, &asked);
        learn(&record, &mut known);
        fields.push((asked.name, types));
    }
    let first_names: Vec<_> = first.asked.iter().map(|asked| asked.name).collect();
    let fields = fields.into_iter().filter_map(|(name, mut types)| {
        let asked = known.iter().find(|it| it.name == name)?;
        for shape in &asked.shapes {
            let shape = Type::Shape(shape.clone());
            if !types.contains(&shape) {
                types.push(shape);
            }
        }
        Some(Field {
            name: name.to_owned(),
            required: asked.required && !optional.contains(&name) && first_names.contains(&name),
            default: asked.default.clone(),
            types,
        })
    });
    let mut mapping = Mapping {
        fields: fields.collect(),
        free: None,
        cases: None,
    };
    if first.open {
        mapping.free = Some(free(base, way, first));
    }
    mapping
}

/// The mappings that are read in a field, and what is asked beside them.
fn types(base: &Given, way: &[Step], asked: &Asked) -> (Vec<Type>, Record) {
    let (mut found, mut beside) = (Vec::new(), base.record(way));
    if asked.shapes.iter().any(is_whole) {
        return (found, beside);
    }
    for (given, steps) in containers() {
        let base = base.with(way, asked.name, given);
        let inner = [way, &[Step::field(asked.name)], &*steps].concat();
        let Some(mapping) = explore(&base, &inner, &[]) else {
            continue;
        };
        beside = base.record(way);
        match steps.first() {
            None => found.push(Type::Mapping(mapping)),
            Some(Step::Item) => found.push(Type::List(mapping)),
            // An open mapping has said so itself.
            Some(Step::Field(_)) if found.is_empty() => found.push(Type::Free(mapping)),
            Some(Step::Field(_)) => {}
        }
    }
    (found, beside)
}

/// Whether what is read in it is known without asking.
fn is_whole(shape: &Shape) -> bool {
    match shape {
        Shape::Named(_) => true,
        Shape::List(inner) | Shape::Map(inner) => is_whole(inner),
        Shape::Either(all) => all.iter().any(is_whole),
        _ => false,
    }
}

/// What the free names of a mapping hold.
fn free(base: &Given, way: &[Step], record: &Record) -> Vec<Type> {
    let inner = [way, &[Step::field(FREE)]].concat();
    let base = base.with(way, FREE, Given::empty());
    let mapping = explore(&base, &inner, &[]).map(Type::Mapping);
    let every = record.every.iter().cloned().map(Type::Shape);
    mapping.into_iter().chain(every).collect()
}

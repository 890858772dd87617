//! What is known of the settings: mappings, their fields, and what each takes.

use serde_json::Value as Json;

use crate::setting::Shape;

/// A mapping of fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mapping {
    /// In the order in which they are asked for.
    pub fields: Vec<Field>,
    /// What other names hold; `None` where there are no others.
    pub free: Option<Vec<Type>>,
    /// Where one field decides on the others.
    pub cases: Option<Cases>,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub name: String,
    pub required: bool,
    pub default: Option<Json>,
    /// It is any of these.
    pub types: Vec<Type>,
}

/// What a value can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Shape(Shape),
    Mapping(Mapping),
    List(Mapping),
    /// Free names, each to such a mapping.
    Free(Mapping),
}

/// A field by whose word the others are read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cases {
    pub by: String,
    pub all: Vec<Case>,
}

/// The mapping as it is for some words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Case {
    pub words: Vec<String>,
    /// Whether it is so as well where the field is absent.
    pub is_default: bool,
    pub mapping: Mapping,
}

impl Mapping {
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// All that any case knows: a field is required where all cases require it.
    pub fn of(cases: Cases) -> Mapping {
        let mut union = Mapping::default();
        for case in &cases.all {
            for field in &case.mapping.fields {
                match union.fields.iter_mut().find(|it| it.name == field.name) {
                    None => union.fields.push(field.clone()),
                    Some(known) => known.join(field),
                }
            }
            if let Some(free) = &case.mapping.free {
                union.free.get_or_insert_default().extend(free.clone());
            }
        }
        for field in &mut union.fields {
            let mut mappings = cases.all.iter().map(|case| &case.mapping);
            field.required =
                mappings.all(|it| it.field(&field.name).is_some_and(|field| field.required));
        }
        union.cases = Some(cases);
        union
    }
}

impl Field {
    /// Whether it means something, and is not only known so that it can be refused, or left unused
    /// where a variable fills it.
    pub fn is_read(&self) -> bool {
        let spare = |one: &Type| *one == Type::Shape(Shape::Reference);
        !self.types.iter().all(spare)
    }

    /// Takes what the other takes as well.
    fn join(&mut self, other: &Field) {
        for one in &other.types {
            if !self.types.contains(one) {
                self.types.push(one.clone());
            }
        }
        if self.default != other.default {
            self.default = None;
        }
    }
}

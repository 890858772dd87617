//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Checks events against a JSON Schema or a list of fields, and coerces types.",
    ),
    (
        "schema",
        "A JSON Schema: a file relative to the pipeline, or the schema itself.",
    ),
    (
        "fields",
        "Fields and their types; several types are joined by `|`.",
    ),
    ("fields.type", "The type, such as `string|null`."),
    (
        "fields.optional",
        "Whether it may be missing; default false.",
    ),
    (
        "coerce",
        "Values that are made another type before the check.",
    ),
    ("coerce.path", "The field."),
    ("coerce.to", "The type that it is made."),
    ("coerce.from", "Only values of these types; default all."),
    (
        "unknown_fields",
        "Fields that nothing names: `keep` (default), `drop`, or `reject` the event.",
    ),
    (
        "on_invalid",
        "Events that are refused: `reject` (default), to the output `invalid` or the dead letters, or `drop`.",
    ),
];

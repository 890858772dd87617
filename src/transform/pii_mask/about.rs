//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    ("", "Masks personal data, by rules and by detection."),
    (
        "key",
        "The key of the pseudonyms of `action: hash`; from a variable.",
    ),
    ("keep", "Paths that are left as they are: one, or several."),
    (
        "rules",
        "What is masked: a class of data, or where it stands and how it is masked; default all that can be detected.",
    ),
    ("rules.path", "The field."),
    ("rules.fields", "Names of fields, wherever they stand."),
    ("rules.class", "The class of personal data."),
    ("rules.action", "How it is masked; default `mask`."),
    (
        "rules.with",
        "What is put in its place, with `action: replace`.",
    ),
];

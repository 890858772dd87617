//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    ("", "Makes records of another shape."),
    ("each", "A path with `[]`: one record for each element."),
    (
        "fields",
        "What is put where: a name, or a path with a leading dot, to a path, a list of paths, or how the value is made.",
    ),
    (
        "fields.from",
        "A path, or several: the first that is there and not null.",
    ),
    (
        "fields.earliest",
        "The earliest of all times that these paths lead to.",
    ),
    (
        "fields.latest",
        "The latest of all times that these paths lead to.",
    ),
    (
        "fields.between",
        "Seconds from the earliest time of the first path to the latest of the second: `[.start, .end]`.",
    ),
    (
        "fields.template",
        "Text with paths in it: `\"{.conversationId}:{.sessionId}\"`.",
    ),
    ("fields.value", "The same for every record."),
    (
        "fields.meta",
        "What is known of the event besides its body.",
    ),
    (
        "fields.pattern",
        "A regular expression that finds its value in the text.",
    ),
    (
        "fields.take",
        "Which group of `pattern`, by its number, or several: `\"{1}-{2}\"`; default the first.",
    ),
    ("fields.present", "This, where there is a value at all."),
    (
        "fields.lookup",
        "A table of texts, and what stands for each.",
    ),
    (
        "fields.otherwise",
        "What is not in `lookup`: `keep` (default), `null` or `reject`.",
    ),
    ("fields.divide", "Divide by this number."),
    ("fields.multiply", "Multiply by this number."),
    ("fields.as", "The type that it is made."),
    ("fields.default", "What is put where there is no value."),
    ("rename", "Old names to new ones; with `keep: all`."),
    (
        "drop",
        "What is taken out: a path, or several; with `keep: all`.",
    ),
    ("default", "Names to what is put where there is no value."),
    (
        "when",
        "Only events for which this holds; others go on as they are.",
    ),
    (
        "keep",
        "`none` (default): a new record of `fields`; `all`: the old one with changes.",
    ),
    (
        "on_error",
        "A value that cannot be made: `reject` the event (default), or `null`.",
    ),
];

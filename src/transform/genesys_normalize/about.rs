//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Makes participant events of what Genesys Cloud sends, with the same id for the same fact.",
    ),
    (
        "infer",
        "Also the states that a snapshot's times prove; default true.",
    ),
    (
        "others",
        "What is not about a participant: `drop` (default), `pass` or `reject`.",
    ),
    (
        "drift",
        "What is counted of what the platform does not document: `values` (default), `fields` too, or `off`.",
    ),
    (
        "include",
        "Personal data that is taken along: `names`, `addresses`, `attributes`; default none.",
    ),
];

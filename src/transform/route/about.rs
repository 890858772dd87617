//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Sends each event to the first output whose condition holds.",
    ),
    (
        "routes",
        "Names of outputs and their conditions, in the order in which they are asked.",
    ),
    (
        "else",
        "The output for the rest, or `drop`; default `else`.",
    ),
];

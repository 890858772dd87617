//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    ("", "Keeps events for which a condition holds."),
    ("where", "The condition; others are dropped, and counted."),
];

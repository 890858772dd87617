//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    ("", "Drops events whose key came before within a window."),
    (
        "key",
        "What an event and its repeats have in common: one path, or several.",
    ),
    ("window", "How long a key is remembered."),
    (
        "max_keys",
        "Keys that are remembered at once; beyond it the oldest go.",
    ),
    (
        "missing_key",
        "Events without a key: `reject` (default) or `pass`.",
    ),
];

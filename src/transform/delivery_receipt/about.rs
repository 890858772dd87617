//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Ties receipts of the platform to the messages that were sent.",
    ),
    (
        "sink",
        "The sink `open_messaging` whose messages they are; not needed with a keeper of statuses of its own.",
    ),
    (
        "wait",
        "How long a receipt waits until its message is known; default `2s`.",
    ),
];

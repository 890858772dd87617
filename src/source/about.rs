//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// What each field means.
pub const ABOUT: &[About] = &[
    (
        "framing",
        "How records lie in the bytes: `auto` (default), `lines`, `concatenated` or `array`.",
    ),
    (
        "compression",
        "How the bytes are packed; default by the name or the first bytes.",
    ),
    ("max_record", "Longest record, up to `256MiB`."),
    ("batch_events", "Records that go on together, 1 to 2048."),
];

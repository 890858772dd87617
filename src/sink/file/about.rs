//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    ("", "One line of JSON for each event, in a file."),
    (
        "path",
        "The file; relative to the working directory. Missing folders are made.",
    ),
    ("append", "Keep what is there already; default true."),
    (
        "sync",
        "When lines count as written: `none` (default), when the operating system has them; `batch`, when they are on the disk.",
    ),
    ("format", "What a line is: `json_lines`, the only one."),
];

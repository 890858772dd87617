//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    ("", "Records in files: one file, a folder, or a pattern."),
    (
        "path",
        "A file, a folder, or a pattern such as `exports/**/*.json.gz`; relative to the working directory.",
    ),
    (
        "recursive",
        "Look into folders of the folder, too; default false. A pattern says that by itself.",
    ),
    (
        "read",
        "`once` (default): what is there at the start; `follow`: also what comes later, and what is appended.",
    ),
    (
        "poll",
        "How often to look for more when following; default `1s`.",
    ),
    (
        "include",
        "Only files that one of these patterns names; default all. Without `/` of the name, with it of the path below the folder.",
    ),
    (
        "exclude",
        "No files that one of these patterns names; default none.",
    ),
    (
        "order",
        "`name` (default), byte for byte, or `modified`: oldest change first.",
    ),
];

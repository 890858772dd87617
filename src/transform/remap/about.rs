//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Changes events by a program in VRL, the Vector Remap Language.",
    ),
    ("source", "The program."),
    (
        "file",
        "A file with the program, in place of `source`; relative to the pipeline.",
    ),
    (
        "timezone",
        "The zone of times that do not say theirs: a name of the IANA database such as `Europe/Berlin`.",
    ),
    (
        "on_error",
        "An event for which the program fails: `dead_letter` (default, reason `vrl_error`), `drop` it, or `pass` it on as it came.",
    ),
    (
        "on_abort",
        "An event for which the program says `abort`: `drop` it (default, counted as `aborted`), `dead_letter`, or `pass` it on as it came.",
    ),
];

//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "A transform that others have written, as a WASM component. It can read and write no file, and reach no network.",
    ),
    (
        "path",
        "The component, or the module that `cargo build --target wasm32-unknown-unknown` leaves: a file relative to the pipeline, of at most 32 MiB.",
    ),
    (
        "config",
        "Whatever the plugin wants to be told; it gets it as JSON. Default `{}`.",
    ),
    (
        "memory",
        "Memory of one instance, 1 MiB to 2 GiB; default 64 MiB.",
    ),
    (
        "time",
        "Processor time that one call may take, 10 ms to 1 m; default 1s.",
    ),
    (
        "instances",
        "Calls at a time, 1 to 256; default: the number of cores.",
    ),
    (
        "answer",
        "Most that one call may answer, 64 KiB to 1 GiB; default 64 MiB.",
    ),
    (
        "stack",
        "The stack of its calls, 64 KiB to 1 MiB; default 512 KiB.",
    ),
    (
        "log_lines",
        "Lines a second that it may write into the log, 0 to 1000; default 10.",
    ),
    (
        "counters",
        "Names of counters, and of reasons, that are told apart, 0 to 32; default 32. Others are `other`.",
    ),
    (
        "restarts",
        "Instances that are made a second in place of ones that died, 1 to 1000, and as many more at once; default 20. Past it events wait.",
    ),
    (
        "reload",
        "How often its file is looked at, 100 ms to 1 h, or `off`; default 2s. A changed one takes over between two batches.",
    ),
];

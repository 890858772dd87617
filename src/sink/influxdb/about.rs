//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Points in InfluxDB 1.8, 2 or 3 (and VictoriaMetrics), or a file of line protocol.",
    ),
    ("path", "Where `url` is empty: a file of line protocol."),
    ("precision", "The unit of times."),
    (
        "measurement",
        "A name, or a path; default `participant_state`.",
    ),
    ("tags", "Names of tags, and their paths."),
    (
        "fields",
        "Names of fields to a path, `counter`, or `{ path, type }`.",
    ),
    ("fields.path", "Where the value is."),
    ("fields.type", "What it is written as."),
    ("time", "The time of the point."),
    ("gzip", "Compress requests; default true."),
    ("max_batch", "Most of one request."),
    ("max_batch.events", "Points; default 5000."),
    (
        "max_batch.bytes",
        "Bytes before compression; default `1MiB`.",
    ),
    (
        "flush_interval",
        "Longest wait of a point for others; default `10s`.",
    ),
    (
        "quiet",
        "Points that wait are written when none has come for so long; default `250ms`.",
    ),
    ("requests", "Requests at the same time; default 4."),
];

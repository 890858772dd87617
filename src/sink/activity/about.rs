//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Shows which interactions are active, and a heatmap, over HTTP.",
    ),
    ("interaction", "What tells conversations apart."),
    ("participant", "What tells participants of one apart."),
    ("state", "The participant's state."),
    ("time", "When it happened."),
    ("id", "What an event and its repeats have in common."),
    (
        "open",
        "States that open a conversation, in any case; default `connected`, `in-progress`.",
    ),
    (
        "close",
        "States that close it; default `disconnected`, `ended`, `terminated`.",
    ),
    (
        "timezone",
        "Whose days and hours the heatmap has, such as `Europe/Berlin`; default `UTC`.",
    ),
    (
        "retention",
        "Days with activity that the heatmap keeps, `1d` to `366d`; default `7d`.",
    ),
    (
        "forget_after",
        "An ended conversation is forgotten so long after its last news; default `1h`.",
    ),
    (
        "abandon_after",
        "One that has not ended is forgotten so long after its last news; default `7d`.",
    ),
    (
        "max_interactions",
        "Conversations that are remembered; default 100000.",
    ),
    (
        "history",
        "Where days are looked up that are older than what is kept; default nowhere.",
    ),
    ("history.type", "The kind of server: `influxdb`."),
    ("history.measurement", "The measurement that is read."),
    ("history.interaction", "The tag with the conversation."),
    ("history.counter", "The field that is counted."),
    ("history.timeout", "For one query; at most `9s`."),
];

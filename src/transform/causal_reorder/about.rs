//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Puts the events of each conversation in causal order, and numbers them.",
    ),
    ("key", "What conversations are told apart by."),
    ("time", "The event's own time; default `.timestamp`."),
    (
        "by",
        "How it knows what comes before what: `lifecycle` (default), `sequence` or `vector_clock`.",
    ),
    ("max_wait", "Longest wait for a predecessor."),
    (
        "lateness",
        "How far times of events are expected to be out of order; with `lifecycle`.",
    ),
    ("max_held", "Events held at once, over all conversations."),
    ("max_conversations", "Conversations remembered at once."),
    (
        "idle",
        "A conversation that is silent for so long is forgotten.",
    ),
    (
        "missing_key",
        "Events without a key: `reject` (default) or `pass`.",
    ),
    (
        "lifecycle",
        "By the event's time and the rank of its state.",
    ),
    ("lifecycle.path", "Where the state is."),
    (
        "lifecycle.participant",
        "Whose state it is: those of different ones at the same time come in any order.",
    ),
    (
        "lifecycle.order",
        "States, or lists of states of one rank, earliest first.",
    ),
    (
        "lifecycle.opener",
        "Whether a conversation must begin with a state of the first rank: `required` (default) or `optional`.",
    ),
    ("sequence", "By a number that counts up."),
    ("sequence.path", "Where the number is."),
    (
        "sequence.first",
        "The number of a conversation's first event.",
    ),
    ("vector_clock", "By the event's vector clock."),
    (
        "vector_clock.path",
        "Where the clock is, an object of counters.",
    ),
    (
        "vector_clock.node",
        "Where the name of the event's own node is.",
    ),
    (
        "counters",
        "Where counters are read back from when the state has none; default nowhere.",
    ),
    ("counters.type", "The kind of server: `influxdb`."),
    ("counters.measurement", "The measurement that holds them."),
    ("counters.conversation", "The tag with the conversation."),
    ("counters.counter", "The field with the counter."),
    ("counters.since", "How far back is looked."),
];

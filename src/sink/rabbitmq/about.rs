//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Publishes to an exchange or a queue of RabbitMQ, with confirms.",
    ),
    ("exchange", "The exchange; default the nameless one."),
    (
        "exchange_type",
        "Its kind, such as `topic`; where it is not said, it has to be there.",
    ),
    (
        "exchange_durable",
        "Whether it outlives the broker; default true.",
    ),
    ("queue", "Instead of an exchange: one queue."),
    (
        "routing_key",
        "Text with fields, such as `\"status.{.status}\"`.",
    ),
    ("mandatory", "What no queue takes is refused; default true."),
    ("persistent", "Messages are kept on disk; default true."),
    ("in_flight", "Messages that are not confirmed; default 500."),
    ("max_message", "Longest body; default `16MiB`."),
    ("headers", "Names of headers, and text with fields."),
    ("message_id", "The field with the message's id."),
    (
        "correlation_id",
        "The field with the id of what it belongs to.",
    ),
    ("message_type", "Text with fields: the message's type."),
    ("priority", "A field with a number from 0 to 255."),
    (
        "expiration",
        "The broker throws the message away after so long; default never.",
    ),
];

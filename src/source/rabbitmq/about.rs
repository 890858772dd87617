//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Messages of a queue or stream of RabbitMQ (AMQP 0-9-1).",
    ),
    ("queue", "The queue that is read."),
    (
        "prefetch",
        "Messages that are not answered; default 1000, at most 65535.",
    ),
    ("consumer", "How the broker knows this reader."),
    (
        "consumer.tag",
        "Its name; default one that the broker makes.",
    ),
    (
        "consumer.exclusive",
        "Nobody else may read the queue; default false.",
    ),
    (
        "consumer.priority",
        "Its priority among other readers of the queue.",
    ),
    (
        "consumer.arguments",
        "Further arguments, such as `x-stream-offset`.",
    ),
    ("max_message", "Longest body, unpacked; default `1MiB`."),
    ("batch_events", "Messages that go on together; default 500."),
    (
        "max_deliveries",
        "Deliveries of one message; after that it is a dead letter `poison`; default 20.",
    ),
    (
        "group_by",
        "A field whose values are groups: a delivery holds messages of one; default none.",
    ),
    (
        "max_per_group",
        "Messages of one group under way; default 500.",
    ),
    (
        "parking",
        "Messages of a group that is stuck go into a queue of their own; default none.",
    ),
    (
        "parking.queue",
        "The name of that queue, with `{group}` in it.",
    ),
    ("parking.type", "Its kind; default `classic`."),
    (
        "parking.max_groups",
        "Groups that are parked at the same time; default 1000.",
    ),
    (
        "parking.expires",
        "The queue goes when nobody used it for so long; default never.",
    ),
];

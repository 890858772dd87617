//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// What each field means.
pub const ABOUT: &[About] = &[
    (
        "url",
        "`amqp://user:password@host:5672/vhost`, or `amqps://…:5671/…`; the virtual host `/` is `%2f`.",
    ),
    (
        "sasl",
        "`plain` (default), or `external`: who we are stands in the client certificate.",
    ),
    (
        "ca_file",
        "Certificates (PEM) of authorities that are trusted besides the known ones.",
    ),
    (
        "client_cert",
        "A file with our certificate and those above it (PEM).",
    ),
    ("client_key", "A file with its key (PEM)."),
    (
        "heartbeat",
        "A connection on which nothing comes for twice that long is dead; default `30s`.",
    ),
    (
        "connect_timeout",
        "Longest wait for a connection; default `10s`.",
    ),
    (
        "request_timeout",
        "Longest wait for the answer to one request; then another connection is used. Default `30s`.",
    ),
    (
        "connection_name",
        "How the broker's lists show it; default `trunkline <node>`.",
    ),
    (
        "declare",
        "`passive` (default): queue and exchange have to be there; `true`: they are made; `false`: nothing.",
    ),
    ("topology", "What the queue is like."),
    ("topology.type", "The kind of queue; default `quorum`."),
    (
        "topology.durable",
        "Whether it outlives the broker; default true.",
    ),
    ("topology.arguments", "Further arguments of the queue."),
    (
        "topology.delivery_limit",
        "Deliveries of one message, by the broker's count.",
    ),
    (
        "topology.dead_letter_exchange",
        "Where the broker puts what it gives up.",
    ),
    (
        "topology.dead_letter_routing_key",
        "The routing key that it gets there.",
    ),
    ("topology.message_ttl", "How long a message may wait."),
    ("topology.max_length", "Messages that the queue holds."),
    (
        "topology.single_active_consumer",
        "Only one reader at a time.",
    ),
    (
        "topology.bindings",
        "What leads into the queue; default nothing.",
    ),
    (
        "topology.bindings.exchange",
        "The exchange that messages come from.",
    ),
    (
        "topology.bindings.type",
        "Its kind; where it is not said, it has to be there.",
    ),
    (
        "topology.bindings.durable",
        "Whether it outlives the broker; default true.",
    ),
    (
        "topology.bindings.routing_key",
        "The routing key; default empty.",
    ),
];

//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    ("", "Live events over the WebSockets of Genesys Cloud."),
    (
        "protocol",
        "`notifications` (default): channels of the Notification API; `events`: one socket with its token in the address.",
    ),
    (
        "auth",
        "The OAuth client (client credentials). Empty, with a `simulator` in the file: that one.",
    ),
    ("auth.client_id", "The id of the OAuth client."),
    (
        "auth.client_secret",
        "Its secret; from a variable or a file.",
    ),
    (
        "region",
        "The domain of the region, such as `mypurecloud.ie`.",
    ),
    (
        "endpoint",
        "One URL for all hosts: a gateway, or `trunkline simulate`.",
    ),
    (
        "environment",
        "With `protocol: events`: the first part of the host's name.",
    ),
    (
        "topics",
        "The topics to hear, with `{queue}` and `{user}` for all there are; default, with `events`, its four.",
    ),
    ("queue", "What may wait between the sockets and the engine."),
    ("queue.frames", "Most frames that wait; default 10000."),
    ("queue.bytes", "Most bytes that wait; default `64MiB`."),
    (
        "heartbeat_timeout",
        "A socket on which nothing came for so long is dead; default `40s`.",
    ),
    (
        "queues",
        "The queues for `{queue}`: a list of ids, or `all` (default).",
    ),
    (
        "users",
        "The users for `{user}`: a list of ids, or `all` (default).",
    ),
    (
        "refresh",
        "How often the lists of queues and users are read again; default `15m`.",
    ),
    ("channels", "The channels, of which one client has 20."),
    ("channels.max", "Most channels that are used."),
    ("channels.reserve", "Channels that are left to others."),
    ("channels.topics", "Most topics of one channel."),
    ("ping_interval", "Between two pings; default `15s`."),
    (
        "roll_over",
        "The age at which a channel is replaced; default `23h`, of the 24 h that it lives.",
    ),
    (
        "connect_timeout",
        "Longest wait for a connection; default `10s`.",
    ),
    ("backoff", "Waits between tries to connect."),
    ("backoff.first", "The first wait; default `500ms`."),
    ("backoff.most", "The longest wait; default `30s`."),
    ("max_frame", "Longest frame; default `8MiB`."),
    (
        "gap_fill",
        "Reads again, over REST, what may have changed while nothing was heard.",
    ),
    ("gap_fill.enabled", "Whether gaps are filled; default true."),
    (
        "gap_fill.max_conversations",
        "Most conversations that are kept in mind, and that are read again after one gap.",
    ),
    (
        "gap_fill.concurrency",
        "Conversations that are read again at the same time.",
    ),
    (
        "gap_fill.unknown",
        "Whether the platform is asked for conversations of which nothing was heard.",
    ),
    (
        "gap_fill.look_back",
        "How far before the gap such a conversation may have begun.",
    ),
    (
        "reuse_channels",
        "A restart takes its channels up again; default true.",
    ),
];

//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Exports in object storage: S3, Google Cloud Storage, Azure Blob Storage, or a folder.",
    ),
    (
        "include",
        "Only objects that one of these patterns names; default all. Without `/` of the name, with it of the key below the prefix.",
    ),
    (
        "exclude",
        "No objects that one of these patterns names; default none.",
    ),
    (
        "event_time",
        "Where records have their own time, by which a backfill counts them: the first path that holds one.",
    ),
    (
        "from",
        "Only objects from this time on (RFC 3339), by the date in the key, else by the last change.",
    ),
    ("to", "Only objects before this time (RFC 3339)."),
    (
        "key_time",
        "Where the date stands in keys: `auto` (default), `none`, or such as `dt=YYYY-MM-DD/hour=HH`.",
    ),
    (
        "dated_keys",
        "All keys below the prefix begin with their dates, so that only those asked for are listed; default false.",
    ),
    (
        "read",
        "`follow` (default): also what comes later; `once`: it ends when what is there is read.",
    ),
    ("poll", "Between two looks for new objects; default `60s`."),
    (
        "reconcile",
        "Between two looks at everything, where the looks between see less; default `1h`.",
    ),
    (
        "look_back",
        "How long an object with an older time may still turn up; default `48h`.",
    ),
    ("min_age", "Objects younger than that wait; default `0s`."),
    (
        "parallel",
        "Requests at the same time; default 16, at most 256.",
    ),
    ("range", "Bytes of one request; default `8MiB`."),
    (
        "max_read_ahead",
        "Bytes that are read ahead, in all; default `64MiB`.",
    ),
    (
        "max_rate",
        "Bytes in a second at most, such as `50MB`; default as fast as it goes.",
    ),
    (
        "settled_memory",
        "Objects that are remembered, 80 bytes each; default 1000000.",
    ),
    ("sqs", "A queue of Amazon SQS that tells of new objects."),
    ("sqs.queue_url", "The URL of the queue."),
    ("sqs.region", "Its region; default that of the URL."),
    ("sqs.endpoint", "Another server than Amazon's."),
    ("sqs.auth", "Its credentials; default those of the bucket."),
    (
        "sqs.wait",
        "How long a request waits for messages; default and at most `20s`.",
    ),
    (
        "sqs.visibility",
        "How long a message is hidden from others before that is extended; default `5m`.",
    ),
    (
        "sqs.on_bad_message",
        "What becomes of a message that cannot be read: `keep` (default) or `delete`.",
    ),
];

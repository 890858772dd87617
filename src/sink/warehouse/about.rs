//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    ("", "Rows in the tables of a warehouse, each event once."),
    ("dialect", "What the warehouse speaks; default `sqlite`."),
    ("path", "The database file, of SQLite. Its folder is made."),
    ("url", "All of the address in one."),
    ("host", "The server."),
    ("port", "Its port; the default is the dialect's."),
    ("database", "The database."),
    ("user", "Who logs in."),
    (
        "password",
        "The user's password; from a variable or a file.",
    ),
    (
        "tls",
        "Whether the connection is encrypted; default `require`.",
    ),
    (
        "ca_file",
        "Certificates (PEM) of authorities that are trusted besides the known ones.",
    ),
    (
        "access_token",
        "A token instead of a login; somebody else renews it.",
    ),
    (
        "account",
        "The account's identifier, such as `org-account`.",
    ),
    ("private_key", "The private key (PEM) that logs in."),
    ("private_key_file", "The file with that key."),
    (
        "private_key_passphrase",
        "The passphrase of a key that is encrypted.",
    ),
    ("role", "The role; default the user's own."),
    (
        "warehouse",
        "The virtual warehouse; default the user's own.",
    ),
    ("project", "The project."),
    ("location", "Where the dataset is, such as `EU`."),
    ("credentials", "The key of a service account, as JSON."),
    ("credentials_file", "The file with that key."),
    (
        "timeout",
        "The longest that one statement or job may take; for Snowflake and BigQuery `120s`. Around the sink: bound on one write.",
    ),
    (
        "connections",
        "Batches that are written at the same time; the default is the dialect's.",
    ),
    ("schema", "The schema or dataset; default `cc_analytics`."),
    (
        "auto_create",
        "Makes the tables that are missing; default true.",
    ),
    (
        "source_system",
        "Stands in every row's column of that name.",
    ),
    (
        "staging",
        "Cells go as text into a staging table and are judged there; default false.",
    ),
    (
        "freshness",
        "Keeps the table `load_freshness`; default true.",
    ),
    (
        "start_timeout",
        "How long a server that is starting or full is waited for at the start.",
    ),
    ("columns", "Where each column is found in the event."),
    (
        "columns.event_id",
        "Where `event_id` is; default its name in an export's record.",
    ),
    (
        "columns.interaction_id",
        "Where `interaction_id` is; default its name in an export's record.",
    ),
    (
        "columns.event_timestamp",
        "Where `event_timestamp` is; default its name in an export's record.",
    ),
    (
        "columns.interaction_type",
        "Where `interaction_type` is; default its name in an export's record.",
    ),
    (
        "columns.direction",
        "Where `direction` is; default its name in an export's record.",
    ),
    (
        "columns.state",
        "Where `state` is; default its name in an export's record.",
    ),
    (
        "columns.duration_seconds",
        "Where `duration_seconds` is; default its name in an export's record.",
    ),
    (
        "columns.queue_name",
        "Where `queue_name` is; default its name in an export's record.",
    ),
    (
        "columns.agent_id",
        "Where `agent_id` is; default its name in an export's record.",
    ),
    (
        "columns.recording_url",
        "Where `recording_url` is; default its name in an export's record.",
    ),
    (
        "application_name",
        "How the server's lists show the connection.",
    ),
    (
        "connect_timeout",
        "Longest wait for a connection; default `10s`.",
    ),
    ("statement_timeout", "Longest that one statement may take."),
];

//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// What each field means.
pub const ABOUT: &[About] = &[
    ("url", "The server; `https` for TLS. Empty: none."),
    ("org", "The organization; default none."),
    (
        "bucket",
        "The bucket; of InfluxDB 3 the database, of 1.8 `database/retention-policy`.",
    ),
    ("token", "The token; none where the server asks for none."),
];

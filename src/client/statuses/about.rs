//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// What each field means.
pub const ABOUT: &[About] = &[
    (
        "statuses",
        "Who keeps the status of each message: `local` (default, the pipeline's state), a Redis, or a service.",
    ),
    ("statuses.redis", "The URL of a Redis."),
    (
        "statuses.http",
        "A service: `GET` and `PUT {url}/messages/{id}/status`.",
    ),
    (
        "statuses.token",
        "Sent to the service as the bearer token; default none.",
    ),
    ("statuses.keep", "How long a status is kept, `1h` to `31d`."),
];

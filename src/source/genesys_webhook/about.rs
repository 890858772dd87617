//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "What Genesys Cloud Open Messaging posts: outbound messages, receipts and events, signed.",
    ),
    (
        "listen",
        "The address that takes posts, such as `0.0.0.0:8443`. The platform posts to port 443 alone: behind a proxy, or here with `tls`.",
    ),
    (
        "path",
        "The path that takes posts; default `/webhooks/genesys`.",
    ),
    (
        "secret",
        "What posts of all integrations are signed with (`outboundNotificationWebhookSignatureSecretToken`).",
    ),
    ("secrets", "The secret of each integration, by its id."),
    ("tls", "Speak TLS here; default: a proxy does."),
    (
        "tls.certificate",
        "A file with the certificate and its chain (PEM).",
    ),
    ("tls.key", "A file with its private key (PEM)."),
    (
        "max_body",
        "Longest body; default 512,000 bytes, the platform's own limit.",
    ),
    (
        "answer_within",
        "What is not settled by then is answered with 503; default `8s`, of the 10 s that the platform waits.",
    ),
    (
        "max_waiting",
        "Posts that wait for the engine; default 1000.",
    ),
    ("max_connections", "Connections at once; default 256."),
];

//! What the settings mean, in words, for the schema and the reference.

use crate::setting::About;

/// The component, and each of its fields.
pub const ABOUT: &[About] = &[
    (
        "",
        "Sends messages to customers through Genesys Cloud Open Messaging, each one once.",
    ),
    ("fields", "Where everything is found in the event."),
    (
        "fields.message_id",
        "Its own id; derived from what it says where it has none. It is never sent twice.",
    ),
    ("fields.tenant", "Who sends."),
    (
        "fields.organization",
        "Through which of the tenant's organisations.",
    ),
    (
        "fields.integration",
        "Through which integration; the only one where there is one.",
    ),
    (
        "fields.conversation",
        "The conversation that it belongs to.",
    ),
    (
        "fields.communication",
        "The agent's communication in the conversation.",
    ),
    (
        "fields.recipient",
        "The customer: an object with `id` and `idType`, or an id.",
    ),
    ("fields.text", "Its text."),
    ("fields.content", "Attachments."),
    ("fields.kind", "What it is, where that is said."),
    ("fields.time", "When it was written (RFC 3339)."),
    (
        "fields.metadata",
        "Kept by the platform with an inbound message.",
    ),
    (
        "fields.receipt",
        "Of a receipt: `messageId` (the platform's), `status`, `reason`.",
    ),
    (
        "use_existing_conversation",
        "A message that names no conversation joins the one that is open; default false.",
    ),
    (
        "accepted",
        "Tell also that a message was accepted, before it is sent; default true.",
    ),
    (
        "api",
        "Conversations can be opened, read, written to and closed over HTTP; default false.",
    ),
];

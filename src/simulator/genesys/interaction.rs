//! The `events` protocol, and the topics of users.

use super::conversation::{Conversation, Participant};
use super::oracle::text;
use super::random::Uuid;
use super::snapshot::Organisation;
use super::topic::INTERACTION;
use super::words::State;
use super::write::Object;

/// The event types for a participant that went from one state to another.
pub(super) fn kinds(before: Option<State>, now: State) -> &'static [&'static str] {
    match (before, now) {
        (None, _) => &INTERACTION[..1],
        (Some(_), now) if now.is_over() => &INTERACTION[1..2],
        _ => &INTERACTION[3..],
    }
}

/// An event of the `events` protocol.
pub(super) fn event(
    kind: &str,
    id: Uuid,
    it: &Conversation,
    one: &Participant,
    org: Organisation,
    at: i64,
) -> String {
    let mut out = String::with_capacity(512);
    let mut object = Object::new(&mut out);
    object.uuid("eventId", id);
    object.word("eventType", kind);
    object.time("timestamp", at);
    let mut data = object.object("data");
    data.uuid("interactionId", it.id);
    data.uuid("participantId", one.id);
    data.word("state", one.state.word());
    data.word("role", one.purpose.word());
    data.word("mediaType", it.media.spelling().analytics);
    data.word("direction", it.direction.spelling().event);
    data.uuid("sessionId", one.session);
    if let Some(queue) = one.queue {
        data.uuid("queueId", org.queue(queue));
    }
    if let Some(user) = one.user {
        data.uuid("userId", org.user(user));
    }
    data.end();
    object.end();
    out
}

/// The body of `v2.users.{id}.routingStatus`, `.activity` or `.presence`. That of presence names no
/// user: the topic does.
pub(super) fn user(suffix: &str, org: Organisation, user: u32, status: &str, at: i64) -> String {
    let mut out = String::new();
    let mut object = Object::new(&mut out);
    let definition = format!(
        r#"{{"id":"{}","systemPresence":"ON_QUEUE"}}"#,
        text(Uuid::numbered(org.seed, 15, 0))
    );
    if suffix == ".presence" {
        object.word("source", "PURECLOUD");
        object.raw("presenceDefinition", &definition);
        object.flag("primary", true);
        object.word("message", "");
        object.time("modifiedDate", at);
        object.end();
        return out;
    }
    object.uuid("id", org.user(user));
    let mut routing = object.object("routingStatus");
    routing.word("status", status);
    routing.time("startTime", at);
    routing.end();
    if suffix == ".activity" {
        let mut presence = object.object("presence");
        presence.raw("presenceDefinition", &definition);
        presence.word("presenceMessage", "");
        presence.time("modifiedDate", at);
        presence.end();
        object.raw("activeQueueIds", "[]");
    }
    object.end();
    out
}

//! The flattened shape of the media topics (`…conversations.calls`, `….messages`) and of
//! `GET /api/v2/conversations/messages/{id}`: what the snapshot has in a communication, the
//! participant itself has here. It does not name the communication.

use super::conversation::{Conversation, Participant};
use super::random::Uuid;
use super::snapshot::{
    Family, Organisation, Twist, ending_word, provider, self_uri, state, wrap_up,
};
use super::words::{Media, Purpose};
use super::write::{self, Object};

/// Writes the conversation.
pub(super) fn conversation(
    out: &mut String,
    it: &Conversation,
    org: Organisation,
    family: Family,
    twist: Twist,
) {
    let mut object = Object::new(out);
    object.uuid("id", it.id);
    if family == Family::Rest {
        object.word("selfUri", &self_uri("messages/", it.id));
    }
    if !twist.missing {
        object.word(
            "recordingState",
            if family == Family::Rest {
                "NONE"
            } else {
                "none"
            },
        );
    }
    if twist.unknown_field {
        object.raw("sentimentForecast", r#"{"score":0.5,"trend":["up"]}"#);
    }
    let last = it.participants.len().wrapping_sub(1);
    let peer = it.peer();
    write::list(
        object.name("participants"),
        it.participants.iter().enumerate(),
        |out, (at, one)| {
            let odd = Twist {
                unknown_enum: twist.unknown_enum && at == last,
                ..twist
            };
            participant(out, it, one, peer, org, family, odd);
        },
    );
    object.end();
}

fn participant(
    out: &mut String,
    it: &Conversation,
    one: &Participant,
    peer: Option<Uuid>,
    org: Organisation,
    family: Family,
    twist: Twist,
) {
    let mut object = Object::new(out);
    object.uuid("id", one.id);
    object.word("state", state(one, twist));
    object.word("initialState", one.initial.word());
    object.word("direction", it.direction.spelling().event);
    object.word("purpose", one.purpose.word());
    if let Some(ending) = one.ending {
        object.word("disconnectType", ending_word(ending, family));
    }
    object.flag("held", one.held.is_some());
    object.maybe_time("startHoldTime", one.held);
    object.time("startTime", one.start);
    object.maybe_time("connectedTime", one.connected);
    object.maybe_time("endTime", one.end);
    let mut reference = |name: &str, id: Uuid| {
        let mut inner = object.object(name);
        inner.uuid("id", id);
        inner.end();
    };
    if let Some(user) = one.user {
        reference("user", org.user(user));
    }
    if let Some(queue) = one.queue {
        reference("queue", org.queue(queue));
    }
    if one.purpose == Purpose::Customer {
        if !twist.missing {
            object.text("name", &it.customer.name);
            object.text("address", &it.customer.address);
        }
        object.raw(
            "attributes",
            if it.attributes.is_empty() {
                "{}"
            } else {
                &it.attributes
            },
        );
    } else if let Some(peer) = peer {
        object.uuid("peer", peer);
    }
    if !twist.missing {
        object.word("provider", provider(it.media));
    }
    match it.media {
        Media::Call => {
            for name in ["muted", "confined", "recording"] {
                object.flag(name, false);
            }
            object.text("ani", &it.customer.address);
            object.word("dnis", "tel:+15550199");
        }
        Media::Message => object.word("type", "open"),
        Media::Email | Media::Callback => {}
    }
    wrap_up(&mut object, one, org);
    object.end();
}

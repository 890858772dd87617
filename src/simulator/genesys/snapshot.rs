//! The whole conversation: as `v2.users.{id}.conversations` and `v2.routing.queues.{id}.conversations`
//! tell it, and as `GET /api/v2/conversations/{id}` answers. No event time in the former: only the
//! times of states.

use super::conversation::{CODES, Conversation, Participant, WrapUp};
use super::oracle::Shows;
use super::random::Uuid;
use super::words::{Ending, Media, Purpose, State};
use super::write::{self, Object};

/// Which family of shapes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Notifications.
    Event,
    /// REST.
    Rest,
}

/// What is odd about a frame.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Twist {
    /// The state of the last participant is a word that nobody has heard of.
    pub(super) unknown_enum: bool,
    pub(super) unknown_field: bool,
    pub(super) missing: bool,
}

/// The state that [`Twist::unknown_enum`] tells.
pub(super) const UNKNOWN_STATE: &str = "levitating";

/// The ids of the organisation: everything has one that the seed decides.
#[derive(Clone, Copy)]
pub(super) struct Organisation {
    pub(super) seed: u64,
}

impl Organisation {
    pub(super) fn id(self) -> Uuid {
        Uuid::numbered(self.seed, 9, 0)
    }

    pub(super) fn user(self, number: u32) -> Uuid {
        Uuid::numbered(self.seed, 10, u64::from(number))
    }

    pub(super) fn queue(self, number: u32) -> Uuid {
        Uuid::numbered(self.seed, 11, u64::from(number))
    }

    pub(super) fn code(self, number: u8) -> Uuid {
        Uuid::numbered(self.seed, 12, u64::from(number))
    }

    pub(super) fn division(self) -> Uuid {
        Uuid::numbered(self.seed, 13, 0)
    }

    pub(super) fn flow(self) -> Uuid {
        Uuid::numbered(self.seed, 14, 0)
    }
}

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
        object.time("startTime", it.start);
        object.maybe_time("endTime", it.end);
        object.text("address", &it.customer.address);
        object.word("selfUri", &self_uri("", it.id));
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
        if family == Family::Event {
            object.text("address", &it.customer.address);
        }
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
    let mut divisions = String::new();
    write::uuid(&mut divisions, org.division());
    object.raw(
        "divisions",
        &format!(r#"[{{"division":{{"id":"{divisions}"}},"entities":[]}}]"#),
    );
    object.end();
}

pub(super) fn self_uri(media: &str, id: Uuid) -> String {
    let mut uri = String::from("/api/v2/conversations/");
    uri.push_str(media);
    write::uuid(&mut uri, id);
    uri
}

/// What a snapshot shows: each communication and its state.
pub(super) fn shows(it: &Conversation, twist: Twist) -> Shows {
    let last = it.participants.len().wrapping_sub(1);
    let word = |(at, one): (usize, &Participant)| match twist.unknown_enum && at == last {
        true => (one.id, one.session, UNKNOWN_STATE),
        false => (one.id, one.session, one.state.word()),
    };
    it.participants.iter().enumerate().map(word).collect()
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
    if family == Family::Rest {
        object.time("startTime", one.start);
        object.word("participantType", one.purpose.kind());
        if let Some(queue) = one.queue {
            object.word("queueName", &format!("Queue {}", queue + 1));
        }
    }
    object.maybe_time("connectedTime", one.connected);
    object.maybe_time("endTime", one.end);
    object.word("purpose", one.purpose.word());
    if let Some(user) = one.user {
        object.uuid("userId", org.user(user));
    }
    if let Some(queue) = one.queue {
        object.uuid("queueId", org.queue(queue));
    }
    if one.purpose == Purpose::Customer {
        if !twist.missing {
            object.text("name", &it.customer.name);
            object.text("address", &it.customer.address);
        }
        let attributes = if it.attributes.is_empty() {
            "{}"
        } else {
            &it.attributes
        };
        object.raw("attributes", attributes);
    }
    wrap_up(&mut object, one, org);
    let list = match family {
        Family::Event => it.media.spelling().event,
        Family::Rest => it.media.spelling().rest,
    };
    let out = object.name(list);
    out.push('[');
    communication(out, it, one, peer, family, twist);
    out.push(']');
    object.end();
}

/// What an agent's after-call work adds to a participant, in all shapes of events.
pub(super) fn wrap_up(object: &mut Object<'_>, one: &Participant, org: Organisation) {
    let is_agent = one.purpose == Purpose::Agent;
    object.flag("wrapupRequired", is_agent);
    object.flag("wrapupExpected", is_agent);
    if is_agent {
        object.word("wrapupPrompt", "optional");
        object.number("alertingTimeoutMs", 30_000);
    }
    match one.wrap_up {
        WrapUp::None => {}
        WrapUp::Pending { since } => object.time("startAcwTime", since),
        WrapUp::Complete { since, until, code } => {
            object.time("startAcwTime", since);
            object.time("endAcwTime", until);
            let mut wrapup = object.object("wrapup");
            wrapup.uuid("code", org.code(code));
            wrapup.word("name", CODES[usize::from(code) % CODES.len()]);
            wrapup.number("durationSeconds", (until - since) / 1_000_000);
            wrapup.time("endTime", until);
            wrapup.end();
        }
    }
}

fn communication(
    out: &mut String,
    it: &Conversation,
    one: &Participant,
    peer: Option<Uuid>,
    family: Family,
    twist: Twist,
) {
    let mut object = Object::new(out);
    object.uuid("id", one.session);
    object.word("state", state(one, twist));
    object.word("initialState", one.initial.word());
    object.word("direction", it.direction.spelling().event);
    object.flag("held", one.held.is_some());
    object.maybe_time("startHoldTime", one.held);
    if let Some(ending) = one.ending {
        object.word("disconnectType", ending_word(ending, family));
    }
    object.maybe_time("connectedTime", one.connected);
    object.maybe_time("disconnectedTime", one.end);
    if one.purpose != Purpose::Customer
        && let Some(peer) = peer
    {
        object.uuid("peerId", peer);
    }
    if !twist.missing {
        object.word("provider", provider(it.media));
    }
    match it.media {
        Media::Call => call(&mut object, it, family, twist),
        Media::Message => messages(&mut object, it),
        Media::Email => {
            object.flag("autoGenerated", false);
            object.word("subject", "About my order");
            object.number("messagesSent", 1);
        }
        Media::Callback => {
            let mut numbers = String::new();
            write::text(&mut numbers, &it.customer.address);
            object.raw("callbackNumbers", &format!("[{numbers}]"));
            object.text("callbackUserName", &it.customer.name);
        }
    }
    object.flag("afterCallWorkRequired", one.purpose == Purpose::Agent);
    after_call_work(&mut object, one);
    if family == Family::Rest {
        segments(&mut object, one);
    }
    object.end();
}

/// A state as it is told; with the fault, one that nobody has heard of.
pub(super) fn state(one: &Participant, twist: Twist) -> &'static str {
    match twist.unknown_enum {
        true => UNKNOWN_STATE,
        false => one.state.word(),
    }
}

/// REST spells some endings otherwise than events do.
pub(super) fn ending_word(ending: Ending, family: Family) -> &'static str {
    let spelling = ending.spelling();
    match family {
        Family::Rest => spelling.rest,
        _ => spelling.event,
    }
}

pub(super) fn provider(media: Media) -> &'static str {
    match media {
        Media::Call => "Edge",
        Media::Message => "PureCloud Messaging",
        Media::Email => "PureCloud Email",
        Media::Callback => "PureCloud Callbacks",
    }
}

fn after_call_work(object: &mut Object<'_>, one: &Participant) {
    let (state, since, until) = match one.wrap_up {
        WrapUp::None => return,
        WrapUp::Pending { since } => ("pending", since, None),
        WrapUp::Complete { since, until, .. } => ("complete", since, Some(until)),
    };
    let mut work = object.object("afterCallWork");
    work.word("state", state);
    work.time("startTime", since);
    work.maybe_time("endTime", until);
    work.end();
}

fn call(object: &mut Object<'_>, it: &Conversation, family: Family, twist: Twist) {
    for name in ["recording", "muted", "confined", "securePause"] {
        object.flag(name, false);
    }
    object.word("recordingState", "none");
    if twist.missing {
        return;
    }
    let mut own = object.object("self");
    own.word("addressNormalized", "tel:+15550199");
    if family == Family::Rest {
        own.word("addressDisplayable", "+1 555 0199");
    }
    own.end();
    let mut other = object.object("other");
    other.text("name", &it.customer.name);
    other.text("addressNormalized", &it.customer.address);
    other.end();
}

fn messages(object: &mut Object<'_>, it: &Conversation) {
    object.word("type", "open");
    object.text("fromAddress", &it.customer.address);
    object.word("recipientCountry", "US");
    write::list(object.name("messages"), &it.said, |out, said| {
        let mut message = Object::new(out);
        message.uuid("messageId", said.id);
        message.time("messageTime", said.at);
        let status = match (said.outbound, said.receipt) {
            (false, _) => "received",
            (true, Some("Delivered")) => "delivery-success",
            (true, Some(_)) => "delivery-failed",
            (true, None) => "sent",
        };
        message.word("messageStatus", status);
        message.number("messageSegmentCount", 1);
        message.raw("media", "[]");
        message.end();
    });
}

/// The stretches of a communication: only REST and analytics have them.
fn segments(object: &mut Object<'_>, one: &Participant) {
    let mut stretches = Vec::with_capacity(2);
    let kind = match (one.purpose, one.initial) {
        (Purpose::Agent, State::Contacting | State::Dialing) => "Contacting",
        (Purpose::Agent, _) => "Alert",
        (_, State::Dialing) => "Dialing",
        _ => "Delay",
    };
    let connected = one.connected;
    if connected != Some(one.start) {
        stretches.push((one.start, connected.or(one.end), kind));
    }
    if let Some(connected) = connected {
        stretches.push((connected, one.end, "Interact"));
    }
    write::list(
        object.name("segments"),
        stretches,
        |out, (start, end, kind)| {
            let mut segment = Object::new(out);
            segment.time("startTime", start);
            segment.maybe_time("endTime", end);
            segment.word("type", kind);
            segment.word(
                "howEnded",
                if end.is_some() {
                    "Disconnect"
                } else {
                    "Interact"
                },
            );
            segment.end();
        },
    );
}

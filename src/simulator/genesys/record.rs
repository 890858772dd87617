//! A conversation as analytics records it: sessions with segments and metrics, enums in camel case.
//! Records are rewritten: a batch at midnight works over what ended two days before.

use super::conversation::{CODES, Conversation, Participant, WrapUp};
use super::random::Uuid;
use super::snapshot::{Organisation, provider};
use super::words::{Media, Purpose, State};
use super::write::{self, Object};

const DAY: i64 = 86_400_000_000;

/// True once the nightly batch has been over it.
fn is_rewritten(it: &Conversation, now: i64) -> bool {
    let midnight = now.div_euclid(DAY) * DAY;
    it.end.is_some_and(|end| end < midnight - 2 * DAY)
}

/// Writes the record as of `now`.
pub(super) fn conversation(
    out: &mut String,
    it: &Conversation,
    org: Organisation,
    attributes: bool,
    now: i64,
) {
    let mut object = Object::new(out);
    object.uuid("conversationId", it.id);
    object.time("conversationStart", it.start);
    object.maybe_time("conversationEnd", it.end);
    object.word("originatingDirection", it.direction.spelling().analytics);
    object.raw(
        "divisionIds",
        &format!("[\"{}\"]", super::oracle::text(org.division())),
    );
    if is_rewritten(it, now) {
        // What the batch adds to an old record.
        object.word("conversationInitiator", "customer");
        object.flag("customerParticipation", true);
    }
    let peer = it.peer();
    write::list(object.name("participants"), &it.participants, |out, one| {
        participant(out, it, one, peer, org, attributes);
    });
    object.end();
}

fn participant(
    out: &mut String,
    it: &Conversation,
    one: &Participant,
    peer: Option<Uuid>,
    org: Organisation,
    attributes: bool,
) {
    let mut object = Object::new(out);
    object.uuid("participantId", one.id);
    object.word("purpose", one.purpose.word());
    if let Some(user) = one.user {
        object.uuid("userId", org.user(user));
    }
    if one.purpose == Purpose::Customer {
        object.text("participantName", &it.customer.name);
        if attributes && !it.attributes.is_empty() {
            object.raw("attributes", &it.attributes);
        }
    }
    let out = object.name("sessions");
    out.push('[');
    session(out, it, one, peer, org);
    out.push(']');
    object.end();
}

fn session(
    out: &mut String,
    it: &Conversation,
    one: &Participant,
    peer: Option<Uuid>,
    org: Organisation,
) {
    let mut object = Object::new(out);
    object.uuid("sessionId", one.session);
    object.word("mediaType", it.media.spelling().analytics);
    object.word("direction", it.direction.spelling().analytics);
    object.word("provider", provider(it.media));
    match it.media {
        Media::Call => {
            object.text("ani", &it.customer.address);
            object.word("dnis", "tel:+15550199");
        }
        Media::Message => {
            object.word("messageType", "open");
            object.text("addressFrom", &it.customer.address);
        }
        Media::Email => object.text("addressFrom", &it.customer.address),
        Media::Callback => object.text("callbackUserName", &it.customer.name),
    }
    if let Some(peer) = peer.filter(|_| one.purpose != Purpose::Customer) {
        object.uuid("peerId", peer);
    }
    if one.purpose == Purpose::Ivr {
        let mut flow = object.object("flow");
        flow.uuid("flowId", org.flow());
        flow.word("flowName", "Welcome");
        flow.word("flowType", "INBOUNDCALL");
        flow.end();
    }
    metrics(&mut object, one);
    segments(&mut object, one, org);
    object.end();
}

fn metrics(object: &mut Object<'_>, one: &Participant) {
    let span = |from: i64, to: i64| (to - from) / 1_000;
    let mut all = Vec::new();
    let answered = one.connected.or(one.end);
    match one.purpose {
        Purpose::Acd => all.extend(one.end.map(|end| ("tAcd", span(one.start, end), end))),
        Purpose::Agent => {
            all.extend(answered.map(|at| ("tAlert", span(one.start, at), at)));
            all.extend(
                one.connected
                    .map(|at| ("tAnswered", span(one.start, at), at)),
            );
            if let (Some(from), Some(end)) = (one.connected, one.end) {
                all.push(("tTalkComplete", span(from, end), end));
                all.push(("tHandle", span(from, end), end));
            }
            if let WrapUp::Complete { since, until, .. } = one.wrap_up {
                all.push(("tAcw", span(since, until), until));
            }
        }
        Purpose::Customer => all.extend(one.connected.map(|at| ("nConnected", 1, at))),
        Purpose::Ivr => {}
    }
    write::list(object.name("metrics"), all, |out, (name, value, at)| {
        let mut metric = Object::new(out);
        metric.word("name", name);
        metric.number("value", value);
        metric.time("emitDate", at);
        metric.end();
    });
}

fn segments(object: &mut Object<'_>, one: &Participant, org: Organisation) {
    let mut all = Vec::new();
    let waiting = match (one.purpose, one.initial) {
        (Purpose::Agent, State::Contacting) => "contacting",
        (Purpose::Agent, _) => "alert",
        (_, State::Dialing) => "dialing",
        (Purpose::Customer, State::Scheduled) => "scheduled",
        _ => "delay",
    };
    if one.connected != Some(one.start) {
        all.push((waiting, one.start, one.connected.or(one.end)));
    }
    if let Some(connected) = one.connected {
        let kind = if one.purpose == Purpose::Ivr {
            "ivr"
        } else {
            "interact"
        };
        all.push((kind, connected, one.end));
    }
    let mut code = None;
    match one.wrap_up {
        WrapUp::None => {}
        WrapUp::Pending { since } => all.push(("wrapup", since, None)),
        WrapUp::Complete {
            since,
            until,
            code: chosen,
        } => {
            code = Some(chosen);
            all.push(("wrapup", since, Some(until)));
        }
    }
    write::list(object.name("segments"), all, |out, (kind, start, end)| {
        let mut segment = Object::new(out);
        segment.word("segmentType", kind);
        segment.time("segmentStart", start);
        segment.maybe_time("segmentEnd", end);
        if let Some(queue) = one.queue {
            segment.uuid("queueId", org.queue(queue));
        }
        if let Some(ending) = one.ending.filter(|_| end == one.end) {
            segment.word("disconnectType", ending.spelling().analytics);
        }
        if let Some(code) = code.filter(|_| kind == "wrapup") {
            segment.word("wrapUpCode", CODES[usize::from(code) % CODES.len()]);
        }
        segment.flag("conference", false);
        segment.end();
    });
}

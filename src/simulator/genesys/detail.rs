//! `v2.detail.events.conversation.{id}.*`: one event for each thing that happens, with its time in
//! epoch milliseconds and its enums in capitals.

use super::conversation::{CODES, Conversation, Participant, WrapUp};
use super::script::Happened;
use super::snapshot::{Organisation, provider};
use super::words::{Ending, Media, State};
use super::write::Object;

/// The end of the topic.
pub(super) fn suffix(happened: Happened) -> &'static str {
    match happened {
        Happened::CustomerStart => "customer.start",
        Happened::CustomerEnd => "customer.end",
        Happened::FlowStart => "flow.start",
        Happened::FlowEnd => "flow.end",
        Happened::AcdStart => "acd.start",
        Happened::AcdEnd => "acd.end",
        Happened::UserStart => "user.start",
        Happened::UserEnd => "user.end",
        Happened::Acw => "acw",
        Happened::WrapUp => "wrapup",
        Happened::Attributes => "attributes",
    }
}

/// Writes the event's body.
pub(super) fn event(
    out: &mut String,
    happened: Happened,
    it: &Conversation,
    one: &Participant,
    org: Organisation,
    at: i64,
) {
    let mut object = Object::new(out);
    object.number("eventTime", at / 1_000);
    object.uuid("conversationId", it.id);
    object.uuid("participantId", one.id);
    if happened == Happened::Attributes {
        // No session: attributes are the participant's.
        object.raw(
            "attributes",
            if it.attributes.is_empty() {
                "{}"
            } else {
                &it.attributes
            },
        );
        object.raw("communications", "[]");
        object.end();
        return;
    }
    object.uuid("sessionId", one.session);
    object.word("mediaType", it.media.spelling().detail);
    object.word("provider", provider(it.media));
    object.word("direction", it.direction.spelling().detail);
    match it.media {
        Media::Call | Media::Callback => {
            object.text("ani", &it.customer.address);
            object.word("dnis", "tel:+15550199");
        }
        Media::Message => {
            object.word("messageType", "OPEN");
            object.text("addressFrom", &it.customer.address);
        }
        Media::Email => object.text("addressFrom", &it.customer.address),
    }
    object.raw("conversationExternalContactIds", "[]");
    of_kind(&mut object, happened, it, one, org);
    object.end();
}

fn of_kind(
    object: &mut Object<'_>,
    happened: Happened,
    it: &Conversation,
    one: &Participant,
    org: Organisation,
) {
    use Happened::{
        AcdEnd, AcdStart, Acw, CustomerEnd, FlowEnd, FlowStart, UserEnd, UserStart, WrapUp,
    };
    if matches!(happened, UserStart | UserEnd | Acw)
        && let Some(user) = one.user
    {
        object.uuid("userId", org.user(user));
    }
    if matches!(
        happened,
        UserStart | UserEnd | Acw | WrapUp | AcdStart | AcdEnd
    ) {
        object.uuid("queueId", org.queue(one.queue.unwrap_or(it.queue)));
    }
    if !matches!(happened, Acw | WrapUp) {
        object.uuid("divisionId", org.division());
    }
    if matches!(happened, UserEnd | CustomerEnd | AcdEnd | FlowEnd)
        && let Some(ending) = one.ending
    {
        object.word("disconnectType", ending.spelling().detail);
    }
    let talked = one
        .end
        .zip(one.connected)
        .map_or(0, |(end, from)| (end - from) / 1_000);
    match happened {
        UserEnd => {
            object.number("interactingDurationMs", talked);
            let rang = one.connected.or(one.end).unwrap_or(one.start) - one.start;
            let rang_as = match one.initial {
                State::Contacting => "contactingDurationMs",
                State::Dialing => "dialingDurationMs",
                _ => "alertingDurationMs",
            };
            object.number(rang_as, rang / 1_000);
        }
        CustomerEnd => object.number("interactingDurationMs", talked),
        AcdEnd => {
            object.word(
                "acdOutcome",
                if one.ending == Some(Ending::Transfer) {
                    "ANSWERED"
                } else {
                    "ABANDON"
                },
            );
            object.number("connectedDurationMs", talked);
        }
        FlowStart | FlowEnd => {
            object.uuid("flowId", org.flow());
            object.word("flowType", "INBOUNDCALL");
            object.word("flowVersion", "7.0");
            if happened == FlowEnd {
                object.number("connectedDurationMs", talked);
                object.word("exitReason", "TRANSFER");
            }
        }
        Acw | WrapUp => wrapped(object, one),
        _ => {}
    }
}

fn wrapped(object: &mut Object<'_>, one: &Participant) {
    if let self::WrapUp::Complete { since, until, code } = one.wrap_up {
        object.word("wrapupCode", CODES[usize::from(code) % CODES.len()]);
        object.number("wrapupDurationMs", (until - since) / 1_000);
    }
}

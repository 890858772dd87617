//! Open Messaging, outwards: messages of agents and of nobody in particular.

use std::sync::Arc;

use serde_json::{Value, json};

use super::conversation::Said;
use super::conversations::{self, Shape};
use super::directory::{self, Kind};
use super::messaging::{conversation_with, integration, required, say, string, words};
use super::oracle::{text, timestamp};
use super::outbound::{self, Receipt};
use super::platform::{Platform, Shared};
use super::random::Uuid;
use super::reply::Reply;
use super::route::{Caller, Request, need};
use super::script;
use super::words::{Direction, Media, Purpose};

const CREATE: &str = "conversation:message:create";

/// `POST /api/v2/conversations/messages/agentless`.
pub(super) fn agentless(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: &Request,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    let (from, to) = (
        required(&body, "/fromAddress")?,
        required(&body, "/toAddress")?,
    );
    goes_to_open(&body)?;
    required_text(&body)?;
    let said = words(&body, "/textBody")?;
    let existing = body
        .get("useExistingActiveConversation")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, CREATE)?;
    integration(&platform, from)?;
    let (conversation, is_new) =
        conversation_with(&mut platform, to, to, Direction::Outbound, existing, now)?;
    let message = send(
        shared,
        &mut platform,
        (conversation, is_new),
        to,
        &said,
        "Bot",
        now,
    )?;
    let id = message["id"].clone();
    Ok(Reply::json(&json!({
        "id": id, "conversationId": text(conversation), "fromAddress": from, "toAddress": to,
        "messengerType": "open", "textBody": said, "useExistingActiveConversation": existing,
        "timestamp": message["timestamp"], "message": message,
        "selfUri": format!("/api/v2/conversations/{}", text(conversation)),
    })))
}

fn required_text(body: &Value) -> Result<(), Reply> {
    match string(body, "/textBody").is_some_and(|it| !it.is_empty()) {
        true => Ok(()),
        false => Err(Reply::bad("textBody is required")),
    }
}

/// The conversation and the communication of an agent in it.
fn communication(
    platform: &Platform,
    conversation: &str,
    communication: &str,
) -> Result<(Uuid, String), Reply> {
    let it = Uuid::parse(conversation).and_then(|id| platform.timeline.get(id));
    let it = it
        .filter(|it| it.media == Media::Message)
        .ok_or_else(|| Reply::not_found("conversation"))?;
    let session = Uuid::parse(communication);
    let one = it
        .participants
        .iter()
        .find(|one| Some(one.session) == session);
    let one = one
        .filter(|one| one.purpose == Purpose::Agent)
        .ok_or_else(|| Reply::not_found("communication"))?;
    match one.state.is_over() {
        true => Err(Reply::bad("The communication is disconnected")),
        false => Ok((it.id, it.customer.address.clone())),
    }
}

/// `POST …/messages/{conversationId}/communications/{communicationId}/messages`.
pub(super) fn send_message(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: &Request,
    conversation: &str,
    session: &str,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    let given = ["textBody", "mediaIds", "messagingTemplate"]
        .iter()
        .filter(|name| body.get(**name).is_some());
    if given.count() != 1 {
        return Err(Reply::bad(
            "Exactly one of textBody, mediaIds and messagingTemplate is required",
        ));
    }
    let said = words(&body, "/textBody")?;
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, CREATE)?;
    let (id, to) = communication(&platform, conversation, session)?;
    let message = send(shared, &mut platform, (id, false), &to, &said, "Human", now)?;
    Ok(Reply::json(&message))
}

/// Sends a message out: into the conversation, and to the webhook. Answers `MessageData`.
fn send(
    shared: &Arc<Shared>,
    platform: &mut Platform,
    (conversation, is_new): (Uuid, bool),
    to: &str,
    words: &str,
    entity: &str,
    now: i64,
) -> Result<Value, Reply> {
    let id = platform.random.uuid();
    let from = platform.config.integration.id.clone();
    let time = format!("{:.3}", timestamp(now));
    let normalized = json!({
        "id": text(id),
        "channel": {
            "id": from, "platform": "Open", "type": "Private", "messageId": text(id),
            "to": {"id": to, "idType": "Opaque"},
            "from": {"nickname": "Simulated", "id": from, "idType": "Opaque"}, "time": time,
        },
        "type": "Text", "text": words, "content": [], "direction": "Outbound",
        "originatingEntity": entity, "conversationId": text(conversation),
    });
    let receipt = platform.config.integration.receipts.then(|| Receipt {
        message: text(id),
        conversation: text(conversation),
        integration: from.clone(),
        customer: to.to_owned(),
        status: "Delivered".to_owned(),
        reason: None,
        outbound: true,
    });
    outbound::post(shared, platform, text(id), normalized.to_string(), receipt)?;
    platform.sent(id, conversation);
    let said = Said {
        id,
        at: now,
        outbound: true,
        receipt: None,
    };
    say(platform, conversation, is_new, said, now);
    Ok(json!({
        "id": text(id), "providerMessageId": text(id), "timestamp": time, "fromAddress": from,
        "toAddress": to, "direction": "outbound", "messengerType": "open", "textBody": words,
        "status": "queued", "media": [], "normalizedMessage": normalized,
        "conversationId": text(conversation),
        "selfUri": format!("/api/v2/conversations/messages/{}/messages/{}", text(conversation), text(id)),
    }))
}

/// `POST …/communications/{communicationId}/typing`.
pub(super) fn typing(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    conversation: &str,
    session: &str,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    if string(&body, "/typing/type") != Some("On") {
        return Err(Reply::error(400, "invalid.value", "typing.type is On"));
    }
    let platform = shared.platform();
    need(&platform, caller, CREATE)?;
    communication(&platform, conversation, session)?;
    Ok(Reply::empty(204))
}

/// `POST …/messages/media` and `…/messages/media/uploads`.
pub(super) fn media(
    shared: &Shared,
    caller: &Caller,
    conversation: &str,
    session: &str,
) -> Result<Reply, Reply> {
    let mut platform = shared.platform();
    need(&platform, caller, CREATE)?;
    communication(&platform, conversation, session)?;
    let id = text(platform.random.uuid());
    Ok(Reply::json(&json!({
        "id": id, "status": "uploading", "uploadUrl": format!("{}/uploads/{id}", shared.url()),
        "conversationId": conversation, "communicationId": session,
    })))
}

/// `POST /api/v2/conversations/messages`: an agent begins.
pub(super) fn create(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: &Request,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    let to = required(&body, "/toAddress")?;
    goes_to_open(&body)?;
    let existing = body
        .get("useExistingConversation")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, CREATE)?;
    let queue = match string(&body, "/queueId") {
        Some(id) => Some(directory::number(&platform, Kind::Queues, id)?),
        None => None,
    };
    let (id, is_new) =
        conversation_with(&mut platform, to, to, Direction::Outbound, existing, now)?;
    let users = platform.config.users;
    if is_new {
        platform.change(id, now, |it| {
            let step = script::advance(it, users, now).0;
            match queue {
                Some(queue) => script::put_into(it, queue, now, step),
                None => step,
            }
        });
    }
    drop(platform);
    conversations::read(shared, caller, &text(id), Shape::Of("messages"))
}

/// Of the messengers that the platform has, the simulator has the open one.
fn goes_to_open(body: &Value) -> Result<(), Reply> {
    match string(body, "/toAddressMessengerType") {
        Some("open") => Ok(()),
        _ => Err(Reply::error(
            400,
            "invalid.value",
            "toAddressMessengerType is open here",
        )),
    }
}

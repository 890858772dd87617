//! Open Messaging, inwards: messages, events and receipts of a middleware.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::conversation::{Conversation, Customer, Said};
use super::oracle::{text, timestamp};
use super::outbound::{self, Receipt};
use super::platform::{Platform, Shared};
use super::random::Uuid;
use super::reply::Reply;
use super::route::{Caller, Request, need};
use super::script::{self, Step};
use super::words::{Direction, Purpose};

const RECEIVE: &str = "conversation:message:receive";
/// Characters of a text.
const MAX_TEXT: usize = 2_000;
/// Messages remembered of a conversation.
const MAX_SAID: usize = 500;
/// Partners whose conversation is remembered.
const MAX_PARTNERS: usize = 20_000;

/// Which conversation a partner is in.
#[derive(Default)]
pub(super) struct Partners(HashMap<String, Uuid>);

pub(super) fn string<'b>(body: &'b Value, path: &str) -> Option<&'b str> {
    body.pointer(path).and_then(Value::as_str)
}

pub(super) fn required<'b>(body: &'b Value, path: &str) -> Result<&'b str, Reply> {
    let value = string(body, path).filter(|it| !it.is_empty() && it.len() <= 1_024);
    value.ok_or_else(|| {
        Reply::bad(&format!(
            "{} is required",
            path.trim_start_matches('/').replace('/', ".")
        ))
    })
}

pub(super) fn integration(platform: &Platform, id: &str) -> Result<(), Reply> {
    match platform.config.integration.id == id {
        true => Ok(()),
        false => Err(Reply::not_found("integration")),
    }
}

/// `GET /api/v2/conversations/messaging/integrations/open/{integrationId}`.
pub(super) fn open_integration(shared: &Shared, caller: &Caller, id: &str) -> Result<Reply, Reply> {
    let platform = shared.platform();
    need(&platform, caller, "messaging:integration:view")?;
    integration(&platform, id)?;
    Ok(Reply::json(&json!({
        "id": id, "name": "Simulated", "status": "Active", "createStatus": "Completed",
        "outboundNotificationWebhookUrl": platform.config.integration.webhook,
        "selfUri": format!("/api/v2/conversations/messaging/integrations/open/{id}"),
    })))
}

pub(super) fn words(body: &Value, path: &str) -> Result<String, Reply> {
    let value = string(body, path).unwrap_or_default();
    match value.chars().count() <= MAX_TEXT {
        true => Ok(value.to_owned()),
        false => Err(Reply::error(
            400,
            "invalid.value",
            "A text has at most 2000 characters",
        )),
    }
}

/// The partner's open conversation, or a new one. True: it is new.
pub(super) fn conversation_with(
    platform: &mut Platform,
    partner: &str,
    name: &str,
    direction: Direction,
    join: bool,
    now: i64,
) -> Result<(Uuid, bool), Reply> {
    let Partners(partners) = &mut platform.partners;
    let is_open = |id: &Uuid| {
        platform
            .timeline
            .get(*id)
            .is_some_and(|it| it.end.is_none())
    };
    if let Some(id) = partners
        .get(partner)
        .copied()
        .filter(|id| join && is_open(id))
    {
        return Ok((id, false));
    }
    if partners.len() >= MAX_PARTNERS {
        partners.retain(|_, id| is_open(id));
    }
    let queue = platform.random.below(u64::from(platform.config.queues)) as u32;
    let customer = Customer {
        name: name.to_owned(),
        address: partner.to_owned(),
    };
    let begun = platform
        .timeline
        .begin_foreign(direction, queue, customer, now);
    let id = begun.ok_or_else(|| {
        Reply::error(
            503,
            "service.unavailable",
            "Too many conversations are open",
        )
    })?;
    platform.partners.0.insert(partner.to_owned(), id);
    Ok((id, true))
}

/// Adds a message to a conversation, and tells it.
pub(super) fn say(platform: &mut Platform, id: Uuid, is_new: bool, said: Said, now: i64) {
    let users = platform.config.users;
    platform.change(id, now, |it| {
        let step = match is_new {
            true => script::advance(it, users, now).0,
            false => unchanged(it),
        };
        if it.said.len() == MAX_SAID {
            it.said.remove(0);
        }
        it.said.push(said);
        step
    });
}

/// Nothing happened but to the customer's messages.
fn unchanged(it: &mut Conversation) -> Step {
    for one in &mut it.participants {
        one.fresh = one.purpose == Purpose::Customer && !one.state.is_over();
    }
    Step::new()
}

/// `POST …/messages/{integrationId}/inbound/open/message`, and the older `…/messages/inbound/open`,
/// where the body names the integration.
pub(super) fn inbound(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: &Request,
    to: Option<&str>,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    let to = match to {
        Some(to) => to.to_owned(),
        None => required(&body, "/channel/to/id")?.to_owned(),
    };
    let from = required(&body, "/channel/from/id")?.to_owned();
    if !matches!(
        string(&body, "/channel/from/idType"),
        None | Some("Email" | "Phone" | "Opaque")
    ) {
        return Err(Reply::error(
            400,
            "invalid.value",
            "channel.from.idType is Email, Phone or Opaque",
        ));
    }
    let text_body = words(&body, "/text")?;
    let content = body
        .get("content")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if text_body.is_empty() && content.is_empty() {
        return Err(Reply::bad("text or content is required"));
    }
    if content.len() > 1 {
        return Err(Reply::bad("content has at most one attachment"));
    }
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, RECEIVE)?;
    integration(&platform, &to)?;
    let names = ["/channel/from/nickname", "/channel/from/firstName"];
    let name = names
        .iter()
        .find_map(|path| string(&body, path))
        .unwrap_or(&from);
    let (conversation, is_new) =
        conversation_with(&mut platform, &from, name, Direction::Inbound, true, now)?;
    let id = platform.random.uuid();
    let said = Said {
        id,
        at: now,
        outbound: false,
        receipt: None,
    };
    say(&mut platform, conversation, is_new, said, now);
    if platform.config.integration.receipts {
        let receipt = Receipt {
            message: text(id),
            conversation: text(conversation),
            integration: to.clone(),
            customer: from.clone(),
            status: "Delivered".to_owned(),
            reason: None,
            outbound: false,
        };
        outbound::post(shared, &mut platform, text(id), receipt.body(shared), None)?;
    }
    let content: Vec<Value> = content
        .iter()
        .map(|it| json!({"contentType": "Attachment", "attachment": it.get("attachment")}))
        .collect();
    Ok(Reply::json(&json!({
        "id": text(id), "channel": channel(&to, &body, now), "type": "Text", "text": text_body,
        "content": content, "metadata": body.get("metadata").cloned().unwrap_or_else(|| json!({})),
        "direction": "Inbound", "conversationId": text(conversation),
    })))
}

/// The normalised channel of an inbound message.
fn channel(to: &str, body: &Value, now: i64) -> Value {
    let time = string(body, "/channel/time")
        .map_or_else(|| format!("{:.3}", timestamp(now)), str::to_owned);
    json!({
        "id": to, "platform": "Open", "type": "Private",
        "messageId": body.pointer("/channel/messageId"), "to": {"id": to, "idType": "Opaque"},
        "from": body.pointer("/channel/from"), "time": time,
    })
}

/// `POST …/inbound/open/event`: somebody is typing.
pub(super) fn event(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    to: &str,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    required(&body, "/channel/from/id")?;
    let events = body
        .get("events")
        .and_then(Value::as_array)
        .filter(|it| !it.is_empty());
    let events = events.ok_or_else(|| Reply::bad("events is required"))?;
    if !events
        .iter()
        .all(|it| string(it, "/eventType") == Some("Typing"))
    {
        return Err(Reply::error(400, "invalid.value", "eventType is Typing"));
    }
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, RECEIVE)?;
    integration(&platform, to)?;
    let typing = json!({"eventType": "Typing", "typing": {"type": "On", "duration": 5000}});
    Ok(Reply::json(&json!({
        "id": text(platform.random.uuid()), "channel": channel(to, &body, now), "type": "Event",
        "events": vec![typing; events.len().min(10)],
    })))
}

/// `POST …/inbound/open/receipt`: how an outbound message fared. `Delivered` or `Failed`, as the
/// documentation has it.
pub(super) fn receipt(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    to: &str,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    let id = required(&body, "/id")?;
    let status = match string(&body, "/status") {
        Some("Delivered") => "Delivered",
        Some("Failed") => "Failed",
        _ => {
            return Err(Reply::error(
                400,
                "invalid.value",
                "status is Delivered or Failed",
            ));
        }
    };
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, RECEIVE)?;
    integration(&platform, to)?;
    let known = mark(&mut platform, id, status);
    // A receipt for a message that nobody sent is itself answered by one that failed.
    let answered = if known { status } else { "Failed" };
    let mut answer = json!({
        "id": id, "channel": channel(to, &body, now), "type": "Receipt", "status": answered,
        "isFinalReceipt": true, "direction": "Outbound", "reasons": [],
    });
    if !known {
        answer["reasons"] = json!([{"code": "UnknownMessage", "message": "no such message"}]);
    }
    Ok(Reply::json(&answer))
}

/// Remembers what became of an outbound message.
pub(super) fn mark(platform: &mut Platform, id: &str, status: &'static str) -> bool {
    let Some(id) = Uuid::parse(id) else {
        return false;
    };
    let Some(conversation) = platform.sent.get(&id).copied() else {
        return false;
    };
    let Some(it) = platform.timeline.get_mut(conversation) else {
        return false;
    };
    let said = it.said.iter_mut().find(|said| said.id == id);
    said.map(|said| said.receipt = Some(status)).is_some()
}

//! Conversations by REST: read as of now, ended, given attributes.

use serde_json::{Value, json};

use super::conversation::Conversation;
use super::directory::{self, Kind};
use super::platform::Shared;
use super::random::Uuid;
use super::reply::Reply;
use super::route::{Caller, Request, need};
use super::script::{self, Happened};
use super::snapshot::{self, Family, Twist};
use super::words::{Media, Purpose};
use super::{flat, write};

const VIEW: &str = "conversation:communication:view";
const DISCONNECT: &str = "conversation:communication:disconnect";
/// Attributes of a conversation, and characters of a value.
const MAX_ATTRIBUTES: usize = 100;
const MAX_VALUE: usize = 1_024;

/// Which shape is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `/api/v2/conversations/{id}`.
    Whole,
    /// `/api/v2/conversations/messages/{id}` and its likes: for this list of the participants only.
    Of(&'static str),
}

/// `GET /api/v2/conversations`: those of the logged-in user. This grant has none.
pub(super) fn mine() -> Reply {
    Reply::json(
        &json!({"entities": [], "pageSize": 25, "pageNumber": 1, "total": 0, "pageCount": 0}),
    )
}

fn missing(id: &str) -> Reply {
    let mut name = String::new();
    write::text(&mut name, id);
    Reply::error(
        404,
        "not.found",
        &format!("The conversation {name} was not found."),
    )
}

/// `GET /api/v2/conversations/{id}` and `GET /api/v2/conversations/messages/{id}`.
pub(super) fn read(
    shared: &Shared,
    caller: &Caller,
    id: &str,
    shape: Shape,
) -> Result<Reply, Reply> {
    let platform = shared.platform();
    need(&platform, caller, VIEW)?;
    let found = Uuid::parse(id).and_then(|id| platform.timeline.get(id));
    let fits = |it: &&Conversation| match shape {
        Shape::Whole => !it.participants.is_empty(),
        Shape::Of(list) => !it.participants.is_empty() && it.media.spelling().rest == list,
    };
    let it = found.filter(fits).ok_or_else(|| missing(id))?;
    let mut out = String::with_capacity(4096);
    match shape {
        Shape::Whole => {
            snapshot::conversation(&mut out, it, platform.org, Family::Rest, Twist::default())
        }
        Shape::Of(_) => {
            flat::conversation(&mut out, it, platform.org, Family::Rest, Twist::default())
        }
    }
    Ok(Reply::raw(out))
}

/// Ends a conversation.
fn end(shared: &Shared, caller: &Caller, id: &str) -> Result<(), Reply> {
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, DISCONNECT)?;
    let uuid = Uuid::parse(id).ok_or_else(|| missing(id))?;
    let known = platform.timeline.get(uuid).ok_or_else(|| missing(id))?;
    if known.end.is_some() {
        return Err(Reply::bad("The conversation has ended"));
    }
    platform.change(uuid, now, |it| script::disconnect(it, now));
    Ok(())
}

/// `POST /api/v2/conversations/{id}/disconnect`.
pub(super) fn disconnect(shared: &Shared, caller: &Caller, id: &str) -> Result<Reply, Reply> {
    end(shared, caller, id).map(|()| Reply::empty(202))
}

/// `DELETE /api/v2/conversations/{id}`.
pub(super) fn delete(shared: &Shared, caller: &Caller, id: &str) -> Result<Reply, Reply> {
    end(shared, caller, id).map(|()| Reply::empty(204))
}

/// `PATCH /api/v2/conversations/messages/{id}` with `{"state": "disconnected"}`.
pub(super) fn patch(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    id: &str,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    if body.get("state").and_then(Value::as_str) != Some("disconnected") {
        return Err(Reply::error(
            400,
            "invalid.value",
            "state can be set to disconnected only",
        ));
    }
    end(shared, caller, id)?;
    read(shared, caller, id, Shape::Whole)
}

/// `POST …/messages/{id}/participants/{pid}/replace` with `userId` or `queueId`: who took part goes, and
/// another is asked. It is how somebody comes into a conversation by messages.
pub(super) fn replace(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    id: &str,
    participant: &str,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    let wanted = |name: &str| body.get(name).and_then(Value::as_str);
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(&platform, caller, "conversation:communication:transfer")?;
    let uuid = Uuid::parse(id).ok_or_else(|| missing(id))?;
    let (user, queue) = match (wanted("userId"), wanted("queueId")) {
        (Some(user), None) => (Some(directory::number(&platform, Kind::Users, user)?), None),
        (None, Some(queue)) => (
            None,
            Some(directory::number(&platform, Kind::Queues, queue)?),
        ),
        _ => return Err(Reply::bad("Exactly one of userId and queueId is required")),
    };
    let known = platform.timeline.get(uuid).ok_or_else(|| missing(id))?;
    if known.media != Media::Message {
        return Err(missing(id));
    }
    let participant = Uuid::parse(participant);
    let one = (known.participants.iter()).find(|one| Some(one.id) == participant);
    let one = one.ok_or_else(|| Reply::not_found("participant"))?;
    if one.state.is_over() || one.purpose == Purpose::Customer {
        return Err(Reply::bad("The participant cannot be replaced"));
    }
    platform.change(uuid, now, |it| match (user, queue) {
        (Some(user), _) => script::hand_to(it, user, now),
        (None, queue) => script::put_into(it, queue.unwrap_or_default(), now, Vec::new()),
    });
    Ok(Reply::empty(202))
}

/// `PATCH …/participants/{pid}/attributes` with `{"attributes": {name: text}}`.
pub(super) fn attributes(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    id: &str,
    participant: &str,
) -> Result<Reply, Reply> {
    let body = request.json()?;
    let given = body.get("attributes").and_then(Value::as_object);
    let given = given.ok_or_else(|| Reply::bad("attributes is an object"))?;
    let fits = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| text.chars().count() <= MAX_VALUE)
    };
    if given.len() > MAX_ATTRIBUTES || !given.values().all(fits) {
        return Err(Reply::error(
            400,
            "invalid.value",
            "attributes are at most 100 strings of at most 1024 characters",
        ));
    }
    let text = Value::Object(given.clone()).to_string();
    let now = shared.clock.now();
    let mut platform = shared.platform();
    need(
        &platform,
        caller,
        "conversation:participant:attributes:edit",
    )?;
    let uuid = Uuid::parse(id).ok_or_else(|| missing(id))?;
    let participant = Uuid::parse(participant);
    let known = platform.timeline.get(uuid).ok_or_else(|| missing(id))?;
    if !known
        .participants
        .iter()
        .any(|one| Some(one.id) == participant)
    {
        return Err(Reply::not_found("participant"));
    }
    platform.change(uuid, now, |it| {
        it.attributes = text;
        for one in &mut it.participants {
            one.fresh = one.purpose == Purpose::Customer;
        }
        vec![(Happened::Attributes, 0)]
    });
    Ok(Reply::json(&body))
}

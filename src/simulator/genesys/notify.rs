//! The notification service by REST: channels and what they are subscribed to.

use serde_json::{Value, json};

use super::channel::{Channel, Entry, Protocol};
use super::channels::micros;
use super::oracle::{text, timestamp};
use super::platform::{Platform, Shared};
use super::reply::Reply;
use super::route::{Caller, Request};
use super::topic::{self, INTERACTION, KINDS, Refused};

/// `POST /api/v2/notifications/channels`.
pub(super) fn make(shared: &Shared, caller: &Caller) -> Reply {
    let now = shared.clock.now();
    let mut platform = shared.platform();
    let Platform { teller, config, .. } = &mut *platform;
    let by = (caller.client, caller.token.as_str());
    let channel = teller.channels.make(
        by,
        Protocol::Notifications,
        &config.limits,
        &mut teller.oracle,
        now,
    );
    Reply::json(&shown(shared, channel))
}

fn shown(shared: &Shared, channel: &Channel) -> Value {
    json!({
        "connectUri": format!("ws://{}/channels/{}", shared.address, channel.id),
        "id": channel.id,
        "expires": format!("{:.3}", timestamp(channel.expires)),
    })
}

/// `GET /api/v2/notifications/channels`: those of this token, or of the whole client.
pub(super) fn list(shared: &Shared, caller: &Caller, request: &Request) -> Reply {
    let all = match request.query("includechannels").unwrap_or("token") {
        "token" => false,
        "oauthclient" => true,
        _ => return Reply::bad("includechannels is token or oauthclient"),
    };
    let platform = shared.platform();
    let mine = platform.teller.channels.all().filter(|it| {
        it.protocol == Protocol::Notifications
            && it.client == caller.client
            && (all || it.token == caller.token)
    });
    let entities: Vec<Value> = mine
        .map(|channel| {
            let mut value = shown(shared, channel);
            // A channel's id is a credential: that of another token's is hidden.
            if channel.token != caller.token {
                value["id"] = Value::Null;
                value["connectUri"] = Value::Null;
            }
            value
        })
        .collect();
    Reply::json(&json!({"entities": entities}))
}

/// `HEAD /api/v2/notifications/channels/{id}`.
pub(super) fn exists(shared: &Shared, caller: &Caller, id: &str) -> Reply {
    match number(&shared.platform(), caller, id) {
        Some(_) => Reply::empty(200),
        None => Reply::not_found("channel"),
    }
}

fn number(platform: &Platform, caller: &Caller, id: &str) -> Option<u64> {
    let channel = platform.teller.channels.find(id)?;
    let mine = channel.client == caller.client && channel.protocol == Protocol::Notifications;
    mine.then_some(channel.number)
}

/// `GET …/subscriptions`.
pub(super) fn topics(shared: &Shared, caller: &Caller, id: &str) -> Reply {
    let mut platform = shared.platform();
    let Some(number) = number(&platform, caller, id) else {
        return Reply::not_found("channel");
    };
    let channel = platform.teller.channels.get_mut(number);
    let entities: Vec<Value> = channel
        .iter()
        .flat_map(|it| &it.entries)
        .map(|it| permitted(&it.asked))
        .collect();
    Reply::json(&json!({"entities": entities}))
}

fn permitted(topic: &str) -> Value {
    json!({
        "id": topic, "state": "Permitted",
        "selfUri": format!("/api/v2/notifications/availabletopics/{topic}"),
    })
}

/// `DELETE …/subscriptions`.
pub(super) fn clear(shared: &Shared, caller: &Caller, id: &str) -> Reply {
    let mut platform = shared.platform();
    let Some(number) = number(&platform, caller, id) else {
        return Reply::not_found("channel");
    };
    platform.teller.channels.set(number, Vec::new());
    Reply::empty(200)
}

/// `POST` (adds) and `PUT` (replaces) of `…/subscriptions`.
pub(super) fn subscribe(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    id: &str,
    replace: bool,
) -> Reply {
    let body = match request.json() {
        Ok(body) => body,
        Err(reply) => return reply,
    };
    let Some(asked) = ids(&body) else {
        return Reply::bad("The request body must be a list of topics: [{\"id\": \"v2...\"}]");
    };
    let ignore = request
        .query("ignoreErrors")
        .is_some_and(|it| it.eq_ignore_ascii_case("true"));
    let now = shared.clock.now();
    let mut platform = shared.platform();
    let Some(number) = number(&platform, caller, id) else {
        return Reply::not_found("channel");
    };
    match change(
        &mut platform,
        number,
        caller.client,
        &asked,
        (replace, ignore),
        now,
    ) {
        Ok(entities) => Reply::json(&json!({"entities": entities})),
        Err(reply) => *reply,
    }
}

fn ids(body: &Value) -> Option<Vec<String>> {
    body.as_array()?
        .iter()
        .map(|it| it.get("id")?.as_str().map(str::to_owned))
        .collect()
}

/// All or nothing, unless errors are to be ignored.
fn change(
    platform: &mut Platform,
    number: u64,
    client: usize,
    asked: &[String],
    (replace, ignore): (bool, bool),
    now: i64,
) -> Result<Vec<Value>, Box<Reply>> {
    let limits = &platform.config.limits;
    let channels = &mut platform.teller.channels;
    let held = channels
        .get_mut(number)
        .map(|it| it.entries.clone())
        .unwrap_or_default();
    let mut entries = if replace { Vec::new() } else { held };
    let mut names: std::collections::HashSet<String> =
        entries.iter().map(|it| it.asked.clone()).collect();
    let mut answer = Vec::new();
    for asked in asked {
        match topic::singles(asked, &platform.config.clients[client]) {
            Ok(singles) => {
                answer.push(permitted(asked));
                if names.insert(asked.clone()) {
                    entries.push(Entry {
                        asked: asked.clone(),
                        singles,
                    });
                }
            }
            Err(refused) if ignore => answer.push(rejected(asked, &refused)),
            Err(refused) => return Err(Box::new(refusal(asked, &refused))),
        }
    }
    if entries.len() > limits.topics {
        let text = format!(
            "Topic limit exceeded: a channel has at most {} topics.",
            limits.topics
        );
        return Err(Box::new(Reply::bad(&text)));
    }
    channels.set(number, entries);
    channels.touch(number, now);
    if let Some(channel) = channels.get_mut(number) {
        channel.expires = now + micros(limits.channel);
        channel.warning = super::channel::Warning::Due;
    }
    Ok(answer)
}

fn rejected(topic: &str, refused: &Refused) -> Value {
    let (reason, missing) = match refused {
        Refused::TooLong => ("The topic is longer than 200 characters", vec![]),
        Refused::Unknown => ("The topic is not known", vec![]),
        Refused::Permission(permission) => ("Missing permissions", vec![*permission]),
    };
    json!({
        "id": topic, "state": "Rejected", "rejectionReason": reason, "missingPermissions": missing,
        "selfUri": format!("/api/v2/notifications/availabletopics/{topic}"),
    })
}

fn refusal(topic: &str, refused: &Refused) -> Reply {
    match refused {
        Refused::TooLong => Reply::bad("A topic has at most 200 characters"),
        Refused::Unknown => Reply::error(400, "invalid.value", &format!("Unknown topic: {topic}")),
        Refused::Permission(permission) => Reply::forbidden(&[permission]),
    }
}

/// Subscribing over the socket. It adds.
pub(super) fn subscribe_here(
    shared: &Shared,
    number: u64,
    topics: &[Value],
) -> Result<(), (u16, String)> {
    let asked: Option<Vec<String>> = topics
        .iter()
        .map(|it| it.as_str().map(str::to_owned))
        .collect();
    let asked = asked.ok_or((400, "topics is a list of strings".to_owned()))?;
    let now = shared.clock.now();
    let mut platform = shared.platform();
    let Some(client) = platform.teller.channels.get_mut(number).map(|it| it.client) else {
        return Err((404, "the channel does not exist".to_owned()));
    };
    let result = change(&mut platform, number, client, &asked, (false, false), now);
    result
        .map(drop)
        .map_err(|reply| (reply.status, "a topic is not permitted".to_owned()))
}

/// The subscription of the `events` protocol, which replaces what was before. Answers the frame.
pub(super) fn subscribe_events(shared: &Shared, number: u64, topics: &[Value]) -> String {
    let now = timestamp(shared.clock.now());
    let mut platform = shared.platform();
    let named: Option<Vec<&str>> = topics.iter().map(Value::as_str).collect();
    let known = named.filter(|it| it.iter().all(|topic| INTERACTION.contains(topic)));
    let event_id = text(platform.random.uuid());
    let Some(topics) = known else {
        return json!({
            "eventId": event_id, "eventType": "error", "timestamp": format!("{now:.3}"),
            "data": {"code": "invalid.value", "message": "unknown topic"},
        })
        .to_string();
    };
    let entry = |topic: &&str| Entry {
        asked: (*topic).to_owned(),
        singles: vec![(*topic).to_owned()],
    };
    platform
        .teller
        .channels
        .set(number, topics.iter().map(entry).collect());
    json!({
        "eventId": event_id, "eventType": "subscription", "timestamp": format!("{now:.3}"),
        "subscriptionId": text(platform.random.uuid()), "data": {"topics": topics},
    })
    .to_string()
}

/// `GET /api/v2/notifications/availabletopics`.
pub(super) fn available(request: &Request) -> Reply {
    let expand = request.query("expand").unwrap_or_default();
    let with = |name: &str| expand.split(',').any(|it| it == name);
    let entities = KINDS.iter().map(|kind| {
        let mut value = json!({"id": kind.template, "visibility": "Public"});
        if with("description") {
            value["description"] = json!(format!("Changes of {}", kind.template));
        }
        if with("requiresPermissions") {
            value["requiresPermissions"] = json!([kind.permission]);
        }
        if with("enforced") {
            value["enforced"] = json!(true);
        }
        if with("transports") {
            value["transports"] = json!(["Websocket"]);
        }
        if with("schema") {
            value["schema"] = json!({"type": "object", "title": kind.template});
        }
        value
    });
    Reply::json(&json!({"entities": entities.collect::<Vec<_>>()}))
}

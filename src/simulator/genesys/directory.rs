//! Who and what there is: users, queues, the organisation and its limits.

use serde_json::{Value, json};

use super::oracle::text;
use super::platform::{Platform, Shared};
use super::random::Uuid;
use super::reply::Reply;
use super::route::{Caller, Request, need};

/// One of the organisation's lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Users,
    Queues,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Users => "/api/v2/users",
            Self::Queues => "/api/v2/routing/queues",
        }
    }

    fn permission(self) -> &'static str {
        match self {
            Self::Users => "directory:user:view",
            Self::Queues => "routing:queue:view",
        }
    }

    fn total(self, platform: &Platform) -> u32 {
        match self {
            Self::Users => platform.config.users,
            Self::Queues => platform.config.queues,
        }
    }

    fn id(self, platform: &Platform, number: u32) -> Uuid {
        match self {
            Self::Users => platform.org.user(number),
            Self::Queues => platform.org.queue(number),
        }
    }

    fn entity(self, platform: &Platform, number: u32) -> Value {
        let id = text(self.id(platform, number));
        let place = number + 1;
        let self_uri = format!("{}/{id}", self.path());
        let division = json!({"id": text(platform.org.division()), "name": "Home"});
        match self {
            Self::Users => json!({
                "id": id, "name": format!("Agent {place}"), "email": format!("agent{place}@example.org"),
                "state": "active", "version": 1, "division": division, "selfUri": self_uri,
            }),
            Self::Queues => json!({
                "id": id, "name": format!("Queue {place}"), "memberCount": platform.config.users,
                "division": division, "selfUri": self_uri,
            }),
        }
    }
}

/// A page of a list.
pub(super) fn list(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    kind: Kind,
) -> Result<Reply, Reply> {
    let platform = shared.platform();
    need(&platform, caller, kind.permission())?;
    let size = request.number("pageSize", 25, 500);
    let number = request.number("pageNumber", 1, 1_000_000);
    let total = kind.total(&platform) as usize;
    let pages = total.div_ceil(size);
    let from = size.saturating_mul(number - 1).min(total);
    let until = (from + size).min(total);
    let entities: Vec<Value> = (from..until)
        .map(|at| kind.entity(&platform, at as u32))
        .collect();
    let uri = |number: usize| format!("{}?pageSize={size}&pageNumber={number}", kind.path());
    let mut body = json!({
        "entities": entities, "pageSize": size, "pageNumber": number, "total": total, "pageCount": pages,
        "firstUri": uri(1), "lastUri": uri(pages), "selfUri": uri(number),
    });
    if number < pages {
        body["nextUri"] = json!(uri(number + 1));
    }
    if number > 1 {
        body["previousUri"] = json!(uri(number - 1));
    }
    Ok(Reply::json(&body))
}

/// Which one of a list has this id.
pub(super) fn number(platform: &Platform, kind: Kind, id: &str) -> Result<u32, Reply> {
    let wanted = Uuid::parse(id).ok_or_else(|| Reply::not_found("resource"))?;
    let mut all = 0..kind.total(platform);
    all.find(|number| kind.id(platform, *number) == wanted)
        .ok_or_else(|| Reply::not_found("resource"))
}

/// One of a list.
pub(super) fn one(shared: &Shared, caller: &Caller, kind: Kind, id: &str) -> Result<Reply, Reply> {
    let platform = shared.platform();
    need(&platform, caller, kind.permission())?;
    let number = number(&platform, kind, id)?;
    Ok(Reply::json(&kind.entity(&platform, number)))
}

/// `GET /api/v2/organizations/me`.
pub(super) fn organisation(shared: &Shared) -> Reply {
    let platform = shared.platform();
    Reply::json(&json!({
        "id": text(platform.org.id()), "name": "Simulated", "state": "active", "domain": "simulated",
    }))
}

const NAMESPACES: [&str; 5] = [
    "platform.api",
    "notifications",
    "messaging",
    "conversation",
    "analytics",
];

/// `GET /api/v2/organizations/limits/namespaces`.
pub(super) fn namespaces() -> Reply {
    Reply::json(&json!({"entities": NAMESPACES, "total": NAMESPACES.len()}))
}

/// `GET /api/v2/organizations/limits/namespaces/{name}`, and its `/defaults`.
pub(super) fn limits(shared: &Shared, name: &str) -> Result<Reply, Reply> {
    if !NAMESPACES.contains(&name) {
        return Err(Reply::not_found("namespace"));
    }
    let limits = &shared.platform().config.limits;
    let entries = match name {
        "platform.api" => vec![(
            "client.credentials.token.rate.per.minute",
            u64::from(limits.requests),
        )],
        "notifications" => vec![
            ("channels.max", limits.channels as u64),
            ("channel.topics.max", limits.topics as u64),
        ],
        _ => Vec::new(),
    };
    let entities = entries
        .iter()
        .map(|(key, value)| json!({"key": key, "namespace": name, "value": value}));
    Ok(Reply::json(
        &json!({"entities": entities.collect::<Vec<_>>()}),
    ))
}

//! Which request is for whom. All hosts of the platform are one server here: `/oauth/token` also
//! answers below `/login`, and `/api/v2/…` below `/api`, which is how gateways set them apart.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::conversations::Shape;
use super::directory::Kind;
use super::platform::{Platform, Shared};
use super::reply::{Reply, error_body};
use super::token::{Denied, Window};
use super::{analytics, conversations, directory, messaging, notify, oauth, sending};

/// A request that has arrived.
pub(super) struct Request {
    pub(super) method: Method,
    /// Decoded, between slashes.
    pub(super) path: Vec<String>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Who asks.
pub(super) struct Caller {
    pub(super) client: usize,
    pub(super) token: String,
}

impl Request {
    pub(super) fn new(parts: &Parts, body: Bytes) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        Self {
            method: parts.method.clone(),
            path: segments(parts.uri.path()),
            query: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            headers: parts.headers.clone(),
            body,
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A whole number of the query, within bounds.
    pub(super) fn number(&self, name: &str, default: usize, most: usize) -> usize {
        self.query(name)
            .and_then(|it| it.parse().ok())
            .unwrap_or(default)
            .clamp(1, most)
    }

    pub(super) fn is_of_type(&self, wanted: &str) -> bool {
        let kind = self.header("content-type").unwrap_or_default();
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
    }

    /// The body, which has to say that it is JSON.
    pub(super) fn json(&self) -> Result<Value, Reply> {
        if !self.is_of_type("application/json") {
            return Err(Reply::error(
                415,
                "unsupported.media.type",
                "The request is not application/json",
            ));
        }
        serde_json::from_slice(&self.body)
            .map_err(|_| Reply::bad("The request could not be understood: it is not valid JSON"))
    }
}

/// The parts of a path, decoded; an empty last one is left out. A second `api` is a gateway's.
pub(super) fn segments(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(decoded)
        .collect();
    if parts.first().is_some_and(|it| it == "api") && parts.get(1).is_some_and(|it| it == "api") {
        parts.remove(0);
    }
    parts
}

/// `%41` is `A`. What is no UTF-8 then fits no path.
fn decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes
            .get(at + 1..at + 3)
            .and_then(|it| std::str::from_utf8(it).ok());
        match code.and_then(|it| u8::from_str_radix(it, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Answers a request.
pub(super) fn route(shared: &Arc<Shared>, request: &Request) -> Reply {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path[..] {
        ["oauth", "token"] | ["login", "oauth", "token"] => match request.method {
            Method::POST => oauth::token(shared, request),
            _ => not_allowed("POST"),
        },
        ["channels", _] | ["streaming", "channels", _] => Reply::bad("Not a WebSocket handshake"),
        ["api", "v2", ref rest @ ..] => {
            let (caller, window) = match admit(shared, request) {
                Ok(admitted) => admitted,
                Err(reply) => return reply,
            };
            with_window(shared, api(shared, &caller, request, rest), window)
        }
        _ => Reply::not_found("resource"),
    }
}

fn admit(shared: &Shared, request: &Request) -> Result<(Caller, Window), Reply> {
    let token = request
        .header("authorization")
        .and_then(|it| it.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned())
        .ok_or_else(|| {
            Reply::error(
                401,
                "authentication.required",
                "No authentication bearer token specified in authorization header.",
            )
        })?;
    let now = shared.clock.now();
    let mut platform = shared.platform();
    let limits = platform.config.limits.clone();
    let path = format!("/{}", request.path.join("/"));
    match platform.tokens.request(&token, &path, &limits, now) {
        Ok((client, window)) => Ok((Caller { client, token }, window)),
        Err(Denied::Limited(window)) => {
            platform.teller.oracle.counts.limited += 1;
            drop(platform);
            Err(limited(shared, window))
        }
        Err(denied_as) => Err(denied(denied_as)),
    }
}

/// A token that is not good.
pub(super) fn denied(why: Denied) -> Reply {
    match why {
        Denied::Expired => Reply::error(
            401,
            "credentials.expired",
            "The supplied credentials have expired.",
        ),
        Denied::Unknown | Denied::Limited(_) => {
            Reply::error(401, "bad.credentials", "Invalid login credentials.")
        }
    }
}

fn limited(shared: &Shared, window: Window) -> Reply {
    let seconds = shared.clock.real_seconds(window.left).max(1);
    let message =
        format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
    let mut body = error_body(429, "too.many.requests", &message);
    body["limit"] = limit_body(window.allowed);
    with_window(
        shared,
        Reply::json(&body).status(429).with("retry-after", seconds),
        window,
    )
}

/// `limit` of a refusal: calls of a token in a minute.
pub(super) fn limit_body(allowed: u32) -> Value {
    json!({
        "key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": allowed,
    })
}

fn with_window(shared: &Shared, reply: Reply, window: Window) -> Reply {
    reply
        .with("inin-ratelimit-count", window.used)
        .with("inin-ratelimit-allowed", window.allowed)
        .with(
            "inin-ratelimit-reset",
            shared.clock.real_seconds(window.left),
        )
}

pub(super) fn not_allowed(allowed: &str) -> Reply {
    Reply::error(
        405,
        "method.not.allowed",
        "The method is not allowed for this resource",
    )
    .with("allow", allowed)
}

fn api(shared: &Arc<Shared>, caller: &Caller, request: &Request, path: &[&str]) -> Reply {
    let method = request.method.as_str();
    match path {
        ["notifications", rest @ ..] => match (method, rest) {
            ("POST", ["channels"]) => notify::make(shared, caller),
            ("GET", ["channels"]) => notify::list(shared, caller, request),
            (_, ["channels"]) => not_allowed("GET, POST"),
            ("HEAD", ["channels", id]) => notify::exists(shared, caller, id),
            (_, ["channels", _]) => not_allowed("HEAD"),
            ("GET", ["channels", id, "subscriptions"]) => notify::topics(shared, caller, id),
            ("POST", ["channels", id, "subscriptions"]) => {
                notify::subscribe(shared, caller, request, id, false)
            }
            ("PUT", ["channels", id, "subscriptions"]) => {
                notify::subscribe(shared, caller, request, id, true)
            }
            ("DELETE", ["channels", id, "subscriptions"]) => notify::clear(shared, caller, id),
            (_, ["channels", _, "subscriptions"]) => not_allowed("DELETE, GET, POST, PUT"),
            ("GET", ["availabletopics"]) => notify::available(request),
            (_, ["availabletopics"]) => not_allowed("GET"),
            _ => Reply::not_found("resource"),
        },
        ["conversations", rest @ ..] => {
            of_conversations(shared, caller, request, rest).unwrap_or_else(|it| it)
        }
        ["analytics", "conversations", "details", rest @ ..] => {
            of_analytics(shared, caller, request, rest).unwrap_or_else(|it| it)
        }
        _ => of_directory(shared, caller, request, path).unwrap_or_else(|it| it),
    }
}

/// Who asks has to hold this permission.
pub(super) fn need(platform: &Platform, caller: &Caller, permission: &str) -> Result<(), Reply> {
    match platform.config.clients[caller.client].may(permission) {
        true => Ok(()),
        false => Err(Reply::forbidden(&[permission])),
    }
}

fn of_conversations(
    shared: &Arc<Shared>,
    caller: &Caller,
    request: &Request,
    path: &[&str],
) -> Result<Reply, Reply> {
    match (request.method.as_str(), path) {
        ("GET", []) => Ok(conversations::mine()),
        ("GET", ["messaging", "integrations", "open", id]) => {
            messaging::open_integration(shared, caller, id)
        }
        ("POST", ["messages"]) => sending::create(shared, caller, request),
        ("POST", ["messages", "agentless"]) => sending::agentless(shared, caller, request),
        ("POST", ["messages", "inbound", "open"]) => {
            messaging::inbound(shared, caller, request, None)
        }
        ("POST", ["messages", to, "inbound", "open", what]) => match *what {
            "message" => messaging::inbound(shared, caller, request, Some(to)),
            "event" => messaging::event(shared, caller, request, to),
            "receipt" => messaging::receipt(shared, caller, request, to),
            _ => Err(Reply::not_found("resource")),
        },
        ("POST", ["messages", id, "communications", session, rest @ ..]) => match rest {
            ["messages"] => sending::send_message(shared, caller, request, id, session),
            ["messages", "media"] | ["messages", "media", "uploads"] => {
                sending::media(shared, caller, id, session)
            }
            ["typing"] => sending::typing(shared, caller, request, id, session),
            _ => Err(Reply::not_found("resource")),
        },
        ("POST", ["messages", id, "participants", one, "replace"]) => {
            conversations::replace(shared, caller, request, id, one)
        }
        ("GET", [list @ ("calls" | "messages" | "emails" | "callbacks"), id]) => {
            let lists = ["calls", "messages", "emails", "callbacks"];
            let list = lists.into_iter().find(|it| it == list).unwrap_or_default();
            conversations::read(shared, caller, id, Shape::Of(list))
        }
        ("PATCH", ["messages" | "calls" | "emails" | "callbacks", id]) => {
            conversations::patch(shared, caller, request, id)
        }
        ("GET", [id]) => conversations::read(shared, caller, id, Shape::Whole),
        ("DELETE", [id]) => conversations::delete(shared, caller, id),
        ("POST", [id, "disconnect"]) => conversations::disconnect(shared, caller, id),
        ("PATCH", [id, "participants", one, "attributes"]) => {
            conversations::attributes(shared, caller, request, id, one)
        }
        (
            _,
            [] | ["messages"] | ["messages", "agentless"] | ["messages", _, "inbound", "open", _],
        ) => Err(not_allowed("GET, POST")),
        (_, [_] | [_, "disconnect"] | ["messages" | "calls" | "emails" | "callbacks", _]) => {
            Err(not_allowed("DELETE, GET, PATCH"))
        }
        _ => Err(Reply::not_found("resource")),
    }
}

fn of_analytics(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    path: &[&str],
) -> Result<Reply, Reply> {
    match (request.method.as_str(), path) {
        ("POST", ["query"]) => analytics::query(shared, caller, request),
        ("POST", ["jobs"]) => analytics::submit(shared, caller, request),
        ("GET", ["jobs", "availability"]) => analytics::availability(shared, caller),
        ("GET", ["jobs", id]) => analytics::status(shared, caller, id),
        ("GET", ["jobs", id, "results"]) => analytics::results(shared, caller, request, id),
        (_, ["query" | "jobs"]) => Err(not_allowed("POST")),
        (_, ["jobs", _] | ["jobs", _, "results"]) => Err(not_allowed("GET")),
        _ => Err(Reply::not_found("resource")),
    }
}

fn of_directory(
    shared: &Shared,
    caller: &Caller,
    request: &Request,
    path: &[&str],
) -> Result<Reply, Reply> {
    let (kind, rest) = match path {
        ["users", rest @ ..] => (Kind::Users, rest),
        ["routing", "queues", rest @ ..] => (Kind::Queues, rest),
        ["organizations", "me"] => return Ok(directory::organisation(shared)),
        ["organizations", "limits", "namespaces"] => return Ok(directory::namespaces()),
        ["organizations", "limits", "namespaces", name]
        | ["organizations", "limits", "namespaces", name, "defaults"] => {
            return directory::limits(shared, name);
        }
        _ => return Err(Reply::not_found("resource")),
    };
    match (request.method.as_str(), rest) {
        ("GET", []) => directory::list(shared, caller, request, kind),
        ("GET", [id]) => directory::one(shared, caller, kind, id),
        (_, [] | [_]) => Err(not_allowed("GET")),
        _ => Err(Reply::not_found("resource")),
    }
}

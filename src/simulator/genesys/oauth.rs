//! `POST /oauth/token` with the grant `client_credentials`: Basic, and nothing but Basic.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::channels::micros;
use super::platform::Shared;
use super::reply::Reply;
use super::route::Request;

/// Gives a token, or says in OAuth's dialect why not.
pub(super) fn token(shared: &Shared, request: &Request) -> Reply {
    let mut platform = shared.platform();
    let refusal = platform.config.refusal;
    let Some((id, secret)) = basic(request) else {
        return Reply::oauth(refusal, "invalid_client", "client not found");
    };
    let form = |name: &str| {
        url::form_urlencoded::parse(&request.body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    if !request.is_of_type("application/x-www-form-urlencoded") {
        return Reply::oauth(
            400,
            "invalid_request",
            "the content type is not application/x-www-form-urlencoded",
        );
    }
    if form("grant_type").as_deref() != Some("client_credentials") {
        return Reply::oauth(400, "unsupported_grant_type", "the grant is not supported");
    }
    let Some(client) = platform.config.clients.iter().position(|it| it.id == id) else {
        return Reply::oauth(refusal, "invalid_client", "client not found");
    };
    if platform.config.clients[client].secret != secret {
        return Reply::oauth(refusal, "invalid_client", "authentication failed");
    }
    let now = shared.clock.now();
    let limits = platform.config.limits.clone();
    let token = platform.tokens.give(client, &limits, now);
    platform.teller.oracle.counts.tokens += 1;
    // The client counts these seconds on its own clock.
    let expires_in = shared.clock.real_seconds(micros(limits.token));
    Reply::json(&json!({"access_token": token, "token_type": "bearer", "expires_in": expires_in}))
        .with("cache-control", "no-store")
}

fn basic(request: &Request) -> Option<(String, String)> {
    let value = request.header("authorization")?;
    let (scheme, coded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
    let (id, secret) = plain.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

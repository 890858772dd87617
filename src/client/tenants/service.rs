//! A service that tells of tenants over HTTP.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;
use url::Url;

use super::config::Service;
use super::description::Description;
use super::keep::Entry;
use super::{Inner, Lookup, Tenant, away};
use crate::client::http::told;
use crate::failure::Failure;

/// Longest answer that is read, in bytes.
const ANSWER_BYTES: usize = 1 << 20;
/// How long nobody asks again after a try that came to nothing, where the answers live longer.
const PAUSE: Duration = Duration::from_secs(5);
/// From this share of its life on an answer is asked for again: four fifths.
const RENEW: (u32, u32) = (4, 5);

/// A tenant, as it was told and still is good, or is told now.
pub(super) async fn tenant(
    inner: &Arc<Inner>,
    service: &Service,
    id: &str,
) -> Result<Arc<Tenant>, Lookup> {
    let entry = inner.told.entry(id);
    if let Some(answer) = fresh(inner, service, id, &entry) {
        return answer;
    }
    let _turn = entry.asking.lock().await;
    // Whoever had the turn before may have been told.
    if let Some(answer) = fresh(inner, service, id, &entry) {
        return answer;
    }
    ask(inner, service, id, &entry).await
}

/// What needs not be asked for now. Whoever finds an answer that is no longer young has it asked for
/// again in the background.
fn fresh(
    inner: &Arc<Inner>,
    service: &Service,
    id: &str,
    entry: &Arc<Entry>,
) -> Option<Result<Arc<Tenant>, Lookup>> {
    let mut state = entry.state();
    let known = state.tenant.clone();
    let just_failed = (state.failed.as_ref())
        .filter(|(at, _)| at.elapsed() < PAUSE.min(service.ttl))
        .map(|(_, failure)| failure.clone());
    match (known, state.at) {
        (Some(tenant), Some(at)) if at.elapsed() < service.ttl => {
            let old = at.elapsed() >= service.ttl * RENEW.0 / RENEW.1;
            if old && !state.renewing && just_failed.is_none() {
                state.renewing = true;
                tokio::spawn(renew(
                    inner.clone(),
                    service.clone(),
                    id.to_owned(),
                    entry.clone(),
                ));
            }
            Some(Ok(tenant))
        }
        (None, Some(at)) if at.elapsed() < service.negative_ttl => Some(Err(Lookup::UnknownTenant)),
        // The last good answer serves while the service is away.
        (Some(tenant), _) if just_failed.is_some() => Some(Ok(tenant)),
        (None, _) => just_failed.map(|failure| Err(Lookup::Away(failure))),
        (Some(_), _) => None,
    }
}

async fn renew(inner: Arc<Inner>, service: Service, id: String, entry: Arc<Entry>) {
    let _turn = entry.asking.lock().await;
    // What comes of it is remembered; nobody waits for it.
    let _ = ask(&inner, &service, &id, &entry).await;
    entry.state().renewing = false;
}

async fn ask(
    inner: &Arc<Inner>,
    service: &Service,
    id: &str,
    entry: &Arc<Entry>,
) -> Result<Arc<Tenant>, Lookup> {
    let answer = match inner.http().map_err(Asked::Failed) {
        Ok(http) => fetch(&http, service, id).await,
        Err(failed) => failed,
    };
    let failure = match answer {
        Asked::Told(description) => match inner.meet(id, &description) {
            Ok(tenant) => {
                entry.state().failed = None;
                inner.told.well();
                return Ok(tenant);
            }
            Err(Lookup::Away(failure)) => failure,
            Err(other) => return Err(other),
        },
        Asked::Unknown => {
            let mut state = entry.state();
            (state.tenant, state.at, state.failed) = (None, Some(Instant::now()), None);
            inner.told.well();
            return Err(Lookup::UnknownTenant);
        }
        Asked::Failed(failure) => failure,
    };
    inner.told.failing(failure.to_string());
    let mut state = entry.state();
    state.failed = Some((Instant::now(), failure.clone()));
    state.tenant.clone().ok_or(Lookup::Away(failure))
}

/// What the service said.
enum Asked {
    Told(Box<Description>),
    Unknown,
    Failed(Failure),
}

async fn fetch(http: &reqwest::Client, service: &Service, id: &str) -> Asked {
    let failed = |message: String| Asked::Failed(away(message, None));
    let Some(url) = address(&service.url, id) else {
        return Asked::Unknown;
    };
    let mut request = http.get(url).timeout(service.timeout);
    if let Some(token) = &service.token {
        request = request.bearer_auth(token.expose());
    }
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return failed(format!("the tenant service: {}", told(error))),
    };
    match response.status().as_u16() {
        200 => {}
        404 => return Asked::Unknown,
        status => return failed(format!("the tenant service answers {status}")),
    }
    let (mut stream, mut body) = (response.bytes_stream(), Vec::new());
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) if body.len() + piece.len() <= ANSWER_BYTES => body.extend_from_slice(&piece),
            Ok(_) => return failed("the tenant service's answer is too long".to_owned()),
            Err(error) => return failed(format!("the tenant service: {}", told(error))),
        }
    }
    // The parser's own words could repeat a secret.
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&body) else {
        return failed("the tenant service's answer is no JSON".to_owned());
    };
    match Description::read(&json) {
        Ok(description) => Asked::Told(Box::new(description)),
        Err(wrong) => failed(format!("the tenant service's answer: {wrong}")),
    }
}

/// `{url}/tenants/{id}`, the id percent-encoded.
fn address(base: &Url, id: &str) -> Option<Url> {
    let mut url = base.clone();
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .extend(["tenants", id]);
    Some(url)
}

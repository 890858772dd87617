//! A live look at events: the one answer that does not end by itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::Access;
use super::routes::{Observers, Problem};
use super::views::{decoded, respond};
use crate::client::listener::Lasting;
use crate::observe::{MOST_TAPPED, RunState, Side, TapAsk, TapPolicy, TapRefusal, ViewAnswer};

/// Looks at one address at once: they hold a connection each.
const MOST_LOOKS: usize = 16;
/// Lines between the task that writes them and the connection.
const LINES: usize = 256;
/// Events a second where nothing is said.
const RATE: u32 = 10;

/// What may be seen here, and how many look.
#[derive(Clone)]
pub(super) struct Guard(Arc<Guarded>);

struct Guarded {
    allowed: TapPolicy,
    /// Whether everybody may ask.
    open: bool,
    /// Whether others than this machine reach the address.
    reached: bool,
    places: Arc<Semaphore>,
}

impl Guard {
    pub fn new(access: &Access, bound: SocketAddr) -> Self {
        Self(Arc::new(Guarded {
            allowed: access.taps(),
            open: !access.has_token(),
            reached: !bound.ip().is_loopback(),
            places: Arc::new(Semaphore::new(MOST_LOOKS)),
        }))
    }

    /// Why nobody may look from where this request comes.
    fn objection(&self, headers: &HeaderMap) -> Option<&'static str> {
        if !self.0.open {
            return None;
        }
        if self.0.reached {
            return Some(
                "taps are off where others than this machine may ask and no token is needed: \
                 set `api.token`, or an `api.address` on loopback",
            );
        }
        // A page that somebody happens to look at must not see events, whatever name it gives to
        // this address.
        let foreign = headers.contains_key(header::ORIGIN) || !is_own(headers.get(header::HOST));
        foreign.then_some("without a token, taps are not for pages of other origins")
    }
}

/// Whether the host is this machine by a name that nobody else can give it.
fn is_own(host: Option<&header::HeaderValue>) -> bool {
    let Some(host) = host.and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// `GET /api/v1/pipelines/{name}/tap?node=…&direction=…&rate=…&unmasked=…`.
pub(super) async fn look(
    State(observers): State<Observers>,
    Extension(guard): Extension<Guard>,
    lasting: Option<Extension<Lasting>>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(why) = guard.objection(&headers) {
        return Problem::new(StatusCode::FORBIDDEN, why).into_response();
    }
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let Some(observer) = observers.iter().find(|it| it.pipeline() == name) else {
        return no_pipeline(&observers);
    };
    // Its nodes are not all there yet: whoever names one must not hear that there is none.
    if observer.state() == RunState::Starting {
        return refused(&TapRefusal::NotYet);
    }
    let ask = match asked(query.as_deref(), guard.0.allowed) {
        Ok(ask) => ask,
        Err((parameter, detail)) => {
            return respond(ViewAnswer::problem(400, detail, Some(parameter)));
        }
    };
    let Ok(place) = guard.0.places.clone().try_acquire_owned() else {
        return refused(&TapRefusal::Busy);
    };
    let look = match observer.taps().look(&ask) {
        Ok(look) => look,
        Err(refusal) => return refused(&refusal),
    };
    if let Some(Extension(lasting)) = lasting {
        lasting.keep();
    }
    let (lines, written) = mpsc::channel::<Bytes>(LINES);
    let observer = observer.clone();
    tokio::spawn(async move {
        look.write(lines, || observer.state().is_over()).await;
        drop(place);
    });
    let written = ReceiverStream::new(written).map(Ok::<_, std::convert::Infallible>);
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(written)).into_response()
}

fn asked(query: Option<&str>, allowed: TapPolicy) -> Result<TapAsk, (&'static str, &'static str)> {
    let mut ask = TapAsk {
        nodes: Vec::new(),
        side: None,
        rate: RATE,
        unmasked: false,
        allowed,
    };
    for (name, value) in decoded(query) {
        match &*name {
            "node" => ask.nodes.push(value),
            "direction" => {
                ask.side = match &*value {
                    "in" => Some(Side::In),
                    "out" => Some(Side::Out),
                    _ => return Err(("direction", "it is `in` or `out`")),
                }
            }
            "rate" => {
                let rate = value.strip_suffix("/s").unwrap_or(&value).parse().ok();
                let rate = rate.filter(|rate| (1..=MOST_TAPPED).contains(rate));
                let wrong = ("rate", "it is a number of events a second, from 1 to 1000");
                ask.rate = rate.ok_or(wrong)?;
            }
            "unmasked" => {
                ask.unmasked = match &*value {
                    "true" => true,
                    "false" => false,
                    _ => return Err(("unmasked", "it is `true` or `false`")),
                }
            }
            _ => {}
        }
    }
    Ok(ask)
}

fn refused(refusal: &TapRefusal) -> Response {
    respond(match refusal {
        TapRefusal::Forbidden(why) => ViewAnswer::problem(403, why, None),
        TapRefusal::Unknown(why) => ViewAnswer::problem(404, why, Some("node")),
        TapRefusal::Wrong(why) => ViewAnswer::problem(400, why, None),
        TapRefusal::NotYet => ViewAnswer::problem(503, "the pipeline does not run yet", None)
            .with_header("retry-after", 1),
        TapRefusal::Busy => ViewAnswer::problem(429, "as many look already as may", None)
            .with_header("retry-after", 5),
    })
}

fn no_pipeline(observers: &Observers) -> Response {
    // Names of pipelines are told to everybody who may ask.
    let names: Vec<_> = observers.iter().take(20).map(|it| it.pipeline()).collect();
    let detail = "no pipeline of that name runs here";
    let members = serde_json::json!({ "pipelines": names });
    respond(ViewAnswer::problem(404, detail, None).with_members(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_this_machine() {
        let own = |host: &str| is_own(Some(&host.parse().unwrap()));
        for good in ["127.0.0.1:9100", "localhost", "LOCALHOST:1", "[::1]:9100"] {
            assert!(own(good), "{good}");
        }
        for bad in ["evil.example:9100", "localhost.evil.example", "", ":80"] {
            assert!(!own(bad), "{bad}");
        }
        assert!(!is_own(None));
    }

    #[test]
    fn a_query_is_read_whole() {
        let read = |query| asked(Some(query), TapPolicy::Masked);
        let ask = read("node=a*&node=b.c&direction=in&rate=25%2Fs&unmasked=true").unwrap();
        assert_eq!(
            (ask.nodes.len(), ask.side, ask.rate),
            (2, Some(Side::In), 25)
        );
        assert!(ask.unmasked);
        for wrong in [
            "rate=0",
            "rate=1001",
            "rate=x",
            "direction=up",
            "unmasked=1",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

//! The HTTP server: connections, and the way of a WebSocket out of them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::channel::{Load, Protocol, Socket};
use super::faults::{self, Way};
use super::platform::{Platform, Shared};
use super::reply::Reply;
use super::route::{self, Request};
use super::socket::{self, Line};

/// For a request's head to arrive, counted also while a connection is idle.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
/// For a request's body to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of a request's body (`request.bytes.max` of the platform).
const MAX_BODY: usize = 512_000;
/// Between attempts while the system has no file descriptor to spare.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until it is stopped.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(
        shared.platform().config.limits.sockets.max(1),
    ));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = converse(stream, Arc::clone(&shared), place);
                shared.spawn(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "simulator: cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<Shared>, place: OwnedSemaphorePermit) {
    // Frames are small and due at once.
    let _ = stream.set_nodelay(true);
    let place = Arc::new(place);
    let service = service_fn(move |request| {
        let (shared, place) = (Arc::clone(&shared), Arc::clone(&place));
        async move { answer(&shared, request, place).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A connection that breaks concerns its client alone.
    let _ = connection.await;
}

/// A connection that ends in place of an answer.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

async fn answer(
    shared: &Arc<Shared>,
    request: hyper::Request<Incoming>,
    place: Arc<OwnedSemaphorePermit>,
) -> Result<Response<Body>, Cut> {
    let correlation = {
        let mut platform = shared.platform();
        platform.teller.oracle.counts.requests += 1;
        super::oracle::text(platform.random.uuid())
    };
    let head = request.method() == Method::HEAD;
    let upgrades = request.headers().get("upgrade");
    if upgrades.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        let upgraded = upgrade(shared, request, place);
        return Ok(upgraded.unwrap_or_else(|reply| reply.response(&correlation, false)));
    }
    let (parts, body) = request.into_parts();
    let Ok(read) = timeout(BODY_LIMIT, to_bytes(Body::new(body), MAX_BODY)).await else {
        let reply = Reply::error(408, "request.timeout", "The request did not arrive in time");
        return Ok(reply.response(&correlation, head));
    };
    let Ok(body) = read else {
        let reply = Reply::error(
            413,
            "request.too.large",
            "The request is larger than 512000 bytes",
        );
        return Ok(reply.response(&correlation, head));
    };
    let request = Request::new(&parts, body);
    match faults::answer(shared, &request) {
        Way::Goes(reply, delay) => {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            Ok(reply.response(&correlation, head))
        }
        Way::Cut => Err(Cut),
        // The connection ends when the client gives up, or the platform does.
        Way::Lost => std::future::pending().await,
    }
}

/// Lets a WebSocket in: the URL is the credential.
fn upgrade(
    shared: &Arc<Shared>,
    mut request: hyper::Request<Incoming>,
    place: Arc<OwnedSemaphorePermit>,
) -> Result<Response<Body>, Reply> {
    let key = handshake(request.method(), request.headers())
        .ok_or_else(|| Reply::bad("Not a WebSocket handshake"))?;
    let path = route::segments(request.uri().path());
    let (number, protocol) = match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["channels", id] | ["streaming", "channels", id] => {
            (channel(shared, id)?, Protocol::Notifications)
        }
        ["api", "v2", "events"] => {
            let query = request.uri().query().unwrap_or_default();
            (events(shared, query)?, Protocol::Events)
        }
        _ => return Err(Reply::not_found("resource")),
    };
    let line = attach(shared, number, protocol);
    let upgraded = hyper::upgrade::on(&mut request);
    shared.spawn(async move {
        // The connection keeps its place as long as the socket lives.
        let _place = place;
        match upgraded.await {
            Ok(io) => socket::serve(io, line).await,
            Err(_) => line.never(),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert("connection", HeaderValue::from_static("Upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert("sec-websocket-accept", accept);
    }
    Ok(response)
}

/// The key of a proper handshake (RFC 6455, 4.2.1).
fn handshake(method: &Method, headers: &HeaderMap) -> Option<String> {
    let value = |name: &str| headers.get(name).and_then(|it| it.to_str().ok());
    let is = |name: &str, wanted: &str| {
        value(name).is_some_and(|it| {
            it.split(',')
                .any(|word| word.trim().eq_ignore_ascii_case(wanted))
        })
    };
    let proper = method == Method::GET
        && is("upgrade", "websocket")
        && is("connection", "upgrade")
        && value("sec-websocket-version") == Some("13");
    let key = value("sec-websocket-key")?;
    (proper && key.len() == 24).then(|| key.to_owned())
}

fn channel(shared: &Shared, id: &str) -> Result<u64, Reply> {
    let platform = shared.platform();
    let channel = platform.teller.channels.find(id);
    channel
        .filter(|it| it.protocol == Protocol::Notifications)
        .map(|it| it.number)
        .ok_or_else(|| Reply::error(401, "authentication.required", "The channel does not exist"))
}

fn events(shared: &Shared, query: &str) -> Result<u64, Reply> {
    let token = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "access_token")
        .map(|(_, value)| value.into_owned())
        .ok_or_else(|| Reply::error(401, "authentication.required", "No access token"))?;
    let now = shared.clock.now();
    let mut platform = shared.platform();
    let client = platform.tokens.client(&token, now).map_err(route::denied)?;
    let Platform { teller, config, .. } = &mut *platform;
    let by = (client, token.as_str());
    Ok(teller
        .channels
        .make(
            by,
            Protocol::Events,
            &config.limits,
            &mut teller.oracle,
            now,
        )
        .number)
}

/// From here on frames of the channel go to this socket.
fn attach(shared: &Arc<Shared>, number: u64, protocol: Protocol) -> Line {
    let now = shared.clock.now();
    let (sender, inbox) = mpsc::unbounded_channel();
    let (load, cut) = (Arc::new(Load::default()), Arc::new(Notify::new()));
    let mut platform = shared.platform();
    let Platform { teller, config, .. } = &mut *platform;
    teller.oracle.counts.opened += 1;
    let id = teller.oracle.counts.opened;
    let socket = Socket {
        id,
        sender,
        load: Arc::clone(&load),
        cut: Arc::clone(&cut),
        beat: now,
        heard: now,
        death: None,
    };
    teller
        .channels
        .attach(number, socket, &config.faults, &config.limits, now);
    Line {
        shared: Arc::clone(shared),
        number,
        id,
        protocol,
        inbox,
        load,
        cut,
    }
}

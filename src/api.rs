//! The HTTP interface of a process: metrics, health, the ledgers of its pipelines, and what their
//! sinks show.
//!
//! Read-only, but for the triggers of sources, which change when they look and nothing else, and for
//! what a view offers to do. Without a token in its [`Access`] it is meant for an address that only the operators
//! reach. Its own answers hold figures and names, never data of events, but for taps, which show masked events
//! and are off where everybody may ask; views may show ids.

mod access;
mod page;
mod routes;
mod taps;
mod triggers;
mod views;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::listener;
use crate::observe::Observer;

pub use access::Access;

/// Connections at once.
const MAX_CONNECTIONS: usize = 64;

/// Serves the interface at `address` (port 0 takes any free one) until `shutdown` completes, then
/// finishes the requests under way, for at most ten seconds.
///
/// | path | answer |
/// |---|---|
/// | `GET /` | a page for a browser that shows the pipelines live; it holds no figures and needs no token itself |
/// | `GET /metrics` | the metrics of all pipelines, for Prometheus |
/// | `GET /health/live` | 200 while the process answers |
/// | `GET /health/ready` | 200 while every pipeline runs, else 503 with what each of the others does |
/// | `GET /api/v1/openapi.json` | all of this as OpenAPI 3.1, with the shapes of requests and answers |
/// | `GET /api/v1/pipelines` | name, state, alerts, totals and [nodes](crate::observe::NodeStatus) of every pipeline |
/// | `GET /api/v1/pipelines/{name}/ledger` | its [`Ledger`](crate::observe::Ledger) |
/// | `GET /api/v1/pipelines/{name}/tap?node=` | events as they pass, sampled and masked, as lines of JSON that do not end |
/// | `POST /api/v1/sources/{name}/trigger` | 202: the source looks for more at once; 404 where there is none, 409 where it cannot |
/// | `GET /api/v1/{path}` | what the view of a sink answers there; `?pipeline=` and `?node=` choose one where several do |
/// | `POST`, `DELETE`… `/api/v1/{path}` | what the view of a sink does there |
///
/// HEAD is answered as GET, without the body. Anything else answers 404 or 405 as
/// `application/problem+json` (RFC 9457); where several views answer, 409 with the choices. Answers
/// the address that was bound, and the task, which the caller must await before the process ends.
///
/// # Errors
///
/// When the address cannot be bound; the error names it.
pub async fn serve<S>(
    address: SocketAddr,
    observers: Vec<Observer>,
    access: Access,
    shutdown: S,
) -> io::Result<(SocketAddr, JoinHandle<()>)>
where
    S: Future + Send + 'static,
    S::Output: Send,
{
    let named = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("api: cannot listen on {address}: {error}"),
        )
    };
    let listener = TcpListener::bind(address).await.map_err(named)?;
    let bound = listener.local_addr().map_err(named)?;
    let guard = taps::Guard::new(&access, bound);
    let router = routes::router(observers, access, guard);
    let served = listener::serve(listener, None, router, MAX_CONNECTIONS, shutdown);
    let task = tokio::spawn(served);
    Ok((bound, task))
}

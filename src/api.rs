//! The HTTP interface of a process: metrics, health, the ledgers of its pipelines, and what their
//! sinks show.
//!
//! Read-only, but for the triggers of sources, which change when they look and nothing else. Without a token in its [`Access`] it is meant for an address that only the operators
//! reach. Its own answers hold figures and names, never data of events; views may show ids.

mod access;
mod routes;
mod server;
mod triggers;
mod views;

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::observe::Observer;

pub use access::Access;

/// Serves the interface at `address` (port 0 takes any free one) until `shutdown` completes, then
/// finishes the requests under way, for at most ten seconds.
///
/// | path | answer |
/// |---|---|
/// | `GET /metrics` | the metrics of all pipelines, for Prometheus |
/// | `GET /health/live` | 200 while the process answers |
/// | `GET /health/ready` | 200 while every pipeline runs, else 503 with what each of the others does |
/// | `GET /api/v1/pipelines` | name, state, alerts and totals of every pipeline |
/// | `GET /api/v1/pipelines/{name}/ledger` | its [`Ledger`](crate::observe::Ledger) |
/// | `POST /api/v1/sources/{name}/trigger` | 202: the source looks for more at once; 404 where there is none, 409 where it cannot |
/// | `GET /api/v1/{path}` | what the view of a sink answers there; `?pipeline=` and `?node=` choose one where several do |
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
    let task = tokio::spawn(server::run(
        listener,
        routes::router(observers, access),
        shutdown,
    ));
    Ok((bound, task))
}

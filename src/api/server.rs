//! Connections: how many, how long, and how they end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at once. More wait in the backlog of the system until one ends.
const MAX_CONNECTIONS: usize = 64;
/// For a request's head to arrive, counted also while a connection is idle.
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// For one connection in all, so that clients that read slowly, or never, cannot hold every place.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);
/// For the answers under way after a shutdown, or after the limit above.
const GRACE: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// Between attempts while the system has no file descriptor to spare.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until `shutdown`, then awaits those that are open.
pub(super) async fn run<S: Future>(listener: TcpListener, router: Router, shutdown: S) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            _ = &mut shutdown => break,
            // Reaped as they end: a set that only grows would leak a little for each scrape.
            Some(_) = connections.join_next() => {}
            accepted = accept(&listener, &places) => match accepted {
                Ok((stream, place)) => {
                    let (router, stopping) = (router.clone(), stopping.clone());
                    connections.spawn(async move {
                        converse(stream, router, stopping).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "api: cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let _ = stop.send(true);
    while connections.join_next().await.is_some() {}
}

/// The next connection and its place. The place comes first: a client that finds none waits in the
/// backlog rather than on an open connection that nobody reads.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn converse(stream: TcpStream, router: Router, mut stopping: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // A connection that breaks concerns its client alone, hence results are not looked at.
    tokio::select! {
        _ = &mut connection => return,
        _ = stopping.wait_for(|stop| *stop) => {}
        () = sleep(CONNECTION_LIMIT) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

//! Those who call us: HTTP connections, how many, how long, and how they end.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

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

/// An extension of each request: an answer that keeps it may last longer than connections otherwise do.
/// Whoever keeps it sees to it that a reader who takes nothing is let go.
#[derive(Clone, Default)]
pub struct Lasting(Arc<AtomicBool>);

impl Lasting {
    /// The connection of this request has no limit.
    pub fn keep(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    async fn limit(&self) {
        sleep(CONNECTION_LIMIT).await;
        if self.0.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    }
}

/// Accepts connections until `shutdown`, then awaits those that are open, for ten seconds at most. More
/// than `most` at once wait in the backlog of the system until one ends.
pub async fn serve<S: Future>(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    most: usize,
    shutdown: S,
) {
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let tls = tls.map(TlsAcceptor::from);
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
                    let tls = tls.clone();
                    connections.spawn(async move {
                        match tls {
                            None => converse(stream, router, stopping).await,
                            Some(tls) => {
                                // Who says nothing must not hold a place.
                                if let Ok(Ok(stream)) = timeout(HEAD_LIMIT, tls.accept(stream)).await {
                                    converse(stream, router, stopping).await;
                                }
                            }
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    let _ = stop.send(true);
    while connections.join_next().await.is_some() {}
}

/// What shows this certificate (with its chain) to callers. Files in PEM.
///
/// # Errors
/// In words, when a file cannot be read, or the two do not belong together.
pub fn tls(certificate: &Path, key: &Path) -> Result<ServerConfig, String> {
    let wrong = |file: &Path, what: &str| format!("{}: {what}", file.display());
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).and_then(|found| found.collect());
    let chain =
        chain.map_err(|_| wrong(certificate, "no certificate (PEM) can be read from it"))?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|_| wrong(key, "no private key (PEM) can be read from it"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| wrong(certificate, &error.to_string()))
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

async fn converse<S>(stream: S, router: Router, mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let lasting = Lasting::default();
    let marked = lasting.clone();
    let router = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(marked.clone());
        request
    });
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
        () = lasting.limit() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

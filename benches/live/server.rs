//! A server that takes line protocol and keeps no more than how much it was.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use flate2::read::MultiGzDecoder;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What was written to the server.
#[derive(Default)]
pub struct Written {
    /// Requests.
    pub requests: AtomicU64,
    /// Lines, which are points.
    pub lines: AtomicU64,
    /// Bytes of them, before compression.
    pub bytes: AtomicU64,
}

impl Written {
    /// Requests, lines and bytes so far.
    pub fn so_far(&self) -> [u64; 3] {
        [&self.requests, &self.lines, &self.bytes].map(|count| count.load(Relaxed))
    }
}

/// Serves on threads of this runtime, for as long as it lives.
pub fn start(runtime: &Runtime) -> (SocketAddr, Arc<Written>) {
    let written = Arc::new(Written::default());
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)));
    let listener = listener.expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound");
    let router = Router::new()
        .route("/api/v2/write", post(write))
        .layer(DefaultBodyLimit::disable())
        .with_state(written.clone());
    runtime.spawn(async move { axum::serve(listener, router).await });
    (address, written)
}

async fn write(State(written): State<Arc<Written>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let is_gzip = headers
        .get("content-encoding")
        .is_some_and(|it| it == "gzip");
    let counted = match is_gzip {
        true => count(MultiGzDecoder::new(&*body)),
        false => count(&*body),
    };
    let Ok((lines, bytes)) = counted else {
        return StatusCode::BAD_REQUEST;
    };
    written.requests.fetch_add(1, Relaxed);
    written.lines.fetch_add(lines, Relaxed);
    written.bytes.fetch_add(bytes, Relaxed);
    StatusCode::NO_CONTENT
}

/// Lines and bytes. The last line may lack its end.
fn count(mut text: impl Read) -> std::io::Result<(u64, u64)> {
    let mut chunk = [0; 16 << 10];
    let (mut lines, mut bytes, mut last) = (0, 0, b'\n');
    loop {
        let read = text.read(&mut chunk)?;
        let Some(end) = chunk[..read].last() else {
            return Ok((lines + u64::from(last != b'\n'), bytes));
        };
        last = *end;
        lines += memchr::memchr_iter(b'\n', &chunk[..read]).count() as u64;
        bytes += read as u64;
    }
}

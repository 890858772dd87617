//! A server of a few lines that answers as the API document of InfluxDB 2 says, or as it is told.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// A request as it came.
#[derive(Clone)]
pub struct Asked {
    pub at: Instant,
    /// `write` or `query`.
    pub call: String,
    pub query: BTreeMap<String, String>,
    pub headers: HeaderMap,
    /// Unpacked.
    pub text: String,
    /// As it was sent.
    pub length: usize,
}

impl Asked {
    pub fn lines(&self) -> Vec<&str> {
        self.text.lines().collect()
    }
}

/// What is answered.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub after: Duration,
    /// The connection breaks in the middle of the body.
    pub cut: bool,
}

pub fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        body: body.into(),
        after: Duration::ZERO,
        cut: false,
    }
}

type Answer = dyn Fn(usize, &Asked) -> Reply + Send + Sync;

#[derive(Clone)]
pub struct Stub {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Lines of the requests that were answered with 204.
    stored: Arc<Mutex<Vec<String>>>,
    answer: Arc<Answer>,
}

impl Stub {
    /// Answers by the number of the request (from 0) and what it says. Lines are stored with a 204,
    /// and where the answer's header `x-store` names them.
    pub async fn start(answer: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, answer)
    }

    /// The same where it is said to listen.
    pub fn on(
        listener: TcpListener,
        answer: impl Fn(usize, &Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let stub = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            asked: Arc::default(),
            stored: Arc::default(),
            answer: Arc::new(answer),
        };
        let app = Router::new()
            .route("/api/v2/{call}", post(serve))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        stub
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn stored(&self) -> Vec<String> {
        self.stored.lock().unwrap().clone()
    }
}

/// What stands behind the `?`.
pub fn parameters(query: Option<String>) -> BTreeMap<String, String> {
    let query = query.unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

async fn serve(
    State(stub): State<Stub>,
    Path(call): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut text = String::new();
    match headers.get("content-encoding") {
        Some(_) => {
            let mut decoder = flate2::read::GzDecoder::new(&body[..]);
            decoder.read_to_string(&mut text).unwrap();
        }
        None => text = String::from_utf8(body.to_vec()).unwrap(),
    }
    let (at, length) = (Instant::now(), body.len());
    let query = parameters(query);
    let asked = Asked {
        at,
        call,
        query,
        headers,
        text,
        length,
    };
    let number = {
        let mut all = stub.asked.lock().unwrap();
        all.push(asked.clone());
        all.len() - 1
    };
    let reply = (stub.answer)(number, &asked);
    if reply.status == 204 {
        let lines = asked.text.lines().map(str::to_owned);
        stub.stored.lock().unwrap().extend(lines);
    }
    tokio::time::sleep(reply.after).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        match *name {
            "x-store" => stub
                .stored
                .lock()
                .unwrap()
                .extend(value.lines().map(str::to_owned)),
            name => response = response.header(name, value),
        }
    }
    let body = match reply.cut {
        false => Body::from(reply.body),
        true => {
            let broken = std::io::Error::other("cut");
            Body::from_stream(futures::stream::iter([Ok(reply.body), Err(broken)]))
        }
    };
    response.body(body).unwrap()
}

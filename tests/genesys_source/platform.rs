//! A platform that a test holds in its hands: REST by axum, sockets by hand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::SinkExt;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response as Answer};

/// What a test sets and sees.
#[derive(Default)]
pub struct Scene {
    /// Conversations that REST knows.
    pub conversations: BTreeMap<String, Value>,
    /// What the details query names.
    pub named: Vec<String>,
    /// Intervals that it was asked for.
    pub intervals: Vec<String>,
    /// Ids of channels.
    pub channels: Vec<String>,
    /// Topics by channel, as they were set last.
    pub topics: BTreeMap<String, Vec<String>>,
    /// A request with one of these topics is refused as a whole.
    pub forbidden: Vec<String>,
    /// Ids of queues.
    pub queues: Vec<String>,
    /// The login host refuses.
    pub locked: bool,
    /// Every path that was called.
    pub calls: Vec<String>,
}

/// The platform.
pub struct Platform {
    pub url: String,
    pub scene: Arc<Mutex<Scene>>,
    sockets: mpsc::UnboundedReceiver<Socket>,
}

/// A socket that the source has opened.
pub struct Socket {
    pub path: String,
    stream: WebSocketStream<TcpStream>,
}

impl Platform {
    pub async fn start() -> Self {
        let rest = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", rest.local_addr().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scene = Arc::new(Mutex::new(Scene::default()));
        let at = format!("ws://{}/channels", listener.local_addr().unwrap());
        let app = Router::new()
            .fallback(serve)
            .with_state((scene.clone(), at));
        tokio::spawn(async move { axum::serve(rest, app).await.unwrap() });
        let (sender, sockets) = mpsc::unbounded_channel();
        tokio::spawn(accept(listener, scene.clone(), sender));
        Self {
            url,
            scene,
            sockets,
        }
    }

    /// The next socket that is opened.
    pub async fn socket(&mut self) -> Socket {
        let wait = tokio::time::timeout(std::time::Duration::from_secs(20), self.sockets.recv());
        wait.await.expect("no socket was opened").unwrap()
    }

    pub fn scene(&self) -> std::sync::MutexGuard<'_, Scene> {
        self.scene.lock().unwrap()
    }
}

// The callback's error is the crate's own type.
#[allow(clippy::result_large_err)]
async fn accept(
    listener: TcpListener,
    scene: Arc<Mutex<Scene>>,
    sockets: mpsc::UnboundedSender<Socket>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let mut path = String::new();
        let look = |request: &Request, answer: Answer| {
            path = request.uri().to_string();
            let id = path.rsplit('/').next().unwrap().to_owned();
            match scene.lock().unwrap().channels.contains(&id) {
                true => Ok(answer),
                false => {
                    let mut refused = axum::http::Response::new(None);
                    *refused.status_mut() = StatusCode::NOT_FOUND;
                    Err(refused)
                }
            }
        };
        let accepted = tokio_tungstenite::accept_hdr_async(stream, look).await;
        if let Ok(stream) = accepted {
            let _ = sockets.send(Socket { path, stream });
        }
    }
}

impl Socket {
    pub async fn send(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    pub async fn text(&mut self, text: &str) {
        self.send(Message::text(text)).await;
    }

    /// A snapshot of a conversation with one participant, who is still there.
    pub async fn snapshot(&mut self, id: &str) {
        let frame = json!({
            "topicName": "v2.routing.queues.q.conversations", "version": "2",
            "eventBody": { "id": id, "participants": [{ "id": "p" }] },
        });
        self.text(&frame.to_string()).await;
    }
}

type Shared = (Arc<Mutex<Scene>>, String);

async fn serve(
    State((scene, at)): State<Shared>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut scene = scene.lock().unwrap();
    scene.calls.push(format!("{method} {}", uri.path()));
    let (status, answer) = scene.answer(&method, uri.path(), &body, &at);
    let status = StatusCode::from_u16(status).unwrap();
    (status, answer.to_string()).into_response()
}

impl Scene {
    fn answer(&mut self, method: &Method, path: &str, body: &Value, at: &str) -> (u16, Value) {
        let path = path.trim_start_matches("/api/v2").trim_start_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        match (method.as_str(), &parts[..]) {
            (_, ["oauth", "token"]) if self.locked => (
                400,
                json!({ "error": "invalid_client", "description": "client not found" }),
            ),
            (_, ["oauth", "token"]) => (
                200,
                json!({ "access_token": "a-token", "expires_in": 3600 }),
            ),
            ("POST", ["notifications", "channels"]) => {
                let id = format!("channel-{}", self.channels.len() + 1);
                self.channels.push(id.clone());
                (200, json!({ "id": id, "connectUri": format!("{at}/{id}") }))
            }
            ("GET", ["notifications", "channels"]) => {
                let all: Vec<Value> = self.channels.iter().map(|_| json!({})).collect();
                (200, json!({ "entities": all }))
            }
            ("GET", ["notifications", "availabletopics"]) => {
                let forms = [
                    "v2.routing.queues.{id}.conversations",
                    "v2.users.{id}.presence",
                ];
                let all = forms.map(|form| json!({ "id": form }));
                (200, json!({ "entities": all }))
            }
            ("HEAD", _) => (200, json!({})),
            ("PUT" | "POST", ["notifications", "channels", id, "subscriptions"]) => {
                let ids = body.as_array().unwrap().iter();
                let ids: Vec<String> = ids
                    .map(|it| it["id"].as_str().unwrap().to_owned())
                    .collect();
                if ids.iter().any(|id| self.forbidden.contains(id)) {
                    return (
                        403,
                        json!({ "code": "missing.permissions", "message": "you may not" }),
                    );
                }
                let held = self.topics.entry((*id).to_owned()).or_default();
                if method == Method::PUT {
                    held.clear();
                }
                held.extend(ids.iter().cloned());
                let answers: Vec<Value> = ids
                    .iter()
                    .map(|id| json!({ "id": id, "state": "Permitted" }))
                    .collect();
                (200, json!({ "entities": answers }))
            }
            ("GET", ["conversations", id]) => match self.conversations.get(*id) {
                Some(body) => (200, body.clone()),
                None => (404, json!({ "code": "not.found" })),
            },
            ("POST", ["analytics", "conversations", "details", "query"]) => {
                self.intervals
                    .push(body["interval"].as_str().unwrap().to_owned());
                let named = self.named.iter().map(|id| json!({ "conversationId": id }));
                (200, json!({ "conversations": named.collect::<Vec<_>>() }))
            }
            ("GET", ["routing", "queues"]) => {
                let all = self.queues.iter().map(|id| json!({ "id": id }));
                (
                    200,
                    json!({ "entities": all.collect::<Vec<_>>(), "pageCount": 1 }),
                )
            }
            _ => (404, json!({ "code": "not.found" })),
        }
    }
}

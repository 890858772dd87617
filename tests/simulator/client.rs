//! An independent client: reqwest and tungstenite, knowing nothing of the simulator but its URL.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use trunkline::simulator::{Config, Simulator};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct Client {
    pub url: String,
    pub http: reqwest::Client,
    pub token: String,
}

pub async fn started(config: Config) -> (Simulator, Client) {
    let simulator = Simulator::start(config).await.unwrap();
    let client = Client::login(&simulator.url(), "simulator", "simulator").await;
    (simulator, client)
}

/// Paused, so that nothing is told before the test is ready.
pub fn quiet() -> Config {
    Config {
        paused: true,
        ..Config::default()
    }
}

impl Client {
    pub async fn login(url: &str, id: &str, secret: &str) -> Self {
        let http = trunkline::client::http::client(PATIENCE).unwrap();
        let reply = http
            .post(format!("{url}/oauth/token"))
            .basic_auth(id, Some(secret))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), 200);
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["token_type"], "bearer");
        let token = body["access_token"].as_str().unwrap().to_owned();
        Self {
            url: url.to_owned(),
            http,
            token,
        }
    }

    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        request.send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path, None).await
    }

    /// The body of an answer that is expected to be good.
    pub async fn read(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert!(reply.status().is_success(), "{path}: {}", reply.status());
        reply.json().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// Its id and where to connect.
    pub async fn channel(&self) -> (String, String) {
        let reply = self
            .ask(Method::POST, "/api/v2/notifications/channels", None)
            .await;
        assert_eq!(reply.status(), 200);
        let body: Value = reply.json().await.unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("id"), text("connectUri"))
    }

    pub async fn subscribe(&self, channel: &str, topics: &[String]) -> Response {
        let body = topics.iter().map(|id| json!({"id": id})).collect();
        let path = format!("/api/v2/notifications/channels/{channel}/subscriptions");
        self.ask(Method::PUT, &path, Some(body)).await
    }

    /// A socket on a new channel that has these topics.
    pub async fn listen(&self, topics: &[String]) -> (String, Socket) {
        let (id, uri) = self.channel().await;
        let reply = self.subscribe(&id, topics).await;
        assert_eq!(reply.status(), 200, "{}", reply.text().await.unwrap());
        (id, connect(&uri).await)
    }
}

pub async fn connect(uri: &str) -> Socket {
    connect_async(uri).await.unwrap().0
}

/// The next message; `None` at the end, however it came.
pub async fn next(socket: &mut Socket) -> Option<Message> {
    match timeout(PATIENCE, socket.next())
        .await
        .expect("a message within 20 s")?
    {
        Ok(message) => Some(message),
        Err(Error::ConnectionClosed | Error::Protocol(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The next frame of text.
pub async fn frame(socket: &mut Socket) -> Option<Value> {
    loop {
        match next(socket).await? {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// The next frame on a topic that is no heartbeat.
pub async fn told(socket: &mut Socket) -> Option<Value> {
    loop {
        let frame = frame(socket).await?;
        if frame["topicName"] != "channel.metadata" {
            return Some(frame);
        }
    }
}

pub async fn say(socket: &mut Socket, body: Value) {
    socket.send(Message::text(body.to_string())).await.unwrap();
}

pub fn queue_topics(simulator: &Simulator) -> Vec<String> {
    let queues = simulator.control().queues();
    queues
        .iter()
        .map(|id| format!("v2.routing.queues.{id}.conversations"))
        .collect()
}

/// Waits for something that is about to be true.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait)
        .await
        .unwrap_or_else(|_| panic!("{what} within 20 s"));
}

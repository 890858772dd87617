//! A pipeline that sends messages, the platform that it sends them to, and the interface in front.

#[path = "../kit/ports.rs"]
mod ports;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use trunkline::api::{self, Access};
use trunkline::config::{Fixed, parse};
use trunkline::failure::Failure;
use trunkline::graph::check::check;
use trunkline::graph::run::{open_store, run};
use trunkline::observe::{Observer, RunState};
use trunkline::simulator::{Config, Faults, Integration, Limits, SendFaults, Simulator};

pub const TOKEN: &str = "token-of-the-interface";
pub const INTEGRATION: &str = "0e0e0e0e-0000-4000-8000-000000000001";
const SECRET: &str = "a-secret-of-sixteen";
const PATIENCE: Duration = Duration::from_secs(30);

/// What is different from one test to the next.
pub struct Options {
    pub policy: &'static str,
    /// Of a minute, as the tenant has it.
    pub events: u32,
    pub sends: SendFaults,
    /// Of the sink.
    pub more: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: "at_least_once",
            events: 1_000_000,
            sends: SendFaults::default(),
            more: "",
        }
    }
}

pub struct World {
    pub platform: Simulator,
    pub address: SocketAddr,
    pub client: reqwest::Client,
    pub folder: tempfile::TempDir,
    observer: Observer,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Failure>>,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// That it is this problem.
    pub fn is_problem(&self, status: u16, name: &str) -> &Self {
        self.is(status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(
            self.body["type"],
            format!("urn:trunkline:problem:{name}"),
            "{self:?}"
        );
        assert_eq!(self.body["status"], status);
        self
    }

    pub fn text(&self, name: &str) -> String {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
            .to_owned()
    }
}

fn pipeline(folder: &Path, url: &str, hook: u16, options: &Options) -> String {
    let folder = folder.display();
    let Options {
        policy,
        events,
        more,
        ..
    } = options;
    let organization = format!(
        "{{ endpoint: \"{url}\", auth: {{ client_id: simulator, client_secret: simulator }}, \
         integrations: [{INTEGRATION}], policy: {policy}, \
         rate_limit: {{ events: {events}, per: 1m }} }}"
    );
    format!(
        "
version: 1
name: outbound
state: {{ type: embedded, path: {folder}/state }}
tenants:
  list:
    acme: {{ organizations: {{ eu: {organization} }} }}
    many: {{ organizations: {{ one: {organization}, two: {organization} }} }}
dead_letter: {{ type: file, path: {folder}/dead.ndjson }}
sources:
  in: {{ type: file, path: {folder}/messages.ndjson, read: follow, poll: 50ms }}
  hook: {{ type: genesys_webhook, listen: \"127.0.0.1:{hook}\", secret: {SECRET} }}
transforms:
  outcomes: {{ type: delivery_receipt, inputs: [hook], sink: messages, wait: 1s }}
sinks:
  messages: {{ type: open_messaging, inputs: [in], api: true, accepted: false{more} }}
  statuses: {{ type: file, inputs: [messages.statuses, outcomes], path: {folder}/statuses.ndjson }}
  others: {{ type: file, inputs: [outcomes.messages, outcomes.unknown], path: {folder}/others.ndjson }}
"
    )
}

impl World {
    pub async fn new(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hook = ports::free();
        let platform = Simulator::start(Config {
            limits: Limits {
                requests: 1_000_000,
                ..Limits::default()
            },
            faults: Faults {
                sends: options.sends.clone(),
                ..Faults::default()
            },
            integration: Integration {
                id: INTEGRATION.into(),
                webhook: Some(format!("http://127.0.0.1:{hook}/webhooks/genesys")),
                secret: SECRET.into(),
                receipts: true,
            },
            paused: true,
            ..Config::default()
        });
        let platform = platform.await.unwrap();
        std::fs::write(folder.path().join("messages.ndjson"), "").unwrap();
        let text = pipeline(folder.path(), &platform.url(), hook, &options);
        let checked = check(&parse("p.yaml", &text, &Fixed::default()));
        let told: Vec<_> = checked.report.iter().map(|it| it.message.clone()).collect();
        let pipeline = checked.pipeline.unwrap_or_else(|| panic!("{told:?}"));
        let observer = Observer::new("outbound");
        let store = open_store(&pipeline).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let seen = observer.clone();
        let task = tokio::spawn(async move {
            run(pipeline, &seen, store, async {
                let _ = stopped.await;
            })
            .await
        });
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let access = Access::open().with_token(TOKEN, false);
        let never = std::future::pending::<()>();
        let shown = vec![observer.clone()];
        let (address, _) = api::serve(any, shown, access, never).await.unwrap();
        let world = Self {
            platform,
            address,
            client: trunkline::client::http::client(PATIENCE).unwrap(),
            folder,
            observer,
            stop,
            task,
        };
        world
            .until("it runs", |world| {
                world.observer.state() == RunState::Running
            })
            .await;
        world
    }

    pub async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let from = Instant::now();
        while !is(self) {
            assert!(!self.task.is_finished(), "the run has ended");
            assert!(from.elapsed() < PATIENCE, "{what}: not in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}/api/v1/{path}", self.address);
        self.client.request(method, url).bearer_auth(TOKEN)
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer {
            status,
            headers,
            body,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body))
            .await
    }

    pub async fn post_once(&self, path: &str, key: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, path).json(&body);
        self.send(request.header("Idempotency-Key", key)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// A conversation that waits in a queue; its path.
    pub async fn opened(&self, customer: &str) -> String {
        let queue = self.platform.control().queues()[0].clone();
        let body = json!({"recipient": {"id": customer}, "queueId": queue});
        let answer = self.post("tenants/acme/conversations", body).await;
        let id = answer.is(201).text("conversationId");
        format!("tenants/acme/conversations/{id}")
    }

    /// With an agent in it.
    pub async fn attended(&self, customer: &str) -> String {
        let path = self.opened(customer).await;
        let user = self.platform.control().users()[0].clone();
        let answer = self
            .post(&format!("{path}/participants"), json!({"userId": user}))
            .await;
        answer.is(202);
        path
    }

    pub fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.collect()
    }

    /// The statuses of a message, in order.
    pub fn statuses(&self, id: &str) -> Vec<Value> {
        let mut all = self.lines("statuses.ndjson");
        all.retain(|it| it["messageId"] == id);
        all
    }

    pub async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        self.observer.set_state(RunState::Stopped);
        self.observer.ledger().adds_up().unwrap();
    }
}

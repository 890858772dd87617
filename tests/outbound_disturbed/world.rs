//! A broker, a platform for each organisation, who tells of tenants, and the pipeline as it is shipped.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use trunkline::simulator::{self, Faults, Heard, SendFaults, Simulator};

use crate::broker::{Broker, Proxy, SETTLED, declare, drain, exchange, publish, ready};
use crate::process::{BINARY, Process};
use crate::run::until;

pub const QUEUE: &str = "genesys.outbound";
pub const DEAD: &str = "genesys.outbound.dead";
const STATUSES: &str = "statuses.heard";

/// Who sends: two tenants whose organisations have the same ids.
pub const TENANTS: [&str; 2] = ["acme", "globex"];
pub const ORGANIZATIONS: [&str; 2] = ["eu", "us"];
/// For anything that is waited for: this machine may have other work.
const LONGEST: Duration = Duration::from_secs(240);
/// Of each organisation.
const CUSTOMERS: usize = 25;

/// A tenant and an organisation of its own.
pub type Who = (&'static str, &'static str);

pub fn id(n: usize) -> String {
    format!("m-{n:05}")
}

pub fn who(n: usize) -> Who {
    (TENANTS[n % 2], ORGANIZATIONS[n / 2 % 2])
}

/// The `n`-th message. Customers of all organisations have the same ids, and a fifth of the messages are
/// what customers say.
pub fn message(n: usize) -> Value {
    let (tenant, organization) = who(n);
    let mut message = json!({
        "messageId": id(n), "tenantId": tenant, "organizationId": organization,
        "recipient": {"id": format!("customer-{}", n / 4 % CUSTOMERS), "idType": "Opaque"},
        "textBody": id(n),
    });
    if n / 4 % 5 == 4 {
        message["kind"] = "inbound".into();
    }
    message
}

pub struct World {
    pub broker: Broker,
    pub proxy: Proxy,
    platforms: BTreeMap<Who, Simulator>,
    tenants: String,
    folder: TempDir,
    /// The statuses that came so far, in order.
    pub told: Vec<Value>,
}

impl World {
    /// Everything but the pipeline. `policy` is that of each tenant, `faults` those of all platforms.
    pub async fn new(policy: fn(&str) -> &'static str, faults: SendFaults) -> Self {
        let broker = Broker::start().await;
        let channel = broker.channel().await;
        for queue in [QUEUE, DEAD, STATUSES] {
            declare(&channel, queue, "quorum", &[]).await;
        }
        exchange(&channel, "genesys.status", STATUSES, "status.#").await;
        let mut platforms = BTreeMap::new();
        for who in (0..4).map(who) {
            let config = simulator::Config {
                limits: simulator::Limits {
                    requests: 1_000_000,
                    ..simulator::Limits::default()
                },
                faults: Faults {
                    sends: faults.clone(),
                    ..Faults::default()
                },
                paused: true,
                ..simulator::Config::default()
            };
            platforms.insert(who, Simulator::start(config).await.unwrap());
        }
        let tenants = service(described(&platforms, policy)).await;
        let world = Self {
            proxy: Proxy::start(broker.port()).await,
            broker,
            platforms,
            tenants,
            folder: tempfile::tempdir().unwrap(),
            told: Vec::new(),
        };
        tokio::time::sleep(SETTLED).await;
        world
    }

    /// The program, with the way to the broker that can be cut.
    pub fn start(&self) -> Process {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let set = [
            ("AMQP_URL", self.broker.url_at(self.proxy.port())),
            ("TENANT_SERVICE_URL", self.tenants.clone()),
            ("TENANT_SERVICE_TOKEN", "hush-hush".to_owned()),
            ("STATE", at("state")),
            ("DEAD_LETTERS", at("dead-letters.ndjson")),
            ("OTHERS", at("others.ndjson")),
            ("API", "127.0.0.1:0".to_owned()),
        ];
        let set = set.each_ref().map(|(name, value)| (*name, value.as_str()));
        let (summary, pipeline) = (at("summary.json"), "pipelines/outbound-messages.yaml");
        let arguments = ["run", "--no-progress", "--summary", &summary, pipeline];
        Process::start(root, BINARY, &arguments, &set)
    }

    /// Stops it as a person does; the ledger that it leaves, which adds up, and what it said.
    pub fn stop(&self, run: Process) -> (Value, String) {
        run.signal("INT");
        let (code, told) = run.ended();
        assert_eq!(code, Some(0), "{told}");
        let summary = std::fs::read(self.folder.path().join("summary.json")).unwrap();
        let summary = serde_json::from_slice(&summary).unwrap();
        crate::process::adds_up(&summary);
        (summary, told)
    }

    /// Hands messages to the broker, all confirmed.
    pub async fn publish(&self, bodies: impl IntoIterator<Item = String>) {
        let channel = self.broker.channel().await;
        publish(&channel, QUEUE, bodies).await;
    }

    /// What each platform took, in order.
    pub fn heard(&self) -> BTreeMap<Who, Vec<Heard>> {
        let all = self.platforms.iter();
        all.map(|(who, platform)| (*who, platform.control().messages()))
            .collect()
    }

    /// How many messages the platforms took.
    pub fn count(&self) -> usize {
        self.heard().values().map(Vec::len).sum()
    }

    pub async fn until(&self, run: &Process, count: usize) {
        let started = Instant::now();
        while self.count() < count {
            let (sent, told) = (self.count(), run.told());
            assert!(
                started.elapsed() < LONGEST,
                "{sent} sent, not {count}\n{}",
                tail(&told)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes the statuses that have come.
    pub async fn listen(&mut self) {
        let channel = self.broker.channel().await;
        let came = drain(&channel, STATUSES).await;
        let read = |it: &lapin::message::Delivery| {
            let body: Value = serde_json::from_slice(&it.data).unwrap();
            let key = format!("status.{}", body["status"].as_str().unwrap());
            assert_eq!(it.routing_key.as_str(), key);
            body
        };
        self.told.extend(came.iter().map(read));
    }

    /// The last status of each message.
    pub fn last(&self) -> HashMap<String, String> {
        let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
        let all = self.told.iter();
        all.map(|it| (text(it, "messageId"), text(it, "status")))
            .collect()
    }

    /// Waits until all of these are over, one way or the other.
    pub async fn settled(&mut self, run: &Process, ids: &[String]) {
        let started = Instant::now();
        while started.elapsed() < LONGEST {
            self.listen().await;
            let last = self.last();
            let over = |id: &&String| last.get(*id).is_some_and(|it| it != "accepted");
            if ids.iter().filter(over).count() == ids.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let last = self.last();
        let open = ids
            .iter()
            .filter(|id| last.get(*id).is_none_or(|it| it == "accepted"));
        let open: Vec<_> = open.take(10).collect();
        panic!("not over: {open:?}\n{}", tail(&run.told()));
    }

    /// Nothing is ready any more, also of what was parked twice.
    pub async fn is_empty(&self) {
        let parked = ORGANIZATIONS.map(|it| format!("{QUEUE}.parked.{it}"));
        for queue in [QUEUE].into_iter().chain(parked.iter().map(String::as_str)) {
            let channel = self.broker.channel().await;
            let empty = async || ready(&channel, queue).await == 0;
            until(&format!("`{queue}` is empty"), empty).await;
        }
    }

    /// The letters in the queue of dead letters.
    pub async fn letters(&self) -> Vec<Value> {
        let channel = self.broker.channel().await;
        let letters = drain(&channel, DEAD).await;
        let read = |it: &lapin::message::Delivery| serde_json::from_slice(&it.data).unwrap();
        letters.iter().map(read).collect()
    }

    /// The letters of what never reached the sink.
    pub fn letters_before(&self) -> Vec<Value> {
        let file = self.folder.path().join("dead-letters.ndjson");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn tail(told: &str) -> String {
    let lines: Vec<_> = told.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// What the service says of each tenant.
fn described(
    platforms: &BTreeMap<Who, Simulator>,
    policy: fn(&str) -> &'static str,
) -> HashMap<&'static str, Value> {
    let mut tenants = HashMap::new();
    for ((tenant, organization), platform) in platforms {
        let of = tenants
            .entry(*tenant)
            .or_insert_with(|| json!({"organizations": {}}));
        of["organizations"][organization] = json!({
            "endpoint": platform.url(), "policy": policy(tenant),
            "auth": {"client_id": "simulator", "client_secret": "simulator"},
            "integrations": ["0e0e0e0e-0000-4000-8000-000000000001"],
            "rate_limit": {"events": 100_000, "per": "1m"},
        });
    }
    tenants
}

/// Tells of tenants over HTTP; where that is.
async fn service(tenants: HashMap<&'static str, Value>) -> String {
    use axum::http::{HeaderMap, StatusCode, Uri};
    let answer = async move |headers: HeaderMap, uri: Uri| {
        if headers["authorization"] != "Bearer hush-hush" {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        match uri
            .path()
            .strip_prefix("/tenants/")
            .and_then(|id| tenants.get(id))
        {
            Some(told) => (StatusCode::OK, told.to_string()),
            None => (StatusCode::NOT_FOUND, String::new()),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(move |headers: HeaderMap, uri: Uri| {
        let answer = answer.clone();
        async move { answer(headers, uri).await }
    });
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

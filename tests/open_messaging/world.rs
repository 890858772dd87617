//! Pipelines that send to the simulated platform, and what became of their messages.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use trunkline::config::{Fixed, parse};
use trunkline::graph::check::check;
use trunkline::graph::run::{open_store, run};
use trunkline::observe::{Observer, RunState};
use trunkline::simulator::{self, Faults, SendFaults, Simulator};

/// The secret of the simulator's client.
pub const SECRET: &str = "simulator";

/// Runs a pipeline file until its input ends.
pub async fn run_all(text: &str) -> Observer {
    let checked = check(&parse("p.yaml", text, &Fixed::default()));
    let told: Vec<_> = checked.report.iter().map(|it| it.message.clone()).collect();
    let pipeline = checked.pipeline.unwrap_or_else(|| panic!("{told:?}"));
    let observer = Observer::new("outbound");
    let store = open_store(&pipeline).await.unwrap();
    let run = run(pipeline, &observer, store, std::future::pending());
    // A breaker that should not be open may stay so for long.
    let ended = tokio::time::timeout(Duration::from_secs(90), run).await;
    ended.expect("the run ends").unwrap();
    observer.set_state(RunState::Stopped);
    observer
}

pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `count` messages to as many customers, in turn.
pub fn messages(path: &Path, count: usize, customers: usize, extra: &Value) {
    let mut text = String::new();
    for n in 0..count {
        let mut message = json!({
            "messageId": format!("m-{n}"), "tenantId": "acme", "organizationId": "eu",
            "recipient": {"id": format!("customer-{}", n % customers), "idType": "Opaque"},
            "textBody": format!("m-{n}"),
        });
        message
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        writeln!(text, "{message}").unwrap();
    }
    std::fs::write(path, text).unwrap();
}

pub fn pipeline(folder: &Path, url: &str, policy: &str) -> String {
    let folder = folder.display();
    format!(
        r#"
version: 1
name: outbound
state: {{ type: embedded, path: {folder}/state }}
tenants:
  list:
    acme:
      organizations:
        eu:
          endpoint: {url}
          auth: {{ client_id: simulator, client_secret: {SECRET} }}
          integrations: [0e0e0e0e-0000-4000-8000-000000000001]
          rate_limit: {{ events: 100000, per: 1m }}
          policy: {policy}
dead_letter: {{ type: file, path: {folder}/dead.ndjson }}
sources:
  in: {{ type: file, path: {folder}/messages.ndjson }}
sinks:
  messages: {{ type: open_messaging, inputs: [in], accepted: false, retry: {{ attempts: 1000, backoff: 50ms, max_backoff: 200ms }}, breaker: {{ open_for: 200ms }} }}
  statuses: {{ type: file, inputs: [messages.statuses], path: {folder}/statuses.ndjson }}
"#
    )
}

pub async fn platform(sends: SendFaults) -> Simulator {
    let config = simulator::Config {
        limits: simulator::Limits {
            requests: 1_000_000,
            ..simulator::Limits::default()
        },
        faults: Faults {
            sends,
            ..Faults::default()
        },
        paused: true,
        ..simulator::Config::default()
    };
    Simulator::start(config).await.unwrap()
}

/// What became of each message: how often the platform took it, and its last status.
pub type Fates = HashMap<String, (usize, String)>;

pub fn fates(platform: &Simulator, folder: &Path) -> Fates {
    let mut fates = Fates::new();
    for heard in platform.control().messages() {
        fates.entry(heard.text).or_default().0 += 1;
    }
    for status in lines(&folder.join("statuses.ndjson")) {
        let id = status["messageId"].as_str().unwrap().to_owned();
        fates.entry(id).or_default().1 = status["status"].as_str().unwrap().to_owned();
    }
    fates
}

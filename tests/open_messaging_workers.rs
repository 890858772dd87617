//! Two processes that send for one organisation and share a real Redis: its budget, and what is known of
//! each message. Messages come to both, as after a connection to a broker that came apart.

#[path = "shared_state/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "open_messaging/world.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod world;

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use server::RedisServer;
use trunkline::simulator::{SendFaults, Simulator};
use world::{lines, messages, platform};

const COUNT: usize = 200;
/// Of the organisation, in a window.
const EVENTS: usize = 40;
const WINDOW: Duration = Duration::from_secs(2);

/// Starts a worker with files of its own, which reads these messages from its standard input.
fn worker(
    folder: &Path,
    name: &str,
    given: Range<usize>,
    platform: &Simulator,
    redis: &RedisServer,
) -> Child {
    let (here, url, redis) = (folder.join(name), platform.url(), redis.url());
    std::fs::create_dir(&here).unwrap();
    let all = here.join("messages.ndjson");
    messages(&all, COUNT, COUNT, &json!({}));
    let text = std::fs::read_to_string(&all).unwrap();
    let text: Vec<&str> = text.lines().skip(given.start).take(given.len()).collect();
    std::fs::write(&all, text.join("\n")).unwrap();
    let text = format!(
        "
version: 1
name: outbound
state: {{ type: redis, url: \"{redis}\", lease: 3s }}
tenants:
  list:
    acme:
      organizations:
        eu:
          endpoint: {url}
          auth: {{ client_id: simulator, client_secret: simulator }}
          integrations: [0e0e0e0e-0000-4000-8000-000000000001]
          rate_limit: {{ events: {EVENTS}, per: {}s }}
          policy: at_most_once
sources:
  in: {{ type: stdin }}
transforms:
  once: {{ type: dedup, inputs: [in], key: [.tenantId, .messageId], window: 1h }}
sinks:
  messages: {{ type: open_messaging, inputs: [once], accepted: false, breaker: false }}
  statuses: {{ type: file, inputs: [messages.statuses], path: statuses.ndjson }}
dead_letter: {{ type: file, path: dead.ndjson }}
",
        WINDOW.as_secs()
    );
    std::fs::write(here.join("p.yaml"), text).unwrap();
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["run", "p.yaml"])
        .current_dir(&here)
        .stdin(File::open(&all).unwrap())
        .stdout(Stdio::null())
        .stderr(File::create(here.join("log")).unwrap())
        .spawn()
        .unwrap()
}

/// Waits for the end of a worker; one that does not end is killed.
async fn ended(mut worker: Child, folder: &Path) {
    let from = Instant::now();
    let status = loop {
        if let Some(status) = worker.try_wait().unwrap() {
            break Some(status);
        }
        if from.elapsed() > Duration::from_secs(90) {
            worker.kill().unwrap();
            worker.wait().unwrap();
            break None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    assert!(status.is_some_and(|status| status.success()), "{log}");
}

async fn slow() -> Simulator {
    platform(SendFaults {
        delay: Some(Duration::from_millis(100)),
        ..SendFaults::default()
    })
    .await
}

/// How often the platform took each message.
fn taken(platform: &Simulator) -> HashMap<String, usize> {
    let mut taken = HashMap::new();
    for heard in platform.control().messages() {
        *taken.entry(heard.text).or_default() += 1;
    }
    taken
}

/// The last status of each message, whichever worker told it.
fn statuses(folder: &Path) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for worker in ["a", "b"] {
        for status in lines(&folder.join(worker).join("statuses.ndjson")) {
            let text = |name: &str| status[name].as_str().unwrap().to_owned();
            found.insert(text("messageId"), text("status"));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_keep_to_one_budget_and_send_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, redis, platform) = (folder.path(), RedisServer::start(), slow().await);
    // Most of them come to both; whoever is first has those.
    let [a, b] = [("a", 0), ("b", COUNT / 4)].map(|(name, from)| {
        let given = from..from + COUNT * 3 / 4;
        worker(folder, name, given, &platform, &redis)
    });
    ended(a, &folder.join("a")).await;
    ended(b, &folder.join("b")).await;
    let taken = taken(&platform);
    assert_eq!(taken.len(), COUNT);
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
    let statuses = statuses(folder);
    assert_eq!(statuses.len(), COUNT);
    assert!(statuses.values().all(|status| status == "sent"));
    for name in ["a", "b"] {
        let own = lines(&folder.join(name).join("statuses.ndjson"));
        assert!(!own.is_empty(), "worker {name} sent some");
        assert!(lines(&folder.join(name).join("dead.ndjson")).is_empty());
    }
    let tries = platform.control().tries();
    assert_eq!(tries.len(), COUNT, "each was tried once");
    let windows = (COUNT / EVENTS - 1) as u32;
    let took = tries[COUNT - 1] - tries[0];
    // A call is at the platform a little after its place was given.
    let late = Duration::from_millis(500);
    assert!(
        took + late >= WINDOW * windows,
        "{took:?}: beyond the budget"
    );
    // Wherever a second window begins, there are at most two budgets in the length of one.
    for (at, from) in tries.iter().enumerate() {
        let until = *from + WINDOW - late;
        let within = tries[at..].iter().take_while(|it| **it < until).count();
        assert!(within <= 2 * EVENTS, "{within} in less than a window");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_was_killed_had_under_way_is_not_sent_again_by_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, redis, platform) = (folder.path(), RedisServer::start(), slow().await);
    let mut a = worker(folder, "a", 0..COUNT, &platform, &redis);
    // Its first calls are answered, and of the next ones some are under way.
    let from = Instant::now();
    while platform.control().tries().len() < 20 {
        assert!(from.elapsed() < Duration::from_secs(30), "worker a sends");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    a.kill().unwrap();
    a.wait().unwrap();
    let b = worker(folder, "b", 0..COUNT, &platform, &redis);
    ended(b, &folder.join("b")).await;
    let (taken, statuses) = (taken(&platform), statuses(folder));
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
    assert_eq!(platform.control().tries().len(), taken.len());
    // What was taken and not written down, and what was not yet: the other could not know which.
    let dead = lines(&folder.join("b").join("dead.ndjson"));
    assert!(
        dead.iter().all(|it| it["reason"] == "uncertain"),
        "{dead:?}"
    );
    let unknown = statuses.values().filter(|it| *it == "unknown").count();
    assert!(unknown > 0, "some were under way");
    assert_eq!(unknown, dead.len());
    for number in 0..COUNT {
        let id = format!("m-{number}");
        let (times, status) = (taken.get(&id), statuses.get(&id).map(String::as_str));
        match status {
            Some("sent") => assert_eq!(times, Some(&1), "{id}"),
            Some("unknown") => {}
            // It was settled, and nobody is left to tell so.
            None => assert_eq!(times, Some(&1), "{id} is lost"),
            other => panic!("{id}: {other:?}"),
        }
    }
}

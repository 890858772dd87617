//! What each answer of the platform comes to, over HTTP: calls, tokens, what the platform has taken in
//! the end, statuses and dead letters, and how long it took.

#[path = "open_messaging/world.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod world;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use trunkline::observe::{Observer, render_metrics};
use trunkline::simulator::{SendFault, SendFaults, Simulator};
use world::{fates, lines, messages, pipeline, platform, run_all};

use SendFault::{Cut, Gateway, Lost, Refused};

/// What is awaited of one message: calls, tokens, how often the platform took it, its last status, the
/// reasons of dead letters, and the least time between the first call and the last.
struct Row {
    name: &'static str,
    policy: &'static str,
    faults: Vec<SendFault>,
    calls: usize,
    tokens: u64,
    taken: usize,
    status: &'static str,
    dead: &'static [&'static str],
    least: Duration,
}

const LEAST: &str = "at_least_once";
const ONCE: &str = "at_most_once";
const BOTH: [&str; 2] = [LEAST, ONCE];

/// The message is sent after so many calls.
fn sent(
    name: &'static str,
    policy: &'static str,
    faults: Vec<SendFault>,
    (calls, tokens, taken): (usize, u64, usize),
) -> Row {
    Row {
        name,
        policy,
        faults,
        calls,
        tokens,
        taken,
        status: "sent",
        dead: &[],
        least: Duration::ZERO,
    }
}

/// It is not, after one call.
fn dead(
    name: &'static str,
    policy: &'static str,
    fault: SendFault,
    taken: usize,
    status: &'static str,
    dead: &'static [&'static str],
) -> Row {
    Row {
        status,
        dead,
        ..sent(name, policy, vec![fault], (1, 1, taken))
    }
}

fn rows() -> Vec<Row> {
    let throttled = |wait| SendFault::Throttled { wait, limit: None };
    let mut rows = Vec::new();
    for policy in BOTH {
        let refused = |status| vec![Refused(status)];
        rows.push(sent("well", policy, vec![], (1, 1, 1)));
        rows.push(sent("401", policy, refused(401), (2, 2, 1)));
        // The second 401 is no reason for a third token at once: the message is tried again later.
        let twice = vec![Refused(401), Refused(401)];
        rows.push(sent("401 twice", policy, twice, (3, 2, 1)));
        let not_found = &["not_found"];
        rows.push(dead("404", policy, Refused(404), 0, "failed", not_found));
        for status in [400, 403, 422] {
            let refused = &["platform_refused"];
            rows.push(dead(
                "refused",
                policy,
                Refused(status),
                0,
                "failed",
                refused,
            ));
        }
        rows.push(Row {
            least: Duration::from_secs(2),
            ..sent("429", policy, vec![throttled(2)], (2, 1, 1))
        });
        for status in [408, 500, 503] {
            rows.push(sent("5xx", policy, refused(status), (2, 1, 1)));
        }
    }
    // Done, and nobody was told.
    for fault in [Gateway(502), Gateway(504), Lost, Cut] {
        // What the time-out of the sink cut short is found as uncertain by whoever comes next.
        let reason = match fault {
            Lost => &["uncertain"],
            _ => &["unanswered"],
        };
        let row = sent("untold", LEAST, vec![fault.clone()], (2, 1, 2));
        rows.push(row);
        rows.push(dead("untold", ONCE, fault, 1, "unknown", reason));
    }
    rows
}

fn reasons(folder: &Path) -> Vec<String> {
    let letters = lines(&folder.join("dead.ndjson"));
    let reason = |letter: &Value| letter["reason"].as_str().unwrap().to_owned();
    letters.iter().map(reason).collect()
}

/// The pipeline with other settings of its sink.
fn with(folder: &Path, platform: &Simulator, policy: &str, settings: &str) -> String {
    let text = pipeline(folder, &platform.url(), policy);
    let usual = "breaker: { open_for: 200ms }";
    assert!(text.contains(usual));
    text.replace(usual, settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_comes_to_what_the_policy_says() {
    for row in rows() {
        let name = format!("{}, {}, {:?}", row.name, row.policy, row.faults);
        let (folder, platform) = (
            tempfile::tempdir().unwrap(),
            platform(SendFaults::default()).await,
        );
        let (folder, control) = (folder.path(), platform.control());
        messages(&folder.join("messages.ndjson"), 1, 1, &json!({}));
        control.plan_sends(row.faults);
        run_all(&with(folder, &platform, row.policy, "timeout: 1s")).await;
        let calls = control.tries();
        assert_eq!(calls.len(), row.calls, "{name}: calls");
        assert_eq!(control.counts().tokens, row.tokens, "{name}: tokens");
        let fate = &fates(&platform, folder)["m-0"];
        assert_eq!(
            (fate.0, &*fate.1),
            (row.taken, row.status),
            "{name}: its fate"
        );
        assert_eq!(reasons(folder), row.dead, "{name}: dead letters");
        let took = calls[calls.len() - 1] - calls[0];
        assert!(took >= row.least, "{name}: {took:?}");
    }
}

/// What a 429 says holds for everybody of the organisation: also for those that were not refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_429_and_the_limit_that_it_names_hold_for_all_that_follow() {
    let (folder, platform) = (
        tempfile::tempdir().unwrap(),
        platform(SendFaults::default()).await,
    );
    let (folder, control) = (folder.path(), platform.control());
    messages(&folder.join("messages.ndjson"), 30, 30, &json!({}));
    let limit = Some(4);
    control.plan_sends([SendFault::Throttled { wait: 2, limit }]);
    // One at a time, so that nobody is under way when the first is refused.
    let text = with(folder, &platform, LEAST, "concurrency: 1");
    let run = tokio::spawn(async move { run_all(&text).await });
    until("the four that may go have gone", || {
        control.messages().len() >= 4
    })
    .await;
    // What would go beyond the limit would go at once.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let calls = control.tries();
    assert_eq!((control.messages().len(), calls.len()), (4, 5));
    assert!(calls[1] - calls[0] >= Duration::from_secs(2));
    run.abort();
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let from = Instant::now();
    while !holds() {
        assert!(from.elapsed() < Duration::from_secs(30), "until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The platform's own window: nothing is refused once its headers have told how it stands.
#[tokio::test(flavor = "multi_thread")]
async fn the_platforms_own_limit_is_kept_to_by_its_headers() {
    let limits = trunkline::simulator::Limits {
        requests: 20,
        ..trunkline::simulator::Limits::default()
    };
    let config = trunkline::simulator::Config {
        limits,
        // Its minute is three seconds of ours.
        speed: 20.0,
        paused: true,
        ..trunkline::simulator::Config::default()
    };
    let platform = Simulator::start(config).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (folder, control) = (folder.path(), platform.control());
    messages(&folder.join("messages.ndjson"), 50, 50, &json!({}));
    run_all(&with(folder, &platform, LEAST, "concurrency: 1")).await;
    let fates = fates(&platform, folder);
    assert!(fates.values().all(|fate| *fate == (1, "sent".to_owned())));
    assert_eq!((fates.len(), control.counts().limited), (50, 0));
    let calls = control.tries();
    assert!(
        calls[49] - calls[0] > Duration::from_secs(3),
        "three windows"
    );
}

/// What is written into it can be read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Posts = Arc<Mutex<Vec<Value>>>;

/// Takes alerts.
async fn hook() -> (String, Posts) {
    let take = |State(posts): State<Posts>, Json(post): Json<Value>| async move {
        posts.lock().unwrap().push(post);
    };
    let posts = Posts::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/alerts", listener.local_addr().unwrap());
    let app = axum::Router::new()
        .route("/alerts", axum::routing::post(take))
        .with_state(posts.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, posts)
}

fn changes(posts: &Posts) -> Vec<bool> {
    let posts = posts.lock().unwrap();
    let opened = posts.iter().filter(|post| post["alert"] == "breaker_open");
    opened
        .map(|post| {
            assert_eq!(post["node"], "messages");
            post["active"].as_bool().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn a_breaker_opens_at_half_of_the_calls_asks_by_probes_and_says_so_everywhere() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _told = tracing::subscriber::set_default(subscriber.finish());
    let (folder, platform) = (
        tempfile::tempdir().unwrap(),
        platform(SendFaults::default()).await,
    );
    let (folder, control) = (folder.path(), platform.control());
    messages(&folder.join("messages.ndjson"), 20, 20, &json!({}));
    // Five of ten calls fail; the first ones go well, so that no earlier half is of failures. Then a
    // probe that fails, and two that do not.
    let well = || std::iter::repeat_n(SendFault::None, 5);
    let ill = || std::iter::repeat_n(Refused(503), 5);
    control.plan_sends(well().chain(ill()).chain([Refused(500)]));
    let (url, posts) = hook().await;
    let breaker = "concurrency: 1, breaker: { open_for: 1s, probes: 2 }";
    let text = with(folder, &platform, ONCE, breaker);
    let text = format!("{text}alerts: {{ webhook: \"{url}\" }}\n");
    // Two probes at once, or one after the other while the breaker is half open.
    let observer = run_all(&text).await;
    let calls = control.tries();
    // Twenty were taken, five refused and a probe.
    assert_eq!((calls.len(), control.messages().len()), (26, 20));
    let waits: Vec<usize> = (1..calls.len())
        .filter(|at| calls[*at] - calls[at - 1] >= Duration::from_secs(1))
        .collect();
    assert_eq!(waits, [10, 11], "after the tenth call, and after the probe");
    // Half open is a way out; the probe that failed opened it again.
    assert_eq!(changes(&posts), [true, false, true, false]);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("alert raised").count(), 2, "{text}");
    assert!(text.contains("`acme/eu`"), "{text}");
    let metrics = render_metrics(&[observer]);
    let opened = metrics
        .lines()
        .find(|line| line.starts_with("trunkline_alert{") && line.contains("breaker_open"));
    assert!(opened.unwrap().ends_with(" 0"), "{metrics}");
    assert!(reasons(folder).is_empty());
}

/// Fewer than half do not open it.
#[tokio::test(flavor = "multi_thread")]
async fn less_than_half_of_failures_opens_no_breaker() {
    let (folder, platform) = (
        tempfile::tempdir().unwrap(),
        platform(SendFaults::default()).await,
    );
    let (folder, control) = (folder.path(), platform.control());
    messages(&folder.join("messages.ndjson"), 30, 30, &json!({}));
    let third = [SendFault::None, SendFault::None, Refused(503)];
    control.plan_sends(third.iter().cycle().take(30).cloned());
    let breaker = "concurrency: 1, breaker: { open_for: 1h }";
    let observer = run_all(&with(folder, &platform, LEAST, breaker)).await;
    assert!(none_open(&observer));
    assert_eq!((control.tries().len(), control.messages().len()), (40, 30));
}

fn none_open(observer: &Observer) -> bool {
    (observer.alerts().iter()).all(|alert| alert.name != "breaker_open")
}

/// Answers that are lost after the platform took the message: how often it was taken is as the policy
/// says, to the message.
#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_are_repeated_or_set_aside_as_the_policy_says() {
    for policy in BOTH {
        let lost = SendFaults {
            lost: 0.2,
            ..SendFaults::default()
        };
        let (folder, platform) = (tempfile::tempdir().unwrap(), platform(lost).await);
        let (folder, control) = (folder.path(), platform.control());
        messages(&folder.join("messages.ndjson"), 100, 100, &json!({}));
        let settings = "timeout: 500ms, breaker: false";
        run_all(&with(folder, &platform, policy, settings)).await;
        let fates = fates(&platform, folder);
        // Every call was taken; each but the last of a message was lost.
        let (calls, taken) = (control.tries().len(), control.messages().len());
        assert_eq!(calls, taken);
        let unknown = fates.values().filter(|fate| fate.1 == "unknown").count();
        let sent = fates.values().filter(|fate| fate.1 == "sent").count();
        let dead = reasons(folder);
        assert_eq!((fates.len(), sent + unknown), (100, 100));
        match policy {
            LEAST => {
                assert!(taken > 100, "some were lost");
                assert_eq!((sent, dead.len()), (100, 0));
                let repeated = lines(&folder.join("statuses.ndjson"));
                let repeated = repeated.iter().filter(|it| it["attempts"] != 1).count();
                let twice = fates.values().filter(|fate| fate.0 > 1).count();
                assert_eq!(repeated, twice);
            }
            _ => {
                assert!(unknown > 0, "some were lost");
                assert_eq!((taken, dead.len()), (100, unknown));
                assert!(dead.iter().all(|reason| reason == "uncertain"));
            }
        }
    }
}

//! Messages to customers, from a file to the simulated platform, with everything that can go wrong on
//! the way; and budgets that two clients share through a real Redis.

#[path = "shared_state/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "open_messaging/world.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod world;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::RedisServer;
use trunkline::client::genesys::{Credentials, Rate};
use trunkline::client::tenants::{About, Config, Description, Place, Policy, Tenants, Told};
use trunkline::config::{Fixed, parse};
use trunkline::graph::check::check;
use trunkline::graph::probe::probe;
use trunkline::layer::Grade;
use trunkline::observe::render_metrics;
use trunkline::setting::Secret;
use trunkline::simulator::{self, SendFaults, Simulator};
use world::{fates, lines, messages, pipeline, platform, run_all};

fn faults() -> SendFaults {
    SendFaults {
        throttled: 0.02,
        unauthorized: 0.02,
        failed: 0.05,
        gateway: 0.05,
        ..SendFaults::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_least_once_every_message_is_sent_whatever_goes_wrong_and_in_order() {
    let (folder, platform) = (tempfile::tempdir().unwrap(), platform(faults()).await);
    messages(&folder.path().join("messages.ndjson"), 400, 40, &json!({}));
    let text = pipeline(folder.path(), &platform.url(), "at_least_once");
    let observer = run_all(&text).await;
    let fates = fates(&platform, folder.path());
    assert_eq!(fates.len(), 400);
    assert!(
        fates
            .values()
            .all(|(times, status)| *times >= 1 && status == "sent")
    );
    assert!(lines(&folder.path().join("dead.ndjson")).is_empty());
    // Each customer's messages came in their order, twice where the gateway gave up.
    let mut last: HashMap<String, usize> = HashMap::new();
    for heard in platform.control().messages() {
        let number = heard.text[2..].parse().unwrap();
        let before = last.insert(heard.partner, number);
        assert!(before.is_none_or(|before| before <= number));
    }
    let metrics = render_metrics(&[observer]);
    assert!(!metrics.contains("customer-") && !metrics.contains("client_secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_once_no_message_is_sent_twice_and_what_nobody_knows_is_set_aside() {
    let (folder, platform) = (tempfile::tempdir().unwrap(), platform(faults()).await);
    messages(&folder.path().join("messages.ndjson"), 400, 40, &json!({}));
    let text = pipeline(folder.path(), &platform.url(), "at_most_once");
    run_all(&text).await;
    let fates = fates(&platform, folder.path());
    let dead = lines(&folder.path().join("dead.ndjson"));
    assert!(fates.values().all(|(times, _)| *times <= 1));
    let unknown = fates
        .values()
        .filter(|(_, status)| status == "unknown")
        .count();
    let sent = fates
        .values()
        .filter(|(times, status)| *times == 1 && status == "sent")
        .count();
    assert_eq!((sent + unknown, dead.len()), (400, unknown));
    assert!(unknown > 0 && dead.iter().all(|it| it["reason"] == "unanswered"));
    // A second run over the same messages sends none of them again.
    let before = platform.control().messages().len();
    run_all(&text).await;
    assert_eq!(platform.control().messages().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_without_tenants_sends_to_the_simulator() {
    let folder = tempfile::tempdir().unwrap();
    let demo = json!({"tenantId": "demo", "organizationId": "demo"});
    messages(&folder.path().join("messages.ndjson"), 20, 5, &demo);
    let text = pipeline(folder.path(), "http://unused", "at_least_once");
    let (head, rest) = text.split_once("tenants:").unwrap();
    let (_, rest) = rest.split_once("dead_letter:").unwrap();
    let text = format!("{head}simulator: {{ rate: 1 }}\ndead_letter:{rest}");
    run_all(&text).await;
    let statuses = lines(&folder.path().join("statuses.ndjson"));
    assert_eq!(statuses.len(), 20);
    assert!(
        statuses
            .iter()
            .all(|it| it["status"] == "sent" && it["platformMessageId"].is_string())
    );
    // Without a simulator either there is nobody to send to.
    let text = text.replace("simulator: { rate: 1 }", "");
    let checked = check(&parse("p.yaml", &text, &Fixed::default()));
    let codes: Vec<_> = checked.report.iter().map(|it| it.code).collect();
    assert!(
        checked.pipeline.is_none() && codes.contains(&"missing-field"),
        "{codes:?}"
    );
}

fn worker(redis: &str, rate: Rate) -> Tenants {
    let about = About {
        place: Place::At("http://127.0.0.1:1".into()),
        credentials: Some(Credentials {
            client_id: "id".into(),
            client_secret: Secret::new("hush"),
        }),
        integrations: Vec::new(),
        rate,
        breaker: None,
        policy: Policy::AtLeastOnce,
        webhook_secret: None,
    };
    let description = Description {
        organizations: BTreeMap::from([("eu".to_owned(), about)]),
        flags: BTreeMap::new(),
    };
    Tenants::new(Config {
        told: Told::List(BTreeMap::from([("acme".to_owned(), description)])),
        shared_budget: Some(Secret::new(redis)),
    })
}

/// Takes as many places as there are for so long; answers how many.
async fn take(tenants: &Tenants, time: Duration) -> usize {
    let organization = tenants.organization("acme", "eu").await.unwrap();
    let (from, mut taken) = (Instant::now(), 0);
    while let Some(left) = time.checked_sub(from.elapsed()) {
        match tokio::time::timeout(left, organization.client().turn()).await {
            Ok(()) => taken += 1,
            Err(_) => break,
        }
    }
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_one_budget_and_keep_to_their_shares_without_redis() {
    let mut redis = RedisServer::start();
    let rate = Rate {
        events: 40,
        per: Duration::from_secs(1),
    };
    let (a, b) = (worker(&redis.url(), rate), worker(&redis.url(), rate));
    let time = Duration::from_millis(2_500);
    let (one, other) = tokio::join!(take(&a, time), take(&b, time));
    // Three or four windows begin in this time.
    let both = one + other;
    assert!((80..=160).contains(&both), "{one} + {other}");
    assert!(one > 0 && other > 0 && a.unshared().is_none());
    redis.kill();
    let (one, other) = tokio::join!(take(&a, time), take(&b, time));
    for taken in [one, other] {
        assert!(
            (20..=100).contains(&taken),
            "half of the budget each: {one} and {other}"
        );
    }
    assert!(a.unshared().is_some_and(|why| !why.contains("127.0.0.1")));
    redis.restart();
    let until = Instant::now() + Duration::from_secs(20);
    while a.unshared().is_some() {
        assert!(Instant::now() < until, "it is back");
        take(&a, Duration::from_millis(200)).await;
    }
}

/// The pipeline with a state that is gone after each run, and this keeper of statuses.
fn kept_by(folder: &Path, url: &str, statuses: &str) -> String {
    let text = pipeline(folder, url, "at_most_once");
    let state = format!(
        "state: {{ type: embedded, path: {}/state }}",
        folder.display()
    );
    let kept = format!("accepted: false, statuses: {statuses},");
    text.replace(&state, "").replace("accepted: false,", &kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_in_redis_outlive_the_worker() {
    let (folder, redis) = (tempfile::tempdir().unwrap(), RedisServer::start());
    let platform = platform(SendFaults::default()).await;
    messages(&folder.path().join("messages.ndjson"), 30, 30, &json!({}));
    let statuses = format!("{{ redis: \"{}\" }}", redis.url());
    let text = kept_by(folder.path(), &platform.url(), &statuses);
    for _ in 0..2 {
        run_all(&text).await;
    }
    assert_eq!(platform.control().messages().len(), 30);
    assert_eq!(lines(&folder.path().join("statuses.ndjson")).len(), 60);
    // Each by its own id, and by the platform's.
    assert_eq!(redis.command("DBSIZE").unwrap(), ":60");
}

type Kept = std::sync::Arc<std::sync::Mutex<HashMap<String, String>>>;

/// A keeper of statuses over HTTP.
async fn keeper() -> (String, Kept) {
    use axum::extract::State;
    use axum::http::{HeaderMap, Method, StatusCode, Uri};
    let serve = |State(kept): State<Kept>,
                 method: Method,
                 uri: Uri,
                 headers: HeaderMap,
                 body: String| async move {
        if headers["authorization"] != "Bearer hush" {
            return (StatusCode::UNAUTHORIZED, String::new());
        }
        let mut kept = kept.lock().unwrap();
        if method == Method::PUT {
            kept.insert(uri.to_string(), body);
            return (StatusCode::NO_CONTENT, String::new());
        }
        match kept.get(&uri.to_string()) {
            Some(body) => (StatusCode::OK, body.clone()),
            None => (StatusCode::NOT_FOUND, String::new()),
        }
    };
    let kept = Kept::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(serve).with_state(kept.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_kept_by_a_service_over_http() {
    let (folder, (url, kept)) = (tempfile::tempdir().unwrap(), keeper().await);
    let platform = platform(SendFaults::default()).await;
    messages(&folder.path().join("messages.ndjson"), 30, 30, &json!({}));
    let statuses = format!("{{ http: \"{url}\", token: hush }}");
    let text = kept_by(folder.path(), &platform.url(), &statuses);
    for _ in 0..2 {
        run_all(&text).await;
    }
    assert_eq!(platform.control().messages().len(), 30);
    let kept = kept.lock().unwrap();
    let one = &kept["/v1/messages/m-7/status?tenant=acme&organization=eu"];
    let one: Value = serde_json::from_str(one).unwrap();
    assert_eq!(
        (kept.len(), &one["state"], &one["attempts"]),
        (60, &json!("sent"), &json!(1))
    );
}

#[test]
fn a_file_of_tenants_is_read_with_its_own_places_and_watched() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tenants.yaml");
    std::fs::write(folder.path().join("secret.txt"), "hunter2").unwrap();
    let text = pipeline(folder.path(), "http://unused", "at_least_once");
    let (head, rest) = text.split_once("tenants:").unwrap();
    let (_, rest) = rest.split_once("dead_letter:").unwrap();
    let text = format!(
        "{head}tenants: {{ file: {} }}\ndead_letter:{rest}",
        file.display()
    );
    let check = |content: &str| {
        std::fs::write(&file, content).unwrap();
        check(&parse("p.yaml", &text, &Fixed::default()))
    };
    let good = "acme:\n  organizations:\n    eu:\n      region: mypurecloud.ie\n      \
         auth: { client_id: id, client_secret: \"${file:secret.txt}\" }\n";
    let checked = check(good);
    let told: Vec<_> = checked.report.iter().map(|it| it.message.clone()).collect();
    let tenants = checked
        .pipeline
        .unwrap_or_else(|| panic!("{told:?}"))
        .tenants
        .unwrap();
    assert!(matches!(tenants.config().told, Told::List(list) if list.contains_key("acme")));
    assert!(checked.files.contains(&file));
    let wrong = check(&good.replace("mypurecloud.ie", "hunter2"));
    let one = wrong
        .report
        .iter()
        .find(|it| it.code == "unknown-value")
        .unwrap();
    assert!(
        one.file.ends_with("tenants.yaml") && one.span.unwrap().line == 4,
        "{one:?}"
    );
    std::fs::remove_file(&file).unwrap();
    let gone = trunkline::graph::check::check(&parse("p.yaml", &text, &Fixed::default()));
    assert!(gone.report.iter().any(|it| it.code == "unreadable-file"));
}

/// What a look at the sink finds.
async fn look(text: &str) -> Vec<(Grade, String)> {
    let checked = check(&parse("p.yaml", text, &Fixed::default()));
    let told: Vec<_> = checked.report.iter().map(|it| it.message.clone()).collect();
    let pipeline = checked.pipeline.unwrap_or_else(|| panic!("{told:?}"));
    let found = probe(&pipeline, Duration::from_secs(10)).await;
    let found = found.into_iter().find(|it| it.node == "messages").unwrap();
    let findings = found.findings.into_iter();
    findings.map(|it| (it.grade, it.message)).collect()
}

/// Each grade with a part of what is said.
fn is(found: &[(Grade, String)], awaited: &[(Grade, &str)]) {
    assert_eq!(found.len(), awaited.len(), "{found:?}");
    for ((grade, message), (wanted, part)) in found.iter().zip(awaited) {
        assert!(grade == wanted && message.contains(part), "{found:?}");
        assert!(!message.contains("hush"), "{found:?}");
    }
}

const INTEGRATION: &str = "0e0e0e0e-0000-4000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_each_organisation_for_a_token_and_its_integrations_and_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut blind = simulator::Client::new("blind", "hush-hush");
    blind.permissions = vec!["conversation:message:create".into()];
    let platform = Simulator::start(simulator::Config {
        clients: vec![simulator::Client::new("simulator", "simulator"), blind],
        paused: true,
        ..simulator::Config::default()
    });
    let platform = platform.await.unwrap();
    let good = pipeline(folder.path(), &platform.url(), "at_least_once");
    is(
        &look(&good).await,
        &[
            (
                Grade::Good,
                "`acme/eu`: the platform takes the credentials, in ",
            ),
            (Grade::Good, "is there, in "),
        ],
    );
    let other = "11111111-2222-4333-8444-555555555555";
    let missing = good.replace(INTEGRATION, other);
    let found = look(&missing).await;
    is(&found[1..], &[(Grade::Error, "is not there")]);
    let wrong = good.replace("client_secret: simulator", "client_secret: hush-hush");
    is(&look(&wrong).await, &[(Grade::Error, "`acme/eu`: ")]);
    let blind = wrong.replace("client_id: simulator", "client_id: blind");
    let found = look(&blind).await;
    is(
        &found[1..],
        &[(Grade::Unknown, "messaging:integration:view")],
    );
    let off = wrong.replace(
        "type: open_messaging,",
        "type: open_messaging, enabled: false,",
    );
    is(&look(&off).await, &[]);
    let gone = good.replace(&platform.url(), "http://127.0.0.1:1");
    is(&look(&gone).await, &[(Grade::Error, "`acme/eu`: ")]);
    assert!(platform.control().tries().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_of_a_tenant_service_shows_whether_it_answers_as_it_should() {
    use axum::http::StatusCode;
    let folder = tempfile::tempdir().unwrap();
    let text = pipeline(folder.path(), "http://unused", "at_least_once");
    let (head, rest) = text.split_once("tenants:").unwrap();
    let (_, rest) = rest.split_once("dead_letter:").unwrap();
    let with = |url: &str| {
        format!(
            "{head}tenants: {{ service: {{ url: \"{url}\", token: hush }} }}\ndead_letter:{rest}"
        )
    };
    let good = r#"{"organizations":{"eu":{"region":"mypurecloud.ie","auth":{"client_id":"a","client_secret":"hush"}}}}"#;
    for (status, body, grade, part) in [
        (404, "", Grade::Good, "knows no tenant `trunkline-probe`"),
        (200, good, Grade::Good, "with a tenant as it should"),
        (
            200,
            r#"{"organizations":"hush"}"#,
            Grade::Error,
            "tenant service",
        ),
        (200, "hush", Grade::Error, "tenant service"),
        (401, "hush", Grade::Error, "tenant service"),
        (503, "", Grade::Error, "tenant service"),
    ] {
        let answer = move || async move { (StatusCode::from_u16(status).unwrap(), body) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        is(&look(&with(&url)).await, &[(grade, part)]);
    }
    let gone = look(&with("http://127.0.0.1:1")).await;
    is(&gone, &[(Grade::Error, "tenant service")]);
}

//! Metrics sent to OpenTelemetry by processes that run, to a collector that takes nothing but what the
//! protocol says, and to some that lie, refuse or are not there.

#[path = "kit/running.rs"]
mod running;

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use running::{LIMIT, Running, text, trunkline};

/// A document that was posted, and when.
struct Posted {
    at: Instant,
    document: Value,
    headers: HeaderMap,
}

/// What is answered: a status, `Retry-After`, and a body. The last one goes on for ever.
type Answer = (u16, Option<&'static str>, Value);
type Shared = Arc<(Mutex<Sender<Posted>>, Mutex<Vec<Answer>>)>;

/// Lives until it is dropped.
struct Collector {
    address: String,
    posted: Receiver<Posted>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Collector {
    fn start(mut answers: Vec<Answer>) -> Self {
        let (sender, posted) = channel();
        answers.reverse();
        let shared: Shared = Arc::new((Mutex::new(sender), Mutex::new(answers)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = Router::new()
            .route("/v1/metrics", post(take))
            .with_state(shared);
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            posted,
            runtime: Some(runtime),
        }
    }

    fn next(&self) -> Posted {
        self.posted.recv_timeout(LIMIT).expect("a document")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn take(
    State(shared): State<Shared>,
    _: Uri,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    let document = serde_json::from_str(&body).expect("JSON");
    let posted = Posted {
        at: Instant::now(),
        document,
        headers,
    };
    let _ = shared.0.lock().unwrap().send(posted);
    let mut answers = shared.1.lock().unwrap();
    let (status, after, body) = match answers.len() {
        0 => (200, None, json!({})),
        1 => answers[0].clone(),
        _ => answers.pop().unwrap(),
    };
    let mut headers = HeaderMap::new();
    if let Some(after) = after {
        headers.insert("retry-after", after.parse().unwrap());
    }
    (
        StatusCode::from_u16(status).unwrap(),
        headers,
        body.to_string(),
    )
}

/// The members of an object, which are these and those that may be missing.
fn members<'a>(
    value: &'a Value,
    all: &[&str],
    some: &[&str],
) -> &'a serde_json::Map<String, Value> {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"));
    let named: BTreeSet<_> = object.keys().map(String::as_str).collect();
    assert!(
        all.iter().all(|name| named.contains(name)),
        "{named:?} lacks some of {all:?}"
    );
    let known = |name: &&str| all.contains(name) || some.contains(name);
    assert!(
        named.iter().all(known),
        "{named:?}: more than {all:?} and {some:?}"
    );
    object
}

fn list(value: &Value) -> &Vec<Value> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"))
}

/// 64-bit integers are text (proto3's JSON mapping).
fn integer(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.parse().unwrap()
}

fn attributes(value: &Value) -> Vec<(&str, &str)> {
    let pairs = list(value).iter().map(|pair| {
        members(pair, &["key", "value"], &[]);
        members(&pair["value"], &["stringValue"], &[]);
        (
            pair["key"].as_str().unwrap(),
            pair["value"]["stringValue"].as_str().unwrap(),
        )
    });
    let pairs: Vec<_> = pairs.collect();
    let keys: BTreeSet<_> = pairs.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.len(), pairs.len(), "a key twice: {pairs:?}");
    pairs
}

/// Every metric by its name, after all of the document was held against the protocol
/// (`opentelemetry/proto/metrics/v1/metrics.proto`, release 1).
fn checked(document: &Value) -> Vec<(String, Value)> {
    members(document, &["resourceMetrics"], &[]);
    let mut found = Vec::new();
    for of in list(&document["resourceMetrics"]) {
        members(of, &["resource", "scopeMetrics"], &["schemaUrl"]);
        members(
            &of["resource"],
            &["attributes"],
            &["droppedAttributesCount"],
        );
        let named: BTreeSet<_> = attributes(&of["resource"]["attributes"])
            .iter()
            .map(|it| it.0)
            .collect();
        assert!(named.contains("service.name") && named.contains("service.instance.id"));
        for scope in list(&of["scopeMetrics"]) {
            members(scope, &["scope", "metrics"], &["schemaUrl"]);
            members(&scope["scope"], &["name"], &["version", "attributes"]);
            for metric in list(&scope["metrics"]) {
                found.push((metric["name"].as_str().unwrap().to_owned(), metric.clone()));
                check_metric(metric);
            }
        }
    }
    let names: BTreeSet<_> = found.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), found.len(), "a metric twice");
    found
}

fn check_metric(metric: &Value) {
    members(
        metric,
        &["name", "description", "unit"],
        &["sum", "gauge", "histogram"],
    );
    assert!(!metric["name"].as_str().unwrap().ends_with("_total"));
    let kinds = ["sum", "gauge", "histogram"];
    let data: Vec<_> = kinds
        .iter()
        .filter(|kind| metric.get(kind).is_some())
        .collect();
    assert_eq!(data.len(), 1, "one kind of data: {metric}");
    let (kind, data) = (*data[0], &metric[*data[0]]);
    match kind {
        "sum" => drop(members(
            data,
            &["dataPoints", "aggregationTemporality", "isMonotonic"],
            &[],
        )),
        "gauge" => drop(members(data, &["dataPoints"], &[])),
        _ => drop(members(
            data,
            &["dataPoints", "aggregationTemporality"],
            &[],
        )),
    }
    if kind != "gauge" {
        assert_eq!(
            data["aggregationTemporality"], 2,
            "a number, and cumulative"
        );
    }
    let points = list(&data["dataPoints"]);
    let mut seen = BTreeSet::new();
    assert!(!points.is_empty());
    for point in points {
        assert!(
            seen.insert(attributes(&point["attributes"])),
            "twice: {point}"
        );
        let now = integer(&point["timeUnixNano"]);
        if kind != "gauge" {
            assert!(integer(&point["startTimeUnixNano"]) <= now);
        }
        if kind != "histogram" {
            members(
                point,
                &["attributes", "timeUnixNano", "asDouble"],
                &["startTimeUnixNano"],
            );
            assert!(point["asDouble"].is_number());
            continue;
        }
        let all = [
            "attributes",
            "startTimeUnixNano",
            "timeUnixNano",
            "count",
            "sum",
            "bucketCounts",
            "explicitBounds",
        ];
        members(point, &all, &["min", "max"]);
        let counts: Vec<_> = list(&point["bucketCounts"]).iter().map(integer).collect();
        let bounds: Vec<_> = list(&point["explicitBounds"])
            .iter()
            .map(|it| it.as_f64().unwrap())
            .collect();
        assert_eq!(
            (counts.len(), counts.iter().sum()),
            (bounds.len() + 1, integer(&point["count"]))
        );
        assert!(bounds.is_sorted_by(|a, b| a < b));
    }
}

/// The figure of a metric at this node.
fn figure(document: &Value, name: &str, node: &str) -> Option<f64> {
    let all = checked(document);
    let (_, metric) = all.iter().find(|(known, _)| known == name)?;
    let data = metric.get("sum").or_else(|| metric.get("gauge"))?;
    let points = list(&data["dataPoints"]).iter();
    let mut points = points
        .filter(|it| node.is_empty() || attributes(&it["attributes"]).contains(&("node", node)));
    points.next()?["asDouble"].as_f64()
}

fn pipeline(endpoint: &str, more: &str) -> String {
    format!(
        "version: 1\nname: calls\napi: {{ address: \"127.0.0.1:0\" }}\n\
         metrics:\n  otlp: {{ endpoint: \"http://{endpoint}\", interval: 1s{more} }}\n\
         sources:\n  in: {{ type: stdin, framing: lines }}\n\
         sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n\
         dead_letter: {{ type: blackhole }}\n"
    )
}

fn feed(running: &mut Running, count: usize) {
    use std::io::Write;
    let text = "{\"id\":1}\n".repeat(count);
    running
        .input
        .as_mut()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

#[test]
fn figures_are_sent_as_the_protocol_says_and_the_last_ones_too() {
    let collector = Collector::start(Vec::new());
    let more = ", service: wall, instance: one, headers: { X-Key: \"${TOKEN}\" }";
    let mut running = Running::start(&[&pipeline(&collector.address, more)]);
    feed(&mut running, 1_000);
    let received = |posted: &Posted| {
        figure(&posted.document, "trunkline_events_received", "out").unwrap_or(0.0)
    };
    let first = collector.next();
    assert_eq!(first.headers["x-key"], "s3same");
    assert_eq!(first.headers["content-type"], "application/json");
    let mut last = first;
    while received(&last) < 1_000.0 {
        last = collector.next();
    }
    let next = collector.next();
    let between = next.at - last.at;
    assert!(
        between > Duration::from_millis(800),
        "each second: {between:?}"
    );
    let resource = &next.document["resourceMetrics"][0]["resource"]["attributes"];
    let resource = attributes(resource);
    assert!(resource.contains(&("service.name", "wall")), "{resource:?}");
    assert!(
        resource.contains(&("service.instance.id", "one")),
        "{resource:?}"
    );
    let latency = checked(&next.document);
    assert!(latency.iter().any(
        |(name, it)| name == "trunkline_batch_latency_seconds" && it.get("histogram").is_some()
    ));

    // What comes right before the end is in the last document.
    feed(&mut running, 234);
    running.stop();
    let end = collector.posted.try_iter().last().expect("a last document");
    assert_eq!(
        figure(&end.document, "trunkline_events_delivered", "out"),
        Some(1_234.0)
    );
    assert_eq!(figure(&end.document, "trunkline_up", ""), Some(0.0));
}

#[test]
fn a_collector_that_is_busy_is_asked_when_it_says_and_one_that_refuses_is_told_of() {
    let rejected =
        json!({ "partialSuccess": { "rejectedDataPoints": "3", "errorMessage": "too\u{1b} old" } });
    let collector = Collector::start(vec![
        (503, Some("3"), json!({})),
        (400, None, json!({})),
        (200, None, rejected),
        (200, None, json!({})),
    ]);
    let running = Running::start(&[&pipeline(&collector.address, "")]);
    let busy = collector.next();
    let line = running.told("alert raised");
    assert!(
        line.contains("metrics_unsent") && line.contains("503"),
        "{line}"
    );
    let again = collector.next();
    let waited = again.at - busy.at;
    assert!(
        waited >= Duration::from_millis(2_900),
        "Retry-After: {waited:?}"
    );
    collector.next();
    let line = running.told("alert cleared");
    assert!(line.contains("taken again"), "{line}");
    running.stop();
}

#[test]
fn a_collector_that_is_gone_or_never_answers_holds_nothing_up() {
    // Listens, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent
        .local_addr()
        .map(|it| (it.to_string(), silent))
        .unwrap();
    let nobody = format!("127.0.0.1:{}", running::free_port());
    for (endpoint, told) in [(nobody, "not taken"), (silent.0.clone(), "not taken")] {
        let mut running = Running::start(&[&pipeline(&endpoint, ", timeout: 1s")]);
        let line = running.told("alert raised");
        assert!(
            line.contains("metrics_unsent") && line.contains(told),
            "{line}"
        );
        feed(&mut running, 5_000);
        let from = Instant::now();
        let summary = running.stop();
        assert_eq!(summary["whole"]["delivered"], 5_000);
        assert!(
            from.elapsed() < Duration::from_secs(10),
            "{:?}",
            from.elapsed()
        );
    }
}

#[test]
fn a_probe_says_whether_metrics_are_taken() {
    let collector = Collector::start(vec![(200, None, json!({})), (401, None, json!({}))]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.yaml");
    std::fs::write(&file, pipeline(&collector.address, "")).unwrap();
    for (told, code) in [("it takes metrics", 0), ("it takes no metrics: 401", 0)] {
        let output = trunkline()
            .args(["validate", "--probe"])
            .arg(&file)
            .output()
            .unwrap();
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(
            shown.contains("metrics otlp") && shown.contains(told),
            "{shown}"
        );
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(collector.next().document, json!({ "resourceMetrics": [] }));
    }
}

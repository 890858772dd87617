//! The HTTP interface over real sockets.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};
use trunkline::api::{self, Access};
use trunkline::edge::{Edge, EdgePolicy, Tasks, WhenFull};
use trunkline::event::{Batch, Event};
use trunkline::observe::{
    Guarantee, NodeKind, NodeMeter, Observer, Promise, Query, RunState, View, ViewAnswer,
};
use trunkline::stage::Stage;

struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Server {
    async fn of(observers: &[Observer]) -> Self {
        Self::with(observers, Access::open()).await
    }

    async fn with(observers: &[Observer], access: Access) -> Self {
        let (stop, stopped) = oneshot::channel();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, task) = api::serve(any, observers.to_vec(), access, stopped)
            .await
            .unwrap();
        Self {
            address,
            task,
            stop,
        }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(5), self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn is_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(
            self.head
                .contains("content-type: application/problem+json\r\n"),
            "{}",
            self.head
        );
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    send(address, request.as_bytes()).await
}

async fn send(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut text = Vec::new();
    // A server that refuses early may reset the connection after its answer.
    let _ = stream.read_to_end(&mut text).await;
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: format!("{head}\r\n").to_lowercase(),
        body: body.to_owned(),
    }
}

fn calls() -> Observer {
    let observer = Observer::new("calls");
    observer
        .node("in", NodeKind::Source, "stdin")
        .received(5, 100);
    observer
        .node("out", NodeKind::Sink, "blackhole")
        .delivered(5, 100);
    observer.set_promises(vec![Promise {
        source: "in".into(),
        sink: "out".into(),
        guarantee: Guarantee::AtLeastOnce,
        why: "it is so".into(),
    }]);
    observer
}

#[tokio::test]
async fn metrics_and_ledgers_show_the_observers_figures() {
    let observer = calls();
    let server = Server::of(&[observer.clone(), Observer::new("other one")]).await;

    let metrics = ask(server.address, "GET", "/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        metrics.head
    );
    let line = "trunkline_events_received_total\
                {pipeline=\"calls\",node=\"in\",component=\"stdin\"} 5\n";
    assert!(metrics.body.contains(line), "{}", metrics.body);

    let all = ask(server.address, "GET", "/api/v1/pipelines").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    assert_eq!(
        (&all[0]["name"], &all[0]["state"]),
        (&"calls".into(), &"starting".into())
    );
    assert_eq!(all[0]["whole"]["delivered"], 5);
    let promised = serde_json::json!([
        { "source": "in", "sink": "out", "guarantee": "at_least_once", "why": "it is so" }
    ]);
    assert_eq!(all[0]["promises"], promised);

    let ledger = ask(server.address, "GET", "/api/v1/pipelines/calls/ledger")
        .await
        .json();
    assert_eq!(ledger["nodes"][0]["received"], 5);
    let other = ask(
        server.address,
        "GET",
        "/api/v1/pipelines/other%20one/ledger",
    )
    .await
    .json();
    assert_eq!(other["pipeline"], "other one");
    server.end().await;
}

#[tokio::test]
async fn ready_is_only_who_runs() {
    let (a, b) = (calls(), Observer::new("b"));
    let server = Server::of(&[a.clone(), b.clone()]).await;
    a.set_state(RunState::Running);
    b.set_state(RunState::Running);
    let ready = ask(server.address, "GET", "/health/ready").await;
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &"ready".into())
    );

    b.set_state(RunState::Failed("the disk is full".into()));
    let unready = ask(server.address, "GET", "/health/ready").await;
    assert_eq!(unready.status, 503);
    let why = &unready.json()["pipelines"];
    assert_eq!(why.as_array().unwrap().len(), 1);
    assert_eq!(
        (&why[0]["name"], &why[0]["state"]),
        (&"b".into(), &"failed".into())
    );
    assert_eq!(why[0]["reason"], "the disk is full");
    let live = ask(server.address, "GET", "/health/live").await;
    assert_eq!(
        live.status, 200,
        "a pipeline that failed is not a process that hangs"
    );
    server.end().await;
}

#[tokio::test]
async fn a_source_is_told_to_look_at_once() {
    let observer = Observer::new("exports");
    let _meters = ["bucket", "pipe"].map(|name| observer.node(name, NodeKind::Source, "test"));
    let trigger = observer.triggers().register(&"bucket".into());
    let server = Server::of(&[observer]).await;
    let path = |name: &str| format!("/api/v1/sources/{name}/trigger");
    // Twice before it looks is as good as once.
    for _ in 0..2 {
        let answer = ask(server.address, "POST", &path("bucket")).await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.json()["triggered"], true);
    }
    trigger.pulled().await;
    assert!(futures::poll!(std::pin::pin!(trigger.pulled())).is_pending());
    ask(server.address, "POST", &path("pipe"))
        .await
        .is_problem(409);
    ask(server.address, "POST", &path("none"))
        .await
        .is_problem(404);
    let refused = ask(server.address, "GET", &path("bucket")).await;
    refused.is_problem(405);
    assert!(refused.head.contains("allow: post\r\n"), "{}", refused.head);
    server.end().await;
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_a_problem_document() {
    let server = Server::of(&[calls()]).await;
    for path in [
        "/x",
        "/metrics/x",
        "/api/v1/pipelines/none/ledger",
        "/api/v1/pipelines/%ff/ledger",
    ] {
        let answer = ask(server.address, "GET", path).await;
        answer.is_problem(404);
    }
    for path in [
        "/metrics",
        "/health/live",
        "/api/v1/pipelines",
        "/api/v1/pipelines/calls/ledger",
    ] {
        for method in ["POST", "PUT", "DELETE"] {
            let answer = ask(server.address, method, path).await;
            answer.is_problem(405);
            assert!(
                answer.head.contains("allow: get,head\r\n"),
                "{}",
                answer.head
            );
        }
    }
    assert_eq!(ask(server.address, "HEAD", "/metrics").await.status, 200);
    server.end().await;
}

/// Shows its name, the path and the query at `shown/…`.
struct Shown(&'static str);

impl View for Shown {
    fn answer(
        self: Arc<Self>,
        path: &str,
        query: &Query,
    ) -> Option<BoxFuture<'static, ViewAnswer>> {
        let path = path.strip_prefix("shown/")?.to_owned();
        let query = query.to_vec();
        Some(async move { ViewAnswer::json(&(self.0, path, query)) }.boxed())
    }
}

/// Two pipelines: one with a view at `left`, one with two at `left` and `right`.
fn shown() -> [Observer; 2] {
    let (one, two) = (Observer::new("one"), Observer::new("two"));
    one.views().publish("left", Arc::new(Shown("one left")));
    two.views().publish("left", Arc::new(Shown("two left")));
    two.views().publish("right", Arc::new(Shown("two right")));
    [one, two]
}

#[tokio::test]
async fn views_answer_below_the_api_and_nothing_else_does() {
    let [one, _] = shown();
    let server = Server::of(&[one]).await;
    let at = server.address;
    let answer = ask(
        at,
        "GET",
        "/api/v1/shown/a%2Fb%20%C3%A9?tz=Europe%2FBerlin&x=1+2",
    )
    .await;
    assert_eq!(answer.status, 200);
    let expected = serde_json::json!([
        "one left",
        "a/b \u{e9}",
        [["tz", "Europe/Berlin"], ["x", "1 2"]]
    ]);
    assert_eq!(answer.json(), expected);
    assert!(answer.head.contains("cache-control: no-store\r\n"));
    assert!(answer.head.contains("x-content-type-options: nosniff\r\n"));
    let head = ask(at, "HEAD", "/api/v1/shown/a").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(at, method, "/api/v1/shown/a").await;
        answer.is_problem(405);
        assert!(
            answer.head.contains("allow: get, head\r\n"),
            "{}",
            answer.head
        );
        ask(at, method, "/api/v1/nothing").await.is_problem(404);
    }
    for path in [
        "/api/v1/nothing",
        "/api/v1/shown",
        "/api/v1/",
        "/api/v1/shown/%ff",
    ] {
        ask(at, "GET", path).await.is_problem(404);
    }
    server.end().await;
}

#[tokio::test]
async fn one_of_several_views_is_chosen_by_pipeline_and_node() {
    let server = Server::of(&shown()).await;
    let get = async |query: &str| {
        let path = format!("/api/v1/shown/x{query}");
        ask(server.address, "GET", &path).await
    };
    let all = get("").await;
    all.is_problem(409);
    let choices = serde_json::json!([
        { "pipeline": "one", "node": "left" },
        { "pipeline": "two", "node": "left" },
        { "pipeline": "two", "node": "right" },
    ]);
    assert_eq!(all.json()["choices"], choices);
    assert_eq!(
        get("?pipeline=one").await.json(),
        serde_json::json!(["one left", "x", []])
    );
    get("?pipeline=two").await.is_problem(409);
    let right = get("?node=right&a=b").await.json();
    assert_eq!(right, serde_json::json!(["two right", "x", [["a", "b"]]]));
    get("?pipeline=three").await.is_problem(404);
    get("?pipeline=one&node=right").await.is_problem(404);
    server.end().await;
}

/// A request with these header lines.
async fn with(address: SocketAddr, method: &str, path: &str, lines: &[&str]) -> Answer {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n");
    send(address, request.as_bytes()).await
}

#[tokio::test]
async fn who_brings_the_token_is_answered_and_nobody_else() {
    let observers = [calls()];
    observers[0].set_state(RunState::Running);
    for everything in [false, true] {
        let access = Access::open().with_token("s3same", everything);
        let server = Server::with(&observers, access).await;
        let at = server.address;
        let open = if everything { 401 } else { 200 };
        for path in ["/metrics", "/health/live", "/health/ready"] {
            assert_eq!(ask(at, "GET", path).await.status, open, "{path}");
        }
        for path in [
            "/api/v1/pipelines",
            "/api/v1/pipelines/calls/ledger",
            "/nothing",
        ] {
            let refused = ask(at, "GET", path).await;
            refused.is_problem(401);
            assert!(refused.head.contains("www-authenticate: bearer\r\n"));
            let wrong = with(at, "GET", path, &["Authorization: Bearer s3sam"]).await;
            wrong.is_problem(401);
            assert!(!wrong.body.contains("s3s"));
            let right = with(at, "GET", path, &["Authorization: Bearer s3same"]).await;
            assert_ne!(right.status, 401, "{path}");
        }
        server.end().await;
    }
}

#[tokio::test]
async fn pages_of_named_origins_may_read_answers() {
    let named = Access::open()
        .with_token("s3same", false)
        .allow_origins(&["https://wall.example".to_owned()]);
    let server = Server::with(&[calls()], named).await;
    let (at, path) = (server.address, "/api/v1/pipelines");
    let (wall, evil) = (
        "Origin: https://wall.example",
        "Origin: https://evil.example",
    );
    let token = "Authorization: Bearer s3same";
    let asks = "Access-Control-Request-Method: GET";
    let allowed = "access-control-allow-origin: https://wall.example\r\n";

    let preflight = with(at, "OPTIONS", path, &[wall, asks]).await;
    assert_eq!(
        (preflight.status, preflight.body.as_str()),
        (204, ""),
        "it needs no token"
    );
    for line in [
        allowed,
        "access-control-allow-methods: get, head, post, delete\r\n",
        "access-control-allow-headers: authorization, content-type, idempotency-key\r\n",
        "access-control-expose-headers: location, retry-after\r\n",
        "access-control-max-age: 600\r\n",
        "vary: origin\r\n",
    ] {
        assert!(
            preflight.head.contains(line),
            "{line} in {}",
            preflight.head
        );
    }
    let read = with(at, "GET", path, &[wall, token]).await;
    assert!(read.status == 200 && read.head.contains(allowed));
    // A page may see why it is refused, too.
    assert!(with(at, "GET", path, &[wall]).await.head.contains(allowed));
    let others = with(at, "GET", path, &[evil, token]).await;
    assert!(others.status == 200 && others.head.contains("vary: origin\r\n"));
    assert!(!others.head.contains("access-control-allow-origin"));
    let refused = with(at, "OPTIONS", path, &[evil, asks]).await;
    assert!(refused.status == 401 && !refused.head.contains("access-control"));
    server.end().await;

    let server = Server::with(&[calls()], Access::open().allow_origins(&["*".to_owned()])).await;
    let read = with(server.address, "GET", path, &[evil]).await;
    assert!(read.head.contains("access-control-allow-origin: *\r\n"));
    assert!(!read.head.contains("vary: origin"));
    assert!(
        !ask(server.address, "GET", path)
            .await
            .head
            .contains("access-control")
    );
    server.end().await;
}

#[tokio::test]
async fn heads_have_a_limit() {
    let server = Server::of(&[calls()]).await;
    let long = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(64 * 1024)
    );
    assert_ne!(send(server.address, long.as_bytes()).await.status, 200);
    let many = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "A: b\r\n".repeat(200)
    );
    assert_ne!(send(server.address, many.as_bytes()).await.status, 200);
    assert_eq!(
        send(server.address, b"\x16\x03\x01 not http\r\n\r\n")
            .await
            .status,
        400
    );
    assert_eq!(ask(server.address, "GET", "/health/live").await.status, 200);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_scrapes_at_once_beside_a_busy_pipeline_are_all_answered() {
    let observer = Observer::new("busy");
    let source = observer.node("in", NodeKind::Source, "stdin");
    let sink = observer.node("out", NodeKind::Sink, "blackhole");
    observer.set_state(RunState::Running);
    let server = Server::of(std::slice::from_ref(&observer)).await;
    let counting = tokio::spawn(async move {
        for _ in 0..20_000 {
            source.received(1, 1);
            sink.delivered(1, 1);
            source.delivered(1, 1);
            tokio::task::yield_now().await;
        }
    });
    // More than there are places: the rest must wait their turn, not fail.
    let scrapes: Vec<_> = (0..200)
        .map(|_| {
            let address = server.address;
            tokio::spawn(async move { ask(address, "GET", "/metrics").await })
        })
        .collect();
    for scrape in scrapes {
        let answer = scrape.await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("trunkline_up{pipeline=\"busy\"} 1\n"));
    }
    counting.await.unwrap();
    assert_eq!(observer.ledger().whole.delivered, 20_000);
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn places_are_limited_and_come_free_again() {
    let server = Server::of(&[calls()]).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0];
        stream.read_exact(&mut first).await.unwrap();
        idle.push(stream);
    }
    let address = server.address;
    let mut next = tokio::spawn(async move { ask(address, "GET", "/health/live").await });
    // With every place taken by a client that keeps its connection, the next one waits ...
    let waited = tokio::time::timeout(Duration::from_millis(100), &mut next).await;
    assert!(waited.is_err(), "the 65th connection was served");
    // ... until one leaves.
    idle.pop();
    assert_eq!(next.await.unwrap().status, 200);
    drop(idle);
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_awaited_for_long() {
    let server = Server::of(&[calls()]).await;
    let begun = tokio::time::Instant::now();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    let waited = begun.elapsed().as_secs();
    assert!((9..=11).contains(&waited), "closed after {waited} s");
    server.end().await;
}

#[tokio::test(start_paused = true)]
async fn no_connection_keeps_its_place_for_ever() {
    let server = Server::of(&[calls()]).await;
    let begun = tokio::time::Instant::now();
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    let mut answered = 0;
    // One request every five seconds never lets the connection idle for long enough to be closed.
    while busy
        .write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .is_ok()
    {
        let mut answer = [0; 1024];
        match busy.read(&mut answer).await {
            Ok(n) if n > 0 => answered += 1,
            _ => break,
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let lasted = begun.elapsed().as_secs();
    assert!((60..=75).contains(&lasted), "closed after {lasted} s");
    assert!(answered >= 10, "{answered} answers");
    server.end().await;
}

#[tokio::test]
async fn a_stop_closes_idle_connections_and_the_port() {
    let server = Server::of(&[calls()]).await;
    let address = server.address;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0];
    idle.read_exact(&mut first).await.unwrap();
    server.end().await;
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let server = Server::of(&[]).await;
    let taken = api::serve(
        server.address,
        Vec::new(),
        Access::open(),
        std::future::pending::<()>(),
    )
    .await;
    let error = taken.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let text = error.to_string();
    assert!(text.contains("api: cannot listen on") && text.contains(&server.address.to_string()));
    server.end().await;
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

impl Log {
    fn lines_with(&self, part: &str) -> usize {
        let text = self.0.lock().unwrap();
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|line| line.contains(part)).count()
    }
}

fn events(count: usize) -> Batch {
    let event = |_| Event::parse("{}".into(), &Arc::default(), &Arc::default()).unwrap();
    (0..count).map(event).collect()
}

/// A node that never answers, behind a buffer that drops what does not fit in 100 events.
fn dropping(meter: &NodeMeter, share: Option<f64>, tasks: &Tasks) -> Edge {
    let policy = EdgePolicy {
        max_events: 100,
        when_full: WhenFull::DropNewest,
        drop_alert: share,
        ..EdgePolicy::default()
    };
    let (counted, never) = (meter.clone(), std::future::pending::<Result<(), _>>);
    let node = tower::service_fn(move |batch: Batch| {
        counted.received(batch.len() as u64, batch.bytes());
        never()
    });
    Edge::new(Stage::new(node), policy, meter.clone(), tasks)
}

#[tokio::test]
async fn a_buffer_that_drops_more_than_its_share_is_an_alert_everywhere_and_told_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _told = tracing::subscriber::set_default(subscriber.finish());
    let observer = Observer::new("calls");
    let meter = |name| observer.node(name, NodeKind::Sink, "stdout");
    let tasks = Tasks::default();
    let mut waits = Vec::new();
    // One has the usual 5 %, the other says 60 %; both drop one in two of those that wait.
    for (name, share) in [("usual", None), ("own", Some(0.6))] {
        let mut edge = dropping(&meter(name), share, &tasks);
        for events in [events(100), events(100)] {
            waits.push(tokio::spawn(edge.ready().await.unwrap().call(events)));
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            edge.ready().await.unwrap().call(events(5)).await.unwrap();
        }
        waits.push(tokio::spawn(edge.oneshot(events(1))));
    }

    let server = Server::of(&[observer]).await;
    let pipelines = ask(server.address, "GET", "/api/v1/pipelines").await.json();
    let alerts = pipelines[0]["alerts"].as_array().unwrap();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(
        (&alerts[0]["name"], &alerts[0]["node"]),
        (&"drops".into(), &"usual".into())
    );
    assert_eq!(alerts[0]["active"], true);
    let metrics = ask(server.address, "GET", "/metrics").await.body;
    let raised = r#"trunkline_alert{pipeline="calls",node="usual",alert="drops"} 1"#;
    assert!(metrics.lines().any(|line| line == raised), "{metrics}");
    assert_eq!(log.lines_with("alert raised: a full buffer dropped"), 1);
    server.end().await;
    tasks.abort();
}

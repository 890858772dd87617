//! The page of the interface, in a document without a screen (jsdom), against a process that runs.

#[path = "kit/running.rs"]
mod running;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::oneshot;
use trunkline::api::{self, Access};
use trunkline::observe::{
    Alert, BreakerState, NodeKind, Observer, Query, RunState, View, ViewAnswer,
};

use running::Running;

/// Where `.ci/servers` puts it.
fn modules() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.unwrap_or_default().join("trunkline/jsdom-26.1.0");
    let here = folder.join("complete").exists();
    assert!(here, "{} is missing: run .ci/servers", folder.display());
    folder.join("node_modules")
}

/// What the page at an address shows, and then what it shows once `gone` has ended the process.
fn look(url: &str, token: &str, picture: Option<&Path>, gone: impl FnOnce()) -> (Value, Value) {
    let mut look = Command::new("node");
    look.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/look.js"))
        .args([&format!("{url}/"), token])
        .args(picture)
        .env("MODULES", modules())
        .stdout(Stdio::piped());
    let mut look = look.spawn().expect("node is missing: run .ci/servers");
    let mut lines = BufReader::new(look.stdout.take().unwrap()).lines();
    let mut read = || -> Value {
        let line = lines.next().expect("the page shows what it should");
        serde_json::from_str(&line.unwrap()).unwrap()
    };
    let seen = read()["seen"].take();
    gone();
    let after = read();
    assert!(look.wait().unwrap().success());
    (seen, after)
}

/// Some hundreds of events a second, every third of them twice.
fn feed(running: &mut Running) -> std::thread::JoinHandle<()> {
    running.feed(Some(300), |id| {
        let kind = if id % 2 == 0 { "call" } else { "chat" };
        let id = id - u64::from(id % 3 == 2);
        format!("{{\"id\":{id},\"kind\":\"{kind}\"}}\n")
    })
}

const MANY: &str = r#"
version: 1
name: calls
api: { address: "127.0.0.1:0" }
sources:
  in: { type: stdin, framing: lines }
transforms:
  unique: { type: dedup, inputs: [in], key: .id, window: 1h }
  kinds:
    type: route
    inputs: [unique]
    routes: { calls: { path: .kind, equals: call } }
  masked: { type: pii_mask, inputs: [kinds.calls] }
sinks:
  out: { type: blackhole, inputs: [masked] }
  rest: { type: blackhole, inputs: [kinds.else], buffer: { type: disk, path: buffer } }
dead_letter: { type: file, path: letters }
"#;

fn words(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect()
}

#[test]
fn the_page_draws_what_runs() {
    let quiet = "version: 1\nname: quiet\nsources:\n  nothing: { type: file, path: ., include: [\"*.never\"], read: follow }\n\
        sinks:\n  out: { type: blackhole, inputs: [nothing] }\ndead_letter: { type: blackhole }\n";
    let mut running = Running::start(&[MANY, quiet]);
    let feeding = feed(&mut running);
    // `PICTURE=FILE` keeps what was drawn.
    let picture = std::env::var_os("PICTURE").map(PathBuf::from);
    let (seen, after) = look(&running.url(), "", picture.as_deref(), || running.kill());
    let expected = [
        "in",
        "unique",
        "kinds",
        "masked",
        "out",
        "rest.buffer",
        "rest",
        "dead_letter",
    ];
    assert_eq!(words(&seen["rows"]), expected, "{seen}");
    assert_eq!(words(&seen["names"]), expected);
    assert_eq!(words(&seen["tabs"]), ["calls", "quiet"]);
    assert_eq!(
        (&seen["state"], &seen["edges"]),
        (&"running".into(), &6.into())
    );
    assert!(words(&seen["flows"]).len() >= 5 && words(&seen["kinds"]).contains(&"buffer"));
    let losses = words(&seen["losses"]);
    assert!(
        losses.len() == 1 && losses[0].ends_with(" dropped"),
        "{losses:?}"
    );
    assert!(seen["gauges"].as_u64().unwrap() >= 2, "{seen}");
    assert!(
        seen["described"]
            .as_str()
            .unwrap()
            .contains("masked (pii_mask) reads kinds.calls")
    );
    assert_eq!(words(&seen["steps"]), ["chose quiet"]);
    assert_eq!(
        (&seen["current"], &seen["pausedHolds"]),
        (&"true".into(), &true.into())
    );
    assert_eq!(
        (&seen["unlabelled"], &seen["stored"]),
        (&0.into(), &Value::Null)
    );
    assert_eq!(
        (&after["gone"], &after["errors"]),
        (&true.into(), &Value::Array(vec![]))
    );
    assert!(
        words(&after["asked"])
            .iter()
            .all(|path| *path == "api/v1/pipelines"),
        "{after}"
    );
    feeding.join().unwrap();
}

#[test]
fn the_token_is_asked_for_and_kept_for_the_tab() {
    let guarded = MANY.replace("\"127.0.0.1:0\"", "\"127.0.0.1:0\", token: \"${TOKEN}\"");
    let mut running = Running::start(&[&guarded]);
    let feeding = feed(&mut running);
    let (seen, after) = look(&running.url(), "s3same", None, || running.kill());
    assert_eq!(words(&seen["steps"]), ["refused"]);
    assert_eq!(
        (&seen["focused"], &seen["stored"]),
        (&"token".into(), &"s3same".into())
    );
    assert_eq!(
        words(&after["tokens"]),
        ["", "Bearer wrong", "Bearer s3same"]
    );
    feeding.join().unwrap();
}

/// The heatmap of a day on which something happened at one minute.
struct Wall;

impl View for Wall {
    fn answer(self: Arc<Self>, path: &str, _: &Query) -> Option<BoxFuture<'static, ViewAnswer>> {
        let mut grid = vec![vec![0; 60]; 24];
        grid[14][5] = 1_234;
        let state = serde_json::json!({
            "activeInteractions": 3, "heatmap": { "data": grid }, "lastUpdated": "2026-01-01T00:00:00Z"
        });
        (path == "state").then(|| async move { ViewAnswer::json(&state) }.boxed())
    }
}

const HOSTILE: &str = "<img src=x onerror=\"throw 1\"><b>\u{202e}</script>";

/// Names are the file's, reasons may be those of other systems: all of it is text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_process_says_is_text_and_the_heatmap_is_drawn() {
    let observer = Observer::new(HOSTILE);
    let source = observer.node(HOSTILE, NodeKind::Source, HOSTILE);
    let wall = observer.node("wall", NodeKind::Sink, "activity");
    wall.dead_lettered(HOSTILE, 7);
    let open = wall.breaker_of(HOSTILE);
    open.set(BreakerState::Open);
    observer.views().publish("wall", Arc::new(Wall));
    observer.set_state(RunState::Running);
    observer.alert(Alert {
        name: "reload_failed",
        node: None,
        message: HOSTILE.into(),
        active: true,
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let served = api::serve(any, vec![observer], Access::open(), stopped);
    let (address, serving) = served.await.unwrap();
    let counting = tokio::spawn(async move {
        loop {
            source.received(1, 1);
            source.delivered(1, 1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let gone = move || drop(stop);
    let looked = move || look(&format!("http://{address}"), "", None, gone);
    let (seen, after) = tokio::task::spawn_blocking(looked).await.unwrap();
    counting.abort();
    serving.await.unwrap();
    assert_eq!(words(&seen["rows"]), [HOSTILE, "wall"]);
    assert_eq!(
        (&seen["foreign"], &seen["scripts"]),
        (&0.into(), &1.into()),
        "{seen}"
    );
    assert!(
        seen["title"].as_str().unwrap().starts_with("! <img src=x"),
        "{seen}"
    );
    assert_eq!(words(&seen["losses"]), ["7 dead letters"]);
    assert_eq!(seen["heat"], "Most active at 14:05: 1,234 interactions");
    assert_eq!(after["errors"], Value::Array(vec![]));
    let asked = words(&after["asked"]);
    assert!(
        asked
            .iter()
            .any(|path| path.starts_with("api/v1/state?pipeline=%3Cimg")),
        "{asked:?}"
    );
}

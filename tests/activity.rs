//! The view of activity behind whole pipelines: over HTTP, over restarts, and in the process that
//! an operator starts.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline::api::{self, Access};
use trunkline::config::{Fixed, parse};
use trunkline::graph::check::check;
use trunkline::graph::run::{open_store, run};
use trunkline::observe::{Guarantee, Observer};

const SOURCES: &str = "version: 1
name: wall
sources:
  in: { type: file, path: FOLDER/in/*.ndjson }
";

const REST: &str = "state: { type: embedded, path: FOLDER/state }
transforms:
  unique: { type: dedup, inputs: [in], key: .eventId }
sinks:
  board: { type: activity, inputs: [unique], timezone: Europe/Berlin }
dead_letter: { type: file, path: FOLDER/letters.ndjson }
";

async fn ask(address: SocketAddr, path: &str, token: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let head = answer
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap();
    let text = String::from_utf8(answer[..head].to_vec()).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_off(head + 4))
}

async fn json(address: SocketAddr, path: &str) -> Value {
    let (status, body) = ask(address, path, "").await;
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Runs the pipeline to the end of its input and serves what it shows then.
async fn run_over(folder: &Path) -> (SocketAddr, Observer) {
    let yaml = format!("{SOURCES}{REST}").replace("FOLDER", folder.to_str().unwrap());
    let checked = check(&parse("wall.yaml", &yaml, &Fixed::new()));
    let found = format!("{:?}", checked.report);
    let pipeline = checked.pipeline.unwrap_or_else(|| panic!("{found}"));
    let observer = Observer::new("wall");
    let store = open_store(&pipeline).await.unwrap();
    run(pipeline, &observer, store, std::future::pending())
        .await
        .unwrap();
    observer.ledger().adds_up().unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let never = std::future::pending::<()>();
    let observers = vec![observer.clone()];
    let (address, _) = api::serve(any, observers, Access::open(), never)
        .await
        .unwrap();
    (address, observer)
}

fn told(interaction: u32, participant: &str, state: &str, time: &str) -> String {
    format!(
        "{{\"eventId\":\"{interaction}/{participant}/{state}\",\"eventType\":\"participant.state\",\
         \"timestamp\":\"{time}\",\"data\":{{\"interactionId\":\"i{interaction}\",\
         \"participantId\":\"{participant}\",\"state\":\"{state}\"}}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_shows_what_it_saw_and_shows_it_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let mut first = String::new();
    for interaction in 0..500 {
        let minute = interaction % 60;
        let up = format!("2026-10-25T00:{minute:02}:01Z");
        let down = format!("2026-10-25T01:{minute:02}:02Z");
        // The end comes first, and everything comes twice.
        for _ in 0..2 {
            if interaction % 2 == 0 {
                first += &told(interaction, "agent", "disconnected", &down);
            }
            first += &told(interaction, "agent", "connected", &up);
        }
    }
    first += "{\"timestamp\":\"2026-10-25T00:00:00Z\"}\n";
    first += &told(0, "other", "connected", "soon");
    fs::write(folder.path().join("in/1.ndjson"), first).unwrap();

    let (address, observer) = run_over(folder.path()).await;
    let ledger = observer.ledger();
    let board = ledger.node("board").unwrap();
    assert_eq!(board.figures["active_interactions"], 250);
    // The first has no id, which `dedup` refuses already.
    assert_eq!(ledger.whole.dead_lettered_total(), 2);
    assert_eq!(board.counts.dead_lettered["bad_timestamp"], 1);
    let state = json(address, "/api/v1/state").await;
    assert_eq!(state["activeInteractions"], 250);
    assert_eq!(state.as_object().unwrap().len(), 3);
    // Two o'clock comes twice on that day.
    let day = json(address, "/api/v1/heatmap?date=2026-10-25").await;
    assert_eq!(
        (&day["total"], &day["timezone"]),
        (&750.into(), &"Europe/Berlin".into())
    );
    let sum: u64 = day["data"][2]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_u64().unwrap())
        .sum();
    assert_eq!(sum, 750);
    let known = json(address, "/api/v1/interactions/i7").await;
    assert_eq!(
        (&known["active"], &known["events"]),
        (&true.into(), &1.into())
    );
    let (status, png) = ask(address, "/api/v1/heatmap?date=2026-10-25&format=png", "").await;
    assert_eq!((status, &png[1..4]), (200, &b"PNG"[..]));

    // At the next start: as it was, and with what came meanwhile.
    let utc = "/api/v1/heatmap?date=2026-10-25&tz=UTC";
    let before = (state["lastUpdated"].clone(), json(address, utc).await);
    let (address, _) = run_over(folder.path()).await;
    let state = json(address, "/api/v1/state").await;
    assert_eq!(
        (&state["activeInteractions"], &state["lastUpdated"]),
        (&250.into(), &before.0)
    );
    assert_eq!(json(address, utc).await, before.1);
    let more: String = (0..500)
        .map(|n| told(n, "agent", "terminated", "2026-10-25T02:00:00Z"))
        .collect();
    fs::write(folder.path().join("in/2.ndjson"), more).unwrap();
    let (address, _) = run_over(folder.path()).await;
    assert_eq!(
        json(address, "/api/v1/state").await["activeInteractions"],
        0
    );
    assert_eq!(json(address, utc).await["total"], 1250);
}

#[test]
fn it_is_said_what_a_crash_does_to_the_view() {
    let yaml = format!("{SOURCES}{REST}");
    let checked = check(&parse("wall.yaml", &yaml, &Fixed::new()));
    let promises = trunkline::graph::promise::promises(&checked.pipeline.unwrap());
    assert_eq!(promises[0].guarantee, Guarantee::EffectivelyOnce);
    assert!(
        promises[0]
            .why
            .contains("counted by conversation and participant")
    );
}

/// The binary with the interface that its file names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_it_with_the_token_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "version: 1\nname: wall\napi: { address: \"127.0.0.1:0\", token: \"${WALL_TOKEN}\", \
                cors: [\"*\"] }\nsources:\n  in: { type: stdin }\nsinks:\n  board: { type: activity, \
                inputs: [in] }\ndead_letter: { type: blackhole }\n";
    fs::write(folder.path().join("wall.yaml"), yaml).unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["run", "wall.yaml", "--no-progress"])
        .current_dir(folder.path())
        .env("WALL_TOKEN", "s3same")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    for n in 0..3 {
        input
            .write_all(told(n, "p", "connected", "2026-10-25T00:00:00Z").as_bytes())
            .unwrap();
    }
    input.flush().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("http://") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let address = line.split("http://").nth(1).unwrap().trim();
    let address: SocketAddr = address.parse().unwrap();
    assert_eq!(ask(address, "/health/live", "").await.0, 200);
    assert_eq!(ask(address, "/api/v1/state", "sesame").await.0, 401);
    let mut active = Value::Null;
    for _ in 0..500 {
        let (status, body) = ask(address, "/api/v1/state", "s3same").await;
        let state: Value = serde_json::from_slice(&body).unwrap_or_default();
        active = state["activeInteractions"].clone();
        if status == 200 && active == 3 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(active, 3);
    drop(input);
    assert!(process.wait().unwrap().success());
}

//! `trunkline buffer` as an operator meets it, over buffers that the library has written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use serde_json::Value as Json;
use tempfile::TempDir;
use tower::ServiceExt;
use trunkline::event::{Batch, Event, Provenance};
use trunkline::journal::{Journal, Policy};
use trunkline::observe::{NodeKind, Observer};
use trunkline::seal::{Key, Keyring};

const KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";
const PHONE: &str = "+14155551234";
const PIPELINE: &str = "\
version: 1
name: calls
state: { path: state }
encryption: { key: \"${KEY}\" }
dead_letter: { type: blackhole }
sources:
  in: { type: stdin }
sinks:
  out: { type: blackhole, inputs: [in], buffer: { type: disk, path: buffers/out } }
  other: { type: blackhole, inputs: [in], buffer: { type: disk, path: buffers/other } }
";

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), PIPELINE).unwrap();
    folder
}

fn keys() -> Option<Keyring> {
    Some(Keyring::new(Key::parse(KEY).unwrap(), Vec::new()).unwrap())
}

fn open(path: &Path, keys: Option<Keyring>) -> Journal {
    let meter = Observer::new("p").node("out", NodeKind::Sink, "x");
    Journal::open(path, Policy::default(), keys, meter, |_| Ok(None)).unwrap()
}

/// Puts batches of ten events into the buffer, each durable before the next.
async fn fill(path: &Path, keys: Option<Keyring>, batches: usize) {
    let journal = open(path, keys);
    let from = Arc::new(Provenance {
        source: "in".into(),
        object: "a.ndjson".into(),
        received: 0,
    });
    for batch in 0..batches {
        let event = |n: usize| {
            let json = format!("{{\n\"n\":{},\"from\":\"{PHONE}\"}}", batch * 10 + n);
            Event::parse(json, &Arc::default(), &from).unwrap()
        };
        let batch: Batch = (0..10).map(event).collect();
        journal.entrance().oneshot(batch).await.unwrap();
    }
}

fn buffer(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .arg("buffer")
        .args(arguments)
        .current_dir(folder)
        .env("KEY", KEY)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(text: &str) -> Vec<Json> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries
        .filter(|path| path.is_file() && fs::metadata(path).unwrap().len() > 1000)
        .collect();
    found.sort();
    found
}

/// A byte in the middle of the first segment is another one.
fn damage(path: &Path) {
    let segment = &segments(path)[0];
    let mut bytes = fs::read(segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(segment, bytes).unwrap();
}

#[tokio::test]
async fn all_buffers_of_a_pipeline_or_below_a_folder_are_listed() {
    let folder = folder();
    let out = folder.path().join("buffers/out");
    assert_eq!(
        stdout(&buffer(folder.path(), &["list", "p.yaml"])),
        "no disk buffers\n"
    );
    fill(&out, keys(), 3).await;
    fill(&folder.path().join("buffers/deep/down"), None, 1).await;
    let of_pipeline = buffer(folder.path(), &["list", "p.yaml"]);
    let text = stdout(&of_pipeline);
    assert!(of_pipeline.status.success(), "{}", stderr(&of_pipeline));
    assert!(
        text.contains("buffers/out  30 ") && text.contains("good"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2, "{text}");
    let below = buffer(folder.path(), &["list", ".", "--format", "json"]);
    let below = lines(&stdout(&below));
    let pending: Vec<_> = below
        .iter()
        .map(|it| it["pending_events"].as_u64())
        .collect();
    assert_eq!(pending, [Some(10), Some(30)]);
    assert_eq!(
        (&below[0]["damaged"], &below[0]["locked_by_process"]),
        (&Json::Bool(false), &Json::Null)
    );

    let _held = open(&out, keys());
    let text = stdout(&buffer(folder.path(), &["list", "p.yaml"]));
    assert!(
        text.contains(&format!("by {}", std::process::id())),
        "{text}"
    );
}

#[tokio::test]
async fn a_damaged_buffer_is_told_by_its_exit_code_and_repaired() {
    let folder = folder();
    let path = folder.path().join("buffers/out");
    fill(&path, None, 20).await;
    let inspect =
        |more: &[&str]| buffer(folder.path(), &[&["inspect", "buffers/out"], more].concat());
    let good = inspect(&[]);
    assert_eq!(good.status.code(), Some(0));
    assert!(
        stdout(&good).contains("200 events wait"),
        "{}",
        stdout(&good)
    );

    damage(&path);
    let bad = inspect(&[]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(stdout(&bad).contains("buffer repair"), "{}", stdout(&bad));
    let coloured = stdout(&inspect(&["--color", "always"]));
    assert!(coloured.contains("\u{1b}[31m"), "{coloured}");
    let json: Json = serde_json::from_str(&stdout(&inspect(&["--format", "json"]))).unwrap();
    let lost = json["segments"][0]["lost_events"].as_u64().unwrap();
    assert_eq!((&json["damaged"], lost), (&Json::Bool(true), 10));

    let held = open(&path, None);
    let refused = buffer(folder.path(), &["repair", "buffers/out"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains("in use by the process"),
        "{}",
        stderr(&refused)
    );
    drop(held);

    let repaired = buffer(folder.path(), &["repair", "buffers/out"]);
    assert!(repaired.status.success(), "{}", stderr(&repaired));
    let told = stdout(&repaired);
    assert!(
        told.contains("10 events lost") && told.contains("damaged/"),
        "{told}"
    );
    let again = stdout(&buffer(folder.path(), &["repair", "buffers/out"]));
    assert!(again.starts_with("nothing to repair"), "{again}");
    let exported = buffer(folder.path(), &["export", "buffers/out"]);
    assert_eq!(lines(&stdout(&exported)).len(), 190);
    assert!(
        stderr(&exported).contains("10 events are missing"),
        "{}",
        stderr(&exported)
    );
}

#[tokio::test]
async fn events_are_exported_as_they_came_for_whoever_has_the_key() {
    let folder = folder();
    fill(&folder.path().join("buffers/out"), keys(), 2).await;
    let export =
        |more: &[&str]| buffer(folder.path(), &[&["export", "buffers/out"], more].concat());
    let without = export(&[]);
    assert_eq!(without.status.code(), Some(1));
    assert!(!stdout(&without).contains(PHONE) && stderr(&without).contains("encrypted"));
    let wrong = export(&["--key-env", "PATH"]);
    assert!(
        stderr(&wrong).contains("`PATH` holds no key"),
        "{}",
        stderr(&wrong)
    );

    for named in [&["--key-env", "KEY"], &["--pipeline", "p.yaml"]] {
        let output = export(named);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("personal data"));
        let events = lines(&stdout(&output));
        assert_eq!(events.len(), 20);
        assert_eq!(
            (&events[7]["event"]["n"], &events[7]["event"]["from"]),
            (&Json::from(7), &Json::from(PHONE))
        );
        let place = (&events[7]["source"], &events[7]["object"]);
        assert_eq!(place, (&Json::from("in"), &Json::from("a.ndjson")));
        let numbers = events.iter().map(|it| it["sequence"].as_u64().unwrap());
        assert!(
            numbers
                .clone()
                .zip(numbers.skip(1))
                .all(|(one, next)| one + 1 == next)
        );
    }
    let to_file = ["--key-env", "KEY", "--output", "events.ndjson"];
    assert!(export(&to_file).status.success());
    let file = folder.path().join("events.ndjson");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(lines(&fs::read_to_string(&file).unwrap()).len(), 20);
    assert_eq!(
        export(&to_file).status.code(),
        Some(1),
        "it is there already"
    );
}

#[test]
fn a_folder_that_is_none_is_told() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    for command in ["inspect", "export", "repair"] {
        let output = buffer(folder.path(), &[command, "nowhere"]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(
            stderr(&output).contains("no folder nowhere"),
            "{}",
            stderr(&output)
        );
    }
    let output = buffer(folder.path(), &["inspect", "empty"]);
    assert!(
        stdout(&output).contains("no disk buffer"),
        "{}",
        stdout(&output)
    );
}

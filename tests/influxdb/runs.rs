//! Pipelines that read a file of events and write points.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use trunkline::config::{Fixed, parse};
use trunkline::failure::Failure;
use trunkline::graph::check::check;
use trunkline::graph::run::run;
use trunkline::observe::{Ledger, Observer};
use trunkline::state::Store;

/// Waits for something that takes real time, at most half a minute.
pub async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if met().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not {what}");
}

/// A pipeline under way, and where its files lie.
pub struct Run {
    pub folder: TempDir,
    pub observer: Observer,
    task: JoinHandle<Result<(), Failure>>,
}

impl Run {
    /// Writes `events` into the sink with these settings (flow style, without braces).
    pub fn start(events: &[String], sink: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let quiet = if sink.contains("quiet:") {
            ""
        } else {
            "quiet: 20ms, "
        };
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("in.ndjson"), events.join("\n")).unwrap();
        let yaml = format!(
            "
version: 1
name: p
sources:
  in: {{ type: file, path: '{}', batch_events: 100 }}
sinks:
  points: {{ type: influxdb, inputs: [in], {quiet}{sink} }}
dead_letter: {{ type: file, path: '{}' }}
",
            path("in.ndjson"),
            path("letters.ndjson")
        );
        let loaded = parse("p.yaml", &yaml, &Fixed::new());
        let checked = check(&loaded);
        let pipeline = checked.pipeline;
        let pipeline = pipeline.unwrap_or_else(|| panic!("{:?}", checked.report));
        let observer = Observer::new("p");
        let watched = observer.clone();
        let task =
            tokio::spawn(async move { run(pipeline, &watched, Store::memory(), pending()).await });
        Self {
            folder,
            observer,
            task,
        }
    }

    pub fn delivered(&self) -> u64 {
        let ledger = self.observer.ledger();
        ledger.node("points").map_or(0, |it| it.counts.delivered)
    }

    /// Waits for the end of the input; the ledger adds up. The dead letters as (reason, event).
    pub async fn ended(self) -> (Ledger, Vec<(String, serde_json::Value)>) {
        self.task.await.unwrap().unwrap();
        let ledger = self.observer.ledger();
        let drawn = ledger.render(140, false);
        ledger
            .adds_up()
            .unwrap_or_else(|wrong| panic!("{wrong}\n{drawn}"));
        (ledger, letters(&self.folder.path().join("letters.ndjson")))
    }
}

fn letters(path: &Path) -> Vec<(String, serde_json::Value)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let letter = |line: &str| {
        let letter: serde_json::Value = serde_json::from_str(line).unwrap();
        (
            letter["reason"].as_str().unwrap().to_owned(),
            letter["event"].clone(),
        )
    };
    text.lines().map(letter).collect()
}

/// Participant events, one a second from 2026-01-02 on, of ten conversations.
pub fn participants(count: usize) -> Vec<String> {
    let event = |n: usize| {
        let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
        let (day, id) = (2 + n / 86_400, n % 10);
        format!(
            r#"{{"timestamp":"2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z","data":{{"interactionId":"i-{id}","participantId":"p, {n}","state":"connected","role":"agent"}}}}"#
        )
    };
    (0..count).map(event).collect()
}

//! A folder of a new user's own, and what the shipped pipeline leaves in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::process::{BINARY, Process, adds_up, pause};

/// Where the pipeline's files lie.
pub struct Place {
    pub folder: tempfile::TempDir,
}

/// A run of it.
pub struct Run(pub Process);

impl Run {
    /// Waits for an answer of `/api/v1/state` that is as wanted.
    pub fn state(&mut self, what: &str, met: impl Fn(&Json) -> bool) -> Json {
        self.0.until(what, |process| {
            let state = process.json("/api/v1/state")?;
            met(&state).then_some(state)
        })
    }
}

/// How many participant events the heatmap shows.
pub fn sum(state: &Json) -> u64 {
    let rows = state["heatmap"]["data"].as_array().unwrap().iter();
    let minutes = rows.flat_map(|row| row.as_array().unwrap());
    minutes.map(|minute| minute.as_u64().unwrap()).sum()
}

/// How many interactions are active.
pub fn active(state: &Json) -> u64 {
    state["activeInteractions"].as_u64().unwrap()
}

impl Place {
    /// A view shows the day of its clock, and the simulated day is the one on which a run begins:
    /// midnight is let pass.
    pub fn new() -> Self {
        while jiff::Timestamp::now().as_second() % 86_400 > 86_400 - 240 {
            pause();
        }
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The file as it is shipped.
    pub fn pipeline() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/participant-sync.yaml")
    }

    /// Runs it. Only the port is another one, since tests run side by side.
    pub fn start(&self, set: &[(&str, &str)]) -> Run {
        let pipeline = Self::pipeline();
        let pipeline = pipeline.to_str().unwrap();
        let arguments = ["run", "--summary", "summary.json", pipeline];
        let mut all = vec![("API", "127.0.0.1:0")];
        all.extend(set);
        Run(Process::start(self.folder.path(), BINARY, &arguments, &all))
    }

    /// Stops a run as a person does; what it leaves as its summary, which adds up.
    pub fn stop(&self, run: Run) -> Json {
        run.0.signal("INT");
        let (code, told) = run.0.ended();
        assert_eq!(code, Some(0), "{told}");
        let summary = self.folder.path().join("summary.json");
        let summary = serde_json::from_str(&fs::read_to_string(summary).unwrap()).unwrap();
        adds_up(&summary);
        summary
    }

    /// A file or folder below the pipeline's own.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join("data/participant-sync").join(name)
    }

    /// The points in the file.
    pub fn points(&self) -> Vec<String> {
        let points = fs::read_to_string(self.data("points.lp")).unwrap_or_default();
        points.lines().map(str::to_owned).collect()
    }

    pub fn letters(&self) -> String {
        fs::read_to_string(self.data("dead-letters.ndjson")).unwrap()
    }

    /// In each conversation the points count from 1 on, each number once, whatever runs wrote them.
    /// What a kill has repeated replaces what it repeats once it is loaded.
    pub fn assert_counted(&self) {
        let mut latest: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for point in self.points() {
            let (tags, rest) = point.split_once(" role=").unwrap();
            let (fields, time) = rest.rsplit_once(' ').unwrap();
            let (_, counter) = fields.rsplit_once("vector_clock=").unwrap();
            let counter = counter.trim_end_matches('i').parse().unwrap();
            let conversation = tags.split(',').nth(1).unwrap().to_owned();
            latest.insert(format!("{tags} {time}"), (conversation, counter));
        }
        let mut conversations: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (conversation, counter) in latest.into_values() {
            conversations.entry(conversation).or_default().push(counter);
        }
        assert!(conversations.len() > 10, "{}", conversations.len());
        for (conversation, mut counters) in conversations {
            counters.sort_unstable();
            let all: Vec<u64> = (1..=counters.len() as u64).collect();
            assert_eq!(counters, all, "{conversation}");
        }
    }
}

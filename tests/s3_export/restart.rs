//! `kill -9` of the real binary in the middle of large archives.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::{PATIENCE, gzip, lines, records};

const PIPELINE: &str = "
version: 1
name: exports
state: { type: embedded, path: state }
dead_letter: { type: file, path: letters.ndjson }
sources:
  exports: { type: s3_export, url: exports, read: once, range: 64KiB, max_read_ahead: 256KiB, batch_events: 100 }
sinks:
  out: { type: file, path: out.ndjson, inputs: [exports] }
";

fn start(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.args(["run", "--summary", "summary.json", "pipeline.yaml"]);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
        .stderr(fs::File::create(folder.join("told")).unwrap())
        .spawn()
        .unwrap()
}

fn written(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("out.ndjson")).unwrap_or_default();
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect()
}

/// Kills the process once it has written so many lines; false if it ended before.
fn kill_after(mut child: Child, folder: &Path, lines: usize) -> bool {
    let began = Instant::now();
    while written(folder).len() < lines {
        assert!(
            began.elapsed() < PATIENCE,
            "{}",
            fs::read_to_string(folder.join("told")).unwrap()
        );
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

#[test]
fn a_process_that_is_killed_goes_on_where_its_state_says() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    fs::write(folder.join("pipeline.yaml"), PIPELINE).unwrap();
    fs::create_dir(folder.join("exports")).unwrap();
    let names = ["a.gz", "b.gz", "c.gz"];
    let mut expected = HashSet::new();
    for name in names {
        let records = records(name, 30_000);
        fs::write(folder.join("exports").join(name), gzip(&lines(&records))).unwrap();
        expected.extend(records);
    }
    let mut kills = 0;
    for part in 1..6 {
        kills += usize::from(kill_after(start(folder), folder, part * 15_000));
    }
    let mut last = start(folder);
    assert!(
        last.wait().unwrap().success(),
        "{}",
        fs::read_to_string(folder.join("told")).unwrap()
    );
    let mut counts: HashMap<String, usize> = HashMap::new();
    for line in written(folder) {
        *counts.entry(line).or_default() += 1;
    }
    // A line that the kill cut off is no record.
    let whole: HashSet<&String> = counts
        .keys()
        .filter(|line| expected.contains(*line))
        .collect();
    assert_eq!(whole.len(), expected.len(), "something was skipped");
    assert!(kills >= 3, "{kills} kills say little");
    // What a sink wrote and the state does not know comes again: never more than was under way.
    let twice: usize = counts.values().map(|count| count - 1).sum();
    assert!(twice <= kills * 50_000 && counts.values().all(|count| *count <= kills + 1));
    assert_eq!(
        fs::read_to_string(folder.join("letters.ndjson")).unwrap_or_default(),
        ""
    );
    let mut again = start(folder);
    assert!(again.wait().unwrap().success());
    let lines: usize = counts.values().sum();
    assert_eq!(written(folder).len(), lines, "a run more reads nothing");
}

const WAREHOUSE: &str = "
version: 1
name: exports
state: { type: embedded, path: state }
dead_letter: { type: file, path: letters.ndjson }
sources:
  exports: { type: s3_export, url: exports, read: once, range: 64KiB, max_read_ahead: 256KiB, batch_events: 100 }
sinks:
  rows: { type: warehouse, inputs: [exports], path: rows.db }
";
/// Facts, each in two states: the later one has to stay, however often the earlier comes again.
const FACTS: usize = 12_000;

fn facts(name: &str) -> Vec<u8> {
    let state = |number: usize, later: usize| {
        format!(
            "{{\"event_id\":\"{name}-{number}\",\"interaction_id\":\"i-{number}\",\
             \"timestamp\":\"2026-03-01T0{later}:00:00Z\",\
             \"type\":\"call\",\"state\":\"s{later}\",\"duration_seconds\":{number}}}\n"
        )
    };
    // The earlier state comes behind the later one for half of them.
    let both = |number: usize| match number % 2 {
        0 => state(number, 1) + &state(number, 2),
        _ => state(number, 2) + &state(number, 1),
    };
    gzip((0..FACTS).map(both).collect::<String>().as_bytes())
}

fn count(folder: &Path, query: &str) -> usize {
    let Ok(rows) = rusqlite::Connection::open(folder.join("rows.db")) else {
        return 0;
    };
    let counted = rows.query_row(query, [], |row| row.get::<_, i64>(0));
    counted.map_or(0, |counted| counted as usize)
}

/// Kills the process once so many rows are there; false if it ended before.
fn kill_at(mut child: Child, folder: &Path, rows: usize) -> bool {
    let began = Instant::now();
    while count(folder, "SELECT count(*) FROM fact_interactions") < rows {
        assert!(began.elapsed() < PATIENCE, "no rows come");
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

#[test]
fn a_warehouse_has_each_fact_once_whatever_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    fs::write(folder.join("pipeline.yaml"), WAREHOUSE).unwrap();
    fs::create_dir(folder.join("exports")).unwrap();
    for name in ["a", "b"] {
        let path = folder.join("exports").join(format!("{name}.gz"));
        fs::write(path, facts(name)).unwrap();
    }
    let mut kills = 0;
    for part in 1..5 {
        kills += usize::from(kill_at(start(folder), folder, part * 5000));
    }
    assert!(kills >= 3, "{kills} kills say little");
    let summary = || -> serde_json::Value {
        let text = fs::read_to_string(folder.join("summary.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let told = || fs::read_to_string(folder.join("told")).unwrap();
    assert!(start(folder).wait().unwrap().success(), "{}", told());
    // The last run went on inside: what the others had settled it did not read.
    let read = summary()["whole"]["received"].as_u64().unwrap() as usize;
    assert!(
        read < 2 * 2 * FACTS * 3 / 4,
        "{read} records were read again"
    );
    for (expected, query) in [
        (2 * FACTS, "SELECT count(*) FROM fact_interactions"),
        (
            2 * FACTS,
            "SELECT count(*) FROM fact_interactions WHERE state = 's2'",
        ),
        (
            FACTS * (FACTS - 1),
            "SELECT sum(duration_seconds) FROM fact_interactions",
        ),
    ] {
        assert_eq!(count(folder, query), expected, "{query}");
    }
    let letters = fs::read_to_string(folder.join("letters.ndjson")).unwrap_or_default();
    assert_eq!(letters, "");
    assert!(start(folder).wait().unwrap().success(), "{}", told());
    assert_eq!(
        summary()["whole"]["received"],
        0,
        "a run more reads nothing"
    );
}

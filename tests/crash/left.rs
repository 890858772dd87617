//! What is found in the sinks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value as Json;

/// A line of the file sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub id: usize,
    /// The run that wrote it, from 0.
    pub life: usize,
}

/// Everything that the sinks hold at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub lines: Vec<Line>,
    /// The version in each row, and how many rows have its name.
    pub rows: BTreeMap<String, usize>,
    /// Ids of dead letters: of those that `valid` refused, and of what is no JSON.
    pub refused: BTreeSet<usize>,
    pub garbage: BTreeSet<usize>,
    /// What could not be read: half lines, letters about nothing.
    pub wrong: Vec<String>,
}

/// Bytes that are in the file, which need not be there yet.
pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// Bytes of whole lines in the file: half a line that a crash has left is cut off at the next start.
pub fn whole_lines(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    end.map_or(0, |end| end as u64 + 1)
}

/// Reads the sinks below `out`. `starts`: how long the file of lines was when each run began.
pub fn read(out: &Path, starts: &[u64]) -> Left {
    let mut left = Left::default();
    left.read_lines(&out.join("lines.ndjson"), starts);
    left.read_rows(&out.join("rows.db"));
    left.read_letters(&out.join("letters.ndjson"));
    left
}

fn number(text: Option<&str>, start: &str) -> Option<usize> {
    text?.strip_prefix(start)?.parse().ok()
}

impl Left {
    fn read_lines(&mut self, path: &Path, starts: &[u64]) {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let life = starts.iter().rposition(|start| *start <= at).unwrap_or(0);
            at += line.len() as u64;
            let json: Json = serde_json::from_str(line).unwrap_or_default();
            match number(json["id"].as_str(), "e") {
                Some(id) if line.ends_with('\n') => self.lines.push(Line { id, life }),
                _ => self.wrong.push(format!("not a line: {line:?}")),
            }
        }
    }

    fn read_rows(&mut self, path: &Path) {
        // Where every run failed before its first row there is no warehouse.
        if !path.exists() {
            return;
        }
        let connection = rusqlite::Connection::open(path).unwrap();
        let query = "SELECT event_id, duration_seconds FROM fact_interactions";
        let mut statement = connection.prepare(query).unwrap();
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
            .unwrap();
        for row in rows {
            let (name, n): (String, i64) = row.unwrap();
            if self.rows.insert(name.clone(), n as usize).is_some() {
                self.wrong.push(format!("two rows are called {name}"));
            }
        }
    }

    fn read_letters(&mut self, path: &Path) {
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            let json: Json = serde_json::from_str(line).unwrap_or_default();
            let refused = number(json["event"]["id"].as_str(), "e");
            let garbage = number(json["text"].as_str(), "garbage g");
            match (refused, garbage) {
                (Some(id), None) => self.refused.insert(id),
                (None, Some(id)) => self.garbage.insert(id),
                _ => {
                    self.wrong.push(format!("not a letter of ours: {line}"));
                    false
                }
            };
        }
    }
}

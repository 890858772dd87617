//! What is found in the sinks and in the log.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;

use crate::judge::{Fact, Gap};

/// An event in the file.
pub struct Line {
    pub id: String,
    pub fact: Fact,
    /// The run that wrote it, from 0.
    pub life: usize,
}

/// A point of it.
pub struct Point {
    pub id: String,
    pub conversation: String,
    pub counter: u64,
    pub life: usize,
}

/// Everything that the sinks hold.
pub struct Left {
    pub lines: Vec<Line>,
    pub points: Vec<Point>,
    /// Runs that were asked to end, and ended well.
    pub ended: Vec<usize>,
}

/// How long both files are, but for half a line that the next run cuts off.
#[derive(Clone, Copy, Default)]
pub struct Mark {
    pub lines: usize,
    pub points: usize,
}

fn whole_lines(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    end.map_or(0, |end| end + 1)
}

impl Mark {
    pub fn of(folder: &Path) -> Self {
        Self {
            lines: whole_lines(&folder.join("out.ndjson")),
            points: whole_lines(&folder.join("points.lp")),
        }
    }
}

/// Lines with the run that wrote each; `starts`: how long the file was when each began.
fn lives(path: &Path, starts: &[usize]) -> Vec<(String, usize)> {
    let text = fs::read_to_string(path).unwrap();
    let mut at = 0;
    let line = |line: &str| {
        let life = starts.iter().rposition(|start| *start <= at).unwrap_or(0);
        at += line.len();
        assert!(line.ends_with('\n'), "half a line: {line}");
        (line.trim_end().to_owned(), life)
    };
    text.split_inclusive('\n').map(line).collect()
}

pub fn read(folder: &Path, starts: &[Mark], ended: Vec<usize>) -> Left {
    let of = |part: fn(&Mark) -> usize| starts.iter().map(part).collect::<Vec<_>>();
    let lines = lives(&folder.join("out.ndjson"), &of(|mark| mark.lines));
    let points = lives(&folder.join("points.lp"), &of(|mark| mark.points));
    Left {
        lines: lines.iter().map(|(text, life)| line(text, *life)).collect(),
        points: points
            .iter()
            .map(|(text, life)| point(text, *life))
            .collect(),
        ended,
    }
}

fn line(text: &str, life: usize) -> Line {
    let body: Json = serde_json::from_str(text).unwrap();
    let data = |name: &str| body["data"][name].as_str().unwrap_or_default().to_owned();
    Line {
        id: body["eventId"].as_str().unwrap().to_owned(),
        fact: ["interactionId", "participantId", "sessionId", "state"].map(data),
        life,
    }
}

fn point(text: &str, life: usize) -> Point {
    let between = |from: &str, to: &str| {
        let (_, after) = text.split_once(from).unwrap();
        after.split_once(to).unwrap().0.to_owned()
    };
    Point {
        id: between("id=\"", "\""),
        conversation: between("interactionId=", " "),
        counter: between("counter=", "i").parse().unwrap(),
        life,
    }
}

/// The gaps that a run has told of in its log.
pub fn gaps(log: &str) -> Vec<Gap> {
    let told = log.lines().filter_map(|line| {
        let line: Json = serde_json::from_str(line).ok()?;
        let time = |name: &str| line[name].as_str().unwrap().parse().unwrap();
        (line["message"] == "gap: nothing was heard").then(|| Gap {
            from: time("from"),
            to: time("to"),
            reason: line["reason"].as_str().unwrap().to_owned(),
        })
    });
    told.collect()
}

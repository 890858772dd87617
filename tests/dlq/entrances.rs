//! Where replayed letters enter the pipeline, and what they meet there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::case::*;

#[test]
fn a_buffer_on_disk_takes_letters_over() {
    let state = "state: { path: state }\n";
    let buffered = "type: file, path: out.ndjson, buffer: { type: disk }";
    let text = |kind: &str| state.to_owned() + &pipeline(kind, ENCRYPTED, buffered);
    let case = Case::new(&text("integer"), &calls(4));
    case.write("p.yaml", &text("integer|string"));
    let said = case.good(&["dlq", "replay", "p.yaml"]);
    assert!(said.starts_with("replayed 2: delivered 2,"), "{said}");
    assert_eq!(case.read("letters.ndjson"), "");
    assert_eq!(case.lines("out.ndjson").len(), 4);
    assert!(
        !walk(&case.path("state")).contains(PHONE),
        "personal data in the open"
    );
}

/// What a dedup remembers of a key lies in the key's lane: two letters of one key must meet there,
/// whether they were refused at the edge that has the lanes or behind it.
#[test]
fn letters_enter_the_lane_of_their_key() {
    let text = |kind: &str| {
        format!(
            "\
version: 1
name: lanes
dead_letter: {{ type: file, path: letters.ndjson }}
sources:
  in: {{ type: file, path: in.ndjson }}
transforms:
  first:
    type: schema_validate
    inputs: [in]
    fields: {{ .one: {kind} }}
    buffer: {{ partition_by: .key, partitions: 4 }}
  valid: {{ type: schema_validate, inputs: [first], fields: {{ .two: {kind} }} }}
  unique: {{ type: dedup, inputs: [valid], key: .key, window: 1h }}
sinks:
  out: {{ inputs: [unique], {TO_FILE} }}
"
        )
    };
    let key = |n: u64| {
        let event =
            |one: &str, two: &str| format!("{{\"key\":\"k{n}\",\"one\":{one},\"two\":{two}}}\n");
        [event("\"no\"", "2"), event("1", "\"no\"")].concat()
    };
    let events: Vec<String> = (0..12).map(key).collect();
    let case = Case::new(&text("integer"), &events);
    assert_eq!(case.lines("letters.ndjson").len(), 24);
    case.write("p.yaml", &text("integer|string"));
    let said = case.good(&["dlq", "replay", "p.yaml"]);
    assert!(
        said.starts_with("replayed 24: delivered 12, dropped 12,"),
        "{said}"
    );
}

/// Letters of a sink lie in a file of its own, and enter at the sink: what stands above it has seen
/// them, and would take them for repeats.
#[test]
fn what_a_sink_refused_enters_there_and_nowhere_else() {
    let text = |time: &str| {
        format!(
            "\
version: 1
name: sinks
{ENCRYPTED}
state: {{ path: state }}
dead_letter: {{ type: file, path: letters.ndjson }}
sources:
  in: {{ type: file, path: in.ndjson }}
transforms:
  unique: {{ type: dedup, inputs: [in], key: .event_id, window: 1h }}
sinks:
  wh:
    type: warehouse
    inputs: [unique]
    path: wh.db
    columns: {{ event_timestamp: {time} }}
    dead_letter: {{ type: file, path: own/wh.ndjson }}
  copy: {{ inputs: [unique], {TO_FILE} }}
"
        )
    };
    let event = |n: u64| {
        format!(
            "{{\"event_id\":\"e{n}\",\"interaction_id\":\"i{n}\",\"event_type\":\"X\",\"timestamp\":\"no\",\"at\":\"2026-11-20T09:00:0{n}Z\"}}\n"
        )
    };
    let case = Case::new(&text(".timestamp"), &[event(1), event(2)]);
    assert_eq!(
        (
            case.lines("own/wh.ndjson").len(),
            case.read("letters.ndjson")
        ),
        (2, String::new())
    );
    assert_eq!(case.lines("own/wh.ndjson")[0]["node"], "wh");
    // The sink refuses them still: new letters take the place of the old ones, in the same file.
    let again = case.trunkline(&["dlq", "replay", "p.yaml", "--node", "wh"]);
    assert!(
        stdout(&again).contains("dead-lettered again 2"),
        "{}",
        stdout(&again)
    );
    let letters = case.lines("own/wh.ndjson");
    assert_eq!(
        (letters.len(), &letters[1]["attempts"]),
        (2, &Json::from(2))
    );
    assert!(
        case.good(&["dlq", "list", "p.yaml"])
            .contains("2 dead letters: bad_timestamp 2")
    );

    case.write("p.yaml", &text(".at"));
    let said = case.good(&["dlq", "replay", "p.yaml"]);
    assert!(said.starts_with("replayed 2: delivered 2,"), "{said}");
    assert_eq!(case.read("own/wh.ndjson"), "");
    assert_eq!(
        case.lines("out.ndjson").len(),
        2,
        "the other sink had them already"
    );
}

/// All bytes below a folder.
fn walk(folder: &Path) -> String {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let content = |path: PathBuf| match path.is_dir() {
        true => walk(&path),
        false => String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned(),
    };
    entries.map(content).collect()
}

#[test]
fn an_output_for_what_is_invalid_takes_what_is_refused_again() {
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &calls(2));
    let more = "  aside: { type: file, path: aside.ndjson, inputs: [valid.invalid] }\n";
    let text = pipeline("integer", ENCRYPTED, TO_FILE) + more;
    case.write("p.yaml", &text);
    let said = case.good(&["dlq", "replay", "p.yaml"]);
    assert!(said.starts_with("replayed 1: delivered 1,"), "{said}");
    let aside = case.lines("aside.ndjson");
    assert_eq!((aside.len(), &aside[0]["attempts"]), (1, &Json::from(2)));
    assert!(
        aside[0].get("sealed").is_none(),
        "it leads out of the pipeline"
    );
    assert_eq!(case.read("letters.ndjson"), "");
}

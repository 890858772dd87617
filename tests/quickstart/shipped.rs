//! Undisturbed runs over the shipped input.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use crate::input::{FOLDER, make, page};
use crate::place::{Ended, Place, ROOT, assert_adds_up, assert_same};

#[test]
fn the_shipped_files_are_those_that_the_generator_makes() {
    for file in make().files {
        let path = Path::new(ROOT).join(FOLDER).join(&file.name);
        let shipped = fs::read(&path).unwrap();
        let hint = "run `cargo run --example generate_quickstart`";
        let is_damaged = file.name.contains("damaged");
        // What a library compresses to may change with its version; what is in it may not.
        let mut text = String::new();
        match path.extension().and_then(|name| name.to_str()) {
            Some("gz") if !is_damaged => {
                flate2::read::MultiGzDecoder::new(&shipped[..])
                    .read_to_string(&mut text)
                    .unwrap();
            }
            Some("zst") => {
                text = String::from_utf8(zstd::decode_all(&shipped[..]).unwrap()).unwrap()
            }
            _ => {
                assert!(shipped == file.bytes, "{} differs: {hint}", file.name);
                continue;
            }
        }
        assert!(text == file.text, "{} differs: {hint}", file.name);
    }
    let all = fs::read_dir(Path::new(ROOT).join(FOLDER)).unwrap();
    let bytes: u64 = all
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 1_000_000, "{bytes} bytes");
}

/// The rows of the page's table of what comes out: node or table, what, how many.
fn table() -> Vec<(String, String, u64)> {
    let text = fs::read_to_string(Path::new(ROOT).join(FOLDER).join("README.md")).unwrap();
    let (_, rest) = text.split_once(page::BEGIN).unwrap();
    let (text, _) = rest.split_once(page::END).unwrap();
    let (_, rows) = text.split_once("| what comes out |").unwrap();
    let rows = rows.lines().skip(2).filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let of = cells[0].trim_matches('`').to_owned();
        (
            of,
            cells[1].to_owned(),
            cells[2].replace(',', "").parse().unwrap(),
        )
    };
    rows.map(cells).collect()
}

/// The counter of the summary that a row of the page speaks of.
fn counter(summary: &Json, node: &str, what: &str) -> u64 {
    let nodes = summary["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|counts| counts["name"] == node).unwrap();
    let (word, reason) = what.split_once(' ').unwrap_or((what, ""));
    let reason = reason.trim_matches('`');
    let value = match word {
        "dropped" => &node["dropped"][reason],
        "dead-lettered" => &node["dead_lettered"][reason],
        "labelled" => &node["labels"][reason],
        _ => &node[word],
    };
    value.as_u64().unwrap_or(0)
}

#[test]
fn a_run_does_what_the_page_says_and_another_one_changes_nothing() {
    let place = Place::new();
    let ended = place.run();
    let summary = place.summary();
    assert_adds_up(&summary);
    let first = place.dump();
    let rows = table();
    let counted = make().expected;
    assert_eq!(rows.len(), counted.len());
    for (of, what, expected) in &rows {
        let found = match what.as_str() {
            "rows" => first[of].len() as u64,
            _ => counter(&summary, of, what),
        };
        assert_eq!(found, *expected, "{of}: {what}");
    }
    // Nothing was dropped or refused that the page does not speak of.
    for (kind, word) in [("dropped", "dropped"), ("dead_lettered", "dead-lettered")] {
        for (reason, count) in summary["whole"][kind].as_object().unwrap() {
            let what = format!("{word} `{reason}`");
            let said: u64 = rows
                .iter()
                .filter(|row| row.1 == what)
                .map(|row| row.2)
                .sum();
            assert_eq!(count.as_u64(), Some(said), "{what}");
        }
    }
    let letters = place.letters();
    assert!(
        ended.stderr.contains("received 4,") && ended.stdout.is_empty(),
        "{}",
        ended.stderr
    );
    // A bar would move the cursor; there is none where there is no terminal.
    assert!(
        !ended.stderr.contains(['\r', '\u{1b}']),
        "{:?}",
        ended.stderr
    );

    place.run();
    assert_eq!(
        place.summary()["whole"]["received"],
        0,
        "files that were read are passed over"
    );
    assert_same(&place.dump(), &first);
    assert_eq!(place.letters(), letters);

    // Without any memory everything is read again, and still no row changes.
    fs::remove_dir_all(place.path("STATE")).unwrap();
    place.run();
    assert_eq!(
        place.summary()["whole"]["received"],
        summary["whole"]["received"]
    );
    assert_same(&place.dump(), &first);
    assert_eq!(place.letters(), letters);
}

#[test]
fn the_pipeline_is_valid_as_it_stands() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        let ended = Ended::of(command.args(arguments).current_dir(ROOT).output().unwrap());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout + &ended.stderr
    };
    let said = run(&["validate", "pipelines/quickstart.yaml"]);
    assert!(
        said.contains("ok, 1 source, 6 transforms, 1 sink"),
        "{said}"
    );
    assert!(!said.contains("warning"), "{said}");
    let said = run(&["validate", "--format", "json", "pipelines/quickstart.yaml"]);
    assert_eq!(said.trim(), "[]");
    let drawn = run(&["graph", "--format", "mermaid", "pipelines/quickstart.yaml"]);
    assert!(
        drawn.contains("flowchart") && drawn.contains("warehouse"),
        "{drawn}"
    );
}

//! `trunkline validate --probe` as a user meets it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;

fn pipeline(folder: &Path, warehouse: &str, more: &str) {
    let text = format!(
        "version: 1\nname: probed\ndead_letter: {{ type: file, path: letters.ndjson }}\n\
         sources:\n  in: {{ type: file, path: in.ndjson }}\n\
         sinks:\n  rows: {{ type: warehouse, inputs: [in], path: {warehouse} }}\n  \
         lines: {{ type: blackhole, inputs: [in]{more} }}\n"
    );
    fs::write(folder.join("p.yaml"), text).unwrap();
    fs::write(folder.join("in.ndjson"), "").unwrap();
}

fn validate(folder: &Path, more: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.current_dir(folder).args(["validate", "p.yaml"]);
    let output = command.args(more).output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn what_can_be_reached_is_told_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), "rows.db", "");
    let (output, text) = validate(folder.path(), &["--probe"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("p.yaml: ok"), "{text}");
    assert!(
        text.contains("  sink rows (warehouse)\n    ok:      "),
        "{text}"
    );
    assert!(
        text.contains("  sink lines (blackhole)\n    nothing to look at\n"),
        "{text}"
    );
    assert!(!folder.path().join("rows.db").exists());
    let (_, coloured) = validate(folder.path(), &["--probe", "--color", "always"]);
    assert!(coloured.contains('✓'), "{coloured}");
    // Without being asked it looks at nothing.
    let (_, quiet) = validate(folder.path(), &[]);
    assert!(!quiet.contains("sink rows"), "{quiet}");
}

#[test]
fn a_sink_that_cannot_be_used_fails_it() {
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), "rows.db", "");
    fs::write(
        folder.path().join("rows.db"),
        "no database, but text ".repeat(100),
    )
    .unwrap();
    let (output, text) = validate(folder.path(), &["--probe"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("  sink rows (warehouse)\n    error:   "),
        "{text}"
    );
    // Offline all is well.
    assert_eq!(validate(folder.path(), &[]).0.status.code(), Some(0));

    let (output, text) = validate(folder.path(), &["--probe", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let read: Json = serde_json::from_str(&text).unwrap();
    let nodes: Vec<_> = read
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["node"])
        .collect();
    assert_eq!(nodes, ["in", "rows", "lines"]);
    assert_eq!(read[1]["findings"][0]["grade"], "error");
    let (_, text) = validate(folder.path(), &["--probe", "--format", "github"]);
    assert!(
        text.contains("::error file=p.yaml::sink `rows`: "),
        "{text}"
    );
}

#[test]
fn a_file_with_mistakes_is_not_probed() {
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), "rows.db", ", nonsense: 1");
    let (output, text) = validate(folder.path(), &["--probe"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("unknown-field") && !text.contains("sink rows"),
        "{text}"
    );
    // The time limit is one of a probe.
    let (output, _) = validate(folder.path(), &["--probe-timeout", "5"]);
    assert_eq!(output.status.code(), Some(2));
}

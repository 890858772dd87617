//! What the README shows is what the project does: its table of the first pipeline, its picture of
//! the flow and its error messages are those of the real thing.
//!
//! `UPDATE_README=1 cargo test --test readme` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

fn trunkline(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What stands between the markers of this name, markers left out.
fn block<'a>(text: &'a str, name: &str) -> &'a str {
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let start = text.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
    &text[start
        ..start
            + text[start..]
                .find(&end)
                .unwrap_or_else(|| panic!("no {end}"))]
}

/// Holds a block of the README to what it should be, or writes it.
fn hold(name: &str, expected: &str) {
    let file = root().join("README.md");
    let text = fs::read_to_string(&file).unwrap();
    let found = block(&text, name);
    if std::env::var_os("UPDATE_README").is_some() {
        let (begin, end) = (
            format!("<!-- {name}:begin -->\n"),
            format!("<!-- {name}:end -->"),
        );
        let old = format!("{begin}{found}{end}");
        fs::write(
            &file,
            text.replacen(&old, &format!("{begin}{expected}{end}"), 1),
        )
        .unwrap();
        return;
    }
    assert_eq!(
        found, expected,
        "the block `{name}` of README.md is stale: UPDATE_README=1"
    );
}

/// One test, since all blocks are in one file that is written.
#[test]
fn every_block_is_what_the_project_says() {
    // One after the other: all of them write the one file.
    hold_dry_run();
    let page = fs::read_to_string(root().join("examples/quickstart/README.md")).unwrap();
    hold("quickstart", block(&page, "quickstart"));
    for (mark, pipeline) in [
        ("flow", "pipelines/quickstart.yaml"),
        ("live-flow", "pipelines/participant-sync.yaml"),
        ("outbound-flow", "pipelines/outbound-messages.yaml"),
    ] {
        let flow = trunkline(&["graph", "--format", "mermaid", pipeline]);
        hold(mark, &format!("```mermaid\n{flow}```\n"));
    }
    let told = trunkline(&["validate", "tests/readme/broken.yaml"]);
    hold("error", &format!("```text\n{told}```\n"));
}

#[test]
fn its_example_of_a_pipeline_names_only_what_there_is() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    for kind in ["source", "transform", "sink"] {
        let rows = text
            .lines()
            .filter(|line| line.starts_with(&format!("| {kind} |")));
        let shown: Vec<&str> = rows
            .flat_map(|row| {
                let names = row.split('|').nth(2).unwrap_or_default();
                names.split('`').skip(1).step_by(2)
            })
            .collect();
        let mut there: Vec<&str> = match kind {
            "source" => trunkline::source::KINDS.to_vec(),
            "transform" => trunkline::transform::KINDS.to_vec(),
            _ => trunkline::sink::KINDS.to_vec(),
        };
        let mut shown = shown;
        shown.sort_unstable();
        there.sort_unstable();
        assert_eq!(shown, there, "the README's table of {kind}s");
    }
}

/// Holds the picture of a dry run.
fn hold_dry_run() {
    let command = "dry-run pipelines/outbound-messages.yaml --input examples/outbound-messages/messages.ndjson \
                   --limit 3 --show 1 --at 2026-04-01T00:00:00Z";
    let arguments: Vec<&str> = command.split_whitespace().collect();
    let printed = trunkline(&arguments);
    let told = arguments.join(" ");
    hold(
        "dry-run",
        &format!("```console\n$ trunkline {told}\n{printed}```\n"),
    );
}

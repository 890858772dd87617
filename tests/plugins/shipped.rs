//! What is shipped in `plugins/`, by the real binary.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::guests::guest;

/// A folder that looks as the repository does after `make plugins`.
fn built() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for folder in ["plugins", "examples"] {
        std::fs::create_dir(place.path().join(folder)).unwrap();
    }
    for name in ["template", "loyalty_tier", "language"] {
        let to = place
            .path()
            .join("plugins")
            .join(name)
            .with_extension("wasm");
        std::fs::copy(guest(name), to).unwrap();
    }
    let example = "examples/plugins.yaml";
    std::fs::copy(example, place.path().join(example)).unwrap();
    place
}

fn trunkline(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command
        .current_dir(folder)
        .args(arguments)
        .env("NO_COLOR", "1");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(error)
    )
}

#[test]
fn the_example_passes_its_tests_and_a_dry_run_shows_what_leaves() {
    let place = built();
    let tested = trunkline(place.path(), &["test", "examples/plugins.yaml"], "");
    assert!(tested.status.success(), "{}", text(&tested));
    let checked = trunkline(place.path(), &["validate", "examples/plugins.yaml"], "");
    assert!(
        text(&checked).contains("transform `tiers`: compiled in "),
        "{}",
        text(&checked)
    );
    let input = place.path().join("in.ndjson");
    std::fs::write(&input, "{\"customerId\":\"c-18\"}\n").unwrap();
    let input = input.display().to_string();
    let arguments = ["dry-run", "examples/plugins.yaml", "--input", &input];
    let dry = trunkline(place.path(), &arguments, "");
    assert!(
        text(&dry).contains("{\"customerId\":\"c-18\",\"tier\":\"silver\"}"),
        "{}",
        text(&dry)
    );
}

/// The steps of `plugins/README.md`, from the pipeline on.
#[test]
fn the_how_to_leads_to_a_running_pipeline() {
    let place = built();
    let how_to = std::fs::read_to_string("plugins/README.md").unwrap();
    let from = how_to.find("   version: 1\n").unwrap();
    let to = from + how_to[from..].find("   ```").unwrap();
    let pipeline = how_to[from..to].replace("plugins/mine.wasm", "plugins/template.wasm");
    let pipeline = pipeline
        .lines()
        .map(|line| line.strip_prefix("   ").unwrap_or(line));
    let pipeline = pipeline.collect::<Vec<_>>().join("\n");
    std::fs::write(place.path().join("mine.yaml"), pipeline).unwrap();
    let run = trunkline(place.path(), &["run", "mine.yaml"], "{\"a\":1}\n");
    assert!(run.status.success(), "{}", text(&run));
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "{\"a\":1,\"seen\":true}\n"
    );
}

#[test]
fn mistakes_in_the_configuration_of_the_shipped_ones_are_told_where_they_are() {
    let place = built();
    let path = place.path().join("examples/plugins.yaml");
    let text_of = std::fs::read_to_string(&path).unwrap();
    let wrong = text_of
        .replace("at_least: 10", "at_least: ten")
        .replace("default: none\n", "defualt: none\n")
        .replace("fr, it]", "fr, xx]");
    std::fs::write(&path, wrong).unwrap();
    let told = text(&trunkline(
        place.path(),
        &["validate", "examples/plugins.yaml"],
        "",
    ));
    for part in [
        "`at_least` has to be a number\n   --> examples/plugins.yaml:22:",
        "there is no such field; there are `key`",
        "--> examples/plugins.yaml:23:16",
        "it does not know this language\n   --> examples/plugins.yaml:28:",
        "3 errors",
    ] {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
}

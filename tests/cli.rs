//! The binary as a user meets it: what it says, where, and with which exit code.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;

const GOOD: &str = "\
version: 1
name: good
dead_letter: { type: file, path: letters.ndjson }
sources:
  in: { type: file, path: in.ndjson }
transforms:
  unique: { type: dedup, inputs: [in], key: .id }
  way: { type: route, inputs: [unique], routes: { a: { path: .kind, equals: a } }, else: rest }
sinks:
  kept: { type: file, inputs: [way.a], path: out/kept.ndjson }
  rest: { type: blackhole, inputs: [way.rest] }
";
const INPUT: &str = "{\"id\":1,\"kind\":\"a\"}\n{\"id\":1,\"kind\":\"a\"}\n{\"id\":2}\nbroken\n";

/// A folder with a good pipeline, one with a mistake, one with a warning only, and an input.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("good.yaml", GOOD);
    write("in.ndjson", INPUT);
    write("bad.yaml", &GOOD.replace("inputs: [in]", "inputs: [ni]"));
    let letters = "dead_letter: { type: file, path: letters.ndjson }\n";
    write(
        "warned.yaml",
        &GOOD
            .replace(letters, "")
            .replace("name: good", "name: warned"),
    );
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.current_dir(folder).args(arguments);
    command.env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command
}

fn trunkline(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn help_has_examples_for_every_command() {
    let folder = folder();
    for command in [
        &[][..],
        &["run"],
        &["validate"],
        &["graph"],
        &["buffer"],
        &["dlq"],
        &["completions"],
    ] {
        let output = trunkline(folder.path(), &[command, &["--help"]].concat());
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        let example = format!("  trunkline {}", command.first().unwrap_or(&"run"));
        assert!(
            text.contains("Example") && text.contains(&example),
            "{command:?}: {text}"
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= 120),
            "{command:?}: {text}"
        );
    }
    let version = stdout(&trunkline(folder.path(), &["--version"]));
    assert_eq!(
        version,
        concat!("trunkline ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn validate_answers_with_its_exit_code() {
    let folder = folder();
    let code = |arguments: &[&str]| trunkline(folder.path(), arguments).status.code();
    assert_eq!(code(&["validate", "good.yaml"]), Some(0));
    assert_eq!(code(&["validate", "bad.yaml"]), Some(1));
    assert_eq!(code(&["validate", "good.yaml", "bad.yaml"]), Some(1));
    assert_eq!(
        code(&["validate", "warned.yaml"]),
        Some(0),
        "a warning refuses nothing"
    );
    assert_eq!(code(&["validate", "no-such.yaml"]), Some(1));
    assert_eq!(code(&["validate", "."]), Some(1));
    // What is wrong with the command line itself is 2.
    assert_eq!(code(&["validate"]), Some(2));
    assert_eq!(code(&["validate", "--format", "xml", "good.yaml"]), Some(2));
    assert_eq!(code(&["valdiate", "good.yaml"]), Some(2));
    assert_eq!(code(&[]), Some(2));
}

#[test]
fn validate_says_what_is_wrong_and_what_is_right() {
    let folder = folder();
    let output = trunkline(
        folder.path(),
        &["validate", "good.yaml", "bad.yaml", "warned.yaml"],
    );
    let text = stdout(&output);
    for part in [
        "error[unknown-input]: `ni` is not a source or transform of this pipeline",
        "  --> bad.yaml:7:35",
        "good.yaml: ok, 1 source, 2 transforms, 2 sinks\n  in -> kept  at-least-once  ",
        "\n  in -> rest  best effort    the sink keeps nothing; ",
        "warning[no-dead-letter]",
        "warned.yaml: ok",
        "1 error\n",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
    assert_eq!(stderr(&output), "");
    let coloured = trunkline(
        folder.path(),
        &["validate", "bad.yaml", "--color", "always"],
    );
    assert!(stdout(&coloured).contains('\u{1b}'));
}

#[test]
fn validate_in_json_has_exactly_the_agreed_fields() {
    let folder = folder();
    let arguments = [
        "validate",
        "--format",
        "json",
        "bad.yaml",
        "no-such.yaml",
        "good.yaml",
    ];
    let output = trunkline(folder.path(), &arguments);
    let all: Json = serde_json::from_slice(&output.stdout).unwrap();
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 2, "{all:?}");
    for found in all {
        let fields: Vec<_> = found.as_object().unwrap().keys().cloned().collect();
        let mut agreed = [
            "code", "severity", "message", "file", "line", "column", "end", "hint",
        ];
        agreed.sort_unstable();
        assert_eq!(fields, agreed);
    }
    let bad = all
        .iter()
        .find(|found| found["file"] == "bad.yaml")
        .unwrap();
    assert_eq!(bad["code"], "unknown-input");
    assert_eq!(bad["severity"], "error");
    assert_eq!(
        (&bad["line"], &bad["column"]),
        (&Json::from(7), &Json::from(35))
    );
    assert_eq!(bad["end"], serde_json::json!({ "line": 7, "column": 37 }));
    let gone = all
        .iter()
        .find(|found| found["file"] == "no-such.yaml")
        .unwrap();
    assert_eq!(
        (&gone["code"], &gone["line"]),
        (&Json::from("unreadable-file"), &Json::Null)
    );
    let clean = trunkline(
        folder.path(),
        &["validate", "--format", "json", "good.yaml"],
    );
    assert_eq!(stdout(&clean).trim(), "[]");
}

#[test]
fn validate_for_github_writes_one_command_for_each_mistake() {
    let folder = folder();
    let output = trunkline(
        folder.path(),
        &["validate", "--format", "github", "bad.yaml"],
    );
    let text = stdout(&output);
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("::error file=bad.yaml,line=7,col=35,"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.starts_with("::")), "{text}");
}

#[test]
fn validate_touches_nothing() {
    let folder = folder();
    let before = names(folder.path());
    trunkline(
        folder.path(),
        &["validate", "good.yaml", "bad.yaml", "warned.yaml"],
    );
    trunkline(folder.path(), &["graph", "good.yaml"]);
    assert_eq!(names(folder.path()), before);
}

#[test]
fn graph_draws_in_three_forms() {
    let folder = folder();
    let draw = |format: &str| {
        let output = trunkline(folder.path(), &["graph", "--format", format, "good.yaml"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let text = draw("text");
    assert!(text.starts_with("good\n"), "{text}");
    for node in [
        "in · file",
        "unique · dedup",
        "way · route",
        "[a] kept · file",
        "rest · blackhole",
    ] {
        assert!(text.contains(node), "{node} is not in:\n{text}");
    }
    let mermaid = draw("mermaid");
    assert!(
        mermaid.starts_with("flowchart LR\n") && mermaid.contains("-->|a|"),
        "{mermaid}"
    );
    let dot = draw("dot");
    assert!(
        dot.starts_with("digraph \"good\" {\n") && dot.ends_with("}\n"),
        "{dot}"
    );
    assert_eq!(dot.matches(" -> ").count(), 4, "{dot}");
    let broken = trunkline(folder.path(), &["graph", "bad.yaml"]);
    assert_eq!(
        (broken.status.code(), stdout(&broken)),
        (Some(1), String::new())
    );
    assert!(stderr(&broken).contains("error[unknown-input]"));
}

#[test]
fn completions_are_a_script_that_bash_reads() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = trunkline(folder.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("validate"), "{shell}");
    }
    let script = trunkline(folder.path(), &["completions", "bash"]).stdout;
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin.take().unwrap().write_all(&script).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn run_delivers_and_closes_its_ledger() {
    let folder = folder();
    let arguments = ["run", "--summary", "summary.json", "good.yaml"];
    let output = trunkline(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let kept = fs::read_to_string(folder.path().join("out/kept.ndjson")).unwrap();
    assert_eq!(kept, "{\"id\":1,\"kind\":\"a\"}\n");
    let letters = fs::read_to_string(folder.path().join("letters.ndjson")).unwrap();
    assert_eq!(letters.lines().count(), 1, "{letters}");
    assert_eq!(stdout(&output), "", "stdout belongs to the data");
    assert!(stderr(&output).contains("good"), "{}", stderr(&output));
    let promised = stderr(&output);
    let promised = promised.lines().find(|line| line.contains("promised: "));
    assert!(
        promised.is_some_and(|line| line.contains("at-least-once") && line.contains("sink=kept")),
        "{promised:?}"
    );
    let summary = fs::read_to_string(folder.path().join("summary.json")).unwrap();
    let summary: Json = serde_json::from_str(&summary).unwrap();
    assert!(summary.is_object(), "{summary}");
    assert!(!folder.path().join("summary.json.part").exists());
}

#[test]
fn run_refuses_a_broken_pipeline_before_anything_starts() {
    let folder = folder();
    let before = names(folder.path());
    for files in [
        &["bad.yaml"][..],
        &["good.yaml", "bad.yaml"],
        &["good.yaml", "no-such.yaml"],
    ] {
        let arguments = [&["run", "--summary", "summary.json"], files].concat();
        let output = trunkline(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(1), "{files:?}");
        assert!(stderr(&output).contains("error["), "{files:?}");
        assert_eq!(names(folder.path()), before, "{files:?}");
    }
    let twice = trunkline(folder.path(), &["run", "good.yaml", "good.yaml"]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(stderr(&twice).contains("two pipelines are called `good`"));
    assert_eq!(names(folder.path()), before);
}

#[test]
fn a_log_in_json_has_an_object_on_every_line() {
    let folder = folder();
    let pipeline = GOOD.replace("path: in.ndjson", "path: no-such-folder");
    fs::write(folder.path().join("failing.yaml"), pipeline).unwrap();
    let arguments = [
        "run",
        "--log-format",
        "json",
        "--log-level",
        "debug",
        "failing.yaml",
    ];
    let output = trunkline(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
    assert!(!lines.is_empty(), "{text}");
    let mut levels = Vec::new();
    for line in lines {
        let logged: Json = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        levels.push(logged["level"].as_str().unwrap_or_default().to_uppercase());
    }
    assert!(levels.iter().any(|level| level == "ERROR"), "{text}");
    let wrong = trunkline(folder.path(), &["run", "--log-level", "loud", "good.yaml"]);
    assert_eq!(wrong.status.code(), Some(2), "an unknown level is told");
}

#[test]
fn a_pipeline_of_many_components_runs() {
    let folder = folder();
    let mut text = String::from(
        "version: 1\nname: long\ndead_letter: { type: blackhole }\nsources:\n  t0: { type: file, path: in.ndjson }\ntransforms:\n",
    );
    // With the source and the sink as many as there may be.
    let last = 126;
    let kinds = [
        "filter, where: { path: .id, exists: true }",
        "causal_reorder, key: .id, missing_key: pass, max_wait: 10ms",
        "dedup, key: .id",
        "schema_validate, fields: { id: integer }",
        "pii_mask",
        "map, keep: all, default: { more: 1 }",
    ];
    for n in 1..=last {
        let (kind, input) = (kinds[n % kinds.len()], n - 1);
        text += &format!("  t{n}: {{ inputs: [t{input}], type: {kind} }}\n");
    }
    text += &format!("sinks:\n  out: {{ type: file, inputs: [t{last}], path: long.ndjson }}\n");
    fs::write(folder.path().join("long.yaml"), text).unwrap();
    let record = |id: u32| format!("{{\"id\":{id},\"timestamp\":\"2026-03-01T10:00:0{id}Z\"}}\n");
    let input = [record(1), record(1), record(2)].concat();
    fs::write(folder.path().join("in.ndjson"), input).unwrap();
    // Half of the stack that threads have: a build that takes more fails here first.
    let output = command(folder.path(), &["run", "long.yaml"])
        .env("RUST_MIN_STACK", "1048576")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let kept = fs::read_to_string(folder.path().join("long.ndjson")).unwrap();
    assert_eq!(kept.lines().count(), 2);
    let drawn = trunkline(folder.path(), &["graph", "long.yaml"]);
    assert_eq!(stdout(&drawn).lines().count(), last + 3);
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let folder = folder();
    let mut child = command(folder.path(), &["validate", "bad.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(!stderr(&output).contains("panicked"));
}

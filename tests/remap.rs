//! Programs in VRL by the real binary: what `validate` draws, what a run leaves, refuses and counts, and
//! that a dry run of the same says the same.

#![cfg(feature = "remap")]

#[path = "dlq/case.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod case;

use std::path::Path;

use case::{Case, PHONE, command, stderr, stdout};
use serde_json::{Value as Json, json};

/// A pipeline with this transform, from a file to a file.
fn pipeline(transform: &str) -> String {
    format!(
        "\
version: 1
name: calls
dead_letter: {{ type: file, path: letters.ndjson }}
sources:
  in: {{ type: file, path: in.ndjson }}
transforms:
{transform}
sinks:
  out: {{ type: file, inputs: [tidy], path: out.ndjson }}
"
    )
}

fn events(bodies: &[&str]) -> Vec<String> {
    bodies.iter().map(|body| format!("{body}\n")).collect()
}

/// The figures of the last run.
fn ledger(case: &Case) -> Json {
    case.good(&["run", "p.yaml", "--summary", "summary.json"]);
    serde_json::from_str(&case.read("summary.json")).unwrap()
}

#[test]
fn mistakes_are_drawn_where_they_stand() {
    let case = Case::new(
        &pipeline("  tidy: { type: remap, inputs: [in], source: . }"),
        &[],
    );
    let wrong = "  tidy:
    type: remap
    inputs: [in]
    source: |2
        .name = \"é\"; .a = totl
      .b = upcase(5)
";
    for end in ["\n", "\r\n"] {
        case.write("p.yaml", &pipeline(wrong).replace('\n', end));
        let output = case.trunkline(&["validate", "p.yaml"]);
        assert_eq!(output.status.code(), Some(1));
        let told = stdout(&output) + &stderr(&output);
        let drawn = [
            "p.yaml:11:27\n",
            "11 |         .name = \"é\"; .a = totl\n",
            "|                           ^^^^\n",
            "p.yaml:12:19\n",
            "12 |       .b = upcase(5)\n",
            "|                   ^\n",
        ];
        for line in drawn {
            assert!(told.contains(line), "{line}\n{told}");
        }
    }
    case.write("tidy.vrl", "# fine\n.a = nowhere\n");
    case.write(
        "p.yaml",
        &pipeline("  tidy: { type: remap, inputs: [in], file: tidy.vrl }"),
    );
    let output = case.trunkline(&["validate", "p.yaml"]);
    let told = stdout(&output) + &stderr(&output);
    assert!(
        told.contains("tidy.vrl:2:6") && told.contains("2 | .a = nowhere"),
        "{told}"
    );
    case.write("tidy.vrl", "# fine\n.a = 1\n");
    case.good(&["validate", "p.yaml"]);
}

const PROGRAM: &str = r#"  tidy:
    type: remap
    inputs: [in]
    source: |
      if .skip == true { abort }
      if is_array(.all) {
        . = unnest!(.all)
      } else {
        .n = to_int!(.n)
      }
"#;

#[test]
fn what_comes_out_is_counted_and_what_is_refused_is_masked() {
    let refused = format!(r#"{{"id":4,"n":"call {PHONE}"}}"#);
    let bodies = [
        r#"{ "id": 1.10, "n": 12, "big": 12345678901234567890 }"#,
        r#"{"id":2,"n":"7"}"#,
        r#"{"id":3,"skip":true}"#,
        &refused,
        r#"{"id":5,"all":[1,2,3]}"#,
        r#"{"id":6,"all":[]}"#,
    ];
    let case = Case::new(&pipeline(PROGRAM), &events(&bodies));
    let out = case.read("out.ndjson");
    let lines: Vec<_> = out.lines().collect();
    let expected = [
        bodies[0],
        r#"{"id":2,"n":7}"#,
        r#"{"id":5,"all":1}"#,
        r#"{"id":5,"all":2}"#,
        r#"{"id":5,"all":3}"#,
    ];
    assert_eq!(lines, expected);
    let letters = case.lines("letters.ndjson");
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["reason"], "vrl_error");
    assert_eq!(letters[0]["node"], "tidy");
    let detail = letters[0]["detail"].as_str().unwrap();
    assert!(detail.contains("`to_int`"), "{detail}");
    let letters = case.read("letters.ndjson");
    assert!(!letters.contains(PHONE), "{letters}");

    case.write("out.ndjson", "");
    let summary = ledger(&case);
    let text = summary.to_string();
    let tidy = node(&summary, "tidy");
    assert_eq!(tidy["received"], 6, "{text}");
    assert_eq!(tidy["created"], 2, "{text}");
    assert_eq!(
        tidy["dropped"],
        json!({ "aborted": 1, "empty": 1 }),
        "{text}"
    );
    assert_eq!(tidy["dead_lettered"], json!({ "vrl_error": 1 }), "{text}");
    assert_eq!(tidy["delivered"], 5, "{text}");
}

/// The figures of one node, wherever the summary has them.
fn node<'j>(summary: &'j Json, name: &str) -> &'j Json {
    let nodes = summary["nodes"].as_array().expect("a list of nodes");
    let found = nodes
        .iter()
        .find(|it| it["name"] == name || it["node"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {summary}"));
    match found.get("counts") {
        Some(counts) => counts,
        None => found,
    }
}

#[test]
fn who_halts_goes_where_the_file_says() {
    let bodies = [r#"{"id":1,"n":"x"}"#, r#"{"id":2,"skip":true}"#];
    let with = |says: &str| pipeline(&format!("{PROGRAM}{says}"));
    let pass = "    on_error: pass\n    on_abort: pass\n";
    let case = Case::new(&with(pass), &events(&bodies));
    assert_eq!(case.read("out.ndjson").lines().collect::<Vec<_>>(), bodies);
    assert_eq!(case.read("letters.ndjson"), "");
    let other = "    on_error: drop\n    on_abort: dead_letter\n";
    let case = Case::new(&with(other), &events(&bodies));
    assert_eq!(case.read("out.ndjson"), "");
    let letters = case.lines("letters.ndjson");
    assert_eq!(
        (letters.len(), &letters[0]["reason"]),
        (1, &json!("aborted"))
    );
}

#[test]
fn what_a_program_says_of_an_event_is_masked_too() {
    let program = "  tidy:\n    type: remap\n    inputs: [in]\n    on_abort: dead_letter\n    \
                   source: |\n      said = string(.n) ?? \"nothing\"\n      abort said\n";
    let body = format!(r#"{{"id":1,"n":"call {PHONE} back"}}"#);
    let case = Case::new(&pipeline(program), &events(&[&body]));
    let letters = case.lines("letters.ndjson");
    let detail = letters[0]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("call ") && detail.ends_with(" back"),
        "{detail}"
    );
    assert!(!case.read("letters.ndjson").contains(PHONE), "{letters:?}");
}

#[test]
fn a_dry_run_says_the_same_each_time() {
    let program = "  tidy:
    type: remap
    inputs: [in]
    source: |
      .at = now()
      .from = %source
";
    let case = Case::new(&pipeline(program), &events(&[r#"{"id":1}"#]));
    let run = || {
        let at = "2026-03-04T05:06:07Z";
        case.good(&["dry-run", "p.yaml", "--input", "in.ndjson", "--at", at])
    };
    let first = run();
    assert!(first.contains("2026-03-04T05:06:07Z"), "{first}");
    assert_eq!(first, run());
}

#[test]
fn the_example_keeps_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = command(root, &["test", "examples/remap/calls.yaml"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    assert!(stdout(&output).contains("2 passed"), "{}", stdout(&output));
}

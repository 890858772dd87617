//! `trunkline test` by the real binary: over all pipelines that are shipped, over what tests can do, and
//! over tests that fail, whose output is what a person reads.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test pipeline_tests` writes what the command prints anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use trunkline::config::{Fixed, parse};
use trunkline::diagnostic::Severity;
use trunkline::graph::check::{Checked, check};

/// What shipped pipelines ask for.
const VARIABLES: &[&str] = &[
    "API_TOKEN",
    "AMQP_URL",
    "EXPORT_URL",
    "GENESYS_REGION",
    "INFLUX_URL",
    "INPUT",
    "TENANT_SERVICE_URL",
    "WAREHOUSE_DIALECT",
    "WEBHOOK_SECRET",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn trunkline(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.current_dir(folder).args(arguments);
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Holds what was printed against what is checked in, or writes it.
fn hold(name: &str, printed: &str) {
    let file = root().join("tests/pipeline_tests").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, printed).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(printed, expected, "{name} is stale: UPDATE_SNAPSHOTS=1");
}

fn shipped() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("pipelines")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    files
}

#[test]
fn every_shipped_pipeline_passes_its_tests_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for file in shipped() {
        let output = trunkline(folder.path(), &["test", file.to_str().unwrap()]);
        let printed = stdout(&output);
        assert!(output.status.success(), "{printed}{}", stderr(&output));
        let passed = printed.matches("  ok    ").count();
        assert!((2..=6).contains(&passed), "{printed}");
        assert_eq!(stderr(&output), "");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A file of this folder with its placeholders filled in.
fn filled(name: &str, folder: &Path) {
    let text = fs::read_to_string(root().join("tests/pipeline_tests").join(name)).unwrap();
    let at = |what: &str| folder.join(what).display().to_string();
    let text = text
        .replace("STATE", &at("state"))
        .replace("LETTERS", &at("letters"))
        .replace("OUT", &at("out"));
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn clocks_restarts_and_failures_of_sinks_act_as_in_a_run() {
    let folder = tempfile::tempdir().unwrap();
    filled("good.yaml", folder.path());
    fs::copy(
        root().join("tests/pipeline_tests/input.ndjson"),
        folder.path().join("input.ndjson"),
    )
    .unwrap();
    // The input is found beside the pipeline, wherever the command is called.
    let file = folder.path().join("good.yaml");
    let output = trunkline(root(), &["test", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stdout(&output));
    assert!(
        stdout(&output).ends_with("\n11 passed, 0 failed\n"),
        "{}",
        stdout(&output)
    );
    let mut left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["good.yaml", "input.ndjson"]);

    let listed = trunkline(folder.path(), &["test", "good.yaml", "--list"]);
    assert!(
        stdout(&listed).contains("good.yaml:19:11: forgets\n"),
        "{}",
        stdout(&listed)
    );
    let one = trunkline(folder.path(), &["test", "good.yaml", "--filter", "forg"]);
    assert!(stdout(&one).ends_with("\n1 passed, 0 failed\n"));
    let none = trunkline(folder.path(), &["test", "good.yaml", "--filter", "xyz"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("no test has such a name"));
}

#[test]
fn what_is_wrong_is_shown_at_its_place_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    filled("wrong.yaml", folder.path());
    let output = trunkline(folder.path(), &["test", "wrong.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    hold("wrong.txt", &stdout(&output));

    let output = trunkline(folder.path(), &["test", "wrong.yaml", "--format", "json"]);
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (told["passed"].as_u64(), told["failed"].as_u64()),
        (Some(0), Some(2))
    );
    let problem = &told["tests"][0]["problems"][0];
    assert_eq!(problem["line"].as_u64(), Some(17), "{problem}");
    let signs: Vec<&str> = problem["difference"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["sign"].as_str().unwrap())
        .collect();
    assert!(
        signs.contains(&"expected") && signs.contains(&"found"),
        "{signs:?}"
    );

    let output = trunkline(folder.path(), &["test", "wrong.yaml", "--format", "junit"]);
    let junit = stdout(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        junit.contains("tests=\"2\" failures=\"2\" errors=\"0\""),
        "{junit}"
    );
    assert!(junit.contains("&quot;id&quot;: &quot;c&quot;"), "{junit}");
    assert_is_junit(&junit);

    let coloured = ["test", "wrong.yaml", "--color", "always"];
    let coloured = stdout(&trunkline(folder.path(), &coloured));
    assert!(coloured.contains("\u{1b}[31m-") && coloured.contains("\u{1b}[32m+"));
    // What is piped is for no terminal.
    let piped = stdout(&trunkline(folder.path(), &["test", "wrong.yaml"]));
    assert!(!piped.contains('\u{1b}'));
}

type Names = &'static [&'static str];

/// Elements with the attributes that they may and must have, and what may be in them, as the XSD that
/// Jenkins has for JUnit says.
const JUNIT: &[(&str, Names, Names, Names)] = &[
    (
        "testsuites",
        &["name", "tests", "failures", "errors", "time"],
        &[],
        &["testsuite"],
    ),
    (
        "testsuite",
        &["name", "tests", "failures", "errors", "time", "timestamp"],
        &["name", "tests"],
        &["testcase"],
    ),
    (
        "testcase",
        &["name", "classname", "time"],
        &["name", "classname", "time"],
        &["failure", "error", "skipped"],
    ),
    ("failure", &["type", "message"], &["message"], &[]),
    ("error", &["type", "message"], &["message"], &[]),
];

fn assert_is_junit(xml: &str) {
    let xml = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
        .unwrap();
    let tag = regex::Regex::new(r#"<(/?)([a-z]+)((?: [a-z]+="[^"<]*")*)(/?)>"#).unwrap();
    let attribute = regex::Regex::new(r#" ([a-z]+)="([^"]*)""#).unwrap();
    let mut open: Vec<String> = Vec::new();
    let mut counted = [0, 0, 0];
    for found in tag.captures_iter(xml) {
        let name = &found[2];
        if &found[1] == "/" {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let known = JUNIT
            .iter()
            .find(|it| it.0 == name)
            .unwrap_or_else(|| panic!("<{name}>"));
        let parent = open.last().map(String::as_str);
        let inside = JUNIT.iter().find(|it| Some(it.0) == parent);
        assert!(
            inside.is_none_or(|it| it.3.contains(&name)),
            "{name} in {parent:?}"
        );
        let attributes: Vec<String> = attribute
            .captures_iter(&found[3])
            .map(|it| it[1].to_owned())
            .collect();
        assert!(
            attributes.iter().all(|it| known.1.contains(&it.as_str())),
            "{attributes:?}"
        );
        assert!(
            known
                .2
                .iter()
                .all(|it| attributes.iter().any(|own| own == it)),
            "{name}"
        );
        match name {
            "testcase" => counted[0] += 1,
            "failure" => counted[1] += 1,
            "error" => counted[2] += 1,
            _ => {}
        }
        if &found[4] != "/" {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty());
    // Nothing is left that looks like a tag, and every entity is one.
    let text = tag.replace_all(xml, "");
    assert!(!text.contains(['<', '>']), "{text}");
    let whole = xml.lines().next().unwrap();
    assert!(
        whole.contains(&format!("tests=\"{}\"", counted[0])),
        "{whole} {counted:?}"
    );
    assert!(
        whole.contains(&format!("errors=\"{}\"", counted[2])),
        "{whole} {counted:?}"
    );
}

/// A pipeline that asks for variables, with these tests.
fn varied(tests: &str) -> String {
    format!(
        "version: 1\nname: p\nsources: {{ in: {{ type: stdin }} }}\ntransforms:\n  \
         some: {{ type: filter, inputs: [in], where: {{ path: .w, equals: \"${{WORD:-a}}\" }} }}\n\
         sinks: {{ out: {{ type: file, inputs: [some], path: \"${{NEEDED}}\" }} }}\ntests:\n{tests}"
    )
}

#[test]
fn a_test_has_variables_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let test = |name: &str, variables: &str, word: &str| {
        format!(
            "  - name: {name}\n{variables}    input: {{ in: [ {{ w: a }}, {{ w: b }}, {{ w: c }} ] }}\n    \
             expect: {{ some: {{ exactly: [ {{ w: {word} }} ] }} }}\n"
        )
    };
    let run = |name: &str, tests: &str| {
        fs::write(folder.path().join(name), varied(tests)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.current_dir(folder.path()).args(["test", name]);
        let output = command
            .env("WORD", "c")
            .env_remove("NEEDED")
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            stdout(&output) + &stderr(&output),
        )
    };
    let own = [
        test("own", "    variables: { NEEDED: x, WORD: b }\n", "b"),
        test("of the environment", "    variables: { NEEDED: x }\n", "c"),
        test("none", "    variables: { NEEDED: x, WORD: null }\n", "a"),
    ];
    let (code, told) = run("own.yaml", &own.concat());
    assert_eq!(code, 0, "{told}");
    assert!(told.ends_with("\n3 passed, 0 failed\n"), "{told}");
    // One that does not say what is needed stops the file, or itself.
    let (code, told) = run(
        "lacks.yaml",
        &test("lacks", "    variables: { WORD: b }\n", "b"),
    );
    assert_eq!(code, 1);
    assert!(told.contains("the variable `NEEDED` is not set"), "{told}");
    let (code, told) = run("bare.yaml", &[&own[0], &*test("bare", "", "b")].concat());
    assert_eq!(code, 1);
    assert!(told.contains("error[missing-variable]") && told.contains("1 file with mistakes"));
    let (_, told) = run("near.yaml", &test("x", "    variables: { WROD: b }\n", "b"));
    assert!(told.contains("did you mean `WORD`?"), "{told}");
}

#[test]
fn tests_are_found_in_folders_and_by_patterns() {
    let folder = tempfile::tempdir().unwrap();
    let pipelines = folder.path().join("pipelines");
    fs::create_dir_all(pipelines.join("more")).unwrap();
    for file in shipped() {
        fs::copy(
            &file,
            pipelines.join("more").join(file.file_name().unwrap()),
        )
        .unwrap();
    }
    fs::write(pipelines.join("compose.yaml"), "services: {}\n").unwrap();
    let all = stdout(&trunkline(folder.path(), &["test", "pipelines"]));
    let named = all
        .lines()
        .filter(|line| line.starts_with("pipelines/more/"));
    assert_eq!(named.count(), 4, "{all}");
    assert!(all.contains(" passed, 0 failed"), "{all}");
    let some = stdout(&trunkline(
        folder.path(),
        &["test", "pipelines/**/quick*.yaml"],
    ));
    assert_eq!(
        some.matches("pipelines/more/quickstart.yaml").count(),
        1,
        "{some}"
    );
    let none = trunkline(folder.path(), &["test", "pipelines/*.yaml"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(
        stderr(&none).contains("no file in it has tests"),
        "{}",
        stderr(&none)
    );
}

/// A step or expectation that is misspelt is a mistake at its place, and not something that never fails.
#[test]
fn what_no_test_can_say_is_told_with_what_was_meant() {
    let told = |test: &str| {
        let yaml = "version: 1\nname: p\nsources: { in: { type: stdin } }\nsinks: { out: { type: stdout, \
                    inputs: [in] } }\ntests:\n  - name: x\n";
        let report = check(&parse("p.yaml", &format!("{yaml}{test}"), &Fixed::new())).report;
        let errors = report.iter().filter(|it| it.severity == Severity::Error);
        let told = errors.map(|it| {
            let line = it.span.map_or(0, |span| span.line);
            format!(
                "{} {line} {}",
                it.code,
                it.hint.as_deref().unwrap_or_default()
            )
        });
        told.collect::<Vec<_>>()
    };
    let expect = "    expect: { out: { count: 1 } }\n";
    for (test, expected) in [
        (
            "    imput: { in: [] }\n",
            "unknown-field 7 did you mean `input`?",
        ),
        (
            "    input: { im: [] }\n",
            "unknown-node 7 did you mean `in`?",
        ),
        (
            "    steps: [ { advanse: 1s } ]\n",
            "unknown-field 7 did you mean `advance`?",
        ),
        (
            "    steps: [ { sink: { uot: down } } ]\n",
            "unknown-node 7 did you mean `out`?",
        ),
        (
            "    steps: [ { sink: { out: donw } } ]\n",
            "unknown-value 7 did you mean `down`?",
        ),
        (
            "    steps: [ { sink: { out: { sloww: 1s } } } ]\n",
            "unknown-field 7 did you mean `slow`?",
        ),
    ] {
        assert_eq!(told(&format!("{test}{expect}")), [expected], "{test}");
    }
    for (expect, expected) in [
        (
            "{ out: { exactli: [] } }",
            "unknown-field 7 did you mean `exactly`?",
        ),
        (
            "{ out: { rows: { cuont: 1 } } }",
            "unknown-field 7 did you mean `count`?",
        ),
        (
            "{ out: { metrics: { dorpped: {} } } }",
            "unknown-field 7 did you mean `dropped`?",
        ),
        (
            "{ dead_letters: [ { raeson: x } ] }",
            "unknown-field 7 did you mean `reason`?",
        ),
        (
            "{ oput: { count: 1 } }",
            "unknown-node 7 did you mean `out`?",
        ),
    ] {
        assert_eq!(
            told(&format!("    expect: {expect}\n")),
            [expected],
            "{expect}"
        );
    }
}

#[test]
fn a_shipped_pipeline_with_another_expectation_fails() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = fs::read_to_string(root().join("pipelines/quickstart.yaml")).unwrap();
    let broken = shipped
        .replace(
            "event_counter: 2, state: completed",
            "event_counter: 3, state: ended",
        )
        .replace("dropped: { duplicate: 1 }", "dropped: { duplicate: 2 }");
    assert_ne!(shipped, broken);
    fs::write(folder.path().join("quickstart.yaml"), broken).unwrap();
    let output = trunkline(folder.path(), &["test", "quickstart.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    hold("quickstart.txt", &stdout(&output));
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let told = format!(
        "```console\n$ trunkline test quickstart.yaml\n{}```\n",
        stdout(&output)
    );
    assert!(
        readme.contains(&told),
        "README.md shows another output:\n{told}"
    );
}

#[test]
fn a_file_with_mistakes_or_without_tests_does_not_pass() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "version: 1\nname: p\nsources: { in: { type: stdin } }\nsinks: { out: { type: stdout, inputs: [in] } }\n";
    fs::write(folder.path().join("none.yaml"), yaml).unwrap();
    let output = trunkline(folder.path(), &["test", "none.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no test in these files"));
    let wrong = format!("{yaml}tests: [ {{ name: x, expect: {{ uot: {{ none: true }} }} }} ]\n");
    fs::write(folder.path().join("wrong.yaml"), wrong).unwrap();
    let gone = format!(
        "{yaml}tests: [ {{ name: x, input: {{ in: {{ file: gone }} }}, expect: {{ out: {{ none: true }} }} }} ]\n"
    );
    fs::write(folder.path().join("gone.yaml"), gone).unwrap();
    let output = trunkline(folder.path(), &["test", "gone.yaml"]);
    assert!(
        stdout(&output).contains("the run fails: "),
        "{}",
        stdout(&output)
    );
    // Where a pipeline is deployed, what its tests read need not be.
    assert!(
        trunkline(folder.path(), &["validate", "gone.yaml"])
            .status
            .success()
    );
    for command in ["test", "validate"] {
        let output = trunkline(folder.path(), &[command, "wrong.yaml"]);
        let told = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(told.contains("did you mean `out`?"), "{told}");
    }
}

/// What a reload compares is the same with and without tests.
#[test]
fn a_run_knows_nothing_of_tests() {
    let yaml = "version: 1\nname: p\nsources: { in: { type: stdin } }\nsinks: { out: { type: stdout, inputs: [in] } }\n";
    let of = |yaml: &str| {
        let Checked {
            pipeline, tests, ..
        } = check(&parse("p.yaml", yaml, &Fixed::new()));
        let pipeline = pipeline.unwrap();
        (
            pipeline.sources[0].print,
            pipeline.sinks[0].print,
            tests.len(),
        )
    };
    let tested = format!("{yaml}tests: [ {{ name: x, expect: {{ out: {{ none: true }} }} }} ]\n");
    let (without, with) = (of(yaml), of(&tested));
    assert_eq!((without.0, without.1, with.2), (with.0, with.1, 1));
}

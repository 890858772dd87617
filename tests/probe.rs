//! `trunkline validate --probe` as a user meets it.

#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "warehouse_postgres/server.rs"]
mod postgres;

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

/// Whether this is the first finding, behind the time that it took.
fn sink_is(text: &str, sink: &str, finding: &str) -> bool {
    let mut lines = text.lines();
    let head = lines.find(|line| line.starts_with(&format!("  sink {sink}, ")));
    head.is_some_and(|head| head.ends_with(" ms"))
        && lines
            .next()
            .is_some_and(|line| line.starts_with(&format!("    {finding}")))
}

/// Whoever sets up a pipeline mends all of it at once, and not one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn all_broken_ends_are_told_at_once_and_no_secret_with_them() {
    let database = postgres::Server::start();
    database
        .client("postgres")
        .await
        .batch_execute("CREATE SCHEMA empty; CREATE ROLE reader LOGIN PASSWORD 'right-word'")
        .await
        .unwrap();
    let broker = broker::Broker::shared().await;
    let nobody = broker::free_port();
    let folder = tempfile::tempdir().unwrap();
    let warehouse = |user: &str, variable: &str| {
        format!(
            "type: warehouse, inputs: [in], dialect: postgresql, host: 127.0.0.1, port: {}, \
             database: postgres, user: {user}, password: '${{{variable}}}', tls: 'off', schema: empty, \
             auto_create: false",
            database.port()
        )
    };
    let text = format!(
        "version: 1\nname: broken\ndead_letter: {{ type: file, path: letters.ndjson }}\n\
         sources:\n  in: {{ type: rabbitmq, url: '{url}', queue: nobody-made-it }}\n\
         sinks:\n  refused: {{ {} }}\n  tableless: {{ {} }}\n  \
         gone: {{ type: influxdb, inputs: [in], url: 'http://127.0.0.1:{nobody}', org: o, bucket: b, \
         token: '${{TOKEN}}' }}\n  good: {{ type: file, inputs: [in], path: out.ndjson }}\n",
        warehouse("reader", "WRONG"),
        warehouse("postgres", "RIGHT"),
        url = broker.url(),
    );
    fs::write(folder.path().join("p.yaml"), text).unwrap();
    let probe = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.current_dir(folder.path());
        command
            .env("WRONG", "hunter2")
            .env("RIGHT", postgres::PASSWORD);
        command.env("TOKEN", "correct-horse");
        let output = command.args(["validate", "p.yaml", "--probe", "--format", format]);
        let output = output.output().unwrap();
        let all = [output.stdout.clone(), output.stderr].map(|it| String::from_utf8(it).unwrap());
        for secret in ["hunter2", postgres::PASSWORD, "correct-horse", "right-word"] {
            assert!(!all.concat().contains(secret), "{secret}: {}", all.concat());
        }
        assert_eq!(output.status.code(), Some(1), "{}", all.concat());
        all[0].clone()
    };
    let text = probe("text");
    for (name, word) in [
        ("source in (rabbitmq)", "nobody-made-it"),
        ("sink refused (warehouse)", "password"),
        ("sink tableless (warehouse)", "fact_interactions"),
        ("sink gone (influxdb)", "connect"),
    ] {
        let (_, after) = text
            .split_once(name)
            .unwrap_or_else(|| panic!("{name}: {text}"));
        let own: Vec<&str> = after
            .lines()
            .skip(1)
            .take_while(|it| it.starts_with("    "))
            .collect();
        let is_told = |line: &&str| line.starts_with("    error:   ") && line.contains(word);
        assert!(
            own.iter().any(is_told),
            "{name} does not tell of {word}: {text}"
        );
    }
    let read: Json = serde_json::from_str(&probe("json")).unwrap();
    let graded = read.as_array().unwrap().iter().map(|node| {
        assert!(node["seconds"].as_f64().unwrap() > 0.0, "{node}");
        let findings = node["findings"].as_array().unwrap();
        let is_wrong = findings.iter().any(|finding| finding["grade"] == "error");
        (node["node"].as_str().unwrap(), is_wrong)
    });
    let graded: Vec<_> = graded.collect();
    let expected = [
        ("in", true),
        ("refused", true),
        ("tableless", true),
        ("gone", true),
        ("good", false),
    ];
    assert_eq!(graded, expected, "{read}");
}

#[test]
fn what_can_be_reached_is_told_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), "rows.db", "");
    let (output, text) = validate(folder.path(), &["--probe"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("p.yaml: ok"), "{text}");
    assert!(sink_is(&text, "rows (warehouse)", "ok:      "), "{text}");
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
    assert!(sink_is(&text, "rows (warehouse)", "error:   "), "{text}");
    assert!(text.contains("  source in (file), "), "{text}");
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

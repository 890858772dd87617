//! `trunkline dry-run` by the real binary: what it shows is what a real run sends, to the byte, and a
//! real run is what it is compared with.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test dry_run` writes what the command prints anew.

#[path = "warehouse_bigquery/server.rs"]
#[allow(dead_code, reason = "a part is used here")]
mod bigquery;
#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "dry_run/clouds.rs"]
mod clouds;
#[path = "dry_run/exact.rs"]
mod exact;
#[path = "warehouse_cloud/front.rs"]
#[allow(dead_code, reason = "a part is used here")]
mod front;
#[path = "warehouse_cloud/load.rs"]
#[allow(dead_code, reason = "a part is used here")]
mod load;
#[path = "dry_run/place.rs"]
mod place;
#[path = "warehouse_postgres/server.rs"]
mod postgres;
#[path = "warehouse_cloud/program.rs"]
#[allow(dead_code, reason = "a part is used here")]
mod program;
#[path = "dry_run/servers.rs"]
mod servers;
#[path = "warehouse_snowflake/server.rs"]
#[allow(dead_code, reason = "a part is used here")]
mod snowflake;
#[path = "warehouse_synapse/stub.rs"]
#[allow(dead_code, reason = "a part is used here")]
mod stub;
#[path = "warehouse_postgres/kit.rs"]
mod warehouse;

use std::fs;
use std::io::Read;
use std::process::Stdio;

use place::{AT, Place, root, stderr, stdout};
use serde_json::Value;

const QUICKSTART: &str = "pipelines/quickstart.yaml";
const OUTBOUND: &str = "pipelines/outbound-messages.yaml";
const MESSAGES: &str = "examples/outbound-messages/messages.ndjson";

/// Holds what was printed against what is checked in, or writes it.
fn hold(name: &str, printed: &str) {
    let file = root().join("tests/dry_run").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, printed).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(printed, expected, "{name} is stale: UPDATE_SNAPSHOTS=1");
}

#[test]
fn shipped_pipelines_say_what_they_would_send() {
    let place = Place::new();
    for (pipeline, input, name, code) in [
        (QUICKSTART, "examples/quickstart", "quickstart.txt", 0),
        (OUTBOUND, MESSAGES, "outbound-messages.txt", 2),
        (
            "pipelines/export-to-warehouse.yaml",
            "examples/exports/records",
            "export-to-warehouse.txt",
            0,
        ),
    ] {
        let output = place.dry_run(&[pipeline, "--input", input, "--show", "1", "--at", AT]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        hold(name, &stdout(&output));
    }
    // A run would have made folders for its state and its files.
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_live_pipeline_is_fed_with_frames_of_a_file() {
    let place = Place::new();
    let frame = |state: &str, time: &str| {
        let json = format!(
            r#"{{"topicName":"v2.routing.queues.q1.conversations","eventBody":{{"id":"c1","participants":[{{"id":"p1","purpose":"agent","userId":"u1","connectedTime":"{time}","calls":[{{"id":"s1","state":"{state}","connectedTime":"{time}"}}]}}]}},"metadata":{{"CorrelationId":"x"}}}}"#
        );
        json + "\n"
    };
    let frames = frame("connected", "2026-03-02T08:00:00.000Z").repeat(2);
    let input = place.write("frames.ndjson", &frames);
    let output = place.dry_run(&[
        "pipelines/participant-sync.yaml",
        "--input",
        &format!("genesys={input}"),
        "--format",
        "json",
        "--at",
        "2026-03-02T09:00:00Z",
    ]);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["failure"], Value::Null, "{}", stderr(&output));
    assert_eq!(report["dead_letters"], serde_json::json!([]));
    let (points, view) = (&report["sinks"][0], &report["sinks"][1]);
    assert_eq!(
        (points["count"].as_u64(), view["count"].as_u64()),
        (Some(1), Some(1))
    );
    let line = points["things"][0]["head"].as_str().unwrap();
    assert!(
        line.contains("state=\"connected\"") || line.contains("state=connected"),
        "{line}"
    );
    assert!(line.ends_with(" 1772438400000000"), "{line}");
    assert_eq!(points["things"][0]["lines"], serde_json::json!([1]));
}

#[test]
fn two_runs_print_the_same_and_a_reader_may_go_away() {
    let place = Place::new();
    let arguments = [
        QUICKSTART,
        "--input",
        "examples/quickstart",
        "--show",
        "all",
        "--at",
        AT,
    ];
    let (one, two) = (place.dry_run(&arguments), place.dry_run(&arguments));
    assert!(stdout(&one).len() > 1_000_000);
    let (one, two) = (stdout(&one), stdout(&two));
    let differ = one.lines().zip(two.lines()).find(|(one, two)| one != two);
    assert_eq!(differ, None);
    assert_eq!(one.len(), two.len());
    let mut child = place
        .command(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut begin = [0; 100];
    child.stdout.take().unwrap().read_exact(&mut begin).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn exit_codes_are_for_a_gate() {
    let place = Place::new();
    let messages = |more: &[&str]| {
        let arguments = [&[OUTBOUND, "--input", MESSAGES], more].concat();
        let output = place.dry_run(&arguments);
        (output.status.code().unwrap(), stderr(&output))
    };
    let (code, told) = messages(&[]);
    assert_eq!(code, 2);
    assert!(told.contains("personal data leaves at 2 places"), "{told}");
    let (code, told) = messages(&["--allow-pii", "messages.body.toAddress"]);
    assert_eq!(code, 2);
    assert!(told.contains("at 1 places"), "{told}");
    let allowed = ["--allow-pii", "messages"];
    assert_eq!(messages(&allowed).0, 0);
    let strict = [&allowed[..], &["--expect-no-dead-letters"]].concat();
    assert_eq!(messages(&strict).0, 3);

    let bad = place.write("bad.yaml", "version: 1\nname: p\nsinks: {}\n");
    let input = place.write("in.ndjson", "{\"id\":1}\n");
    let output = place.dry_run(&[&bad, "--input", &input]);
    assert_eq!((output.status.code(), &*stdout(&output)), (Some(1), ""));
    // Without a place for dead letters a run fails, and so does this one.
    let yaml = "version: 1\nname: p\nsources: { in: { type: stdin } }\ntransforms: { valid: { type: \
                schema_validate, inputs: [in], fields: { id: string } } }\nsinks: { out: { type: \
                stdout, inputs: [valid] } }\n";
    let fails = place.write("fails.yaml", yaml);
    let output = place.dry_run(&[&fails, "--input", &input]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no `dead_letter`"),
        "{}",
        stderr(&output)
    );
    let empty = place.write("empty.ndjson", "");
    let output = place.dry_run(&[&fails, "--input", &empty]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no event"), "{}", stderr(&output));
    let output = place.dry_run(&[&fails, "--input", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the run fails"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn versions_are_compared() {
    let place = Place::new();
    let shipped = fs::read_to_string(root().join(QUICKSTART)).unwrap();
    let other = shipped
        .replace("lookup: { voice: call }", "lookup: { voice: phone }")
        .replace(
            "state: { type: string|null, optional: true }",
            "state: { type: string, optional: true }",
        );
    assert_ne!(shipped, other);
    let other = place.write("other.yaml", &other);
    let diff = |other: &str, more: &[&str]| {
        let first = [
            QUICKSTART,
            "--input",
            "examples/quickstart",
            "--at",
            AT,
            "--diff",
            other,
        ];
        let output = place.dry_run(&[&first[..], more].concat());
        (output.status.code().unwrap(), stdout(&output))
    };
    assert_eq!(
        diff(QUICKSTART, &[]),
        (0, "both versions do the same\n".to_owned())
    );
    let (code, printed) = diff(&other, &["--show", "2"]);
    assert_eq!(code, 4);
    hold("diff.txt", &printed);
    let (code, printed) = diff(&other, &["--format", "json"]);
    let difference: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (code, difference["sinks"][0]["node"].as_str()),
        (4, Some("warehouse"))
    );

    // One that refuses more: what is not written any more is a dead letter.
    let stricter = shipped.replace(
        "state: { type: string|null, optional: true }",
        "state: integer",
    );
    assert_ne!(shipped, stricter);
    let stricter = place.write("stricter.yaml", &stricter);
    let (code, printed) = diff(&stricter, &["--format", "json"]);
    let difference: Value = serde_json::from_str(&printed).unwrap();
    let letters = difference["dead_letters"]["valid schema"]
        .as_array()
        .unwrap();
    let [before, after] = [0, 1].map(|at| letters[at].as_u64().unwrap());
    assert_eq!((code, before), (4, 5));
    assert!(after > 3000, "{after}");
}

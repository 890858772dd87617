//! Dead letters as an operator meets them: the real binary lists, shows, discards and replays what
//! a pipeline has refused, and loses none of it.

#[path = "dlq/case.rs"]
mod case;
#[path = "dlq/entrances.rs"]
mod entrances;

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value as Json;

use case::*;

#[test]
fn what_was_refused_is_listed_shown_mended_and_replayed() {
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &calls(6));
    assert_eq!(case.lines("out.ndjson").len(), 3);

    let table = case.good(&["dlq", "list", "p.yaml"]);
    assert!(table.contains("3 dead letters: schema 3"), "{table}");
    assert!(
        table.contains("in.ndjson:1") && table.contains("valid"),
        "{table}"
    );
    let listed = case.good(&["dlq", "list", "p.yaml", "--format", "json", "--limit", "2"]);
    let listed: Vec<Json> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(listed.len(), 2);
    let id = listed[0]["id"].as_str().unwrap();
    assert_eq!((id.len(), &listed[0]["attempts"]), (32, &Json::from(1)));

    let shown = case.good(&["dlq", "show", "p.yaml", &id[..8]]);
    assert!(
        shown.contains(".id: expected integer, found string"),
        "{shown}"
    );
    let everything = [&table, &shown, &case.read("letters.ndjson")].map(|it| it.contains(PHONE));
    assert_eq!(everything, [false; 3], "personal data in the open");

    let revealed = case.trunkline(&["dlq", "show", "p.yaml", id, "--reveal"]);
    assert!(stdout(&revealed).contains(PHONE) && stderr(&revealed).contains("personal data"));
    let without = case.trunkline(&["dlq", "show", "--file", "letters.ndjson", id, "--reveal"]);
    assert!(!without.status.success() && !stdout(&without).contains(PHONE));

    // The schema is mended: what was refused goes the rest of its way, as it was.
    case.write("p.yaml", &pipeline("integer|string", ENCRYPTED, TO_FILE));
    let said = case.good(&["dlq", "replay", "p.yaml", "--id", &id[..8]]);
    assert_eq!(
        said,
        "replayed 1: delivered 1, dropped 0, dead-lettered again 0, failed 0 (still there)\n"
    );
    assert_eq!(case.lines("letters.ndjson").len(), 2);
    case.good(&["dlq", "replay", "p.yaml"]);
    assert_eq!(case.read("letters.ndjson"), "");
    let out = case.read("out.ndjson");
    for n in [0, 2, 4] {
        let line = format!("{{\"id\":\"c{n}\",\"from\":\"{PHONE}\",\"pi\":3.10}}\n");
        assert!(out.contains(&line), "{out}");
    }
    let said = case.good(&["dlq", "replay", "p.yaml"]);
    assert_eq!(said, "no dead letters to replay\n");
}

#[test]
fn a_rule_of_the_pipeline_still_holds_for_what_is_replayed() {
    let events = [calls(3), calls(3)].concat();
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &events);
    case.write("p.yaml", &pipeline("integer|string", ENCRYPTED, TO_FILE));
    // Of each two with the same key one is a duplicate, further down.
    let said = case.good(&["dlq", "replay", "p.yaml"]);
    assert_eq!(
        said,
        "replayed 4: delivered 2, dropped 2, dead-lettered again 0, failed 0 (still there)\n"
    );
    assert_eq!(case.read("letters.ndjson"), "");
}

#[test]
fn what_is_refused_again_takes_the_place_of_the_old_letter() {
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &calls(4));
    let before = case.lines("letters.ndjson");
    for attempt in 2..4 {
        let again = case.trunkline(&["dlq", "replay", "p.yaml"]);
        assert_eq!(again.status.code(), Some(1));
        assert_eq!(
            stdout(&again),
            "replayed 2: delivered 0, dropped 0, dead-lettered again 2, failed 0 (still there)\n"
        );
        let after = case.lines("letters.ndjson");
        assert_eq!(after.len(), 2);
        for (new, old) in after.iter().zip(&before) {
            assert_eq!(new["attempts"], attempt);
            assert_eq!(new["first_time"], old["time"]);
            assert_ne!(new["id"], old["id"]);
            assert_eq!(new["source"], old["source"]);
        }
        if attempt == 2 {
            assert_eq!(after[0]["replaces"], before[0]["id"]);
        }
    }
}

#[test]
fn without_a_key_the_masked_event_is_all_there_is() {
    let case = Case::new(&pipeline("integer", "", TO_FILE), &calls(2));
    assert!(case.lines("letters.ndjson")[0].get("sealed").is_none());
    case.write("p.yaml", &pipeline("integer|string", "", TO_FILE));
    let replayed = case.trunkline(&["dlq", "replay", "p.yaml"]);
    assert!(replayed.status.success());
    assert!(
        stderr(&replayed).contains("only the masked event is there"),
        "{}",
        stderr(&replayed)
    );
    let out = case.lines("out.ndjson");
    let replayed = out.iter().find(|event| event["id"] == "c0").unwrap();
    assert_ne!(replayed["from"], PHONE);
}

#[test]
fn a_changed_key_opens_nothing_until_the_old_one_is_named() {
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &calls(2));
    case.write("p.yaml", &pipeline("integer|string", ENCRYPTED, TO_FILE));
    let replay = ["dlq", "replay", "p.yaml"];
    let output = case
        .command(&replay)
        .env("KEY", OTHER_KEY)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("not among the keys given"),
        "{}",
        stderr(&output)
    );
    assert_eq!(case.lines("letters.ndjson").len(), 1);
    case.write("p.yaml", &pipeline("integer|string", "", TO_FILE));
    let output = case.trunkline(&replay);
    assert!(
        stderr(&output).contains("has no `encryption`"),
        "{}",
        stderr(&output)
    );
    assert_eq!(case.lines("letters.ndjson").len(), 1);

    case.write("p.yaml", &pipeline("integer|string", ENCRYPTED, TO_FILE));
    let mut rotated = case.command(&replay);
    let output = rotated
        .env("KEY", OTHER_KEY)
        .env("OLD_KEY", KEY)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(case.read("out.ndjson").contains(PHONE));
    assert_eq!(case.read("letters.ndjson"), "");
}

#[test]
fn what_no_node_can_be_handed_stays_and_is_told() {
    let mut events = calls(2);
    events.push("no json\n".into());
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &events);
    case.write("p.yaml", &pipeline("integer|string", ENCRYPTED, TO_FILE));
    let output = case.trunkline(&["dlq", "replay", "p.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("`in` refused it when it was read"),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        stdout(&output),
        "replayed 2: delivered 1, dropped 0, dead-lettered again 0, failed 1 (still there)\n"
    );
    let left = case.lines("letters.ndjson");
    assert_eq!((left.len(), &left[0]["text"]), (1, &Json::from("no json")));
}

#[test]
fn what_a_sink_does_not_take_now_stays_for_another_time() {
    // A folder where the table's file should be: nothing can be written there.
    let sink = "type: file, path: blocked/out.ndjson";
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &calls(2));
    case.write("blocked", "a file where a folder should be");
    case.write("p.yaml", &pipeline("integer|string", ENCRYPTED, sink));
    let before = case.read("letters.ndjson");
    let output = case.trunkline(&["dlq", "replay", "p.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).ends_with("failed 1 (still there)\n"),
        "{}",
        stdout(&output)
    );
    assert_eq!(case.read("letters.ndjson"), before);
}

#[test]
fn discarding_is_asked_for_filtered_and_counted() {
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &calls(6));
    let output = case.trunkline(&["dlq", "discard", "p.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    let discard = |more: &[&str]| {
        case.good(
            &[
                &["dlq", "discard", "--file", "letters.ndjson", "--yes"],
                more,
            ]
            .concat(),
        )
    };
    assert_eq!(
        discard(&["--reason", "other"]),
        "no dead letters to discard\n"
    );
    assert_eq!(discard(&["--until", "1h"]), "no dead letters to discard\n");
    assert_eq!(discard(&["--limit", "1"]), "discarded 1\n");
    let left = case.lines("letters.ndjson");
    assert_eq!(left.len(), 2);
    assert_eq!(
        discard(&["--id", left[1]["id"].as_str().unwrap()]),
        "discarded 1\n"
    );
    assert_eq!(case.lines("letters.ndjson"), left[..1]);
    assert_eq!(
        discard(&["--node", "valid", "--since", "1h"]),
        "discarded 1\n"
    );
    assert_eq!(case.read("letters.ndjson"), "");
}

#[test]
fn a_pipeline_that_runs_goes_on_with_its_letters_when_some_are_taken_out() {
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &calls(4));
    let live = pipeline("integer", ENCRYPTED, TO_FILE)
        .replace("type: file, path: in.ndjson", "type: stdin");
    case.write("live.yaml", &live);
    let mut running = case.command(&["run", "live.yaml"]);
    let mut running = running
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = running.stdin.take().unwrap();
    let mut feed = |id: &str| {
        use std::io::Write;
        input
            .write_all(format!("{{\"id\":\"{id}\"}}\n").as_bytes())
            .unwrap();
    };
    feed("before");
    wait_until("the first letter", || {
        case.lines("letters.ndjson").len() == 3
    });
    assert_eq!(
        case.good(&["dlq", "discard", "live.yaml", "--yes", "--limit", "2"]),
        "discarded 2\n"
    );
    feed("after");
    wait_until("the second letter", || {
        case.lines("letters.ndjson").len() == 2
    });
    let ids: Vec<_> = case
        .lines("letters.ndjson")
        .iter()
        .map(|letter| letter["event"]["id"].clone())
        .collect();
    assert_eq!(ids, ["before", "after"]);
    // A replay would be a second writer; it says what to do.
    let output = case.trunkline(&["dlq", "replay", "live.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("hint: the pipeline runs"),
        "{}",
        stderr(&output)
    );
    assert_eq!(case.lines("letters.ndjson").len(), 2);
    drop(input);
    assert!(running.wait().unwrap().success());
}

#[test]
fn a_state_in_use_is_told_with_what_to_do() {
    let state = "state: { path: state }\n";
    let text = state.to_owned() + &pipeline("integer", "", TO_FILE);
    let case = Case::new(&text, &calls(2));
    let _held = trunkline::state::Store::open(&case.path("state"), None).unwrap();
    let output = case.trunkline(&["dlq", "replay", "p.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("hint: the pipeline runs"),
        "{}",
        stderr(&output)
    );
    assert_eq!(case.lines("letters.ndjson").len(), 1);
}

/// However far the replay was: every event is in the sink or its letter is still there.
#[test]
fn a_replay_that_is_killed_loses_no_letter() {
    const LETTERS: u64 = 4000;
    let events: Vec<String> = (0..LETTERS)
        .map(|n| format!("{{\"id\":\"c{n}\",\"from\":\"{PHONE}\"}}\n"))
        .collect();
    // Slow enough to be met on its way, and with removals in between.
    let slow = "type: file, path: out.ndjson, rate_limit: { events: 1000, per: 1s, burst: 500 }";
    let case = Case::new(&pipeline("integer", ENCRYPTED, TO_FILE), &events);
    assert_eq!(case.lines("letters.ndjson").len() as u64, LETTERS);
    case.write("p.yaml", &pipeline("integer|string", ENCRYPTED, slow));
    for written in [500, 1500] {
        let mut replay = case.command(&["dlq", "replay", "p.yaml"]);
        let replay = replay.stdout(Stdio::null()).stderr(Stdio::null());
        let mut replay = Killed(replay.spawn().unwrap());
        wait_until("some deliveries", || {
            case.read("out.ndjson").lines().count() > written
        });
        replay.0.kill().unwrap();
        replay.0.wait().unwrap();
        let there: BTreeSet<String> = ids(&case, "out.ndjson", "/id");
        let left = ids(&case, "letters.ndjson", "/event/id");
        assert!(!left.is_empty(), "it was not killed on its way");
        assert_eq!(there.union(&left).count() as u64, LETTERS);
    }
    case.write("p.yaml", &pipeline("integer|string", ENCRYPTED, TO_FILE));
    case.good(&["dlq", "replay", "p.yaml"]);
    assert_eq!(case.read("letters.ndjson"), "");
    assert_eq!(ids(&case, "out.ndjson", "/id").len() as u64, LETTERS);
}

/// Whole lines only: a kill may leave half of one.
fn ids(case: &Case, name: &str, pointer: &str) -> BTreeSet<String> {
    let text = case.read(name);
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let line = |line: &str| -> String {
        let line: Json = serde_json::from_str(line).unwrap();
        line.pointer(pointer).unwrap().as_str().unwrap().to_owned()
    };
    text[..whole].lines().map(line).collect()
}

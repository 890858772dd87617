//! What the sink makes of each answer.

use std::time::Duration;

use crate::runs::{Run, participants};
use crate::stub::{Asked, Reply, Stub, reply};

const QUICK: &str = "bucket: b, breaker: false, retry: { attempts: 9, backoff: 10ms }";

/// Which participant a line is about.
fn number(line: &str) -> usize {
    let (_, rest) = line.split_once("participantId=p\\,\\ ").unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

fn sorted(stub: &Stub) -> Vec<usize> {
    let mut numbers: Vec<_> = stub.stored().iter().map(|line| number(line)).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_says_what_the_api_asks_for() {
    let stub = Stub::start(|_, _| reply(204, "")).await;
    let sink = format!(
        "url: '{}/', org: 'o ö', bucket: b, token: hush, precision: ms, max_batch: {{ events: 400 }}, quiet: 1s",
        stub.url
    );
    let (ledger, _) = Run::start(&participants(1_000), &sink).ended().await;
    assert_eq!(ledger.whole.delivered, 1_000);
    let asked = stub.asked();
    let sizes: Vec<_> = asked.iter().map(|asked| asked.lines().len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 1_000);
    // Several are under way at the same time, and come in any order.
    let full = sizes.iter().filter(|size| **size == 400).count();
    assert!(
        full == 2 && sizes.iter().all(|size| *size <= 400),
        "{sizes:?}"
    );
    let first = asked
        .iter()
        .find(|asked| asked.lines()[0].contains("=p\\,\\ 0,"));
    let first = first.unwrap();
    assert_eq!(first.call, "write");
    assert_eq!(first.headers["authorization"], "Token hush");
    assert_eq!(first.headers["content-encoding"], "gzip");
    assert!(first.length < first.text.len() / 3, "{}", first.length);
    let query: Vec<_> = first
        .query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(query, ["bucket=b", "org=o ö", "precision=ms"]);
    assert_eq!(
        first.lines()[0],
        "participant_state,interactionId=i-0,participantId=p\\,\\ 0,state=connected role=\"agent\",vector_clock=0i 1767312000000"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_can_mend_holds_everything_and_is_told() {
    for status in [401, 403, 404, 301, 405] {
        let stub = Stub::start(move |number, _| match number {
            0 => Reply {
                headers: vec![("location", "http://elsewhere/".into())],
                ..reply(status, "hush")
            },
            _ => reply(204, ""),
        });
        let stub = stub.await;
        // It would be tried again after half a minute: the time limit ends the wait for the proof.
        let sink = format!("url: '{}', token: hush, {QUICK}", stub.url);
        let run = Run::start(&participants(100), &sink);
        let observer = run.observer.clone();
        crate::until("told", async || !observer.alerts().is_empty()).await;
        let alerts = observer.alerts();
        assert_eq!((alerts[0].name, alerts[0].active), ("influx_held", true));
        assert!(
            alerts[0].message.contains(&status.to_string()),
            "{}",
            alerts[0].message
        );
        assert!(!alerts[0].message.contains("hush"));
        assert_eq!(run.delivered(), 0);
        assert_eq!(observer.ledger().whole.dead_lettered_total(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_too_much_to_do_is_left_alone_as_long_as_it_asks() {
    for status in [429, 503] {
        let stub = Stub::start(move |number, _| match number {
            0 => Reply {
                headers: vec![("retry-after", "2".into())],
                ..reply(status, "")
            },
            _ => reply(204, ""),
        });
        let stub = stub.await;
        let sink = format!("url: '{}', {QUICK}", stub.url);
        let (ledger, letters) = Run::start(&participants(100), &sink).ended().await;
        assert_eq!((ledger.whole.delivered, letters.len()), (100, 0));
        let asked = stub.asked();
        let waited = asked[1].at - asked[0].at;
        assert!((2.0..4.0).contains(&waited.as_secs_f64()), "{waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_fail_come_late_or_break_off_are_tried_again() {
    let stub = Stub::start(|number, _| match number {
        0 => reply(500, "oh"),
        1 => Reply {
            after: Duration::from_secs(5),
            ..reply(204, "")
        },
        2 => Reply {
            cut: true,
            ..reply(502, "<html>")
        },
        // Refused, but how is cut off: the lines are asked about again.
        3 => Reply {
            cut: true,
            ..reply(400, r#"{"error":"partial wri"#)
        },
        _ => reply(204, ""),
    });
    let stub = stub.await;
    let sink = format!("url: '{}', timeout: 1s, {QUICK}", stub.url);
    let (ledger, letters) = Run::start(&participants(100), &sink).ended().await;
    assert_eq!((ledger.whole.delivered, letters.len()), (100, 0));
    let mut stored = sorted(&stub);
    stored.dedup();
    assert_eq!(stored, (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_cut_and_the_next_ones_are_smaller() {
    let stub = Stub::start(|_, asked| match asked.text.len() {
        50_001.. => reply(413, ""),
        // One that is too large by itself is refused alone.
        _ if asked.text.contains("state=xxxx") => reply(413, ""),
        _ => reply(204, ""),
    });
    let stub = stub.await;
    let mut events = participants(2_000);
    events[77] = events[77].replace("connected", &"x".repeat(9_000));
    let sink = format!("url: '{}', requests: 1, {QUICK}", stub.url);
    let (ledger, letters) = Run::start(&events, &sink).ended().await;
    assert_eq!((ledger.whole.delivered, letters.len()), (1_999, 1));
    assert_eq!(letters[0].0, "influx_too_large");
    assert_eq!(letters[0].1["data"]["participantId"], "p, 77");
    let expected: Vec<_> = (0..2_000).filter(|n| *n != 77).collect();
    assert_eq!(sorted(&stub), expected, "each once");
    let large = stub
        .asked()
        .iter()
        .filter(|asked| asked.text.len() > 50_000)
        .count();
    assert!(large <= 4, "{large} requests were too large");
}

/// Refuses every participant whose number ends in 77, in the wording of a version.
fn picky(
    word: impl Fn(&[&str], &[usize]) -> Reply + Send + Sync + 'static,
) -> impl Fn(usize, &Asked) -> Reply {
    move |_, asked| {
        let lines = asked.lines();
        let is_bad = |line: &&str| number(line) % 100 == 77;
        let bad = (0..lines.len()).filter(|at| is_bad(&lines[*at]));
        let bad: Vec<usize> = bad.collect();
        match bad.as_slice() {
            [] => reply(204, ""),
            bad => word(&lines, bad),
        }
    }
}

/// With the good lines stored.
fn partial(body: serde_json::Value, lines: &[&str], bad: &[usize]) -> Reply {
    let good = (0..lines.len())
        .filter(|at| !bad.contains(at))
        .map(|at| lines[at]);
    let good = good.collect::<Vec<_>>().join("\n");
    Reply {
        headers: vec![("x-store", good)],
        ..reply(400, body.to_string())
    }
}

async fn refused_alone(stub: Stub, reason: &str) -> Stub {
    let sink = format!("url: '{}', {QUICK}", stub.url);
    let (ledger, letters) = Run::start(&participants(1_000), &sink).ended().await;
    assert_eq!(
        (ledger.whole.delivered, letters.len()),
        (990, 10),
        "{letters:?}"
    );
    for (found, event) in &letters {
        assert_eq!(found, reason);
        assert!(
            event["data"]["participantId"]
                .as_str()
                .unwrap()
                .ends_with("77")
        );
    }
    let mut stored = sorted(&stub);
    stored.dedup();
    assert_eq!(
        stored,
        (0..1_000).filter(|n| n % 100 != 77).collect::<Vec<_>>()
    );
    stub
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_named_are_refused_without_asking_again() {
    let first = |lines: &[&str], bad: &[usize]| {
        let bad_lines = bad
            .iter()
            .map(|at| format!("unable to parse '{}': oh", lines[*at]));
        let bad_lines = bad_lines.collect::<Vec<_>>().join("\n");
        partial(
            serde_json::json!({ "error": format!("partial write: {bad_lines} dropped=0") }),
            lines,
            bad,
        )
    };
    let third = |lines: &[&str], bad: &[usize]| {
        let item = |at: &usize| {
            serde_json::json!({
                "line_number": at + 1, "original_line": lines[*at],
                "error_message": "invalid column type for column 'role', expected x, got y",
            })
        };
        let data: Vec<_> = bad.iter().map(item).collect();
        let error = "partial write of line protocol occurred";
        partial(
            serde_json::json!({ "error": error, "data": data }),
            lines,
            bad,
        )
    };
    for (stub, reason) in [
        (Stub::start(picky(first)).await, "influx_unparsed"),
        (Stub::start(picky(third)).await, "influx_type_conflict"),
    ] {
        let stub = refused_alone(stub, reason).await;
        assert_eq!(sorted(&stub).len(), 990, "each once");
        assert!(stub.asked().len() <= 10, "{}", stub.asked().len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_written_the_others_are_sent_again() {
    // Version 2 names the first one that it cannot read, and takes none.
    let second = |lines: &[&str], bad: &[usize]| {
        let message = format!("unable to parse '{}': missing field value", lines[bad[0]]);
        reply(
            400,
            serde_json::json!({ "code": "invalid", "message": message }).to_string(),
        )
    };
    refused_alone(Stub::start(picky(second)).await, "influx_unparsed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_nobody_names_are_found() {
    let conflict = |lines: &[&str], bad: &[usize]| {
        let error = format!(
            "partial write: field type conflict: input field dropped={}",
            bad.len()
        );
        partial(serde_json::json!({ "error": error }), lines, bad)
    };
    refused_alone(Stub::start(picky(conflict)).await, "influx_type_conflict").await;
    let silent = |_: &[&str], _: &[usize]| reply(422, "no");
    refused_alone(Stub::start(picky(silent)).await, "influx_partial_write").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_everything_is_not_asked_for_each_line() {
    let stub = Stub::start(|_, _| reply(400, "no")).await;
    let sink = format!("url: '{}', quiet: 1s, {QUICK}", stub.url);
    let (_, letters) = Run::start(&participants(2_000), &sink).ended().await;
    assert_eq!(letters.len(), 2_000);
    assert!(stub.asked().len() < 400, "{}", stub.asked().len());
}

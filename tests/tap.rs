//! `trunkline tap` against processes that run: what it shows, and what it must never cost.

#[path = "kit/running.rs"]
mod running;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use running::{Running, signal, text, trunkline};

const PHONE: &str = "+14155551234";
const MAIL: &str = "jo.doe@example.com";

fn pipeline(api: &str, window: &str) -> String {
    format!(
        "version: 1\nname: calls\napi: {{ address: \"127.0.0.1:0\"{api} }}\n\
         sources:\n  in: {{ type: stdin, framing: lines }}\n\
         transforms:\n  unique: {{ type: dedup, inputs: [in], key: .id, window: {window} }}\n\
         sinks:\n  out: {{ type: blackhole, inputs: [unique] }}\n\
         dead_letter: {{ type: blackhole }}\n"
    )
}

fn start(api: &str) -> Running {
    Running::start(&[&pipeline(api, "1h")])
}

fn send(running: &mut Running, from: usize, count: usize) {
    let mut text = String::new();
    for id in from..from + count {
        text.push_str(&format!(
            "{{\"id\":{id},\"from\":\"{PHONE}\",\"note\":\"mail {MAIL} or {PHONE}\"}}\n"
        ));
    }
    let input = running.input.as_mut().unwrap();
    input.write_all(text.as_bytes()).unwrap();
}

/// Hands over events for as long as somebody takes them.
fn feed(running: &mut Running) -> std::thread::JoinHandle<()> {
    running.feed(None, |id| {
        format!("{{\"id\":{id},\"from\":\"{PHONE}\",\"to\":\"{MAIL}\"}}\n")
    })
}

fn tap(running: &Running, arguments: &[&str]) -> Command {
    let mut command = trunkline();
    command
        .args(["tap", "calls"])
        .args(arguments)
        .args(["--url", &running.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn shown(running: &Running, arguments: &[&str]) -> Output {
    tap(running, arguments).output().unwrap()
}

/// The next event that is shown.
fn next_event(reader: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert!(
            reader.read_line(&mut line).unwrap() > 0,
            "the tap has ended"
        );
        // The sizes of chunks stand between.
        if line.contains("\"event\":") {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

#[test]
fn events_are_shown_masked_until_the_limit() {
    let mut running = start("");
    let feeding = feed(&mut running);
    for (arguments, node, side) in [
        (&["in"][..], "in", "out"),
        (&["uniq*"], "unique", "out"),
        (&["unique", "--in"], "unique", "in"),
        (&["out"], "out", "in"),
    ] {
        let mut all = arguments.to_vec();
        all.extend(["--limit", "3", "--format", "json", "--sample", "100/s"]);
        let output = shown(&running, &all);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let words = text(&output.stdout);
        assert!(
            !words.contains("4155551234") && !words.contains("jo.doe"),
            "{words}"
        );
        let lines: Vec<Value> = words
            .lines()
            .map(|it| serde_json::from_str(it).unwrap())
            .collect();
        assert_eq!(lines.len(), 3);
        for line in lines {
            assert_eq!(
                (&line["node"], &line["direction"]),
                (&node.into(), &side.into())
            );
            assert!(line["event"]["id"].is_u64() && line["event"]["from"].is_string());
        }
    }
    let pretty = shown(&running, &["in", "--limit", "1"]);
    let words = text(&pretty.stdout);
    assert!(
        words.starts_with("in →  20") && words.contains("\n    \"id\": "),
        "{words}"
    );
    assert!(
        !words.contains("4155551234") && !words.contains("jo.doe"),
        "{words}"
    );

    let unknown = shown(&running, &["uniqe"]);
    assert_eq!(unknown.status.code(), Some(1));
    let told = text(&unknown.stderr);
    assert!(told.contains("did you mean `unique`?"), "{told}");
    let unmasked = shown(&running, &["in", "--unmasked"]);
    assert_eq!(unmasked.status.code(), Some(1));
    assert!(
        text(&unmasked.stderr).contains("api.tap"),
        "{}",
        text(&unmasked.stderr)
    );

    // The process goes while somebody looks.
    let mut looking = tap(&running, &["in"]).spawn().unwrap();
    let mut first = [0; 1];
    looking
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    running.child.kill().unwrap();
    let ended = looking.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        text(&ended.stderr).contains("went away"),
        "{}",
        text(&ended.stderr)
    );
    feeding.join().unwrap();
}

#[test]
fn who_may_not_look_is_told_why() {
    let path = "/api/v1/pipelines/calls/tap?node=in";
    let open = start(", tap: unmasked");
    for (path, headers, status) in [
        ("/api/v1/pipelines/call/tap?node=in", "", 404),
        ("/api/v1/pipelines/calls/tap?node=inn", "", 404),
        ("/api/v1/pipelines/calls/tap", "", 400),
        ("/api/v1/pipelines/calls/tap?node=in&rate=0", "", 400),
        (path, "Origin: https://evil.example\r\n", 403),
        (path, "Host: evil.example\r\n", 403),
        (path, "", 200),
        ("/api/v1/pipelines/calls/tap?node=in&unmasked=true", "", 200),
    ] {
        assert_eq!(open.status(path, headers), status, "{path} {headers}");
    }
    let guarded = start(", token: \"${TOKEN}\"");
    assert_eq!(guarded.status(path, ""), 401);
    assert_eq!(
        guarded.status(path, "Authorization: Bearer s3same\r\n"),
        200
    );
    let told = shown(&guarded, &["in", "--token", "wrong"]);
    assert_eq!(told.status.code(), Some(1));
    let words = text(&told.stderr);
    assert!(words.contains("401") && !words.contains("wrong"), "{words}");
    let off = start(", tap: off");
    assert_eq!(off.status(path, ""), 403);
}

#[test]
fn an_unmasked_tap_shows_what_passes_where_the_file_allows_it() {
    let mut running = start(", tap: unmasked");
    let path = "/api/v1/pipelines/calls/tap?node=in";
    let (_, mut masked) = running.open(path, "");
    let (_, mut plain) = running.open(&format!("{path}&unmasked=true"), "");
    send(&mut running, 0, 1);
    assert_eq!(next_event(&mut plain)["event"]["from"], PHONE);
    assert_ne!(next_event(&mut masked)["event"]["from"], PHONE);
    running.stop();
}

#[test]
fn a_reader_that_is_stuck_stops_nothing_and_a_look_outlives_a_reload() {
    let mut running = start("");
    let path = "/api/v1/pipelines/calls/tap?rate=1000&node=*";
    let stuck: Vec<_> = (0..3).map(|_| running.open(path, "")).collect();
    let (_, mut look) = running.open("/api/v1/pipelines/calls/tap?node=unique", "");
    send(&mut running, 0, 20_000);
    assert_eq!(next_event(&mut look)["node"], "unique");

    // The node is built anew, and the same look sees what passes through it.
    fs::write(running.folder.path().join("0.yaml"), pipeline("", "2h")).unwrap();
    running.signal("-HUP");
    running.told("replaced `unique`");
    let mut sent = 0;
    loop {
        // One a line, of which there is at least one a second: some are not in the sample.
        send(&mut running, 1_000_000 + sent, 1);
        sent += 1;
        let mut line = String::new();
        assert!(look.read_line(&mut line).unwrap() > 0, "the look has ended");
        if line.contains("\"event\":{\"id\":100") {
            break;
        }
        assert!(sent < 1_000, "nothing is seen any more");
    }

    // All that came was delivered, although nobody reads three of the looks.
    let summary = running.stop();
    assert_eq!(summary["whole"]["delivered"], 20_000 + sent);
    drop(stuck);
}

/// A tap that is seen to show events.
fn looking(running: &Running) -> (Child, BufReader<ChildStdout>) {
    let mut tap = tap(running, &["in", "--format", "json", "--sample", "1000/s"]);
    let mut child = tap.spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    assert!(shown.read_line(&mut String::new()).unwrap() > 0);
    (child, shown)
}

#[test]
fn ctrl_c_ends_a_look_after_a_whole_line_and_is_no_failure() {
    let mut running = start("");
    let feeding = feed(&mut running);
    let (child, mut shown) = looking(&running);
    signal(child.id(), "-INT");
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.ends_with("}\n"), "{rest}");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert!(
        !text(&ended.stderr).contains("error"),
        "{}",
        text(&ended.stderr)
    );
    running.kill();
    feeding.join().unwrap();
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_look_and_is_no_failure() {
    let mut running = start("");
    let feeding = feed(&mut running);
    // More than may look at once: each must leave its place.
    for _ in 0..10 {
        let (child, shown) = looking(&running);
        drop(shown);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0));
        let told = text(&ended.stderr);
        assert!(
            !told.contains("error") && !told.contains("panicked"),
            "{told}"
        );
    }
    running.kill();
    feeding.join().unwrap();
}

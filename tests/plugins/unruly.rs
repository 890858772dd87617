//! What a plugin can do to a batch, and what its failures cost.

use std::time::{Duration, Instant};

use crate::world::{World, start};
use crate::{buried, figure, letters, pipeline};

fn event(what: &str) -> String {
    format!("{{\"do\":\"{what}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_kept_replaced_split_dropped_and_rejected_in_order() {
    let place = tempfile::tempdir().unwrap();
    let dead = place.path().join("dead.ndjson");
    let world = World::default();
    let running = start(world.pipeline(&pipeline("unruly", "config: { say: [1, x] }", &dead)));
    world.send(
        "in",
        [
            r#"{"a": 1,   "do":"keep"}"#.to_owned(),
            r#"{"do":"split","n":3}"#.to_owned(),
            event("drop"),
            event("say"),
            event("reject"),
            r#"{"do":"drop","why":"other one"}"#.to_owned(),
            r#"{"do":"meta"}"#.to_owned(),
            r#"{"b":2}"#.to_owned(),
        ],
    );
    let told = r#"{"line":0,"object":"","of":8,"received":false,"source":"","time":null}"#;
    let expected = [
        // What is kept is kept to the byte.
        r#"{"a": 1,   "do":"keep"}"#,
        r#"{"part":0}"#,
        r#"{"part":1}"#,
        r#"{"part":2}"#,
        "[1,\"x\"]",
        told,
        r#"{"b":2}"#,
    ];
    assert_eq!(world.until("out", expected.len()).await, expected);
    let ledger = running.stop().await;
    let counts = &ledger.node("plugin").unwrap().counts;
    assert_eq!(
        (counts.received, counts.created, counts.delivered),
        (8, 2, 7)
    );
    // A reason that is no word is not a label.
    let dropped: Vec<_> = counts
        .dropped
        .iter()
        .map(|(it, n)| (it.as_str(), *n))
        .collect();
    assert_eq!(dropped, [("plugin:asked", 1), ("plugin:other", 1)]);
    let kept = letters(&dead);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].0, "plugin_rejected");
    assert!(kept[0].1.starts_with("asked: it is of "), "{}", kept[0].1);
    assert!(!kept[0].1.contains("jane.doe"), "{}", kept[0].1);
}

/// Each of these fails, for its own reason, in a batch with others that do not.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_event_that_does_it_is_rejected() {
    let place = tempfile::tempdir().unwrap();
    let dead = place.path().join("dead.ndjson");
    let world = World::default();
    let more = "time: 200ms, memory: 16MiB, answer: 64KiB, config: {}";
    let running = start(world.pipeline(&pipeline("unruly", more, &dead)));
    let cases = [
        ("trap", "plugin_trap"),
        ("loop", "plugin_timeout"),
        ("log_for_ever", "plugin_timeout"),
        ("grow", "plugin_memory"),
        ("recurse", "plugin_trap"),
        ("miscount", "plugin_answer"),
        ("large\",\"n\":100000,\"x\":\"", "plugin_answer"),
        ("bad_json", "plugin_answer"),
        ("nothing", "plugin_answer"),
        ("split\",\"n\":4096,\"x\":\"", "plugin_answer"),
        ("refuse", "plugin_error"),
    ];
    let mut good = Vec::new();
    for (number, (what, reason)) in cases.iter().enumerate() {
        let keep = |n: usize| format!("{{\"case\":{number},\"at\":{n}}}");
        world.send("in", [keep(0), event(what), keep(1), keep(2)]);
        good.extend((0..3).map(keep));
        assert_eq!(world.until("out", good.len()).await, good, "{what}");
        running
            .until(reason, |ledger| buried(ledger) == number as u64 + 1)
            .await;
    }
    let ledger = running.stop().await;
    let reasons: Vec<_> = letters(&dead).into_iter().map(|it| it.0).collect();
    assert_eq!(reasons, cases.map(|(_, reason)| reason));
    let details = letters(&dead);
    let refused = &details[10].1;
    assert!(
        refused.starts_with("the plugin failed: write to "),
        "{refused}"
    );
    assert!(!refused.contains("jane.doe"), "{refused}");
    let node = ledger.node("plugin").unwrap();
    // Twice for each that kills an instance, and never for the others: in the batch and alone.
    assert!(node.figures["plugin_restarts"] >= 12, "{:?}", node.figures);
    assert_eq!(ledger.whole.dead_lettered_total(), cases.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_has_leaked_is_not_the_fault_of_the_event_that_meets_it() {
    let place = tempfile::tempdir().unwrap();
    let dead = place.path().join("dead.ndjson");
    let world = World::default();
    let more = "memory: 16MiB, instances: 1, restarts: 1000";
    let running = start(world.pipeline(&pipeline("unruly", more, &dead)));
    for _ in 0..40 {
        world.send("in", [r#"{"do":"leak","n":2000000}"#.to_owned()]);
    }
    world.until("out", 40).await;
    let ledger = running.stop().await;
    let node = ledger.node("plugin").unwrap();
    assert_eq!(node.counts.dead_lettered_total(), 0, "{:?}", letters(&dead));
    assert!(node.figures["plugin_restarts"] >= 4, "{:?}", node.figures);
}

/// One worker thread for all: a guest that loops must not have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn another_pipeline_notices_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (bad, good) = (World::default(), World::default());
    let text = |name: &str, more: &str| pipeline("unruly", more, &place.path().join(name));
    let loops = start(bad.pipeline(&text("a", "time: 1s")));
    let goes = start(good.pipeline(&text("b", "time: 1s")));
    bad.send("in", [event("loop")]);
    let from = Instant::now();
    let mut sent = 0;
    while from.elapsed() < Duration::from_millis(500) {
        good.send("in", [event("keep")]);
        sent += 1;
        good.until("out", sent).await;
    }
    assert!(sent > 20, "{sent} batches while the other one looped");
    assert!(bad.written("out").is_empty());
    bad.send("in", [event("keep")]);
    bad.until("out", 1).await;
    let ledger = loops.stop().await;
    let counts = &ledger.node("plugin").unwrap().counts;
    assert_eq!(counts.dead_lettered["plugin_timeout"], 1);
    goes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_always_fails_is_slowed_down_and_nothing_is_lost() {
    let place = tempfile::tempdir().unwrap();
    let dead = place.path().join("dead.ndjson");
    let world = World::default();
    let more = "restarts: 10, instances: 1";
    let running = start(world.pipeline(&pipeline("unruly", more, &dead)));
    let from = Instant::now();
    world.send("in", (0..30).map(|_| event("trap")));
    running
        .until("all are buried", |ledger| buried(ledger) == 30)
        .await;
    // One for the batch and one for each event: ten at once, and ten a second.
    assert!(
        from.elapsed() > Duration::from_millis(1900),
        "{:?}",
        from.elapsed()
    );
    let failing = || {
        let alerts = running.observer.alerts();
        alerts
            .iter()
            .any(|it| it.name == "plugin_failing" && it.active)
    };
    assert!(failing());
    world.send("in", [event("keep")]);
    world.until("out", 1).await;
    running.until("calm", |_| !failing()).await;
    let ledger = running.stop().await;
    assert_eq!(
        ledger.node("plugin").unwrap().figures["plugin_restarts"],
        31
    );
}

/// A batch that would take a minute and more is left where it is when the run is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_all_that_loop() {
    let place = tempfile::tempdir().unwrap();
    let dead = place.path().join("dead.ndjson");
    let world = World::default();
    let text = pipeline("unruly", "time: 500ms", &dead).replace("name: p", "name: p\ngrace: 1s");
    let running = start(world.pipeline(&text));
    world.send("in", (0..200).map(|_| event("loop")));
    running
        .until("it works", |ledger| figure(ledger, "plugin_restarts") >= 1)
        .await;
    let (from, observer) = (Instant::now(), running.observer.clone());
    let ledger = running.stop().await;
    assert!(
        from.elapsed() < Duration::from_secs(10),
        "{:?}",
        from.elapsed()
    );
    assert_eq!(
        ledger.whole.given_back,
        200,
        "{}",
        ledger.render(140, false)
    );
    assert_eq!(ledger.whole.dead_lettered_total(), 0);
    // Nor does its thread go on: at most the call that was under way ends.
    let before = figure(&observer.ledger(), "plugin_restarts");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = figure(&observer.ledger(), "plugin_restarts");
    assert!(after <= before + 1, "{before} and then {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_bounded_and_shown() {
    let place = tempfile::tempdir().unwrap();
    let dead = place.path().join("dead.ndjson");
    let world = World::default();
    let running = start(world.pipeline(&pipeline("unruly", "counters: 3", &dead)));
    world.send("in", [r#"{"do":"count","n":100}"#.to_owned()]);
    world.until("out", 1).await;
    let ledger = running.stop().await;
    let figures = &ledger.node("plugin").unwrap().figures;
    let own = figures
        .iter()
        .filter_map(|(name, n)| Some((name.strip_prefix("plugin.")?, *n)));
    let own: Vec<_> = own.collect();
    assert_eq!(
        own,
        [("name_0", 1), ("name_1", 1), ("name_2", 1), ("other", 98)]
    );
}

/// Lanes share the instances, and each keeps its order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn order_is_kept_in_each_lane_and_over_large_batches() {
    let place = tempfile::tempdir().unwrap();
    let dead = place.path().join("dead.ndjson");
    let world = World::default();
    let more = "buffer: { partition_by: .key, partitions: 4 }, time: 5s";
    let running = start(world.pipeline(&pipeline("unruly", more, &dead)));
    let line = |n: usize| format!("{{\"key\":{},\"at\":{n}}}", n % 7);
    for from in (0..6000).step_by(1500) {
        world.send("in", (from..from + 1500).map(line));
    }
    let written = world.until("out", 6000).await;
    for key in 0..7 {
        let of = format!("{{\"key\":{key},");
        let mine: Vec<_> = written.iter().filter(|it| it.starts_with(&of)).collect();
        let expected: Vec<_> = (0..6000).filter(|n| n % 7 == key).map(line).collect();
        assert!(mine.iter().copied().eq(&expected), "of key {key}");
    }
    running.stop().await;
}

use std::io::{self, Write};

use serde_json::Value;

use super::*;

/// What would have been written to the terminal.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// source -> fan-out -> (unique -> sink, other sink), dead letters from the first sink.
struct Run {
    observer: Observer,
    source: NodeMeter,
    fan: NodeMeter,
    unique: NodeMeter,
    first: NodeMeter,
    second: NodeMeter,
    dead: NodeMeter,
}

fn run() -> Run {
    let observer = Observer::new("calls");
    Run {
        source: observer.node("exports", NodeKind::Source, "file"),
        fan: observer.node("both", NodeKind::Transform, "fan_out"),
        unique: observer.node("unique", NodeKind::Transform, "dedup"),
        first: observer.node("warehouse", NodeKind::Sink, "warehouse"),
        dead: observer.node("warehouse.dead", NodeKind::DeadLetter, "file"),
        second: observer.node("copy", NodeKind::Sink, "file"),
        observer,
    }
}

/// 100 events; 10 are repeats and 5 are refused on the one way, all arrive on the other.
fn pass(run: &Run) {
    run.source.received(100, 10_000);
    run.fan.received(100, 10_000);
    run.fan.created(100);
    run.unique.received(100, 10_000);
    run.unique.dropped("duplicate", 10);
    run.first.received(90, 9_000);
    run.dead.received(5, 500);
    run.dead.delivered(5, 500);
    run.first.dead_lettered("schema", 5);
    run.first.delivered(85, 8_500);
    run.unique.delivered(90, 9_000);
    run.second.received(100, 10_000);
    run.second.delivered(100, 10_000);
    run.fan.delivered(200, 19_000);
    run.source.delivered(100, 10_000);
}

#[test]
fn every_node_and_the_whole_add_up_after_a_stop() {
    let run = run();
    pass(&run);
    run.observer.set_state(RunState::Stopped);
    let ledger = run.observer.ledger();
    assert_eq!(ledger.adds_up(), Ok(()));
    assert_eq!(ledger.whole.received, 100);
    assert_eq!(ledger.whole.created, 100);
    assert_eq!(
        ledger.whole.delivered, 185,
        "dead letters written are not deliveries"
    );
    assert_eq!(ledger.whole.dropped["duplicate"], 10);
    assert_eq!(ledger.whole.dead_lettered["schema"], 5);
    assert_eq!(
        (ledger.whole.bytes_received, ledger.whole.bytes_delivered),
        (10_000, 18_500)
    );
}

#[test]
fn copies_that_fail_together_go_back_as_one() {
    let run = run();
    run.source.received(10, 0);
    run.fan.received(10, 0);
    run.fan.created(10);
    for sink in [&run.first, &run.second] {
        sink.received(10, 0);
        sink.given_back(10);
    }
    run.unique.received(10, 0);
    run.unique.given_back(10);
    run.fan.rejoined(10);
    run.fan.given_back(10);
    run.source.given_back(10);
    // The source delivers them again, and now all goes well.
    run.source.redelivered(10);
    run.source.received(10, 0);
    run.fan.received(10, 0);
    run.fan.created(10);
    for node in [&run.unique, &run.first, &run.second] {
        node.received(10, 0);
        node.delivered(10, 0);
    }
    run.fan.delivered(20, 0);
    run.source.delivered(10, 0);
    run.observer.set_state(RunState::Stopped);
    let ledger = run.observer.ledger();
    assert_eq!(ledger.adds_up(), Ok(()));
    assert_eq!((ledger.whole.received, ledger.whole.given_back), (20, 10));
    assert_eq!((ledger.whole.redelivered, ledger.whole.created), (10, 10));
}

#[test]
fn what_comes_out_of_a_sink_is_delivered_where_it_goes() {
    let run = run();
    run.source.received(10, 0);
    run.source.delivered(10, 0);
    run.fan.received(10, 0);
    run.fan.delivered(10, 0);
    run.unique.received(10, 0);
    run.unique.delivered(10, 0);
    // Two came late, after they had been given back: they were made once more, and ended here.
    run.first.received(10, 0);
    run.first.created(2);
    run.first.delivered(12, 0);
    // A status of each goes on to the second sink.
    run.first.created(10);
    run.first.handed_on(10, 0);
    run.second.received(10, 0);
    run.second.delivered(10, 0);
    run.observer.set_state(RunState::Stopped);
    let ledger = run.observer.ledger();
    assert_eq!(ledger.adds_up(), Ok(()));
    assert_eq!((ledger.whole.created, ledger.whole.delivered), (12, 22));
}

#[test]
fn what_is_inside_is_held_while_running_and_missing_after_a_stop() {
    let run = run();
    pass(&run);
    run.source.received(1_234, 0);
    run.observer.set_state(RunState::Running);
    let running = run.observer.ledger();
    assert_eq!(running.whole.held, 1_234);
    assert_eq!(running.adds_up(), Ok(()));

    run.observer.set_state(RunState::Stopped);
    let error = run.observer.ledger().adds_up().unwrap_err();
    assert!(
        error.contains("node `exports` does not add up by 1,234"),
        "{error}"
    );
    assert!(
        error.contains("pipeline `calls` does not add up by 1,234"),
        "{error}"
    );
    assert!(!error.contains("unique"), "{error}");
}

#[test]
fn more_out_than_in_is_never_right() {
    let run = run();
    pass(&run);
    run.unique.delivered(3, 0);
    run.observer.set_state(RunState::Running);
    let ledger = run.observer.ledger();
    assert_eq!(ledger.node("unique").unwrap().counts.held, -3);
    let error = ledger.adds_up().unwrap_err();
    assert_eq!(
        error,
        "node `unique` does not add up by 3: received 100 = delivered 93 + dropped 10"
    );
}

#[test]
fn a_failed_run_may_hold_events() {
    let run = run();
    run.source.received(7, 0);
    run.observer.set_state(RunState::Failed("disk full".into()));
    let ledger = run.observer.ledger();
    assert_eq!((ledger.whole.held, ledger.adds_up()), (7, Ok(())));
}

#[test]
fn figures_seen_while_workers_count_never_leave_without_having_come() {
    let observer = Observer::new("p");
    let source = observer.node("in", NodeKind::Source, "stdin");
    let sink = observer.node("out", NodeKind::Sink, "blackhole");
    observer.set_state(RunState::Running);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    source.received(10, 1);
                    sink.received(10, 1);
                    sink.dropped("odd", 1);
                    sink.delivered(9, 1);
                    source.delivered(10, 1);
                }
            });
        }
        for _ in 0..2_000 {
            assert_eq!(observer.ledger().adds_up(), Ok(()));
        }
    });
    observer.set_state(RunState::Stopped);
    let ledger = observer.ledger();
    assert_eq!(ledger.adds_up(), Ok(()));
    assert_eq!(ledger.whole.received, 150_000);
}

#[test]
fn the_same_name_is_the_same_meter_and_order_is_that_of_registration() {
    let run = run();
    run.observer
        .node("exports", NodeKind::Source, "file")
        .received(1, 0);
    let names: Vec<_> = run
        .observer
        .ledger()
        .nodes
        .into_iter()
        .map(|node| node.name)
        .collect();
    assert_eq!(
        names,
        [
            "exports",
            "both",
            "unique",
            "warehouse",
            "warehouse.dead",
            "copy"
        ]
    );
    assert_eq!(run.observer.ledger().whole.received, 1);
}

#[test]
fn the_names_of_json_fields_stay() {
    let run = run();
    pass(&run);
    run.unique.label("late", 4);
    run.first.retried(2);
    run.observer.set_state(RunState::Failed("why".into()));
    let json: Value = serde_json::from_str(&run.observer.ledger().to_json()).unwrap();

    let fields = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        sorted(fields(&json)),
        ["nodes", "pipeline", "run", "seconds", "started", "whole"]
    );
    let counts = [
        "bytes_delivered",
        "bytes_received",
        "created",
        "dead_lettered",
        "delivered",
        "dropped",
        "given_back",
        "held",
        "labels",
        "received",
        "redelivered",
        "retries",
    ];
    assert_eq!(sorted(fields(&json["whole"])), counts);
    let mut node = sorted(fields(&json["nodes"][0]));
    node.retain(|field| !counts.contains(&field.as_str()));
    assert_eq!(node, ["component", "kind", "name"]);
    assert_eq!(
        json["run"],
        serde_json::json!({"state": "failed", "reason": "why"})
    );
    assert_eq!(json["nodes"][2]["labels"]["late"], 4);
    assert_eq!(json["nodes"][3]["dead_lettered"]["schema"], 5);
    assert_eq!(json["nodes"][4]["kind"], "dead_letter");
    assert_eq!(json["whole"]["retries"], 2);
    let started = json["started"].as_str().unwrap();
    assert!(
        started.parse::<jiff::Timestamp>().is_ok() && started.ends_with('Z'),
        "{started}"
    );
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[tokio::test(start_paused = true)]
async fn the_clock_stops_when_the_run_is_over_and_the_end_is_final() {
    let observer = Observer::new("p");
    assert_eq!(observer.state(), RunState::Starting);
    tokio::time::advance(Duration::from_secs(3)).await;
    observer.set_state(RunState::Failed("first".into()));
    tokio::time::advance(Duration::from_secs(60)).await;
    observer.set_state(RunState::Stopped);
    observer.set_state(RunState::Running);
    assert_eq!(observer.state(), RunState::Failed("first".into()));
    assert!((observer.ledger().seconds - 3.0).abs() < 1e-9);
}

#[test]
fn drops_of_a_full_buffer_raise_an_alert_and_other_drops_do_not() {
    let observer = Observer::new("p");
    let edge = observer.node("edge", NodeKind::Transform, "buffer");
    edge.received(1_000, 0);
    edge.dropped("duplicate", 900);
    assert!(observer.alerts().is_empty());
    edge.dropped("buffer_full", 51);
    let alerts = observer.alerts();
    assert_eq!(
        (alerts.len(), alerts[0].name, alerts[0].node.as_deref()),
        (1, "drops", Some("edge"))
    );
    assert!(alerts[0].message.contains("5.1 %"), "{}", alerts[0].message);
    for _ in 0..20 {
        edge.received(1_000, 0);
    }
    assert!(observer.alerts().is_empty(), "it clears");
}

#[test]
fn a_node_may_set_its_own_share_of_drops() {
    let observer = Observer::new("p");
    let edge = observer.node("edge", NodeKind::Transform, "buffer");
    edge.set_drops_alert(0.5);
    edge.received(1_000, 0);
    edge.dropped("buffer_oldest", 500);
    assert!(observer.alerts().is_empty());
    edge.dropped("buffer_oldest", 1);
    assert_eq!(observer.alerts().len(), 1);
}

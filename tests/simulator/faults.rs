//! What goes wrong on purpose, and how often.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use trunkline::simulator::{Config, Counts, Fate, Faults, Told};

use crate::client::{queue_topics, quiet, started, told, until};

const STEPS: u64 = 4_000;

/// Frames as they came, what the oracle says, and the figures.
async fn run(faults: Faults) -> (Vec<Value>, Vec<Told>, Counts) {
    let config = Config {
        rate: 8_000.0,
        speed: 20.0,
        conversations: Some(50),
        total: Some(STEPS),
        faults,
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let (_, mut socket) = client.listen(&queue_topics(&simulator)).await;
    control.resume();
    let mut got = Vec::new();
    loop {
        let counts = control.counts();
        if counts.steps == STEPS && counts.waiting == 0 && counts.delivered as usize <= got.len() {
            break;
        }
        if (got.len() as u64) < counts.delivered {
            got.push(told(&mut socket).await.unwrap());
        } else {
            tokio::task::yield_now().await;
        }
    }
    until("all is settled", || control.counts().waiting == 0).await;
    let told = (got, control.oracle(), control.counts());
    simulator.stop().await;
    told
}

fn share(count: u64) -> f64 {
    count as f64 / STEPS as f64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_dropped_and_doubled_as_often_as_asked() {
    let (got, oracle, counts) = run(Faults {
        drop: 0.1,
        duplicate: 0.2,
        ..Faults::default()
    })
    .await;
    assert!(
        (share(counts.fault_dropped) - 0.1).abs() < 0.02,
        "{counts:?}"
    );
    assert!(
        (share(counts.duplicated) - 0.18).abs() < 0.025,
        "{counts:?}"
    );
    assert_eq!(
        counts.delivered,
        counts.frames - counts.fault_dropped + counts.duplicated
    );
    assert_eq!(got.len() as u64, counts.delivered);
    let doubled = oracle
        .iter()
        .filter(|it| it.fault == Some("duplicate"))
        .count();
    assert_eq!(doubled as u64, counts.duplicated);
    // The same to the last byte, trace id and all.
    let distinct: HashSet<String> = got.iter().map(Value::to_string).collect();
    assert_eq!(distinct.len() as u64, counts.delivered - counts.duplicated);
    let dropped: HashSet<u64> = oracle
        .iter()
        .filter(|it| it.fate == Fate::FaultDropped)
        .map(|it| it.n)
        .collect();
    assert!(
        oracle
            .iter()
            .all(|it| it.fate != Fate::Delivered || !dropped.contains(&it.n))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_come_late_and_out_of_order_but_come() {
    let (_, oracle, counts) = run(Faults {
        reorder: 0.1,
        delay: 0.05,
        ..Faults::default()
    })
    .await;
    assert!((share(counts.late) - 0.145).abs() < 0.025, "{counts:?}");
    assert_eq!(counts.delivered, counts.frames);
    let order: Vec<u64> = oracle.iter().map(|it| it.n).collect();
    let overtaken = order.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken > 200, "{overtaken}");
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=counts.frames).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_grow_stale_and_strange() {
    let faults = Faults {
        stale_snapshot: 0.1,
        unknown_enum: 0.1,
        unknown_field: 0.1,
        missing_optional: 0.1,
        ..Faults::default()
    };
    let (got, oracle, counts) = run(faults).await;
    assert!((share(counts.stale) - 0.1).abs() < 0.025, "{counts:?}");
    let stale = oracle.iter().filter(|it| it.fault == Some("stale")).count() as u64;
    assert_eq!(stale, counts.stale);
    let with = |is: &dyn Fn(&Value) -> bool| got.iter().filter(|it| is(&it["eventBody"])).count();
    for count in [
        with(&|body| body["sentimentForecast"].is_object()),
        with(&|body| body.to_string().contains("levitating")),
        with(&|body| body["recordingState"].is_null()),
    ] {
        let share = count as f64 / counts.frames as f64;
        assert!((0.08..0.12).contains(&share), "{share}");
    }
    // A stale snapshot shows less than, or the same as, the one before it.
    let mut latest: HashMap<&str, &Told> = HashMap::new();
    for told in &oracle {
        if told.fault == Some("stale") {
            assert!(told.shows.len() <= latest[told.conversation.as_str()].shows.len());
        }
        latest.insert(&told.conversation, told);
    }
}

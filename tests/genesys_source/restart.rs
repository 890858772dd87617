//! A process that ends and comes back.

use std::time::Duration;

use trunkline::simulator::{Config, Simulator};
use trunkline::state::Store;

use super::bench::{Bench, QUICK, at, until};

async fn simulator() -> Simulator {
    let mut config = Config {
        rate: 100.0,
        ..Config::default()
    };
    config.limits.requests = 100_000;
    Simulator::start(config).await.unwrap()
}

fn yaml(simulator: &Simulator, more: &str) -> String {
    let queues = simulator.control().queues().join(", ");
    format!(
        "topics: ['v2.routing.queues.{{queue}}.conversations']\nqueues: [{queues}]\n{QUICK}\
         gap_fill: {{ unknown: false }}\n{more}"
    )
}

#[tokio::test]
async fn a_restart_is_a_gap_and_its_channel_is_taken_up_again() {
    let simulator = simulator().await;
    let store = Store::memory_durable();
    let first = Bench::over(store.clone(), &yaml(&simulator, ""), at(&simulator.url()));
    let running = first.run().await;
    running.until(50).await;
    assert!(first.gaps().is_empty());
    running.kill().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let second = Bench::over(store.clone(), &yaml(&simulator, ""), at(&simulator.url()));
    let running = second.run().await;
    running.until(50).await;
    until("the gap", || second.gaps().len() == 1).await;
    let gap = second.gaps()[0].clone();
    assert_eq!(gap.reason, "restart");
    assert!((0.5..10.0).contains(&gap.seconds()), "{}", gap.seconds());
    let counts = simulator.control().counts();
    assert_eq!((counts.channels, counts.opened), (1, 2));
    // What is kept shows no channel.
    let kept = store
        .checkpoint("genesys", b"genesys")
        .await
        .unwrap()
        .unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("streaming"));
    // Who may not keep them makes another.
    running.kill().await;
    let none = yaml(&simulator, "reuse_channels: false");
    let third = Bench::over(store, &none, at(&simulator.url()));
    third.run().await.until(10).await;
    assert_eq!(simulator.control().counts().channels, 2);
}

#[tokio::test]
async fn opened_again_by_the_engine_it_goes_on_with_what_it_knew() {
    let simulator = simulator().await;
    let bench = Bench::new(&yaml(&simulator, ""), at(&simulator.url()));
    let running = bench.run().await;
    running.until(50).await;
    let known = bench.figure("known_conversations");
    running.kill().await;
    let running = bench.run().await;
    running.until(1).await;
    until("the gap", || bench.gaps().len() == 1).await;
    assert_eq!(bench.gaps()[0].reason, "reconnect");
    assert!(known > 0 && bench.figure("known_conversations") > 0);
    assert_eq!(simulator.control().counts().channels, 1);
}

#[tokio::test]
async fn a_platform_that_never_had_the_channel_is_asked_for_another() {
    let before = simulator().await;
    let store = Store::memory_durable();
    let first = Bench::over(store.clone(), &yaml(&before, ""), at(&before.url()));
    let running = first.run().await;
    running.until(50).await;
    running.kill().await;
    // Nobody answers any more where the channel's socket was.
    before.stop().await;
    let after = simulator().await;
    let second = Bench::over(store, &yaml(&after, ""), at(&after.url()));
    let running = second.run().await;
    running.until(50).await;
    until("the gap", || second.gaps().len() == 1).await;
    assert_eq!(second.gaps()[0].reason, "restart");
    assert_eq!(after.control().counts().channels, 1);
}

//! Workers that share the channels of an OAuth client.

use trunkline::simulator::{Config, Simulator};

use super::bench::{Bench, QUICK, at, until};

/// A worker that wants one channel for each of these queues.
fn worker(simulator: &Simulator, from: usize, count: usize, more: &str) -> Bench {
    let queues = simulator.control().queues();
    let yaml = format!(
        "topics: ['v2.routing.queues.{{queue}}.conversations']\nqueues: [{}]\n{QUICK}{more}",
        queues[from..from + count].join(", ")
    );
    Bench::new(&yaml, at(&simulator.url()))
}

async fn simulator() -> Simulator {
    let mut config = Config {
        queues: 24,
        rate: 100.0,
        ..Config::default()
    };
    config.limits.requests = 100_000;
    Simulator::start(config).await.unwrap()
}

#[tokio::test]
async fn two_workers_never_take_each_others_channels() {
    let simulator = simulator().await;
    let one = worker(&simulator, 0, 12, "channels: { topics: 1 }");
    let two = worker(&simulator, 12, 12, "channels: { topics: 1 }");
    let (first, second) = tokio::join!(one.run(), two.run());
    let open = || one.figure("channels") + two.figure("channels");
    let waits = || {
        [&one, &two]
            .iter()
            .any(|it| it.alert("genesys_channels_full").is_some())
    };
    until("all channels that there may be", || open() >= 18 && waits()).await;
    // They go on trying, and the reserve stays free but for a race.
    first.more(100).await;
    second.more(20).await;
    let counts = simulator.control().counts();
    assert_eq!(counts.evicted, 0);
    assert!((18..=20).contains(&counts.channels), "{}", counts.channels);
    assert!(open() <= 20);
    assert!(one.gaps().is_empty() && two.gaps().is_empty());
}

#[tokio::test]
async fn a_roll_over_uses_the_reserve_and_takes_nothing_from_others() {
    let simulator = simulator().await;
    let settings = "channels: { topics: 1, max: 6 }\nroll_over: 3s";
    let one = worker(&simulator, 0, 2, settings);
    let two = worker(&simulator, 2, 2, settings);
    let (_first, _second) = tokio::join!(one.run(), two.run());
    until("every channel twice", || {
        simulator.control().counts().opened >= 8
    })
    .await;
    let counts = simulator.control().counts();
    assert_eq!(counts.evicted, 0);
    assert!(counts.channels <= 6, "{}", counts.channels);
    // Where there was no room for a moment, a channel has been taken over by a second socket.
    let open = || (one.figure("channels"), two.figure("channels"));
    until("all of them", || open() == (2, 2)).await;
}

//! The life of a channel against the simulator: deaths, roll-overs, revocations.

use std::collections::HashSet;
use std::time::Duration;

use trunkline::simulator::{Client, Config, Fate, How, Simulator};

use super::bench::{Bench, QUICK, at, until};

const QUEUES: &str = "topics: ['v2.routing.queues.{queue}.conversations']\n";

async fn simulator(change: impl FnOnce(&mut Config)) -> Simulator {
    let mut config = Config {
        rate: 200.0,
        ..Config::default()
    };
    config.limits.requests = 100_000;
    change(&mut config);
    Simulator::start(config).await.unwrap()
}

fn bench(simulator: &Simulator, more: &str) -> Bench {
    let queues = simulator.control().queues().join(", ");
    let yaml = format!("{QUEUES}queues: [{queues}]\n{QUICK}gap_fill: {{ unknown: false }}\n{more}");
    Bench::new(&yaml, at(&simulator.url()))
}

/// Reasons of the gaps.
fn reasons(bench: &Bench) -> Vec<&'static str> {
    bench.gaps().iter().map(|gap| gap.reason).collect()
}

#[tokio::test]
async fn a_socket_that_dies_silently_is_noticed_and_the_gap_measured() {
    let simulator = simulator(|_| {}).await;
    let bench = bench(&simulator, "");
    let running = bench.run().await;
    running.until(50).await;
    assert_eq!((bench.figure("channels"), bench.figure("topics")), (1, 8));
    simulator.control().kill(None, How::Silent);
    until("the gap", || !bench.gaps().is_empty()).await;
    running.more(50).await;
    let gap = &bench.gaps()[0];
    assert_eq!(gap.reason, "silent");
    assert!(gap.reread > 0 && gap.failed == 0, "{gap:?}");
    assert!((1.9..8.0).contains(&gap.seconds()), "{}", gap.seconds());
    // The same channel, by its own id.
    assert_eq!(simulator.control().counts().channels, 1);
}

#[tokio::test]
async fn abrupt_ends_and_close_codes_cost_little() {
    let simulator = simulator(|_| {}).await;
    let bench = bench(&simulator, "");
    let running = bench.run().await;
    for (deaths, how) in [How::Abrupt, How::Code(1001), How::Code(1000)]
        .into_iter()
        .enumerate()
    {
        running.more(20).await;
        simulator.control().kill(None, how);
        until("the gap", || bench.gaps().len() == deaths + 1).await;
    }
    running.more(20).await;
    assert_eq!(reasons(&bench), ["broken_off", "going_away", "closed"]);
    assert!(bench.gaps().iter().all(|gap| gap.seconds() < 3.0));
    assert_eq!(simulator.control().counts().channels, 1);
}

#[tokio::test]
async fn an_announced_close_is_overlapped_and_nothing_is_missed() {
    let simulator = simulator(|config| {
        config.limits.warning = Duration::from_secs(4);
        config.paused = true;
    })
    .await;
    let bench = bench(&simulator, "");
    let running = bench.run().await;
    // What is told before the socket stands is nobody's.
    until("the socket", || bench.figure("channels") == 1).await;
    simulator.control().resume();
    running.until(50).await;
    simulator.control().closing(true);
    until("the second socket", || {
        simulator.control().counts().opened == 2
    })
    .await;
    until("the first one's end", || {
        simulator.control().counts().sockets == 1
    })
    .await;
    simulator.control().pause();
    let told = settled(&simulator).await;
    let lost = told
        .iter()
        .filter(|frame| frame.fate == Fate::NoSocket && frame.channel > 0);
    // The old channel is still subscribed, and nobody listens there any more; what counts is that
    // each frame was delivered on one of them.
    let delivered: HashSet<u64> = of(&told, Fate::Delivered);
    let missed: Vec<u64> = lost
        .map(|frame| frame.n)
        .filter(|n| !delivered.contains(n))
        .collect();
    assert_eq!(missed, Vec::<u64>::new());
    until("every frame", || {
        running.count() as u64 >= simulator.control().counts().delivered
    })
    .await;
    assert!(bench.gaps().is_empty(), "{:?}", bench.gaps());
}

fn of(told: &[trunkline::simulator::Told], fate: Fate) -> HashSet<u64> {
    told.iter()
        .filter(|frame| frame.fate == fate)
        .map(|frame| frame.n)
        .collect()
}

/// Everything that was told, once nothing is on its way any more.
async fn settled(simulator: &Simulator) -> Vec<trunkline::simulator::Told> {
    let control = simulator.control();
    until("nothing on its way", || control.counts().waiting == 0).await;
    control.oracle()
}

#[tokio::test]
async fn a_channel_is_replaced_in_time_and_the_old_one_used_again() {
    let simulator = simulator(|_| {}).await;
    let bench = bench(&simulator, "roll_over: 3s");
    let running = bench.run().await;
    until("three sockets", || simulator.control().counts().opened >= 4).await;
    running.more(20).await;
    assert!(bench.gaps().is_empty(), "{:?}", bench.gaps());
    // Turn and turn about: no third channel is made.
    let counts = simulator.control().counts();
    assert_eq!((counts.channels, counts.evicted), (2, 0));
}

#[tokio::test]
async fn without_room_for_a_successor_the_same_channel_lives_on() {
    let simulator = simulator(|config| config.limits.channels = 1).await;
    let bench = bench(&simulator, "roll_over: 2s\nchannels: { max: 1 }");
    let running = bench.run().await;
    until("a second socket", || {
        simulator.control().counts().opened >= 2
    })
    .await;
    running.more(50).await;
    let counts = simulator.control().counts();
    assert_eq!((counts.channels, counts.evicted), (1, 0));
    assert!(
        bench.gaps().iter().all(|gap| gap.seconds() < 1.0),
        "{:?}",
        bench.gaps()
    );
}

#[tokio::test]
async fn a_channel_that_lost_its_topics_is_given_up_for_another() {
    let simulator = simulator(|_| {}).await;
    let bench = bench(&simulator, "");
    let running = bench.run().await;
    running.until(20).await;
    simulator.control().no_longer_subscribed();
    until("the gap", || bench.gaps().len() == 1).await;
    running.more(50).await;
    assert_eq!(reasons(&bench), ["no_longer_subscribed"]);
    assert_eq!(simulator.control().counts().channels, 2);
}

#[tokio::test]
async fn a_revoked_token_is_followed_by_another_and_another_channel() {
    let simulator = simulator(|_| {}).await;
    let bench = bench(&simulator, "");
    let running = bench.run().await;
    running.until(20).await;
    simulator.control().revoke_tokens();
    until("the gap", || bench.gaps().len() == 1).await;
    running.more(50).await;
    assert_eq!(reasons(&bench), ["token_revoked"]);
    assert_eq!(simulator.control().counts().channels, 1);
}

#[tokio::test]
async fn a_platform_that_comes_back_knows_neither_token_nor_channel() {
    let first = simulator(|_| {}).await;
    let address = first.url().trim_start_matches("http://").parse().unwrap();
    let bench = bench(&first, "");
    let running = bench.run().await;
    running.until(20).await;
    first.stop().await;
    let second = simulator(|config| config.address = address).await;
    until("the gap", || bench.gaps().len() == 1).await;
    running.more(20).await;
    assert_eq!(second.control().counts().channels, 1);
    assert!(running.got.lock().unwrap().ended.is_none());
}

#[tokio::test]
async fn topics_without_permission_are_named_and_the_others_come() {
    let simulator = simulator(|config| {
        config.clients = vec![Client {
            permissions: vec!["conversation:*:*".to_owned()],
            ..Client::new("simulator", "simulator")
        }];
    })
    .await;
    let user = simulator.control().users()[0].clone();
    let queues = simulator.control().queues().join(", ");
    let yaml = format!(
        "topics: ['v2.routing.queues.{{queue}}.conversations', v2.users.{user}.presence, v2.nothing.x]\n\
         queues: [{queues}]\n{QUICK}"
    );
    let bench = Bench::new(&yaml, at(&simulator.url()));
    let running = bench.run().await;
    running.until(20).await;
    let alert = bench.alert("genesys_topics_rejected").unwrap();
    assert!(
        alert.contains(&format!(
            "v2.users.{user}.presence (needs presence:presence:view)"
        )),
        "{alert}"
    );
    assert!(
        alert.contains("v2.nothing.x (The topic is not known)"),
        "{alert}"
    );
    assert_eq!(
        (bench.figure("topics"), bench.figure("topics_rejected")),
        (8, 2)
    );
}

#[tokio::test]
async fn the_protocol_events_subscribes_by_a_frame_and_its_answer_is_no_event() {
    let simulator = simulator(|_| {}).await;
    let yaml = format!("protocol: events\n{QUICK}gap_fill: {{ unknown: false }}");
    let bench = Bench::new(&yaml, at(&simulator.url()));
    let running = bench.run().await;
    running.until(50).await;
    simulator.control().kill(None, How::Abrupt);
    until("the gap", || bench.gaps().len() == 1).await;
    running.more(20).await;
    let got = running.got.lock().unwrap();
    for event in &got.events {
        let event: serde_json::Value = serde_json::from_str(event).unwrap();
        if event["topicName"] == "trunkline.conversation.reread" {
            continue;
        }
        assert!(
            event["eventType"]
                .as_str()
                .unwrap()
                .starts_with("interaction."),
            "{event}"
        );
        assert!(event["data"]["interactionId"].is_string(), "{event}");
    }
    assert!(got.letters.is_empty());
    drop(got);
    assert!(bench.figure("known_conversations") > 0);
}

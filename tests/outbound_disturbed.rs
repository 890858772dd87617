//! `pipelines/outbound-messages.yaml` as it is shipped, over a real RabbitMQ that is killed, cut off and short
//! of memory, and the program itself killed at random: what the platforms took is what the policies say, and
//! statuses and dead letters agree with it.
//!
//! `TRUNKLINE_KILLS=40 cargo test --test outbound_disturbed` is the long form. A run says its seed;
//! `TRUNKLINE_SEED=n` draws the same again (the moments themselves are the machine's).

#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "outbound_disturbed/judge.rs"]
mod judge;
#[path = "outbound_disturbed/lives.rs"]
mod lives;
#[path = "participant_sync/process.rs"]
#[allow(dead_code)] // What is answered is looked at in more detail there.
mod process;
#[path = "../examples/generate_quickstart/random.rs"]
#[allow(dead_code)] // The generator draws more than is drawn here.
mod random;
#[path = "rabbitmq/run.rs"]
mod run;
#[path = "outbound_disturbed/world.rs"]
mod world;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use lives::Lives;
use process::node;
use serde_json::{Value, json};
use trunkline::simulator::SendFaults;
use world::{World, id, message};

const MESSAGES: usize = 4_000;
/// Kills where nothing is said.
const KILLS: usize = 6;
/// Messages of one organisation that are sent at the same time.
const CALLS: usize = trunkline::sink::open_messaging::CALLS.get();

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What the platforms refuse and do not do: nothing of it makes a message uncertain.
fn refusals() -> SendFaults {
    SendFaults {
        throttled: 0.005,
        unauthorized: 0.01,
        failed: 0.01,
        delay: Some(Duration::from_millis(20)),
        ..SendFaults::default()
    }
}

/// What cannot be sent, with the reason of its letter: those that come to the sink, and one that does not.
fn bad() -> [(Value, &'static str); 4] {
    let with = |n: usize, name: &str, value: Value| {
        let mut message = message(n);
        message["messageId"] = format!("bad-{n}").into();
        message[name] = value;
        message
    };
    [
        (with(0, "tenantId", json!("nobody")), "unknown_tenant"),
        (
            with(1, "organizationId", json!("elsewhere")),
            "unknown_organization",
        ),
        (with(2, "textBody", json!("x".repeat(2001))), "bad_text"),
        (with(3, "recipient", json!(7)), "schema"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_sent_once_or_a_letter_whatever_becomes_of_the_broker() {
    let mut world = World::new(|_| "at_least_once", refusals()).await;
    let part = |from: usize, to: usize| (from..to).map(|n| message(n).to_string());
    let third = MESSAGES / 3;
    world.publish(part(0, third)).await;
    world.publish(bad().map(|(body, _)| body.to_string())).await;
    let run = world.start();
    world.until(&run, MESSAGES / 20).await;
    world.proxy.cut();
    world.until(&run, MESSAGES / 10).await;
    world.broker.kill();
    world.broker.restart().await;
    world.publish(part(third, 2 * third)).await;
    world.until(&run, MESSAGES / 2).await;
    world.publish(part(2 * third, MESSAGES)).await;
    // What became of messages cannot be told now: nothing more is sent than was under way.
    world.broker.alarm(true).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = world.count();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.count() < before + 100, "{before}, {}", world.count());
    world.proxy.cut();
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.broker.alarm(false).await;
    world.until(&run, MESSAGES * 8 / 10).await;
    world.proxy.cut();
    world.until(&run, MESSAGES * 9 / 10).await;
    world.broker.kill();
    world.broker.restart().await;
    let mut ids: Vec<_> = (0..MESSAGES).map(id).collect();
    ids.extend((0..3).map(|n| format!("bad-{n}")));
    world.settled(&run, &ids).await;
    world.is_empty().await;
    let (summary, told) = world.stop(run);
    world.listen().await;
    world.is_empty().await;

    let heard = world.heard();
    judge::places(&heard);
    judge::order(&heard);
    judge::each_once(&heard, MESSAGES);
    judge::statuses(&world.told, &heard, MESSAGES);
    let letters = world.letters().await;
    judge::letters(&letters, &bad()[..3]);
    judge::letters(&world.letters_before(), &bad()[3..]);
    for (body, reason) in &bad()[..3] {
        let of = world
            .told
            .iter()
            .filter(|it| it["messageId"] == body["messageId"]);
        let of: Vec<_> = of.collect();
        assert!(
            !of.is_empty()
                && of
                    .iter()
                    .all(|it| it["status"] == "failed" && it["reason"] == *reason)
        );
    }
    let dead = |name: &str| node(&summary, name)["dead_lettered"].to_string();
    assert!(
        dead("messages").contains("unknown_tenant") && dead("valid").contains("schema"),
        "{summary}"
    );
    assert!(
        node(&summary, "outbound")["retries"].as_u64().unwrap() >= 4,
        "{summary}"
    );
    assert!(
        !told.contains("customer-") && !told.contains("guest"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_does_with_what_is_uncertain_as_the_policy_says() {
    let seed = setting("TRUNKLINE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 16);
    println!("TRUNKLINE_SEED={seed}");
    let policy = |tenant: &str| match tenant {
        "acme" => "at_least_once",
        _ => "at_most_once",
    };
    let world = World::new(policy, refusals()).await;
    let kills = setting("TRUNKLINE_KILLS").map_or(KILLS, |kills| kills as usize);
    let mut lives = Lives::begin(world, seed, MESSAGES.max(kills * 300)).await;
    for _ in 0..kills {
        lives.live().await;
    }
    let left = lives.end().await;
    judge::places(&left.heard);
    judge::order(&left.heard);
    let repeated = judge::at_least_once(&left, "acme");
    let uncertain = judge::at_most_once(&left, "globex");
    println!("{kills} kills, {repeated} repeated, {uncertain} uncertain");
    // A kill finds messages under way: of every organisation no more than go at the same time.
    let most = kills * CALLS * 2;
    assert!(repeated <= most && uncertain <= most, "more than {most}");
    assert!(
        repeated + uncertain > 0,
        "no kill has found anything under way"
    );
}

//! Groups that cannot go on hold up nobody: their messages are parked, and come back in order.

#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "rabbitmq/run.rs"]
mod run;

use std::time::{Duration, Instant};

use broker::{Broker, declare, publish, ready};
use run::{Run, Taken, With, complete, until};
use trunkline::state::Store;

const DEAD: &str = "g-dead";
const EACH: usize = 100;
const GROUPS: usize = 20;
/// Messages of one more group that come with one of each.
const BESIDE: usize = 10;

/// The messages of one group, with the time at which they were made.
fn of(group: &str, from: usize, count: usize, since: Instant) -> Vec<String> {
    let at = since.elapsed().as_micros();
    (from..from + count)
        .map(|n| format!(r#"{{"g":"{group}","n":{n},"at":{at}}}"#))
        .collect()
}

fn of_group(taken: &[Taken], group: &str) -> Vec<u64> {
    let mine = taken.iter().filter(|one| one.body["g"] == group);
    mine.map(|one| one.body["n"].as_u64().unwrap()).collect()
}

fn settings(queue: &str, parked: &str) -> String {
    format!(
        "prefetch: 300, group_by: .g, max_per_group: 50, reconnect: {{ backoff: 100ms, max_backoff: 1s }}, \
         parking: {{ queue: '{parked}.{{group}}' }}, queue: {queue}"
    )
}

fn start(broker: &Broker, queue: &str, parked: &str, store: &Store, dead: bool) -> Run {
    let yaml = format!(
        "version: 1
name: p
sources:
  in: {{ type: rabbitmq, url: '{}', {} }}
sinks:
  out: {{ type: blackhole, inputs: [in] }}
",
        broker.url(),
        settings(queue, parked)
    );
    let with = With {
        store: Some(store.clone()),
        apart: true,
        ..With::default()
    };
    let run = Run::start(&yaml, with);
    if dead {
        run.shelf.kill(DEAD);
    }
    run
}

/// 95th of the times from making to taking, in milliseconds, of all groups but the dead one.
fn p95(taken: &[Taken], since: Instant) -> f64 {
    let mut waits: Vec<f64> = taken
        .iter()
        .filter(|one| one.body["g"] != DEAD)
        .map(|one| {
            let made = Duration::from_micros(one.body["at"].as_u64().unwrap());
            (one.at - since).saturating_sub(made).as_secs_f64() * 1000.0
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    waits[waits.len() * 95 / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_group_is_parked_and_twenty_others_go_on_as_before() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "out", "classic", &[]).await;
    let store = Store::memory_durable();
    let since = Instant::now();
    let run = start(&broker, "out", "parked", &store, true);
    run.until(0).await;
    let others = async |from: usize, beside: &str| {
        // A little at a time, so that what is measured is no queue of its own.
        for n in 0..EACH {
            let all = (0..GROUPS).flat_map(|g| of(&format!("g-{g}"), from + n, 1, since));
            let beside = of(beside, (from + n) * BESIDE, BESIDE, since);
            publish(&channel, "out", beside.into_iter().chain(all)).await;
        }
    };
    others(0, "g-alive").await;
    run.until(EACH * (GROUPS + BESIDE)).await;
    let before = p95(&run.shelf.all(), since);
    run.shelf.taken.lock().unwrap().clear();

    // More than the prefetch: without a place for them the queue would stand still.
    others(EACH, DEAD).await;
    run.until(EACH * GROUPS).await;
    let during = p95(&run.shelf.all(), since);
    println!("p95 {before:.1} ms alone, {during:.1} ms beside a dead group");
    assert!(
        during < before * 3.0 + 50.0,
        "{before} ms before, {during} ms beside it"
    );
    until("they are parked", async || {
        ready(&channel, "parked.g-dead").await >= 900
    })
    .await;
    until("the queue is empty", async || {
        ready(&channel, "out").await == 0
    })
    .await;

    // What comes now goes behind what is parked.
    run.shelf.revive(DEAD);
    let first = EACH * BESIDE;
    publish(&channel, "out", of(DEAD, first + 1000, 50, since)).await;
    let shelf = run.shelf.clone();
    until("the group has caught up", async || {
        of_group(&shelf.all(), DEAD).len() >= 1050
    })
    .await;
    let order = of_group(&shelf.all(), DEAD);
    let due: Vec<_> = (first as u64..first as u64 + 1050).collect();
    assert_eq!(order, due, "each once, in order");
    until("nothing is parked", async || {
        ready(&channel, "parked.g-dead").await == 0
    })
    .await;

    run.stop().await;
    until("all is answered", async || {
        ready(&channel, "out").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_puts_back_what_was_under_way_and_it_goes_first_again() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "halt", "classic", &[]).await;
    let store = Store::memory_durable();
    let since = Instant::now();
    let run = start(&broker, "halt", "halted", &store, true);
    publish(&channel, "halt", of(DEAD, 0, 500, since)).await;
    until("the rest is parked", async || {
        ready(&channel, "halt").await == 0
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    run.stop().await;
    until("50 are back", async || ready(&channel, "halt").await == 50).await;
    assert_eq!(ready(&channel, "halted.g-dead").await, 450);
    publish(&channel, "halt", of(DEAD, 500, 50, since)).await;
    let run = start(&broker, "halt", "halted", &store, false);
    let shelf = run.shelf.clone();
    until("all are through", async || {
        of_group(&shelf.all(), DEAD).len() >= 550
    })
    .await;
    run.stop().await;
    assert_eq!(
        of_group(&shelf.all(), DEAD),
        (0..550).collect::<Vec<_>>(),
        "each once, in order"
    );
    until("nothing is left", async || {
        ready(&channel, "halted.g-dead").await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_parking_loses_nothing_and_keeps_the_order() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "fall", "classic", &[]).await;
    let store = Store::memory_durable();
    let since = Instant::now();
    let run = start(&broker, "fall", "fallen", &store, true);
    publish(&channel, "fall", of(DEAD, 0, 2000, since)).await;
    until("some are parked", async || {
        let channel = broker.channel().await;
        let options = lapin::options::QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let found = channel.queue_declare("fallen.g-dead".into(), options, Default::default());
        found.await.is_ok_and(|queue| queue.message_count() > 300)
    })
    .await;
    run.crash().await;
    until("they are back", async || {
        ready(&channel, "fall").await > 0 || ready(&channel, "fallen.g-dead").await >= 1900
    })
    .await;

    let run = start(&broker, "fall", "fallen", &store, false);
    let shelf = run.shelf.clone();
    until("all are through", async || {
        let seen: std::collections::HashSet<u64> =
            of_group(&shelf.all(), DEAD).into_iter().collect();
        seen.len() == 2000
    })
    .await;
    until("nothing is parked", async || {
        ready(&channel, "fallen.g-dead").await == 0
    })
    .await;
    run.stop().await;
    until("nothing is left", async || {
        ready(&channel, "fall").await == 0
    })
    .await;
    let taken: Vec<_> = shelf.all();
    complete(&taken, 2000, 1);
    assert!(
        taken.len() < 4000,
        "a crash brings what was under way twice, and no more"
    );
}

//! RabbitMQ killed, cut off and short of memory in the middle of a load: nothing is lost on either side.

#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "rabbitmq/run.rs"]
mod run;

use std::collections::HashMap;
use std::time::Duration;

use broker::{Broker, Proxy, SETTLED, declare, drain, publish, ready};
use run::{Run, With, bodies, complete, until};

const MESSAGES: usize = 20_000;
const GROUPS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_consumed_survives_the_broker_its_way_and_its_memory() {
    let mut broker = Broker::start().await;
    let proxy = Proxy::start(broker.port()).await;
    let channel = broker.channel().await;
    declare(&channel, "load", "quorum", &[]).await;
    tokio::time::sleep(SETTLED).await;
    publish(&channel, "load", bodies(MESSAGES, GROUPS)).await;
    let more = "prefetch: 2000, group_by: .g, reconnect: { backoff: 100ms, max_backoff: 1s }, heartbeat: 5s";
    let with = With {
        pause: Duration::from_millis(1),
        ..With::default()
    };
    let url = broker.url_at(proxy.port());
    let run = Run::reads(&url, "load", more, "", with);
    run.until(MESSAGES / 10).await;
    proxy.cut();
    run.until(MESSAGES / 5).await;
    broker.kill();
    broker.restart().await;
    run.until(MESSAGES / 2).await;
    // Who only reads is not held up by a broker that is short of memory.
    broker.alarm(true).await;
    run.until(MESSAGES * 6 / 10).await;
    proxy.cut();
    run.until(MESSAGES * 7 / 10).await;
    broker.alarm(false).await;
    run.until(MESSAGES).await;
    let shelf = run.shelf.clone();
    until("each is there", async || {
        let all = shelf.all();
        let each: std::collections::HashSet<_> =
            all.iter().map(|one| one.body.to_string()).collect();
        each.len() == MESSAGES
    })
    .await;
    let channel = broker.channel().await;
    until("the queue is empty", async || {
        ready(&channel, "load").await == 0
    })
    .await;
    let ledger = run.stop().await;
    complete(&shelf.all(), MESSAGES, GROUPS);
    let drawn = ledger.render(140, false);
    assert!(ledger.node("in").unwrap().counts.retries >= 3, "{drawn}");
    // Nothing was left unanswered: it would be ready now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(ready(&channel, "load").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_survives_the_broker_its_way_and_its_memory() {
    let mut broker = Broker::start().await;
    let proxy = Proxy::start(broker.port()).await;
    let channel = broker.channel().await;
    declare(&channel, "load", "quorum", &[]).await;
    tokio::time::sleep(SETTLED).await;
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.ndjson");
    std::fs::write(&input, bodies(MESSAGES, GROUPS).join("\n")).unwrap();
    let yaml = format!(
        "version: 1
name: p
sources:
  in: {{ type: file, path: '{}', batch_events: 100 }}
sinks:
  away: {{ type: rabbitmq, inputs: [in], url: '{}', queue: load, timeout: 5s, in_flight: 200,
           rate_limit: {{ events: 500 }}, breaker: false, retry: {{ attempts: 100000 }} }}
",
        input.display(),
        broker.url_at(proxy.port())
    );
    let run = Run::start(&yaml, With::default());
    let observer = run.observer.clone();
    let delivered = || {
        observer
            .ledger()
            .node("away")
            .map_or(0, |it| it.counts.delivered) as usize
    };
    let reached = async |share: usize| {
        until(&format!("{share} are out"), async || delivered() >= share).await;
    };
    reached(MESSAGES / 10).await;
    proxy.cut();
    reached(MESSAGES / 5).await;
    broker.kill();
    broker.restart().await;
    reached(MESSAGES / 3).await;
    broker.alarm(true).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = delivered();
    // The rate leaves the broker's tool time to start on a machine that has other work.
    assert!(before < MESSAGES * 9 / 10, "the alarm came too late");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(delivered() < before + 500, "the broker takes nothing");
    let active = |name: &str| {
        let alerts = observer.alerts();
        alerts
            .iter()
            .any(|alert| alert.name == name && alert.active)
    };
    until("it is told", async || active("broker_blocked")).await;
    broker.alarm(false).await;
    reached(MESSAGES).await;
    assert!(!active("broker_blocked"));
    run.ended().await.unwrap();
    observer.ledger().adds_up().unwrap();
    let channel = broker.channel().await;
    let mut next: HashMap<String, u64> = HashMap::new();
    let mut seen = std::collections::HashSet::new();
    for message in drain(&channel, "load").await {
        let body: serde_json::Value = serde_json::from_slice(&message.data).unwrap();
        let (group, n) = (body["g"].to_string(), body["n"].as_u64().unwrap());
        if seen.insert((group.clone(), n)) {
            let due = next.entry(group).or_default();
            assert_eq!(n, *due, "the first ones are in order");
            *due += 1;
        }
    }
    assert_eq!(seen.len(), MESSAGES);
}

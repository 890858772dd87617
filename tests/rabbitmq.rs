//! The source and the sink `rabbitmq` against a real broker: what each message comes to.

#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "rabbitmq/run.rs"]
mod run;

use std::time::Duration;

use broker::{Broker, declare, drain, exchange, publish, ready};
use lapin::options::{BasicPublishOptions, BasicRejectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use run::{Run, Taken, With, bodies, complete, pipeline, until};
use serde_json::Value;
use trunkline::graph::probe::probe;
use trunkline::layer::Grade;
use trunkline::state::Store;

fn letters(folder: &tempfile::TempDir) -> (String, impl Fn() -> Vec<Value>) {
    let path = folder.path().join("letters.ndjson");
    let yaml = format!("dead_letter: {{ type: file, path: '{}' }}", path.display());
    let read = move || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    (yaml, read)
}

async fn message(channel: &Channel, queue: &str, body: &[u8], properties: BasicProperties) {
    channel.confirm_select(Default::default()).await.unwrap();
    let options = BasicPublishOptions::default();
    let sent = channel.basic_publish("".into(), queue.into(), options, body, properties);
    sent.await.unwrap().await.unwrap();
}

/// Nothing is ready, and nothing unanswered: what is gets ready when its channel closes.
async fn is_empty(channel: &Channel, queue: &str) {
    until(&format!("`{queue}` is empty"), async || {
        ready(channel, queue).await == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_in_the_queue_goes_through_once_and_what_is_stopped_goes_back() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "whole", "classic", &[]).await;
    publish(&channel, "whole", bodies(3000, 7)).await;
    let run = Run::reads(&broker.url(), "whole", "prefetch: 500", "", With::default());
    run.until(3000).await;
    let shelf = run.shelf.clone();
    let ledger = run.stop().await;
    complete(&shelf.all(), 3000, 7);
    assert_eq!(shelf.count(), 3000, "none came twice");
    assert_eq!(ledger.node("in").unwrap().counts.received, 3000);
    is_empty(&channel, "whole").await;

    // A sink that takes nothing: no more than the prefetch is under way, and all of it goes back.
    publish(&channel, "whole", bodies(1000, 7)).await;
    let with = With {
        closed: true,
        ..With::default()
    };
    let run = Run::reads(&broker.url(), "whole", "prefetch: 100", "", with);
    until("100 under way", async || {
        ready(&channel, "whole").await == 900
    })
    .await;
    assert_eq!(run.shelf.count(), 0);
    run.stop().await;
    until("all are back", async || {
        ready(&channel, "whole").await == 1000
    })
    .await;
    let run = Run::reads(&broker.url(), "whole", "group_by: .g", "", With::default());
    run.until(1000).await;
    let shelf = run.shelf.clone();
    run.stop().await;
    complete(&shelf.all(), 1000, 7);
    assert!(
        shelf
            .all()
            .iter()
            .any(|one| one.meta.get("redelivered").is_some_and(|it| it == "true"))
    );
    is_empty(&channel, "whole").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_and_what_is_poison_is_a_dead_letter_with_its_reason() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "odd", "quorum", &[]).await;
    message(
        &channel,
        "odd",
        b"{\"g\":\"poison\"}",
        BasicProperties::default(),
    )
    .await;
    // It comes back until the limit: each time somebody took it and went away.
    for _ in 0..3 {
        let got = channel.basic_get("odd".into(), lapin::options::BasicGetOptions::default());
        let got = got.await.unwrap().expect("it is there");
        got.reject(BasicRejectOptions { requeue: true })
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    message(&channel, "odd", b"no JSON", BasicProperties::default()).await;
    message(
        &channel,
        "odd",
        b"{\"g\":\"good\"}",
        BasicProperties::default(),
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    let (yaml, read) = letters(&folder);
    let run = Run::reads(
        &broker.url(),
        "odd",
        "max_deliveries: 3",
        &yaml,
        With::default(),
    );
    run.until(1).await;
    until("two letters", async || read().len() == 2).await;
    let shelf = run.shelf.clone();
    let ledger = run.stop().await;
    assert_eq!(shelf.all()[0].body["g"], "good");
    let mut told: Vec<_> = read()
        .iter()
        .map(|letter| {
            (
                letter["reason"].as_str().unwrap().to_owned(),
                letter["attempts"].clone(),
            )
        })
        .collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(told[0].0, "not_json");
    assert_eq!(told[1], ("poison".to_owned(), Value::from(4)));
    assert_eq!(ledger.whole.dead_lettered_total(), 2);
    is_empty(&channel, "odd").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_says_of_a_message_is_read_by_the_pipeline() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "told", "classic", &[]).await;
    let dead = [
        ("x-dead-letter-exchange", AMQPValue::LongString("".into())),
        (
            "x-dead-letter-routing-key",
            AMQPValue::LongString("told".into()),
        ),
    ];
    declare(&channel, "before", "classic", &dead).await;
    exchange(&channel, "topics", "before", "a.*").await;
    let mut headers = FieldTable::default();
    headers.insert("tenant".into(), AMQPValue::LongString("acme".into()));
    let properties = BasicProperties::default()
        .with_headers(headers)
        .with_correlation_id("c-1".into())
        .with_priority(3);
    let options = BasicPublishOptions::default();
    let body = b"{\"g\":\"x\"}";
    let sent = channel.basic_publish("topics".into(), "a.b".into(), options, body, properties);
    sent.await.unwrap().await.unwrap();
    let mut got = None;
    while got.is_none() {
        let options = lapin::options::BasicGetOptions::default();
        got = channel.basic_get("before".into(), options).await.unwrap();
    }
    got.unwrap()
        .reject(BasicRejectOptions { requeue: false })
        .await
        .unwrap();
    let run = Run::reads(&broker.url(), "told", "", "", With::default());
    run.until(1).await;
    let Taken { meta, .. } = run.shelf.all().remove(0);
    run.stop().await;
    let expected = [
        ("object", "told"),
        ("routing_key", "told"),
        ("correlation_id", "c-1"),
        ("priority", "3"),
        ("death_count", "1"),
        ("death_reason", "rejected"),
        ("death_queue", "before"),
    ];
    for (name, value) in expected {
        assert_eq!(
            meta.get(name).map(String::as_str),
            Some(value),
            "{name} of {meta:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_from_where_the_last_run_ended() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "log", "stream", &[]).await;
    publish(&channel, "log", bodies(400, 4)).await;
    let folder = tempfile::tempdir().unwrap();
    let more = "prefetch: 100, consumer: { arguments: { x-stream-offset: first } }";
    for (from, to) in [(0, 400), (400, 600)] {
        let with = With {
            store: Some(Store::open(folder.path(), None).unwrap()),
            ..With::default()
        };
        let run = Run::reads(&broker.url(), "log", more, "", with);
        run.until(to - from).await;
        let shelf = run.shelf.clone();
        run.stop().await;
        let taken: Vec<_> = shelf.all().into_iter().map(|one| one.body).collect();
        let due: Vec<Value> = bodies(600, 4)[from..to]
            .iter()
            .map(|body| serde_json::from_str(body).unwrap())
            .collect();
        assert_eq!(taken, due);
        if to == 400 {
            publish(&channel, "log", bodies(600, 4).split_off(400)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_agree_ends_the_run_with_a_hint() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "kind", "classic", &[]).await;
    let cases = [
        (broker.url(), "gone", "", "not_found"),
        (broker.url(), "kind", "declare: true", "precondition_failed"),
        (
            broker.url().replace("guest:guest", "guest:hush"),
            "kind",
            "",
            "access_refused",
        ),
        (
            broker.url().replace("%2f", "nowhere"),
            "kind",
            "",
            "not_allowed",
        ),
    ];
    for (url, queue, more, reason) in cases {
        let run = Run::reads(&url, queue, more, "", With::default());
        let failure = run.ended().await.unwrap_err();
        assert_eq!(failure.losses()[0].cause.reason, reason, "{failure}");
        assert!(!failure.to_string().contains("hush"), "{failure}");
    }
    // Declared as it is, and looked at by the probe.
    for (more, grade) in [
        ("topology: { type: classic }", Grade::Warning),
        (
            "topology: { type: quorum, delivery_limit: 3 }",
            Grade::Warning,
        ),
        ("declare: true, topology: { type: quorum }", Grade::Error),
        ("", Grade::Good),
    ] {
        let yaml = format!(
            "version: 1\nname: p\nsources:\n  in: {{ type: rabbitmq, url: '{}', queue: kind, {more} }}\n\
             sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n",
            broker.url()
        );
        let found = probe(&pipeline(&yaml), Duration::from_secs(20)).await;
        let findings = &found[0].findings;
        let worst = findings.iter().map(|it| it.grade).max().unwrap();
        assert_eq!(worst, grade, "{more}: {findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_made_and_bound_as_it_is_described() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    let more = "declare: true, topology: { type: quorum, delivery_limit: 5, \
        dead_letter_exchange: '', dead_letter_routing_key: elsewhere, \
        bindings: [ { exchange: hashed, type: x-consistent-hash, routing_key: '10' } ] }, \
        consumer: { tag: mine, priority: 3 }";
    let run = Run::reads(&broker.url(), "made", more, "", With::default());
    until("it is made", async || {
        let channel = broker.channel().await;
        let options = lapin::options::ExchangeDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let kind = lapin::ExchangeKind::Custom("x-consistent-hash".into());
        let found = channel.exchange_declare("hashed".into(), kind, options, FieldTable::default());
        found.await.is_ok()
    })
    .await;
    until("a message comes", async || {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default();
        let sent = channel.basic_publish("hashed".into(), "k".into(), options, b"{}", properties);
        sent.await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        run.shelf.count() > 0
    })
    .await;
    run.stop().await;
}

fn publishing(url: &str, input: &std::path::Path, sink: &str) -> String {
    format!(
        "version: 1
name: p
sources:
  in: {{ type: file, path: '{}', batch_events: 100 }}
sinks:
  away: {{ type: rabbitmq, inputs: [in], url: '{url}', {sink} }}
",
        input.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_published_confirmed_and_what_no_queue_takes_is_a_letter() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "statuses", "classic", &[]).await;
    declare(&channel, "letters", "classic", &[]).await;
    exchange(&channel, "status", "statuses", "status.sent").await;
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.ndjson");
    let line = |n: usize| {
        let status = if n % 10 == 3 { "lost" } else { "sent" };
        format!(r#"{{"id":"m-{n}","status":"{status}","p":{}}}"#, n % 5)
    };
    let mut lines: Vec<_> = (0..2000).map(line).collect();
    lines.push(r#"{"id":"none"}"#.to_owned());
    lines.push(format!(r#"{{"id":"long","status":"{}"}}"#, "x".repeat(300)));
    std::fs::write(&input, lines.join("\n")).unwrap();
    let sink = "exchange: status, routing_key: 'status.{.status}', in_flight: 50, message_id: .id, \
        priority: .p, expiration: 1h, message_type: 'a.{.status}', headers: { who: 'x-{.id}' }";
    let mut yaml = publishing(&broker.url(), &input, sink);
    let url = broker.url();
    yaml.push_str(&format!(
        "dead_letter: {{ type: rabbitmq, url: '{url}', queue: letters }}\n"
    ));
    let run = Run::start(&yaml, With::default());
    let observer = run.observer.clone();
    run.ended().await.unwrap();
    observer.ledger().adds_up().unwrap();
    let taken = drain(&channel, "statuses").await;
    let ids: Vec<_> = taken
        .iter()
        .map(|it| it.properties.message_id().clone().unwrap().to_string())
        .collect();
    let due: Vec<_> = (0..2000)
        .filter(|n| n % 10 != 3)
        .map(|n| format!("m-{n}"))
        .collect();
    assert_eq!(ids, due, "in order, each once");
    let first = &taken[1].properties;
    assert_eq!(first.priority(), &Some(1));
    assert_eq!(first.expiration().as_ref().unwrap().as_str(), "3600000");
    assert_eq!(first.kind().as_ref().unwrap().as_str(), "a.sent");
    assert_eq!(first.delivery_mode(), &Some(2));
    let who = first
        .headers()
        .as_ref()
        .unwrap()
        .inner()
        .get("who")
        .cloned();
    assert_eq!(who, Some(AMQPValue::LongString("x-m-1".into())));
    let letters = drain(&channel, "letters").await;
    let mut reasons: std::collections::BTreeMap<String, usize> = Default::default();
    for letter in &letters {
        let body: Value = serde_json::from_slice(&letter.data).unwrap();
        let headers = letter.properties.headers().as_ref().unwrap().inner();
        let header = |name: &str| match headers.get(name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(
            header("x-trunkline-reason"),
            body["reason"].as_str().unwrap()
        );
        assert_eq!(header("x-trunkline-node"), "away");
        *reasons.entry(header("x-trunkline-reason")).or_default() += 1;
        if header("x-trunkline-reason") == "unroutable" {
            assert_eq!(
                body["event"]["status"], "lost",
                "the message that came back itself"
            );
        }
    }
    let due = [
        ("long_routing_key", 1),
        ("no_routing_key", 1),
        ("unroutable", 200),
    ];
    let due = due.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), due);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_that_refuses_is_tried_again_and_an_exchange_that_is_not_there_ends_the_run() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    let full = [
        ("x-max-length", AMQPValue::LongLongInt(10)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    declare(&channel, "small", "classic", &full).await;
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.ndjson");
    std::fs::write(&input, bodies(40, 4).join("\n")).unwrap();
    let sink = "queue: small, retry: { attempts: 1000 }, breaker: false";
    let run = Run::start(&publishing(&broker.url(), &input, sink), With::default());
    let mut seen = std::collections::HashSet::new();
    let mut all = 0;
    until("all are through", async || {
        for message in drain(&channel, "small").await {
            seen.insert(message.data);
            all += 1;
        }
        seen.len() == 40
    })
    .await;
    run.ended().await.unwrap();
    assert!(all >= 40);
    let sink = "exchange: nowhere, routing_key: x";
    let run = Run::start(&publishing(&broker.url(), &input, sink), With::default());
    let failure = run.ended().await.unwrap_err();
    assert_eq!(failure.losses()[0].cause.reason, "not_found", "{failure}");
}

/// What the program says on its standard output; it has to end well.
async fn trunkline(words: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.args(words);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_in_a_queue_are_listed_shown_replayed_and_thrown_away() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    declare(&channel, "desk", "classic", &[]).await;
    let letter = |n: usize| {
        format!(
            r#"{{"id":"a{n}","reason":"schema","node":"out","time":"2026-01-02T03:04:0{n}Z","attempts":1,"event":{{"n":{n}}}}}"#
        )
    };
    publish(&channel, "desk", (0..4).map(letter)).await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let yaml = format!(
        "version: 1\nname: p\nsources:\n  in: {{ type: file, path: '{}' }}\nsinks:\n  \
         out: {{ type: file, inputs: [in], path: '{}' }}\n\
         dead_letter: {{ type: rabbitmq, url: '{}', queue: desk }}\n",
        at("none.ndjson"),
        at("out.ndjson"),
        broker.url()
    );
    let file = at("p.yaml");
    std::fs::write(&file, yaml).unwrap();
    let listed = trunkline(&["dlq", "list", &file, "--format", "json"]).await;
    let ids: Vec<_> = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, ["a0", "a1", "a2", "a3"]);
    assert!(
        trunkline(&["dlq", "show", &file, "a2"])
            .await
            .contains("schema")
    );
    until("all are back", async || ready(&channel, "desk").await == 4).await;
    trunkline(&[
        "dlq",
        "replay",
        &file,
        "--id",
        "a1",
        "--id",
        "a3",
        "--no-progress",
    ])
    .await;
    let written = std::fs::read_to_string(at("out.ndjson")).unwrap();
    assert_eq!(
        written.lines().collect::<Vec<_>>(),
        [r#"{"n":1}"#, r#"{"n":3}"#]
    );
    until("two are left", async || ready(&channel, "desk").await == 2).await;
    trunkline(&["dlq", "discard", &file, "--id", "a0", "--yes"]).await;
    until("one is left", async || ready(&channel, "desk").await == 1).await;
    let left = drain(&channel, "desk").await;
    assert_eq!(String::from_utf8_lossy(&left[0].data), letter(2));
}

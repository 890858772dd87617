//! From consuming to the acknowledgement, and from publishing to the confirmation, beside a client that
//! does nothing else.
//!
//! `cargo bench --bench rabbitmq` starts a broker of its own. A durable classic queue holds messages of
//! about 1 KB; a bare consumer (lapin, the same prefetch, one acknowledgement for as many messages as
//! Trunkline takes together) and the pipeline `rabbitmq -> blackhole` empty it in turn. Then a bare
//! publisher (persistent, confirmed, 500 under way) and the pipeline `file -> rabbitmq` fill a queue. Of
//! three rounds the best of each counts, since all noise slows down. Broker, client and pipeline share
//! the machine. `MESSAGES=20000` makes it shorter.

#[path = "../tests/rabbitmq/broker.rs"]
mod broker;

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use broker::{Broker, declare, drain, publish, ready};
use futures::{FutureExt, StreamExt};
use lapin::BasicProperties;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use trunkline::config::{Fixed, parse};
use trunkline::graph::check::check;
use trunkline::graph::run::run;
use trunkline::observe::Observer;
use trunkline::state::Store;

const PREFETCH: u16 = 2000;
const TOGETHER: usize = 500;
const ROUNDS: usize = 3;

fn bodies(count: usize) -> Vec<String> {
    let text = "x".repeat(900);
    let body = |n: usize| {
        format!(
            r#"{{"organizationId":"o-{}","messageId":"m-{n}","text":"{text}"}}"#,
            n % 50
        )
    };
    (0..count).map(body).collect()
}

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let said = std::env::var("MESSAGES")
        .ok()
        .and_then(|it| it.parse().ok());
    let count: usize = said.unwrap_or(60_000);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(measure(count));
}

async fn measure(count: usize) {
    let broker = Broker::start().await;
    let channel = broker.channel().await;
    declare(&channel, "in", "classic", &[]).await;
    declare(&channel, "out", "classic", &[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("in.ndjson");
    std::fs::write(&file, bodies(count).join("\n")).expect("it can be written");
    let mut best = [0.0_f64; 5];
    for _ in 0..ROUNDS {
        let rates = [
            consumed(&broker, count, true, "").await,
            consumed(&broker, count, false, "").await,
            consumed(&broker, count, false, "group_by: .organizationId,").await,
            published(&broker, count, None).await,
            published(&broker, count, Some(&file)).await,
        ];
        for (best, rate) in best.iter_mut().zip(rates) {
            *best = best.max(rate);
        }
    }
    let [bare, ours, grouped, bare_out, ours_out] = best;
    let share = |a: f64, b: f64| 100.0 * a / b;
    println!("consume to ack, {count} messages of 1 KB, prefetch {PREFETCH}:");
    println!("  bare lapin          {bare:>9.0}/s");
    println!(
        "  rabbitmq            {ours:>9.0}/s  {:>4.0} %",
        share(ours, bare)
    );
    println!(
        "  rabbitmq, group_by  {grouped:>9.0}/s  {:>4.0} %",
        share(grouped, bare)
    );
    println!("publish to confirm, persistent, 500 under way:");
    println!("  bare lapin          {bare_out:>9.0}/s");
    println!(
        "  file -> rabbitmq    {ours_out:>9.0}/s  {:>4.0} %",
        share(ours_out, bare_out)
    );
}

async fn fill(broker: &Broker, count: usize) {
    let channel = broker.channel().await;
    for part in bodies(count).chunks(2000) {
        publish(&channel, "in", part.to_vec()).await;
    }
}

async fn consumed(broker: &Broker, count: usize, bare: bool, more: &str) -> f64 {
    fill(broker, count).await;
    let took = match bare {
        true => bare_consumer(broker, count).await,
        false => {
            let url = broker.url();
            let yaml = format!(
                "version: 1\nname: p\nsources:\n  in: {{ type: rabbitmq, url: '{url}', queue: in, \
                 {more} prefetch: {PREFETCH}, batch_events: {TOGETHER} }}\n\
                 sinks:\n  away: {{ type: blackhole, inputs: [in] }}\n"
            );
            pipeline(&yaml, "away", count).await
        }
    };
    assert_eq!(ready(&broker.channel().await, "in").await, 0);
    count as f64 / took.as_secs_f64()
}

/// Runs it until so many are delivered, and then to its end, so that all of them are answered: from
/// the first that is delivered to the last that is acknowledged, the closing of the connection included.
async fn pipeline(yaml: &str, sink: &str, count: usize) -> Duration {
    let checked = check(&parse("p.yaml", yaml, &Fixed::new()));
    let pipeline = checked.pipeline.expect("it is sound");
    let observer = Observer::new("p");
    let watched = observer.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let stopped = stopped.map(|_| ());
        run(pipeline, &watched, Store::memory(), stopped).await
    });
    let delivered = || {
        observer
            .ledger()
            .node(sink)
            .map_or(0, |it| it.counts.delivered) as usize
    };
    let mut began = None;
    loop {
        let now = delivered();
        if now > 0 {
            began.get_or_insert_with(|| (Instant::now(), now));
        }
        if now >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(stop);
    task.await.expect("no panic").expect("it ends well");
    let (began, first) = began.unwrap_or((Instant::now(), 0));
    // Those that were delivered by then have taken their time, too.
    let share = count as f64 / (count - first).max(1) as f64;
    began.elapsed().mul_f64(share)
}

async fn bare_consumer(broker: &Broker, count: usize) -> Duration {
    let channel = broker.channel().await;
    let qos = channel.basic_qos(PREFETCH, BasicQosOptions::default());
    qos.await.expect("a prefetch");
    let consumer = channel.basic_consume(
        "in".into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut consumer = consumer.await.expect("a consumer");
    let (mut began, mut seen) = (None, 0);
    while seen < count {
        let message = consumer.next().await.expect("a message").expect("no error");
        began.get_or_insert_with(Instant::now);
        seen += 1;
        if seen % TOGETHER == 0 || seen == count {
            let all = BasicAckOptions { multiple: true };
            channel
                .basic_ack(message.delivery_tag, all)
                .await
                .expect("an ack");
        }
    }
    began.expect("one came").elapsed()
}

async fn published(broker: &Broker, count: usize, file: Option<&Path>) -> f64 {
    let channel = broker.channel().await;
    let took = match file {
        None => bare_publisher(broker, count).await,
        Some(file) => {
            let (url, file) = (broker.url(), file.display());
            let yaml = format!(
                "version: 1\nname: p\nsources:\n  in: {{ type: file, path: '{file}', batch_events: 2000 }}\n\
                 sinks:\n  away: {{ type: rabbitmq, inputs: [in], url: '{url}', queue: out, in_flight: 500 }}\n"
            );
            pipeline(&yaml, "away", count).await
        }
    };
    assert_eq!(ready(&channel, "out").await as usize, count);
    let purged = channel.queue_purge("out".into(), QueuePurgeOptions::default());
    purged.await.expect("it is emptied");
    assert!(drain(&channel, "out").await.is_empty());
    count as f64 / took.as_secs_f64()
}

async fn bare_publisher(broker: &Broker, count: usize) -> Duration {
    let channel = broker.channel().await;
    let confirmed = channel.confirm_select(ConfirmSelectOptions::default());
    confirmed.await.expect("confirms");
    let bodies = bodies(count);
    let began = Instant::now();
    let mut open = VecDeque::new();
    for body in &bodies {
        if open.len() >= 500
            && let Some(oldest) = open.pop_front()
        {
            let confirm: lapin::PublisherConfirm = oldest;
            assert!(confirm.await.expect("a confirmation").is_ack());
        }
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let sent = channel.basic_publish(
            "".into(),
            "out".into(),
            options,
            body.as_bytes(),
            properties,
        );
        open.push_back(sent.await.expect("it is sent"));
    }
    for confirm in open {
        assert!(confirm.await.expect("a confirmation").is_ack());
    }
    began.elapsed()
}

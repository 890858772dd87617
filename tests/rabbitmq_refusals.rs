//! Brokers that end a consumer or do not answer, and what comes after: a queue that is deleted, a message that
//! is answered too late, a parking queue that nobody uses, an answer that is lost.

#[path = "rabbitmq/broker.rs"]
mod broker;
#[path = "rabbitmq/run.rs"]
mod run;

use std::collections::HashSet;
use std::time::Duration;

use broker::{Broker, Proxy, SETTLED, declare, publish, ready};
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use run::{Run, With, bodies, complete, pipeline, until};
use trunkline::graph::Pipeline;
use trunkline::layer::{Replays, SourceContext, SourcePart, VisitPaths};
use trunkline::source::rabbitmq::{Config, Opener};
use trunkline::stage::OpenSource;

const SOON: &str = "reconnect: { backoff: 100ms, max_backoff: 500ms }";

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_and_made_again_is_consumed_again() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    for kind in ["classic", "quorum"] {
        let queue = format!("gone-{kind}");
        declare(&channel, &queue, kind, &[]).await;
        publish(&channel, &queue, bodies(100, 4)).await;
        let run = Run::reads(&broker.url(), &queue, SOON, "", With::default());
        run.until(100).await;
        let options = QueueDeleteOptions::default();
        channel
            .queue_delete(queue.as_str().into(), options)
            .await
            .unwrap();
        let retries = || {
            run.observer
                .ledger()
                .node("in")
                .map_or(0, |it| it.counts.retries)
        };
        // It is looked for more than once, and waited for.
        until("it is missed", async || retries() >= 3).await;
        declare(&channel, &queue, kind, &[]).await;
        publish(&channel, &queue, bodies(200, 4).split_off(100)).await;
        run.until(200).await;
        let shelf = run.shelf.clone();
        run.stop().await;
        complete(&shelf.all(), 200, 4);
        assert_eq!((shelf.count(), ready(&channel, &queue).await), (200, 0));
    }
}

/// The connection lives, with heartbeats both ways, and one answer never comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_not_answered_is_asked_again_on_another_connection() {
    let broker = Broker::shared().await;
    let proxy = Proxy::start(broker.port()).await;
    let channel = broker.channel().await;
    declare(&channel, "silent", "classic", &[]).await;
    publish(&channel, "silent", bodies(100, 4)).await;
    // Of `channel.open`, `queue.declare`, `basic.qos` and `basic.consume`.
    let methods = [(20, 11), (50, 11), (60, 11), (60, 21)];
    methods.iter().for_each(|method| proxy.withhold(*method));
    let more = format!("request_timeout: 1s, {SOON}");
    let run = Run::reads(
        &broker.url_at(proxy.port()),
        "silent",
        &more,
        "",
        With::default(),
    );
    run.until(100).await;
    assert_eq!(proxy.withheld(), 0);
    let shelf = run.shelf.clone();
    let ledger = run.stop().await;
    complete(&shelf.all(), 100, 4);
    let retries = ledger.node("in").unwrap().counts.retries;
    assert!(retries >= methods.len() as u64, "{retries}");
    assert_eq!(ready(&channel, "silent").await, 0);
}

/// What the broker handed out on the connection before is older than all that it hands out now.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_connection_had_comes_before_what_lies_behind_it() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    for kind in ["classic", "quorum"] {
        let proxy = Proxy::start(broker.port()).await;
        let queue = format!("left-{kind}");
        declare(&channel, &queue, kind, &[]).await;
        tokio::time::sleep(SETTLED).await;
        publish(&channel, &queue, bodies(600, 4)).await;
        // Most of what is handed out waits here for its turn.
        let more = format!("prefetch: 100, group_by: .g, max_per_group: 5, {SOON}");
        let with = With {
            closed: true,
            ..With::default()
        };
        let url = broker.url_at(proxy.port());
        let run = Run::reads(&url, &queue, &more, "", with);
        let handed_out = async || ready(&channel, &queue).await == 500;
        until("as much is handed out as may be", handed_out).await;
        let connections = proxy.taken();
        proxy.leave();
        until("it comes again", async || proxy.taken() > connections).await;
        run.shelf.close(false);
        // Long enough to read what lies behind, short enough to be waited for.
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.tell();
        let shelf = run.shelf.clone();
        let each = async || {
            let all = shelf.all();
            let all: HashSet<_> = all.iter().map(|it| it.body.to_string()).collect();
            all.len() == 600
        };
        until("each is there", each).await;
        run.stop().await;
        complete(&shelf.all(), 600, 4);
        assert_eq!(ready(&channel, &queue).await, 0);
    }
}

/// It cannot be told from the last connection, but by going on.
#[tokio::test(flavor = "multi_thread")]
async fn another_consumer_that_came_meanwhile_is_not_waited_for_for_ever() {
    let broker = Broker::shared().await;
    let proxy = Proxy::start(broker.port()).await;
    let channel = broker.channel().await;
    declare(&channel, "shared", "classic", &[]).await;
    let url = broker.url_at(proxy.port());
    let run = Run::reads(&url, "shared", SOON, "", With::default());
    let consumers = async || {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let found = channel.queue_declare("shared".into(), options, FieldTable::default());
        found.await.unwrap().consumer_count()
    };
    until("it consumes", async || consumers().await == 1).await;
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let other = broker.channel().await;
    let _other = other
        .basic_consume("shared".into(), "other".into(), options, none)
        .await
        .unwrap();
    proxy.cut();
    until("the other is alone", async || consumers().await == 1).await;
    until("both consume", async || consumers().await == 2).await;
    other.close(200, "done".into()).await.unwrap();
    publish(&channel, "shared", bodies(100, 4)).await;
    run.until(100).await;
    let shelf = run.shelf.clone();
    run.stop().await;
    complete(&shelf.all(), 100, 4);
}

/// And what is parked: the copy may be there or not, the message is not answered until one is known to be.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_parking_is_not_confirmed_is_parked_again() {
    let broker = Broker::shared().await;
    let proxy = Proxy::start(broker.port()).await;
    let channel = broker.channel().await;
    declare(&channel, "unheard", "classic", &[]).await;
    let one_group = |from: usize, to: usize| {
        let body = |n: usize| format!(r#"{{"g":"g-0","n":{n}}}"#);
        (from..to).map(body)
    };
    publish(&channel, "unheard", one_group(0, 60)).await;
    let more = format!(
        "request_timeout: 1s, group_by: .g, max_per_group: 10, parking: {{ queue: 'unheard.{{group}}' }}, {SOON}"
    );
    let with = With {
        apart: true,
        ..With::default()
    };
    // `basic.ack`, which a broker says to nobody but those who publish: the program's parking.
    proxy.withhold((60, 80));
    let url = broker.url_at(proxy.port());
    let run = Run::reads(&url, "unheard", &more, "", with);
    run.shelf.kill("g-0");
    until("all are parked", async || {
        proxy.withheld() == 0 && ready(&channel, "unheard.g-0").await >= 40
    })
    .await;
    run.shelf.revive("g-0");
    publish(&channel, "unheard", one_group(60, 70)).await;
    let shelf = run.shelf.clone();
    let each = async || {
        let all = shelf.all();
        let all: HashSet<_> = all.iter().map(|it| it.body.to_string()).collect();
        all.len() == 70
    };
    until("each is there", each).await;
    for queue in ["unheard", "unheard.g-0"] {
        until("it is empty", async || ready(&channel, queue).await == 0).await;
    }
    run.stop().await;
    complete(&shelf.all(), 70, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_answered_too_late_comes_again_and_nothing_is_lost() {
    let broker = Broker::with("consumer_timeout = 2000").await;
    // It looks once a minute; its file has no word for that.
    let often = "application:set_env(rabbit, channel_tick_interval, 500).";
    broker.control(&["eval", often]).await;
    let channel = broker.channel().await;
    declare(&channel, "late", "classic", &[]).await;
    publish(&channel, "late", bodies(300, 4)).await;
    let folder = tempfile::tempdir().unwrap();
    let letters = folder.path().join("letters.ndjson");
    let letters = format!(
        "dead_letter: {{ type: file, path: '{}' }}",
        letters.display()
    );
    let with = With {
        closed: true,
        ..With::default()
    };
    let more = format!("prefetch: 100, {SOON}");
    let run = Run::reads(&broker.url(), "late", &more, &letters, with);
    let again = async || {
        run.observer
            .ledger()
            .node("in")
            .is_some_and(|it| it.counts.retries >= 2)
    };
    until("it was given up twice", again).await;
    run.shelf.close(false);
    run.until(300).await;
    let shelf = run.shelf.clone();
    until("each is there", async || {
        let all = shelf.all();
        let each: HashSet<_> = all.iter().map(|one| one.body.to_string()).collect();
        each.len() == 300
    })
    .await;
    until("all is answered", async || {
        ready(&channel, "late").await == 0
    })
    .await;
    let ledger = run.stop().await;
    complete(&shelf.all(), 300, 4);
    assert_eq!(ledger.whole.dead_lettered_total(), 0, "late is not poison");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(ready(&channel, "late").await, 0);
}

/// Parking queues that expire sooner than a file may say.
struct Soon(Opener);

impl SourcePart for Soon {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        self.0.paths(visit);
    }

    fn replays(&self) -> Replays {
        Replays::Again
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let opener = std::sync::Arc::new(self.0);
        Box::new(move || {
            let (opener, context) = (opener.clone(), context.clone());
            Box::pin(async move { opener.open(&context).await })
        })
    }
}

const EXPIRES: Duration = Duration::from_secs(3);

fn expiring(broker: &Broker) -> Pipeline {
    let settings = format!(
        "url: '{}'\nqueue: idle\ngroup_by: .g\nmax_per_group: 10\n\
         parking: {{ queue: 'idle.{{group}}' }}\n{SOON}",
        broker.url()
    );
    let loaded = trunkline::config::parse("p.yaml", &settings, &trunkline::config::Fixed::new());
    let (tree, mut report) = (
        loaded.tree.unwrap(),
        trunkline::diagnostic::Report::new("p.yaml"),
    );
    let mut fields = trunkline::setting::Fields::new(&tree, "the source", &mut report).unwrap();
    let mut config = Config::check(&mut fields).unwrap();
    config.parking.as_mut().unwrap().expires = Some(EXPIRES);
    let mut pipeline = pipeline(
        "version: 1\nname: p\nsources:\n  in: { type: stdin }\nsinks:\n  out: { type: blackhole, inputs: [in] }\n",
    );
    pipeline.sources[0].part = Box::new(Soon(Opener::new(config)));
    pipeline
}

/// Whether there is such a queue. To ask is to use it.
async fn is_there(broker: &Broker, queue: &str) -> bool {
    let (channel, options) = (
        broker.channel().await,
        lapin::options::QueueDeclareOptions {
            passive: true,
            ..Default::default()
        },
    );
    let found = channel.queue_declare(queue.into(), options, Default::default());
    found.await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parking_queue_expires_when_it_is_empty_and_not_while_its_group_cannot_go_on() {
    let broker = Broker::shared().await;
    let channel = broker.channel().await;
    let parked = "idle.g-0";
    declare(&channel, "idle", "classic", &[]).await;
    let with = With {
        apart: true,
        ..With::default()
    };
    let run = Run::of(expiring(&broker), with);
    for round in 1..=2 {
        run.shelf.kill("g-0");
        let bodies = bodies(round * 100, 1).split_off((round - 1) * 100);
        publish(&channel, "idle", bodies).await;
        until("they are parked", async || {
            is_there(&broker, parked).await && ready(&channel, parked).await >= 90
        })
        .await;
        tokio::time::sleep(EXPIRES * 3).await;
        assert!(
            is_there(&broker, parked).await,
            "it went with all that was in it"
        );
        assert!(ready(&channel, parked).await >= 90, "it was made anew");
        run.shelf.revive("g-0");
        run.until(round * 100).await;
        let gone = async || {
            tokio::time::sleep(EXPIRES + Duration::from_secs(2)).await;
            !is_there(&broker, parked).await
        };
        until("it is gone", gone).await;
    }
    let shelf = run.shelf.clone();
    run.stop().await;
    complete(&shelf.all(), 200, 1);
    assert_eq!(shelf.count(), 200);
}

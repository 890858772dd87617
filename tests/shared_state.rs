//! Workers that share their state through a real Redis, which is killed, hung, filled and cut off.

#[path = "shared_state/pipeline.rs"]
mod pipeline;
#[path = "shared_state/server.rs"]
mod server;
#[path = "shared_state/workers.rs"]
mod workers;

use std::sync::Arc;
use std::time::Duration;

use server::{Proxy, RedisServer};
use tower::service_fn;
use trunkline::event::Batch;
use trunkline::failure::{Failure, Kind};
use trunkline::stage::{Checkpoint, Stage};
use trunkline::state::{Op, Remote, Store, Table};
use workers::{Delivered, Ordered, Worker, open, remote, until};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(1);

fn put(key: &str, value: &str) -> Op {
    Op::Put {
        key: key.into(),
        value: value.into(),
    }
}

fn newer(key: &str, version: u64, value: &str) -> Op {
    Op::PutNewer {
        key: key.into(),
        version,
        value: value.into(),
    }
}

fn rows(table: &Table) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut rows = Vec::new();
    table
        .scan(&mut |key, value| rows.push((text(key), text(value))))
        .unwrap();
    rows
}

async fn fetch(table: &Table, keys: &[&str]) -> Vec<Option<String>> {
    let keys = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
    let found = table.fetch(keys).await.unwrap();
    let text = |row: Option<Vec<u8>>| row.map(|row| String::from_utf8(row).unwrap());
    found.into_iter().map(text).collect()
}

fn away(store: &Store) -> Option<String> {
    store.away().unwrap().borrow().clone()
}

#[tokio::test]
async fn keeps_the_promises_of_a_store() {
    let server = RedisServer::start();
    let store = open(&server.url(), LONG).await;
    assert!(store.is_durable() && store.table("t").is_shared());
    let plain = store.table("t");
    let going = store.table("t").expiring(LONG);
    for table in [&plain, &going] {
        table.note(1, put("a", "1"));
        table.note(1, put("b", "2"));
        table.note(1, newer("c", 1 << 33, "new"));
        table.note(2, newer("c", 7, "old"));
        table.note(2, Op::Delete { key: b"b".to_vec() });
        table.note(
            2,
            Op::DeleteOlder {
                key: b"c".to_vec(),
                version: (1 << 33) - 1,
            },
        );
        table.note(2, newer("gone", 3, ""));
        table.note(
            2,
            Op::DeleteOlder {
                key: b"gone".to_vec(),
                version: 3,
            },
        );
    }
    let place = |key: &str, value: &str| {
        let (key, value) = (key.into(), value.into());
        ("s".into(), Checkpoint { key, value })
    };
    let places = vec![place("f2", "5"), place("f1", "\0binary\r\n")];
    store.commit(vec![1, 2], places).await.unwrap();
    assert_eq!(store.pending(), 0);

    // Another worker sees all of it, under the same seed; another pipeline nothing.
    let other = open(&server.url(), LONG).await;
    assert_eq!(other.seed(), store.seed());
    let expected = [("a", "1"), ("c", "new")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(rows(&other.table("t")), expected);
    let found = fetch(&other.table("t").expiring(LONG), &["c", "b", "gone", "a"]).await;
    assert_eq!(
        found,
        [Some("new".to_owned()), None, None, Some("1".to_owned())]
    );
    assert_eq!(other.checkpoint("s", b"f2").await.unwrap().unwrap(), b"5");
    assert_eq!(other.checkpoints("s").await.unwrap().len(), 2);
    assert!(rows(&other.table("tt")).is_empty());
    let stranger = Store::remote(&remote(&server.url(), LONG), "p2")
        .await
        .unwrap();
    assert!(rows(&stranger.table("t")).is_empty() && stranger.seed() != store.seed());

    // Rows of an expiring table go by themselves.
    let brief = store.table("t").expiring(Duration::from_millis(300));
    brief.note(3, put("brief", "1"));
    store.commit(vec![3], vec![]).await.unwrap();
    assert_eq!(fetch(&brief, &["brief"]).await, [Some("1".to_owned())]);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(fetch(&brief, &["brief"]).await, [None]);
}

/// Both get the same events at the same time, each batch in the reverse order of the other's.
async fn both_deliver(a: &mut Worker, b: &mut Worker, batches: std::ops::Range<u64>) {
    let feed = |turned: bool| {
        batches.clone().map(move |n| {
            let mut ids: Vec<u64> = (n * 50..n * 50 + 75).collect();
            if turned {
                ids.reverse();
            }
            ids
        })
    };
    let one = async {
        for ids in feed(false) {
            a.deliver(&ids).await;
        }
    };
    let other = async {
        for ids in feed(true) {
            b.deliver(&ids).await;
        }
    };
    tokio::join!(one, other);
}

fn each_exactly_once(delivered: &Delivered, count: u64) {
    let delivered = delivered.lock().unwrap();
    let twice: Vec<_> = delivered.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(delivered.len() as u64, count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_deliver_each_key_exactly_once() {
    let server = RedisServer::start();
    let delivered = Delivered::default();
    let mut a = Worker::counting(open(&server.url(), LONG).await, &delivered);
    let mut b = Worker::counting(open(&server.url(), LONG).await, &delivered);
    let work = both_deliver(&mut a, &mut b, 0..40);
    tokio::time::timeout(LONG, work)
        .await
        .expect("they wait for each other");
    each_exactly_once(&delivered, 40 * 50 + 25);
    // Whoever starts later knows them all.
    let mut c = Worker::counting(open(&server.url(), LONG).await, &delivered);
    c.send(&(0..2025).collect::<Vec<u64>>()).await.unwrap();
    each_exactly_once(&delivered, 2025);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_makes_nobody_guess() {
    let mut server = RedisServer::start();
    let delivered = Delivered::default();
    let mut a = Worker::counting(open(&server.url(), LONG).await, &delivered);
    let mut b = Worker::counting(open(&server.url(), LONG).await, &delivered);
    let watched = a.store.clone();
    let count = delivered.clone();
    let disturb = tokio::spawn(async move {
        for round in 1..=3 {
            let enough = || count.lock().unwrap().len() > round * 300;
            until("deliveries", enough).await;
            server.kill();
            until("the alert", || away(&watched).is_some()).await;
            let before = count.lock().unwrap().len();
            tokio::time::sleep(Duration::from_millis(300)).await;
            // Only what had been claimed before may still have gone through.
            assert!(count.lock().unwrap().len() <= before + 150);
            server.restart();
            until("the end of the alert", || away(&watched).is_none()).await;
        }
        server
    });
    both_deliver(&mut a, &mut b, 0..60).await;
    let _server = disturb.await.unwrap();
    each_exactly_once(&delivered, 60 * 50 + 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_worker_had_under_way_comes_after_its_lease() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let hung = service_fn(|_: Batch| std::future::pending::<Result<(), Failure>>());
    let dying = open(&proxy.url(), SHORT).await;
    let mut dying = Worker::over(dying, Stage::new(hung));
    let lost = tokio::spawn(async move { dying.send(&[1, 2, 3]).await });
    let delivered = Delivered::default();
    let mut living = Worker::counting(open(&server.url(), SHORT).await, &delivered);
    // The claims are there, and stay for as long as the worker refreshes them.
    until("the claims", || {
        server.command("DBSIZE").is_ok_and(|n| n == ":4")
    })
    .await;
    let held = tokio::time::timeout(3 * SHORT, living.send(&[3, 4])).await;
    assert!(held.is_err(), "it waits for the other");
    assert_eq!(
        delivered.lock().unwrap().get(&4),
        Some(&1),
        "what is free goes on"
    );
    // From here on nothing is heard of it, as if it were dead.
    proxy.cut();
    living.deliver(&[1, 2, 3, 4]).await;
    each_exactly_once(&delivered, 4);
    lost.abort();
}

#[tokio::test]
async fn an_event_that_fails_at_one_worker_comes_again_at_the_other() {
    let server = RedisServer::start();
    let (fail, wait) = tokio::sync::oneshot::channel::<()>();
    let wait = Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let failing = service_fn(move |_: Batch| {
        let wait = wait.clone();
        async move {
            let _ = wait.lock().await.take().unwrap().await;
            Err(Failure::transient("busy", "busy"))
        }
    });
    let failing = Worker::over(open(&server.url(), LONG).await, Stage::new(failing));
    let mut first = failing;
    let first = tokio::spawn(async move { first.send(&[7]).await });
    until("the claim", || {
        server.command("DBSIZE").is_ok_and(|n| n == ":2")
    })
    .await;
    let delivered = Delivered::default();
    let mut second = Worker::counting(open(&server.url(), LONG).await, &delivered);
    let mut held = Box::pin(second.send(&[7]));
    let soon = tokio::time::timeout(Duration::from_millis(300), &mut held).await;
    assert!(soon.is_err(), "its fate is not known");
    fail.send(()).unwrap();
    assert!(first.await.unwrap().is_err());
    let failure = held.await.unwrap_err();
    assert_eq!(failure.losses()[0].cause.reason, "lost_elsewhere");
    second.deliver(&[7]).await;
    each_exactly_once(&delivered, 1);
}

/// The request arrives and the answer does not: it is made again, and must not count again.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_happens_once() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let (a, b) = (
        open(&proxy.url(), LONG).await,
        open(&server.url(), LONG).await,
    );
    a.table("t").note(1, put("k", "of a"));
    proxy.lose_the_next_answer();
    let its = a.clone();
    let commit = tokio::spawn(async move { its.commit(vec![1], vec![]).await });
    until("the loss", || proxy.is_cut()).await;
    assert_eq!(rows(&b.table("t")), [("k".to_owned(), "of a".to_owned())]);
    b.table("t").note(1, put("k", "of b"));
    b.commit(vec![1], vec![]).await.unwrap();
    proxy.mend();
    commit.await.unwrap().unwrap();
    assert_eq!(rows(&b.table("t")), [("k".to_owned(), "of b".to_owned())]);
    // What comes later counts.
    a.table("t").note(2, put("k", "of a again"));
    a.commit(vec![2], vec![]).await.unwrap();
    assert_eq!(
        rows(&b.table("t")),
        [("k".to_owned(), "of a again".to_owned())]
    );
}

#[tokio::test]
async fn a_full_redis_is_waited_for_and_says_so() {
    let server = RedisServer::start();
    let store = open(&server.url(), LONG).await;
    assert_eq!(server.command("CONFIG SET maxmemory 1").unwrap(), "+OK");
    store.table("t").note(1, put("k", "1"));
    let its = store.clone();
    let commit = tokio::spawn(async move { its.commit(vec![1], vec![]).await });
    until("the alert", || away(&store).is_some()).await;
    assert_eq!(away(&store).unwrap(), "Redis answers OOM");
    assert!(rows(&store.table("t")).is_empty() && !commit.is_finished());
    assert_eq!(server.command("CONFIG SET maxmemory 0").unwrap(), "+OK");
    commit.await.unwrap().unwrap();
    assert_eq!(rows(&store.table("t")).len(), 1);
    assert_eq!(away(&store), None);
}

#[tokio::test]
async fn a_redis_that_hangs_is_waited_for_and_nothing_goes_on_meanwhile() {
    let server = RedisServer::start();
    let delivered = Delivered::default();
    let mut worker = Worker::counting(open(&server.url(), LONG).await, &delivered);
    let store = worker.store.clone();
    server.hang();
    let sent = tokio::spawn(async move { worker.send(&[1]).await });
    // Longer than an answer may take: the connection is given up, and another hangs as well.
    until("the alert", || away(&store).is_some()).await;
    assert!(delivered.lock().unwrap().is_empty());
    server.go_on();
    sent.await.unwrap().unwrap();
    each_exactly_once(&delivered, 1);
}

#[tokio::test]
async fn who_stops_while_it_is_away_has_its_changes_back_and_ends_soon() {
    let mut server = RedisServer::start();
    let store = open(&server.url(), LONG).await;
    store.table("t").note(1, put("k", "1"));
    server.kill();
    let commit = store.commit(vec![1], vec![]);
    let stopped = tokio::time::timeout(Duration::from_millis(300), commit).await;
    assert!(stopped.is_err());
    server.restart();
    let table = store.table("t");
    // It was put back for whoever commits next, or written after all, or both.
    while rows(&table).is_empty() || store.pending() > 0 {
        store.commit(vec![1], vec![]).await.unwrap();
    }
    assert_eq!(store.pending(), 0);
    server.kill();
    store.table("t").note(2, put("k", "2"));
    let started = std::time::Instant::now();
    drop((table, store));
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_store_over_a_redis_that_hangs_ends_soon() {
    let server = RedisServer::start();
    let store = open(&server.url(), LONG).await;
    server.hang();
    store.table("t").note(1, put("k", "1"));
    let commit = store.commit(vec![1], vec![]);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), commit)
            .await
            .is_err()
    );
    let started = std::time::Instant::now();
    drop(store);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    server.go_on();
}

#[tokio::test]
async fn what_is_claimed_is_given_back_at_the_end() {
    let server = RedisServer::start();
    let hung = service_fn(|_: Batch| std::future::pending::<Result<(), Failure>>());
    let mut worker = Worker::over(open(&server.url(), LONG).await, Stage::new(hung));
    let held = tokio::time::timeout(Duration::from_millis(300), worker.send(&[1, 2])).await;
    assert!(held.is_err());
    drop(worker);
    let delivered = Delivered::default();
    let mut other = Worker::counting(open(&server.url(), LONG).await, &delivered);
    other.send(&[1, 2]).await.unwrap();
    each_exactly_once(&delivered, 2);
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_once_and_never_shown() {
    let server = RedisServer::with(Some("hush"));
    for (password, well) in [("hush", true), ("wrong-hush", false)] {
        let url = format!("redis://:{password}@127.0.0.1:{}", server.port());
        let remote = remote(&url, LONG);
        assert!(!format!("{remote:?}").contains("hush"), "{remote:?}");
        let opened = Store::remote(&remote, "p").await;
        assert_eq!(opened.is_ok(), well);
        if let Err(failure) = opened {
            assert_eq!(failure.kind(), Kind::Fatal);
            assert!(failure.to_string().contains("WRONGPASS"), "{failure}");
            assert!(!failure.to_string().contains("hush"), "{failure}");
        }
    }
    assert!(!Remote::is_url("http://localhost") && Remote::is_url("rediss://localhost"));
}

/// Two events of one conversation, handed to one worker after the other.
#[tokio::test]
async fn counters_go_on_at_whichever_worker_a_conversation_comes_to() {
    let mut server = RedisServer::start();
    let mut a = Ordered::over(open(&server.url(), LONG).await);
    let mut b = Ordered::over(open(&server.url(), LONG).await);
    for round in 0..3 {
        assert_eq!(a.send(4 * round + 1).await, u64::from(4 * round + 1));
        assert_eq!(a.send(4 * round + 2).await, u64::from(4 * round + 2));
        assert_eq!(b.send(4 * round + 3).await, u64::from(4 * round + 3));
        assert_eq!(b.send(4 * round + 4).await, u64::from(4 * round + 4));
    }
    // Without the counters there are none to give.
    server.kill();
    let sent = tokio::time::timeout(Duration::from_millis(500), a.send(13)).await;
    assert!(sent.is_err());
    assert!(a.got.lock().unwrap().is_empty());
    server.restart();
    assert_eq!(a.send(13).await, 13);
}

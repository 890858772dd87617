//! A pipeline takes another's place while events flow: nothing is lost, what is the same lives on,
//! and what is wrong changes nothing.

#[path = "kit/world.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod world;

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use world::{World, start};

const BASE: &str = "
version: 1
name: p
sources:
  in: { type: stdin, framing: lines }
transforms:
  unique: { type: dedup, inputs: [in], key: .id, window: 1h }
sinks:
  a: { type: blackhole, inputs: [unique] }
  b: { type: blackhole, inputs: [unique] }
dead_letter: { type: blackhole }
";

fn lines(ids: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    ids.map(|id| format!(r#"{{"id":{id}}}"#))
}

fn all(ids: std::ops::Range<usize>) -> Vec<String> {
    lines(ids).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_the_same_lives_on_and_only_what_changed_is_built_anew() {
    let world = World::default();
    let running = start(world.pipeline(BASE));
    world.send("in", lines(0..10));
    world.until("b", 10).await;

    // A comment, another place, another order of nodes: nothing changed.
    let same = BASE.replace("transforms:", "# the same\n\ntransforms:");
    let changes = running.reload(world.pipeline(&same)).await.unwrap();
    assert_eq!((changes.kept, changes.replaced.len()), (4, 0));

    let other = BASE.replace(
        "b: { type: blackhole,",
        "b: { type: blackhole, concurrency: 2,",
    );
    let changes = running.reload(world.pipeline(&other)).await.unwrap();
    assert_eq!((changes.kept, changes.replaced), (3, vec!["b".to_owned()]));
    // The window of `unique` lives on.
    world.send("in", lines(5..15));
    assert_eq!(world.until("b", 15).await, all(0..15));
    assert_eq!(world.written("a"), all(0..15));

    let ledger = running.stop().await;
    assert_eq!(
        ledger.node("unique").unwrap().counts.dropped["duplicate"],
        5
    );
}

#[tokio::test(start_paused = true)]
async fn nodes_come_and_go_and_a_path_that_is_new_is_read() {
    let world = World::default();
    let running = start(world.pipeline(BASE));
    world.send("in", lines(0..4));
    world.until("b", 4).await;
    let other = "
version: 1
name: p
sources:
  in: { type: stdin, framing: lines }
  more: { type: stdin, framing: lines }
transforms:
  unique: { type: dedup, inputs: [in, more], key: .id, window: 1h }
  even: { type: filter, inputs: [unique], where: { path: .kind, equals: even } }
sinks:
  a: { type: blackhole, inputs: [even] }
  c: { type: blackhole, inputs: [unique] }
dead_letter: { type: blackhole }
";
    let changes = running.reload(world.pipeline(other)).await.unwrap();
    assert_eq!(changes.added, ["more", "c", "even"]);
    assert_eq!(changes.removed, ["b"]);
    assert!(changes.replaced.is_empty(), "{changes:?}");
    let line = |id: usize, kind: &str| format!(r#"{{"id":{id},"kind":"{kind}"}}"#);
    world.send("in", [line(1, "even"), line(10, "odd"), line(11, "even")]);
    world.send("more", [line(12, "even")]);
    world.until("c", 3).await;
    let mut a = world.until("a", 6).await.split_off(4);
    a.sort();
    assert_eq!(a, [line(11, "even"), line(12, "even")]);
    assert_eq!(world.written("b"), all(0..4));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_fails_leaves_all_as_it_was() {
    let world = World::default();
    let running = start(world.pipeline(BASE));
    world.send("in", lines(0..4));
    world.until("b", 4).await;
    world.shelf("c").broken.store(true, Ordering::SeqCst);
    let broken = BASE
        .replace("  b:", "  c:")
        .replace("window: 1h", "window: 2h");
    let failure = running.reload(world.pipeline(&broken)).await.unwrap_err();
    assert!(
        failure.to_string().contains("cannot be opened"),
        "{failure}"
    );

    let renamed = BASE.replace("name: p", "name: q");
    let failure = running.reload(world.pipeline(&renamed)).await.unwrap_err();
    assert!(failure.to_string().contains("restart"), "{failure}");

    world.send("in", lines(2..8));
    assert_eq!(world.until("b", 8).await, all(0..8));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_sink_delays_nothing_else_and_the_whole_has_a_deadline() {
    let world = World::default();
    let running = start(world.pipeline(BASE));
    world.shelf("a").dead.store(true, Ordering::SeqCst);
    world.send("in", lines(0..3));
    world.until("b", 3).await;

    let from = Instant::now();
    let other = BASE.replace(
        "a: { type: blackhole,",
        "a: { type: blackhole, concurrency: 2,",
    );
    let reload = running.reload(world.pipeline(&other));
    let meanwhile = async {
        world.send("in", lines(3..6));
        world.until("b", 6).await;
        assert!(
            from.elapsed() < Duration::from_secs(1),
            "{:?}",
            from.elapsed()
        );
        world.shelf("a").dead.store(false, Ordering::SeqCst);
    };
    let (changes, ()) = tokio::join!(reload, meanwhile);
    let changes = changes.unwrap();
    assert!(changes.given_up > 0, "{changes:?}");
    assert!(
        from.elapsed() < Duration::from_secs(15),
        "{:?}",
        from.elapsed()
    );
    // What the dead sink had comes again.
    let mut a = world.until("a", 6).await;
    a.sort();
    assert_eq!(a, all(0..6));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn events_that_flow_while_it_reloads_come_once_and_in_order() {
    let world = World::default();
    let running = start(world.pipeline(BASE));
    let feeding = async {
        for from in 0..500 {
            world.send("in", lines(from * 10..from * 10 + 10));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let reloading = async {
        for round in 1..20 {
            let policy = format!("b: {{ type: blackhole, concurrency: {round},");
            let other = BASE.replace("b: { type: blackhole,", &policy);
            let other = other.replace("window: 1h", &format!("window: {}h", 1 + round % 3));
            let changes = running.reload(world.pipeline(&other)).await.unwrap();
            assert_eq!(changes.given_up, 0);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(feeding, reloading);
    assert_eq!(world.until("a", 5_000).await, all(0..5_000));
    assert_eq!(world.until("b", 5_000).await, all(0..5_000));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_is_exchanged_once_it_has_its_answers() {
    let world = World::default();
    let running = start(world.pipeline(BASE));
    world.send("in", lines(0..3));
    world.until("b", 3).await;
    let other = BASE.replace("framing: lines", "framing: array");
    let changes = running.reload(world.pipeline(&other)).await.unwrap();
    assert_eq!(changes.replaced, ["in"]);
    world.send("in", lines(1..6));
    assert_eq!(world.until("b", 6).await, all(0..6));
    running.stop().await;
}

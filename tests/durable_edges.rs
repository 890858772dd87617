//! Disk buffers in a pipeline whose ends a test holds: order, answers, restarts, reloads.

#[path = "kit/world.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod world;

use std::path::Path;

use world::{World, start};

fn pipeline(folder: &Path, buffer: &str) -> String {
    let path = folder.display();
    format!(
        "
version: 1
name: p
grace: 500ms
sources:
  in: {{ type: stdin, framing: lines }}
transforms:
  unique: {{ type: dedup, inputs: [in], key: .id, window: 1h }}
sinks:
  out: {{ type: blackhole, inputs: [unique], buffer: {{ path: '{path}', {buffer} }} }}
dead_letter: {{ type: blackhole }}
"
    )
}

fn lines(ids: std::ops::Range<usize>) -> Vec<String> {
    ids.map(|id| format!(r#"{{"id":{id}}}"#)).collect()
}

/// Sends a thousand events, ten at a time.
fn send(world: &World) {
    for from in 0..100 {
        world.send("in", lines(from * 10..from * 10 + 10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spill_answers_what_is_on_disk_and_keeps_the_order_whatever_the_sink_does() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = pipeline(
        folder.path(),
        "when_full: spill, max_events: 50, batch_events: 20",
    );
    let world = World::default();
    let shelf = world.shelf("out");
    shelf.close();
    let running = start(world.pipeline(&yaml));
    send(&world);
    // Upstream has its answers for all but what memory holds and the sink has in hand.
    running
        .until("spilled", |ledger| {
            ledger
                .node("in")
                .is_some_and(|it| it.counts.delivered >= 900)
        })
        .await;
    shelf.open();
    assert_eq!(world.until("out", 1_000).await, lines(0..1_000));

    // Now and then it takes nothing: batches go past the disk, over it, and past it again.
    for round in 1..40 {
        match round % 3 {
            0 => shelf.close(),
            _ => shelf.open(),
        }
        let from = 1_000 + round * 100;
        for from in (from..from + 100).step_by(10) {
            world.send("in", lines(from - 100..from - 90));
        }
        tokio::task::yield_now().await;
    }
    shelf.open();
    assert_eq!(world.until("out", 4_900).await, lines(0..4_900));
    let ledger = running.stop().await;
    assert_eq!(ledger.whole.delivered, 4_900);
    let spilled = &ledger.node("out.buffer").unwrap().counts;
    assert!(
        spilled.received >= 900 && spilled.received < 4_900,
        "{spilled:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_on_disk_is_told_and_delivered_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = pipeline(folder.path(), "type: disk, batch_events: 20");
    let world = World::default();
    world.shelf("out").close();
    let running = start(world.pipeline(&yaml));
    send(&world);
    running
        .until("answered", |ledger| {
            ledger.whole.received == 1_000
                && ledger
                    .node("in")
                    .is_some_and(|it| it.counts.delivered == 1_000)
        })
        .await;
    let ledger = running.stop().await;
    assert_eq!((ledger.whole.stored, ledger.whole.held), (1_000, 1_000));
    assert_eq!(ledger.whole.given_back, 0, "{}", ledger.render(140, false));

    world.shelf("out").open();
    let running = start(world.pipeline(&yaml));
    assert_eq!(world.until("out", 1_000).await, lines(0..1_000));
    let ledger = running.stop().await;
    assert_eq!(
        (ledger.whole.resumed, ledger.whole.delivered),
        (1_000, 1_000)
    );

    let ledger = start(world.pipeline(&yaml)).stop().await;
    assert_eq!(
        ledger.whole.resumed, 0,
        "nothing comes twice after a clean end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_exchanged_behind_its_disk_buffer_and_nothing_is_lost_or_overtaken() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = pipeline(folder.path(), "type: disk, batch_events: 20");
    let world = World::default();
    let running = start(world.pipeline(&yaml));
    for round in 0..10 {
        let from = round * 100;
        for from in (from..from + 100).step_by(10) {
            world.send("in", lines(from..from + 10));
        }
        let other = yaml.replace(
            "type: blackhole, inputs",
            &format!("type: blackhole, concurrency: {}, inputs", round + 2),
        );
        let changes = running.reload(world.pipeline(&other)).await.unwrap();
        assert_eq!(changes.replaced, ["out"]);
    }
    assert_eq!(world.until("out", 1_000).await, lines(0..1_000));
    // The buffer itself stays as it is for as long as the pipeline runs.
    let larger = yaml.replace("type: disk, ", "type: disk, max_size: 2GiB, ");
    let failure = running.reload(world.pipeline(&larger)).await.unwrap_err();
    assert!(failure.to_string().contains("a disk buffer"), "{failure}");
    running.stop().await;
}

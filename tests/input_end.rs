//! The end of the input reaches who holds events only behind all that was on the way.

#[path = "kit/world.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod world;

use world::{World, start};

const PIPELINE: &str = "
version: 1
name: p
delivery: { deadline: 3h }
sources:
  in: { type: stdin, framing: lines }
transforms:
  ordered:
    type: causal_reorder
    inputs: [in]
    key: .id
    max_wait: 2h
    lifecycle: { path: .state, order: [[joined], [left]] }
    buffer: { batch_events: 1, in_flight: 2000, max_events: 20 }
sinks:
  out: { type: blackhole, inputs: [ordered] }
dead_letter: { type: blackhole }
";

fn line(id: usize, state: &str, second: usize) -> String {
    format!(r#"{{"id":{id},"state":"{state}","timestamp":"2026-01-01T00:00:{second:02}Z"}}"#)
}

/// Everybody leaves before joining; who joins last waits far back in the buffer as the input ends.
async fn nobody_is_an_orphan(yaml: &str) {
    let world = World::default();
    for id in 0..300 {
        world.send("in", [line(id, "left", 30)]);
    }
    for id in 0..300 {
        world.send("in", [line(id, "joined", 10)]);
    }
    world.end("in");
    let ledger = start(world.pipeline(yaml)).ended().await;
    let labels = &ledger.node("ordered").unwrap().counts.labels;
    assert!(!labels.contains_key("orphan"), "{labels:?}");
    let written = world.written("out");
    assert_eq!(written.len(), 600);
    let place = |line: String| {
        // What `causal_reorder` adds stands at the end.
        let head = line.trim_end_matches('}');
        written.iter().position(|it| it.starts_with(head)).unwrap()
    };
    for id in 0..300 {
        assert!(
            place(line(id, "joined", 10)) < place(line(id, "left", 30)),
            "{id}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_an_orphan_whose_beginning_waits_in_a_buffer() {
    nobody_is_an_orphan(PIPELINE).await;
}

/// In real time: the threads of a disk buffer know no paused clock.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_an_orphan_whose_beginning_waits_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = format!(
        "buffer: {{ type: disk, path: '{}',",
        folder.path().display()
    );
    nobody_is_an_orphan(&PIPELINE.replace("buffer: {", &disk)).await;
}

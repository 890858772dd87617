//! What a plugin costs: a node of a pipeline, given batches of 1, 10, 100 and 1,000 events, alone.
//!
//! `cargo bench --bench plugin` (`EVENTS=n`, default 200,000; small batches get fewer) builds the
//! guests of `plugins/` and compares, in one run and in turn, a plugin that keeps everything with a
//! `filter` that keeps everything, and the plugin `loyalty_tier` with a `map` that looks the same up.
//! Events are parsed before the clock starts. Of each the best of some rounds counts, since all noise
//! slows down. One batch is under way at a time, as one lane has it. The last lines say what handing a
//! call to another thread costs by itself, in the two ways that there are.

#[path = "throughput/events.rs"]
mod events;
#[path = "../tests/plugins/guests.rs"]
mod guests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tower::ServiceExt;
use trunkline::config::{Fixed, parse};
use trunkline::event::{Batch, Event, EventsBuilder, PathSet, Position, Provenance};
use trunkline::graph::check::check;
use trunkline::layer::{Lane, LetterBox, MAIN, Redact, TransformContext};
use trunkline::observe::{NodeKind, Observer};
use trunkline::stage::{Phase, Stage};
use trunkline::state::Store;

const ROUNDS: usize = 5;
/// Name and settings of each node, and of the one that it is compared with.
const NODES: [(&str, &str); 4] = [
    (
        "filter that keeps all",
        "type: filter, where: { path: .eventId, exists: true }",
    ),
    (
        "plugin that keeps all",
        "type: plugin, path: GUEST/noop.wasm",
    ),
    (
        "map with a look-up",
        "type: map, keep: all, fields: { loyalty_tier: { from: .data.metadata.mediaType, lookup: { voice: gold, chat: silver }, otherwise: null, default: none } }",
    ),
    (
        "plugin loyalty_tier",
        "type: plugin, path: GUEST/loyalty_tier.wasm, config: { key: .data.metadata.mediaType, table: { voice: gold, chat: silver }, default: none }",
    ),
];

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let count = std::env::var("EVENTS").ok().and_then(|n| n.parse().ok());
    let count = count.unwrap_or(200_000);
    let mut text = Vec::new();
    events::write(count, &mut text).expect("memory takes all");
    let text = String::from_utf8(text).expect("JSON is text");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("the machine has threads");
    let nodes: Vec<_> = NODES
        .iter()
        .map(|(_, fields)| node(&runtime, fields))
        .collect();
    for batch in [1, 10, 100, 1000] {
        // Enough for the clock to see, and no more.
        let events = count.min(batch * 5_000);
        let mut best = [Duration::MAX; NODES.len()];
        for _ in 0..ROUNDS {
            for (best, (stage, paths)) in best.iter_mut().zip(&nodes) {
                let batches = batches(&text, events, batch, paths);
                let took = runtime.block_on(run(stage.clone(), batches));
                *best = took.min(*best);
            }
        }
        println!("batches of {batch} ({events} events, best of {ROUNDS})");
        for (index, ((name, _), took)) in NODES.iter().zip(best).enumerate() {
            let rate = events as f64 / took.as_secs_f64();
            let each = took.as_nanos() as f64 / events as f64;
            let against = best[index & !1].as_secs_f64() / took.as_secs_f64();
            println!("  {name:<24} {rate:>12.0} events/s {each:>8.0} ns each  x {against:.3}");
        }
    }
    runtime.block_on(hand_over());
}

/// The node as a pipeline builds it, with nothing behind it, and the paths that it reads.
fn node(runtime: &tokio::runtime::Runtime, fields: &str) -> (Stage, Arc<PathSet>) {
    let noop = guests::guest("noop");
    let folder = noop
        .parent()
        .expect("it lies in a folder")
        .display()
        .to_string();
    let yaml = format!(
        "version: 1
name: p
sources: {{ in: {{ type: stdin, framing: lines }} }}
transforms: {{ node: {{ inputs: [in], {} }} }}
sinks: {{ out: {{ type: blackhole, inputs: [node] }} }}
dead_letter: {{ type: blackhole }}
",
        fields.replace("GUEST", &folder)
    );
    let checked = check(&parse("p.yaml", &yaml, &Fixed::new()));
    let told = format!("{:?}", checked.report);
    let mut pipeline = checked.pipeline.expect(&told);
    checked
        .took
        .iter()
        .for_each(|(what, took)| println!("{what}: {took}"));
    let part = &mut pipeline.transforms[0].part;
    let mut paths = PathSet::default();
    part.paths(&mut |path| paths.intern(path));
    let paths = Arc::new(paths);
    let nothing = tower::service_fn(|batch: Batch| async move {
        // All of them keep all, and all of that is one batch.
        assert!(!batch.is_empty());
        // Freeing events is not what is measured.
        std::mem::forget(batch);
        Ok(())
    });
    let observer = Observer::new("plugin");
    let store = Store::memory();
    let context = TransformContext {
        node: "node".into(),
        outputs: HashMap::from([(MAIN.to_owned(), Stage::new(nothing))]),
        letters: LetterBox::new(None, Arc::new(AsItIs), "node", None),
        meter: observer.node("node", NodeKind::Transform, "x"),
        table: store.table("node"),
        store,
        phase: watch::channel(Phase::Running).1,
        aside: false,
        lane: Lane::WHOLE,
    };
    let _within = runtime.enter();
    let stage = part.build(context).expect("nothing fails");
    (stage, paths)
}

struct AsItIs;

impl Redact for AsItIs {
    fn event(&self, _: &mut Event) {}

    fn text(&self, text: &str) -> String {
        text.to_owned()
    }
}

fn batches(text: &str, events: usize, batch: usize, paths: &Arc<PathSet>) -> Vec<Batch> {
    let from: Arc<Provenance> = Arc::default();
    let lines: Vec<&str> = text.lines().take(events).collect();
    let made = lines.chunks(batch).map(|lines| {
        let block = lines.concat();
        let mut builder = EventsBuilder::new(block, paths.clone(), from.clone(), lines.len());
        let mut start = 0;
        for line in lines {
            let end = start + line.len();
            let taken = builder.push(start, end, Position::default());
            taken.expect("the events are JSON");
            start = end;
        }
        builder.finish()
    });
    made.collect()
}

async fn run(stage: Stage, batches: Vec<Batch>) -> Duration {
    // In a task, as a pump is.
    let run = tokio::spawn(async move {
        let begun = Instant::now();
        for batch in batches {
            stage.clone().oneshot(batch).await.expect("nothing fails");
        }
        begun.elapsed()
    });
    run.await.expect("nothing panics")
}

async fn hand_over() {
    const CALLS: u32 = 20_000;
    let pool = tokio::spawn(async {
        let begun = Instant::now();
        for _ in 0..CALLS {
            tokio::task::spawn_blocking(|| ()).await.expect("it ends");
        }
        begun.elapsed() / CALLS
    });
    let pool = pool.await.expect("nothing panics");
    let in_place = tokio::spawn(async {
        let begun = Instant::now();
        for _ in 0..CALLS {
            tokio::task::block_in_place(|| ());
            tokio::task::yield_now().await;
        }
        begun.elapsed() / CALLS
    });
    let in_place = in_place.await.expect("nothing panics");
    println!("hand-over alone: spawn_blocking {pool:?}, block_in_place {in_place:?} a call");
}

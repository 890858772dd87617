//! What partitions bring: the same work with one lane and with two, on two cores, in one run.
//!
//! `cargo bench --bench partitions` (`EVENTS=n`, default 200,000) makes the events in memory, so that
//! decoding them takes no core, and hands them in batches of 1,000 to a partitioned edge in front
//! of the transforms of `pipeline.yaml`: put in order, masked by what is detected, checked. Read the
//! figures as a ratio.

#[path = "../throughput/events.rs"]
mod events;

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tower::ServiceExt;
use trunkline::config::{self, Fixed};
use trunkline::edge::{Edge, EdgePolicy, Tasks};
use trunkline::event::{Batch, EventsBuilder, PathSet, Position, Provenance};
use trunkline::failure::Failure;
use trunkline::graph::Pipeline;
use trunkline::graph::check::check;
use trunkline::graph::run::run;
use trunkline::layer::{Replays, SourceContext, SourcePart};
use trunkline::observe::{NodeKind, Observer};
use trunkline::stage::{Delivery, OpenSource, Source, Stage};
use trunkline::state::Store;

/// Rounds of each measurement; the best counts, since all noise slows down.
const ROUNDS: usize = 3;
const BATCH: usize = 1_000;

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let count = std::env::var("EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(200_000);
    let mut text = Vec::new();
    events::write(count, &mut text).expect("memory takes all");
    let text = String::from_utf8(text).expect("JSON is text");
    println!("{count} events, best of {ROUNDS} rounds, 2 threads");
    // In turn, so that a slower minute of the machine meets both.
    let mut best = [(Duration::MAX, 0.0); 2];
    for _ in 0..ROUNDS {
        for (best, lanes) in best.iter_mut().zip([1, 2]) {
            let (took, cpu) = measure(&text, count, lanes);
            if took < best.0 {
                *best = (took, cpu);
            }
        }
    }
    for ((took, cpu), lanes) in best.iter().zip([1, 2]) {
        let (seconds, millions) = (took.as_secs_f64(), count as f64 / 1e6);
        println!(
            "  {lanes} partitions: {:>10.0} events/s, {:.2} CPU s/M events, {:.2} cores",
            count as f64 / seconds,
            cpu / millions,
            cpu / seconds
        );
    }
    let ratio = best[0].0.as_secs_f64() / best[1].0.as_secs_f64();
    println!("two partitions against one: x {ratio:.2} (goal: 1.8)");
    // On a machine that others use too, this is what two cores of its own could give at most.
    let most = 2.0 * best[0].1 / best[1].1;
    println!("  by CPU time alone: at most x {most:.2} of one core's work");
    split(&text, count);
}

/// What taking batches apart costs, without anything behind it.
fn split(text: &str, count: usize) {
    for lanes in [1, 2, 4, 8] {
        let took = (0..ROUNDS).map(|_| {
            let (_, policy, paths) = compiled(lanes);
            let batches = batches(text, &paths);
            run_on(1, async move {
                let meter = Observer::new("split").node("n", NodeKind::Transform, "x");
                let nothing = tower::service_fn(|batch: Batch| async move {
                    // Freeing events is not what is measured.
                    std::mem::forget(batch);
                    Ok(())
                });
                let policy = EdgePolicy {
                    max_events: usize::MAX,
                    max_bytes: u64::MAX,
                    batch_events: 1,
                    ..policy
                };
                let inners = vec![Stage::new(nothing); lanes];
                let tasks = Tasks::default();
                let edge = Edge::partitioned(inners, policy, meter, &tasks);
                let begun = Instant::now();
                for batch in batches {
                    edge.clone().oneshot(batch).await.expect("nothing fails");
                }
                begun.elapsed()
            })
        });
        let best = took.min().expect("there are rounds");
        let each = best.as_nanos() as f64 / count as f64;
        println!("  through an edge of {lanes} lanes: {each:.0} ns an event");
    }
}

fn run_on<T>(threads: usize, work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("the machine has threads")
        .block_on(work)
}

/// The pipeline with so many partitions, the edge's policy, and all paths.
fn compiled(lanes: usize) -> (Pipeline, EdgePolicy, Arc<PathSet>) {
    let yaml =
        include_str!("pipeline.yaml").replace("partitions: 2", &format!("partitions: {lanes}"));
    let checked = check(&config::parse("pipeline.yaml", &yaml, &Fixed::new()));
    let mut pipeline = checked.pipeline.expect("the pipeline is right");
    let mut paths = PathSet::default();
    let mut intern = |path: &mut trunkline::event::Path| paths.intern(path);
    let mut policy = None;
    for node in &mut pipeline.transforms {
        node.part.paths(&mut intern);
        if let Some(buffer) = &mut node.buffer {
            buffer.paths(&mut intern);
            policy = Some(buffer.clone());
        }
    }
    let policy = policy.expect("the first node has a buffer");
    (pipeline, policy, Arc::new(paths))
}

fn batches(text: &str, paths: &Arc<PathSet>) -> Vec<Batch> {
    let lines: Vec<&str> = text.lines().collect();
    let from: Arc<Provenance> = Arc::default();
    let batch = |lines: &[&str]| {
        let block = lines.join("\n");
        let mut ends: Vec<usize> = memchr::memchr_iter(b'\n', block.as_bytes()).collect();
        ends.push(block.len());
        let mut builder = EventsBuilder::new(block, paths.clone(), from.clone(), ends.len());
        let mut start = 0;
        for end in ends {
            builder
                .push(start, end, Position::default())
                .expect("the events are JSON");
            start = end + 1;
        }
        builder.finish()
    };
    let number = |(number, mut batch): (u64, Batch)| {
        for (index, event) in batch.make_mut().iter_mut().enumerate() {
            event.origin = trunkline::event::Origin::new(number, index);
        }
        batch
    };
    (1..)
        .zip(lines.chunks(BATCH).map(batch))
        .map(number)
        .collect()
}

/// CPU seconds of this process so far. A tick is 10 ms on every Linux there is (USER_HZ).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    // utime and stime: the 14th and 15th field of proc(5), of which two are before this.
    let ticks = after_name.split(' ').skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// One run of the whole pipeline, from the first batch that its source hands over.
fn measure(text: &str, count: usize, lanes: usize) -> (Duration, f64) {
    let (mut pipeline, ..) = compiled(lanes);
    let begun = Arc::new(OnceLock::new());
    pipeline.sources[0].part = Box::new(Prepared {
        text: text.to_owned(),
        begun: begun.clone(),
    });
    run_on(2, async move {
        let observer = Observer::new("partitions");
        // In a task, as the binary does it.
        let run = {
            let observer = observer.clone();
            tokio::spawn(async move {
                run(pipeline, &observer, Store::memory(), std::future::pending()).await
            })
        };
        run.await.expect("nothing panics").expect("nothing fails");
        let (at, before) = begun.get().expect("the source was asked");
        let measured = (at.elapsed(), cpu_seconds() - before);
        // A run that lost events is no run.
        assert_eq!(observer.ledger().whole.delivered, count as u64);
        measured
    })
}

/// A source whose events are parsed before the clock starts.
struct Prepared {
    text: String,
    begun: Arc<OnceLock<(Instant, f64)>>,
}

impl SourcePart for Prepared {
    fn replays(&self) -> Replays {
        Replays::Gone("it is a benchmark")
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let batches = batches(&self.text, &context.paths);
        let ready = Mutex::new(Some(Ready {
            batches: batches.into_iter(),
            begun: self.begun,
        }));
        Box::new(move || {
            let ready = ready.lock().expect("nobody panics").take();
            let source: Box<dyn Source> = Box::new(ready.expect("it is opened once"));
            Box::pin(std::future::ready(Ok(source)))
        })
    }
}

struct Ready {
    batches: std::vec::IntoIter<Batch>,
    begun: Arc<OnceLock<(Instant, f64)>>,
}

impl Source for Ready {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        self.begun.get_or_init(|| (Instant::now(), cpu_seconds()));
        let next = self.batches.next().map(Delivery::new);
        Box::pin(std::future::ready(Ok(next)))
    }
}

//! What it costs that somebody could look: events through a gate and an output with their taps, and
//! without.
//!
//! `cargo bench --bench taps -- [events a batch]` (1 and 1,000 unless it says so) hands batches to an output
//! that leads to a gate with a node behind it that answers at once: nothing else is done, so every share
//! is larger here than in any pipeline. Without taps, with taps at which nobody looks, and with somebody
//! who looks at ten events a second. Rounds of the three take turns; the best of each counts, since all
//! noise slows down.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use tower::{Service, ServiceExt};
use trunkline::event::{Batch, Event};
use trunkline::layer::{Consumers, Gate, Output};
use trunkline::observe::{NodeKind, Observer, TapAsk, TapPolicy};
use trunkline::stage::Stage;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
/// Batches of a round.
const BATCHES: usize = 50_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only asks whether it builds and starts.
    if words.iter().any(|word| word == "--test") {
        return;
    }
    let sizes: Vec<usize> = words.iter().filter_map(|it| it.parse().ok()).collect();
    let sizes = if sizes.is_empty() {
        vec![1, 1_000]
    } else {
        sizes
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be started");
    for size in sizes {
        runtime.block_on(compare(size));
    }
}

async fn compare(size: usize) {
    let event = |id| Event::parse(format!("{{\"id\":{id}}}"), &Arc::default(), &Arc::default());
    let batch: Batch = (0..size).map(|id| event(id).expect("it is JSON")).collect();
    let batches = BATCHES / size.isqrt().max(1);
    let mut best = [f64::INFINITY; 3];
    for _ in 0..ROUNDS {
        for (at, (tapped, looked)) in [(false, false), (true, false), (true, true)]
            .into_iter()
            .enumerate()
        {
            let took = round(&batch, batches, tapped, looked).await;
            best[at] = best[at].min(took);
        }
    }
    let [bare, quiet, looked] = best;
    println!("batches of {size}: nanoseconds a batch, best of {ROUNDS} rounds of {batches}");
    println!("  without taps                {bare:9.1}");
    for (what, took) in [
        ("taps, nobody looks", quiet),
        ("taps, ten events a second", looked),
    ] {
        println!(
            "  {what:27} {took:9.1}  {:.3} of it, {:+.2} ns",
            took / bare,
            took - bare
        );
    }
}

/// Nanoseconds a batch.
async fn round(batch: &Batch, batches: usize, tapped: bool, looked: bool) -> f64 {
    let observer = Observer::new("taps");
    let taps = observer.taps();
    let end = Stage::new(tower::service_fn(|batch: Batch| {
        black_box(batch.len());
        std::future::ready(Ok(()))
    }));
    let (gate, consumers) = match tapped {
        true => (Gate::tapped(taps.entrance("end")), Consumers::default()),
        false => (Gate::closed(), Consumers::default()),
    };
    gate.open_to(end);
    consumers.set(vec![gate]);
    let output = Output::to(consumers, observer.node("in", NodeKind::Source, "bench"));
    let mut output = match tapped {
        true => output.tapped(taps.out_of("in", "")),
        false => output,
    };
    let looking = looked.then(|| {
        taps.allow(TapPolicy::Unmasked);
        let look = taps.look(&TapAsk {
            nodes: vec!["*".to_owned()],
            side: None,
            rate: 10,
            unmasked: true,
            allowed: TapPolicy::Unmasked,
        });
        let (lines, mut read) = tokio::sync::mpsc::channel::<bytes::Bytes>(256);
        tokio::spawn(async move { while read.recv().await.is_some() {} });
        let look = look.expect("it may look");
        tokio::spawn(async move { look.write(lines, || false).await })
    });
    tokio::task::yield_now().await;
    let from = Instant::now();
    for _ in 0..batches {
        let output = output.ready().await.expect("it is ready");
        output
            .call(black_box(batch.clone()))
            .await
            .expect("it is taken");
    }
    let took = from.elapsed();
    if let Some(looking) = looking {
        looking.abort();
    }
    took.as_secs_f64() * 1e9 / batches as f64
}

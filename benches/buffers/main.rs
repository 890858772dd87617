//! What a disk buffer costs, measured in one run on one disk: read the figures as ratios.
//!
//! `cargo bench --bench buffers` (or `EVENTS=n`):
//!
//! 1. the real binary through the pipeline of `benches/pipelines/c.yaml` with a memory edge in
//!    front of the sink, then with a disk edge, at batches of 1,000 events;
//! 2. a journal alone, for batches of 1 to 1,000 events from 64 callers at a time: events and
//!    fsyncs a second, which is what group commit is about;
//! 3. reading back what was written, as a start after a crash does.

#[path = "../throughput/events.rs"]
mod events;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tower::Service;
use trunkline::event::{Batch, Event, PathSet};
use trunkline::journal::{Journal, Policy};
use trunkline::observe::{NodeKind, Observer};
use trunkline::stage::Source;

/// Rounds of each pipeline; the best counts, since all noise slows down.
const ROUNDS: usize = 3;
/// Batches under way at the same time.
const CALLERS: usize = 64;
/// How long each journal is written to.
const LONG: Duration = Duration::from_secs(2);

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let count = std::env::var("EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("buffers");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let input = folder.join("events.ndjson");
    let file = File::create(&input).expect("the target folder can be written");
    let bytes = events::write(count, &mut BufWriter::with_capacity(1 << 20, file));
    let bytes = bytes.expect("the disk has room for the events");
    println!(
        "{count} events, {:.0} bytes on average",
        bytes as f64 / count as f64
    );
    edges(&input, &folder, count);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    runtime.block_on(async {
        let sample = sample(&input);
        group_commit(&folder, &sample).await;
        replay(&folder, &sample, count).await;
    });
    let _ = fs::remove_dir_all(&folder);
}

fn edges(input: &Path, folder: &Path, count: usize) {
    println!("\n1. pipeline c, batches of 1,000, best of {ROUNDS}");
    let rates = ["c-memory.yaml", "c-disk.yaml"].map(|file| {
        let rates = (0..ROUNDS).map(|_| pipeline(input, file, folder, count));
        let best = rates.fold(0.0, f64::max);
        println!("   {file:<16} {best:>10.0} events/s");
        best
    });
    println!(
        "   disk edge / memory edge: {:.2} (goal 0.50)",
        rates[1] / rates[0]
    );
}

fn pipeline(input: &Path, file: &str, folder: &Path, count: usize) -> f64 {
    let yaml = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/pipelines")
        .join(file);
    let (buffer, summary) = (folder.join("buffer"), folder.join("summary.json"));
    let _ = fs::remove_dir_all(&buffer);
    let from = Instant::now();
    let status = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["run", "--log-level", "warn", "--summary"])
        .arg(&summary)
        .arg(&yaml)
        .env("BUFFER", &buffer)
        .stdin(File::open(input).expect("the events were just written"))
        .stderr(Stdio::null())
        .status()
        .expect("the binary was built with the benchmark");
    let took = from.elapsed();
    assert!(status.success(), "{file} failed");
    // A run that lost events is no run.
    let text = fs::read_to_string(&summary).expect("the run writes a summary");
    let ledger: serde_json::Value = serde_json::from_str(&text).expect("the summary is JSON");
    assert_eq!(ledger["whole"]["received"], count, "{ledger}");
    assert_eq!(ledger["whole"]["held"], 0, "{ledger}");
    count as f64 / took.as_secs_f64()
}

/// A thousand events.
fn sample(input: &Path) -> Batch {
    let (paths, from) = (Arc::new(PathSet::default()), Arc::default());
    let text = fs::read_to_string(input).expect("the events were just written");
    let parse = |line: &str| Event::parse(line.into(), &paths, &from).expect("it is JSON");
    text.lines().take(1_000).map(parse).collect()
}

fn open(folder: &Path, name: &str) -> Journal {
    let meter = Observer::new("bench").node("buffer", NodeKind::Buffer, "disk");
    let policy = Policy {
        max_size: 64 << 30,
        ..Policy::default()
    };
    let opened = Journal::open(&folder.join(name), policy, None, meter, |_| Ok(None));
    opened.expect("the target folder can be written")
}

async fn group_commit(folder: &Path, sample: &Batch) {
    println!("\n2. a journal alone, {CALLERS} callers for {LONG:?} each");
    println!(
        "   {:>6} {:>12} {:>9} {:>14} {:>9}",
        "batch", "events/s", "fsyncs/s", "events a fsync", "MB/s"
    );
    for size in [1, 10, 100, 1_000] {
        let name = format!("group-{size}");
        let journal = open(folder, &name);
        let batch: Batch = sample.events()[..size].iter().cloned().collect();
        let mut entrance = journal.entrance();
        let reading = tokio::spawn(read(journal.clone(), usize::MAX));
        let (mut calls, from) = (FuturesUnordered::new(), Instant::now());
        while from.elapsed() < LONG {
            while calls.len() < CALLERS {
                calls.push(entrance.call(batch.clone()));
            }
            calls
                .next()
                .await
                .expect("there are calls")
                .expect("the disk takes it");
        }
        while let Some(answer) = calls.next().await {
            answer.expect("the disk takes it");
        }
        let (took, stats) = (from.elapsed().as_secs_f64(), journal.stats());
        println!(
            "   {size:>6} {:>12.0} {:>9.0} {:>14.0} {:>9.0}",
            stats.events as f64 / took,
            stats.syncs as f64 / took,
            stats.events as f64 / stats.syncs as f64,
            stats.bytes as f64 / took / 1e6,
        );
        drop(entrance);
        reading.await.expect("the reader ends");
        drop(journal);
        let _ = fs::remove_dir_all(folder.join(name));
    }
}

/// Reads and settles until the journal is closed, or this many events.
async fn read(journal: Journal, most: usize) -> usize {
    let mut outlet = journal.outlet(Arc::new(PathSet::default()));
    let mut events = 0;
    while events < most
        && let Some(delivery) = outlet.next().await.expect("the disk is read")
    {
        events += delivery.batch.len();
        delivery.settle.run(Ok(())).await;
    }
    events
}

async fn replay(folder: &Path, sample: &Batch, count: usize) {
    let count = count / 1_000 * 1_000;
    let journal = open(folder, "replay");
    let mut entrance = journal.entrance();
    let mut calls = FuturesUnordered::new();
    for _ in 0..count / 1_000 {
        calls.push(entrance.call(sample.clone()));
        if calls.len() == CALLERS {
            calls
                .next()
                .await
                .expect("there are calls")
                .expect("the disk takes it");
        }
    }
    while let Some(answer) = calls.next().await {
        answer.expect("the disk takes it");
    }
    drop((calls, entrance, journal));
    let journal = open(folder, "replay");
    let from = Instant::now();
    let events = read(journal.clone(), count).await;
    let took = from.elapsed().as_secs_f64();
    assert_eq!(events, count);
    println!(
        "\n3. replay of {count} events after a restart: {:.0} events/s",
        count as f64 / took
    );
}

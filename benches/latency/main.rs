//! How long an event is under way at 10,000 events a second, without and with a disk buffer.
//!
//! `cargo bench --bench latency` (or `SECONDS=n`) hands ten events over each millisecond, and notes
//! for each how long it took until the sink was asked to write it: through dedup with durable
//! state, masks and a schema, with a commit for every delivery. The clock of an event starts when
//! it is handed over, whether or not the pipeline is ready for it. Both runs are of one machine and
//! one disk, whose fsync is measured beside them: read the figures against each other.

#[path = "../throughput/events.rs"]
mod events;
mod parts;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use trunkline::config::{self, Variables};
use trunkline::graph::Pipeline;
use trunkline::graph::check::check;
use trunkline::graph::run::{open_store, run};
use trunkline::observe::Observer;

use parts::{Clock, Ends};

/// Events of one step.
const STEP_EVENTS: usize = 10;
const STEP: Duration = Duration::from_millis(1);
/// Steps at the start that are not counted: files are made, memory is touched for the first time.
const WARM_UP: usize = 1_000;

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let seconds = std::env::var("SECONDS").ok().and_then(|n| n.parse().ok());
    let steps = seconds.unwrap_or(15) * 1_000;
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("latency");
    let chunks = chunks(steps + WARM_UP);
    println!(
        "{} events at {} a second\n",
        chunks.len() * STEP_EVENTS,
        STEP_EVENTS as u128 * 1_000_000_000 / STEP.as_nanos()
    );
    println!(
        "{:<24} {:>9} {:>9} {:>9} {:>9}   goal for p99",
        "ms", "p50", "p90", "p99", "most"
    );
    print("fsync of 6 KiB alone", fsyncs(&folder), None);
    for (name, buffer, goal) in [
        ("without a disk edge", "memory", 5.0),
        ("with a disk edge", "disk", 20.0),
    ] {
        let took = measure(&folder, buffer, &chunks);
        print(name, took, Some(goal));
    }
    let _ = fs::remove_dir_all(&folder);
}

/// The events of each step as lines; each event says its number.
fn chunks(steps: usize) -> Vec<String> {
    let mut text = Vec::new();
    events::write(steps * STEP_EVENTS, &mut text).expect("memory takes all");
    let text = String::from_utf8(text).expect("it is JSON");
    let lines: Vec<&str> = text.lines().collect();
    let numbered = |(n, line): (usize, &str)| format!("{{\"n\":{n},{}", &line[1..]);
    let numbered: Vec<String> = lines.into_iter().enumerate().map(numbered).collect();
    numbered
        .chunks(STEP_EVENTS)
        .map(|lines| lines.join("\n"))
        .collect()
}

/// Where the pipeline file's variables come from.
struct Given<'a> {
    folder: &'a Path,
    buffer: &'a str,
}

impl Variables for Given<'_> {
    fn get(&self, name: &str) -> Option<String> {
        match name {
            "FOLDER" => Some(self.folder.display().to_string()),
            "BUFFER" => Some(self.buffer.into()),
            _ => None,
        }
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn pipeline(folder: &Path, buffer: &str) -> Pipeline {
    let text = include_str!("pipeline.yaml");
    let loaded = config::parse("pipeline.yaml", text, &Given { folder, buffer });
    let checked = check(&loaded);
    let told: Vec<String> = checked.report.iter().map(|f| f.message.clone()).collect();
    checked.pipeline.unwrap_or_else(|| panic!("{told:?}"))
}

/// How long each event took, in a run of its own.
fn measure(folder: &Path, buffer: &str, chunks: &[String]) -> Vec<Duration> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("the target folder can be written");
    let mut pipeline = pipeline(folder, buffer);
    let clock = Arc::new(Clock::new(chunks.len() * STEP_EVENTS));
    let (ends, sender) = Ends::new(clock.clone());
    pipeline.sources[0].part = Box::new(ends.source);
    pipeline.sinks[0].part = Box::new(ends.sink);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    let observer = Observer::new("latency");
    std::thread::scope(|scope| {
        scope.spawn(|| feed(sender, chunks, &clock));
        runtime.block_on(async {
            let store = open_store(&pipeline).await.expect("the folder is there");
            let outcome = run(pipeline, &observer, store, std::future::pending()).await;
            outcome.expect("nothing fails");
        });
    });
    // A run that lost events is no run.
    let ledger = observer.ledger();
    assert_eq!(ledger.adds_up(), Ok(()));
    assert_eq!(ledger.whole.received, (chunks.len() * STEP_EVENTS) as u64);
    assert_eq!(ledger.whole.dead_lettered_total(), 0);
    clock.took(WARM_UP * STEP_EVENTS)
}

/// Hands each step over at its time, whether or not the steps before it were taken.
fn feed(to: UnboundedSender<String>, chunks: &[String], clock: &Clock) {
    let from = Instant::now();
    for (step, chunk) in (0_u32..).zip(chunks) {
        let due = from + STEP * step;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let first = step as usize * STEP_EVENTS;
        (first..first + STEP_EVENTS).for_each(|n| clock.handed_over(n));
        to.send(chunk.clone()).expect("the pipeline runs");
    }
}

/// What the disk under it all takes for one step's events.
fn fsyncs(folder: &Path) -> Vec<Duration> {
    fs::create_dir_all(folder).expect("the target folder can be written");
    let mut file = File::create(folder.join("fsync")).expect("the target folder can be written");
    let write = |_| {
        let from = Instant::now();
        let written = file
            .write_all(&[7; 6 << 10])
            .and_then(|()| file.sync_data());
        written.expect("the disk has room");
        from.elapsed()
    };
    (0..500).map(write).collect()
}

fn print(name: &str, mut took: Vec<Duration>, goal: Option<f64>) {
    took.sort();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        took[place.min(took.len() - 1)].as_secs_f64() * 1e3
    };
    let p99 = at(0.99);
    let goal = goal.map_or(String::new(), |goal| {
        let met = if p99 < goal { "met" } else { "not met" };
        format!("below {goal}: {met}")
    });
    let (p50, p90, most) = (at(0.5), at(0.9), at(1.0));
    println!("{name:<24} {p50:>9.2} {p90:>9.2} {p99:>9.2} {most:>9.2}   {goal}");
}

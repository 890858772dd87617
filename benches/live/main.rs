//! The live pipeline at rates that rise: from the frames of a simulated Genesys Cloud on a socket
//! to the points at a server.
//!
//! `cargo bench --bench live` runs the platform and the server of line protocol in this process,
//! each on threads of its own, and the real binary with `benches/pipelines/live.yaml` as a child,
//! anew for each rate: 10,000 frames a second for a minute, then higher rates for ten seconds each
//! until one is not held. `RATES=10000,20000` and `SECONDS=5` (for all of them) make it shorter.
//!
//! Read CPU seconds before rates: they stay what they are when other work shares the machine. A rate
//! that is not held ends as it would with the platform: who does not read is cut off.
//!
//! A rate is held when the platform never found the client's socket gone or cut it off, the last
//! point is written less than two seconds after the platform fell silent, and memory stays below a
//! bound that does not depend on the rate. Platform, pipeline and server share the machine.

mod process;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use process::{Pipeline, threads_cpu};
use serde_json::Value;
use server::Written;
use tokio::runtime::{Builder, Runtime};
use trunkline::client::http;
use trunkline::simulator::{Config, Control, Counts, Simulator};

/// Frames a second, and for how long.
const STEPS: [(f64, u64); 6] = [
    (10_000.0, 60),
    (15_000.0, 10),
    (20_000.0, 10),
    (30_000.0, 10),
    (40_000.0, 10),
    (50_000.0, 10),
];
/// Conversations open at once.
const OPEN: u32 = 50_000;
/// Longest delay of the last point, in a rate that is held.
const MAX_LAG: Duration = Duration::from_secs(2);
/// Most memory of the pipeline, in a rate that is held.
const MAX_MEMORY: u64 = 1 << 30;
/// For everything to be written at the end.
const DRAIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

const PLATFORM: &str = "platform";
const INFLUX: &str = "influx";

/// What one rate came to.
struct Outcome {
    rate: f64,
    seconds: f64,
    told: Counts,
    ledger: Value,
    points: u64,
    point_bytes: u64,
    requests: u64,
    lag: Duration,
    /// CPU seconds of the pipeline, the platform and the server.
    cpu: [f64; 3],
    memory: u64,
}

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("live");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let (platform, influx) = (threads(PLATFORM, 2), threads(INFLUX, 1));
    println!(
        "{:>9} {:>7} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9} {:>7} {:>6} {:>6} {:>6} {:>9}  held",
        "frames/s",
        "made/s",
        "delivered",
        "no_socket",
        "events",
        "repeats",
        "points",
        "MB/s in",
        "lag",
        "CPU s",
        "platf.",
        "server",
        "peak"
    );
    let mut held = None;
    for (rate, seconds) in steps() {
        let outcome = measure(&folder, &platform, &influx, rate, seconds);
        outcome.print();
        if !outcome.is_held() {
            break;
        }
        held = Some(outcome);
    }
    match held {
        Some(outcome) => outcome.summary(),
        None => println!("\nno rate was held"),
    }
    let _ = fs::remove_dir_all(folder);
}

fn steps() -> Vec<(f64, u64)> {
    let of = |name: &str| std::env::var(name).ok();
    let seconds: Option<u64> = of("SECONDS").and_then(|text| text.parse().ok());
    let mut steps = STEPS.to_vec();
    if let Some(rates) = of("RATES") {
        let rates = rates.split(',').filter_map(|rate| rate.parse().ok());
        steps = rates.map(|rate| (rate, 10)).collect();
    }
    let of_all = |(rate, its)| (rate, seconds.unwrap_or(its));
    steps.into_iter().map(of_all).collect()
}

fn threads(name: &str, count: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder
        .worker_threads(count)
        .thread_name(name)
        .enable_all()
        .build()
        .expect("threads can be started")
}

fn measure(
    folder: &Path,
    platform: &Runtime,
    influx: &Runtime,
    rate: f64,
    seconds: u64,
) -> Outcome {
    let config = Config {
        rate,
        conversations: Some(OPEN),
        paused: true,
        oracle_kept: 0,
        ..Config::default()
    };
    let simulator = platform.block_on(Simulator::start(config));
    let simulator = simulator.expect("loopback has a port");
    let (address, written) = server::start(influx);
    let pipeline = Pipeline::start(folder, &simulator.url(), address);
    let (control, api) = (simulator.control(), Api::new());
    wait("a socket", || control.counts().sockets > 0);
    // The source says that it works once its socket has answered.
    wait("the pipeline", || api.ledger(&pipeline).is_some());
    std::thread::sleep(Duration::from_millis(500));

    let before = costs(&pipeline);
    control.resume();
    std::thread::sleep(Duration::from_secs(seconds));
    control.pause();
    let silent = Instant::now();
    let lag = drain(&control, &pipeline, &api, &written, silent);
    let after = costs(&pipeline);
    let memory = pipeline.peak().unwrap_or(u64::MAX);
    let told = control.counts();
    let ledger = pipeline.stop();
    platform.block_on(simulator.stop());
    let [requests, points, point_bytes] = written.so_far();
    Outcome {
        rate,
        seconds: seconds as f64,
        told,
        ledger,
        points,
        point_bytes,
        requests,
        lag,
        cpu: std::array::from_fn(|at| after[at] - before[at]),
        memory,
    }
}

fn costs(pipeline: &Pipeline) -> [f64; 3] {
    [pipeline.cpu(), threads_cpu(PLATFORM), threads_cpu(INFLUX)]
}

fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let from = Instant::now();
    while !done() {
        assert!(from.elapsed() < DRAIN, "{what} does not come");
        std::thread::sleep(POLL);
    }
}

/// Waits until all that was told has come and nothing is under way; when the last point was written.
fn drain(
    control: &Control,
    pipeline: &Pipeline,
    api: &Api,
    written: &Arc<Written>,
    silent: Instant,
) -> Duration {
    let (mut last, mut lag) = (written.so_far(), Duration::ZERO);
    wait("the end", || {
        let now = written.so_far();
        if now != last {
            (last, lag) = (now, silent.elapsed());
        }
        let Some(ledger) = api.ledger(pipeline) else {
            return false;
        };
        let told = control.counts();
        let is_all = count(&ledger["whole"]["received"]) >= told.delivered;
        told.waiting == 0 && is_all && ledger["whole"]["held"] == 0
    });
    // What was written between the last look and the answer.
    if written.so_far() != last {
        lag = silent.elapsed();
    }
    lag
}

/// Reads the ledger of the running pipeline.
struct Api {
    runtime: Runtime,
    client: reqwest::Client,
}

impl Api {
    fn new() -> Self {
        Self {
            runtime: threads("api", 1),
            client: http::client(Duration::from_secs(5)).expect("it needs nothing"),
        }
    }

    fn ledger(&self, pipeline: &Pipeline) -> Option<Value> {
        let read = async {
            let answer = self.client.get(pipeline.ledger()).send().await.ok()?;
            answer.json().await.ok()
        };
        self.runtime.block_on(read)
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

impl Outcome {
    fn node(&self, name: &str) -> &Value {
        let nodes = self.ledger["nodes"].as_array();
        let mut nodes = nodes.into_iter().flatten();
        nodes
            .find(|node| node["name"] == name)
            .unwrap_or(&Value::Null)
    }

    /// Participant events that the normaliser made, and how many of them `dedup` dropped.
    fn events(&self) -> (u64, u64) {
        let dropped = self.node("unique")["dropped"].as_object();
        let dropped = dropped.into_iter().flat_map(|reasons| reasons.values());
        (
            count(&self.node("unique")["received"]),
            dropped.map(count).sum(),
        )
    }

    fn is_held(&self) -> bool {
        // Frames that were never made were not held either.
        let is_made = self.told.steps as f64 >= 0.97 * self.rate * self.seconds;
        let is_heard = self.told.no_socket == 0 && self.told.unknown == 0;
        let is_kept = count(&self.node("genesys")["received"]) >= self.told.delivered;
        is_made
            && is_heard
            && is_kept
            && self.told.cut_off == 0
            && self.lag < MAX_LAG
            && self.memory < MAX_MEMORY
    }

    fn print(&self) {
        let (events, repeats) = self.events();
        let bytes = count(&self.node("genesys")["bytes_received"]);
        println!(
            "{:>9.0} {:>7.0} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9.1} {:>6.2}s {:>6.1} {:>6.1} {:>6.1} {:>5} MiB  {}",
            self.rate,
            self.told.frames as f64 / self.seconds,
            self.told.delivered,
            self.told.no_socket,
            events,
            repeats,
            self.points,
            bytes as f64 / self.seconds / 1e6,
            self.lag.as_secs_f64(),
            self.cpu[0],
            self.cpu[1],
            self.cpu[2],
            self.memory >> 20,
            if self.is_held() { "yes" } else { "no" },
        );
    }

    fn summary(&self) {
        let (events, repeats) = self.events();
        let frames = self.told.delivered as f64;
        println!(
            "\nheld: {:.0} frames/s of {:.0} bytes; {:.1} participant events of a frame, of which {:.1} \
             were told before; {:.1} s of CPU for a million frames; {} requests of {:.0} points and {:.0} kB",
            self.rate,
            count(&self.node("genesys")["bytes_received"]) as f64 / frames,
            events as f64 / frames,
            repeats as f64 / frames,
            self.cpu[0] / frames * 1e6,
            self.requests,
            self.points as f64 / self.requests as f64,
            self.point_bytes as f64 / self.requests as f64 / 1e3,
        );
    }
}

//! How fast the real binary is, against a floor measured in the same run.
//!
//! `cargo bench --bench throughput` makes a million events (or `EVENTS=n`), measures the floor on
//! one core (parse with sonic-rs and serialise again), then feeds the events to the binary's
//! standard input through each pipeline of `benches/pipelines` (`ONLY=c.yaml,e.yaml` for some).
//! Points go to a server in this process, whose time is not in the figures of the binary but is
//! taken from the same cores. All figures are of one run on one machine: read them as ratios.

mod events;
mod server;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use server::Server;
use trunkline::event::{Event, EventsBuilder, PathSet, Position, Provenance};

/// Rounds of each measurement; the best counts, since all noise slows down.
const ROUNDS: usize = 3;

struct Figure {
    name: String,
    rate: f64,
    cpu: f64,
    memory: Option<u64>,
}

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let count = std::env::var("EVENTS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1_000_000);
    let only = std::env::var("ONLY").ok();
    let only: Option<Vec<&str>> = only.as_ref().map(|files| files.split(',').collect());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let input = folder.join(format!("events-{count}.ndjson"));
    make(&input, count);
    let text = fs::read_to_string(&input).expect("the events were just written");
    let mut figures = vec![
        best("floor: sonic-rs parse + serialise, 1 core", || {
            floor(&text, count)
        }),
        best("trunkline: index + serialise, 1 core", || {
            index(&text, count)
        }),
    ];
    drop(text);
    let server = Server::start();
    for (name, file) in [
        ("a  decode -> blackhole", "a.yaml"),
        (
            "c  decode, 11 checks, 2 masks, 1 drop, dedup -> blackhole",
            "c.yaml",
        ),
        ("c' the same with causal_reorder", "c-ordered.yaml"),
        ("d  c -> file of JSON lines", "d.yaml"),
        ("e  c -> line protocol, 1 MB requests over HTTP", "e.yaml"),
        ("e' the same with gzip", "e-gzip.yaml"),
    ] {
        if only.as_ref().is_some_and(|only| !only.contains(&file)) {
            continue;
        }
        figures.push(best(name, || {
            pipeline(&input, file, (&folder, &server), count)
        }));
    }
    print(&figures, count);
}

fn make(input: &Path, count: usize) {
    let file = File::create(input).expect("the target folder can be written");
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let bytes = events::write(count, &mut out).expect("the disk has room for the events");
    println!(
        "{count} events, {:.1} bytes on average, {}",
        bytes as f64 / count as f64,
        input.display()
    );
}

fn best(name: &str, mut measure: impl FnMut() -> Figure) -> Figure {
    let figures = (0..ROUNDS).map(|_| measure());
    let best = figures
        .max_by(|a, b| a.rate.total_cmp(&b.rate))
        .expect("there are rounds");
    println!("  {name}: {:.0} events/s", best.rate);
    Figure {
        name: name.into(),
        ..best
    }
}

fn figure(count: usize, took: Duration, cpu: f64, memory: Option<u64>) -> Figure {
    let millions = count as f64 / 1e6;
    Figure {
        name: String::new(),
        rate: count as f64 / took.as_secs_f64(),
        cpu: cpu / millions,
        memory,
    }
}

fn floor(text: &str, count: usize) -> Figure {
    let from = Instant::now();
    let mut out = Vec::with_capacity(1024);
    for line in text.lines() {
        let value: sonic_rs::Value = sonic_rs::from_str(line).expect("the events are JSON");
        out.clear();
        sonic_rs::to_writer(&mut out, &value).expect("memory takes all");
        black_box(&out);
    }
    let took = from.elapsed();
    figure(count, took, took.as_secs_f64(), None)
}

fn index(text: &str, count: usize) -> Figure {
    let (paths, from) = (
        Arc::new(PathSet::default()),
        Arc::new(Provenance::default()),
    );
    let blocks: Vec<String> = text
        .lines()
        .collect::<Vec<_>>()
        .chunks(1000)
        .map(|lines| lines.join("\n"))
        .collect();
    let begun = Instant::now();
    let mut out = Vec::with_capacity(1 << 20);
    for block in blocks {
        let ends: Vec<usize> = memchr::memchr_iter(b'\n', block.as_bytes())
            .chain([block.len()])
            .collect();
        let mut builder = EventsBuilder::new(block, paths.clone(), from.clone(), ends.len());
        let mut start = 0;
        for end in ends {
            builder
                .push(start, end, Position::default())
                .expect("the events are JSON");
            start = end + 1;
        }
        out.clear();
        for event in builder.finish().events() {
            Event::write_json(event, &mut out);
        }
        black_box(&out);
    }
    let took = begun.elapsed();
    figure(count, took, took.as_secs_f64(), None)
}

fn pipeline(input: &Path, file: &str, (folder, server): (&Path, &Server), count: usize) -> Figure {
    let yaml = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/pipelines")
        .join(file);
    let out = folder.join("out.ndjson");
    let _ = fs::remove_file(&out);
    let summary = folder.join("summary.json");
    let cpu = children_seconds();
    let from = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["run", "--log-level", "warn", "--summary"])
        .arg(&summary)
        .arg(&yaml)
        .env("OUT", &out)
        .env("INFLUX_URL", server.url())
        .stdin(File::open(input).expect("the events were just written"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary was built with the benchmark");
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak_bytes(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().expect("the child is ours") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let took = from.elapsed();
    assert!(status.success(), "{file} failed");
    check(&summary, count, server);
    let _ = fs::remove_file(&out);
    figure(count, took, children_seconds() - cpu, Some(memory))
}

/// A run that lost events is no run. Lines that were not compressed are counted by the server, too.
fn check(summary: &Path, count: usize, server: &Server) {
    let text = fs::read_to_string(summary).expect("the run writes a summary");
    let ledger: serde_json::Value = serde_json::from_str(&text).expect("the summary is JSON");
    assert_eq!(ledger["whole"]["received"], count, "{ledger}");
    let (requests, bytes, lines) = server.taken();
    if let Some(each) = bytes.checked_div(requests) {
        println!("    {requests} requests of {each} bytes on average");
    }
    if lines > 0 {
        assert_eq!(ledger["whole"]["delivered"], lines, "{ledger}");
    }
}

/// CPU seconds of all children that have ended.
fn children_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    // cutime and cstime: the 16th and 17th field of proc(5), here counted from the state's.
    let ticks = |n: usize| {
        fields
            .get(n)
            .and_then(|t| t.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    // A tick is 10 ms on every Linux there is (USER_HZ).
    (ticks(13) + ticks(14)) / 100.0
}

fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

fn print(figures: &[Figure], count: usize) {
    let floor = figures[0].rate;
    println!("\n{count} events, best of {ROUNDS}\n");
    println!(
        "{:<62} {:>10} {:>9} {:>10} {:>9}",
        "", "events/s", "x floor", "CPU s/M", "peak"
    );
    for Figure {
        name,
        rate,
        cpu,
        memory,
    } in figures
    {
        let memory = memory.map_or("-".into(), |bytes| format!("{} MiB", bytes >> 20));
        println!(
            "{name:<62} {rate:>10.0} {:>9.2} {cpu:>10.2} {memory:>9}",
            rate / floor
        );
    }
}

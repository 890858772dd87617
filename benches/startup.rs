//! How soon the binary is there: from the start of the process to an answer.
//!
//! `cargo bench --bench startup` starts the release binary again and again and shows the middle and the
//! slowest twentieth: an empty command (what the process itself costs), `validate` of the shipped pipelines
//! and of a file of 500 lines, and `run` until `/health/ready` answers 200 and until a pipeline without
//! input has ended. `RUNS=20` makes it shorter.

#[path = "../tests/kit/ports.rs"]
mod ports;

use std::fmt::Write;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks whether it is ready.
const LOOK: Duration = Duration::from_micros(500);

fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let said = std::env::var("RUNS").ok().and_then(|it| it.parse().ok());
    let runs: usize = said.unwrap_or(60);
    let folder = tempfile::tempdir().expect("a folder");
    let long = folder.path().join("long.yaml");
    std::fs::write(&long, long_pipeline()).expect("it can be written");
    let lines = long_pipeline().lines().count();
    println!(
        "{:<46} {:>9} {:>9}",
        format!("{runs} runs each, ms"),
        "p50",
        "p95"
    );
    show("trunkline --version", runs, || timed(&["--version"]));
    for name in [
        "quickstart",
        "participant-sync",
        "export-to-warehouse",
        "outbound-messages",
    ] {
        let file = format!("pipelines/{name}.yaml");
        show(&format!("validate {file}"), runs, || {
            timed(&["validate", &file])
        });
    }
    let file = long.display().to_string();
    show(&format!("validate, {lines} lines"), runs, || {
        timed(&["validate", &file])
    });
    let empty = folder.path().join("empty.yaml");
    show("run to its end, nothing to read", runs, || ended(&empty));
    let serving = folder.path().join("serving.yaml");
    show("run until it is ready", runs, || ready(&serving));
}

/// Runs a command to its good end.
fn timed(arguments: &[&str]) -> Duration {
    let from = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(arguments)
        .output();
    let output = output.expect("the binary starts");
    let took = from.elapsed();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    took
}

fn ended(file: &Path) -> Duration {
    let text = "version: 1\nname: empty\nstate: { type: memory }\ndead_letter: { type: blackhole }\n\
                sources: { in: { type: stdin } }\nsinks: { out: { type: blackhole, inputs: [in] } }\n";
    std::fs::write(file, text).expect("it can be written");
    let from = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    let command = command.arg("run").arg(file).stdin(Stdio::null());
    let output = command.output().expect("the binary starts");
    let took = from.elapsed();
    assert!(output.status.success(), "{output:?}");
    took
}

/// Until the interface says that all sources are pulled.
fn ready(file: &Path) -> Duration {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let text = format!(
        "version: 1\nname: serving\nstate: {{ type: memory }}\napi: {{ address: \"{address}\" }}\n\
         dead_letter: {{ type: blackhole }}\nsources: {{ in: {{ type: stdin }} }}\n\
         sinks: {{ out: {{ type: blackhole, inputs: [in] }} }}\n"
    );
    std::fs::write(file, text).expect("it can be written");
    let from = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .arg("run")
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let is_ready = || {
        let mut stream = TcpStream::connect(address).ok()?;
        let ask = "GET /health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(ask.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    while is_ready().is_none() {
        assert!(
            from.elapsed() < Duration::from_secs(30),
            "it is never ready"
        );
        std::thread::sleep(LOOK);
    }
    let took = from.elapsed();
    // The end of its input is its end.
    drop(child.stdin.take());
    let status = child.wait().expect("it ends");
    assert!(status.success());
    took
}

fn show(what: &str, runs: usize, mut run: impl FnMut() -> Duration) {
    // The first pages the binary in.
    run();
    let mut all: Vec<Duration> = (0..runs).map(|_| run()).collect();
    all.sort_unstable();
    let at = |share: usize| all[(all.len() * share / 100).min(all.len() - 1)].as_secs_f64() * 1e3;
    println!("{what:<46} {:>9.1} {:>9.1}", at(50), at(95));
}

/// About 500 lines of the kind that people write: mappings, masks, checks, conditions.
fn long_pipeline() -> String {
    let mut text = String::from(
        "version: 1\nname: long\nstate: { type: memory }\ndead_letter: { type: blackhole }\n\
         sources:\n  in: { type: stdin }\ntransforms:\n",
    );
    let mut before = "in".to_owned();
    let mut put = |lines: String| text.push_str(&lines);
    for n in 0..20 {
        let mut part = String::new();
        let _ = writeln!(
            part,
            "  shape_{n}:\n    type: map\n    inputs: [{before}]\n    fields:"
        );
        for field in 0..13 {
            let _ = writeln!(
                part,
                "      field_{field}: {{ from: [.data.f{field}, .f{field}], as: string }}"
            );
        }
        let _ = writeln!(
            part,
            "  some_{n}:\n    type: filter\n    inputs: [shape_{n}]\n    where:\n      any:\n        \
             - {{ path: .field_1, matches: \"^[a-z]+{n}$\" }}\n        \
             - {{ path: .field_2, in: [a, b, c] }}\n        \
             - {{ not: {{ path: .field_3, exists: true }} }}"
        );
        before = format!("some_{n}");
        put(part);
    }
    let _ = write!(
        text,
        "sinks:\n  out:\n    type: blackhole\n    inputs: [{before}]\n"
    );
    text
}

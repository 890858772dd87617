//! The real binary, with a sink that may break.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value as Json;

const BINARY: &str = env!("CARGO_BIN_EXE_trunkline");
/// Of the pipelines that are encrypted: any 32 bytes.
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// For one question to the API: a process that is about to be killed need not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is wrong with the disk of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Good,
    /// The file sink writes to a device that is always full.
    FullForLines,
    /// No file grows past so many blocks of 1,024 bytes, which a write meets as it meets a full disk.
    Limited(u64),
}

/// A run.
pub struct Process {
    child: Child,
    told: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
}

/// Starts a run of `pipeline` in `folder`, where a summary is left at its end.
pub fn start(folder: &Path, pipeline: &str, disk: Disk) -> Process {
    let mut command = match disk {
        Disk::Limited(blocks) => {
            let mut command = Command::new("bash");
            let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            command.args(["-c", &line, BINARY]);
            command
        }
        _ => Command::new(BINARY),
    };
    let lines: PathBuf = match disk {
        Disk::FullForLines => "/dev/full".into(),
        _ => "out/lines.ndjson".into(),
    };
    command
        .args(["run", "--summary", "summary.json", pipeline])
        .current_dir(folder)
        .env("OUT_LINES", lines)
        .env("BUFFER_KEY", KEY)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let told: Arc<Mutex<String>> = Arc::default();
    let (errors, keep) = (child.stderr.take().unwrap(), told.clone());
    let listening = std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            *keep.lock().unwrap() += &(line + "\n");
        }
    });
    Process {
        child,
        told,
        listening: Some(listening),
    }
}

impl Process {
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Whether it has ended by itself.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it; whether it was still there to be killed, and what it has said.
    pub fn kill(mut self) -> (bool, String) {
        self.child.kill().unwrap();
        let (code, told) = self.end();
        (code.is_none(), told)
    }

    /// What it has said on stderr, once it has ended; with its exit code.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        self.listening.take().map(JoinHandle::join);
        (status.code(), self.told())
    }

    fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }

    /// The ledger as the API has it; `None` when nobody answers.
    pub fn ledger(&self) -> Option<Json> {
        let told = self.told();
        let (_, address) = told.split_once("health and views on http://")?;
        let address = address.split_whitespace().next()?.parse().ok()?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let question =
            "GET /api/v1/pipelines/crash/ledger HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(question.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }
}

/// `trunkline validate`, which connects to nothing.
pub fn validate(folder: &Path, pipeline: &str) -> Output {
    Command::new(BINARY)
        .args(["validate", pipeline])
        .current_dir(folder)
        .env("OUT_LINES", "out/lines.ndjson")
        .env("BUFFER_KEY", KEY)
        .output()
        .unwrap()
}

/// The figure of a node in a ledger.
pub fn figure(ledger: &Json, node: &str, name: &str) -> Option<u64> {
    let mut nodes = ledger["nodes"].as_array()?.iter();
    nodes.find(|counts| counts["name"] == node)?[name].as_u64()
}

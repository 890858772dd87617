//! A process that runs pipelines of which the first reads stdin, and what asks it over its interface.

#![allow(dead_code, reason = "each test uses what it needs of it")]

#[path = "ports.rs"]
mod ports;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// For everything that has to come about.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Running {
    pub folder: tempfile::TempDir,
    pub child: Child,
    pub input: Option<ChildStdin>,
    log: Receiver<String>,
    pub address: String,
}

impl Running {
    /// Ready, with `TOKEN` in its environment. The files are `0.yaml`, `1.yaml`…
    pub fn start(pipelines: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = trunkline();
        command.args(["run", "--summary", "summary.json"]);
        for (at, text) in pipelines.iter().enumerate() {
            let name = format!("{at}.yaml");
            fs::write(folder.path().join(&name), text).unwrap();
            command.arg(name);
        }
        let mut child = command
            .current_dir(folder.path())
            .env("TOKEN", "s3same")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let (sender, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            let lines = stderr.lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        let mut running = Self {
            folder,
            child,
            input,
            log,
            address: String::new(),
        };
        let line = running.told("http://");
        running.address = line.rsplit_once("http://").unwrap().1.trim().to_owned();
        until("it runs", || running.status("/health/ready", "") == 200);
        running
    }

    /// The next line of the log that holds this.
    pub fn told(&self, what: &str) -> String {
        loop {
            let line = self.log.recv_timeout(LIMIT).expect(what);
            if line.contains(what) {
                return line;
            }
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A request whose answer may never end. The head is read: by then a tap looks.
    pub fn open(&self, path: &str, headers: &str) -> (u16, BufReader<TcpStream>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let host = match headers.contains("Host:") {
            true => String::new(),
            false => format!("Host: {}\r\n", self.address),
        };
        write!(stream, "GET {path} HTTP/1.1\r\n{host}{headers}\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let (mut status, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse().unwrap();
            }
        }
        (status, reader)
    }

    pub fn status(&self, path: &str, headers: &str) -> u16 {
        self.open(path, headers).0
    }

    /// Hands over lines for as long as somebody takes them, so many a second or as fast as they are
    /// taken.
    pub fn feed(&mut self, rate: Option<u32>, line: fn(u64) -> String) -> JoinHandle<()> {
        let mut input = self.input.take().unwrap();
        std::thread::spawn(move || {
            for id in 0.. {
                if input.write_all(line(id).as_bytes()).is_err() {
                    return;
                }
                if let Some(rate) = rate {
                    std::thread::sleep(Duration::from_secs(1) / rate);
                }
            }
        })
    }

    /// Its input ends, and then it does; its summary.
    pub fn stop(mut self) -> Value {
        drop(self.input.take());
        let from = Instant::now();
        assert!(self.child.wait().unwrap().success());
        assert!(from.elapsed() < LIMIT);
        let summary = fs::read(self.folder.path().join("summary.json")).unwrap();
        serde_json::from_slice(&summary).unwrap()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn trunkline() -> Command {
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
}

pub fn signal(id: u32, name: &str) {
    let id = id.to_string();
    let sent = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(sent.success());
}

/// Waits until it holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let from = Instant::now();
    while !holds() {
        assert!(from.elapsed() < LIMIT, "{what}: it does not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody has, for a process that is to come back where it was.
#[allow(unused_imports, reason = "each test uses what it needs of it")]
pub use ports::free as free_port;

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

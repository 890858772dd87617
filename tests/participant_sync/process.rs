//! Real processes: started, asked over HTTP, stopped, killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// The binary that is tested.
pub const BINARY: &str = env!("CARGO_BIN_EXE_trunkline");
/// For one answer: a process that is about to be killed need not give it.
const PATIENCE: Duration = Duration::from_secs(5);
/// For anything that is waited for: this machine may have other work.
const LONGEST: Duration = Duration::from_secs(90);
/// Between two looks.
const STEP: Duration = Duration::from_millis(20);

/// Waits before the next look.
pub fn pause() {
    sleep(STEP);
}

/// An answer over HTTP.
pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub body: Vec<u8>,
}

/// Asks with a GET; `None` when nobody answers.
pub fn ask(address: SocketAddr, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let kind = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name.eq_ignore_ascii_case("content-type")).then(|| value.to_owned())
    });
    Some(Answer {
        status,
        kind: kind.unwrap_or_default(),
        body: answer.split_off(end + 4),
    })
}

/// A process, killed when it is dropped.
pub struct Process {
    child: Child,
    told: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a program in `folder` that sees these variables and no others.
    pub fn start(folder: &Path, program: &str, arguments: &[&str], set: &[(&str, &str)]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .envs(set.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("`{program}` is needed here ({error}): `.ci/servers` installs it")
            });
        let told: Arc<Mutex<String>> = Arc::default();
        let (errors, keep) = (child.stderr.take().unwrap(), told.clone());
        let listening = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                *keep.lock().unwrap() += &(line + "\n");
            }
        });
        Self {
            child,
            told,
            listening: Some(listening),
        }
    }

    /// What it has said on stderr so far.
    pub fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }

    /// Where it serves its API, once it has said so.
    fn address(&self) -> Option<SocketAddr> {
        let told = self.told();
        let (_, after) = told.split_once("health and views on http://")?;
        let end = after.find(|letter: char| !letter.is_ascii_digit() && !".:".contains(letter))?;
        after[..end].parse().ok()
    }

    /// Asks its API; `None` when there is none yet, or no more.
    pub fn get(&self, path: &str) -> Option<Answer> {
        ask(self.address()?, path)
    }

    /// The same for JSON.
    pub fn json(&self, path: &str) -> Option<Json> {
        let answer = self.get(path)?;
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).unwrap())
    }

    /// Waits until there is something to be had.
    pub fn until<T>(&mut self, what: &str, mut met: impl FnMut(&Self) -> Option<T>) -> T {
        let begun = Instant::now();
        while begun.elapsed() < LONGEST {
            if let Some(found) = met(self) {
                return found;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("not {what}: {status}\n{}", self.told());
            }
            pause();
        }
        panic!("not {what}\n{}", self.told());
    }

    /// Sends a signal: `INT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Its exit code and all it has said, once it has ended.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() < LONGEST => pause(),
                None => panic!("it does not end:\n{}", self.told()),
            }
        };
        self.listening.take().map(JoinHandle::join);
        (status.code(), self.told())
    }

    /// Kills it at once; what it has said.
    pub fn kill(mut self) -> String {
        let _ = self.child.kill();
        self.ended().1
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What came in is what came out, for each node and the whole; what is held lies on disk.
pub fn adds_up(summary: &Json) {
    let number = |counts: &Json, name: &str| counts[name].as_u64().unwrap_or(0);
    let sum = |counts: &Json, name: &str| -> u64 {
        let reasons = counts[name].as_object().into_iter().flatten();
        reasons.filter_map(|(_, count)| count.as_u64()).sum()
    };
    let nodes = summary["nodes"].as_array().unwrap();
    assert!(nodes.len() >= 6, "{summary}");
    for counts in nodes.iter().chain([&summary["whole"]]) {
        let came = ["received", "created", "resumed"].map(|name| number(counts, name));
        let left = number(counts, "delivered")
            + sum(counts, "dropped")
            + sum(counts, "dead_lettered")
            + number(counts, "given_back");
        let held = number(counts, "held");
        assert_eq!(came.iter().sum::<u64>(), left + held, "{counts}");
        assert_eq!(held, number(counts, "stored"), "{counts}");
    }
}

/// A node of a ledger or summary; null before it is there.
pub fn node<'a>(ledger: &'a Json, name: &str) -> &'a Json {
    let mut nodes = ledger["nodes"].as_array().into_iter().flatten();
    nodes
        .find(|node| node["name"] == name)
        .unwrap_or(&Json::Null)
}

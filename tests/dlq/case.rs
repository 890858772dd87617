//! A folder with a pipeline that has refused something.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

/// 32 bytes each.
pub const KEY: &str = "dHJ1bmtsaW5lLWV4YW1wbGUta2V5LTMyLWJ5dGVzLSE=";
pub const OTHER_KEY: &str = "0707070707070707070707070707070707070707070707070707070707070707";
pub const PHONE: &str = "+14155551234";

/// `valid` refuses a text where `type` says a number is due.
pub fn pipeline(kind: &str, encryption: &str, sink: &str) -> String {
    format!(
        "\
version: 1
name: calls
{encryption}
dead_letter: {{ type: file, path: letters.ndjson }}
sources:
  in: {{ type: file, path: in.ndjson }}
transforms:
  valid: {{ type: schema_validate, inputs: [in], fields: {{ .id: {kind} }} }}
  unique: {{ type: dedup, inputs: [valid], key: .id }}
sinks:
  out: {{ inputs: [unique], {sink} }}
"
    )
}

pub const ENCRYPTED: &str = "encryption: { key: \"${KEY}\", old_keys: [\"${OLD_KEY:-}\"] }";
pub const TO_FILE: &str = "type: file, path: out.ndjson";

pub struct Case(TempDir);

impl Case {
    /// A folder whose pipeline has run once, over these events.
    pub fn new(pipeline: &str, events: &[String]) -> Self {
        let case = Self(tempfile::tempdir().unwrap());
        case.write("p.yaml", pipeline);
        case.write("in.ndjson", &events.concat());
        let run = case.trunkline(&["run", "p.yaml"]);
        assert!(run.status.success(), "{}", stderr(&run));
        case
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn lines(&self, name: &str) -> Vec<Json> {
        let text = self.read(name);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        command(self.0.path(), arguments)
    }

    pub fn trunkline(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, with what has to go well.
    pub fn good(&self, arguments: &[&str]) -> String {
        let output = self.trunkline(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            stderr(&output)
        );
        stdout(&output)
    }
}

pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
    command.current_dir(folder).args(arguments);
    command.env("KEY", KEY).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null());
    command
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Events of which those with an even number are refused where numbers are due.
pub fn calls(count: u64) -> Vec<String> {
    let call = |n: u64| match n % 2 {
        0 => format!("{{\"id\":\"c{n}\",\"from\":\"{PHONE}\",\"pi\":3.10}}\n"),
        _ => format!("{{\"id\":{n},\"from\":\"{PHONE}\"}}\n"),
    };
    (0..count).map(call).collect()
}

/// Does not outlive the test.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "waited too long for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

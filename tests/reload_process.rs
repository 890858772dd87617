//! Reloading as an operator does it: a signal, or a changed file under `--watch`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

struct Running {
    folder: tempfile::TempDir,
    child: Child,
    input: ChildStdin,
    sent: usize,
}

const PIPELINE: &str = "
version: 1
name: reloaded
sources:
  in: { type: stdin, framing: lines }
transforms:
  unique: { type: dedup, inputs: [in], key: .id, window: 1h }
sinks:
  out: { type: file, path: one.ndjson, inputs: [unique] }
dead_letter: { type: stdout }
";

impl Running {
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("p.yaml"), PIPELINE).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["run", "--summary", "summary.json"])
            .args(options)
            .arg("p.yaml")
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        Self {
            folder,
            child,
            input,
            sent: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn until(&mut self, what: &str, met: impl Fn(&Self) -> bool) {
        let from = Instant::now();
        while !met(self) {
            assert!(
                self.child.try_wait().unwrap().is_none(),
                "{}",
                self.read("log")
            );
            assert!(
                from.elapsed() < Duration::from_secs(60),
                "{what}\n{}",
                self.read("log")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Hands over the next ten events and those before them again.
    fn send(&mut self) {
        for id in self.sent.saturating_sub(10)..self.sent + 10 {
            writeln!(self.input, "{{\"id\":{id}}}").unwrap();
        }
        self.sent += 10;
    }

    fn lines(&self, name: &str) -> usize {
        self.read(name).lines().count()
    }

    fn hang_up(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-HUP", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends the input; the ledger adds up.
    fn end(mut self) -> serde_json::Value {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
        let summary = fs::read_to_string(self.folder.path().join("summary.json")).unwrap();
        serde_json::from_str(&summary).unwrap()
    }
}

#[test]
fn a_signal_reloads_and_mistakes_change_nothing() {
    let mut running = Running::start(&[]);
    running.send();
    running.until("the first ten", |it| it.lines("one.ndjson") == 10);

    fs::write(
        running.path("p.yaml"),
        PIPELINE.replace("type: dedup", "type: dedupe"),
    )
    .unwrap();
    running.hang_up();
    running.until("the mistake", |it| it.read("log").contains("not reloaded"));
    assert!(running.read("log").contains("did you mean `dedup`"));
    running.send();
    running.until("what ran goes on", |it| it.lines("one.ndjson") == 20);

    fs::write(running.path("p.yaml"), PIPELINE.replace("one.", "two.")).unwrap();
    running.hang_up();
    running.until("the reload", |it| {
        it.read("log").contains("reloaded: replaced `out`")
    });
    running.send();
    running.until("the other file", |it| it.lines("two.ndjson") == 10);
    assert_eq!(running.lines("one.ndjson"), 20);

    // The window of `unique` saw it all.
    let summary = running.end();
    assert_eq!(summary["whole"]["dropped"]["duplicate"], 20);
    assert_eq!(summary["whole"]["delivered"], 30);
}

#[test]
fn a_changed_file_reloads_under_watch() {
    let mut running = Running::start(&["--watch"]);
    running.send();
    running.until("the first ten", |it| it.lines("one.ndjson") == 10);
    // As editors do it: written beside, and renamed.
    fs::write(running.path("new"), PIPELINE.replace("one.", "two.")).unwrap();
    fs::rename(running.path("new"), running.path("p.yaml")).unwrap();
    running.until("the reload", |it| {
        it.read("log").contains("reloaded: replaced `out`")
    });
    running.send();
    running.until("the other file", |it| it.lines("two.ndjson") == 10);
    running.end();
}

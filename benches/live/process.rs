//! The pipeline in its process, and what processes and threads cost (proc(5)).

#[path = "../../tests/kit/ports.rs"]
mod ports;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// For a process to end by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// The real binary with `benches/pipelines/live.yaml`.
pub struct Pipeline {
    child: Child,
    api: SocketAddr,
    summary: PathBuf,
}

impl Pipeline {
    /// Starts it, with nothing remembered.
    pub fn start(folder: &Path, platform: &str, influx: SocketAddr) -> Self {
        let state = folder.join("state");
        let _ = fs::remove_dir_all(&state);
        let summary = folder.join("summary.json");
        let yaml = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pipelines/live.yaml");
        let api = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["run", "--log-level", "warn", "--summary"])
            .arg(&summary)
            .arg(yaml)
            .env("STATE", state)
            .env("API", api.to_string())
            .env("ENDPOINT", platform)
            .env("SECRET", "simulator")
            .env("INFLUX_URL", format!("http://{influx}"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary was built with the benchmark");
        Self {
            child,
            api,
            summary,
        }
    }

    /// Where its ledger is read while it runs.
    pub fn ledger(&self) -> String {
        format!("http://{}/api/v1/pipelines/live/ledger", self.api)
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> f64 {
        cpu(Path::new("/proc").join(self.child.id().to_string())).map_or(0.0, |(_, cpu)| cpu)
    }

    /// The most memory that it had, in bytes.
    pub fn peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    }

    /// Stops it; what became of every event.
    pub fn stop(mut self) -> Value {
        let kill = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(kill.is_ok_and(|kill| kill.success()), "it is running");
        let from = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                break status;
            }
            assert!(from.elapsed() < PATIENCE, "the pipeline does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "the pipeline failed");
        let text = fs::read_to_string(&self.summary).expect("the run writes a summary");
        serde_json::from_str(&text).expect("the summary is JSON")
    }
}

impl Drop for Pipeline {
    /// Nothing is left behind by a measurement that failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds so far of this process's threads of this name.
pub fn threads_cpu(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").expect("there is proc");
    let tasks = tasks.flatten().filter_map(|task| cpu(task.path()));
    tasks
        .filter(|(thread, _)| thread == name)
        .map(|(_, cpu)| cpu)
        .sum()
}

/// The name of a process or thread, and its CPU seconds.
fn cpu(place: PathBuf) -> Option<(String, f64)> {
    let stat = fs::read_to_string(place.join("stat")).ok()?;
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split(' ');
    // utime and stime: the 14th and 15th field, here counted from the third.
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    // A tick is 10 ms on every Linux there is (USER_HZ).
    Some((name.to_owned(), (user + system) / 100.0))
}

//! Run after run over the same state, most of them killed, until the last one may finish.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::runtime::Runtime;
use trunkline::simulator::{Config, Control, Faults, Limits, Simulator};

use crate::judge::{self, Gap, Told};
use crate::left::{self, Left, Mark};
use crate::process::{BINARY, Process, adds_up, node};
use crate::random::Random;

/// Simulated seconds in a real one.
const SPEED: u32 = 60;
/// Longest life of a run that is killed, in milliseconds.
const LONGEST: usize = 5_000;
/// Nothing more comes when nothing has come for so long: longer than a dead connection needs to be
/// found, replaced and filled, and longer than anything is held.
const QUIET: Duration = Duration::from_secs(6);
const MINUTE: Duration = Duration::from_secs(60);

/// A platform that runs all the time, and the runs that hear it.
pub struct Lives {
    // Kept for its threads, on which the simulator runs.
    _runtime: Runtime,
    simulator: Simulator,
    pub folder: tempfile::TempDir,
    random: Random,
    gaps: Vec<Gap>,
    starts: Vec<Mark>,
    ended: Vec<usize>,
    pub kills: u64,
}

fn platform(seed: u64, folder: &Path) -> Config {
    let limits = Limits {
        channel: 20 * MINUTE,
        token: 20 * MINUTE,
        ..Limits::default()
    };
    let faults = Faults {
        duplicate: 0.03,
        reorder: 0.03,
        delay: 0.02,
        stale_snapshot: 0.02,
        closing_unannounced: 0.3,
        socket_life: Some(3 * MINUTE),
        ..Faults::default()
    };
    Config {
        seed,
        speed: SPEED.into(),
        rate: 60.0,
        queues: 3,
        users: 12,
        conversations: Some(40),
        limits,
        faults,
        oracle: Some(folder.join("oracle.ndjson")),
        paused: true,
        ..Config::default()
    }
}

fn yaml(endpoint: &str) -> String {
    let ms = |time: Duration| format!("{}ms", (time / SPEED).as_millis());
    let (timeout, ping, roll) = (ms(2 * MINUTE), ms(MINUTE / 2), ms(15 * MINUTE));
    format!(
        r#"
version: 1
name: live
state: {{ type: embedded, path: state }}
dead_letter: {{ type: file, path: dead-letters.ndjson }}
api: {{ address: "127.0.0.1:0" }}
sources:
  genesys:
    type: genesys_websocket
    endpoint: {endpoint}
    auth: {{ client_id: simulator, client_secret: simulator }}
    topics: ["v2.routing.queues.{{queue}}.conversations", "v2.users.{{user}}.conversations"]
    channels: {{ topics: 9 }}
    heartbeat_timeout: {timeout}
    ping_interval: {ping}
    roll_over: {roll}
    backoff: {{ first: 10ms, most: 200ms }}
transforms:
  participants: {{ type: genesys_normalize, inputs: [genesys] }}
  unique: {{ type: dedup, inputs: [participants], key: .eventId, window: 2h }}
  ordered:
    type: causal_reorder
    inputs: [unique]
    key: .data.interactionId
    lifecycle:
      path: .data.state
      participant: .data.participantId
      order:
        - [scheduled, offering, contacting, dialing, alerting]
        - [connected, held, parked]
        - [disconnected, acw, wrapup]
      opener: optional
    lateness: 1m
    max_wait: 1s
sinks:
  out: {{ type: file, inputs: [ordered], path: out.ndjson }}
  points:
    type: influxdb
    inputs: [ordered]
    path: points.lp
    tags: {{ interactionId: .data.interactionId }}
    fields: {{ id: .eventId, counter: counter }}
    quiet: 20ms
    flush_interval: 100ms
"#
    )
}

impl Lives {
    /// Starts the platform, and a run that hears something and is killed.
    pub fn begin(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let simulator = Simulator::start(platform(seed, folder.path()));
        let simulator = runtime.block_on(simulator).unwrap();
        fs::write(folder.path().join("live.yaml"), yaml(&simulator.url())).unwrap();
        let mut lives = Self {
            _runtime: runtime,
            simulator,
            folder,
            random: Random(seed),
            gaps: Vec::new(),
            starts: Vec::new(),
            ended: Vec::new(),
            kills: 0,
        };
        let mut first = lives.start();
        let control = lives.control();
        let counts = || control.counts();
        first.until("listening", |_| (counts().sockets >= 2).then_some(()));
        control.resume();
        // Who has heard nothing yet cannot know since when it did not.
        let out = lives.folder.path().join("out.ndjson");
        let heard = || fs::metadata(&out).is_ok_and(|out| out.len() > 20_000);
        first.until("hearing", |_| heard().then_some(()));
        lives.kill(first);
        lives
    }

    fn control(&self) -> Control {
        self.simulator.control()
    }

    fn start(&mut self) -> Process {
        let folder = self.folder.path();
        self.starts.push(Mark::of(folder));
        let _ = fs::remove_file(folder.join("summary.json"));
        let arguments = [
            "run",
            "live.yaml",
            "--summary",
            "summary.json",
            "--log-format",
            "json",
        ];
        Process::start(folder, BINARY, &arguments, &[])
    }

    fn kill(&mut self, process: Process) {
        self.gaps.extend(left::gaps(&process.kill()));
        self.kills += 1;
    }

    /// Asks a run to end; it ends well.
    fn stop(&mut self, process: Process) {
        process.signal("TERM");
        let (code, told) = process.ended();
        assert_eq!(code, Some(0), "{told}");
        let summary = fs::read_to_string(self.folder.path().join("summary.json")).unwrap();
        let summary: Json = serde_json::from_str(&summary).unwrap();
        adds_up(&summary);
        let gaps = left::gaps(&told);
        // What the log says is what is counted.
        let counted = node(&summary, "genesys")["genesys_gap"].as_array();
        assert_eq!(counted.map_or(0, Vec::len), gaps.len(), "{told}");
        self.gaps.extend(gaps);
        self.ended.push(self.starts.len() - 1);
    }

    /// One more run, to its end.
    pub fn live(&mut self) {
        sleep(Duration::from_millis(self.random.below(500) as u64));
        let mut process = self.start();
        let life = Duration::from_millis(self.random.below(LONGEST) as u64);
        if self.random.once_in(5) {
            // It listens for signals before it listens to anything else.
            process.until("started", |process| process.get("/health/live").map(drop));
            sleep(life);
            self.stop(process);
        } else {
            sleep(life);
            self.kill(process);
        }
    }

    /// Lets everything that was told arrive, and stops.
    pub fn end(&mut self) -> (Vec<Told>, Left, Vec<Gap>) {
        let control = self.control();
        // Whoever is connected now stays so, and the others come back.
        control.set_faults(Faults::default()).unwrap();
        let mut process = self.start();
        let mut seen = (None, Instant::now());
        let quiet = |process: &Process| {
            let counts = control.counts();
            let ledger = process.json("/api/v1/pipelines/live/ledger")?;
            let received = node(&ledger, "genesys")["received"].as_u64()?;
            let open = counts.waiting == 0 && counts.sockets >= 2;
            if seen.0 != Some((received, open)) {
                seen = (Some((received, open)), Instant::now());
            }
            (open && seen.1.elapsed() > QUIET).then_some(())
        };
        // Everybody can hear again, before there is nothing more to be heard.
        let listening = |process: &Process| {
            let ledger = process.json("/api/v1/pipelines/live/ledger")?;
            (node(&ledger, "genesys")["received"].as_u64()? > 0).then_some(())
        };
        process.until("listening", listening);
        control.pause();
        process.until("quiet", quiet);
        self.stop(process);
        control.flush_oracle().unwrap();
        let folder = self.folder.path();
        let letters = fs::read_to_string(folder.join("dead-letters.ndjson"));
        assert_eq!(letters.unwrap_or_default(), "");
        let told = fs::read_to_string(folder.join("oracle.ndjson")).unwrap();
        let left = left::read(folder, &self.starts, std::mem::take(&mut self.ended));
        (judge::read(&told), left, std::mem::take(&mut self.gaps))
    }
}

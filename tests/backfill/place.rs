//! A folder with archives of some hours, a pipeline that loads them, and what can be seen in it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Hours of the range, each with [`OBJECTS`] objects.
pub const HOURS: u64 = 12;
/// Objects of an hour.
const OBJECTS: u64 = 4;
/// Records of an hour.
pub const RECORDS: u64 = 40;

const PIPELINE: &str = "
version: 1
name: export
grace: 3s
state: { type: embedded, path: state }
dead_letter: { type: file, path: dead.ndjson }
api: { address: '127.0.0.1:1' }
sources:
  exports: { type: s3_export, url: ./exports, parallel: 2, batch_events: 10 }
  live: { type: stdin }
transforms:
  unique: { type: dedup, inputs: [exports, live], key: .event_id, window: 7d }
sinks:
  warehouse: { type: warehouse, inputs: [unique], WAREHOUSE }
";

pub struct Place(tempfile::TempDir);

/// How a command ended.
pub struct Ended {
    /// `None` when it was killed.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn json(&self) -> serde_json::Value {
        let parsed = serde_json::from_str(&self.stdout);
        parsed.unwrap_or_else(|_| panic!("{}\n{}", self.stdout, self.stderr))
    }
}

impl Place {
    /// The day of the range, an hour before it and one behind it, and a damaged archive.
    pub fn new() -> Self {
        Self::with_warehouse("path: w.db")
    }

    /// With these settings of the warehouse.
    pub fn with_warehouse(settings: &str) -> Self {
        Self::with("url: ./exports", settings)
    }

    /// And with these of the bucket. What would lie in it lies in the folder `exports`.
    pub fn with(bucket: &str, warehouse: &str) -> Self {
        let pipeline = PIPELINE.replace("WAREHOUSE", warehouse);
        let place = Self(tempfile::tempdir().unwrap());
        let pipeline = pipeline.replace("url: ./exports", bucket);
        fs::write(place.path("p.yaml"), pipeline).unwrap();
        for hour in 0..HOURS {
            place.hour("2026/01/01", hour);
        }
        place.hour("2025/12/31", 23);
        place.hour("2026/01/02", 0);
        let damaged = place.path("exports/2026/01/01/00/damaged.json.gz");
        fs::write(damaged, b"\x1f\x8b\x08\x00 this is no archive").unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn hour(&self, day: &str, hour: u64) {
        let folder = self.path(&format!("exports/{day}/{hour:02}"));
        fs::create_dir_all(&folder).unwrap();
        let day = day.replace('/', "-");
        for object in 0..OBJECTS {
            let mut text = String::new();
            for n in (0..RECORDS).filter(|n| n % OBJECTS == object) {
                // 5 is the same event as 4, 6 has a value that the warehouse cannot take.
                let id = if n == 5 { 4 } else { n };
                let odd = if n == 6 { r#""long""# } else { "60" };
                match n {
                    7 => text.push_str("this is no json\n"),
                    n => writeln!(
                        text,
                        r#"{{"event_id":"{day}-{hour}-{id}","interaction_id":"i-{n}","timestamp":"{day}T{hour:02}:{id:02}:00Z","type":"call","state":"completed","duration_seconds":{odd},"queue_name":"queue-{n}","filler":"{}"}}"#,
                        noise(hour * RECORDS + n)
                    )
                    .unwrap(),
                }
            }
            let file = File::create(folder.join(format!("part-{object}.json.gz"))).unwrap();
            let mut archive = GzEncoder::new(file, Compression::fast());
            archive.write_all(text.as_bytes()).unwrap();
            archive.finish().unwrap();
        }
    }

    pub fn objects_in_range(&self) -> u64 {
        HOURS * OBJECTS + 1
    }

    pub fn bytes_in_range(&self) -> u64 {
        let hours = (0..HOURS).map(|hour| self.path(&format!("exports/2026/01/01/{hour:02}")));
        let files = hours.flat_map(|folder| fs::read_dir(folder).unwrap());
        files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command
            .current_dir(self.0.path())
            .arg("backfill")
            .arg("p.yaml");
        command.args(arguments).stdin(Stdio::null());
        command.env("RUST_BACKTRACE", "0");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.launch(arguments).wait()
    }

    fn launch(&self, arguments: &[&str]) -> Running {
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut command = self.command(arguments);
        command
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap());
        Running {
            child: command.spawn().unwrap(),
            out,
            err,
        }
    }

    /// Begins to load the range; the summary is JSON unless the arguments say something else.
    pub fn start(&self, more: &[&str]) -> Running {
        let mut arguments = vec!["--from", "2026-01-01", "--to", "2026-01-02"];
        if !more.contains(&"--format") {
            arguments.extend(["--format", "json"]);
        }
        self.launch(&[arguments.as_slice(), more].concat())
    }

    /// Loads the range.
    pub fn backfill(&self, more: &[&str]) -> Ended {
        self.start(more).wait()
    }

    /// Rows of a query, their values with `|` between them; none while there is no warehouse.
    pub fn query(&self, query: &str) -> Vec<String> {
        self.ask(query).unwrap()
    }

    fn ask(&self, query: &str) -> rusqlite::Result<Vec<String>> {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = rusqlite::Connection::open_with_flags(self.path("w.db"), flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        let mut statement = connection.prepare(query)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let value = |column| row.get::<_, rusqlite::types::Value>(column);
            let values: rusqlite::Result<Vec<_>> = (0..columns).map(value).collect();
            Ok(values?.iter().map(shown).collect::<Vec<_>>().join("|"))
        })?;
        rows.collect()
    }

    /// All facts, without the moment of their writing.
    pub fn facts(&self) -> Vec<String> {
        self.query(
            "SELECT event_id, interaction_id, event_timestamp, state, duration_seconds, queue_name \
             FROM fact_interactions ORDER BY event_id",
        )
    }

    /// Waits until a run that goes on has loaded so many.
    pub fn until_facts(&self, running: &mut Running, least: u64) {
        let query = format!("SELECT count(*) >= {least} FROM fact_interactions");
        let end = Instant::now() + Duration::from_secs(120);
        while self.ask(&query).ok().is_none_or(|rows| rows != ["1"]) {
            assert!(Instant::now() < end, "{}", running.said());
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended too early: {}", running.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn shown(value: &rusqlite::types::Value) -> String {
    use rusqlite::types::Value;
    match value {
        Value::Null => "-".into(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(_) => "blob".into(),
    }
}

/// Text that does not compress: an xorshift is good enough for that.
fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    for _ in 0..16 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        write!(text, "{state:016x}").unwrap();
    }
    text
}

/// A backfill under way.
pub struct Running {
    child: Child,
    out: File,
    err: File,
}

impl Running {
    pub fn signal(&mut self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    pub fn said(&self) -> String {
        text(&self.err)
    }

    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn wait(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        Ended {
            code: status.code(),
            stdout: text(&self.out),
            stderr: text(&self.err),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only where a test failed on the way: one that was waited for is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without moving the place at which the process writes, which is shared.
fn text(file: &File) -> String {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes).unwrap()
}

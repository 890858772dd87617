//! Disk buffers of the real binary: replayed in bounded memory, and through a disk that was full.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn start(&self, pipeline: &Path, input: Stdio) -> Child {
        Command::new(env!("CARGO_BIN_EXE_trunkline"))
            .args(["run", "--summary", "summary.json"])
            .arg(pipeline)
            .current_dir(self.0.path())
            .stdin(input)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn summary(&self) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.path("summary.json")).unwrap()).unwrap()
    }
}

/// Waits for a condition of the world outside.
fn until(what: &str, mut met: impl FnMut() -> bool) {
    let from = Instant::now();
    while !met() {
        assert!(from.elapsed() < LIMIT, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes of all files in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|it| it.metadata().map_or(0, |it| it.len()))
        .sum()
}

const MEBIBYTE: u64 = 1 << 20;

fn pipeline(state: &str, sink: &str) -> String {
    format!(
        "
version: 1
name: buffered
grace: 100ms
state: {{ path: {state} }}
delivery: {{ max_bytes: 4MiB }}
sources:
  in: {{ type: stdin, framing: lines }}
sinks:
  out:
    type: {sink}
    inputs: [in]
    buffer: {{ type: disk, max_size: 256MiB, max_bytes: 4MiB, compression: none }}
dead_letter: {{ type: stdout }}
"
    )
}

/// Highest resident memory of a process while it lives.
fn peak(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    until("the end of the run", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|it| it.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kibibytes.unwrap_or(0) * 1024);
        child.try_wait().unwrap().is_some()
    });
    peak
}

/// Fills a buffer in front of a sink that takes nothing, kills the process, and says how much
/// memory the next one needs to deliver it all.
fn peak_of_replay(events: usize) -> u64 {
    let place = Place::new();
    let padding = "x".repeat(1_000);
    let line = |n: usize| format!("{{\"n\":{n},\"padding\":\"{padding}\"}}\n");
    let input = place.path("input.ndjson");
    let mut file = File::create(&input).unwrap();
    for n in 0..events {
        file.write_all(line(n).as_bytes()).unwrap();
    }
    let dead = "blackhole\n    rate_limit: { events: 1, per: 1h }";
    let dead = place.write("dead.yaml", &pipeline("state", dead));
    let mut child = place.start(&dead, File::open(&input).unwrap().into());
    let bytes = fs::metadata(&input).unwrap().len();
    let folder = place.path("state/buffers/out");
    until("the buffer", || bytes_in(&folder) >= bytes);
    child.kill().unwrap();
    child.wait().unwrap();

    let alive = place.write(
        "alive.yaml",
        &pipeline("state", "file\n    path: out.ndjson"),
    );
    let mut child = place.start(&alive, Stdio::null());
    let peak = peak(&mut child);
    assert!(child.wait().unwrap().success());
    let out = BufReader::new(File::open(place.path("out.ndjson")).unwrap());
    let mut count = 0;
    for (n, written) in out.lines().enumerate() {
        assert_eq!(written.unwrap() + "\n", line(n));
        count += 1;
    }
    // What was answered before the kill, and not one event less; the last few were on their way.
    assert_eq!(place.summary()["whole"]["resumed"], count);
    assert!(count > events * 9 / 10, "{count}");
    peak
}

#[test]
fn a_buffer_of_many_times_the_memory_limits_is_replayed_within_them() {
    // Of 1 KiB each, where 4 MiB may be under way and 4 MiB may wait: more than twice that, and
    // more than ten times.
    let few = peak_of_replay(20_000);
    // What an allocator keeps besides differs from run to run, and only ever adds.
    let many = (0..3).map(|_| peak_of_replay(100_000)).min().unwrap();
    println!("{} and {} MiB", few / MEBIBYTE, many / MEBIBYTE);
    // What lies on disk makes no difference, beyond what allocators keep.
    assert!(many < few + 32 * MEBIBYTE, "{few} {many}");
    assert!(many < 192 * MEBIBYTE, "{many}");
}

/// The disk is full, then it is not: the script takes away what filled it.
const FULL: &str = r#"
mount -t tmpfs -o size=6m tmpfs small || exit 77
head -c 5500000 /dev/zero > small/filler
"$0" run --summary summary.json full.yaml < input.ndjson 2> log &
child=$!
for _ in $(seq 1200); do grep -q buffer_io log && break; sleep 0.05; done
grep -q buffer_io log || exit 78
[ "$1" = remount ] && mount -o remount,rw small
rm small/filler
wait $child
"#;

#[test]
fn a_full_disk_is_told_and_the_run_goes_on_by_itself_when_there_is_room() {
    let place = Place::new();
    let lines: Vec<String> = (0..3_000)
        .map(|n| format!(r#"{{"n":{n},"padding":"{}"}}"#, "x".repeat(1_000)))
        .collect();
    place.write("input.ndjson", &(lines.join("\n") + "\n"));
    fs::create_dir(place.path("small")).unwrap();
    let yaml = pipeline("state", "file\n    path: out.ndjson");
    let yaml = yaml.replace("type: disk,", "type: disk, path: small/buffer,");
    // What goes again must not take longer than a person would wait.
    let yaml = yaml.replace(
        "max_bytes: 4MiB }\nsources",
        "max_bytes: 4MiB, max_backoff: 200ms }\nsources",
    );
    place.write("full.yaml", &yaml);
    let done = Command::new("unshare")
        .args(["-rm", "bash", "-c", FULL, env!("CARGO_BIN_EXE_trunkline")])
        .current_dir(place.0.path())
        .output()
        .unwrap();
    let log = fs::read_to_string(place.path("log")).unwrap_or_default();
    if done.status.code() == Some(77) || log.is_empty() {
        // This user may not mount; the same is tested on a storage that fails when told.
        eprintln!("no mount here: {}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    assert!(done.status.success(), "{:?}\n{log}", done.status);
    assert!(log.contains("No space left"), "{log}");
    let mut out: Vec<String> = fs::read_to_string(place.path("out.ndjson"))
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    out.sort();
    out.dedup();
    assert_eq!(out.len(), lines.len(), "{log}");
    assert_eq!(place.summary()["whole"]["held"], 0);
}

//! One run of the shipped pipeline, in a process of its own, so that its memory is its own too.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunkline::config::{Variables, parse};
use trunkline::graph::Pipeline;
use trunkline::graph::check::check;
use trunkline::graph::run::{open_store, run};
use trunkline::observe::Observer;

use crate::platform::{CALL, Platform, TROUBLED, cpu};
use crate::queue::{NEVER, Queue, RATE};

/// The word on the command line that begins this process.
pub const WORD: &str = "measured";
/// Seconds at the start that are not counted: tokens are fetched, connections made.
pub const WARM_UP: usize = 3;
/// For what is under way at the end.
const DRAIN: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);
const FSYNCS: usize = 100;
/// Messages that one simulated platform is to take.
const A_PLATFORM: usize = 60_000;
/// Of a page of memory.
const PAGE: u64 = 4_096;

/// Where the pipeline file's variables come from.
struct Given<'a> {
    folder: &'a Path,
    tenants: &'a str,
}

impl Variables for Given<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let file = match name {
            "TENANT_SERVICE_URL" => return Some(self.tenants.to_owned()),
            "STATE" => "state",
            "STATUSES" => "statuses.ndjson",
            "DEAD_LETTERS" => "dead-letters.ndjson",
            "OTHERS" => "others.ndjson",
            _ => return None,
        };
        Some(self.folder.join(file).display().to_string())
    }

    fn file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// The shipped pipeline. A customer's messages join one conversation, since the simulated platform has
/// room for some thousand of them.
fn pipeline(given: &Given<'_>) -> Pipeline {
    let shipped = include_str!("../../pipelines/outbound-messages.yaml");
    let (sink, joined) = (
        "type: open_messaging\n",
        "type: open_messaging\n    use_existing_conversation: true\n",
    );
    assert_eq!(shipped.matches(sink).count(), 1);
    let loaded = parse("p.yaml", &shipped.replace(sink, joined), given);
    let checked = check(&loaded);
    let told: Vec<String> = checked.report.iter().map(|f| f.message.clone()).collect();
    checked.pipeline.unwrap_or_else(|| panic!("{told:?}"))
}

/// Runs it. `phases`: a word for the platform, and for how many seconds it holds.
pub fn measure(organisations: usize, phases: &[(String, usize)]) -> Value {
    let seconds = WARM_UP + phases.iter().map(|(_, seconds)| seconds).sum::<usize>();
    let others = (organisations * RATE * seconds).div_ceil(A_PLATFORM).max(1);
    let mut platform = Platform::begin(others);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("outbound");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    let synced = fsync(&folder);
    let given = Given {
        folder: &folder,
        tenants: &platform.tenants,
    };
    let mut pipeline = pipeline(&given);
    let (queue, source) = Queue::new(organisations, seconds);
    pipeline.sources[0].part = Box::new(source);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let observer = Observer::new("outbound");
    let watched = observer.clone();
    let task = runtime.spawn(async move {
        let store = open_store(&pipeline).await.expect("the folder is there");
        run(pipeline, &watched, store, std::future::pending()).await
    });
    let memory = Arc::new(Memory::default());
    let told = drive(&queue, &mut platform, phases, &memory);
    assert!(!task.is_finished(), "the pipeline ended early");
    let (heard, different) = platform.heard();
    let healthy = |number: &usize| queue.organisation(*number) >= TROUBLED;
    let answered = (0..queue.len())
        .filter(healthy)
        .filter(|number| queue.took(*number) != NEVER);
    let answered = answered.count();
    let held = (heard, different, answered) == (answered, answered, answered);
    let ledger = observer.ledger();
    let dead = ledger.whole.dead_lettered_total();
    runtime.shutdown_timeout(Duration::from_secs(1));
    let _ = std::fs::remove_dir_all(&folder);
    let mut told = told;
    told["fsync"] = json!(synced);
    told["exactly_once"] = json!(held);
    told["heard"] = json!([heard, different, answered]);
    told["dead_letters"] = json!(dead);
    told
}

/// What the disk takes to have 6 KiB for certain, in milliseconds: a message waits for that twice.
fn fsync(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("fsync")).expect("the folder is there");
    let mut took: Vec<Duration> = (0..FSYNCS)
        .map(|_| {
            let from = Instant::now();
            let written = file
                .write_all(&[7; 6 << 10])
                .and_then(|()| file.sync_data());
            written.expect("the disk has room");
            from.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2].as_secs_f64() * 1e3
}

#[derive(Default)]
struct Memory {
    now: AtomicU64,
    most: AtomicU64,
}

impl Memory {
    fn look(&self) {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages = statm
            .split(' ')
            .nth(1)
            .and_then(|it| it.parse::<u64>().ok());
        let now = pages.unwrap_or_default() * PAGE;
        self.now.store(now, Ordering::Relaxed);
        self.most.fetch_max(now, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

/// Feeds the queue and tells the platform what comes; then what came of it.
fn drive(
    queue: &Arc<Queue>,
    platform: &mut Platform,
    phases: &[(String, usize)],
    memory: &Memory,
) -> Value {
    memory.look();
    let before = memory.now();
    let begun = Instant::now() + LOOK;
    let feeder = std::thread::spawn({
        let queue = queue.clone();
        move || queue.feed(begun)
    });
    let mut until = Duration::from_secs(WARM_UP as u64);
    let wait = |until: Duration| {
        while begun.elapsed() < until {
            std::thread::sleep(LOOK);
            memory.look();
        }
    };
    wait(until);
    let me = Path::new("/proc/self");
    let (mine, theirs) = (cpu(me), platform.cpu());
    let answered = queue.answered();
    let mut results = Vec::new();
    for (word, seconds) in phases {
        assert_eq!(&platform.say(word), word);
        let from = until;
        until += Duration::from_secs(*seconds as u64);
        wait(until);
        results.push((word, from, until, memory.now()));
    }
    feeder.join().expect("it feeds");
    let sent = (queue.answered() - answered).max(1);
    let (mine, theirs) = (cpu(me) - mine, platform.cpu() - theirs);
    let open =
        |number: &usize| queue.organisation(*number) >= TROUBLED && queue.took(*number) == NEVER;
    let mut last = queue.len();
    while begun.elapsed() < until + DRAIN && (0..last).any(|number| open(&number)) {
        last = (0..last).rev().find(open).map_or(0, |number| number + 1);
        std::thread::sleep(LOOK);
        memory.look();
    }
    let lag = begun.elapsed().saturating_sub(until);
    let phases: Vec<Value> = results
        .into_iter()
        .map(|(word, from, until, rss)| {
            let part = |which: &dyn Fn(usize) -> bool| figures(queue, from, until, which);
            json!({
                "phase": word, "rss": rss, "others": part(&|it| it >= TROUBLED),
                "down": part(&|it| it == 0), "slow": part(&|it| it == 1),
                "throttled": part(&|it| it == 2),
            })
        })
        .collect();
    json!({
        "phases": phases, "lag": lag.as_secs_f64(), "before": before, "most": memory.most.load(Ordering::Relaxed),
        "cpu": 1e6 * mine / sent as f64, "platform_cpu": 1e6 * theirs / sent as f64,
        "busy": (mine + theirs) / (until.as_secs_f64() - WARM_UP as f64),
        "sent": sent,
    })
}

/// What Trunkline added to the messages that were due in a span, in milliseconds.
fn figures(queue: &Queue, from: Duration, until: Duration, which: &dyn Fn(usize) -> bool) -> Value {
    let all = (0..queue.len())
        .filter(|number| (from..until).contains(&queue.due(*number)))
        .filter(|number| which(queue.organisation(*number)));
    let mut took: Vec<u32> = all.map(|number| queue.took(number)).collect();
    took.sort_unstable();
    let answered = took.iter().filter(|it| **it != NEVER).count();
    let at = |share: f64| {
        let place = (took.len() as f64 * share) as usize;
        match took.get(place.min(took.len().saturating_sub(1))) {
            None | Some(&NEVER) => f64::INFINITY,
            Some(took) => (f64::from(*took) - CALL.as_micros() as f64) / 1e3,
        }
    };
    json!({"due": took.len(), "answered": answered, "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "most": at(1.0)})
}

//! Run after run over the same state, each killed, until the last one may finish.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value as Json;

use crate::input::{Fate, Feed, Files, KEYS, Pipe, Stream};
use crate::judge::{Case, Given, wrongs};
use crate::left;
use crate::process::{self, Disk, Process, figure};
use crate::promised;
use crate::random::Random;
use crate::variant::{self, Ends, Variant};

/// Kills where `TRUNKLINE_KILLS` says nothing.
const KILLS: usize = 20;
/// Most events of one run.
const MOST: usize = 2500;
/// Bytes that an event has at least in the file of lines, those that never come there spread over
/// the others.
const LEAST_LINE: usize = 75;
/// A run that does not come as far as the moment of its end is killed then.
const LONGEST: Duration = Duration::from_secs(2);
/// Before that hardly anything flows.
const WAKE: Duration = Duration::from_millis(50);
/// Between two looks at a run.
const STEP: Duration = Duration::from_millis(1);

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Kills that fall to one case.
fn share() -> usize {
    let kills = setting("TRUNKLINE_KILLS").map_or(KILLS, |kills| kills as usize);
    kills.div_ceil(variant::cases())
}

/// When a run is killed.
#[derive(Debug)]
enum Moment {
    /// So long after its start, mostly before anything flows.
    After(Duration),
    /// When the file of lines has grown by so many bytes.
    Grown(u64),
    /// So long after it was given everything.
    Fed(Duration),
    /// So long after the warehouse was locked: what comes in then waits for it.
    Locked(Duration),
}

impl Moment {
    /// For a run that is given so many events: mostly one at which some of them are under way.
    fn draw(random: &mut Random, events: usize) -> Moment {
        let time = Duration::from_micros(random.below(100_000) as u64);
        match random.below(12) {
            0 | 1 => Moment::After(time),
            2..=7 => Moment::Grown(random.below(events * LEAST_LINE) as u64),
            8 => Moment::Fed(time),
            _ => Moment::Locked(time / 2),
        }
    }
}

/// What another program does to the warehouse.
struct Lock {
    /// With a transaction that keeps all others out.
    _held: Connection,
    since: Instant,
    until: Instant,
}

/// A case under way.
struct Lives {
    variant: &'static Variant,
    ends: Ends,
    folder: PathBuf,
    random: Random,
    stream: Stream,
    /// The feed of all runs, where it outlives them.
    files: Option<Feed>,
    given: Vec<Given>,
    /// How long the file of lines was at the start of each run.
    starts: Vec<u64>,
    lock: Option<Lock>,
    kills: usize,
    /// What the last run said that ended by itself.
    ended: String,
}

/// Kills the variant's pipeline its share of times, and holds what is left against its promises.
pub fn survive(variant: &'static Variant, ends: Ends) {
    let seed = setting("TRUNKLINE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 16);
    println!("{} from {ends:?}: TRUNKLINE_SEED={seed}", variant.name);
    let folder = tempfile::tempdir().unwrap();
    let mut lives = Lives::new(variant, ends, folder.path(), seed);
    let (wanted, mut runs) = (share(), 0);
    while lives.kills < wanted {
        lives.life();
        runs += 1;
        if runs % 10 == 0 {
            println!(
                "{} from {ends:?}: {runs} runs, {} kills",
                variant.name, lives.kills
            );
        }
        let often = runs < 20 * wanted + 20;
        assert!(often, "runs end before they are killed: {}", lives.ended);
    }
    let told = lives.last_life();
    let wrong = lives.judge();
    if !wrong.is_empty() {
        let kept = folder.keep();
        panic!(
            "{} from {ends:?}, TRUNKLINE_SEED={seed}, {} kills; see {}:\n{}\n{told}",
            variant.name,
            lives.kills,
            kept.display(),
            wrong.join("\n")
        );
    }
    let events = lives.stream.events.len();
    println!(
        "{} from {ends:?}: {} kills, {events} events, as promised",
        variant.name, lives.kills
    );
}

impl Lives {
    fn new(variant: &'static Variant, ends: Ends, folder: &Path, seed: u64) -> Lives {
        let write = |name: &str, once| {
            fs::write(folder.join(name), variant.yaml(ends, once)).unwrap();
        };
        write("run.yaml", false);
        write("last.yaml", true);
        fs::create_dir(folder.join("out")).unwrap();
        let mut given = Vec::new();
        let mut files = None;
        if ends == Ends::File {
            files = Some(Feed::Files(Files::new(&folder.join("in"))));
            given.push(Given {
                events: 0..0,
                answered: 0,
            });
        }
        let name: u64 = variant.name.bytes().map(u64::from).sum();
        Lives {
            variant,
            ends,
            folder: folder.to_owned(),
            random: Random(seed ^ (name << 32) ^ ends as u64),
            stream: Stream::default(),
            files,
            given,
            starts: Vec::new(),
            lock: None,
            kills: 0,
            ended: String::new(),
        }
    }

    fn lines(&self) -> PathBuf {
        self.folder.join("out/lines.ndjson")
    }

    /// What is wrong with the disk of the next run.
    fn disk(&mut self) -> Disk {
        match self.random.below(8) {
            0 => Disk::FullForLines,
            1 => {
                let largest = largest(&self.folder) / 1024;
                Disk::Limited(1 + self.random.below(largest as usize * 3 / 2 + 64) as u64)
            }
            _ => Disk::Good,
        }
    }

    fn start(&mut self, pipeline: &str, disk: Disk) -> (Process, Feed) {
        self.starts.push(left::whole_lines(&self.lines()));
        let _ = fs::remove_file(self.folder.join("summary.json"));
        let mut process = process::start(&self.folder, pipeline, disk);
        let stdin = process.stdin();
        let feed = match self.files.take() {
            Some(files) => files,
            None => {
                let events = self.stream.events.len()..0;
                self.given.push(Given {
                    events,
                    answered: 0,
                });
                Feed::Pipe(Pipe::new(stdin))
            }
        };
        (process, feed)
    }

    /// What the source was given in this run is known when it is over.
    fn end(&mut self, feed: Feed, answered: u64) {
        let given = self.given.last_mut().expect("there is always one");
        match feed {
            Feed::Pipe(pipe) => {
                given.events.end = given.events.start + pipe.lines();
                given.answered = answered;
            }
            Feed::Files(_) => {
                given.events.end = self.stream.events.len();
                self.files = Some(feed);
            }
        }
    }

    /// More lines. What repeats another one must find it in front of it: in a pipe what was given
    /// to another run is not.
    fn push(&mut self, feed: &mut Feed, lines: usize) {
        let since = match (self.variant.repeats, self.ends) {
            (false, _) => usize::MAX,
            (true, Ends::File) => 0,
            (true, Ends::Stdin) => self.given.last().map_or(0, |given| given.events.start),
        };
        for _ in 0..lines {
            let line = self.stream.draw(&mut self.random, since);
            feed.push(&line);
        }
    }

    /// One run, to its violent end.
    fn life(&mut self) {
        let disk = self.disk();
        let mut due = 50 + self.random.below(MOST);
        let moment = Moment::draw(&mut self.random, due);
        let locks = matches!(moment, Moment::Locked(_)) || self.random.once_in(4);
        let (mut process, mut feed) = self.start("run.yaml", disk);
        let (begun, mut fed) = (Instant::now(), None);
        while !process.is_over() && begun.elapsed() < LONGEST {
            let chunk = self.random.below(100).min(due);
            self.push(&mut feed, chunk);
            due -= chunk;
            if feed.flush(&mut self.random, due > 0) && due == 0 {
                fed.get_or_insert_with(Instant::now);
            }
            let start = *self.starts.last().expect("this run's");
            let come = match moment {
                Moment::After(time) => begun.elapsed() >= time,
                Moment::Grown(bytes) => left::length(&self.lines()).saturating_sub(start) >= bytes,
                Moment::Fed(time) => fed.is_some_and(|fed| fed.elapsed() >= time),
                Moment::Locked(time) => self.locked_for(begun).is_some_and(|held| held >= time),
            };
            if come {
                break;
            }
            self.meddle(locks);
            sleep(STEP);
        }
        let ledger = self.random.once_in(2).then(|| process.ledger()).flatten();
        let (killed, told) = process.kill();
        self.kills += usize::from(killed);
        // A run that ended by itself has left its closing ledger.
        let ledger = if killed { ledger } else { self.summary() };
        let answered = ledger.and_then(|ledger| figure(&ledger, "in", "delivered"));
        if !killed {
            self.ended = told;
        }
        self.end(feed, answered.unwrap_or(0));
    }

    fn summary(&self) -> Option<Json> {
        let text = fs::read_to_string(self.folder.join("summary.json")).ok()?;
        Some(serde_json::from_str(&text).expect("a summary is whole or not there"))
    }

    /// Locks the warehouse now and then, for a while; a lock may outlast the run that it disturbs.
    fn meddle(&mut self, locks: bool) {
        self.lock.take_if(|lock| lock.until < Instant::now());
        let rows = self.folder.join("out/rows.db");
        if locks && self.lock.is_none() && self.random.once_in(20) && rows.exists() {
            let connection = Connection::open(rows).unwrap();
            // Not where the run has it just now.
            if connection.execute_batch("BEGIN EXCLUSIVE").is_ok() {
                let since = Instant::now();
                let until = since + Duration::from_micros(self.random.below(150_000) as u64);
                self.lock = Some(Lock {
                    _held: connection,
                    since,
                    until,
                });
            }
        }
    }

    /// How long it has been locked, if that was since this run began.
    fn locked_for(&self, begun: Instant) -> Option<Duration> {
        let since = self.lock.as_ref()?.since;
        (since > begun + WAKE).then(|| since.elapsed())
    }

    /// The run that may finish; what it says.
    fn last_life(&mut self) -> String {
        self.lock = None;
        let (process, mut feed) = self.start("last.yaml", Disk::Good);
        self.push(&mut feed, 20 * KEYS);
        while !feed.flush(&mut self.random, false) {
            sleep(STEP);
        }
        self.end_input(feed);
        let (code, told) = process.end();
        assert_eq!(code, Some(0), "{told}");
        adds_up(&self.summary().expect("it ended well"));
        told
    }

    /// A pipe is closed with its feed.
    fn end_input(&mut self, feed: Feed) {
        self.end(feed, 0);
        let last = self.given.last_mut().expect("there is always one");
        if self.ends == Ends::Stdin {
            // It ended well: everything was answered.
            let events = &self.stream.events[last.events.clone()];
            let counted = events.iter().filter(|event| event.fate != Fate::Garbage);
            last.answered = counted.count() as u64;
        }
    }

    fn judge(&self) -> Vec<String> {
        let output = process::validate(&self.folder, "run.yaml");
        let table = String::from_utf8_lossy(&output.stdout);
        let case = Case {
            variant: self.variant,
            events: &self.stream.events,
            given: &self.given,
            left: &left::read(&self.folder.join("out"), &self.starts),
            lines: promised::read(&table, "in", "lines"),
            rows: promised::read(&table, "in", "rows"),
        };
        wrongs(&case)
    }
}

/// Bytes of the largest file below a folder.
fn largest(folder: &Path) -> u64 {
    let mut most = 0;
    for entry in fs::read_dir(folder).unwrap().map_while(Result::ok) {
        let path = entry.path();
        let length = match path.is_dir() {
            true => largest(&path),
            // A file may go away while it is looked at.
            false => left::length(&path),
        };
        most = most.max(length);
    }
    most
}

/// What came in is what came out, for each node and the whole.
fn adds_up(summary: &Json) {
    let number = |counts: &Json, name: &str| counts[name].as_u64().unwrap_or(0);
    let sum = |counts: &Json, name: &str| -> u64 {
        let reasons = counts[name].as_object().into_iter().flatten();
        reasons.filter_map(|(_, count)| count.as_u64()).sum()
    };
    let nodes = summary["nodes"].as_array().unwrap();
    assert!(nodes.len() >= 4, "{summary}");
    for counts in nodes.iter().chain([&summary["whole"]]) {
        // What a buffer on disk found at its start is no news to the source.
        let came = ["received", "created", "resumed"].map(|name| number(counts, name));
        let left = number(counts, "delivered")
            + sum(counts, "dropped")
            + sum(counts, "dead_lettered")
            + number(counts, "given_back");
        let came = came.iter().sum::<u64>();
        assert_eq!((came, number(counts, "held")), (left, 0), "{counts}");
    }
}

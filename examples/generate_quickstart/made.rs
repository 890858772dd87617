//! Puts the files together, and counts what the pipeline has to make of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;

use super::conversations::{Event, Maker, Peculiar, Personal, time};
use super::oddities::{self, Reason};
use super::page;
use super::random::Random;

/// A shipped file.
pub struct File {
    pub name: String,
    pub bytes: Vec<u8>,
    /// What is in it once it is decompressed, as far as it can be.
    pub text: String,
    /// For the page.
    pub about: &'static str,
}

/// The counters of the closing ledger and the rows of the tables, by what and which.
pub type Expected = BTreeMap<(String, String), usize>;

/// Everything that was made.
pub struct Made {
    pub files: Vec<File>,
    pub personal: Personal,
    pub expected: Expected,
}

/// What a record is, where it is one.
#[derive(Clone)]
enum Record {
    Event(Event),
    Refused(String, Reason),
}

impl Record {
    fn json(&self) -> &str {
        match self {
            Record::Event(event) => &event.json,
            Record::Refused(json, _) => json,
        }
    }
}

/// How many conversations begin in each file of exports; the last file is the damaged one.
const HOMES: [usize; 6] = [100, 340, 290, 60, 60, 40];

/// Makes all files. The page is the last one.
pub fn make() -> Made {
    let mut maker = Maker {
        random: Random(2026),
        personal: Personal::default(),
        peculiar: Peculiar::default(),
    };
    let mut tally = Tally::default();
    let mut exports = spread(&mut maker, &mut tally);
    for line in oddities::not_json(&mut maker) {
        let place = maker.random.below(exports[0].len());
        let file = maker.random.below(2);
        exports[file].insert(place, Record::Refused(line, ("exports", "not_json")));
    }
    let huge = oddities::oversized(&mut maker);
    exports[1].insert(700, Record::Refused(huge, ("exports", "record_too_large")));
    for (json, reason) in oddities::refused(&mut maker) {
        let place = maker.random.below(exports[2].len());
        exports[2].insert(place, Record::Refused(json, reason));
    }
    let mut files = export_files(&exports, &mut tally);
    files.insert(5, envelopes(&mut maker, &mut tally));
    files.insert(6, analytics(&mut maker, &mut tally));
    let expected = tally.expected();
    files.push(page::page(
        &files,
        &maker.peculiar,
        &maker.personal,
        &tally.put_in,
        &expected,
    ));
    Made {
        files,
        personal: maker.personal,
        expected,
    }
}

/// Conversations, spread over the files: in the order of time, with what makes life hard.
fn spread(maker: &mut Maker, tally: &mut Tally) -> Vec<Vec<Record>> {
    let mut files: Vec<Vec<Event>> = vec![Vec::new(); HOMES.len()];
    let mut number = 0;
    for (home, count) in HOMES.into_iter().enumerate() {
        for _ in 0..count {
            let mut events = maker.conversation(number);
            number += 1;
            if maker.random.once_in(90) {
                // Nobody exported its beginning.
                events.remove(0);
                tally.put("conversations without a start", 1);
            } else if maker.random.once_in(10) && home < 4 {
                // The beginning comes in the next file: everything else is before it.
                files[home + 1].push(events.remove(0));
                tally.put("starts that lie in a later file than their completion", 1);
            } else if maker.random.once_in(10)
                && home > 0
                && let Some(last) = events.pop()
            {
                files[home - 1].push(last);
                tally.put(
                    "completions that lie in an earlier file than their start",
                    1,
                );
            }
            files[home].extend(events);
        }
    }
    for file in &mut files {
        file.sort_by_key(|event| event.at);
        for index in 0..file.len() {
            if maker.random.once_in(12) {
                let other = (index + 1 + maker.random.below(6)).min(file.len() - 1);
                file.swap(index, other);
                tally.put("events that changed places with one a little later", 1);
            }
        }
    }
    repeat(maker, &mut files, tally);
    files
        .into_iter()
        .map(|file| file.into_iter().map(Record::Event).collect())
        .collect()
}

/// The same event again: a little later in the same file, or in a later one.
fn repeat(maker: &mut Maker, files: &mut [Vec<Event>], tally: &mut Tally) {
    for home in 0..files.len() {
        let mut again = Vec::new();
        for index in 0..files[home].len() {
            let event = files[home][index].clone();
            if maker.random.once_in(40) {
                again.push((home, event));
            } else if maker.random.once_in(50) && home + 1 < files.len() {
                again.push((home + 1 + maker.random.below(files.len() - home - 1), event));
            }
        }
        for (file, event) in again {
            let first = files[file].iter().position(|other| other.id == event.id);
            let after = first.map_or(0, |first| first + 1);
            let place = after + maker.random.below(files[file].len() - after + 1);
            let what = if file == home {
                "repeats in the same file"
            } else {
                "repeats in a later file"
            };
            tally.put(what, 1);
            files[file].insert(place, event);
        }
    }
}

fn export_files(exports: &[Vec<Record>], tally: &mut Tally) -> Vec<File> {
    let mut files = Vec::new();
    let kinds: [(&str, &str); 6] = [
        ("1-march-2.json", "JSON lines"),
        ("2-march-3.ndjson.gz", "JSON lines, gzip"),
        ("3-march-6.json.zst", "JSON lines, zstd"),
        (
            "4-march-8.json",
            "values one after the other, without line breaks",
        ),
        ("5-march-9.json", "one array"),
        (
            "8-damaged.ndjson.gz",
            "JSON lines, gzip that ends in the middle",
        ),
    ];
    for (records, (name, about)) in exports.iter().zip(kinds) {
        let joined = |between: &str| {
            records
                .iter()
                .map(Record::json)
                .collect::<Vec<_>>()
                .join(between)
        };
        let mut seen = records.len();
        let (text, bytes) = match name.as_bytes()[0] {
            b'1' => plain(joined("\n") + "\n"),
            b'2' => gzip(joined("\n") + "\n"),
            b'3' => zstd(joined("\n") + "\n"),
            b'4' => plain(joined("")),
            b'5' => plain(format!("[{}]\n", joined(",\n "))),
            _ => {
                let (text, bytes) = damaged(&(joined("\n") + "\n"));
                seen = text.lines().count() - 1;
                tally.refuse(("exports", "truncated"));
                tally.refuse(("exports", "corrupt_file"));
                (text, bytes)
            }
        };
        records[..seen].iter().for_each(|record| tally.see(record));
        files.push(File {
            name: name.to_owned(),
            bytes,
            text,
            about,
        });
    }
    files
}

fn plain(text: String) -> (String, Vec<u8>) {
    let bytes = text.clone().into_bytes();
    (text, bytes)
}

fn gzip(text: String) -> (String, Vec<u8>) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    // Into memory: there is nothing that could fail.
    let _ = encoder.write_all(text.as_bytes());
    let bytes = encoder.finish().unwrap_or_default();
    (text, bytes)
}

fn zstd(text: String) -> (String, Vec<u8>) {
    let bytes = zstd::encode_all(text.as_bytes(), 19).unwrap_or_default();
    (text, bytes)
}

/// An archive of blocks that are stored as they are, so that it is known what can be read of it;
/// and that, which ends inside a line.
fn damaged(text: &str) -> (String, Vec<u8>) {
    const BLOCK: usize = 16 << 10;
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut readable = String::new();
    let cut = text[..text.len() * 3 / 4]
        .rfind(",\"metadata\"")
        .unwrap_or_default();
    for block in text.as_bytes()[..cut].chunks(BLOCK) {
        // The last block says that it is longer than what is there.
        let length = (block.len().max(BLOCK)) as u16;
        bytes.push(0);
        bytes.extend(length.to_le_bytes());
        bytes.extend((!length).to_le_bytes());
        bytes.extend(block);
    }
    readable.push_str(&text[..cut]);
    (readable, bytes)
}

fn envelopes(maker: &mut Maker, tally: &mut Tally) -> File {
    let mut text = String::new();
    for (number, (json, about)) in oddities::envelopes(maker).into_iter().enumerate() {
        tally.received += 1;
        match about {
            Some(_) => {
                let at =
                    1_772_409_600_000 + ((9 + number as u64 / 4) * 60 + number as u64 * 2) * 60_000;
                tally.row(
                    &format!("{}:00:00.000Z", &time(at)[..13]),
                    Some("queue-vip"),
                    None,
                    false,
                );
            }
            None => tally.refused(("unique", "missing_key")),
        }
        text.push_str(&json);
        text.push('\n');
    }
    let (text, bytes) = plain(text);
    File {
        name: "6-eventbridge.json".into(),
        bytes,
        text,
        about: "EventBridge envelopes",
    }
}

fn analytics(maker: &mut Maker, tally: &mut Tally) -> File {
    tally.received += 1;
    tally.add("analytics_facts", "created", oddities::SESSIONS - 1);
    tally.add("ordered", "labelled `orphan`", oddities::SESSIONS);
    for session in 0..oddities::SESSIONS {
        let agent = (session == 2).then(|| "user:agent-7".to_owned());
        tally.row(
            "2026-03-02T14:00:00.000Z",
            Some("queue-vip"),
            agent.as_deref(),
            false,
        );
    }
    let (text, bytes) = plain(oddities::analytics(maker));
    let about = "an analytics conversation document";
    File {
        name: "7-analytics.json".into(),
        bytes,
        text,
        about,
    }
}

/// Counts.
#[derive(Default)]
struct Tally {
    received: usize,
    counted: Expected,
    put_in: BTreeMap<&'static str, usize>,
    ids: HashSet<String>,
    started: HashSet<String>,
    waiting: Vec<String>,
    rows: usize,
    recordings: usize,
    hours: BTreeSet<String>,
    queues: BTreeSet<String>,
    agents: BTreeSet<String>,
}

impl Tally {
    fn put(&mut self, what: &'static str, count: usize) {
        *self.put_in.entry(what).or_default() += count;
    }

    fn add(&mut self, of: &str, what: &str, count: usize) {
        *self
            .counted
            .entry((of.to_owned(), what.to_owned()))
            .or_default() += count;
    }

    fn refused(&mut self, (node, reason): Reason) {
        self.add(node, &format!("dead-lettered `{reason}`"), 1);
    }

    fn refuse(&mut self, reason: Reason) {
        self.received += 1;
        self.refused(reason);
    }

    /// A record in the order in which the pipeline sees it.
    fn see(&mut self, record: &Record) {
        let event = match record {
            Record::Event(event) => event,
            Record::Refused(_, reason) => return self.refuse(*reason),
        };
        self.received += 1;
        if !self.ids.insert(event.id.clone()) {
            return self.add("unique", "dropped `duplicate`", 1);
        }
        match event.state {
            "started" => {
                self.started.insert(event.interaction.clone());
            }
            _ => self.waiting.push(event.interaction.clone()),
        }
        self.row(
            &event.hour,
            event.queue,
            event.agent.as_deref(),
            event.has_recording,
        );
    }

    fn row(&mut self, hour: &str, queue: Option<&str>, agent: Option<&str>, has_recording: bool) {
        self.rows += 1;
        self.recordings += usize::from(has_recording);
        self.hours.insert(hour.to_owned());
        self.queues.extend(queue.map(str::to_owned));
        self.agents.extend(agent.map(str::to_owned));
    }

    fn expected(&mut self) -> Expected {
        let orphans = self
            .waiting
            .iter()
            .filter(|of| !self.started.contains(*of))
            .count();
        self.add("ordered", "labelled `orphan`", orphans);
        self.add("exports", "received", self.received);
        self.add("warehouse", "delivered", self.rows);
        let dead = self
            .counted
            .iter()
            .filter(|((_, what), _)| what.starts_with("dead-lettered"));
        let dead = dead.map(|(_, count)| count).sum();
        self.add("dead_letter", "delivered", dead);
        for (table, rows) in [
            ("fact_interactions", self.rows),
            ("call_recordings", self.recordings),
            ("dim_agents", self.agents.len()),
            ("dim_queues", self.queues.len()),
            ("dim_time", self.hours.len()),
        ] {
            self.add(table, "rows", rows);
        }
        std::mem::take(&mut self.counted)
    }
}

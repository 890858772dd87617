//! The source `file` over real files: every way the records may lie, every place to go on from, and
//! every kind of damage.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use trunkline::clock::Wall;
use trunkline::failure::{Failure, Kind};
use trunkline::observe::Progress;
use trunkline::source::file::{Config, Order, ReadMode, open};
use trunkline::stage::{Checkpoint, Letter, Source};

/// What came out of a source.
#[derive(Default)]
struct Run {
    bodies: Vec<String>,
    letters: Vec<Letter>,
    /// After each delivery: what was kept, and how many bodies had come.
    checkpoints: Vec<(Checkpoint, usize)>,
    progress: Progress,
}

impl Run {
    fn reasons(&self) -> Vec<&'static str> {
        self.letters.iter().map(|letter| letter.reason).collect()
    }

    /// What the store holds when the first `deliveries` are settled: the last of each file.
    fn kept(&self, deliveries: usize) -> Vec<Checkpoint> {
        let mut kept: Vec<Checkpoint> = Vec::new();
        for (checkpoint, _) in &self.checkpoints[..deliveries] {
            kept.retain(|other| other.key != checkpoint.key);
            kept.push(checkpoint.clone());
        }
        kept
    }

    fn all_kept(&self) -> Vec<Checkpoint> {
        self.kept(self.checkpoints.len())
    }

    /// Takes one delivery; false at the end.
    async fn take(&mut self, source: &mut dyn Source) -> bool {
        let Some(delivery) = source.next().await.unwrap() else {
            return false;
        };
        let bodies = delivery.batch.events().iter().map(|event| event.to_json());
        self.bodies.extend(bodies);
        self.letters.extend(delivery.refused);
        for checkpoint in delivery.checkpoints {
            self.checkpoints.push((checkpoint, self.bodies.len()));
        }
        true
    }
}

fn start(config: &Config, kept: Vec<Checkpoint>, run: &Run) -> Box<dyn Source> {
    open(
        config,
        "in",
        Arc::default(),
        kept,
        run.progress.clone(),
        Wall::real(),
    )
    .unwrap()
}

async fn read(config: &Config, kept: Vec<Checkpoint>) -> Run {
    let mut run = Run::default();
    let mut source = start(config, kept, &run);
    while run.take(&mut *source).await {}
    run
}

/// In batches of seven, so that a few records make many places to go on from.
fn config(path: impl Into<PathBuf>) -> Config {
    let mut config = Config::new(path.into());
    config.format.limits.block_records = 7;
    config.poll = Duration::from_millis(1);
    config
}

fn records(name: &str, count: usize) -> Vec<String> {
    let record = |n| format!("{{\"id\":\"{name}-{n}\",\"text\":\"caf\u{e9}\"}}");
    (0..count).map(record).collect()
}

fn lines(records: &[String]) -> Vec<u8> {
    (records.join("\n") + "\n").into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One folder with the same kind of records in every framing and compression.
fn zoo(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for (compression, ending) in [("plain", ""), ("gzip", ".gz"), ("zstd", ".zst")] {
        for framing in ["array", "concatenated", "lines"] {
            let records = records(&format!("{compression}-{framing}"), 30);
            let bytes = match framing {
                "array" => format!("[{}]", records.join(",\n")).into_bytes(),
                "concatenated" => records.concat().into_bytes(),
                _ => lines(&records),
            };
            let bytes = match compression {
                "gzip" => gzip(&bytes),
                "zstd" => zstd::encode_all(&bytes[..], 1).unwrap(),
                _ => bytes,
            };
            // In the order of their names.
            let name = format!("{:03}-{framing}.json{ending}", all.len());
            fs::write(folder.join(name), bytes).unwrap();
            all.extend(records);
        }
    }
    all
}

#[tokio::test]
async fn every_framing_and_compression_gives_the_same_records() {
    let folder = TempDir::new().unwrap();
    let all = zoo(folder.path());
    let run = read(&config(folder.path()), Vec::new()).await;
    assert_eq!(run.bodies, all);
    assert_eq!(run.reasons(), [""; 0]);
    let progress = run.progress.snapshot();
    assert_eq!((progress.files_done, progress.files_total), (9, Some(9)));
    assert_eq!(progress.bytes_total, Some(progress.bytes_done));
    assert_eq!(progress.records, all.len() as u64);
}

#[tokio::test]
async fn goes_on_from_every_place_that_is_kept() {
    let folder = TempDir::new().unwrap();
    let all = zoo(folder.path());
    let config = config(folder.path());
    let whole = read(&config, Vec::new()).await;
    assert!(whole.checkpoints.len() > 40);
    for deliveries in 0..=whole.checkpoints.len() {
        let read_before = match deliveries {
            0 => 0,
            some => whole.checkpoints[some - 1].1,
        };
        let rest = read(&config, whole.kept(deliveries)).await;
        assert_eq!(
            rest.bodies,
            all[read_before..],
            "after {deliveries} deliveries"
        );
        let progress = rest.progress.snapshot();
        assert_eq!(progress.files_done, 9);
        assert_eq!(progress.bytes_total, Some(progress.bytes_done));
    }
}

#[tokio::test]
async fn a_second_run_reads_nothing_and_a_third_what_was_added() {
    let folder = TempDir::new().unwrap();
    zoo(folder.path());
    let config = config(folder.path());
    let first = read(&config, Vec::new()).await;
    let second = read(&config, first.all_kept()).await;
    assert!(second.bodies.is_empty() && second.checkpoints.is_empty());
    let added = records("added", 3);
    fs::write(folder.path().join("zz"), lines(&added)).unwrap();
    let third = read(&config, first.all_kept()).await;
    assert_eq!(third.bodies, added);
}

#[tokio::test]
async fn what_was_appended_is_read_and_what_changed_is_read_anew() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a");
    let (old, new) = (records("old", 10), records("new", 10));
    fs::write(&path, lines(&old)).unwrap();
    let config = config(folder.path());
    let first = read(&config, Vec::new()).await;
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&lines(&new)).unwrap();
    let second = read(&config, first.all_kept()).await;
    assert_eq!(second.bodies, new);
    fs::write(&path, lines(&new)).unwrap();
    let third = read(&config, second.all_kept()).await;
    assert_eq!(third.bodies, new);
    // An array with more in it is another array.
    fs::write(&path, format!("[{}]", old[..5].join(","))).unwrap();
    let fourth = read(&config, Vec::new()).await;
    fs::write(&path, format!("[{}]", old.join(","))).unwrap();
    let fifth = read(&config, fourth.all_kept()).await;
    assert_eq!(fifth.bodies, old);
}

#[tokio::test]
async fn damaged_archives_are_set_aside_once_after_what_was_whole() {
    let folder = TempDir::new().unwrap();
    let (one, two, three) = (records("one", 50), records("two", 3), records("three", 3));
    let mut broken = gzip(&lines(&one));
    broken.truncate(broken.len() - 5);
    fs::write(folder.path().join("1.gz"), &broken).unwrap();
    fs::write(folder.path().join("2.gz"), lines(&two)).unwrap();
    fs::write(folder.path().join("3.zst"), b"").unwrap();
    fs::write(folder.path().join("4"), lines(&three)).unwrap();
    let config = config(folder.path());
    let first = read(&config, Vec::new()).await;
    let whole: Vec<_> = one.iter().chain(&three).cloned().collect();
    assert_eq!(first.bodies, whole);
    assert_eq!(first.reasons(), ["corrupt_file", "corrupt_file"]);
    assert!(first.letters[0].provenance.object.ends_with("/1.gz"));
    assert!(first.letters[0].detail.contains("ends in the middle"));
    assert_eq!(first.letters[0].position.offset, lines(&one).len() as u64);
    assert!(first.letters[1].provenance.object.ends_with("/2.gz"));
    let progress = first.progress.snapshot();
    assert_eq!(progress.records, whole.len() as u64);
    assert_eq!(progress.bytes_total, Some(progress.bytes_done));
    // Not again, unless the file changes.
    let second = read(&config, first.all_kept()).await;
    assert_eq!((second.bodies.len(), second.letters.len()), (0, 0));
    fs::write(folder.path().join("2.gz"), gzip(&lines(&two))).unwrap();
    let third = read(&config, first.all_kept()).await;
    assert_eq!((third.bodies, third.letters.len()), (two, 0));
}

#[tokio::test]
async fn records_that_are_none_are_letters_in_their_places() {
    let folder = TempDir::new().unwrap();
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(300_000));
    let text = format!("{{\"n\":1}}\n{long}\nno json\n{{\"n\":2}}\n");
    fs::write(folder.path().join("a"), text).unwrap();
    let mut config = config(folder.path());
    config.format.limits.record_bytes = 1000;
    let run = read(&config, Vec::new()).await;
    assert_eq!(run.bodies, ["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(run.reasons(), ["record_too_large", "not_json"]);
    let lines: Vec<_> = run.letters.iter().map(|l| l.position.line).collect();
    assert_eq!(lines, [2, 3]);
}

/// Takes one delivery of many from the first file, so that its end cannot have been reached and the
/// next file cannot have been opened; changes what the test changes; reads the rest.
async fn meddle(folder: &Path, meddle: impl FnOnce(&Path)) -> Run {
    let mut config = config(folder);
    config.format.limits.block_records = 1;
    let mut run = Run::default();
    let mut source = start(&config, Vec::new(), &run);
    assert!(run.take(&mut *source).await);
    meddle(folder);
    while run.take(&mut *source).await {}
    run
}

#[tokio::test]
async fn a_file_that_changes_under_the_reader_is_reported_and_read_again() {
    let (before, after) = (records("before", 100), records("after", 60));
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("1"), lines(&before)).unwrap();
    fs::write(folder.path().join("2"), lines(&after)).unwrap();
    let first = meddle(folder.path(), |folder| {
        fs::write(folder.join("1"), lines(&after)).unwrap();
    });
    let first = first.await;
    assert_eq!(first.reasons(), ["file_changed"]);
    assert_eq!(
        first.bodies[first.bodies.len() - 60..],
        after,
        "the next file goes on"
    );
    let second = read(&config(folder.path()), first.all_kept()).await;
    assert_eq!(second.bodies, after);
    assert_eq!(second.reasons(), [""; 0]);
}

#[tokio::test]
async fn a_file_that_vanishes_is_reported() {
    let folder = TempDir::new().unwrap();
    let (one, three) = (records("one", 100), records("three", 2));
    fs::write(folder.path().join("1"), lines(&one)).unwrap();
    fs::write(folder.path().join("2"), lines(&one)).unwrap();
    fs::write(folder.path().join("3"), lines(&three)).unwrap();
    let run = meddle(folder.path(), |folder| {
        fs::remove_file(folder.join("2")).unwrap()
    })
    .await;
    assert_eq!(run.reasons(), ["file_vanished"]);
    assert!(run.letters[0].detail.contains("/2`"));
    assert_eq!(run.bodies.len(), 102);
    assert_eq!(run.progress.snapshot().files_done, 3);
}

#[tokio::test]
async fn the_order_can_be_that_of_the_last_change() {
    let folder = TempDir::new().unwrap();
    for (name, seconds) in [("a", 30), ("b", 10), ("c", 20)] {
        let path = folder.path().join(name);
        fs::write(&path, format!("{{\"from\":\"{name}\"}}")).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    }
    let mut config = config(folder.path());
    config.order = Order::Modified;
    let run = read(&config, Vec::new()).await;
    assert_eq!(
        run.bodies,
        ["{\"from\":\"b\"}", "{\"from\":\"c\"}", "{\"from\":\"a\"}"]
    );
}

#[tokio::test]
async fn nothing_to_read_is_an_end_and_a_missing_folder_is_not() {
    let folder = TempDir::new().unwrap();
    let run = read(&config(folder.path()), Vec::new()).await;
    assert_eq!((run.bodies.len(), run.letters.len()), (0, 0));
    let run = read(&config(folder.path().join("*.json")), Vec::new()).await;
    assert_eq!(run.progress.snapshot().files_total, Some(0));
    let missing = config(folder.path().join("missing"));
    let opened = open(
        &missing,
        "in",
        Arc::default(),
        Vec::new(),
        Progress::default(),
        Wall::real(),
    );
    let failure: Failure = opened.err().unwrap();
    assert_eq!(failure.kind(), Kind::Fatal);
    assert!(failure.losses()[0].cause.message.contains("missing"));
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

/// Reads until so many bodies have come in all.
async fn until(run: &mut Run, source: &mut dyn Source, bodies: usize) {
    while run.bodies.len() < bodies {
        assert!(run.take(source).await, "a followed input has no end");
    }
}

#[tokio::test]
async fn follows_files_as_they_grow_come_and_turn() {
    let folder = TempDir::new().unwrap();
    let all = records("r", 100);
    let log = folder.path().join("log");
    append(&log, &lines(&all[..10]));
    let mut config = config(folder.path());
    config.read = ReadMode::Follow;
    let mut run = Run::default();
    let mut source = start(&config, Vec::new(), &run);
    until(&mut run, &mut *source, 10).await;
    // Half a line waits for its other half.
    let half = all[10].len() / 2;
    append(&log, &all[10].as_bytes()[..half]);
    append(&folder.path().join("more"), &lines(&all[11..13]));
    until(&mut run, &mut *source, 12).await;
    append(&log, format!("{}\n", &all[10][half..]).as_bytes());
    until(&mut run, &mut *source, 13).await;
    run.bodies
        .sort_by_key(|body| all.iter().position(|one| one == body));
    assert_eq!(run.bodies, all[..13]);
    // Renamed and begun anew: the old one goes on from its place.
    fs::rename(&log, folder.path().join("log.1")).unwrap();
    append(&log, &lines(&all[13..15]));
    until(&mut run, &mut *source, 15).await;
    append(&folder.path().join("log.1"), &lines(&all[15..16]));
    until(&mut run, &mut *source, 16).await;
    // Emptied and begun anew, shorter than before.
    fs::write(&log, lines(&all[16..17])).unwrap();
    until(&mut run, &mut *source, 17).await;
    // An archive that was moved in.
    let archive = folder.path().join("old.gz");
    fs::write(&archive, gzip(&lines(&all[17..40]))).unwrap();
    until(&mut run, &mut *source, 40).await;
    assert_eq!(run.bodies[13..], all[13..40]);
    assert_eq!(run.reasons(), [""; 0]);
    assert_eq!(run.progress.snapshot().bytes_total, None);
    // And from there in the next run.
    let kept = run.all_kept();
    drop(source);
    append(&log, &lines(&all[40..50]));
    let mut run = Run::default();
    let mut source = start(&config, kept, &run);
    until(&mut run, &mut *source, 10).await;
    assert_eq!(run.bodies, all[40..50]);
}

#[tokio::test]
async fn a_source_that_is_dropped_in_the_middle_lets_go_of_its_file() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("a"), lines(&records("r", 10_000))).unwrap();
    let mut run = Run::default();
    let mut source = start(&config(folder.path()), Vec::new(), &run);
    assert!(run.take(&mut *source).await);
    drop(source);
    // The thread sees it at its next piece; what it has open is then closed.
    let open = || {
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        links
            .filter_map(|link| fs::read_link(link.path()).ok())
            .any(|path| path.starts_with(folder.path()))
    };
    while open() {
        std::thread::yield_now();
    }
}

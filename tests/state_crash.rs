//! `kill -9` at any moment: what was committed is there, and nothing is there by half.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkline::stage::Checkpoint;
use trunkline::state::{Op, Store};

const ROUNDS: u64 = 10;
/// Rows of one delivery, spread over two tables.
const ROWS: u64 = 5;
/// Deliveries that are committed at the same time, so that the writer groups them.
const TOGETHER: u64 = 8;

/// Set for the child: the folder of the store, and the first delivery's number.
const DIR: &str = "STATE_CRASH_DIR";
const FIRST: &str = "STATE_CRASH_FIRST";

/// The test's program runs itself with this one test; then it is the child.
#[tokio::test]
async fn nothing_committed_is_lost_and_nothing_is_there_by_half() {
    if let (Ok(dir), Ok(first)) = (std::env::var(DIR), std::env::var(FIRST)) {
        return commit_for_ever(Path::new(&dir), first.parse().unwrap()).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut committed = BTreeSet::new();
    let mut first = 0;
    for round in 0..ROUNDS {
        // From a kill before the first commit to one after hundreds.
        let wait = Duration::from_micros(RandomState::new().hash_one(round) % 150_000);
        committed.extend(run_and_kill(dir.path(), first, wait));
        first = check(
            dir.path(),
            &committed,
            &format!("round {round}, killed after {wait:?}"),
        )
        .await;
    }
    assert!(committed.len() > 10, "the child hardly ran: {committed:?}");
}

async fn commit_for_ever(dir: &Path, first: u64) {
    let store = Store::open(dir, None).unwrap();
    say("open");
    for group in 0.. {
        let start = first + group * TOGETHER;
        let commits = (start..start + TOGETHER).map(|delivery| commit(&store, delivery));
        futures::future::join_all(commits).await;
    }
}

async fn commit(store: &Store, delivery: u64) {
    for row in 0..ROWS {
        let mut key = delivery.to_be_bytes().to_vec();
        key.push(row as u8);
        let value = vec![row as u8; 500];
        let table = store.table(if row % 2 == 0 { "even" } else { "odd" });
        table.note(delivery, Op::Put { key, value });
    }
    let place = Checkpoint {
        key: delivery.to_be_bytes().to_vec(),
        value: b"here".to_vec(),
    };
    let source: Arc<str> = "source".into();
    store
        .commit(vec![delivery], vec![(source, place)])
        .await
        .unwrap();
    say(&format!("committed {delivery}"));
}

/// Written at once: what a killed process had in its buffer is gone.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn child(dir: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--nocapture",
            "--exact",
            "nothing_committed_is_lost_and_nothing_is_there_by_half",
        ])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The deliveries that the child said it had committed.
fn run_and_kill(dir: &Path, first: u64, wait: Duration) -> Vec<u64> {
    let mut child = child(dir, first);
    let out = BufReader::new(child.stdout.take().unwrap());
    let (opened, is_open) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        for line in out.lines().map_while(Result::ok) {
            if line == "open" {
                opened.send(()).unwrap();
            }
            said.extend(
                line.strip_prefix("committed ")
                    .and_then(|n| n.parse::<u64>().ok()),
            );
        }
        said
    });
    // A child that fails to open the store closes its end, which ends the wait.
    is_open.recv().expect("the child opens the store");
    std::thread::sleep(wait);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Whenever a run is killed while it makes the store, the next one finds a good store or none.
#[tokio::test]
async fn a_store_that_was_half_made_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    run_and_kill(dir.path(), 0, Duration::ZERO);
    let length = begun.elapsed();
    let mut names = BTreeSet::new();
    for round in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        let wait = length * round / 50;
        let mut child = child(dir.path(), 0);
        std::thread::sleep(wait);
        child.kill().unwrap();
        child.wait().unwrap();
        let found = std::fs::read_dir(dir.path()).unwrap();
        names.extend(found.map(|entry| entry.unwrap().path().extension().map(OsString::from)));
        check(dir.path(), &BTreeSet::new(), &format!("after {wait:?}")).await;
    }
    // Some were killed before it was there, and some after.
    assert!(names.contains(&Some("redb".into())), "{names:?}");
}

/// Looks at the store as the next run would; the first number that was never used.
async fn check(dir: &Path, committed: &BTreeSet<u64>, when: &str) -> u64 {
    let store = Store::open(dir, None).unwrap();
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    let number = |key: &[u8]| u64::from_be_bytes(key[..8].try_into().unwrap());
    for table in ["even", "odd"] {
        let mut visit = |key: &[u8], value: &[u8]| {
            assert_eq!(value, vec![key[8]; 500], "{when}");
            *found.entry(number(key)).or_default() += 1;
        };
        store.table(table).scan(&mut visit).unwrap();
    }
    for place in store.checkpoints("source").await.unwrap() {
        *found.entry(number(&place.key)).or_default() += 1;
    }
    for (delivery, parts) in &found {
        assert_eq!(
            *parts,
            ROWS + 1,
            "{when}: delivery {delivery} is there by half"
        );
    }
    for delivery in committed {
        assert!(
            found.contains_key(delivery),
            "{when}: delivery {delivery} is lost"
        );
    }
    found.keys().next_back().map_or(0, |last| last + 1)
}

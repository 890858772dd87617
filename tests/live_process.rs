//! A simulated platform, and the pipeline behind it as a process that is killed at random moments: what
//! the platform delivered is in the sink, or lies within a gap that some run has told of.
//!
//! `TRUNKLINE_KILLS=100 cargo test --test live_process` is the long form. A run says its seed;
//! `TRUNKLINE_SEED=n` draws the same again (the moments themselves are the machine's).

#[path = "live_process/judge.rs"]
mod judge;
#[path = "live_process/left.rs"]
mod left;
#[path = "live_process/lives.rs"]
mod lives;
#[path = "participant_sync/process.rs"]
#[allow(dead_code)] // What is answered is looked at in more detail there.
mod process;
#[path = "../examples/generate_quickstart/random.rs"]
#[allow(dead_code)] // The generator draws more than is drawn here.
mod random;

use std::hash::{BuildHasher, RandomState};

use lives::Lives;

/// Kills where nothing is said.
const KILLS: u64 = 10;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_heard() {
    let seed = setting("TRUNKLINE_SEED").unwrap_or_else(|| RandomState::new().hash_one(0) >> 16);
    println!("TRUNKLINE_SEED={seed}");
    let mut lives = Lives::begin(seed);
    let kills = setting("TRUNKLINE_KILLS").unwrap_or(KILLS);
    while lives.kills < kills {
        lives.live();
    }
    let (told, left, gaps) = lives.end();
    let mut wrong = Vec::new();
    let repeated = judge::repeats(&left, &mut wrong);
    judge::ordered(&left, &mut wrong);
    let verdict = judge::hold(&told, &left, &gaps, &mut wrong);
    let seconds: f64 = gaps.iter().map(judge::Gap::seconds).sum();
    println!(
        "{kills} kills, {} frames, {} events, {repeated} repeated, {} gaps of {seconds:.1} s, {verdict:?}",
        told.len(),
        left.lines.len(),
        gaps.len(),
    );
    if !wrong.is_empty() {
        wrong.truncate(40);
        lives.folder.disable_cleanup(true);
        let (folder, wrong) = (lives.folder.path().display(), wrong.join("\n"));
        panic!("TRUNKLINE_SEED={seed}, see {folder}:\n{wrong}");
    }
    // It did hear much of what was said, and lost little from its hands.
    assert!(
        verdict.heard > 30 * kills as usize && verdict.safe > 0,
        "{verdict:?}"
    );
    assert!(verdict.in_hands <= verdict.heard / 20, "{verdict:?}");
    assert!(gaps.iter().any(|gap| gap.reason == "restart"));
}

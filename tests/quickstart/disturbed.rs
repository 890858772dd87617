//! Runs that are killed or stopped, and go on.

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::input::random::Random;
use crate::place::{Dump, Ended, Letter, Place, assert_adds_up, assert_same};

/// Small batches, so that there are many moments between which to kill.
const SMALL: (&str, &str) = ("batch_events: 500", "batch_events: 20");
/// Nothing waits for its start, so that progress is kept all the time. As the pipeline is shipped,
/// conversations that never start hold the place in their file back until the input ends.
const NO_WAITING: (&str, &str) = ("lifecycle:\n", "lifecycle:\n      opener: optional\n");
const KILLS: usize = 16;

fn random() -> Random {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_nanos() as u64;
    let seed = std::env::var("QUICKSTART_SEED").map_or(now, |seed| seed.parse().unwrap());
    println!("QUICKSTART_SEED={seed}");
    Random(seed)
}

/// What an undisturbed run leaves, and how long it takes.
fn undisturbed(changes: &[(&str, &str)]) -> (Dump, std::collections::BTreeSet<Letter>, Duration) {
    let place = Place::with(changes);
    let begun = Instant::now();
    place.run();
    (place.facts(), place.letters(), begun.elapsed())
}

/// Kills run after run until one ends by itself or there were enough; how many were killed.
fn kill_many(place: &Place, most: usize, random: &mut Random, longest: Duration) -> usize {
    for killed in 0..most {
        let mut child = place.command().spawn().unwrap();
        sleep(longest / 100 * random.below(100) as u32);
        child.kill().unwrap();
        if child.wait().unwrap().code().is_some() {
            return killed;
        }
    }
    most
}

/// `share`: how much of the time that it needs a run is given at most, in per cent.
fn assert_survives(changes: &[(&str, &str)], share: u32) {
    let (facts, letters, length) = undisturbed(changes);
    let (mut random, mut killed) = (random(), 0);
    while killed < KILLS {
        let place = Place::with(changes);
        let most = KILLS - killed;
        killed += kill_many(&place, most, &mut random, length / 100 * share);
        place.run();
        assert_adds_up(&place.summary());
        assert_same(&place.facts(), &facts);
        assert_eq!(place.letters(), letters);
    }
}

#[test]
fn killed_at_any_moment_it_leaves_the_same_facts() {
    assert_survives(&[SMALL], 80);
}

#[test]
fn killed_at_any_moment_it_goes_on_where_it_was() {
    // Each run has less time, since it goes on where the last one was killed.
    assert_survives(&[SMALL, NO_WAITING], 30);
}

fn terminate(child: &Child) {
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

fn assert_stops(changes: &[(&str, &str)]) {
    let (facts, letters, length) = undisturbed(changes);
    let mut random = random();
    let place = Place::with(changes);
    let mut stopped = 0;
    for _ in 0..4 {
        let child = place.command().spawn().unwrap();
        // Not before it listens for signals.
        sleep(Duration::from_millis(100) + length / 400 * random.below(100) as u32);
        terminate(&child);
        let asked = Instant::now();
        let ended = Ended::of(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(
            asked.elapsed() < Duration::from_secs(10),
            "{:?}",
            asked.elapsed()
        );
        assert!(!ended.stderr.contains("going again"), "{}", ended.stderr);
        assert_adds_up(&place.summary());
        stopped += usize::from(ended.stderr.contains("stopping"));
    }
    assert!(stopped > 0, "no run was stopped in the middle");
    place.run();
    assert_same(&place.facts(), &facts);
    assert_eq!(place.letters(), letters);
}

#[test]
fn a_stopped_run_is_drained_and_goes_on() {
    assert_stops(&[SMALL, NO_WAITING]);
}

#[test]
fn a_stopped_run_gives_back_what_it_holds() {
    assert_stops(&[SMALL]);
}

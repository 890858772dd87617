//! Runs that are killed at any moment, and go on.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::input::make;
use crate::input::random::Random;
use crate::place::{Place, assert_is_whole};

const KILLS: usize = 12;

/// Seeded by `EXPORTS_SEED`, or else by the time, which is told.
pub fn random() -> Random {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seed = std::env::var("EXPORTS_SEED").map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or(now.as_nanos() as u64);
    println!("EXPORTS_SEED={seed}");
    Random(seed)
}

#[test]
fn killed_at_any_moment_it_leaves_the_same_tables() {
    let made = make();
    let undisturbed = Place::in_small_steps();
    let begun = Instant::now();
    undisturbed.run();
    let length = begun.elapsed();
    assert_is_whole(&undisturbed, &made);
    let (mut random, mut killed, mut rounds) = (random(), 0, 0);
    while killed < KILLS && rounds < 3 * KILLS {
        let place = Place::in_small_steps();
        rounds += 1;
        // Killed several times on one way, each time before it can be at the end.
        for _ in 0..3 {
            let mut child = place.start();
            sleep(length / 100 * (10 + random.below(80) as u32).min(90));
            child.kill().unwrap();
            if child.wait().unwrap().code().is_some() {
                break;
            }
            killed += 1;
        }
        place.run();
        assert_is_whole(&place, &made);
        assert_eq!(place.letters(), undisturbed.letters());
    }
    assert!(
        killed >= KILLS,
        "only {killed} runs were killed in {length:?}"
    );
    assert!(length > Duration::from_millis(1));
}

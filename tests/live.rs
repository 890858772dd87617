//! Ten hours of a simulated platform whose connections die, through the real source and the whole
//! pipeline: what it told is in the sink once and in order, and what it told to nobody is recovered, or
//! lies within a gap that was counted.
//!
//! The platform's clock runs fast, so a second of the test is some minutes of the platform's.
//! `TRUNKLINE_HOURS=100 cargo test --test live` is the long form.

#[path = "live/oracle.rs"]
mod oracle;
#[path = "live/run.rs"]
mod run;

use std::time::Duration;

use jiff::SignedDuration;
use trunkline::simulator::{Config, Faults, Limits};

use run::{Live, wall};

/// Simulated seconds in a real one.
const SPEED: f64 = 360.0;

fn hours() -> f64 {
    let hours = std::env::var("TRUNKLINE_HOURS");
    hours.map_or(10.0, |hours| hours.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_hours_of_deaths_lose_nothing_that_is_not_counted() {
    const HOUR: Duration = Duration::from_secs(3600);
    let seed = std::env::var("TRUNKLINE_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("TRUNKLINE_SEED={seed}");
    let limits = Limits {
        // Two roll-overs and three tokens in ten hours.
        channel: 4 * HOUR,
        token: 3 * HOUR,
        ..Limits::default()
    };
    let faults = Faults {
        duplicate: 0.03,
        reorder: 0.03,
        delay: 0.02,
        stale_snapshot: 0.02,
        closing_unannounced: 0.3,
        socket_life: Some(4 * Duration::from_secs(60)),
        ..Faults::default()
    };
    let config = Config {
        seed,
        speed: SPEED,
        rate: 60.0,
        queues: 3,
        users: 12,
        conversations: Some(40),
        limits,
        faults,
        ..Config::default()
    };
    let live = Live::start(config).await;
    tokio::time::sleep(wall(hours() * 3600.0, SPEED)).await;
    let ended = live.end().await;

    assert_eq!(oracle::repeats(&ended.got), Vec::<&str>::new());
    oracle::ordered(&ended.told, &ended.got);
    let slack = SignedDuration::from_millis(50);
    let verdict = oracle::hold(&ended.told, &ended.got, &ended.gaps, slack);
    let late = ended.late();
    let seconds: f64 = ended.gaps.iter().map(|gap| gap.seconds()).sum();
    println!(
        "{verdict:?}, {} frames, {} gaps of {seconds:.1} s, {late} late of {}, {:?}",
        ended.told.len(),
        ended.gaps.len(),
        ended.got.len(),
        ended.counts,
    );
    // It was as bad as it was meant to be.
    assert!(
        ended.gaps.len() as f64 > 5.0 * hours(),
        "{}",
        ended.gaps.len()
    );
    assert!(
        verdict.delivered > 1_000 && verdict.recovered > 0,
        "{verdict:?}"
    );
    assert!(ended.counts.duplicated > 0 && ended.counts.late > 0 && ended.counts.stale > 0);
    // What comes late is what a re-read has brought.
    assert!(late < ended.got.len() / 10, "{late}");
}

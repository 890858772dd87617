//! Takes steps at the rate that was asked for, and does what is due in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::platform::Shared;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(5);
/// Steps under one hold of the lock, so that requests are answered in between.
const AT_ONCE: u64 = 64;
/// Steps that a round may be behind its time; more are let go, or a machine that is too slow would
/// never listen to anything else.
const MAX_BEHIND: f64 = 0.5;
/// Rounds between two writings of the oracle's file.
const FLUSH_EVERY: u64 = 40;

/// Runs until it is stopped.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pace = Pace::new(&shared);
    let mut round = 0_u64;
    loop {
        rounds.tick().await;
        round += 1;
        let mut due = {
            let platform = shared.platform();
            pace.set(platform.config.rate);
            pace.due(platform.paused)
        };
        while due > 0 {
            let batch = due.min(AT_ONCE);
            due -= batch;
            {
                let mut platform = shared.platform();
                for _ in 0..batch {
                    let at = pace.next();
                    if !platform.step(at) {
                        due = 0;
                        break;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        let now = shared.clock.now();
        let mut platform = shared.platform();
        platform.tend(now);
        if round.is_multiple_of(FLUSH_EVERY) {
            platform.teller.flush();
        }
    }
}

/// When which step happens. Steps have even distances on the simulated clock, whatever the real one
/// does in a round, so that a seed decides the times of the story too.
struct Pace {
    rate: f64,
    /// Simulated microseconds between two steps.
    stride: f64,
    begun: Instant,
    /// Steps of before `begun`'s scale.
    taken: f64,
    /// Time of the next step.
    at: f64,
    speed: f64,
}

impl Pace {
    fn new(shared: &Shared) -> Self {
        let rate = shared.platform().config.rate;
        Self {
            rate,
            stride: 1e6 / rate * shared.clock.speed,
            begun: Instant::now(),
            taken: 0.0,
            at: shared.clock.start() as f64,
            speed: shared.clock.speed,
        }
    }

    /// From now on at this rate.
    fn set(&mut self, rate: f64) {
        if rate != self.rate {
            self.rate = rate;
            self.stride = 1e6 / rate * self.speed;
            self.begun = Instant::now();
            self.taken = 0.0;
        }
    }

    /// How many steps are due.
    fn due(&mut self, paused: bool) -> u64 {
        let behind = self.begun.elapsed().as_secs_f64() * self.rate - self.taken;
        let allowed = match paused {
            true => 0.0,
            false => (MAX_BEHIND * self.rate).max(1.0),
        };
        if behind > allowed {
            // What is let go is time in which nothing happened.
            let skipped = behind - allowed;
            self.taken += skipped;
            self.at += skipped * self.stride;
        }
        behind.min(allowed).max(0.0) as u64
    }

    fn next(&mut self) -> i64 {
        self.taken += 1.0;
        let at = self.at;
        self.at += self.stride;
        at as i64
    }
}

//! When have too many of the latest events been dropped?

/// Events to have seen before a share means anything.
const LEAST_EVENTS: f64 = 100.0;

/// Once this many events are counted, both counts are halved: what was long ago fades, so a long run
/// without drops cannot hide an outage of now, nor an old outage keep the alert raised.
const MEMORY_EVENTS: f64 = 2_000.0;

/// The latest events of a node, those of them that were dropped, and whether that was told.
pub(super) struct Drops {
    share: f64,
    came: f64,
    dropped: f64,
    raised: bool,
}

/// The alert is to be raised or cleared.
#[derive(Debug, PartialEq)]
pub(super) struct Change {
    pub(super) active: bool,
    pub(super) share: f64,
    pub(super) limit: f64,
}

impl Drops {
    pub(super) fn new(share: f64) -> Self {
        Self {
            share,
            came: 0.0,
            dropped: 0.0,
            raised: false,
        }
    }

    pub(super) fn set_share(&mut self, share: f64) -> Option<Change> {
        if share > 0.0 && share <= 1.0 {
            self.share = share;
        }
        None
    }

    pub(super) fn came(&mut self, events: u64) -> Option<Change> {
        // Halved before the new ones are added: their drops are not known yet, and a batch that
        // pushed everything else out would always look harmless.
        if self.came >= MEMORY_EVENTS {
            self.came /= 2.0;
            self.dropped /= 2.0;
        }
        self.came += as_f64(events);
        // More can only come down to a clearing, and only of an alert that is up.
        if self.raised { self.judge() } else { None }
    }

    pub(super) fn dropped(&mut self, events: u64) -> Option<Change> {
        self.dropped += as_f64(events);
        self.judge()
    }

    fn judge(&mut self) -> Option<Change> {
        if self.came < LEAST_EVENTS {
            return None;
        }
        let share = (self.dropped / self.came).min(1.0);
        let active = match self.raised {
            false => share > self.share,
            // Cleared at half the limit: a share that wavers about the limit is told once.
            true => share >= self.share / 2.0,
        };
        let changed = active != self.raised;
        self.raised = active;
        changed.then_some(Change {
            active,
            share,
            limit: self.share,
        })
    }
}

/// Exact up to 2^53, more than any count between two halvings.
#[allow(clippy::cast_precision_loss)]
fn as_f64(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_once_above_the_share_and_re_armed_below_half_of_it() {
        let mut drops = Drops::new(0.05);
        assert_eq!(drops.came(1_000), None);
        assert_eq!(drops.dropped(50), None, "5 % is not above 5 %");
        let change = drops.dropped(1).expect("above 5 %");
        assert!(change.active);
        assert_eq!(drops.dropped(100), None, "told once");
        // Back to above a half of the limit: still up.
        assert_eq!(drops.came(1_000), None);
        // The calm that follows clears it, exactly once.
        let cleared: Vec<_> = (0..100).filter_map(|_| drops.came(100)).collect();
        assert_eq!(cleared.len(), 1);
        assert!(!cleared[0].active);
        assert!(cleared[0].share < 0.025);
        // And it can be raised again.
        assert!(drops.dropped(500).expect("re-armed").active);
    }

    #[test]
    fn few_events_raise_nothing() {
        let mut drops = Drops::new(0.05);
        drops.came(99);
        assert_eq!(drops.dropped(99), None);
        drops.came(1);
        assert!(drops.dropped(1).is_some());
    }

    #[test]
    fn a_long_quiet_run_does_not_hide_an_outage() {
        let mut drops = Drops::new(0.05);
        for _ in 0..100_000 {
            drops.came(1_000);
        }
        drops.came(1_000);
        assert!(drops.dropped(1_000).is_some());
    }

    #[test]
    fn a_share_that_makes_no_sense_is_not_taken() {
        for share in [0.0, -1.0, 1.5, f64::NAN] {
            let mut drops = Drops::new(0.05);
            drops.set_share(share);
            drops.came(1_000);
            assert_eq!(drops.dropped(50), None);
            assert!(drops.dropped(1).is_some());
        }
    }
}

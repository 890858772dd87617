//! How far a source is in event time.

/// A step forward by more than this (1 h, in microseconds) needs the next event to confirm it:
/// one event with a wild time must not make all that follow it late.
const LEAP: i64 = 3_600_000_000;

/// The greatest event time that is believed.
#[derive(Debug, Default)]
pub(super) struct Watermark {
    greatest: Option<i64>,
    /// A time that is far ahead and waits for confirmation.
    ahead: Option<i64>,
}

impl Watermark {
    /// Takes an event's time into account.
    pub fn see(&mut self, time: i64) {
        let far = |from: i64, to: i64| to.saturating_sub(from) > LEAP;
        match (self.greatest, self.ahead) {
            (Some(greatest), _) if !far(greatest, time) => {
                self.greatest = Some(greatest.max(time));
                self.ahead = None;
            }
            (_, Some(ahead)) => {
                let (low, high) = (ahead.min(time), ahead.max(time));
                let leaps = far(low, high);
                self.greatest = Some(if leaps { low } else { high });
                self.ahead = leaps.then_some(high);
            }
            (_, None) => self.ahead = Some(time),
        }
    }

    /// True when an event of this time need not wait any longer for older ones.
    pub fn passed(&self, time: i64, lateness: i64) -> bool {
        self.greatest
            .is_some_and(|greatest| time <= greatest.saturating_sub(lateness))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_greatest_time() {
        let mut mark = Watermark::default();
        for time in [10, 30, 20] {
            mark.see(time);
        }
        assert!(mark.passed(25, 5) && !mark.passed(26, 5));
    }

    #[test]
    fn is_not_led_away_by_one_wild_time() {
        let mut mark = Watermark::default();
        for time in [i64::MAX, 10, 20, LEAP + 100, 30] {
            mark.see(time);
        }
        assert!(mark.passed(30, 0) && !mark.passed(31, 0));
        // A far time right behind another confirms it.
        mark.see(LEAP + 200);
        mark.see(LEAP + 150);
        assert!(mark.passed(LEAP + 200, 0));
        mark.see(i64::MIN);
        assert!(mark.passed(LEAP + 200, 0));
    }
}

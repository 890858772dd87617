//! The states of a node's circuit breakers: one, or one for each key.

use std::sync::{Arc, Mutex, PoisonError};

use super::alert::{Alert, Alerts};

/// The name of the alert that is raised while a breaker is open.
const ALERT: &str = "breaker_open";

/// Where a circuit breaker stands. The order is that of worsening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// Calls go through. 0 in the metric.
    Closed,
    /// A few calls are let through to see. 1 in the metric.
    HalfOpen,
    /// No calls go through. 2 in the metric.
    Open,
}

impl BreakerState {
    /// The figure of the metric `trunkline_breaker_state`.
    pub(super) fn figure(self) -> u64 {
        self as u64
    }
}

/// How many of a node's breakers are in each state, and the alert that hangs on it.
pub(super) struct Breakers {
    node: Arc<str>,
    alerts: Arc<Alerts>,
    counts: Mutex<[u64; 3]>,
}

impl Breakers {
    pub(super) fn new(node: Arc<str>, alerts: Arc<Alerts>) -> Self {
        Self {
            node,
            alerts,
            counts: Mutex::default(),
        }
    }

    /// The worst state of any of them; `None` when the node has no breaker.
    pub(super) fn worst(&self) -> Option<BreakerState> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        [
            BreakerState::Open,
            BreakerState::HalfOpen,
            BreakerState::Closed,
        ]
        .into_iter()
        .find(|state| counts[*state as usize] > 0)
    }

    /// How many are open.
    pub(super) fn open(&self) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)[BreakerState::Open as usize]
    }

    fn moved(&self, from: Option<BreakerState>, to: Option<BreakerState>) {
        // The alert is set under the lock, so that an opening and a closing at once end in the
        // order in which they were counted.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(from) = from {
            counts[from as usize] = counts[from as usize].saturating_sub(1);
        }
        if let Some(to) = to {
            counts[to as usize] += 1;
        }
        let open = counts[BreakerState::Open as usize];
        let touches_open = [from, to].contains(&Some(BreakerState::Open));
        if touches_open {
            let message = match open {
                0 => "no circuit breaker is open".to_owned(),
                1 => "a circuit breaker is open".to_owned(),
                n => format!("{n} circuit breakers are open"),
            };
            self.alerts.set(Alert {
                name: ALERT,
                node: Some(self.node.to_string()),
                message,
                active: open > 0,
            });
        }
    }
}

/// One circuit breaker as the observer sees it. It leaves the figures when it is dropped, so the
/// breakers of keys that come and go are counted right.
pub struct BreakerMeter {
    breakers: Arc<Breakers>,
    state: Mutex<Option<BreakerState>>,
}

impl BreakerMeter {
    pub(super) fn new(breakers: Arc<Breakers>) -> Self {
        Self {
            breakers,
            state: Mutex::new(None),
        }
    }

    /// Says where the breaker stands now. Opening raises the alert `breaker_open` of the node, and
    /// it is cleared when none of the node's breakers is open any more.
    pub fn set(&self, state: BreakerState) {
        self.replace(Some(state));
    }

    fn replace(&self, to: Option<BreakerState>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != to {
            self.breakers.moved(*state, to);
            *state = to;
        }
    }
}

impl Drop for BreakerMeter {
    fn drop(&mut self) {
        self.replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breakers() -> (Arc<Breakers>, Arc<Alerts>) {
        let alerts = Arc::new(Alerts::new("p"));
        (
            Arc::new(Breakers::new("sink".into(), Arc::clone(&alerts))),
            alerts,
        )
    }

    fn raised(alerts: &Alerts) -> bool {
        alerts.read().iter().any(|(alert, _)| alert.active)
    }

    #[test]
    fn one_open_breaker_among_many_is_seen_until_it_closes() {
        let (breakers, alerts) = breakers();
        assert_eq!(breakers.worst(), None);
        let (a, b) = (
            BreakerMeter::new(breakers.clone()),
            BreakerMeter::new(breakers.clone()),
        );
        a.set(BreakerState::Closed);
        b.set(BreakerState::Open);
        a.set(BreakerState::Closed);
        assert_eq!(breakers.worst(), Some(BreakerState::Open));
        assert!(raised(&alerts));
        b.set(BreakerState::HalfOpen);
        assert_eq!(breakers.worst(), Some(BreakerState::HalfOpen));
        assert!(!raised(&alerts), "half-open is a way out, not an outage");
        b.set(BreakerState::Closed);
        assert_eq!(breakers.worst(), Some(BreakerState::Closed));
    }

    #[test]
    fn a_key_that_is_forgotten_takes_its_open_breaker_along() {
        let (breakers, alerts) = breakers();
        let gone = BreakerMeter::new(breakers.clone());
        gone.set(BreakerState::Open);
        assert_eq!(breakers.open(), 1);
        drop(gone);
        assert_eq!((breakers.open(), breakers.worst()), (0, None));
        assert!(!raised(&alerts));
    }
}

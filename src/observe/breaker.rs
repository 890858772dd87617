//! The states of a node's circuit breakers: one, or one for each key.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Serialize;

use super::alert::{Alert, Alerts};

/// The name of the alert that is raised while a breaker is open.
const ALERT: &str = "breaker_open";
/// Most keys whose breakers are shown by name, and most that the alert names.
const MAX_SHOWN: usize = 1_000;
const MAX_TOLD: usize = 5;

/// Where a circuit breaker stands. The order is that of worsening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
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
    counted: Mutex<Counted>,
    /// Who counts calls that went past the layers, by key.
    judges: Mutex<BTreeMap<Arc<str>, Weak<dyn Judge>>>,
}

/// Counts calls to the side that a breaker guards which others made than those it lets through.
pub trait Judge: Send + Sync {
    /// A call ended.
    fn told(&self, failed: bool);
}

#[derive(Default)]
struct Counted {
    counts: [u64; 3],
    /// Of those that belong to a key.
    by_key: BTreeMap<Arc<str>, BreakerState>,
}

impl Counted {
    fn open(&self) -> u64 {
        self.counts[BreakerState::Open as usize]
    }

    /// For people: which are open.
    fn told(&self) -> String {
        let names = self
            .by_key
            .iter()
            .filter(|(_, state)| **state == BreakerState::Open);
        let names: Vec<String> = names
            .take(MAX_TOLD)
            .map(|(key, _)| format!("`{key}`"))
            .collect();
        let open = self.open();
        let more = if open > names.len() as u64 {
            " and more"
        } else {
            ""
        };
        match (open, names.is_empty()) {
            (0, _) => "no circuit breaker is open".to_owned(),
            (1, true) => "a circuit breaker is open".to_owned(),
            (1, false) => format!("the circuit breaker of {} is open", names[0]),
            (n, true) => format!("{n} circuit breakers are open"),
            (n, false) => format!("{n} circuit breakers are open: {}{more}", names.join(", ")),
        }
    }
}

impl Breakers {
    pub(super) fn new(node: Arc<str>, alerts: Arc<Alerts>) -> Self {
        Self {
            node,
            alerts,
            counted: Mutex::default(),
            judges: Mutex::default(),
        }
    }

    fn judges(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Weak<dyn Judge>>> {
        self.judges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the breaker of this key, if there is one.
    pub(super) fn tell(&self, key: &str, failed: bool) {
        let judge = self.judges().get(key).and_then(Weak::upgrade);
        if let Some(judge) = judge {
            judge.told(failed);
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states of those that belong to a key.
    pub(super) fn by_key(&self) -> BTreeMap<Arc<str>, BreakerState> {
        self.counted().by_key.clone()
    }

    /// Whether that of this key is open.
    pub(super) fn is_open(&self, key: &str) -> bool {
        self.counted().by_key.get(key) == Some(&BreakerState::Open)
    }

    /// The worst state of any of them; `None` when the node has no breaker.
    pub(super) fn worst(&self) -> Option<BreakerState> {
        let counts = self.counted().counts;
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
        self.counted().open()
    }

    fn moved(&self, key: &Arc<str>, from: Option<BreakerState>, to: Option<BreakerState>) {
        // The alert is set under the lock, so that an opening and a closing at once end in the
        // order in which they were counted.
        let mut counted = self.counted();
        if let Some(from) = from {
            counted.counts[from as usize] = counted.counts[from as usize].saturating_sub(1);
        }
        if let Some(to) = to {
            counted.counts[to as usize] += 1;
        }
        if !key.is_empty() {
            let shown = counted.by_key.len() < MAX_SHOWN || counted.by_key.contains_key(key);
            match to.filter(|_| shown) {
                Some(to) => counted.by_key.insert(key.clone(), to),
                None => counted.by_key.remove(key),
            };
            if to == Some(BreakerState::Open) {
                // The alert is one for the node: it says nothing when another joins.
                tracing::warn!(
                    node = &*self.node,
                    key = &**key,
                    "the circuit breaker opened"
                );
            }
        }
        let open = counted.open();
        let touches_open = [from, to].contains(&Some(BreakerState::Open));
        if touches_open {
            let message = counted.told();
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
    /// Whose it is; empty where the node has only one.
    key: Arc<str>,
    state: Mutex<Option<BreakerState>>,
}

impl BreakerMeter {
    pub(super) fn new(breakers: Arc<Breakers>) -> Self {
        Self::of(breakers, "")
    }

    pub(super) fn of(breakers: Arc<Breakers>, key: &str) -> Self {
        Self {
            breakers,
            key: super::tally::shortened(key).into(),
            state: Mutex::new(None),
        }
    }

    /// Calls that others make are told to it from now on.
    pub fn judged_by(&self, judge: Weak<dyn Judge>) {
        if self.key.is_empty() {
            return;
        }
        self.breakers.judges().insert(self.key.clone(), judge);
    }

    /// Says where the breaker stands now. Opening raises the alert `breaker_open` of the node, and
    /// it is cleared when none of the node's breakers is open any more.
    pub fn set(&self, state: BreakerState) {
        self.replace(Some(state));
    }

    fn replace(&self, to: Option<BreakerState>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != to {
            self.breakers.moved(&self.key, *state, to);
            *state = to;
        }
    }
}

impl Drop for BreakerMeter {
    fn drop(&mut self) {
        self.replace(None);
        let mut judges = self.breakers.judges();
        // Another may have taken its place.
        if (judges.get(&self.key)).is_some_and(|judge| judge.strong_count() == 0) {
            judges.remove(&self.key);
        }
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
    fn who_is_open_is_told_by_name() {
        let (breakers, alerts) = breakers();
        let of = |key: &str| BreakerMeter::of(breakers.clone(), key);
        let told = || alerts.read()[0].0.message.clone();
        let (a, b) = (of("acme/eu"), of("acme/us"));
        a.set(BreakerState::Open);
        assert_eq!(told(), "the circuit breaker of `acme/eu` is open");
        b.set(BreakerState::Open);
        assert_eq!(told(), "2 circuit breakers are open: `acme/eu`, `acme/us`");
        a.set(BreakerState::HalfOpen);
        assert_eq!(told(), "the circuit breaker of `acme/us` is open");
        assert_eq!(breakers.by_key()["acme/eu"], BreakerState::HalfOpen);
        drop(a);
        assert_eq!(breakers.by_key().len(), 1);
        let many: Vec<_> = (0..2 * MAX_SHOWN).map(|n| of(&n.to_string())).collect();
        many.iter().for_each(|one| one.set(BreakerState::Open));
        assert_eq!(breakers.by_key().len(), MAX_SHOWN);
        assert!(told().ends_with(" and more"), "{}", told());
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

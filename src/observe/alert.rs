//! Alerts: conditions that are on or off, and are told once when they change.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;

/// Different alerts that one run keeps. Names are fixed and nodes are few; the bound only guards
/// against a caller that puts data into `node`.
const MAX_ALERTS: usize = 1_024;
/// Changes that wait for who listens; beyond it the oldest are missed, and it is told how many.
const MAX_UNTOLD: usize = 1_024;

/// A condition that someone should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// What kind of condition, in `snake_case`: the label `alert` of the metric.
    pub name: &'static str,
    /// The node it is about; `None` for the pipeline.
    pub node: Option<String>,
    /// For people: what happened, with figures. It is logged, so it holds no personal data.
    pub message: String,
    /// Raised (`true`) or cleared.
    pub active: bool,
}

/// The alerts of one run by node and name.
pub(super) struct Alerts {
    pipeline: String,
    changes: broadcast::Sender<Alert>,
    known: Mutex<BTreeMap<(&'static str, Option<String>), Known>>,
}

struct Known {
    message: String,
    active: bool,
    raised: u64,
}

impl Alerts {
    pub(super) fn new(pipeline: &str) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            changes: broadcast::channel(MAX_UNTOLD).0,
            known: Mutex::default(),
        }
    }

    /// Takes the alert's state over; a change is logged, a repetition is not.
    pub(super) fn set(&self, alert: Alert) {
        let Alert {
            name,
            node,
            message,
            active,
        } = alert;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name, node.clone());
        let was = known.get(&key).is_some_and(|known| known.active);
        if !known.contains_key(&key) && (!active || known.len() >= MAX_ALERTS) {
            return;
        }
        let entry = known.entry(key).or_insert(Known {
            message: String::new(),
            active: false,
            raised: 0,
        });
        entry.active = active;
        entry.message.clone_from(&message);
        entry.raised += u64::from(active && !was);
        if was != active {
            // Nobody need listen.
            let _ = self.changes.send(Alert {
                name,
                node: node.clone(),
                message: message.clone(),
                active,
            });
        }
        // The log may be slow (a terminal that is paused); nobody else should wait for it.
        drop(known);
        let (pipeline, node) = (self.pipeline.as_str(), node.as_deref().unwrap_or("-"));
        match (was, active) {
            (false, true) => {
                tracing::warn!(pipeline, node, alert = name, "alert raised: {message}");
            }
            (true, false) => {
                tracing::info!(pipeline, node, alert = name, "alert cleared: {message}");
            }
            _ => {}
        }
    }

    /// Each change from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<Alert> {
        self.changes.subscribe()
    }

    /// Every alert that was ever raised, with how often, in the order of names and nodes.
    pub(super) fn read(&self) -> Vec<(Alert, u64)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .map(|((name, node), state)| {
                let alert = Alert {
                    name,
                    node: node.clone(),
                    message: state.message.clone(),
                    active: state.active,
                };
                (alert, state.raised)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(active: bool) -> Alert {
        Alert {
            name: "disk_full",
            node: None,
            message: "m".into(),
            active,
        }
    }

    #[test]
    fn a_repetition_is_not_another_alert() {
        let alerts = Alerts::new("p");
        let mut changes = alerts.changes();
        for active in [false, true, true, true, false, false, true] {
            alerts.set(alert(active));
        }
        let told = std::iter::from_fn(|| changes.try_recv().ok());
        let told: Vec<bool> = told.map(|alert| alert.active).collect();
        assert_eq!(told, [true, false, true]);
        let read = alerts.read();
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].0.active, read[0].1), (true, 2));
    }

    #[test]
    fn clearing_what_was_never_raised_leaves_no_trace() {
        let alerts = Alerts::new("p");
        alerts.set(alert(false));
        assert!(alerts.read().is_empty());
    }

    #[test]
    fn the_number_of_alerts_is_bounded() {
        let alerts = Alerts::new("p");
        for i in 0..2 * MAX_ALERTS {
            alerts.set(Alert {
                node: Some(i.to_string()),
                ..alert(true)
            });
        }
        assert_eq!(alerts.read().len(), MAX_ALERTS);
    }
}

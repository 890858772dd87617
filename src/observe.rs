//! Everything that is counted, in one place: meters, the ledger, metrics, progress, alerts and the log.
//!
//! One [`Observer`] belongs to one run of one pipeline; it hands a [`NodeMeter`] to every node.
//! There are no process globals but the log subscriber, so two runs in one process (as in tests)
//! never mix their figures.
//!
//! # Conservation
//!
//! What goes in comes out. For each node:
//!
//! ```text
//! received + created = delivered + dropped + dead-lettered + given back + held
//! ```
//!
//! A buffer on disk may hold events when a run begins and when it ends: those that it found count
//! as *resumed* on the left, and those that it keeps are *stored*, a part of what is held.
//!
//! and for the whole pipeline, with *received* by its sources (events sent again included),
//! *delivered* by its sinks, *given back* by its sources, and the rest wherever it happened.
//! `held` is what is inside now, and is computed as the difference: it may be anything from zero up
//! while a pipeline runs, is what is stored once it has stopped, and is never negative.
//!
//! Four rules keep the equation true; a node that breaks one is named by [`Ledger::adds_up`]. The
//! layers keep them for every component:
//!
//! - Count an event as received *before* passing it on, and as anything else *after* the answer.
//! - A node that multiplies events counts the extra ones as created before it sends them. When
//!   several copies of one event fail, and go back as one, the others are [`NodeMeter::rejoined`].
//! - A node that gives events back while work on them goes on (a deadline in front of a worker that
//!   is not cancelled) has made copies: it counts them as created.
//! - A dead-letter writer is a node of its own, of [`NodeKind::DeadLetter`]. Its events were counted
//!   as dead-lettered by the node that refused them, so it has no part in the whole.

mod alert;
mod breaker;
mod gap;
mod histogram;
mod hours;
mod ledger;
mod log;
mod meter;
mod metrics;
mod progress;
mod progress_bar;
mod progress_log;
mod promise;
mod reading;
mod status;
mod table;
mod tally;
mod tap;
mod trigger;
mod view;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

pub use alert::Alert;
pub use breaker::{BreakerMeter, BreakerState, Judge};
pub use gap::Gap;
pub use hours::{Fate, Hour, HourCounts, Hours, MAX_HOURS};
pub use ledger::{Counts, Ledger, NodeLedger};
pub use log::{LogError, LogFormat, Screen, init as init_log};
pub use meter::{DROPS_ALERT_SHARE, KeyFigures, NodeMeter};
pub use metrics::{
    CONTENT_TYPE as METRICS_CONTENT_TYPE, Instance, render as render_metrics, render_otlp,
};
pub use progress::{Progress, ProgressSnapshot};
pub use progress_bar::{Show, draw as draw_progress, size};
pub use promise::{Guarantee, Promise, render as render_promises};
pub use status::{
    BreakerStatus, BufferStatus, FlowInput, FlowNode, KeyStatus, Latency, NodeStatus, Status,
};
pub use table::thousands;
pub use tap::{Look, MOST_TAPPED, Side, Tap, TapAsk, TapPolicy, TapRefusal, Taps};
pub use trigger::{Trigger, Triggers};
pub use view::{Act, Query, View, ViewAnswer, Views};

use crate::clock::Wall;
use alert::Alerts;
use reading::{NodeReading, Reading};

/// What a node is to the pipeline. It decides the node's part in the whole (see the module).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Brings events in.
    Source,
    /// Anything between, edges included.
    Transform,
    /// Keeps events on disk between two others.
    Buffer,
    /// Takes events out.
    Sink,
    /// Writes what a sink or a rule refused.
    DeadLetter,
}

/// Where a run stands. A run starts in `Starting` and ends in `Stopped` or `Failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "snake_case")]
pub enum RunState {
    /// Components are being opened.
    Starting,
    /// Events flow.
    Running,
    /// Nothing new is taken in; answers are awaited.
    Draining,
    /// The run ended and every delivery was settled.
    Stopped,
    /// The run ended for the reason given. The reason must hold no secret.
    Failed(String),
}

impl RunState {
    /// Whether the run is over, so that its figures no longer change.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Stopped | Self::Failed(_))
    }

    /// The word that is shown for the state.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }
}

/// The figures of one pipeline's run. Clones share them.
#[derive(Clone)]
pub struct Observer(Arc<Inner>);

struct Inner {
    pipeline: Arc<str>,
    wall: Wall,
    started: jiff::Timestamp,
    since: Instant,
    nodes: Mutex<Vec<NodeMeter>>,
    progress: Progress,
    alerts: Arc<Alerts>,
    state: Mutex<(RunState, Option<Duration>)>,
    promises: Mutex<Vec<Promise>>,
    flow: Mutex<Arc<[FlowNode]>>,
    views: Views,
    hours: Arc<OnceLock<Hours>>,
    triggers: Triggers,
    taps: Taps,
}

impl Observer {
    /// Begins to observe a run of `pipeline`; the clock of the ledger starts here.
    #[must_use]
    pub fn new(pipeline: &str) -> Self {
        Self::with_clock(pipeline, Wall::real())
    }

    /// The same, where the time of day is another than the machine's.
    #[must_use]
    pub fn with_clock(pipeline: &str, wall: Wall) -> Self {
        Self(Arc::new(Inner {
            pipeline: pipeline.into(),
            started: wall.now(),
            taps: Taps::new(wall.clone()),
            wall,
            since: Instant::now(),
            nodes: Mutex::default(),
            progress: Progress::default(),
            alerts: Arc::new(Alerts::new(pipeline)),
            state: Mutex::new((RunState::Starting, None)),
            promises: Mutex::default(),
            flow: Mutex::new(Arc::default()),
            views: Views::default(),
            hours: Arc::default(),
            triggers: Triggers::default(),
        }))
    }

    /// The name of the pipeline.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.0.pipeline
    }

    /// The meter of the node `name`, whose component type is `component` (for example `dedup`).
    ///
    /// The first call registers the node; the ledger lists nodes in that order. A later call with
    /// the same name answers the same meter, and its `kind` and `component` are not looked at.
    #[must_use]
    pub fn node(&self, name: &str, kind: NodeKind, component: &str) -> NodeMeter {
        let mut nodes = self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = nodes.iter().find(|node| node.name() == name) {
            return known.clone();
        }
        let node = NodeMeter::new(
            name,
            kind,
            component,
            Arc::clone(&self.0.alerts),
            Arc::clone(&self.0.hours),
            self.0.wall.clone(),
        );
        nodes.push(node.clone());
        node
    }

    /// The clock on the wall of this run.
    #[must_use]
    pub fn clock(&self) -> &Wall {
        &self.0.wall
    }

    /// How far the sources are. All sources of a run share it.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.progress.clone()
    }

    /// What its sinks show over HTTP.
    #[must_use]
    pub fn views(&self) -> Views {
        self.0.views.clone()
    }

    /// Keeps the completeness ledger in `hours` from now on. Once for a run; a second one is not
    /// looked at.
    pub fn keep_hours(&self, hours: Hours) {
        let _ = self.0.hours.set(hours);
    }

    /// What makes sources look for more at once.
    #[must_use]
    pub fn triggers(&self) -> Triggers {
        self.0.triggers.clone()
    }

    /// Where events can be looked at on their way.
    #[must_use]
    pub fn taps(&self) -> &Taps {
        &self.0.taps
    }

    /// What is promised for each source and sink; none until it is said.
    #[must_use]
    pub fn promises(&self) -> Vec<Promise> {
        let promises = self.0.promises.lock();
        promises.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what is promised, in place of what was said before.
    pub fn set_promises(&self, promises: Vec<Promise>) {
        let mut held = self
            .0
            .promises
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *held = promises;
    }

    /// Says which nodes there are and what each reads, every one after those, in place of what was
    /// said before.
    pub fn set_flow(&self, flow: Vec<FlowNode>) {
        *self.0.flow.lock().unwrap_or_else(PoisonError::into_inner) = flow.into();
    }

    /// The figures as they stand now, with how every node stands that there is now.
    #[must_use]
    pub fn status(&self) -> Status {
        let flow = self.0.flow.lock();
        let flow = flow.unwrap_or_else(PoisonError::into_inner).clone();
        Status::of(&self.read(), &flow)
    }

    /// The figures as they stand now.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        Ledger::from_reading(&self.read())
    }

    /// Raises or clears an alert: one log line, and the metric `trunkline_alert`, at each change.
    pub fn alert(&self, alert: Alert) {
        self.0.alerts.set(alert);
    }

    /// Each alert that is raised or cleared from now on.
    #[must_use]
    pub fn alert_changes(&self) -> tokio::sync::broadcast::Receiver<Alert> {
        self.0.alerts.changes()
    }

    /// The alerts that are raised now, in the order of their names.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.0
            .alerts
            .read()
            .into_iter()
            .map(|(alert, _)| alert)
            .filter(|a| a.active)
            .collect()
    }

    /// Where the run stands.
    #[must_use]
    pub fn state(&self) -> RunState {
        self.0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }

    /// Moves the run to `state`. The first state that is over stops the clock of the ledger, and
    /// nothing leaves it: a failure that follows a stop, or a stop that follows a failure, is ignored.
    pub fn set_state(&self, state: RunState) {
        let mut held = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0.is_over() {
            return;
        }
        let lasted = state.is_over().then(|| self.0.since.elapsed());
        *held = (state, lasted);
    }

    /// Reads every counter. What went out is read before what came in, over all nodes, so that an
    /// event that passes during the reading is never seen to leave without having come.
    fn read(&self) -> Reading {
        let (state, lasted) = self
            .0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let meters = self
            .0
            .nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let outs: Vec<NodeReading> = meters.iter().map(NodeMeter::read_outs).collect();
        let nodes = meters
            .iter()
            .zip(outs)
            .map(|(meter, outs)| meter.read_ins(outs))
            .collect();
        Reading {
            pipeline: self.0.pipeline.to_string(),
            state,
            started: self.0.started,
            seconds: lasted
                .unwrap_or_else(|| self.0.since.elapsed())
                .as_secs_f64(),
            nodes,
            alerts: self.0.alerts.read(),
        }
    }
}

#[cfg(test)]
mod tests;

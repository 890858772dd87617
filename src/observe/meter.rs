//! The counters of one node.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::NodeKind;
use super::alert::{Alert, Alerts};
use super::breaker::{BreakerMeter, BreakerState, Breakers};
use super::gap::{Gap, Gaps};
use super::histogram::Histogram;
use super::hours::{Fate, Hours};
use super::reading::{BufferReading, NodeReading};
use super::tally::Tally;
use crate::clock::Wall;
use crate::event::Origin;

mod drops;

use drops::{Change, Drops};

/// The share of dropped events that raises the alert `drops`, unless a node sets its own: 5 %.
pub const DROPS_ALERT_SHARE: f64 = 0.05;

/// Most keys of a node that are shown: each is several time series.
const MAX_KEYS: usize = 1_000;

/// How a key stands that has limits of its own, such as an organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeyFigures {
    /// Events that may go in the current window of its budget.
    pub allowed: u64,
    /// How many of them went.
    pub used: u64,
    /// Events that are here and have no answer yet.
    pub waiting: u64,
    /// For how long the oldest of them is here, in seconds.
    pub oldest: f64,
}

/// Drops for these reasons are losses to a full buffer, and count toward the alert `drops`. Others
/// (`duplicate`, `filtered`) are what the pipeline was asked to do.
const OVERFLOW: &str = "buffer_";

/// The counters of one node. Clones share them; every method is cheap enough to be called once per
/// batch by every worker, and none waits or fails. Module [`observe`](super) says what must be
/// counted when for the ledger to add up.
#[derive(Clone)]
pub struct NodeMeter(Arc<Counters>);

struct Counters {
    name: Arc<str>,
    kind: NodeKind,
    component: String,
    received: AtomicU64,
    created: AtomicU64,
    resumed: AtomicU64,
    stored: AtomicU64,
    rejoined: AtomicU64,
    delivered: AtomicU64,
    handed_on: AtomicU64,
    given_back: AtomicU64,
    redelivered: AtomicU64,
    retries: AtomicU64,
    bytes_received: AtomicU64,
    bytes_delivered: AtomicU64,
    rate_limited_ns: AtomicU64,
    dropped: Tally,
    dead_lettered: Tally,
    labels: Tally,
    drift: Tally,
    figures: Tally,
    keys: Mutex<BTreeMap<String, KeyFigures>>,
    gaps: Gaps,
    latency: Histogram,
    buffer: Mutex<Option<BufferReading>>,
    breakers: Arc<Breakers>,
    /// The breaker of a node that has just one, from the first word about it.
    breaker: Mutex<Option<BreakerMeter>>,
    drops: Mutex<Drops>,
    alerts: Arc<Alerts>,
    /// Kept by backfills only.
    hours: Arc<OnceLock<Hours>>,
    wall: Wall,
}

/// Adds with release order: whoever reads this figure (with acquire) also sees what was counted
/// before it, which keeps `held` from ever being seen below zero.
fn add(counter: &AtomicU64, n: u64) {
    if n > 0 {
        counter.fetch_add(n, Release);
    }
}

impl NodeMeter {
    pub(super) fn new(
        name: &str,
        kind: NodeKind,
        component: &str,
        alerts: Arc<Alerts>,
        hours: Arc<OnceLock<Hours>>,
        wall: Wall,
    ) -> Self {
        let name: Arc<str> = name.into();
        Self(Arc::new(Counters {
            wall,
            kind,
            component: component.to_owned(),
            received: AtomicU64::default(),
            created: AtomicU64::default(),
            resumed: AtomicU64::default(),
            stored: AtomicU64::default(),
            rejoined: AtomicU64::default(),
            delivered: AtomicU64::default(),
            handed_on: AtomicU64::default(),
            given_back: AtomicU64::default(),
            redelivered: AtomicU64::default(),
            retries: AtomicU64::default(),
            bytes_received: AtomicU64::default(),
            bytes_delivered: AtomicU64::default(),
            rate_limited_ns: AtomicU64::default(),
            dropped: Tally::default(),
            dead_lettered: Tally::default(),
            labels: Tally::default(),
            drift: Tally::default(),
            figures: Tally::default(),
            keys: Mutex::default(),
            gaps: Gaps::default(),
            latency: Histogram::default(),
            buffer: Mutex::default(),
            breakers: Arc::new(Breakers::new(Arc::clone(&name), Arc::clone(&alerts))),
            breaker: Mutex::default(),
            drops: Mutex::new(Drops::new(DROPS_ALERT_SHARE)),
            alerts,
            hours,
            name,
        }))
    }

    /// The clock on the wall of this run, by which everything is dated that a component writes.
    #[must_use]
    pub fn wall(&self) -> &Wall {
        &self.0.wall
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Events came in. Sources count events that are sent again here too.
    pub fn received(&self, events: u64, bytes: u64) {
        add(&self.0.received, events);
        add(&self.0.bytes_received, bytes);
        self.drops(|drops| drops.came(events));
    }

    /// Events left this node and were settled: passed on and answered `Ok`, or written.
    pub fn delivered(&self, events: u64, bytes: u64) {
        add(&self.0.bytes_delivered, bytes);
        add(&self.0.delivered, events);
    }

    /// Events left this node for another one and were settled there. Of a sink's outputs that is not
    /// where they end, so the whole counts them where they went.
    pub fn handed_on(&self, events: u64, bytes: u64) {
        match self.0.kind {
            NodeKind::Sink => {
                add(&self.0.delivered, events);
                add(&self.0.handed_on, events);
            }
            _ => self.delivered(events, bytes),
        }
    }

    /// This node made `n` more events of those it received: copies of a fan-out, parts of a split.
    pub fn created(&self, n: u64) {
        add(&self.0.created, n);
    }

    /// A buffer found `n` events on disk that an earlier run had not delivered.
    pub fn resumed(&self, n: u64) {
        add(&self.0.resumed, n);
    }

    /// How many events a buffer keeps on disk for the next run.
    pub fn stored(&self, events: u64) {
        self.0.stored.store(events, Release);
    }

    /// `n` events that were counted as created failed and went back as one with their original.
    pub fn rejoined(&self, n: u64) {
        add(&self.0.rejoined, n);
    }

    /// A rule of this node ended the way of `n` events. Reasons are short, in `snake_case`, and fixed
    /// in code but for those of plugins (`plugin:…`); those that mean a full buffer begin with
    /// `buffer_` and can raise the alert `drops`. The first 64 of a node are told apart.
    pub fn dropped(&self, reason: &str, n: u64) {
        self.0.dropped.add(reason, n);
        if n > 0 && reason.starts_with(OVERFLOW) {
            self.drops(|drops| drops.dropped(n));
        }
    }

    /// `n` events were refused for good and written to the dead letters. Of different reasons the
    /// first 64 are told apart. A reason is shown everywhere: it must hold no data of the event.
    pub fn dead_lettered(&self, reason: &str, n: u64) {
        self.0.dead_lettered.add(reason, n);
    }

    /// `n` events were answered `Err`: the source must deliver them again.
    pub fn given_back(&self, n: u64) {
        add(&self.0.given_back, n);
    }

    /// Of the events that this source received, `n` were sent again.
    pub fn redelivered(&self, n: u64) {
        add(&self.0.redelivered, n);
    }

    /// One batch took this long, all attempts and waiting included.
    pub fn latency(&self, took: Duration) {
        self.0.latency.observe(took);
    }

    /// `n` more attempts were made after the first.
    pub fn retried(&self, n: u64) {
        add(&self.0.retries, n);
    }

    /// Where this node's circuit breaker stands. For a node with one; see
    /// [`keyed_breaker`](Self::keyed_breaker) for one per key.
    pub fn breaker(&self, state: BreakerState) {
        let mut breaker = self
            .0
            .breaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        breaker
            .get_or_insert_with(|| self.keyed_breaker())
            .set(state);
    }

    /// A meter for one of several breakers of this node. The metric shows the worst of them.
    #[must_use]
    pub fn keyed_breaker(&self) -> BreakerMeter {
        BreakerMeter::new(Arc::clone(&self.0.breakers))
    }

    /// The same, of the breaker of this key: the metrics and the alert name it.
    #[must_use]
    pub fn breaker_of(&self, key: &str) -> BreakerMeter {
        BreakerMeter::of(Arc::clone(&self.0.breakers), key)
    }

    /// A call to the side that the breaker of this key guards ended, and did not go through it.
    pub fn tell_breaker(&self, key: &str, failed: bool) {
        self.0.breakers.tell(key, failed);
    }

    /// Whether the breaker of this key is open.
    #[must_use]
    pub fn breaker_is_open(&self, key: &str) -> bool {
        self.0.breakers.is_open(key)
    }

    /// How the keys that have limits of their own stand now, in place of what was said before. The
    /// first 1,000 are shown.
    pub fn keys(&self, mut keys: BTreeMap<String, KeyFigures>) {
        while keys.len() > MAX_KEYS {
            keys.pop_last();
        }
        *self.0.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    /// How full this node's buffer is, and its limits.
    pub fn buffer(&self, events: u64, bytes: u64, max_events: u64, max_bytes: u64) {
        let reading = BufferReading {
            events,
            bytes,
            max_events,
            max_bytes,
        };
        *self.0.buffer.lock().unwrap_or_else(PoisonError::into_inner) = Some(reading);
    }

    /// `n` events went on with this label (`late`, `gap`, `orphan`, `concurrent`).
    pub fn label(&self, name: &'static str, n: u64) {
        self.0.labels.add(name, n);
    }

    /// `n` times something of the other side's was not as its description says (a value that is not
    /// in its list, a field that it does not have). `what` is fixed in code, such as `call_state`.
    pub fn drift(&self, what: &'static str, n: u64) {
        self.0.drift.add(what, n);
    }

    /// A figure of this kind of component alone, which stands where it is set: `channels`, `topics`.
    pub fn figure(&self, name: &'static str, value: u64) {
        self.0.figures.set(name, value);
    }

    /// Adds to a figure, where its name is not known to the code. The first 64 of a node are told
    /// apart. A name is shown everywhere: it must hold no data of an event.
    pub fn figure_more(&self, name: &str, n: u64) {
        self.0.figures.add(name, n);
    }

    /// This source was deaf for a while.
    pub fn gap(&self, gap: Gap) {
        self.0.gaps.add(gap);
    }

    /// Raises or clears an alert about this node; as [`Observer::alert`](super::Observer::alert).
    pub fn alert(&self, name: &'static str, message: impl Into<String>, active: bool) {
        let (node, message) = (Some(self.0.name.to_string()), message.into());
        self.0.alerts.set(Alert {
            name,
            node,
            message,
            active,
        });
    }

    /// The completeness ledger, where the run keeps one.
    #[must_use]
    pub fn hours(&self) -> Option<&Hours> {
        self.0.hours.get()
    }

    /// A rule of this node ended the way of these events, for the completeness ledger; to be counted
    /// as [`dropped`](Self::dropped) besides.
    pub fn ended(&self, origins: impl IntoIterator<Item = Origin>) {
        if let Some(hours) = self.hours() {
            hours.tell(origins.into_iter().map(|origin| (origin, Fate::Dropped)));
        }
    }

    /// What this node does to events that it takes for good: a warehouse loads them, the dead letters
    /// keep what was refused.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match (self.0.kind, self.0.component.as_str()) {
            (NodeKind::DeadLetter, _) => Fate::Refused,
            (_, "warehouse") => Fate::Loaded,
            _ => Fate::Elsewhere,
        }
    }

    /// A call waited this long for the rate limit.
    pub fn rate_limited(&self, waited: Duration) {
        add(
            &self.0.rate_limited_ns,
            u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX),
        );
    }

    /// Sets the share (above 0, at most 1) of dropped events that raises the alert `drops`.
    /// Default: [`DROPS_ALERT_SHARE`].
    pub fn set_drops_alert(&self, share: f64) {
        self.drops(|drops| drops.set_share(share));
    }

    fn drops(&self, count: impl FnOnce(&mut Drops) -> Option<Change>) {
        let change = count(&mut self.0.drops.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(Change {
            active,
            share,
            limit,
        }) = change
        else {
            return;
        };
        let message = format!(
            "a full buffer dropped {:.1} % of what came in lately (limit {:.1} %)",
            share * 100.0,
            limit * 100.0
        );
        let node = Some(self.0.name.to_string());
        self.0.alerts.set(Alert {
            name: "drops",
            node,
            message,
            active,
        });
    }

    /// Reads what left the node; what came is still zero.
    pub(super) fn read_outs(&self) -> NodeReading {
        let c = &*self.0;
        NodeReading {
            name: c.name.to_string(),
            kind: c.kind,
            component: c.component.clone(),
            received: 0,
            created: 0,
            resumed: 0,
            stored: c.stored.load(Acquire),
            rejoined: c.rejoined.load(Acquire),
            // Before what it is a part of, which so is never less.
            handed_on: c.handed_on.load(Acquire),
            delivered: c.delivered.load(Acquire),
            given_back: c.given_back.load(Acquire),
            redelivered: 0,
            retries: c.retries.load(Relaxed),
            bytes_received: 0,
            bytes_delivered: c.bytes_delivered.load(Relaxed),
            rate_limited_seconds: Duration::from_nanos(c.rate_limited_ns.load(Relaxed))
                .as_secs_f64(),
            dropped: c.dropped.read(),
            dead_lettered: c.dead_lettered.read(),
            labels: c.labels.read(),
            drift: c.drift.read(),
            figures: c.figures.read(),
            keys: c
                .keys
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            breakers: c.breakers.by_key(),
            gaps: c.gaps.read(),
            latency: c.latency.read(),
            buffer: *c.buffer.lock().unwrap_or_else(PoisonError::into_inner),
            breaker: c.breakers.worst(),
            breakers_open: c.breakers.open(),
        }
    }

    /// Completes a reading by what came in.
    pub(super) fn read_ins(&self, outs: NodeReading) -> NodeReading {
        NodeReading {
            received: self.0.received.load(Acquire),
            created: self.0.created.load(Acquire),
            resumed: self.0.resumed.load(Acquire),
            redelivered: self.0.redelivered.load(Acquire),
            bytes_received: self.0.bytes_received.load(Acquire),
            ..outs
        }
    }
}

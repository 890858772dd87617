//! `dedup`: drops events whose key was delivered within a window.
//!
//! **A key is remembered with the answer, not before it.** An event whose key is new goes on, and
//! its key is marked as under way. A duplicate that comes meanwhile waits: when the first is
//! delivered the duplicate is dropped, when the first fails the duplicate fails alike and the key
//! is free again. So an event that is delivered again after a failure is never mistaken for a
//! duplicate of the one that was lost.
//!
//! Memory: 24 to 48 bytes for each of up to 2 `max_keys` keys (the table doubles as it grows), so
//! at most about 100 bytes per `max_keys`; 88 MB for a million. Only keyed hashes are kept. Behind
//! an edge with partitions each lane has its share of `max_keys`; after a start with another number
//! of partitions each also has, for one window, all that was remembered before.
//!
//! Where workers share a Redis each key is claimed there before its event goes on (see `shared`),
//! and is remembered there for the window; `max_keys` then bounds what each worker keeps at hand.

mod about;

pub use about::ABOUT;

mod fate;
mod flight;
mod key;
mod log;
mod shared;
mod window;

#[cfg(test)]
mod tests;

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::Service;

use crate::event::{Batch, Origin, Path};
use crate::failure::{Cause, Failure};
use crate::layer::{Lane, Turns};
use crate::observe::NodeMeter;
use crate::setting::{Fields, OneOrMany};
use crate::stage::Stage;
use crate::state::{Claims, Table};

use fate::{Fate, Losses, Outcome};
use flight::{Flight, lost};
use key::{Fingerprint, Keys};
use log::Log;
use window::{Seen, Ticks, Window};

/// How long a key is remembered unless told.
const WINDOW: Duration = Duration::from_secs(300);
/// How many keys are remembered unless told.
const MAX_KEYS: usize = 1_000_000;
/// Beyond this the numbers of flights could meet themselves; it would take 10 GB.
const MOST_KEYS: usize = 100_000_000;

/// Settings of a `dedup` node.
#[derive(Clone, Debug)]
pub struct Config {
    key: Vec<Path>,
    window: Duration,
    max_keys: usize,
    missing_key: MissingKey,
}

/// What happens to an event without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingKey {
    Pass,
    Reject,
}

impl Config {
    /// Reads `key` (one path or several; required), `window` (default 5 minutes), `max_keys`
    /// (default a million) and `missing_key` (`reject`, the default, or `pass`).
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let key = fields.required::<OneOrMany<Path>>("key");
        let window = fields.or("window", WINDOW);
        let max_keys = fields.or("max_keys", MAX_KEYS);
        let words = [("pass", MissingKey::Pass), ("reject", MissingKey::Reject)];
        let missing_key = fields.choice("missing_key", &words);
        let mut well = true;
        if window.is_zero() {
            let message = "a window of no length finds no duplicates";
            fields.error("out-of-range", fields.span_of("window"), message);
            well = false;
        }
        if !(1..=MOST_KEYS).contains(&max_keys) {
            let message = format!("`max_keys` is not between 1 and {MOST_KEYS}");
            fields.error("out-of-range", fields.span_of("max_keys"), message);
            well = false;
        }
        let OneOrMany(key) = key?;
        if let Some(many) = key.iter().find(|path| path.is_multiple()) {
            let message = format!("`{many}` can mean several places, and a key is one");
            fields.error("bad-field-path", fields.span_of("key"), message);
            well = false;
        }
        well.then_some(Self {
            key,
            window,
            max_keys,
            missing_key: missing_key.unwrap_or(MissingKey::Reject),
        })
    }

    /// How many keys the table remembers that another start at this time (milliseconds since 1970) would
    /// still know.
    ///
    /// # Errors
    /// Fatal when the state store cannot be read.
    pub fn remembered(&self, table: &Table, now: u64) -> Result<u64, Failure> {
        log::remembered(table, self.window, now)
    }

    /// Shows every path, to be interned before [`Dedup::open`].
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        self.key.iter_mut().for_each(visit);
    }
}

/// The stage, before it is put on top of another.
pub struct Dedup(Arc<Shared>);

struct Shared {
    keys: Keys,
    missing_key: MissingKey,
    meter: NodeMeter,
    opened: Instant,
    length: Ticks,
    memory: Mutex<Memory>,
    /// Where other workers see the same keys.
    claims: Option<Claims>,
    turns: Turns,
}

struct Memory {
    window: Window,
    /// Where the window is kept across restarts, if anywhere.
    log: Option<Log>,
}

impl Dedup {
    /// Opens the stage with what the table remembers.
    ///
    /// # Errors
    /// Fatal when the state store cannot be read.
    pub fn open(
        config: &Config,
        table: Table,
        meter: NodeMeter,
        lane: Lane,
    ) -> Result<Self, Failure> {
        let now = meter.wall().now().as_millisecond();
        let wall = u64::try_from(now).unwrap_or(0);
        Self::open_at(config, table, meter, lane, wall)
    }

    fn open_at(
        config: &Config,
        table: Table,
        meter: NodeMeter,
        lane: Lane,
        wall: u64,
    ) -> Result<Self, Failure> {
        let length = Ticks::try_from(config.window.as_nanos()).unwrap_or(Ticks::MAX / 4);
        let keys = Keys::new(config.key.clone(), table.seed());
        // Each lane has its share of the keys, so together they remember as many as one would.
        let max_keys = config.max_keys.div_ceil(lane.of as usize);
        let mut window = Window::new(length, max_keys);
        let claims = table.clone().expiring(config.window).claims();
        // Keys that are claimed are remembered with the claims.
        let log = match table.is_durable() && claims.is_none() {
            true => Some(Log::open(
                table,
                lane,
                &mut window,
                length,
                config.max_keys,
                wall,
            )?),
            false => None,
        };
        Ok(Self(Arc::new(Shared {
            keys,
            missing_key: config.missing_key,
            meter,
            opened: Instant::now(),
            length,
            memory: Mutex::new(Memory { window, log }),
            claims,
            turns: Turns::default(),
        })))
    }

    /// Puts the stage on top of another.
    pub fn layer(self, inner: Stage) -> Stage {
        let shared = self.0;
        Stage::new(Deduplicating { shared, inner })
    }
}

#[derive(Clone)]
struct Deduplicating {
    shared: Arc<Shared>,
    inner: Stage,
}

impl Service<Batch> for Deduplicating {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        // Looked up here and not in the future, so that order is that of the calls.
        let (batch, sorted) = Shared::sort(&self.shared, batch);
        if let Some(claims) = &self.shared.claims {
            let turn = self.shared.turns.next();
            return Box::pin(shared::run(claims.clone(), inner, batch, sorted, turn));
        }
        let below = (!batch.is_empty()).then(|| inner.call(batch));
        Box::pin(async move {
            let below = match below {
                Some(below) => below.await,
                None => Ok(()),
            };
            sorted.answer(below).await
        })
    }
}

/// What a batch was sorted into, besides the events that go on.
struct Sorted {
    flight: Flight,
    /// Went on without a key.
    keyless: Vec<Origin>,
    /// Refused for want of a key.
    missing: Vec<Origin>,
    /// Duplicates of what was delivered.
    known: u64,
    /// Duplicates of events of this batch.
    own: Vec<(Fingerprint, Origin)>,
    /// Duplicates of events that are under way, by the flight of those.
    waits: Vec<Wait>,
}

struct Wait {
    flight: u32,
    fate: watch::Receiver<Option<Arc<Fate>>>,
    duplicates: Vec<(Fingerprint, Origin)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Whatever a panicking thread left undone, its flight's guard puts right.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock starts at the length of the window, so that what an earlier run remembered has
    /// its place before the start.
    fn now(&self) -> Ticks {
        self.length + self.opened.elapsed().as_nanos() as Ticks
    }

    /// Takes the duplicates out of the batch.
    fn sort(this: &Arc<Self>, mut batch: Batch) -> (Batch, Sorted) {
        let mut scratch = Vec::new();
        let key = |event| this.keys.of(event, &mut scratch);
        let keys: Vec<Option<Fingerprint>> = batch.events().iter().map(key).collect();

        let (sorted, gone) = this.look_up(&batch, keys);
        if !gone.is_empty() {
            let (mut index, mut gone) = (0, gone.into_iter().peekable());
            batch.make_mut().retain(|_| {
                let keep = gone.next_if_eq(&index).is_none();
                index += 1;
                keep
            });
        }
        (batch, sorted)
    }

    /// Sorts by what is known of the keys; also the indices of the events that do not go on.
    fn look_up(
        self: &Arc<Self>,
        batch: &Batch,
        keys: Vec<Option<Fingerprint>>,
    ) -> (Sorted, Vec<usize>) {
        let mut memory = self.lock();
        let at = self.now();
        let mut sorted = Sorted {
            flight: Flight::begin(self, &mut memory.window, at, keys.len()),
            keyless: Vec::new(),
            missing: Vec::new(),
            known: 0,
            own: Vec::new(),
            waits: Vec::new(),
        };
        let mut gone = Vec::new();
        // Of those that wait it is known only later; a delivery that fails is told anew.
        let mut ended = Vec::new();
        let flight = sorted.flight.number;
        for (index, (event, key)) in batch.events().iter().zip(keys).enumerate() {
            let origin = event.origin;
            let Some(key) = key else {
                match self.missing_key {
                    MissingKey::Pass => sorted.keyless.push(origin),
                    MissingKey::Reject => {
                        sorted.missing.push(origin);
                        gone.push(index);
                    }
                }
                continue;
            };
            match memory.window.see(key, flight, at) {
                Seen::New => {
                    sorted.flight.keys.push((key, origin));
                    continue;
                }
                Seen::Delivered => sorted.known += 1,
                Seen::Own => sorted.own.push((key, origin)),
                Seen::UnderWay(first, outcome) => sorted.wait(first, &outcome, (key, origin)),
            }
            ended.push(origin);
            gone.push(index);
        }
        self.meter.ended(ended);
        if sorted.flight.keys.is_empty() {
            memory.window.forget(flight);
        }
        (sorted, gone)
    }
}

impl Sorted {
    fn wait(&mut self, flight: u32, outcome: &Outcome, duplicate: (Fingerprint, Origin)) {
        match self.waits.iter_mut().find(|wait| wait.flight == flight) {
            Some(wait) => wait.duplicates.push(duplicate),
            None => self.waits.push(Wait {
                flight,
                fate: outcome.subscribe(),
                duplicates: vec![duplicate],
            }),
        }
    }

    /// The answer for the whole batch, given that for the events that went on.
    async fn answer(mut self, below: Result<(), Failure>) -> Result<(), Failure> {
        let below = self.name(below);
        self.finish(below).await
    }

    /// The answer from below, with the events that went on named where it speaks of all.
    fn name(&mut self, below: Result<(), Failure>) -> Result<(), Failure> {
        below.map_err(|failure| {
            let keyed = self.flight.keys.iter().map(|(_, origin)| *origin);
            failure.named(
                &keyed
                    .chain(mem::take(&mut self.keyless))
                    .collect::<Vec<_>>(),
            )
        })
    }

    /// The answer for the whole batch, given the one for each event that went on or is held.
    async fn finish(mut self, below: Result<(), Failure>) -> Result<(), Failure> {
        // Told before anything is waited for: flights wait for earlier ones only, never in turn.
        let fate = self.flight.end(&below);
        let mut losses = Losses::default();
        let mut dropped = self.known + share(&fate, self.own, &mut losses);
        for wait in self.waits {
            let fate = match fate::learn(wait.fate).await {
                Some(fate) => fate,
                None => Arc::new(lost(&wait.duplicates)),
            };
            dropped += share(&fate, wait.duplicates, &mut losses);
        }
        let shared = &self.flight.shared;
        if dropped > 0 {
            shared.meter.dropped("duplicate", dropped);
        }
        let text = format!("no key: the event needs a value at {}", shared.keys.names());
        losses.reject(Cause::new("missing_key", text), self.missing);
        losses.join(below)
    }
}

/// Gives each duplicate the fate of its first; how many are to be dropped.
fn share(fate: &Fate, duplicates: Vec<(Fingerprint, Origin)>, losses: &mut Losses) -> u64 {
    let mut dropped = 0;
    for (key, origin) in duplicates {
        match fate.0.get(&key) {
            Some(loss) => losses.share(loss, origin),
            None => dropped += 1,
        }
    }
    dropped
}

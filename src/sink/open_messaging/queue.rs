//! Who waits, and for how long: the figures of each organisation, and the alerts of all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use compact_str::CompactString;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tower::Service;

use crate::client::tenants::Tenants;
use crate::event::Batch;
use crate::failure::Failure;
use crate::layer::KeyedPolicy;
use crate::observe::{KeyFigures, NodeMeter};
use crate::stage::Stage;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two at what is old.
const PRUNE: u32 = 600;
/// How long an organisation is shown after its last message.
const SHOWN: Duration = Duration::from_secs(600);
/// Most organisations that are shown.
const MOST: usize = 1_000;

/// Puts the watch around the sink's stack. It ends with the last of its clones.
pub(super) fn watched<F, Fut>(
    inner: Stage,
    key: KeyedPolicy,
    tenants: Tenants,
    meter: NodeMeter,
    prune: F,
) -> Stage
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let lines = Lines::default();
    let (seen, watch) = (lines.clone(), tenants);
    let task = tokio::spawn(async move {
        for look in 0_u32.. {
            if look % PRUNE == 0 {
                prune().await;
            }
            tokio::time::sleep(LOOK).await;
            tell(&seen, &watch, &meter);
        }
    });
    Stage::new(Watched {
        inner,
        key: Arc::new(key),
        lines,
        _task: Arc::new(Task(task)),
    })
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Lines = Arc<Mutex<HashMap<CompactString, Line>>>;

/// The messages of one organisation that are here.
struct Line {
    waiting: BTreeSet<(Instant, u64)>,
    next: u64,
    last: Instant,
}

fn lock(lines: &Lines) -> MutexGuard<'_, HashMap<CompactString, Line>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says how things stand.
fn tell(lines: &Lines, tenants: &Tenants, meter: &NodeMeter) {
    let mut figures = BTreeMap::new();
    let oldest = |line: &Line| line.waiting.first().map(|(since, _)| since.elapsed());
    let mut longest = Duration::ZERO;
    {
        let mut lines = lock(lines);
        lines.retain(|_, line| !line.waiting.is_empty() || line.last.elapsed() < SHOWN);
        for (key, line) in lines.iter() {
            let age = oldest(line).unwrap_or_default();
            longest = longest.max(age);
            // Whoever is not known is not shown: messages may name anybody.
            let ids = key.split_once('/');
            let known = ids.and_then(|(tenant, id)| tenants.known(tenant, id));
            let Some(organization) = known.filter(|_| figures.len() < MOST) else {
                continue;
            };
            let usage = organization.client().usage();
            let figure = KeyFigures {
                allowed: usage.allowed,
                used: usage.used,
                waiting: line.waiting.len() as u64,
                oldest: age.as_secs_f64(),
            };
            figures.insert(key.to_string(), figure);
        }
    }
    meter.keys(figures);
    meter.figure("oldest_waiting_seconds", longest.as_secs());
    let stale = tenants.stale();
    let age = stale.as_ref().map_or(0, |stale| stale.since.as_secs());
    meter.figure("tenants_stale_seconds", age);
    let away = match &stale {
        Some(stale) => format!("{}: what was told last is used", stale.why),
        None => "the tenant service answers again".to_owned(),
    };
    meter.alert("tenants_away", away, stale.is_some());
    let unshared = tenants.unshared();
    let message = match &unshared {
        Some(why) => format!("{why}: this worker keeps to its share of each budget"),
        None => "budgets are shared again".to_owned(),
    };
    meter.alert("budget_unshared", message, unshared.is_some());
}

/// The stack, and who is in it.
#[derive(Clone)]
struct Watched {
    inner: Stage,
    key: Arc<KeyedPolicy>,
    lines: Lines,
    _task: Arc<Task>,
}

impl Watched {
    fn enter(&self, batch: &Batch) -> Inside {
        let mut places = Vec::with_capacity(batch.len());
        let now = Instant::now();
        let mut lines = lock(&self.lines);
        for event in batch {
            let key = self.key.key_of(event);
            let line = lines.entry(key.clone()).or_insert_with(|| Line {
                waiting: BTreeSet::new(),
                next: 0,
                last: now,
            });
            line.next += 1;
            line.last = now;
            line.waiting.insert((now, line.next));
            places.push((key, (now, line.next)));
        }
        Inside {
            lines: self.lines.clone(),
            places,
        }
    }
}

/// Messages that are here, until this is dropped.
struct Inside {
    lines: Lines,
    places: Vec<(CompactString, (Instant, u64))>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut lines = lock(&self.lines);
        for (key, place) in &self.places {
            if let Some(line) = lines.get_mut(key) {
                line.waiting.remove(place);
            }
        }
    }
}

impl Service<Batch> for Watched {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let inside = self.enter(&batch);
        let answer = self.inner.call(batch);
        Box::pin(async move {
            let answer = answer.await;
            drop(inside);
            answer
        })
    }
}

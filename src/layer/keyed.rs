//! One set of limits for each key, so that one organisation's outage never slows another's.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use compact_str::CompactString;
use futures::future::{BoxFuture, join_all};
use tower::{Service, ServiceExt};

use super::BreakerPolicy;
use crate::event::{Batch, Event, Path};
use crate::failure::Failure;
use crate::stage::Stage;

/// How a batch is taken apart by key.
#[derive(Clone, Debug)]
pub struct KeyedPolicy {
    /// The tenant, organisation or whatever has limits of its own. Events without it share one.
    pub key: Path,
    /// Whose key it is, where two may have the same one; then a key is `<within>/<key>`. Default none.
    pub within: Option<Path>,
    /// Most keys whose limits are remembered at once; default 10,000. Beyond it the one that was
    /// used least recently starts anew at its next event.
    pub max_keys: usize,
    /// Within a key, events with the same value here (the first of these that an event has) go one
    /// after the other, however often one of them is tried, and others go beside them. Default none:
    /// a key's batches go in turn.
    pub order_by: Vec<Path>,
}

impl KeyedPolicy {
    /// Default of `max_keys`.
    pub const MAX_KEYS: usize = 10_000;

    /// Shows the paths, so that they can be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        visit(&mut self.key);
        self.within.iter_mut().for_each(&mut *visit);
        self.order_by.iter_mut().for_each(visit);
    }

    /// The key of an event; empty where it has none.
    pub fn key_of(&self, event: &Event) -> CompactString {
        let key = text_of(event, &self.key).unwrap_or_default();
        match &self.within {
            None => key,
            Some(within) => {
                let within = text_of(event, within).unwrap_or_default();
                compact_str::format_compact!("{within}/{key}")
            }
        }
    }
}

/// A breaker's policy as somebody knows it from moment to moment; the file's where nobody does.
pub type OwnBreaker = Arc<dyn Fn() -> Option<BreakerPolicy> + Send + Sync>;

/// The limits of one key, where they differ from those of the pipeline file.
#[derive(Clone, Default)]
pub struct KeyLimits {
    /// Asked before every attempt, beside the rate of the file; default none.
    pub pace: Option<Arc<dyn Pace>>,
    /// Writes at the same time.
    pub concurrency: Option<NonZeroUsize>,
    /// The breaker, where the file does not switch it off.
    pub breaker: Option<OwnBreaker>,
}

/// How fast somebody may be written to, as whoever knows it says from moment to moment.
pub trait Pace: Send + Sync {
    /// Waits until this many events may go, and takes their places.
    fn take(&self, events: usize) -> BoxFuture<'_, ()>;
}

/// Who knows the limits of each key. Asked when a key is met; what it answers holds until the key is
/// forgotten.
pub trait Limits: Send + Sync {
    /// Of this key; the empty one is that of events without a key.
    fn of(&self, key: &str) -> KeyLimits;
}

/// Nobody has limits of its own.
impl Limits for () {
    fn of(&self, _: &str) -> KeyLimits {
        KeyLimits::default()
    }
}

struct Keys {
    stages: HashMap<CompactString, (Stage, u64)>,
    clock: u64,
}

/// Splits each batch by key; every part goes through its key's own stage, all at the same time,
/// and the answers are joined. Order within a key is kept.
#[derive(Clone)]
pub struct Keyed {
    policy: Arc<KeyedPolicy>,
    make: Arc<dyn Fn(&str) -> Stage + Send + Sync>,
    keys: Arc<Mutex<Keys>>,
}

impl Keyed {
    /// `make` builds the limits of a key that was not there yet.
    pub fn new(policy: KeyedPolicy, make: impl Fn(&str) -> Stage + Send + Sync + 'static) -> Self {
        let keys = Keys {
            stages: HashMap::new(),
            clock: 0,
        };
        Self {
            policy: Arc::new(policy),
            make: Arc::new(make),
            keys: Arc::new(Mutex::new(keys)),
        }
    }

    fn stage_of(&self, key: CompactString) -> Stage {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.clock += 1;
        let now = keys.clock;
        if let Some((stage, used)) = keys.stages.get_mut(&key) {
            *used = now;
            return stage.clone();
        }
        if keys.stages.len() >= self.policy.max_keys {
            let oldest = keys.stages.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                keys.stages.remove(&oldest);
            }
        }
        let stage = (self.make)(&key);
        keys.stages.insert(key, (stage.clone(), now));
        stage
    }
}

/// The text of an event's value; `None` where it has none, or a container.
pub(super) fn text_of(event: &Event, path: &Path) -> Option<CompactString> {
    let value = event.get(path)?;
    value.as_plain().map(|text| (&*text).into())
}

/// Takes a batch apart by a key. Events keep their order within a part.
pub(super) fn parts<K: Clone + Eq + std::hash::Hash>(
    batch: Batch,
    key_of: impl Fn(&Event) -> K,
) -> Vec<(K, Vec<Event>)> {
    let mut parts: Vec<(K, Vec<Event>)> = Vec::new();
    let mut places: HashMap<K, usize> = HashMap::new();
    for event in batch.into_events() {
        let key = key_of(&event);
        let place = *places.entry(key.clone()).or_insert_with(|| {
            parts.push((key, Vec::new()));
            parts.len() - 1
        });
        parts[place].1.push(event);
    }
    parts
}

impl Service<Batch> for Keyed {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // Readiness is each key's own matter: one that is not must not hold up the others.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let calls = parts(batch, |event| self.policy.key_of(event))
            .into_iter()
            .map(|(key, events)| {
                let part = Batch::from(events);
                let origins = part.origins();
                let call = self.stage_of(key).oneshot(part);
                async move { call.await.map_err(|failure| failure.named(&origins)) }
            });
        let calls: Vec<_> = calls.collect();
        Box::pin(async move { Failure::join(join_all(calls).await) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::failure::Kind;
    use crate::layer::testing::{Script, delivery, key, only};

    fn keyed(script: &Script, max_keys: usize) -> Keyed {
        let (policy, script) = (
            KeyedPolicy {
                key: key(),
                within: None,
                max_keys,
                order_by: Vec::new(),
            },
            script.clone(),
        );
        Keyed::new(policy, move |_| script.stage())
    }

    #[tokio::test(start_paused = true)]
    async fn parts_go_at_the_same_time_in_order_within_a_key_and_answers_are_joined() {
        let script = Script::new(|_, batch: Batch| async move {
            if batch.events()[0].origin.index() == 0 {
                sleep(Duration::from_secs(5)).await;
                return Err(only(Kind::Transient, &[2]));
            }
            Ok(())
        });
        let from = Instant::now();
        let call = keyed(&script, 10).oneshot(delivery(1, &["a", "b", "a", "b", "c"]));
        let failure = call.await.unwrap_err();
        assert_eq!(script.seen(), [vec![0, 2], vec![1, 3], vec![4]]);
        assert_eq!(script.times(from), [0, 0, 0], "none waits for another");
        assert_eq!(failure.lost(&delivery(1, &["a"; 5])).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_keys_that_are_remembered_are_bounded() {
        let keyed = keyed(&Script::well(), 3);
        for n in 0..100 {
            let name = n.to_string();
            keyed
                .clone()
                .oneshot(delivery(1, &[&name, "often"]))
                .await
                .unwrap();
        }
        let keys = keyed.keys.lock().unwrap();
        assert_eq!(keys.stages.len(), 3);
        assert!(keys.stages.contains_key("often"));
    }
}

//! Pipelines that read a queue, with a sink that a test holds in its hands.

#![allow(dead_code, reason = "each test uses what it needs of it")]

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use trunkline::config::{Fixed, parse};
use trunkline::event::{Batch, Meta, Path};
use trunkline::failure::Failure;
use trunkline::graph::Pipeline;
use trunkline::graph::check::check;
use trunkline::graph::run::run;
use trunkline::layer::{Kept, KeyedPolicy, SinkContext, SinkPart, VisitPaths};
use trunkline::observe::{Ledger, Observer};
use trunkline::stage::{Sink, Stage};
use trunkline::state::Store;

/// Waits for something that takes real time, at most two minutes.
pub async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(120) {
        if met().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not {what}");
}

/// What the sink was given: body, what the broker said of it, and when.
#[derive(Clone)]
pub struct Taken {
    pub body: Value,
    pub meta: HashMap<&'static str, String>,
    pub at: Instant,
}

#[derive(Default)]
pub struct Shelf {
    pub taken: Mutex<Vec<Taken>>,
    /// Groups (`.g`) that are not taken now.
    dead: Mutex<HashSet<String>>,
    /// Nothing is taken.
    closed: Mutex<bool>,
    changed: Notify,
    /// Order and limits by group.
    apart: bool,
    /// How long each event takes.
    pause: Duration,
}

impl Shelf {
    pub fn count(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    pub fn all(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    pub fn kill(&self, group: &str) {
        self.dead.lock().unwrap().insert(group.to_owned());
    }

    pub fn revive(&self, group: &str) {
        self.dead.lock().unwrap().remove(group);
        self.changed.notify_waiters();
    }

    pub fn close(&self, closed: bool) {
        *self.closed.lock().unwrap() = closed;
        self.changed.notify_waiters();
    }

    async fn wait(&self, group: &str) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let dead = self.dead.lock().unwrap().contains(group);
            if !dead && !*self.closed.lock().unwrap() {
                return;
            }
            changed.await;
        }
    }
}

#[derive(Clone)]
struct Writer(Arc<Shelf>);

impl SinkPart for Writer {
    fn paths(&mut self, _: VisitPaths<'_>) {}

    fn kept(&self) -> Kept {
        Kept::Lasting {
            idempotent: None,
            limit: None,
        }
    }

    fn calls(&self) -> NonZeroUsize {
        NonZeroUsize::MIN
    }

    fn apart(&self) -> Option<KeyedPolicy> {
        self.0.apart.then(|| KeyedPolicy {
            within: None,
            key: Path::of(["g"]),
            max_keys: 1000,
            order_by: vec![Path::of(["g"])],
        })
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        async move { Ok(context.stack(*self)) }.boxed()
    }
}

impl Sink for Writer {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        if !self.0.pause.is_zero() {
            tokio::time::sleep(self.0.pause * batch.len() as u32).await;
        }
        for event in &batch {
            let body: Value = serde_json::from_str(&event.to_json()).unwrap();
            self.0.wait(body["g"].as_str().unwrap_or_default()).await;
            let meta = Meta::ALL.iter().filter_map(|(name, meta)| {
                let said = event.meta(*meta)?;
                Some((*name, said.to_owned()))
            });
            let taken = Taken {
                body,
                meta: meta.collect(),
                at: Instant::now(),
            };
            self.0.taken.lock().unwrap().push(taken);
        }
        Ok(())
    }
}

/// A pipeline under way.
pub struct Run {
    pub shelf: Arc<Shelf>,
    pub observer: Observer,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Failure>>,
}

pub fn pipeline(yaml: &str) -> Pipeline {
    let loaded = parse("p.yaml", yaml, &Fixed::new());
    let checked = check(&loaded);
    checked
        .pipeline
        .unwrap_or_else(|| panic!("{:?}", checked.report))
}

/// How a pipeline is run.
#[derive(Default)]
pub struct With {
    pub store: Option<Store>,
    pub apart: bool,
    pub closed: bool,
    pub pause: Duration,
}

impl Run {
    /// Reads the queue with these further settings into the shelf.
    pub fn reads(url: &str, queue: &str, more: &str, letters: &str, with: With) -> Self {
        let yaml = format!(
            "version: 1
name: p
sources:
  in: {{ type: rabbitmq, url: '{url}', queue: {queue}, {more} }}
sinks:
  out: {{ type: blackhole, inputs: [in] }}
{letters}
"
        );
        Self::start(&yaml, with)
    }

    /// A blackhole of this file is the shelf.
    pub fn start(yaml: &str, with: With) -> Self {
        Self::of(pipeline(yaml), with)
    }

    /// The same with a pipeline that was checked.
    pub fn of(mut pipeline: Pipeline, with: With) -> Self {
        let shelf = Arc::new(Shelf {
            apart: with.apart,
            closed: Mutex::new(with.closed),
            pause: with.pause,
            ..Shelf::default()
        });
        for sink in &mut pipeline.sinks {
            if sink.component == "blackhole" {
                // What the file says nothing of is the part's own to say, and was asked already.
                sink.policy.per_key = Writer(shelf.clone()).apart();
                if with.apart {
                    sink.buffer.batch_events = 1;
                    sink.buffer.in_flight = NonZeroUsize::new(50_000).unwrap();
                }
                sink.part = Box::new(Writer(shelf.clone()));
            }
        }
        let observer = Observer::new("p");
        let watched = observer.clone();
        let (stop, stopped) = oneshot::channel();
        let store = with.store.unwrap_or_else(Store::memory);
        let task = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            run(pipeline, &watched, store, stopped).await
        });
        Self {
            shelf,
            observer,
            stop: Some(stop),
            task,
        }
    }

    pub async fn until(&self, count: usize) {
        let taken = || self.shelf.count();
        until(&format!("{count} taken"), async || {
            assert!(!self.task.is_finished(), "it ended with {} taken", taken());
            taken() >= count
        })
        .await;
    }

    /// How it ends by itself.
    pub async fn ended(self) -> Result<(), Failure> {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.task);
        ended.await.expect("it goes on").unwrap()
    }

    /// Stops it; the ledger adds up.
    pub async fn stop(mut self) -> Ledger {
        drop(self.stop.take());
        let stopped = tokio::time::timeout(Duration::from_secs(120), &mut self.task).await;
        let drawn = || self.observer.ledger().render(140, false);
        stopped
            .unwrap_or_else(|_| panic!("it does not stop\n{}", drawn()))
            .unwrap()
            .unwrap();
        let ledger = self.observer.ledger();
        let drawn = ledger.render(140, false);
        ledger
            .adds_up()
            .unwrap_or_else(|wrong| panic!("{wrong}\n{drawn}"));
        ledger
    }

    /// As a crash would.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// `{"g": "g-3", "n": 7}`: the n-th of a group.
pub fn bodies(count: usize, groups: usize) -> Vec<String> {
    let body = |n: usize| format!(r#"{{"g":"g-{}","n":{}}}"#, n % groups, n / groups);
    (0..count).map(body).collect()
}

/// Every message is there at least once, and the first time of each is in the order of its group.
pub fn complete(taken: &[Taken], count: usize, groups: usize) {
    let mut next: HashMap<String, u64> = HashMap::new();
    let mut seen: HashSet<(String, u64)> = HashSet::new();
    for one in taken {
        let group = one.body["g"].as_str().unwrap().to_owned();
        let n = one.body["n"].as_u64().unwrap();
        if seen.insert((group.clone(), n)) {
            let due = next.entry(group.clone()).or_default();
            assert_eq!(n, *due, "out of order in {group}");
            *due += 1;
        }
    }
    assert_eq!(seen.len(), count, "of {groups} groups");
}

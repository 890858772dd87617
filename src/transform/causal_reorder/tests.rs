//! The stage as a whole, over a paused clock.

mod answers;
mod lanes;
mod orders;
mod permutations;
mod restarts;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt, service_fn};

use super::{By, CausalReorder, Config, Lifecycle};
use crate::event::{Batch, Event, Origin, Path};
use crate::failure::Failure;
use crate::layer::Lane;
use crate::observe::{NodeKind, NodeMeter, Observer};
use crate::stage::{Phase, Stage};
use crate::state::Store;

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

fn config(by: By) -> Config {
    Config {
        key: path(".id"),
        time: path(".at"),
        by,
        max_wait: Duration::from_secs(2),
        lateness: Duration::ZERO,
        max_held: 100,
        max_conversations: 100,
        idle: Duration::from_secs(3600),
        pass_without_key: false,
        counters: None,
        seeds: Arc::default(),
    }
}

/// Three ranks, an opener required.
pub(super) fn lifecycle() -> Config {
    let order = [
        &["initiated", "offered"][..],
        &["connected"],
        &["completed"],
    ];
    config(By::Lifecycle(Lifecycle {
        path: Some(path(".state")),
        participant: None,
        order: order
            .iter()
            .map(|group| group.iter().map(ToString::to_string).collect())
            .collect(),
        opener_required: true,
    }))
}

pub(super) fn sequenced() -> Config {
    config(By::Sequence {
        path: path(".n"),
        first: 1,
    })
}

pub(super) fn clocked() -> Config {
    config(By::VectorClock {
        path: path(".clock"),
        node: path(".node"),
    })
}

pub(super) fn event(index: usize, json: &str) -> Event {
    let mut event = Event::parse(json.into(), &Arc::default(), &Arc::default()).unwrap();
    event.origin = Origin::new(1, index);
    event
}

type Hands = Arc<Mutex<VecDeque<oneshot::Sender<Result<(), Failure>>>>>;
type Below = Box<dyn FnMut(Batch) -> BoxFuture<'static, Result<(), Failure>> + Send>;

/// A stage under test over one that writes down what it gets.
struct Bench {
    stage: Stage,
    meter: NodeMeter,
    observer: Observer,
    phase: watch::Sender<Phase>,
    got: Arc<Mutex<Vec<Event>>>,
    batches: Arc<Mutex<Vec<usize>>>,
    below: Arc<Mutex<Below>>,
    probe: Stage,
    next: usize,
}

impl Bench {
    fn new(config: &Config) -> Self {
        Self::over(config, &Store::memory())
    }

    fn over(config: &Config, store: &Store) -> Self {
        Self::of_lane(config, store, Lane::WHOLE)
    }

    fn of_lane(config: &Config, store: &Store, lane: Lane) -> Self {
        let observer = Observer::new("p");
        let meter = observer.node("ordered", NodeKind::Transform, "causal_reorder");
        let (phase, watch) = watch::channel(Phase::Running);
        let table = store.table("ordered");
        let layer = CausalReorder::open(config, table, meter.clone(), watch, lane).unwrap();
        let (got, batches) = (Arc::default(), Arc::default());
        let ok: Below = Box::new(|_| futures::future::ready(Ok(())).boxed());
        let below = Arc::new(Mutex::new(ok));
        let (g, b, below_too) = (Arc::clone(&got), Arc::clone(&batches), Arc::clone(&below));
        let probe = Stage::new(service_fn(move |batch: Batch| {
            let got: &Mutex<Vec<Event>> = &g;
            got.lock().unwrap().extend(batch.events().iter().cloned());
            let batches: &Mutex<Vec<usize>> = &b;
            batches.lock().unwrap().push(batch.len());
            (below_too.lock().unwrap())(batch)
        }));
        Self {
            stage: layer.layer(probe.clone()),
            probe,
            meter,
            observer,
            phase,
            got,
            batches,
            below,
            next: 0,
        }
    }

    /// What the stage below answers from now on.
    fn answers(
        &self,
        f: impl FnMut(Batch) -> BoxFuture<'static, Result<(), Failure>> + Send + 'static,
    ) {
        *self.below.lock().unwrap() = Box::new(f);
    }

    /// From now on the test answers each batch by hand, in turn.
    fn by_hand(&self) -> Hands {
        let hands = Hands::default();
        let to = Arc::clone(&hands);
        self.answers(move |_| {
            let (hand, answer) = oneshot::channel();
            to.lock().unwrap().push_back(hand);
            async move { answer.await.unwrap() }.boxed()
        });
        hands
    }

    /// Sends a batch. Events are numbered from 0 over the life of the bench.
    async fn send(&mut self, bodies: &[impl AsRef<str>]) -> JoinHandle<Result<(), Failure>> {
        let batch: Batch = bodies
            .iter()
            .map(|json| {
                self.next += 1;
                event(self.next - 1, json.as_ref())
            })
            .collect();
        let call = self.stage.ready().await.unwrap().call(batch);
        let answer = tokio::spawn(call);
        self.rest().await;
        answer
    }

    /// Lets every task run as far as it can.
    async fn rest(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    async fn wait(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        self.rest().await;
    }

    /// What went on since the last time: number of the event, counter, labels.
    fn went(&self) -> String {
        let shown: Vec<String> = std::mem::take(&mut *self.got.lock().unwrap())
            .iter()
            .map(|event| {
                let labels: String = event
                    .labels
                    .names()
                    .map(|name| format!("+{name}"))
                    .collect();
                format!("{}#{}{labels}", event.origin.index(), event.counter)
            })
            .collect();
        shown.join(" ")
    }

    fn labels(&self) -> String {
        let node = serde_json::to_value(self.observer.ledger()).unwrap();
        node.to_string()
    }
}

/// An event of conversation `id` at second `at`.
fn state(id: &str, at: u32, state: &str) -> String {
    format!(r#"{{"id":"{id}","at":{at},"state":"{state}"}}"#)
}

fn number(id: &str, n: u32) -> String {
    format!(r#"{{"id":"{id}","at":1,"n":{n}}}"#)
}

fn clock(node: &str, clock: &str) -> String {
    format!(r#"{{"id":"x","at":1,"node":"{node}","clock":{clock}}}"#)
}

/// Done, and well.
async fn is_ok(answer: JoinHandle<Result<(), Failure>>) {
    assert!(answer.is_finished(), "not answered yet");
    answer.await.unwrap().unwrap();
}

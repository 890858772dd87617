//! A scripted stage below, answered by hand.

mod behaviour;
mod lanes;
mod model;
mod restart;
mod speed;

use std::collections::BTreeSet;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::diagnostic::{Report, Span};
use crate::event::{Event, EventsBuilder, PathSet, Position, Provenance};
use crate::observe::{NodeKind, Observer};
use crate::setting::{Key, Node, Value};
use crate::state::Store;

type Answer = Result<(), Failure>;

/// A batch that arrived below, and where its answer goes.
struct Arrived {
    batch: Batch,
    answer: oneshot::Sender<Answer>,
}

struct Bed {
    stage: Stage,
    below: Arc<Mutex<Vec<Arrived>>>,
    observer: Observer,
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn node(value: Value) -> Node {
    Node::new(value, Span::on_line(1, 1, 1))
}

/// The settings, or the codes of what is wrong with them.
fn config<const N: usize>(settings: [(&str, Value); N]) -> Result<Config, Vec<&'static str>> {
    let entry = |(name, value): (&str, Value)| {
        let key = Key {
            name: name.into(),
            span: Span::on_line(1, 1, 1),
        };
        (key, node(value))
    };
    let settings = node(Value::Map(settings.map(entry).into()));
    let mut report = Report::new("f");
    let mut fields = Fields::new(&settings, "`unique`", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    let codes: Vec<_> = report.iter().map(|item| item.code).collect();
    match config {
        Some(config) if codes.is_empty() => Ok(config),
        _ => Err(codes),
    }
}

fn by_id() -> Config {
    config([("key", text(".id"))]).unwrap()
}

impl Bed {
    fn new(config: &Config) -> Self {
        Self::over(config, &Store::memory(), 1_000_000)
    }

    /// Over a store, at this wall time in milliseconds.
    fn over(config: &Config, store: &Store, wall: u64) -> Self {
        Self::of_lane(config, store, wall, Lane::WHOLE)
    }

    fn of_lane(config: &Config, store: &Store, wall: u64, lane: Lane) -> Self {
        let observer = Observer::new("test");
        let meter = observer.node("unique", NodeKind::Transform, "dedup");
        let dedup = Dedup::open_at(config, store.table("unique"), meter, lane, wall).unwrap();
        let below: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let arrivals = below.clone();
        let inner = service_fn(move |batch| {
            let (answer, answered) = oneshot::channel();
            arrivals.lock().unwrap().push(Arrived { batch, answer });
            async move { answered.await.unwrap_or_else(|_| panic!("scripted")) }
        });
        Self {
            stage: dedup.layer(Stage::new(inner)),
            below,
            observer,
        }
    }

    /// Hands a batch over and lets it get as far as it can.
    async fn send(&mut self, batch: Batch) -> JoinHandle<Answer> {
        let stage = self.stage.ready().await.unwrap();
        let answer = tokio::spawn(stage.call(batch));
        settle().await;
        answer
    }

    /// What arrived below since the last look: the origins' indices.
    fn arrived(&self) -> Vec<Arrived> {
        mem::take(&mut *self.below.lock().unwrap())
    }

    /// Sends events that must all go on, and delivers them.
    async fn deliver(&mut self, batch: Batch) {
        let count = batch.len();
        let answer = self.send(batch).await;
        let [arrived] = self.only();
        assert_eq!(arrived.batch.len(), count);
        arrived.answer.send(Ok(())).unwrap();
        answer.await.unwrap().unwrap();
    }

    /// Sends events that must all be dropped at once.
    async fn drops(&mut self, batch: Batch) {
        let before = self.dropped();
        let count = batch.len() as u64;
        let answer = self.send(batch).await;
        let [] = self.only();
        answer.await.unwrap().unwrap();
        assert_eq!(self.dropped() - before, count);
    }

    fn only<const N: usize>(&self) -> [Arrived; N] {
        self.arrived()
            .try_into()
            .unwrap_or_else(|all: Vec<_>| panic!("{} batches arrived, not {N}", all.len()))
    }

    fn dropped(&self) -> u64 {
        let ledger = self.observer.ledger();
        let counts = &ledger.node("unique").unwrap().counts;
        assert!(counts.dropped.keys().all(|reason| reason == "duplicate"));
        counts.dropped_total()
    }
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn event(body: &str, origin: Origin) -> Event {
    let paths: Arc<PathSet> = Arc::default();
    let mut event = Event::parse(body.into(), &paths, &provenance()).unwrap();
    event.origin = origin;
    event
}

fn provenance() -> Arc<Provenance> {
    Arc::new(Provenance {
        source: "test".into(),
        object: "".into(),
        received: 0,
    })
}

/// Events with these bodies, of one delivery.
fn bodies<const N: usize>(delivery: u64, bodies: [&str; N]) -> Batch {
    let place = |(index, body): (usize, &str)| event(body, Origin::new(delivery, index));
    bodies.into_iter().enumerate().map(place).collect()
}

/// Events with these values of `.id`, of one delivery.
fn ids<const N: usize>(delivery: u64, ids: [u32; N]) -> Batch {
    let place = |(index, id)| event(&format!("{{\"id\":{id}}}"), Origin::new(delivery, index));
    ids.into_iter().enumerate().map(place).collect()
}

fn indices(batch: &Batch) -> Vec<usize> {
    batch.origins().into_iter().map(Origin::index).collect()
}

/// The indices of the lost events, in order.
fn lost_indices(answer: &Answer, batch: &Batch) -> BTreeSet<usize> {
    let failure = answer.as_ref().unwrap_err();
    assert!(!failure.is_all(), "every loss must name its events");
    failure.lost(batch).into_iter().map(Origin::index).collect()
}

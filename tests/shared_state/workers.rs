//! Workers with a `dedup` each, over what they share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tower::{Service, ServiceExt, service_fn};
use trunkline::diagnostic::{Report, Span};
use trunkline::event::{Batch, Event, Origin, PathSet, Provenance};
use trunkline::failure::Failure;
use trunkline::layer::Lane;
use trunkline::observe::{NodeKind, Observer};
use trunkline::setting::{Fields, Key, Node, Secret, Value};
use trunkline::stage::{Phase, Stage};
use trunkline::state::{Remote, Store};
use trunkline::transform::causal_reorder::{self, CausalReorder};
use trunkline::transform::dedup::{Config, Dedup};

/// How often each key was delivered, over all workers.
pub type Delivered = Arc<Mutex<HashMap<u64, u32>>>;

pub fn remote(url: &str, lease: Duration) -> Remote {
    Remote {
        url: Secret::new(url),
        prefix: Remote::PREFIX.to_owned(),
        lease,
    }
}

pub async fn open(url: &str, lease: Duration) -> Store {
    Store::remote(&remote(url, lease), "p").await.unwrap()
}

/// A value of settings from JSON.
pub fn node(json: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let span = Span::on_line(1, 1, 1);
    let value = match json {
        Json::Number(number) => Value::Int(number.as_i64().unwrap()),
        Json::String(text) => Value::Text(text.clone()),
        Json::Object(fields) => {
            let field = |(name, value): (&String, _)| {
                let name = name.clone();
                (Key { name, span }, node(value))
            };
            Value::Map(fields.iter().map(field).collect())
        }
        _ => unreachable!("not needed here"),
    };
    Node::new(value, span)
}

pub struct Worker {
    pub store: Store,
    pub stage: Stage,
    next: u64,
}

impl Worker {
    /// Its events go to `below`.
    pub fn over(store: Store, below: Stage) -> Self {
        let settings = node(&serde_json::json!({"key": ".id", "window": "1h"}));
        let mut report = Report::new("f");
        let mut fields = Fields::new(&settings, "`unique`", &mut report).unwrap();
        let config = Config::check(&mut fields).unwrap();
        let meter = Observer::new("p").node("unique", NodeKind::Transform, "dedup");
        let table = store.table("unique");
        let dedup = Dedup::open(&config, table, meter, Lane::WHOLE).unwrap();
        Self {
            store,
            stage: dedup.layer(below),
            next: 1,
        }
    }

    pub fn counting(store: Store, delivered: &Delivered) -> Self {
        let delivered = delivered.clone();
        let below = service_fn(move |batch: Batch| {
            let delivered = delivered.clone();
            async move {
                // Long enough for the other worker to come in between.
                tokio::time::sleep(Duration::from_millis(2)).await;
                for event in batch.events() {
                    *delivered.lock().unwrap().entry(id_of(event)).or_default() += 1;
                }
                Ok(())
            }
        });
        Self::over(store, Stage::new(below))
    }

    /// One delivery, sent once.
    pub async fn send(&mut self, ids: &[u64]) -> Result<(), Failure> {
        let number = self.next;
        self.next += 1;
        let batch = batch(number, ids);
        let stage = self.stage.ready().await?;
        let answer = stage.call(batch).await;
        self.store.commit(vec![number], vec![]).await?;
        answer
    }

    /// As an engine does it: what failed comes again.
    pub async fn deliver(&mut self, ids: &[u64]) {
        while let Err(failure) = self.send(ids).await {
            assert_eq!(
                failure.kind(),
                trunkline::failure::Kind::Transient,
                "{failure}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A worker with a `causal_reorder` by sequence.
pub struct Ordered {
    store: Store,
    stage: Stage,
    /// Counters of what went on.
    pub got: Arc<Mutex<Vec<u64>>>,
    _phase: tokio::sync::watch::Sender<Phase>,
}

impl Ordered {
    pub fn over(store: Store) -> Self {
        let settings = node(&serde_json::json!({
            "key": ".id", "time": ".at", "by": "sequence", "sequence": {"path": ".n"},
        }));
        let mut report = Report::new("f");
        let mut fields = Fields::new(&settings, "`ordered`", &mut report).unwrap();
        let config = causal_reorder::Config::check(&mut fields).unwrap();
        let meter = Observer::new("p").node("ordered", NodeKind::Transform, "causal_reorder");
        let (_phase, phase) = tokio::sync::watch::channel(Phase::Running);
        let table = store.table("ordered");
        let lane = Lane::WHOLE;
        let reorder = CausalReorder::open(&config, table, meter, phase, lane).unwrap();
        let got: Arc<Mutex<Vec<u64>>> = Arc::default();
        let its = got.clone();
        let below = service_fn(move |batch: Batch| {
            its.lock()
                .unwrap()
                .extend(batch.events().iter().map(|event| event.counter));
            async { Ok(()) }
        });
        Self {
            store,
            stage: reorder.layer(Stage::new(below)),
            got,
            _phase,
        }
    }

    /// Sends the event of this number, and commits; the counter that it got.
    pub async fn send(&mut self, number: u32) -> u64 {
        let body = format!("{{\"id\":\"c\",\"at\":\"2026-01-01T00:00:00Z\",\"n\":{number}}}");
        let stage = self.stage.ready().await.unwrap();
        stage.call(batch_of(1, [body])).await.unwrap();
        self.store.commit(vec![1], vec![]).await.unwrap();
        self.got.lock().unwrap().pop().unwrap()
    }
}

fn id_of(event: &Event) -> u64 {
    let text = event.to_json();
    text.trim_start_matches("{\"id\":")
        .trim_end_matches('}')
        .parse()
        .unwrap()
}

fn batch(delivery: u64, ids: &[u64]) -> Batch {
    batch_of(delivery, ids.iter().map(|id| format!("{{\"id\":{id}}}")))
}

fn batch_of(delivery: u64, bodies: impl IntoIterator<Item = String>) -> Batch {
    let paths: Arc<PathSet> = Arc::default();
    let provenance = Arc::new(Provenance {
        source: "test".into(),
        object: "".into(),
        received: 0,
    });
    let event = |(index, body)| {
        let mut event = Event::parse(body, &paths, &provenance).unwrap();
        event.origin = Origin::new(delivery, index);
        event
    };
    bodies.into_iter().enumerate().map(event).collect()
}

/// Waits for something that must come.
pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !is() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

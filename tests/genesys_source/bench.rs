//! A source that is read as the engine reads it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use trunkline::config::{Fixed, parse};
use trunkline::event::{Path, PathSet};
use trunkline::failure::Failure;
use trunkline::layer::{Simulated, SourceContext, SourcePart};
use trunkline::observe::{Gap, NodeKind, Observer, Progress};
use trunkline::setting::Fields;
use trunkline::source::Config;
use trunkline::stage::{OpenSource, Source};
use trunkline::state::Store;

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a source has handed over.
#[derive(Default)]
pub struct Got {
    /// Bodies of the events, in order.
    pub events: Vec<String>,
    /// What they came from.
    pub objects: Vec<String>,
    /// Reasons of letters, and the length of what they are about.
    pub letters: Vec<(&'static str, u64)>,
    /// Deliveries without an event.
    pub empty: usize,
    /// Why it ended.
    pub ended: Option<Failure>,
}

/// A source with what is around it.
pub struct Bench {
    pub observer: Observer,
    pub store: Store,
    open: OpenSource,
}

/// A source that runs.
pub struct Running {
    pub got: Arc<Mutex<Got>>,
    task: tokio::task::JoinHandle<()>,
}

/// The simulated platform at this address.
pub fn at(url: &str) -> Simulated {
    Simulated {
        url: url.to_owned(),
        client_id: "simulator".to_owned(),
        client_secret: "simulator".to_owned(),
        integration: String::new(),
    }
}

/// With times short enough for a test.
pub const QUICK: &str = "
heartbeat_timeout: 2s
ping_interval: 300ms
connect_timeout: 5s
backoff: { first: 50ms, most: 500ms }
";

impl Bench {
    /// Of these fields, over this store.
    pub fn over(store: Store, yaml: &str, simulated: Simulated) -> Self {
        let mut loaded = parse("source.yaml", yaml, &Fixed::new());
        let tree = loaded.tree.take().unwrap();
        let mut fields = Fields::new(&tree, "the source", &mut loaded.report).unwrap();
        let config = Config::check("genesys_websocket", &mut fields);
        fields.finish();
        let found: Vec<_> = loaded.report.iter().map(|it| it.message.clone()).collect();
        assert!(found.is_empty(), "{found:?}");
        let mut config = config.unwrap();
        let mut paths = PathSet::default();
        config.paths(&mut |path: &mut Path| paths.intern(path));
        let observer = Observer::new("test");
        let meter = observer.node("genesys", NodeKind::Source, "genesys_websocket");
        let open = Box::new(config).build(SourceContext {
            node: "genesys".into(),
            paths: Arc::new(paths),
            store: store.clone(),
            progress: Progress::default(),
            meter,
            simulator: Some(simulated),
            triggers: observer.triggers(),
        });
        Self {
            observer,
            store,
            open,
        }
    }

    /// Over a store of its own.
    pub fn new(yaml: &str, simulated: Simulated) -> Self {
        Self::over(Store::memory_durable(), yaml, simulated)
    }

    /// Opens the source and reads it; checkpoints are committed at once.
    pub async fn run(&self) -> Running {
        self.read(self.open().await)
    }

    /// Opens it only.
    pub async fn open(&self) -> Box<dyn Source> {
        (self.open)().await.unwrap()
    }

    /// Reads what was opened.
    pub fn read(&self, mut source: Box<dyn Source>) -> Running {
        let got = Arc::new(Mutex::new(Got::default()));
        let (store, kept) = (self.store.clone(), got.clone());
        let task = tokio::spawn(async move {
            let failure = read(&mut *source, &store, &kept).await;
            kept.lock().unwrap().ended = Some(failure);
        });
        Running { got, task }
    }

    /// The gaps so far.
    pub fn gaps(&self) -> Vec<Gap> {
        self.observer.ledger().nodes[0].genesys_gap.clone()
    }

    /// A figure of the source.
    pub fn figure(&self, name: &str) -> u64 {
        let ledger = self.observer.ledger();
        ledger.nodes[0]
            .figures
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// The alert of this name, while it is raised.
    pub fn alert(&self, name: &str) -> Option<String> {
        let alerts = self.observer.alerts().into_iter();
        alerts
            .filter(|alert| alert.name == name)
            .map(|alert| alert.message)
            .next()
    }
}

async fn read(source: &mut dyn Source, store: &Store, got: &Mutex<Got>) -> Failure {
    loop {
        let delivery = match source.next().await {
            Ok(delivery) => delivery.expect("it never ends well"),
            Err(failure) => return failure,
        };
        for checkpoint in delivery.checkpoints {
            store
                .commit(vec![], vec![("genesys".into(), checkpoint)])
                .await
                .unwrap();
        }
        let mut got = got.lock().unwrap();
        got.empty += usize::from(delivery.batch.is_empty() && delivery.refused.is_empty());
        for event in delivery.batch.events() {
            got.events.push(event.to_json());
            got.objects.push(event.provenance().object.to_string());
        }
        for letter in &delivery.refused {
            let length = match &letter.subject {
                trunkline::stage::Subject::Text { length, .. } => *length,
                trunkline::stage::Subject::Event(_) => 0,
            };
            got.letters.push((letter.reason, length));
        }
    }
}

impl Running {
    /// As a crash ends it: nothing is told to anybody.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub fn count(&self) -> usize {
        self.got.lock().unwrap().events.len()
    }

    /// Until so many events are there.
    pub async fn until(&self, events: usize) {
        until(&format!("{events} events"), || self.count() >= events).await;
    }

    /// Until `count` more events are there.
    pub async fn more(&self, count: usize) {
        self.until(self.count() + count).await;
    }
}

/// Waits for a condition.
pub async fn until(what: &str, met: impl Fn() -> bool) {
    let begun = tokio::time::Instant::now();
    while !met() {
        assert!(begun.elapsed() < PATIENCE, "not seen in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

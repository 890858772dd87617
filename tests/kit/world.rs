//! Pipelines from YAML with ends that a test holds in its hands.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use trunkline::config::{Fixed, parse};
use trunkline::event::{Batch, Event, PathSet};
use trunkline::failure::Failure;
use trunkline::graph::Pipeline;
use trunkline::graph::check::check;
use trunkline::graph::run::{Changes, Reload, run_reloading};
use trunkline::layer::{Kept, Replays, SinkContext, SinkPart, SourceContext, SourcePart};
use trunkline::observe::{Ledger, Observer};
use trunkline::stage::{Delivery, OpenSource, Sink, Source, Stage};
use trunkline::state::Store;

/// What a test sees of the world outside a pipeline.
#[derive(Clone, Default)]
pub struct World(Arc<Inner>);

#[derive(Default)]
struct Inner {
    feeds: Mutex<HashMap<String, Feed>>,
    sinks: Mutex<HashMap<String, Arc<Shelf>>>,
}

type Lines = Vec<String>;

#[derive(Clone)]
struct Feed {
    sender: mpsc::UnboundedSender<Lines>,
    receiver: Arc<AsyncMutex<mpsc::UnboundedReceiver<Lines>>>,
}

/// What a sink was given, and how it behaves.
#[derive(Default)]
pub struct Shelf {
    pub lines: Mutex<Vec<String>>,
    /// Answers nothing.
    pub dead: AtomicBool,
    /// Cannot be opened.
    pub broken: AtomicBool,
    /// Waits until it is opened again.
    pub closed: AtomicBool,
    opened: Notify,
}

impl Shelf {
    /// Takes nothing until it is opened again.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    async fn wait(&self) {
        loop {
            let opened = self.opened.notified();
            if !self.closed.load(Ordering::SeqCst) {
                return;
            }
            opened.await;
        }
    }
}

impl World {
    fn feed(&self, source: &str) -> Feed {
        let mut feeds = self.0.feeds.lock().unwrap();
        let feed = feeds.entry(source.into()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let receiver = Arc::new(AsyncMutex::new(receiver));
            Feed { sender, receiver }
        });
        feed.clone()
    }

    /// Hands a batch of events to a source.
    pub fn send(&self, source: &str, lines: impl IntoIterator<Item = String>) {
        let lines = lines.into_iter().collect();
        self.feed(source).sender.send(lines).unwrap();
    }

    /// Ends the input of a source.
    pub fn end(&self, source: &str) {
        self.send(source, []);
    }

    pub fn shelf(&self, sink: &str) -> Arc<Shelf> {
        let mut sinks = self.0.sinks.lock().unwrap();
        sinks.entry(sink.into()).or_default().clone()
    }

    pub fn written(&self, sink: &str) -> Vec<String> {
        self.shelf(sink).lines.lock().unwrap().clone()
    }

    /// Waits until a sink has this many lines.
    pub async fn until(&self, sink: &str, lines: usize) -> Vec<String> {
        for _ in 0..100_000 {
            let written = self.written(sink);
            if written.len() >= lines {
                return written;
            }
            // On a paused clock this waits for whatever else there is to do.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("{sink} has {:?}", self.written(sink));
    }

    /// A checked pipeline: its sources are feeds, and its blackholes are shelves.
    pub fn pipeline(&self, yaml: &str) -> Pipeline {
        let loaded = parse("p.yaml", yaml, &Fixed::new());
        let checked = check(&loaded);
        let mut pipeline = checked
            .pipeline
            .unwrap_or_else(|| panic!("{:?}", checked.report));
        for source in &mut pipeline.sources {
            let feed = self.feed(&source.name);
            source.part = Box::new(feed);
        }
        for sink in &mut pipeline.sinks {
            let shelf = self.shelf(&sink.name);
            sink.part = Box::new(Writer(shelf));
        }
        pipeline
    }
}

impl SourcePart for Feed {
    fn replays(&self) -> Replays {
        Replays::Gone("it is a test")
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let paths = context.paths;
        Box::new(move || {
            let opened = Fed(self.receiver.clone(), paths.clone());
            async move { Ok(Box::new(opened) as Box<dyn Source>) }.boxed()
        })
    }
}

struct Fed(
    Arc<AsyncMutex<mpsc::UnboundedReceiver<Lines>>>,
    Arc<PathSet>,
);

impl Source for Fed {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async {
            let Some(lines) = self.0.lock().await.recv().await else {
                return Ok(None);
            };
            if lines.is_empty() {
                return Ok(None);
            }
            let event = |line: String| Event::parse(line, &self.1, &Arc::default()).unwrap();
            let batch: Batch = lines.into_iter().map(event).collect();
            Ok(Some(Delivery::new(batch)))
        }
        .boxed()
    }
}

#[derive(Clone)]
struct Writer(Arc<Shelf>);

impl SinkPart for Writer {
    fn kept(&self) -> Kept {
        Kept::Nothing
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        async move {
            match self.0.broken.load(Ordering::SeqCst) {
                true => Err(Failure::fatal("broken", "it cannot be opened")),
                false => Ok(context.stack(*self)),
            }
        }
        .boxed()
    }
}

impl Sink for Writer {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        if self.0.dead.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.wait().await;
        let lines = batch.events().iter().map(|event| event.to_json());
        self.0.lines.lock().unwrap().extend(lines);
        Ok(())
    }
}

/// A pipeline that runs.
pub struct Running {
    reloads: mpsc::Sender<Reload>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Failure>>,
    pub observer: Observer,
}

pub fn start(pipeline: Pipeline) -> Running {
    let observer = Observer::new("p");
    let (reloads, reloading) = mpsc::channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = {
        let observer = observer.clone();
        tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            run_reloading(pipeline, &observer, Store::memory(), stop, reloading).await
        })
    };
    Running {
        reloads,
        stop,
        task,
        observer,
    }
}

impl Running {
    pub async fn reload(&self, pipeline: Pipeline) -> Result<Changes, Failure> {
        let (done, outcome) = oneshot::channel();
        self.reloads.send(Reload { pipeline, done }).await.unwrap();
        outcome.await.unwrap()
    }

    /// Waits until the ledger is as it is to be.
    pub async fn until(&self, what: &str, met: impl Fn(&Ledger) -> bool) {
        for _ in 0..60_000 {
            if met(&self.observer.ledger()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("not {what}:\n{}", self.observer.ledger().render(140, false));
    }

    /// Waits until the inputs have ended and all is answered; the ledger adds up.
    pub async fn ended(self) -> Ledger {
        self.task.await.unwrap().unwrap();
        let ledger = self.observer.ledger();
        ledger
            .adds_up()
            .unwrap_or_else(|wrong| panic!("{wrong}\n{}", ledger.render(140, false)));
        ledger
    }

    /// Ends the run; the ledger adds up.
    pub async fn stop(self) -> Ledger {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
        let ledger = self.observer.ledger();
        ledger
            .adds_up()
            .unwrap_or_else(|wrong| panic!("{wrong}\n{}", ledger.render(140, false)));
        ledger
    }
}

//! The platform, the pipeline, and what came out of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trunkline::config::{Fixed, parse};
use trunkline::event::{Batch, Event, Labels};
use trunkline::failure::Failure;
use trunkline::graph::Pipeline;
use trunkline::graph::check::check;
use trunkline::graph::run::{open_store, run};
use trunkline::layer::{Kept, SinkContext, SinkPart};
use trunkline::observe::{Gap, Observer};
use trunkline::simulator::{Config, Counts, Faults, Simulator};
use trunkline::stage::{Sink, Stage};

use super::oracle::{self, Got, Told};

/// Simulated seconds as the time that they take.
pub fn wall(seconds: f64, speed: f64) -> Duration {
    Duration::from_secs_f64(seconds / speed)
}

/// The pipeline participant-sync with its times as fast as the platform's.
fn yaml(endpoint: &str, folder: &str, speed: f64) -> String {
    let ms = |seconds: f64| format!("{}ms", wall(seconds, speed).as_millis());
    // Of the platform's 30 s between heartbeats; more than 40 s, since this machine has other work.
    let (timeout, ping, roll) = (ms(120.0), ms(30.0), ms(3.8 * 3600.0));
    format!(
        r#"
version: 1
name: live
state: {{ type: embedded, path: {folder}/state }}
dead_letter: {{ type: file, path: {folder}/dead-letters.ndjson }}
sources:
  genesys:
    type: genesys_websocket
    endpoint: {endpoint}
    auth: {{ client_id: simulator, client_secret: simulator }}
    topics: ["v2.routing.queues.{{queue}}.conversations", "v2.users.{{user}}.conversations"]
    channels: {{ topics: 9 }}
    heartbeat_timeout: {timeout}
    ping_interval: {ping}
    roll_over: {roll}
    backoff: {{ first: 10ms, most: 200ms }}
transforms:
  participants: {{ type: genesys_normalize, inputs: [genesys] }}
  unique: {{ type: dedup, inputs: [participants], key: .eventId, window: 1h }}
  ordered:
    type: causal_reorder
    inputs: [unique]
    key: .data.interactionId
    lifecycle:
      path: .data.state
      participant: .data.participantId
      order:
        - [scheduled, offering, contacting, dialing, alerting]
        - [connected, held, parked]
        - [disconnected, acw, wrapup]
      opener: optional
    lateness: 2m
    max_wait: 2s
sinks:
  out: {{ type: blackhole, inputs: [ordered] }}
"#
    )
}

/// A sink that keeps everything.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<Got>>>);

impl SinkPart for Shelf {
    fn kept(&self) -> Kept {
        Kept::Nothing
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        async move { Ok(context.stack(*self)) }.boxed()
    }
}

impl Sink for Shelf {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let mut shelf = self.0.lock().unwrap();
        shelf.extend(batch.events().iter().map(got));
        Ok(())
    }
}

fn got(event: &Event) -> Got {
    let body: Value = serde_json::from_str(&event.to_json()).unwrap();
    let data = |name: &str| body["data"][name].as_str().unwrap_or_default().to_owned();
    Got {
        id: body["eventId"].as_str().unwrap().to_owned(),
        fact: ["interactionId", "participantId", "sessionId", "state"].map(data),
        time: body["timestamp"].as_str().unwrap().parse().unwrap(),
        counter: event.counter,
        labels: event.labels,
    }
}

/// A platform and a pipeline that hears it.
pub struct Live {
    simulator: Simulator,
    folder: tempfile::TempDir,
    shelf: Shelf,
    observer: Observer,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Failure>>,
}

/// What is left of it.
pub struct Ended {
    pub told: Vec<Told>,
    pub got: Vec<Got>,
    pub gaps: Vec<Gap>,
    pub counts: Counts,
}

impl Ended {
    /// How many came after their successors.
    pub fn late(&self) -> usize {
        let late = |event: &&Got| event.labels.contains(Labels::LATE);
        self.got.iter().filter(late).count()
    }
}

impl Live {
    pub async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let speed = config.speed;
        let simulator = Simulator::start(Config {
            oracle: Some(folder.path().join("oracle.ndjson")),
            paused: true,
            ..config
        });
        let simulator = simulator.await.unwrap();
        let shelf = Shelf::default();
        let yaml = yaml(&simulator.url(), folder.path().to_str().unwrap(), speed);
        let pipeline = pipeline(&yaml, &shelf);
        let (stop, stopped) = oneshot::channel::<()>();
        let observer = Observer::new("live");
        let store = open_store(&pipeline).await.unwrap();
        let seen = observer.clone();
        let task = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            run(pipeline, &seen, store, stop).await
        });
        let live = Self {
            simulator,
            folder,
            shelf,
            observer,
            stop,
            task,
        };
        live.until("listening", |counts| counts.sockets >= 2).await;
        live.simulator.control().resume();
        live
    }

    async fn until(&self, what: &str, met: impl Fn(&Counts) -> bool) {
        for _ in 0..30_000 {
            if met(&self.simulator.control().counts()) {
                return;
            }
            assert!(!self.task.is_finished(), "the pipeline has ended");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ledger = self.observer.ledger().render(140, false);
        panic!(
            "not {what}: {:?}\n{ledger}",
            self.simulator.control().counts()
        );
    }

    /// Lets everything that was told arrive, and stops.
    pub async fn end(self) -> Ended {
        let control = self.simulator.control();
        // Whoever is connected now stays so, and the others come back.
        control.set_faults(Faults::default()).unwrap();
        control.pause();
        self.until("quiet", |counts| counts.waiting == 0 && counts.sockets >= 2)
            .await;
        self.settled().await;
        let counts = control.counts();
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        let ledger = self.observer.ledger();
        ledger
            .adds_up()
            .unwrap_or_else(|wrong| panic!("{wrong}\n{}", ledger.render(140, false)));
        println!("{}", ledger.render(140, false));
        control.flush_oracle().unwrap();
        let told = std::fs::read_to_string(self.folder.path().join("oracle.ndjson")).unwrap();
        let letters = std::fs::read_to_string(self.folder.path().join("dead-letters.ndjson"));
        assert_eq!(letters.unwrap_or_default(), "");
        let source = ledger.node("genesys").unwrap();
        assert!(source.genesys_gap.len() < 1_024, "the oldest are forgotten");
        Ended {
            told: oracle::read(&told),
            got: std::mem::take(&mut self.shelf.0.lock().unwrap()),
            gaps: source.genesys_gap.clone(),
            counts,
        }
    }

    /// Waits until nothing more comes: longer than a dead connection needs to be found, replaced and
    /// filled, and longer than anything is held.
    async fn settled(&self) {
        let mut before = (0, Timestamp::MIN);
        loop {
            let received = self
                .observer
                .ledger()
                .node("genesys")
                .unwrap()
                .counts
                .received;
            let now = Timestamp::now();
            if received != before.0 {
                before = (received, now);
            }
            if now.duration_since(before.1).as_secs() >= 4 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn pipeline(yaml: &str, shelf: &Shelf) -> Pipeline {
    let checked = check(&parse("live.yaml", yaml, &Fixed::new()));
    let mut pipeline = checked
        .pipeline
        .unwrap_or_else(|| panic!("{:?}", checked.report));
    for sink in &mut pipeline.sinks {
        sink.part = Box::new(shelf.clone());
    }
    pipeline
}

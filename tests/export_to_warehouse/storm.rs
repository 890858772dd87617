//! The whole way while everything on it dies and comes back: the store, the queue, the database, and
//! Trunkline itself.

use std::fs::{self, File};
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::disturbed::random;
use crate::input::make;
use crate::input::random::Random;
use crate::place::{Place, Row, assert_same, meant};
use crate::postgres::Server;
use crate::servers::{facts, place_in, tell};
use crate::storage::{Kind, Shelf, StorageServer, ask_queues, messages};

/// How often something dies on one way.
const DEATHS: usize = 12;
/// Longest that it stays dead, in milliseconds.
const OUTAGE: usize = 1500;
const PATIENCE: Duration = Duration::from_secs(120);

struct Storm {
    store: StorageServer,
    shelf: Shelf,
    /// SQS, in memory: with it die its queues.
    queues: Option<StorageServer>,
    queue: String,
    /// What is in the bucket and was told of.
    told: Vec<String>,
    database: Server,
    place: Place,
    running: Child,
    random: Random,
    /// Who dies next: all of them, before one does again.
    deck: Vec<usize>,
    /// How often each of the four died.
    deaths: [usize; 4],
}

impl Storm {
    async fn begin(mut place: Place, queues: Option<StorageServer>) -> Self {
        let store = StorageServer::start(Kind::S3sFs).await;
        let shelf = store.bucket("exports").await;
        let database = Server::start();
        place_in(&store, &mut place);
        tell(&database, &mut place);
        let queue = match &queues {
            Some(queues) => make_queue(queues).await,
            None => String::new(),
        };
        place.set("QUEUE_URL", &queue);
        let running = start(&place);
        Self {
            store,
            shelf,
            queues,
            queue,
            told: Vec::new(),
            database,
            place,
            running,
            random: random(),
            deck: Vec::new(),
            deaths: [0; 4],
        }
    }

    async fn put(&mut self, object: crate::input::Object) {
        let key = format!("of/2026/{}", object.key);
        self.shelf.put(&key, object.bytes).await;
        self.told.push(key);
        self.tell_of(self.told.len() - 1).await;
    }

    async fn tell_of(&self, from: usize) {
        let Some(queues) = &self.queues else { return };
        for key in &self.told[from..] {
            let key = key.replace('=', "%3D");
            let body = json!({"Records": [{
                "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "exports"}, "object": {"key": key}},
            }]});
            let message = json!({"QueueUrl": self.queue, "MessageBody": body.to_string()});
            ask_queues(&queues.url(), "SendMessage", message).await;
        }
    }

    /// One of them dies, and comes back after a while.
    async fn strike(&mut self) {
        if self.deck.is_empty() {
            self.deck.extend([0, 1, 2, 3]);
        }
        let victim = self.deck.remove(self.random.below(self.deck.len()));
        let outage = Duration::from_millis(self.random.below(OUTAGE) as u64);
        match (victim, &mut self.queues) {
            (0, _) => {
                self.store.kill();
                sleep(outage).await;
                self.store.restart().await;
            }
            (1, _) => {
                self.database.kill();
                sleep(outage).await;
                self.database.restart();
            }
            (2, Some(queues)) => {
                queues.kill();
                sleep(outage).await;
                queues.restart().await;
                self.queue = make_queue(queues).await;
                // Who writes to a queue that answers nothing tries until it does.
                self.tell_of(0).await;
            }
            _ => {
                let _ = self.running.kill();
                let status = self.running.wait().unwrap();
                if status.success() {
                    return;
                }
                self.running = start(&self.place);
                self.deaths[3] += 1;
                return;
            }
        }
        self.deaths[victim] += 1;
    }

    /// Some time, in which whoever has ended without being told to is started again.
    async fn pass(&mut self, most: usize) -> bool {
        sleep(Duration::from_millis(self.random.below(most) as u64)).await;
        match self.running.try_wait().unwrap() {
            Some(status) if status.success() => false,
            // Its queue was gone, and who watches over it starts it again. Nothing else may end it.
            Some(status) => {
                let said = said(&self.place);
                let why = said.lines().rev().find(|line| line.contains(" ERROR "));
                let queue = why.is_some_and(|why| why.contains("NonExistentQueue"));
                assert!(queue && self.queues.is_some(), "{status}\n{said}");
                self.running = start(&self.place);
                true
            }
            None => true,
        }
    }

    async fn found(&self) -> Vec<Row> {
        facts(&self.database).await
    }

    /// Nothing is refused that an undisturbed run does not refuse, and nothing is left out.
    async fn judge(&self, undisturbed: &Place) {
        println!(
            "deaths of store, database, queue, process: {:?}",
            self.deaths
        );
        assert_same(&self.found().await, &meant(&make()));
        assert_eq!(self.place.letters(), undisturbed.letters());
        let whole = &self.place.summary()["whole"];
        let figure = |name: &str| -> u64 {
            let all = whole[name].as_object().map(|all| all.values().collect());
            let all: Vec<_> = all.unwrap_or_else(|| vec![&whole[name]]);
            all.iter().map(|figure| figure.as_u64().unwrap()).sum()
        };
        let [came, went] = [
            &["received", "created"][..],
            &["delivered", "dropped", "dead_lettered", "given_back"],
        ]
        .map(|names| names.iter().map(|name| figure(name)).sum::<u64>());
        assert_eq!((came, figure("held")), (went, 0), "{whole:#}");
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

async fn make_queue(queues: &StorageServer) -> String {
    let made = ask_queues(&queues.url(), "CreateQueue", json!({"QueueName": "told"})).await;
    made["QueueUrl"].as_str().unwrap().to_owned()
}

fn start(place: &Place) -> Child {
    let file = place.folder.path().join("said.txt");
    let said = File::options().create(true).append(true).open(file);
    let mut command = place.command();
    command.stdout(std::process::Stdio::null());
    command.stderr(said.unwrap()).spawn().unwrap()
}

fn said(place: &Place) -> String {
    fs::read_to_string(place.folder.path().join("said.txt")).unwrap()
}

/// In small steps and with other settings of the source.
fn slowed(from: &str, to: &str) -> Place {
    let place = Place::in_small_steps();
    let text = fs::read_to_string(&place.pipeline).unwrap();
    assert!(text.contains(from));
    fs::write(&place.pipeline, text.replace(from, to)).unwrap();
    place
}

fn undisturbed() -> Place {
    let place = Place::in_small_steps();
    place.run();
    place
}

/// The bucket is there, and is read once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_loaded_whole_whatever_dies_on_the_way() {
    let rate = "batch_events: 8\n    max_rate: 12KiB\n    range: 4KiB";
    let mut storm = Storm::begin(slowed("batch_events: 8", rate), None).await;
    let _ = storm.running.kill();
    let _ = storm.running.wait();
    for object in make().objects {
        storm.put(object).await;
    }
    storm.running = start(&storm.place);
    while storm.pass(900).await && storm.deaths.iter().sum::<usize>() < DEATHS {
        storm.strike().await;
    }
    let end = Instant::now() + PATIENCE;
    while storm.pass(200).await {
        assert!(Instant::now() < end, "{}", said(&storm.place));
    }
    assert!(
        storm.deaths.iter().sum::<usize>() >= 3,
        "{:?}",
        storm.deaths
    );
    storm.judge(&undisturbed()).await;
}

/// Objects come one after the other, and a queue tells of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_queue_tells_of_is_loaded_whatever_dies_on_the_way() {
    let queue = "queue_url: \"${QUEUE_URL:-}\"";
    let hasty = format!("{queue}, wait: 1s, visibility: 5s");
    let mut place = slowed(queue, &hasty);
    place.set("READ", "follow");
    let queues = StorageServer::start(Kind::Moto).await;
    let mut storm = Storm::begin(place, Some(queues)).await;
    let mut objects = make().objects.into_iter();
    for _ in 0..DEATHS {
        assert!(storm.pass(600).await, "it never ends by itself");
        for object in objects.by_ref().take(2) {
            storm.put(object).await;
        }
        storm.strike().await;
    }
    assert!(objects.next().is_none());
    let (meant, end) = (meant(&make()), Instant::now() + PATIENCE);
    let url = storm.queues.as_ref().unwrap().url();
    while storm.found().await != meant || messages(&url, &storm.queue).await > 0 {
        assert!(Instant::now() < end, "{}", said(&storm.place));
        assert!(storm.pass(300).await);
    }
    let pid = storm.running.id().to_string();
    let told = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(told.unwrap().success());
    let status = storm.running.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{}", said(&storm.place));
    storm.judge(&undisturbed()).await;
}

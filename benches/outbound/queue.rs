//! What stands for the queue: messages that are due at set times, a source that hands them over, and
//! how long each took.
//!
//! As with `group_by` and `max_per_group`, an organisation has so many messages under way; the rest of
//! its own stays outside, as in a parking queue, and costs a number each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use trunkline::event::{Batch, EventsBuilder, PathSet, Position, Provenance};
use trunkline::failure::Failure;
use trunkline::layer::{Replays, SourceContext, SourcePart};
use trunkline::stage::{Delivery, OpenSource, Settle, Source};

/// Messages a second of each organisation.
pub const RATE: usize = 50;
/// Messages of an organisation under way, as in `pipelines/outbound-messages.yaml`.
const MOST: usize = 500;
/// Customers of each organisation: messages to the same one go in turn.
const CUSTOMERS: usize = 40;
/// Between two looks at what is due.
const TICK: Duration = Duration::from_millis(1);
/// Not answered.
pub const NEVER: u32 = u32::MAX;

/// The messages of a run, by number: each organisation has one in each round.
pub struct Queue {
    organisations: usize,
    begun: Mutex<Option<Instant>>,
    /// From when it was due until it was answered, in microseconds.
    took: Vec<AtomicU32>,
    answered: AtomicUsize,
    lanes: Vec<Mutex<Lane>>,
    to: UnboundedSender<usize>,
}

#[derive(Default)]
struct Lane {
    under_way: usize,
    outside: VecDeque<usize>,
}

impl Queue {
    pub fn new(organisations: usize, seconds: usize) -> (Arc<Self>, Due) {
        let (to, from) = unbounded_channel();
        let lanes = (0..organisations).map(|_| Mutex::default()).collect();
        let count = organisations * RATE * seconds;
        let queue = Arc::new(Self {
            organisations,
            begun: Mutex::default(),
            // Touched now: what is measured is the memory of the pipeline.
            took: (0..count).map(|_| AtomicU32::new(NEVER)).collect(),
            answered: AtomicUsize::new(0),
            lanes,
            to,
        });
        let due = Due {
            queue: queue.clone(),
            from,
        };
        (queue, due)
    }

    pub fn len(&self) -> usize {
        self.took.len()
    }

    pub fn organisation(&self, number: usize) -> usize {
        number % self.organisations
    }

    /// When it is due, from the beginning on.
    pub fn due(&self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 / (RATE * self.organisations) as f64)
    }

    /// In microseconds, or [`NEVER`].
    pub fn took(&self, number: usize) -> u32 {
        self.took[number].load(Ordering::Relaxed)
    }

    /// Messages that were answered.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Hands each over when it is due, whether or not those before it are answered.
    pub fn feed(&self, begun: Instant) {
        *self.begun.lock().expect("sound") = Some(begun);
        let mut number = 0;
        while number < self.len() {
            while number < self.len() && begun + self.due(number) <= Instant::now() {
                self.arrive(number);
                number += 1;
            }
            std::thread::sleep(TICK);
        }
    }

    fn arrive(&self, number: usize) {
        let mut lane = self.lanes[self.organisation(number)].lock().expect("sound");
        if lane.under_way >= MOST {
            lane.outside.push_back(number);
            return;
        }
        lane.under_way += 1;
        self.hand_over(number);
    }

    fn hand_over(&self, number: usize) {
        // Nobody reads it any more when the run is over.
        let _ = self.to.send(number);
    }

    fn answer(&self, number: usize, outcome: &Result<(), Failure>) {
        if outcome.is_ok() {
            let begun = self.begun.lock().expect("sound").expect("it has begun");
            let took = begun.elapsed().saturating_sub(self.due(number));
            self.took[number].store(took.as_micros() as u32, Ordering::Relaxed);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
        let mut lane = self.lanes[self.organisation(number)].lock().expect("sound");
        match lane.outside.pop_front() {
            Some(next) => self.hand_over(next),
            None => lane.under_way -= 1,
        }
    }

    fn body(&self, number: usize) -> String {
        let organisation = self.organisation(number);
        let customer = number / self.organisations % CUSTOMERS;
        // The text tells messages apart at the platform.
        format!(
            r#"{{"messageId":"m-{number}","tenantId":"t-{organisation}","organizationId":"main","recipient":{{"id":"c-{organisation}-{customer}@example.com","idType":"Email"}},"textBody":"Order {number}: your parcel waits for you at the pick-up point until Friday. Thank you for your patience!","time":"2026-03-02T08:00:00Z"}}"#
        )
    }
}

/// The source: one message in a delivery, as a broker's are where groups are many.
pub struct Due {
    queue: Arc<Queue>,
    from: UnboundedReceiver<usize>,
}

impl SourcePart for Due {
    fn replays(&self) -> Replays {
        Replays::Gone("since it is a benchmark")
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let connection = Connection {
            due: *self,
            paths: context.paths,
            provenance: Arc::default(),
        };
        let once = Mutex::new(Some(connection));
        Box::new(move || {
            let connection = once.lock().expect("sound").take();
            Box::pin(async move {
                let connection = connection.expect("it is opened once");
                Ok(Box::new(connection) as Box<dyn Source>)
            })
        })
    }
}

struct Connection {
    due: Due,
    paths: Arc<PathSet>,
    provenance: Arc<Provenance>,
}

impl Source for Connection {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        Box::pin(async {
            let Some(number) = self.due.from.recv().await else {
                return Ok(None);
            };
            let queue = self.due.queue.clone();
            let mut delivery = Delivery::new(self.read(queue.body(number)));
            delivery.settle = Settle::new(move |outcome| async move {
                queue.answer(number, &outcome);
            });
            Ok(Some(delivery))
        })
    }
}

impl Connection {
    fn read(&self, body: String) -> Batch {
        let (length, paths) = (body.len(), self.paths.clone());
        let mut builder = EventsBuilder::new(body, paths, self.provenance.clone(), 1);
        let pushed = builder.push(0, length, Position::default());
        pushed.expect("it is JSON");
        builder.finish()
    }
}

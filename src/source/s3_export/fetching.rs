//! The task that reads bytes ahead: ranges of one object after the other, side by side, in bounded
//! memory.
//!
//! Ranges take their share of the memory in the order in which they are consumed, so the one that is
//! waited for always has its share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::Config;
use super::flow::{Fetched, Item, Step, Work};
use crate::client::bucket::{Bucket, ReadError};
use crate::failure::Failure;

/// Memory is shared out in pieces of this many bytes.
const PIECE: u64 = 1024;
/// Tries of one range before the connection counts as dead.
const TRIES: u32 = 4;
/// Before the second try; twice as long before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// A server that asks for more patience is left to the engine.
const MOST_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Fetcher {
    bucket: Bucket,
    config: Arc<Config>,
    items: mpsc::Sender<Item>,
    slots: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    requests: JoinSet<()>,
    /// When the next request may be made, where there is a `max_rate`.
    free: Instant,
}

impl Fetcher {
    pub(super) fn new(bucket: Bucket, config: Arc<Config>, items: mpsc::Sender<Item>) -> Self {
        let pieces = usize::try_from(config.max_read_ahead / PIECE).unwrap_or(usize::MAX);
        Self {
            bucket,
            slots: Arc::new(Semaphore::new(config.parallel)),
            memory: Arc::new(Semaphore::new(pieces.min(Semaphore::MAX_PERMITS))),
            config,
            items,
            requests: JoinSet::new(),
            free: Instant::now(),
        }
    }

    /// Until nothing more is to be read, or nobody wants it.
    pub(super) async fn run(mut self, mut steps: mpsc::Receiver<Step>) {
        while let Some(step) = steps.recv().await {
            let wanted = match step {
                Step::Read(work) => self.object(&work).await,
                Step::Note(note) => self.items.send(Item::Note(note)).await.is_ok(),
                Step::Fail(failure) => self.items.send(Item::Fail(failure)).await.is_ok(),
            };
            if !wanted {
                return;
            }
        }
        // What is under way is still wanted.
        while self.requests.join_next().await.is_some() {}
    }

    /// Has an object read. False: nobody wants more.
    async fn object(&mut self, work: &Arc<Work>) -> bool {
        let size = work.object.size;
        let mut at = work.begin().min(size);
        let mut open = self.items.send(Item::Begin(work.clone())).await.is_ok();
        while open && at < size && !work.is_unwanted() {
            let end = size.min(at + self.config.range);
            open = self.range(work, at..end).await;
            at = end;
        }
        open && self.items.send(Item::End).await.is_ok()
    }

    async fn range(&mut self, work: &Arc<Work>, range: std::ops::Range<u64>) -> bool {
        while self.requests.try_join_next().is_some() {}
        let length = range.end - range.start;
        let pieces = u32::try_from(length.div_ceil(PIECE)).unwrap_or(u32::MAX);
        let share = self.memory.clone().acquire_many_owned(pieces).await;
        self.throttle(length).await;
        let slot = self.slots.clone().acquire_owned().await;
        let (Ok(share), Ok(slot)) = (share, slot) else {
            unreachable!("neither semaphore is ever closed")
        };
        let (answer, answered) = oneshot::channel();
        let (bucket, work) = (self.bucket.clone(), work.clone());
        self.requests.spawn(async move {
            let read = read(&bucket, &work, range).await;
            drop(slot);
            // Given up in the meantime: nobody is there to hear it.
            let _ = answer.send(read.map(|bytes| Fetched { bytes, share }));
        });
        self.items.send(Item::Range(answered)).await.is_ok()
    }

    /// Waits for the turn of a request of so many bytes.
    async fn throttle(&mut self, bytes: u64) {
        let Some(rate) = self.config.max_rate else {
            return;
        };
        sleep_until(self.free).await;
        let takes = Duration::from_secs_f64(bytes as f64 / rate as f64);
        self.free = self.free.max(Instant::now()) + takes;
    }
}

/// Reads a range, with a few tries: one answer of a busy server is no reason to begin anew.
async fn read(
    bucket: &Bucket,
    work: &Work,
    range: std::ops::Range<u64>,
) -> Result<bytes::Bytes, ReadError> {
    let version = Some(work.object.version.as_str());
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match bucket.read(&work.object.key, range.clone(), version).await {
            Err(error) if error.is_passing() && !work.is_unwanted() => {
                let asked = Failure::from(error).retry_after().unwrap_or_default();
                sleep(wait.max(asked).min(MOST_WAIT)).await;
                wait *= 2;
            }
            read => return read,
        }
    }
    bucket.read(&work.object.key, range, version).await
}

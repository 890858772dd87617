//! Messages that tell of new objects.
//!
//! A message is deleted once all of its objects are delivered and that is durable; until then it is
//! kept from others for as long as it takes. What cannot be read is told once. It stays, unless the
//! file says otherwise, for the queue's own rules, each time hidden for longer.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::sleep;

use super::flow::{Note, Notice, Shared, Step, Work};
use super::memory::{Id, Verdict};
use super::selection::{Choice, Selection};
use super::{Config, Sqs, now};
use crate::client::bucket::{Bucket, Object, ReadError, Store};
use crate::client::sqs::{
    LONGEST_HOLD, MOST_MESSAGES, Message, Notified, Queue, Unreadable, notified,
};
use crate::failure::{Failure, Kind};
use crate::observe::NodeMeter;

/// Messages whose objects are not all delivered; SQS itself has a limit of 120,000.
const MOST_LIVE: usize = 1000;
/// Bad messages that are remembered.
const MOST_BAD: usize = 1000;
/// Tries of one request before the connection counts as dead.
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A message that was received and is still to be deleted.
struct Tracked {
    queue: Queue,
    message: Message,
    /// Objects of it that are not delivered.
    left: AtomicUsize,
    failed: AtomicBool,
    /// One of [`MOST_LIVE`].
    _place: OwnedSemaphorePermit,
}

/// One object's part of a message. Dropped, it leaves the message to come again.
pub(super) struct Ticket(Arc<Tracked>);

impl Ticket {
    /// The object was delivered, or not. The last object of a message has it deleted if all were.
    pub(super) async fn settle(self, well: bool) {
        let Self(tracked) = self;
        if !well {
            tracked.failed.store(true, Ordering::SeqCst);
        }
        let last = tracked.left.fetch_sub(1, Ordering::SeqCst) == 1;
        if !last || tracked.failed.load(Ordering::SeqCst) {
            return;
        }
        let deleted = tracked
            .queue
            .delete(std::slice::from_ref(&tracked.message.receipt));
        match deleted.await {
            Ok(left) if left.is_empty() => {}
            // It comes again, and is found to be known.
            Ok(_) => tracing::warn!(message = tracked.message.id, "a message was not deleted"),
            Err(failure) => tracing::warn!(%failure, "a message was not deleted"),
        }
    }
}

/// The messages that could not be read, in the order in which they came.
#[derive(Default)]
struct Bad {
    seen: HashMap<String, u32>,
    order: VecDeque<String>,
}

impl Bad {
    /// How often this one was seen before.
    fn see(&mut self, id: &str) -> u32 {
        if let Some(seen) = self.seen.get_mut(id) {
            *seen += 1;
            return *seen;
        }
        if self.order.len() >= MOST_BAD
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.order.push_back(id.to_owned());
        self.seen.insert(id.to_owned(), 0);
        0
    }
}

/// How long a bad message that was seen so often before is hidden.
fn hidden(visibility: Duration, seen: u32) -> Duration {
    let times = 2_u32.saturating_pow(seen.min(16));
    visibility.saturating_mul(times).min(LONGEST_HOLD)
}

/// Why a message is not worked on.
enum Trouble {
    /// It, or what it tells of, cannot be read: reason and detail.
    Bad(&'static str, String),
    Failed(Failure),
}

/// What a message tells of, as it is now.
enum Told {
    There(Object),
    Gone(String),
}

pub(super) struct Listener {
    pub queue: Queue,
    pub sqs: Sqs,
    pub bucket: Bucket,
    pub config: Arc<Config>,
    pub selection: Arc<Selection>,
    pub memory: Shared,
    pub steps: mpsc::Sender<Step>,
    pub meter: NodeMeter,
    /// Of the opening that it belongs to.
    pub generation: u64,
}

type Live = Mutex<Vec<Weak<Tracked>>>;

impl Listener {
    pub(super) async fn run(self) {
        let live = Live::default();
        let failure = tokio::select! {
            failure = self.listen(&live) => failure,
            failure = self.keep(&live) => failure,
        };
        // Nobody left to hear it is the other way to have ended.
        if let Some(failure) = failure {
            let _ = self.steps.send(Step::Fail(failure)).await;
        }
    }

    /// Takes messages until it fails, or nobody wants more.
    async fn listen(&self, live: &Live) -> Option<Failure> {
        let places = Arc::new(Semaphore::new(MOST_LIVE));
        let (mut bad, mut received, mut refused) = (Bad::default(), 0_u64, 0_u64);
        loop {
            let taken = places
                .clone()
                .acquire_many_owned(MOST_MESSAGES as u32)
                .await;
            let mut taken = taken.ok()?;
            let messages = match self.receive().await {
                Ok(messages) => messages,
                Err(failure) => return Some(failure),
            };
            received += messages.len() as u64;
            self.meter.figure("messages", received);
            for message in messages {
                // A server that sends more than was asked for waits its turn.
                let place = taken.split(1)?;
                match self.take(message.clone(), place, live).await {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err((Trouble::Failed(failure), _)) => return Some(failure),
                    Err((Trouble::Bad(reason, detail), ticket)) => {
                        refused += 1;
                        self.meter.figure("bad_messages", refused);
                        let seen = bad.see(&message.id);
                        if !self.refuse(&message, (reason, detail), seen, ticket).await {
                            return None;
                        }
                    }
                }
            }
        }
    }

    async fn receive(&self) -> Result<Vec<Message>, Failure> {
        let hold = Some(self.sqs.visibility);
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.queue.receive(MOST_MESSAGES, self.sqs.wait, hold).await {
                Err(failure) if failure.kind() < Kind::Rejected => sleep(wait).await,
                received => return received,
            }
            wait *= 2;
        }
        self.queue.receive(MOST_MESSAGES, self.sqs.wait, hold).await
    }

    /// Extends what is held, for as long as it takes.
    async fn keep(&self, live: &Live) -> Option<Failure> {
        loop {
            sleep(self.sqs.visibility / 3).await;
            let held: Vec<Arc<Tracked>> = {
                let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
                live.retain(|tracked| tracked.strong_count() > 0);
                live.iter().filter_map(Weak::upgrade).collect()
            };
            self.meter.figure("messages_held", held.len() as u64);
            let extend = async |tracked: Arc<Tracked>| {
                let receipt = &tracked.message.receipt;
                match self.queue.extend(receipt, self.sqs.visibility).await {
                    Ok(true) => {}
                    Ok(false) => tracing::warn!("a message was held too long and comes again"),
                    Err(failure) => tracing::warn!(%failure, "a message was not extended"),
                }
            };
            let all = futures::stream::iter(held).map(extend);
            all.buffer_unordered(self.config.parallel)
                .for_each(async |()| {})
                .await;
        }
    }

    /// Hands on what a message tells of. `Ok(false)`: nobody wants more.
    async fn take(
        &self,
        message: Message,
        place: OwnedSemaphorePermit,
        live: &Live,
    ) -> Result<bool, (Trouble, Option<Ticket>)> {
        let told = notified(&message.body);
        let tracked = Arc::new(Tracked {
            queue: self.queue.clone(),
            message,
            left: AtomicUsize::new(1),
            failed: AtomicBool::new(false),
            _place: place,
        });
        // One part is the message's own, so that it is not deleted before all objects are known.
        let own = Ticket(tracked.clone());
        let told = match told {
            Ok(told) => told,
            Err(Unreadable(why)) => {
                return Err((Trouble::Bad("bad_message", why.to_owned()), Some(own)));
            }
        };
        let objects = match self.look(told).await {
            Ok(objects) => objects,
            Err(trouble) => return Err((trouble, Some(own))),
        };
        live.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&tracked));
        for object in objects {
            tracked.left.fetch_add(1, Ordering::SeqCst);
            if !self.hand_on(object, Ticket(tracked.clone())).await {
                return Ok(false);
            }
        }
        own.settle(true).await;
        Ok(true)
    }

    /// The objects as they are now.
    async fn look(&self, told: Vec<Notified>) -> Result<Vec<Told>, Trouble> {
        let ours = |told: &Notified| match &self.config.location.store {
            Store::S3(s3) => told.bucket == s3.bucket,
            _ => true,
        };
        if !told.iter().all(ours) {
            let detail = "it tells of another bucket".to_owned();
            return Err(Trouble::Bad("bad_message", detail));
        }
        let prefix = self.bucket.prefix();
        let told = told.into_iter().filter(|told| told.key.starts_with(prefix));
        let look = async |told: Notified| match self.head(&told.key).await {
            Ok(object) => Ok(Told::There(object)),
            Err(ReadError::Gone) => Ok(Told::Gone(told.key)),
            Err(ReadError::Denied(failure)) => {
                Err(Trouble::Bad("object_denied", failure.to_string()))
            }
            Err(error) => Err(Trouble::Failed(error.into())),
        };
        let looked = futures::stream::iter(told.collect::<Vec<_>>()).map(look);
        let looked: Vec<_> = looked.buffered(self.config.parallel).collect().await;
        looked.into_iter().collect()
    }

    async fn head(&self, key: &str) -> Result<Object, ReadError> {
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.bucket.head(key).await {
                Err(error) if error.is_passing() => sleep(wait).await,
                found => return found,
            }
            wait *= 2;
        }
        self.bucket.head(key).await
    }

    /// Hands on an object. False: nobody wants more.
    async fn hand_on(&self, told: Told, ticket: Ticket) -> bool {
        let object = match told {
            Told::There(object) => object,
            Told::Gone(key) => {
                let detail = "a message tells of it, and it is not there".to_owned();
                let reason = "object_gone";
                let key = Some(key);
                let notice = Notice {
                    reason,
                    detail,
                    key,
                };
                return self
                    .send(Step::Note(Note::Letter(notice, Some(ticket))))
                    .await;
            }
        };
        match self.selection.choose(&object, now()) {
            Choice::Read => {}
            Choice::Leave => {
                ticket.settle(true).await;
                return true;
            }
            Choice::Wait => {
                // The message comes again; by then the object may be old enough.
                ticket.settle(false).await;
                return true;
            }
        }
        let id = Id::of(&object.key);
        let step = {
            let mut memory = self.memory.lock();
            if memory.generation() != self.generation {
                return false;
            }
            let verdict = memory.verdict(id, &object, false, true);
            if let Verdict::Read { .. } = verdict {
                memory.queue(id, &object, 0);
            }
            match (verdict, memory.wait_for(id, ticket)) {
                (Verdict::Read { from, told }, None) => {
                    let work = Work::new(id, object, from, told, false);
                    Some(Step::Read(Arc::new(work)))
                }
                (_, Some(ticket)) => Some(Step::Note(Note::Known(ticket))),
                (_, None) => None,
            }
        };
        match step {
            Some(step) => self.send(step).await,
            None => true,
        }
    }

    /// Tells once of a message that cannot be read, and hides it. False: nobody wants more.
    async fn refuse(
        &self,
        message: &Message,
        (reason, detail): (&'static str, String),
        seen: u32,
        ticket: Option<Ticket>,
    ) -> bool {
        let deletes = self.sqs.delete_bad && reason == "bad_message";
        if !deletes {
            let hold = hidden(self.sqs.visibility, seen);
            if let Err(failure) = self.queue.extend(&message.receipt, hold).await {
                tracing::warn!(%failure, "a message that cannot be read was not hidden");
            }
        }
        if seen > 0 && !deletes {
            return true;
        }
        tracing::warn!(
            message = message.id,
            reason,
            detail,
            "a message cannot be read"
        );
        let detail = format!("message {} of the queue: {detail}", message.id);
        let notice = Notice {
            reason,
            detail,
            key: None,
        };
        let ticket = ticket.filter(|_| deletes);
        self.send(Step::Note(Note::Letter(notice, ticket))).await
    }

    async fn send(&self, step: Step) -> bool {
        self.steps.send(step).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_messages_are_hidden_for_longer_each_time_and_remembered_in_bounds() {
        let mut bad = Bad::default();
        assert_eq!(
            [bad.see("a"), bad.see("a"), bad.see("b"), bad.see("a")],
            [0, 1, 0, 2]
        );
        let minute = Duration::from_secs(60);
        assert_eq!(hidden(minute, 0), minute);
        assert_eq!(hidden(minute, 3), 8 * minute);
        assert_eq!(hidden(minute, u32::MAX), LONGEST_HOLD);
        for number in 0..MOST_BAD {
            bad.see(&number.to_string());
        }
        assert_eq!((bad.seen.len(), bad.order.len()), (MOST_BAD, MOST_BAD));
        assert_eq!(bad.see("a"), 0, "forgotten");
    }
}

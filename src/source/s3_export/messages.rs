//! Messages that tell of new objects.
//!
//! A message is deleted once all of its objects are delivered and that is durable; until then it is
//! kept from others for as long as it takes. What cannot be read is told once. It stays, unless the
//! file says otherwise, for the queue's own rules, each time hidden for longer. One object of a message
//! that cannot be read does not keep the others from being read.

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
/// So many objects in a row that may not be looked at are no matter of single objects.
const MOST_DENIED: u32 = 10;
/// The reason of letters about objects that may not be read.
const DENIED: &str = "object_denied";

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

/// What became of a message.
enum Taken {
    /// All of it was handed on.
    Well,
    /// It, or some of what it tells of, cannot be read; the rest was handed on. The ticket is the
    /// message's own.
    Bad(Vec<Notice>, Ticket),
    /// Nobody wants more.
    Unwanted,
}

/// What a message tells of, as it is now.
enum Told {
    There(Object),
    Gone(String),
    /// It cannot be read.
    Bad(Notice),
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
        let mut denied = 0;
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
            let mut held = Vec::with_capacity(messages.len());
            for message in messages {
                // More than was asked for is not held, and comes again.
                let Some(place) = taken.split(1) else { break };
                held.push(self.hold(message, place, live));
            }
            for tracked in held {
                let message = tracked.message.clone();
                match self.take(tracked, &mut denied).await {
                    Ok(Taken::Well) => {}
                    Ok(Taken::Unwanted) => return None,
                    Err(failure) => return Some(failure),
                    Ok(Taken::Bad(notices, ticket)) => {
                        refused += 1;
                        self.meter.figure("bad_messages", refused);
                        let seen = bad.see(&message.id);
                        if !self.refuse(&message, notices, seen, ticket).await {
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

    /// From now on a message is kept from others, also while it waits for those before it.
    fn hold(&self, message: Message, place: OwnedSemaphorePermit, live: &Live) -> Arc<Tracked> {
        let tracked = Arc::new(Tracked {
            queue: self.queue.clone(),
            message,
            left: AtomicUsize::new(1),
            failed: AtomicBool::new(false),
            _place: place,
        });
        let mut live = live.lock().unwrap_or_else(PoisonError::into_inner);
        live.push(Arc::downgrade(&tracked));
        tracked
    }

    /// Hands on what a message tells of. `denied`: objects that might not be looked at, in a row.
    async fn take(&self, tracked: Arc<Tracked>, denied: &mut u32) -> Result<Taken, Failure> {
        let told = notified(&tracked.message.body);
        // One part is the message's own, so that it is not deleted before all objects are known.
        let own = Ticket(tracked.clone());
        let told = match told {
            Ok(told) => told,
            Err(Unreadable(why)) => {
                let notice = about(None, "bad_message", why.to_owned());
                return Ok(Taken::Bad(vec![notice], own));
            }
        };
        let mut bad = Vec::new();
        let objects = self.look(told).await?;
        for object in objects {
            let object = match object {
                Told::Bad(notice) => {
                    *denied = denied.saturating_add(u32::from(notice.reason == DENIED));
                    bad.push(notice);
                    continue;
                }
                object => object,
            };
            *denied = 0;
            tracked.left.fetch_add(1, Ordering::SeqCst);
            if !self.hand_on(object, Ticket(tracked.clone())).await {
                return Ok(Taken::Unwanted);
            }
        }
        if *denied >= MOST_DENIED {
            let detail = bad.last().map_or("", |notice| notice.detail.as_str());
            let message = format!("{denied} objects in a row: {detail}");
            return Err(Failure::fatal(DENIED, message));
        }
        if !bad.is_empty() {
            return Ok(Taken::Bad(bad, own));
        }
        own.settle(true).await;
        Ok(Taken::Well)
    }

    /// The objects as they are now.
    async fn look(&self, told: Vec<Notified>) -> Result<Vec<Told>, Failure> {
        let ours = |told: &Notified| match &self.config.location.store {
            Store::S3(s3) => told.bucket == s3.bucket,
            _ => true,
        };
        if !told.iter().all(ours) {
            let detail = "it tells of another bucket".to_owned();
            return Ok(vec![Told::Bad(about(None, "bad_message", detail))]);
        }
        let prefix = self.bucket.prefix();
        let told = told.into_iter().filter(|told| told.key.starts_with(prefix));
        let look = async |told: Notified| match self.head(&told.key).await {
            Ok(object) => Ok(Told::There(object)),
            Err(ReadError::Gone) => Ok(Told::Gone(told.key)),
            Err(ReadError::Denied(failure)) => Ok(Told::Bad(about(
                Some(told.key),
                DENIED,
                failure.to_string(),
            ))),
            // Of this object, and of no other: a name that cannot be asked for, for one.
            Err(ReadError::Failed(failure)) if failure.kind() == Kind::Rejected => {
                let reason = failure.losses().first().map(|loss| loss.cause.reason);
                let reason = reason.unwrap_or("object_unreadable");
                Ok(Told::Bad(about(
                    Some(told.key),
                    reason,
                    failure.to_string(),
                )))
            }
            Err(error) => Err(error.into()),
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
                let notice = about(Some(key), "object_gone", detail);
                let note = Note::Letter(notice, Some(ticket));
                return self.send(Step::Note(note)).await;
            }
            Told::Bad(notice) => {
                return self.send(Step::Note(Note::Letter(notice, None))).await;
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

    /// Tells once of what cannot be read of a message, and hides it. False: nobody wants more.
    async fn refuse(
        &self,
        message: &Message,
        notices: Vec<Notice>,
        seen: u32,
        ticket: Ticket,
    ) -> bool {
        // Rights may be given; a text or a name stays what it is.
        let deletes = self.sqs.delete_bad && notices.iter().all(|it| it.reason != DENIED);
        if !deletes {
            let hold = hidden(self.sqs.visibility, seen);
            if let Err(failure) = self.queue.extend(&message.receipt, hold).await {
                tracing::warn!(%failure, "a message that cannot be read was not hidden");
            }
        }
        if seen > 0 && !deletes {
            return true;
        }
        let mut ticket = Some(ticket).filter(|_| deletes);
        let mut left = notices.len();
        for mut notice in notices {
            tracing::warn!(
                message = message.id,
                reason = notice.reason,
                detail = notice.detail,
                "a message cannot be read"
            );
            left -= 1;
            notice.detail = format!("message {} of the queue: {}", message.id, notice.detail);
            // Deleted with the last letter, and once the objects that could be read are delivered.
            let ticket = ticket.take_if(|_| left == 0);
            if !self.send(Step::Note(Note::Letter(notice, ticket))).await {
                return false;
            }
        }
        true
    }

    async fn send(&self, step: Step) -> bool {
        self.steps.send(step).await.is_ok()
    }
}

/// What a letter says.
fn about(key: Option<String>, reason: &'static str, detail: String) -> Notice {
    Notice {
        reason,
        detail,
        key,
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

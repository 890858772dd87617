//! Parking queues: one side publishes what a full group has no room for, the other reads it again.
//!
//! A message is answered in its own queue once its copy is confirmed; a crash between the two leaves
//! both. Publishing has a connection of its own: a broker that is short of memory stops reading from
//! whoever publishes, and answers have to get through all the same.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Confirmation};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::acks::Acks;
use super::config::Parking;
use super::decode::{FIRST_EXCHANGE, FIRST_KEY};
use super::groups::{Due, Item};
use crate::client::amqp::{Link, Queue, short};
use crate::failure::{Failure, Kind};
use crate::layer::Backoff;
use crate::stage::Checkpoint;

/// Messages that are published before the first of them is confirmed.
const WINDOW: usize = 256;
/// Messages that one group is given before another has its turn.
const TURN: usize = 100;
/// How often a queue with something in it is used before the broker would delete it.
const USES: u32 = 4;
/// How often queues that were found dry are looked into again.
const SWEEP: Duration = Duration::from_secs(30);
/// Of the form in which fingerprints are kept.
const VERSION: u8 = 1;
/// In front of the names of parked groups among the source's checkpoints.
pub(super) const MARK: &[u8] = b"parked/";

/// A message that is to be parked.
pub(super) struct Parked {
    pub group: CompactString,
    pub message: Delivery,
    pub acks: Arc<Acks>,
}

/// What the store is to know of a group; empty: nothing.
async fn note(shared: &Shared, group: &str, value: Vec<u8>) -> Result<(), Failure> {
    let key = [MARK, group.as_bytes()].concat();
    let change = (shared.node.clone(), Checkpoint { key, value });
    shared.store.commit(Vec::new(), vec![change]).await
}

fn queue(parking: &Parking) -> Queue {
    let mut queue = Queue::of(parking.kind);
    if let Some(expires) = parking.expires {
        let millis = i64::try_from(expires.as_millis()).unwrap_or(i64::MAX);
        let value = AMQPValue::LongLongInt(millis);
        queue.arguments.insert("x-expires".into(), value);
    }
    queue
}

/// The fingerprints of what is older than all that is parked, as they were written.
pub(super) fn older(value: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (chunks, _) = value.get(1..).unwrap_or_default().as_chunks::<8>();
    chunks.iter().map(|bytes| u64::from_be_bytes(*bytes))
}

/// Says durably whether the group is parked. One at a time, so that what is said last holds. Answers
/// whether it is parked anew.
async fn remember(shared: &Shared, group: &str) -> Result<bool, Failure> {
    let _turn = shared.marking.lock().await;
    let Some(older) = shared.groups.mark(group) else {
        return Ok(false);
    };
    // Never empty, which would mean that there is nothing to know.
    let mut value = vec![VERSION];
    value.extend(older.iter().flat_map(|print| print.to_be_bytes()));
    note(shared, group, value).await.map(|()| true)
}

async fn forget(shared: &Shared, group: &str) -> Result<(), Failure> {
    let _turn = shared.marking.lock().await;
    if !shared.groups.unmark(group) {
        return Ok(());
    }
    note(shared, group, Vec::new()).await
}

/// Publishes what is to be parked, in order.
pub(super) struct Publisher {
    pub shared: Arc<Shared>,
    pub parking: Parking,
    pub trouble: mpsc::Sender<Failure>,
}

struct Open {
    link: Link,
    channel: Channel,
    declared: HashSet<CompactString>,
}

impl Publisher {
    pub async fn run(self, mut parked: mpsc::UnboundedReceiver<Parked>) {
        let (mut open, mut batch) = (None, Vec::new());
        while parked.recv_many(&mut batch, WINDOW).await > 0 {
            let mut attempts = 0;
            while !batch.is_empty() {
                let Err(failure) = self.publish(&mut open, &mut batch).await else {
                    attempts = 0;
                    continue;
                };
                open = None;
                self.shared.groups.lost();
                if failure.kind() == Kind::Fatal {
                    let _ = self.trouble.send(failure).await;
                    return;
                }
                attempts += 1;
                let wait = Backoff::default().wait(attempts, None);
                tracing::warn!(source = %self.shared.node, %failure, ?wait, "not parked; going again");
                self.shared
                    .meter
                    .alert("parking_away", failure.to_string(), true);
                tokio::time::sleep(wait).await;
            }
            self.shared
                .meter
                .alert("parking_away", "messages are parked again", false);
        }
    }

    async fn open(&self) -> Result<Open, Failure> {
        let who = format!("{} (parking)", self.shared.node);
        let link = self.shared.config.broker.connect(&who).await?;
        let channel = link.channel().await?;
        let confirmed = channel.confirm_select(ConfirmSelectOptions::default());
        link.ask("have messages confirmed", confirmed).await?;
        Ok(Open {
            link,
            channel,
            declared: HashSet::new(),
        })
    }

    /// Publishes the batch and takes out of it what is confirmed. Of a group whose message was not
    /// taken, the later ones stay too: they are published again behind it.
    async fn publish(
        &self,
        open: &mut Option<Open>,
        batch: &mut Vec<Parked>,
    ) -> Result<(), Failure> {
        if !open.as_ref().is_some_and(|open| open.link.is_up()) {
            *open = Some(self.open().await?);
        }
        let Some(Open {
            link,
            channel,
            declared,
        }) = open
        else {
            return Ok(());
        };
        let mut confirms = Vec::with_capacity(batch.len());
        for Parked { group, message, .. } in batch.iter() {
            let name = self.parking.queue_of(group).unwrap_or_default();
            // Nobody kept its queue while nothing was in it: it may have expired. Were it made while some
            // of these are on their way, the later ones would be in it before the first.
            let anew = remember(&self.shared, group).await?;
            if anew || !declared.contains(group) {
                queue(&self.parking).create(link, channel, &name).await?;
                declared.insert(group.clone());
            }
            let key = short(&name).unwrap_or_default();
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let properties = properties(message);
            let sent = channel.basic_publish("".into(), key, options, &message.data, properties);
            confirms.push(link.ask("park a message", sent).await?);
        }
        let (mut refused, mut left, mut done) = (HashSet::new(), Vec::new(), Vec::new());
        let mut lost = None;
        for (confirm, parked) in confirms.into_iter().zip(std::mem::take(batch)) {
            let taken = lost.is_none()
                && match link.ask("park a message", confirm).await {
                    Ok(Confirmation::Ack(None)) => !refused.contains(&parked.group),
                    Ok(Confirmation::Ack(Some(_))) => {
                        // The queue was taken away: it is made anew.
                        declared.remove(&parked.group);
                        false
                    }
                    Ok(_) => false,
                    Err(failure) => {
                        lost = Some(failure);
                        false
                    }
                };
            if taken {
                done.push(parked);
            } else {
                refused.insert(parked.group.clone());
                left.push(parked);
            }
        }
        self.done(&done).await;
        *batch = left;
        let refused = || Failure::transient("not_parked", "the broker did not take the message");
        match (lost, batch.is_empty()) {
            (Some(failure), _) => Err(failure),
            (None, false) => Err(refused()),
            (None, true) => Ok(()),
        }
    }

    /// These are kept where they were parked: they are over where they came from.
    async fn done(&self, done: &[Parked]) {
        let Some(first) = done.first() else {
            return;
        };
        // All of one publisher came on one channel.
        let tags: Vec<u64> = done.iter().map(|one| one.message.delivery_tag).collect();
        first.acks.settle(&tags, true).await;
        let parked = self
            .shared
            .parked(i64::try_from(done.len()).unwrap_or(i64::MAX));
        self.shared.meter.figure("parked_messages", parked);
        for one in done {
            self.shared.groups.published(&one.group);
        }
    }
}

/// As they were, kept on disk, and with where the message came from.
fn properties(message: &Delivery) -> lapin::BasicProperties {
    let properties = message.properties.clone();
    let mut headers = properties.headers().clone().unwrap_or_default();
    let mut note = |name: &str, value: &str| {
        if !headers.contains_key(name) {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
    };
    note(FIRST_EXCHANGE, message.exchange.as_str());
    note(FIRST_KEY, message.routing_key.as_str());
    // The count is the broker's own, of the queue that it was in.
    let kept = |name: &str| name != "x-delivery-count";
    let mut own = FieldTable::default();
    for (name, value) in &headers {
        if kept(name.as_str()) {
            own.insert(name.clone(), value.clone());
        }
    }
    properties.with_headers(own).with_delivery_mode(2)
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reads parked messages of groups that have room again.
pub(super) struct Fetcher {
    pub shared: Arc<Shared>,
    pub parking: Parking,
    pub acks: Arc<Acks>,
    pub trouble: mpsc::Sender<Failure>,
}

impl Fetcher {
    pub async fn run(self) {
        if let Err(failure) = self.work().await {
            // A queue that was deleted by hand is made again by the next connection.
            let _ = self.trouble.send(super::later(failure, true)).await;
        }
    }

    async fn work(&self) -> Result<(), Failure> {
        let mut declared = HashSet::new();
        // At once: nobody has used them while the program was away.
        let mut next = self.parking.expires.map(|_| Instant::now());
        let mut sweep = Instant::now() + SWEEP;
        loop {
            if sweep <= Instant::now() {
                self.look_again(&mut declared).await?;
                sweep = Instant::now() + SWEEP;
            }
            if next.is_some_and(|at| at <= Instant::now()) {
                self.keep_all().await?;
                next = self.parking.expires.map(|it| Instant::now() + it / USES);
            }
            let due = self.shared.groups.due();
            self.shared
                .meter
                .figure("parked_groups", self.shared.groups.parked() as u64);
            if due.is_empty() {
                tokio::select! {
                    () = self.shared.groups.room.notified() => {}
                    () = reached(next) => {}
                    () = tokio::time::sleep_until(sweep) => {}
                }
                continue;
            }
            for due in due {
                self.fetch(due, &mut declared).await?;
            }
        }
    }

    /// To declare a queue is to use it: without that the broker would delete one whose group cannot go
    /// on for so long, with what is in it. What is empty and not used any more goes.
    async fn keep_all(&self) -> Result<(), Failure> {
        for group in self.shared.groups.all_parked() {
            if let Some(name) = self.parking.queue_of(&group) {
                let acks = &self.acks;
                queue(&self.parking)
                    .create(acks.link(), acks.channel(), &name)
                    .await?;
            }
        }
        Ok(())
    }

    /// Copies of a publisher that is gone may have come into a queue that was found dry.
    async fn look_again(&self, declared: &mut HashSet<CompactString>) -> Result<(), Failure> {
        for group in self.shared.groups.left() {
            match self.get(&group, declared).await? {
                Some(message) => {
                    self.shared.groups.came_late(&group);
                    self.take(&group, &message);
                }
                None => {
                    // It may have expired when it is needed again.
                    declared.remove(&group);
                    forget(&self.shared, &group).await?;
                }
            }
        }
        Ok(())
    }

    /// The next message in the parking queue of a group.
    async fn get(
        &self,
        group: &CompactString,
        declared: &mut HashSet<CompactString>,
    ) -> Result<Option<Delivery>, Failure> {
        let Some(name) = self.parking.queue_of(group) else {
            return Ok(None);
        };
        let (link, channel) = (self.acks.link(), self.acks.channel());
        if declared.insert(group.clone()) {
            queue(&self.parking).create(link, channel, &name).await?;
        }
        let key = short(&name).unwrap_or_default();
        let got = channel.basic_get(key, BasicGetOptions::default());
        let got = link.ask("read a parked message", got).await?;
        Ok(got.map(|message| message.delivery))
    }

    fn take(&self, group: &CompactString, message: &Delivery) {
        let tag = message.delivery_tag;
        self.acks.came(tag);
        self.shared
            .meter
            .figure("parked_messages", self.shared.parked(-1));
        for read in self.shared.decoder.read(std::slice::from_ref(message)) {
            let acks = self.acks.clone();
            let item = Item {
                read,
                tag,
                acks,
                print: None,
                again: message.redelivered,
            };
            self.shared.groups.fetched(group, item);
        }
    }

    async fn fetch(&self, due: Due, declared: &mut HashSet<CompactString>) -> Result<(), Failure> {
        let Due { group, room, epoch } = due;
        for _ in 0..room.min(TURN) {
            let Some(message) = self.get(&group, declared).await? else {
                if self.shared.groups.found_dry(&group, epoch) {
                    // It may have expired when it is needed again.
                    declared.remove(&group);
                    forget(&self.shared, &group).await?;
                }
                return Ok(());
            };
            self.take(&group, &message);
        }
        Ok(())
    }
}

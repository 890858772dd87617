//! The sink `rabbitmq`: events as messages on an exchange, or in a queue.
//!
//! A message counts as written when the broker has confirmed it: a persistent one in a durable queue
//! is then on disk, and on the other nodes where the queue has some. What no queue takes comes back
//! (`mandatory`) and is refused as `unroutable`. As many messages as `in_flight` are under way at a
//! time; those that were not confirmed when a connection dies are named, and go again: they may be
//! there twice. A broker that is short of memory or disk is waited for within the time-out.

mod about;

pub use about::ABOUT;

mod config;
mod message;
mod rehearsal;
mod rest;
mod template;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::client::amqp::{Declare, Link, failure, look_at};
use crate::event::{Batch, Origin};
use crate::failure::{Cause, Failure, Kind};
use crate::layer::{Finding, Grade, Kept, SinkContext};
use crate::observe::NodeMeter;
use crate::stage::Sink;

pub use config::{Config, Properties};
use message::Outgoing;
pub use template::Template;

/// Channels that are kept for the next write.
const SPARE: usize = 16;

/// Publishes batches, in order within one.
#[derive(Clone)]
pub struct Rabbitmq {
    config: Arc<Config>,
    node: Arc<str>,
    meter: NodeMeter,
    /// For a whole batch; the write's own time-out is a little longer.
    limit: Duration,
    link: Arc<Mutex<Option<Arc<Open>>>>,
    /// The alert says that the broker takes nothing.
    is_told: Arc<AtomicBool>,
}

/// A connection, and its channels that nobody uses. Each write has one of its own: a message that comes
/// back is then one of the write's.
struct Open {
    link: Link,
    spare: std::sync::Mutex<Vec<Channel>>,
}

impl Config {
    /// Opens the sink. Does not connect: a broker that is not there yet is one that is away.
    pub fn open(mut self, context: &SinkContext) -> Rabbitmq {
        let node = &context.node;
        self.head_letters(node);
        Rabbitmq {
            config: Arc::new(self),
            node: node.clone(),
            meter: context.meter.clone(),
            limit: context.policy.timeout * 9 / 10,
            link: Arc::default(),
            is_told: Arc::default(),
        }
    }

    /// Dead letters have headers of their own, below those that the file says.
    fn head_letters(&mut self, node: &str) {
        if node == "dead_letter" || node.ends_with(".dead_letter") {
            let said = std::mem::take(&mut self.properties.headers);
            self.properties.headers = message::of_letters();
            self.properties.headers.extend(said);
        }
    }

    /// What becomes of the messages.
    pub fn kept(&self) -> Kept {
        Kept::Lasting {
            idempotent: None,
            limit: match self.persistent {
                true => Some("as far as the queue: what is not durable or expires there is gone"),
                false => Some("until the broker restarts (`persistent: true` stays)"),
            },
        }
    }

    /// Connects and looks, without publishing anything.
    pub async fn probe(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        if self.broker.is_encrypted() {
            found.push(Finding::new(Grade::Good, "the connection is encrypted"));
        } else if !self.broker.is_local() {
            let told = "the connection is not encrypted: `amqps://` is";
            found.push(Finding::new(Grade::Warning, told));
        }
        if let Err(failure) = self.look(&mut found).await {
            let grade = match self.declare {
                Declare::Create if failure.losses()[0].cause.reason == "not_found" => Grade::Good,
                _ => Grade::Error,
            };
            found.push(Finding::new(grade, failure.to_string()));
        }
        found
    }

    async fn look(&self, found: &mut Vec<Finding>) -> Result<(), Failure> {
        let link = self.broker.connect("probe").await?;
        let place = self.broker.place();
        found.push(Finding::new(Grade::Good, format!("{place} takes us in")));
        let channel = link.channel().await?;
        if !self.exchange.name.is_empty() {
            self.exchange.expected().create(&link, &channel).await?;
            let told = format!("the exchange `{}` is there", self.exchange.name);
            found.push(Finding::new(Grade::Good, told));
        }
        if let Some(queue) = &self.queue {
            let (messages, _) = look_at(&link, &channel, queue).await?;
            let told = format!("the queue `{queue}` is there: {messages} messages");
            found.push(Finding::new(Grade::Good, told));
        }
        link.close().await;
        Ok(())
    }
}

impl Open {
    async fn connect(config: &Config, node: &str) -> Result<Self, Failure> {
        let link = config.broker.connect(node).await?;
        let channel = link.channel().await?;
        match config.declare {
            Declare::Nothing => {}
            Declare::Passive => config.exchange.expected().create(&link, &channel).await?,
            Declare::Create => config.exchange.create(&link, &channel).await?,
        }
        if let Some(queue) = &config.queue {
            config
                .topology
                .apply(&link, &channel, queue, config.declare)
                .await?;
        }
        Ok(Self {
            link,
            spare: std::sync::Mutex::default(),
        })
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Channel>> {
        self.spare
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn channel(&self) -> Result<Channel, Failure> {
        while let Some(channel) = self.spare().pop() {
            if channel.status().connected() {
                return Ok(channel);
            }
        }
        let channel = self.link.channel().await?;
        let confirmed = channel.confirm_select(ConfirmSelectOptions::default());
        self.link.ask("have messages confirmed", confirmed).await?;
        Ok(channel)
    }

    /// Back for the next write.
    fn put(&self, channel: Channel) {
        let mut spare = self.spare();
        if spare.len() < SPARE {
            spare.push(channel);
        }
    }
}

/// What was published and is not confirmed.
struct Sent {
    index: usize,
    confirm: PublisherConfirm,
}

/// How a write went, message by message.
#[derive(Default)]
struct Outcome {
    nacked: Vec<Origin>,
    /// What came back: by key and body, since a confirmation of several may bring another's return.
    returned: HashMap<(String, Vec<u8>), usize>,
    /// Indices of those that are confirmed.
    confirmed: Vec<usize>,
}

impl Rabbitmq {
    async fn open(&self) -> Result<Arc<Open>, Failure> {
        let mut link = self.link.lock().await;
        if let Some(open) = link.as_ref().filter(|open| open.link.is_up()) {
            return Ok(open.clone());
        }
        match Open::connect(&self.config, &self.node).await {
            Ok(open) => {
                let open = Arc::new(open);
                *link = Some(open.clone());
                self.meter.alert("broker_away", "connected again", false);
                Ok(open)
            }
            Err(failure) => {
                *link = None;
                self.meter.alert("broker_away", failure.to_string(), true);
                Err(failure)
            }
        }
    }

    /// This connection is not used again: what waits in it would go out beside what is tried again.
    async fn give_up(&self, open: &Arc<Open>) {
        let mut link = self.link.lock().await;
        if link.as_ref().is_some_and(|known| Arc::ptr_eq(known, open)) {
            *link = None;
        }
    }

    /// Waits until the broker takes messages.
    async fn unblocked(&self, open: &Open, until: Instant) -> Result<(), Failure> {
        let mut blocked = open.link.blocked();
        let reason = blocked.borrow_and_update().clone();
        let Some(reason) = reason else {
            return Ok(());
        };
        self.tell(Some(&reason));
        let free = timeout_at(until, blocked.wait_for(Option::is_none)).await;
        match free {
            Ok(Ok(_)) => {
                self.tell(None);
                Ok(())
            }
            Ok(Err(_)) => Err(Failure::disconnected(
                "broker_away",
                "the connection is gone",
            )),
            Err(_) => Err(blocked_by(&reason)),
        }
    }

    /// Raises the alert that the broker takes nothing, for this reason, or clears it.
    fn tell(&self, blocked: Option<&str>) {
        let was = self.is_told.swap(blocked.is_some(), Ordering::Relaxed);
        match blocked {
            Some(reason) => {
                let told = blocked_by(reason).to_string();
                self.meter.alert("broker_blocked", told, true);
            }
            None if was => {
                let told = "the broker takes messages again";
                self.meter.alert("broker_blocked", told, false);
            }
            None => {}
        }
    }

    /// Tells of a broker that takes nothing any more, which it says once something is published.
    async fn watch(&self, open: &Open) -> Infallible {
        let mut blocked = open.link.blocked();
        let mut was = false;
        loop {
            let reason = blocked.borrow_and_update().clone();
            if reason.is_some() || was {
                self.tell(reason.as_deref());
            }
            was = reason.is_some();
            if blocked.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Publishes all and waits for all.
    async fn publish(
        &self,
        messages: &[Outgoing],
        channel: &Channel,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let exchange = ShortString::try_new(self.config.exchange.name.as_str());
        let exchange = exchange.unwrap_or_default();
        let options = BasicPublishOptions {
            mandatory: self.config.mandatory,
            ..BasicPublishOptions::default()
        };
        let mut sent: VecDeque<Sent> = VecDeque::with_capacity(self.config.in_flight);
        for (index, message) in messages.iter().enumerate() {
            if sent.len() >= self.config.in_flight
                && let Some(oldest) = sent.pop_front()
            {
                confirmed(oldest, messages, outcome).await?;
            }
            let published = channel.basic_publish(
                exchange.clone(),
                message.key.clone(),
                options,
                &message.body,
                message.properties.clone(),
            );
            let confirm = published.await;
            let confirm = confirm.map_err(|error| failure("publish", &error))?;
            sent.push_back(Sent { index, confirm });
        }
        for one in sent {
            confirmed(one, messages, outcome).await?;
        }
        Ok(())
    }

    /// Publishes within the time that there is; those that are not confirmed are named.
    async fn write_all(&self, messages: &[Outgoing]) -> Result<(), Failure> {
        let until = Instant::now() + self.limit;
        let mut outcome = Outcome::default();
        let origins: Vec<Origin> = messages.iter().map(|message| message.origin).collect();
        let named = |failure: Failure| failure.named(&origins);
        let open = match timeout_at(until, self.open()).await {
            Ok(open) => open.map_err(named)?,
            Err(_) => return Err(named(late())),
        };
        self.unblocked(&open, until).await.map_err(named)?;
        let publishing = async {
            let channel = open.channel().await?;
            self.publish(messages, &channel, &mut outcome).await?;
            open.put(channel);
            Ok(())
        };
        let ended = tokio::select! {
            ended = timeout_at(until, publishing) => ended.unwrap_or_else(|_| Err(late())),
            never = self.watch(&open) => match never {},
        };
        let blocked = open.link.blocked().borrow().clone();
        let ended = match (ended, blocked) {
            // It stays: on a new one more copies would wait for the broker to read them.
            (Err(_), Some(reason)) if open.link.is_up() => Err(blocked_by(&reason)),
            (Err(failure), _) => {
                self.give_up(&open).await;
                Err(failure)
            }
            (Ok(()), blocked) => {
                // It may have said so while nothing was under way.
                if blocked.is_none() {
                    self.tell(None);
                }
                Ok(())
            }
        };
        outcome.answer(messages, ended)
    }
}

fn blocked_by(reason: &str) -> Failure {
    Failure::transient(
        "broker_blocked",
        format!("the broker takes no messages: {reason}"),
    )
}

fn late() -> Failure {
    Failure::transient("timeout", "the broker did not confirm in time")
}

async fn confirmed(
    sent: Sent,
    messages: &[Outgoing],
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let Sent { index, confirm } = sent;
    let told = confirm.await.map_err(|error| failure("publish", &error))?;
    if told.is_nack() {
        outcome
            .nacked
            .extend(messages.get(index).map(|it| it.origin));
    } else {
        outcome.confirmed.push(index);
    }
    if let Confirmation::Ack(Some(back)) | Confirmation::Nack(Some(back)) = told {
        let delivery = back.delivery;
        let key = (delivery.routing_key.to_string(), delivery.data);
        *outcome.returned.entry(key).or_default() += 1;
    }
    Ok(())
}

impl Outcome {
    /// What is to be said of each message.
    fn answer(mut self, messages: &[Outgoing], ended: Result<(), Failure>) -> Result<(), Failure> {
        let mut failures = Vec::new();
        let mut known = vec![false; messages.len()];
        for index in &self.confirmed {
            known[*index] = true;
        }
        let mut unroutable = Vec::new();
        for (message, known) in messages.iter().zip(&known) {
            if self.returned.is_empty() || !known {
                continue;
            }
            // Copying the body is for the few that come back.
            let key = (message.key.to_string(), message.body.clone());
            if let Some(left) = self.returned.get_mut(&key).filter(|left| **left > 0) {
                *left -= 1;
                unroutable.push(message.origin);
            }
        }
        let told = Cause::new(
            "unroutable",
            "no queue takes a message with this routing key",
        );
        failures.extend(Failure::only(Kind::Rejected, told, unroutable));
        let told = Cause::new("nacked", "the broker could not take the message");
        let nacked = std::mem::take(&mut self.nacked);
        failures.extend(Failure::only(Kind::Transient, told, nacked.clone()));
        if let Err(failure) = ended {
            let open = messages.iter().zip(&known);
            let open =
                open.filter(|(message, known)| !**known && !nacked.contains(&message.origin));
            let open: Vec<_> = open.map(|(message, _)| message.origin).collect();
            failures.push(failure.named(&open));
        }
        Failure::join(failures.into_iter().map(Err))
    }
}

impl Sink for Rabbitmq {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let (messages, refused) = self.config.messages(&batch, self.meter.wall().now());
        drop(batch);
        let written = match messages.is_empty() {
            true => Ok(()),
            false => self.write_all(&messages).await,
        };
        Failure::join([refused, written])
    }
}

#[cfg(test)]
mod tests;

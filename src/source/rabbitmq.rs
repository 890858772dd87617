//! The source `rabbitmq`: the messages of a queue, each answered when it was dealt with.
//!
//! ```text
//! consumer --messages--> read --> [groups] --deliveries--> the pipeline --answer--> ack, or back
//!                                  |    ^
//!                          publish v    | get
//!                              parking queues
//! ```
//!
//! A message is acknowledged once its delivery is settled and that is durable. What a sink cannot take
//! now waits here, unanswered, and the broker hands over no more than `prefetch` of them: nothing spins
//! between the two. What could not be delivered when the run ends goes back into its queue. When the
//! connection dies the broker hands the messages that were under way to the next one too: they are
//! delivered twice, and `dedup` sees that. The next one consumes once the broker knows that the last one is
//! gone: who is earlier gets what lies behind those messages, and then them.
//!
//! With `group_by` a delivery holds messages of one group, and each group has a limit of what it has
//! under way. Order holds within a group, in the queue as in its parking queue; what a crash can do to
//! it is that messages come a second time, later. Several programs that consume from one queue share
//! its groups out as the broker likes: `single_active_consumer`, or a consistent hash over several
//! queues, keeps a group in one place.

mod about;

pub use about::ABOUT;

mod acks;
mod config;
mod decode;
mod groups;
mod parking;
mod probe;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use compact_str::CompactString;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery as Message;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::amqp::{Link, failure, look_at, short};
use crate::event::{Batch, Event};
use crate::failure::{Failure, Kind};
use crate::layer::{SourceContext, VisitPaths};
use crate::observe::{NodeMeter, Progress};
use crate::stage::{Checkpoint, Delivery, Letter, Settle, Source};
use crate::state::Store;

use acks::Acks;
pub use config::{Config, Consumer, Parking};
use decode::{Decoder, offset_of};
use groups::{Groups, Item, Place};
use parking::{Fetcher, Parked, Publisher};

/// Bytes of messages that go on together, about.
const BATCH_BYTES: usize = 8 << 20;
/// Where the place in a stream is kept.
const PLACE: &[u8] = b"offset";
/// Once nothing has come for so long, all that was delivered before has come again.
const SETTLED: Duration = Duration::from_secs(1);
/// How long a connection waits at most for the broker to know that the one before it is gone.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// No place is known: it begins where the file says.
const NOWHERE: u64 = u64::MAX;

/// A source that can be opened again and again.
pub struct Opener {
    config: Arc<Config>,
    shared: OnceCell<Arc<Shared>>,
}

/// What outlives a connection.
struct Shared {
    node: Arc<str>,
    config: Arc<Config>,
    store: Store,
    meter: NodeMeter,
    decoder: Decoder,
    groups: Arc<Groups>,
    /// Turns in telling the store which groups are parked.
    marking: tokio::sync::Mutex<()>,
    parked: AtomicI64,
    /// Of a stream: the offset after the last message that was handed over.
    place: AtomicU64,
    /// It was open once: what is missing now was taken away and may come back.
    known: AtomicBool,
    /// How many others consumed from the queue when this one came; as many as may be before it did.
    others: AtomicU32,
}

impl Shared {
    async fn load(config: Arc<Config>, context: &SourceContext) -> Result<Self, Failure> {
        let groups = Arc::new(Groups::new(config.clone()));
        let mut place = NOWHERE;
        for checkpoint in context.store.checkpoints(&context.node).await? {
            let parked = checkpoint.key.strip_prefix(parking::MARK);
            if checkpoint.key == PLACE
                && let Ok(bytes) = <[u8; 8]>::try_from(checkpoint.value.as_slice())
            {
                place = u64::from_be_bytes(bytes);
            } else if let Some(Ok(group)) = parked.map(std::str::from_utf8)
                && config.parking.is_some()
                && !checkpoint.value.is_empty()
            {
                groups.was_parked(group, parking::older(&checkpoint.value));
            }
        }
        Ok(Self {
            node: context.node.clone(),
            decoder: Decoder::new(&config, context),
            config,
            store: context.store.clone(),
            meter: context.meter.clone(),
            groups,
            marking: tokio::sync::Mutex::default(),
            parked: AtomicI64::new(0),
            place: AtomicU64::new(place),
            known: AtomicBool::new(false),
            others: AtomicU32::new(u32::MAX),
        })
    }

    /// Waits until the broker knows that the connection before this one is gone. It is told from others that
    /// consume by their number alone: where another came meanwhile, it is waited for as long as can be.
    async fn alone(&self, link: &Link) -> Result<(), Failure> {
        let config = &self.config;
        if config.is_stream() || config.topology.queue.is_of_one() {
            return Ok(());
        }
        let channel = link.channel().await?;
        let latest = Instant::now() + FAREWELL;
        loop {
            let others = match look_at(link, &channel, &config.queue).await {
                Ok((_, others)) => others,
                // Who may not look may still consume, and is told the rest there.
                Err(failure) if failure.kind() == Kind::Fatal => return Ok(()),
                Err(failure) => return Err(failure),
            };
            let over = Instant::now() >= latest;
            if others <= self.others.load(Ordering::Relaxed) || over {
                if over {
                    let node = &*self.node;
                    let told = "the queue has more consumers than before: if one is the connection that was lost, \
                                what the broker takes back from it comes later";
                    tracing::warn!(node, others, "{told}");
                }
                self.others.store(others, Ordering::Relaxed);
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// So many more messages are parked, as far as is known since the start.
    fn parked(&self, more: i64) -> u64 {
        let now = self.parked.fetch_add(more, Ordering::Relaxed) + more;
        u64::try_from(now).unwrap_or(0)
    }
}

impl Opener {
    /// Of this configuration.
    pub fn new(config: Config) -> Self {
        Self {
            config: Arc::new(config),
            shared: OnceCell::new(),
        }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Shows its paths.
    pub fn paths(&mut self, visit: VisitPaths<'_>) {
        if let Some(path) = &mut Arc::make_mut(&mut self.config).group_by {
            visit(path);
        }
    }

    /// Opens the source of this node.
    ///
    /// # Errors
    /// `Disconnected` where the broker is away; `Fatal` where it refuses, or the queue is not there or
    /// not as it should be. A queue that was there once may come back.
    pub async fn open(&self, context: &SourceContext) -> Result<Box<dyn Source>, Failure> {
        let load = || async {
            let shared = Shared::load(self.config.clone(), context).await?;
            Ok::<_, Failure>(Arc::new(shared))
        };
        let shared = self.shared.get_or_try_init(load).await?.clone();
        let opened = Consuming::open(shared.clone(), context.progress.clone()).await;
        match opened {
            Ok(source) => {
                shared.known.store(true, Ordering::Relaxed);
                shared.meter.alert("broker_away", "connected again", false);
                Ok(Box::new(source))
            }
            Err(failure) => {
                let failure = later(failure, shared.known.load(Ordering::Relaxed));
                shared.meter.alert("broker_away", failure.to_string(), true);
                Err(failure)
            }
        }
    }
}

/// What is not there any more is waited for.
fn later(failure: Failure, known: bool) -> Failure {
    let reason = failure.losses()[0].cause.reason;
    match known && reason == "not_found" {
        true => {
            let cause = failure.losses()[0].cause.clone();
            Failure::new(Kind::Disconnected, cause)
        }
        false => failure,
    }
}

/// One connection that consumes.
struct Consuming {
    shared: Arc<Shared>,
    /// Keeps the connection open.
    link: Arc<Link>,
    acks: Arc<Acks>,
    consumer: lapin::Consumer,
    /// What ends it once everything that came before was handed over.
    over: Option<Failure>,
    trouble: mpsc::Receiver<Failure>,
    parked: Option<mpsc::UnboundedSender<Parked>>,
    /// Messages that were delivered before may still come again.
    settling: bool,
    progress: Progress,
    /// They end with the source.
    _tasks: JoinSet<()>,
}

impl Consuming {
    async fn open(shared: Arc<Shared>, progress: Progress) -> Result<Self, Failure> {
        let config = shared.config.clone();
        let link = Arc::new(config.broker.connect(&shared.node).await?);
        let channel = link.channel().await?;
        config
            .topology
            .apply(&link, &channel, &config.queue, config.declare)
            .await?;
        let qos = channel.basic_qos(config.prefetch.get(), BasicQosOptions::default());
        link.ask("say the prefetch", qos).await?;
        shared.alone(&link).await?;
        let place = shared.place.load(Ordering::Relaxed);
        let options = BasicConsumeOptions {
            exclusive: config.consumer.exclusive,
            ..BasicConsumeOptions::default()
        };
        let consumer = channel.basic_consume(
            short(&config.queue).unwrap_or_default(),
            short(&config.consumer.tag).unwrap_or_default(),
            options,
            config.arguments((place != NOWHERE).then_some(place)),
        );
        let doing = format!("consume from the queue `{}`", config.queue);
        let consumer = link.ask(&doing, consumer).await?;
        shared.groups.restart();
        progress.unbounded();
        let (tell, trouble) = mpsc::channel(2);
        let mut tasks = JoinSet::new();
        let mut parked = None;
        if let Some(parking) = &config.parking {
            let (sender, receiver) = mpsc::unbounded_channel();
            let publisher = Publisher {
                shared: shared.clone(),
                parking: parking.clone(),
                trouble: tell.clone(),
            };
            tasks.spawn(publisher.run(receiver));
            let fetcher = Fetcher {
                shared: shared.clone(),
                parking: parking.clone(),
                acks: Arc::new(Acks::over(link.clone(), link.channel().await?)),
                trouble: tell,
            };
            tasks.spawn(fetcher.run());
            parked = Some(sender);
        }
        Ok(Self {
            shared,
            acks: Arc::new(Acks::over(link.clone(), channel)),
            link,
            consumer,
            over: None,
            trouble,
            settling: parked.is_some(),
            parked,
            progress,
            _tasks: tasks,
        })
    }

    /// What has arrived, beginning with this.
    fn gather(&mut self, first: Option<lapin::Result<Message>>) -> Vec<Message> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(came) = next {
            match came {
                Some(Ok(message)) => {
                    self.acks.came(message.delivery_tag);
                    bytes += message.data.len();
                    messages.push(message);
                }
                ended => {
                    self.over = Some(ending(ended));
                    break;
                }
            }
            let full = messages.len() >= self.shared.config.batch_events || bytes >= BATCH_BYTES;
            next = if full {
                None
            } else {
                self.consumer.next().now_or_never()
            };
        }
        self.progress.records(messages.len() as u64);
        self.progress.bytes_done(bytes as u64);
        messages
    }

    /// Messages that go on together.
    fn plain(&self, messages: &[Message]) -> Delivery {
        let read = self.shared.decoder.read(messages);
        let tags: Vec<u64> = messages.iter().map(|it| it.delivery_tag).collect();
        let mut delivery = delivery_of(read.into_iter());
        let (acks, link) = (self.acks.clone(), self.link.clone());
        if self.shared.config.is_stream() {
            let last = messages.iter().rev().find_map(offset_of);
            if let Some(next) = last.map(|offset| offset.saturating_add(1)) {
                self.shared.place.store(next, Ordering::Relaxed);
                delivery.checkpoints.push(Checkpoint {
                    key: PLACE.to_vec(),
                    value: next.to_be_bytes().to_vec(),
                });
            }
        }
        // A stream takes nothing back: an answer only makes room for more.
        let stream = self.shared.config.is_stream();
        delivery.settle = Settle::new(move |outcome| async move {
            acks.settle(&tags, stream || outcome.is_ok()).await;
            drop(link);
        });
        delivery
    }

    /// Sorts messages into their groups; some are parked.
    fn sort(&mut self, messages: Vec<Message>) {
        let read = self.shared.decoder.read(&messages);
        // What came before comes again first: after one that did not, nothing of it is missing.
        let new = messages.iter().any(|message| !message.redelivered);
        for (message, read) in messages.into_iter().zip(read) {
            let group = match (&read, &self.shared.config.group_by) {
                (Ok(event), Some(path)) => event.text(path).map(CompactString::from),
                _ => None,
            };
            let item = Item {
                read,
                tag: message.delivery_tag,
                acks: self.acks.clone(),
                print: self
                    .parked
                    .is_some()
                    .then(|| self.shared.decoder.print(&message)),
                again: message.redelivered,
            };
            // Those of no group are one too, which is never parked.
            let group = group.unwrap_or_default();
            let place = self.shared.groups.arrive(&group, item);
            if let (Place::Park(Item { acks, .. }), Some(parked)) = (place, &self.parked) {
                // Its task ends with this source and with nobody else's doing.
                let _ = parked.send(Parked {
                    group,
                    message,
                    acks,
                });
            }
        }
        if new {
            self.end_settling();
        }
    }

    fn end_settling(&mut self) {
        if std::mem::take(&mut self.settling) {
            self.shared.groups.settled();
        }
    }

    fn of_group(&self, group: CompactString, items: Vec<Item>) -> Delivery {
        let count = items.len();
        let prints: HashSet<u64> = items.iter().filter_map(|item| item.print).collect();
        let mut answers: Vec<(Arc<Acks>, Vec<u64>)> = Vec::new();
        for Item { tag, acks, .. } in &items {
            match answers.last_mut() {
                Some((last, tags)) if Arc::ptr_eq(last, acks) => tags.push(*tag),
                _ => answers.push((acks.clone(), vec![*tag])),
            }
        }
        let mut delivery = delivery_of(items.into_iter().map(|item| item.read));
        let (groups, link) = (self.shared.groups.clone(), self.link.clone());
        delivery.settle = Settle::new(move |outcome| async move {
            for (acks, tags) in answers {
                acks.settle(&tags, outcome.is_ok()).await;
            }
            groups.answered(&group, count, &prints);
            drop(link);
        });
        delivery
    }
}

fn delivery_of(read: impl Iterator<Item = Result<Event, Box<Letter>>>) -> Delivery {
    let (mut events, mut refused) = (Vec::new(), Vec::new());
    for one in read {
        match one {
            Ok(event) => events.push(event),
            Err(letter) => refused.push(*letter),
        }
    }
    Delivery {
        refused,
        ..Delivery::new(Batch::from(events))
    }
}

/// Why a consumer ended. It stood, so that whatever it was may pass.
fn ending(came: Option<lapin::Result<Message>>) -> Failure {
    match came {
        Some(Err(error)) => {
            let failure = failure("consume", &error);
            let cause = failure.losses()[0].cause.clone();
            Failure::new(Kind::Disconnected, cause)
        }
        _ => Failure::disconnected(
            "consumer_cancelled",
            "the broker ended the consumer: the queue was deleted, or moved to another node",
        ),
    }
}

impl Source for Consuming {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async {
            let grouped = self.shared.config.group_by.is_some();
            loop {
                if grouped && let Some((group, items)) = self.shared.groups.hand_over() {
                    return Ok(Some(self.of_group(group, items)));
                }
                if self.over.is_some() {
                    // What the broker handed out and nobody pulled is not to wait for what is under way.
                    self.link.close().await;
                }
                if let Some(failure) = self.over.take() {
                    return Err(failure);
                }
                let came = tokio::select! {
                    biased;
                    Some(failure) = self.trouble.recv() => {
                        self.over = Some(failure);
                        continue;
                    }
                    () = self.shared.groups.changed.notified(), if grouped => continue,
                    came = self.consumer.next() => came,
                    () = tokio::time::sleep(SETTLED), if self.settling => {
                        self.end_settling();
                        continue;
                    }
                };
                let messages = self.gather(came);
                if grouped {
                    self.sort(messages);
                } else if !messages.is_empty() {
                    return Ok(Some(self.plain(&messages)));
                }
            }
        }
        .boxed()
    }
}

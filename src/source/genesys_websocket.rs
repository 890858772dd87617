//! The source `genesys_websocket`: what Genesys Cloud tells on its WebSockets, as it comes.
//!
//! Each frame is an event whose body is the frame's own text. Frames about the connection
//! (`channel.metadata`, `v2.system.*`, confirmations) are none.
//!
//! # Two protocols
//!
//! `notifications`, the platform's notification service: channels are made by REST, topics are put
//! on them (at most 1,000 on one, so they are spread over as few channels as fit), and each channel
//! has a socket. `events`: one socket, its token in the address, topics by a frame.
//!
//! # No replay
//!
//! The platform does not send again what it said while nobody listened, promises no order and no
//! absence of repeats. So this source is built around *gaps*:
//!
//! - A channel is replaced before it expires, or when the platform says that it will close its
//!   socket, by a second one that is heard before the first is let go: no gap, but repeats.
//! - A socket on which nothing is heard for `heartbeat_timeout` is dead.
//! - Everything between the last word on a socket and the first chance to hear the next is a gap:
//!   measured, told in one line with its times, and filled by reading again by REST what it may
//!   have changed (`fill`). A restart of the process is a gap too: when something was last heard
//!   is the source's checkpoint, and it stays in front of a gap until that is filled.
//!
//! # It reconnects by itself
//!
//! Elsewhere the engine opens a source again. Here there are several connections, one of which must
//! not cost the others, and a second must stand before the first is let go. So the channels have
//! keepers (`keeper`), tasks that end when the source is dropped. The engine's turn comes when no
//! channel could be opened for a minute (disconnected), or when the credentials are refused (fatal).
//!
//! # Channels are shared
//!
//! An OAuth client has 20 channels, whoever makes them, and one too many silently deletes another's.
//! See `maker` for how that is kept from happening. There is no call that deletes a channel, so a
//! restart would leave one behind for a day: with `reuse_channels` their ids are kept beside the
//! checkpoint, sealed under a key that is derived from the OAuth client's secret. Workers that share
//! a state store would take each other's, so there they are not kept.

mod about;

pub use about::ABOUT;

mod board;
mod config;
mod fill;
mod keeper;
mod known;
mod maker;
mod memory;
mod opening;
mod plan;
mod probe;
mod queue;
mod socket;
mod topics;
mod whereabouts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use config::{Channels, Config, Fill, Host, Protocol, Wanted};

use board::Board;
use fill::{Filler, measured};
use maker::Maker;
use memory::Memory;
use opening::Context;
use plan::Plan;
use queue::{Frame, Item, Missed};
use socket::Dial;
use whereabouts::{sealer, whereabouts};

use crate::client::genesys::{Client, Manner};
use crate::client::http;
use crate::clock::parse_timestamp;
use crate::codec::{Block, Position, Reason, Record, Refused, decode, provenance};
use crate::event::{Batch, Event, PathSet};
use crate::failure::Failure;
use crate::layer::{Finding, SourceContext, VisitPaths};
use crate::observe::NodeMeter;
use crate::seal::Keyring;
use crate::stage::{Delivery, Letter, Source};

/// Most items that are handed over together.
const MOST: usize = 1000;
/// Gaps that may wait to be filled; further ones are measured and not filled.
const GAPS: usize = 1024;
/// The least time between two checkpoints.
const CHECKPOINT: Duration = Duration::from_secs(1);

/// Now, in microseconds since 1970.
fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// What one source keeps over all its connections.
#[derive(Clone)]
pub struct Opener {
    config: Arc<Config>,
    memory: Arc<Memory>,
}

impl Opener {
    /// For a source that was checked.
    pub fn new(config: Config) -> Self {
        Self {
            memory: Arc::new(Memory::new(config.fill.max_conversations)),
            config: Arc::new(config),
        }
    }

    /// What the file says.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Looks at the platform, without changing anything.
    pub async fn probe(&self) -> Vec<Finding> {
        probe::probe(&self.config).await
    }

    /// Shows the paths that are looked at in each event.
    pub fn paths(&mut self, visit: VisitPaths<'_>) {
        Arc::make_mut(&mut self.config).seen.visit(visit);
    }

    /// Starts the tasks. They connect by themselves, so this does not wait for the platform.
    ///
    /// # Errors
    /// Fatal: there is no simulator though one is wanted (`genesys_simulator`), an endpoint is none
    /// (`genesys_endpoint`), or what the state store and the HTTP client say.
    pub async fn open(&self, context: &SourceContext) -> Result<Box<dyn Source>, Failure> {
        let (config, memory) = (&self.config, &self.memory);
        let (endpoints, credentials, events) = whereabouts(config, context.simulator.as_ref())?;
        let sealer = sealer(config, context, &credentials);
        let kept = context
            .store
            .checkpoint(&context.node, memory::key())
            .await?;
        let found = kept
            .map(|kept| memory::read(&kept, sealer.as_ref()))
            .unwrap_or_default();
        let since = found.heard;
        memory.begin(found, config.reuse_channels);
        let client = Client::new(endpoints, credentials, Manner::default())?;
        let (inlet, items) = queue::queue(config.queue_frames, config.queue_bytes);
        let shared = Arc::new(Context {
            node: context.node.clone(),
            maker: Maker::new(client.clone(), config.channels),
            client,
            dial: Dial {
                tls: http::tls(),
                protocol: config.protocol,
                timeout: config.connect_timeout,
                max_frame: config.max_frame,
            },
            board: Board::new(context.meter.clone()),
            inlet,
            memory: memory.clone(),
            events,
            config: config.clone(),
        });
        let (gaps, waiting) = mpsc::channel(GAPS);
        let filler = Filler {
            context: shared.clone(),
            meter: context.meter.clone(),
            gaps: waiting,
            covered: Mutex::default(),
        };
        let mut tasks = JoinSet::new();
        let plan = Plan {
            context: shared,
            since,
            filler,
        };
        tasks.spawn(plan.run());
        Ok(Box::new(Frames {
            node: context.node.clone(),
            paths: context.paths.clone(),
            meter: context.meter.clone(),
            config: config.clone(),
            memory: memory.clone(),
            sealer,
            since,
            items,
            taken: Vec::new(),
            gaps,
            failed: None,
            written: None,
            changes: 0,
            _tasks: tasks,
        }))
    }
}

/// The source itself: hands over what the tasks have put into the queue.
struct Frames {
    node: Arc<str>,
    paths: Arc<PathSet>,
    meter: NodeMeter,
    config: Arc<Config>,
    memory: Arc<Memory>,
    sealer: Option<Keyring>,
    since: Option<i64>,
    items: mpsc::Receiver<Item>,
    taken: Vec<Item>,
    gaps: mpsc::Sender<Missed>,
    failed: Option<Failure>,
    written: Option<Instant>,
    /// Changes of the channels that the last checkpoint knew.
    changes: u64,
    /// Ended when the source is dropped.
    _tasks: JoinSet<()>,
}

/// What one channel said, as a block of records.
#[derive(Default)]
struct Said {
    block: Vec<u8>,
    records: Vec<Record>,
    refused: Vec<Refused>,
    /// How many records there were when a gap was told of.
    before: Option<usize>,
}

impl Said {
    fn number(&self) -> u64 {
        (self.records.len() + self.refused.len()) as u64 + 1
    }

    fn take(&mut self, frame: &Frame) {
        let text = frame.text.as_str().as_bytes();
        let number = self.number();
        let start = self.block.len();
        self.block.extend_from_slice(text);
        // The queue holds at most 2 GiB, so places fit.
        self.records.push(Record {
            start: start as u32,
            end: self.block.len() as u32,
            number,
            line: 0,
            offset: 0,
        });
    }

    fn refuse(&mut self, reason: Reason, sample: Vec<u8>, length: u64) {
        let number = self.number();
        self.refused.push(Refused {
            reason,
            offset: 0,
            line: 0,
            length,
            sample,
            number,
        });
    }
}

impl Frames {
    /// What was taken from the queue, as a delivery; `None` when there is nothing to say about it.
    fn delivery(&mut self) -> Option<Delivery> {
        let mut said: BTreeMap<u32, Said> = BTreeMap::new();
        let mut after = Vec::new();
        for item in self.taken.drain(..) {
            match item {
                Item::Frame(frame) => said.entry(frame.channel).or_default().take(&frame),
                Item::Refused {
                    channel,
                    reason,
                    sample,
                    length,
                } => said
                    .entry(channel)
                    .or_default()
                    .refuse(reason, sample, length),
                Item::Missed(missed) => {
                    let said = said.entry(missed.channel).or_default();
                    said.before.get_or_insert(said.records.len());
                    after.push(Item::Missed(missed));
                }
                // The conversations told of before are known once the frames are decoded.
                later => after.push(later),
            }
        }
        let (mut events, mut refused) = (Vec::new(), Vec::new());
        let mut told = BTreeMap::new();
        for (channel, said) in said {
            let (before, earlier) = (said.before, self.memory.told(channel));
            let (batch, letters) = self.decoded(channel, said);
            told.insert(channel, self.told(channel, &batch, before).or(earlier));
            match events.is_empty() {
                true => events = batch.into_events(),
                false => events.extend(batch.into_events()),
            }
            refused.extend(letters);
        }
        self.meter
            .figure("known_conversations", self.memory.known().len() as u64);
        for mut item in after {
            if let Item::Missed(missed) = &mut item {
                missed.told = told.get(&missed.channel).copied().flatten();
            }
            self.note(item);
        }
        let checkpoint = self.is_due().then(|| self.checkpoint()).flatten();
        if events.is_empty() && refused.is_empty() && checkpoint.is_none() {
            return None;
        }
        Some(Delivery {
            refused,
            checkpoints: checkpoint.into_iter().collect(),
            ..Delivery::new(Batch::from(events))
        })
    }

    fn decoded(&self, channel: u32, said: Said) -> (Batch, Vec<Letter>) {
        let object = Arc::from(format!("channel {channel}"));
        let block = Block {
            text: said.block,
            records: said.records,
            refused: said.refused,
            end: Position::default(),
        };
        let decoded = decode(block, &self.paths, &provenance(&self.node, &object));
        let mut known = self.memory.known();
        for event in &decoded.batch {
            if let Some(told) = known::look(event, &self.config.seen) {
                known.take(channel, told);
            }
        }
        (decoded.batch, decoded.refused)
    }

    /// The platform's own time in the last of the first events, where they tell it; notes that of
    /// all of them.
    fn told(&self, channel: u32, batch: &Batch, before: Option<usize>) -> Option<i64> {
        let events = batch.events();
        let time = |event: &Event| parse_timestamp(&event.text(&self.config.seen.time)?);
        if let Some(at) = events.last().and_then(time) {
            self.memory.tell(channel, at);
        }
        let before = before?.min(events.len());
        events[..before].last().and_then(time)
    }

    fn note(&mut self, item: Item) {
        match item {
            Item::Heard { channel, at } => self.memory.heard(channel, at),
            Item::Missed(missed) => {
                let Missed { channel, from, .. } = missed;
                self.memory.open_gap(channel, from);
                if self.gaps.try_send(missed).is_err() {
                    self.memory.close_gap(channel, from);
                    let left = self.memory.known().of(channel).len() as u64;
                    measured(&self.node, &self.meter, missed, 0, left);
                }
            }
            Item::Filled { channel, from } => self.memory.close_gap(channel, from),
            Item::Failed(failure) => {
                self.failed.get_or_insert(failure);
            }
            Item::Frame(_) | Item::Refused { .. } => {}
        }
    }

    /// A second has passed since the last checkpoint, or the channels are others.
    fn is_due(&self) -> bool {
        let passed = self.written.is_none_or(|at| at.elapsed() >= CHECKPOINT);
        passed || self.changes != self.memory.changes()
    }

    fn checkpoint(&mut self) -> Option<crate::stage::Checkpoint> {
        let changes = self.memory.changes();
        let checkpoint = self.memory.checkpoint(self.sealer.as_ref(), self.since)?;
        (self.written, self.changes) = (Some(Instant::now()), changes);
        Some(checkpoint)
    }
}

impl Source for Frames {
    /// Waits for the first item and takes what else is there. Nothing is lost when the future is
    /// dropped: it has taken nothing before it is ready.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async {
            loop {
                if let Some(failure) = self.failed.take() {
                    return Err(failure);
                }
                if self.items.recv_many(&mut self.taken, MOST).await == 0 {
                    let ended = "the tasks of the source have ended";
                    return Err(Failure::disconnected("genesys_task", ended));
                }
                if let Some(delivery) = self.delivery() {
                    return Ok(Some(delivery));
                }
            }
        }
        .boxed()
    }
}

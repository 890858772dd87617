//! What all parts share: the state of the platform behind one lock, its clock and its tasks.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::analytics::Jobs;
use super::config::Config;
use super::conversation::Conversation;
use super::faults::Log;
use super::messaging::Partners;
use super::random::{Random, Uuid};
use super::script::Step;
use super::snapshot::Organisation;
use super::teller::Teller;
use super::timeline::Timeline;
use super::token::Tokens;

/// Outbound messages that receipts are taken for.
const MAX_SENT: usize = 100_000;

/// Simulated time.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    start: i64,
    pub(super) speed: f64,
}

impl Clock {
    /// Microseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.start + (self.started.elapsed().as_secs_f64() * self.speed * 1e6) as i64
    }

    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// How long simulated microseconds really take.
    pub(super) fn real(&self, micros: i64) -> Duration {
        Duration::from_secs_f64((micros.max(0) as f64 / 1e6 / self.speed).min(1e9))
    }

    /// The same in whole seconds, rounded up: what a client is told to wait.
    pub(super) fn real_seconds(&self, micros: i64) -> u64 {
        self.real(micros).as_secs_f64().ceil() as u64
    }
}

/// Everything that changes.
pub(super) struct Platform {
    pub(super) config: Config,
    pub(super) org: Organisation,
    pub(super) tokens: Tokens,
    pub(super) teller: Teller,
    pub(super) timeline: Timeline,
    pub(super) jobs: Jobs,
    pub(super) partners: Partners,
    /// Outbound messages and their conversations, for receipts.
    pub(super) sent: HashMap<Uuid, Uuid>,
    /// For ids of what clients make.
    pub(super) random: Random,
    pub(super) paused: bool,
    pub(super) sockets: u64,
    /// Messages that were taken.
    pub(super) log: Log,
}

impl Platform {
    /// Takes one step of the story and tells it. False: there is nothing to tell any more.
    pub(super) fn step(&mut self, at: i64) -> bool {
        let done = self.teller.oracle.counts.steps;
        if self.config.total.is_some_and(|total| done >= total) {
            return false;
        }
        let Some((conversation, step)) = self.timeline.advance(at) else {
            return false;
        };
        self.teller.oracle.counts.steps += 1;
        self.teller.tell(conversation, &step, &self.config, at);
        true
    }

    /// Does what is due at this time.
    pub(super) fn tend(&mut self, now: i64) {
        let Teller {
            channels, oracle, ..
        } = &mut self.teller;
        channels.tend(&self.config.faults, &self.config.limits, oracle, now);
    }

    /// Remembers an outbound message. When there are too many, those of conversations that are
    /// forgotten go.
    pub(super) fn sent(&mut self, message: Uuid, conversation: Uuid) {
        if self.sent.len() >= MAX_SENT {
            let timeline = &self.timeline;
            self.sent
                .retain(|_, id| timeline.get(*id).is_some_and(|it| it.end.is_none()));
        }
        if self.sent.len() < MAX_SENT {
            self.sent.insert(message, conversation);
        }
    }

    /// Changes a conversation on behalf of a client, and tells it.
    pub(super) fn change(
        &mut self,
        id: Uuid,
        now: i64,
        change: impl FnOnce(&mut Conversation) -> Step,
    ) -> bool {
        let Some(conversation) = self.timeline.get_mut(id) else {
            return false;
        };
        let step = change(conversation);
        self.teller.tell(conversation, &step, &self.config, now);
        true
    }
}

/// What all tasks hold.
pub(super) struct Shared {
    platform: Mutex<Platform>,
    /// `None` once the platform was stopped.
    tasks: Mutex<Option<JoinSet<()>>>,
    pub(super) address: SocketAddr,
    pub(super) clock: Clock,
}

impl Shared {
    /// # Errors
    /// When the oracle's file cannot be created.
    pub(super) fn new(config: Config, address: SocketAddr) -> io::Result<Self> {
        let start = config.start.unwrap_or_else(Timestamp::now).as_microsecond();
        let clock = Clock {
            started: Instant::now(),
            start,
            speed: config.speed,
        };
        let org = Organisation { seed: config.seed };
        let platform = Platform {
            org,
            tokens: Tokens::new(config.seed),
            teller: Teller::new(&config, org)?,
            timeline: Timeline::new(&config),
            jobs: Jobs::default(),
            partners: Partners::default(),
            sent: HashMap::new(),
            random: Random::new(config.seed, 4),
            paused: config.paused,
            sockets: 0,
            log: Log::default(),
            config,
        };
        Ok(Self {
            platform: Mutex::new(platform),
            tasks: Mutex::new(Some(JoinSet::new())),
            address,
            clock,
        })
    }

    /// The lock is held for short stretches of work and never over an `await`.
    pub(super) fn platform(&self) -> MutexGuard<'_, Platform> {
        self.platform.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task until it ends or the platform is stopped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tasks) = &mut *tasks {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    /// All tasks, to end them; none begins after this.
    pub(super) fn take_tasks(&self) -> JoinSet<()> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.take().unwrap_or_default()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

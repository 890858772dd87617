//! The instances of one plugin, shared by all lanes of its node.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::ears::{Blot, Ears};
use super::guest::{Fault, Guest};
use super::pace::Pace;
use super::program::Program;
use super::work::{End, Work};
use super::{Engine, Limits, Refusal};
use crate::event::Batch;
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::stage::Applied;

/// What a plugin runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Compiles what takes its place.
    pub engine: Engine,
    /// Its configuration as JSON.
    pub config: Arc<str>,
    /// What it may take.
    pub limits: Limits,
    /// What is taken out of what it says.
    pub blot: Blot,
}

impl Settings {
    /// Whether the plugin takes its configuration. Blocks for as long as the plugin needs for that.
    ///
    /// # Errors
    /// When it does not, or cannot be started.
    pub fn check(&self, program: &Arc<Program>) -> Result<(), Refusal> {
        let ears = Arc::new(Ears::new(&self.limits, self.blot.clone(), None));
        Guest::new(program, &self.config, &self.limits, &ears, 0).map(drop)
    }
}

/// One content of the plugin's file.
pub(super) struct Version {
    number: u64,
    program: Arc<Program>,
}

/// Gives batches to a plugin.
pub struct Runner {
    settings: Settings,
    current: Mutex<Arc<Version>>,
    /// Instances that wait for a call; never more than there are permits.
    idle: Mutex<Vec<Guest>>,
    permits: Arc<Semaphore>,
    pace: Mutex<Pace>,
    ears: Arc<Ears>,
    meter: NodeMeter,
    restarts: AtomicU64,
    failing: AtomicBool,
}

/// Whoever waits for a batch; tells its thread when that is over.
#[derive(Default)]
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Runner {
    /// Of a plugin that takes its configuration. Instances are made as they are needed.
    pub fn new(settings: Settings, program: Arc<Program>, meter: NodeMeter) -> Self {
        let limits = &settings.limits;
        let ears = Ears::new(limits, settings.blot.clone(), Some(meter.clone()));
        meter.figure("plugin_version", 1);
        meter.figure("plugin_restarts", 0);
        Self {
            current: Mutex::new(Arc::new(Version { number: 1, program })),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(limits.instances.max(1))),
            pace: Mutex::new(Pace::new(limits.restarts.max(1))),
            ears: Arc::new(ears),
            meter,
            restarts: AtomicU64::default(),
            failing: AtomicBool::default(),
            settings,
        }
    }

    /// What the plugin makes of a batch. Its calls block a thread of the pool for such work, never a
    /// worker of the runtime.
    ///
    /// # Errors
    /// When there is no instance to be had: the machine has no memory for one.
    pub async fn apply(self: &Arc<Self>, batch: Batch) -> Result<Applied, Failure> {
        if batch.is_empty() {
            return Ok(batch.into());
        }
        let stopping = || Failure::transient("stopping", "the work on a batch was ended");
        let permit = self.permits.clone().acquire_owned().await;
        let mut permit = permit.map_err(|_| stopping())?;
        let waits = Waits::default();
        let mut work = Work::new(batch, self.current(), waits.0.clone());
        loop {
            let runner = self.clone();
            let stretch = tokio::task::spawn_blocking(move || {
                let end = work.go(&runner);
                // The permit goes with the thread: also when nobody waits for the answer any more.
                (work, permit, end)
            });
            let end;
            (work, permit, end) = stretch.await.map_err(|_| stopping())?;
            match end {
                End::Done(applied) => return Ok(applied),
                End::GivenUp => return Err(stopping()),
                End::Wait(time) => tokio::time::sleep(time).await,
                End::Stuck(refusal) => {
                    let message = format!("no instance of the plugin: {refusal}");
                    return Err(Failure::transient("plugin_start", message));
                }
            }
        }
    }

    fn current(&self) -> Arc<Version> {
        lock(&self.current).clone()
    }

    /// SHA-256 of the file whose content runs.
    pub fn digest(&self) -> [u8; 32] {
        self.current().program.digest
    }

    /// Puts another content of the plugin's file in place, between two batches of each instance.
    /// Blocks while it is compiled and configured; batches go on meanwhile.
    ///
    /// # Errors
    /// When it is no plugin or does not take the configuration: then all is as it was.
    pub fn replace(&self, bytes: &[u8]) -> Result<Arc<Program>, Refusal> {
        let Settings { engine, limits, .. } = &self.settings;
        let program = engine.load(bytes, limits.stack)?;
        let number = self.current().number + 1;
        // The first instance is made here, so that a refusal changes nothing.
        let guest = Guest::new(&program, &self.settings.config, limits, &self.ears, number)?;
        let version = Version {
            number,
            program: program.clone(),
        };
        *lock(&self.current) = Arc::new(version);
        *lock(&self.idle) = vec![guest];
        self.meter.figure("plugin_version", number);
        Ok(program)
    }

    /// An instance that waits, or a new one; and whether it was called before.
    pub(super) fn guest(&self, version: &Arc<Version>) -> Result<(Guest, bool), Refusal> {
        let waiting = {
            let mut idle = lock(&self.idle);
            let at = idle.iter().rposition(|it| it.version == version.number);
            at.map(|at| idle.swap_remove(at))
        };
        if let Some(guest) = waiting {
            return Ok((guest, true));
        }
        let Settings { config, limits, .. } = &self.settings;
        let guest = Guest::new(&version.program, config, limits, &self.ears, version.number)?;
        Ok((guest, false))
    }

    /// An instance has done its work. One of an older version is dropped.
    pub(super) fn rest(&self, guest: Option<Guest>) {
        // In this order: what takes over changes the version first and empties the list after it.
        let mut idle = lock(&self.idle);
        let current = self.current().number;
        idle.extend(guest.filter(|it| it.version == current));
    }

    /// An instance died: says how long to wait before another is made.
    pub(super) fn died(&self, fault: &Fault) -> Duration {
        let restarts = self.restarts.fetch_add(1, Relaxed) + 1;
        self.meter.figure("plugin_restarts", restarts);
        self.ears.complain(&fault.detail());
        let wait = lock(&self.pace).take();
        if !wait.is_zero() && !self.failing.swap(true, Relaxed) {
            let message = format!(
                "the plugin fails more than {} times a second, and its events wait: {}",
                self.settings.limits.restarts,
                fault.detail()
            );
            self.meter.alert("plugin_failing", message, true);
        }
        wait
    }

    /// A batch is done; `well` when the plugin failed with none of its events.
    pub(super) fn went(&self, well: bool) {
        if well && self.failing.load(Relaxed) && self.failing.swap(false, Relaxed) {
            self.meter
                .alert("plugin_failing", "the plugin runs again", false);
        }
    }

    pub(super) fn ears(&self) -> &Ears {
        &self.ears
    }

    pub(super) fn memory(&self) -> usize {
        self.settings.limits.memory
    }

    pub(super) fn meter(&self) -> &NodeMeter {
        &self.meter
    }
}

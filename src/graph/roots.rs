//! The pumps of a run: what tells them to stop, and what tells that they have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, watch};

use super::pump::Pump;
use crate::failure::Failure;
use crate::stage::Phase;

/// A pump that is to be driven.
pub(super) struct Start {
    pub name: Arc<str>,
    pub pump: Pump,
    /// Told when it has ended, well or not.
    pub finished: Finished,
    /// Ends it where it is.
    pub kill: Arc<Notify>,
}

impl Start {
    /// Drives the pump to its end.
    pub async fn run(self) -> Result<(), Failure> {
        let _finished = self.finished;
        tokio::select! {
            biased;
            () = self.kill.notified() => Ok(()),
            outcome = self.pump.run() => outcome,
        }
    }
}

/// Tells the end of a pump as it is dropped.
pub(super) struct Finished(watch::Sender<bool>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// What is known of a pump from outside.
#[derive(Clone)]
pub(super) struct Handle {
    stop: Arc<watch::Sender<Phase>>,
    ended: watch::Receiver<bool>,
    finished: watch::Receiver<bool>,
    kill: Arc<Notify>,
}

impl Handle {
    /// It pulls no more; its answers are awaited.
    pub fn stop(&self) {
        self.stop.send_replace(Phase::Stopping);
    }

    /// Waits until its input has ended, or it was stopped.
    pub async fn ended(mut self) {
        // A pump that is gone has ended.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }

    /// Waits until all its answers are there and it is gone.
    pub async fn finished(mut self) {
        let _ = self.finished.wait_for(|finished| *finished).await;
    }

    /// Ends it where it is: what it has under way counts as not delivered.
    pub fn kill(&self) {
        self.kill.notify_one();
    }
}

/// All pumps of a run by name. Clones share them.
#[derive(Clone)]
pub(super) struct Roots(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    stopping: watch::Sender<bool>,
    starts: mpsc::UnboundedSender<Start>,
}

#[derive(Default)]
struct State {
    /// Sources alone: they are stopped first, and what lies behind them after them.
    sources: HashMap<Arc<str>, Handle>,
}

/// What a pump is given to be stopped by, and to tell that its input has ended.
pub(super) struct Reins {
    pub phase: watch::Receiver<Phase>,
    pub ended: Box<dyn FnOnce() + Send>,
}

/// For a new pump: what it is given, what makes it ready to start, and its handle.
pub(super) fn harness() -> (Reins, impl FnOnce(Arc<str>, Pump) -> Start, Handle) {
    let (stop, phase) = watch::channel(Phase::Running);
    let (end, ended) = watch::channel(false);
    let (finish, finished) = watch::channel(false);
    let reins = Reins {
        phase,
        ended: Box::new(move || {
            end.send_replace(true);
        }),
    };
    let kill = Arc::new(Notify::new());
    let handle = Handle {
        stop: Arc::new(stop),
        ended,
        finished,
        kill: kill.clone(),
    };
    let start = |name, pump| Start {
        name,
        pump,
        finished: Finished(finish),
        kill,
    };
    (reins, start, handle)
}

impl Roots {
    /// None yet. Whoever drives pumps takes them from the receiver; there are at most as many as
    /// the pipelines have nodes.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Start>) {
        let (starts, started) = mpsc::unbounded_channel();
        let shared = Shared {
            state: Mutex::default(),
            stopping: watch::channel(false).0,
            starts,
        };
        (Self(Arc::new(shared)), started)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A source's pump. One that comes while the run is being stopped is stopped at once.
    pub fn start_source(&self, start: Start, handle: Handle) {
        let mut state = self.lock();
        if *self.0.stopping.borrow() {
            handle.stop();
        }
        state.sources.insert(start.name.clone(), handle);
        drop(state);
        self.start(start);
    }

    /// A pump that others stop.
    pub fn start(&self, start: Start) {
        // Nobody drives pumps any more once the run is over.
        let _ = self.0.starts.send(start);
    }

    /// Stops all sources, now and in future.
    pub fn stop(&self) {
        let state = self.lock();
        self.0.stopping.send_replace(true);
        state.sources.values().for_each(Handle::stop);
    }

    /// Tells when the run is being stopped.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }
}

/// Waits until the run is being stopped.
pub(super) async fn stopped(mut stopping: watch::Receiver<bool>) {
    if stopping.wait_for(|stopping| *stopping).await.is_err() {
        // The run is over without having been stopped.
        std::future::pending::<()>().await;
    }
}

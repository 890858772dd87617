//! Runs a pipeline from start to closing ledger.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::WatchStream;

use super::alerts;
use super::assembly::{Assembly, Surroundings};
use super::otlp::Pusher;
use super::pump::Alarm;
use super::roots::{Roots, Start};
use super::simulated::start_platform;
use super::{Pipeline, StateSetting};
use crate::edge::Tasks;
use crate::failure::Failure;
use crate::observe::{Alert, Observer, RunState};
use crate::state::Store;

pub use super::assembly::Changes;

/// How long what is exchanged at a reload may take to answer what it has under way.
pub const RELOAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long what is being opened may take when the run is told to stop before it began.
const OPENING: Duration = Duration::from_secs(1);

/// How long the folders of disk buffers may take to be free again after a run.
const CLOSING: Duration = Duration::from_secs(1);

/// Another pipeline that is to take the place of the one that runs.
pub struct Reload {
    /// Checked, like the first one.
    pub pipeline: Pipeline,
    /// Told what changed, or why everything goes on as it was.
    pub done: oneshot::Sender<Result<Changes, Failure>>,
}

/// Opens the store that a pipeline asks for.
///
/// # Errors
/// When the folder cannot be made, is in use by another process, or holds no good state; when the
/// Redis cannot be reached or used.
pub fn open_store(
    pipeline: &Pipeline,
) -> impl Future<Output = Result<Store, Failure>> + Send + use<> {
    let (state, name) = (pipeline.state.clone(), pipeline.name.clone());
    let keys = pipeline.encryption.clone();
    async move {
        match &state {
            StateSetting::Memory => Ok(Store::memory()),
            StateSetting::Embedded(folder) => Store::open(folder, keys),
            StateSetting::Redis(remote) => Store::remote(remote, &name).await,
        }
    }
}

/// Raises the alert `state_away` while a shared store is away.
async fn watch_store(store: &Store, observer: &Observer) {
    if let Some(away) = store.away() {
        let mut away = WatchStream::new(away);
        while let Some(told) = away.next().await {
            let active = told.is_some();
            observer.alert(Alert {
                name: "state_away",
                node: None,
                message: match told {
                    Some(why) => format!("{why}: what needs the shared state waits for it"),
                    None => "the shared state is back".into(),
                },
                active,
            });
        }
    }
    std::future::pending().await
}

/// Runs a pipeline until its inputs have ended or `stop` is ready; then drains it within its grace
/// period. The observer's ledger then says what became of everything.
///
/// # Errors
/// The failure that stopped the run: something that a person must see to. What was not answered
/// is delivered again at the next run, where the source can.
pub async fn run(
    pipeline: Pipeline,
    observer: &Observer,
    store: Store,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let (_, reloads) = mpsc::channel(1);
    run_reloading(pipeline, observer, store, stop, reloads).await
}

/// The same, with other pipelines taking its place on the way, one after the other. One whose
/// reload fails changes nothing.
///
/// # Errors
/// As [`run`].
pub async fn run_reloading(
    pipeline: Pipeline,
    observer: &Observer,
    store: Store,
    stop: impl Future<Output = ()>,
    reloads: mpsc::Receiver<Reload>,
) -> Result<(), Failure> {
    let watched = store.clone();
    let (webhook, mut changes) = (pipeline.alerts.clone(), observer.alert_changes());
    let telling = async {
        if let Some(webhook) = &webhook {
            alerts::tell(webhook, &mut changes, observer).await;
        }
        std::future::pending().await
    };
    let export = pipeline.metrics.as_ref();
    let pusher = export.and_then(|export| Pusher::new(export, observer));
    // A task of its own, which ends with the run.
    let mut pushing = JoinSet::new();
    if let Some(pusher) = pusher.clone() {
        pushing.spawn(pusher.forever());
    }
    let outcome = tokio::select! {
        outcome = drive(pipeline, observer, store, stop, reloads) => outcome,
        () = watch_store(&watched, observer) => Ok(()),
        () = telling => Ok(()),
    };
    if let Some(webhook) = &webhook {
        alerts::tell_last(webhook, &mut changes, observer).await;
    }
    observer.set_state(match &outcome {
        Ok(()) => RunState::Stopped,
        Err(failure) => RunState::Failed(failure.to_string()),
    });
    drop(pushing);
    if let Some(pusher) = &pusher {
        pusher.last().await;
    }
    outcome
}

async fn drive(
    pipeline: Pipeline,
    observer: &Observer,
    store: Store,
    stop: impl Future<Output = ()>,
    reloads: mpsc::Receiver<Reload>,
) -> Result<(), Failure> {
    observer.set_state(RunState::Starting);
    let (tasks, grace) = (Tasks::default(), pipeline.grace);
    let alarm = Arc::new(Alarm::default());
    let (roots, starts) = Roots::new();
    // Ends with this function, after everything that reads it.
    let (_platform, simulator) = match pipeline.simulator.clone() {
        Some(platform) => {
            let (platform, at) = start_platform(platform).await?;
            (Some(platform), Some(at))
        }
        None => (None, None),
    };
    let with = Surroundings {
        observer: observer.clone(),
        store,
        tasks: tasks.clone(),
        roots: roots.clone(),
        simulator,
        alarm: alarm.clone(),
    };
    let mut assembly = Assembly::new(with, &pipeline);
    let stop = stop.shared();
    tokio::select! {
        biased;
        loaded = assembly.load(pipeline, Duration::ZERO) => { loaded?; }
        // A sink may wait long for its server.
        () = stop.clone().then(|()| tokio::time::sleep(OPENING)) => return Ok(()),
    }
    observer.set_state(RunState::Running);
    let stop = async {
        tokio::select! {
            biased;
            () = stop => {}
            // Its source ends with the failure once its answers are there. They may hang on
            // something that is tried again for as long as the run lasts.
            () = alarm.raised() => {}
        }
    };
    let mut driving = Driving {
        running: JoinSet::new(),
        starts,
        reloads,
        roots,
        observer,
        assembly: Some(assembly),
        reloading: None,
        grace,
        outcome: Ok(()),
        stopping: false,
    };
    let in_time = driving.supervise(stop).await;
    driving.running.shutdown().await;
    let mut outcome = driving.outcome.and(alarm.outcome());
    let closed = driving.assembly.as_ref().map(Assembly::tell);
    // With the entrances gone the edges end, once what is in them is answered.
    drop(driving.reloading);
    drop(driving.assembly);
    drop(driving.starts);
    // Whoever would listen to what is left in the buffers is gone where the time is over.
    let left = if in_time { grace } else { Duration::ZERO };
    let drained = match tokio::time::timeout(left, tasks.join()).await {
        Ok(panics) => panics,
        Err(_) => {
            tracing::warn!(
                ?grace,
                "buffers did not drain in time; what is left was not answered"
            );
            tasks.abort();
            tasks.join().await
        }
    };
    if let Some(closed) = closed {
        // Deliveries that were given up tell it in tasks of their own.
        let _ = tokio::time::timeout(CLOSING, closed).await;
    }
    if drained > 0 {
        let failure = Failure::fatal("engine_panic", "a worker of a buffer panicked");
        outcome = outcome.and(Err(failure));
    }
    outcome
}

type Reloaded = (Assembly, Result<Changes, Failure>);
/// A reload under way, and who waits for its outcome.
type Reloading = (
    BoxFuture<'static, Reloaded>,
    oneshot::Sender<Result<Changes, Failure>>,
);

/// A pipeline that runs.
struct Driving<'a> {
    running: JoinSet<Result<(), Failure>>,
    starts: mpsc::UnboundedReceiver<Start>,
    reloads: mpsc::Receiver<Reload>,
    roots: Roots,
    observer: &'a Observer,
    /// Away while it is reloaded.
    assembly: Option<Assembly>,
    reloading: Option<Reloading>,
    grace: Duration,
    outcome: Result<(), Failure>,
    stopping: bool,
}

impl Driving<'_> {
    /// Drives the pumps to their ends; tells them when to stop. Says whether all of them ended in
    /// time.
    async fn supervise(&mut self, stop: impl Future<Output = ()>) -> bool {
        let mut stop = std::pin::pin!(stop);
        let mut given_up = std::pin::pin!(tokio::time::sleep(self.grace));
        loop {
            let begin_stop = tokio::select! {
                biased;
                () = &mut stop, if !self.stopping => true,
                Some(start) = self.starts.recv() => {
                    self.running.spawn(start.run());
                    false
                }
                Some(ended) = self.running.join_next(), if !self.running.is_empty() => {
                    self.ended(ended)
                }
                reloaded = reloaded(&mut self.reloading), if self.reloading.is_some() => {
                    self.reloaded(reloaded);
                    false
                }
                Some(reload) = self.reloads.recv(), if self.reloading.is_none() && !self.stopping => {
                    self.reload(reload);
                    false
                }
                () = &mut given_up, if self.stopping => {
                    tracing::warn!(grace = ?self.grace, "the grace period is over; what is under way is given up");
                    return false;
                }
            };
            if begin_stop {
                self.begin_stop(given_up.as_mut());
            }
            if self.running.is_empty() && self.starts.is_empty() && self.reloading.is_none() {
                return true;
            }
        }
    }

    fn begin_stop(&mut self, mut given_up: std::pin::Pin<&mut Sleep>) {
        self.stopping = true;
        given_up.as_mut().reset(Instant::now() + self.grace);
        self.observer.set_state(RunState::Draining);
        self.roots.stop();
    }

    /// A pump has ended; whether that ends the run.
    fn ended(&mut self, ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> bool {
        let failure = match ended {
            Ok(Ok(())) => return false,
            Ok(Err(failure)) => failure,
            Err(panic) => Failure::fatal("engine_panic", panic.to_string()),
        };
        self.note(failure);
        !self.stopping
    }

    fn note(&mut self, failure: Failure) {
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        self.outcome = outcome.and(Err(failure));
    }

    fn reload(&mut self, reload: Reload) {
        let Reload { pipeline, done } = reload;
        let Some(mut assembly) = self.assembly.take() else {
            return;
        };
        self.grace = pipeline.grace;
        let loading = async move {
            let changes = assembly.load(pipeline, RELOAD_DEADLINE).await;
            (assembly, changes)
        };
        self.reloading = Some((Box::pin(loading), done));
    }

    fn reloaded(&mut self, (assembly, changes): Reloaded) {
        self.assembly = Some(assembly);
        if let Some((_, done)) = self.reloading.take() {
            // Whoever asked may not wait for the answer.
            let _ = done.send(changes);
        }
    }
}

async fn reloaded(reloading: &mut Option<Reloading>) -> Reloaded {
    match reloading {
        Some((loading, _)) => loading.await,
        None => std::future::pending().await,
    }
}

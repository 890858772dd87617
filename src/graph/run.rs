//! Runs a pipeline from start to closing ledger.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fold::{Surroundings, fold};
use super::pump::Alarm;
use super::{Pipeline, StateSetting};
use crate::edge::Tasks;
use crate::failure::Failure;
use crate::observe::{Observer, RunState};
use crate::stage::Phase;
use crate::state::Store;

/// Opens the store that a pipeline asks for.
///
/// # Errors
/// When the folder cannot be made, is in use by another process, or holds no good state.
pub fn open_store(setting: &StateSetting) -> Result<Store, Failure> {
    match setting {
        StateSetting::Memory => Ok(Store::memory()),
        StateSetting::Embedded(folder) => Store::open(folder),
    }
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
    let outcome = drive(pipeline, observer, store, stop).await;
    observer.set_state(match &outcome {
        Ok(()) => RunState::Stopped,
        Err(failure) => RunState::Failed(failure.to_string()),
    });
    outcome
}

async fn drive(
    pipeline: Pipeline,
    observer: &Observer,
    store: Store,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    observer.set_state(RunState::Starting);
    let (phase, watching) = watch::channel(Phase::Running);
    let phase = Arc::new(phase);
    let (tasks, grace) = (Tasks::default(), pipeline.grace);
    let alarm = Arc::new(Alarm::default());
    let open = Arc::new(AtomicUsize::new(pipeline.sources.len()));
    let last_ended = || -> Box<dyn FnOnce() + Send> {
        let (open, phase) = (open.clone(), phase.clone());
        Box::new(move || {
            // Nothing more can come that would release what stages hold.
            if open.fetch_sub(1, Ordering::AcqRel) == 1 {
                phase.send_if_modified(|phase| {
                    let first = *phase == Phase::Running;
                    *phase = (*phase).max(Phase::InputEnded);
                    first
                });
            }
        })
    };
    let with = Surroundings {
        observer: observer.clone(),
        store,
        tasks: tasks.clone(),
        phase: watching,
        alarm: alarm.clone(),
    };
    let pumps = fold(pipeline, with, &last_ended).await?;
    observer.set_state(RunState::Running);
    let mut running = JoinSet::new();
    for pump in pumps {
        running.spawn(pump.run());
    }
    let stop = async {
        tokio::select! {
            biased;
            () = stop => {}
            // Its source ends with the failure once its answers are there. They may hang on
            // something that is tried again for as long as the run lasts.
            () = alarm.raised() => {}
        }
    };
    let (mut outcome, in_time) = supervise(&mut running, &phase, observer, grace, stop).await;
    running.shutdown().await;
    outcome = outcome.and(alarm.outcome());
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
    if drained > 0 {
        let failure = Failure::fatal("engine_panic", "a worker of a buffer panicked");
        outcome = outcome.and(Err(failure));
    }
    outcome
}

/// Waits for the pumps; tells them when to stop. Also says whether all of them ended in time.
async fn supervise(
    running: &mut JoinSet<Result<(), Failure>>,
    phase: &watch::Sender<Phase>,
    observer: &Observer,
    grace: Duration,
    stop: impl Future<Output = ()>,
) -> (Result<(), Failure>, bool) {
    let mut outcome = Ok(());
    let mut stop = std::pin::pin!(stop);
    let mut given_up = std::pin::pin!(tokio::time::sleep(grace));
    let mut stopping = false;
    loop {
        let begin_stop = tokio::select! {
            biased;
            () = &mut stop, if !stopping => true,
            ended = running.join_next() => match ended {
                None => return (outcome, true),
                Some(Ok(Ok(()))) => false,
                Some(Ok(Err(failure))) => {
                    outcome = outcome.and(Err(failure));
                    !stopping
                }
                Some(Err(panic)) => {
                    let failure = Failure::fatal("engine_panic", panic.to_string());
                    outcome = outcome.and(Err(failure));
                    !stopping
                }
            },
            () = &mut given_up, if stopping => {
                tracing::warn!(?grace, "the grace period is over; what is under way is given up");
                return (outcome, false);
            }
        };
        if begin_stop {
            stopping = true;
            given_up.as_mut().reset(tokio::time::Instant::now() + grace);
            observer.set_state(RunState::Draining);
            phase.send_replace(Phase::Stopping);
        }
    }
}

//! Reloading while a pipeline runs: on SIGHUP, and with `--watch` when a file changes.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::show;
use crate::failure::Failure;
use crate::graph::Components;
use crate::graph::promise::promises;
use crate::graph::run::{Changes, Reload};
use crate::graph::{Interface, Pipeline};
use crate::observe::{Alert, Observer};

/// How often watched files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A pipeline that runs, and the file that it came from.
pub(super) struct Watched {
    pub file: PathBuf,
    pub api: Option<Interface>,
    pub observer: Observer,
    pub reloads: mpsc::Sender<Reload>,
    /// What the file may name beside what is built in.
    pub own: Components,
    /// Where problems of the file are shown.
    pub colour: bool,
}

/// Reloads at each signal, and when the file or one that it names changes if `watch` says so.
/// Never ends; whoever starts it ends it.
pub(super) async fn reload_for_ever(mut watched: Watched, watch: bool) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!("no reload on SIGHUP: {error}");
            return;
        }
    };
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = fingerprint(&watched.file, &watched.own);
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            _ = look.tick(), if watch => false,
        };
        let now = fingerprint(&watched.file, &watched.own);
        // An editor may have the file away for a moment: what is not there is no change.
        if !asked && (now.is_none() || now == seen) {
            continue;
        }
        seen = now;
        watched.reload().await;
    }
}

/// Of the file and those that it names. Reading them is cheap, and finds a change that keeps a
/// file's time and length, as well as one behind a symbolic link.
fn fingerprint(file: &Path, own: &Components) -> Option<u64> {
    let (loaded, checked) = show::read(file, own);
    if loaded.text.is_empty() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    loaded.text.hash(&mut hasher);
    for file in checked.files {
        std::fs::read(file).ok().hash(&mut hasher);
    }
    Some(hasher.finish())
}

impl Watched {
    /// One reload from reading the file to the log line about its outcome.
    async fn reload(&mut self) {
        let outcome = match self.read() {
            Ok(pipeline) => self.hand_over(pipeline).await,
            Err(failure) => Err(failure),
        };
        let (active, message) = match outcome {
            Ok(changes) => {
                tracing::info!(pipeline = self.observer.pipeline(), "{}", told(&changes));
                (false, told(&changes))
            }
            Err(failure) => {
                let message = format!("not reloaded, and what ran goes on: {failure}");
                tracing::error!(pipeline = self.observer.pipeline(), "{message}");
                (true, message)
            }
        };
        self.observer.alert(Alert {
            name: "reload_failed",
            node: None,
            message,
            active,
        });
    }

    /// The new pipeline, checked whole.
    fn read(&self) -> Result<Pipeline, Failure> {
        let (loaded, checked) = show::read(&self.file, &self.own);
        let report = &checked.report;
        show::complain(&show::text(report, &loaded.sources(), self.colour));
        let file = self.file.display();
        let Some(pipeline) = checked.pipeline else {
            let message = format!("{file} has {} errors", report.errors());
            return Err(Failure::fatal("bad_pipeline", message));
        };
        if pipeline.api != self.api {
            let message = "its `api` cannot change while the pipeline runs: restart it";
            return Err(Failure::fatal("needs_restart", message));
        }
        Ok(pipeline)
    }

    async fn hand_over(&self, pipeline: Pipeline) -> Result<Changes, Failure> {
        let ends = || Failure::fatal("ending", "the pipeline is being stopped");
        let promised = promises(&pipeline);
        let (done, outcome) = oneshot::channel();
        let reload = Reload { pipeline, done };
        self.reloads.send(reload).await.map_err(|_| ends())?;
        let changes = outcome.await.map_err(|_| ends())??;
        self.observer.set_promises(promised);
        Ok(changes)
    }
}

/// What changed, in a line.
fn told(changes: &Changes) -> String {
    let Changes {
        added,
        replaced,
        removed,
        kept,
        given_up,
    } = changes;
    let mut parts = Vec::new();
    for (word, names) in [
        ("added", added),
        ("replaced", replaced),
        ("removed", removed),
    ] {
        if !names.is_empty() {
            parts.push(format!("{word} `{}`", names.join("`, `")));
        }
    }
    if parts.is_empty() {
        return "reloaded: nothing changed".into();
    }
    parts.push(format!("{kept} went on untouched"));
    if *given_up > 0 {
        parts.push(format!(
            "{given_up} batches had no answer in time and go again"
        ));
    }
    format!("reloaded: {}", parts.join("; "))
}

//! Looks whether the file of a plugin has changed, and has the new one take over.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::program;
use super::runner::Runner;

/// A file that is being written changes again within this time.
const SETTLES: Duration = Duration::from_millis(50);

/// The alert that stands while the file is one that is refused.
const FAILED: &str = "plugin_reload_failed";

/// When a file was changed, and how long it is.
type Stamp = (SystemTime, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

/// Looks every so often until the plugin's node is gone. A file that is refused changes nothing: it
/// is told by a warning, by the alert `plugin_reload_failed` and by the figure `plugin_refused`.
pub async fn watch(runner: Weak<Runner>, path: PathBuf, every: Duration) {
    let mut look = interval(every);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What runs was read before this began, so the first look reads the file in any case.
    let mut seen = None;
    loop {
        look.tick().await;
        if runner.strong_count() == 0 {
            return;
        }
        let now = stamp(&path);
        // Who replaces a file may have it away for a moment: what is not there is no change.
        if now.is_none() || now == seen {
            continue;
        }
        sleep(SETTLES).await;
        if stamp(&path) != now {
            continue;
        }
        let Some(runner) = runner.upgrade() else {
            return;
        };
        seen = now;
        let file = path.clone();
        // A panic in it is told by the hook; the next change of the file is looked at again.
        let _ = tokio::task::spawn_blocking(move || take_over(&runner, &file)).await;
    }
}

fn take_over(runner: &Runner, path: &Path) {
    let meter = runner.meter();
    let plugin = meter.name();
    let replaced = program::read(path).and_then(|bytes| {
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        match digest == runner.digest() {
            true => Ok(None),
            false => runner.replace(&bytes).map(Some),
        }
    });
    match replaced {
        Ok(None) => meter.alert(FAILED, "the file is the one that runs", false),
        Ok(Some(program)) => {
            let took = program.took.as_millis();
            tracing::info!(
                plugin,
                "its changed file has taken over (compiled in {took} ms)"
            );
            meter.alert(FAILED, "the changed file has taken over", false);
        }
        Err(refusal) => {
            let message = format!("its changed file is refused, and what ran goes on: {refusal}");
            tracing::warn!(plugin, "{message}");
            meter.figure_more("plugin_refused", 1);
            meter.alert(FAILED, message, true);
        }
    }
}

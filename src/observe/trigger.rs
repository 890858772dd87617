//! Triggers: how a source is told from outside to look for more at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// A source's own end. Clones share it; it can be pulled as long as one of them lives.
#[derive(Clone, Default)]
pub struct Trigger(Arc<Notify>);

impl Trigger {
    /// Has the source look once more. Pulled again before it has looked, it changes nothing.
    pub fn pull(&self) {
        self.0.notify_one();
    }

    /// Waits until it is pulled, which it may have been before. Dropping the future loses nothing.
    pub async fn pulled(&self) {
        self.0.notified().await;
    }
}

/// The triggers of one run, by the names of the sources. Clones share them.
#[derive(Clone, Default)]
pub struct Triggers(Arc<Mutex<HashMap<Arc<str>, Weak<Notify>>>>);

impl Triggers {
    /// A trigger for this source, in place of an earlier one of the same name. It is gone when the
    /// source drops it.
    #[must_use]
    pub fn register(&self, source: &Arc<str>) -> Trigger {
        let trigger = Trigger::default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A reload may have taken sources out.
        all.retain(|_, known| known.strong_count() > 0);
        all.insert(source.clone(), Arc::downgrade(&trigger.0));
        trigger
    }

    /// The trigger of this source, if it has one.
    #[must_use]
    pub fn of(&self, source: &str) -> Option<Trigger> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(source)?.upgrade().map(Trigger)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_pull_is_kept_until_the_source_looks_and_counts_once() {
        let triggers = Triggers::default();
        assert!(triggers.of("in").is_none());
        let own = triggers.register(&"in".into());
        for _ in 0..3 {
            triggers.of("in").unwrap().pull();
        }
        assert!(own.pulled().now_or_never().is_some());
        assert!(own.pulled().now_or_never().is_none());
        drop(own);
        assert!(triggers.of("in").is_none(), "the source is gone");
    }
}

//! The tasks of a pipeline.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

/// The tasks of a pipeline. Shutdown awaits all of them.
#[derive(Clone, Default)]
pub struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    /// Starts a task that belongs to this set.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(task);
    }

    /// Waits until all have ended; says how many ended by a panic.
    pub async fn join(&self) -> usize {
        let mut panics = 0;
        loop {
            let next = std::future::poll_fn(|cx| {
                self.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .poll_join_next(cx)
            });
            match next.await {
                Some(Err(error)) if error.is_panic() => panics += 1,
                Some(_) => {}
                None => return panics,
            }
        }
    }

    /// Ends all of them where they are.
    pub fn abort(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .abort_all();
    }
}

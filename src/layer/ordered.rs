//! Order within a key: what belongs together goes one after the other, and the rest beside it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use compact_str::CompactString;
use futures::future::{BoxFuture, join_all};
use tokio::sync::OwnedMutexGuard;
use tower::{Service, ServiceExt};

use super::keyed::{parts, text_of};
use crate::event::{Batch, Event, Path};
use crate::failure::Failure;
use crate::stage::Stage;

type Turn = Arc<tokio::sync::Mutex<()>>;
type Turns = Arc<Mutex<HashMap<CompactString, Turn>>>;

/// Takes each batch apart by what its events belong to. A part waits until all earlier ones of the same
/// value are answered, whatever that takes; events that belong to nothing wait for nobody. As many values
/// are remembered as have something under way.
#[derive(Clone)]
pub struct Ordered {
    inner: Stage,
    paths: Arc<[Path]>,
    turns: Turns,
}

impl Ordered {
    /// Around `inner`; events belong together by the first of these that they have.
    pub fn new(inner: Stage, paths: Vec<Path>) -> Self {
        Self {
            inner,
            paths: paths.into(),
            turns: Turns::default(),
        }
    }

    fn value_of(&self, event: &Event) -> Option<CompactString> {
        self.paths.iter().find_map(|path| text_of(event, path))
    }

    fn turn(&self, value: CompactString) -> Waiting {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry(value.clone()).or_default().clone();
        Waiting {
            turns: self.turns.clone(),
            value,
            turn: Some(turn),
        }
    }
}

/// One that waits for its turn, or has it.
struct Waiting {
    turns: Turns,
    value: CompactString,
    turn: Option<Turn>,
}

impl Waiting {
    /// Its place in the line is taken at the first poll.
    async fn come(&self) -> Option<OwnedMutexGuard<()>> {
        match self.turn.clone() {
            Some(turn) => Some(turn.lock_owned().await),
            None => None,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.turn.take());
        // Nobody can come to it while the map is locked: the map's own is the last.
        if (turns.get(&self.value)).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.value);
        }
    }
}

impl Service<Batch> for Ordered {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // Each part waits by itself for what is behind: one that cannot go must not hold up the others.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let calls = parts(batch, |event| self.value_of(event)).into_iter();
        let calls = calls.map(|(value, events)| {
            let part = Batch::from(events);
            let origins = part.origins();
            let waiting = value.map(|value| self.turn(value));
            let inner = self.inner.clone();
            async move {
                let turn = match &waiting {
                    Some(waiting) => waiting.come().await,
                    None => None,
                };
                let answer = inner.oneshot(part).await;
                drop(turn);
                answer.map_err(|failure| failure.named(&origins))
            }
        });
        let calls: Vec<_> = calls.collect();
        Box::pin(async move { Failure::join(join_all(calls).await) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::layer::testing::{Script, busy, delivery, key};

    fn ordered(script: &Script) -> Ordered {
        Ordered::new(script.stage(), vec![Path::of(["nowhere"]), key()])
    }

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other_within_a_value_and_beside_it_otherwise() {
        let script = Script::new(|_, _| async {
            sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        let stage = ordered(&script);
        let from = Instant::now();
        let first = stage.clone().oneshot(delivery(1, &["a", "b", "a"]));
        let second = stage.clone().oneshot(delivery(2, &["a", "c"]));
        let third = stage.clone().oneshot(delivery(3, &["a"]));
        let (a, b, c) = futures::join!(first, second, third);
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        let seen = script.seen();
        assert_eq!(seen, [vec![0, 2], vec![1], vec![1], vec![0], vec![0]]);
        assert_eq!(script.times(from), [0, 0, 0, 1000, 2000]);
        assert!(stage.turns.lock().unwrap().is_empty(), "all are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_and_a_caller_who_left_let_the_next_one_go() {
        let script = Script::new(|call, _| async move {
            sleep(Duration::from_secs(1)).await;
            if call == 0 { Err(busy()) } else { Ok(()) }
        });
        let stage = ordered(&script);
        let failed = stage.clone().oneshot(delivery(1, &["a"]));
        let left = stage.clone().oneshot(delivery(2, &["a"]));
        let last = stage.clone().oneshot(delivery(3, &["a"]));
        let left = tokio::time::timeout(Duration::from_millis(1500), left);
        let (failed, left, last) = futures::join!(failed, left, last);
        assert!(failed.is_err() && left.is_err() && last.is_ok());
        assert!(stage.turns.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_belongs_to_nothing_waits_for_nobody() {
        let script = Script::new(|_, _| async {
            sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        let stage = Ordered::new(script.stage(), vec![Path::of(["nowhere"])]);
        let from = Instant::now();
        let calls = (1..=3).map(|n| stage.clone().oneshot(delivery(n, &["a"])));
        join_all(calls).await;
        assert_eq!(script.times(from), [0, 0, 0]);
    }
}

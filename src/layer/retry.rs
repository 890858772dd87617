//! Trying again what may go well later.

use std::collections::HashSet;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tower::{Service, ServiceExt};

use crate::event::{Batch, Origin};
use crate::failure::{Failure, Kind, Loss, Which};
use crate::observe::NodeMeter;
use crate::stage::Stage;

/// Waits between tries: doubling from `first` to `most`, each shortened by up to a half at random
/// so that workers which failed together do not return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait; default 100 ms.
    pub first: Duration,
    /// The longest; default 30 s.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The wait before try `attempt + 1`, where `attempt` counts from 1; at least `asked`.
    pub fn wait(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1 << attempt.saturating_sub(1).min(20));
        let full = doubled.min(self.most);
        // Any bits serve that differ between processes and calls: no secret depends on them.
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), attempt);
        let jittered = full - full.mul_f64(0.5 * (random as u32 as f64 / u32::MAX as f64));
        jittered.max(asked.unwrap_or_default())
    }
}

/// How often a write is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first included; default 6.
    pub attempts: u32,
    /// Waits between them.
    pub backoff: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 6,
            backoff: Backoff::default(),
        }
    }
}

/// Tries again what failed for a passing reason, and only that: events that went well are not sent
/// twice, those rejected go up at once with the final answer. Waits as long as the other side asks.
#[derive(Clone)]
pub struct Retry {
    inner: Stage,
    policy: RetryPolicy,
    meter: NodeMeter,
}

impl Retry {
    /// Around `inner`.
    pub fn new(inner: Stage, policy: RetryPolicy, meter: NodeMeter) -> Self {
        Self {
            inner,
            policy,
            meter,
        }
    }
}

/// Takes the passing losses out of a failure: the events to try again, and what stays.
fn passing(
    failure: Failure,
    batch: &Batch,
    attempt: u32,
    lasting: &mut Vec<Loss>,
) -> (Batch, Option<Failure>) {
    let mut losses = failure.named(&batch.origins()).into_losses();
    losses
        .iter_mut()
        .for_each(|loss| loss.cause.attempts = attempt);
    let (again, stays): (Vec<_>, Vec<_>) = losses
        .into_iter()
        .partition(|loss| matches!(loss.kind, Kind::Transient | Kind::Disconnected));
    let settled: HashSet<Origin> = stays.iter().flat_map(origins).collect();
    lasting.extend(stays);
    let Some(again) = Failure::from_losses(again) else {
        return (Batch::default(), None);
    };
    let lost = again.lost(batch);
    let due = |origin: &Origin| lost.contains(origin) && !settled.contains(origin);
    let rest = batch
        .events()
        .iter()
        .filter(|event| due(&event.origin))
        .cloned()
        .collect();
    (rest, Some(again))
}

fn origins(loss: &Loss) -> impl Iterator<Item = Origin> {
    match &loss.which {
        Which::Only(origins) => origins.as_slice(),
        Which::All => &[],
    }
    .iter()
    .copied()
}

impl Service<Batch> for Retry {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut batch: Batch) -> Self::Future {
        let clone = self.clone();
        let Self {
            mut inner,
            policy,
            meter,
        } = std::mem::replace(self, clone);
        Box::pin(async move {
            let mut lasting = Vec::new();
            let mut attempt = 1;
            let mut answer = inner.call(batch.clone()).await;
            while let Err(failure) = answer {
                let asked = failure.retry_after();
                let (rest, again) = passing(failure, &batch, attempt, &mut lasting);
                let Some(again) = again else { break };
                // What a person must see to stops the run: nothing is gained by waiting here.
                let over = lasting.iter().any(|loss| loss.kind == Kind::Fatal);
                if attempt >= policy.attempts || rest.is_empty() || over {
                    lasting.extend(again.into_losses());
                    break;
                }
                tokio::time::sleep(policy.backoff.wait(attempt, asked)).await;
                attempt += 1;
                meter.retried(rest.len() as u64);
                batch = rest;
                answer = inner.clone().oneshot(batch.clone()).await;
            }
            Failure::from_losses(lasting).map_or(Ok(()), Err)
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::failure::Cause;
    use crate::layer::testing::{Script, batch, busy, meter, only};

    fn retry(script: &Script, attempts: u32) -> Retry {
        let backoff = Backoff {
            first: Duration::from_millis(100),
            most: Duration::from_secs(2),
        };
        Retry::new(script.stage(), RetryPolicy { attempts, backoff }, meter().1)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_failed_for_a_passing_reason_goes_again() {
        let script = Script::new(|call, _| async move {
            match call {
                0 => Err(only(Kind::Transient, &[1, 2]).and(only(Kind::Rejected, &[3]))),
                1 => Err(only(Kind::Rejected, &[2]).and(only(Kind::Disconnected, &[1]))),
                _ => Ok(()),
            }
        });
        let failure = retry(&script, 5).oneshot(batch(5)).await.unwrap_err();
        assert_eq!(script.seen(), [vec![0, 1, 2, 3, 4], vec![1, 2], vec![1]]);
        assert_eq!(failure.kind(), Kind::Rejected);
        let tries: Vec<_> = failure
            .losses()
            .iter()
            .map(|loss| (loss.which.clone(), loss.cause.attempts))
            .collect();
        let one = |place| Which::Only(vec![Origin::new(1, place)]);
        assert_eq!(tries, [(one(3), 1), (one(2), 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_after_the_last_try_and_waits_longer_each_time() {
        let (script, from) = (Script::new(|_, _| async { Err(busy()) }), Instant::now());
        let failure = retry(&script, 4).oneshot(batch(2)).await.unwrap_err();
        let times = script.times(from);
        assert_eq!(times.len(), 4);
        for (wait, full) in times.windows(2).map(|t| t[1] - t[0]).zip([100, 200, 400]) {
            assert!((full / 2..=full + 1).contains(&wait), "{wait} of {full}");
        }
        assert_eq!(failure.losses()[0].cause.attempts, 4);
        let both = batch(2).origins();
        assert_eq!(failure.losses()[0].which, Which::Only(both));
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_as_long_as_the_other_side_asks() {
        let from = Instant::now();
        let script = Script::new(|call, _| async move {
            let cause = Cause {
                retry_after: Some(Duration::from_secs(7)),
                ..Cause::new("throttled", "slow down")
            };
            if call == 0 {
                Err(Failure::new(Kind::Transient, cause))
            } else {
                Ok(())
            }
        });
        retry(&script, 2).oneshot(batch(1)).await.unwrap();
        assert_eq!(script.times(from), [0, 7000]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_rejected_or_needs_a_person_is_not_tried_again() {
        for kind in [Kind::Rejected, Kind::Fatal] {
            let script =
                Script::new(
                    move |_, _| async move { Err(Failure::new(kind, Cause::new("x", "y"))) },
                );
            let failure = retry(&script, 5).oneshot(batch(1)).await.unwrap_err();
            assert_eq!((failure.kind(), script.seen().len()), (kind, 1));
        }
        let script = Script::new(|_, _| async {
            Err(only(Kind::Fatal, &[0]).and(only(Kind::Transient, &[1])))
        });
        let failure = retry(&script, 5).oneshot(batch(2)).await.unwrap_err();
        assert_eq!((failure.losses().len(), script.seen().len()), (2, 1));
    }
}

//! A bound on events per time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;
use tower::Service;

use super::Pace;
use crate::event::Batch;
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::stage::Stage;

/// At most `events` in `per`, in bursts of at most `burst`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatePolicy {
    /// Events that may go in `per`.
    pub events: NonZeroU32,
    /// The span of time.
    pub per: Duration,
    /// Events that may go at once after a pause; default: `events`.
    pub burst: Option<NonZeroU32>,
}

/// tokio's clock, so that a paused one paces this layer too.
#[derive(Clone, Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>;

/// A rate that is kept to here.
pub struct RateLimit {
    limiter: Limiter,
    clock: TokioClock,
    burst: NonZeroU32,
}

impl RateLimit {
    /// Of this policy; whoever shares it shares the rate.
    pub fn new(policy: RatePolicy) -> Self {
        let clock = TokioClock(Instant::now());
        let burst = policy.burst.unwrap_or(policy.events);
        let period = policy.per / policy.events.get();
        // A period of zero (more than one event a nanosecond) is no limit that could be kept.
        let quota = Quota::with_period(period.max(Duration::from_nanos(1)))
            .unwrap_or_else(|| Quota::per_second(policy.events))
            .allow_burst(burst);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            burst,
        }
    }

    /// More than a burst go in several steps.
    async fn pay(&self, events: usize) {
        let mut due = u32::try_from(events).unwrap_or(u32::MAX);
        while let Some(step) = NonZeroU32::new(due.min(self.burst.get())) {
            match self.limiter.check_n(step) {
                Ok(Ok(())) => due -= step.get(),
                Ok(Err(not_until)) => {
                    let wait = not_until.earliest_possible();
                    let wait = wait.duration_since(self.clock.now());
                    // The timer counts in milliseconds: never ask again before one has passed.
                    let wait = Duration::from(wait).max(Duration::from_millis(1));
                    tokio::time::sleep(wait).await;
                }
                // Cannot happen, since a step is at most a burst; and must not stall the stream.
                Err(_) => due -= step.get(),
            }
        }
    }
}

impl Pace for RateLimit {
    fn take(&self, events: usize) -> BoxFuture<'_, ()> {
        Box::pin(self.pay(events))
    }
}

/// Every attempt pays just before it goes, so retries cannot exceed what is allowed.
#[derive(Clone)]
pub struct Paced {
    inner: Stage,
    pace: Arc<dyn Pace>,
    meter: NodeMeter,
}

impl Paced {
    /// Around `inner`.
    pub fn new(inner: Stage, pace: Arc<dyn Pace>, meter: NodeMeter) -> Self {
        Self { inner, pace, meter }
    }
}

impl Service<Batch> for Paced {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        // The one that is ready goes with the call; its clone may not be.
        let clone = self.clone();
        let Self {
            mut inner,
            pace,
            meter,
        } = std::mem::replace(self, clone);
        Box::pin(async move {
            let from = Instant::now();
            pace.take(batch.len()).await;
            if from.elapsed() > Duration::ZERO {
                meter.rate_limited(from.elapsed());
            }
            inner.call(batch).await
        })
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;
    use crate::layer::testing::{Script, batch, meter};

    fn limited(script: &Script, events: u32, burst: u32) -> Paced {
        let policy = RatePolicy {
            events: NonZeroU32::new(events).unwrap(),
            per: Duration::from_secs(1),
            burst: NonZeroU32::new(burst),
        };
        Paced::new(script.stage(), Arc::new(RateLimit::new(policy)), meter().1)
    }

    #[tokio::test(start_paused = true)]
    async fn events_pay_not_batches_and_clones_share_the_rate() {
        let (script, from) = (Script::well(), Instant::now());
        let stage = limited(&script, 100, 10);
        for events in [10, 5, 5, 1] {
            stage.clone().oneshot(batch(events)).await.unwrap();
        }
        // The burst at once; then 10 ms for each event.
        assert_eq!(script.times(from), [0, 50, 100, 110]);
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_burst_goes_when_all_of_it_has_paid() {
        let (script, from) = (Script::well(), Instant::now());
        limited(&script, 100, 10).oneshot(batch(35)).await.unwrap();
        assert_eq!(script.times(from), [250]);
    }
}

//! The stack around every sink, on one page.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tower::Service;
use tower::limit::ConcurrencyLimit;

use super::{
    Breaker, BreakerPolicy, DeadLetter, Deliver, KeyLimits, Keyed, KeyedPolicy, LetterBox, Limits,
    Ordered, Paced, RateLimit, RatePolicy, Retry, RetryPolicy, Timeout,
};
use crate::event::Batch;
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::stage::{Sink, Stage};

/// What a pipeline file says about a sink's stack.
#[derive(Clone, Debug)]
pub struct StackPolicy {
    /// Bound on one write; default 30 s.
    pub timeout: Duration,
    /// Bound on events per time; default none.
    pub rate_limit: Option<RatePolicy>,
    /// Writes at the same time; default 1, which keeps the order of batches.
    pub concurrency: NonZeroUsize,
    /// The circuit breaker; default on (50 % over 1 minute).
    pub breaker: Option<BreakerPolicy>,
    /// Tries of what fails for a passing reason; default 6.
    pub retry: RetryPolicy,
    /// Rate, concurrency, breaker and retries for each value of a key on its own; default none.
    pub per_key: Option<KeyedPolicy>,
}

impl Default for StackPolicy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            rate_limit: None,
            concurrency: NonZeroUsize::MIN,
            breaker: Some(BreakerPolicy::default()),
            retry: RetryPolicy::default(),
            per_key: None,
        }
    }
}

/// Puts the layers around a sink. Innermost first; each line says why it stands where it stands.
/// `own` knows the limits of keys that have others than the file's.
pub fn stack<S: Sink>(
    sink: S,
    policy: StackPolicy,
    own: impl Limits + 'static,
    letters: LetterBox,
    meter: NodeMeter,
) -> Stage {
    let StackPolicy {
        timeout,
        rate_limit,
        concurrency,
        breaker,
        retry,
        per_key,
    } = policy;
    let (limits, outcome, whole) = (meter.clone(), meter.clone(), meter.clone());

    // Every clone of a limit shares it; a key's own set is built anew.
    let limited = move |inner: Stage, key: Option<&str>| {
        let (rates, trips, tries) = (limits.clone(), limits.clone(), limits.clone());
        let KeyLimits {
            pace,
            concurrency: own_concurrency,
            breaker: own_breaker,
        } = key.map(|key| own.of(key)).unwrap_or_default();
        let concurrency = own_concurrency.unwrap_or(concurrency);
        let paces = limits.clone();
        Layers(inner)
            // The same, by what the other side says of its own limits.
            .push_some(pace, |inner, pace| Paced::new(inner, pace, paces))
            // Every attempt pays, just before it goes: retries cannot exceed the rate.
            .push_some(rate_limit, |inner, rate| {
                Paced::new(inner, Arc::new(RateLimit::new(rate)), rates)
            })
            // A retry that sleeps holds no permit.
            .push(|inner| ConcurrencyLimit::new(inner, concurrency.get()))
            // Open means not ready: pressure goes upstream instead of failing fast.
            .push_some(breaker, |inner, policy| {
                let meter = trips.breaker_of(key.unwrap_or_default());
                let breaker = Breaker::new(inner, policy, meter);
                breaker.led_by(own_breaker).hears_others()
            })
            // Only what may pass, only the events that failed, as long as the other side asks.
            .push(|inner| Retry::new(inner, retry, tries))
            .0
    };

    Layers(Stage::new(Deliver::new(sink, meter.name())))
        // Clocks the write alone: waiting for a permit is not slowness.
        .push(|inner| Timeout::new(inner, timeout))
        // One set of limits, or one for each key.
        .push(|inner| match per_key {
            None => limited(inner, None),
            Some(mut key) => {
                let order = std::mem::take(&mut key.order_by);
                Stage::new(Keyed::new(key, move |key| {
                    // Around the tries of an event: those behind it wait until it went.
                    Layers(limited(inner.clone(), Some(key)))
                        .push_some((!order.is_empty()).then(|| order.clone()), Ordered::new)
                        .0
                }))
            }
        })
        // Rejected events leave here with reason, attempts and origin; others go back.
        .push(|inner| DeadLetter::around_sink(inner, letters, outcome))
        // One latency per batch, all attempts included.
        .push(|inner| Measure {
            inner,
            meter: whole,
        })
        .0
}

/// A stage with layers put around it.
struct Layers(Stage);

impl Layers {
    fn push<S>(self, layer: impl FnOnce(Stage) -> S) -> Self
    where
        S: Service<Batch, Response = (), Error = Failure> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(Stage::new(layer(self.0)))
    }

    fn push_some<P, S>(self, policy: Option<P>, layer: impl FnOnce(Stage, P) -> S) -> Self
    where
        S: Service<Batch, Response = (), Error = Failure> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        match policy {
            Some(policy) => self.push(|inner| layer(inner, policy)),
            None => self,
        }
    }
}

/// Notes how long an answer took.
#[derive(Clone)]
pub(crate) struct Measure {
    pub inner: Stage,
    pub meter: NodeMeter,
}

impl Service<Batch> for Measure {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let (meter, from) = (self.meter.clone(), tokio::time::Instant::now());
        let answer = self.inner.call(batch);
        Box::pin(async move {
            let answer = answer.await;
            meter.latency(from.elapsed());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tokio::time::{Instant, sleep};
    use tower::ServiceExt;

    use super::*;
    use crate::layer::Backoff;
    use crate::layer::testing::{Script, batch, busy, counts, delivery, kept, key, letters, meter};

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(attempts: u32) -> StackPolicy {
        let backoff = Backoff {
            first: SECOND,
            most: SECOND,
        };
        StackPolicy {
            breaker: None,
            retry: RetryPolicy { attempts, backoff },
            ..StackPolicy::default()
        }
    }

    fn rate(events: u32) -> Option<RatePolicy> {
        Some(RatePolicy {
            events: NonZeroU32::new(events).unwrap(),
            per: SECOND,
            burst: NonZeroU32::new(1),
        })
    }

    fn stacked(script: &Script, policy: StackPolicy) -> Stage {
        stack(script.clone(), policy, (), letters(None), meter().1)
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_does_not_clock_the_wait_for_the_rate_or_a_permit() {
        let slow = Script::new(|_, _| async {
            sleep(9 * SECOND / 10).await;
            Ok(())
        });
        let policy = StackPolicy {
            timeout: SECOND,
            rate_limit: rate(1),
            ..policy(1)
        };
        let stage = stacked(&slow, policy);
        let from = Instant::now();
        let calls = (0..4).map(|_| stage.clone().oneshot(batch(3)));
        let answers = futures::future::join_all(calls).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert!(
            from.elapsed() > 10 * SECOND,
            "each waited for far longer than the time-out"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_attempt_pays_so_retries_cannot_exceed_the_rate() {
        let fails = Script::new(|_, _| async { Err(busy()) });
        let mut policy = policy(5);
        policy.retry.backoff.first = Duration::from_millis(1);
        policy.retry.backoff.most = Duration::from_millis(1);
        policy.rate_limit = Some(RatePolicy {
            per: 2 * SECOND,
            ..rate(1).unwrap()
        });
        let from = Instant::now();
        stacked(&fails, policy).oneshot(batch(1)).await.unwrap_err();
        assert_eq!(fails.times(from), [0, 2000, 4000, 6000, 8000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_that_sleeps_holds_no_permit() {
        let script =
            Script::new(|call, _| async move { if call == 0 { Err(busy()) } else { Ok(()) } });
        let stage = stacked(&script, policy(2));
        let from = Instant::now();
        let first = stage.clone().oneshot(delivery(1, &["k"]));
        let second = stage.clone().oneshot(delivery(2, &["k", "k"]));
        let (first, second) = futures::join!(first, async {
            tokio::task::yield_now().await;
            let answer = second.await;
            assert!(
                from.elapsed() < SECOND / 2,
                "one permit, and the sleeper does not have it"
            );
            answer
        });
        assert_eq!((first, second), (Ok(()), Ok(())));
        assert_eq!(script.seen(), [vec![0], vec![0, 1], vec![0]]);
    }

    #[tokio::test(start_paused = true)]
    async fn writes_at_a_time_are_bounded() {
        let slow = Script::new(|_, _| async {
            sleep(SECOND).await;
            Ok(())
        });
        let policy = StackPolicy {
            concurrency: NonZeroUsize::new(2).unwrap(),
            ..policy(1)
        };
        let (stage, from) = (stacked(&slow, policy), Instant::now());
        let calls = (0..5).map(|_| stage.clone().oneshot(batch(1)));
        futures::future::join_all(calls).await;
        assert_eq!(slow.times(from), [0, 0, 1000, 1000, 2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_holds_events_up_and_does_not_bury_them() {
        let script =
            Script::new(|call, _| async move { if call < 5 { Err(busy()) } else { Ok(()) } });
        let (letters, kept) = kept();
        let (observer, meter) = meter();
        let policy = StackPolicy {
            breaker: Some(BreakerPolicy::default()),
            ..policy(10)
        };
        let stage = stack(script.clone(), policy, (), letters, meter);
        let from = Instant::now();
        stage.oneshot(batch(2)).await.unwrap();
        assert!(from.elapsed() > 30 * SECOND);
        assert!(kept.lock().unwrap().is_empty());
        assert_eq!((script.seen().len(), counts(&observer).delivered), (6, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_keys_outage_and_rate_do_not_delay_another() {
        let script = Script::new(|_, batch: Batch| async move {
            let mine = batch.events()[0].to_json();
            if mine.contains("bad") {
                Err(busy())
            } else {
                Ok(())
            }
        });
        let policy = StackPolicy {
            breaker: Some(BreakerPolicy::default()),
            rate_limit: rate(1),
            per_key: Some(KeyedPolicy {
                key: key(),
                within: None,
                max_keys: 10,
                order_by: Vec::new(),
            }),
            ..policy(7)
        };
        let (stage, from) = (stacked(&script, policy), Instant::now());
        let call = tokio::spawn(stage.clone().oneshot(delivery(1, &["bad"])));
        sleep(20 * SECOND).await;
        assert_eq!(script.seen().len(), 5, "the breaker of `bad` is open");
        stage.clone().oneshot(delivery(2, &["good"])).await.unwrap();
        assert!(from.elapsed() < 21 * SECOND, "{:?}", from.elapsed());
        let answer = call.await.unwrap();
        assert!(answer.is_err() && from.elapsed() > 50 * SECOND);
    }
}

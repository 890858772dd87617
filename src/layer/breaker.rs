//! The circuit breaker: stops calling a side that fails, and finds out when it is back.
//!
//! Ours because the ones there are fail fast when open, which would drive a good event into the
//! retries and the dead letters of a side that is merely away. Here open means *not ready*: calls
//! wait, edges fill, and the pressure reaches the source.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::OwnBreaker;
use crate::event::Batch;
use crate::failure::{Failure, Kind, UNANSWERED};
use crate::observe::{BreakerMeter, BreakerState, Judge};
use crate::stage::Stage;

/// When a breaker opens and how it closes again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Share of failed calls that opens it; default 0.5.
    pub failures: f64,
    /// Over how long calls are counted; default 1 minute.
    pub window: Duration,
    /// Fewest calls in the window on which it judges; default 5.
    pub min_calls: u32,
    /// How long it stays open before it lets probes through; default 30 s.
    pub open_for: Duration,
    /// Calls let through when half open; all must go well to close it; default 1.
    pub probes: u32,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 0.5,
            window: Duration::from_secs(60),
            min_calls: 5,
            open_for: Duration::from_secs(30),
            probes: 1,
        }
    }
}

/// Slices of the window: what is counted leaves it in steps of a twelfth (5 s of a minute).
const SLICES: u32 = 12;

/// Calls that ended within one slice of the window.
struct Slice {
    begun: Instant,
    calls: u32,
    failed: u32,
}

enum State {
    Closed(VecDeque<Slice>),
    Open { until: Instant },
    HalfOpen { admitted: u32, succeeded: u32 },
}

struct Inner {
    state: State,
    /// Whoever waits for the state to change.
    waiting: Vec<Waker>,
    /// Counts state changes: a call tells its outcome only to the state it was admitted by.
    era: u64,
}

struct Shared {
    policy: BreakerPolicy,
    /// Who knows better.
    own: Option<OwnBreaker>,
    meter: BreakerMeter,
    inner: Mutex<Inner>,
}

/// Leave to make one call. Given back when the call is never made.
struct Permit {
    shared: Arc<Shared>,
    era: u64,
    used: bool,
}

impl Inner {
    fn wait(&mut self, waker: &Waker) {
        self.waiting.retain(|other| !other.will_wake(waker));
        self.waiting.push(waker.clone());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What a panic leaves behind here is still a valid state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, inner: &mut Inner, state: State) {
        let (name, shown) = match &state {
            State::Closed(_) => ("closed", BreakerState::Closed),
            State::Open { .. } => ("open", BreakerState::Open),
            State::HalfOpen { .. } => ("half open", BreakerState::HalfOpen),
        };
        tracing::debug!(state = name, "breaker");
        self.meter.set(shown);
        inner.state = state;
        inner.era += 1;
        inner.waiting.drain(..).for_each(Waker::wake);
    }

    /// As it is now.
    fn policy(&self) -> BreakerPolicy {
        let own = self.own.as_ref().and_then(|own| own());
        own.unwrap_or(self.policy)
    }

    /// Leave to call now, or when to ask again (`None`: when woken). The waker is left under the
    /// lock that refused, so no change can come between.
    fn admit(self: &Arc<Self>, now: Instant, waker: &Waker) -> Result<Permit, Option<Instant>> {
        let mut inner = self.lock();
        if let State::Open { until } = inner.state {
            if now < until {
                inner.wait(waker);
                return Err(Some(until));
            }
            self.change(
                &mut inner,
                State::HalfOpen {
                    admitted: 0,
                    succeeded: 0,
                },
            );
        }
        if let State::HalfOpen { admitted, .. } = &mut inner.state {
            if *admitted >= self.policy().probes.max(1) {
                inner.wait(waker);
                return Err(None);
            }
            *admitted += 1;
        }
        Ok(Permit {
            shared: self.clone(),
            era: inner.era,
            used: false,
        })
    }

    fn ended(&self, era: u64, failed: bool) {
        let mut inner = self.lock();
        if inner.era != era {
            return;
        }
        let (now, policy) = (Instant::now(), self.policy());
        let open = State::Open {
            until: now + policy.open_for,
        };
        match &mut inner.state {
            State::Closed(slices) => {
                if self.count(slices, now, failed) {
                    self.change(&mut inner, open);
                }
            }
            State::HalfOpen { .. } if failed => self.change(&mut inner, open),
            State::HalfOpen { succeeded, .. } => {
                *succeeded += 1;
                if *succeeded >= policy.probes {
                    self.change(&mut inner, State::Closed(VecDeque::new()));
                }
            }
            State::Open { .. } => {}
        }
    }

    /// Counts a call that ended; says whether it is one failure too many.
    fn count(&self, slices: &mut VecDeque<Slice>, now: Instant, failed: bool) -> bool {
        let BreakerPolicy {
            failures,
            window,
            min_calls,
            ..
        } = self.policy();
        while slices
            .front()
            .is_some_and(|slice| now - slice.begun >= window)
        {
            slices.pop_front();
        }
        if slices
            .back()
            .is_none_or(|slice| now - slice.begun >= window / SLICES)
        {
            slices.push_back(Slice {
                begun: now,
                calls: 0,
                failed: 0,
            });
        }
        if let Some(slice) = slices.back_mut() {
            slice.calls += 1;
            slice.failed += u32::from(failed);
        }
        let calls: u32 = slices.iter().map(|slice| slice.calls).sum();
        let bad: u32 = slices.iter().map(|slice| slice.failed).sum();
        failed && calls >= min_calls && f64::from(bad) >= failures * f64::from(calls)
    }
}

impl Judge for Shared {
    fn told(&self, failed: bool) {
        let (era, closed) = {
            let inner = self.lock();
            (inner.era, matches!(inner.state, State::Closed(_)))
        };
        // Whether it is over is for probes to say.
        if closed {
            self.ended(era, failed);
        }
    }
}

impl Permit {
    fn finish(mut self, failed: bool) {
        self.used = true;
        self.shared.ended(self.era, failed);
    }
}

impl Drop for Permit {
    /// A call that was never made, or whose answer was lost: a probe's place is free again.
    fn drop(&mut self) {
        if self.used {
            return;
        }
        let mut inner = self.shared.lock();
        if inner.era == self.era
            && let State::HalfOpen { admitted, .. } = &mut inner.state
        {
            *admitted -= 1;
            inner.waiting.drain(..).for_each(Waker::wake);
        }
    }
}

/// The layer around a stage.
pub struct Breaker {
    inner: Stage,
    shared: Arc<Shared>,
    permit: Option<Permit>,
    reopens: Option<Pin<Box<Sleep>>>,
}

impl Breaker {
    /// Around `inner`, closed.
    pub fn new(inner: Stage, policy: BreakerPolicy, meter: BreakerMeter) -> Self {
        meter.set(BreakerState::Closed);
        let state = State::Closed(VecDeque::new());
        let state = Mutex::new(Inner {
            state,
            waiting: Vec::new(),
            era: 0,
        });
        let shared = Arc::new(Shared {
            policy,
            own: None,
            meter,
            inner: state,
        });
        Self {
            inner,
            shared,
            permit: None,
            reopens: None,
        }
    }

    /// A new one with a policy that somebody knows from moment to moment.
    #[must_use]
    pub fn led_by(mut self, own: Option<OwnBreaker>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.own = own;
        }
        self
    }

    /// It counts also calls that do not go through it, as they are told to its meter.
    #[must_use]
    pub fn hears_others(self) -> Self {
        let judge: Weak<dyn Judge> = Arc::downgrade(&self.shared) as _;
        self.shared.meter.judged_by(judge);
        self
    }

    fn poll_permit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.permit.is_none() {
            match self.shared.admit(Instant::now(), cx.waker()) {
                Ok(permit) => self.permit = Some(permit),
                Err(None) => return Poll::Pending,
                Err(Some(until)) => {
                    let sleep = self
                        .reopens
                        .get_or_insert_with(|| Box::pin(sleep_until(until)));
                    if sleep.deadline() != until {
                        sleep.as_mut().reset(until);
                    }
                    if sleep.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
        Poll::Ready(())
    }
}

impl Clone for Breaker {
    fn clone(&self) -> Self {
        let (inner, shared) = (self.inner.clone(), self.shared.clone());
        Self {
            inner,
            shared,
            permit: None,
            reopens: None,
        }
    }
}

impl Service<Batch> for Breaker {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // A probe's place is taken last: what is below may keep us waiting for long.
        match self.inner.poll_ready(cx) {
            Poll::Ready(answer) => answer?,
            Poll::Pending => return Poll::Pending,
        }
        self.poll_permit(cx).map(Ok)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let permit = self.permit.take();
        let write = self.inner.call(batch);
        Box::pin(async move {
            let answer = write.await;
            // A rejection is an answer: the other side is there and works. One for want of an answer
            // says the contrary.
            let failed = answer.as_ref().is_err_and(|failure| {
                let passing = |kind| matches!(kind, Kind::Transient | Kind::Disconnected);
                let silent = |reason| reason == UNANSWERED;
                let mut losses = failure.losses().iter();
                losses.any(|loss| passing(loss.kind) || silent(loss.cause.reason))
            });
            if let Some(permit) = permit {
                permit.finish(failed);
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::{advance, sleep};
    use tower::ServiceExt;

    use super::*;
    use crate::layer::testing::{Script, batch, busy, meter};
    use crate::observe::Observer;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker(script: &Script, probes: u32) -> (Breaker, Observer) {
        let (observer, meter) = meter();
        let policy = BreakerPolicy {
            probes,
            ..BreakerPolicy::default()
        };
        (
            Breaker::new(script.stage(), policy, meter.keyed_breaker()),
            observer,
        )
    }

    /// Fails where the call's number says so.
    fn fails(which: impl Fn(usize) -> bool + Send + Sync + 'static) -> Script {
        Script::new(move |call, _| {
            let answer = if which(call) { Err(busy()) } else { Ok(()) };
            async move { answer }
        })
    }

    async fn calls(breaker: &Breaker, times: usize) {
        for _ in 0..times {
            let _ = breaker.clone().oneshot(batch(1)).await;
        }
    }

    fn is_ready(breaker: &Breaker) -> bool {
        breaker.clone().ready().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_calls_of_a_minute_open_it_and_it_is_not_ready() {
        let (breaker, observer) = breaker(&fails(|call| call % 2 == 1), 1);
        for _ in 0..5 {
            assert!(is_ready(&breaker));
            calls(&breaker, 1).await;
            sleep(8 * SECOND).await;
        }
        assert!(observer.alerts().is_empty(), "2 of 5");
        calls(&breaker, 1).await;
        assert!(!is_ready(&breaker), "3 of 6");
        let alert = &observer.alerts()[0];
        assert_eq!(
            (alert.name, alert.node.as_deref()),
            ("breaker_open", Some("sink"))
        );
        let metrics = crate::observe::render_metrics(&[observer]);
        let state = metrics
            .lines()
            .find(|line| line.starts_with("trunkline_breaker_state{"));
        assert!(state.is_some_and(|line| line.ends_with(" 2")), "{state:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn less_than_half_does_not_open_it() {
        let (breaker, _) = breaker(&fails(|call| call % 5 > 2), 1);
        calls(&breaker, 1000).await;
        assert!(is_ready(&breaker));
    }

    #[tokio::test(start_paused = true)]
    async fn old_calls_leave_the_window() {
        let (breaker, _) = breaker(&fails(|call| !(4..14).contains(&call)), 1);
        calls(&breaker, 4).await;
        advance(61 * SECOND).await;
        calls(&breaker, 10).await;
        assert!(is_ready(&breaker));
        calls(&breaker, 9).await;
        assert!(
            is_ready(&breaker),
            "9 of 19; with the old ones it were 13 of 23"
        );
        calls(&breaker, 1).await;
        assert!(!is_ready(&breaker), "10 of 20");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejection_is_an_answer_and_no_failure() {
        let rejects = Script::new(|_, _| async { Err(Failure::rejected("x", "y")) });
        let (breaker, _) = breaker(&rejects, 1);
        calls(&breaker, 50).await;
        assert!(is_ready(&breaker));
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_lets_exactly_the_probes_through_whoever_asks() {
        let script = Script::new(|call, _| async move {
            if call < 5 {
                return Err(busy());
            }
            sleep(SECOND).await;
            Ok(())
        });
        let (breaker, observer) = breaker(&script, 2);
        calls(&breaker, 5).await;
        let many: Vec<_> = (0..20)
            .map(|_| tokio::spawn(breaker.clone().oneshot(batch(1))))
            .collect();
        sleep(Duration::from_millis(29_999)).await;
        assert_eq!(script.seen().len(), 5, "open");
        sleep(Duration::from_millis(900)).await;
        assert_eq!(script.seen().len(), 7, "two probes");
        sleep(SECOND).await;
        assert_eq!(script.seen().len(), 25, "closed");
        assert!(observer.alerts().is_empty());
        for one in many {
            one.await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_dropped_or_never_made_frees_its_place() {
        let script = Script::new(|call, _| async move {
            match call {
                0..5 => Err(busy()),
                5 => std::future::pending().await,
                _ => Ok(()),
            }
        });
        let (breaker, _) = breaker(&script, 1);
        calls(&breaker, 5).await;
        advance(31 * SECOND).await;
        let probe = tokio::spawn(breaker.clone().oneshot(batch(1)));
        sleep(SECOND).await;
        let next = tokio::spawn(breaker.clone().oneshot(batch(1)));
        sleep(SECOND).await;
        assert_eq!(script.seen().len(), 6, "one probe at a time");
        probe.abort();
        next.await.unwrap().unwrap();
        assert!(is_ready(&breaker));

        let (breaker, _) = self::breaker(&fails(|call| call < 5), 1);
        calls(&breaker, 5).await;
        advance(31 * SECOND).await;
        let mut ready = breaker.clone();
        ready.ready().await.unwrap();
        assert!(!is_ready(&breaker));
        drop(ready);
        calls(&breaker, 1).await;
        assert!(is_ready(&breaker));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again() {
        let script = fails(|call| call < 6);
        let (breaker, _) = breaker(&script, 1);
        let from = Instant::now();
        calls(&breaker, 7).await;
        assert_eq!(script.times(from), [0, 0, 0, 0, 0, 30_000, 60_000]);
    }
}

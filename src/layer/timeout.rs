//! A bound on one write.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use tower::Service;

use crate::event::Batch;
use crate::failure::Failure;
use crate::stage::Stage;

/// Answers `Transient` with the reason `timeout` when the write takes longer. It clocks the write
/// alone: whatever waits for a permit, a rate or a breaker is outside of it.
#[derive(Clone)]
pub struct Timeout {
    inner: Stage,
    limit: Duration,
}

impl Timeout {
    /// Around `inner`.
    pub fn new(inner: Stage, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl Service<Batch> for Timeout {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let (write, limit) = (self.inner.call(batch), self.limit);
        Box::pin(async move {
            match tokio::time::timeout(limit, write).await {
                Ok(answer) => answer,
                Err(_) => {
                    let message = format!("the write took longer than {limit:?}");
                    Err(Failure::transient("timeout", message))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;
    use crate::failure::Kind;
    use crate::layer::testing::{Script, batch};

    #[tokio::test(start_paused = true)]
    async fn a_write_that_takes_too_long_fails_and_may_be_tried_again() {
        let hangs = Script::new(|_, _| std::future::pending());
        let from = tokio::time::Instant::now();
        let stage = Timeout::new(hangs.stage(), Duration::from_secs(3));
        let failure = stage.oneshot(batch(1)).await.unwrap_err();
        assert_eq!(failure.losses()[0].cause.reason, "timeout");
        assert_eq!(failure.kind(), Kind::Transient);
        assert_eq!(from.elapsed().as_millis(), 3000);
    }
}

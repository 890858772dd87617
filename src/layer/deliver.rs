//! The innermost service of a sink's stack: the sink itself, guarded.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tower::Service;

use super::guard;
use crate::event::Batch;
use crate::failure::Failure;
use crate::stage::Sink;

/// A sink as a service. Its failures carry the node's name.
#[derive(Clone)]
pub struct Deliver<S> {
    sink: S,
    node: Arc<str>,
}

impl<S: Sink> Deliver<S> {
    /// The sink of the node of this name.
    pub fn new(sink: S, node: &str) -> Self {
        Self {
            sink,
            node: node.into(),
        }
    }
}

impl<S: Sink> Service<Batch> for Deliver<S> {
    type Response = ();
    type Error = Failure;
    type Future = BoxFuture<'static, Result<(), Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch) -> Self::Future {
        let Self { sink, node } = self.clone();
        Box::pin(async move {
            if batch.is_empty() {
                return Ok(());
            }
            // A plain function may panic before there is a future to poll.
            guard(async { sink.write(batch).await })
                .await
                .map_err(|failure| failure.at(&node))
        })
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;
    use crate::layer::testing::batch;

    #[derive(Clone)]
    struct PanicsAtOnce;

    impl Sink for PanicsAtOnce {
        fn write(&self, batch: Batch) -> impl Future<Output = Result<(), Failure>> + Send {
            assert!(batch.is_empty(), "a panic before there is a future");
            std::future::ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_panic_before_the_first_poll_is_a_failure_of_the_batch() {
        let failure = Deliver::new(PanicsAtOnce, "sink")
            .oneshot(batch(1))
            .await
            .unwrap_err();
        assert_eq!(failure.losses()[0].cause.reason, "panic");
        assert_eq!(failure.losses()[0].node.as_ref(), "sink");
    }
}

//! The innermost service of a sink's stack: the sink itself, guarded.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tower::Service;

use super::guard;
use crate::event::Batch;
use crate::failure::{Failure, Kind};
use crate::stage::Sink;

/// A sink as a service. Its failures carry the node's name.
///
/// After a `Fatal` failure, which ends the run, nothing more is written: of what waits behind the
/// batch that failed some might fit on a full disk, and would be there before it.
#[derive(Clone)]
pub struct Deliver<S> {
    sink: S,
    node: Arc<str>,
    broken: Arc<OnceLock<Failure>>,
}

impl<S: Sink> Deliver<S> {
    /// The sink of the node of this name.
    pub fn new(sink: S, node: &str) -> Self {
        Self {
            sink,
            node: node.into(),
            broken: Arc::default(),
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
        let Self { sink, node, broken } = self.clone();
        Box::pin(async move {
            if batch.is_empty() {
                return Ok(());
            }
            if let Some(failure) = broken.get() {
                return Err(failure.clone());
            }
            // A plain function may panic before there is a future to poll.
            let answer = guard(async { sink.write(batch).await }).await;
            answer.map_err(|failure| {
                let failure = failure.at(&node);
                if let Some(whole) = fatal(&failure) {
                    // The first reason is the one that is told.
                    let _ = broken.set(whole.at(&node));
                }
                failure
            })
        })
    }
}

/// The reason of a failure that ends the run, as one of everything.
fn fatal(failure: &Failure) -> Option<Failure> {
    let mut losses = failure.losses().iter();
    let loss = losses.find(|loss| loss.kind == Kind::Fatal)?;
    Some(Failure::fatal(
        loss.cause.reason,
        loss.cause.message.clone(),
    ))
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;
    use crate::layer::testing::{Script, batch, only};

    #[derive(Clone)]
    struct PanicsAtOnce;

    impl Sink for PanicsAtOnce {
        fn write(&self, batch: Batch) -> impl Future<Output = Result<(), Failure>> + Send {
            assert!(batch.is_empty(), "a panic before there is a future");
            std::future::ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn after_a_fatal_failure_nothing_more_is_written() {
        let script = Script::new(|call, _| async move {
            match call {
                0 => Err(only(Kind::Transient, &[0])),
                1 => Err(only(Kind::Fatal, &[0])),
                _ => Ok(()),
            }
        });
        let deliver = Deliver::new(script.clone(), "sink");
        let write = |events| deliver.clone().oneshot(batch(events));
        assert_eq!(write(2).await.unwrap_err().kind(), Kind::Transient);
        let first = write(2).await.unwrap_err();
        assert_eq!(first.count(&batch(2).origins()), 1);
        let later = write(2).await.unwrap_err();
        assert_eq!(
            (later.kind(), later.count(&batch(2).origins())),
            (Kind::Fatal, 2)
        );
        assert_eq!(later.losses()[0].cause, first.losses()[0].cause);
        assert_eq!(later.losses()[0].node.as_ref(), "sink");
        assert_eq!(script.seen().len(), 2);
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

//! When an edge is drained.

use std::task::Poll;

use tokio::sync::Semaphore;

use super::*;

/// Whether nothing waits and all was begun.
fn is_drained(watch: &EdgeWatch) -> bool {
    watch.drained().now_or_never().is_some()
}

async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn it_is_drained_when_the_last_call_was_begun_not_when_it_was_answered() {
    let script = slow();
    let (edge, _tasks, _) = edge(&script, small(1, WhenFull::Block));
    let watch = edge.watch();
    assert!(is_drained(&watch));
    let calls: Vec<_> = (0..3)
        .map(|n| tokio::spawn(edge.clone().oneshot(places(n, 1))))
        .collect();
    settle().await;
    assert_eq!(watch.fill().outside, 1);
    let from = Instant::now();
    watch.drained().await;
    assert_eq!(from.elapsed().as_millis(), 1999, "the third is begun then");
    assert_eq!(script.seen().len(), 3);
    assert!(!calls[2].is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_out_and_not_begun_counts() {
    // Ready only with a permit: until then the worker has a batch in its hands.
    let permits = Arc::new(Semaphore::new(0));
    let (script, gate) = (slow(), permits.clone());
    #[derive(Clone)]
    struct Gated(Stage, Arc<Semaphore>);
    impl Service<Batch> for Gated {
        type Response = ();
        type Error = Failure;
        type Future = <Stage as Service<Batch>>::Future;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
            let mut permit = std::pin::pin!(self.1.acquire());
            match permit.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(Ok(())),
                Poll::Pending => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            }
        }
        fn call(&mut self, batch: Batch) -> Self::Future {
            self.0.call(batch)
        }
    }
    let inner = Stage::new(Gated(script.stage(), gate));
    let tasks = Tasks::default();
    let edge = Edge::new(inner, EdgePolicy::default(), meter().1, &tasks);
    let watch = edge.watch();
    let call = tokio::spawn(edge.clone().oneshot(batch(1)));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(watch.fill(), Fill::default());
    assert!(!is_drained(&watch));
    permits.add_permits(1);
    watch.drained().await;
    assert_eq!(script.seen().len(), 1);
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_keeps_no_edge_open_and_ends_with_it() {
    let (edge, tasks, _) = edge(&slow(), small(1, WhenFull::Block));
    let watch = edge.watch();
    let calls: Vec<_> = (0..3)
        .map(|n| tokio::spawn(edge.clone().oneshot(places(n, 1))))
        .collect();
    settle().await;
    drop(edge);
    assert_eq!(tasks.join().await, 0);
    watch.drained().await;
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_went_away_and_workers_that_are_gone_leave_it_drained() {
    let (first, _tasks, _) = edge(&slow(), small(1, WhenFull::Block));
    let calls: Vec<_> = (0..4)
        .map(|n| tokio::spawn(first.clone().oneshot(places(n, 1))))
        .collect();
    settle().await;
    calls.iter().for_each(|call| call.abort());
    first.watch().drained().await;

    let (second, tasks, _) = edge(&slow(), small(1, WhenFull::Block));
    let _calls: Vec<_> = (0..4)
        .map(|n| tokio::spawn(second.clone().oneshot(places(n, 1))))
        .collect();
    settle().await;
    let watch = second.watch();
    let waits = tokio::spawn(async move { watch.drained().await });
    settle().await;
    tasks.abort();
    waits.await.unwrap();
}

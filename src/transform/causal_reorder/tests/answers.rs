//! What is answered to whom.

use super::*;
use crate::event::Origin;
use crate::failure::{Cause, Kind, Which};

fn lost(answer: Result<(), Failure>) -> Vec<(Kind, &'static str, Which)> {
    let losses = answer.unwrap_err().into_losses().into_iter();
    losses
        .map(|loss| (loss.kind, loss.cause.reason, loss.which))
        .collect()
}

fn only(indices: &[usize]) -> Which {
    Which::Only(indices.iter().map(|index| Origin::new(1, *index)).collect())
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_when_the_last_of_its_events_is() {
    let mut bench = Bench::new(&sequenced());
    let hands = bench.by_hand();
    let hand = |answer| {
        hands
            .lock()
            .unwrap()
            .pop_front()
            .unwrap()
            .send(answer)
            .unwrap()
    };
    let first = bench.send(&[number("a", 1), number("a", 3)]).await;
    let second = bench.send(&[number("a", 2), number("a", 4)]).await;
    hand(Ok(()));
    bench.rest().await;
    assert!(!first.is_finished() && !second.is_finished());
    let cause = Cause::new("full", "no room");
    let failure = Failure::only(Kind::Rejected, cause, vec![Origin::new(1, 1)]);
    hand(Err(failure.unwrap()));
    bench.rest().await;
    assert_eq!(
        lost(first.await.unwrap()),
        [(Kind::Rejected, "full", only(&[1]))]
    );
    is_ok(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_all_is_one_of_each_batchs_own() {
    let mut bench = Bench::new(&sequenced());
    let first = bench
        .send(&[number("a", 3), number("b", 9), number("b", 8)])
        .await;
    bench.answers(|_| futures::future::ready(Err(Failure::transient("busy", "later"))).boxed());
    let second = bench.send(&[number("a", 1), number("a", 2)]).await;
    let busy = |which| (Kind::Transient, "busy", which);
    assert_eq!(lost(second.await.unwrap()), [busy(only(&[3, 4]))]);
    bench.wait(2001).await;
    // In two batches for the same cause: one loss.
    assert_eq!(lost(first.await.unwrap()), [busy(only(&[0, 2, 1]))]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_ordered_is_rejected_alone() {
    let mut bench = Bench::new(&lifecycle());
    let bodies = [
        r#"{"at":1}"#.to_owned(),
        state("a", 1, "offered"),
        r#"{"id":"a","at":"x"}"#.to_owned(),
        r#"{"id":null,"at":1}"#.to_owned(),
    ];
    let answer = bench.send(&bodies).await.await.unwrap();
    let rejected = |reason, which| (Kind::Rejected, reason, which);
    assert_eq!(
        lost(answer),
        [
            rejected("missing_key", only(&[0, 3])),
            rejected("bad_timestamp", only(&[2]))
        ]
    );
    assert_eq!(bench.went(), "1#1");

    let mut config = lifecycle();
    config.pass_without_key = true;
    let mut bench = Bench::new(&config);
    let answer = bench.send(&bodies).await.await.unwrap();
    assert_eq!(lost(answer), [rejected("bad_timestamp", only(&[2]))]);
    assert_eq!(bench.went(), "0#0 1#1 3#0");
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_back_what_is_held() {
    let mut bench = Bench::new(&sequenced());
    let held = bench
        .send(&[number("a", 2), number("b", 1), number("a", 3)])
        .await;
    bench.phase.send(Phase::Stopping).unwrap();
    bench.rest().await;
    let stopping = |which| (Kind::Transient, "stopping", which);
    assert_eq!(lost(held.await.unwrap()), [stopping(only(&[0, 2]))]);
    let after = bench.send(&[number("c", 1), number("c", 9)]).await;
    assert_eq!(lost(after.await.unwrap()), [stopping(only(&[4]))]);
    assert_eq!(bench.went(), "1#1 3#1");
}

#[tokio::test(start_paused = true)]
async fn a_panic_below_fails_its_batch_only() {
    let mut bench = Bench::new(&sequenced());
    bench.answers(|batch| {
        async move {
            assert!(batch.len() > 1, "scripted");
            Ok(())
        }
        .boxed()
    });
    let answer = bench.send(&[number("a", 1)]).await.await.unwrap();
    assert_eq!(lost(answer), [(Kind::Transient, "panic", only(&[0]))]);
    is_ok(bench.send(&[number("b", 1), number("b", 2)]).await).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_outlives_the_stage_and_the_driver_does_not() {
    let mut bench = Bench::new(&sequenced());
    let held = bench.send(&[number("a", 2)]).await;
    let tasks = tokio::runtime::Handle::current().metrics();
    assert_eq!(tasks.num_alive_tasks(), 2);
    drop(std::mem::replace(
        &mut bench.stage,
        Stage::new(service_fn(|_| async { Ok(()) })),
    ));
    bench.wait(2001).await;
    is_ok(held).await;
    bench.rest().await;
    assert_eq!(
        (bench.went().as_str(), tasks.num_alive_tasks()),
        ("0#1+gap", 0)
    );
}

/// With one permit below, a release of the timer must not wait behind a caller that holds it.
#[tokio::test(start_paused = true)]
async fn permits_are_neither_hoarded_nor_waited_for_in_a_circle() {
    let mut bench = Bench::new(&sequenced());
    let hands = bench.by_hand();
    let (phase, watch) = watch::channel(Phase::Running);
    let table = Store::memory().table("t");
    let layer =
        CausalReorder::open(&sequenced(), table, bench.meter.clone(), watch, Lane::WHOLE).unwrap();
    let below = Stage::new(tower::limit::ConcurrencyLimit::new(bench.probe.clone(), 1));
    bench.stage = layer.layer(below);
    let hand = || {
        hands
            .lock()
            .unwrap()
            .pop_front()
            .unwrap()
            .send(Ok(()))
            .unwrap()
    };
    let first = bench.send(&[number("a", 2), number("b", 1)]).await;
    // The permit is taken, and the timer's release waits for it.
    bench.wait(2001).await;
    assert_eq!(bench.went(), "1#1");
    hand();
    bench.rest().await;
    assert_eq!(bench.went(), "0#1+gap");
    hand();
    bench.rest().await;
    is_ok(first).await;
    // The permit is free again for a caller who holds back everything, and for the next.
    let held = bench.send(&[number("c", 2)]).await;
    let next = bench.send(&[number("c", 1)]).await;
    hand();
    bench.rest().await;
    is_ok(held).await;
    is_ok(next).await;
    drop(phase);
}

//! What the module promises, on a paused clock.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

mod classes;
mod drained;
mod lanes;

use super::*;
use crate::condition::Condition;
use crate::diagnostic::{Report, Span};
use crate::failure::Kind;
use crate::layer::testing::{Script, batch, busy, counts, delivery, meter, only};
use crate::observe::Observer;

const SECOND: Duration = Duration::from_secs(1);

fn slow() -> Script {
    Script::new(|_, _| async {
        sleep(SECOND).await;
        Ok(())
    })
}

fn edge(script: &Script, policy: EdgePolicy) -> (Edge, Tasks, Observer) {
    let (observer, meter) = meter();
    let tasks = Tasks::default();
    let letters = crate::layer::testing::letters(None);
    let inner = crate::layer::DeadLetter::around_sink(script.stage(), letters, meter.clone());
    (
        Edge::new(Stage::new(inner), policy, meter, &tasks),
        tasks,
        observer,
    )
}

fn small(max_events: usize, when_full: WhenFull) -> EdgePolicy {
    EdgePolicy {
        max_events,
        when_full,
        batch_events: 1,
        ..EdgePolicy::default()
    }
}

/// A batch of `events` whose places begin at `from`.
fn places(from: usize, events: usize) -> Batch {
    let all = delivery(1, &vec!["k"; from + events]).into_events();
    all.into_iter().skip(from).collect()
}

/// An edge with this many lanes by `key` in front of one and the same sink.
fn lanes(script: &Script, lanes: usize, policy: EdgePolicy) -> (Edge, Tasks, Observer) {
    let partition = PartitionPolicy {
        key: crate::layer::testing::key(),
        partitions: NonZeroUsize::new(lanes).unwrap(),
    };
    let partition = Some(partition);
    edge(
        script,
        EdgePolicy {
            partition,
            ..policy
        },
    )
}

/// The lane of a key among so many.
fn lane_of(key: &str, lanes: u64) -> u64 {
    fingerprint(key) % lanes
}

/// A key of this lane.
fn key_in(lane: u64, lanes: u64) -> String {
    let mut keys = (0..).map(|n| format!("k{n}"));
    keys.find(|key| lane_of(key, lanes) == lane).unwrap()
}

/// Holds for keys that begin with this.
fn begins(with: &str) -> Condition {
    let node = |value| crate::setting::Node::new(value, Span::start());
    let text = |text: &str| node(crate::setting::Value::Text(text.into()));
    let field = |name: &str, value: &str| {
        let key = crate::setting::Key {
            name: name.into(),
            span: Span::start(),
        };
        (key, text(value))
    };
    let fields = vec![field("path", ".key"), field("starts_with", with)];
    let mut report = Report::new("test");
    let node = node(crate::setting::Value::Map(fields));
    Condition::check(&node, &mut report).unwrap()
}

/// Calls with these keys, one batch for each list, whose places are counted on from one to the next.
fn batches(keys: &[&[&str]]) -> Vec<Batch> {
    let mut all = delivery(1, &keys.concat()).into_events().into_iter();
    keys.iter()
        .map(|keys| all.by_ref().take(keys.len()).collect())
        .collect()
}

fn fill(edge: &Edge) -> (usize, u64) {
    let fill = edge.watch().fill();
    (fill.events, fill.bytes)
}

#[tokio::test(start_paused = true)]
async fn block_keeps_the_bound_the_order_and_everything() {
    let (script, callers) = (slow(), 50);
    let (edge, tasks, observer) = edge(&script, small(5, WhenFull::Block));
    let watch = edge.clone();
    let all = join_all((0..callers).map(|n| edge.clone().oneshot(places(n, 1))));
    let watching = async {
        for _ in 0..callers {
            assert!(fill(&watch).0 <= 5);
            sleep(SECOND).await;
        }
    };
    let (answers, ()) = futures::join!(all, watching);
    assert!(answers.iter().all(Result::is_ok));
    let order: Vec<_> = script.seen().concat();
    assert_eq!(order, (0..callers).collect::<Vec<_>>());
    drop((edge, watch));
    assert_eq!(tasks.join().await, 0);
    assert_eq!(counts(&observer).delivered, callers as u64);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_too_and_an_oversize_batch_goes_alone() {
    let size = batch(1).bytes();
    let policy = EdgePolicy {
        max_bytes: 3 * size,
        ..small(1000, WhenFull::Block)
    };
    let (edge, _tasks, _) = edge(&slow(), policy);
    let mut calls: Vec<_> = [1, 2, 2, 9, 1]
        .map(|n| tokio::spawn(edge.clone().oneshot(batch(n))))
        .into();
    sleep(SECOND / 10).await;
    assert_eq!(fill(&edge), (2, 2 * size), "the first is being written");
    sleep(SECOND).await;
    assert_eq!(fill(&edge), (2, 2 * size));
    sleep(SECOND).await;
    assert_eq!(fill(&edge), (9, 9 * size), "alone");
    sleep(SECOND).await;
    assert_eq!(fill(&edge), (1, size));
    for call in calls.drain(..) {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_counted_by_its_reason() {
    for (when_full, reason, left) in [
        (WhenFull::DropNewest, "buffer_newest", vec![0, 1, 2, 3]),
        (WhenFull::DropOldest, "buffer_oldest", vec![0, 7, 8, 9]),
    ] {
        let script = slow();
        let (edge, _tasks, observer) = edge(&script, small(3, when_full));
        let first = tokio::spawn(edge.clone().oneshot(places(0, 1)));
        sleep(SECOND / 10).await;
        let rest = join_all((1..10).map(|n| edge.clone().oneshot(places(n, 1)))).await;
        assert!(
            rest.iter().all(Result::is_ok),
            "dropped by a rule is an answer"
        );
        first.await.unwrap().unwrap();
        assert_eq!(script.seen().concat(), left);
        let counts = counts(&observer);
        assert_eq!((counts.dropped[reason], counts.delivered), (6, 4));
    }
}

#[tokio::test(start_paused = true)]
async fn batches_put_together_have_their_own_answers() {
    let script = Script::new(|call, _| async move {
        sleep(SECOND).await;
        // Of the call a part that a stage made of place 3, and place 5.
        match call {
            0 => {
                let mut failure = only(Kind::Transient, &[5]);
                let mut losses = failure.into_losses();
                if let crate::failure::Which::Only(origins) = &mut losses[0].which {
                    origins.push(crate::event::Origin::new(1, 3).part(2));
                }
                failure = Failure::from_losses(losses).unwrap();
                Err(failure)
            }
            _ => Ok(()),
        }
    });
    let policy = EdgePolicy::default();
    let (edge, _tasks, observer) = edge(&script, policy);
    let calls = [(0, 1), (1, 2), (3, 1), (4, 2)];
    let answers = join_all(calls.map(|(n, len)| edge.clone().oneshot(places(n, len)))).await;
    assert_eq!(script.seen(), [[0, 1, 2, 3, 4, 5]]);
    let lost: Vec<u64> = answers
        .iter()
        .zip(calls)
        .map(|(answer, (n, len))| {
            let origins = places(n, len).origins();
            answer
                .as_ref()
                .map_or_else(|failure| failure.count(&origins), |()| 0)
        })
        .collect();
    assert_eq!(lost, [0, 0, 1, 1]);
    assert_eq!(counts(&observer).given_back, 2);
}

#[tokio::test(start_paused = true)]
async fn it_closes_when_its_entrances_are_gone_and_answers_what_is_in_it() {
    let (edge, tasks, _) = edge(&slow(), small(3, WhenFull::Block));
    let calls: Vec<_> = (0..6)
        .map(|n| tokio::spawn(edge.clone().oneshot(places(n, 1))))
        .collect();
    drop(edge);
    assert_eq!(tasks.join().await, 0);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_reads_as_a_failure_for_all_who_wait_and_all_who_come() {
    let (edge, tasks, observer) = edge(&slow(), small(1, WhenFull::Block));
    let calls: Vec<_> = (0..4)
        .map(|n| tokio::spawn(edge.clone().oneshot(places(n, 1))))
        .collect();
    sleep(SECOND / 2).await;
    tasks.abort();
    tasks.join().await;
    for call in calls {
        let failure = call.await.unwrap().unwrap_err();
        assert_eq!(failure.losses()[0].cause.reason, "lost_reply");
    }
    edge.oneshot(batch(1)).await.unwrap_err();
    assert_eq!(
        counts(&observer).given_back,
        1,
        "the one that was being written"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_ended_before_it_began_is_lost_too() {
    let (edge, tasks, _) = edge(&slow(), small(1, WhenFull::Block));
    tasks.abort();
    tasks.join().await;
    let failure = edge.oneshot(batch(1)).await.unwrap_err();
    assert_eq!(failure.losses()[0].cause.reason, "lost_reply");
}

#[tokio::test(start_paused = true)]
async fn a_panic_behind_it_is_a_failure_and_the_worker_lives() {
    let inner = Stage::new(tower::service_fn(|batch: Batch| async move {
        assert!(batch.len() > 1, "one is too few");
        Ok(())
    }));
    let tasks = Tasks::default();
    let edge = Edge::new(inner, EdgePolicy::default(), meter().1, &tasks);
    let failure = edge.clone().oneshot(batch(1)).await.unwrap_err();
    assert_eq!(failure.losses()[0].cause.reason, "panic");
    edge.oneshot(batch(2)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_not_done_and_adds_up() {
    let script = slow();
    let (edge, tasks, observer) = edge(&script, small(2, WhenFull::Block));
    let calls: Vec<_> = (0..6)
        .map(|n| tokio::spawn(edge.clone().oneshot(places(n, 1))))
        .collect();
    sleep(SECOND / 2).await;
    calls[..5].iter().for_each(|call| call.abort());
    let from = Instant::now();
    calls.into_iter().last().unwrap().await.unwrap().unwrap();
    assert!(from.elapsed() <= SECOND, "{:?}", from.elapsed());
    drop(edge);
    tasks.join().await;
    assert_eq!(script.seen(), [[0], [5]]);
    let counts = counts(&observer);
    assert_eq!((counts.delivered, counts.given_back), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_hears_was_a_copy() {
    let (edge, tasks, observer) = edge(&Script::well(), small(2, WhenFull::Block));
    let mut call = edge.oneshot(batch(2)).boxed();
    assert!((&mut call).now_or_never().is_none());
    sleep(SECOND).await;
    drop(call);
    tasks.join().await;
    let counts = counts(&observer);
    assert_eq!(
        (counts.delivered, counts.given_back, counts.created),
        (2, 2, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn workers_and_what_each_has_under_way_are_bounded() {
    let script = slow();
    let policy = EdgePolicy {
        workers: NonZeroUsize::new(2).unwrap(),
        in_flight: NonZeroUsize::new(3).unwrap(),
        ..small(100, WhenFull::Block)
    };
    let (edge, _tasks, _) = edge(&script, policy);
    let from = Instant::now();
    join_all((0..14).map(|n| edge.clone().oneshot(places(n, 1)))).await;
    let times = script.times(from);
    assert_eq!(times.iter().filter(|at| **at == 0).count(), 6);
    assert_eq!(times.iter().filter(|at| **at == 1000).count(), 6);
    assert_eq!(times.len(), 14);
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_batches_are_kept_apart() {
    let script = Script::new(|_, batch: Batch| async move {
        sleep(SECOND).await;
        let poison = batch.events().iter().any(|e| e.origin.index() == 2);
        assert!(!poison, "scripted");
        if batch.len() > 9 { Err(busy()) } else { Ok(()) }
    });
    let (edge, _tasks, _) = edge(&script, EdgePolicy::default());
    for _ in 0..2 {
        join_all((0..5).map(|n| edge.clone().oneshot(places(n, 1)))).await;
    }
    let seen = script.seen();
    assert_eq!(seen[0], [0, 1, 2, 3, 4]);
    assert_eq!(seen[1..], [[0], [1], [2], [3], [4]]);
}

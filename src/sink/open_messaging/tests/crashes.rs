//! A message that comes again: after a crash, after its status was not taken, from the dead letters.

use super::*;
use crate::event::Replay;

fn inbound(id: &str) -> Json {
    let mut body = message(id, "eu", "ada");
    body["kind"] = json!("inbound");
    body
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_not_sent_again_and_is_told_again() {
    let bench = Bench::new(
        Policy::AtLeastOnce,
        vec![("eu", Script::of(vec![Answer::sent()]))],
    );
    let body = message("m-1", "eu", "ada");
    for _ in 0..2 {
        let stage = bench.open().await;
        for _ in 0..2 {
            assert_eq!(deliver(&stage, &body, 60 * SECOND).await, Some(Ok(())));
        }
    }
    assert_eq!(bench.heard().len(), 1);
    let told = bench.told.lock().unwrap().clone();
    assert_eq!(told.len(), 4);
    assert!(
        told.iter().all(|it| *it == told[0]),
        "the same status each time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_send_and_its_answer_is_as_the_policy_says() {
    for policy in [Policy::AtLeastOnce, Policy::AtMostOnce] {
        let script = Script::new(|number, _| match number {
            0 => Answer::sent().after(10 * SECOND),
            _ => Answer::sent(),
        });
        let bench = Bench::new(policy, vec![("eu", script)]);
        let stage = bench.open().await;
        let died = deliver(&stage, &inbound("m-1"), 5 * SECOND).await;
        assert!(died.is_none(), "it was under way");
        drop(stage);
        let stage = bench.open().await;
        let answer = deliver(&stage, &inbound("m-1"), 60 * SECOND).await;
        assert_eq!(answer, Some(Ok(())));
        let heard = bench.heard();
        match policy {
            Policy::AtLeastOnce => {
                assert_eq!((heard.len(), bench.reasons().len()), (2, 0));
                let channel = |n: usize| heard[n].body["channel"].clone();
                assert_eq!(channel(0), channel(1), "the same id and time");
                assert_eq!(bench.told.lock().unwrap()[0]["repeated"], true);
            }
            Policy::AtMostOnce => {
                assert_eq!(
                    (heard.len(), bench.reasons()),
                    (1, vec!["uncertain".to_owned()])
                );
                assert_eq!(bench.words(), ["unknown"]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_stack_gave_up_is_uncertain_too() {
    let script = Script::of(vec![Answer::sent().after(10 * SECOND)]);
    let mut bench = Bench::new(Policy::AtMostOnce, vec![("eu", script)]);
    bench.timeout = 5 * SECOND;
    let stage = bench.open().await;
    let answer = deliver(&stage, &message("m-1", "eu", "ada"), 60 * SECOND).await;
    assert_eq!(answer, Some(Ok(())));
    assert_eq!(
        (bench.heard().len(), bench.reasons()),
        (1, vec!["uncertain".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_was_certainly_not_sent_is_sent_after_a_crash_whatever_the_policy() {
    let script = Script::new(|number, _| match number {
        0 => Answer::error(503, "service.unavailable").with("retry-after", "60"),
        _ => Answer::sent(),
    });
    let bench = Bench::new(Policy::AtMostOnce, vec![("eu", script)]);
    let stage = bench.open().await;
    let died = deliver(&stage, &message("m-1", "eu", "ada"), 5 * SECOND).await;
    assert!(died.is_none());
    let stage = bench.open().await;
    let answer = deliver(&stage, &message("m-1", "eu", "ada"), 60 * SECOND).await;
    assert_eq!(answer, Some(Ok(())));
    assert_eq!((bench.heard().len(), bench.reasons().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn who_replays_a_dead_letter_has_decided() {
    let script = Script::new(|number, _| match number {
        0 => Answer::silence(20 * SECOND),
        _ => Answer::sent(),
    });
    let bench = Bench::new(Policy::AtMostOnce, vec![("eu", script)]);
    let stage = bench.open().await;
    let body = message("m-1", "eu", "ada");
    for _ in 0..2 {
        assert_eq!(deliver(&stage, &body, 60 * SECOND).await, Some(Ok(())));
    }
    assert_eq!(bench.reasons(), ["unanswered", "uncertain"]);
    let mut replayed = event(2, &body);
    let replay = Arc::new(Replay::new("letter-1".into(), 1, 0));
    replayed.extra_mut().replay = Some(replay.clone());
    stage
        .clone()
        .oneshot(Batch::from(vec![replayed]))
        .await
        .unwrap();
    assert_eq!((bench.heard().len(), replay.is_delivered()), (2, true));
    assert_eq!(bench.words(), ["unknown", "unknown", "sent"]);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_not_taken_is_told_again_and_nothing_is_sent_for_it() {
    let bench = Bench::new(
        Policy::AtLeastOnce,
        vec![("eu", Script::of(vec![Answer::sent()]))],
    );
    let stage = bench.open().await;
    *bench.refuse.lock().unwrap() = 3;
    let answer = deliver(&stage, &message("m-1", "eu", "ada"), 60 * SECOND).await;
    assert_eq!(answer, Some(Ok(())));
    assert_eq!(
        (bench.heard().len(), bench.words()),
        (1, vec!["sent".to_owned()])
    );
    bench.observer.set_state(crate::observe::RunState::Stopped);
    let counts = bench.observer.ledger().nodes.remove(0).counts;
    // Those that were not taken went back as one with their message; the output here is none of the
    // engine's, which would have counted the one that was taken.
    assert_eq!((counts.created, counts.delivered), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn while_the_keeper_of_statuses_is_away_nothing_is_sent() {
    let mut bench = Bench::new(
        Policy::AtLeastOnce,
        vec![("eu", Script::of(vec![Answer::sent()]))],
    );
    bench.statuses = crate::client::statuses::Statuses::Redis {
        // Nobody listens on port 1.
        url: Secret::new("redis://:hush-hush@127.0.0.1:1"),
        keep: 86_400 * SECOND,
    };
    let stage = bench.open().await;
    let answer = deliver(&stage, &message("m-1", "eu", "ada"), 120 * SECOND).await;
    assert!(answer.is_none(), "it is held");
    assert_eq!((bench.heard().len(), bench.reasons().len()), (0, 0));
}

//! Classes of events.

use std::num::NonZeroU32;

use super::*;

/// High before middle before what is neither; the guard after so many.
fn classes(guard: u32, policy: EdgePolicy) -> EdgePolicy {
    EdgePolicy {
        priority: Some(PriorityPolicy {
            classes: vec![begins("high"), begins("mid")],
            starvation_guard: NonZeroU32::new(guard).unwrap(),
        }),
        ..policy
    }
}

/// Begins a call for each batch in turn; waits for all answers when told.
async fn call_all(edge: &Edge, keys: &[&[&str]]) -> Vec<tokio::task::JoinHandle<()>> {
    let mut calls = Vec::new();
    for batch in batches(keys) {
        let edge = edge.clone();
        calls.push(tokio::spawn(async move {
            edge.oneshot(batch).await.unwrap();
        }));
        tokio::task::yield_now().await;
    }
    calls
}

async fn seen(script: &Script, policy: EdgePolicy, keys: &[&[&str]]) -> Vec<usize> {
    let (edge, tasks, observer) = edge(script, policy);
    let calls = call_all(&edge, keys).await;
    drop(edge);
    assert_eq!(tasks.join().await, 0);
    for call in calls {
        call.await.unwrap();
    }
    counts(&observer);
    script.seen().concat()
}

#[tokio::test(start_paused = true)]
async fn the_highest_class_that_waits_goes_first_in_the_order_of_calls() {
    let keys: [&[&str]; 7] = [
        &["low"],
        &["low"],
        &["mid"],
        &["high"],
        &["low"],
        &["mid"],
        &["high"],
    ];
    let order = seen(&slow(), classes(100, small(100, WhenFull::Block)), &keys).await;
    assert_eq!(order, [0, 3, 6, 2, 5, 1, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_split_by_class_and_its_events_know_theirs() {
    let script = Script::new(|_, batch: Batch| async move {
        let classes: Vec<_> = batch.events().iter().map(|e| e.priority).collect();
        assert!(classes.iter().all(|class| *class == classes[0]));
        match classes[0] {
            2 => Err(busy()),
            _ => Ok(()),
        }
    });
    let (edge, _tasks, observer) = edge(&script, classes(8, EdgePolicy::default()));
    let batch = delivery(1, &["mid", "high", "low", "high", "mid"]);
    let failure = edge.oneshot(batch.clone()).await.unwrap_err();
    assert_eq!(script.seen(), [vec![1, 3], vec![0, 4], vec![2]]);
    assert_eq!(failure.lost(&batch).len(), 2);
    let counts = counts(&observer);
    assert_eq!((counts.delivered, counts.given_back), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn the_guard_lets_the_lower_class_go_that_has_waited_longest() {
    let mut keys: Vec<&[&str]> = vec![&["high"], &["low"], &["mid"], &["low"]];
    keys.extend([&["high"] as &[&str]; 8]);
    let order = seen(&slow(), classes(3, small(100, WhenFull::Block)), &keys).await;
    // The first went before anything else was there. Three of the high class at a time.
    assert_eq!(order, [0, 4, 5, 6, 1, 7, 8, 9, 2, 10, 11, 3]);
}

#[tokio::test(start_paused = true)]
async fn the_guard_counts_those_that_wait_for_room_too() {
    // There is room for two: the low one waits outside while the high ones come and go.
    let mut keys: Vec<&[&str]> = vec![&["high"], &["high"], &["high"], &["low"]];
    keys.extend([&["high"] as &[&str]; 8]);
    let order = seen(&slow(), classes(4, small(2, WhenFull::Block)), &keys).await;
    assert_eq!(order, [0, 1, 2, 4, 5, 3, 6, 7, 8, 9, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn those_outside_enter_highest_first_and_the_bound_holds() {
    let script = slow();
    let policy = classes(100, small(3, WhenFull::Block));
    let (edge, _tasks, _) = edge(&script, policy);
    let mut keys: Vec<&[&str]> = vec![&["low"]; 6];
    keys.extend([&["high"] as &[&str]; 3]);
    let calls = call_all(&edge, &keys).await;
    for _ in 0..9 {
        assert!(fill(&edge).0 <= 3);
        sleep(SECOND).await;
    }
    for call in calls {
        call.await.unwrap();
    }
    // One is written and three are inside when the high ones come: those go before them.
    assert_eq!(script.seen().concat(), [0, 6, 7, 8, 1, 2, 3, 4, 5]);
}

/// What reaches the sink of these keys, the first of which is being written meanwhile, and what was
/// dropped as the newest and as the oldest.
async fn dropping(when_full: WhenFull, keys: &[&[&str]]) -> (Vec<usize>, u64, u64) {
    let script = slow();
    let policy = classes(100, small(3, when_full));
    let (edge, tasks, observer) = edge(&script, policy);
    for call in call_all(&edge, keys).await {
        drop(call);
    }
    drop(edge);
    tasks.join().await;
    let mut left = script.seen().concat();
    left.sort_unstable();
    let counts = counts(&observer);
    let dropped = |reason: &str| counts.dropped.get(reason).copied().unwrap_or(0);
    (left, dropped("buffer_newest"), dropped("buffer_oldest"))
}

#[tokio::test(start_paused = true)]
async fn the_newest_of_a_lower_class_is_dropped_before_what_comes() {
    let newest = |keys| dropping(WhenFull::DropNewest, keys);
    // The last low one goes for the high one, then the first, then the mid one.
    let keys: &[&[&str]] = &[&["x"], &["low"], &["mid"], &["low"], &["high"]];
    assert_eq!(newest(keys).await, (vec![0, 1, 2, 4], 1, 0));
    let keys: &[&[&str]] = &[&["x"], &["low"], &["mid"], &["low"], &["high"], &["high"]];
    assert_eq!(newest(keys).await, (vec![0, 2, 4, 5], 2, 0));
    let more = [keys, &[&["high"], &["high"], &["mid"], &["low"]]].concat();
    assert_eq!(newest(&more).await, (vec![0, 4, 5, 6], 6, 0));
    // Two of a lower class would have to go, and there is one: nothing goes but the newcomer.
    let keys: &[&[&str]] = &[&["x"], &["high"], &["high"], &["low"], &["mid", "mid"]];
    assert_eq!(newest(keys).await, (vec![0, 1, 2, 3], 2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_the_lowest_class_is_dropped_and_never_a_higher_one() {
    let oldest = |keys| dropping(WhenFull::DropOldest, keys);
    let keys: &[&[&str]] = &[&["x"], &["high"], &["low"], &["mid"], &["mid"]];
    assert_eq!(oldest(keys).await, (vec![0, 1, 3, 4], 0, 1));
    let more = [keys, &[&["mid"]]].concat();
    assert_eq!(oldest(&more).await, (vec![0, 1, 4, 5], 0, 2));
    let more = [&*more, &[&["low"]]].concat();
    assert_eq!(oldest(&more).await, (vec![0, 1, 4, 5], 1, 2));
    let more = [&*more, &[&["high"], &["high"], &["high"]]].concat();
    assert_eq!(oldest(&more).await, (vec![0, 7, 8, 9], 1, 5));
}

#[tokio::test(start_paused = true)]
async fn classes_are_those_of_each_lane() {
    // The high one of a lane that is stuck does not hold up the low ones of another.
    let (stuck, free) = (0, 1);
    let key = |lane: u64, class: &str| {
        let mut keys = (0..).map(|n| format!("{class}{n}"));
        keys.find(|key| lane_of(key, 2) == lane).unwrap()
    };
    let (high, low) = (key(stuck, "high"), key(free, "low"));
    let script = Script::new(|_, batch: Batch| async move {
        match batch.events()[0].priority {
            2 => std::future::pending().await,
            _ => Ok(()),
        }
    });
    let (edge, _tasks, _) = lanes(&script, 2, classes(8, small(100, WhenFull::Block)));
    let waits = tokio::spawn(edge.clone().oneshot(delivery(1, &[&high])));
    sleep(SECOND).await;
    edge.oneshot(delivery(1, &[&low])).await.unwrap();
    assert!(!waits.is_finished());
}

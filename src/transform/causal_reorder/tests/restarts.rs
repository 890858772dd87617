//! What is remembered over failures, restarts and crashes.

use super::*;

async fn commit(store: &Store) {
    store.commit(vec![1], Vec::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn counters_go_on_after_a_restart() {
    for (config, before, after) in [
        (
            lifecycle(),
            [state("a", 1, "offered"), state("a", 5, "connected")],
            [state("a", 6, "completed"), state("a", 7, "completed")],
        ),
        (
            sequenced(),
            [number("a", 1), number("a", 2)],
            [number("a", 3), number("a", 4)],
        ),
        (
            clocked(),
            [clock("n", r#"{"n":1}"#), clock("m", r#"{"m":1,"n":1}"#)],
            [
                clock("m", r#"{"m":2,"n":1}"#),
                clock("n", r#"{"m":2,"n":2}"#),
            ],
        ),
    ] {
        let store = Store::memory_durable();
        let mut bench = Bench::over(&config, &store);
        is_ok(bench.send(&before).await).await;
        commit(&store).await;
        let mut bench = Bench::over(&config, &store);
        is_ok(bench.send(&after).await).await;
        assert_eq!(bench.went(), "0#3 1#4");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_after_a_crash_gets_the_same_counters() {
    let store = Store::memory_durable();
    let mut bench = Bench::over(&lifecycle(), &store);
    bench
        .send(&[state("a", 1, "offered"), state("a", 9, "completed")])
        .await;
    commit(&store).await;
    // These were answered, but nothing of it was committed when the process died.
    bench
        .send(&[state("a", 5, "connected"), state("a", 10, "completed")])
        .await;
    assert_eq!(bench.went(), "0#1 1#2 2#3+late 3#4");
    let mut bench = Bench::over(&lifecycle(), &store);
    bench.next = 2;
    bench
        .send(&[state("a", 5, "connected"), state("a", 10, "completed")])
        .await;
    assert_eq!(bench.went(), "2#3+late 3#4");
    commit(&store).await;
    // And when it was committed, but the broker did not hear of it.
    let mut bench = Bench::over(&lifecycle(), &store);
    bench.next = 2;
    bench
        .send(&[state("a", 5, "connected"), state("a", 10, "completed")])
        .await;
    is_ok(bench.send(&[state("a", 11, "completed")]).await).await;
    assert_eq!(bench.went(), "2#3+late 3#4 4#5");
}

#[tokio::test(start_paused = true)]
async fn a_failed_event_keeps_its_counter_for_its_redelivery() {
    let store = Store::memory_durable();
    let mut bench = Bench::over(&sequenced(), &store);
    let failing = |batch: Batch| {
        let origins = vec![batch.events()[0].origin];
        let cause = crate::failure::Cause::new("busy", "later");
        let failure = Failure::only(crate::failure::Kind::Transient, cause, origins);
        futures::future::ready(failure.map_or(Ok(()), Err)).boxed()
    };
    bench.answers(failing);
    let answer = bench.send(&[number("a", 1), number("a", 2)]).await;
    assert!(answer.await.unwrap().is_err());
    // The second was delivered: its number is nobody else's, now and after a crash.
    bench.answers(|_| futures::future::ready(Ok(())).boxed());
    commit(&store).await;
    let mut restarted = Bench::over(&sequenced(), &store);
    for bench in [&mut bench, &mut restarted] {
        bench.went();
        is_ok(bench.send(&[number("a", 3)]).await).await;
        is_ok(bench.send(&[number("a", 1)]).await).await;
        let shown = bench.went();
        let counters: Vec<&str> = shown
            .split(' ')
            .map(|e| &e[e.find('#').unwrap()..])
            .collect();
        assert_eq!(counters, ["#3", "#1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_not_made_durable() {
    let store = Store::memory_durable();
    let mut bench = Bench::over(&sequenced(), &store);
    bench.answers(|_| futures::future::ready(Err(Failure::transient("busy", "later"))).boxed());
    assert!(bench.send(&[number("a", 1)]).await.await.unwrap().is_err());
    commit(&store).await;
    let mut stored = 0;
    store
        .table("ordered")
        .scan(&mut |_, _| stored += 1)
        .unwrap();
    assert_eq!(stored, 0);
}

#[tokio::test(start_paused = true)]
async fn idle_conversations_are_forgotten_also_by_the_store() {
    let store = Store::memory_durable();
    let mut bench = Bench::over(&sequenced(), &store);
    is_ok(bench.send(&[number("private-key", 1)]).await).await;
    commit(&store).await;
    let mut keys = Vec::new();
    let table = store.table("ordered");
    table
        .scan(&mut |key, value| keys.push([key, value].concat()))
        .unwrap();
    assert_eq!(keys.len(), 1);
    assert!(!keys[0].windows(7).any(|part| part == b"private"));
    bench.wait(3_602_000).await;
    is_ok(bench.send(&[number("b", 1)]).await).await;
    is_ok(bench.send(&[number("private-key", 1)]).await).await;
    assert_eq!(bench.went(), "0#1 1#1 2#1");
    drop(bench);
    // Only `b` and the new life of the first remain.
    commit(&store).await;
    let mut stored = 0;
    table.scan(&mut |_, _| stored += 1).unwrap();
    assert!((1..=2).contains(&stored), "{stored}");
}

#[tokio::test(start_paused = true)]
async fn counters_that_another_system_remembers_go_on_where_they_are_further() {
    let store = Store::memory_durable();
    let mut config = lifecycle();
    let mut bench = Bench::over(&config, &store);
    is_ok(
        bench
            .send(&[state("a", 1, "initiated"), state("b", 1, "initiated")])
            .await,
    )
    .await;
    commit(&store).await;
    config.seeds = std::sync::Arc::new([("a".into(), 7), ("b".into(), 1), ("c".into(), 3)].into());
    let mut bench = Bench::over(&config, &store);
    // `c` has begun, so nothing waits for its beginning.
    let bodies = ["a", "b", "c", "d"].map(|id| state(id, 2, "connected"));
    drop(bench.send(&bodies).await);
    assert_eq!(bench.went(), "0#8 1#2 2#4");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_state_stops_the_start() {
    let store = Store::memory_durable();
    let put = crate::state::Op::Put {
        key: vec![1],
        value: vec![2],
    };
    store.table("ordered").note(1, put);
    commit(&store).await;
    let observer = Observer::new("p");
    let meter = observer.node("ordered", NodeKind::Transform, "causal_reorder");
    let (_phase, watch) = watch::channel(Phase::Running);
    let opened = CausalReorder::open(
        &sequenced(),
        store.table("ordered"),
        meter,
        watch,
        Lane::WHOLE,
    );
    assert_eq!(
        opened.err().unwrap().losses()[0].cause.reason,
        "state_corrupt"
    );
}

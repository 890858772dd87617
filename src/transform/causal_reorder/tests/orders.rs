//! Which event goes on when, and with what label.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_in_order_goes_straight_on() {
    for (config, bodies) in [
        (
            lifecycle(),
            [
                state("a", 1, "offered"),
                state("a", 1, "connected"),
                state("a", 2, "COMPLETED"),
            ],
        ),
        (
            sequenced(),
            [number("a", 1), number("a", 2), number("a", 3)],
        ),
        (
            clocked(),
            [
                clock("n", r#"{"n":1}"#),
                clock("m", r#"{"n":1,"m":1}"#),
                clock("n", r#"{"n":2,"m":1}"#),
            ],
        ),
    ] {
        let mut bench = Bench::new(&config);
        let answer = bench.send(&bodies).await;
        assert_eq!(bench.went(), "0#1 1#2 2#3");
        assert_eq!(*bench.batches.lock().unwrap(), [3]);
        is_ok(answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_opener_lets_those_that_wait_follow_in_order_of_time() {
    let mut bench = Bench::new(&lifecycle());
    let first = [state("a", 9, "completed"), state("b", 1, "initiated")];
    let first = bench.send(&first).await;
    let second = bench.send(&[state("a", 5, "connected")]).await;
    assert_eq!(bench.went(), "1#1");
    assert!(!first.is_finished() && !second.is_finished());
    let third = bench
        .send(&[state("a", 7, "offered"), state("b", 2, "connected")])
        .await;
    // The opener's own clock runs ahead: that makes nobody late who waited for it.
    assert_eq!(bench.went(), "3#1 2#2 0#3 4#2");
    for answer in [first, second, third] {
        is_ok(answer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_orphan_waits_no_longer_than_it_must() {
    let mut bench = Bench::new(&lifecycle());
    let first = bench.send(&[state("a", 9, "completed")]).await;
    bench.wait(1000).await;
    let second = bench
        .send(&[state("a", 5, "connected"), state("a", 10, "completed")])
        .await;
    bench.wait(990).await;
    assert_eq!(bench.went(), "");
    bench.wait(20).await;
    // What precedes it goes with it.
    assert_eq!(bench.went(), "1#1+orphan 0#2+orphan");
    is_ok(first).await;
    bench.wait(1000).await;
    assert_eq!(bench.went(), "2#3+orphan");
    is_ok(second).await;
    assert!(
        bench.labels().contains(r#""orphan":3"#),
        "{}",
        bench.labels()
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_put_in_order_where_its_events_lie() {
    let mut bench = Bench::new(&lifecycle());
    let batch = [
        state("a", 3, "completed"),
        state("b", 5, "offered"),
        state("a", 1, "connected"),
        state("b", 4, "offered"),
        state("a", 1, "offered"),
        state("c", 1, "offered"),
    ];
    is_ok(bench.send(&batch).await).await;
    assert_eq!(bench.went(), "4#1 3#1 2#2 1#2 0#3 5#1");
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_its_successor_is_late() {
    let mut bench = Bench::new(&lifecycle());
    let opened = [state("a", 1, "offered"), state("a", 5, "completed")];
    is_ok(bench.send(&opened).await).await;
    let late = [
        state("a", 4, "completed"),
        state("a", 5, "connected"),
        state("a", 5, "parked"),
        state("a", 4, "parked"),
    ];
    is_ok(bench.send(&late).await).await;
    // An unknown state has no rank: only its time can make it late.
    assert_eq!(bench.went(), "0#1 1#2 2#3+late 5#4+late 3#5+late 4#6");
    assert!(bench.labels().contains(r#""unknown_state":2"#));

    let mut bench = Bench::new(&sequenced());
    is_ok(bench.send(&[number("a", 1), number("a", 2)]).await).await;
    let again = r#"{"id":"a","at":9,"n":1}"#;
    is_ok(bench.send(&[again]).await).await;
    assert_eq!(bench.went(), "0#1 1#2 2#3+late");
}

#[tokio::test(start_paused = true)]
async fn an_optional_opener_holds_nobody() {
    let mut config = lifecycle();
    if let By::Lifecycle(lifecycle) = &mut config.by {
        lifecycle.opener_required = false;
    }
    let mut bench = Bench::new(&config);
    is_ok(bench.send(&[state("a", 3, "completed")]).await).await;
    assert_eq!(bench.went(), "0#1");
}

#[tokio::test(start_paused = true)]
async fn a_watermark_puts_times_in_order_over_batches() {
    let mut config = lifecycle();
    config.lateness = Duration::from_secs(10);
    let mut bench = Bench::new(&config);
    let first = bench
        .send(&[state("a", 15, "connected"), state("a", 12, "offered")])
        .await;
    let second = bench
        .send(&[state("a", 11, "offered"), state("b", 22, "offered")])
        .await;
    assert_eq!(bench.went(), "2#1 1#2");
    let third = bench
        .send(&[state("b", 26, "connected"), state("b", 25, "connected")])
        .await;
    assert_eq!(bench.went(), "0#3");
    is_ok(first).await;
    bench.wait(2001).await;
    assert_eq!(bench.went(), "3#1 5#2 4#3");
    is_ok(second).await;
    is_ok(third).await;
    // What the watermark has passed goes straight on, late if its conversation is past it.
    is_ok(
        bench
            .send(&[state("a", 14, "connected"), state("c", 2, "offered")])
            .await,
    )
    .await;
    assert_eq!(bench.went(), "7#1 6#4+late");
}

#[tokio::test(start_paused = true)]
async fn under_a_watermark_an_opener_is_still_waited_for_and_found() {
    let mut config = lifecycle();
    config.lateness = Duration::from_secs(10);
    let mut bench = Bench::new(&config);
    bench
        .send(&[state("a", 1, "connected"), state("b", 20, "offered")])
        .await;
    assert_eq!(bench.went(), "");
    bench.wait(1000).await;
    bench.send(&[state("a", 19, "offered")]).await;
    bench.wait(1001).await;
    // The opener waits for the watermark, but it is there when the time is up.
    assert_eq!(bench.went(), "2#1 0#2 1#1");
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_waited_for_and_then_named() {
    let mut bench = Bench::new(&sequenced());
    let first = bench.send(&[number("a", 3), number("a", 1)]).await;
    assert_eq!(bench.went(), "1#1");
    is_ok(bench.send(&[number("a", 2)]).await).await;
    assert_eq!(bench.went(), "2#2 0#3");
    is_ok(first).await;
    let held = bench
        .send(&[
            number("a", 7),
            number("a", 5),
            number("a", 6),
            number("a", 9),
        ])
        .await;
    bench.wait(1999).await;
    assert_eq!(bench.went(), "");
    bench.wait(2).await;
    assert_eq!(bench.went(), "4#4+gap 5#5 3#6 6#7+gap");
    is_ok(held).await;
    is_ok(bench.send(&[number("a", 4), number("a", 10)]).await).await;
    assert_eq!(bench.went(), "7#8+late 8#9");
}

#[tokio::test(start_paused = true)]
async fn clocks_hold_back_what_has_seen_more() {
    let mut bench = Bench::new(&clocked());
    let effect = bench
        .send(&[clock("m", r#"{"n":2,"m":1}"#), clock("n", r#"{"n":2}"#)])
        .await;
    assert_eq!(bench.went(), "");
    let cause = bench.send(&[clock("n", r#"{"n":1}"#)]).await;
    assert_eq!(bench.went(), "2#1 1#2 0#3");
    is_ok(effect).await;
    is_ok(cause).await;
    // Neither knows of the other; one that was seen already; one whose cause never comes.
    let rest = [
        clock("k", r#"{"k":1,"n":1}"#),
        r#"{"id":"x","at":2,"node":"n","clock":{"n":2,"k":1}}"#.into(),
        clock("n", r#"{"n":4,"m":1,"k":1}"#),
    ];
    let rest = bench.send(&rest).await;
    assert_eq!(bench.went(), "3#4+concurrent 4#5+late");
    bench.wait(2001).await;
    assert_eq!(bench.went(), "5#6+gap");
    is_ok(rest).await;
}

#[tokio::test(start_paused = true)]
async fn an_overflow_lets_the_longest_held_go() {
    let mut config = sequenced();
    config.max_held = 2;
    let mut bench = Bench::new(&config);
    let first = bench.send(&[number("a", 5), number("b", 5)]).await;
    assert_eq!(bench.went(), "");
    bench.send(&[number("c", 5)]).await;
    assert_eq!(bench.went(), "0#1+gap");
    assert!(!first.is_finished());
    bench.send(&[number("d", 5)]).await;
    assert_eq!(bench.went(), "1#1+gap");
    is_ok(first).await;
    assert!(bench.labels().contains(r#""held_overflow":2"#));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_the_input_nothing_waits() {
    let mut config = lifecycle();
    config.lateness = Duration::from_secs(10);
    let mut bench = Bench::new(&config);
    let held = bench
        .send(&[state("a", 3, "completed"), state("a", 2, "connected")])
        .await;
    bench.phase.send(Phase::InputEnded).unwrap();
    bench.rest().await;
    assert_eq!(bench.went(), "1#1+orphan 0#2+orphan");
    is_ok(held).await;
    is_ok(
        bench
            .send(&[state("b", 3, "completed"), state("b", 2, "offered")])
            .await,
    )
    .await;
    assert_eq!(bench.went(), "3#1 2#2");
}

#[tokio::test(start_paused = true)]
async fn states_of_different_participants_at_one_time_come_in_any_order() {
    let mut config = lifecycle();
    let By::Lifecycle(lifecycle) = &mut config.by else {
        unreachable!("it is")
    };
    lifecycle.participant = Some(path(".who"));
    let mut bench = Bench::new(&config);
    let of = |who: &str, at: u32, state: &str| {
        format!(r#"{{"id":"a","who":"{who}","at":{at},"state":"{state}"}}"#)
    };
    for told in [
        of("ann", 1, "initiated"),
        of("ann", 2, "completed"),
        of("bob", 2, "connected"),
        of("ann", 2, "connected"),
        of("bob", 1, "connected"),
    ] {
        is_ok(bench.send(&[told]).await).await;
    }
    // What one did itself has an order, and an earlier time is earlier whoever it is about.
    assert_eq!(bench.went(), "0#1 1#2 2#3 3#4+late 4#5+late");
}

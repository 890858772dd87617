use super::*;
use crate::failure::{Kind, Loss};

#[tokio::test(start_paused = true)]
async fn drops_repeats_and_keeps_order() {
    let mut bed = Bed::new(&by_id());
    bed.deliver(ids(1, [1, 2, 3])).await;
    bed.drops(ids(2, [3, 1])).await;
    let answer = bed.send(ids(3, [2, 4, 1, 5])).await;
    let [arrived] = bed.only();
    assert_eq!(indices(&arrived.batch), [1, 3]);
    arrived.answer.send(Ok(())).unwrap();
    answer.await.unwrap().unwrap();
    assert_eq!(bed.dropped(), 4);
}

#[tokio::test(start_paused = true)]
async fn forgets_exactly_after_the_window() {
    let mut bed = Bed::new(&by_id());
    bed.deliver(ids(1, [1])).await;
    tokio::time::advance(WINDOW - Duration::from_nanos(1)).await;
    bed.drops(ids(2, [1])).await;
    // A repeat does not make it younger.
    tokio::time::advance(Duration::from_nanos(1)).await;
    bed.deliver(ids(3, [1])).await;
    bed.drops(ids(4, [1])).await;
    // Half a window later there are two generations; each key keeps its own time.
    tokio::time::advance(WINDOW / 2).await;
    bed.deliver(ids(5, [2])).await;
    tokio::time::advance(WINDOW / 2).await;
    bed.drops(ids(6, [2])).await;
    bed.deliver(ids(7, [1])).await;
}

#[tokio::test(start_paused = true)]
async fn remembers_at_least_the_last_keys_and_at_most_twice_as_many() {
    let few = config([("key", text(".id")), ("max_keys", Value::Int(100))]).unwrap();
    let mut bed = Bed::new(&few);
    for id in 0..1000 {
        bed.deliver(ids(1, [id])).await;
        bed.drops(ids(2, [id.saturating_sub(99)])).await;
    }
    // Those that were forgotten go on again, the older the sooner.
    let answer = bed
        .send(
            (0..800)
                .map(|id| event(&format!("{{\"id\":{id}}}"), Origin::new(3, id)))
                .collect(),
        )
        .await;
    let [arrived] = bed.only();
    assert_eq!(arrived.batch.len(), 800);
    arrived.answer.send(Ok(())).unwrap();
    answer.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_in_flight_waits_and_is_dropped_when_the_first_is_delivered() {
    let mut bed = Bed::new(&by_id());
    let first = bed.send(ids(1, [1, 1])).await;
    let second = bed.send(ids(2, [1])).await;
    let [arrived] = bed.only();
    assert_eq!(indices(&arrived.batch), [0]);
    assert!(!first.is_finished() && !second.is_finished());
    assert_eq!(bed.dropped(), 0);
    arrived.answer.send(Ok(())).unwrap();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(bed.dropped(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_in_flight_shares_the_failure_and_the_key_is_free_again() {
    let mut bed = Bed::new(&by_id());
    let (one, two) = (ids(1, [1, 1, 2]), ids(2, [3, 1]));
    let first = bed.send(one.clone()).await;
    let second = bed.send(two.clone()).await;
    let [a, b] = bed.only();
    b.answer.send(Ok(())).unwrap();
    settle().await;
    assert!(!second.is_finished(), "it still waits for the first");
    let failure = Failure::new(Kind::Rejected, Cause::new("schema", "no")).at(&"sink".into());
    let only = Loss {
        which: crate::failure::Which::Only(vec![Origin::new(1, 0)]),
        ..failure.losses()[0].clone()
    };
    a.answer
        .send(Err(Failure::from_losses(vec![only]).unwrap()))
        .unwrap();

    let first = first.await.unwrap();
    assert_eq!(lost_indices(&first, &one), [0, 1].into());
    let second = second.await.unwrap();
    assert_eq!(lost_indices(&second, &two), [1].into());
    let loss = &second.as_ref().unwrap_err().losses()[0];
    assert_eq!(
        (loss.kind, &*loss.node, loss.cause.reason),
        (Kind::Rejected, "sink", "schema")
    );
    assert_eq!(bed.dropped(), 0);

    // What failed passes when it comes again; what did not is a duplicate.
    bed.drops(ids(3, [2, 3])).await;
    bed.deliver(ids(1, [1])).await;
    bed.drops(ids(4, [1])).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_all_means_those_that_went_on() {
    let mut bed = Bed::new(&by_id());
    bed.deliver(ids(1, [1])).await;
    let batch = ids(2, [1, 2, 3]);
    let answer = bed.send(batch.clone()).await;
    let [arrived] = bed.only();
    arrived
        .answer
        .send(Err(Failure::transient("timeout", "slow")))
        .unwrap();
    assert_eq!(lost_indices(&answer.await.unwrap(), &batch), [1, 2].into());
    assert_eq!(bed.dropped(), 1);
    bed.deliver(ids(2, [2, 3])).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_frees_the_keys_and_fails_who_waits() {
    let mut bed = Bed::new(&by_id());
    for panics in [false, true] {
        let first = bed.send(ids(1, [1, 2])).await;
        let batch = ids(2, [2]);
        let second = bed.send(batch.clone()).await;
        let [arrived] = bed.only();
        if panics {
            drop(arrived.answer);
        } else {
            first.abort();
        }
        let second = second.await.unwrap();
        assert_eq!(lost_indices(&second, &batch), [0].into());
        assert_eq!(second.unwrap_err().kind(), Kind::Transient);
        assert!(first.await.is_err());
    }
    bed.deliver(ids(1, [1, 2])).await;
    // A call whose future is never polled holds nothing either.
    drop(bed.stage.ready().await.unwrap().call(ids(3, [7])));
    bed.arrived();
    bed.deliver(ids(3, [7])).await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_typed_and_parts_do_not_run_together() {
    let mut bed = Bed::new(&by_id());
    let unlike = [
        r#"{"id":1}"#,
        r#"{"id":"1"}"#,
        r#"{"id":true}"#,
        r#"{"id":"true"}"#,
        r#"{"id":""}"#,
        r#"{"id":1.5}"#,
    ];
    bed.deliver(bodies(1, unlike)).await;
    bed.drops(bodies(2, [r#"{"id":1.0}"#, "{ \"id\": \"\\u0031\" }"]))
        .await;

    let two = Value::List(vec![node(text(".a")), node(text(".b.c"))]);
    let mut bed = Bed::new(&config([("key", two)]).unwrap());
    let unlike = [
        r#"{"a":"x","b":{"c":"yz"}}"#,
        r#"{"a":"xy","b":{"c":"z"}}"#,
        r#"{"a":"x","b":{"c":1}}"#,
        r#"{"a":1,"b":{"c":"x"}}"#,
    ];
    bed.deliver(bodies(1, unlike)).await;
    bed.drops(bodies(2, [r#"{"b":{"c":"yz"},"a":"x","more":1}"#]))
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_key_is_refused_or_passes() {
    let keys = || Value::List(vec![node(text(".id")), node(text(".at"))]);
    let batch = || {
        bodies(
            1,
            [
                r#"{"id":1}"#,
                r#"{"id":1,"at":2}"#,
                r#"{"id":null,"at":2}"#,
                r#"{"id":[1],"at":2}"#,
            ],
        )
    };
    let mut bed = Bed::new(&config([("key", keys())]).unwrap());
    let answer = bed.send(batch()).await;
    let [arrived] = bed.only();
    assert_eq!(indices(&arrived.batch), [1]);
    arrived.answer.send(Ok(())).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(lost_indices(&answer, &batch()), [0, 2, 3].into());
    let failure = answer.unwrap_err();
    assert_eq!(
        (failure.kind(), failure.losses()[0].cause.reason),
        (Kind::Rejected, "missing_key")
    );
    assert!(failure.to_string().contains("`.id`, `.at`"), "{failure}");

    let passing = config([("key", keys()), ("missing_key", text("pass"))]).unwrap();
    let mut bed = Bed::new(&passing);
    bed.deliver(batch()).await;
    let answer = bed.send(batch()).await;
    let [arrived] = bed.only();
    assert_eq!(indices(&arrived.batch), [0, 2, 3]);
    arrived
        .answer
        .send(Err(Failure::transient("busy", "busy")))
        .unwrap();
    assert_eq!(
        lost_indices(&answer.await.unwrap(), &batch()),
        [0, 2, 3].into()
    );
}

#[test]
fn reads_its_settings() {
    let read = config([("key", text(".id"))]).unwrap();
    assert_eq!((read.window, read.max_keys), (WINDOW, MAX_KEYS));
    assert_eq!(read.missing_key, MissingKey::Reject);
    assert_eq!(config([]).unwrap_err(), ["missing-field"]);
    let wrong = [
        ("key", text(".a[].b")),
        ("window", text("0s")),
        ("max_keys", Value::Int(0)),
        ("missing_key", text("drop")),
    ];
    let expected = [
        "unknown-value",
        "out-of-range",
        "out-of-range",
        "bad-field-path",
    ];
    assert_eq!(config(wrong).unwrap_err(), expected);
    assert_eq!(
        config([("key", text("id"))]).unwrap_err(),
        ["bad-field-path"]
    );

    let mut read = read;
    let mut seen = Vec::new();
    read.paths(&mut |path| seen.push(path.to_string()));
    assert_eq!(seen, [".id"]);
}

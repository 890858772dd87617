//! What the state store brings back, and what is forgotten.

use super::*;

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..2 {
        let open = || match round {
            0 => Store::memory_durable(),
            _ => Store::open(folder.path(), None).unwrap(),
        };
        let mut store = open();
        let bed = Bed::new(defaults(), &store).await;
        let calls = |delivery, from: i64| {
            (from..from + 30).map(move |n| {
                let state = if n % 3 == 0 {
                    "disconnected"
                } else {
                    "connected"
                };
                event(delivery, &format!("c{n}"), "p", state, n * 60)
            })
        };
        bed.sink.write(batch(calls(1, 0).collect())).await.unwrap();
        bed.pass(5);
        bed.sink.write(batch(calls(2, 30).collect())).await.unwrap();
        commit(&store, &[1, 2]).await;
        let before = (
            bed.ask("state", &[]).await,
            bed.ask("interactions/c7", &[]).await,
        );
        let mut bed = bed;
        if round == 1 {
            let clock = bed.clock.clone();
            drop((bed, store));
            store = open();
            bed = Bed::with(defaults(), &store, &Observer::new("p"), clock).await;
        } else {
            bed = bed.again(defaults(), &store).await;
        }
        let after = (
            bed.ask("state", &[]).await,
            bed.ask("interactions/c7", &[]).await,
        );
        assert_eq!(before, after);
        assert_eq!((bed.active().await, bed.total().await), (40, 60));
        // A repeat is a repeat after a restart too.
        bed.sink.write(batch(calls(3, 0).collect())).await.unwrap();
        assert_eq!((bed.active().await, bed.total().await), (40, 60));
        assert_eq!(bed.store.pending(), 0, "and writes nothing");
    }
}

#[tokio::test]
async fn whatever_a_crash_leaves_of_two_deliveries_nothing_counts_twice() {
    let first = || {
        batch(vec![
            event(1, "a", "p", "connected", 0),
            event(1, "b", "p", "held", 0),
        ])
    };
    let second = || batch(vec![event(2, "a", "q", "connected", 1)]);
    for committed in [&[][..], &[1], &[2], &[2, 1]] {
        let store = Store::memory_durable();
        let bed = Bed::new(defaults(), &store).await;
        bed.sink.write(first()).await.unwrap();
        bed.sink.write(second()).await.unwrap();
        commit(&store, committed).await;
        let bed = bed.again(defaults(), &store).await;
        // What was not settled comes again; what was settled may come again too.
        bed.sink.write(first()).await.unwrap();
        bed.sink.write(second()).await.unwrap();
        assert_eq!(
            (bed.active().await, bed.total().await),
            (1, 3),
            "{committed:?}"
        );
    }
}

#[tokio::test]
async fn what_ended_is_forgotten_after_its_time_and_its_activity_stays() {
    let store = Store::memory_durable();
    let bed = Bed::new(defaults(), &store).await;
    let call = vec![
        event(1, "a", "p", "connected", 0),
        event(1, "a", "p", "disconnected", 30),
        event(1, "open", "p", "connected", 30),
    ];
    bed.sink.write(batch(call)).await.unwrap();
    commit(&store, &[1]).await;
    bed.pass(3599);
    bed.sink
        .write(batch(vec![event(2, "later", "p", "held", 3599)]))
        .await
        .unwrap();
    assert_eq!(bed.figure("remembered_interactions"), 3);
    bed.pass(1);
    bed.sink
        .write(batch(vec![event(3, "later", "p", "held", 3600)]))
        .await
        .unwrap();
    assert_eq!(bed.ask("interactions/a", &[]).await.status, 404);
    assert_eq!((bed.active().await, bed.total().await), (1, 5));
    // One commit has both: the conversation gone, and the minutes that count it.
    commit(&store, &[2, 3]).await;
    let bed = bed.again(defaults(), &store).await;
    assert_eq!((bed.active().await, bed.total().await), (1, 5));
    assert_eq!(bed.figure("remembered_interactions"), 2);
    // Its grave is cleared away, and one of the same id is another.
    bed.sink
        .write(batch(vec![event(4, "a", "p", "connected", 4000)]))
        .await
        .unwrap();
    commit(&store, &[4]).await;
    let bed = bed.again(defaults(), &store).await;
    assert_eq!((bed.active().await, bed.total().await), (2, 6));
}

#[tokio::test]
async fn a_change_under_way_does_not_bring_back_what_is_forgotten() {
    let store = Store::memory_durable();
    let mut config = defaults();
    config.max_interactions = 1;
    let bed = Bed::new(config.clone(), &store).await;
    bed.sink
        .write(batch(vec![event(1, "a", "p", "connected", 0)]))
        .await
        .unwrap();
    bed.sink
        .write(batch(vec![event(2, "b", "p", "connected", 0)]))
        .await
        .unwrap();
    assert_eq!(
        (bed.figure("crowded_out_interactions"), bed.active().await),
        (1, 1)
    );
    assert!(
        bed.observer
            .alerts()
            .iter()
            .any(|alert| alert.name == "interactions_full")
    );
    // `a` went with the commit of 2, and its own row comes after that.
    commit(&store, &[2]).await;
    commit(&store, &[1]).await;
    let bed = bed.again(config, &store).await;
    assert_eq!((bed.active().await, bed.total().await), (1, 2));
    assert_eq!(bed.ask("interactions/a", &[]).await.status, 404);
}

#[tokio::test]
async fn days_beyond_the_retention_go_and_are_not_said_to_be_empty() {
    let store = Store::memory_durable();
    let mut config = defaults();
    config.retention = std::time::Duration::from_secs(86_400);
    config.forget_after = std::time::Duration::from_secs(1);
    let bed = Bed::new(config.clone(), &store).await;
    for day in 0..5 {
        let over = event(day, &format!("c{day}"), "p", "ended", day as i64 * 86_400);
        bed.sink.write(batch(vec![over])).await.unwrap();
        bed.pass(86_400);
        commit(&store, &[day]).await;
    }
    let day = async |bed: &Bed, date: &str| {
        let answer = bed.ask("heatmap", &[("date", date)]).await;
        let heatmap: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, heatmap["total"].as_u64())
    };
    assert_eq!(day(&bed, "2026-11-21").await, (404, None));
    assert_eq!(day(&bed, "2026-11-22").await, (200, Some(1)));
    bed.sink
        .write(batch(vec![event(9, "old", "p", "ended", 0)]))
        .await
        .unwrap();
    assert_eq!(bed.figure("events_outside_retention"), 1);
    commit(&store, &[9]).await;
    let bed = bed.again(config, &store).await;
    assert_eq!(day(&bed, "2026-11-21").await, (404, None));
    assert_eq!(day(&bed, "2026-11-24").await, (200, Some(1)));
}

use super::*;

fn rows(store: &Store) -> usize {
    let mut rows = 0;
    store.table("unique").scan(&mut |_, _| rows += 1).unwrap();
    rows
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_the_window_of_what_was_committed() {
    let store = Store::memory_durable();
    let mut bed = Bed::over(&by_id(), &store, 1_000_000);
    let mixed: Vec<Event> = [ids(1, [1, 2]), ids(2, [3])]
        .iter()
        .flatten()
        .cloned()
        .collect();
    bed.deliver(mixed.into()).await;
    tokio::time::advance(WINDOW / 2).await;
    bed.deliver(ids(3, [4])).await;
    assert_eq!(store.pending(), 3);
    store.commit(vec![1, 3], vec![]).await.unwrap();
    assert_eq!(rows(&store), 2);

    // Some time passes before the next run: 1 and 2 are too old by then, 4 is not, and 3 is not
    // remembered since its delivery was never committed.
    let later = 1_000_000 + WINDOW.as_millis() as u64 - 1;
    let mut bed = Bed::over(&by_id(), &store, later);
    bed.drops(ids(4, [1, 2, 4])).await;
    tokio::time::advance(Duration::from_millis(1)).await;
    bed.deliver(ids(5, [1, 2, 3])).await;
    bed.drops(ids(6, [4])).await;

    let mut bed = Bed::over(&by_id(), &store, later + 10_000_000);
    bed.deliver(ids(7, [1, 4])).await;
    store.commit(vec![7], vec![]).await.unwrap();
    assert_eq!(rows(&store), 1, "rows that are too old are removed");
}

#[tokio::test(start_paused = true)]
async fn only_what_was_delivered_is_written() {
    let store = Store::memory_durable();
    let mut bed = Bed::over(&by_id(), &store, 0);
    let answer = bed.send(ids(1, [1, 2, 2])).await;
    let [arrived] = bed.only();
    assert_eq!(store.pending(), 0, "nothing is written before the answer");
    let cause = Cause::new("busy", "busy");
    let lost = Failure::only(
        crate::failure::Kind::Transient,
        cause,
        vec![Origin::new(1, 0)],
    );
    arrived.answer.send(Err(lost.unwrap())).unwrap();
    answer.await.unwrap().unwrap_err();
    store.commit(vec![1], vec![]).await.unwrap();

    let mut bed = Bed::over(&by_id(), &store, 0);
    bed.drops(ids(2, [2])).await;
    bed.deliver(ids(2, [1])).await;
}

#[tokio::test(start_paused = true)]
async fn rows_are_bounded_as_the_window_is() {
    let store = Store::memory_durable();
    let few = config([("key", text(".id")), ("max_keys", Value::Int(50))]).unwrap();
    let mut bed = Bed::over(&few, &store, 0);
    for id in 0..2000u32 {
        bed.deliver(ids(id.into(), [id])).await;
        store.commit(vec![id.into()], vec![]).await.unwrap();
        assert!(rows(&store) <= 102, "{} rows after {id}", rows(&store));
    }
    let mut bed = Bed::over(&few, &store, 0);
    for id in (1950..2000).rev() {
        bed.drops(ids(1, [id])).await;
    }
    // Opening keeps no more than it must, and has the others removed.
    bed.deliver(ids(3000, [1900])).await;
    store.commit(vec![3000], vec![]).await.unwrap();
    assert!(rows(&store) <= 52, "{} rows", rows(&store));
}

#[tokio::test(start_paused = true)]
async fn rows_that_make_no_sense_are_removed() {
    let store = Store::memory_durable();
    for (key, value) in [
        (vec![1], vec![0; 24]),
        (vec![0; 8], vec![0; 25]),
        (vec![1; 8], vec![]),
        (vec![255; 8], vec![0; 24]),
    ] {
        store
            .table("unique")
            .note(1, crate::state::Op::Put { key, value });
    }
    store.commit(vec![1], vec![]).await.unwrap();
    let mut bed = Bed::over(&by_id(), &store, 0);
    bed.deliver(ids(2, [1])).await;
    store.commit(vec![2], vec![]).await.unwrap();
    assert_eq!(rows(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_not_durable_is_left_alone() {
    let store = Store::memory();
    let mut bed = Bed::over(&by_id(), &store, 0);
    bed.deliver(ids(1, [1])).await;
    assert_eq!(store.pending(), 0);
}

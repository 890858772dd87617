//! Several lanes over one store, and starts with another number of them.

use super::*;

async fn send(bench: &mut Bench, store: &Store, id: &str, at: u32, what: &str) -> String {
    is_ok(bench.send(&[state(id, at, what)]).await).await;
    store.commit(vec![1], Vec::new()).await.unwrap();
    let went = bench.went();
    went[went.find('#').unwrap()..].to_owned()
}

fn lane(index: u32, of: u32) -> Lane {
    Lane { index, of }
}

fn stored(store: &Store) -> usize {
    let mut rows = 0;
    store.table("ordered").scan(&mut |_, _| rows += 1).unwrap();
    rows
}

#[tokio::test(start_paused = true)]
async fn counters_go_on_whatever_number_of_lanes_comes_after() {
    let store = Store::memory_durable();
    // Conversation `a` is in the last lane of every run.
    for (turn, of) in [1, 2, 4, 4, 1, 3].into_iter().enumerate() {
        let turn = turn as u32;
        let mut bench = Bench::of_lane(&lifecycle(), &store, lane(of - 1, of));
        let mut others: Vec<Bench> = (0..of - 1)
            .map(|index| Bench::of_lane(&lifecycle(), &store, lane(index, of)))
            .collect();
        let what = if turn == 0 { "offered" } else { "connected" };
        let went = send(&mut bench, &store, "a", turn, what).await;
        assert_eq!(went, format!("#{}", turn + 1));
        for (index, other) in others.iter_mut().enumerate() {
            let id = format!("{of}-{turn}-{index}");
            assert_eq!(send(other, &store, &id, turn, "offered").await, "#1");
        }
    }
    assert_eq!(stored(&store), 1 + 1 + 3 + 3 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_lane_removes_what_is_idle_but_not_what_another_goes_on_with() {
    let mut few = lifecycle();
    few.idle = Duration::from_secs(60);
    let store = Store::memory_durable();
    let mut whole = Bench::over(&few, &store);
    for id in ["a", "b"] {
        send(&mut whole, &store, id, 1, "offered").await;
    }
    let mut first = Bench::of_lane(&few, &store, lane(0, 2));
    let mut second = Bench::of_lane(&few, &store, lane(1, 2));
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(send(&mut second, &store, "b", 2, "connected").await, "#2");
    tokio::time::advance(Duration::from_secs(30)).await;
    // Both are idle to the first lane; `b` is not to the second.
    send(&mut first, &store, "c", 1, "offered").await;
    send(&mut first, &store, "c", 2, "connected").await;
    assert_eq!(stored(&store), 2, "`a` is gone");
    let mut again = Bench::of_lane(&few, &store, lane(1, 2));
    assert_eq!(send(&mut again, &store, "b", 3, "completed").await, "#3");
}

#[tokio::test(start_paused = true)]
async fn want_of_room_in_one_lane_takes_nothing_from_another() {
    let mut few = lifecycle();
    few.max_conversations = 4;
    let store = Store::memory_durable();
    let mut whole = Bench::over(&few, &store);
    for id in ["a", "b", "c", "d"] {
        send(&mut whole, &store, id, 1, "offered").await;
    }
    let mut first = Bench::of_lane(&few, &store, lane(0, 2));
    for n in 0..20 {
        send(&mut first, &store, &n.to_string(), 1, "offered").await;
    }
    // As if it had been started after a crash of both.
    let mut second = Bench::of_lane(&few, &store, lane(1, 2));
    for id in ["a", "b", "c", "d"] {
        assert_eq!(send(&mut second, &store, id, 2, "connected").await, "#2");
    }
    assert!(stored(&store) <= 4 + 4 + 2, "{}", stored(&store));
}

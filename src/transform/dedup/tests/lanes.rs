//! Several lanes over one store, and starts with another number of them.

use super::*;

/// The lanes of one run; a key's lane is its rest by their number.
struct Lanes(Vec<Bed>);

impl Lanes {
    fn over(config: &Config, store: &Store, wall: u64, of: u32) -> Self {
        let lane = |index| Bed::of_lane(config, store, wall, Lane { index, of });
        Self((0..of).map(lane).collect())
    }

    fn of(&mut self, id: u32) -> &mut Bed {
        let count = self.0.len();
        &mut self.0[id as usize % count]
    }

    async fn deliver(&mut self, store: &Store, delivery: u64, id: u32) {
        self.of(id).deliver(ids(delivery, [id])).await;
        store.commit(vec![delivery], vec![]).await.unwrap();
    }
}

fn rows(store: &Store) -> usize {
    let mut rows = 0;
    store.table("unique").scan(&mut |_, _| rows += 1).unwrap();
    rows
}

#[tokio::test(start_paused = true)]
async fn a_key_is_known_whatever_number_of_lanes_comes_after() {
    let store = Store::memory_durable();
    let mut next = 0;
    // The last run remembers what each of those before it brought.
    for of in [1, 2, 4, 4, 1, 3] {
        let mut lanes = Lanes::over(&by_id(), &store, 1_000_000, of);
        for id in 0..next {
            lanes.of(id).drops(ids(1, [id])).await;
        }
        for id in next..next + 12 {
            lanes.deliver(&store, id.into(), id).await;
        }
        next += 12;
        assert_eq!(rows(&store), next as usize, "no two rows share a key");
    }
}

#[tokio::test(start_paused = true)]
async fn each_lane_has_its_share_of_the_keys_and_forgets_none_early() {
    let few = config([("key", text(".id")), ("max_keys", Value::Int(40))]).unwrap();
    let store = Store::memory_durable();
    let mut whole = Lanes::over(&few, &store, 0, 1);
    for id in 0..40 {
        whole.deliver(&store, id.into(), id).await;
    }
    let mut lanes = Lanes::over(&few, &store, 0, 4);
    // The share of a lane is 10. What it took over is forgotten when 10 new ones have come.
    for id in 40..76 {
        lanes.deliver(&store, id.into(), id).await;
    }
    for id in 0..40 {
        lanes.of(id).drops(ids(99, [id])).await;
    }
    for id in 76..400 {
        lanes.deliver(&store, id.into(), id).await;
    }
    for id in 360..400 {
        lanes.of(id).drops(ids(99, [id])).await;
    }
    for lane in 0..4 {
        lanes.of(lane).deliver(ids(500, [lane])).await;
    }
}

/// A lane with many keys of its own has no room for all that it took over; another may have.
#[tokio::test(start_paused = true)]
async fn no_lane_removes_what_another_took_over() {
    let few = config([("key", text(".id")), ("max_keys", Value::Int(40))]).unwrap();
    let store = Store::memory_durable();
    let mut whole = Lanes::over(&few, &store, 0, 1);
    for id in 0..40 {
        whole.deliver(&store, id.into(), id).await;
    }
    let mut lanes = Lanes::over(&few, &store, 0, 2);
    for id in (100..130).step_by(2) {
        lanes.deliver(&store, id.into(), id).await;
    }
    // What the start removes is committed with the next delivery.
    let mut lanes = Lanes::over(&few, &store, 0, 2);
    lanes.deliver(&store, 130, 130).await;
    let mut lanes = Lanes::over(&few, &store, 0, 2);
    for id in (1..40).step_by(2) {
        lanes.of(id).drops(ids(200, [id])).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rows_do_not_pile_up_over_starts_with_other_numbers_of_lanes() {
    let few = config([("key", text(".id")), ("max_keys", Value::Int(40))]).unwrap();
    let store = Store::memory_durable();
    let (mut delivery, mut wall) = (0, 0);
    for start in 0..24 {
        let of = [1, 2, 4][start % 3];
        let mut lanes = Lanes::over(&few, &store, wall, of);
        for _ in 0..100 {
            lanes.deliver(&store, delivery.into(), delivery).await;
            delivery += 1;
        }
        // Twice the bound for each number of lanes that was there within the window.
        assert!(rows(&store) <= 3 * 82, "{} rows", rows(&store));
        wall += 60_000;
    }
    // Once the window has passed the rows of the other numbers of lanes are gone.
    wall += WINDOW.as_millis() as u64;
    let mut lanes = Lanes::over(&few, &store, wall, 2);
    for id in 0..10 {
        lanes.deliver(&store, id, 1_000_000 + id as u32).await;
    }
    assert_eq!(rows(&store), 10);
}

#[tokio::test(start_paused = true)]
async fn rows_of_other_lanes_are_removed_while_running_once_they_are_old() {
    let store = Store::memory_durable();
    let mut whole = Lanes::over(&by_id(), &store, 0, 1);
    for id in 0..9 {
        whole.deliver(&store, id.into(), id).await;
    }
    let mut lanes = Lanes::over(&by_id(), &store, 0, 2);
    lanes.deliver(&store, 100, 100).await;
    assert_eq!(rows(&store), 10);
    tokio::time::advance(WINDOW).await;
    for id in [101, 102] {
        lanes.deliver(&store, id.into(), id).await;
    }
    assert_eq!(rows(&store), 3);
}

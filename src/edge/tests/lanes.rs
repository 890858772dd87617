//! Lanes by key.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::event::Event;

#[test]
fn a_key_has_the_same_lane_in_every_run() {
    // State on disk is found by its lane: a change here must not go unnoticed. SipHash-1-3 of the
    // text, as computed elsewhere.
    assert_eq!(fingerprint(""), 15_196_075_863_044_894_148);
    assert_eq!(fingerprint("a-conversation"), 7_022_204_182_671_101_341);
    let policy = PartitionPolicy {
        key: ".id".parse().unwrap(),
        partitions: NonZeroUsize::new(4).unwrap(),
    };
    let of = |json: &str| {
        let event = Event::parse(json.into(), &Arc::default(), &Arc::default());
        policy.fingerprint(&event.unwrap())
    };
    for nothing in [r"{}", r#"{"id":null}"#, r#"{"id":[1]}"#, r#"{"id":""}"#] {
        assert_eq!(of(nothing), fingerprint(""), "{nothing}");
    }
    assert_eq!(of(r#"{"id":17}"#), of(r#"{"id":"17"}"#));
}

/// What a sink saw of each key, and whether it ever had one key twice at a time.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<World>>);

#[derive(Default)]
struct World {
    seen: HashMap<String, Vec<usize>>,
    active: HashSet<String>,
    twice: bool,
    most: usize,
    calls: usize,
}

/// Keys that are being written.
struct Active(Watched, Vec<String>);

impl Drop for Active {
    fn drop(&mut self) {
        let mut world = self.0.0.lock().unwrap();
        world.calls -= 1;
        self.1.iter().for_each(|key| {
            world.active.remove(key);
        });
    }
}

impl Watched {
    fn begin(&self, batch: &Batch) -> Active {
        let path = crate::layer::testing::key();
        let mut world = self.0.lock().unwrap();
        let mut keys = HashSet::new();
        for event in batch {
            let key = event.text(&path).unwrap().into_owned();
            let place = event.origin.index();
            world.seen.entry(key.clone()).or_default().push(place);
            keys.insert(key);
        }
        for key in &keys {
            world.twice |= !world.active.insert(key.clone());
        }
        world.calls += 1;
        world.most = world.most.max(world.calls);
        Active(self.clone(), keys.into_iter().collect())
    }

    /// A sink that takes between nothing and 20 ms.
    fn script(&self) -> Script {
        let watched = self.clone();
        Script::new(move |call, batch: Batch| {
            let active = watched.begin(&batch);
            async move {
                let _active = active;
                sleep(Duration::from_millis(call as u64 * 7919 % 21)).await;
                Ok(())
            }
        })
    }
}

#[derive(Clone, Debug)]
struct Case {
    lanes: usize,
    in_flight: usize,
    batch_events: usize,
    max_events: usize,
    /// Keys of each batch, and after how many milliseconds its caller gives up, if it does.
    calls: Vec<(Vec<u8>, Option<u64>)>,
}

fn cases() -> impl Strategy<Value = Case> {
    let keys = prop::collection::vec(0..12_u8, 1..12);
    let patience = prop_oneof![3 => Just(None), 1 => (0..60_u64).prop_map(Some)];
    let calls = prop::collection::vec((keys, patience), 1..40);
    (1..7_usize, 1..4_usize, 1..9_usize, 8..40_usize, calls).prop_map(
        |(lanes, in_flight, batch_events, max_events, calls)| Case {
            lanes,
            in_flight,
            batch_events,
            max_events,
            calls,
        },
    )
}

async fn run(case: &Case) -> (Watched, u64, crate::observe::Counts) {
    let watched = Watched::default();
    let policy = EdgePolicy {
        in_flight: NonZeroUsize::new(case.in_flight).unwrap(),
        batch_events: case.batch_events,
        ..small(case.max_events, WhenFull::Block)
    };
    let (edge, tasks, observer) = lanes(&watched.script(), case.lanes, policy);
    let named: Vec<Vec<String>> = case
        .calls
        .iter()
        .map(|(keys, _)| keys.iter().map(|key| format!("k{key}")).collect())
        .collect();
    let keys: Vec<Vec<&str>> = named
        .iter()
        .map(|keys| keys.iter().map(String::as_str).collect())
        .collect();
    let keys: Vec<&[&str]> = keys.iter().map(Vec::as_slice).collect();
    let patience = case.calls.iter().map(|(_, patience)| *patience);
    let calls = batches(&keys).into_iter().zip(patience);
    let calls = calls.map(|(batch, patience)| {
        let (call, events) = (edge.clone().oneshot(batch.clone()), batch.len() as u64);
        async move {
            let patience = Duration::from_millis(patience.unwrap_or(1_000_000));
            match timeout(patience, call).await {
                Ok(answer) => answer.map(|()| events).unwrap(),
                Err(_) => 0,
            }
        }
    });
    let watch = edge.watch();
    let calls: Vec<_> = calls.collect();
    drop(edge);
    // What is larger than a share is cut, so the bound holds for it too; without lanes it is not, and
    // goes alone.
    let most = match case.lanes {
        1 => case.max_events.max(11),
        _ => case.max_events,
    };
    let bound = async {
        for _ in 0..50 {
            assert!(watch.fill().events <= most);
            sleep(Duration::from_millis(3)).await;
        }
    };
    let (answered, ()) = futures::join!(join_all(calls), bound);
    assert_eq!(tasks.join().await, 0);
    watch.drained().await;
    (watched, answered.iter().sum(), counts(&observer))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn order_is_kept_within_a_key_one_batch_at_a_time_and_all_adds_up(case in cases()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (watched, answered, counts) = runtime.block_on(run(&case));
        let world = watched.0.lock().unwrap();
        prop_assert!(!world.twice, "two batches of one key at a time");
        prop_assert!(world.most <= case.lanes * case.in_flight);
        for (key, seen) in &world.seen {
            prop_assert!(seen.is_sorted_by(|a, b| a < b), "{key}: {seen:?}");
        }
        prop_assert_eq!(counts.delivered - counts.created, answered);
        if case.calls.iter().all(|(_, patience)| patience.is_none()) {
            let all: usize = case.calls.iter().map(|(keys, _)| keys.len()).sum();
            prop_assert_eq!(answered, all as u64);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_stuck_fills_its_share_and_stops_no_other() {
    let (stuck, free) = (key_in(0, 4), key_in(1, 4));
    let name = stuck.clone();
    let script = Script::new(move |_, batch: Batch| {
        let path = crate::layer::testing::key();
        let stuck = batch
            .events()
            .iter()
            .any(|e| e.text(&path).unwrap() == name);
        async move {
            match stuck {
                true => std::future::pending().await,
                false => Ok(()),
            }
        }
    });
    let (edge, _tasks, _) = lanes(&script, 4, small(40, WhenFull::Block));
    let stuck: Vec<_> = (0..100)
        .map(|_| tokio::spawn(edge.clone().oneshot(delivery(1, &[&stuck]))))
        .collect();
    sleep(SECOND).await;
    let fill = edge.watch().fill();
    assert_eq!(
        (fill.events, fill.outside),
        (10, 89),
        "one is being written"
    );
    for _ in 0..100 {
        edge.clone()
            .oneshot(delivery(1, &[free.as_str(); 8]))
            .await
            .unwrap();
    }
    assert!(stuck.iter().all(|call| !call.is_finished()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_a_share_is_cut_and_answered_as_one() {
    let script = slow();
    let (edge, _tasks, observer) = lanes(&script, 4, small(20, WhenFull::Block));
    let call = tokio::spawn(edge.clone().oneshot(delivery(1, &["k"; 18])));
    sleep(SECOND / 2).await;
    assert_eq!(fill(&edge), (5, 5 * batch(1).bytes()));
    call.await.unwrap().unwrap();
    assert_eq!(script.seen().concat(), (0..18).collect::<Vec<_>>());
    assert_eq!(script.seen()[0].len(), 5);
    assert_eq!(counts(&observer).delivered, 18);
}

#[tokio::test(start_paused = true)]
async fn answers_of_the_parts_are_joined_and_name_their_losses() {
    let (a, b) = (key_in(0, 2), key_in(1, 2));
    let script = Script::new(|_, batch: Batch| async move {
        // The lane of the odd places fails as a whole, the other one in part.
        match batch.events()[0].origin.index() {
            1 => Err(busy()),
            _ => Err(only(Kind::Rejected, &[2])),
        }
    });
    let (edge, _tasks, observer) = lanes(&script, 2, small(100, WhenFull::Block));
    let batch = delivery(1, &[&a, &b, &a, &b, &a]);
    let failure = edge.oneshot(batch.clone()).await.unwrap_err();
    let mut lost: Vec<_> = failure.lost(&batch).iter().map(|o| o.index()).collect();
    lost.sort_unstable();
    // There is no box for what is rejected: it goes back.
    assert_eq!(lost, [1, 2, 3]);
    let counts = counts(&observer);
    assert_eq!((counts.delivered, counts.given_back), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_fails_as_a_whole_speaks_of_its_own_events() {
    let (fails, well) = (key_in(0, 2), key_in(1, 2));
    let inner = |answer: Result<(), Failure>| {
        Stage::new(tower::service_fn(move |_: Batch| {
            std::future::ready(answer.clone())
        }))
    };
    let policy = EdgePolicy {
        partition: Some(PartitionPolicy {
            key: crate::layer::testing::key(),
            partitions: NonZeroUsize::new(2).unwrap(),
        }),
        ..EdgePolicy::default()
    };
    let inners = vec![inner(Err(busy())), inner(Ok(()))];
    let tasks = Tasks::default();
    let edge = Edge::partitioned(inners, policy, meter().1, &tasks);
    let batch = delivery(1, &[&fails, &well, &fails]);
    let failure = edge.oneshot(batch.clone()).await.unwrap_err();
    assert_eq!(failure.count(&batch.origins()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_is_gone_loses_its_events_and_no_others() {
    let (dies, lives) = (key_in(0, 2), key_in(1, 2));
    let script = slow();
    let inner = |dies: bool| {
        let mut stage = script.stage();
        Stage::new(tower::service_fn(move |batch: Batch| {
            assert!(!dies, "outside of any future");
            stage.call(batch)
        }))
    };
    let policy = EdgePolicy {
        partition: Some(PartitionPolicy {
            key: crate::layer::testing::key(),
            partitions: NonZeroUsize::new(2).unwrap(),
        }),
        ..EdgePolicy::default()
    };
    let tasks = Tasks::default();
    let inners = vec![inner(true), inner(false)];
    let edge = Edge::partitioned(inners, policy, meter().1, &tasks);
    for _ in 0..2 {
        let batch = delivery(1, &[&dies, &lives, &dies]);
        let failure = edge.clone().oneshot(batch.clone()).await.unwrap_err();
        let lost = failure.lost(&batch);
        let of: HashSet<_> = [0, 2].map(|n| crate::event::Origin::new(1, n)).into();
        assert_eq!(lost, of);
        assert_eq!(failure.losses()[0].cause.reason, "lost_reply");
    }
    assert_eq!(script.seen(), [[1], [1]]);
}

#[tokio::test(start_paused = true)]
async fn events_of_keys_under_way_wait_and_others_overtake_them() {
    let script = slow();
    let policy = EdgePolicy {
        in_flight: NonZeroUsize::new(2).unwrap(),
        batch_events: 100,
        ..small(100, WhenFull::Block)
    };
    let (edge, _tasks, observer) = lanes(&script, 1, policy);
    let from = Instant::now();
    let mut calls = Vec::new();
    // b waits for a's first batch no longer than it must; c's second waits for its first.
    for batch in batches(&[&["a"], &["a", "b", "c"], &["a", "b", "d", "c"]]) {
        calls.push(tokio::spawn(edge.clone().oneshot(batch)));
        sleep(SECOND / 10).await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let seen = script.seen();
    assert_eq!(seen, [vec![0], vec![2, 3], vec![1, 4, 6], vec![5, 7]]);
    assert_eq!(script.times(from), [0, 100, 1000, 1100]);
    assert_eq!(counts(&observer).delivered, 8);
}

#[tokio::test(start_paused = true)]
async fn each_lane_works_at_the_same_time() {
    let script = slow();
    let (edge, _tasks, _) = lanes(&script, 4, small(1000, WhenFull::Block));
    let keys: Vec<String> = (0..4).map(|lane| key_in(lane, 4)).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let from = Instant::now();
    edge.oneshot(delivery(1, &keys)).await.unwrap();
    assert_eq!(script.times(from), [0; 4]);
}

#[test]
fn a_batch_of_one_lane_is_not_copied() {
    let (lane, other) = (key_in(0, 4), key_in(1, 4));
    let policy = EdgePolicy {
        partition: Some(PartitionPolicy {
            key: crate::layer::testing::key(),
            partitions: NonZeroUsize::new(4).unwrap(),
        }),
        ..EdgePolicy::default()
    };
    let room = line::Room {
        events: 100,
        bytes: 1 << 20,
    };
    let splitter = split::Splitter::new(&policy, 4, room);
    let batch = delivery(1, &[lane.as_str(); 10]);
    let at = batch.events().as_ptr();
    let (pieces, _) = splitter.split(batch);
    assert_eq!((pieces.len(), pieces[0].lane), (1, 0));
    assert_eq!(pieces[0].batch.events().as_ptr(), at);
    // What was taken apart comes together in its order.
    let batch = delivery(1, &[&lane, &other, &lane, &other]);
    let (pieces, places) = splitter.split(batch.clone());
    assert_eq!(pieces.len(), 2);
    assert_eq!(places.rejoin(pieces, 1).origins(), batch.origins());
}

#[tokio::test(start_paused = true)]
async fn an_offer_is_taken_whole_or_given_back_whole() {
    let (a, b) = (key_in(0, 2), key_in(1, 2));
    let (edge, _tasks, observer) = lanes(&slow(), 2, small(8, WhenFull::Block));
    let first = edge
        .offer(delivery(1, &[&a, &b, &a]))
        .unwrap_or_else(|_| panic!("room"));
    let mixed = delivery(2, &[&b, &a, &a, &a]);
    let Err(back) = edge.offer(mixed.clone()) else {
        panic!("the lane of `a` is full")
    };
    assert_eq!(back.origins(), mixed.origins());
    let second = edge
        .offer(delivery(3, &[b.as_str(); 3]))
        .unwrap_or_else(|_| panic!("room"));
    for answer in [first.await, second.await] {
        answer.unwrap();
    }
    assert_eq!(counts(&observer).delivered, 6);
}

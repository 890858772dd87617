//! Random arrivals, answers and pauses against a model that looks through plain lists.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// A batch with these keys.
    Arrive(Vec<u8>),
    /// The answer of one that is under way: for each of its events whether it is lost.
    Answer(usize, Vec<bool>),
    /// One that is under way is cancelled.
    Cancel(usize),
    /// Seconds pass.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0u8..12;
    let lost = prop_oneof![3 => Just(vec![]), 2 => prop::collection::vec(any::<bool>(), 6)];
    let step = prop_oneof![
        6 => prop::collection::vec(key, 1..6).prop_map(Step::Arrive),
        5 => (any::<usize>(), lost).prop_map(|(which, lost)| Step::Answer(which, lost)),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => (0u64..6).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..60)
}

/// One batch as the model sees it.
struct Flown {
    at: u64,
    batch: Batch,
    keys: Vec<u8>,
    firsts: Vec<usize>,
    /// (index, key, flight whose fate it shares).
    sharing: Vec<(usize, u8, usize)>,
    known: u64,
    /// The keys that were lost, once it is answered.
    fate: Option<HashSet<u8>>,
    cancelled: bool,
    answer: Option<JoinHandle<Answer>>,
    below: Option<Arrived>,
}

const LENGTH: u64 = 10;

async fn agrees(steps: Vec<Step>) {
    let window = text(&format!("{LENGTH}s"));
    let mut bed = Bed::new(&config([("key", text(".id")), ("window", window)]).unwrap());
    let (mut now, mut flown) = (0, Vec::<Flown>::new());
    // The model's whole memory: who brought the key last.
    let mut owner: HashMap<u8, usize> = HashMap::new();
    for step in steps {
        match step {
            Step::Wait(seconds) => {
                tokio::time::advance(Duration::from_secs(seconds)).await;
                now += seconds;
            }
            Step::Arrive(keys) => {
                let flight = arrive(&mut bed, keys, now, &flown, &mut owner).await;
                flown.push(flight);
            }
            Step::Answer(which, lost) => {
                let Some(number) = under_way(&flown, which) else {
                    continue;
                };
                answer(&mut flown[number], &lost);
                forget(number, &flown, &mut owner);
            }
            Step::Cancel(which) => {
                let Some(number) = under_way(&flown, which) else {
                    continue;
                };
                let flight = &mut flown[number];
                flight.answer.as_ref().unwrap().abort();
                flight.cancelled = true;
                flight.fate = Some(
                    flight
                        .firsts
                        .iter()
                        .map(|index| flight.keys[*index])
                        .collect(),
                );
                forget(number, &flown, &mut owner);
            }
        }
        settle().await;
    }
    while let Some(number) = under_way(&flown, 0) {
        answer(&mut flown[number], &[]);
    }
    check(&bed, flown).await;
}

fn under_way(flown: &[Flown], which: usize) -> Option<usize> {
    let open: Vec<usize> = (0..flown.len())
        .filter(|n| flown[*n].fate.is_none())
        .collect();
    (!open.is_empty()).then(|| open[which % open.len()])
}

async fn arrive(
    bed: &mut Bed,
    keys: Vec<u8>,
    now: u64,
    flown: &[Flown],
    owner: &mut HashMap<u8, usize>,
) -> Flown {
    let number = flown.len();
    let place = |(index, id)| {
        event(
            &format!("{{\"id\":{id}}}"),
            Origin::new(number as u64, index),
        )
    };
    let batch: Batch = keys.iter().enumerate().map(place).collect();
    let (mut firsts, mut sharing, mut known) = (Vec::new(), Vec::new(), 0);
    for (index, key) in keys.iter().enumerate() {
        match owner.get(key) {
            Some(by) if *by == number => sharing.push((index, *key, number)),
            Some(by) if now - flown[*by].at < LENGTH => match flown[*by].fate {
                Some(_) => known += 1,
                None => sharing.push((index, *key, *by)),
            },
            _ => {
                owner.insert(*key, number);
                firsts.push(index);
            }
        }
    }
    let answer = Some(bed.send(batch.clone()).await);
    let mut arrived = bed.arrived();
    assert_eq!(arrived.len(), usize::from(!firsts.is_empty()));
    let below = arrived.pop();
    assert_eq!(
        below.as_ref().map_or(vec![], |below| indices(&below.batch)),
        firsts
    );
    let fate = firsts.is_empty().then(HashSet::new);
    Flown {
        at: now,
        batch,
        keys,
        firsts,
        sharing,
        known,
        fate,
        cancelled: false,
        answer,
        below,
    }
}

fn answer(flight: &mut Flown, lost: &[bool]) {
    let lost: Vec<usize> = flight
        .firsts
        .iter()
        .copied()
        .zip(lost)
        .filter(|(_, lost)| **lost)
        .map(|(index, _)| index)
        .collect();
    let origins = lost
        .iter()
        .map(|index| flight.batch.events()[*index].origin)
        .collect();
    let failure = Failure::only(
        crate::failure::Kind::Transient,
        Cause::new("busy", "busy"),
        origins,
    );
    let below = flight.below.take().unwrap();
    below.answer.send(failure.map_or(Ok(()), Err)).unwrap();
    flight.fate = Some(lost.iter().map(|index| flight.keys[*index]).collect());
}

fn forget(number: usize, flown: &[Flown], owner: &mut HashMap<u8, usize>) {
    let lost = flown[number].fate.as_ref().unwrap();
    owner.retain(|key, by| *by != number || !lost.contains(key));
}

async fn check(bed: &Bed, mut flown: Vec<Flown>) {
    settle().await;
    let mut dropped = 0;
    for number in 0..flown.len() {
        let answer = flown[number].answer.take().unwrap();
        if flown[number].cancelled {
            continue;
        }
        assert!(answer.is_finished(), "batch {number} waits for ever");
        let answer = answer.await.unwrap();
        let flight = &flown[number];
        let is_lost = |by: usize, key: &u8| flown[by].fate.as_ref().unwrap().contains(key);
        let mut lost: BTreeSet<usize> = BTreeSet::new();
        lost.extend(
            flight
                .firsts
                .iter()
                .filter(|index| is_lost(number, &flight.keys[**index])),
        );
        dropped += flight.known;
        for (index, key, by) in &flight.sharing {
            if is_lost(*by, key) {
                lost.insert(*index);
            } else {
                dropped += 1;
            }
        }
        match lost.is_empty() {
            true => answer.unwrap(),
            false => assert_eq!(lost_indices(&answer, &flight.batch), lost),
        }
    }
    assert_eq!(bed.dropped(), dropped);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn behaves_like_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(agrees(steps));
    }
}

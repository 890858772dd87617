//! Any order, any repeats and any batches of the same events leave the same.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// Interaction, participant, state and seconds since noon.
type Told = (u8, u8, u8, i64);

const STATES: [&str; 6] = [
    "connected",
    "in-progress",
    "held",
    "disconnected",
    "ended",
    "",
];

fn told() -> impl Strategy<Value = Vec<Told>> {
    let one = (
        0..6_u8,
        0..4_u8,
        0..STATES.len() as u8,
        (-200_000..20_000_i64).prop_map(|at| at / 7),
    );
    prop::collection::vec(one, 1..60)
}

fn of((interaction, participant, state, at): Told) -> Event {
    let participant = match participant {
        0 => String::new(),
        n => format!("p{n}"),
    };
    event(
        1,
        &format!("i{interaction}"),
        &participant,
        STATES[usize::from(state)],
        at,
    )
}

/// What the rules say, from the set of events alone and in the plainest way.
fn expected(events: &[Told]) -> (u64, BTreeMap<i64, u64>) {
    let events: HashSet<Told> = events.iter().copied().collect();
    let mut minutes = BTreeMap::new();
    let mut last: HashMap<(u8, u8), (i64, bool)> = HashMap::new();
    let mut ended: HashMap<u8, i64> = HashMap::new();
    for (interaction, participant, state, at) in &events {
        *minutes.entry((NOON + at).div_euclid(60)).or_default() += 1;
        let closes = match state {
            0 | 1 => false,
            3 | 4 => true,
            _ => continue,
        };
        let known = last
            .entry((*interaction, *participant))
            .or_insert((*at, closes));
        *known = (*known).max((*at, closes));
        if closes && *participant == 0 {
            let end = ended.entry(*interaction).or_insert(*at);
            *end = (*end).max(*at);
        }
    }
    let open = last.iter().filter(|((interaction, _), (at, closes))| {
        !closes && ended.get(interaction).is_none_or(|ended| at > ended)
    });
    let active: HashSet<u8> = open.map(|((interaction, _), _)| *interaction).collect();
    (active.len() as u64, minutes)
}

async fn run(events: Vec<Told>, cuts: &[usize], restart: bool) -> (u64, BTreeMap<i64, u64>) {
    let store = Store::memory_durable();
    let mut bed = Bed::new(defaults(), &store).await;
    let (mut rest, mut cuts) = (&events[..], cuts.iter().cycle());
    while !rest.is_empty() {
        let (part, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
        bed.sink
            .write(batch(part.iter().copied().map(of).collect()))
            .await
            .unwrap();
        rest = after;
        if restart {
            commit(&store, &[1]).await;
            bed = bed.again(defaults(), &store).await;
        }
    }
    let mut minutes = BTreeMap::new();
    for day in 17..=21 {
        let date = format!("2026-11-{day}");
        let answer = bed.ask("heatmap", &[("date", &date)]).await;
        let heatmap: Value = serde_json::from_slice(&answer.body).unwrap();
        let midnight = (NOON - 43_200) / 60 + (day - 20) * 1440;
        for (at, count) in (0..).zip(heatmap["data"].as_array().unwrap().iter().flat_map(|row| {
            row.as_array()
                .unwrap()
                .iter()
                .map(|count| count.as_u64().unwrap())
        })) {
            if count > 0 {
                minutes.insert(midnight + at, count);
            }
        }
    }
    (bed.active().await, minutes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_same_events_leave_the_same(
        events in told(),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        cuts in prop::collection::vec(1..9_usize, 1..6),
        restart: bool,
        seed: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut all = events.clone();
        all.extend(repeats.iter().map(|index| *index.get(&events)));
        // Any order: by a hash of the place.
        let mut shuffled: Vec<(u64, Told)> = (1..).zip(all).collect();
        shuffled.sort_by_key(|(place, _): &(u64, Told)| (place ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let shuffled = shuffled.into_iter().map(|(_, told)| told).collect();
        let found = runtime.block_on(run(shuffled, &cuts, restart));
        prop_assert_eq!(found, expected(&events));
    }
}

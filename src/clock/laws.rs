//! The laws of vector clocks, as properties.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Order, VectorClock};

const NODES: [&str; 4] = ["a", "b", "c", "d"];

fn clocks() -> impl Strategy<Value = VectorClock> {
    // Few nodes and small counters, so that every order between two clocks is common.
    vec(0..4_u64, NODES.len())
        .prop_map(|counters| VectorClock::from_counters(NODES.into_iter().zip(counters)).unwrap())
}

fn merged(a: &VectorClock, b: &VectorClock) -> VectorClock {
    let mut both = a.clone();
    both.merge(b).unwrap();
    both
}

fn within(a: &VectorClock, b: &VectorClock) -> bool {
    matches!(a.compare(b), Order::Before | Order::Equal)
}

/// A message-passing history: each step is an event of one node, by itself or on receipt of what an
/// earlier event sent. Returns the events' nodes and clocks, and who (by index) precedes whom.
fn history(steps: &[(usize, Option<usize>)]) -> (Vec<(usize, VectorClock)>, Vec<Vec<bool>>) {
    let mut events: Vec<(usize, VectorClock)> = Vec::new();
    let mut before: Vec<Vec<bool>> = Vec::new();
    for (node, heard) in steps {
        let own = events.iter().rposition(|(of, _)| of == node);
        let heard = heard.and_then(|at| (at < events.len()).then_some(at));
        let mut clock = VectorClock::new();
        let mut causes = vec![false; steps.len()];
        for cause in [own, heard].into_iter().flatten() {
            clock.merge(&events[cause].1).unwrap();
            causes[cause] = true;
            for (mine, theirs) in causes.iter_mut().zip(&before[cause]) {
                *mine |= theirs;
            }
        }
        clock.increment(NODES[*node]).unwrap();
        events.push((*node, clock));
        before.push(causes);
    }
    (events, before)
}

fn histories() -> impl Strategy<Value = Vec<(usize, Option<usize>)>> {
    vec((0..NODES.len(), proptest::option::of(0..20_usize)), 1..20)
}

proptest! {
    #[test]
    fn is_a_partial_order(a in clocks(), b in clocks(), c in clocks()) {
        prop_assert!(within(&a, &a));
        prop_assert_eq!(within(&a, &b) && within(&b, &a), a == b);
        if within(&a, &b) && within(&b, &c) {
            prop_assert!(within(&a, &c));
        }
        // And the strict order is its irreflexive part.
        prop_assert_eq!(a.happens_before(&b), within(&a, &b) && a != b);
    }

    #[test]
    fn concurrency_is_symmetric_and_excludes_order(a in clocks(), b in clocks()) {
        prop_assert_eq!(a.concurrent(&b), b.concurrent(&a));
        prop_assert_eq!(a.concurrent(&b), !within(&a, &b) && !within(&b, &a));
        let reverse = match a.compare(&b) {
            Order::Before => Order::After,
            Order::After => Order::Before,
            same => same,
        };
        prop_assert_eq!(b.compare(&a), reverse);
    }

    #[test]
    fn merge_is_the_least_upper_bound(a in clocks(), b in clocks(), c in clocks()) {
        let both = merged(&a, &b);
        prop_assert_eq!(&both, &merged(&b, &a));
        prop_assert_eq!(merged(&both, &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &a), &a);
        prop_assert!(within(&a, &both) && within(&b, &both));
        if within(&a, &c) && within(&b, &c) {
            prop_assert!(within(&both, &c));
        }
    }

    #[test]
    fn increment_comes_strictly_after(a in clocks(), node in 0..NODES.len()) {
        let mut next = a.clone();
        prop_assert_eq!(next.increment(NODES[node]), Ok(a.get(NODES[node]) + 1));
        prop_assert!(a.happens_before(&next));
        prop_assert!(next.is_next_after(&a, NODES[node]));
    }

    #[test]
    fn prints_and_reads_itself(a in clocks()) {
        prop_assert_eq!(a.to_string().parse(), Ok(a));
    }

    #[test]
    fn agrees_with_a_history_of_messages(steps in histories()) {
        let (events, before) = history(&steps);
        for (i, (_, a)) in events.iter().enumerate() {
            for (j, (_, b)) in events.iter().enumerate() {
                prop_assert_eq!(a.happens_before(b), before[j][i]);
            }
        }
    }

    /// Whoever delivers by the condition delivers all, each after its causes, in whatever order
    /// they come.
    #[test]
    fn causal_delivery_keeps_a_history(steps in histories(), keys in vec(any::<u32>(), 20)) {
        let (events, before) = history(&steps);
        let mut waiting: Vec<usize> = (0..events.len()).collect();
        waiting.sort_by_key(|at| keys[*at]);
        let (mut seen, mut delivered) = (VectorClock::new(), Vec::new());
        while let Some(at) = waiting
            .iter()
            .position(|e| events[*e].1.is_next_after(&seen, NODES[events[*e].0]))
        {
            let event = waiting.remove(at);
            seen.merge(&events[event].1).unwrap();
            for (cause, causes) in before[event].iter().enumerate() {
                prop_assert!(!causes || delivered.contains(&cause));
            }
            delivered.push(event);
        }
        prop_assert!(waiting.is_empty());
    }
}

//! Whatever the order in which they come, events leave in the order in which they happened.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Bodies of `n` events of one conversation, in order, and what is to be told of them.
fn history(way: usize, n: usize) -> (Config, Vec<String>) {
    let mut config = [lifecycle(), sequenced(), clocked()][way].clone();
    let body = |at: usize| match way {
        0 => state(
            "x",
            at as u32,
            ["offered", "connected", "completed"][at.min(2)],
        ),
        1 => number("x", at as u32 + 1),
        // Two nodes in turn, each having seen all before: a chain.
        _ => {
            let (a, b) = (at / 2 + 1, at.div_ceil(2));
            clock(["a", "b"][at % 2], &format!(r#"{{"a":{a},"b":{b}}}"#))
        }
    };
    config.lateness = Duration::from_secs(if way == 0 { 1000 } else { 0 });
    (config, (0..n).map(body).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_permutation_leaves_in_causal_order(
        way in 0..3_usize,
        keys in vec(any::<u32>(), 1..40),
        size in 1..7_usize,
        wait in 0..40_u64,
    ) {
        let (config, bodies) = history(way, keys.len());
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by_key(|at| keys[*at]);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut bench = Bench::new(&config);
            let mut answers = Vec::new();
            for part in order.chunks(size) {
                let part: Vec<&String> = part.iter().map(|at| &bodies[*at]).collect();
                answers.push(bench.send(&part).await);
                // All together less than anything waits.
                bench.wait(wait).await;
            }
            bench.phase.send(Phase::InputEnded).unwrap();
            bench.rest().await;
            for answer in answers {
                is_ok(answer).await;
            }
            // The event that was sent as the k-th is `order[k]`; nothing twice, nothing left out.
            let expected: Vec<String> = (0..keys.len())
                .map(|at| {
                    let sent = order.iter().position(|o| *o == at).unwrap();
                    format!("{sent}#{}", at + 1)
                })
                .collect();
            assert_eq!(bench.went(), expected.join(" "));
        });
    }
}

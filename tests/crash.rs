//! Crashes: the real binary is killed at random moments while its sinks break, and what is left at
//! the end is held against the input and against the promise that `trunkline validate` prints.
//!
//! `TRUNKLINE_KILLS=200 cargo test --test crash` is the long form. Every case says its seed;
//! `TRUNKLINE_SEED=n` goes through the same draws again (the moments themselves are the machine's).

#[path = "crash/input.rs"]
mod input;
#[path = "crash/judge.rs"]
mod judge;
#[path = "crash/left.rs"]
mod left;
#[path = "crash/lives.rs"]
mod lives;
#[path = "crash/process.rs"]
mod process;
#[path = "crash/promised.rs"]
mod promised;
#[path = "../examples/generate_quickstart/random.rs"]
#[allow(dead_code)] // The generator draws more than is drawn here.
mod random;
#[path = "crash/variant.rs"]
mod variant;

use variant::{Ends, Variant};

/// One test for each variant, so that they run side by side and fail by name.
macro_rules! survives {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            let variant = Variant::named(stringify!($name));
            for ends in variant.ends {
                lives::survive(variant, *ends);
            }
        }
    )*};
}

survives!(
    memory,
    state_in_memory,
    drops,
    exhausted,
    disk_at_the_sinks,
    disk_in_the_middle,
    spill,
    partitions,
    priority,
    encryption
);

#[test]
fn every_variant_has_a_test_or_waits() {
    let tested = include_str!("crash.rs");
    let (_, list) = tested.split_once("survives!(").expect("the list of tests");
    for variant in variant::ALL {
        let named = list
            .split(')')
            .next()
            .is_some_and(|l| l.contains(variant.name));
        let waits = variant::WAITING.contains(&variant.name);
        assert!(named != waits, "{}: tested or waiting", variant.name);
    }
    assert!(variant::ALL.iter().any(|v| v.ends.contains(&Ends::File)));
}

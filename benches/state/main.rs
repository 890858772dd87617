//! Which embedded store, and what remembering costs: `cargo bench --bench state`.
//!
//! The work is that of a `dedup` in front of a source with a cursor: for each delivery one row of
//! its keys' fingerprints is put, the row that fell out of the window is deleted, and the cursor
//! moves, all in one transaction that ends with an fsync. Two million keys go through a window of a
//! million (where every small delivery has a transaction of its own, a fifth of that). Then the store
//! is opened again and read whole, as a restart does. The crates are given the same work, and
//! [`trunkline::state::Store`] too, plain and sealed. They take turns, and of three rounds the best
//! of each counts, since all noise slows down.
//!
//! The second table is the memory of the window itself at 1, 10 and 50 million keys.
//!
//! Every measurement runs in a process of its own, so that its memory is its own. All figures are
//! of one run on one machine: read them as ratios. `cargo bench --bench state -- keys` or
//! `-- stores` measures one of the two.

mod engines;
mod window;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use engines::{Commit, Engine, Place};

/// Keys in a delivery, deliveries in a transaction, and keys in all, half of which the window holds:
/// large batches one by one, small ones one by one, and small ones as group commit puts them together.
const SHAPES: [[u64; 3]; 3] = [[1000, 1, 2_000_000], [100, 1, 400_000], [100, 8, 2_000_000]];

const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        // `cargo test --benches` only asks whether it builds and starts.
        [..] if words.contains(&"--test") => {}
        ["child", "store", name, keys, group, all] => {
            child(name, [keys, group, all].map(number));
        }
        ["child", "window", keys] => window::child(number(keys) as usize),
        _ => {
            if !words.contains(&"keys") {
                SHAPES.into_iter().for_each(compare);
            }
            if !words.contains(&"stores") {
                window::measure();
            }
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// Runs this program again for one measurement; what it printed, as numbers.
fn run(words: &[&str]) -> Option<Vec<f64>> {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program).args(["child"]).args(words).output();
    let output = output.expect("it runs");
    if !output.status.success() {
        eprintln!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .map(|word| word.parse().ok())
        .collect()
}

fn compare(shape: [u64; 3]) {
    let [keys, group, all] = shape;
    println!("\n{keys} keys in a delivery, {group} in a transaction, {all} in all");
    println!(
        "{:14} {:>9} {:>9} {:>9} {:>10} {:>10}   commits, disk, restart, memory to redb's",
        "", "commits/s", "keys/s", "disk MB", "restart s", "memory MB"
    );
    let mut best: Vec<Option<Vec<f64>>> = vec![None; engines::NAMES.len()];
    for _ in 0..ROUNDS {
        for (name, best) in engines::NAMES.iter().zip(&mut best) {
            let words = shape.map(|number| number.to_string());
            let found = run(&["store", name, &words[0], &words[1], &words[2]]);
            let (Some(found), Some(before)) = (&found, &mut *best) else {
                *best = found.or(best.take());
                continue;
            };
            // The first is a rate, the others are costs.
            before[0] = before[0].max(found[0]);
            for (before, found) in before.iter_mut().zip(found).skip(1) {
                *before = before.min(*found);
            }
        }
    }
    let mut first = None;
    for (name, best) in engines::NAMES.iter().zip(best) {
        let Some([commits, disk, restart, memory]) = best.as_deref() else {
            println!("{name:14} failed");
            continue;
        };
        let of = *first.get_or_insert([*commits, *disk, *restart, *memory]);
        let rate = commits * (keys * group) as f64;
        println!(
            "{name:14} {commits:9.0} {rate:9.0} {disk:9.1} {restart:10.3} {memory:10.1}   {:.2} {:.2} {:.2} {:.2}",
            commits / of[0],
            disk / of[1],
            restart / of[2],
            memory / of[3],
        );
    }
}

fn child(name: &str, shape: [u64; 3]) {
    let folder = tempfile::Builder::new()
        .prefix("state-bench")
        .tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR")))
        .expect("a folder");
    let [commits, disk, restart, memory] = measure(name, folder.path(), shape);
    println!("{commits} {disk} {restart} {memory}");
}

/// Commits per second, megabytes on disk, seconds of a restart, megabytes of memory at the most.
fn measure(name: &str, folder: &Path, [keys, group, all]: [u64; 3]) -> [f64; 4] {
    let mut engine = Engine::open(name, folder);
    let (rows, kept) = (all / keys, all / keys / 2);
    let started = Instant::now();
    for first in (0..rows).step_by(group as usize) {
        let numbers = first..rows.min(first + group);
        let put = numbers.clone().map(|n| (n, row(n, keys))).collect();
        let delete = numbers.filter_map(|n| n.checked_sub(kept)).collect();
        engine.commit(Commit {
            put,
            delete,
            place: Place(first),
        });
    }
    let seconds = started.elapsed().as_secs_f64();
    drop(engine);
    let disk = size(folder);
    let started = Instant::now();
    let found = Engine::open(name, folder).scan();
    let restart = started.elapsed().as_secs_f64();
    assert_eq!(
        found,
        kept * (8 + 16 * keys),
        "{name} forgot or kept too much"
    );
    [
        rows.div_ceil(group) as f64 / seconds,
        disk as f64 / 1e6,
        restart,
        window::memory("VmHWM") as f64 / 1e3,
    ]
}

/// A row as `dedup` writes it: a time and fingerprints, which do not compress.
fn row(number: u64, keys: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut value = Vec::with_capacity(8 + 16 * keys as usize);
    value.extend(number.to_be_bytes());
    for _ in 0..2 * keys {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend(state.to_be_bytes());
    }
    value
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the folder");
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            // What is allocated: fjall makes its files longer than they are.
            Ok(found) => std::os::unix::fs::MetadataExt::blocks(&found) * 512,
            Err(_) => 0,
        })
        .sum()
}

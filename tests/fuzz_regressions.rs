//! What the fuzzers found, and what they start from, on every run of the tests and without them.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

#[path = "../fuzz/bodies/concatenated.rs"]
mod concatenated;
#[path = "../fuzz/bodies/frame.rs"]
mod frame;
#[path = "../fuzz/bodies/journal.rs"]
mod journal;
#[path = "../fuzz/bodies/mask.rs"]
mod mask;
#[path = "../fuzz/bodies/record.rs"]
mod record;
#[path = "../fuzz/bodies/yaml.rs"]
mod yaml;

type Body = fn(&[u8]);
const TARGETS: [(&str, Body); 6] = [
    ("concatenated", concatenated::run),
    ("frame", frame::run),
    ("journal", journal::run),
    ("mask", mask::run),
    ("record", record::run),
    ("yaml", yaml::run),
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_file());
    found.sort();
    found
}

fn run_all(target: &str, body: Body) {
    let mut inputs = files(&Path::new("fuzz/seeds").join(target));
    inputs.extend(files(&Path::new("fuzz/regressions").join(target)));
    assert!(!inputs.is_empty(), "no input for {target}");
    if target == "yaml" {
        inputs.extend(files(Path::new("tests/bad_yaml")));
    }
    for path in inputs {
        let data = fs::read(&path).unwrap();
        // Broken off at any place, too, where that does not take long.
        let cuts = if data.len() < 200 {
            0..data.len()
        } else {
            0..0
        };
        for end in cuts.chain([data.len()]) {
            let outcome = catch_unwind(AssertUnwindSafe(|| body(&data[..end])));
            assert!(
                outcome.is_ok(),
                "{target}: {} up to byte {end}",
                path.display()
            );
        }
    }
}

#[test]
fn concatenated_inputs() {
    run_all(TARGETS[0].0, TARGETS[0].1);
}

#[test]
fn frame_inputs() {
    run_all(TARGETS[1].0, TARGETS[1].1);
}

#[test]
fn journal_inputs() {
    run_all(TARGETS[2].0, TARGETS[2].1);
}

#[test]
fn mask_inputs() {
    run_all(TARGETS[3].0, TARGETS[3].1);
}

#[test]
fn record_inputs() {
    run_all(TARGETS[4].0, TARGETS[4].1);
}

#[test]
fn yaml_inputs() {
    run_all(TARGETS[5].0, TARGETS[5].1);
}

#[test]
fn every_target_has_its_body_here() {
    let targets = files(Path::new("fuzz/fuzz_targets"));
    let names = targets
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap());
    assert!(names.eq(TARGETS.iter().map(|(name, _)| *name)));
}

#[test]
fn the_seeds_of_journal_are_read_to_their_events() {
    let events = |seed: &str| {
        let data = fs::read(Path::new("fuzz/seeds/journal").join(seed)).unwrap();
        let report = trunkline::journal::read_segment(&journal::bytes(&data), None).unwrap();
        (report.events, report.compressed, report.damaged_bytes)
    };
    assert_eq!(events("plain"), (2, 0, 0));
    assert_eq!(events("compressed"), (2, 1, 0));
    assert_eq!(events("several"), (3, 0, 0));
}

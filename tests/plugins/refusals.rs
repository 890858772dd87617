//! What is refused when a pipeline is checked, and where that is said.

use std::path::Path;

use trunkline::config::{Fixed, parse};
use trunkline::diagnostic::render;
use trunkline::graph::check::check;

use crate::guests::guest;

/// What `validate` says of a plugin with these settings.
fn told(path: &Path, more: &str) -> String {
    let text = format!(
        "version: 1
name: p
sources: {{ in: {{ type: stdin, framing: lines }} }}
transforms:
  plugin:
    type: plugin
    inputs: [in]
    path: {}
{more}
sinks: {{ out: {{ type: blackhole, inputs: [plugin] }} }}
dead_letter: {{ type: blackhole }}
",
        path.display()
    );
    let variables = Fixed::new()
        .with("TOKEN", "hunter2")
        .with("LIMIT", "271828");
    let loaded = parse("p.yaml", &text, &variables);
    let checked = check(&loaded);
    assert_eq!(checked.pipeline.is_some(), !checked.report.has_errors());
    render::text(&checked.report, &loaded.sources(), false)
}

fn holds(told: &str, all: &[&str]) {
    for part in all {
        assert!(told.contains(part), "no `{part}` in:\n{told}");
    }
}

#[test]
fn a_plugin_that_fits_is_taken_as_cargo_leaves_it() {
    assert_eq!(told(&guest("unruly"), ""), "");
    assert_eq!(
        told(&guest("template"), "    config: { field: a, value: 1 }"),
        ""
    );
}

#[test]
fn what_is_no_plugin_is_refused_with_its_cause() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let none = told(&place.path().join("none.wasm"), "");
    holds(&none, &["missing-file", "no such file", "p.yaml:8:"]);
    holds(
        &told(place.path(), ""),
        &["missing-file", "not a regular file"],
    );
    holds(
        &told(&file("a", b"#!/bin/sh"), ""),
        &["bad-plugin", "it is no WASM"],
    );
    let whole = std::fs::read(guest("unruly")).unwrap();
    for cut in [9, 100, whole.len() / 2, whole.len() - 1] {
        let half = told(&file("half", &whole[..cut]), "");
        holds(&half, &["bad-plugin", "cannot be made a component"]);
    }
    // One whose description of itself is broken, byte for byte of its beginning.
    let section = b"component-type";
    let at = (0..whole.len()).find(|at| whole[*at..].starts_with(section));
    let at = at.unwrap() + section.len();
    for byte in (at..whole.len().min(at + 400)).step_by(7) {
        let mut broken = whole.clone();
        broken[byte] ^= 0xff;
        let said = told(&file("broken", &broken), "");
        assert!(said.is_empty() || said.contains("bad-plugin"), "{said}");
    }
    // A module and a component with nothing in them, and one of a later layer.
    for nothing in [b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"] {
        let message = "does not export `trunkline:plugin/transform@1.0.0`";
        holds(&told(&file("b", nothing), ""), &["bad-plugin", message]);
    }
    holds(
        &told(&file("c", b"\0asm\x01\0\x07\0"), ""),
        &["of a kind that is not known"],
    );
    holds(
        &told(&guest("unruly_wasi"), ""),
        &["bad-plugin", "wasi_snapshot_preview1"],
    );
}

#[test]
fn another_version_of_the_interface_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let whole = std::fs::read(guest("unruly")).unwrap();
    for version in ["@2.0.0", "@1.1.0", "@0.9.0"] {
        let path = place.path().join("other.wasm");
        std::fs::write(&path, with(&whole, b"@1.0.0", version.as_bytes())).unwrap();
        let message =
            format!("it speaks `trunkline:plugin/host{version}`, and this program version 1.0");
        holds(&told(&path, ""), &["bad-plugin", &message]);
    }
    let path = place.path().join("later.wasm");
    std::fs::write(&path, with(&whole, b"@1.0.0", b"@1.0.9")).unwrap();
    assert_eq!(told(&path, ""), "");
}

fn with(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<_> = (0..bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    places
        .into_iter()
        .for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    bytes
}

#[test]
fn mistakes_of_the_configuration_are_told_where_they_are() {
    let more = r#"    config:
      tiers:
        - { name: gold, from: 100 }
        - { name: silver, from: ten }
      "a/b~c": 1
      mistakes:
        /tiers/1/from: expected a number
        /tiers/7/name: is missing
        /a~1b~0c: is odd
        "": as a whole it is wrong
"#;
    let told = told(&guest("unruly"), more);
    holds(
        &told,
        &[
            "error[bad-plugin-config]: expected a number\n   --> p.yaml:12:33",
            "error[bad-plugin-config]: `7/name`: is missing\n   --> p.yaml:11:9",
            "error[bad-plugin-config]: is odd\n   --> p.yaml:13:16",
            "error[bad-plugin-config]: as a whole it is wrong",
        ],
    );
}

#[test]
fn a_plugin_that_does_not_start_is_refused() {
    holds(
        &told(&guest("unruly"), "    config: { start: trap }"),
        &["bad-plugin", "it cannot be started", "unreachable"],
    );
    let small = told(&guest("unruly"), "    memory: 1MiB");
    holds(&small, &["bad-plugin", "needed more than `memory`"]);
}

#[test]
fn what_came_from_a_variable_is_not_told() {
    let more = r#"    config:
      key: "${TOKEN}"
      limit: "${LIMIT}"
      mistakes: { /key: "hunter2 is no key", /limit: "271828 is too much" }
"#;
    let told = told(&guest("unruly"), more);
    holds(&told, &["[variable] is no key", "[variable] is too much"]);
    assert!(
        !told.contains("hunter2") && !told.contains("271828"),
        "{told}"
    );
}

#[test]
fn every_bound_has_a_range() {
    let more = "    memory: 1KiB
    time: 2m
    instances: 0
    answer: 2GiB
    stack: 2MiB
    log_lines: 1001
    counters: 33
    restarts: 0
    reload: 1ms
    config: 3
    colour: red
";
    let told = told(&guest("unruly"), more);
    assert_eq!(told.matches("error[out-of-range]").count(), 9, "{told}");
    holds(&told, &["error[wrong-type]", "error[unknown-field]"]);
}

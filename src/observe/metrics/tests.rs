use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::observe::BreakerState;
use crate::observe::tally::MAX_REASONS;

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads a page as a scraper does, and refuses whatever the format does not allow.
fn parse(page: &str) -> Vec<Sample> {
    assert!(page.ends_with('\n'));
    let (mut families, mut samples) = (BTreeMap::<String, String>::new(), Vec::new());
    let mut seen = BTreeSet::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && help.ends_with('.'), "{line}");
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current, "TYPE follows HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(
                families.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{name} twice"
            );
        } else {
            let sample = parse_sample(line);
            let base = match families[&current].as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| sample.name.strip_suffix(end))
                    .unwrap(),
                _ => &sample.name,
            };
            assert_eq!(base, current, "samples stand under their family");
            assert!(
                seen.insert((sample.name.clone(), sample.labels.clone())),
                "twice: {line}"
            );
            samples.push(sample);
        }
    }
    samples
}

fn parse_sample(line: &str) -> Sample {
    let (name, rest) = line.split_once('{').unwrap();
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    loop {
        let (label, after) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("unknown escape {c} in {line}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(label.to_owned(), value).is_none());
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    let value = rest.strip_prefix("} ").unwrap().parse().unwrap();
    Sample {
        name: name.to_owned(),
        labels,
        value,
    }
}

fn figure(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let mut found = samples.iter().filter(|sample| {
        sample.name == name
            && labels
                .iter()
                .all(|(label, value)| sample.labels[*label].as_str() == *value)
    });
    let sample = found
        .next()
        .unwrap_or_else(|| panic!("no {name} {labels:?}"));
    assert!(found.next().is_none(), "more than one {name} {labels:?}");
    sample.value
}

#[test]
#[allow(clippy::float_cmp)]
fn every_figure_is_found_again_in_the_text() {
    let observer = Observer::new("calls");
    let source = observer.node("in", NodeKind::Source, "rabbitmq");
    let sink = observer.node("out", NodeKind::Sink, "influxdb");
    source.received(10, 2_000);
    source.redelivered(2);
    sink.received(10, 2_000);
    sink.dropped("stale", 1);
    sink.dead_lettered("schema", 2);
    sink.given_back(3);
    sink.delivered(3, 600);
    sink.retried(4);
    sink.buffer(5, 500, 1_000, 65_536);
    sink.breaker(BreakerState::Open);
    sink.label("late", 6);
    sink.rate_limited(Duration::from_millis(1_500));
    sink.latency(Duration::from_micros(70));
    sink.latency(Duration::from_secs(90));
    observer.set_state(RunState::Running);
    let samples = parse(&render(&[observer]));

    let out = [
        ("pipeline", "calls"),
        ("node", "out"),
        ("component", "influxdb"),
    ];
    for (name, value) in [
        ("trunkline_events_received_total", 10.0),
        ("trunkline_events_delivered_total", 3.0),
        ("trunkline_events_given_back_total", 3.0),
        ("trunkline_bytes_received_total", 2_000.0),
        ("trunkline_bytes_delivered_total", 600.0),
        ("trunkline_held_events", 1.0),
        ("trunkline_retries_total", 4.0),
        ("trunkline_buffer_events", 5.0),
        ("trunkline_buffer_bytes", 500.0),
        ("trunkline_buffer_capacity_events", 1_000.0),
        ("trunkline_buffer_capacity_bytes", 65_536.0),
        ("trunkline_breaker_state", 2.0),
        ("trunkline_rate_limited_seconds_total", 1.5),
        ("trunkline_batch_latency_seconds_count", 2.0),
        ("trunkline_batch_latency_seconds_sum", 90.00007),
    ] {
        assert_eq!(figure(&samples, name, &out), value, "{name}");
    }
    let node = ("node", "out");
    for (name, label, value) in [
        ("trunkline_events_dropped_total", ("reason", "stale"), 1.0),
        (
            "trunkline_events_dead_lettered_total",
            ("reason", "schema"),
            2.0,
        ),
        ("trunkline_labelled_total", ("label", "late"), 6.0),
        ("trunkline_alert", ("alert", "breaker_open"), 1.0),
        (
            "trunkline_alerts_raised_total",
            ("alert", "breaker_open"),
            1.0,
        ),
        (
            "trunkline_batch_latency_seconds_bucket",
            ("le", "0.00005"),
            0.0,
        ),
        (
            "trunkline_batch_latency_seconds_bucket",
            ("le", "0.0001"),
            1.0,
        ),
        ("trunkline_batch_latency_seconds_bucket", ("le", "60"), 1.0),
        (
            "trunkline_batch_latency_seconds_bucket",
            ("le", "+Inf"),
            2.0,
        ),
    ] {
        assert_eq!(
            figure(&samples, name, &[node, label]),
            value,
            "{name} {label:?}"
        );
    }
    let source = [("node", "in")];
    let of_kind = [("node", "in"), ("kind", "source")];
    assert_eq!(figure(&samples, "trunkline_node_info", &of_kind), 1.0);
    assert_eq!(
        figure(&samples, "trunkline_events_redelivered_total", &source),
        2.0
    );
    assert_eq!(
        figure(&samples, "trunkline_up", &[("pipeline", "calls")]),
        1.0
    );
    assert!(
        !samples
            .iter()
            .any(|s| s.name.contains("buffer") && s.labels["node"] == "in"),
        "a node without a buffer has no buffer metrics"
    );
}

#[test]
fn label_values_from_outside_stay_inside_their_quotes() {
    let observer = Observer::new("p\"\\\n{},");
    let node = observer.node("n", NodeKind::Sink, "x");
    node.dead_lettered("he said \"no\\\n\" # TYPE x counter\r\t", 1);
    let samples = parse(&render(&[observer]));
    let refused: Vec<_> = samples
        .iter()
        .filter(|s| s.name.contains("dead_lettered"))
        .collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].labels["pipeline"], "p\"\\\n{},");
    assert_eq!(
        refused[0].labels["reason"],
        "he said \"no\\\n\" # TYPE x counter\u{fffd}\u{fffd}"
    );
}

#[test]
fn the_number_of_series_is_bounded() {
    let observer = Observer::new("p");
    let node = observer.node("n", NodeKind::Sink, "x");
    for i in 0..10_000 {
        node.dead_lettered(&format!("request {i} was refused"), 1);
    }
    let samples = parse(&render(&[observer]));
    let refused = samples.iter().filter(|s| s.name.contains("dead_lettered"));
    assert_eq!(refused.clone().count(), MAX_REASONS + 1);
    #[allow(clippy::float_cmp)]
    {
        assert_eq!(refused.map(|s| s.value).sum::<f64>(), 10_000.0);
    }
}

#[test]
#[allow(clippy::float_cmp)]
fn pipelines_share_families() {
    let observers = [Observer::new("a"), Observer::new("b")];
    for (observer, n) in observers.iter().zip([1, 2]) {
        observer
            .node("in", NodeKind::Source, "stdin")
            .received(n, 0);
    }
    observers[0].set_state(RunState::Draining);
    observers[1].set_state(RunState::Stopped);
    // The parser refuses a family that comes twice.
    let samples = parse(&render(&observers));
    for (pipeline, n, up) in [("a", 1.0, 1.0), ("b", 2.0, 0.0)] {
        let labels = [("pipeline", pipeline)];
        assert_eq!(
            figure(&samples, "trunkline_events_received_total", &labels),
            n
        );
        assert_eq!(figure(&samples, "trunkline_up", &labels), up);
    }
}

#[test]
fn a_large_count_is_written_in_full() {
    let observer = Observer::new("p");
    observer
        .node("in", NodeKind::Source, "x")
        .received(12_345_678_901_234, 0);
    assert!(render(&[observer]).contains("} 12345678901234\n"));
}

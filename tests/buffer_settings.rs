//! What `buffer:` means: its defaults, and what they hang on.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use trunkline::config::{Fixed, parse};
use trunkline::edge::{DiskPolicy, EdgePolicy, WhenFull};
use trunkline::graph::check::check;
use trunkline::layer::StackPolicy;

/// The sinks and transforms of a pipeline, by name, with their buffers.
struct Read {
    buffers: HashMap<String, EdgePolicy>,
    stacks: HashMap<String, StackPolicy>,
}

/// A pipeline with these lines beside its name, transforms and sinks.
fn read(head: &str, transforms: &[&str], sinks: &[&str]) -> Result<Read, Vec<String>> {
    let mut text = String::from("version: 1\nname: p\n");
    text += "dead_letter: { type: blackhole }\nsources:\n  in: { type: stdin }\n";
    text += head;
    for (section, nodes) in [("transforms", transforms), ("sinks", sinks)] {
        text += &format!("\n{section}:\n");
        nodes.iter().for_each(|node| text += &format!("  {node}\n"));
        if nodes.is_empty() {
            text += "  {}\n";
        }
    }
    let checked = check(&parse("p.yaml", &text, &Fixed::default()));
    // What rests unencrypted is told elsewhere.
    let told = checked
        .report
        .iter()
        .filter(|one| one.code != "unmasked-at-rest");
    let told = told.map(|one| one.code.to_owned());
    let told: Vec<String> = told.collect();
    let Some(pipeline) = checked.pipeline else {
        return Err(told);
    };
    assert!(told.is_empty(), "{told:?}");
    let transforms = pipeline.transforms.into_iter();
    let transforms = transforms.filter_map(|node| Some((node.name.to_string(), node.buffer?)));
    let sinks = &pipeline.sinks;
    let stacks = sinks
        .iter()
        .map(|node| (node.name.to_string(), node.policy.clone()));
    let stacks = stacks.collect();
    let sinks = sinks
        .iter()
        .map(|node| (node.name.to_string(), node.buffer.clone()));
    Ok(Read {
        buffers: transforms.chain(sinks).collect(),
        stacks,
    })
}

/// A sink with this buffer.
fn sink(buffer: &str) -> Result<EdgePolicy, Vec<String>> {
    let sink = format!("out: {{ type: stdout, inputs: [in], buffer: {{ {buffer} }} }}");
    let mut read = read("", &[], &[&sink])?;
    Ok(read.buffers.remove("out").expect("a sink has a buffer"))
}

#[test]
fn a_buffer_is_in_memory_and_has_one_line_unless_it_says_otherwise() {
    for text in ["", "type: memory"] {
        let policy = sink(text).unwrap();
        assert_eq!((policy.max_events, policy.max_bytes), (10_000, 64 << 20));
        assert_eq!(policy.when_full, WhenFull::Block);
        assert!(policy.partition.is_none() && policy.priority.is_none());
        assert!(policy.disk.is_none() && policy.drop_alert.is_none());
    }
    let policy = sink("when_full: drop_oldest, drop_alert: 0.5%").unwrap();
    assert_eq!(policy.drop_alert, Some(0.005));
}

#[test]
fn partitions_are_as_many_as_cores_and_each_writes_its_own_batches() {
    let cores = std::thread::available_parallelism().unwrap().get().min(64);
    let policy = sink("partition_by: .data.interactionId").unwrap();
    let partition = policy.partition.unwrap();
    assert_eq!(partition.partitions.get(), cores);
    assert_eq!(partition.key.to_string(), ".data.interactionId");
    let read = read(
        "",
        &[],
        &[
            "many: { type: stdout, inputs: [in], buffer: { partition_by: .id, partitions: 7 } }",
            "few: { type: stdout, inputs: [in], concurrency: 3, buffer: { partition_by: .id, partitions: 7 } }",
            "plain: { type: stdout, inputs: [in], concurrency: 3 }",
        ],
    )
    .unwrap();
    let of = |name: &str| {
        let (buffer, stack) = (&read.buffers[name], &read.stacks[name]);
        (
            buffer.lanes(),
            buffer.in_flight.get(),
            stack.concurrency.get(),
        )
    };
    assert_eq!(of("many"), (7, 1, 7));
    assert_eq!(of("few"), (7, 1, 3));
    assert_eq!(of("plain"), (1, 3, 3));
}

#[test]
fn what_holds_events_gets_the_others_that_it_waits_for() {
    let order = "type: causal_reorder, key: .id, by: sequence, sequence: { path: .n }";
    let read = read(
        "",
        &[
            &format!("direct: {{ {order}, inputs: [in], buffer: {{}} }}"),
            "above: { type: filter, inputs: [in], where: { path: .a, exists: true }, buffer: { partition_by: .id } }",
            &format!("below: {{ {order}, inputs: [above] }}"),
            "cut: { type: filter, inputs: [in], where: { path: .a, exists: true }, buffer: {} }",
            &format!("said: {{ {order}, inputs: [cut], buffer: {{ in_flight: 2 }} }}"),
        ],
        &["out: { type: stdout, inputs: [direct, below, said] }"],
    )
    .unwrap();
    let of = |name: &str| {
        let buffer = &read.buffers[name];
        (buffer.keys_overlap, buffer.in_flight.get())
    };
    assert_eq!(of("direct"), (true, 16));
    assert_eq!(of("above"), (true, 16));
    assert_eq!(of("cut"), (false, 1));
    assert_eq!(of("said"), (true, 2));
}

#[test]
fn classes_have_a_guard() {
    let policy = sink("priority: [ { path: .a, equals: 1 }, { path: .a, equals: 2 } ]").unwrap();
    let priority = policy.priority.unwrap();
    assert_eq!(priority.classes.len(), 2);
    assert_eq!(priority.starvation_guard.get(), 8);
    let text = "priority: [ { path: .a, equals: 1 } ], starvation_guard: 3";
    let guard = sink(text).unwrap().priority.unwrap().starvation_guard;
    assert_eq!(guard.get(), 3);
    let many = vec!["{ path: .a, equals: 1 }"; 16].join(", ");
    assert_eq!(
        sink(&format!("priority: [ {many} ]")).unwrap_err(),
        ["out-of-range"]
    );
    assert_eq!(sink("priority: { path: .a }").unwrap_err(), ["wrong-type"]);
}

#[test]
fn a_buffer_on_disk_lies_below_the_state_unless_it_names_a_folder() {
    let state = "state: { type: embedded, path: var/state }";
    let sinks = [
        "disk: { type: stdout, inputs: [in], buffer: { type: disk } }",
        "spill: { type: stdout, inputs: [in], buffer: { when_full: spill, path: here, max_size: 1MiB, sync_wait: 5ms, compression: none } }",
        "drops: { type: stdout, inputs: [in], buffer: { type: disk, when_full: drop_oldest } }",
    ];
    let read = read(state, &[], &sinks).unwrap();
    let disk = |name: &str| read.buffers[name].disk.clone().unwrap();
    let expected = DiskPolicy {
        path: "var/state/buffers/disk".into(),
        max_bytes: 1 << 30,
        sync_wait: Duration::ZERO,
        compress: true,
        spill: false,
    };
    assert_eq!(disk("disk"), expected);
    let expected = DiskPolicy {
        path: "here".into(),
        max_bytes: 1 << 20,
        sync_wait: Duration::from_millis(5),
        compress: false,
        spill: true,
    };
    assert_eq!(disk("spill"), expected);
    assert_eq!(read.buffers["spill"].when_full, WhenFull::Block);
    // What the disk does when it is full, the memory in front of the node does not.
    let drops = &read.buffers["drops"];
    assert_eq!(drops.when_full, WhenFull::DropOldest);
    assert_eq!(drops.behind_disk().when_full, WhenFull::Block);
    assert!(drops.behind_disk().disk.is_none());
    assert_eq!(disk("drops").path, Path::new("var/state/buffers/drops"));
}

#[test]
fn a_wrong_state_is_not_told_as_a_missing_folder() {
    let sinks = ["disk: { type: stdout, inputs: [in], buffer: { type: disk } }"];
    let told = |state: &str| read(state, &[], &sinks).map(|_| ()).unwrap_err();
    assert_eq!(told("state: { type: memory }"), ["buffer-needs-path"]);
    assert_eq!(told("state: { type: embedded }"), ["missing-field"]);
}

use super::*;
use crate::config::{self, Environment};
use crate::graph::check::check;

fn pipeline(text: &str) -> Pipeline {
    let text = format!("version: 1\nname: test\n{text}");
    let checked = check(&config::parse("test.yaml", &text, &Environment));
    let told: Vec<String> = checked.report.iter().map(|f| f.message.clone()).collect();
    checked.pipeline.unwrap_or_else(|| panic!("{told:?}"))
}

const LETTERS: &str = "dead_letter: { type: file, path: l.ndjson }\n";
const DURABLE: &str = "state: { type: embedded, path: state }\n";
const FILE: &str = "sources: { in: { type: file, path: in } }\n";
const STDIN: &str = "sources: { in: { type: stdin } }\n";

/// The promise of a pipeline with one source and one sink.
fn promised(parts: &[&str], sink: &str) -> (Guarantee, String) {
    let text = format!(
        "{}sinks: {{ out: {{ inputs: [in], {sink} }} }}\n",
        parts.concat()
    );
    let mut promises = promises(&pipeline(&text));
    assert_eq!(promises.len(), 1, "{promises:?}");
    let promise = promises.remove(0);
    assert_eq!((&*promise.source, &*promise.sink), ("in", "out"));
    (promise.guarantee, promise.why)
}

#[test]
fn it_is_what_source_sink_and_state_make_it() {
    let synced = "type: file, path: o, sync: batch";
    let plain = "type: file, path: o";
    let emptied = "type: file, path: o, append: false";
    let (rows, none) = ("type: warehouse, path: w.db", "type: blackhole");
    let best = Guarantee::BestEffort;
    let (least, once) = (Guarantee::AtLeastOnce, Guarantee::EffectivelyOnce);
    let (lost, repeats) = (
        "what was not settled is lost in a crash, since a pipe is read once",
        "a crash repeats what was not settled",
    );
    let anew = "state in memory: each start reads everything again";
    let empties = "each start empties the sink, and what was settled does not come again";
    for (state, source, sink, guarantee, why) in [
        (DURABLE, FILE, synced, least, repeats.to_owned()),
        (
            DURABLE,
            FILE,
            plain,
            least,
            format!("{repeats}; a loss of power may take lines (`sync: batch` does not lose them)"),
        ),
        (
            DURABLE,
            FILE,
            rows,
            once,
            "rows are written by their keys".to_owned(),
        ),
        (
            DURABLE,
            FILE,
            none,
            best,
            "the sink keeps nothing".to_owned(),
        ),
        (DURABLE, FILE, emptied, best, empties.to_owned()),
        (
            "",
            FILE,
            emptied,
            least,
            format!("each start begins anew; {anew}"),
        ),
        (
            "",
            FILE,
            synced,
            least,
            format!("each start repeats everything; {anew}"),
        ),
        (
            "",
            FILE,
            rows,
            once,
            format!("rows are written by their keys; {anew}"),
        ),
        (DURABLE, STDIN, synced, best, lost.to_owned()),
        (
            "",
            STDIN,
            rows,
            best,
            format!("{lost}; rows are written by their keys"),
        ),
    ] {
        let found = promised(&[LETTERS, state, source], sink);
        assert_eq!(found, (guarantee, why), "{state}{source}{sink}");
    }
    let (guarantee, why) = promised(&[LETTERS, DURABLE, FILE], "type: stdout");
    assert_eq!(guarantee, least);
    assert!(why.contains("as far as the pipe"), "{why}");
}

#[test]
fn a_buffer_that_drops_spoils_what_is_behind_it_and_nothing_else() {
    let text = [
        LETTERS,
        DURABLE,
        FILE,
        "transforms:
  one: { type: filter, inputs: [in], where: { path: .a, exists: true } }
  two: { type: filter, inputs: [one], where: { path: .a, exists: true }, \
         buffer: { when_full: drop_oldest } }
sinks:
  before: { type: warehouse, inputs: [one], path: a.db }
  behind: { type: warehouse, inputs: [two], path: b.db }
  either: { type: warehouse, inputs: [one, two], path: c.db }
  itself: { type: file, inputs: [one], path: d, sync: batch, buffer: { when_full: drop_newest } }
",
    ]
    .concat();
    let promises = promises(&pipeline(&text));
    let drops = |node: &str| {
        let why = format!("events are dropped when the buffer of `{node}` is full; ");
        (Guarantee::BestEffort, why)
    };
    let expected = [
        ("before", (Guarantee::EffectivelyOnce, String::new())),
        ("behind", drops("two")),
        ("either", drops("two")),
        ("itself", drops("itself")),
    ];
    assert_eq!(promises.len(), expected.len());
    for (promise, (sink, (guarantee, why))) in promises.iter().zip(expected) {
        assert_eq!((&*promise.sink, promise.guarantee), (sink, guarantee));
        assert!(promise.why.starts_with(&why), "{}", promise.why);
    }
}

#[test]
fn a_pair_has_a_promise_only_where_the_one_reaches_the_other() {
    let text = format!(
        "{LETTERS}sources: {{ a: {{ type: file, path: a }}, b: {{ type: stdin }} }}
transforms:
  way: {{ type: route, inputs: [a], routes: {{ x: {{ path: .k, equals: x }} }}, else: rest }}
sinks:
  x: {{ type: warehouse, inputs: [way.x], path: x.db }}
  both: {{ type: warehouse, inputs: [way.rest, b], path: y.db }}
"
    );
    let promises = promises(&pipeline(&text));
    let pairs = promises.iter().map(|p| (&*p.source, &*p.sink, p.guarantee));
    let expected = [
        ("a", "x", Guarantee::EffectivelyOnce),
        ("a", "both", Guarantee::EffectivelyOnce),
        ("b", "both", Guarantee::BestEffort),
    ];
    assert!(pairs.eq(expected), "{promises:?}");
}

#[test]
fn it_is_said_what_becomes_of_refused_events() {
    let rows = "type: warehouse, path: w.db";
    let told = |letters: &str, sink: &str| promised(&[letters, DURABLE, FILE], sink).1;
    let rests = "rows are written by their keys";
    let stops = format!("{rests}; no dead letters: the first refused event stops the run");
    let forgets = format!("{rests}; refused events are not kept");
    assert_eq!(told("", rows), stops);
    assert_eq!(told("dead_letter: { type: blackhole }\n", rows), forgets);
    let own = |kind: &str| format!("{rows}, dead_letter: {{ type: {kind} }}");
    assert_eq!(told(LETTERS, &own("blackhole")), forgets);
    assert_eq!(told(LETTERS, &own("stdout")), rests);
    // The source's own refusals still go nowhere.
    assert_eq!(told("", &own("stdout")), stops);
}

#[test]
fn a_buffer_on_disk_counts_where_it_is_on_every_way() {
    let way = |disk: Option<&str>| Way {
        disk: disk.map(Arc::from),
        ..Way::default()
    };
    assert_eq!(
        way(Some("a")).or(&way(Some("b"))).disk.as_deref(),
        Some("a")
    );
    assert_eq!(way(Some("a")).or(&way(None)).disk, None);
    assert_eq!(way(None).or(&way(Some("a"))).disk, None);
    let on_disk = |settings: &str| {
        let sink = format!("type: warehouse, path: w, buffer: {{ {settings} }}");
        promised(&[LETTERS, DURABLE, STDIN], &sink)
    };
    let (guarantee, why) = on_disk("type: disk");
    assert_eq!(guarantee, Guarantee::EffectivelyOnce);
    assert!(
        why.contains("from the fsync of the buffer of `out` on"),
        "{why}"
    );
    let (guarantee, why) = on_disk("type: disk, when_full: drop_newest");
    assert_eq!(guarantee, Guarantee::BestEffort);
    assert!(why.starts_with("events are dropped when"), "{why}");
    // Events in memory are on no disk, however much room there is on it.
    let (guarantee, why) = on_disk("when_full: spill");
    assert_eq!(guarantee, Guarantee::BestEffort);
    assert!(why.contains("what had spilled goes ahead"), "{why}");
    let (_, why) = promised(
        &[LETTERS, DURABLE, STDIN],
        "type: file, path: o, buffer: { when_full: spill }",
    );
    assert!(
        why.contains("lost in a crash") && why.contains("a crash repeats"),
        "{why}"
    );
    let file = "type: file, path: o, sync: batch, buffer: { type: disk }";
    let (guarantee, why) = promised(&[LETTERS, DURABLE, STDIN], file);
    assert_eq!(guarantee, Guarantee::AtLeastOnce);
    assert!(
        why.contains("a crash repeats what was not settled"),
        "{why}"
    );
}

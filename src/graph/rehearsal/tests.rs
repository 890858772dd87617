use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;

use super::*;
use crate::config::{Fixed, parse};
use crate::event::Batch;
use crate::failure::Failure;
use crate::graph::check::check;
use crate::layer::rehearsal::Recorder;
use crate::layer::{Kept, SinkContext, SinkPart};
use crate::stage::Stage;

const START: &str = "2026-03-01T12:00:00Z";

fn pipeline(yaml: &str) -> Pipeline {
    let yaml = format!("version: 1\nname: p\n{yaml}");
    let checked = check(&parse("p.yaml", &yaml, &Fixed::new()));
    checked
        .pipeline
        .unwrap_or_else(|| panic!("{:?}", checked.report))
}

fn setting(input: &Path) -> Setting {
    Setting {
        inputs: vec![("in".to_owned(), Input::File(input.to_owned()))],
        ..Setting::new(START.parse().unwrap())
    }
}

/// Rehearses a pipeline with a source `in` over these lines.
fn rehearsed(yaml: &str, lines: &[&str]) -> Outcome {
    rehearsed_with(yaml, lines, |_| {})
}

fn rehearsed_with(yaml: &str, lines: &[&str], change: impl FnOnce(&mut Setting)) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.ndjson");
    fs::write(&input, lines.join("\n")).unwrap();
    let mut setting = setting(&input);
    change(&mut setting);
    let outcome = runtime()
        .unwrap()
        .block_on(rehearse(pipeline(yaml), setting));
    outcome.ledger.adds_up().unwrap();
    outcome
}

fn heads(outcome: &Outcome, sink: usize) -> Vec<&str> {
    let things = outcome.sinks[sink].things.iter();
    things.map(|thing| thing.head.as_str()).collect()
}

const IN: &str = "sources: { in: { type: rabbitmq, url: amqp://127.0.0.1:1, queue: q } }\n";

#[test]
fn sinks_show_what_would_leave_and_nothing_is_connected_to_or_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().display();
    let yaml = format!(
        "
state: {{ type: embedded, path: {state}/state }}
dead_letter: {{ type: rabbitmq, url: 'amqp://{at}', queue: dead }}
tenants: {{ list: {{ t: {{ organizations: {{ o: {{ endpoint: 'http://{at}', integrations: [i],
  auth: {{ client_id: me, client_secret: hush }} }} }} }} }} }}
sources:
  in: {{ type: rabbitmq, url: 'amqp://{at}', queue: q }}
  live: {{ type: genesys_webhook, listen: '{at}', secret: 0123456789abcdef }}
transforms:
  order:
    type: causal_reorder
    inputs: [in, live]
    key: .event_id
    by: lifecycle
    max_wait: 1s
    counters: {{ url: 'http://{at}', bucket: b, token: hush }}
sinks:
  rows: {{ type: warehouse, inputs: [order], dialect: postgresql, url: 'postgresql://{at}/db', buffer: {{ type: disk, path: {state}/b }} }}
  points: {{ type: influxdb, inputs: [order], url: 'http://{at}', bucket: b, token: hush,
    measurement: m, fields: {{ duration_seconds: .duration_seconds }} }}
  calls: {{ type: open_messaging, inputs: [order] }}
  told: {{ type: rabbitmq, inputs: [calls.statuses], url: 'amqp://{at}', exchange: e, routing_key: 'status.{{.status}}' }}
  file: {{ type: file, inputs: [order], path: {state}/out.ndjson }}
"
    );
    let event = r#"{"event_id":"e","interaction_id":"i","timestamp":"2026-03-01T11:00:00Z","duration_seconds":7,"messageId":"m","tenantId":"t","organizationId":"o","recipient":{"id":"+14155551234"},"textBody":"hi"}"#;
    let outcome = rehearsed(&yaml, &[event]);
    assert_eq!(outcome.failure, None);
    assert_eq!(outcome.dead_letters, []);
    let kinds: Vec<_> = outcome
        .sinks
        .iter()
        .map(|left| (&*left.node, left.things[0].kind))
        .collect();
    let expected = [
        ("rows", "sql"),
        ("points", "point"),
        ("calls", "request"),
        ("told", "message"),
        ("file", "line"),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(
        heads(&outcome, 1),
        ["m duration_seconds=7i 1772362800000000"]
    );
    let url = format!("POST http://{at}/api/v2/conversations/messages/agentless");
    assert_eq!(heads(&outcome, 2), [url]);
    let call = &outcome.sinks[2].things[0];
    assert!(
        call.details
            .contains(&("authorization".into(), "[secret]".into()))
    );
    assert_eq!(
        heads(&outcome, 3),
        ["e -> status.accepted", "e -> status.sent"]
    );
    let time = outcome.sinks[3].things[1].body.as_ref().unwrap();
    assert!(time.contains("2026-03-01T12:00:00.000Z"), "{time}");
    assert!(!format!("{outcome:?}").contains("hush"));
    assert!(listener.accept().is_err(), "somebody connected");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

const FILE: &str = "sinks: { out: { type: file, inputs: [last], path: out.ndjson } }\n";

#[test]
fn windows_pass_at_once_and_two_rehearsals_say_the_same() {
    let yaml = format!(
        "{IN}{FILE}delivery: {{ deadline: 1h }}
dead_letter: {{ type: file, path: dead.ndjson }}
transforms:
  unique: {{ type: dedup, inputs: [in], key: .id, window: 1h }}
  last: {{ type: causal_reorder, inputs: [unique], key: .c, by: lifecycle, max_wait: 30m,
    lifecycle: {{ path: .state, order: [started, ended] }} }}\n"
    );
    let lines: Vec<String> = (0..3000)
        .map(|n| {
            let (conversation, state) = (n / 3, ["ended", "started", "ended"][n % 3]);
            let id = if n % 3 == 2 { n - 2 } else { n };
            format!(r#"{{"id":{id},"c":"c{conversation}","state":"{state}","timestamp":"2026-01-01T00:00:{:02}Z"}}"#, 59 - n % 3)
        })
        .chain((0..40).flat_map(|n| {
            let orphan = format!(r#"{{"id":"o{n}","c":"o{n}","state":"ended","timestamp":"2026-01-01T00:00:00Z"}}"#);
            [orphan, r#"{"c":"x"}"#.to_owned(), "no json".to_owned()]
        }))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let from = std::time::Instant::now();
    let (one, two) = (rehearsed(&yaml, &lines), rehearsed(&yaml, &lines));
    let order = |outcome: &Outcome| {
        let letters = outcome.dead_letters.iter();
        let order = letters.map(|it| it.letter["source"]["line"].to_string());
        order.collect::<Vec<_>>().join(",")
    };
    assert_eq!(order(&one), order(&two));
    assert_eq!(one.dead_letter_count, 80);
    assert!(from.elapsed() < Duration::from_secs(60));
    assert_eq!((one.events, one.sinks[0].count), (3120, 2040));
    let (one, two) = (
        serde_json::to_value(&one).unwrap(),
        serde_json::to_value(&two).unwrap(),
    );
    let input = |value: &serde_json::Value| value["dead_letters"][0]["letter"]["source"].clone();
    assert_ne!(input(&one), input(&two), "the folders differ");
    for part in ["sinks", "ledger", "personal_data"] {
        assert_eq!(one[part], two[part], "{part}");
    }
    assert_eq!(
        one["dead_letters"][0]["letter"]["time"],
        "2026-03-01T12:00:00.000Z"
    );
}

#[test]
fn dead_letters_are_masked_and_looked_through_and_without_a_place_they_end_it() {
    let sinks = "sinks: { out: { type: file, inputs: [last], path: out.ndjson } }\n";
    let rules =
        "transforms: { last: { type: schema_validate, inputs: [in], fields: { id: string } } }\n";
    let lines = [
        r#"{"id":"a","to":"jo@example.com"}"#,
        r#"{"id":7,"to":"ann@example.com"}"#,
    ];
    let letters = "dead_letter: { type: rabbitmq, url: amqp://127.0.0.1:1, queue: dead }\n";
    let outcome = rehearsed(&format!("{IN}{rules}{sinks}{letters}"), &lines);
    assert_eq!(outcome.dead_letter_count, 1);
    let letter = &outcome.dead_letters[0];
    assert_eq!((&*letter.reason, &*letter.node), ("schema", "last"));
    assert_eq!(letter.letter["event"]["to"], "a***@***.com");
    let told = &outcome.dead_letter_sinks[0].things[0];
    let reason = ("header.x-trunkline-reason".to_owned(), "schema".into());
    assert!(told.details.contains(&reason), "{told:?}");
    let personal: Vec<String> = outcome.personal_data.iter().map(Personal::name).collect();
    assert_eq!(personal, ["out.to"]);

    let outcome = rehearsed(&format!("{IN}{rules}{sinks}"), &lines);
    let failure = outcome.failure.unwrap();
    assert!(failure.contains("no `dead_letter`"), "{failure}");
}

#[test]
fn a_limit_is_one_for_all_inputs_and_things_beyond_the_bound_are_counted() {
    let yaml = format!("{IN}sinks: {{ out: {{ type: file, inputs: [in], path: out.ndjson }} }}\n");
    let lines: Vec<String> = (0..2500)
        .map(|n| format!(r#"{{"n":{n},"m":"a@b.org"}}"#))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let outcome = rehearsed_with(&yaml, &lines, |setting| {
        setting.limit = 1700;
        setting.things = 5;
    });
    assert_eq!((outcome.events, outcome.is_cut), (1700, true));
    assert_eq!(outcome.sinks[0].count, 1700);
    assert_eq!(outcome.sinks[0].things.len(), 5);
    assert_eq!(outcome.sinks[0].things[4].lines, [5]);
    // All of them are looked through.
    assert_eq!(outcome.personal_data[0].count, 1700);
}

#[test]
fn what_is_never_answered_ends_on_the_paused_clock() {
    struct Stuck(Arc<AtomicUsize>);
    impl SinkPart for Stuck {
        fn kept(&self) -> Kept {
            Kept::Nothing
        }
        fn build(self: Box<Self>, _: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
            panic!("nobody builds it")
        }
        fn rehearse(
            self: Box<Self>,
            context: SinkContext,
            _: Recorder,
        ) -> BoxFuture<'static, Result<Stage, Failure>> {
            let stage = context.stack(Busy(self.0));
            std::future::ready(Ok(stage)).boxed()
        }
    }
    #[derive(Clone)]
    struct Busy(Arc<AtomicUsize>);
    impl crate::stage::Sink for Busy {
        async fn write(&self, _: Batch) -> Result<(), Failure> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(Failure::transient("busy", "always"))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.ndjson");
    fs::write(&input, "{}").unwrap();
    let yaml = format!("{IN}sinks: {{ out: {{ type: file, inputs: [in], path: out.ndjson }} }}\n");
    let (mut pipeline, tries) = (pipeline(&yaml), Arc::default());
    pipeline.sinks[0].part = Box::new(Stuck(Arc::clone(&tries)));
    let outcome = runtime()
        .unwrap()
        .block_on(rehearse(pipeline, setting(&input)));
    let failure = outcome.failure.unwrap();
    assert!(failure.contains("within 7 days"), "{failure}");
    assert!(tries.load(Ordering::Relaxed) > 100);
    outcome.ledger.adds_up().unwrap();
}

#[test]
fn versions_are_compared_row_by_row() {
    let of = |rest: &str| {
        format!(
            "{IN}dead_letter: {{ type: file, path: d }}\ntransforms: {{ last: {{ type: map, inputs: [in], fields: {{ {rest} }} }} }}\n
sinks:
  rows: {{ type: warehouse, inputs: [last], path: w.db }}
  out: {{ type: file, inputs: [last], path: o }}\n"
        )
    };
    let fields = "event_id: .id, interaction_id: .c, timestamp: .t";
    let lines = [
        r#"{"id":"a","c":"x","t":"2026-01-01T00:00:00Z","s":"started","q":"Ann"}"#,
        r#"{"id":"b","c":"x","t":"never","s":"ended"}"#,
    ];
    let before = rehearsed(&of(fields), &lines);
    let same = compare(&before, &rehearsed(&of(fields), &lines));
    assert!(same.is_none(), "{same:?}");
    let other = format!("{fields}, state: .s, queue_name: .q");
    let difference = compare(&before, &rehearsed(&of(&other), &lines));
    let rows = &difference.sinks[0];
    assert_eq!((&*rows.node, rows.same), ("rows", 1));
    assert_eq!(rows.added[0].key, "dim_queues Ann");
    assert_eq!(rows.changed[0].key, "fact_interactions a");
    let changed: Vec<&str> = rows.fields.keys().map(String::as_str).collect();
    assert_eq!(
        changed,
        ["fact_interactions.queue_name", "fact_interactions.state"]
    );
    assert!(rows.removed.is_empty() && !rows.wording);
    let out = &difference.sinks[1];
    assert_eq!(
        (out.changed.len(), out.fields[".state"], out.same),
        (2, 2, 0)
    );
    assert!(difference.dead_letters.is_empty());

    let later = rehearsed(
        &of("event_id: .id, interaction_id: .c, timestamp: .gone"),
        &lines,
    );
    let difference = compare(&before, &later);
    assert_eq!(difference.sinks[0].removed.len(), 2);
    let letters: Vec<_> = difference.dead_letters.into_iter().collect();
    assert_eq!(letters, [("rows bad_timestamp".to_owned(), (1, 2))]);
}

#[test]
fn inputs_are_named_where_there_are_several_sources() {
    let (one, two) = (["in".to_owned()], ["in".to_owned(), "b".to_owned()]);
    let named = |said: &[&str], sources: &[String]| {
        let said: Vec<String> = said.iter().map(|it| (*it).to_owned()).collect();
        let inputs = inputs(&said, sources)?;
        let path = |input| match input {
            Input::File(path) => path.display().to_string(),
            Input::Part(_) => unreachable!("none was given"),
        };
        let all = inputs.into_iter().map(|(name, input)| (name, path(input)));
        Ok(all.collect::<Vec<_>>())
    };
    let good = |name: &str, path: &str| vec![(name.to_owned(), path.to_owned())];
    assert_eq!(named(&["a=b.json"], &one), Ok(good("in", "a=b.json")));
    assert_eq!(named(&["b=x=y"], &two), Ok(good("b", "x=y")));
    for (said, sources, wrong) in [
        (&["x"][..], &two[..], "several sources"),
        (&["x", "y"], &one, "fed twice"),
        (&["x"], &[], "no source"),
    ] {
        let told: Result<_, String> = named(said, sources);
        assert!(told.unwrap_err().contains(wrong), "{wrong}");
    }
}

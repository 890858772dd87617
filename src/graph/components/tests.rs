use std::sync::Mutex;

use super::*;
use crate::config::{Fixed, parse};
use crate::event::Batch;
use crate::graph::check::check_with;
use crate::graph::run::{open_store, run};
use crate::observe::Observer;
use crate::stage::Applied;

/// Keeps what it was given.
#[derive(Clone, Default)]
struct Keeps(Arc<Mutex<Vec<String>>>);

impl Sink for Keeps {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let all = batch.events().iter().map(|event| event.to_json());
        self.0.lock().unwrap().extend(all);
        Ok(())
    }
}

/// Lets the first so many of a batch pass.
#[derive(Clone)]
struct First(usize);

impl Transform for First {
    async fn apply(&self, mut batch: Batch) -> Result<Applied, Failure> {
        let before = batch.len();
        batch.make_mut().truncate(self.0);
        let dropped = vec![("later", (before - batch.len()) as u64)];
        Ok(Applied {
            batch,
            dropped,
            ..Applied::default()
        })
    }
}

fn first(fields: &mut Fields<'_>) -> Option<First> {
    fields.required("events").map(First)
}

fn text(folder: &std::path::Path) -> String {
    format!(
        "
version: 1
name: own
state: {{ type: memory }}
dead_letter: {{ type: blackhole }}
sources:
  in: {{ type: file, path: {}/in.ndjson, read: once }}
transforms:
  few: {{ type: first, inputs: [in], events: 2 }}
sinks:
  out: {{ type: keeps, inputs: [few], retry: {{ attempts: 2 }} }}
",
        folder.display()
    )
}

#[tokio::test]
async fn components_of_ones_own_run_among_the_others() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("in.ndjson"),
        "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n",
    )
    .unwrap();
    let kept = Keeps::default();
    let sink = kept.clone();
    let components = Components::default()
        .transform("first", first)
        .sink("keeps", move |_: &mut Fields<'_>| Some(sink.clone()));
    let loaded = parse("p.yaml", &text(folder.path()), &Fixed::new());
    let pipeline = check_with(&loaded, &components).pipeline.unwrap();
    let observer = Observer::new("own");
    let store = open_store(&pipeline).await.unwrap();
    run(pipeline, &observer, store, std::future::pending())
        .await
        .unwrap();
    assert_eq!(*kept.0.lock().unwrap(), ["{\"n\":1}", "{\"n\":2}"]);
    let ledger = observer.ledger();
    ledger.adds_up().unwrap();
    assert_eq!(ledger.whole.dropped["later"], 1);
}

#[test]
fn their_mistakes_are_told_and_their_names_are_offered() {
    let folder = std::path::Path::new("nowhere");
    let components = Components::default().transform("first", first);
    let text = text(folder).replace("events: 2", "evnts: 2");
    let report = check_with(&parse("p.yaml", &text, &Fixed::new()), &components).report;
    let told: Vec<_> = report
        .iter()
        .map(|it| (it.code, it.span.unwrap().line))
        .collect();
    assert_eq!(
        told,
        [
            ("missing-field", 9),
            ("unknown-field", 9),
            ("unknown-component", 11)
        ]
    );
    let text = text.replace("type: first", "type: frist");
    let report = check_with(&parse("p.yaml", &text, &Fixed::new()), &components).report;
    let hints: Vec<_> = report.iter().filter_map(|it| it.hint.clone()).collect();
    assert!(
        hints.iter().any(|it| it == "did you mean `first`?"),
        "{hints:?}"
    );
}

#[test]
fn one_of_the_same_name_takes_the_place_of_what_is_built_in() {
    let components =
        Components::default().sink("influxdb", |_: &mut Fields<'_>| Some(Keeps::default()));
    assert_eq!(components.sinks(), sink::KINDS);
    let text = "
version: 1
name: own
state: { type: memory }
dead_letter: { type: blackhole }
sources: { in: { type: stdin } }
sinks: { out: { type: influxdb, inputs: [in] } }
";
    let loaded = parse("p.yaml", text, &Fixed::new());
    assert!(check_with(&loaded, &components).pipeline.is_some());
    assert!(
        check_with(&loaded, &Components::default())
            .pipeline
            .is_none()
    );
}

//! The transform `genesys_normalize` from outside: documents of each family, in any order, number and
//! state of health.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use proptest::prelude::*;
use serde_json::{Value, json};
use trunkline::config::{Fixed, parse};
use trunkline::diagnostic::Report;
use trunkline::event::{Batch, Event, Origin, PathSet, Provenance};
use trunkline::observe::{NodeKind, Observer};
use trunkline::setting::Fields;
use trunkline::stage::{Applied, Transform};
use trunkline::transform::genesys_normalize::{Config, Normalize};

#[path = "genesys_normalize/captured.rs"]
mod captured;
#[path = "genesys_normalize/hostile.rs"]
mod hostile;
#[path = "genesys_normalize/identity.rs"]
mod identity;
#[path = "genesys_normalize/shapes.rs"]
mod shapes;
#[path = "genesys_normalize/speed.rs"]
mod speed;

/// The transform with its counters and paths.
struct Bench {
    normalize: Normalize,
    paths: Arc<PathSet>,
    observer: Observer,
}

/// What it made of some events.
struct Made {
    events: Vec<Value>,
    parts: Vec<Origin>,
    dropped: BTreeMap<&'static str, u64>,
    rejected: Vec<&'static str>,
    created: u64,
}

impl Bench {
    fn new(yaml: &str) -> Self {
        let mut config = check(yaml).unwrap_or_else(|codes| panic!("{yaml}: {codes:?}"));
        let mut paths = PathSet::default();
        config.paths(&mut |path| paths.intern(path));
        let observer = Observer::new("p");
        let meter = observer.node("n", NodeKind::Transform, "genesys_normalize");
        Self {
            normalize: config.open(meter),
            paths: Arc::new(paths),
            observer,
        }
    }

    fn batch<S: AsRef<str>>(&self, bodies: &[S]) -> Batch {
        let from = Arc::new(Provenance {
            received: 1_800_000_000_000_000,
            ..Provenance::default()
        });
        let event = |(index, body): (usize, &S)| {
            let body = body.as_ref().to_owned();
            let mut event = Event::parse(body, &self.paths, &from).ok()?;
            event.origin = Origin::new(1, index);
            Some(event)
        };
        bodies.iter().enumerate().filter_map(event).collect()
    }

    fn applied(&self, batch: Batch) -> Applied {
        let applied = self.normalize.apply(batch).now_or_never();
        applied
            .expect("it waits for nothing")
            .expect("it never fails")
    }

    /// Applies it, and holds the answer against the equation of the ledger.
    fn made<S: AsRef<str>>(&self, bodies: &[S]) -> Made {
        let batch = self.batch(bodies);
        let came = batch.len() as u64;
        let applied = self.applied(batch);
        let dropped: BTreeMap<_, _> = applied.dropped.into_iter().collect();
        let gone = dropped.values().sum::<u64>() + applied.rejected.len() as u64;
        assert_eq!(came + applied.created, applied.batch.len() as u64 + gone);
        let events = applied.batch.events();
        let read = |event: &Event| serde_json::from_str(&event.to_json()).expect("JSON");
        Made {
            events: events.iter().map(read).collect(),
            parts: events.iter().map(|event| event.origin).collect(),
            dropped,
            rejected: applied
                .rejected
                .iter()
                .map(|letter| letter.reason)
                .collect(),
            created: applied.created,
        }
    }

    fn drift(&self) -> BTreeMap<String, u64> {
        let ledger = serde_json::to_value(self.observer.ledger()).expect("JSON");
        let drift = ledger["nodes"][0]["drift"].clone();
        serde_json::from_value(drift).unwrap_or_default()
    }
}

impl Made {
    fn ids(&self) -> BTreeSet<String> {
        self.events.iter().map(id).collect()
    }

    /// `participant state time` of each event, short.
    fn told(&self) -> Vec<String> {
        let told = |event: &Value| {
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            let data = &event["data"];
            let (who, state) = (text(&data["participantId"]), text(&data["state"]));
            let time = text(&event["timestamp"]).replace("2026-01-02T03:", "");
            let mut told = format!("{who} {state} {time}");
            if data["held"] == true {
                told += " held";
            }
            if data["inferred"] == true {
                told += " inferred";
            }
            told
        };
        self.events.iter().map(told).collect()
    }
}

fn id(event: &Value) -> String {
    event["eventId"].as_str().expect("an eventId").to_owned()
}

fn check(yaml: &str) -> Result<Config, Vec<String>> {
    let tree = parse("t.yaml", yaml, &Fixed::default()).tree.expect("YAML");
    let mut report = Report::new("t.yaml");
    let mut fields = Fields::new(&tree, "transform `x`", &mut report).expect("a mapping");
    let config = Config::check(&mut fields);
    fields.finish();
    let codes: Vec<_> = report.iter().map(|found| found.code.to_owned()).collect();
    config.filter(|_| codes.is_empty()).ok_or(codes)
}

/// The documents of a fixture, one a line.
fn fixture(name: &str) -> Vec<String> {
    let file = FilePath::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/genesys")
        .join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.lines().map(str::to_owned).collect()
}

/// The fixture of one document, changed.
fn changed(name: &str, line: usize, change: impl FnOnce(&mut Value)) -> String {
    let mut document = serde_json::from_str(&fixture(name)[line]).expect("JSON");
    change(&mut document);
    document.to_string()
}

const PLAIN: &str = "infer: true";

#[test]
fn reads_its_settings_and_tells_every_mistake() {
    assert!(check(PLAIN).is_ok());
    assert!(
        check("{infer: false, others: pass, include: [names, attributes], drift: fields}").is_ok()
    );
    let codes = check("{infer: maybe, others: keep, include: [faces], drift: 1}");
    let codes = codes.expect_err("mistakes");
    assert_eq!(
        codes,
        ["wrong-type", "unknown-value", "unknown-value", "wrong-type"]
    );
}

//! Any text as a frame of the platform: decoded as the source decodes it, made into participant
//! events, and those into line protocol.
//!
//! What comes out is JSON with an identifier and a time; the same frame gives the same events to the
//! letter; what went through once goes through again unchanged; and what is inferred only adds.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;
use tokio::runtime::{Builder, Runtime};
use trunkline::clock::parse_lenient;
use trunkline::codec::{Block, Decoded, Position, Record, decode};
use trunkline::config::{Fixed, parse};
use trunkline::diagnostic::Report;
use trunkline::event::{Batch, Event, Origin, PathSet, Provenance};
use trunkline::failure::Kind;
use trunkline::layer::StackPolicy;
use trunkline::observe::{NodeKind, NodeMeter, Observer};
use trunkline::setting::Fields;
use trunkline::sink::influxdb::{self, Influx};
use trunkline::stage::{Applied, Sink, Transform};
use trunkline::transform::genesys_normalize::{self as normalize, Normalize};

const PLAIN: &str = "{ infer: false, drift: off }";
const INFERRING: &str = "{}";
const WHOLE: &str = "{ others: pass, drift: fields, include: [names, addresses, attributes] }";
/// Points are printed, and then thrown away.
const POINTS: &str = "{ path: /dev/null }";

/// What is made once in a thread.
struct Parts {
    runtime: Runtime,
    paths: Arc<PathSet>,
    plain: Normalize,
    inferring: Normalize,
    whole: Normalize,
    influx: Influx,
}

thread_local!(static PARTS: Parts = Parts::new());

pub fn run(data: &[u8]) {
    // The socket hands over nothing else.
    if std::str::from_utf8(data).is_ok() {
        PARTS.with(|parts| parts.check(data));
    }
}

impl Parts {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().build().unwrap();
        let meter = Observer::new("fuzz").node("n", NodeKind::Transform, "n");
        let mut paths = PathSet::default();
        let mut open = |yaml| {
            let mut config = checked(yaml, normalize::Config::check);
            config.paths(&mut |path| paths.intern(path));
            config.open(meter.clone())
        };
        let (plain, inferring, whole) = (open(PLAIN), open(INFERRING), open(WHOLE));
        let mut points = checked(POINTS, influxdb::Config::check);
        points.paths(&mut |path| paths.intern(path));
        let influx = runtime.block_on(sink(points, meter));
        Self {
            runtime,
            paths: Arc::new(paths),
            plain,
            inferring,
            whole,
            influx,
        }
    }

    fn check(&self, frame: &[u8]) {
        let plain = self.made(&self.plain, frame);
        let inferring = self.made(&self.inferring, frame);
        assert!(ids(&plain).is_subset(&ids(&inferring)));
        let whole = self.made(&self.whole, frame);
        for batch in [&plain, &inferring, &whole] {
            self.write(batch.clone());
        }
        for event in &inferring {
            let again = self.made(&self.inferring, event.to_json().as_bytes());
            assert_eq!(texts(&again), [event.to_json()]);
        }
    }

    /// What becomes of a frame, twice.
    fn made(&self, normalize: &Normalize, frame: &[u8]) -> Batch {
        let apply = || {
            let batch = self.decoded(frame).batch;
            let came = batch.len() as u64;
            let Ok(applied) = self.runtime.block_on(normalize.apply(batch)) else {
                unreachable!("it never fails");
            };
            adds_up(came, &applied);
            applied.batch
        };
        let (once, twice) = (apply(), apply());
        assert_eq!(texts(&once), texts(&twice));
        once
    }

    fn decoded(&self, frame: &[u8]) -> Decoded {
        let record = Record {
            start: 0,
            end: frame.len() as u32,
            number: 1,
            line: 0,
            offset: 0,
        };
        let block = Block {
            text: frame.to_vec(),
            records: vec![record],
            refused: Vec::new(),
            end: Position::default(),
        };
        let from = Provenance {
            received: 1_800_000_000_000_000,
            ..Provenance::default()
        };
        let mut decoded = decode(block, &self.paths, &Arc::new(from));
        assert_eq!(decoded.records(), 1);
        for event in decoded.batch.make_mut() {
            event.origin = Origin::new(1, 0);
        }
        decoded
    }

    /// Events are written, or refused one by one.
    fn write(&self, batch: Batch) {
        let written = self.runtime.block_on(self.influx.write(batch));
        if let Err(failure) = written {
            assert_eq!(failure.kind(), Kind::Rejected, "{failure}");
        }
    }
}

async fn sink(points: influxdb::Config, meter: NodeMeter) -> Influx {
    let opened = points.open(&StackPolicy::default(), meter).await;
    opened.unwrap_or_else(|failure| panic!("{failure}"))
}

fn checked<C>(yaml: &str, check: impl Fn(&mut Fields<'_>) -> Option<C>) -> C {
    let tree = parse("f.yaml", yaml, &Fixed::default()).tree.unwrap();
    let mut report = Report::new("f.yaml");
    let mut fields = Fields::new(&tree, "node `n`", &mut report).unwrap();
    check(&mut fields).unwrap()
}

fn adds_up(came: u64, applied: &Applied) {
    let dropped: u64 = applied.dropped.iter().map(|(_, count)| count).sum();
    let gone = dropped + applied.rejected.len() as u64;
    assert_eq!(came + applied.created, applied.batch.len() as u64 + gone);
    let origins: BTreeSet<_> = applied
        .batch
        .into_iter()
        .map(|event| event.origin)
        .collect();
    assert_eq!(origins.len(), applied.batch.len(), "each has its own");
}

fn texts(batch: &Batch) -> Vec<String> {
    batch.into_iter().map(Event::to_json).collect()
}

/// The identifiers of participant events, which have all that the rest of a pipeline lives on.
fn ids(batch: &Batch) -> BTreeSet<String> {
    let id = |event: &Event| {
        let text = event.to_json();
        let json: Json = match serde_json::from_str(&text) {
            Ok(json) => json,
            // A number that no machine's number holds: the text is kept as it is.
            Err(error) if error.to_string().contains("out of range") => return None,
            Err(error) => panic!("{error}: {text}"),
        };
        // Of a name that comes twice the parsers see one each.
        let id = plain(&json["eventId"])?;
        assert!(!id.is_empty(), "{text}");
        assert!(plain(&json["data"]["interactionId"]).is_some(), "{text}");
        if let Some(time) = json["timestamp"].as_str() {
            assert!(parse_lenient(time).is_some(), "{text}");
        }
        Some(id)
    };
    batch.into_iter().filter_map(id).collect()
}

fn plain(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

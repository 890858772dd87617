//! Events, the sink that they go into, and what SQLite makes of the same.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trunkline::diagnostic::{Report, Span};
use trunkline::event::{Batch, Event, Origin, PathSet, Provenance};
use trunkline::failure::{Failure, Kind, Which};
use trunkline::observe::{NodeKind, Observer};
use trunkline::setting::{Fields, Key, Node, Value};
use trunkline::sink::warehouse::{Config, Warehouse};
use trunkline::stage::Sink;

/// A configuration of these fields.
pub fn config(fields: &[(&str, &str)]) -> Config {
    let span = Span::default();
    let value = |text: &str| match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => Value::Text(text.to_owned()),
    };
    let entry = |(name, text): &(&str, &str)| {
        let name = (*name).to_owned();
        (Key { name, span }, Node::new(value(text), span))
    };
    let node = Node::new(Value::Map(fields.iter().map(entry).collect()), span);
    let mut report = Report::new("f");
    let mut fields = Fields::new(&node, "sink `w`", &mut report).unwrap();
    let config = Config::check(&mut fields);
    fields.finish();
    config.unwrap_or_else(|| panic!("{:?}", report.iter().collect::<Vec<_>>()))
}

pub async fn open(config: &Config) -> Result<Warehouse, Failure> {
    config
        .open(Observer::new("p").node("w", NodeKind::Sink, "warehouse"))
        .await
}

pub fn batch(events: &[String]) -> Batch {
    let (set, from) = (
        Arc::new(PathSet::default()),
        Arc::new(Provenance::default()),
    );
    let events = events.iter().enumerate().map(|(place, json)| {
        let mut event = Event::parse(json.clone(), &set, &from).unwrap();
        event.origin = Origin::new(0, place);
        event
    });
    events.collect::<Vec<_>>().into()
}

/// Writes as the layers above a sink do: what may pass is tried again.
pub async fn write(warehouse: &Warehouse, batch: &Batch) -> Result<(), Failure> {
    for _ in 0..600 {
        match warehouse.write(batch.clone()).await {
            Err(failure) if failure.kind() <= Kind::Disconnected => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer,
        }
    }
    panic!("not written in half a minute");
}

/// A generator of numbers, the same each time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.below(place + 1));
        }
    }
}

/// Text that has hurt somebody somewhere.
pub const HOSTILE: &[&str] = &[
    "';--",
    "\\\\'); DROP TABLE x; --",
    "`?` @rows :1 $1 %s",
    "\\\"\\\\\\\"",
    "line\\nfeed\\ttab",
    "\u{1f600}é\u{feff}",
    "null",
    "[]",
    "$[0]",
    "\\u0001",
    "Z",
    "a",
];

/// Events of few ids and times, so that many of them are about one row.
pub fn events(seed: u64, count: usize) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let event = |dice: &mut Dice| {
        let text = |name: &str, dice: &mut Dice| match dice.below(3) {
            0 => String::new(),
            _ => format!(r#","{name}":"{}""#, HOSTILE[dice.below(HOSTILE.len())]),
        };
        let (queue, agent) = (text("queue_name", dice), text("agent_id", dice));
        let (direction, recording) = (text("direction", dice), text("recording_url", dice));
        let duration = match dice.below(3) {
            0 => String::new(),
            _ => format!(r#","duration_seconds":{}"#, dice.below(7) as i64 - 3),
        };
        format!(
            r#"{{"event_id":"e{}{}","interaction_id":"i{}","timestamp":"2026-01-02T0{}:04:05.{:03}Z"{queue}{agent}{direction}{recording}{duration}}}"#,
            HOSTILE[dice.below(3)],
            dice.below(count / 4 + 1),
            dice.below(2),
            dice.below(3),
            dice.below(3) * 499,
        )
    };
    (0..count).map(|_| event(&mut dice)).collect()
}

/// Good events, and with each thing that can be wrong with one: what is refused by the direct load is
/// refused by the staged one too, for the same reason.
pub fn bad_events() -> Vec<String> {
    let (long, fits) = ("é".repeat(256), "\u{1f600}".repeat(255));
    let event =
        |n: usize, more: &str| format!(r#"{{"event_id":"e{n}","interaction_id":"i",{more}}}"#);
    let at = r#""timestamp":"2026-01-02T03:04:05Z""#;
    let time = |text: &str| format!(r#""timestamp":"{text}""#);
    let with = |name: &str, text: &str| format!(r#"{at},"{name}":{text}"#);
    let mores = [
        at.to_owned(),
        time("2026-02-29T03:04:05.000Z"),
        time("2024-02-29T03:04:05.000Z"),
        time("2026-01-02T24:04:05.000Z"),
        time("2026-01-02T23:60:05.000Z"),
        time("2026-04-31T03:04:05.000Z"),
        time("0000-01-01T03:04:05.000Z"),
        time("0001-01-01T00:00:00.000Z"),
        time("9999-12-31T23:59:59.999Z"),
        time("2026-01-02T03:04:05.000"),
        time("x2026-01-02T03:04:05.000Z"),
        time("2026-01-02T03:04:05.000Z\\n"),
        time("2100-02-29T03:04:05.000Z"),
        time("1969-12-31T23:59:59.999Z"),
        time(""),
        with("state", "null"),
        with("duration_seconds", "2147483647"),
        with("duration_seconds", "-2147483648"),
        with("duration_seconds", "2147483648"),
        with("duration_seconds", "-2147483649"),
        with("duration_seconds", "1.5"),
        with("duration_seconds", "12345678901234567890"),
        with("queue_name", &format!("\"{long}\"")),
        with("queue_name", &format!("\"{fits}\"")),
        with("agent_id", &format!("\"{fits}a\"")),
        with("direction", &format!("\"{}\"", "d".repeat(51))),
        with("direction", &format!("\"{}\"", " ".repeat(50))),
        with("recording_url", &format!("\"{}\"", "u".repeat(2_049))),
        with("recording_url", &format!("\"{}\"", "u".repeat(2_048))),
        with("state", &format!("\"{}\"", "s".repeat(100_000))),
    ];
    let mut events: Vec<String> = mores
        .iter()
        .enumerate()
        .map(|(n, more)| event(n, more))
        .collect();
    events.push(format!(r#"{{"interaction_id":"i",{at}}}"#));
    events.push(format!(r#"{{"event_id":"e",{at}}}"#));
    events.push(r#"{"event_id":"","timestamp":"never"}"#.to_owned());
    events
}

/// Why which events were refused.
#[allow(dead_code, reason = "not every test has any refused")]
pub fn refused(failure: &Failure) -> Vec<(String, Which)> {
    let losses = failure.losses().iter();
    let mut all: Vec<_> = losses
        .map(|loss| {
            assert_eq!(loss.kind, Kind::Rejected, "{failure}");
            let mut which = loss.which.clone();
            if let Which::Only(origins) = &mut which {
                origins.sort();
            }
            (loss.cause.message.to_string(), which)
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// The columns of each table that are to be the same everywhere; `(name, columns)`.
pub const TABLES: &[(&str, &[&str])] = &[
    (
        "fact_interactions",
        &[
            "event_id",
            "interaction_id",
            "event_timestamp",
            "interaction_type",
            "direction",
            "state",
            "duration_seconds",
            "queue_name",
            "agent_id",
            "source_system",
            "event_counter",
        ],
    ),
    (
        "call_recordings",
        &[
            "event_id",
            "interaction_id",
            "recording_url",
            "event_timestamp",
            "event_counter",
        ],
    ),
    ("dim_agents", &["agent_id", "source_system"]),
    ("dim_queues", &["queue_name", "source_system"]),
    (
        "dim_time",
        &[
            "hour_start",
            "date",
            "year",
            "quarter",
            "month",
            "day",
            "hour",
            "day_of_week",
        ],
    ),
];

/// Whether a column holds a time, which each database shows in its own way.
pub fn is_time(column: &str) -> bool {
    matches!(column, "event_timestamp" | "hour_start")
}

pub type Rows = Vec<Vec<Option<String>>>;

/// What SQLite holds after the same events in one batch.
pub async fn expected(events: &[String]) -> Vec<Rows> {
    judged(events).await.0
}

/// The same, with what SQLite refuses.
pub async fn judged(events: &[String]) -> (Vec<Rows>, Option<Failure>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.db");
    let config = config(&[("path", path.to_str().unwrap())]);
    let warehouse = open(&config).await.unwrap();
    let failure = warehouse.write(batch(events)).await.err();
    drop(warehouse);
    let tables = TABLES.iter();
    let tables = tables.map(|(table, columns)| rows(&path, table, columns));
    (tables.collect(), failure)
}

fn rows(path: &Path, table: &str, columns: &[&str]) -> Rows {
    let connection = rusqlite::Connection::open(path).unwrap();
    let names: Vec<String> = columns
        .iter()
        .map(|name| match is_time(name) {
            // Milliseconds since 1970.
            true => format!(
                "CAST(strftime('%s', {name}) * 1000 + CAST(substr({name}, 21, 3) AS INTEGER) AS TEXT)"
            ),
            false => format!("CAST({name} AS TEXT)"),
        })
        .collect();
    let query = format!("SELECT {} FROM {table}", names.join(", "));
    let mut statement = connection.prepare(&query).unwrap();
    let rows = statement.query_map([], |row| (0..columns.len()).map(|n| row.get(n)).collect());
    let mut rows: Rows = rows.unwrap().map(Result::unwrap).collect();
    rows.sort();
    rows
}

//! Events, the sink that they go into, and what SQLite makes of the same.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use trunkline::diagnostic::{Report, Span};
use trunkline::event::{Batch, Event, Origin, PathSet, Provenance};
use trunkline::failure::{Failure, Kind};
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
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.db");
    let config = config(&[("path", path.to_str().unwrap())]);
    let warehouse = open(&config).await.unwrap();
    warehouse.write(batch(events)).await.unwrap();
    drop(warehouse);
    TABLES
        .iter()
        .map(|(table, columns)| rows(&path, table, columns))
        .collect()
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

//! Events, and what a warehouse holds of them.

#![allow(dead_code, reason = "each test uses what it needs of it")]

use std::sync::Arc;

use tokio_postgres::{Client, SimpleQueryMessage};
use trunkline::client::postgres::{Settings, Tls};
use trunkline::event::{Batch, Event, Origin, PathSet, Provenance};
use trunkline::failure::{Failure, Kind, Which};
use trunkline::observe::{NodeKind, NodeMeter, Observer};
use trunkline::sink::warehouse::{Config, Dialect, Target, Warehouse, ddl};
use trunkline::stage::Sink;

/// The tables whose content does not depend on when it was written, with their columns.
pub const TABLES: &[(&str, &str)] = &[
    (
        "fact_interactions",
        "event_id, interaction_id, event_timestamp, interaction_type, direction, state, \
         duration_seconds, queue_name, agent_id, source_system, event_counter",
    ),
    (
        "call_recordings",
        "event_id, interaction_id, recording_url, event_timestamp, event_counter",
    ),
    ("dim_agents", "agent_id, source_system"),
    ("dim_queues", "queue_name, source_system"),
    (
        "dim_time",
        "hour_start, date, year, quarter, month, day, hour, day_of_week",
    ),
];

pub fn meter() -> NodeMeter {
    Observer::new("p").node("w", NodeKind::Sink, "warehouse")
}

/// A warehouse at this URL, without TLS, which the server does not have.
pub fn config(url: &str) -> Config {
    Config::new(Target::Postgres(Settings::of_url(url, Tls::Off)))
}

pub async fn open(config: &Config) -> Result<Warehouse, Failure> {
    config.open(meter()).await
}

pub fn event(json: &str, counter: u64) -> Event {
    let (set, from) = (
        Arc::new(PathSet::default()),
        Arc::new(Provenance::default()),
    );
    let mut event = Event::parse(json.to_owned(), &set, &from).unwrap();
    event.counter = counter;
    event
}

/// An event of second `second` (up to an hour), in the state `state`.
pub fn record(id: &str, second: u32, state: &str) -> Event {
    let (minute, second) = (second / 60, second % 60);
    let json = format!(
        r#"{{"event_id":"{id}","interaction_id":"i","timestamp":"2026-01-02T03:{minute:02}:{second:02}Z",
            "state":"{state}","queue_name":"q","agent_id":"user:a"}}"#
    );
    event(&json, 0)
}

pub fn batch(events: impl IntoIterator<Item = Event>) -> Batch {
    let numbered = events.into_iter().enumerate().map(|(index, mut event)| {
        event.origin = Origin::new(1, index);
        event
    });
    numbered.collect()
}

/// Writes as the layers around a sink do: what fails for a passing reason comes again.
pub async fn write_until_done(warehouse: &Warehouse, batch: &Batch) -> u32 {
    let mut failures = 0;
    while let Err(failure) = warehouse.write(batch.clone()).await {
        let passing = matches!(failure.kind(), Kind::Transient | Kind::Disconnected);
        assert!(passing, "{failure}");
        failures += 1;
        assert!(failures < 3_000, "{failure}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    failures
}

/// Reason and places of each loss.
pub fn losses(result: Result<(), Failure>) -> Vec<(&'static str, Vec<usize>)> {
    let Err(failure) = result else {
        return Vec::new();
    };
    assert_eq!(failure.kind(), Kind::Rejected, "{failure}");
    let mut losses: Vec<_> = failure
        .losses()
        .iter()
        .map(|loss| match &loss.which {
            Which::All => panic!("a refusal names its events"),
            Which::Only(origins) => {
                let mut places: Vec<_> = origins.iter().map(|origin| origin.index()).collect();
                places.sort_unstable();
                (loss.cause.reason, places)
            }
        })
        .collect();
    losses.sort();
    losses
}

/// All rows of a query, as text.
pub async fn rows(client: &Client, query: &str) -> Vec<Vec<Option<String>>> {
    let messages = client.simple_query(query).await.unwrap();
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    rows.map(|row| {
        (0..row.len())
            .map(|at| row.get(at).map(str::to_owned))
            .collect()
    })
    .collect()
}

pub async fn one(client: &Client, query: &str) -> String {
    rows(client, query).await[0][0].clone().unwrap_or_default()
}

/// Redshift's tables on a server that has no keys for distribution and sorting.
pub fn on_postgres(schema: &str) -> String {
    let words =
        regex::Regex::new(r#" (DISTSTYLE ALL|DISTKEY \([^)]*\))?( SORTKEY \([^)]*\))?;"#).unwrap();
    let text = ddl(Dialect::Redshift, schema, None).replace("GETDATE()", "now()");
    words.replace_all(&text, ";").into_owned()
}

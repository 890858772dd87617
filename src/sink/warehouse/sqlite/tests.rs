use std::path::Path as FilePath;
use std::sync::Arc;

use futures::executor::block_on;
use proptest::prelude::*;
use rusqlite::types::Value;

use super::super::dialect::{Dialect, ddl};
use super::super::model::{SOURCE_SYSTEM, TABLES};
use super::super::write::{Shared, write};
use super::*;
use crate::event::{Batch, Event, Origin, PathSet, Provenance};
use crate::failure::{Kind, Which};
use crate::observe::{NodeKind, NodeMeter, Observer};

fn config(file: &FilePath, staging: bool) -> Config {
    Config {
        target: Target::Sqlite {
            path: file.to_owned(),
        },
        connections: 1,
        schema: "cc_analytics".to_owned(),
        auto_create: true,
        source_system: SOURCE_SYSTEM.to_owned(),
        staging,
        freshness: false,
        start_timeout: std::time::Duration::ZERO,
        paths: super::super::config::default_paths(),
    }
}

fn meter() -> NodeMeter {
    Observer::new("p").node("w", NodeKind::Sink, "warehouse")
}

/// A connection, and the way of a batch to it.
struct Opened {
    store: Sqlite,
    shared: Shared,
}

impl std::ops::Deref for Opened {
    type Target = Sqlite;

    fn deref(&self) -> &Sqlite {
        &self.store
    }
}

impl Opened {
    fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        block_on(write(&mut self.store, &self.shared, batch))
    }
}

fn open(config: &Config) -> Result<Opened, Failure> {
    Ok(Opened {
        store: block_on(Sqlite::open(config))?,
        shared: Shared::new(config.clone(), meter()),
    })
}

fn probe(config: &Config) -> Result<String, Failure> {
    schema::probe(config)
}

/// A warehouse in a folder of its own.
fn store(staging: bool) -> (tempfile::TempDir, Opened) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&config(&folder.path().join("deep/w.db"), staging)).unwrap();
    (folder, store)
}

fn event(json: &str, counter: u64) -> Event {
    let (set, from) = (
        Arc::new(PathSet::default()),
        Arc::new(Provenance::default()),
    );
    let mut event = Event::parse(json.to_owned(), &set, &from).unwrap();
    event.counter = counter;
    event
}

fn batch(events: impl IntoIterator<Item = Event>) -> Batch {
    let numbered = events.into_iter().enumerate().map(|(index, mut event)| {
        event.origin = Origin::new(1, index);
        event
    });
    numbered.collect()
}

/// An event of second `second`, in the state `state`.
fn record(id: &str, second: u32, counter: u64, state: &str) -> Event {
    let json = format!(
        r#"{{"event_id":"{id}","interaction_id":"i","timestamp":"2026-01-02T03:04:{second:02}Z",
            "state":"{state}","queue_name":"q-{state}","agent_id":"user:a"}}"#
    );
    event(&json, counter)
}

/// All rows of a table but for `created_at`, in the order of the key.
fn rows(connection: &Connection, table: &str) -> Vec<Vec<Value>> {
    let table = TABLES.iter().find(|t| t.name == table).unwrap();
    let names: Vec<_> = table
        .columns
        .iter()
        .map(|column| column.name)
        .filter(|name| *name != "created_at")
        .collect();
    let query = format!("SELECT {} FROM {} ORDER BY 1", names.join(","), table.name);
    let mut statement = connection.prepare(&query).unwrap();
    let read = |row: &rusqlite::Row<'_>| (0..names.len()).map(|at| row.get(at)).collect();
    statement
        .query_map([], read)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn everything(store: &Opened) -> Vec<Vec<Vec<Value>>> {
    TABLES
        .iter()
        .map(|table| rows(&store.connection, table.name))
        .collect()
}

fn one<T: rusqlite::types::FromSql>(store: &Opened, query: &str) -> T {
    store
        .connection
        .query_row(query, [], |row| row.get(0))
        .unwrap()
}

/// Reason and places of each loss.
fn losses(result: Result<(), Failure>) -> Vec<(&'static str, Vec<usize>)> {
    let Err(failure) = result else {
        return Vec::new();
    };
    assert_eq!(failure.kind(), Kind::Rejected, "{failure}");
    let place = |origin: &Origin| origin.index();
    let mut losses: Vec<_> = failure
        .losses()
        .iter()
        .map(|loss| match &loss.which {
            Which::All => panic!("a refusal names its events"),
            Which::Only(origins) => (loss.cause.reason, origins.iter().map(place).collect()),
        })
        .collect();
    losses.sort();
    losses
}

#[test]
fn the_ddl_makes_the_tables_and_can_be_run_again() {
    let connection = Connection::open_in_memory().unwrap();
    let text = ddl(Dialect::Sqlite, "cc_analytics", Some("reporting"));
    for _ in 0..2 {
        connection.execute_batch(&text).unwrap();
    }
    for line in [
        "\"event_id\" VARCHAR(255) NOT NULL PRIMARY KEY",
        "\"interaction_id\" VARCHAR(255) NOT NULL",
        "\"event_timestamp\" TIMESTAMP",
        "\"interaction_type\" VARCHAR(50)",
        "\"duration_seconds\" INTEGER",
        "\"source_system\" VARCHAR(255) DEFAULT 'GENESYS_CLOUD'",
        "\"event_counter\" BIGINT NOT NULL DEFAULT 0",
        "(\"event_timestamp\" DESC)",
        "(\"queue_name\", \"interaction_type\")",
    ] {
        assert!(text.contains(line), "{line}");
    }
    for table in TABLES {
        let mut statement = connection
            .prepare("SELECT name FROM pragma_table_info(?1)")
            .unwrap();
        let found: Vec<String> = statement
            .query_map([table.name], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let due: Vec<_> = table.columns.iter().map(|column| column.name).collect();
        assert_eq!(found, due);
    }
}

#[test]
fn fills_every_column_and_every_table() {
    for staging in [false, true] {
        let (_folder, mut store) = store(staging);
        let json = r#"{"event_id":"e","interaction_id":"i","timestamp":"2026-01-02T04:04:05.6789+01:00",
            "type":"voice","direction":"inbound","state":"connected","duration_seconds":42,
            "queue_name":"Sales","agent_id":"user:x","recording_url":"https://***/r"}"#;
        store.write(&batch([event(json, 7)])).unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        let at = text("2026-01-02T03:04:05.678Z");
        let source = text("GENESYS_CLOUD");
        let due = vec![
            vec![
                text("e"),
                text("i"),
                at.clone(),
                text("voice"),
                text("inbound"),
                text("connected"),
                Value::Integer(42),
                text("Sales"),
                text("user:x"),
                source.clone(),
                Value::Integer(7),
            ],
            vec![text("user:x"), source.clone()],
            vec![text("Sales"), source],
            [text("2026-01-02T03:00:00.000Z"), text("2026-01-02")]
                .into_iter()
                .chain([2026, 1, 1, 2, 3, 5].map(Value::Integer))
                .collect(),
            vec![
                text("e"),
                text("i"),
                text("https://***/r"),
                at,
                Value::Integer(7),
            ],
        ];
        let found: Vec<_> = everything(&store).into_iter().flatten().collect();
        assert_eq!(found, due);
        let created: String = one(&store, "SELECT created_at FROM fact_interactions");
        assert!(created.ends_with('Z') && created.len() == 24, "{created}");
    }
}

#[test]
fn a_row_never_goes_back_in_time() {
    for staging in [false, true] {
        let (_folder, mut store) = store(staging);
        let state = "SELECT state FROM fact_interactions";
        for (second, counter, name, due) in [
            (10, 5, "first", "first"),
            (9, 9, "older", "first"),
            (10, 4, "lower", "first"),
            (10, 6, "higher", "higher"),
            (11, 1, "newer", "newer"),
        ] {
            store
                .write(&batch([record("e", second, counter, name)]))
                .unwrap();
            assert_eq!(one::<String>(&store, state), due);
        }
    }
}

#[test]
fn created_at_stays_the_first() {
    let (_folder, mut store) = store(false);
    store.write(&batch([record("e", 1, 0, "a")])).unwrap();
    store
        .connection
        .execute("UPDATE fact_interactions SET created_at = 'then'", [])
        .unwrap();
    store.write(&batch([record("e", 2, 0, "b")])).unwrap();
    let query = "SELECT created_at || state FROM fact_interactions";
    assert_eq!(one::<String>(&store, query), "thenb");
}

#[test]
fn folds_a_batch_to_one_write_for_each_event() {
    let (_folder, mut store) = store(false);
    let events = [(3, "c"), (1, "a"), (4, "d"), (2, "b")];
    let before = store.connection.total_changes();
    store
        .write(&batch(
            events.map(|(second, state)| record("e", second, 0, state)),
        ))
        .unwrap();
    // One fact, one agent, four queues, one hour.
    assert_eq!(store.connection.total_changes() - before, 7);
    assert_eq!(
        one::<String>(&store, "SELECT state FROM fact_interactions"),
        "d"
    );
}

#[test]
fn a_second_run_changes_nothing() {
    let events: Vec<_> = (0..50)
        .map(|n| record(&format!("e{}", n % 40), n, 0, "s"))
        .collect();
    let (_folder, mut direct) = store(false);
    direct.write(&batch(events.clone())).unwrap();
    let changes = direct.connection.total_changes();
    direct.write(&batch(events.clone())).unwrap();
    assert_eq!(direct.connection.total_changes(), changes);

    // The staging table is written in any case; the file is not.
    let (folder, mut staged) = store(true);
    staged.write(&batch(events.clone())).unwrap();
    let log = folder.path().join("deep/w.db-wal");
    let length = std::fs::metadata(&log).unwrap().len();
    staged.write(&batch(events)).unwrap();
    assert_eq!(std::fs::metadata(&log).unwrap().len(), length);
}

#[test]
fn a_recording_outlives_a_later_event_without_one() {
    for staging in [false, true] {
        let (_folder, mut store) = store(staging);
        let with = |second: u32, url: &str| {
            event(
                &format!(
                    r#"{{"event_id":"e","interaction_id":"i","recording_url":{url},
                        "timestamp":"2026-01-02T03:04:{second:02}Z"}}"#
                ),
                0,
            )
        };
        let events = [with(2, "\"two\""), with(1, "\"one\""), with(3, "null")];
        store.write(&batch(events)).unwrap();
        let url: String = one(&store, "SELECT recording_url FROM call_recordings");
        assert_eq!(url, "two");
        let at: String = one(&store, "SELECT event_timestamp FROM fact_interactions");
        assert_eq!(at, "2026-01-02T03:04:03.000Z");
    }
}

#[test]
fn refuses_bad_events_and_writes_the_others() {
    let long = "x".repeat(51);
    for staging in [false, true] {
        let (_folder, mut store) = store(staging);
        let good = r#""event_id":"e","interaction_id":"i","timestamp":"2026-01-02T03:04:05Z""#;
        let bad = [
            format!("{{{good}}}"),
            r#"{"interaction_id":"i"}"#.to_owned(),
            r#"{"event_id":"x","timestamp":"2026-01-02T03:04:05Z"}"#.to_owned(),
            r#"{"event_id":"x","interaction_id":"i","timestamp":"2026-02-31T00:00:00.000Z"}"#
                .to_owned(),
            r#"{"event_id":"x","interaction_id":"i","timestamp":"2026-01-02T03:04:05"}"#.to_owned(),
            format!(r#"{{{good},"state":"{long}"}}"#),
            format!(r#"{{{good},"duration_seconds":"345"}}"#),
            format!(r#"{{{good},"duration_seconds":3000000000}}"#),
            format!(r#"{{{good},"queue_name":["q"]}}"#),
        ];
        let result = store.write(&batch(bad.iter().map(|json| event(json, 0))));
        let text = result.as_ref().unwrap_err().to_string();
        assert!(
            text.contains("`state` takes at most 50") && !text.contains(&long),
            "{text}"
        );
        let mut merged = std::collections::BTreeMap::<_, Vec<usize>>::new();
        for (reason, places) in losses(result) {
            merged.entry(reason).or_default().extend(places);
        }
        merged
            .values_mut()
            .for_each(|places| places.sort_unstable());
        let due = [
            ("bad_timestamp", vec![3, 4]),
            ("missing_event_id", vec![1]),
            ("missing_interaction_id", vec![2]),
            ("value_too_long", vec![5]),
            ("wrong_type", vec![6, 7, 8]),
        ];
        assert_eq!(
            merged.into_iter().collect::<Vec<_>>(),
            due,
            "staging: {staging}"
        );
        assert_eq!(rows(&store.connection, "fact_interactions").len(), 1);
    }
}

#[test]
fn a_constraint_refuses_only_its_row() {
    for staging in [false, true] {
        let (_folder, mut store) = store(staging);
        store
            .connection
            .execute_batch(
                "CREATE TRIGGER guard BEFORE INSERT ON fact_interactions WHEN new.state = 'bad' \
                 BEGIN SELECT raise(ABORT, 'no'); END",
            )
            .unwrap();
        let events = [
            record("a", 1, 0, "good"),
            record("a", 2, 0, "bad"),
            record("b", 1, 0, "good"),
        ];
        let found = losses(store.write(&batch(events)));
        assert_eq!(found, [("constraint", vec![1])]);
        // The older event of the refused one's id is written in its stead.
        assert_eq!(rows(&store.connection, "fact_interactions").len(), 2);
        assert_eq!(rows(&store.connection, "dim_queues").len(), 1);
    }
}

#[test]
fn a_missing_column_ends_the_opening_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("w.db"), false);
    drop(open(&config).unwrap());
    let connection = Connection::open(path(&config).unwrap()).unwrap();
    connection
        .execute_batch("ALTER TABLE fact_interactions DROP COLUMN event_counter")
        .unwrap();
    let failure = open(&config).err().unwrap();
    assert_eq!(failure.kind(), Kind::Fatal);
    let text = failure.to_string();
    let from = text.find("ALTER TABLE").unwrap();
    let to = text.rfind(';').unwrap();
    connection.execute_batch(&text[from..=to]).unwrap();
    drop(open(&config).unwrap());
}

#[test]
fn tables_that_are_no_warehouse_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("w.db"), false);
    let connection = Connection::open(path(&config).unwrap()).unwrap();
    let without_key = ddl(Dialect::Sqlite, "", None).replace(" PRIMARY KEY", "");
    connection.execute_batch(&without_key).unwrap();
    let failure = open(&config).err().unwrap();
    assert_eq!(
        failure.losses()[0].cause.reason,
        "warehouse_schema",
        "{failure}"
    );
}

#[test]
fn files_that_cannot_be_used_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.db");
    std::fs::write(
        &file,
        "this is no database at all, but some text of a length",
    )
    .unwrap();
    for result in [
        open(&config(&file, false)).map(drop),
        probe(&config(&file, false)).map(drop),
        open(&config(&file.join("below"), false)).map(drop),
    ] {
        assert_eq!(result.unwrap_err().kind(), Kind::Fatal);
    }
    let mut config = config(&folder.path().join("none.db"), false);
    config.auto_create = false;
    assert!(open(&config).is_err() && probe(&config).is_err());
}

#[test]
fn a_probe_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(&folder.path().join("deep/w.db"), false);
    assert!(probe(&config).unwrap().contains("will be made"));
    assert!(!folder.path().join("deep").exists());
    drop(open(&config).unwrap());
    assert!(probe(&config).unwrap().contains("has all tables"));
}

/// An event of few ids, times, counters and contents, so that ties and repeats are common; some
/// are refused.
fn any_event() -> impl Strategy<Value = Event> {
    let word = || prop::sample::select(vec!["null", "\"\"", "\"a\"", "\"B\"", "\"é\"", "\"a b\""]);
    let duration = prop::sample::select(vec!["null", "\"\"", "-1", "9", "10.0", "1e1", "1.5"]);
    let time = prop::sample::select(vec![
        "\"2026-01-02T03:59:59.999Z\"",
        "\"2026-01-02T03:59:59.9999Z\"",
        "\"2026-01-02T05:00:00+01:00\"",
        "\"0999-12-31T23:59:59Z\"",
        "1767322799999",
        "\"soon\"",
    ]);
    let ids = (0..3u8, word(), time, 0..2u64);
    let rest = (word(), word(), duration, word(), word());
    (ids, rest).prop_map(|((id, interaction, time, counter), rest)| {
        let (kind, state, duration, agent, url) = rest;
        let json = format!(
            r#"{{"event_id":"e{id}","interaction_id":{interaction},"timestamp":{time},
                "type":{kind},"state":{state},"duration_seconds":{duration},
                "agent_id":{agent},"queue_name":{kind},"recording_url":{url}}}"#
        );
        event(&json, counter)
    })
}

/// Writes in batches of the given lengths, and answers how many events were refused.
fn write_all(store: &mut Opened, events: &[Event], lengths: &[usize]) -> usize {
    let mut lengths = lengths.iter().copied().cycle();
    let (mut rest, mut refused) = (events, 0);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(lengths.next().unwrap_or(1).min(rest.len()));
        let found = losses(store.write(&batch(now.iter().cloned())));
        refused += found.iter().map(|(_, places)| places.len()).sum::<usize>();
        rest = later;
    }
    refused
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn order_repeats_and_batches_make_no_difference(
        (events, other) in prop::collection::vec(any_event(), 1..24).prop_flat_map(|events| {
            let repeats = prop::collection::vec(prop::sample::select(events.clone()), 0..8);
            let all = repeats.prop_map({
                let events = events.clone();
                move |repeats| [events.clone(), repeats].concat()
            });
            (Just(events), all.prop_shuffle())
        }),
        lengths in prop::collection::vec(1..9usize, 1..4),
        staging in any::<bool>(),
    ) {
        let (_one, mut whole) = store(false);
        let refused = write_all(&mut whole, &events, &[events.len()]);
        let (_two, mut parts) = store(staging);
        let refused_too = write_all(&mut parts, &other, &lengths);
        prop_assert_eq!(everything(&whole), everything(&parts));
        prop_assert!(refused <= refused_too);
        prop_assert_eq!(refused == 0, refused_too == 0);
    }

    #[test]
    fn the_staged_load_takes_and_refuses_the_same(
        events in prop::collection::vec(any_event(), 1..24),
    ) {
        let (_one, mut direct) = store(false);
        let (_two, mut staged) = store(true);
        let sorted = |result| {
            let mut found = losses(result);
            found.iter_mut().for_each(|(_, places)| places.sort_unstable());
            found.sort();
            found
        };
        let direct_losses = sorted(direct.write(&batch(events.clone())));
        prop_assert_eq!(direct_losses, sorted(staged.write(&batch(events))));
        prop_assert_eq!(everything(&direct), everything(&staged));
    }
}

//! Any order of delivery, any number of repeats, any cutting into batches, loaded directly or through a
//! staging table, on any dialect that runs here: the same tables. SQLite says what is due. Redshift's
//! statements run on PostgreSQL; only its words about keys and places of rows, which PostgreSQL does
//! not have, are left out.

#[path = "warehouse_postgres/kit.rs"]
mod kit;
#[path = "warehouse_postgres/server.rs"]
mod server;

use proptest::prelude::*;
use tokio::runtime::Runtime;
use tokio_postgres::Client;
use trunkline::client::postgres::{Settings, Tls};
use trunkline::event::Event;
use trunkline::sink::warehouse::{Config, Target, Warehouse};
use trunkline::stage::Sink;

use kit::{TABLES, batch, event, losses, meter, on_postgres};
use server::Server;

/// An event of few ids, times, counters and contents, so that ties and repeats are common; some
/// are refused.
fn any_event() -> impl Strategy<Value = Event> {
    let word = || {
        prop::sample::select(vec![
            "null",
            "\"\"",
            "\"a\"",
            "\"B\"",
            "\"é\"",
            "\"a b\"",
            "\"\\\\'\"",
        ])
    };
    let duration = prop::sample::select(vec![
        "null",
        "\"\"",
        "-1",
        "9",
        "10.0",
        "1e1",
        "1.5",
        "3000000000",
    ]);
    let time = prop::sample::select(vec![
        "\"2026-01-02T03:59:59.999Z\"",
        "\"2026-01-02T03:59:59.9999Z\"",
        "\"2026-01-02T05:00:00+01:00\"",
        "\"0999-12-31T23:59:59Z\"",
        "\"2026-02-30T00:00:00.000Z\"",
        "\"1900-02-29T00:00:00.000Z\"",
        "\"0000-01-01T00:00:00.000Z\"",
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

/// One dialect, loaded in one way.
struct Way {
    name: &'static str,
    config: Config,
    client: Client,
}

struct World {
    runtime: Runtime,
    sqlite: (Config, rusqlite::Connection),
    ways: Vec<Way>,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (runtime, server) = (Runtime::new().unwrap(), Server::start());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.db");
        let (sqlite, ways) = runtime.block_on(async {
            // Of a language that sorts "a" before "B": the guards must not.
            let make =
                "CREATE DATABASE words TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'";
            let admin = server.client("postgres").await;
            admin.batch_execute(make).await.unwrap();
            let mut ways = Vec::new();
            for (name, redshift, staging) in [
                ("postgresql", false, false),
                ("postgresql, staged", false, true),
                ("redshift", true, false),
                ("redshift, staged", true, true),
            ] {
                // Redshift itself compares bytes, and has no word for it.
                let database = if redshift { "postgres" } else { "words" };
                let client = server.client(database).await;
                let settings = Settings::of_url(&server.url(database), Tls::Off);
                let mut config = Config::new(match redshift {
                    true => Target::Redshift(settings),
                    false => Target::Postgres(settings),
                });
                config.staging = staging;
                config.schema = name.replace([',', ' '], "_");
                if redshift {
                    client
                        .batch_execute(&on_postgres(&config.schema))
                        .await
                        .unwrap();
                    config.auto_create = false;
                }
                config.open(meter()).await.unwrap();
                ways.push(Way {
                    name,
                    config,
                    client,
                });
            }
            let config = Config::new(Target::Sqlite { path: path.clone() });
            config.open(meter()).await.unwrap();
            ((config, rusqlite::Connection::open(&path).unwrap()), ways)
        });
        Self {
            runtime,
            sqlite,
            ways,
            _server: server,
            _folder: folder,
        }
    }

    /// One that remembers nothing of the case before.
    fn open(&self, config: &Config) -> Warehouse {
        self.runtime.block_on(config.open(meter())).unwrap()
    }

    fn empty(&self) {
        let tables = TABLES.iter().chain(&[("load_freshness", "")]);
        for (table, _) in tables {
            self.sqlite
                .1
                .execute(&format!("DELETE FROM {table}"), [])
                .unwrap();
            for way in &self.ways {
                let delete = format!("DELETE FROM \"{}\".{table}", way.config.schema);
                self.runtime
                    .block_on(way.client.batch_execute(&delete))
                    .unwrap();
            }
        }
    }

    /// What SQLite holds, in the form in which PostgreSQL shows it.
    fn due(&self) -> Vec<Vec<Option<String>>> {
        let mut found = Vec::new();
        for (table, columns) in TABLES {
            let count = columns.split(',').count();
            let query = format!("SELECT {columns} FROM {table}");
            let mut statement = self.sqlite.1.prepare(&query).unwrap();
            let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Vec<Option<String>>> {
                (0..count)
                    .map(|at| row.get::<_, rusqlite::types::Value>(at).map(shown))
                    .collect()
            };
            let rows = statement.query_map([], read).unwrap();
            let mut rows: Vec<_> = rows.map(Result::unwrap).collect();
            rows.sort();
            found.extend(rows);
        }
        found
    }

    fn held(&self, way: &Way) -> Vec<Vec<Option<String>>> {
        let mut found = Vec::new();
        for (table, columns) in TABLES {
            let query = format!("SELECT {columns} FROM \"{}\".{table}", way.config.schema);
            let mut rows = self.runtime.block_on(kit::rows(&way.client, &query));
            // Byte by byte, as SQLite does.
            rows.sort();
            found.extend(rows);
        }
        found
    }

    fn write(
        &self,
        warehouse: &Warehouse,
        events: &[Event],
        lengths: &[usize],
    ) -> Vec<(&'static str, usize)> {
        let mut refused = Vec::new();
        let mut lengths = lengths.iter().copied().cycle();
        let mut rest = events;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(lengths.next().unwrap_or(1).min(rest.len()));
            let written = self
                .runtime
                .block_on(warehouse.write(batch(now.iter().cloned())));
            for (reason, places) in losses(written) {
                refused.extend(places.iter().map(|_| reason));
            }
            rest = later;
        }
        refused.sort_unstable();
        refused
            .chunk_by(PartialEq::eq)
            .map(|same| (same[0], same.len()))
            .collect()
    }
}

fn shown(value: rusqlite::types::Value) -> Option<String> {
    use rusqlite::types::Value;
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(number.to_string()),
        Value::Text(text) if text.len() == 24 && text.ends_with('Z') => {
            let text = text.replace('T', " ");
            // Trailing zeros are not shown.
            Some(
                text.trim_end_matches('Z')
                    .trim_end_matches('0')
                    .trim_end_matches('.')
                    .to_owned(),
            )
            .map(|text| {
                if text.len() < 19 {
                    format!("{text:0<19}")
                } else {
                    text
                }
            })
        }
        Value::Text(text) => Some(text),
        other => panic!("{other:?}"),
    }
}

#[test]
fn order_repeats_batches_dialects_and_staging_make_no_difference() {
    let world = World::new();
    let cases = ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..Default::default()
    };
    let with_repeats = prop::collection::vec(any_event(), 1..16).prop_flat_map(|events| {
        let repeats = prop::collection::vec(prop::sample::select(events.clone()), 0..6);
        let all = repeats.prop_map(move |repeats| [events.clone(), repeats].concat());
        all.prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))
    });
    let lengths = prop::collection::vec(1..9usize, 1..4);
    proptest!(cases, |((events, other) in with_repeats, lengths in lengths)| {
        world.empty();
        let refused = world.write(&world.open(&world.sqlite.0), &events, &[events.len()]);
        let due = world.due();
        for way in &world.ways {
            let found = world.write(&world.open(&way.config), &other, &lengths);
            prop_assert_eq!(&found, &refused, "{}", way.name);
            let held: Vec<_> = world.held(way);
            prop_assert_eq!(&held, &due, "{}", way.name);
        }
    });
}

//! What the sink `warehouse` makes of PostgreSQL: `cargo bench --bench warehouse`.
//!
//! Rows per second of the sink (reading the events' fields, checking, folding, and the guarded UPSERT of
//! facts, dimensions and freshness) against what `tokio-postgres` does with the same rows of the facts
//! alone, ready in memory: a binary COPY into a temporary table and the same guarded UPSERT out of it,
//! and INSERTs of 500 rows with bound values. All in batches of the same size, over a socket of the
//! machine and over TCP, one connection each, every commit synced by a server of the benchmark's own.
//! They take turns, and of three rounds the best of each counts. The rows are new in each round; then
//! the sink and the COPY load the same rows a second time, as a replay does. Read the figures as
//! ratios.

#[path = "../../tests/warehouse_postgres/kit.rs"]
mod kit;
#[path = "../../tests/warehouse_postgres/server.rs"]
mod server;

use std::time::Instant;

use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};
use trunkline::event::Batch;
use trunkline::stage::Sink;

use server::Server;

const ROUNDS: usize = 3;
const ROWS: usize = 100_000;
const BATCHES: [usize; 2] = [1_000, 5_000];
/// Rows of a plain INSERT.
const INSERT: usize = 500;

/// The guarded UPSERT by itself.
const UPSERT: &str = "INSERT INTO cc_analytics.fact_interactions AS held (event_id, interaction_id, \
    event_timestamp, interaction_type, direction, state, duration_seconds, queue_name, agent_id, \
    source_system, event_counter) SELECT * FROM stg ON CONFLICT (event_id) DO UPDATE SET \
    interaction_id = excluded.interaction_id, event_timestamp = excluded.event_timestamp, \
    interaction_type = excluded.interaction_type, direction = excluded.direction, \
    state = excluded.state, duration_seconds = excluded.duration_seconds, \
    queue_name = excluded.queue_name, agent_id = excluded.agent_id, \
    source_system = excluded.source_system, event_counter = excluded.event_counter \
    WHERE (excluded.event_timestamp, excluded.event_counter) > (held.event_timestamp, held.event_counter)";

const COLUMNS: usize = 11;

/// A row, ready to be bound.
struct Row {
    id: String,
    interaction: String,
    /// Microseconds since 2000, as the protocol has it.
    time: Micros,
    queue: String,
    agent: String,
    seconds: i32,
}

#[derive(Debug)]
struct Micros(i64);

impl ToSql for Micros {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMP
    }

    tokio_postgres::types::to_sql_checked!();
}

/// 1 January 2026, in milliseconds since 1970 and since 2000.
const START: i64 = 1_767_225_600_000;
const START_2000: i64 = START - 946_684_800_000;

fn row(number: usize) -> Row {
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Row {
        id: format!("{spread:016x}-{number}"),
        interaction: format!("interaction-{}", number / 5),
        time: Micros((START_2000 + number as i64 * 40) * 1000),
        queue: format!("queue-{}", spread % 40),
        agent: format!("user:agent-{}", spread % 500),
        seconds: (spread % 900) as i32,
    }
}

/// What is the same in every row.
const WORDS: [&str; 4] = ["voice", "inbound", "connected", "GENESYS_CLOUD"];

impl Row {
    fn values(&self) -> [&(dyn ToSql + Sync); COLUMNS] {
        let [kind, direction, state, source] = &WORDS;
        [
            &self.id,
            &self.interaction,
            &self.time,
            kind,
            direction,
            state,
            &self.seconds,
            &self.queue,
            &self.agent,
            source,
            &7_i64,
        ]
    }

    fn json(&self) -> String {
        format!(
            r#"{{"event_id":"{}","interaction_id":"{}","timestamp":{},"type":"voice","direction":"inbound","state":"connected","duration_seconds":{},"queue_name":"{}","agent_id":"{}"}}"#,
            self.id,
            self.interaction,
            self.time.0 / 1000 + 946_684_800_000,
            self.seconds,
            self.queue,
            self.agent
        )
    }
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let server = Server::with(&["max_wal_size=8GB", "shared_buffers=512MB"]);
    println!(
        "| way | rows a commit | sink, rows/s | COPY and UPSERT | ratio | plain INSERT | ratio | replay: sink | COPY | ratio |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (way, url) in [
        ("socket", server.socket_url("postgres")),
        ("TCP", server.url("postgres")),
    ] {
        for size in BATCHES {
            measure(way, &url, size).await;
        }
    }
}

async fn measure(way: &str, url: &str, size: usize) {
    let rows: Vec<Row> = (0..ROWS).map(row).collect();
    let batches: Vec<Batch> = rows
        .chunks(size)
        .map(|rows| kit::batch(rows.iter().map(|row| kit::event(&row.json(), 7))))
        .collect();
    let client = server::client(url).await.unwrap();
    let mut best = [0.0_f64; 5];
    for _ in 0..ROUNDS {
        let warehouse = kit::open(&kit::config(url)).await.unwrap();
        for place in [0, 3] {
            empty(&client, place == 0).await;
            let started = Instant::now();
            for batch in &batches {
                warehouse.write(batch.clone()).await.unwrap();
            }
            note(&mut best[place], started);
        }
        for place in [1, 4] {
            empty(&client, place == 1).await;
            let started = Instant::now();
            copy(&client, &rows, size).await;
            note(&mut best[place], started);
        }
        empty(&client, true).await;
        let started = Instant::now();
        insert(&client, &rows, size).await;
        note(&mut best[2], started);
    }
    let [sink, copy, insert, again, copy_again] = best;
    println!(
        "| {way} | {size} | {sink:.0} | {copy:.0} | {:.2} | {insert:.0} | {:.2} | {again:.0} | {copy_again:.0} | {:.2} |",
        sink / copy,
        sink / insert,
        again / copy_again
    );
}

fn note(best: &mut f64, started: Instant) {
    *best = best.max(ROWS as f64 / started.elapsed().as_secs_f64());
}

/// Each begins with the same: empty tables, or full ones, and nothing left to be written by others.
async fn empty(client: &Client, all: bool) {
    if all {
        let script = "TRUNCATE cc_analytics.fact_interactions";
        client.batch_execute(script).await.unwrap();
    }
    client.batch_execute("CHECKPOINT").await.unwrap();
}

async fn copy(client: &Client, rows: &[Row], size: usize) {
    let make = "CREATE TEMP TABLE IF NOT EXISTS stg (event_id varchar, interaction_id varchar, \
                event_timestamp timestamp, interaction_type varchar, direction varchar, \
                state varchar, duration_seconds integer, queue_name varchar, agent_id varchar, \
                source_system varchar, event_counter bigint) ON COMMIT DELETE ROWS";
    client.batch_execute(make).await.unwrap();
    let upsert = client.prepare(UPSERT).await.unwrap();
    let copy = client.prepare("COPY stg FROM STDIN BINARY").await.unwrap();
    let text = Type::VARCHAR;
    let mut types = vec![text; COLUMNS];
    (types[2], types[6], types[10]) = (Type::TIMESTAMP, Type::INT4, Type::INT8);
    for rows in rows.chunks(size) {
        client.batch_execute("BEGIN").await.unwrap();
        let sink = client.copy_in(&copy).await.unwrap();
        let mut writer = Box::pin(BinaryCopyInWriter::new(sink, &types));
        for row in rows {
            writer.as_mut().write(&row.values()).await.unwrap();
        }
        writer.as_mut().finish().await.unwrap();
        client.execute(&upsert, &[]).await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    }
}

async fn insert(client: &Client, rows: &[Row], size: usize) {
    let prepared = prepare_insert(client).await;
    for rows in rows.chunks(size) {
        client.batch_execute("BEGIN").await.unwrap();
        for rows in rows.chunks(INSERT) {
            let values: Vec<_> = rows.iter().flat_map(Row::values).collect();
            client.execute(&prepared, &values).await.unwrap();
        }
        client.batch_execute("COMMIT").await.unwrap();
    }
}

async fn prepare_insert(client: &Client) -> Statement {
    let rows: Vec<String> = (0..INSERT)
        .map(|row| {
            let places: Vec<String> = (1..=COLUMNS)
                .map(|n| format!("${}", row * COLUMNS + n))
                .collect();
            format!("({})", places.join(", "))
        })
        .collect();
    let text = format!(
        "INSERT INTO cc_analytics.fact_interactions (event_id, interaction_id, event_timestamp, \
         interaction_type, direction, state, duration_seconds, queue_name, agent_id, source_system, \
         event_counter) VALUES {}",
        rows.join(", ")
    );
    client.prepare(&text).await.unwrap()
}

//! What the sink `warehouse` makes of PostgreSQL: `cargo bench --bench warehouse`.
//!
//! Rows per second of the sink against what `tokio-postgres` does with the same rows, ready in memory:
//! a binary COPY into a temporary table and the UPSERT out of it; the same UPSERT out of arrays
//! (`unnest`); and INSERTs of 500 rows with bound values and no UPSERT at all.
//!
//! What is the same for all: columns, batch size, order of the rows (each batch sorted by the key, for
//! the bare ones beforehand), TCP, a server of the benchmark's own that syncs every commit. COPY and
//! `unnest` have the sink's own statement, guard and all, out of what `trunkline ddl --statements`
//! prints; they too send what needs no answer in between without waiting for one. In the sink's favour
//! there is nothing. Against it: it reads the fields out of parsed events, checks, folds and sorts, and
//! keeps dimensions and freshness in the same transaction, where the others write the facts alone.
//!
//! With one connection each; then sink and COPY with two, which is what a pipeline has by default.
//! `replay` loads the same rows a second time, so that every guard says no. They take turns, in an
//! order that changes with the round. Other load on the machine comes and goes: read the ratios, each
//! the median of the ratios of the rounds, and not the rows per second (medians too).

#[path = "../../tests/warehouse_postgres/kit.rs"]
mod kit;
#[path = "../../tests/warehouse_postgres/server.rs"]
mod server;

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use futures::future::{join_all, try_join};
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, Statement};
use trunkline::event::{Batch, EventsBuilder, PathSet, Position};
use trunkline::layer::Script;
use trunkline::sink::warehouse::{Config, Warehouse};
use trunkline::stage::Sink;

use server::Server;

const ROUNDS: usize = 5;
const ROWS: usize = 100_000;
const BATCHES: [usize; 3] = [500, 1_000, 5_000];
/// Rows of a plain INSERT.
const INSERT: usize = 500;

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
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
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

/// Who takes turns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Sink,
    Copy,
    Unnest,
    Insert,
    Sinks,
    Copies,
    SinkAgain,
    CopyAgain,
}

impl Who {
    const ALL: [Who; 8] = [
        Who::Sink,
        Who::Copy,
        Who::Unnest,
        Who::Insert,
        Who::Sinks,
        Who::Copies,
        Who::SinkAgain,
        Who::CopyAgain,
    ];
}

/// What each is compared with.
const COMPARED: [(&str, Who, Who); 6] = [
    ("sink : COPY", Who::Sink, Who::Copy),
    ("sink : unnest", Who::Sink, Who::Unnest),
    ("sink : plain INSERT", Who::Sink, Who::Insert),
    ("unnest : COPY", Who::Unnest, Who::Copy),
    ("two connections, sink : COPY", Who::Sinks, Who::Copies),
    ("replay, sink : COPY", Who::SinkAgain, Who::CopyAgain),
];

#[tokio::main]
async fn main() {
    // `cargo test --benches` only asks whether it builds and starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let server = Server::with(&["max_wal_size=8GB", "shared_buffers=512MB"]);
    for size in BATCHES {
        let mut race = Race::new(&server.url("postgres"), size).await;
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let mut seconds = [0.0; Who::ALL.len()];
            for turn in 0..Who::ALL.len() {
                let who = Who::ALL[(turn + round) % Who::ALL.len()];
                seconds[who as usize] = race.run(who).await;
            }
            times.push(seconds);
        }
        println!("{size} rows a commit");
        let rate = |who: Who| ROWS as f64 / median(times.iter().map(|round| round[who as usize]));
        for (name, one, other) in COMPARED {
            let ratios = times
                .iter()
                .map(|round| round[other as usize] / round[one as usize]);
            println!(
                "  {name:<30} {:>5.2}   {:>7.0} : {:<7.0} rows/s",
                median(ratios),
                rate(one),
                rate(other)
            );
        }
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// All that takes part, with everything ready.
struct Race {
    config: Config,
    rows: Vec<Row>,
    size: usize,
    batches: Vec<Batch>,
    clients: Vec<Bare>,
}

impl Race {
    async fn new(url: &str, size: usize) -> Self {
        let mut config = kit::config(url);
        // As a pipeline has it: paths are found when the event is parsed.
        let mut paths = PathSet::default();
        config.paths(&mut |path| paths.intern(path));
        let paths = Arc::new(paths);
        let mut rows: Vec<Row> = (0..ROWS).map(row).collect();
        let batches = rows.chunks(size).map(|rows| batch(rows, &paths)).collect();
        for rows in rows.chunks_mut(size) {
            rows.sort_by(|one, other| one.id.cmp(&other.id));
        }
        kit::open(&config).await.unwrap();
        let clients = join_all([0, 1].map(|_| Bare::new(url, &config))).await;
        Self {
            config,
            rows,
            size,
            batches,
            clients,
        }
    }

    /// In seconds.
    async fn run(&mut self, who: Who) -> f64 {
        let again = matches!(who, Who::SinkAgain | Who::CopyAgain);
        self.empty().await;
        if again {
            self.copy(1).await;
        }
        // Nothing is left to be written by others.
        let client = &self.clients[0].client;
        client.batch_execute("CHECKPOINT").await.unwrap();
        // One that remembers nothing of the round before.
        self.config.connections = if who == Who::Sinks { 2 } else { 1 };
        let warehouse = kit::open(&self.config).await.unwrap();
        let started = Instant::now();
        match who {
            Who::Sink | Who::SinkAgain => write(&warehouse, &self.batches).await,
            Who::Sinks => {
                let (one, other) = self.batches.split_at(self.batches.len() / 2);
                let other = tokio::spawn({
                    let (warehouse, other) = (warehouse.clone(), other.to_vec());
                    async move { write(&warehouse, &other).await }
                });
                write(&warehouse, one).await;
                other.await.unwrap();
            }
            Who::Copy | Who::CopyAgain => self.copy(1).await,
            Who::Copies => self.copy(2).await,
            Who::Unnest => self.clients[0].unnest(&self.rows, self.size).await,
            Who::Insert => self.clients[0].insert(&self.rows, self.size).await,
        }
        started.elapsed().as_secs_f64()
    }

    async fn empty(&self) {
        let tables = "TRUNCATE cc_analytics.fact_interactions, cc_analytics.dim_agents, \
                      cc_analytics.dim_queues, cc_analytics.dim_time, cc_analytics.load_freshness";
        self.clients[0].client.batch_execute(tables).await.unwrap();
    }

    /// By so many connections at once.
    async fn copy(&self, connections: usize) {
        let part = self.rows.len() / connections;
        let parts = self.rows.chunks(part).zip(&self.clients);
        join_all(parts.map(|(rows, client)| client.copy(rows, self.size))).await;
    }
}

fn batch(rows: &[Row], paths: &Arc<PathSet>) -> Batch {
    let (mut text, mut places) = (String::new(), Vec::new());
    for row in rows {
        let start = text.len();
        text.push_str(&row.json());
        places.push((start, text.len()));
    }
    let mut builder = EventsBuilder::new(text, paths.clone(), Arc::default(), rows.len());
    for (start, end) in places {
        builder.push(start, end, Position::default()).unwrap();
    }
    let mut batch = builder.finish();
    for event in batch.make_mut() {
        event.counter = 7;
    }
    batch
}

async fn write(warehouse: &Warehouse, batches: &[Batch]) {
    for batch in batches {
        warehouse.write(batch.clone()).await.unwrap();
    }
}

/// A connection, with what is prepared on it.
struct Bare {
    client: Client,
    copy: Statement,
    out_of_copy: Statement,
    unnest: Statement,
    insert: Statement,
}

const STAGING: &str = "CREATE TEMP TABLE stg (event_id varchar, interaction_id varchar, \
    event_timestamp timestamp, interaction_type varchar, direction varchar, state varchar, \
    duration_seconds integer, queue_name varchar, agent_id varchar, source_system varchar, \
    event_counter bigint) ON COMMIT DELETE ROWS";

impl Bare {
    async fn new(url: &str, config: &Config) -> Self {
        let client = server::client(url).await.unwrap();
        client.batch_execute(STAGING).await.unwrap();
        let unnest = upsert(config);
        let from = unnest.find("SELECT * FROM unnest").unwrap();
        let to = from + unnest[from..].find('\n').unwrap();
        let mut out_of_copy = unnest.clone();
        out_of_copy.replace_range(from..to, "SELECT * FROM stg");
        Self {
            copy: client.prepare("COPY stg FROM STDIN BINARY").await.unwrap(),
            out_of_copy: client.prepare(&out_of_copy).await.unwrap(),
            unnest: client.prepare(&unnest).await.unwrap(),
            insert: client.prepare(&plain()).await.unwrap(),
            client,
        }
    }

    async fn copy(&self, rows: &[Row], size: usize) {
        let client = &self.client;
        let text = Type::VARCHAR;
        let mut types = vec![text; COLUMNS];
        (types[2], types[6], types[10]) = (Type::TIMESTAMP, Type::INT4, Type::INT8);
        for rows in rows.chunks(size) {
            let begun = try_join(client.batch_execute("BEGIN"), client.copy_in(&self.copy));
            let ((), sink) = begun.await.unwrap();
            let mut writer = Box::pin(BinaryCopyInWriter::new(sink, &types));
            for row in rows {
                writer.as_mut().write(&row.values()).await.unwrap();
            }
            writer.as_mut().finish().await.unwrap();
            let merged = client.execute(&self.out_of_copy, &[]);
            try_join(merged, client.batch_execute("COMMIT"))
                .await
                .unwrap();
        }
    }

    async fn unnest(&self, rows: &[Row], size: usize) {
        let client = &self.client;
        for rows in rows.chunks(size) {
            let of = |read: fn(&Row) -> &str| rows.iter().map(read).collect::<Vec<_>>();
            let same = |word: usize| vec![WORDS[word]; rows.len()];
            let values: [&(dyn ToSql + Sync); COLUMNS] = [
                &of(|row| &row.id),
                &of(|row| &row.interaction),
                &rows.iter().map(|row| &row.time).collect::<Vec<_>>(),
                &same(0),
                &same(1),
                &same(2),
                &rows.iter().map(|row| row.seconds).collect::<Vec<_>>(),
                &of(|row| &row.queue),
                &of(|row| &row.agent),
                &same(3),
                &vec![7_i64; rows.len()],
            ];
            let merged = client.execute(&self.unnest, &values);
            let begin = client.batch_execute("BEGIN");
            let commit = client.batch_execute("COMMIT");
            let (begun, merged, committed) = futures::join!(begin, merged, commit);
            begun.and(merged).and(committed).unwrap();
        }
    }

    async fn insert(&self, rows: &[Row], size: usize) {
        let client = &self.client;
        for rows in rows.chunks(size) {
            client.batch_execute("BEGIN").await.unwrap();
            for rows in rows.chunks(INSERT) {
                let values: Vec<_> = rows.iter().flat_map(Row::values).collect();
                client.execute(&self.insert, &values).await.unwrap();
            }
            client.batch_execute("COMMIT").await.unwrap();
        }
    }
}

/// The sink's own statement for the facts.
fn upsert(config: &Config) -> String {
    let script = config.script(Script::Statements);
    let of_facts = |text: &&str| text.contains("INTO \"cc_analytics\".\"fact_interactions\"");
    script
        .split(";\n")
        .find(of_facts)
        .unwrap()
        .trim()
        .to_owned()
}

fn plain() -> String {
    let rows: Vec<String> = (0..INSERT)
        .map(|row| {
            let places: Vec<String> = (1..=COLUMNS)
                .map(|n| format!("${}", row * COLUMNS + n))
                .collect();
            format!("({})", places.join(", "))
        })
        .collect();
    format!(
        "INSERT INTO cc_analytics.fact_interactions (event_id, interaction_id, event_timestamp, \
         interaction_type, direction, state, duration_seconds, queue_name, agent_id, source_system, \
         event_counter) VALUES {}",
        rows.join(", ")
    )
}

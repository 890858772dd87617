//! The sink `warehouse` against a real PostgreSQL: what it writes, what it refuses, and what it does
//! when the server dies, is held up or does not let it in.

#[path = "warehouse_postgres/kit.rs"]
mod kit;
#[path = "warehouse_postgres/server.rs"]
mod server;

use std::time::Duration;

use trunkline::client::postgres::{Settings, Tls};
use trunkline::failure::Kind;
use trunkline::layer::{Finding, Grade};
use trunkline::observe::{Hours, NodeKind, Observer};
use trunkline::sink::warehouse::{Config, Target};
use trunkline::stage::Sink;

use kit::{batch, config, event, losses, one, open, record, rows, write_until_done};
use server::{PASSWORD, Server};

#[tokio::test(flavor = "multi_thread")]
async fn fills_every_table_and_never_goes_back() {
    let server = Server::start();
    for staging in [false, true] {
        let mut config = config(&server.url("postgres"));
        config.staging = staging;
        config.schema = format!("cc-{staging}");
        let warehouse = open(&config).await.unwrap();
        let json = |second: u32, state: &str| {
            format!(
                r#"{{"event_id":"e","interaction_id":"i","timestamp":"2026-01-02T04:04:{second:02}.6789+01:00",
                    "type":"voice","direction":"inbound","state":"{state}","duration_seconds":42,
                    "queue_name":"Söles","agent_id":"user:x","recording_url":"https://***/r"}}"#
            )
        };
        for (second, state) in [(5, "connected"), (4, "older"), (5, "Connected")] {
            warehouse
                .write(batch([event(&json(second, state), 7)]))
                .await
                .unwrap();
        }
        let client = server.client("postgres").await;
        client
            .batch_execute(&format!("SET search_path TO \"cc-{staging}\""))
            .await
            .unwrap();
        let mut found = Vec::new();
        for (table, columns) in kit::TABLES {
            for row in rows(&client, &format!("SELECT {columns} FROM {table}")).await {
                found.push(
                    row.into_iter()
                        .map(Option::unwrap)
                        .collect::<Vec<_>>()
                        .join("|"),
                );
            }
        }
        // Lower-case letters come after upper-case ones, byte by byte.
        let due = [
            "e|i|2026-01-02 03:04:05.678|voice|inbound|connected|42|Söles|user:x|GENESYS_CLOUD|7",
            "e|i|https://***/r|2026-01-02 03:04:05.678|7",
            "user:x|GENESYS_CLOUD",
            "Söles|GENESYS_CLOUD",
            "2026-01-02 03:00:00|2026-01-02|2026|1|1|2|3|5",
        ];
        assert_eq!(found, due, "staging: {staging}");
        let lag = "SELECT rows_loaded, lag_mean_seconds > 1000, lag_max_seconds >= lag_mean_seconds, \
                   newest_event FROM freshness_by_hour";
        let lag = rows(&client, lag).await.concat();
        let lag: Vec<_> = lag.iter().map(|cell| cell.as_deref().unwrap()).collect();
        assert_eq!(lag, ["3", "t", "t", "2026-01-02 03:04:05.678"]);
        // Opening it again finds everything, also without the right to make it.
        config.auto_create = false;
        open(&config).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_why_and_no_password() {
    let server = Server::start();
    for (url, reason) in [
        (
            server.url_as("postgres", "wrong-word", "postgres"),
            "warehouse_login",
        ),
        (server.url("nowhere"), "warehouse_database"),
    ] {
        let failure = open(&config(&url)).await.err().unwrap();
        assert_eq!(failure.kind(), Kind::Fatal, "{failure}");
        assert_eq!(failure.losses()[0].cause.reason, reason);
        let text = format!("{failure} {:?} {:?}", failure, config(&url));
        assert!(
            !text.contains("wrong-word") && !text.contains(PASSWORD),
            "{text}"
        );
    }
    let settings = Settings::of_url(&server.url("postgres"), Tls::Require);
    let failure = open(&Config::new(Target::Postgres(settings)))
        .await
        .err()
        .unwrap();
    assert_eq!(
        failure.losses()[0].cause.reason,
        "warehouse_tls",
        "{failure}"
    );
    let url = server.url("postgres");
    drop(server);
    let failure = open(&config(&url)).await.err().unwrap();
    assert_eq!(failure.kind(), Kind::Disconnected, "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_do_not_fit_are_told_with_all_that_mends_them() {
    let server = Server::start();
    let config = config(&server.url("postgres"));
    open(&config).await.unwrap();
    let client = server.client("postgres").await;
    client
        .batch_execute(
            "SET search_path TO cc_analytics; ALTER TABLE fact_interactions DROP COLUMN event_counter; \
             ALTER TABLE call_recordings ALTER COLUMN recording_url TYPE varchar(20); \
             ALTER TABLE fact_interactions ALTER COLUMN queue_name SET NOT NULL; \
             ALTER TABLE fact_interactions ALTER COLUMN agent_id TYPE text; \
             ALTER TABLE dim_agents ADD COLUMN tenant text NOT NULL;",
        )
        .await
        .unwrap();
    let failure = open(&config).await.err().unwrap();
    assert_eq!(failure.kind(), Kind::Fatal);
    let text = failure.to_string();
    assert_eq!(text.matches("ALTER TABLE").count(), 4, "{text}");
    let (from, to) = (text.find("ALTER TABLE").unwrap(), text.rfind(';').unwrap());
    client.batch_execute(&text[from..=to]).await.unwrap();
    open(&config).await.unwrap();
    // Without a key there is nothing to merge by.
    let drop_key = "ALTER TABLE dim_queues DROP CONSTRAINT dim_queues_pkey";
    client.batch_execute(drop_key).await.unwrap();
    let text = open(&config).await.err().unwrap().to_string();
    let (from, to) = (text.find("ALTER TABLE").unwrap(), text.rfind(';').unwrap());
    client.batch_execute(&text[from..=to]).await.unwrap();
    open(&config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_in_a_thousand_is_found_and_the_rest_is_written() {
    let server = Server::start();
    for staging in [false, true] {
        let mut config = config(&server.url("postgres"));
        config.staging = staging;
        config.schema = format!("s_{staging}");
        let warehouse = open(&config).await.unwrap();
        let client = server.client("postgres").await;
        client
            .batch_execute(&format!("SET search_path TO s_{staging}"))
            .await
            .unwrap();
        let constraint =
            "ALTER TABLE fact_interactions ADD CONSTRAINT no_ghosts CHECK (state <> 'ghost')";
        client.batch_execute(constraint).await.unwrap();
        let mut events: Vec<_> = (0..1_000)
            .map(|n| record(&format!("e{n}"), n, "s"))
            .collect();
        let ghost = r#"{"event_id":"e617","interaction_id":"i","timestamp":"2026-01-02T03:00:03Z",
            "state":"ghost","queue_name":"q","agent_id":"user:ghost"}"#;
        events[617] = event(ghost, 0);
        let result = warehouse.write(batch(events)).await;
        let text = result.as_ref().unwrap_err().to_string();
        assert!(
            text.contains("`no_ghosts`") && text.contains("23514"),
            "{text}"
        );
        assert!(
            !text.contains("ghost\"") && !text.contains("e617"),
            "{text}"
        );
        assert_eq!(losses(result), [("constraint", vec![617])]);
        assert_eq!(
            one(&client, "SELECT count(*) FROM fact_interactions").await,
            "999"
        );
        // Loads that were undone have left nothing, and nobody remembers that they had.
        let agents = "SELECT string_agg(agent_id, ' ') FROM dim_agents";
        assert_eq!(one(&client, agents).await, "user:a", "staging: {staging}");
        // Many are found too, and cost no more than a transaction a row.
        let events =
            (0..200).map(|n| record(&format!("x{n}"), n, if n % 2 == 0 { "ghost" } else { "s" }));
        let found = losses(warehouse.write(batch(events)).await);
        assert_eq!(found, [("constraint", (0..200).step_by(2).collect())]);
        assert_eq!(
            one(&client, "SELECT count(*) FROM fact_interactions").await,
            "1099"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_during_a_load_loses_and_doubles_nothing() {
    let mut server = Server::start();
    let warehouse = open(&config(&server.url("postgres"))).await.unwrap();
    let batches: Vec<_> = (0..60)
        .map(|n| batch((0..50).map(|m| record(&format!("e{}", n * 25 + m), n * 25 + m, "s"))))
        .collect();
    let writers = batches
        .clone()
        .into_iter()
        .enumerate()
        .map(|(number, batch)| {
            let warehouse = warehouse.clone();
            tokio::spawn(async move {
                // One after the other comes in, so that some are under way whenever the server dies.
                tokio::time::sleep(Duration::from_millis(15 * number as u64)).await;
                write_until_done(&warehouse, &batch).await
            })
        });
    let writers: Vec<_> = writers.collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        server = tokio::task::spawn_blocking(move || {
            server.kill();
            server.restart();
            server
        })
        .await
        .unwrap();
    }
    let mut failures = 0;
    for writer in writers {
        failures += writer.await.unwrap();
    }
    assert!(failures > 0, "the server died and nobody noticed");
    let client = server.client("postgres").await;
    let count =
        "SELECT count(*) || ' ' || count(DISTINCT event_id) FROM cc_analytics.fact_interactions";
    assert_eq!(one(&client, count).await, "1525 1525");
}

#[tokio::test(flavor = "multi_thread")]
async fn deadlocks_and_locks_are_tried_again() {
    let server = Server::start();
    let warehouse = open(&config(&server.url("postgres"))).await.unwrap();
    let both = |second| batch([record("a", second, "s"), record("b", second, "s")]);
    warehouse.write(both(1)).await.unwrap();
    // The other holds `b` and will ask for `a`; the sink holds `a` and waits for `b`. Who has waited
    // for `deadlock_timeout` finds out, and is the one who gives in.
    let other = server.client("postgres").await;
    let row = |id: &str| {
        format!("SELECT 1 FROM cc_analytics.fact_interactions WHERE event_id = '{id}' FOR UPDATE")
    };
    other
        .batch_execute("SET deadlock_timeout = '60s'; BEGIN")
        .await
        .unwrap();
    other.batch_execute(&row("b")).await.unwrap();
    let writer = tokio::spawn({
        let warehouse = warehouse.clone();
        async move { warehouse.write(both(2)).await }
    });
    let watcher = server.client("postgres").await;
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while one(&watcher, waiting).await == "0" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    other.batch_execute(&row("a")).await.unwrap();
    let failure = writer.await.unwrap().unwrap_err();
    assert_eq!(failure.kind(), Kind::Transient, "{failure}");
    assert!(failure.to_string().contains("40P01"), "{failure}");
    other.batch_execute("COMMIT").await.unwrap();
    // The same connection is good for the next try.
    assert_eq!(write_until_done(&warehouse, &both(2)).await, 0);
    let state = "SELECT min(event_timestamp)::text FROM cc_analytics.fact_interactions";
    assert_eq!(one(&watcher, state).await, "2026-01-02 03:00:02");

    // Two sinks that write the same rows again and again, in any order, do not wait for each other
    // for ever; since each sorts its rows, they do not even lock each other out.
    let second = open(&config(&server.url("postgres"))).await.unwrap();
    let tasks = [(0, warehouse), (1, second)].map(|(number, warehouse)| {
        tokio::spawn(async move {
            let mut failures = 0;
            for round in 0..20 {
                let mut events: Vec<_> = (0..50)
                    .map(|n| record(&format!("e{n}"), round, "s"))
                    .collect();
                if (round + number) % 2 == 0 {
                    events.reverse();
                }
                failures += write_until_done(&warehouse, &batch(events)).await;
            }
            failures
        })
    });
    for task in tasks {
        assert_eq!(task.await.unwrap(), 0);
    }
}

fn grades(found: &[Finding], grade: Grade) -> String {
    let of = found.iter().filter(|finding| finding.grade == grade);
    of.map(|finding| finding.message.as_str())
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_tells_of_rights_and_encryption_and_writes_nothing() {
    let server = Server::start();
    let probed = config(&server.url("postgres")).probe().await;
    let warnings = grades(&probed, Grade::Warning);
    assert!(
        warnings.contains("not encrypted") && warnings.contains("superuser"),
        "{warnings}"
    );
    assert!(
        grades(&probed, Grade::Good).contains("will be made"),
        "{probed:?}"
    );
    let client = server.client("postgres").await;
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'cc_analytics'";
    assert_eq!(one(&client, schemas).await, "0");

    open(&config(&server.url("postgres"))).await.unwrap();
    client
        .batch_execute(
            "CREATE ROLE loader LOGIN PASSWORD 'word'; GRANT USAGE ON SCHEMA cc_analytics TO loader; \
             GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA cc_analytics TO loader; \
             REVOKE UPDATE ON cc_analytics.fact_interactions FROM loader",
        )
        .await
        .unwrap();
    let mut config = config(&server.url_as("loader", "word", "postgres"));
    config.auto_create = false;
    let errors = grades(&config.probe().await, Grade::Error);
    let grant = "GRANT UPDATE ON \"cc_analytics\".\"fact_interactions\" TO \"loader\";";
    assert!(errors.ends_with(grant), "{errors}");
    client
        .batch_execute(&errors[errors.find("GRANT").unwrap()..])
        .await
        .unwrap();
    let probed = config.probe().await;
    assert_eq!(grades(&probed, Grade::Error), "");
    assert!(
        grades(&probed, Grade::Good).contains("no administrator"),
        "{probed:?}"
    );
    // These rights are enough.
    let warehouse = open(&config).await.unwrap();
    warehouse.write(batch([record("e", 1, "s")])).await.unwrap();
    let bad = self::config(&server.url_as("loader", "other", "postgres"))
        .probe()
        .await;
    assert_eq!(bad[0].grade, Grade::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_encrypted_and_the_server_is_who_it_says() {
    let plain = Server::start();
    let (key, cert) = (
        plain.folder().join("key.pem"),
        plain.folder().join("cert.pem"),
    );
    let mut make = std::process::Command::new("openssl");
    make.args([
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
    ]);
    make.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    make.arg("-keyout").arg(&key).arg("-out").arg(&cert);
    assert!(make.output().unwrap().status.success());
    server::own(&key);
    server::own(&cert);
    let (key_file, cert_file) = (
        format!("ssl_key_file={}", key.display()),
        format!("ssl_cert_file={}", cert.display()),
    );
    let server = Server::with(&["fsync=off", "ssl=on", &key_file, &cert_file]);

    let mut settings = Settings::of_url(&server.url("postgres"), Tls::Require);
    let stranger = open(&Config::new(Target::Postgres(settings.clone())))
        .await
        .err()
        .unwrap();
    assert_eq!(
        stranger.losses()[0].cause.reason,
        "warehouse_tls",
        "{stranger}"
    );
    settings.ca_file = Some(cert);
    let config = Config::new(Target::Postgres(settings));
    open(&config)
        .await
        .unwrap()
        .write(batch([record("e", 1, "s")]))
        .await
        .unwrap();
    let good = grades(&config.probe().await, Grade::Good);
    assert!(good.contains("encrypted in transit (TLSv1.3)"), "{good}");
}

/// Answers as a server does that starts, so many times; then hands everything to the real one.
async fn starting(times: usize, port: u16) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut caller, _) = listener.accept().await.unwrap();
            if number >= times {
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(("127.0.0.1", port))
                        .await
                        .unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
                });
                continue;
            }
            let _ = caller.read(&mut [0; 1024]).await;
            let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
            caller.write_all(b"E").await.unwrap();
            let length = fields.len() as u32 + 4;
            caller.write_all(&length.to_be_bytes()).await.unwrap();
            caller.write_all(fields).await.unwrap();
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_is_full_or_away_is_waited_for_and_no_longer_than_told() {
    let settings = [
        "fsync=off",
        "max_connections=3",
        "superuser_reserved_connections=0",
        "max_wal_senders=0",
    ];
    let mut server = Server::with(&settings);
    let url = server.url("postgres");
    let patient = |url: &str, patience: Duration| {
        let mut config = config(url);
        config.start_timeout = patience;
        async move { config.start("w", kit::meter()).await }
    };
    // It says that it starts.
    let port = starting(3, server.port()).await;
    let through = url.replace(&server.port().to_string(), &port.to_string());
    patient(&through, Duration::from_secs(60)).await.unwrap();
    let port = starting(100, server.port()).await;
    let through = url.replace(&server.port().to_string(), &port.to_string());
    let failure = patient(&through, Duration::from_millis(600)).await;
    let failure = failure.err().unwrap();
    assert_eq!(failure.kind(), Kind::Disconnected);
    assert!(failure.to_string().contains("is starting"), "{failure}");

    // It is full until somebody goes.
    let mut held = Vec::new();
    while let Ok(client) = server::client(&url).await {
        held.push(client);
        assert!(held.len() <= 3);
    }
    let failure = patient(&url, Duration::ZERO).await.err().unwrap();
    assert_eq!(failure.kind(), Kind::Transient);
    assert!(failure.to_string().contains("53300"), "{failure}");
    let waiting = tokio::spawn(patient(&url, Duration::from_secs(60)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    held.clear();
    waiting.await.unwrap().unwrap();

    // It is away, and comes back.
    server.kill();
    let failure = patient(&url, Duration::from_millis(10)).await;
    assert_eq!(failure.err().unwrap().kind(), Kind::Disconnected);
    let waiting = tokio::spawn(patient(&url, Duration::from_secs(60)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let server = server.await.unwrap();
    waiting.await.unwrap().unwrap();

    // What no waiting mends is told at once.
    for url in [
        server.url_as("postgres", "wrong-word", "postgres"),
        server.url_as("nobody", PASSWORD, "postgres"),
        server.url("nowhere"),
    ] {
        let started = std::time::Instant::now();
        let failure = patient(&url, Duration::from_secs(60)).await.err().unwrap();
        assert_eq!(failure.kind(), Kind::Fatal, "{failure}");
        assert!(started.elapsed() < Duration::from_secs(20), "{failure}");
    }
}

/// The real binary: it says what it waits for, and a signal ends the waiting.
#[tokio::test]
async fn a_run_that_waits_for_its_server_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let port = server::ports::free();
    let pipeline = format!(
        "version: 1\nname: p\nsources:\n  in: {{ type: stdin }}\nsinks:\n  w: {{ type: warehouse, \
         inputs: [in], dialect: postgresql, host: 127.0.0.1, port: {port}, database: d, user: u, \
         password: hunter2, tls: off }}\n"
    );
    std::fs::write(folder.path().join("p.yaml"), pipeline).unwrap();
    let said = folder.path().join("said");
    let mut run = std::process::Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .current_dir(folder.path())
        .args(["run", "p.yaml"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let started = std::time::Instant::now();
    let text = || std::fs::read_to_string(&said).unwrap();
    while text().matches("not ready at the start").count() < 2 {
        assert!(run.try_wait().unwrap().is_none(), "{}", text());
        assert!(started.elapsed() < Duration::from_secs(60), "{}", text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(
        text().contains("warehouse_unreachable") || text().contains("refused"),
        "{}",
        text()
    );
    assert!(!text().contains("hunter2"));
    let told = std::time::Instant::now();
    let pid = run.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(sent.unwrap().success());
    assert!(run.wait().unwrap().success(), "{}", text());
    assert!(told.elapsed() < Duration::from_secs(20), "{}", text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_needs_the_rights_that_are_told_and_has_no_more() {
    let server = Server::start();
    let client = server.client("postgres").await;
    let tables = trunkline::sink::warehouse::ddl(
        trunkline::sink::warehouse::Dialect::Postgres,
        "cc_analytics",
        Some("reporting"),
    );
    client.batch_execute(&tables).await.unwrap();
    // The words of the README.
    let readme = std::fs::read_to_string("README.md").unwrap();
    let from = readme.find("PostgreSQL: `GRANT USAGE").unwrap() + "PostgreSQL: `".len();
    let grants = &readme[from..from + readme[from..].find('`').unwrap()];
    let others = format!(
        "CREATE ROLE loader LOGIN PASSWORD 'word'; REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC; \
         CREATE SCHEMA other; CREATE TABLE other.secret (x int); {grants}"
    );
    client.batch_execute(&others).await.unwrap();
    let url = server.url_as("loader", "word", "postgres");
    let mut config = config(&url);
    // Nothing is missing, so that nothing is made.
    let warehouse = open(&config).await.unwrap();
    let event_with = |id: &str, state: &str| {
        event(
            &format!(
                r#"{{"event_id":"{id}","interaction_id":"i","timestamp":"2026-01-02T03:04:05Z","state":"{state}",
                    "queue_name":"q","agent_id":"a","recording_url":"https://r"}}"#
            ),
            0,
        )
    };
    warehouse
        .write(batch([event_with("e", "a")]))
        .await
        .unwrap();
    warehouse
        .write(batch([event_with("e", "b")]))
        .await
        .unwrap();
    let books = config.books();
    let hours = std::collections::BTreeMap::from([(
        trunkline::observe::Hour::At(490_000),
        trunkline::observe::HourCounts::default(),
    )]);
    books.keep("run", &hours).await.unwrap();
    books.facts(490_000, 500_000).await.unwrap();
    assert_eq!(grades(&config.probe().await, Grade::Error), "");

    // A staging table is one right more.
    config.staging = true;
    let failure = open(&config).await.err().unwrap();
    assert_eq!(failure.losses()[0].cause.reason, "warehouse_rights");
    assert!(failure.to_string().contains("GRANT TEMPORARY"), "{failure}");
    let errors = grades(&config.probe().await, Grade::Error);
    assert_eq!(
        errors,
        "missing right; run: GRANT TEMPORARY ON DATABASE \"postgres\" TO \"loader\";"
    );
    client
        .batch_execute(errors.split_once("run: ").unwrap().1)
        .await
        .unwrap();
    let warehouse = open(&config).await.unwrap();
    warehouse
        .write(batch([event_with("f", "a")]))
        .await
        .unwrap();
    assert_eq!(grades(&config.probe().await, Grade::Error), "");

    // To make tables as well; what it made is its own.
    config.schema = "mine".to_owned();
    let failure = open(&config).await.err().unwrap();
    assert_eq!(
        failure.losses()[0].cause.reason,
        "warehouse_rights",
        "{failure}"
    );
    let errors = grades(&config.probe().await, Grade::Error);
    assert_eq!(
        errors,
        "missing right; run: GRANT CREATE ON DATABASE \"postgres\" TO \"loader\";"
    );
    client
        .batch_execute("CREATE SCHEMA mine; GRANT USAGE ON SCHEMA mine TO loader")
        .await
        .unwrap();
    let errors = grades(&config.probe().await, Grade::Error);
    assert_eq!(
        errors,
        "missing right; run: GRANT CREATE ON SCHEMA \"mine\" TO \"loader\";"
    );
    client
        .batch_execute(errors.split_once("run: ").unwrap().1)
        .await
        .unwrap();
    open(&config).await.unwrap();
    let probed = config.probe().await;
    assert_eq!(grades(&probed, Grade::Error), "");
    assert!(
        !grades(&probed, Grade::Warning).contains("REVOKE"),
        "{probed:?}"
    );

    let loader = server::client(&url).await.unwrap();
    for refused in [
        "DELETE FROM cc_analytics.fact_interactions",
        "TRUNCATE cc_analytics.fact_interactions",
        "DROP TABLE cc_analytics.fact_interactions",
        "ALTER TABLE cc_analytics.fact_interactions DROP COLUMN state",
        "CREATE TABLE cc_analytics.own (x int)",
        "DROP SCHEMA cc_analytics CASCADE",
        "SELECT * FROM other.secret",
        "ALTER TABLE cc_analytics.fact_interactions OWNER TO loader",
    ] {
        let error = loader.batch_execute(refused).await;
        let code = error.err().and_then(|error| error.code().cloned());
        let code = code.map(|code| code.code().to_owned());
        assert_eq!(code.as_deref(), Some("42501"), "{refused}");
    }
    // More than it needs is told.
    client
        .batch_execute("GRANT DELETE, TRUNCATE ON cc_analytics.dim_agents TO loader")
        .await
        .unwrap();
    config.schema = "cc_analytics".to_owned();
    let warnings = grades(&config.probe().await, Grade::Warning);
    let revoke = "REVOKE DELETE, TRUNCATE ON \"cc_analytics\".\"dim_agents\" FROM \"loader\";";
    assert!(warnings.contains(revoke), "{warnings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_class_of_errors_is_answered_in_its_way_and_leaves_the_connection_good() {
    let server = Server::start();
    let client = server.client("postgres").await;
    for staging in [false, true] {
        let mut settings = Settings::of_url(&server.url("postgres"), Tls::Off);
        settings.statement_timeout = Duration::from_millis(700);
        let mut config = Config::new(Target::Postgres(settings));
        (config.staging, config.connections) = (staging, 1);
        config.schema = format!("s_{staging}");
        let warehouse = open(&config).await.unwrap();
        let moody = format!(
            "SET search_path TO s_{staging}; CREATE TABLE mood (code text); INSERT INTO mood VALUES ('00000'); \
             CREATE FUNCTION s_{staging}.ask() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE code text; BEGIN \
             SELECT mood.code INTO code FROM s_{staging}.mood; IF code <> '00000' THEN \
             RAISE EXCEPTION 'of +14155551234' USING ERRCODE = code; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER ask BEFORE INSERT ON fact_interactions FOR EACH ROW EXECUTE FUNCTION ask()"
        );
        client.batch_execute(&moody).await.unwrap();
        for (code, kind) in [
            ("40001", Kind::Transient),
            ("40P01", Kind::Transient),
            ("55P03", Kind::Transient),
            ("53100", Kind::Transient),
            ("57P01", Kind::Disconnected),
            ("25006", Kind::Disconnected),
            ("23514", Kind::Rejected),
            ("P0001", Kind::Rejected),
            ("22003", Kind::Rejected),
            ("42501", Kind::Fatal),
            ("42703", Kind::Fatal),
            ("XX001", Kind::Fatal),
        ] {
            let mood = format!("UPDATE mood SET code = '{code}'");
            client.batch_execute(&mood).await.unwrap();
            let id = format!("e{code}");
            let failure = warehouse
                .write(batch([record(&id, 1, "s")]))
                .await
                .unwrap_err();
            assert_eq!(
                failure.kind(),
                kind,
                "{code}, staging: {staging}: {failure}"
            );
            assert!(failure.to_string().contains(code), "{failure}");
            let is_shown = failure.to_string().contains("1415");
            // What is about rights and names is shown as the server says it.
            assert!(!is_shown || code.starts_with("42"), "{failure}");
            let mood = "UPDATE mood SET code = '00000'";
            client.batch_execute(mood).await.unwrap();
            assert_eq!(
                write_until_done(&warehouse, &batch([record(&id, 1, "s")])).await,
                0
            );
        }
        // A statement that waits too long is ended, and what it had locked is free again.
        let other = server.client("postgres").await;
        let lock = format!("BEGIN; LOCK TABLE s_{staging}.fact_interactions");
        other.batch_execute(&lock).await.unwrap();
        let failure = warehouse
            .write(batch([record("late", 1, "s")]))
            .await
            .unwrap_err();
        assert_eq!(failure.kind(), Kind::Transient, "{failure}");
        assert!(failure.to_string().contains("57014"), "{failure}");
        other.batch_execute("COMMIT").await.unwrap();
        let begun = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
        assert_eq!(one(&client, begun).await, "0");
        assert_eq!(
            write_until_done(&warehouse, &batch([record("late", 1, "s")])).await,
            0
        );
        assert_eq!(
            one(&client, "SELECT count(*) FROM fact_interactions").await,
            "13"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_told_which_events_made_rows() {
    let server = Server::start();
    for staging in [false, true] {
        let mut config = config(&server.url("postgres"));
        config.staging = staging;
        config.schema = format!("s_{staging}");
        let (observer, hours) = (Observer::new("p"), Hours::default());
        observer.keep_hours(hours.clone());
        let meter = observer.node("w", NodeKind::Sink, "warehouse");
        let warehouse = config.open(meter).await.unwrap();
        let client = server.client("postgres").await;
        let constraint =
            format!("ALTER TABLE s_{staging}.fact_interactions ADD CHECK (state <> 'ghost')");
        client.batch_execute(&constraint).await.unwrap();
        // Refused before the database sees it, or by its first look.
        let long = &"long".repeat(13);
        let mut due = (0, 0);
        for (events, written, unchanged) in [
            // A repeat and what is older make no row.
            (
                vec![("a", 5, "s"), ("a", 5, "s"), ("b", 5, "s"), ("a", 4, "s")],
                2,
                2,
            ),
            (
                vec![("a", 6, "s"), ("b", 4, "s"), ("b", 5, "s"), ("x", 1, long)],
                1,
                2,
            ),
            // Nor does what is refused, wherever it is cut off.
            (
                vec![
                    ("c", 1, "s"),
                    ("a", 7, "ghost"),
                    ("a", 6, "s"),
                    ("d", 1, "s"),
                ],
                2,
                1,
            ),
        ] {
            let events = events
                .into_iter()
                .map(|(id, second, state)| record(id, second, state));
            let batch = batch(events);
            hours.begin(1, batch.events(), 0);
            let _ = warehouse.write(batch).await;
            hours.settle(1);
            due = (due.0 + written, due.1 + unchanged);
            let told = hours.read().into_values().next().unwrap();
            let told = (told.rows_written, told.rows_unchanged);
            assert_eq!(told, due, "staging: {staging}");
        }
    }
}

/// Two events of one moment that differ in one column: the one that has it stands, whichever came first.
#[tokio::test(flavor = "multi_thread")]
async fn of_one_moment_an_empty_column_comes_before_all_values() {
    let server = Server::start();
    let warehouse = open(&config(&server.url("postgres"))).await.unwrap();
    let client = server.client("postgres").await;
    for (column, field, value, shown) in [
        ("interaction_type", "type", "\"!\"", "!"),
        ("direction", "direction", "\"!\"", "!"),
        ("state", "state", "\"!\"", "!"),
        (
            "duration_seconds",
            "duration_seconds",
            "-2147483648",
            "-2147483648",
        ),
        ("queue_name", "queue_name", "\"!\"", "!"),
        ("agent_id", "agent_id", "\"!\"", "!"),
    ] {
        let of = |id: &str, more: &str| {
            let json = format!(
                r#"{{"event_id":"{id}","interaction_id":"i","timestamp":"2026-01-02T03:04:05Z"{more}}}"#
            );
            batch([event(&json, 0)])
        };
        let (full, empty) = (format!(",\"{field}\":{value}"), String::new());
        let (up, down) = (format!("{column}-up"), format!("{column}-down"));
        for (id, more) in [(&up, &empty), (&up, &full), (&down, &full), (&down, &empty)] {
            warehouse.write(of(id, more)).await.unwrap();
        }
        for id in [up, down] {
            let query = format!(
                "SELECT {column} FROM cc_analytics.fact_interactions WHERE event_id = '{id}'"
            );
            assert_eq!(one(&client, &query).await, shown, "{id}");
        }
    }
}

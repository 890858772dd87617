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
        events[617] = record("e617", 3, "ghost");
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
    // for ever.
    let second = open(&config(&server.url("postgres"))).await.unwrap();
    let tasks = [warehouse, second].map(|warehouse| {
        tokio::spawn(async move {
            for round in 0..20 {
                let mut events: Vec<_> = (0..50)
                    .map(|n| record(&format!("e{n}"), round, "s"))
                    .collect();
                if round % 2 == 0 {
                    events.reverse();
                }
                write_until_done(&warehouse, &batch(events)).await;
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
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

//! The sink `warehouse` with `dialect: bigquery`: against an emulator that runs its SQL on DuckDB,
//! and against a front that says what the emulator does not (refusals, tokens, lost answers).

#[path = "warehouse_cloud/front.rs"]
mod front;
#[path = "warehouse_cloud/load.rs"]
mod load;
#[path = "warehouse_cloud/program.rs"]
mod program;
#[path = "warehouse_bigquery/server.rs"]
mod server;
#[path = "warehouse_bigquery/tokens.rs"]
mod tokens;

use front::Fault;
use load::{Dice, bad_events, batch, config, events, expected, judged, open, refused, write};
use server::Server;
use trunkline::failure::Kind;
use trunkline::layer::Grade;
use trunkline::stage::Sink;

/// Any order, repeats and batches leave what one batch leaves in SQLite, staged or not.
#[tokio::test(flavor = "multi_thread")]
async fn holds_what_sqlite_holds() {
    let server = Server::start().await;
    for seed in 1..5 {
        let (schema, staging) = (format!("cc_{seed}"), ["false", "true"][seed as usize % 2]);
        let mut fields = server.fields(&schema);
        fields.push(("staging", staging));
        let warehouse = open(&config(&fields)).await.unwrap();
        let events = events(seed, 60);
        let mut dice = Dice::new(seed);
        let mut sent = [events.clone(), events[..20].to_vec()].concat();
        dice.shuffle(&mut sent);
        let mut rest = sent.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(1 + dice.below(40)));
            write(&warehouse, &batch(now)).await.unwrap();
            rest = later;
        }
        assert_eq!(
            server.tables(&schema).await,
            expected(&events).await,
            "{seed}"
        );
    }
}

/// The staged load refuses what the direct load refuses, for the same reasons, and writes the rest.
#[tokio::test(flavor = "multi_thread")]
async fn staging_judges_as_the_direct_load_does() {
    let server = Server::start().await;
    let events = bad_events();
    let (tables, failure) = judged(&events).await;
    let due = refused(&failure.unwrap());
    assert!(due.len() > 8, "{due:?}");
    for staging in ["true", "false"] {
        let schema = format!("cc_{staging}");
        let mut fields = server.fields(&schema);
        fields.push(("staging", staging));
        let warehouse = open(&config(&fields)).await.unwrap();
        let before = server.front.seen().len();
        let failure = warehouse.write(batch(&events)).await.unwrap_err();
        assert_eq!(refused(&failure), due, "{staging}");
        // The staged load needs no help of the direct one.
        let seen = &server.front.seen()[before..];
        let transactions = seen
            .iter()
            .filter(|seen| seen.body.contains("BEGIN TRANSACTION"));
        assert_eq!(transactions.count(), 1, "{staging}");
        assert_eq!(server.tables(&schema).await, tables, "{staging}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_table_refuses_is_found_and_the_others_are_written() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    let warehouse = open(&config).await.unwrap();
    // Somebody changes the table under the sink.
    server.run("DROP TABLE `cc`.`fact_interactions`").await;
    server
        .run(
            "CREATE TABLE `cc`.`fact_interactions` (event_id STRING NOT NULL, interaction_id \
             STRING, event_timestamp TIMESTAMP, interaction_type STRING, direction STRING NOT NULL, \
             state STRING, duration_seconds INT64, queue_name STRING, agent_id STRING, \
             source_system STRING, event_counter INT64, created_at TIMESTAMP)",
        )
        .await;
    let event = |n: usize| {
        let direction = if n == 37 { "" } else { "in" };
        format!(
            r#"{{"event_id":"e{n}","interaction_id":"i","timestamp":"2026-01-02T03:04:05Z","agent_id":"a{n}","direction":"{direction}"}}"#
        )
    };
    let events: Vec<String> = (0..50).map(event).collect();
    let failure = warehouse.write(batch(&events)).await.unwrap_err();
    assert_eq!(failure.losses().len(), 1, "{failure}");
    let loss = &failure.losses()[0];
    assert_eq!(loss.kind, Kind::Rejected);
    assert!(loss.cause.message.contains("`direction`"), "{failure}");
    let refused = trunkline::event::Origin::new(0, 37);
    assert_eq!(loss.which, trunkline::failure::Which::Only(vec![refused]));
    let count = server
        .query("SELECT count(*) FROM `cc`.`fact_interactions`")
        .await;
    assert_eq!(count[0][0].as_deref(), Some("49"));
    // All tables are one transaction: of the refused row nothing stands in the others.
    let agents = server.query("SELECT agent_id FROM `cc`.`dim_agents`").await;
    assert_eq!(agents.len(), 49);
    assert!(!agents.contains(&vec![Some("a37".to_owned())]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fits_no_table_any_more_is_no_row_to_refuse() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    let warehouse = open(&config).await.unwrap();
    let event = r#"{"event_id":"e","interaction_id":"i","timestamp":"2026-01-02T03:04:05Z","agent_id":"secret-agent"}"#;
    // As the real one says it of a column that is gone; the emulator looks at no columns.
    let reason = r#""reason":"invalidQuery","message":"Unrecognized name: source_system at [3:2]""#;
    let job = format!(r#"{{"status":{{"state":"DONE","errorResult":{{{reason}}}}}}}"#);
    let error = format!(r#"{{"error":{{"errors":[{{{reason}}}],{reason}}}}}"#);
    server
        .front
        .will(Fault::Answer("MERGE INTO `cc`.`dim_agents`", 200, job));
    server.front.will(Fault::Answer("dryRun", 400, error));
    let failure = warehouse
        .write(batch(&[event.to_owned()]))
        .await
        .unwrap_err();
    assert_eq!(failure.kind(), Kind::Fatal, "{failure}");
    assert!(
        failure
            .to_string()
            .contains("Unrecognized name: source_system"),
        "{failure}"
    );
    assert!(!failure.to_string().contains("secret-agent"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_column_is_told_at_the_start() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    server.run("CREATE SCHEMA `cc`").await;
    let table = "CREATE TABLE `cc`.`dim_agents` (agent_id STRING NOT NULL, created_at TIMESTAMP)";
    server.run(table).await;
    let failure = open(&config).await.err().unwrap();
    let remedy = "ALTER TABLE `cc`.`dim_agents` ADD COLUMN `source_system` STRING(255); \
        ALTER TABLE `cc`.`dim_agents` ALTER COLUMN `source_system` SET DEFAULT 'GENESYS_CLOUD';";
    assert!(failure.to_string().contains(remedy), "{failure}");
}

/// The job runs, and nobody hears of it: it is asked for by its id, and not begun again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    let warehouse = open(&config).await.unwrap();
    let before = server.front.seen().len();
    server
        .front
        .will(Fault::Lose("MERGE INTO `cc`.`fact_interactions`"));
    warehouse.write(batch(&events(7, 20))).await.unwrap();
    assert_eq!(server.front.left(), 0);
    let seen = &server.front.seen()[before..];
    let merges = seen
        .iter()
        .filter(|seen| seen.body.contains("INTO `cc`.`fact_interactions`"));
    assert_eq!(merges.count(), 1);
    assert_eq!(
        server.tables("cc").await[0],
        expected(&events(7, 20)).await[0]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_passes_and_refusals_do_not() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    let warehouse = open(&config).await.unwrap();
    let events = batch(&events(8, 5));
    let said = |code: u16, reason: &str| {
        format!(r#"{{"error":{{"code":{code},"message":"m","errors":[{{"reason":"{reason}"}}]}}}}"#)
    };
    for (status, reason, kind) in [
        (403, "rateLimitExceeded", Kind::Transient),
        (403, "quotaExceeded", Kind::Transient),
        (429, "rateLimitExceeded", Kind::Transient),
        (403, "accessDenied", Kind::Fatal),
        (404, "notFound", Kind::Fatal),
        (401, "authError", Kind::Fatal),
    ] {
        let fault = Fault::Answer("MERGE INTO", status, said(status, reason));
        server.front.will(fault);
        let failure = warehouse.write(events.clone()).await.unwrap_err();
        assert_eq!(failure.kind(), kind, "{reason}: {failure}");
        assert_eq!(server.front.left(), 0);
    }
    // What is not available is asked again at once: the job may have begun.
    write(&warehouse, &events).await.unwrap();
    let fault = Fault::Answer("MERGE INTO", 503, said(503, "backendError"));
    server.front.will(fault);
    warehouse.write(events).await.unwrap();
}

/// `kill -9` while batches go in; what it said was written is there, and nothing is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_server_dies_during_a_load() {
    let mut server = Server::start().await;
    let config = config(&server.fields("cc"));
    let warehouse = open(&config).await.unwrap();
    let events = events(9, 200);
    let (first, second) = events.split_at(100);
    write(&warehouse, &batch(first)).await.unwrap();
    let loading = tokio::spawn({
        let (warehouse, second) = (warehouse.clone(), second.to_vec());
        async move {
            for part in second.chunks(10) {
                write(&warehouse, &batch(part)).await.unwrap();
            }
        }
    });
    server
        .until("SELECT count(*) > 26 FROM `cc`.`fact_interactions`")
        .await;
    server.kill();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!loading.is_finished(), "it died too late");
    server.restart().await;
    loading.await.unwrap();
    assert_eq!(server.tables("cc").await, expected(&events).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_writes_nothing_and_says_what_is_not_encrypted() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    let before = server.front.seen().len();
    let findings = config.probe().await;
    let worst = findings.iter().map(|finding| finding.grade).max();
    assert_eq!(worst, Some(Grade::Warning), "{findings:?}");
    assert!(
        findings[0].message.contains("not encrypted"),
        "{findings:?}"
    );
    let posts = server.front.seen().split_off(before);
    assert!(posts.iter().all(|seen| seen.line.starts_with("GET")));
    open(&config).await.unwrap();
    let findings = config.probe().await;
    assert!(
        findings
            .iter()
            .any(|f| f.message.contains("has all tables")),
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_for_permissions() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    open(&config).await.unwrap();
    let needed = r#""bigquery.tables.get","bigquery.tables.getData","bigquery.tables.updateData""#;
    let more = format!(r#"{needed},"bigquery.tables.setIamPolicy""#);
    for (held, grade, says) in [
        (needed, Grade::Good, "can do what the sink needs"),
        (
            r#""bigquery.tables.get","bigquery.tables.getData""#,
            Grade::Error,
            "lacks bigquery.tables.updateData on `fact_interactions`",
        ),
        ("", Grade::Error, "lacks bigquery.tables.get on"),
        (&more, Grade::Warning, "share the tables"),
    ] {
        for _ in 0..7 {
            let said = format!(r#"{{"permissions":[{held}]}}"#);
            server
                .front
                .will(Fault::Answer(":testIamPermissions", 200, said));
        }
        let findings = config.probe().await;
        assert_eq!(server.front.left(), 0, "{findings:?}");
        let found = findings.iter().find(|found| found.message.contains(says));
        let found = found.unwrap_or_else(|| panic!("{says}: {findings:?}"));
        assert_eq!(found.grade, grade);
    }
    // The stand-in knows of no permissions.
    let findings = config.probe().await;
    assert!(
        findings.iter().any(|found| found.grade == Grade::Unknown),
        "{findings:?}"
    );
}

//! The sink `warehouse` with `dialect: snowflake`: against fakesnow, which runs its SQL on DuckDB,
//! and against a front that says what fakesnow does not (expired sessions, throttling, locks).

#[path = "warehouse_cloud/front.rs"]
mod front;
#[path = "warehouse_cloud/load.rs"]
mod load;
#[path = "warehouse_cloud/program.rs"]
mod program;
#[path = "warehouse_snowflake/server.rs"]
mod server;

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
        let transactions = seen.iter().filter(|seen| seen.body.contains("\"BEGIN\""));
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
    server.query("DROP TABLE cc.fact_interactions").await;
    let table = "CREATE TABLE cc.fact_interactions (event_id VARCHAR NOT NULL, interaction_id \
        VARCHAR, event_timestamp TIMESTAMP_NTZ, interaction_type VARCHAR, direction VARCHAR NOT \
        NULL, state VARCHAR, duration_seconds INTEGER, queue_name VARCHAR, agent_id VARCHAR, \
        source_system VARCHAR, event_counter INTEGER, created_at TIMESTAMP_NTZ)";
    server.query(table).await;
    let event = |n: usize| {
        let direction = if n == 37 { "" } else { "in" };
        format!(
            r#"{{"event_id":"e{n}","interaction_id":"i","timestamp":"2026-01-02T03:04:05Z","direction":"{direction}"}}"#
        )
    };
    let events: Vec<String> = (0..50).map(event).collect();
    let failure = warehouse.write(batch(&events)).await.unwrap_err();
    assert_eq!(failure.losses().len(), 1, "{failure}");
    let loss = &failure.losses()[0];
    assert_eq!(loss.kind, Kind::Rejected);
    assert!(
        loss.cause.message.contains("must not be empty"),
        "{failure}"
    );
    let refused = trunkline::event::Origin::new(0, 37);
    assert_eq!(loss.which, trunkline::failure::Which::Only(vec![refused]));
    let count = server
        .query("SELECT count(*) FROM cc.fact_interactions")
        .await;
    assert_eq!(count[0][0].as_deref(), Some("49"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_missing_columns_are_told_at_the_start() {
    let server = Server::start().await;
    let mut fields = server.fields("cc");
    fields[3].1 = "wrong-password";
    let failure = open(&config(&fields)).await.err().unwrap();
    assert_eq!(failure.kind(), Kind::Fatal);
    let told = failure.to_string();
    assert!(told.contains("Incorrect username or password"), "{told}");
    assert!(!told.contains("wrong-password"));
    let config = config(&server.fields("cc"));
    open(&config).await.unwrap();
    server
        .query("ALTER TABLE cc.dim_agents DROP COLUMN source_system")
        .await;
    let failure = open(&config).await.err().unwrap();
    let remedy = "ALTER TABLE \"CC\".\"DIM_AGENTS\" ADD COLUMN \"SOURCE_SYSTEM\" VARCHAR(255) \
        DEFAULT 'GENESYS_CLOUD';";
    assert!(failure.to_string().contains(remedy), "{failure}");
}

/// The server verifies the signature, and what the token says, by Snowflake's rules.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_pair_logs_in_and_another_key_does_not() {
    let server = Server::start().await;
    let [stranger, _] = server.key();
    let [key, locked] = server.key();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &key).unwrap();
    let with = |login: &[(&'static str, &str)]| {
        let mut fields = server.fields("cc");
        fields.retain(|(name, _)| *name != "password");
        let login: Vec<_> = login.iter().map(|(name, text)| (*name, *text)).collect();
        config(&[fields.as_slice(), &login].concat())
    };
    for login in [
        &[("private_key", key.as_str())][..],
        &[("private_key_file", file.path().to_str().unwrap())],
        &[("private_key", &locked), ("private_key_passphrase", "open")],
    ] {
        let warehouse = open(&with(login)).await.unwrap();
        write(&warehouse, &batch(&events(3, 5))).await.unwrap();
    }
    for (login, says) in [
        (
            &[("private_key", stranger.as_str())][..],
            "JWT token is invalid",
        ),
        (&[("private_key", locked.as_str())], "PKCS #8"),
        (
            &[("private_key", &locked), ("private_key_passphrase", "shut")],
            "PKCS #8",
        ),
        (
            &[("private_key_file", "/nowhere/key.pem")],
            "/nowhere/key.pem",
        ),
    ] {
        let failure = open(&with(login)).await.err().unwrap();
        assert_eq!(failure.kind(), Kind::Fatal, "{failure}");
        let told = format!("{failure} {failure:?}");
        assert!(told.contains(says), "{told}");
        assert!(
            !told.contains("PRIVATE KEY") && !told.contains("shut"),
            "{told}"
        );
    }
    // No password ever, and no key.
    let seen = server.front.seen();
    assert!(
        seen.iter()
            .all(|seen| !seen.body.contains("PASSWORD") && !seen.body.contains("PRIVATE"))
    );
}

/// A session ends in the middle of the night: the batch goes through on another one.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_followed_by_another() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    let warehouse = open(&config).await.unwrap();
    let logins = || {
        let seen = server.front.seen().into_iter();
        seen.filter(|seen| seen.line.contains("login-request"))
            .count()
    };
    let before = logins();
    let events = events(4, 20);
    for code in ["390112", "390114"] {
        let said = format!(
            r#"{{"success":false,"code":"{code}","message":"expired","data":{{"queryId":"q"}}}}"#
        );
        server.front.will(Fault::Answer("BEGIN", 200, said));
        let failure = warehouse.write(batch(&events)).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Disconnected, "{failure}");
        write(&warehouse, &batch(&events)).await.unwrap();
    }
    assert_eq!(logins(), before + 2);
    assert_eq!(server.tables("cc").await, expected(&events).await);
}

/// What the role may do is what it was granted; the stand-in knows of no grants.
#[tokio::test(flavor = "multi_thread")]
async fn a_probe_looks_at_grants() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    open(&config).await.unwrap();
    let column = |name: &str| format!(r#"{{"name":"{name}","type":"text","nullable":true}}"#);
    let answer = |columns: &[&str], rows: &[&[&str]]| {
        let columns: Vec<String> = columns.iter().map(|name| column(name)).collect();
        let rows = serde_json::to_string(rows).unwrap();
        format!(
            r#"{{"success":true,"code":null,"message":null,"data":{{"queryId":"00000000-0000-0000-0000-000000000001","rowtype":[{}],"rowset":{rows},"total":1,"returned":1,"queryResultFormat":"json"}}}}"#,
            columns.join(",")
        )
    };
    let role = answer(&["CURRENT_ROLE()"], &[&["Loader \"1\""]]);
    let columns = ["created_on", "privilege", "granted_on", "name"];
    let grants = [
        &["", "USAGE", "DATABASE", "DB"][..],
        &["", "USAGE", "SCHEMA", "DB.CC"],
        &["", "CREATE TABLE", "SCHEMA", "DB.CC"],
    ];
    let more = [&grants[..], &[&["", "MANAGE GRANTS", "ACCOUNT", "ORG"]]].concat();
    for (grants, grade, says) in [
        (&grants[..], Grade::Good, "and no more"),
        (&grants[..1], Grade::Error, "GRANT USAGE ON SCHEMA \"CC\""),
        (&more, Grade::Warning, "MANAGE GRANTS on ACCOUNT ORG"),
    ] {
        server
            .front
            .will(Fault::Answer("CURRENT_ROLE", 200, role.clone()));
        // The role's name in quotes, as JSON has it.
        let about = r#"SHOW GRANTS TO ROLE \"Loader \"\"1\"\"\""#;
        let said = answer(&columns, grants);
        server.front.will(Fault::Answer(about, 200, said));
        let findings = config.probe().await;
        assert_eq!(server.front.left(), 0, "{findings:?}");
        let found = findings
            .iter()
            .find(|found| found.message.contains(says))
            .unwrap_or_else(|| panic!("{findings:?}"));
        assert_eq!(found.grade, grade);
    }
}

/// A failure in the middle of a transaction leaves nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_happens_as_a_whole_or_not() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    let warehouse = open(&config).await.unwrap();
    let events = batch(&events(5, 30));
    let said = |code: &str| {
        let data = r#"{"queryId":"q","errorCode":"x"}"#;
        format!(r#"{{"success":false,"code":"{code}","message":"m 'value'","data":{data}}}"#)
    };
    for (code, kind) in [
        ("000625", Kind::Transient),
        ("000630", Kind::Transient),
        ("390112", Kind::Disconnected),
        ("390114", Kind::Disconnected),
        ("003001", Kind::Fatal),
    ] {
        // The facts are in the transaction by then.
        let about = "MERGE INTO \\\"CC\\\".\\\"DIM_QUEUES\\\"";
        server.front.will(Fault::Answer(about, 200, said(code)));
        let failure = loop {
            let failure = warehouse.write(events.clone()).await.unwrap_err();
            if server.front.left() == 0 {
                break failure;
            }
            // The session before still holds its locks.
            assert_eq!(failure.kind(), Kind::Transient, "{failure}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert_eq!(
            (failure.kind(), server.front.left()),
            (kind, 0),
            "{code}: {failure}"
        );
        let count = server
            .query("SELECT count(*) FROM cc.fact_interactions")
            .await;
        assert_eq!(count[0][0].as_deref(), Some("0"), "{code}");
    }
    for status in [429, 503] {
        server
            .front
            .will(Fault::Answer("BEGIN", status, String::new()));
        let failure = warehouse.write(events.clone()).await.unwrap_err();
        assert_eq!(failure.kind(), Kind::Transient, "{failure}");
    }
    write(&warehouse, &events).await.unwrap();
    let count = server
        .query("SELECT count(*) > 0 FROM cc.fact_interactions")
        .await;
    assert_eq!(count[0][0].as_deref(), Some("true"));
}

/// Whether it was committed is not known: the batch comes again, and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_commit_does_no_harm() {
    let server = Server::start().await;
    let config = config(&server.fields("cc"));
    let warehouse = open(&config).await.unwrap();
    server.front.will(Fault::Lose("COMMIT"));
    let events = events(6, 30);
    let failure = warehouse.write(batch(&events)).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Transient, "{failure}");
    write(&warehouse, &batch(&events)).await.unwrap();
    assert_eq!(server.tables("cc").await, expected(&events).await);
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
        .until("SELECT count(*) > 26 FROM cc.fact_interactions")
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
    let findings = config.probe().await;
    let worst = findings.iter().map(|finding| finding.grade).max();
    assert_eq!(worst, Some(Grade::Warning), "{findings:?}");
    assert!(
        findings[0].message.contains("not encrypted"),
        "{findings:?}"
    );
    let seen = server.front.seen();
    assert!(
        !seen.iter().any(|seen| seen.body.contains("CREATE")),
        "it wrote"
    );
    open(&config).await.unwrap();
    let findings = config.probe().await;
    assert!(
        findings
            .iter()
            .any(|f| f.message.contains("has all tables")),
        "{findings:?}"
    );
}

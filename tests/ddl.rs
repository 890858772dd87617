//! `trunkline ddl`: what it prints for each dialect, and what that does to a real PostgreSQL.
//!
//! `tests/ddl/<dialect>.sql` are the statements that make the tables, `-load.sql` and `-staged.sql`
//! those with which a run writes them, word for word. For dialects of which no server runs in tests
//! these files are what was reviewed. After a change: `UPDATE_SNAPSHOTS=1 cargo test --test ddl`, and
//! then read the difference.

#[path = "warehouse_postgres/server.rs"]
mod server;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use trunkline::sink::warehouse::Dialect;

const PIPELINE: &str = "\
version: 1
name: calls
sources:
  in: { type: stdin }
sinks:
  tables: { type: warehouse, inputs: [in], path: w.db, schema: calls }
  again: { type: warehouse, inputs: [in], path: v.db, schema: calls }
  pool: { type: warehouse, inputs: [in], dialect: synapse, staging: true, host: h, database: d, user: u,
          password: \"hunter2\" }
";

fn trunkline(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = trunkline(Path::new("."), arguments);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn same(name: &str, text: &str) {
    let path = Path::new("tests/ddl").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        return fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} is not as it was reviewed");
}

#[test]
fn each_dialect_says_what_was_reviewed() {
    for (name, _) in Dialect::ALL {
        let dialect = ["ddl", "--dialect", name];
        let with = |more: &[&str]| printed(&[&dialect[..], more].concat());
        same(&format!("{name}.sql"), &with(&["--role", "reporting"]));
        same(&format!("{name}-load.sql"), &with(&["--statements"]));
        let staged = with(&["--statements", "--staging"]);
        same(&format!("{name}-staged.sql"), &staged);
    }
    // None of another dialect's lies about.
    for entry in fs::read_dir("tests/ddl").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(stem) = name.strip_suffix(".sql") else {
            continue;
        };
        let dialect = stem.trim_end_matches("-load").trim_end_matches("-staged");
        assert!(
            Dialect::ALL.iter().any(|(known, _)| *known == dialect),
            "{name}"
        );
    }
}

#[test]
fn every_statement_holds_places_and_no_value() {
    for (name, _) in Dialect::ALL {
        for more in [&[][..], &["--staging"]] {
            let text = printed(&[&["ddl", "--dialect", name, "--statements"], more].concat());
            assert!(
                !text.contains("GENESYS_CLOUD"),
                "{name}: a value that is configured"
            );
            for table in [
                "fact_interactions",
                "call_recordings",
                "dim_agents",
                "dim_queues",
                "dim_time",
            ] {
                let text = text.to_lowercase();
                assert!(text.contains(table), "{name} does not write {table}");
            }
        }
    }
}

#[test]
fn a_pipeline_names_dialects_and_schemas() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.yaml"), PIPELINE).unwrap();
    let of = |arguments: &[&str]| {
        let output = trunkline(folder.path(), arguments);
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (good, text) = of(&["ddl", "p.yaml", "--role", "reading"]);
    // The two sinks that write the same tables are one script.
    assert!(
        good && text.matches("-- calls for SQLite").count() == 1,
        "{text}"
    );
    assert!(text.contains("CREATE ROLE [reading]") && !text.contains("hunter2"));
    let (good, text) = of(&["ddl", "p.yaml", "--statements"]);
    assert!(good && text.contains("#trunkline_staged") && text.contains("BEGIN IMMEDIATE"));
    // Nothing was opened or made.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_printed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let quiet = PIPELINE.split("  tables:").next().unwrap().to_owned()
        + "  nothing: { type: blackhole, inputs: [in] }\n";
    fs::write(folder.path().join("quiet.yaml"), quiet).unwrap();
    fs::write(folder.path().join("bad.yaml"), "version: 1\n").unwrap();
    for (arguments, says) in [
        (&["ddl", "quiet.yaml"][..], "has no warehouse"),
        (&["ddl", "bad.yaml"], "error"),
        (&["ddl"], "--dialect"),
        (&["ddl", "--dialect", "oracle"], "oracle"),
        (
            &["ddl", "--dialect", "sqlite", "--schema", "a; DROP"],
            "starts with a letter",
        ),
        (
            &["ddl", "--dialect", "sqlite", "--role", ""],
            "at least one character",
        ),
        (
            &["ddl", "--dialect", "postgresql", "--role", &"r".repeat(64)],
            "at most 63 bytes",
        ),
        (
            &["ddl", "quiet.yaml", "--role", &"r".repeat(64)],
            "--dialect",
        ),
        (
            &[
                "ddl",
                "--dialect",
                "postgresql",
                "--schema",
                &"s".repeat(64),
            ],
            "at most 63 bytes",
        ),
        (
            &["ddl", "--dialect", "bigquery", "--schema", "a-b"],
            "digits and `_`",
        ),
        (
            &["ddl", "--dialect", "sqlite", "quiet.yaml"],
            "cannot be used with",
        ),
    ] {
        let output = trunkline(folder.path(), arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && complaint.contains(says),
            "{arguments:?}: {complaint}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn sqlite_takes_it_twice() {
    let text = printed(&["ddl", "--dialect", "sqlite", "--role", "reporting"]);
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    for _ in 0..2 {
        connection.execute_batch(&text).unwrap();
    }
    let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    let tables: i64 = connection.query_row(count, [], |row| row.get(0)).unwrap();
    assert!(tables >= 6);
    // What a run says is what the tables take.
    let load = printed(&["ddl", "--dialect", "sqlite", "--statements"]);
    for statement in load
        .split_inclusive(";\n")
        .filter(|text| text.contains("INSERT"))
    {
        connection.prepare(statement).unwrap();
    }
}

/// Text of a statement's whole batch, as an administrator runs it.
async fn run(server: &server::Server, text: &str) {
    server
        .client("postgres")
        .await
        .batch_execute(text)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reporting_role_reads_the_schema_and_nothing_else() {
    let server = server::Server::start();
    let text = printed(&["ddl", "--dialect", "postgresql", "--role", "reporting"]);
    for _ in 0..2 {
        run(&server, &text).await;
    }
    let others = "CREATE SCHEMA other; CREATE TABLE other.secret (x int); \
        CREATE TABLE cc_analytics.later (x int); \
        CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE reporting";
    run(&server, others).await;
    let url = server.url_as("reader", "reader", "postgres");
    let (reader, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    for table in [
        "fact_interactions",
        "dim_agents",
        "freshness_by_hour",
        "later",
    ] {
        let query = format!("SELECT count(*) FROM cc_analytics.{table}");
        reader.batch_execute(&query).await.unwrap();
    }
    for refused in [
        "INSERT INTO cc_analytics.dim_agents (agent_id) VALUES ('a')",
        "UPDATE cc_analytics.dim_agents SET source_system = 'x'",
        "DELETE FROM cc_analytics.dim_agents",
        "TRUNCATE cc_analytics.dim_agents",
        "CREATE TABLE cc_analytics.mine (x int)",
        "SELECT * FROM other.secret",
    ] {
        let error = reader.batch_execute(refused).await.unwrap_err();
        let code = error.code().map(|code| code.code());
        assert_eq!(code, Some("42501"), "{refused}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_leaves_its_quotes() {
    let server = server::Server::start();
    let client = server.client("postgres").await;
    for name in [
        "a\"; DROP SCHEMA x; --",
        "it's",
        "$do$; SELECT 1/0; $do$",
        "Ä /* b",
        "\\'; x",
        "$do_do$$do$",
        &"\"'$\\".repeat(15),
        &"\u{1f600}".repeat(15),
    ] {
        assert!(Dialect::Postgres.takes(name).is_ok());
        let text = trunkline::sink::warehouse::ddl(Dialect::Postgres, name, Some(name));
        for _ in 0..2 {
            client
                .batch_execute(&text)
                .await
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        for query in [
            "SELECT 1 FROM pg_namespace WHERE nspname = $1",
            "SELECT 1 FROM pg_roles WHERE rolname = $1",
        ] {
            assert_eq!(
                client.query(query, &[&name]).await.unwrap().len(),
                1,
                "{name}: {query}"
            );
        }
    }
}

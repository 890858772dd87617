//! What is shown against what real servers are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use lapin::message::Delivery;
use serde_json::Value;

use super::broker::{Broker, declare, drain, exchange};
use super::exact::{report, things};
use super::place::{Place, stderr, stdout};
use super::postgres::{PASSWORD, Server};
use super::warehouse::{TABLES, on_postgres, rows};

/// Interactions with what must not get lost on the way: quotes, other letters, nothing at all, repeats.
pub fn records() -> String {
    let record = |n: u32| {
        let queue = ["Billing", "It's \"ours\" {1}", "Größe \\ ü", ""][n as usize % 4];
        let queue = match n % 5 {
            0 => Value::Null,
            _ => queue.into(),
        };
        let json = serde_json::json!({
            "event_id": format!("e{}", n % 90), "interaction_id": format!("i{}", n % 7),
            "timestamp": format!("2026-03-02T08:{:02}:{:02}.5Z", n % 60, n % 59),
            "type": "call", "state": "connected", "duration_seconds": n, "queue_name": queue,
            "agent_id": format!("user:a{}", n % 3),
        });
        json.to_string() + "\n"
    };
    (0..120).map(record).collect()
}

fn loading(place: &Place, dialect: &str, server: &Server, database: &str, schema: &str) -> String {
    let input = place.write("in.ndjson", &records());
    let yaml = format!(
        "version: 1\nname: exact\ndead_letter: {{ type: file, path: {letters} }}\n\
         sources: {{ in: {{ type: file, path: '{input}' }} }}\n\
         sinks:\n  rows: {{ type: warehouse, inputs: [in], dialect: {dialect}, host: 127.0.0.1,\n    \
         port: {port}, database: {database}, user: postgres, password: '${{NO:-{PASSWORD}}}', \
         tls: 'off',\n    schema: {schema}, auto_create: false }}\n",
        letters = place.at("letters.ndjson").display(),
        port = server.port(),
    );
    place.write(&format!("{dialect}-{database}.yaml"), &yaml)
}

/// A server that writes down what it is told.
fn listening() -> Server {
    Server::with(&[
        "fsync=off",
        "logging_collector=on",
        "log_destination=jsonlog",
        "log_directory=told",
        "log_filename=all",
        "log_statement=all",
    ])
}

/// Statements with what was bound to them, as the server wrote them down.
async fn told(server: &Server) -> Vec<(String, String)> {
    let file = server.folder().join("data/told/all.json");
    // It is written by a process of its own, in the order in which it was told.
    let client = server.client("postgres").await;
    client.batch_execute("SELECT 'that is all'").await.unwrap();
    let mut text = String::new();
    let limit = Instant::now() + Duration::from_secs(30);
    while !text.contains("SELECT 'that is all'") {
        assert!(Instant::now() < limit, "it writes nothing down");
        tokio::time::sleep(Duration::from_millis(10)).await;
        text = fs::read_to_string(&file).unwrap_or_default();
    }
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let statement = |line: Value| {
        let message = line["message"].as_str()?.strip_prefix("execute ")?;
        let (_, text) = message.split_once(": ")?;
        let bound = line["detail"].as_str().unwrap_or_default();
        let bound = bound.strip_prefix("parameters: ").unwrap_or_default();
        // How late rows are is about a process and its clock: the dry run says that it leaves it out.
        if text.contains("freshness") {
            return None;
        }
        Some((text.to_owned(), bound.to_owned()))
    };
    lines.filter_map(statement).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A statement with its arrays written out instead of bound.
fn written_out(thing: &Value) -> String {
    let mut statement = text(&thing["head"]).to_owned();
    let bound = thing["details"].as_object().unwrap().iter();
    let mut bound: Vec<(u32, &str, &Value)> = bound
        .map(|(name, cells)| {
            let (place, kind) = name.split_once("::").unwrap();
            (place.trim_start_matches('$').parse().unwrap(), kind, cells)
        })
        .collect();
    bound.sort_by_key(|(place, ..)| std::cmp::Reverse(*place));
    for (place, kind, cells) in bound {
        let cells = cells.as_array().unwrap().iter().map(|cell| match cell {
            Value::Null => "NULL".to_owned(),
            Value::String(text) => quoted(text),
            other => other.to_string(),
        });
        let cells: Vec<String> = cells.collect();
        let array = format!("ARRAY[{}]::{kind}", cells.join(","));
        statement = statement.replace(&format!("${place}"), &array);
    }
    statement
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_is_told_the_statements_that_are_shown_and_they_leave_the_same_rows() {
    let (server, place) = (listening(), Place::new());
    let admin = server.client("postgres").await;
    for database in ["sent", "shown"] {
        let make = format!("CREATE DATABASE {database}");
        admin.batch_execute(&make).await.unwrap();
        let pipeline = loading(&place, "postgresql", &server, database, "cc");
        let ddl = place.trunkline(&["ddl", &pipeline]).output().unwrap();
        assert!(ddl.status.success(), "{}", stderr(&ddl));
        let client = server.client(database).await;
        client.batch_execute(&stdout(&ddl)).await.unwrap();
    }
    let pipeline = loading(&place, "postgresql", &server, "sent", "cc");
    let input = place.at("in.ndjson").display().to_string();
    let report = report(&place, &[&pipeline, "--input", &input]);
    assert_eq!(report["dead_letter_count"], 0);
    place.run(&pipeline);

    let shown: BTreeSet<&str> = things(&report, 0)
        .iter()
        .map(|it| text(&it["head"]))
        .collect();
    let sent = told(&server).await;
    // Before the first batch each statement is tried with nothing.
    let is_trial = |bound: &str| bound.contains("= '{}'");
    let writes = sent.iter().filter(|(_, bound)| !is_trial(bound));
    let writes = writes.map(|(text, _)| text.as_str());
    let writes: BTreeSet<&str> = writes.filter(|text| text.contains("INSERT INTO")).collect();
    assert_eq!(shown, writes);
    let (sent, shown) = (server.client("sent").await, server.client("shown").await);
    for thing in things(&report, 0) {
        shown.batch_execute(&written_out(thing)).await.unwrap();
    }
    for (table, columns) in TABLES {
        let query = format!("SELECT {columns} FROM cc.{table} ORDER BY 1, 2");
        let found = rows(&sent, &query).await;
        assert!(*table == "call_recordings" || !found.is_empty(), "{table}");
        assert_eq!(rows(&shown, &query).await, found, "{table}");
    }
}

/// PostgreSQL stands in for Redshift, whose wire protocol it speaks.
#[tokio::test(flavor = "multi_thread")]
async fn a_redshift_is_bound_what_is_shown_word_for_word() {
    let (server, place) = (listening(), Place::new());
    let client = server.client("postgres").await;
    client.batch_execute(&on_postgres("cc")).await.unwrap();
    let pipeline = loading(&place, "redshift", &server, "postgres", "cc");
    let input = place.at("in.ndjson").display().to_string();
    let report = report(&place, &[&pipeline, "--input", &input]);
    place.run(&pipeline);
    let sent: BTreeSet<(String, String)> = told(&server).await.into_iter().collect();
    let mut shown = BTreeSet::new();
    for thing in things(&report, 0) {
        let none = serde_json::Map::new();
        let bound = thing["details"].as_object().unwrap_or(&none).iter();
        let bound: BTreeMap<u32, String> = bound
            .map(|(place, value)| {
                let value = value.as_str().map_or("NULL".to_owned(), quoted);
                (place.trim_start_matches('$').parse().unwrap(), value)
            })
            .collect();
        let bound = bound
            .iter()
            .map(|(place, value)| format!("${place} = {value}"));
        let bound: Vec<String> = bound.collect();
        shown.insert((text(&thing["head"]).to_owned(), bound.join(", ")));
    }
    let is_said = |it: &&(String, String)| !it.1.is_empty();
    let rows = shown.iter().filter(is_said).count();
    assert!(rows > 3, "{shown:?}");
    let missing: Vec<_> = shown
        .iter()
        .filter(is_said)
        .filter(|it| !sent.contains(*it))
        .collect();
    assert!(
        missing.is_empty(),
        "shown and not sent: {missing:#?}\nsent: {sent:#?}"
    );
    let more: Vec<_> = sent
        .iter()
        .filter(is_said)
        .filter(|it| !shown.contains(*it))
        .collect();
    let more: Vec<_> = more
        .iter()
        .filter(|it| it.0.contains("INSERT INTO"))
        .collect();
    assert!(more.is_empty(), "sent and not shown: {more:#?}");
}

/// As the dry run shows it: where it goes, its properties and headers by name, and its body.
fn seen(message: &Delivery) -> (String, BTreeMap<String, String>, String) {
    let properties = &message.properties;
    let text = |it: &Option<lapin::types::ShortString>| it.as_ref().map(ToString::to_string);
    let number = |it: Option<u64>| it.map(|it| it.to_string());
    let named = [
        ("content_type", text(properties.content_type())),
        ("content_encoding", text(properties.content_encoding())),
        (
            "delivery_mode",
            number(properties.delivery_mode().map(u64::from)),
        ),
        ("message_id", text(properties.message_id())),
        ("correlation_id", text(properties.correlation_id())),
        ("type", text(properties.kind())),
        ("priority", number(properties.priority().map(u64::from))),
        ("expiration", text(properties.expiration())),
        ("reply_to", text(properties.reply_to())),
        ("user_id", text(properties.user_id())),
        ("app_id", text(properties.app_id())),
    ];
    let mut details: BTreeMap<String, String> = named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    for (name, value) in properties.headers().iter().flat_map(|table| table.inner()) {
        let lapin::types::AMQPValue::LongString(value) = value else {
            panic!("{name}: {value:?}");
        };
        details.insert(format!("header.{name}"), value.to_string());
    }
    assert!(properties.timestamp().is_some());
    let head = format!("{} -> {}", message.exchange, message.routing_key);
    (
        head,
        details,
        String::from_utf8(message.data.clone()).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_sent_the_messages_that_are_shown() {
    let (broker, place) = (Broker::start().await, Place::new());
    let channel = broker.channel().await;
    declare(&channel, "all", "classic", &[]).await;
    exchange(&channel, "events", "all", "#").await;
    let input = place.write("in.ndjson", &records());
    let yaml = format!(
        "version: 1\nname: exact\ndead_letter: {{ type: file, path: {letters} }}\n\
         sources: {{ in: {{ type: file, path: '{input}' }} }}\n\
         sinks:\n  out:\n    type: rabbitmq\n    inputs: [in]\n    url: '{url}'\n    exchange: events\n    \
         routing_key: 'calls.{{.agent_id}}'\n    message_id: .event_id\n    \
         message_type: 'of-{{.type}}'\n    priority: .duration_seconds\n    expiration: 1h\n    \
         headers: {{ tenant: 'ü {{.interaction_id}}', fixed: x }}\n",
        letters = place.at("letters.ndjson").display(),
        url = broker.url(),
    );
    let pipeline = place.write("exact.yaml", &yaml);
    let report = report(&place, &[&pipeline, "--input", &input]);
    place.run(&pipeline);
    let sent: Vec<_> = drain(&channel, "all").await.iter().map(seen).collect();
    let shown = things(&report, 0).iter().map(|thing| {
        let details = thing["details"].as_object().unwrap().iter();
        let details = details
            .filter(|(name, _)| *name != "timestamp")
            .map(|(name, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), value)
            });
        let details: BTreeMap<_, _> = details.collect();
        (
            text(&thing["head"]).to_owned(),
            details,
            text(&thing["body"]).to_owned(),
        )
    });
    let shown: Vec<_> = shown.collect();
    assert_eq!(sent.len(), 120);
    assert_eq!(shown, sent);
    // The time at which it begins is what it is dated by.
    let stamp = &things(&report, 0)[0]["details"]["timestamp"];
    assert_eq!(stamp.as_u64(), Some(1_775_001_600));
}

#[test]
fn a_file_and_the_screen_get_the_bytes_that_are_shown() {
    let place = Place::new();
    let input = place.write("in.ndjson", &records());
    let yaml = format!(
        "version: 1\nname: exact\nsources: {{ in: {{ type: file, path: '{input}' }} }}\n\
         sinks:\n  file: {{ type: file, inputs: [in], path: '{}' }}\n  \
         screen: {{ type: stdout, inputs: [in] }}\n",
        place.at("out.ndjson").display()
    );
    let pipeline = place.write("exact.yaml", &yaml);
    let report = report(&place, &[&pipeline, "--input", &input]);
    let run = place.trunkline(&["run", &pipeline]).output().unwrap();
    let file = fs::read_to_string(place.at("out.ndjson")).unwrap();
    for (sink, sent) in [(0, file), (1, stdout(&run))] {
        let lines = things(&report, sink)
            .iter()
            .map(|thing| text(&thing["head"]).to_owned() + "\n");
        assert_eq!(lines.collect::<String>(), sent);
    }
}

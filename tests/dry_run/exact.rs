//! What is shown against what is sent.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::Value;

use super::QUICKSTART;
use super::place::{AT, Place, stderr, stdout};

const TABLES: [&str; 5] = [
    "fact_interactions",
    "call_recordings",
    "dim_agents",
    "dim_queues",
    "dim_time",
];

pub fn report(place: &Place, arguments: &[&str]) -> Value {
    let output = place.dry_run(&[arguments, &["--format", "json", "--at", AT]].concat());
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| {
        panic!("{}", stderr(&output));
    });
    assert_eq!(report["failure"], Value::Null);
    report
}

pub fn things(report: &Value, sink: usize) -> &Vec<Value> {
    let left = &report["sinks"][sink];
    let things = left["things"].as_array().unwrap();
    assert_eq!(left["count"].as_u64().unwrap(), things.len() as u64);
    things
}

/// All rows, without the time at which each was written.
fn rows(connection: &Connection) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for table in TABLES {
        let mut statement = connection
            .prepare(&format!("SELECT * FROM {table}"))
            .unwrap();
        let names = statement.column_names().map(str::to_owned);
        let names: Vec<String> = names.collect();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let cells = names.iter().enumerate();
            let cells = cells.filter(|(_, name)| *name != "created_at");
            let cells = cells.map(|(at, name)| (name, row.get::<_, Sql>(at).unwrap()));
            all.insert(format!("{table} {:?}", cells.collect::<Vec<_>>()));
        }
    }
    all
}

#[test]
fn statements_that_are_shown_leave_the_rows_of_a_real_run() {
    let place = Place::new();
    place.run(QUICKSTART);
    let real = rows(&Connection::open(place.at("warehouse")).unwrap());
    assert!(real.len() > 3000);

    let shown = Connection::open_in_memory().unwrap();
    let ddl = place.trunkline(&["ddl", QUICKSTART]).output().unwrap();
    shown.execute_batch(&stdout(&ddl)).unwrap();
    let report = report(&place, &[QUICKSTART, "--input", "examples/quickstart"]);
    for thing in things(&report, 0) {
        let mut statement = shown
            .prepare_cached(thing["head"].as_str().unwrap())
            .unwrap();
        for (place, value) in thing["details"].as_object().unwrap() {
            let place: usize = place.trim_start_matches('?').parse().unwrap();
            let value = match value {
                Value::Null => Sql::Null,
                Value::Number(number) => Sql::Integer(number.as_i64().unwrap()),
                other => Sql::Text(other.as_str().unwrap().to_owned()),
            };
            statement.raw_bind_parameter(place, value).unwrap();
        }
        statement.raw_execute().unwrap();
    }
    assert_eq!(rows(&shown), real);
}

/// A request that came: its first line, the headers that are compared, its body.
type Request = (String, Vec<(String, String)>, String);

/// Answers every request well, and keeps it.
fn server() -> (String, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = requests.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let kept = kept.clone();
            std::thread::spawn(move || while serve(stream.as_ref().unwrap(), &kept).is_some() {});
        }
    });
    (url, requests)
}

fn serve(stream: &TcpStream, kept: &Mutex<Vec<Request>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut headers, mut length) = (String::new(), Vec::new(), 0);
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        let name = name.to_lowercase();
        if name == "content-length" {
            length = value.parse().ok()?;
        }
        if name == "content-type" {
            headers.push((name, value.to_owned()));
        } else if name == "authorization" {
            headers.push((name, "[secret]".to_owned()));
        }
    }
    headers.sort();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let is_token = first.contains("/oauth/token");
    let answer = match is_token {
        true => r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#,
        false => "{}",
    };
    if !is_token {
        let first = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let body = String::from_utf8(body).unwrap();
        kept.lock().unwrap().push((first, headers, body));
    }
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    )
    .ok()
}

#[test]
fn requests_and_points_that_are_shown_are_those_that_a_server_is_sent() {
    let (url, requests) = server();
    let place = Place::new();
    let messages: String = (0..200)
        .map(|n| {
            let more = match n % 4 {
                0 => r#""textBody":"agentless \"é\"""#.to_owned(),
                1 => r#""kind":"inbound","textBody":"in","metadata":{"a":[1,2.50]}"#.to_owned(),
                2 => r#""kind":"event""#.to_owned(),
                _ => r#""textBody":"""#.to_owned(),
            };
            format!(
                r#"{{"messageId":"m {n}/ü","tenantId":"t","organizationId":"o","time":"2026-03-02T08:00:{:02}Z","n":{n},"recipient":{{"id":"a{n}@b.org","idType":"Email"}},{more}}}"#,
                n % 60
            ) + "\n"
        })
        .collect();
    let input = place.write("in.ndjson", &messages);
    let yaml = format!(
        "
version: 1
name: exact
dead_letter: {{ type: file, path: {letters} }}
tenants: {{ list: {{ t: {{ organizations: {{ o: {{ endpoint: '{url}', integrations: ['i/1'],
  rate_limit: {{ events: 10000, per: 1s }},
  auth: {{ client_id: me, client_secret: '${{NO_SECRET:-hush}}' }} }} }} }} }} }}
sources: {{ in: {{ type: file, path: '{input}' }} }}
sinks:
  messages: {{ type: open_messaging, inputs: [in] }}
  points: {{ type: influxdb, inputs: [in], url: '{url}', org: o, bucket: 'a b', gzip: false,
    token: '${{NO_TOKEN:-hush}}', measurement: 'm x', tags: {{ who: .recipient.id, id: .messageId }},
    fields: {{ n: .n, text: .textBody }}, time: .time }}
",
        letters = place.at("letters.ndjson").display()
    );
    let pipeline = place.write("exact.yaml", &yaml);
    place.run(&pipeline);
    let real = std::mem::take(&mut *requests.lock().unwrap());
    let report = report(&place, &[&pipeline, "--input", &input, "--limit", "1000"]);
    assert!(requests.lock().unwrap().is_empty(), "a dry run asked");

    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let shown = things(&report, 0).iter().map(|thing| {
        let details = thing["details"].as_object().unwrap();
        let compared = ["authorization", "content-type"];
        let headers = compared.map(|name| (name.to_owned(), text(&details[name])));
        (
            text(&thing["head"]).replace(&url, ""),
            headers.to_vec(),
            text(&thing["body"]),
        )
    });
    let shown: BTreeSet<Request> = shown.collect();
    let is_write = |request: &&Request| request.0.contains("/api/v2/write");
    let calls: BTreeSet<Request> = (real.iter().filter(|it| !is_write(it)).cloned()).collect();
    assert_eq!(shown.len(), 150);
    assert_eq!(shown, calls);
    assert_eq!(report["dead_letter_count"], 50);

    let points: BTreeSet<String> = things(&report, 1)
        .iter()
        .map(|it| text(&it["head"]))
        .collect();
    let writes: Vec<&Request> = real.iter().filter(is_write).collect();
    let lines = writes.iter().flat_map(|write| write.2.lines());
    let lines: BTreeSet<String> = lines.map(str::to_owned).collect();
    assert_eq!((points.len(), &points), (200, &lines));
    let details = &things(&report, 1)[0]["details"];
    assert_eq!(text(&details["to"]).replace(&url, ""), writes[0].0);
    let headers = details["headers"].to_string();
    assert!(
        headers.contains("text/plain") && headers.contains("[secret]"),
        "{headers}"
    );
}

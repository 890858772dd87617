//! `causal_reorder` without its state: conversations go on counting from what the server has.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;
use trunkline::config::{Fixed, parse};
use trunkline::failure::{Failure, Kind};
use trunkline::graph::check::check;
use trunkline::graph::run::{open_store, run};
use trunkline::observe::Observer;

use crate::stub::{Stub, reply};

const MEMORY: &str = "{ type: memory }";
/// What the server has of two conversations; of one twice.
const HAS: &str = "#datatype,string,long,string,long\r\n#group,false,false,false,false\r\n\
    #default,_result,,,\r\n,result,table,interactionId,_value\r\n\
    ,,0,i-1,41\r\n,,0,i-2,7\r\n,,0,i-1,3\r\n\r\n";

/// Adds a file of events of these conversations, in this order.
fn add(folder: &Path, file: &str, conversations: &[&str]) {
    let event = |(second, id): (usize, &&str)| {
        format!(
            "{{\"eventId\":\"{file}-{second}\",\"timestamp\":\"2026-01-02T00:00:{second:02}Z\",\
             \"data\":{{\"interactionId\":\"{id}\",\"participantId\":\"p\",\
             \"state\":\"connected\",\"role\":\"agent\"}}}}\n"
        )
    };
    let lines: String = conversations.iter().enumerate().map(event).collect();
    std::fs::create_dir_all(folder.join("in")).unwrap();
    std::fs::write(folder.join("in").join(file), lines).unwrap();
}

/// Reads all files into points.
async fn count(folder: &Path, state: &str, url: &str) -> Result<(), Failure> {
    let folder = folder.display();
    let yaml = format!(
        "
version: 1
name: p
state: {state}
sources:
  in: {{ type: file, path: '{folder}/in/*.ndjson' }}
transforms:
  ordered:
    type: causal_reorder
    inputs: [in]
    key: .data.interactionId
    counters: {{ type: influxdb, url: '{url}', org: o, bucket: b, token: hush, since: 2h }}
sinks:
  points: {{ type: influxdb, inputs: [ordered], path: '{folder}/points.lp', quiet: 20ms }}
dead_letter: {{ type: file, path: '{folder}/letters.ndjson' }}
"
    );
    let checked = check(&parse("p.yaml", &yaml, &Fixed::new()));
    let pipeline = checked.pipeline;
    let pipeline = pipeline.unwrap_or_else(|| panic!("{:?}", checked.report));
    let observer = Observer::new("p");
    let store = open_store(&pipeline).await?;
    run(pipeline, &observer, store, pending()).await?;
    observer.ledger().adds_up().unwrap();
    Ok(())
}

/// The counters of each conversation, in the order in which they were written.
fn counters(folder: &Path) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let points = std::fs::read_to_string(folder.join("points.lp")).unwrap_or_default();
    for point in points.lines() {
        let after = |name: &str| point.split_once(name).unwrap().1;
        let id = after("interactionId=").split(',').next().unwrap();
        let counter = after("vector_clock=").split('i').next().unwrap();
        let counter = counter.parse().unwrap();
        found.entry(id.to_owned()).or_default().push(counter);
    }
    found
}

fn expected(all: &[(&str, &[u64])]) -> BTreeMap<String, Vec<u64>> {
    let one = |(id, counters): &(&str, &[u64])| ((*id).to_owned(), counters.to_vec());
    all.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_go_on_from_what_the_server_has() {
    let folder = tempfile::tempdir().unwrap();
    let stub = Stub::start(|_, _| reply(200, HAS)).await;
    add(
        folder.path(),
        "1.ndjson",
        &["i-1", "i-2", "i-1", "i-3", "i-1", "i-2"],
    );
    count(folder.path(), MEMORY, &stub.url).await.unwrap();
    let all: [(&str, &[u64]); 3] = [("i-1", &[42, 43, 44]), ("i-2", &[8, 9]), ("i-3", &[1])];
    assert_eq!(counters(folder.path()), expected(&all));
    let asked = stub.asked();
    assert_eq!((asked.len(), asked[0].call.as_str()), (1, "query"));
    assert_eq!(asked[0].headers["authorization"], "Token hush");
    for part in ["bucket: \\\"b\\\"", "participant_state", "vector_clock"] {
        assert!(asked[0].text.contains(part), "{}", asked[0].text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_at_the_start_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    add(folder.path(), "1.ndjson", &["i-1"]);
    // The port is ours, and whoever connects is refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let begun = Instant::now();
    let opens = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let listener = socket.listen(16).unwrap();
        // At first it is there and not ready.
        Stub::on(listener, |number, _| match number {
            0 => reply(503, ""),
            _ => reply(200, HAS),
        })
    };
    let (counted, stub) = tokio::join!(count(folder.path(), MEMORY, &url), opens);
    counted.unwrap();
    assert_eq!(counters(folder.path()), expected(&[("i-1", &[42])]));
    assert_eq!(stub.asked().len(), 2);
    // It was refused once and turned away once, with a pause after each.
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_counters_nothing_begins() {
    let odd = HAS.replace("41", "4.5");
    for answer in [reply(200, "<html>"), reply(400, "hush"), reply(200, odd)] {
        let folder = tempfile::tempdir().unwrap();
        add(folder.path(), "1.ndjson", &["i-1"]);
        let answer = std::sync::Mutex::new(Some(answer));
        let once = move |_: usize, _: &_| answer.lock().unwrap().take().unwrap();
        let stub = Stub::start(once).await;
        let failure = count(folder.path(), MEMORY, &stub.url).await.unwrap_err();
        let reason = failure.losses()[0].cause.reason;
        assert_eq!((failure.kind(), reason), (Kind::Fatal, "counters_away"));
        let said = failure.to_string();
        assert!(said.contains("counters cannot be read back"), "{said}");
        assert!(!said.contains("hush"), "{said}");
        assert_eq!(counters(folder.path()), BTreeMap::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_has_counters_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let stub = Stub::start(|_, _| reply(200, HAS)).await;
    let state = folder.path().join("state");
    let state = format!("{{ type: embedded, path: '{}' }}", state.display());
    add(folder.path(), "1.ndjson", &["i-1", "i-3"]);
    count(folder.path(), &state, &stub.url).await.unwrap();
    assert_eq!(stub.asked().len(), 1);
    // The server would set the first one back.
    add(folder.path(), "2.ndjson", &["i-3", "i-1", "i-4", "i-2"]);
    count(folder.path(), &state, &stub.url).await.unwrap();
    let mut all = expected(&[("i-1", &[42, 43]), ("i-3", &[1, 2]), ("i-4", &[1])]);
    // Nothing was heard of this one while the server's answer was in memory.
    all.insert("i-2".to_owned(), vec![8]);
    assert_eq!(counters(folder.path()), all);
    assert_eq!(stub.asked().len(), 1);
}

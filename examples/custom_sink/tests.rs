//! The sink against a peer that takes lines, and one that does not.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use trunkline::config::{Fixed, load, parse};
use trunkline::graph::Components;
use trunkline::graph::check::check_with;
use trunkline::graph::run::{open_store, run};
use trunkline::observe::{Ledger, Observer};

use super::TcpLines;

const FILE: &str = "examples/custom_sink/pipeline.yaml";

fn components() -> Components {
    Components::default().sink("tcp_lines", TcpLines::check)
}

/// Runs the pipeline against a peer that answers `answer`; what the peer read, and the ledger.
async fn run_against(answer: &'static str) -> (String, Ledger) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let letters = folder.path().join("dead.ndjson");
    let variables = Fixed::new()
        .with("PEER", &listener.local_addr().unwrap().to_string())
        .with("DEAD_LETTERS", &letters.display().to_string());
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = String::new();
        stream.read_to_string(&mut read).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        read
    });
    let checked = check_with(&load(Path::new(FILE), &variables), &components());
    let pipeline = checked.pipeline.expect("the pipeline is good");
    let observer = Observer::new("custom-sink");
    let store = open_store(&pipeline).await.unwrap();
    let never = std::future::pending();
    run(pipeline, &observer, store, never).await.unwrap();
    let ledger = observer.ledger();
    ledger.adds_up().unwrap();
    (peer.await.unwrap(), ledger)
}

#[tokio::test]
async fn what_the_peer_takes_is_delivered() {
    let (read, ledger) = run_against("ok\n").await;
    assert!(ledger.whole.delivered > 0);
    assert_eq!(read.lines().count() as u64, ledger.whole.delivered);
    assert!(!ledger.whole.dead_lettered.contains_key("not_ok"));
}

#[tokio::test]
async fn what_the_peer_refuses_is_a_dead_letter() {
    let (read, ledger) = run_against("no\n").await;
    assert_eq!(ledger.whole.delivered, 0);
    assert_eq!(
        read.lines().count() as u64,
        ledger.whole.dead_lettered["not_ok"]
    );
}

#[test]
fn its_mistakes_are_told_as_all_others_are() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let text = text.replace("${PEER:-127.0.0.1:7070}", "nowhere");
    let text = text.replace("timeout: 5s", "timeout: 5s, adress: x");
    let checked = check_with(&parse("p.yaml", &text, &Fixed::new()), &components());
    let told: Vec<_> = checked.report.iter().map(|it| it.code).collect();
    assert_eq!(told, ["bad-address", "unknown-field"]);
    // Another binary says that it does not know the type.
    let checked = check_with(
        &parse("p.yaml", &text, &Fixed::new()),
        &Components::default(),
    );
    let told: Vec<_> = checked.report.iter().map(|it| it.code).collect();
    assert_eq!(told, ["unknown-component"]);
}

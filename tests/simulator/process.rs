//! `trunkline simulate genesys` as a process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::client::{Client, PATIENCE};

/// Killed when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

#[tokio::test]
async fn prints_where_it_is_and_ends_with_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let oracle = folder.path().join("told.ndjson");
    let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args([
            "simulate",
            "genesys",
            "--address",
            "127.0.0.1:0",
            "--client",
            "me:mine",
        ])
        .args([
            "--rate",
            "1000",
            "--total",
            "20",
            "--duplicate",
            "1%",
            "--oracle",
        ])
        .arg(&oracle)
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut out = BufReader::new(child.0.stdout.take().unwrap());
    let (first, mut out) = spawn_blocking(move || {
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        (first, out)
    })
    .await
    .unwrap();
    let url = first.trim().rsplit(' ').next().unwrap().to_owned();
    let client = Client::login(&url, "me", "mine").await;
    assert_eq!(client.read("/api/v2/users").await["total"], 40);
    // It has begun once there are records.
    let query = serde_json::json!({"interval": "2020-01-01T00:00:00Z/2100-01-01T00:00:00Z"});
    let wait = async {
        loop {
            let path = "/api/v2/analytics/conversations/details/query";
            let body: serde_json::Value =
                client.post(path, query.clone()).await.json().await.unwrap();
            if body["totalHits"].as_u64().unwrap() > 5 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
    let pid = child.0.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let (rest, status) = spawn_blocking(move || {
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        (rest, child.0.wait().unwrap())
    })
    .await
    .unwrap();
    assert!(status.success());
    assert!(rest.contains("curl -s -u me:mine"), "{rest}");
    let summary = rest.lines().last().unwrap();
    // Some steps may not have been taken when it was told to end, and none is past the total.
    let (steps, what) = summary.split_once(' ').unwrap();
    assert!(
        (6..=20).contains(&steps.parse::<u64>().unwrap()),
        "{summary}"
    );
    assert!(
        what.starts_with("steps of ") && what.contains(" conversations in "),
        "{summary}"
    );
    assert!(oracle.exists());
}

#[test]
fn refuses_what_makes_no_sense() {
    for (arguments, says) in [
        (["--rate", "0"], "the rate is 0.01 to 50000"),
        (["--drop", "101%"], "a share is 0 to 1"),
        (["--client", "nobody"], "a client is ID:SECRET"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        let run = command.args(["simulate", "genesys", "--address", "127.0.0.1:0"]);
        let output = run.args(arguments).output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(says), "{text}");
    }
}

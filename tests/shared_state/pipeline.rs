//! The program itself over a Redis that goes away.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::server::RedisServer;

const PIPELINE: &str = r#"
version: 1
name: shared
state: { type: redis, url: "${REDIS_URL}", lease: 30s }
dead_letter: { type: file, path: letters.ndjson }
sources:
  in: { type: stdin }
transforms:
  unique: { type: dedup, inputs: [in], key: .id }
sinks:
  out: { type: stdout, inputs: [unique] }
"#;

const SOON: Duration = Duration::from_secs(20);

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn wait_for(lines: &Receiver<String>, part: &str) -> String {
    loop {
        let line = lines
            .recv_timeout(SOON)
            .unwrap_or_else(|_| panic!("no {part}"));
        if line.contains(part) {
            return line;
        }
    }
}

#[test]
fn a_pipeline_holds_while_its_redis_is_away_says_so_once_and_goes_on() {
    let mut server = RedisServer::with(Some("hush"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.yaml"), PIPELINE).unwrap();
    let url = format!("redis://:hush@127.0.0.1:{}", server.port());
    let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["run", "p.yaml", "--no-progress"])
        .current_dir(dir.path())
        .env("REDIS_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = lines(child.stdout.take().unwrap());
    let log = lines(child.stderr.take().unwrap());
    input.write_all(b"{\"id\":1}\n{\"id\":1}\n").unwrap();
    assert_eq!(wait_for(&output, "id"), "{\"id\":1}");

    server.kill();
    input.write_all(b"{\"id\":2}\n{\"id\":1}\n").unwrap();
    let raised = wait_for(&log, "alert raised");
    assert!(
        raised.contains("state_away") && !raised.contains("hush"),
        "{raised}"
    );
    let held = output.recv_timeout(Duration::from_millis(500));
    assert_eq!(
        held,
        Err(RecvTimeoutError::Timeout),
        "nothing is delivered on a guess"
    );

    server.restart();
    assert_eq!(wait_for(&output, "id"), "{\"id\":2}");
    assert!(wait_for(&log, "alert cleared").contains("state_away"));
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(output.recv().is_err(), "no event came twice");
    assert!(
        log.iter()
            .all(|line| !line.contains("alert raised") && !line.contains("hush"))
    );
}

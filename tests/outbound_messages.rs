//! `pipelines/outbound-messages.yaml` as it is shipped, run by the real binary as a new user runs it.

#[path = "../examples/generate_messages.rs"]
mod generate_messages;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use generate_messages::{BAD, FILE, GOOD, REPEATED, id, make};
use serde_json::Value;

const PIPELINE: &str = "pipelines/outbound-messages.yaml";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder in which everything lies that a run writes.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline"));
        command.current_dir(root()).args(arguments).arg(PIPELINE);
        for name in [
            "AMQP_URL",
            "TENANT_SERVICE_URL",
            "WEBHOOK_SECRET",
            "API_TOKEN",
        ] {
            command.env_remove(name);
        }
        for (name, file) in [
            ("STATE", "state"),
            ("STATUSES", "statuses.ndjson"),
            ("DEAD_LETTERS", "dead-letters.ndjson"),
            ("OTHERS", "others.ndjson"),
        ] {
            command.env(name, self.at(file));
        }
        command.env("API", "127.0.0.1:0");
        command
    }

    fn run(&self) -> Output {
        let output = self.command(&["run"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        output
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.at(name)).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// By message, what was told of it in this order.
    fn statuses(&self) -> HashMap<String, Vec<String>> {
        let mut told: HashMap<String, Vec<String>> = HashMap::new();
        for line in self.lines("statuses.ndjson") {
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            told.entry(text("messageId"))
                .or_default()
                .push(text("status"));
        }
        told
    }
}

#[test]
fn the_shipped_messages_are_those_that_the_generator_makes() {
    let shipped = fs::read_to_string(root().join(FILE)).unwrap();
    assert_eq!(shipped, make());
    assert_eq!(shipped.lines().count(), GOOD + REPEATED + BAD);
}

#[test]
fn the_pipeline_is_valid_as_it_stands_and_with_everything_set() {
    let place = Place::new();
    let output = place.command(&["validate"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    // Nobody is told to set what only another kind of run needs.
    assert!(!told.contains("warning"), "{told}");
    let mut command = place.command(&["validate"]);
    command
        .env("AMQP_URL", "amqps://user:password@rabbit.example/vhost")
        .env("TENANT_SERVICE_URL", "https://tenants.example")
        .env("TENANT_SERVICE_TOKEN", "a-token")
        .env("WEBHOOK_SECRET", "a-secret-of-sixteen")
        .env("API_TOKEN", "another-token");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
}

#[test]
fn every_message_is_sent_once_and_another_run_sends_nothing() {
    let place = Place::new();
    place.run();
    let told = place.statuses();
    for number in 0..GOOD {
        assert_eq!(told[&id(number)], ["accepted", "sent"], "{number}");
    }
    let letters = place.lines("dead-letters.ndjson");
    assert_eq!(letters.len(), BAD, "{letters:?}");
    let reasons: HashSet<_> = letters
        .iter()
        .map(|it| it["reason"].as_str().unwrap())
        .collect();
    assert!(reasons.contains("unknown_tenant"), "{reasons:?}");
    // No text of a message and no customer stands in what is said about them.
    let written = fs::read_to_string(place.at("dead-letters.ndjson")).unwrap();
    assert!(!written.contains("@example.com"), "{written}");
    let count = place.lines("statuses.ndjson").len();
    place.run();
    assert_eq!(
        place.lines("statuses.ndjson").len(),
        count,
        "nothing is told twice"
    );
    assert_eq!(place.lines("dead-letters.ndjson").len(), BAD);
}

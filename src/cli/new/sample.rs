//! Events to try a new pipeline with, the test that says what becomes of them, and the schema.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Plan, create};
use crate::graph::Pipeline;
use crate::graph::rehearsal::{Input, Setting, rehearse, runtime};
use crate::graph::schema::Schema;

/// The file of events in the folder of the sample.
pub(super) const EVENTS: &str = "events.ndjson";
/// Beside the pipeline: what editors know of pipeline files.
pub(super) const SCHEMA: &str = "trunkline.schema.json";
/// When the test begins: on the day of the events.
const AT: &str = "2026-03-02T09:00:00Z";

/// Interactions as an export has them; the second is a repeat.
const RECORDS: &str = r#"{"event_id":"e1","timestamp":"2026-03-02T08:00:00Z","interaction_id":"c1","type":"call","direction":"inbound","state":"connected","duration_seconds":0,"queue_name":"Billing","agent_id":"user:ann@example.com","caller_number_masked":"+14155551234"}
{"event_id":"e1","timestamp":"2026-03-02T08:00:00Z","interaction_id":"c1","type":"call","direction":"inbound","state":"connected","duration_seconds":0,"queue_name":"Billing","agent_id":"user:ann@example.com","caller_number_masked":"+14155551234"}
{"event_id":"e2","timestamp":"2026-03-02T08:05:45Z","interaction_id":"c1","type":"call","direction":"inbound","state":"completed","duration_seconds":345,"queue_name":"Billing","agent_id":"user:ann@example.com","caller_number_masked":"+14155551234"}
"#;
/// A conversation as the notification service tells it; the second frame is a repeat.
const FRAMES: &str = r#"{"topicName":"v2.routing.queues.q1.conversations","eventBody":{"id":"c1","participants":[{"id":"p1","purpose":"agent","userId":"u1","connectedTime":"2026-03-02T08:00:00.000Z","calls":[{"id":"s1","state":"connected","connectedTime":"2026-03-02T08:00:00.000Z"}]}]}}
{"topicName":"v2.routing.queues.q1.conversations","eventBody":{"id":"c1","participants":[{"id":"p1","purpose":"agent","userId":"u1","connectedTime":"2026-03-02T08:00:00.000Z","calls":[{"id":"s1","state":"connected","connectedTime":"2026-03-02T08:00:00.000Z"}]}]}}
{"topicName":"v2.routing.queues.q1.conversations","eventBody":{"id":"c1","participants":[{"id":"p1","purpose":"agent","userId":"u1","connectedTime":"2026-03-02T08:00:00.000Z","endTime":"2026-03-02T08:05:45.000Z","calls":[{"id":"s1","state":"disconnected","connectedTime":"2026-03-02T08:00:00.000Z","disconnectedTime":"2026-03-02T08:05:45.000Z"}]}]}}
"#;
/// Messages to customers, from the tenant that a pipeline has that names none.
const MESSAGES: &str = r#"{"messageId":"m1","tenantId":"demo","organizationId":"demo","recipient":{"id":"ann@example.com","idType":"Email"},"textBody":"Your order is on its way.","time":"2026-03-02T08:00:00Z"}
{"messageId":"m2","tenantId":"demo","organizationId":"demo","recipient":{"id":"bob@example.com","idType":"Email"},"textBody":"Your parcel waits until Friday.","time":"2026-03-02T08:00:01Z"}
"#;
/// What the platform posts: a receipt, and what an agent writes.
const POSTS: &str = r#"{"id":"r1","type":"Receipt","status":"Delivered","channel":{"platform":"Open","type":"Private","messageId":"m1","time":"2026-03-02T08:00:02Z"},"direction":"Outbound"}
{"id":"x1","type":"Text","text":"How can I help you?","channel":{"platform":"Open","type":"Private","messageId":"x1","to":{"id":"ann@example.com"},"time":"2026-03-02T08:01:00Z"},"direction":"Outbound"}
"#;

/// What events of this source for this sink are like, and what they have in common with their repeats.
fn kind(source: &str, sink: &str) -> (&'static str, &'static str) {
    match (source, sink) {
        ("genesys_websocket", _) => (FRAMES, ".eventId"),
        ("genesys_webhook", _) => (POSTS, "[.id, .type]"),
        (_, "open_messaging") => (MESSAGES, "[.tenantId, .messageId]"),
        _ => (RECORDS, ".event_id"),
    }
}

/// What `dedup` knows an event by.
pub(super) fn key(source: &str, sink: &str) -> &'static str {
    kind(source, sink).1
}

/// Events to try a pipeline with, in a folder beside it.
pub(super) struct Sample {
    /// The folder, from where the command is called.
    folder: PathBuf,
    /// From where the pipeline is.
    name: String,
    events: &'static str,
}

impl Sample {
    /// What fits the pipeline's source and sink.
    pub fn of(plan: &Plan, beside: &Path) -> Self {
        let name = format!("{}-sample", plan.name);
        let (events, _) = kind(&plan.source, &plan.sink);
        Self {
            folder: beside.join(&name),
            name,
            events,
        }
    }

    /// The folder as people write it.
    pub fn shown(&self) -> String {
        self.folder.display().to_string()
    }

    /// Writes the events. What is there already is of somebody, and serves as well.
    pub fn write(&self) -> Result<(), String> {
        let file = self.folder.join(EVENTS);
        let wrong = |error| format!("{} cannot be written: {error}", file.display());
        fs::create_dir_all(&self.folder).map_err(wrong)?;
        match create(&file, self.events) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(wrong(error)),
            _ => Ok(()),
        }
    }

    /// A test that says what becomes of them: it is found out by a rehearsal.
    pub fn test(&self, pipeline: Pipeline) -> Result<String, String> {
        let start: Timestamp = AT.parse().unwrap_or_default();
        let file = self.folder.join(EVENTS);
        let setting = Setting {
            inputs: vec![("input".to_owned(), Input::File(file))],
            ..Setting::new(start)
        };
        let runtime = runtime().map_err(|error| format!("cannot start threads: {error}"))?;
        let outcome = runtime.block_on(rehearse(pipeline, setting));
        if let Some(failure) = outcome.failure {
            return Err(format!("{}: {failure}", self.shown()));
        }
        let mut nodes = outcome.ledger.nodes.iter();
        let output = nodes.find(|node| node.name == "output");
        let count = output.map_or(0, |node| node.counts.delivered);
        let letters = match outcome.dead_letter_count {
            0 => "      dead_letters: none\n".to_owned(),
            letters => format!(
                "      # {letters} of the sample are dead letters: `trunkline dry-run` tells why. When that \
                 is mended:\n      # dead_letters: none\n"
            ),
        };
        Ok(format!(
            "\n# `trunkline test` runs these. Add one for each thing that must never break.\ntests:\n  \
             - name: what becomes of the sample\n    at: {AT}\n    \
             input: {{ input: {{ file: {}/{EVENTS} }} }}\n    \
             expect:\n      output: {{ count: {count} }}\n{letters}",
            self.name
        ))
    }
}

/// Writes the schema into the folder of the pipeline; one of an older version is replaced.
pub(super) fn write_schema(folder: &Path) -> Result<(), String> {
    let file = folder.join(SCHEMA);
    let text = format!("{:#}\n", Schema::read().json());
    let written = fs::write(&file, text);
    written.map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

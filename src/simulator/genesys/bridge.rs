//! Detail events as EventBridge delivers them: one envelope a line, of all conversations. It is how
//! the platform's events come to S3.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::random::{Random, Uuid};
use super::snapshot::Organisation;
use super::write::{self, Object};

/// An account of nobody.
const ACCOUNT: &str = "123456789012";

/// A file of envelopes.
pub(super) struct Bridge {
    file: BufWriter<File>,
    random: Random,
    line: String,
    /// What went wrong; nothing is written after it.
    broken: Option<String>,
}

impl Bridge {
    /// # Errors
    /// When the file cannot be created.
    pub(super) fn new(path: &Path, seed: u64) -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(File::create(path)?),
            random: Random::new(seed, 7),
            line: String::new(),
            broken: None,
        })
    }

    /// Writes an event: the end of its topic, its conversation and its body.
    pub(super) fn event(
        &mut self,
        suffix: &str,
        conversation: Uuid,
        body: &str,
        org: Organisation,
        at: i64,
    ) {
        if self.broken.is_some() {
            return;
        }
        self.line.clear();
        envelope(
            &mut self.line,
            &mut self.random,
            (suffix, conversation, body),
            org,
            at,
        );
        if let Err(error) = self.file.write_all(self.line.as_bytes()) {
            self.broken = Some(error.to_string());
        }
    }

    pub(super) fn flush(&mut self) -> Option<&str> {
        if let Err(error) = self.file.flush() {
            self.broken.get_or_insert_with(|| error.to_string());
        }
        self.broken.as_deref()
    }
}

/// `detail-type` has the template with a literal `{id}`; the id itself is in `detail.topicName`.
fn envelope(
    out: &mut String,
    random: &mut Random,
    (suffix, conversation, body): (&str, Uuid, &str),
    org: Organisation,
    at: i64,
) {
    const PREFIX: &str = "v2.detail.events.conversation.";
    let mut object = Object::new(out);
    object.word("version", "0");
    object.uuid("id", random.uuid());
    object.word("detail-type", &format!("{PREFIX}{{id}}.{suffix}"));
    let mut source = String::from("aws.partner/genesys.com/cloud/");
    write::uuid(&mut source, org.id());
    source.push_str("/simulated");
    object.word("source", &source);
    object.word("account", ACCOUNT);
    // Whole seconds here, milliseconds below.
    let mut seconds = String::new();
    write::time(&mut seconds, at);
    seconds.replace_range(19..23, "");
    object.word("time", &seconds);
    object.word("region", "us-east-1");
    object.raw("resources", "[]");
    let mut topic = String::from(PREFIX);
    write::uuid(&mut topic, conversation);
    topic.push('.');
    topic.push_str(suffix);
    let mut detail = object.object("detail");
    detail.word("topicName", &topic);
    detail.word("version", "2");
    detail.raw("eventBody", body);
    let mut metadata = detail.object("metadata");
    metadata.uuid("CorrelationId", random.uuid());
    metadata.end();
    detail.time("timestamp", at);
    detail.end();
    object.end();
    out.push('\n');
}

//! Dead letters: what a letter looks like as an event, and the way to where they are kept.

mod sealed;

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tower::ServiceExt;

use crate::clock::{Wall, format_timestamp};
use crate::event::{Batch, Event, Origin, PathSet, Replay, write_json_str};
use crate::failure::Failure;
use crate::seal::Keyring;
use crate::stage::{Letter, Stage, Subject};

pub use sealed::{Facts, Original};

/// Of a letter's id: enough that no two are alike.
const ID_BYTES: usize = 16;

/// Masks personal data before anything is kept: dead letters hold what came before the mask.
pub trait Redact: Send + Sync {
    /// Masks an event.
    fn event(&self, event: &mut Event);
    /// Masks free text.
    fn text(&self, text: &str) -> String;
}

/// Takes letters to where they are kept.
#[derive(Clone)]
pub struct LetterBox {
    stage: Option<Stage>,
    redact: Arc<dyn Redact>,
    node: Arc<str>,
    /// With them a letter keeps the unmasked original, sealed.
    keys: Option<Keyring>,
    routed: bool,
    wall: Wall,
}

impl LetterBox {
    /// For letters of `node`. Without a stage every letter is a `Fatal` failure: a run that would
    /// have to lose an event stops instead. With `keys` each letter also holds its event as it was
    /// before the mask, sealed; without them the masked one is all there is.
    pub fn new(
        stage: Option<Stage>,
        redact: Arc<dyn Redact>,
        node: &str,
        keys: Option<Keyring>,
    ) -> Self {
        Self {
            stage,
            redact,
            node: node.into(),
            keys,
            routed: false,
            wall: Wall::real(),
        }
    }

    /// The same, dated by this clock instead of the machine's.
    #[must_use]
    pub fn dated(self, wall: &Wall) -> Self {
        Self {
            wall: wall.clone(),
            ..self
        }
    }

    /// The same letters, handed to an output of the node: they are delivered, not buried.
    #[must_use]
    pub fn routed_to(self, stage: Stage) -> Self {
        Self {
            stage: Some(stage),
            routed: true,
            ..self
        }
    }

    /// What masks them: the rules of all masks of the pipeline.
    pub fn redact(&self) -> Arc<dyn Redact> {
        self.redact.clone()
    }

    /// True when letters go to an output, which counts them itself.
    pub fn is_routed(&self) -> bool {
        self.routed
    }

    /// Answers once the letters are kept.
    ///
    /// # Errors
    /// When they could not be kept; their events count as not delivered.
    pub async fn send(&self, letters: Vec<Letter>) -> Result<(), Failure> {
        if letters.is_empty() {
            return Ok(());
        }
        let origins: Vec<_> = letters.iter().map(|letter| letter.origin).collect();
        let Some(stage) = &self.stage else {
            let message = format!(
                "{} events were refused ({}) and there is no `dead_letter` to keep them",
                letters.len(),
                letters[0].reason
            );
            let fatal = Failure::fatal("no_dead_letter", message);
            return Err(fatal.at(&self.node).named(&origins));
        };
        let now = self.wall.micros();
        let replays: Vec<_> = letters.iter().filter_map(replay_of).cloned().collect();
        let batch: Batch = letters
            .into_iter()
            .map(|letter| self.event_of(letter, now))
            .collect::<Result<_, _>>()?;
        let kept = stage.clone().oneshot(batch).await;
        if kept.is_ok() {
            replays.iter().for_each(|replay| match self.routed {
                true => replay.delivered(),
                false => replay.dead_lettered(),
            });
        }
        kept.map_err(|failure| failure.named(&origins))
    }

    /// The letter as an event: reason, place and times, the masked body or text, and the sealed one.
    fn event_of(&self, letter: Letter, now: i64) -> Result<Event, Failure> {
        let mut out = Vec::with_capacity(512);
        self.write_head(&letter, now, &mut out);
        let head = out.len();
        let original = self.keys.is_some().then(|| original(&letter.subject));
        let masked = match letter.subject {
            Subject::Event(mut event) => {
                self.redact.event(&mut event);
                out.extend_from_slice(b",\"event\":");
                event.write_json(&mut out);
                Some(event)
            }
            Subject::Text { sample, length } => {
                write_text(&self.redact.text(&sample), length, &mut out);
                None
            }
        };
        let paths = Arc::new(PathSet::default());
        let parsed = |rest: &[u8]| {
            let id = id_of(rest, letter.origin);
            let mut json = format!("{{\"id\":\"{id}\"").into_bytes();
            json.extend_from_slice(rest);
            // A letter that is routed is no dead letter: it goes wherever that output leads.
            if let (Some(original), Some(keys), false) = (&original, &self.keys, self.routed) {
                write_member("sealed", &original.seal(keys, &id), &mut json);
            }
            json.push(b'}');
            let json = String::from_utf8(json).ok()?;
            let mut event = Event::parse(json, &paths, &letter.provenance).ok()?;
            event.origin = letter.origin;
            Some(event)
        };
        if let Some(event) = parsed(&out) {
            return Ok(event);
        }
        // A body may be nested as deep as can be read, and is one deeper in a letter: as text then.
        out.truncate(head);
        if let Some(event) = masked {
            let json = event.to_json();
            write_text(&json, json.len() as u64, &mut out);
        }
        parsed(&out).ok_or_else(|| {
            let cause = "a refused event could not be written down as a dead letter";
            Failure::fatal("bad_letter", cause).at(&self.node)
        })
    }

    /// Everything but the id and the body.
    fn write_head(&self, letter: &Letter, now: i64, out: &mut Vec<u8>) {
        let replay = replay_of(letter);
        let node = if letter.node.is_empty() {
            &self.node
        } else {
            &letter.node
        };
        write_member("reason", letter.reason, out);
        write_member("node", node, out);
        write_member("detail", &letter.detail, out);
        write_member("time", &format_timestamp(now), out);
        let first = replay.map_or(now, |replay| replay.first.min(now));
        write_member("first_time", &format_timestamp(first), out);
        let before = replay.map_or(0, |replay| replay.attempts);
        let attempts = letter.attempts.saturating_add(before);
        out.extend_from_slice(format!(",\"attempts\":{attempts}").as_bytes());
        if let Some(replay) = replay {
            write_member("replaces", &replay.id, out);
        }
        out.extend_from_slice(b",\"source\":{\"name\":");
        write_json_str(&letter.provenance.source, out);
        write_member("object", &letter.provenance.object, out);
        let (line, offset) = (letter.position.line, letter.position.offset);
        out.extend_from_slice(format!(",\"line\":{line},\"offset\":{offset}}}").as_bytes());
        write_violations(letter, out);
    }
}

fn replay_of(letter: &Letter) -> Option<&Arc<Replay>> {
    match &letter.subject {
        Subject::Event(event) => event.replay(),
        Subject::Text { .. } => None,
    }
}

fn original(subject: &Subject) -> Original {
    match subject {
        Subject::Event(event) => Original {
            body: event.to_json(),
            facts: Facts::of(event),
        },
        Subject::Text { sample, .. } => Original {
            body: sample.clone(),
            facts: Facts::default(),
        },
    }
}

/// Names a letter. Made of what the letter shows: of what was masked, a hash could be searched for.
fn id_of(letter: &[u8], origin: Origin) -> String {
    let digest = Sha256::new()
        .chain_update(letter)
        .chain_update(format!("{origin:?}"))
        .finalize();
    digest[..ID_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn write_member(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_json_str(value, out);
}

fn write_text(text: &str, length: u64, out: &mut Vec<u8>) {
    write_member("text", text, out);
    out.extend_from_slice(format!(",\"length\":{length}").as_bytes());
}

fn write_violations(letter: &Letter, out: &mut Vec<u8>) {
    if letter.violations.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"violations\":[");
    for (index, violation) in letter.violations.iter().enumerate() {
        out.extend_from_slice(if index == 0 {
            b"{\"path\":"
        } else {
            b",{\"path\":"
        });
        write_json_str(&violation.path, out);
        out.extend_from_slice(b",\"expected\":");
        write_json_str(&violation.expected, out);
        out.extend_from_slice(b",\"found\":");
        write_json_str(&violation.found, out);
        out.push(b'}');
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MAX_DEPTH;
    use crate::layer::testing::kept;

    #[tokio::test]
    async fn a_body_as_deep_as_can_be_read_is_kept_as_text() {
        let (letters, kept) = kept();
        let body = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        for depth in MAX_DEPTH - 3..=MAX_DEPTH {
            let paths = Arc::new(PathSet::default());
            let Ok(event) = Event::parse(body(depth), &paths, &Arc::default()) else {
                continue;
            };
            letters
                .send(vec![Letter::new(event, "schema", "no")])
                .await
                .unwrap();
            let letter = kept.lock().unwrap().pop().unwrap();
            assert!(letter.contains(&body(depth)), "depth {depth}: {letter}");
        }
    }
}

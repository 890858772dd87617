//! Dead letters: what a letter looks like as an event, and the way to where they are kept.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tower::ServiceExt;

use crate::clock::format_timestamp;
use crate::event::{Batch, Event, PathSet, write_json_str};
use crate::failure::Failure;
use crate::stage::{Letter, Stage, Subject};

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
    routed: bool,
}

impl LetterBox {
    /// For letters of `node`. Without a stage every letter is a `Fatal` failure: a run that would
    /// have to lose an event stops instead.
    pub fn new(stage: Option<Stage>, redact: Arc<dyn Redact>, node: &str) -> Self {
        Self {
            stage,
            redact,
            node: node.into(),
            routed: false,
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
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = now.as_micros() as i64;
        let batch: Batch = letters
            .into_iter()
            .map(|letter| self.event_of(letter, now))
            .collect::<Result<_, _>>()?;
        stage
            .clone()
            .oneshot(batch)
            .await
            .map_err(|failure| failure.named(&origins))
    }

    /// The letter as an event: reason, place and time, and the masked body or text.
    fn event_of(&self, letter: Letter, now: i64) -> Result<Event, Failure> {
        let mut out = Vec::with_capacity(512);
        let text = |out: &mut Vec<u8>, name: &str, value: &str| {
            out.extend_from_slice(format!(",\"{name}\":").as_bytes());
            write_json_str(value, out);
        };
        out.extend_from_slice(b"{\"reason\":");
        write_json_str(letter.reason, &mut out);
        let node = if letter.node.is_empty() {
            &self.node
        } else {
            &letter.node
        };
        text(&mut out, "node", node);
        text(&mut out, "detail", &letter.detail);
        text(&mut out, "time", &format_timestamp(now));
        out.extend_from_slice(format!(",\"attempts\":{}", letter.attempts).as_bytes());
        out.extend_from_slice(b",\"source\":{\"name\":");
        write_json_str(&letter.provenance.source, &mut out);
        text(&mut out, "object", &letter.provenance.object);
        let (line, offset) = (letter.position.line, letter.position.offset);
        out.extend_from_slice(format!(",\"line\":{line},\"offset\":{offset}}}").as_bytes());
        write_violations(&letter, &mut out);
        let head = out.len();
        let body = match letter.subject {
            Subject::Event(mut event) => {
                self.redact.event(&mut event);
                out.extend_from_slice(b",\"event\":");
                event.write_json(&mut out);
                Some(event)
            }
            Subject::Text { sample, length } => {
                text(&mut out, "text", &self.redact.text(&sample));
                out.extend_from_slice(format!(",\"length\":{length}").as_bytes());
                None
            }
        };
        out.push(b'}');
        let paths = Arc::new(PathSet::default());
        let parsed = |out: Vec<u8>| {
            let json = String::from_utf8(out).ok()?;
            let mut event = Event::parse(json, &paths, &letter.provenance).ok()?;
            event.origin = letter.origin;
            Some(event)
        };
        if let Some(event) = parsed(out.clone()) {
            return Ok(event);
        }
        // A body may be nested as deep as can be read, and is one deeper in a letter: as text then.
        out.truncate(head);
        if let Some(event) = body {
            let json = event.to_json();
            text(&mut out, "text", &json);
            out.extend_from_slice(format!(",\"length\":{}", json.len()).as_bytes());
        }
        out.push(b'}');
        parsed(out).ok_or_else(|| {
            let cause = "a refused event could not be written down as a dead letter";
            Failure::fatal("bad_letter", cause).at(&self.node)
        })
    }
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

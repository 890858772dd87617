//! `remap`: changes events by a program in VRL, the Vector Remap Language.
//!
//! ```yaml
//! tidy:
//!   type: remap
//!   inputs: [x]
//!   source: |                 # or `file: tidy.vrl`, relative to the pipeline
//!     .minutes = round(to_float(.seconds) ?? 0.0 / 60.0, precision: 1)
//!     .queue = downcase(string(.queue) ?? "none")
//!     del(.internal)
//!     if .seconds == 0 { abort }
//!   timezone: Europe/Berlin   # of times that do not say theirs; default UTC
//!   on_error: dead_letter     # or `drop`, `pass`
//!   on_abort: drop            # or `dead_letter`, `pass`
//! ```
//!
//! `.` is the body and `%` what is known of the event besides. A `.` that is a list in the end makes an
//! event of each element, none of an empty one (dropped, reason `empty`); anything else that is no object
//! is put into one as `message`, as Vector does it, and `del(.)` leaves the empty object. What the
//! program did not change leaves as it came.

mod about;

pub use about::ABOUT;

mod check;

use std::sync::Arc;

use crate::clock::Wall;
use crate::event::{Batch, Path};
use crate::failure::Failure;
use crate::layer::{Redact, TransformContext};
use crate::script::{Halt, Ran, Script};
use crate::stage::{Applied, Letter, Stage, Transform};

/// Why an event was rejected or dropped: the program failed.
const FAILED: &str = "vrl_error";
/// The program said `abort`.
const ABORTED: &str = "aborted";
/// `.` became an empty list.
const EMPTY: &str = "empty";
/// Longest detail of a letter, in characters.
const DETAIL: usize = 300;

/// What becomes of an event for which there is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    DeadLetter,
    Drop,
    Pass,
}

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    script: Script,
    on_error: Then,
    on_abort: Then,
}

impl Config {
    /// Shows every path, so that it can be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        self.script.paths(visit);
    }

    /// The node: its clock is the run's, and what it says of an event is masked.
    pub fn build(&self, context: TransformContext) -> Stage {
        let remap = Remap(Arc::new(Work {
            config: self.clone(),
            wall: context.meter.wall().clone(),
            redact: context.letters.redact(),
        }));
        context.plain(remap)
    }
}

/// Runs the program on every event.
#[derive(Clone)]
pub struct Remap(Arc<Work>);

struct Work {
    config: Config,
    wall: Wall,
    redact: Arc<dyn Redact>,
}

impl Transform for Remap {
    async fn apply(&self, batch: Batch) -> Result<Applied, Failure> {
        Ok(self.0.apply(batch))
    }
}

impl Work {
    fn apply(&self, batch: Batch) -> Applied {
        let mut runner = self.config.script.runner(&self.wall);
        let mut applied = Applied::default();
        let mut made = Vec::with_capacity(batch.len());
        let (mut empty, mut failed, mut aborted) = (0, 0, 0);
        for mut event in batch.into_events() {
            let halt = match runner.run(&mut event) {
                Ok(Ran::Same | Ran::Changed) => {
                    made.push(event);
                    continue;
                }
                Ok(Ran::Several(events)) => {
                    match events.len() {
                        0 => empty += 1,
                        several => applied.created += several as u64 - 1,
                    }
                    made.extend(events);
                    continue;
                }
                Err(halt) => halt,
            };
            let (then, reason, count) = match &halt {
                Halt::Failed(_) => (self.config.on_error, FAILED, &mut failed),
                Halt::Aborted(_) => (self.config.on_abort, ABORTED, &mut aborted),
            };
            match then {
                Then::DeadLetter => {
                    let detail = self.detail(&halt);
                    applied.rejected.push(Letter::new(event, reason, detail));
                }
                Then::Drop => *count += 1,
                Then::Pass => made.push(event),
            }
        }
        let counts = [(EMPTY, empty), (FAILED, failed), (ABORTED, aborted)];
        applied
            .dropped
            .extend(counts.into_iter().filter(|(_, n)| *n > 0));
        applied.batch = made.into();
        applied
    }

    /// What VRL says, without what it quotes of the event, and masked as the event itself is.
    fn detail(&self, halt: &Halt) -> String {
        let said = match halt {
            Halt::Failed(why) => unquoted(why),
            Halt::Aborted(Some(why)) => why.clone(),
            Halt::Aborted(None) => "the program aborted".to_owned(),
        };
        let masked = self.redact.text(&said);
        masked.chars().take(DETAIL).collect()
    }
}

/// The text with `…` in place of what stands in quotes, but for the name of the function that failed.
fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'', '`']) {
        let quote = &rest[at..=at];
        let (before, inner) = (&rest[..at], &rest[at + 1..]);
        out.push_str(before);
        let is_function = before.ends_with("function call error for ");
        let Some(end) = inner.find(quote).filter(|_| is_function) else {
            // Quotes within quotes cannot be told from their end: the last one ends them all.
            out.push('…');
            rest = inner.rfind(quote).map_or("", |end| &inner[end + 1..]);
            continue;
        };
        out.extend(["`", &inner[..end], "`"]);
        rest = &inner[end + 1..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_of_an_event_is_left_out() {
        let said = |text: &str| unquoted(&format!("function call error for \"to_int\": {text}"));
        for (text, left) in [
            ("no number", "no number"),
            (
                "Invalid integer \"+1 415\": no digit",
                "Invalid integer …: no digit",
            ),
            ("\"a \"b\" c\" is wrong", "… is wrong"),
            ("it isn't", "it isn…"),
            ("`x` and 'y'", "… and …"),
        ] {
            assert_eq!(
                said(text),
                format!("function call error for `to_int`: {left}")
            );
        }
    }
}

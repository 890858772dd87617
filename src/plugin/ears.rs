//! What a guest says beside its answers: lines for the log, and counts. Both are bounded.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Limits;
use super::wire::Level;
use crate::mask::Redactor;
use crate::observe::NodeMeter;

/// Most of a message that is kept, in bytes.
pub(super) const MESSAGE_BYTES: usize = 1024;
/// Most of a message that is looked through; what lies behind is cut off in any case.
const READ_BYTES: usize = 64 * MESSAGE_BYTES;
/// Shortest value of a variable that is taken out: shorter ones are part of every other word.
const SECRET_BYTES: usize = 3;
/// Longest name of a counter or of a reason.
const NAME_BYTES: usize = 48;
/// What is counted under names that cannot be.
const OTHER: &str = "other";

/// Takes out of a text what must not be read in a log: personal data that is recognised, and values
/// that came into the configuration from outside its file.
#[derive(Clone)]
pub struct Blot {
    redactor: Redactor,
    secrets: Vec<String>,
}

impl Blot {
    /// With the values of variables and secrets that the guest knows.
    pub fn new(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| secret.len() >= SECRET_BYTES);
        // The longest first: one may hold another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let redactor = Redactor::new([]);
        Self { redactor, secrets }
    }

    /// The text, cut and cleaned: one line, at most 1 KiB.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "[variable]");
            }
        }
        let mut text = self.redactor.redact_text(&text);
        text.truncate(floor(&text, MESSAGE_BYTES));
        text.replace(char::is_control, " ")
    }
}

impl std::fmt::Debug for Blot {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Blot({} secrets)", self.secrets.len())
    }
}

/// The last place up to `most` at which the text may be cut.
pub(super) fn floor(text: &str, most: usize) -> usize {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// Listens to all instances of one plugin.
pub(super) struct Ears {
    blot: Blot,
    /// None while a plugin is only looked at: then nobody hears it.
    meter: Option<NodeMeter>,
    log_lines: u32,
    lines: Mutex<Lines>,
    counters: Names,
    reasons: Names,
}

/// Lines within one second.
struct Lines {
    since: Instant,
    written: u32,
    left_out: u64,
}

impl Ears {
    pub fn new(limits: &Limits, blot: Blot, meter: Option<NodeMeter>) -> Self {
        let lines = Lines {
            since: Instant::now(),
            written: 0,
            left_out: 0,
        };
        Self {
            blot,
            meter,
            log_lines: limits.log_lines,
            lines: Mutex::new(lines),
            counters: Names::new(limits.counters),
            reasons: Names::new(limits.counters),
        }
    }

    fn node(&self) -> &str {
        self.meter.as_ref().map_or("", NodeMeter::name)
    }

    /// A line of the guest.
    pub fn log(&self, level: Level, message: &str) {
        if self.meter.is_none() || !self.may_write() {
            return;
        }
        let message = self.clean(message);
        let plugin = self.node();
        match level {
            Level::Debug => tracing::debug!(plugin, "{message}"),
            Level::Info => tracing::info!(plugin, "{message}"),
            Level::Warn => tracing::warn!(plugin, "{message}"),
            Level::Error => tracing::error!(plugin, "{message}"),
        }
    }

    /// A line of ours about it, within the same bound.
    pub fn complain(&self, message: &str) {
        if self.meter.is_some() && self.may_write() {
            tracing::warn!(plugin = self.node(), "{message}");
        }
    }

    fn may_write(&self) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.since.elapsed() >= Duration::from_secs(1) {
            let left_out = std::mem::take(&mut lines.left_out);
            (lines.since, lines.written) = (Instant::now(), 0);
            if left_out > 0 {
                tracing::warn!(plugin = self.node(), "{left_out} lines were left out");
            }
        }
        if lines.written < self.log_lines {
            lines.written += 1;
            return true;
        }
        lines.left_out += 1;
        false
    }

    /// A count of the guest.
    pub fn count(&self, name: &str, n: u64) {
        if let Some(meter) = &self.meter {
            meter.figure_more(&format!("plugin.{}", self.counters.known(name)), n);
        }
    }

    /// The word by which a reason of the guest is counted.
    pub fn reason(&self, said: &str) -> String {
        self.reasons.known(said)
    }

    /// What a guest says for people, as it may be kept.
    pub fn clean(&self, said: &str) -> String {
        self.blot.clean(&said[..floor(said, READ_BYTES)])
    }
}

/// Names that are told apart: the first so many of them.
struct Names {
    most: usize,
    known: Mutex<Vec<Box<str>>>,
}

impl Names {
    fn new(most: usize) -> Self {
        let known = Mutex::default();
        Self { most, known }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Box<str>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, name: &str) -> String {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(is_plain) {
            return OTHER.to_owned();
        }
        let mut known = self.lock();
        if known.iter().any(|it| **it == *name) {
            return name.to_owned();
        }
        if known.len() >= self.most {
            return OTHER.to_owned();
        }
        known.push(name.into());
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use tracing::Level as Shown;

    use super::*;
    use crate::observe::{NodeKind, Observer};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while a guest says this.
    fn logged(limits: &Limits, secrets: &[&str], say: impl FnOnce(&Ears)) -> String {
        let observer = Observer::new("p");
        let meter = observer.node("n", NodeKind::Transform, "plugin");
        let blot = Blot::new(secrets.iter().map(|it| (*it).to_owned()).collect());
        let lines = Lines::default();
        let to = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(Shown::TRACE)
            .with_writer(move || to.clone());
        tracing::subscriber::with_default(subscriber.finish(), || {
            say(&Ears::new(limits, blot, Some(meter)));
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn so_many_lines_a_second_and_no_more() {
        let limits = Limits {
            log_lines: 3,
            ..Limits::default()
        };
        let text = logged(&limits, &[], |ears| {
            (0..1000).for_each(|n| ears.log(Level::Info, &format!("line {n}.")));
            ears.lines.lock().unwrap().since -= Duration::from_secs(1);
            ears.log(Level::Error, "later");
        });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[2].ends_with("line 2. plugin=\"n\""), "{text}");
        assert!(lines[3].contains("WARN") && lines[3].contains("997 lines were left out"));
        assert!(lines[4].contains("ERROR") && lines[4].contains("later"));
    }

    #[test]
    fn a_line_is_one_line_without_secrets_and_personal_data() {
        let text = logged(
            &Limits::default(),
            &["hunter2", "hunter2-long", "x"],
            |ears| {
                ears.log(
                    Level::Warn,
                    "call jane.doe@example.com\nwith hunter2-long\x1b[2J, hunter2, x",
                );
                ears.log(Level::Debug, &"ä".repeat(1 << 20));
            },
        );
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(!text.contains("jane.doe") && !text.contains("hunter2") && !text.contains('\x1b'));
        assert!(
            lines[0].contains("with [variable] [2J, [variable], x"),
            "{text}"
        );
        assert!(lines[1].len() < 1200);
    }

    #[test]
    fn names_are_words_and_there_are_not_many() {
        let names = Names::new(2);
        for (said, known) in [
            ("seen", "seen"),
            ("no_tier", "no_tier"),
            ("third", "other"),
            ("seen", "seen"),
            ("", "other"),
            ("With Spaces", "other"),
            ("jane@example.com", "other"),
        ] {
            assert_eq!(names.known(said), known);
        }
        assert_eq!(Names::new(9).known(&"a".repeat(49)), "other");
        assert_eq!(Names::new(0).known("seen"), "other");
    }
}

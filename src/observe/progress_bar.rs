//! The progress bar on the terminal.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use tokio::time::Instant;

use super::log::Screen;
use super::progress::{Progress, ProgressSnapshot};
use super::table::thousands;

/// How often the bar is drawn.
const EVERY: Duration = Duration::from_millis(200);

/// How long the rate remembers: long enough to be read, short enough to show a stall.
const RATE_MEMORY: Duration = Duration::from_secs(5);

/// Width of a forced bar, whose terminal is not known.
const FORCED_WIDTH: u16 = 100;

/// When a progress bar is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// When standard error is a terminal (the default).
    #[default]
    OnTerminal,
    /// In any case.
    Always,
    /// When standard error is a terminal; else a log line from time to time.
    OrLog,
    /// Not at all.
    Never,
}

/// Draws `progress` on standard error until `done` completes, then clears it away. Log lines go
/// around it as long as they go through `screen`. Without a terminal it only awaits `done`.
pub async fn draw<T>(
    progress: Progress,
    screen: Screen,
    show: Show,
    done: impl Future<Output = T>,
) -> T {
    let target = match show {
        Show::Never => return done.await,
        _ if io::stderr().is_terminal() => ProgressDrawTarget::stderr_with_hz(5),
        Show::Always => ProgressDrawTarget::term_like(Box::new(Forced::new(io::stderr()))),
        Show::OrLog => return super::progress_log::log(&progress, done).await,
        Show::OnTerminal => return done.await,
    };
    draw_on(target, &progress, &screen, done).await
}

async fn draw_on<T>(
    target: ProgressDrawTarget,
    progress: &Progress,
    screen: &Screen,
    done: impl Future<Output = T>,
) -> T {
    let bar = ProgressBar::with_draw_target(None, target);
    let shown = Shown { screen, bar };
    shown.screen.show(Some(shown.bar.clone()));
    let mut pace = Pace::new(Instant::now());
    let mut ticks = tokio::time::interval(EVERY);
    // Drawing may fall behind on a stopped terminal; frames that were missed are of no use.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut done = std::pin::pin!(done);
    loop {
        tokio::select! {
            biased;
            answer = &mut done => return answer,
            _ = ticks.tick() => {
                let now = progress.snapshot();
                pace.saw(now, Instant::now());
                shown.update(now, &pace);
            }
        }
    }
}

/// A bar on a screen. Dropping it clears the line, also when the run is given up.
struct Shown<'a> {
    screen: &'a Screen,
    bar: ProgressBar,
}

impl Shown<'_> {
    fn update(&self, now: ProgressSnapshot, pace: &Pace) {
        let template = match now.bytes_total.filter(|total| *total > 0) {
            Some(total) => {
                self.bar.set_length(total);
                self.bar.set_position(now.bytes_done.min(total));
                "{bar:24.cyan/dim} {percent:>3} % {msg}"
            }
            None => "{spinner} {msg}",
        };
        // Fixed templates, checked by a test; a bar that cannot be styled is shown plain.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_message(message(now, pace));
        self.bar.tick();
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.screen.show(None);
    }
}

/// Records and bytes per second, of late.
pub(super) struct Pace {
    seen: (ProgressSnapshot, Instant),
    records: f64,
    bytes: f64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            seen: (ProgressSnapshot::default(), now),
            records: 0.0,
            bytes: 0.0,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    pub(super) fn saw(&mut self, now: ProgressSnapshot, at: Instant) {
        let (before, since) = self.seen;
        let seconds = at.saturating_duration_since(since).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let records = now.records.saturating_sub(before.records) as f64 / seconds;
        // What an earlier run had read says nothing about how fast this one is.
        let read = |at: ProgressSnapshot| at.bytes_done.saturating_sub(at.bytes_skipped);
        let bytes = read(now).saturating_sub(read(before)) as f64 / seconds;
        // A moving average that forgets exponentially; the first sight is taken as it is.
        let weight = 1.0 - (-seconds / RATE_MEMORY.as_secs_f64()).exp();
        let weight = if self.bytes == 0.0 && self.records == 0.0 {
            1.0
        } else {
            weight
        };
        self.records += weight * (records - self.records);
        self.bytes += weight * (bytes - self.bytes);
        self.seen = (now, at);
    }

    /// Time left for `bytes` more; `None` when nothing moves.
    #[allow(clippy::cast_precision_loss)]
    fn left(&self, bytes: u64) -> Option<Duration> {
        (self.bytes >= 1.0)
            .then(|| Duration::try_from_secs_f64(bytes as f64 / self.bytes).ok())
            .flatten()
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
pub(super) fn message(now: ProgressSnapshot, pace: &Pace) -> String {
    let mut text = String::new();
    let files = if now.objects { "objects" } else { "files" };
    // Writing to a String does not fail.
    let _ = match now.files_total {
        Some(total) => write!(
            text,
            "{} of {} {files}, ",
            thousands(now.files_done),
            thousands(total)
        ),
        None if now.files_done > 0 => write!(text, "{} {files}, ", thousands(now.files_done)),
        None => Ok(()),
    };
    let rate = thousands(pace.records.round() as u64);
    let _ = write!(text, "{} records, {rate}/s, ", thousands(now.records));
    let _ = match now.bytes_total {
        Some(total) => write!(text, "{} of {}", size(now.bytes_done), size(total)),
        None => write!(text, "{}", size(now.bytes_done)),
    };
    let rest = now
        .bytes_total
        .map(|total| total.saturating_sub(now.bytes_done));
    if let Some(left) = rest
        .filter(|rest| *rest > 0)
        .and_then(|rest| pace.left(rest))
    {
        let _ = write!(text, ", {} left", clock(left));
    }
    text
}

/// Bytes in the largest unit (of thousands) that keeps a digit before the point.
#[allow(clippy::cast_precision_loss)]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut figure = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while figure >= 999.95 && unit + 1 < UNITS.len() {
        figure /= 1_000.0;
        unit += 1;
    }
    format!("{figure:.1} {}", UNITS[unit])
}

/// `m:ss`, or `h:mm:ss` from an hour on.
fn clock(left: Duration) -> String {
    let seconds = left.as_secs();
    let (h, m, s) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if h > 0 {
        format!("{h}:{m:02}:{s:02}")
    } else {
        format!("{m}:{s:02}")
    }
}

/// A terminal that is taken for one though it does not say so.
struct Forced<W>(Mutex<W>);

impl<W: Write> Forced<W> {
    fn new(to: W) -> Self {
        Self(Mutex::new(to))
    }

    fn put(&self, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_fmt(text)
    }

    /// A cursor movement; none at all for a distance of zero, which terminals take for one.
    fn go(&self, n: usize, way: char) -> io::Result<()> {
        if n == 0 {
            Ok(())
        } else {
            self.put(format_args!("\x1b[{n}{way}"))
        }
    }
}

impl<W: Write> fmt::Debug for Forced<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forced")
    }
}

impl<W: Write + Send> TermLike for Forced<W> {
    fn width(&self) -> u16 {
        FORCED_WIDTH
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.put(format_args!("{line}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(format_args!("{text}"))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put(format_args!("\r\x1b[2K"))
    }

    fn flush(&self) -> io::Result<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flush()
    }
}

#[cfg(test)]
mod tests;

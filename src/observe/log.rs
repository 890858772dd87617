//! The log: one line for each event on standard error, as text or as JSON.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::ProgressBar;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people (the default).
    #[default]
    Text,
    /// One JSON object to a line, fields beside `timestamp`, `level`, `target` and `message`.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug)]
pub enum LogError {
    /// The level is neither a word (`error`, `warn`, `info`, `debug`, `trace`, `off`) nor a list of
    /// `target=level`.
    Level(String),
    /// The process has a log subscriber already.
    AlreadySet,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => write!(
                f,
                "`{level}` is not a log level; give `error`, `warn`, `info`, `debug`, `trace` or \
                 `off`, or a list such as `info,trunkline::sink=debug`"
            ),
            Self::AlreadySet => f.write_str("the log is already set up"),
        }
    }
}

impl std::error::Error for LogError {}

/// Standard error as the log and the progress bar share it: while a line is written, the bar is not
/// there. Clones are the same screen; each [`Screen::default`] is one of its own.
#[derive(Clone, Default)]
pub struct Screen(Arc<Mutex<Option<ProgressBar>>>);

impl Screen {
    /// Puts `bar` on the screen, or takes it off.
    pub(super) fn show(&self, bar: Option<ProgressBar>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// Runs `write` while no bar is drawn. For whatever else writes to the terminal.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        let bar = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// Sets up the log of the process: `level` and worse go to standard error, with colours only when
/// `colour` is asked for and standard error is a terminal. The environment is not looked at.
///
/// # Errors
///
/// When `level` cannot be understood, or the log was set up before.
pub fn init(format: LogFormat, level: &str, colour: bool) -> Result<Screen, LogError> {
    let screen = Screen::default();
    let colour = colour && io::stderr().is_terminal();
    let writer = ScreenWriter {
        screen: screen.clone(),
        to: io::stderr,
    };
    let subscriber = subscriber(format, level, colour, writer)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadySet)?;
    Ok(screen)
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(
    format: LogFormat,
    level: &str,
    colour: bool,
    writer: W,
) -> Result<Subscriber, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // One logs what a server says of a statement, which may be a value of a row; the other, messages.
    let filter = EnvFilter::try_new(format!("{level},tiberius=off,lapin=off"))
        .map_err(|_| LogError::Level(level.to_owned()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(Rfc3339)
        // A closed standard error must not become a panic of whoever wanted to log.
        .log_internal_errors(false)
        .with_writer(writer);
    Ok(match format {
        LogFormat::Text => Box::new(builder.with_ansi(colour).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_ansi(false).finish()),
    })
}

/// Times as RFC 3339 in UTC with milliseconds.
struct Rfc3339;

impl FormatTime for Rfc3339 {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{:.3}", jiff::Timestamp::now())
    }
}

/// Makes a writer for each line, that clears the bar away while it writes.
struct ScreenWriter<F> {
    screen: Screen,
    to: F,
}

/// One line on its way to the screen.
struct Line<T> {
    screen: Screen,
    to: T,
}

impl<T: Write, F: Fn() -> T> MakeWriter<'_> for ScreenWriter<F> {
    type Writer = Line<T>;

    fn make_writer(&self) -> Line<T> {
        Line {
            screen: self.screen.clone(),
            to: (self.to)(),
        }
    }
}

impl<T: Write> Write for Line<T> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The subscriber hands over whole lines, so the bar gives way once for each.
        let to = &mut self.to;
        self.screen.suspend(|| to.write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;

//! `trunkline top`: a screen of the pipelines of a running process.

mod columns;
mod frame;
mod keys;
mod reading;
mod screen;

use std::io::{self, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use futures::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::Colour;
use super::remote::{Remote, Where, named};
use super::show::{colours, complain};
use crate::graph::Components;
use frame::Choice;
use reading::{Pipeline, Shown, shown};
use screen::Screen;

pub(super) const EXAMPLES: &str = "Examples:
  trunkline top live.yaml                            the process that runs this file
  trunkline top --url http://10.0.0.5:9100           any process, by its interface
  trunkline top --once                               one table, without a terminal
  trunkline top --format json | jq '.[].nodes[] | {name, in, out}'

Keys: q ends, p pauses, s changes the order, Tab goes to the next pipeline, arrows and pages scroll.
Exit codes: 0 it was ended, or `--once` has printed; 1 nobody answers.";

/// Longest answer that is read, in bytes: a thousand nodes with all their keys.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// How wide a table is that nobody sees on a terminal.
const WIDE: usize = 160;

/// What to look at.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The pipeline file, or the name of a pipeline, to show first.
    #[arg(value_name = "PIPELINE")]
    pipeline: Option<String>,
    #[command(flatten)]
    at: Where,
    /// Time between two readings, from 200ms to 1m.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print one table and end.
    #[arg(long)]
    once: bool,
    /// How it is shown.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A screen, or with `--once` a table.
    Text,
    /// A line of JSON for each interval.
    Json,
}

fn interval(text: &str) -> Result<Duration, String> {
    let of = |unit: &str, millis: u64| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(millis).map(Duration::from_millis)
    };
    let time = of("ms", 1)
        .or_else(|| of("s", 1_000))
        .or_else(|| of("m", 60_000));
    let time = time.filter(|time| (200..=60_000).contains(&time.as_millis()));
    time.ok_or_else(|| "it is a time from 200ms to 1m, such as 1s".to_owned())
}

pub(super) fn top(arguments: &Arguments, colour: Colour, own: &Components) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(show(arguments, colour, own))
        })),
        Err(error) => Ok(Err(format!("no runtime: {error}"))),
    };
    // What a panic said went with the screen: it is said again where it can be read.
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!(
            "a mistake of ours: {}",
            text.unwrap_or("no more is known")
        ))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(told) => {
            complain(&format!("error: {told}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn show(arguments: &Arguments, colour: Colour, own: &Components) -> Result<(), String> {
    let (first, api) = match &arguments.pipeline {
        Some(word) => named(word, &arguments.at, own).map(|(name, api)| (Some(name), api))?,
        None => (None, None),
    };
    let remote = Remote::new(&arguments.at, api.as_ref())?;
    let colour = colours(colour, &stdout());
    // A process that does not answer at all is told before the screen is taken.
    let begun = ask(&remote).await?;
    if arguments.once || arguments.format == Form::Json {
        return printed(arguments, &remote, begun, colour).await;
    }
    let mut top = Top {
        place: remote.place(),
        shown: shown(&[], &begun),
        last: begun,
        choice: Choice::default(),
        trouble: None,
    };
    let named = top
        .shown
        .iter()
        .position(|it| Some(&it.name) == first.as_ref());
    top.choice.pipeline = named.unwrap_or(0);
    top.run(remote, arguments.interval, colour).await
}

async fn ask(remote: &Remote) -> Result<Vec<Pipeline>, String> {
    let body = remote.get(&["api", "v1", "pipelines"], MAX_BYTES).await?;
    serde_json::from_slice(&body)
        .map_err(|_| format!("{} answers something else than pipelines", remote.place()))
}

/// Without a terminal: once, or a line for each interval until nobody reads them.
async fn printed(
    arguments: &Arguments,
    remote: &Remote,
    mut last: Vec<Pipeline>,
    colour: bool,
) -> Result<(), String> {
    loop {
        tokio::time::sleep(arguments.interval).await;
        let now = ask(remote).await?;
        let all = shown(&last, &now);
        let text = match arguments.format {
            Form::Json => serde_json::to_string(&all).unwrap_or_default() + "\n",
            Form::Text => table(&all, colour),
        };
        let mut out = stdout().lock();
        let gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if arguments.once || gone.is_err() {
            return Ok(());
        }
        last = now;
    }
}

fn table(all: &[Shown], colour: bool) -> String {
    let width = screen::size(stdout().as_fd()).map_or(WIDE, |(columns, _)| columns);
    let mut out = String::new();
    for (at, pipeline) in all.iter().enumerate() {
        out.push_str(if at > 0 { "\n" } else { "" });
        for line in frame::whole(pipeline, width) {
            out.push_str(&line.render(width, colour));
            out.push('\n');
        }
    }
    out
}

/// What is on the screen.
struct Top {
    place: String,
    last: Vec<Pipeline>,
    shown: Vec<Shown>,
    choice: Choice,
    /// Why nothing newer is shown.
    trouble: Option<String>,
}

impl Top {
    /// Draws until somebody has seen enough.
    async fn run(mut self, remote: Remote, every: Duration, colour: bool) -> Result<(), String> {
        let broken = |error: io::Error| format!("no signals: {error}");
        let mut ends = ends().map_err(broken)?;
        let mut resized = signal(SignalKind::window_change()).map_err(broken)?;
        let screen = Screen::enter(stdin().as_fd())?;
        let mut keys = screen::keys();
        let mut answers = answers(remote, every);
        loop {
            let trouble = self.trouble.as_deref();
            let size = screen.size();
            let lines = frame::screen(&self.shown, &mut self.choice, &self.place, trouble, size);
            screen.draw(&lines, colour);
            tokio::select! {
                key = keys.recv() => match key {
                    Some(key) if self.choice.press(key, self.shown.len()) => {}
                    _ => return Ok(()),
                },
                Some(answer) = answers.recv() => self.take(answer),
                _ = resized.recv() => {}
                _ = select_all(ends.iter_mut().map(|it| Box::pin(it.recv()))) => return Ok(()),
            }
        }
    }

    fn take(&mut self, answer: Result<Vec<Pipeline>, String>) {
        if self.choice.paused {
            return;
        }
        match answer {
            Ok(now) => {
                self.shown = shown(&self.last, &now);
                (self.last, self.trouble) = (now, None);
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }
}

/// An answer for each interval, or why there is none. A process that went away is asked again.
fn answers(remote: Remote, every: Duration) -> mpsc::Receiver<Result<Vec<Pipeline>, String>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if sender.send(ask(&remote).await).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Signals that end the process: the screen is left before it does.
fn ends() -> io::Result<Vec<Signal>> {
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ];
    kinds.into_iter().map(signal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_bounds() {
        let millis = |text| interval(text).map(|it| it.as_millis());
        assert_eq!(
            (millis("1s"), millis("250ms"), millis("1m")),
            (Ok(1_000), Ok(250), Ok(60_000))
        );
        for wrong in ["", "1", "0s", "199ms", "2m", "-1s", "99999999999999999999s"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}

//! `trunkline tap`: a live look at events into and out of nodes of a running process.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use futures::StreamExt;
use serde_json::Value;

use super::Colour;
use super::remote::{Remote, Where, named};
use super::show::{colours, complain};
use super::table::tame;
use crate::graph::Components;
use crate::observe::MOST_TAPPED;

pub(super) const EXAMPLES: &str = "Examples:
  trunkline tap live.yaml normalize                  what leaves a node, ten events a second
  trunkline tap live.yaml 'order*' '*.invalid'       several nodes, and an output of each
  trunkline tap live.yaml out --in --limit 1         the next event that reaches a sink
  trunkline tap live in --url http://10.0.0.5:9100 --format json | jq .event

Exit codes: 0 `--limit` was reached, Ctrl-C, or nobody reads any more; 1 the pipeline has ended, its
process went away, or it shows nothing.";

/// The process tells every second how much it does not show: after so long a silence it is gone.
const SILENCE: Duration = Duration::from_secs(15);
/// Longest line that is read, in bytes: an event with escapes, and its place.
const MAX_LINE: usize = 1024 * 1024;

/// What to look at.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The pipeline file, or the name of a pipeline.
    #[arg(value_name = "PIPELINE")]
    pipeline: String,
    /// Nodes (`order`), or outputs of nodes (`order.invalid`); `*` stands for any letters.
    #[arg(value_name = "NODE", required = true)]
    nodes: Vec<String>,
    #[command(flatten)]
    at: Where,
    /// Show what comes into the nodes.
    #[arg(long = "in", conflicts_with = "out")]
    into: bool,
    /// Show what goes out of the nodes (the default; of sinks, what comes in).
    #[arg(long)]
    out: bool,
    /// Events a second at most, from 1 to 1000. What is not shown is counted.
    #[arg(long, value_name = "RATE", default_value = "10/s", value_parser = rate)]
    sample: u32,
    /// End after this many events.
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Show personal data; `api.tap` of the pipeline file must allow it.
    #[arg(long)]
    unmasked: bool,
    /// How events are shown.
    #[arg(long, value_enum, default_value_t = Form::Pretty)]
    format: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One line of JSON for each event, with its node, side and time.
    Json,
    /// Indented, for people.
    Pretty,
}

fn rate(text: &str) -> Result<u32, String> {
    let rate = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    let rate = rate.filter(|rate| (1..=MOST_TAPPED).contains(rate));
    rate.ok_or_else(|| format!("it is a number of events a second, from 1/s to {MOST_TAPPED}/s"))
}

pub(super) fn tap(arguments: &Arguments, colour: Colour, own: &Components) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(look(arguments, colour, own)),
        Err(error) => Err(format!("no runtime: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(told) => {
            complain(&format!("error: {told}\n"));
            ExitCode::FAILURE
        }
    }
}

async fn look(arguments: &Arguments, colour: Colour, own: &Components) -> Result<(), String> {
    let (pipeline, api) = named(&arguments.pipeline, &arguments.at, own)?;
    let remote = Remote::new(&arguments.at, api.as_ref())?;
    let rate = arguments.sample.to_string();
    let mut query: Vec<(&str, &str)> = vec![("rate", &rate)];
    query.extend(arguments.nodes.iter().map(|node| ("node", node.as_str())));
    if arguments.into || arguments.out {
        query.push(("direction", if arguments.into { "in" } else { "out" }));
    }
    if arguments.unmasked {
        query.push(("unmasked", "true"));
    }
    let path = ["api", "v1", "pipelines", &pipeline, "tap"];
    let answer = remote.stream(&path, &query).await?;
    let mut viewer = Viewer {
        form: arguments.format,
        left: arguments.limit,
        colour: colours(colour, &stdout()),
        quiet: colours(colour, &stderr()),
    };
    let gone = || {
        format!(
            "{pipeline} has ended, or the process at {} went away",
            remote.place()
        )
    };
    tokio::select! {
        ended = viewer.read(answer) => match ended {
            true => Ok(()),
            false => Err(gone()),
        },
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Shows lines as they come.
struct Viewer {
    form: Form,
    left: Option<u64>,
    colour: bool,
    /// Whether stderr has colours.
    quiet: bool,
}

impl Viewer {
    /// Whether all that was asked for was shown, or nobody reads it.
    async fn read(&mut self, answer: reqwest::Response) -> bool {
        let mut parts = answer.bytes_stream();
        let mut line = Vec::new();
        while let Ok(Some(Ok(part))) = tokio::time::timeout(SILENCE, parts.next()).await {
            for piece in part.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(piece);
                if line.len() > MAX_LINE {
                    return false;
                }
                if piece.ends_with(b"\n") && self.line(&std::mem::take(&mut line)) {
                    return true;
                }
            }
        }
        false
    }

    /// Whether this was the last one.
    fn line(&mut self, line: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(line) else {
            return false;
        };
        let Ok(head) = serde_json::from_str::<Value>(text) else {
            return false;
        };
        if let Some(missed) = head["not_shown"].as_u64() {
            self.missed(missed);
            return false;
        }
        let shown = match self.form {
            Form::Json => format!("{}\n", safe(text.trim_end())),
            Form::Pretty => self.pretty(&head, text),
        };
        let mut out = stdout().lock();
        // A reader that went away has seen enough.
        if out
            .write_all(shown.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            return true;
        }
        self.left = self.left.map(|left| left - 1);
        self.left == Some(0)
    }

    /// Told apart from the events, so that these can be read by a program.
    fn missed(&mut self, missed: u64) {
        if missed == 0 {
            return;
        }
        let style = if self.quiet {
            Style::new().dimmed()
        } else {
            Style::new()
        };
        let count = crate::observe::thousands(missed);
        complain(&format!("{style}… {count} not shown{style:#}\n"));
    }

    fn pretty(&self, head: &Value, line: &str) -> String {
        let word = |name: &str| tame(head[name].as_str().unwrap_or("?"));
        let style = match self.colour {
            true => AnsiColor::Cyan.on_default().bold(),
            false => Style::new(),
        };
        let (node, at) = (word("node"), word("at"));
        let title = match word("direction").as_str() {
            "in" => format!("→ {node}"),
            _ => format!("{node} →"),
        };
        // The body as it came: its members in their order, its numbers with all their digits.
        let body = match line.split_once(",\"event\":") {
            Some((_, rest)) => indented(rest.trim_end().strip_suffix('}').unwrap_or(rest)),
            None => format!(
                "(an event of {} bytes is too long to be shown)",
                head["too_long"]
            ),
        };
        format!("{style}{title}{style:#}  {at}\n{body}\n")
    }
}

/// JSON without what a terminal obeys: escaped, it is the same JSON.
fn safe(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || crate::diagnostic::is_direction(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON with a line for each member.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    let fresh = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    out.push_str("  ");
    let mut letters = json.chars().peekable();
    while let Some(c) = letters.next() {
        if quoted {
            out.push_str(&safe(c.encode_utf8(&mut [0; 4])));
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            ' ' | '\t' | '\n' | '\r' => {}
            '{' | '[' => {
                out.push(c);
                while letters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(end) = letters.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    fresh(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                fresh(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                fresh(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_it_is_the_same_json() {
        let json = r#"{"a":[1,{"b\"}":"x,\\"},[ ],{}],"c":1.50,"d":null}"#;
        let shown = indented(json);
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&shown), read(json));
        assert!(shown.contains("\"c\": 1.50,\n"), "{shown}");
        assert!(shown.contains("[],\n") && shown.contains("{}\n"), "{shown}");
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        let shown = safe("{\"a\":\"\u{9b}31m\u{202e}\u{7f}é\"}");
        assert_eq!(shown, r#"{"a":"\u009b31m\u202e\u007fé"}"#);
        assert!(!indented("{\"a\":\"\u{9b}\"}").contains('\u{9b}'));
    }

    #[test]
    fn a_rate_has_a_bound() {
        assert_eq!((rate("10/s"), rate("1000")), (Ok(10), Ok(1000)));
        assert!(rate("0").is_err() && rate("1001/s").is_err() && rate("x").is_err());
    }
}

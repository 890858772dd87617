//! `trunkline dry-run`: what would leave, without anything leaving.

mod changes;
pub(super) mod render;

use std::io::{stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;

use super::Colour;
use super::show::{self, colours, complain, print};
use crate::graph::Components;
use crate::graph::Pipeline;
use crate::graph::rehearsal::{
    EVENTS, Outcome, Setting, compare, inputs, is_allowed, rehearse, runtime, sources,
};

pub(super) const EXAMPLES: &str = "Examples:
  trunkline dry-run pipelines/quickstart.yaml --input examples/quickstart
  trunkline dry-run live.yaml --input live=sample.ndjson --limit 100 --show all
  trunkline dry-run p.yaml --input sample.ndjson --allow-pii messages.body.toAddress
  trunkline dry-run p.yaml --input sample.ndjson --diff new.yaml
  trunkline dry-run p.yaml --input sample.ndjson --format json | jq .personal_data

Exit codes: 0 good; 1 the file has mistakes, the run fails, or its ledger does not add up;
2 personal data leaves that `--allow-pii` does not name; 3 there are dead letters, with
`--expect-no-dead-letters`; 4 the versions differ, with `--diff`. The lowest that applies, after 1.";

/// Personal data leaves.
const PERSONAL: u8 = 2;
/// There are dead letters.
const LETTERS: u8 = 3;
/// The versions differ.
const DIFFERENT: u8 = 4;
/// Rows of a version for each event, at most, that are kept to be compared.
const ROWS: usize = 20;

/// What to rehearse.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The pipeline file.
    #[arg(value_name = "PIPELINE")]
    file: PathBuf,
    /// What feeds a source: a file, a folder or a pattern; `SOURCE=FILE` where there are several sources.
    ///
    /// Its events are as they leave the source: what the source itself adds (headers, metadata, reads of
    /// its own) is not made up. JSON lines, values one after the other or one array; plain, gzip or zstd.
    /// Sources without an input end at once.
    #[arg(long, required = true, value_name = "[SOURCE=]FILE")]
    input: Vec<String>,
    /// Read at most so many events in all.
    #[arg(long, value_name = "N", default_value_t = EVENTS as u64,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    /// The time of day at which the run begins (RFC 3339), for outputs that are the same tomorrow.
    ///
    /// Default: now. From there time passes only while everything waits for it, and then at once.
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Show so many things of each sink in full, or `all` (of which 10,000 are kept).
    #[arg(long, value_name = "N|all", default_value = "5", value_parser = most)]
    show: usize,
    /// How to show it.
    #[arg(long, value_enum, default_value_t = Shape::Text)]
    format: Shape,
    /// Personal data may leave here: a sink, or a place in what it sends (`messages.body.toAddress`).
    #[arg(long, value_name = "PATH")]
    allow_pii: Vec<String>,
    /// Fail where there are dead letters.
    #[arg(long)]
    expect_no_dead_letters: bool,
    /// Run this file too, on the same input from the same time on, and say what it does otherwise.
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["allow_pii", "expect_no_dead_letters"])]
    diff: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// For people.
    Text,
    /// One document.
    Json,
}

/// `all`, or a number.
fn most(text: &str) -> Result<usize, &'static str> {
    match text {
        "all" => Ok(usize::MAX),
        number => number.parse().map_err(|_| "a number, or `all`"),
    }
}

pub(super) fn dry_run(arguments: &Arguments, colour: Colour, own: &Components) -> ExitCode {
    let start = arguments.at.unwrap_or_else(Timestamp::now);
    let outcome = match rehearsed(&arguments.file, arguments, start, colour, own) {
        Ok(outcome) => outcome,
        Err(wrong) => return fail(wrong),
    };
    match &arguments.diff {
        None => told(&outcome, arguments, colour),
        Some(other) => match rehearsed(other, arguments, start, colour, own) {
            Ok(other) => differ(&outcome, &other, arguments, colour),
            Err(wrong) => fail(wrong),
        },
    }
}

/// What is wrong was told already where there is nothing to say.
fn fail(wrong: Option<String>) -> ExitCode {
    if let Some(wrong) = wrong {
        complain(&format!("error: {wrong}\n"));
    }
    ExitCode::FAILURE
}

fn rehearsed(
    file: &Path,
    arguments: &Arguments,
    start: Timestamp,
    colour: Colour,
    own: &Components,
) -> Result<Outcome, Option<String>> {
    let pipeline = checked(file, colour, own).ok_or(None)?;
    let wrong = |wrong| Some(format!("{}: {wrong}", file.display()));
    let limit = usize::try_from(arguments.limit).unwrap_or(EVENTS);
    let mut setting = Setting {
        inputs: inputs(&arguments.input, &sources(&pipeline)).map_err(wrong)?,
        limit,
        ..Setting::new(start)
    };
    if arguments.diff.is_some() {
        setting.things = limit.saturating_mul(ROWS);
    }
    let threads = |error| Some(format!("cannot start threads: {error}"));
    let runtime = runtime().map_err(threads)?;
    Ok(runtime.block_on(rehearse(pipeline, setting)))
}

fn checked(file: &Path, colour: Colour, own: &Components) -> Option<Pipeline> {
    let (loaded, checked) = show::read(file, own);
    let shown = show::text(
        &checked.report,
        &loaded.sources(),
        colours(colour, &stderr()),
    );
    complain(&shown);
    checked.pipeline.filter(|_| !checked.report.has_errors())
}

fn told(outcome: &Outcome, arguments: &Arguments, colour: Colour) -> ExitCode {
    let wrong = outcome.ledger.adds_up().err();
    print(&match arguments.format {
        Shape::Json => json(outcome),
        Shape::Text => render::text(
            outcome,
            &arguments.allow_pii,
            arguments.show,
            colours(colour, &stdout()),
        ),
    });
    if let Some(failure) = &outcome.failure {
        return fail(Some(format!("the run fails: {failure}")));
    }
    if let Some(wrong) = wrong {
        return fail(Some(format!("the ledger does not add up: {wrong}")));
    }
    if outcome.events == 0 {
        // A gate must not be passed by what was never looked at.
        return fail(Some("there is no event in the input".to_owned()));
    }
    let personal = outcome.personal_data.iter();
    let personal = personal.filter(|it| !is_allowed(it, &arguments.allow_pii));
    match personal.count() {
        0 if arguments.expect_no_dead_letters && outcome.dead_letter_count > 0 => {
            complain(&format!(
                "error: {} dead letters, where none is expected\n",
                outcome.dead_letter_count
            ));
            ExitCode::from(LETTERS)
        }
        0 => ExitCode::SUCCESS,
        places => {
            complain(&format!(
                "error: personal data leaves at {places} places that `--allow-pii` does not name\n"
            ));
            ExitCode::from(PERSONAL)
        }
    }
}

fn differ(before: &Outcome, after: &Outcome, arguments: &Arguments, colour: Colour) -> ExitCode {
    let difference = compare(before, after);
    print(&match arguments.format {
        Shape::Json => json(&difference),
        Shape::Text => changes::text(&difference, arguments.show, colours(colour, &stdout())),
    });
    match difference.is_none() {
        true if before.failure.is_some() => fail(Some("both runs fail".to_owned())),
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DIFFERENT),
    }
}

fn json(document: &impl serde::Serialize) -> String {
    // Text, numbers and maps with names: nothing that JSON could not hold.
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}

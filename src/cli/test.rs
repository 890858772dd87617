//! `trunkline test`: the tests that stand in pipeline files.

mod files;
mod render;

use std::io::{stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::Colour;
use super::show::{self, colours, complain, print};
use crate::config::{Environment, Loaded};
use crate::diagnostic::{Report, Severity};
use crate::graph::Components;
use crate::graph::rehearsal::runtime;
use crate::graph::trial::{Trial, Verdict, play};

pub(super) const EXAMPLES: &str = "Examples:
  trunkline test pipelines                           every test of every pipeline in a folder
  trunkline test 'teams/*/pipelines/*.yaml'          the same for a pattern
  trunkline test p.yaml --filter 'a repeat'          those whose names have this in them
  trunkline test p.yaml --list                       what there is
  trunkline test pipelines/*.yaml --format junit > report.xml

Exit codes: 0 all passed; 1 a test failed, a file has mistakes, or there was nothing to test.";

/// What to test.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Pipeline files, folders or patterns. Of a folder or pattern those files that have tests.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run only tests whose names have this in them.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// How to show what came of them.
    #[arg(long, value_enum, default_value_t = Shape::Text)]
    format: Shape,
    /// Say what tests there are, with their places, and run none.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// For people.
    Text,
    /// One document.
    Json,
    /// XML for CI servers.
    Junit,
}

/// A file and what came of its tests.
struct Suite {
    file: String,
    /// Whether it could be tested at all.
    is_broken: bool,
    cases: Vec<Case>,
}

/// A test and what came of it.
struct Case {
    trial: Trial,
    verdict: Verdict,
    took: Duration,
}

impl Case {
    fn passed(&self) -> bool {
        self.verdict.problems.is_empty()
    }
}

pub(super) fn test(arguments: &Arguments, colour: Colour, own: &Components) -> ExitCode {
    let files = match files::found(&arguments.files) {
        Ok(files) => files,
        Err(wrong) => {
            complain(&format!("error: {wrong}\n"));
            return ExitCode::FAILURE;
        }
    };
    let mut suites = Vec::with_capacity(files.len());
    for file in &files {
        match suite(file, arguments, colour, own) {
            Ok(suite) => suites.push(suite),
            Err(error) => {
                complain(&format!("error: cannot start threads: {error}\n"));
                return ExitCode::FAILURE;
            }
        }
    }
    if !arguments.list {
        print(&match arguments.format {
            Shape::Text => render::text(&suites, colours(colour, &stdout())),
            Shape::Json => render::json(&suites),
            Shape::Junit => render::junit(&suites),
        });
    }
    let is_broken = suites.iter().any(|suite| suite.is_broken);
    let mut cases = suites.iter().flat_map(|suite| &suite.cases).peekable();
    if cases.peek().is_none() && !is_broken && !arguments.list {
        // A gate must not be passed by what was never looked at.
        complain(match arguments.filter {
            Some(_) => "error: no test has such a name\n",
            None => "error: there is no test in these files\n",
        });
        return ExitCode::FAILURE;
    }
    match is_broken || cases.any(|case| !case.passed()) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Checks a file, and runs or lists its tests.
fn suite(
    file: &Path,
    arguments: &Arguments,
    colour: Colour,
    own: &Components,
) -> std::io::Result<Suite> {
    let (loaded, checked) = show::read(file, own);
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let mut trials = checked.tests;
    trials.retain(|trial| trial.name.contains(filter));
    let mut suite = Suite {
        file: loaded.file.to_string(),
        is_broken: is_broken(&checked.report, &trials),
        cases: Vec::new(),
    };
    if suite.is_broken {
        // Warnings are for `validate`.
        let colours = colours(colour, &stderr());
        complain(&show::text(&checked.report, &loaded.sources(), colours));
        return Ok(suite);
    }
    for trial in trials {
        if arguments.list {
            print(&render::listed(&suite.file, &trial));
            continue;
        }
        suite.cases.push(played(&loaded, own, trial)?);
    }
    Ok(suite)
}

/// Variables that are not set may be those that each of the tests sets: then each is told what it lacks.
fn is_broken(report: &Report, trials: &[Trial]) -> bool {
    let mut errors = report.iter().filter(|it| it.severity == Severity::Error);
    let all_set = !trials.is_empty() && trials.iter().all(|it| !it.variables.is_empty());
    errors.any(|it| !all_set || it.code != "missing-variable")
}

fn played(loaded: &Loaded, own: &Components, trial: Trial) -> std::io::Result<Case> {
    let begin = Instant::now();
    let verdict = runtime()?.block_on(play(loaded, own, &trial, &Environment));
    Ok(Case {
        trial,
        verdict,
        took: begin.elapsed(),
    })
}

//! `trunkline dlq`.

mod discard;
mod list;
mod replay;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};

use super::Colour;
use super::show::{complain, read, text};
use super::table::tame;
use crate::failure::Failure;
use crate::graph::Components;
use crate::graph::Pipeline;
use crate::graph::replay::shelves;
use crate::letters::{Filter, Found, Kept, LetterFile, Shelf, parse_when};
use crate::seal::Keyring;

pub(super) const EXAMPLES: &str = "Examples:
  trunkline dlq list pipeline.yaml --since 2h
  trunkline dlq show pipeline.yaml 9f2c41
  trunkline dlq replay pipeline.yaml --reason schema
  trunkline dlq discard pipeline.yaml --node crm --until 30d --yes";
const LIST_EXAMPLES: &str = "Examples:
  trunkline dlq list pipeline.yaml
  trunkline dlq list --file letters.ndjson --reason schema --format json | jq .detail";
const SHOW_EXAMPLES: &str = "Examples:
  trunkline dlq show pipeline.yaml 9f2c41
  trunkline dlq show pipeline.yaml 9f2c41 --reveal       with the key of the pipeline";
const REPLAY_EXAMPLES: &str = "Examples:
  trunkline dlq replay pipeline.yaml --limit 10          first a few
  trunkline dlq replay pipeline.yaml --node warehouse";
const DISCARD_EXAMPLES: &str = "Examples:
  trunkline dlq discard pipeline.yaml --id 9f2c41
  trunkline dlq discard --file letters.ndjson --until 30d --yes";

#[derive(Subcommand)]
pub(super) enum Dlq {
    /// List dead letters; shows masked data only.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        place: Location,
        #[command(flatten)]
        choice: Choice,
        /// As a table, or one JSON object in a line for each letter.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Show everything about one dead letter; masked, unless told otherwise.
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        #[command(flatten)]
        place: Location,
        /// The letter's id, or its beginning.
        #[arg(value_name = "ID")]
        id: Option<String>,
        /// Show the event as it was before the mask: personal data. Takes the pipeline's key.
        #[arg(long)]
        reveal: bool,
        /// For people, or as JSON.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Send the events of dead letters through the pipeline, from the node that refused them.
    ///
    /// A letter is removed once its event is delivered, dropped by a rule, or dead-lettered anew
    /// (then a new letter takes its place). What fails otherwise stays. Exit code 0 when none of
    /// the letters asked for is among the dead letters any more.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay {
        #[command(flatten)]
        place: Location,
        #[command(flatten)]
        choice: Choice,
        /// Show no progress bar.
        #[arg(long)]
        no_progress: bool,
    },
    /// Throw dead letters away.
    #[command(after_help = DISCARD_EXAMPLES)]
    Discard {
        #[command(flatten)]
        place: Location,
        #[command(flatten)]
        choice: Choice,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Where letters lie.
#[derive(Args)]
pub(super) struct Location {
    /// The pipeline whose dead letters are meant, wherever it keeps them.
    #[arg(value_name = "PIPELINE", required_unless_present = "file")]
    pipeline: Option<PathBuf>,
    /// Read this file of dead letters, and no others.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Which letters are meant; all filters given have to hold.
#[derive(Args)]
pub(super) struct Choice {
    /// Only those whose id begins so. May be given several times, like the next two.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Only those refused for this reason, such as `schema`.
    #[arg(long, value_name = "REASON")]
    reason: Vec<String>,
    /// Only those that this node refused.
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,
    /// Only those refused at this time or later: RFC 3339, or that long ago (`2h`).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only those refused before this time.
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// At most so many, from the oldest.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    Text,
    Json,
}

pub(super) fn dlq(command: Dlq, colour: Colour, own: &Components) -> ExitCode {
    let done = match command {
        Dlq::List {
            place,
            choice,
            format,
        } => list::list(&place, &choice, format, colour, own),
        Dlq::Show {
            place,
            id,
            reveal,
            format,
        } => show::show(place, id, reveal, format, own),
        Dlq::Replay {
            place,
            choice,
            no_progress,
        } => replay::replay(&place, &choice, no_progress, colour, own),
        Dlq::Discard { place, choice, yes } => discard::discard(&place, &choice, yes, own),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            complain(&format!("error: {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What a command works on.
struct Desk {
    shelves: Vec<Arc<dyn Shelf>>,
    pipeline: Option<Pipeline>,
}

impl Desk {
    fn keys(&self) -> Option<Keyring> {
        self.pipeline.as_ref()?.encryption.clone()
    }

    /// The letters that are meant, in the order in which they lie. `each` says whether to go on.
    fn visit(
        &self,
        filter: &Filter,
        mut each: impl FnMut(Box<Kept>) -> bool,
    ) -> Result<(), Failure> {
        for shelf in &self.shelves {
            let mut others = 0;
            for found in shelf.letters()? {
                match found? {
                    Found::Letter(letter) if filter.accepts(&letter) => {
                        if !each(letter) {
                            return Ok(());
                        }
                    }
                    Found::Letter(_) => {}
                    Found::Other(_) => others += 1,
                }
            }
            if others > 0 {
                let name = shelf.name();
                complain(&format!(
                    "note: {others} lines of {name} are no dead letters\n"
                ));
            }
        }
        Ok(())
    }
}

impl Location {
    fn open(&self, own: &Components) -> Result<Desk, Failure> {
        let pipeline = match &self.pipeline {
            Some(path) => Some(checked(path, own)?),
            None => None,
        };
        if let Some(file) = &self.file {
            if let Err(error) = std::fs::metadata(file) {
                let message = format!("cannot read {}: {error}", file.display());
                return Err(Failure::fatal("letters_failed", message));
            }
            let shelves: Vec<Arc<dyn Shelf>> = vec![Arc::new(LetterFile::new(file))];
            return Ok(Desk { shelves, pipeline });
        }
        let (shelves, unreadable) = pipeline.as_ref().map(shelves).unwrap_or_default();
        for owner in &unreadable {
            complain(&format!(
                "note: the dead letters of {owner} are kept in no file or queue, and cannot be read\n"
            ));
        }
        if shelves.is_empty() {
            let message = "the pipeline keeps no dead letters in a file or queue: give it a \
                           `dead_letter` of type `file`, or name a file with `--file`";
            return Err(Failure::fatal("no_dead_letter", message));
        }
        Ok(Desk { shelves, pipeline })
    }
}

/// A pipeline without mistakes. What is wrong with it is told like anywhere else.
pub(super) fn checked(path: &std::path::Path, own: &Components) -> Result<Pipeline, Failure> {
    let (loaded, checked) = read(path, own);
    checked.pipeline.ok_or_else(|| {
        complain(&text(&checked.report, &loaded.sources(), false));
        Failure::fatal("bad_pipeline", "the pipeline has mistakes")
    })
}

impl Choice {
    fn filter(&self) -> Result<Filter, Failure> {
        let now = now();
        let when = |text: &Option<String>, name: &str| match text {
            None => Ok(None),
            Some(text) => parse_when(text, now).map(Some).ok_or_else(|| {
                let message = format!(
                    "`{name}` takes a time such as 2026-11-20T09:00:00Z, or how long ago: 2h"
                );
                Failure::fatal("bad_time", message)
            }),
        };
        Ok(Filter {
            ids: self.id.clone(),
            reasons: self.reason.clone(),
            nodes: self.node.clone(),
            since: when(&self.since, "--since")?,
            until: when(&self.until, "--until")?,
        })
    }
}

/// Microseconds since 1970 (UTC).
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_micros() as i64
}

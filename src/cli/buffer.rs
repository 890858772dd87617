//! `trunkline buffer`.

mod export;
mod inspect;
mod list;
mod repair;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::dlq::{Form, checked};
use super::{Colour, show};
use crate::config::{Environment, Variables};
use crate::failure::Failure;
use crate::graph::Components;
use crate::seal::{Key, Keyring};

pub(super) const EXAMPLES: &str = "Examples:
  trunkline buffer list pipeline.yaml
  trunkline buffer inspect state/buffers/warehouse
  trunkline buffer export state/buffers/warehouse --pipeline pipeline.yaml --output events.ndjson
  trunkline buffer repair state/buffers/warehouse";
const LIST_EXAMPLES: &str = "Examples:
  trunkline buffer list pipeline.yaml
  trunkline buffer list state --format json | jq .pending_events";
const INSPECT_EXAMPLES: &str = "Examples:
  trunkline buffer inspect state/buffers/warehouse";
const EXPORT_EXAMPLES: &str = "Examples:
  trunkline buffer export state/buffers/warehouse | jq .event
  trunkline buffer export state/buffers/warehouse --all --key-env BUFFER_KEY --output all.ndjson";
const REPAIR_EXAMPLES: &str = "Examples:
  trunkline buffer repair state/buffers/warehouse";

#[derive(Subcommand)]
pub(super) enum Buffer {
    /// List disk buffers: what waits in them, and whether they are damaged.
    ///
    /// What waits is told as the folder itself has it; the state of a pipeline may have settled a
    /// little more. Works beside a pipeline that runs.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Pipelines, all of whose disk buffers are meant; or folders, with all buffers below.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// As a table, or one JSON object in a line for each buffer.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Show a disk buffer, segment by segment. Exit code 1 when it is damaged.
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect {
        #[command(flatten)]
        place: Place,
        /// As a table, or as JSON.
        #[arg(long, value_enum, default_value_t = Form::Text)]
        format: Form,
    },
    /// Write the events of a disk buffer as JSON lines: as they came, unmasked.
    ///
    /// Only those that wait, unless told otherwise. Changes nothing, also beside a pipeline that
    /// runs.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        #[command(flatten)]
        place: Place,
        /// Also those that are settled and still there.
        #[arg(long)]
        all: bool,
        /// Write to this file, which must not be there yet; it is readable for its owner only.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make a damaged disk buffer whole again, as far as that goes, while nothing uses it.
    #[command(after_help = REPAIR_EXAMPLES)]
    Repair {
        #[command(flatten)]
        place: Place,
    },
}

/// A disk buffer, and what opens it.
#[derive(Args)]
pub(super) struct Place {
    /// The buffer's folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// The pipeline whose `encryption` has the keys.
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// The environment variable that holds the key.
    #[arg(long, value_name = "NAME", conflicts_with = "pipeline")]
    key_env: Option<String>,
}

impl Place {
    /// The folder, which is there; and the keys, if any were named.
    fn open(&self, own: &Components) -> Result<(&Path, Option<Keyring>), Failure> {
        if !self.folder.is_dir() {
            let folder = self.folder.display();
            return Err(Failure::fatal(
                "no_buffer",
                format!("there is no folder {folder}"),
            ));
        }
        let keys = match (&self.pipeline, &self.key_env) {
            (Some(file), _) => checked(file, own)?.encryption,
            (None, Some(name)) => Some(key_of(name)?),
            (None, None) => None,
        };
        Ok((&self.folder, keys))
    }
}

fn key_of(name: &str) -> Result<Keyring, Failure> {
    let refuse = |what: &str| Failure::fatal("bad_key", format!("the variable `{name}` {what}"));
    let text = Environment.get(name).ok_or_else(|| refuse("is not set"))?;
    let key = Key::parse(&text)
        .ok_or_else(|| refuse("holds no key: 32 bytes in base64, or 64 hexadecimal digits"))?;
    Keyring::new(key, Vec::new())
}

pub(super) fn buffer(command: Buffer, colour: Colour, own: &Components) -> ExitCode {
    let colour = show::colours(colour, &std::io::stdout());
    let done = match command {
        Buffer::List { paths, format } => list::list(&paths, format, colour, own),
        Buffer::Inspect { place, format } => inspect::inspect(&place, format, colour, own),
        Buffer::Export { place, all, output } => {
            export::export(&place, all, output.as_deref(), own)
        }
        Buffer::Repair { place } => repair::repair(&place, own),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            show::complain(&format!("error: {failure}\n"));
            ExitCode::FAILURE
        }
    }
}

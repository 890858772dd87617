//! The sink `file`: events as JSON lines in a file.
//!
//! `Ok` means that the operating system has the lines, which survives a crash of this program; with
//! `sync: batch` it means that they are on the disk, which survives a loss of power. A line is in
//! the file whole or not at all: what a write left halfway is cut off again, at once when the write
//! fails and at the next opening after a crash.

mod about;

pub use about::ABOUT;

use std::path::PathBuf;

use crate::codec::{LineFile, LineFileSettings, LineSync, LineWriter, is_half_event};
use crate::event::Batch;
use crate::failure::Failure;
use crate::layer::Kept;
use crate::setting::Fields;
use crate::stage::Sink;

/// The settings of a sink of type `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file; relative paths are relative to the working directory. Missing folders are made.
    pub path: PathBuf,
    /// Keep what is there already; default true. False empties the file at each start, so that it
    /// should not be combined with a source that goes on where it stopped.
    pub append: bool,
    /// When lines count as written; default: when the operating system has them.
    pub sync: LineSync,
}

impl Config {
    /// Reads the fields `path`, `append`, `sync` and `format`.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let path = fields.required::<PathBuf>("path");
        let folder = |path: &PathBuf| path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if path.as_ref().is_some_and(folder) {
            let span = fields.span_of("path");
            fields
                .error("bad-path", span, "`path` has to name a file, not a folder")
                .hint("put the name of the file behind the last `/`");
        }
        let append = fields.or("append", true);
        let sync = fields.choice(
            "sync",
            &[("none", LineSync::None), ("batch", LineSync::Batch)],
        );
        // The only format so far; a field all the same, so that files say what they mean.
        fields.choice("format", &[("json_lines", ())]);
        Some(Self {
            path: path?,
            append,
            sync: sync.unwrap_or_default(),
        })
    }
}

impl Config {
    /// What becomes of the lines.
    pub fn kept(&self) -> Kept {
        if !self.append {
            return Kept::UntilRestart;
        }
        let limit = match self.sync {
            LineSync::None => {
                Some("a loss of power may take lines (`sync: batch` does not lose them)")
            }
            LineSync::Batch => None,
        };
        Kept::Lasting {
            idempotent: None,
            limit,
        }
    }
}

/// Writes batches as lines, whole and in order.
#[derive(Clone)]
pub struct FileSink(LineWriter);

/// Opens the file as the sink `node`.
///
/// # Errors
/// `Fatal` when the file cannot be made, read or written, or when something else writes to it.
pub async fn open(config: &Config, node: &str) -> Result<FileSink, Failure> {
    let node = node.to_owned();
    let settings = LineFileSettings {
        path: config.path.clone(),
        append: config.append,
        sync: config.sync,
        is_half: is_half_event,
    };
    let opened = tokio::task::spawn_blocking(move || {
        LineWriter::start(&node, LineFile::open(&settings)?).map(FileSink)
    });
    opened.await.unwrap_or_else(|_| {
        let message = "opening the file met an error of its own";
        Err(Failure::fatal("open_failed", message))
    })
}

impl Sink for FileSink {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        self.0.write(batch).await
    }
}

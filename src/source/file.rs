//! The source `file`: a file, a folder of files, or those that a pattern names, once or followed.
//!
//! Files are read in order, one after the other. How far each was delivered is kept in the state
//! store, so that the next run goes on exactly there: files that were read are passed over while
//! they are unchanged, and one that has changed is read anew. A file that is damaged, changes under
//! the reader or cannot be opened is set aside with a dead letter, after the whole records before
//! the damage; it is read again once it changes.
//!
//! With `read: follow`, plain files are read as they grow, up to the last whole record: a last line
//! without its line break waits for it. A renamed file keeps its place under its new name, if that
//! is listed, too. Compressed files are read once they have kept still for one `poll`.

mod about;

pub use about::ABOUT;

mod cursor;
mod listing;
mod opened;
mod reading;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Format, globs};
use crate::clock::Wall;
use crate::codec::{Compression, Feed, Limits};
use crate::diagnostic::Span;
use crate::event::PathSet;
use crate::failure::Failure;
use crate::layer::{Finding, Grade};
use crate::observe::Progress;
use crate::setting::{Fields, Node};
use crate::stage::{Checkpoint, Delivery, Source};
use listing::Listing;
use reading::{Mark, Reading};

/// The settings of a source of type `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A file, a folder, or a pattern (`exports/**/*.json.gz`). Relative to the working directory.
    pub path: PathBuf,
    /// Look into folders of the folder, too; default false. A pattern says that by itself.
    pub recursive: bool,
    /// Default: once.
    pub read: ReadMode,
    /// How often to look for more when following; default 1 s.
    pub poll: Duration,
    /// Only files that one of these patterns names; default all. A pattern without `/` is about
    /// the file's name, one with it about the path below the folder.
    pub include: Vec<String>,
    /// No files that one of these patterns names; default none.
    pub exclude: Vec<String>,
    /// Default: by name.
    pub order: Order,
    /// How the records lie in the files. Where nothing is said, `compression` is what the name says
    /// (`.gz`, `.zst`), or else the first bytes.
    pub format: Format,
}

/// Whether there is an end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// What is there at the start is read, and then the input has ended.
    #[default]
    Once,
    /// New files, and what is appended to plain ones, are read as they come.
    Follow,
}

/// Which file comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By path, byte for byte.
    #[default]
    Name,
    /// By the time of the last change, oldest first.
    Modified,
}

impl Config {
    /// Everything at its default.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            recursive: false,
            read: ReadMode::default(),
            poll: Duration::from_secs(1),
            include: Vec::new(),
            exclude: Vec::new(),
            order: Order::default(),
            format: Format {
                framing: Default::default(),
                compression: Compression::Auto,
                limits: Limits {
                    block_records: 1000,
                    ..Limits::default()
                },
            },
        }
    }

    /// Reads the fields `path`, `recursive`, `read`, `poll`, `include`, `exclude`, `order` and those
    /// of [`Format`].
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let path = fields.required::<PathBuf>("path");
        let mut config = Self::new(path.clone().unwrap_or_default());
        config.recursive = fields.or("recursive", config.recursive);
        let modes = [("once", ReadMode::Once), ("follow", ReadMode::Follow)];
        config.read = fields.choice("read", &modes).unwrap_or_default();
        config.poll = fields.or("poll", config.poll);
        if config.poll.is_zero() {
            let span = fields.span_of("poll");
            fields.error("out-of-range", span, "`poll` has to be longer than nothing");
        }
        config.include = fields.or("include", config.include);
        config.exclude = fields.or("exclude", config.exclude);
        let orders = [("name", Order::Name), ("modified", Order::Modified)];
        config.order = fields.choice("order", &orders).unwrap_or_default();
        config.format = Format::check(fields, Compression::Auto);
        config.check_patterns(fields);
        path.map(|_| config)
    }

    /// The same, reading this once. Which files are wanted is asked where it is a folder.
    pub(super) fn fed_from(&self, path: &std::path::Path) -> Self {
        let is_folder = path.is_dir();
        let kept = |patterns: &Vec<String>| match is_folder {
            true => patterns.clone(),
            false => Vec::new(),
        };
        Self {
            path: path.to_owned(),
            read: ReadMode::Once,
            include: kept(&self.include),
            exclude: kept(&self.exclude),
            ..self.clone()
        }
    }

    fn check_patterns(&self, fields: &mut Fields<'_>) {
        for (name, patterns) in [("include", &self.include), ("exclude", &self.exclude)] {
            let items = fields.node(name).and_then(Node::as_list).unwrap_or(&[]);
            for (pattern, item) in patterns.iter().zip(items) {
                let one = std::slice::from_ref(pattern);
                if let Err(reason) = globs(one) {
                    refuse(&reason, item.span, fields);
                }
            }
        }
        // Without looking whether such a file exists: a check does no I/O.
        if let Err(reason) = listing::check_pattern(&self.path) {
            refuse(&reason, fields.span_of("path"), fields);
        }
    }
}

fn refuse(reason: &str, span: Span, fields: &mut Fields<'_>) {
    let message = format!("not a pattern of file names: {reason}");
    fields
        .error("bad-glob", span, message)
        .hint("`*`, `?`, `[` and `{` are signs of patterns; as a letter of its own write `[[]`");
}

/// Opens the files as the source `node`. `paths` are those that the pipeline looks up; `cursor` is
/// what the store keeps for this source, `wall` dates what is read.
///
/// # Errors
/// `Fatal` when the file or folder is not there.
pub fn open(
    config: &Config,
    node: &str,
    paths: Arc<PathSet>,
    cursor: Vec<Checkpoint>,
    progress: Progress,
    wall: Wall,
) -> Result<Box<dyn Source>, Failure> {
    let listing = listing(config)?;
    if config.read == ReadMode::Follow {
        progress.unbounded();
    }
    let (config, source, shown) = (config.clone(), Arc::from(node), progress.clone());
    let feed = Feed::start(node, paths, None, move |outlet| {
        Reading::new(config, listing, source, cursor, progress, outlet, wall).run();
    })?;
    Ok(Box::new(FileSource {
        feed,
        progress: shown,
    }))
}

/// What is to be read, once there is something to look into.
fn listing(config: &Config) -> Result<Listing, Failure> {
    let listing = Listing::new(config).map_err(|reason| {
        let message = format!("not a pattern of file names: {reason}");
        Failure::fatal("bad_pattern", message)
    })?;
    listing.probe()?;
    Ok(listing)
}

/// Whether there is anything to read, in a sentence.
pub(super) fn probe(config: &Config) -> Finding {
    match listing(config) {
        Ok(_) => Finding::new(Grade::Good, "the file or folder is there"),
        Err(failure) => Finding::new(Grade::Error, failure.losses()[0].cause.message.clone()),
    }
}

/// Files, one after the other.
struct FileSource {
    feed: Feed<Mark>,
    progress: Progress,
}

impl Source for FileSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async {
            let Some(fed) = self.feed.next().await.transpose()? else {
                return Ok(None);
            };
            let (decoded, mark) = (fed.decoded, fed.mark);
            self.progress.bytes_done(mark.bytes);
            self.progress.files_done(mark.files);
            self.progress.records(decoded.records() - mark.notes);
            Ok(Some(Delivery {
                refused: decoded.refused,
                checkpoints: mark.checkpoint.into_iter().collect(),
                ..Delivery::new(decoded.batch)
            }))
        }
        .boxed()
    }
}

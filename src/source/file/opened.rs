//! A file that is being read: where to begin in it, and how its reading ended.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::cursor::{Cursor, Cursors, Verdict, modified};
use super::listing::{Found, id};
use super::{Config, ReadMode};
use crate::codec::{Compression, Fingerprint, Position, ReadError, Reader};

/// A file that is open, and how to read it.
pub(super) struct Opened {
    file: File,
    /// Its path, as events and letters show it.
    pub object: Arc<str>,
    /// As it was when it was opened; the position is where to begin.
    pub cursor: Cursor,
    compression: Compression,
    /// What is appended will be read, too.
    pub tail: bool,
}

/// How the reading of one file ended.
pub(super) enum End {
    /// At its end.
    Whole,
    /// Where more may be appended.
    Waiting,
    /// In the middle: reason and detail.
    Damaged(&'static str, String),
}

/// The end of a followed file is not the end of the stream: it has no more for now.
pub(super) struct Tail<'a> {
    file: &'a File,
    follow: bool,
}

impl Read for Tail<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.file.read(into) {
            Ok(0) if self.follow && !into.is_empty() => Err(ErrorKind::WouldBlock.into()),
            read => read,
        }
    }
}

/// What the configuration says, or the name, or the first bytes; `None` where they are too few.
/// The name goes before the bytes: what is called an archive and is none is damaged.
pub(super) fn compression(config: &Config, path: &Path, head: &[u8]) -> Option<Compression> {
    let name = path.extension().and_then(|name| name.to_str());
    match (config.format.compression, name) {
        (Compression::Auto, Some("gz")) => Some(Compression::Gzip),
        (Compression::Auto, Some("zst" | "zstd")) => Some(Compression::Zstd),
        (Compression::Auto, _) => Compression::detect(head),
        (said, _) => Some(said),
    }
}

impl Opened {
    /// Opens a file and finds out where to begin; `None` where there is nothing new in it.
    pub(super) fn open(
        found: &Found,
        config: &Config,
        cursors: &Cursors,
    ) -> io::Result<Option<Self>> {
        let file = File::open(&found.path)?;
        let metadata = file.metadata()?;
        let mut head = Vec::new();
        let most = Fingerprint::HEAD_BYTES as u64;
        (&file).take(most).read_to_end(&mut head)?;
        let compression = compression(config, &found.path, &head).unwrap_or(Compression::None);
        let mut cursor = Cursor {
            fingerprint: Fingerprint::of(&head, metadata.len()),
            id: id(&metadata),
            modified: modified(&metadata),
            position: Position::default(),
            done: false,
            damaged: false,
            compressed: compression != Compression::None,
        };
        match verdict(cursors.get(found.key()), &head, &cursor) {
            Verdict::Skip => return Ok(None),
            Verdict::New => {}
            Verdict::Resume(position) => cursor.position = position,
            Verdict::Changed => {
                let path = found.path.display();
                tracing::warn!(%path, "the file changed since it was read: it is read anew");
            }
        }
        let mut opened = Self {
            object: Arc::from(found.path.to_string_lossy()),
            tail: config.read == ReadMode::Follow && !cursor.compressed,
            file,
            cursor,
            compression,
        };
        opened.file.seek(SeekFrom::Start(opened.begin()))?;
        Ok(Some(opened))
    }

    /// Bytes of the file that are not read because they were before.
    pub(super) fn begin(&self) -> u64 {
        // Inside an archive there is no other way than from its beginning.
        if self.cursor.compressed {
            0
        } else {
            self.cursor.position.offset
        }
    }

    pub(super) fn reader(&self, config: &Config) -> Reader<Tail<'_>> {
        let tail = Tail {
            file: &self.file,
            follow: self.tail,
        };
        let format = config.format;
        let (at, positioned) = (self.cursor.position, !self.cursor.compressed);
        let (compression, framing) = (self.compression, format.framing);
        Reader::resume(tail, compression, framing, format.limits, at, positioned).fill()
    }

    /// At the end of the file: whether it is still what it was when it was opened.
    pub(super) fn at_end(&self) -> End {
        let before = (self.cursor.fingerprint.length, self.cursor.modified);
        match self.file.metadata() {
            Ok(now) if (now.len(), modified(&now)) == before => End::Whole,
            Ok(now) => {
                let (before, now) = (before.0, now.len());
                let detail = format!(
                    "the file changed while it was read: {before} bytes at first, {now} at the end"
                );
                End::Damaged("file_changed", detail)
            }
            Err(error) => End::Damaged("file_unreadable", error.to_string()),
        }
    }

    pub(super) fn broken_off(&self, error: ReadError) -> End {
        match error {
            ReadError::Io(error) if self.tail && error.kind() == ErrorKind::WouldBlock => {
                End::Waiting
            }
            ReadError::Io(error) => End::Damaged("file_unreadable", error.to_string()),
            error @ ReadError::Corrupt { .. } => End::Damaged("corrupt_file", error.to_string()),
        }
    }
}

fn verdict(before: Option<&Cursor>, head: &[u8], now: &Cursor) -> Verdict {
    let Some(before) = before else {
        return Verdict::New;
    };
    let length = now.fingerprint.length;
    let likeness = before.fingerprint.likeness(head, length);
    match before.verdict(likeness, now.modified) {
        // It was shorter for a while.
        Verdict::Resume(at) if !now.compressed && at.offset > length => Verdict::Changed,
        verdict => verdict,
    }
}

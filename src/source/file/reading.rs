//! The thread that reads files: one after the other, each from where it was left.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use super::cursor::{Cursor, Cursors};
use super::listing::{Found, Listing, id};
use super::opened::{End, Opened, compression};
use super::{Config, ReadMode};
use crate::clock::Wall;
use crate::codec::{Block, Compression, Outlet, Piece, Position, letter_about, provenance_at};
use crate::event;
use crate::failure::Failure;
use crate::observe::Progress;
use crate::stage::{Checkpoint, Letter};

/// What goes with a piece.
#[derive(Default)]
pub(super) struct Mark {
    pub checkpoint: Option<Checkpoint>,
    /// Bytes read since the last piece, as stored.
    pub bytes: u64,
    /// Files that ended with it.
    pub files: u64,
    /// Letters of the piece that are about no record.
    pub notes: u64,
}

/// Why the thread ends before its files do.
pub(super) enum Stop {
    /// Nobody wants more.
    Unwanted,
    /// The run cannot go on.
    Failed(Failure),
}

/// What a followed file looked like when it was last looked at.
struct Seen {
    length: u64,
    modified: u64,
    /// It was read as it is.
    read: bool,
}

pub(super) struct Reading {
    pub config: Config,
    pub listing: Listing,
    pub source: Arc<str>,
    pub cursors: Cursors,
    pub progress: Progress,
    pub outlet: Outlet<Mark>,
    wall: Wall,
    seen: HashMap<Vec<u8>, Seen>,
}

impl Reading {
    pub(super) fn new(
        config: Config,
        listing: Listing,
        source: Arc<str>,
        kept: Vec<Checkpoint>,
        progress: Progress,
        outlet: Outlet<Mark>,
        wall: Wall,
    ) -> Self {
        Self {
            config,
            listing,
            source,
            cursors: Cursors::new(kept),
            progress,
            outlet,
            wall,
            seen: HashMap::new(),
        }
    }

    /// Reads all there is, or with `follow` until nobody wants more.
    pub(super) fn run(mut self) {
        let follow = self.config.read == ReadMode::Follow;
        let stop = loop {
            match self.pass() {
                Ok(()) if !follow => return,
                Ok(()) if self.outlet.pause(self.config.poll) => {}
                Ok(()) => return,
                Err(stop) => break stop,
            }
        };
        if let Stop::Failed(failure) = stop {
            self.outlet.fail(failure);
        }
    }

    /// Looks at all files once.
    fn pass(&mut self) -> Result<(), Stop> {
        let files = self.listing.list().map_err(Stop::Failed)?;
        if self.config.read == ReadMode::Once {
            let bytes = files.iter().map(|found| found.length).sum();
            self.progress.add_total(files.len() as u64, bytes);
            if files.is_empty() {
                let path = self.config.path.display();
                tracing::warn!(source = %self.source, %path, "there is no file to read");
            }
        }
        // Renamed files first: once one is read under its old name, its place is gone.
        for found in &files {
            let now = |path: &[u8]| fs::metadata(path_of(path)?).ok().map(|now| id(&now));
            self.cursors.adopt(found.key(), found.id, now);
        }
        for found in &files {
            if self.config.read == ReadMode::Once || self.stirred(found) {
                self.file(found)?;
            }
        }
        if self.config.read == ReadMode::Follow {
            let listed: HashSet<&[u8]> = files.iter().map(Found::key).collect();
            self.cursors.retain(|path| listed.contains(path));
            self.seen.retain(|path, _| listed.contains(&path[..]));
        }
        Ok(())
    }

    /// Whether a followed file has to be looked into: it is not as it was when it was read.
    fn stirred(&mut self, found: &Found) -> bool {
        let seen = self.seen.get(found.key());
        let same = |seen: &&Seen| (seen.length, seen.modified) == (found.length, found.modified);
        if seen.is_some_and(|seen| seen.read && same(&seen)) {
            return false;
        }
        // An archive is read when it has kept still from one look to the next: before that it is
        // likely to be half written. Plain files are read as they grow.
        let read = seen.as_ref().is_some_and(same) || !self.looks_compressed(&found.path);
        let now = Seen {
            length: found.length,
            modified: found.modified,
            read,
        };
        self.seen.insert(found.key().to_vec(), now);
        read
    }

    fn looks_compressed(&self, path: &Path) -> bool {
        let mut head = Vec::new();
        let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut head));
        // Three bytes may be the beginning of anything.
        read.is_ok() && compression(&self.config, path, &head) != Some(Compression::None)
    }

    fn file(&mut self, found: &Found) -> Result<(), Stop> {
        match Opened::open(found, &self.config, &self.cursors) {
            Ok(Some(opened)) => self.read(found, &opened),
            Ok(None) => {
                self.progress.skipped(1, found.length);
                Ok(())
            }
            Err(error) => {
                let reason = match error.kind() {
                    ErrorKind::NotFound => "file_vanished",
                    _ => "file_unreadable",
                };
                let detail = format!("cannot read `{}`: {error}", found.path.display());
                let object = Arc::from(found.path.to_string_lossy());
                let letter = self.letter(reason, detail, event::Position::default(), &object);
                let mark = Mark {
                    bytes: found.length,
                    files: 1,
                    notes: 1,
                    ..Mark::default()
                };
                self.send(None, vec![letter], &object, mark)
            }
        }
    }

    fn read(&mut self, found: &Found, opened: &Opened) -> Result<(), Stop> {
        let mut reader = opened.reader(&self.config);
        let mut unread = found.length;
        let mut told = 0;
        // What was read before the position counts, too.
        let mut bytes = opened.begin();
        // One block is held back: the last one of a file carries the note that the file is done.
        let mut held: Option<(Block, u64)> = None;
        let end = loop {
            let next = reader.next_block();
            let taken = reader.compressed_bytes_read();
            bytes += taken - std::mem::replace(&mut told, taken);
            match next {
                Ok(Some(block)) => {
                    let news = std::mem::take(&mut bytes);
                    if let Some((block, bytes)) = held.replace((block, news)) {
                        unread = unread.saturating_sub(bytes);
                        self.part(found, opened, block, bytes)?;
                    }
                }
                Ok(None) => break opened.at_end(),
                Err(error) => break opened.broken_off(error),
            }
        };
        let (block, last) = held.map_or((None, 0), |(block, bytes)| (Some(block), bytes));
        if !opened.tail {
            bytes = unread.saturating_sub(last);
        }
        self.last(found, opened, (block, last + bytes), reader.position(), end)
    }

    /// A block with more behind it.
    fn part(
        &mut self,
        found: &Found,
        opened: &Opened,
        block: Block,
        bytes: u64,
    ) -> Result<(), Stop> {
        let cursor = Cursor {
            position: block.end,
            ..opened.cursor
        };
        let mark = Mark {
            checkpoint: self.cursors.put(found.key(), cursor),
            bytes,
            ..Mark::default()
        };
        self.send(Some(block), Vec::new(), &opened.object, mark)
    }

    /// The last block, if there is any, and how the file ended.
    fn last(
        &mut self,
        found: &Found,
        opened: &Opened,
        (block, bytes): (Option<Block>, u64),
        position: Position,
        end: End,
    ) -> Result<(), Stop> {
        let waiting = matches!(end, End::Waiting);
        if waiting && block.is_none() && position == opened.cursor.position {
            return Ok(());
        }
        let mut letters = Vec::new();
        if let End::Damaged(reason, detail) = end {
            let path = found.path.display();
            tracing::warn!(source = %self.source, %path, reason, detail, "file set aside");
            let place = event::Position {
                line: position.line,
                offset: position.offset,
            };
            letters.push(self.letter(reason, detail, place, &opened.object));
        }
        let cursor = Cursor {
            position,
            done: !waiting,
            damaged: !letters.is_empty(),
            ..opened.cursor
        };
        let mark = Mark {
            checkpoint: self.cursors.put(found.key(), cursor),
            bytes,
            files: u64::from(!waiting),
            notes: letters.len() as u64,
        };
        self.send(block, letters, &opened.object, mark)
    }

    fn from(&self, object: &Arc<str>) -> Arc<event::Provenance> {
        provenance_at(&self.source, object, &self.wall)
    }

    fn letter(
        &self,
        reason: &'static str,
        detail: String,
        place: event::Position,
        object: &Arc<str>,
    ) -> Letter {
        letter_about(reason, detail, place, &self.from(object))
    }

    fn send(
        &self,
        block: Option<Block>,
        letters: Vec<Letter>,
        object: &Arc<str>,
        mark: Mark,
    ) -> Result<(), Stop> {
        let piece = Piece {
            block,
            letters,
            from: self.from(object),
            mark,
        };
        match self.outlet.send(piece) {
            true => Ok(()),
            false => Err(Stop::Unwanted),
        }
    }
}

/// A path from the key under which it is kept.
fn path_of(key: &[u8]) -> Option<&Path> {
    use std::os::unix::ffi::OsStrExt;
    Some(Path::new(std::ffi::OsStr::from_bytes(key)))
}

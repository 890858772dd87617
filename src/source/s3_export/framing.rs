//! The thread that makes records of bytes: one object after the other, each from where it was left.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::flow::{Item, Note, Work};
use super::memory::{End, Place};
use crate::client::bucket::ReadError;
use crate::codec::{
    self, Block, Compression, Outlet, Piece, Position, Reader, letter_about, provenance,
};
use crate::event;
use crate::failure::{Failure, Kind};
use crate::source::Format;
use crate::stage::Letter;

/// So many objects in a row that may not be read are no matter of single objects.
const MOST_DENIED: u32 = 10;

/// What goes with a piece.
pub(super) struct Mark {
    pub note: Note,
    /// Bytes read since the last piece, as stored.
    pub bytes: u64,
    /// Letters of the piece that are about no record.
    pub notes: u64,
}

/// Why the thread ends before its objects do.
enum Stop {
    /// Nobody wants more.
    Unwanted,
    Failed(Failure),
}

/// What a letter about an object says: reason and detail.
type Told = (&'static str, String);

/// The bytes of one object.
struct Ranges<'a> {
    items: &'a mut mpsc::Receiver<Item>,
    current: Bytes,
    share: Option<OwnedSemaphorePermit>,
    ended: bool,
    /// Nobody fetches any more.
    closed: bool,
    failed: Option<ReadError>,
    taken: u64,
}

impl<'a> Ranges<'a> {
    fn new(items: &'a mut mpsc::Receiver<Item>) -> Self {
        Self {
            items,
            current: Bytes::new(),
            share: None,
            ended: false,
            closed: false,
            failed: None,
            taken: 0,
        }
    }

    /// Has the next bytes at hand, where there are any.
    fn fill(&mut self) -> io::Result<()> {
        while self.current.is_empty() && !self.ended {
            self.share = None;
            if self.failed.is_some() || self.closed {
                return Err(io::Error::other("the object cannot be read"));
            }
            match self.items.blocking_recv() {
                Some(Item::Range(answer)) => match answer.blocking_recv() {
                    Ok(Ok(fetched)) => {
                        self.taken += fetched.bytes.len() as u64;
                        (self.current, self.share) = (fetched.bytes, Some(fetched.share));
                    }
                    Ok(Err(error)) => self.failed = Some(error),
                    Err(_) => self.closed = true,
                },
                Some(Item::End) => self.ended = true,
                // Between a beginning and its end there are ranges only.
                Some(_) | None => self.closed = true,
            }
        }
        Ok(())
    }

    /// Passes over what was fetched for nothing.
    fn drain(&mut self) {
        (self.current, self.share) = (Bytes::new(), None);
        while !self.ended && !self.closed {
            match self.items.blocking_recv() {
                Some(Item::End) => self.ended = true,
                Some(_) => {}
                None => self.closed = true,
            }
        }
    }
}

impl Read for Ranges<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let count = into.len().min(self.current.len());
        into[..count].copy_from_slice(&self.current[..count]);
        self.current.advance(count);
        Ok(count)
    }
}

pub(super) struct Framing {
    pub format: Format,
    pub source: Arc<str>,
    /// What stands in front of keys in the names of objects.
    pub bucket: String,
    pub outlet: Outlet<Mark>,
    /// Objects that could not be read, in a row.
    pub denied: u32,
    /// Whether there will be another listing.
    pub again: bool,
}

impl Framing {
    /// Reads all there is.
    pub(super) fn run(mut self, mut items: mpsc::Receiver<Item>) {
        while let Some(item) = items.blocking_recv() {
            let read = match item {
                Item::Begin(work) => self.object(&work, &mut items),
                Item::Note(note) => self.note(note),
                Item::Fail(failure) => Err(Stop::Failed(failure)),
                // An object takes its ranges and its end with it.
                Item::Range(_) | Item::End => Ok(()),
            };
            match read {
                Ok(()) => {}
                Err(Stop::Unwanted) => return,
                Err(Stop::Failed(failure)) => return self.outlet.fail(failure),
            }
        }
    }

    fn note(&self, note: Note) -> Result<(), Stop> {
        let Note::Letter(notice, _) = &note else {
            return self.send(None, Vec::new(), &Arc::default(), note, 0);
        };
        let object: Arc<str> = match &notice.key {
            Some(key) => format!("{}/{key}", self.bucket).into(),
            None => self.bucket.as_str().into(),
        };
        let from = provenance(&self.source, &object);
        let place = event::Position::default();
        let letter = letter_about(notice.reason, notice.detail.clone(), place, &from);
        self.send(None, vec![letter], &object, note, 0)
    }

    fn object(&mut self, work: &Arc<Work>, items: &mut mpsc::Receiver<Item>) -> Result<(), Stop> {
        let object: Arc<str> = format!("{}/{}", self.bucket, work.object.key).into();
        let mut ranges = Ranges::new(items);
        let compression = self.compression(work, &mut ranges);
        let plain = compression == Compression::None;
        let at = work
            .from
            .map_or_else(Position::default, |place| place.position);
        let (framing, limits) = (self.format.framing, self.format.limits);
        let positioned = work.from.is_some_and(|place| place.plain);
        let mut reader =
            Reader::resume(&mut ranges, compression, framing, limits, at, positioned).fill();
        // What was read before the place to begin at was counted when the object was found.
        let (mut told, mut news) = (0, 0);
        // One block is held back: the last one of an object carries the note that it is done.
        let mut held: Option<(Block, u64)> = None;
        let end = loop {
            let next = reader.next_block();
            let taken = reader.compressed_bytes_read();
            news += taken - std::mem::replace(&mut told, taken);
            match next {
                Ok(Some(block)) => {
                    let bytes = std::mem::take(&mut news);
                    if let Some((block, bytes)) = held.replace((block, bytes)) {
                        let position = block.end;
                        let note = Note::Part(work.clone(), Place { position, plain });
                        self.send(Some(block), Vec::new(), &object, note, bytes)?;
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let position = reader.position();
        drop(reader);
        work.give_up();
        ranges.drain();
        let (closed, failed) = (ranges.closed, ranges.failed.take());
        if closed {
            return Err(Stop::Unwanted);
        }
        let begun = held.is_some() || position != at || at != Position::default();
        let (end, letter) = self.ended(work, end, failed, begun)?;
        let letters = letter.map(|(reason, detail)| {
            tracing::warn!(source = %self.source, %object, reason, detail, "object set aside");
            let place = event::Position {
                line: position.line,
                offset: position.offset,
            };
            letter_about(reason, detail, place, &provenance(&self.source, &object))
        });
        let (block, bytes) = held.map_or((None, 0), |(block, bytes)| (Some(block), bytes));
        let note = Note::End(work.clone(), end);
        self.send(
            block,
            letters.into_iter().collect(),
            &object,
            note,
            bytes + news,
        )
    }

    /// What the configuration says, or the name, or the first bytes. The name goes before the bytes:
    /// what is called an archive and is none is damaged.
    fn compression(&self, work: &Work, ranges: &mut Ranges<'_>) -> Compression {
        let name = work.object.key.rsplit_once('.').map(|(_, name)| name);
        match (self.format.compression, name) {
            _ if work.from.is_some_and(|place| place.plain) => Compression::None,
            (Compression::Auto, Some("gz")) => Compression::Gzip,
            (Compression::Auto, Some("zst" | "zstd")) => Compression::Zstd,
            (Compression::Auto, _) => {
                // A failure comes again when it is read.
                let _ = ranges.fill();
                Compression::detect(&ranges.current).unwrap_or(Compression::None)
            }
            (said, _) => said,
        }
    }

    /// How an object ended, and what its letter says. `begun`: something of it was handed over.
    fn ended(
        &mut self,
        work: &Work,
        end: Option<codec::ReadError>,
        failed: Option<ReadError>,
        begun: bool,
    ) -> Result<(End, Option<Told>), Stop> {
        let denied = std::mem::take(&mut self.denied);
        let aside = |reason, detail: &str| Ok((End::Aside, Some((reason, detail.to_owned()))));
        match (failed, end) {
            (None, None) => Ok((End::Done, None)),
            (None, Some(error)) => aside("corrupt_object", &error.to_string()),
            (Some(ReadError::Changed), _) if !begun && self.again => Ok((End::Again, None)),
            (Some(ReadError::Changed), _) => {
                aside("object_changed", "the object changed while it was read")
            }
            (Some(ReadError::Gone), _) => aside(
                "object_gone",
                "the object was taken away before it was read",
            ),
            (Some(ReadError::Denied(failure)), _) => {
                self.denied = denied + 1;
                if self.denied >= MOST_DENIED {
                    let message = format!("{MOST_DENIED} objects in a row: {failure}");
                    return Err(Stop::Failed(Failure::fatal("object_denied", message)));
                }
                let told = (!work.told).then(|| ("object_denied", failure.to_string()));
                Ok((End::Denied, told))
            }
            (Some(ReadError::Failed(failure)), _) if failure.kind() == Kind::Rejected => {
                let reason = failure
                    .losses()
                    .first()
                    .map_or("object_unreadable", |loss| loss.cause.reason);
                // Archived objects, for one, may be brought back.
                let told = (!work.told).then(|| (reason, failure.to_string()));
                Ok((End::Denied, told))
            }
            (Some(ReadError::Failed(failure)), _) => Err(Stop::Failed(failure)),
        }
    }

    fn send(
        &self,
        block: Option<Block>,
        letters: Vec<Letter>,
        object: &Arc<str>,
        note: Note,
        bytes: u64,
    ) -> Result<(), Stop> {
        let mark = Mark {
            note,
            bytes,
            notes: letters.len() as u64,
        };
        let piece = Piece {
            block,
            letters,
            from: provenance(&self.source, object),
            mark,
        };
        match self.outlet.send(piece) {
            true => Ok(()),
            false => Err(Stop::Unwanted),
        }
    }
}

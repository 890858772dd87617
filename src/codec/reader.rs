//! The reader: one buffer, filled from the input and handed over block by block.

use super::decompress::Decompress;
use super::framer::{BOM, Framer, Output, Tail, Window};
use super::{Block, Compression, Framing, Limits, Position, ReadError, Reason, Refused};
use std::io::Read;

/// Bytes of room for one read of a pipe or a socket, and the least that a file is read by.
const SPARE_BYTES: usize = 256 << 10;
/// Least that a file's block is framed from, and by how much more where no record ends in it.
const STEP_BYTES: usize = 64 << 10;
/// Room for one record in the window of a file's block.
const LIKELY_BYTES: usize = 1 << 10;

/// Frames a byte stream into blocks of records.
///
/// By default a block is what one read of the input completed: nothing waits for more to come. For
/// files, which never make anybody wait, see [`Reader::fill`].
pub struct Reader<R: Read> {
    input: Decompress<R>,
    framer: Framer,
    limits: Limits,
    fill: bool,
    /// Initialised throughout; `start..filled` has been read and not yet consumed.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    /// Where `start` is.
    at: Position,
    tail: Tail,
    /// Comes after what is still to be delivered.
    failure: Option<ReadError>,
    /// Decompressed bytes to pass over before the first block.
    discard: u64,
    /// Size and number of records of the last block: the best guess at the next one.
    last: (usize, usize),
    /// When filling: bytes behind `start` that the next block is framed from, no more and no fewer.
    window: usize,
}

impl<R: Read> Reader<R> {
    /// Reads nothing yet.
    pub fn open(input: R, compression: Compression, framing: Framing, limits: Limits) -> Self {
        Reader::resume(
            input,
            compression,
            framing,
            limits,
            Position::default(),
            false,
        )
    }

    /// Goes on at a [`Block::end`] of an earlier reader of the same stream.
    ///
    /// `positioned` says that the input already stands at `at.offset`, which is possible only
    /// without compression. Otherwise it is read from its beginning up to there.
    pub fn resume(
        input: R,
        compression: Compression,
        framing: Framing,
        limits: Limits,
        at: Position,
        positioned: bool,
    ) -> Self {
        let compression = if positioned {
            Compression::None
        } else {
            compression
        };
        let limits = limits.within_range();
        Reader {
            input: Decompress::new(input, compression),
            framer: Framer::new(framing, at.place),
            limits,
            fill: false,
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            at,
            tail: Tail::More,
            failure: None,
            discard: if positioned { 0 } else { at.offset },
            last: (0, 0),
            window: first_window(limits),
        }
    }

    /// Makes blocks as large as the limits allow, with as many reads as that takes. For inputs that
    /// answer at once, such as files.
    ///
    /// Blocks are then cut in the same places each time, also after [`Reader::resume`]: what stages
    /// make of a batch as a whole does not depend on where an earlier run was interrupted.
    pub fn fill(mut self) -> Self {
        self.fill = true;
        self
    }

    /// Compressed bytes taken from the input so far, to show progress.
    pub fn compressed_bytes_read(&self) -> u64 {
        self.input.bytes_read()
    }

    /// Bytes of memory that the buffer takes.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Where the next block begins.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The next records, `None` at the end of the stream.
    ///
    /// An error comes after everything whole before it. After `Corrupt` the stream is at its end.
    pub fn next_block(&mut self) -> Result<Option<Block>, ReadError> {
        self.pass_over()?;
        loop {
            if let Some(block) = self.scan() {
                return Ok(Some(block));
            }
            if self.fill && self.held_bytes() >= self.window {
                // Not one whole record in all that.
                self.window += STEP_BYTES;
                continue;
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.tail != Tail::More {
                return Ok(None);
            }
            self.read();
        }
    }

    fn held_bytes(&self) -> usize {
        self.filled - self.start
    }

    /// Whether a file's block has to wait for more of its window to be read.
    fn is_little(&self) -> bool {
        let open = self.tail == Tail::More && self.failure.is_none();
        self.fill && open && self.held_bytes() < self.window
    }

    /// Discards what lies before the position to resume from.
    fn pass_over(&mut self) -> Result<(), ReadError> {
        while self.discard > 0 {
            self.reserve(SPARE_BYTES);
            let most = usize::try_from(self.discard)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            let count = match self.input.read(&mut self.buffer[..most]) {
                Ok(count) if count > 0 => count,
                Err(ReadError::Io(error)) => return Err(ReadError::Io(error)),
                broken => {
                    self.tail = Tail::Broken;
                    let offset = self.at.offset - std::mem::take(&mut self.discard);
                    let compressed_offset = self.input.bytes_read();
                    let what = "it is shorter than what has been read of it before".to_owned();
                    broken?;
                    return Err(ReadError::Corrupt {
                        what,
                        offset,
                        compressed_offset,
                    });
                }
            };
            self.discard -= count as u64;
        }
        Ok(())
    }

    /// Makes `count` bytes of room behind what is in the buffer.
    fn reserve(&mut self, count: usize) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.start = 0;
        }
        if self.buffer.is_empty() {
            // Zeroed by the system page by page, as far as it is used.
            self.buffer = vec![0; count];
        } else if self.buffer.len() < self.filled + count {
            self.buffer.resize(self.filled + count, 0);
        }
    }

    /// Bytes to read on top of `held` ones.
    fn room(&self, held: usize) -> usize {
        if self.fill {
            self.window.saturating_sub(held).max(1)
        } else {
            // An input that has a whole block ready gives it in one read.
            self.likely_bytes().saturating_sub(held).max(SPARE_BYTES)
        }
    }

    /// Bytes that a full block takes if its records are like those of the last one; 0 before that.
    fn likely_bytes(&self) -> usize {
        let (bytes, records) = self.last;
        let likely = bytes
            .saturating_mul(self.limits.block_records)
            .checked_div(records);
        likely.unwrap_or(0).min(self.limits.block_bytes)
    }

    /// One read, or when filling, as many as make a block.
    fn read(&mut self) {
        let room = self.room(self.held_bytes());
        self.reserve(room);
        let end = self.filled + room;
        loop {
            match self.input.read(&mut self.buffer[self.filled..end]) {
                Ok(0) => self.tail = Tail::End,
                Ok(count) => {
                    self.filled += count;
                    if self.fill && self.filled < end {
                        continue;
                    }
                }
                Err(failure) => {
                    // An input may recover, a decoder does not.
                    if matches!(failure, ReadError::Corrupt { .. }) {
                        self.tail = Tail::Broken;
                    }
                    self.failure = Some(failure);
                }
            }
            return;
        }
    }

    /// Frames what is in the buffer.
    fn scan(&mut self) -> Option<Block> {
        if self.at.offset == 0 && !self.skip_bom() {
            return None;
        }
        while (self.start < self.filled || self.tail != Tail::More) && !self.is_little() {
            let mut bytes = &self.buffer[self.start..self.filled];
            let mut tail = self.tail;
            // What lies behind the window is as good as unread, be it the end: it may be in memory
            // or not, depending on what came before.
            if self.fill && bytes.len() >= self.window {
                (bytes, tail) = (&bytes[..self.window], Tail::More);
            }
            let record_bytes = self.limits.record_bytes;
            let window = Window {
                bytes,
                tail,
                record_bytes,
            };
            let mut output = Output::new(self.at, self.limits.block_records, self.last.1 + 8);
            let used = self.framer.scan(window, &mut output);
            output.advance(bytes, used);
            self.at = Position {
                place: self.framer.place(),
                ..output.at
            };
            if !output.is_empty() {
                return Some(self.hand_over(used, output));
            }
            self.start += used;
            if used == 0 {
                break;
            }
        }
        None
    }

    /// Steps over a byte order mark; false while it may still turn out to be one.
    fn skip_bom(&mut self) -> bool {
        let bytes = &self.buffer[self.start..self.filled];
        if bytes.starts_with(BOM) {
            self.start += BOM.len();
            self.at.offset += BOM.len() as u64;
        } else if BOM.starts_with(bytes) && self.tail == Tail::More {
            return false;
        }
        true
    }

    fn hand_over(&mut self, used: usize, output: Output) -> Block {
        self.last = (used, output.records.len() + output.refused.len());
        self.window = first_window(self.limits);
        let text = if self.start == 0 && used * 2 >= self.buffer.len() {
            self.give_away(used)
        } else {
            // A few records in a large buffer, or the second block out of one: a copy is cheaper
            // than the memory or than moving the rest.
            let text = self.buffer[self.start..self.start + used].to_vec();
            self.start += used;
            text
        };
        let Output {
            records, refused, ..
        } = output;
        let mut block = Block {
            text,
            records,
            refused,
            end: self.at,
        };
        refuse_what_is_not_utf8(&mut block);
        block
    }

    /// Gives the buffer to the block, and the bytes behind the block to a new one.
    fn give_away(&mut self, used: usize) -> Vec<u8> {
        let rest = self.filled - used;
        let room = if self.tail == Tail::More {
            self.room(rest)
        } else {
            0
        };
        let mut buffer = vec![0; rest + room];
        buffer[..rest].copy_from_slice(&self.buffer[used..self.filled]);
        let mut text = std::mem::replace(&mut self.buffer, buffer);
        text.truncate(used);
        self.filled = rest;
        text
    }
}

/// What a block's records are likely to take, within its bound.
fn first_window(limits: Limits) -> usize {
    let likely = limits.block_records.saturating_mul(LIKELY_BYTES);
    likely.clamp(STEP_BYTES.min(limits.block_bytes), limits.block_bytes)
}

/// The whole block is looked at in one go; only if that fails, record by record.
fn refuse_what_is_not_utf8(block: &mut Block) {
    if simdutf8::basic::from_utf8(&block.text).is_ok() {
        return;
    }
    let Block {
        text,
        records,
        refused,
        ..
    } = block;
    let before = refused.len();
    records.retain(|record| {
        let bytes = &text[record.start as usize..record.end as usize];
        let valid = simdutf8::basic::from_utf8(bytes).is_ok();
        if !valid {
            refused.push(Refused {
                reason: Reason::NotUtf8,
                offset: record.offset,
                line: record.line,
                length: bytes.len() as u64,
                sample: bytes[..bytes.len().min(super::framer::SAMPLE_BYTES)].to_vec(),
                number: record.number,
            });
        }
        valid
    });
    if refused.len() > before {
        refused.sort_by_key(|refused| refused.number);
    }
}

//! From a byte stream to blocks of framed JSON records: decompression, framing, limits.
//!
//! A [`Reader`] parses no JSON. It finds where records begin and end and hands them over in
//! blocks that own one piece of text, so that a record costs neither an allocation nor a copy. What
//! cannot be a record is a [`Refused`] in its place, and the stream goes on. Every byte of the
//! input is inside a record, inside a refusal, or is a separator.
//!
//! Blocking, over [`std::io::Read`]; memory is bounded by [`Limits`], not by the input.
//!
//! [`decode`] makes events of a block, and a [`Feed`] runs both ends for a source: one thread that
//! reads, and tasks that decode.

mod decode;
mod decompress;
mod detect;
mod feed;
mod fingerprint;
mod framer;
mod line_file;
mod lines;
mod lines_out;
mod reader;
mod scan;
mod values;

#[cfg(test)]
mod tests;

pub use decode::{Decoded, decode, letter_about};
pub use feed::{Fed, Feed, Outlet, Piece, provenance, provenance_at};
pub use fingerprint::{Fingerprint, Likeness};
pub use line_file::{LineFile, LineFileSettings, LineSync, is_half_event};
pub use lines_out::{LineWriter, Target, push_line};
pub use reader::Reader;

use serde::{Deserialize, Serialize};
use std::{fmt, io};

/// How the input is compressed. An empty input is an empty stream whatever is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// By the first bytes: those of gzip or zstd, or else none.
    #[default]
    Auto,
    None,
    /// One or more members, each with its checksum verified. Bytes after the last are an error.
    Gzip,
    /// One or more frames, with a window of at most 128 MiB.
    Zstd,
}

/// How records lie in the decompressed stream. A byte order mark before a record is passed over,
/// at the beginning and wherever files were put one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// By the first value of the stream:
    ///
    /// - it begins with neither `{` nor `[`: `Lines`;
    /// - an object that closes on its line, with nothing after it there: `Lines`;
    /// - an array that does, with a value on a later line: `Lines`; with none: `Array`;
    /// - a line break inside it where JSON cannot have one (in a string, after a whole value):
    ///   `Lines` whose first is broken;
    /// - an array directly followed by `{` or `[`: `Concatenated`; any other array: `Array`;
    /// - any other object (over several lines, or more on its line): `Concatenated`.
    ///
    /// A first value longer than the record limit is an `Array`, or `Concatenated` objects. An array
    /// on one line has to be seen to its end to decide: say `Array` where elements must not wait.
    #[default]
    Auto,
    /// One record a line, `\n` or `\r\n`; blank lines are skipped; the last needs no line break.
    Lines,
    /// JSON values with or without white space between them. Numbers, strings and literals count
    /// when white space or the end follows them.
    Concatenated,
    /// One array for the whole stream, whose elements are the records.
    Array,
}

/// Bounds on memory and on the size of a block. Values out of range are brought into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text that a block aims at. Default 1 MiB, from 4 KiB to 64 MiB.
    pub block_bytes: usize,
    /// Most records and refusals in a block. Default 1024, from 1 to 2048.
    pub block_records: usize,
    /// Longest record in bytes; a longer one is refused unread. Default 1 MiB, from 1 to 256 MiB.
    pub record_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            block_bytes: 1 << 20,
            block_records: 1024,
            record_bytes: 1 << 20,
        }
    }
}

impl Limits {
    /// Keeps every index into a block's text within `u32`, and a block from being empty.
    fn within_range(self) -> Self {
        Limits {
            block_bytes: self.block_bytes.clamp(4 << 10, 64 << 20),
            block_records: self.block_records.clamp(1, 2048),
            record_bytes: self.record_bytes.clamp(1, 256 << 20),
        }
    }
}

/// Some consecutive records of the stream, in order.
#[derive(Debug)]
pub struct Block {
    /// What the records point into. Not necessarily UTF-8 between them.
    pub text: Vec<u8>,
    /// Each is valid UTF-8 and not empty.
    pub records: Vec<Record>,
    /// What lay between or instead of them, by ascending number.
    pub refused: Vec<Refused>,
    /// Where the next block begins: [`Reader::resume`] there gives what follows this block.
    pub end: Position,
}

impl Block {
    /// The record's bytes.
    pub fn bytes(&self, record: &Record) -> &[u8] {
        &self.text[record.start as usize..record.end as usize]
    }
}

/// Where one record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// First byte in the block's text.
    pub start: u32,
    /// One past the last byte in the block's text.
    pub end: u32,
    /// Its ordinal in the stream, from 1. Records and refusals share one count.
    pub number: u64,
    /// The line where it starts, from 1.
    pub line: u64,
    /// Its first byte in the decompressed stream, from 0.
    pub offset: u64,
}

/// A stretch of the stream that is no record, and why.
#[derive(Clone, PartialEq, Eq)]
pub struct Refused {
    pub reason: Reason,
    /// Its first byte in the decompressed stream, from 0.
    pub offset: u64,
    /// The line where it starts, from 1.
    pub line: u64,
    /// Bytes that it covers; 0 where something is missing.
    pub length: u64,
    /// The first bytes of it, at most 256.
    pub sample: Vec<u8>,
    /// Its ordinal in the stream, from 1. Records and refusals share one count.
    pub number: u64,
}

/// A sample may hold personal data, so only its size is shown.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused {
            reason,
            offset,
            line,
            length,
            number,
            ..
        } = self;
        write!(
            f,
            "Refused({reason} #{number} line {line} offset {offset} length {length})"
        )
    }
}

/// Why a stretch of the stream is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Longer than `Limits::record_bytes`; skipped without being held in memory.
    RecordTooLarge,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// The compressed stream broke off inside this record.
    Truncated,
    /// Bytes between values that begin none, before an array, or after its end.
    Garbage,
    /// A value, or the array as a whole (length 0), that is not closed.
    Unterminated,
    /// Two elements of an array without a comma between them (length 0).
    MissingComma,
}

impl Reason {
    /// The stable name, for metrics and dead letters.
    pub fn name(self) -> &'static str {
        match self {
            Reason::RecordTooLarge => "record_too_large",
            Reason::NotUtf8 => "not_utf8",
            Reason::Truncated => "truncated",
            Reason::Garbage => "garbage",
            Reason::Unterminated => "unterminated",
            Reason::MissingComma => "missing_comma",
        }
    }
}

impl Reason {
    /// A line for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Reason::RecordTooLarge => "longer than `max_record`",
            Reason::NotUtf8 => "not UTF-8",
            Reason::Truncated => "the compressed input broke off inside this record",
            Reason::Garbage => "bytes that begin no value",
            Reason::Unterminated => "a value that does not end",
            Reason::MissingComma => "no comma between two elements of the array",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place between two records, complete enough to go on from there in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes of the decompressed stream before it.
    pub offset: u64,
    /// The line that it is on, from 1.
    pub line: u64,
    /// The ordinal of the next record, from 1.
    pub number: u64,
    /// What the framing has come to.
    pub place: Place,
}

impl Default for Position {
    fn default() -> Self {
        Position {
            offset: 0,
            line: 1,
            number: 1,
            place: Place::Start,
        }
    }
}

/// What the framing expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The framing is not known yet.
    Start,
    Lines,
    Concatenated,
    /// Before the `[` of the array.
    ArrayOpen,
    /// After the `[`: an element or `]`.
    ArrayFirst,
    /// After a comma: an element.
    ArrayElement,
    /// After an element: a comma or `]`.
    ArrayNext,
    /// After the `]`: nothing but white space.
    ArrayEnd,
}

/// Why a stream cannot be read further. All whole records before it have been delivered.
#[derive(Debug)]
pub enum ReadError {
    /// The input failed. Calling again goes on where it stopped, if the input does.
    Io(io::Error),
    /// The input is not what it is said to be: no gzip, a wrong checksum, an end in the middle.
    Corrupt {
        what: String,
        /// Bytes of the decompressed stream before the damage was met.
        offset: u64,
        /// Bytes of the input before the damage was met.
        compressed_offset: u64,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Io(error) => write!(f, "cannot read the input: {error}"),
            ReadError::Corrupt {
                what,
                compressed_offset,
                ..
            } => {
                write!(
                    f,
                    "the input is corrupt near byte {compressed_offset}: {what}"
                )
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(error) => Some(error),
            ReadError::Corrupt { .. } => None,
        }
    }
}

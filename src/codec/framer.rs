//! What the framings share: the window that they scan and what they make of it.

use super::detect::{Guess, guess};
use super::lines::Lines;
use super::values::Values;
use super::{Framing, Place, Position, Reason, Record, Refused};

/// The byte order mark of UTF-8. Before a record it is a separator: nothing else can begin with it.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";
/// Bytes of a refused stretch that are kept to show.
pub(super) const SAMPLE_BYTES: usize = 256;

/// What lies behind the last byte of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// More of the stream.
    More,
    /// The end of the stream.
    End,
    /// Damage: the stream went on, but nobody will see it.
    Broken,
}

/// The bytes that are in memory and not yet consumed.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) tail: Tail,
    pub(super) record_bytes: usize,
}

/// A stretch that is let go of before its end is known: too large, or garbage.
pub(super) struct Cut {
    offset: u64,
    line: u64,
    pub(super) length: u64,
    sample: Vec<u8>,
}

/// Collects a block while a framing walks over the window.
pub(super) struct Output {
    pub(super) records: Vec<Record>,
    pub(super) refused: Vec<Refused>,
    /// The next record's number, and line and offset as far as they have been counted.
    pub(super) at: Position,
    /// Offset in the stream of the window's first byte.
    base: u64,
    room: usize,
}

impl Output {
    pub(super) fn new(at: Position, room: usize, expected: usize) -> Self {
        let records = Vec::with_capacity(expected.min(room));
        Output {
            records,
            refused: Vec::new(),
            at,
            base: at.offset,
            room,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() + self.refused.len() >= self.room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.refused.is_empty()
    }

    /// Moves on to `index` of the window, counting lines.
    pub(super) fn advance(&mut self, window: &[u8], index: usize) {
        let from = (self.at.offset - self.base) as usize;
        if index > from {
            self.at.line += memchr::memchr_iter(b'\n', &window[from..index]).count() as u64;
            self.at.offset = self.base + index as u64;
        }
    }

    /// Moves on to `index`, which is behind the next line break: one line.
    pub(super) fn next_line(&mut self, index: usize) {
        self.at.line += 1;
        self.at.offset = self.base + index as u64;
    }

    /// A record that begins on the line reached. The limits keep the window within `u32`.
    pub(super) fn record(&mut self, start: usize, end: usize) {
        self.records.push(Record {
            start: start as u32,
            end: end as u32,
            number: self.at.number,
            line: self.at.line,
            offset: self.base + start as u64,
        });
        self.at.number += 1;
    }

    /// A refusal that begins on the line reached.
    pub(super) fn refuse(&mut self, reason: Reason, window: &[u8], start: usize, end: usize) {
        let cut = self.cut(window, start, end);
        self.refuse_cut(reason, cut);
    }

    /// Begins a stretch that will not be held in memory.
    pub(super) fn cut(&self, window: &[u8], start: usize, end: usize) -> Cut {
        Cut {
            offset: self.base + start as u64,
            line: self.at.line,
            length: (end - start) as u64,
            sample: window[start..end.min(start + SAMPLE_BYTES)].to_vec(),
        }
    }

    pub(super) fn refuse_cut(&mut self, reason: Reason, cut: Cut) {
        let Cut {
            offset,
            line,
            length,
            sample,
        } = cut;
        let number = self.at.number;
        self.refused.push(Refused {
            reason,
            offset,
            line,
            length,
            sample,
            number,
        });
        self.at.number += 1;
    }
}

impl Cut {
    /// More bytes of the same stretch.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let wanted = SAMPLE_BYTES
            .saturating_sub(self.sample.len())
            .min(bytes.len());
        self.sample.extend_from_slice(&bytes[..wanted]);
        self.length += bytes.len() as u64;
    }

    /// Gives back the last byte of the stretch, which turned out to be a separator.
    pub(super) fn shorten(&mut self) {
        self.length -= 1;
        self.sample
            .truncate(usize::try_from(self.length).unwrap_or(usize::MAX));
    }
}

/// The framing at work; knows how far the window has been scanned without result.
pub(super) enum Framer {
    Undecided,
    Lines(Lines),
    Values(Values),
}

impl Framer {
    /// Where a stream was left decides; at its start, what the configuration says.
    pub(super) fn new(framing: Framing, place: Place) -> Self {
        match (place, framing) {
            (Place::Start, Framing::Auto) => Framer::Undecided,
            (Place::Start, Framing::Lines) | (Place::Lines, _) => Framer::Lines(Lines::default()),
            (Place::Start, Framing::Concatenated) => {
                Framer::Values(Values::new(Place::Concatenated))
            }
            (Place::Start, Framing::Array) => Framer::Values(Values::new(Place::ArrayOpen)),
            (place, _) => Framer::Values(Values::new(place)),
        }
    }

    /// What `Position::place` says of this framing at the end of what it has consumed.
    pub(super) fn place(&self) -> Place {
        match self {
            Framer::Undecided => Place::Start,
            Framer::Lines(_) => Place::Lines,
            Framer::Values(values) => values.place(),
        }
    }

    /// Takes records out of the window until it or the output's room is used up; returns the bytes
    /// consumed. Nothing consumed and nothing put out means that more of the stream is needed.
    ///
    /// A stretch that is being skipped is consumed only while the output is empty, so that the end of
    /// a block is always a place to resume from.
    pub(super) fn scan(&mut self, window: Window<'_>, output: &mut Output) -> usize {
        if let Framer::Undecided = self {
            match guess(window) {
                Guess::Framing(framing) => *self = Framer::new(framing, Place::Start),
                Guess::Blank(count) => {
                    output.advance(window.bytes, count);
                    return count;
                }
                Guess::More => return 0,
            }
        }
        match self {
            Framer::Undecided => 0,
            Framer::Lines(lines) => lines.scan(window, output),
            Framer::Values(values) => values.scan(window, output),
        }
    }
}

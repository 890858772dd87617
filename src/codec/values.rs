//! JSON values one behind the other, or the elements of one array.

use super::framer::{BOM, Cut, Output, Tail, Window};
use super::scan::{Scan, Step, is_space};
use super::{Place, Reason};
use memchr::{memchr, memchr2};

pub(super) struct Values {
    place: Place,
    /// The stretch that the window begins with, when it has been begun before.
    token: Option<Token>,
}

/// A stretch whose end is sought.
struct Token {
    kind: Kind,
    /// Bytes of it in the window that have been looked at.
    scanned: usize,
    /// What has been let go of already.
    cut: Option<Cut>,
}

#[derive(Clone, Copy)]
enum Kind {
    /// An object or array.
    Nested(Scan),
    /// A string. The byte that is looked at next is behind a backslash.
    Text { escaped: bool },
    /// A number or literal, or what stands in the place of one.
    Word,
    /// No value.
    Junk(Reason, Until),
}

/// Where something that is no value ends.
#[derive(Clone, Copy)]
enum Until {
    /// At the next line break or `{`.
    Line,
    /// At the next `{` that is the first on a line. `fresh`: only white space on this line so far.
    Object { fresh: bool },
    /// Never.
    End,
}

/// What is known about a token after looking at the window.
enum Found {
    /// It ends before this index, and is a record or refused.
    End(usize, Option<Reason>),
    /// It is junk, and has been looked at up to this index.
    Junk(usize, Reason, Until),
    /// More is needed; it has been looked at up to this index.
    More(usize),
}

/// The window from where a token, or the rest of one, begins.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    window: Window<'a>,
    start: usize,
}

/// A token's end, whether it is a record or refused, and where an array stands behind it.
struct Ended {
    end: usize,
    reason: Option<Reason>,
    next: Place,
}

impl Values {
    pub(super) fn new(place: Place) -> Self {
        Values { place, token: None }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn scan(&mut self, window: Window<'_>, output: &mut Output) -> usize {
        let mut at = 0;
        loop {
            let mut token = match self.token.take() {
                Some(token) => token,
                None if output.is_full() => return at,
                None => {
                    let blank = window.bytes[at..].iter().position(|byte| !is_space(*byte));
                    let Some(blank) = blank else {
                        self.end(window, output);
                        return window.bytes.len();
                    };
                    at += blank;
                    output.advance(window.bytes, at);
                    // Of files that were put one behind the other each may begin with its mark.
                    match mark(&window.bytes[at..], window.tail) {
                        Mark::None => {}
                        Mark::Whole => {
                            at += BOM.len();
                            continue;
                        }
                        Mark::Part => return at,
                    }
                    match self.begin(window.bytes, &mut at, output) {
                        Some(kind) => Token {
                            kind,
                            scanned: 1,
                            cut: None,
                        },
                        None => continue,
                    }
                }
            };
            let stretch = Stretch { window, start: at };
            match self.finish(&mut token, stretch) {
                Some(ended) => {
                    at = ended.end;
                    self.put_out(token, output, stretch, ended);
                }
                None => return self.wait(token, output, stretch),
            }
        }
    }

    /// The end of the stream between two values.
    fn end(&mut self, window: Window<'_>, output: &mut Output) {
        let open = !matches!(self.place, Place::Concatenated | Place::ArrayEnd);
        // An empty stream holds no array that could be unterminated.
        let begun = self.place != Place::ArrayOpen;
        if window.tail == Tail::End && open && begun {
            let length = window.bytes.len();
            output.advance(window.bytes, length);
            output.refuse(Reason::Unterminated, window.bytes, length, length);
            self.place = Place::ArrayEnd;
        }
    }

    /// The byte at `at`: punctuation of the array is consumed, anything else begins a token.
    fn begin(&mut self, bytes: &[u8], at: &mut usize, output: &mut Output) -> Option<Kind> {
        let byte = bytes[*at];
        let next = match (self.place, byte) {
            (Place::ArrayOpen, b'[') => Place::ArrayFirst,
            (Place::ArrayFirst | Place::ArrayNext, b']') => Place::ArrayEnd,
            (Place::ArrayNext, b',') => Place::ArrayElement,
            (Place::ArrayFirst | Place::ArrayElement, b',' | b']') => {
                output.refuse(Reason::Garbage, bytes, *at, *at + 1);
                if byte == b',' {
                    Place::ArrayElement
                } else {
                    Place::ArrayEnd
                }
            }
            (Place::ArrayNext, _) => {
                output.refuse(Reason::MissingComma, bytes, *at, *at);
                self.place = Place::ArrayElement;
                return None;
            }
            (Place::ArrayOpen | Place::ArrayEnd, _) => {
                self.place = Place::ArrayEnd;
                return Some(Kind::Junk(Reason::Garbage, Until::End));
            }
            (_, b'{' | b'[') => return Some(Kind::Nested(Scan::begin())),
            (_, b'"') => return Some(Kind::Text { escaped: false }),
            _ => return Some(Kind::Word),
        };
        self.place = next;
        *at += 1;
        None
    }

    fn in_array(&self) -> bool {
        self.place != Place::Concatenated
    }

    /// Looks for the token's end; `None` when it lies behind the window.
    fn finish(&self, token: &mut Token, stretch: Stretch<'_>) -> Option<Ended> {
        let Stretch { window, start } = stretch;
        loop {
            let from = start + token.scanned;
            if from > window.bytes.len() {
                // The block before was framed from a larger window: its end is not in this one.
                return None;
            }
            let found = match &mut token.kind {
                Kind::Nested(scan) => nested(scan, window.bytes, from),
                Kind::Text { escaped } => self.text(escaped, window, from),
                Kind::Word => self.word(stretch, from),
                Kind::Junk(reason, until) => {
                    junk(*reason, until, window.bytes, from, self.in_array())
                }
            };
            match found {
                Found::End(end, reason) => {
                    let next = if reason.is_none() {
                        Place::ArrayNext
                    } else {
                        Place::ArrayElement
                    };
                    return Some(Ended { end, reason, next });
                }
                Found::Junk(seen, reason, until) => {
                    token.kind = Kind::Junk(reason, until);
                    token.scanned = seen - start;
                }
                Found::More(seen) => {
                    token.scanned = seen - start;
                    return at_tail(token.kind, window);
                }
            }
        }
    }

    fn text(&self, escaped: &mut bool, window: Window<'_>, from: usize) -> Found {
        let bytes = window.bytes;
        for (index, byte) in bytes.iter().enumerate().skip(from) {
            match byte {
                b'\n' if self.in_array() => {
                    let until = Until::Object { fresh: false };
                    return Found::Junk(index, Reason::Unterminated, until);
                }
                b'\n' => return Found::Junk(index, Reason::Garbage, Until::Line),
                _ if *escaped => *escaped = false,
                b'\\' => *escaped = true,
                b'"' => {
                    return match bytes.get(index + 1) {
                        // The quote is looked at again when it is known what follows.
                        None if window.tail == Tail::More => Found::More(index),
                        Some(next) if !self.in_array() && !is_space(*next) => {
                            Found::Junk(index + 1, Reason::Garbage, Until::Line)
                        }
                        _ => Found::End(index + 1, None),
                    };
                }
                _ => {}
            }
        }
        Found::More(bytes.len())
    }

    fn word(&self, stretch: Stretch<'_>, from: usize) -> Found {
        let Stretch { window, start } = stretch;
        let bytes = window.bytes;
        let ends = |byte: &u8| match byte {
            b'{' | b'[' | b'"' => true,
            b',' | b']' => self.in_array(),
            byte => is_space(*byte),
        };
        let end = match bytes[from..].iter().position(ends) {
            Some(found) => from + found,
            None if window.tail == Tail::End => bytes.len(),
            None => return Found::More(bytes.len()),
        };
        let delimited = bytes.get(end).is_none_or(|byte| is_space(*byte));
        let short = end - start <= window.record_bytes;
        if self.in_array() || (delimited && short && is_literal(&bytes[start..end])) {
            Found::End(end, None)
        } else {
            Found::Junk(end, Reason::Garbage, Until::Line)
        }
    }

    /// Puts out what ends at `end`, and moves the array on.
    fn put_out(&mut self, token: Token, output: &mut Output, stretch: Stretch<'_>, ended: Ended) {
        let Stretch { window, start } = stretch;
        let Ended { end, reason, next } = ended;
        let before = token.cut.as_ref().map_or(0, |cut| cut.length);
        let too_large = before + (end - start) as u64 > window.record_bytes as u64;
        let reason = match reason {
            Some(Reason::Garbage) => reason,
            _ if too_large => Some(Reason::RecordTooLarge),
            _ => reason,
        };
        match (reason, token.cut) {
            (None, None) => output.record(start, end),
            (Some(reason), None) => output.refuse(reason, window.bytes, start, end),
            // What has been cut is too large or garbage, so there is a reason.
            (reason, Some(mut cut)) => {
                cut.extend(&window.bytes[start..end]);
                output.refuse_cut(reason.unwrap_or(Reason::RecordTooLarge), cut);
            }
        }
        if self.in_array() {
            self.place = next;
        }
    }

    /// The token goes on behind the window: keeps it there, or lets go of it if it is not going to
    /// be a record. Returns the bytes consumed.
    fn wait(&mut self, mut token: Token, output: &Output, stretch: Stretch<'_>) -> usize {
        let Stretch { window, start } = stretch;
        let junk = matches!(token.kind, Kind::Junk(..));
        let large = window.bytes.len() - start > window.record_bytes;
        let mut used = start;
        if output.is_empty() && (junk || large || token.cut.is_some()) {
            // What was scanned behind this window stays scanned.
            let seen = token.scanned.min(window.bytes.len() - start);
            used += seen;
            token.scanned -= seen;
            match &mut token.cut {
                Some(cut) => cut.extend(&window.bytes[start..used]),
                None => token.cut = Some(output.cut(window.bytes, start, used)),
            }
            // A literal that long is none; what begins like one in an array may still be refused whole.
            if matches!(token.kind, Kind::Word) && !self.in_array() {
                token.kind = Kind::Junk(Reason::Garbage, Until::Line);
            }
        }
        self.token = Some(token);
        used
    }
}

/// Whether bytes begin with a byte order mark, as far as can be seen.
enum Mark {
    None,
    Whole,
    /// The window ends inside what may be one.
    Part,
}

#[inline]
fn mark(bytes: &[u8], tail: Tail) -> Mark {
    match bytes.first() {
        Some(first) if *first == BOM[0] => {}
        _ => return Mark::None,
    }
    if bytes.starts_with(BOM) {
        Mark::Whole
    } else if tail == Tail::More && BOM.starts_with(bytes) {
        Mark::Part
    } else {
        Mark::None
    }
}

/// A token that nothing in the window ends; only what comes behind the window can tell.
fn at_tail(kind: Kind, window: Window<'_>) -> Option<Ended> {
    let reason = match (kind, window.tail) {
        (_, Tail::More) => return None,
        (Kind::Junk(reason, _), _) => reason,
        (_, Tail::End) => Reason::Unterminated,
        (_, Tail::Broken) => Reason::Truncated,
    };
    Some(Ended {
        end: window.bytes.len(),
        reason: Some(reason),
        next: Place::ArrayEnd,
    })
}

fn nested(scan: &mut Scan, bytes: &[u8], from: usize) -> Found {
    match scan.run(bytes, from) {
        Step::Closed(end) => Found::End(end, None),
        Step::Unclosed(next) => Found::End(next, Some(Reason::Unterminated)),
        Step::Torn(at) => Found::Junk(at, Reason::Unterminated, Until::Object { fresh: false }),
        Step::More => Found::More(bytes.len()),
    }
}

/// Junk goes on with `bytes[from..]`.
fn junk(reason: Reason, until: &mut Until, bytes: &[u8], from: usize, indent: bool) -> Found {
    let found = match until {
        Until::End => None,
        Until::Line => memchr2(b'\n', b'{', &bytes[from..]).map(|found| from + found),
        Until::Object { fresh } => next_object(fresh, bytes, from, indent),
    };
    found.map_or(Found::More(bytes.len()), |end| {
        Found::End(end, Some(reason))
    })
}

/// The next `{` that is the first on its line; with `indent`, behind white space perhaps.
fn next_object(fresh: &mut bool, bytes: &[u8], from: usize, indent: bool) -> Option<usize> {
    let mut at = from;
    loop {
        if *fresh {
            let blank = |byte: &u8| indent && matches!(byte, b' ' | b'\t');
            at += bytes[at..].iter().position(|byte| !blank(byte))?;
            if bytes[at] == b'{' {
                return Some(at);
            }
            *fresh = false;
        }
        at += memchr(b'\n', &bytes[at..])? + 1;
        *fresh = true;
    }
}

/// `true`, `false`, `null`, or something like a number.
fn is_literal(word: &[u8]) -> bool {
    let number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    match word {
        b"true" | b"false" | b"null" => true,
        [b'-' | b'0'..=b'9', rest @ ..] => rest.iter().all(number),
        _ => false,
    }
}

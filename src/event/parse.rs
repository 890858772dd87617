//! The strict JSON parser (RFC 8259) that writes a tape and resolves the pipeline's paths.
//!
//! It is ours, and not a library's, because the engine needs what no library gives: the places of
//! values in the untouched text (changes are laid over it and the rest is copied as it stands), one
//! allocation for a whole batch, and all look-ups answered in the pass that checks the grammar.
//! `tests/json_conformance.rs` and the fuzz target hold it against `serde_json`.

use super::path::{NONE, PathSet};
use super::tape::{Kind, MAX_LENGTH, Word};

/// Deepest nesting of a record. Deeper ones are refused, so that no stack can overflow.
pub const MAX_DEPTH: usize = 96;

/// Why a record is not taken, with the byte (from 0, within the record) at which it goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadJson {
    /// A reason for the ledger: `not_json`, `too_deep`, `duplicate_key`, `record_too_large`.
    pub reason: &'static str,
    /// What is wrong there.
    pub what: &'static str,
    /// Byte offset within the record.
    pub at: usize,
}

impl std::fmt::Display for BadJson {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} at byte {}", self.what, self.at + 1)
    }
}

impl std::error::Error for BadJson {}

type Parsed<T> = Result<T, BadJson>;

pub(crate) struct Parser<'a> {
    text: &'a [u8],
    /// Where the record ends.
    end: usize,
    at: usize,
    start: usize,
    paths: &'a PathSet,
    tape: &'a mut Vec<u64>,
    row: &'a mut [u32],
}

/// Parses `text[start..end]` as one JSON value; appends its words to `tape` and fills `row`.
/// After an error the tape may hold words of the broken record: the caller truncates.
pub(crate) fn parse(
    text: &[u8],
    (start, end): (usize, usize),
    paths: &PathSet,
    tape: &mut Vec<u64>,
    row: &mut [u32],
) -> Parsed<()> {
    row.fill(NONE);
    let mut parser = Parser {
        text,
        end,
        at: start,
        start,
        paths,
        tape,
        row,
    };
    if end - start > MAX_LENGTH {
        return Err(parser.bad("record_too_large", "more than 256 MiB"));
    }
    parser.skip_space();
    parser.value(0, 0)?;
    parser.skip_space();
    if parser.at != end {
        return Err(parser.not_json("unexpected bytes after the value"));
    }
    Ok(())
}

/// Branch number for "no path leads here".
const NO_BRANCH: u32 = NONE;

impl Parser<'_> {
    #[cold]
    fn bad(&self, reason: &'static str, what: &'static str) -> BadJson {
        BadJson {
            reason,
            what,
            at: self.at - self.start,
        }
    }

    #[cold]
    fn not_json(&self, what: &'static str) -> BadJson {
        self.bad("not_json", what)
    }

    #[inline(always)]
    fn peek(&self) -> u8 {
        // A zero byte is no JSON anywhere outside strings, so it can stand for "the end".
        if self.at < self.end {
            self.text[self.at]
        } else {
            0
        }
    }

    #[inline(always)]
    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    #[inline]
    fn push(&mut self, kind: Kind, escaped: bool, start: usize) {
        self.tape.push(Word::new(kind, escaped, start, self.at).0);
    }

    fn value(&mut self, branch: u32, depth: usize) -> Parsed<()> {
        match self.peek() {
            b'"' => self.string().map(|_| ()),
            b'{' => self.object(branch, depth),
            b'[' => self.array(depth),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Kind::Bool),
            b'f' => self.word(b"false", Kind::Bool),
            b'n' => self.word(b"null", Kind::Null),
            _ if self.at >= self.end => Err(self.not_json("the record ends where a value is due")),
            _ => Err(self.not_json("expected a value")),
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Parsed<()> {
        let start = self.at;
        if !self.text[start..self.end].starts_with(word) {
            return Err(self.not_json("expected a value"));
        }
        self.at += word.len();
        self.push(kind, false, start);
        Ok(())
    }

    fn digits(&mut self) -> Parsed<()> {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == from {
            Err(self.not_json("expected a digit"))
        } else {
            Ok(())
        }
    }

    fn number(&mut self) -> Parsed<()> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(Kind::Number, false, start);
        Ok(())
    }

    /// Takes a string; says whether it has escapes.
    #[inline]
    fn string(&mut self) -> Parsed<bool> {
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at += plain_length(&self.text[self.at..self.end]);
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ if self.at >= self.end => return Err(self.not_json("a string does not end")),
                _ => return Err(self.not_json("a control character in a string")),
            }
        }
        self.at += 1;
        self.push(Kind::Text, escaped, start);
        Ok(escaped)
    }

    fn escape(&mut self) -> Parsed<()> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let high = self.hex()?;
                if (0xdc00..0xe000).contains(&high) {
                    return Err(self.not_json("a lone low surrogate"));
                }
                if (0xd800..0xdc00).contains(&high) {
                    if self.peek() != b'\\' || self.text.get(self.at + 1) != Some(&b'u') {
                        return Err(self.not_json("a lone high surrogate"));
                    }
                    self.at += 1;
                    if !(0xdc00..0xe000).contains(&self.hex()?) {
                        return Err(self.not_json("a lone high surrogate"));
                    }
                }
            }
            _ => return Err(self.not_json("an unknown escape")),
        }
        Ok(())
    }

    /// Reads `uXXXX`, from the `u`.
    fn hex(&mut self) -> Parsed<u32> {
        let digits = self.text[..self.end]
            .get(self.at + 1..self.at + 5)
            .unwrap_or_default();
        let mut value = 0;
        for digit in digits {
            let Some(digit) = (*digit as char).to_digit(16) else {
                return Err(self.not_json("expected four hexadecimal digits"));
            };
            value = value << 4 | digit;
        }
        if digits.len() < 4 {
            return Err(self.not_json("expected four hexadecimal digits"));
        }
        self.at += 5;
        Ok(value)
    }

    /// Opens a container: two words, filled in by `close`.
    fn open(&mut self, depth: usize) -> Parsed<usize> {
        if depth >= MAX_DEPTH {
            return Err(self.bad("too_deep", "nested more than 96 levels deep"));
        }
        let head = self.tape.len();
        self.tape.extend([0, 0]);
        self.at += 1;
        self.skip_space();
        Ok(head)
    }

    fn close(&mut self, kind: Kind, head: usize, start: usize) {
        self.at += 1;
        self.tape[head] = Word::new(kind, false, start, self.at).0;
        self.tape[head + 1] = Word::jump(self.tape.len()).0;
    }

    fn array(&mut self, depth: usize) -> Parsed<()> {
        let start = self.at;
        let head = self.open(depth)?;
        if self.peek() != b']' {
            loop {
                self.value(NO_BRANCH, depth + 1)?;
                self.skip_space();
                match self.peek() {
                    b',' => self.at += 1,
                    b']' => break,
                    _ => return Err(self.not_json("expected `,` or `]`")),
                }
                self.skip_space();
            }
        }
        self.close(Kind::Array, head, start);
        Ok(())
    }

    fn object(&mut self, branch: u32, depth: usize) -> Parsed<()> {
        let start = self.at;
        let head = self.open(depth)?;
        if self.peek() != b'}' {
            loop {
                let below = self.key(branch)?;
                self.skip_space();
                if self.peek() != b':' {
                    return Err(self.not_json("expected `:`"));
                }
                self.at += 1;
                self.skip_space();
                self.value(below, depth + 1)?;
                self.skip_space();
                match self.peek() {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return Err(self.not_json("expected `,` or `}`")),
                }
                self.skip_space();
            }
        }
        self.close(Kind::Object, head, start);
        Ok(())
    }

    /// Takes a member name; notes where its value will lie when a path leads there, and gives the
    /// branch below it.
    #[inline]
    fn key(&mut self, branch: u32) -> Parsed<u32> {
        if self.peek() != b'"' {
            return Err(self.not_json("expected a member name"));
        }
        let start = self.at;
        let escaped = self.string()?;
        if branch == NO_BRANCH {
            return Ok(NO_BRANCH);
        }
        let children = &self.paths.branch(branch).children;
        let raw = &self.text[start + 1..self.at - 1];
        let found = if escaped {
            let name = unescape(&self.text[start + 1..self.at - 1]);
            children.iter().find(|(child, _)| child.as_str() == name)
        } else {
            children.iter().find(|(child, _)| child.as_bytes() == raw)
        };
        let Some((_, slot)) = found else {
            return Ok(NO_BRANCH);
        };
        let place = &mut self.row[*slot as usize];
        if *place != NONE {
            // Two members of one name mean two things to two readers: a rule (a mask, a check)
            // could look at the one while the other goes through.
            self.at = start;
            return Err(self.bad(
                "duplicate_key",
                "a member that this pipeline reads comes twice",
            ));
        }
        *place = self.tape.len() as u32;
        Ok(slot + 1)
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// How many bytes can stand in a string as they are: up to a quote, a backslash or a control byte.
#[inline(always)]
fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let slash = word ^ (ONES * b'\\' as u64);
        // The classic "has a zero byte" and "has a byte below 0x20" on eight bytes at once; false
        // alarms can only lie above a true one, and the lowest set bit is the one that counts.
        let hits = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let hits = hits & HIGHS;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if *byte == b'"' || *byte == b'\\' || *byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}

/// The text of the inside of a JSON string that has escapes. The string was checked before; what
/// is no escape after all is left as it stands.
pub(crate) fn unescape(raw: &[u8]) -> String {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' || at + 1 >= raw.len() {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        at += 1;
        let simple = match raw[at] {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            other => other,
        };
        if raw[at] != b'u' {
            out.push(simple);
            at += 1;
            continue;
        }
        let unit = |from: usize| {
            let digits = raw.get(from..from + 4)?;
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let mut code = unit(at + 1).unwrap_or(0xfffd);
        at += 5;
        if (0xd800..0xdc00).contains(&code) {
            let low = unit(at + 2).unwrap_or(0xdc00);
            code = 0x10000 + ((code - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
            at += 6;
        }
        let mut utf8 = [0; 4];
        let char = char::from_u32(code).unwrap_or('\u{fffd}');
        out.extend_from_slice(char.encode_utf8(&mut utf8).as_bytes());
    }
    String::from_utf8_lossy(&out).into_owned()
}

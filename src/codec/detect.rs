//! Which framing a stream has, by its first value. The rules are those of [`Framing::Auto`].

use super::Framing;
use super::framer::{Tail, Window};
use super::scan::{Scan, Step, is_space, solid_before};
use memchr::memchr;

/// Bytes behind the longest first value that are looked at to see what follows.
const BEHIND_BYTES: usize = 4 << 10;

pub(super) enum Guess {
    Framing(Framing),
    /// So many bytes of white space come first.
    Blank(usize),
    /// More of the stream is needed.
    More,
}

/// Depends on the stream and the limits alone, not on how much of it happens to be in the window.
pub(super) fn guess(window: Window<'_>) -> Guess {
    let bytes = window.bytes;
    let blank = solid(bytes).unwrap_or(bytes.len());
    if blank > 0 {
        return Guess::Blank(blank);
    }
    let array = match bytes.first() {
        None if window.tail == Tail::More => return Guess::More,
        Some(b'{') => false,
        Some(b'[') => true,
        _ => return Guess::Framing(Framing::Lines),
    };
    let bound = window.record_bytes + BEHIND_BYTES;
    let seen = &bytes[..bytes.len().min(bound)];
    let decided = match memchr(b'\n', seen) {
        Some(end) => first_line(seen, end, array),
        None => only_line(seen, array),
    };
    match decided {
        Some(framing) => Guess::Framing(framing),
        None if bytes.len() >= bound => Guess::Framing(over_lines(array)),
        None if window.tail == Tail::More => Guess::More,
        None => Guess::Framing(if array {
            Framing::Array
        } else {
            Framing::Lines
        }),
    }
}

/// A first value that goes on over further lines, or is too long to tell.
fn over_lines(array: bool) -> Framing {
    if array {
        Framing::Array
    } else {
        Framing::Concatenated
    }
}

/// No line break yet: only a second value on the line decides.
fn only_line(seen: &[u8], array: bool) -> Option<Framing> {
    match Scan::begin().run(seen, 1) {
        Step::Closed(end) => solid(&seen[end..]).map(|next| same_line(seen[end + next], array)),
        _ => None,
    }
}

fn first_line(seen: &[u8], end: usize, array: bool) -> Option<Framing> {
    let (line, after) = (&seen[..end], &seen[end..]);
    let mut scan = Scan::begin();
    if let Step::Closed(closed) = scan.run(line, 1) {
        return match solid(&line[closed..]) {
            Some(next) => Some(same_line(line[closed + next], array)),
            None if array => solid(after).map(|_| Framing::Lines),
            None => Some(Framing::Lines),
        };
    }
    if scan.in_string() {
        return Some(Framing::Lines);
    }
    let before = solid_before(line).unwrap_or(scan.last_solid());
    if matches!(before, b'{' | b'[' | b',' | b':') {
        return Some(over_lines(array));
    }
    let next = after[solid(after)?];
    let fits = matches!(next, b'}' | b']' | b',' | b':');
    Some(if fits {
        over_lines(array)
    } else {
        Framing::Lines
    })
}

/// `next` follows the first value on its line.
fn same_line(next: u8, array: bool) -> Framing {
    if array && !matches!(next, b'{' | b'[') {
        Framing::Array
    } else {
        Framing::Concatenated
    }
}

/// The first byte that is not white space.
fn solid(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| !is_space(*byte))
}

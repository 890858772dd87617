//! One record a line.

use super::Reason;
use super::framer::{BOM, Cut, Output, Tail, Window};
use memchr::{memchr, memchr_iter};

#[derive(Default)]
pub(super) struct Lines {
    /// Bytes at the front of the window that are known to hold no line break.
    searched: usize,
    /// A line that is longer than a record may be, and whether its last byte so far is `\r`.
    skipping: Option<(Cut, bool)>,
}

impl Lines {
    pub(super) fn scan(&mut self, window: Window<'_>, output: &mut Output) -> usize {
        let mut start = 0;
        if self.skipping.is_some() {
            match self.skip(window, output) {
                Some(end) => start = end,
                None => return window.bytes.len(),
            }
        }
        let from = start + std::mem::take(&mut self.searched);
        // One iterator for the whole window: starting a search anew for each line costs more.
        for found in memchr_iter(b'\n', &window.bytes[from..]) {
            if output.is_full() {
                return start;
            }
            let end = from + found;
            line(window, output, start, end);
            start = end + 1;
            output.next_line(start);
        }
        if output.is_full() {
            return start;
        }
        self.rest(window, output, start)
    }

    /// The bytes behind the last line break.
    fn rest(&mut self, window: Window<'_>, output: &mut Output, start: usize) -> usize {
        let bytes = window.bytes;
        let length = bytes.len() - start;
        match window.tail {
            Tail::More => {
                // So many more bytes than a record may have can still be a byte order mark before it
                // and the `\r` of its line break.
                if length > window.record_bytes + BOM.len() + 1 && output.is_empty() {
                    let cut = output.cut(bytes, start, bytes.len());
                    self.skipping = Some((cut, bytes.ends_with(b"\r")));
                    return bytes.len();
                }
                self.searched = length;
                start
            }
            Tail::End => {
                line(window, output, start, bytes.len());
                bytes.len()
            }
            Tail::Broken => {
                if length > 0 {
                    let reason = if length > window.record_bytes {
                        Reason::RecordTooLarge
                    } else {
                        Reason::Truncated
                    };
                    output.refuse(reason, bytes, start, bytes.len());
                }
                bytes.len()
            }
        }
    }

    /// Goes on with a line that is too long; returns where the next one begins.
    fn skip(&mut self, window: Window<'_>, output: &mut Output) -> Option<usize> {
        let (mut cut, mut carriage_return) = self.skipping.take()?;
        let found = memchr(b'\n', window.bytes);
        let part = &window.bytes[..found.unwrap_or(window.bytes.len())];
        cut.extend(part);
        carriage_return = part.last().map_or(carriage_return, |last| *last == b'\r');
        if found.is_none() && window.tail == Tail::More {
            self.skipping = Some((cut, carriage_return));
            return None;
        }
        if carriage_return && window.tail != Tail::Broken {
            cut.shorten();
        }
        output.refuse_cut(Reason::RecordTooLarge, cut);
        let end = found.map_or(window.bytes.len(), |found| found + 1);
        if found.is_some() {
            output.next_line(end);
        }
        Some(end)
    }
}

/// One whole line without its `\n`.
#[inline]
fn line(window: Window<'_>, output: &mut Output, start: usize, mut end: usize) {
    let mut bytes = &window.bytes[start..end];
    if bytes.last() == Some(&b'\r') {
        end -= 1;
    }
    let mut begin = start;
    // Files that were put one behind the other have their marks in the middle.
    if bytes.first() == Some(&BOM[0])
        && let Some(rest) = bytes.strip_prefix(BOM)
    {
        begin += BOM.len();
        bytes = rest;
    }
    if end - begin > window.record_bytes {
        output.refuse(Reason::RecordTooLarge, window.bytes, start, end);
    } else if !is_blank(bytes) {
        output.record(begin, end);
    }
}

#[inline]
fn is_blank(bytes: &[u8]) -> bool {
    // Nearly every line is told from a blank one by its first byte.
    match bytes.first() {
        Some(b'{' | b'[') => false,
        _ => bytes
            .iter()
            .all(|byte| matches!(byte, b' ' | b'\t' | b'\r')),
    }
}

//! Lines of line protocol with what they were made of.

use std::ops::Range;

use crate::event::Origin;

/// Lines in one text, and the event of each.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    pub text: Vec<u8>,
    /// Where each line ends in the text, its `\n` included.
    pub ends: Vec<usize>,
    pub origins: Vec<Origin>,
}

impl Lines {
    pub fn with_room(lines: usize) -> Self {
        /// Bytes of a line of this kind, rather too many than too few.
        const LINE: usize = 224;
        Self {
            text: Vec::with_capacity(lines * LINE),
            ends: Vec::with_capacity(lines),
            origins: Vec::with_capacity(lines),
        }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// What was appended to the text is the line of this event.
    pub fn end_line(&mut self, origin: Origin) {
        self.ends.push(self.text.len());
        self.origins.push(origin);
    }

    /// Where a line begins in the text; where the text ends for the line behind the last.
    fn start(&self, line: usize) -> usize {
        match line {
            0 => 0,
            line => self.ends[line - 1],
        }
    }

    /// How many lines from `from` on go into this much room; the first of them in any case where
    /// `alone` says that nothing else is there.
    pub fn fit(&self, from: usize, lines: usize, bytes: usize, alone: bool) -> usize {
        let most = self.start(from).saturating_add(bytes);
        let within = self.ends[from..].partition_point(|end| *end <= most);
        let least = usize::from(alone).min(self.len() - from);
        within.min(lines).max(least)
    }

    /// Appends lines of others.
    pub fn append(&mut self, other: &Lines, range: Range<usize>) {
        let (from, to) = (other.start(range.start), other.start(range.end));
        let (shift, base) = (self.text.len(), from);
        self.text.extend_from_slice(&other.text[from..to]);
        let ends = other.ends[range.clone()].iter();
        self.ends.extend(ends.map(|end| end - base + shift));
        self.origins.extend_from_slice(&other.origins[range]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Lines {
        let mut lines = Lines::with_room(texts.len());
        for (place, text) in texts.iter().enumerate() {
            lines.text.extend_from_slice(text.as_bytes());
            lines.end_line(Origin::new(1, place));
        }
        lines
    }

    #[test]
    fn as_many_fit_as_there_is_room_for() {
        let lines = lines(&["aaaa\n", "bb\n", "c\n"]);
        assert_eq!(lines.fit(0, 9, 10, false), 3);
        assert_eq!(lines.fit(0, 9, 9, false), 2);
        assert_eq!(lines.fit(0, 1, 9, false), 1);
        assert_eq!(lines.fit(1, 9, 4, false), 1);
        // A line that is larger than a request goes alone.
        assert_eq!(
            (lines.fit(0, 9, 4, false), lines.fit(0, 9, 4, true)),
            (0, 1)
        );
        assert_eq!(lines.fit(3, 9, 9, true), 0);
    }

    #[test]
    fn appended_lines_keep_their_places_and_origins() {
        let other = lines(&["aaaa\n", "bb\n", "c\n"]);
        let mut all = lines(&["x\n"]);
        all.append(&other, 1..3);
        all.append(&other, 0..1);
        let texts: Vec<_> = (0..all.len())
            .map(|n| &all.text[all.start(n)..all.start(n + 1)])
            .collect();
        assert_eq!(texts, [&b"x\n"[..], b"bb\n", b"c\n", b"aaaa\n"]);
        assert_eq!(
            all.origins[1..],
            other.origins[1..]
                .iter()
                .chain(&other.origins[..1])
                .copied()
                .collect::<Vec<_>>()
        );
    }
}

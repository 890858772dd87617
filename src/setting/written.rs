//! Where the text of a scalar of several lines stands in its file.

use std::sync::Arc;

use crate::diagnostic::Span;

/// The runs of a text that stand in the file letter by letter, in order: each goes on to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Written(Arc<[Run]>);

/// A part of a text, and the place of its first letter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    /// First byte in the text.
    pub at: usize,
    pub line: u32,
    pub column: u32,
}

impl Written {
    /// Of runs in the order of the text; `None` where there is none.
    pub(crate) fn of(runs: Vec<Run>) -> Option<Self> {
        (!runs.is_empty()).then(|| Self(runs.into()))
    }

    /// Of a text that is a file of its own.
    pub fn whole(text: &str) -> Self {
        let starts = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        let runs = (1..).zip(std::iter::once(0).chain(starts));
        let run = |(line, at)| Run {
            at,
            line,
            column: 1,
        };
        Self(runs.map(run).collect())
    }

    /// The place of these bytes of the text.
    pub fn place(&self, text: &str, from: usize, to: usize) -> Option<Span> {
        let (line, column) = self.letter(text, from)?;
        let (end_line, end_column) = self.letter(text, to.max(from))?;
        Some(Span {
            line,
            column,
            end_line,
            end_column,
        })
    }

    fn letter(&self, text: &str, at: usize) -> Option<(u32, u32)> {
        let after = self.0.partition_point(|run| run.at <= at);
        // What stands before the first run (empty lines) is told by it.
        let run = self.0.get(after.saturating_sub(1))?;
        let before = text.get(run.at.min(at)..at)?;
        let letters = u32::try_from(before.chars().count()).unwrap_or(u32::MAX);
        Some((run.line, run.column.saturating_add(letters)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_its_own_is_told_by_lines_and_letters() {
        let text = "one\r\ntwö three\n\nfour";
        let place = |part: &str| {
            let from = text.find(part).unwrap();
            Written::whole(text)
                .place(text, from, from + part.len())
                .unwrap()
        };
        assert_eq!(place("one"), Span::on_line(1, 1, 3));
        assert_eq!(place("three"), Span::on_line(2, 5, 5));
        assert_eq!(place("four"), Span::on_line(4, 1, 4));
        let end = Written::whole(text).place(text, text.len(), text.len());
        assert_eq!(end, Some(Span::on_line(4, 5, 0)));
    }
}

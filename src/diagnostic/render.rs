//! Diagnostics for people, for programs and for GitHub.
//!
//! The source line is always the text of the file: a reader sees `${VAR}` and never its value.

mod machine;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use machine::{github, json};
pub use text::text;

/// The texts of the files that diagnostics are about.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<Arc<str>, Arc<str>>);

impl Sources {
    /// No files.
    pub fn new() -> Sources {
        Sources::default()
    }

    /// Adds the text of a file, under the name that diagnostics have for it.
    pub fn insert(&mut self, file: impl Into<Arc<str>>, text: impl Into<Arc<str>>) {
        self.0.insert(file.into(), text.into());
    }

    /// Takes over those of `other`.
    pub(super) fn extend(&mut self, other: Sources) {
        self.0.extend(other.0);
    }

    /// A line of a file, counted from 1, without its end.
    pub fn line(&self, file: &str, line: u32) -> Option<&str> {
        line_of(self.0.get(file)?, line)
    }
}

/// A line of a text, counted from 1. Lines end as in YAML: at `\n`, `\r\n` or a lone `\r`.
pub fn line_of(text: &str, line: u32) -> Option<&str> {
    let mut rest = text;
    for _ in 1..line {
        let end = line_end(rest)?;
        let broken = &rest[end..];
        rest = broken.strip_prefix("\r\n").unwrap_or(&broken[1..]);
    }
    let end = line_end(rest).unwrap_or(rest.len());
    (line > 0).then(|| &rest[..end])
}

fn line_end(text: &str) -> Option<usize> {
    memchr::memchr2(b'\n', b'\r', text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_in_yaml() {
        let text = "a\r\nb\rc\n\nd";
        let lines: Vec<_> = (0..7).map(|line| line_of(text, line)).collect();
        assert_eq!(
            lines,
            [
                None,
                Some("a"),
                Some("b"),
                Some("c"),
                Some(""),
                Some("d"),
                None
            ]
        );
    }
}

//! What is wrong with a file, and where: the one way in which mistakes of a pipeline are told.
//!
//! Nothing here stops at the first mistake. Whoever reads a part of a pipeline writes what it
//! finds into a [`Report`] and goes on, so that one run of `validate` shows everything. The report
//! is bounded: past [`LIMIT`] diagnostics it only counts, since nobody reads the two hundredth and
//! a hostile file must not decide how much memory its errors take.

mod codes;
mod nearest;
pub mod render;

use std::fmt;
use std::sync::Arc;

pub use codes::CODES;
pub use nearest::nearest;
pub use render::Sources;

/// How many diagnostics a report keeps; the rest is one summary line.
pub const LIMIT: usize = 200;

/// How bad it is: an error keeps the pipeline from starting, a warning does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The pipeline is refused.
    Error,
    /// The pipeline runs, but probably not as meant.
    Warning,
}

impl Severity {
    /// The word as the renderers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in a file. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
}

impl Span {
    /// `length` characters of one line, from `column` on.
    pub fn on_line(line: u32, column: u32, length: u32) -> Span {
        Span {
            line,
            column,
            end_line: line,
            end_column: column.saturating_add(length),
        }
    }

    /// The start of a file: for what is true of the file and of no place in it.
    pub fn start() -> Span {
        Span::on_line(1, 1, 0)
    }
}

impl Default for Span {
    fn default() -> Span {
        Span::start()
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// One of [`CODES`]: what tools and suppressions refer to, so it never changes its meaning.
    pub code: &'static str,
    pub severity: Severity,
    /// One line, lower case, with the names of the file in backticks; never a secret.
    pub message: String,
    /// The file as the user named it.
    pub file: Arc<str>,
    /// `None` where no place can be told (an unreadable file).
    pub span: Option<Span>,
    /// The remedy, where there is one.
    pub hint: Option<String>,
}

/// All that was found so far, in the order of finding; read in the order of the file.
#[derive(Clone, Debug)]
pub struct Report {
    file: Arc<str>,
    /// Texts of other files than the one that is checked.
    texts: Sources,
    items: Vec<Diagnostic>,
    beyond: usize,
    errors: usize,
}

impl Report {
    /// An empty report about `file`.
    pub fn new(file: impl Into<Arc<str>>) -> Report {
        Report {
            file: file.into(),
            texts: Sources::new(),
            items: Vec::new(),
            beyond: 0,
            errors: 0,
        }
    }

    /// Keeps the text of its file with it, for showing places where only the report is handed on.
    pub(crate) fn keep_text(&mut self, text: &str) {
        self.texts.insert(self.file.clone(), text);
    }

    /// The file that new entries are about.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Adds an error. `code` must be one of [`CODES`].
    pub fn error(
        &mut self,
        code: &'static str,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> Entry<'_> {
        self.add(Severity::Error, code, span.into(), message.into())
    }

    /// Adds a warning. `code` must be one of [`CODES`].
    pub fn warning(
        &mut self,
        code: &'static str,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> Entry<'_> {
        self.add(Severity::Warning, code, span.into(), message.into())
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Option<Span>,
        message: String,
    ) -> Entry<'_> {
        let file = self.file.clone();
        Entry(self.push(Diagnostic {
            code,
            severity,
            message,
            file,
            span,
            hint: None,
        }))
    }

    fn push(&mut self, found: Diagnostic) -> Option<&mut Diagnostic> {
        debug_assert!(
            codes::is_listed(found.code),
            "code `{}` is not in CODES",
            found.code
        );
        let error = usize::from(found.severity == Severity::Error);
        if self.items.len() >= LIMIT {
            self.beyond += 1;
            self.errors += error;
            return None;
        }
        // What an alias repeats is read once for each use, and says the same each time.
        if self.items.iter().any(|seen| same(seen, &found)) {
            return None;
        }
        self.errors += error;
        self.items.push(found);
        self.items.last_mut()
    }

    /// Keeps only those that `keep` says so of; what is beyond the limit is counted on.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Diagnostic) -> bool) {
        let before = self.errors_kept();
        self.items.retain(keep);
        self.errors -= before - self.errors_kept();
    }

    /// Takes over all that `other` holds, each with its own file.
    pub fn append(&mut self, other: Report) {
        let kept = other.errors_kept();
        if !other.items.is_empty() {
            self.texts.extend(other.texts);
        }
        for item in other.items {
            self.push(item);
        }
        self.beyond += other.beyond;
        self.errors += other.errors - kept;
    }

    fn errors_kept(&self) -> usize {
        self.items
            .iter()
            .filter(|item| item.severity == Severity::Error)
            .count()
    }

    /// Whether anything that was found, kept or only counted, is an error.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors were found, including those beyond the limit.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// How many were found, errors and warnings, including those beyond the limit.
    pub fn len(&self) -> usize {
        self.items.len() + self.beyond
    }

    /// Whether nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything, sorted by file, line and column; the summary of what is beyond comes last.
    pub fn iter(&self) -> impl Iterator<Item = Diagnostic> + '_ {
        let mut order: Vec<&Diagnostic> = self.items.iter().collect();
        order.sort_by_key(|item| (item.file.clone(), item.span));
        order.into_iter().cloned().chain(self.summary())
    }

    fn summary(&self) -> Option<Diagnostic> {
        let hidden_errors = self.errors - self.errors_kept();
        let severity = if hidden_errors > 0 {
            Severity::Error
        } else {
            Severity::Warning
        };
        (self.beyond > 0).then(|| Diagnostic {
            code: "too-many",
            severity,
            message: format!("{} more problems are not shown", self.beyond),
            file: self.file.clone(),
            span: None,
            hint: Some("correct the ones above first".to_owned()),
        })
    }
}

fn same(a: &Diagnostic, b: &Diagnostic) -> bool {
    a.span == b.span && a.code == b.code && a.file == b.file && a.message == b.message
}

/// The diagnostic just added, to say more about it. May be dropped.
pub struct Entry<'a>(Option<&'a mut Diagnostic>);

impl Entry<'_> {
    /// An entry that was not made.
    pub(crate) fn silent() -> Self {
        Entry(None)
    }

    /// Adds the remedy, shown under the place.
    pub fn hint(mut self, text: impl Into<String>) -> Self {
        if let Some(diagnostic) = self.0.as_mut() {
            diagnostic.hint = Some(text.into());
        }
        self
    }

    /// As [`Entry::hint`], where there may be none to give.
    pub fn maybe_hint(self, text: Option<String>) -> Self {
        match text {
            Some(text) => self.hint(text),
            None => self,
        }
    }
}

/// Text of a file as a message shows it: in backticks, at most forty characters, nothing that a
/// terminal would obey.
pub fn quote(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut out = String::from("`");
    for (index, letter) in text.chars().enumerate() {
        if index == SHOWN {
            out.push('…');
            break;
        }
        if letter.is_control() || is_direction(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out.push('`');
    out
}

/// Marks of writing direction: they can make a line read as another than it is.
pub(crate) fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iteration_follows_the_files_not_the_finding() {
        let mut report = Report::new("b.yaml");
        report.error("wrong-type", Span::on_line(9, 2, 1), "late");
        report.warning("unused-component", Span::on_line(3, 7, 1), "right");
        report
            .error("wrong-type", Span::on_line(3, 5, 1), "left")
            .hint("do so");
        let mut other = Report::new("a.yaml");
        other.error("syntax", None, "first file");
        report.append(other);
        let found: Vec<_> = report.iter().map(|item| item.message).collect();
        assert_eq!(found, ["first file", "left", "right", "late"]);
        assert_eq!((report.len(), report.errors()), (4, 3));
    }

    #[test]
    fn past_the_limit_it_counts_and_says_so_once() {
        let mut report = Report::new("f");
        for line in 0..500 {
            report.warning("unused-component", Span::on_line(line, 1, 1), "x");
        }
        assert!(!report.has_errors());
        report
            .error("wrong-type", None, "the only error")
            .hint("not kept");
        assert!(
            report.has_errors(),
            "an error beyond the limit still refuses the file"
        );
        let all: Vec<_> = report.iter().collect();
        assert_eq!(all.len(), LIMIT + 1);
        assert_eq!(all[LIMIT].code, "too-many");
        assert_eq!(all[LIMIT].severity, Severity::Error);
        assert!(all[LIMIT].message.starts_with("301 more"));
        let mut whole = Report::new("g");
        whole.append(report);
        assert_eq!((whole.len(), whole.errors()), (501, 1));
    }

    #[test]
    fn the_same_finding_is_told_once() {
        let mut report = Report::new("f");
        report.error("wrong-type", Span::start(), "x").hint("kept");
        report
            .error("wrong-type", Span::start(), "x")
            .hint("not this one");
        assert_eq!(report.len(), 1);
        assert_eq!(report.iter().next().unwrap().hint.as_deref(), Some("kept"));
    }

    #[test]
    fn quoting_tames_what_it_shows() {
        assert_eq!(quote("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
        assert_eq!(quote("x\u{202e}y"), "`x\\u{202e}y`");
        assert_eq!(quote(&"é".repeat(99)).chars().count(), 43);
    }

    #[test]
    #[should_panic(expected = "not in CODES")]
    fn a_code_must_be_listed() {
        Report::new("f").error("no-such-code", None, "x");
    }
}

//! What VRL says of a program, as diagnostics at their places in the file.

use vrl::diagnostic::{Diagnostic, DiagnosticList, Label, Note};

use super::functions::withheld;
use super::{CODE, Purpose, Source};
use crate::diagnostic::{Report, Span, nearest};

const WARNING: &str = "vrl-warning";
/// Longest message and hint, in characters: VRL lists all that it would have taken.
const LENGTH: usize = 240;
/// Notes that are shown: the first say what to do, the others give more ways.
const NOTES: usize = 3;
/// VRL's codes of which its site has a page.
const EXPLAINED: std::ops::RangeInclusive<usize> = 100..=110;
/// An undefined function, and an undefined variable.
const UNDEFINED: usize = 105;
const UNDECLARED: usize = 701;
const QUOTES: &str = "text stands in double quotes, or as it is in `s'…'`";

impl Source<'_> {
    /// The text.
    pub(super) fn text(&self) -> &str {
        match self {
            Source::Inline(node) => node.as_text().unwrap_or_default(),
            Source::File { text, .. } => text,
        }
    }

    /// All of it.
    pub(super) fn span(&self) -> Span {
        match self {
            Source::Inline(node) => node.span,
            Source::File { .. } => Span::start(),
        }
    }

    /// Whether nothing of it may be shown.
    fn is_hidden(&self) -> bool {
        matches!(self, Source::Inline(node) if node.from_variable)
    }

    /// The place of these bytes; where it cannot be told, all of it, and the program's own line.
    fn place(&self, from: usize, to: usize) -> (Span, Option<usize>) {
        let text = self.text();
        let (from, to) = (floor(text, from), floor(text, to));
        let found = match self {
            Source::Inline(node) => node.place_of(from, to),
            Source::File { written, .. } => written.place(text, from, to),
        };
        let line = || text[..from].matches('\n').count() + 1;
        found.map_or_else(|| (self.span(), Some(line())), |place| (place, None))
    }
}

/// The nearest place that is the start of a letter.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// Reports all of them.
pub(super) fn tell(
    list: DiagnosticList,
    source: Source<'_>,
    purpose: Purpose,
    report: &mut Report,
) {
    for found in list {
        let first = found.labels.iter().position(|label| label.primary);
        let first = first.or((!found.labels.is_empty()).then_some(0));
        let label = first.map(|first| &found.labels[first]);
        let range = label.map_or(0..0, |label| label.span.range());
        let (span, line) = source.place(range.start, range.end);
        let name = source.text().get(range).unwrap_or_default();
        let message = message(&found, label, line, source.is_hidden());
        let hint = match source.is_hidden() {
            true => None,
            false => Some(match found.code {
                UNDEFINED => function_hint(name, purpose),
                UNDECLARED => variable_hint(name, &found),
                _ if name.starts_with('\'') => QUOTES.to_owned(),
                _ => hint(&found, first).unwrap_or_default(),
            })
            .filter(|hint| !hint.is_empty()),
        };
        let entry = match found.is_problem() {
            true => report.error(CODE, span, message),
            false => report.warning(WARNING, span, message),
        };
        entry.maybe_hint(hint);
    }
}

/// What is wrong, in a line, with VRL's number for it.
fn message(found: &Diagnostic, label: Option<&Label>, line: Option<usize>, hidden: bool) -> String {
    let code = match found.code {
        0 => String::new(),
        code => format!(" (VRL {code})"),
    };
    let at = line.map_or_else(String::new, |line| format!("line {line} of the program: "));
    if hidden {
        // Whatever VRL says may repeat a part of the text.
        return format!("{at}the program in the variable is wrong{code}");
    }
    let subject = one_line(&found.message);
    let detail = label.map(|label| one_line(&label.message));
    let detail = detail.as_deref().unwrap_or_default();
    let detail = detail.trim_start_matches("help: ");
    let said = match subject.contains(detail) {
        true => subject,
        false => format!("{subject}: {detail}"),
    };
    format!("{at}{}{code}", cut(&said))
}

/// What VRL says besides.
fn hint(found: &Diagnostic, first: Option<usize>) -> Option<String> {
    let labels = found.labels.iter().enumerate();
    let others = labels.filter(|(number, _)| Some(*number) != first);
    let mut said: Vec<String> = others.map(|(_, label)| one_line(&label.message)).collect();
    let notes = found
        .notes
        .iter()
        .filter(|it| !it.to_string().trim().is_empty());
    for note in notes.take(NOTES) {
        match note {
            Note::Hint(text) | Note::Example(text) | Note::Basic(text) => said.push(one_line(text)),
            Note::CoerceValue => said.push("coerce the value with a function".to_owned()),
            _ => {}
        }
    }
    said.retain(|it| !it.is_empty());
    if said.is_empty() && EXPLAINED.contains(&found.code) {
        said.push(format!("see https://errors.vrl.dev/{}", found.code));
    }
    (!said.is_empty()).then(|| cut(&said.join("; ").replace(":; ", ": ")))
}

/// VRL guesses among what it has, however far off that is.
fn variable_hint(name: &str, found: &Diagnostic) -> String {
    let guesses = found.labels.iter().filter_map(|label| {
        let (_, guess) = label.message.split_once("did you mean \"")?;
        guess.split_once('"').map(|(guess, _)| guess)
    });
    match nearest(name, guesses) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("a field of the event begins with a dot: `.{name}`"),
    }
}

fn function_hint(name: &str, purpose: Purpose) -> String {
    if let Some(why) = withheld(name, purpose) {
        return format!("`{name}` is not offered here: {why}");
    }
    let all = super::functions::offered(purpose);
    match nearest(name, all.iter().map(|it| it.identifier())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "see https://functions.vrl.dev".to_owned(),
    }
}

fn one_line(text: &str) -> String {
    let letters = text.chars().map(|it| match it {
        it if it.is_control() || crate::diagnostic::is_direction(it) => ' ',
        it => it,
    });
    let flat: String = letters.collect();
    flat.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LENGTH) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

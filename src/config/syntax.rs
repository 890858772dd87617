//! Errors of the YAML parser in words for the author of a file.

use granit_parser::{ErrorKind, ScanError};

use crate::diagnostic::{Report, Span, render};

/// Reports what the parser stumbled over, with a hint for what usually causes it.
pub(super) fn report(text: &str, error: &ScanError, report: &mut Report) {
    let line = u32::try_from(error.marker().line())
        .unwrap_or(u32::MAX)
        .max(1);
    let column = u32::try_from(error.marker().col() + 1).unwrap_or(u32::MAX);
    let span = Span::on_line(line, column, 1);
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        let message = format!("the file nests deeper than {} levels", super::DEPTH);
        report.error("too-complex", span, message);
        return;
    }
    report
        .error("syntax", span, error.info())
        .maybe_hint(hint(text, span, error.kind()));
}

fn hint(text: &str, span: Span, kind: &ErrorKind) -> Option<String> {
    let shown = render::line_of(text, span.line).unwrap_or("");
    let indentation = &shown[..shown.len() - shown.trim_start().len()];
    let hint = if indentation.contains('\t') {
        "YAML is indented with spaces, and this line starts with a tab"
    } else if is_reference(shown, span.column) {
        "within `[...]` and `{...}` a reference needs quotes: `\"${NAME}\"`"
    } else {
        match kind {
            ErrorKind::MappingValueNotAllowed => {
                "text with `: ` in it needs quotes; otherwise look at the indentation of this line \
                 and the one above"
            }
            ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
                "a quote that opens here or above is not closed"
            }
            ErrorKind::UnclosedFlowCollection { .. }
            | ErrorKind::UnexpectedEofFlowMapping
            | ErrorKind::UnexpectedEofFlowSequence
            | ErrorKind::ExpectedFlowMappingSeparator
            | ErrorKind::ExpectedFlowSequenceSeparator => {
                "a `[` or `{` that opens here or above is not closed, or a comma is missing"
            }
            ErrorKind::UnknownAnchor => "an alias `*name` needs an anchor `&name` above it",
            ErrorKind::UnknownQuotedScalarEscape => {
                "in double quotes a backslash starts an escape; in single quotes it is just a backslash"
            }
            ErrorKind::UnexpectedCharacter { .. } => {
                "text that starts with a character of YAML's own needs quotes"
            }
            _ => return None,
        }
    };
    Some(hint.to_owned())
}

/// Whether the parser stumbled over the brace of a `${`: in flow style it opens a mapping.
fn is_reference(line: &str, column: u32) -> bool {
    let before = usize::try_from(column)
        .unwrap_or(usize::MAX)
        .saturating_sub(2);
    let mut letters = line.chars().skip(before);
    (letters.next(), letters.next()) == (Some('$'), Some('{'))
}

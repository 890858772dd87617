//! Text with a meaning: paths, secrets and regular expressions.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;

use super::{Node, Setting, Shape};
use crate::diagnostic::{Report, Span};

/// The most memory that one compiled expression may take.
const PATTERN_BYTES: usize = 1 << 20;

impl Setting for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn shape() -> Shape {
        Shape::Text(Self::EXPECTED)
    }

    fn told(&self) -> Option<serde_json::Value> {
        self.to_str().map(Into::into)
    }

    fn read(node: &Node, report: &mut Report) -> Option<PathBuf> {
        let text = String::read(node, report)?;
        let wrong = match text.as_str() {
            "" => "the path is empty",
            text if text.contains('\0') => "the path has a zero character in it",
            _ => return Some(PathBuf::from(text)),
        };
        report
            .error("bad-path", node.span, wrong)
            .hint("name a file or a folder");
        None
    }
}

/// Text that must not be seen: `Debug` and `Display` print `[secret]`, and the empty text is
/// refused, since an empty password or key is a variable that somebody forgot to fill.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret that did not come from a file.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "a secret";

    fn shape() -> Shape {
        Shape::Text(Self::EXPECTED)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Secret> {
        let Some(text) = node.as_text() else {
            // Not `wrong_type`: a secret in digits, written into the file, would be in the message.
            if !node.broken {
                report
                    .error("wrong-type", node.span, "expected a secret as text")
                    .hint("put it in quotes, or better in a variable: `\"${NAME}\"`");
            }
            return None;
        };
        if text.is_empty() {
            report.error("empty-value", node.span, "the secret is empty");
            return None;
        }
        Some(Secret(text.to_owned()))
    }
}

/// A regular expression, compiled within a limit of memory.
#[derive(Clone, Debug)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// Compiles `text`; the error is the reason in one line.
    pub fn compile(text: &str) -> Result<Pattern, String> {
        compile(text).map(Pattern).map_err(|(reason, _)| reason)
    }
}

impl Deref for Pattern {
    type Target = regex::Regex;

    fn deref(&self) -> &regex::Regex {
        &self.0
    }
}

impl Setting for Pattern {
    const EXPECTED: &'static str = "a regular expression";

    fn shape() -> Shape {
        Shape::Text(Self::EXPECTED)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Pattern> {
        let text = String::read(node, report)?;
        match compile(&text) {
            Ok(regex) => Some(Pattern(regex)),
            Err((reason, offset)) => {
                let span = offset.map_or(node.span, |offset| inside(node, &text, offset));
                let message = format!("the regular expression does not compile: {reason}");
                report.error("bad-pattern", span, message);
                None
            }
        }
    }
}

/// The expression, or the reason and, where known, the character at which it goes wrong.
fn compile(text: &str) -> Result<regex::Regex, (String, Option<u32>)> {
    let built = regex::RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES)
        .build();
    built.map_err(|error| match error {
        regex::Error::Syntax(drawn) => explain(&drawn),
        regex::Error::CompiledTooBig(limit) => {
            (format!("it takes more than {limit} bytes of memory"), None)
        }
        _ => ("it is not supported".to_owned(), None),
    })
}

/// `regex` draws the expression with a caret under the mistake and the reason in the last line:
/// the expression must not be repeated here (it may come from a variable), the rest is taken apart.
fn explain(drawn: &str) -> (String, Option<u32>) {
    const INDENT: usize = 4;
    let reason = drawn
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("error: "));
    let caret = drawn.lines().find_map(|line| {
        let (before, _) = line.split_once('^')?;
        (before.chars().all(|c| c == ' ') && before.len() >= INDENT).then_some(before.len())
    });
    let offset = caret.and_then(|caret| u32::try_from(caret - INDENT).ok());
    (reason.unwrap_or("it does not parse").to_owned(), offset)
}

/// The place of the character `offset` of a scalar; the whole of it where that cannot be told.
pub(super) fn inside(node: &Node, text: &str, offset: u32) -> Span {
    let mut letters = text.char_indices().skip(offset as usize);
    let at = letters.next().map_or(text.len(), |(at, _)| at);
    let place = node.place_of(at, at).filter(|_| !node.from_variable);
    place.map_or(node.span, |place| {
        Span::on_line(place.line, place.column, 1)
    })
}

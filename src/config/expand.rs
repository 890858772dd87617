//! `${VAR}`, `${VAR:-default}` and `${file:path}` inside scalars; `$${` is a literal `${`.
//!
//! A missing variable is only noted while the file is read, and told at the end: the nearest name
//! comes from the variables that the file itself uses and that are set, never from the rest of the
//! environment, which is nobody's business.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::environment::{FILE_LIMIT, Variables};
use super::scalar::resolve;
use crate::diagnostic::{Report, Span, nearest, quote};
use crate::setting::{Node, Value};

/// The most text that all scalars of a file may come to, variables and aliases expanded.
pub const TEXT_BYTES: usize = 4 << 20;

pub(super) const TOO_LONG: &str = "the file expands to more than 4 MiB of text";

/// A scalar as the parser found it.
pub(super) struct Scalar<'s> {
    /// Its text with quotes and escapes resolved.
    pub text: &'s str,
    /// Unquoted: its type is told from its text.
    pub plain: bool,
    pub span: Span,
    /// The characters of the file that it was written with.
    pub raw: &'s str,
}

pub(super) struct Expander<'v> {
    variables: &'v dyn Variables,
    folder: PathBuf,
    known: HashMap<String, Option<String>>,
    files: HashMap<String, Result<String, String>>,
    set: BTreeSet<String>,
    missing: Vec<(String, Span)>,
    left: usize,
}

/// A part of a scalar that holds a `${`.
#[derive(Debug, PartialEq)]
enum Part<'t> {
    Text(&'t str),
    Escape,
    Variable {
        name: &'t str,
        default: Option<&'t str>,
        written: &'t str,
    },
    File {
        path: &'t str,
        written: &'t str,
    },
    Malformed {
        why: &'static str,
        written: &'t str,
    },
}

impl<'v> Expander<'v> {
    /// Relative paths of `${file:...}` start from `folder`.
    pub fn new(variables: &'v dyn Variables, folder: &Path) -> Expander<'v> {
        Expander {
            variables,
            folder: folder.to_owned(),
            known: HashMap::new(),
            files: HashMap::new(),
            set: BTreeSet::new(),
            missing: Vec::new(),
            left: TEXT_BYTES,
        }
    }

    /// The value of a scalar; `None` once the limit of text is passed, which is reported.
    pub fn expand(&mut self, scalar: Scalar<'_>, report: &mut Report) -> Option<Node> {
        let node = if scalar.text.contains("${") {
            self.with_references(&scalar, report)
        } else if scalar.plain {
            Node::new(resolve(scalar.text), scalar.span)
        } else {
            Node::new(Value::Text(scalar.text.to_owned()), scalar.span)
        };
        if self.charge(&node) && self.left > 0 {
            return Some(node);
        }
        report.error("too-complex", scalar.span, TOO_LONG);
        None
    }

    /// Takes the text of a node (and those below) from what is left; false when it does not suffice.
    pub fn charge(&mut self, node: &Node) -> bool {
        self.left = self.left.saturating_sub(text_size(node));
        self.left > 0
    }

    fn with_references(&mut self, scalar: &Scalar<'_>, report: &mut Report) -> Node {
        let parts = split(scalar.text);
        let mut places = Places::new(scalar);
        let mut out = String::new();
        let (mut from_outside, mut broken) = (false, false);
        for part in &parts {
            let found = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Escape => {
                    places.find("$${");
                    out.push_str("${");
                    continue;
                }
                Part::Variable {
                    name,
                    default,
                    written,
                } => self.variable(name, *default, places.find(written)),
                Part::File { path, written } => self.file(path, places.find(written), report),
                Part::Malformed { why, written } => {
                    report
                        .error("bad-variable", places.find(written), *why)
                        .hint("write `${NAME}`, `${NAME:-default}` or `${file:path}`; `$${` stands for `${`");
                    None
                }
            };
            match found {
                Some((value, outside)) if out.len() + value.len() <= TEXT_BYTES => {
                    from_outside |= outside;
                    out.push_str(&value);
                }
                // Past the limit nothing is added; what was not expanded is refused by the charge.
                Some(_) => self.left = 0,
                None => broken = true,
            }
        }
        if broken {
            // What was read for nothing counts too: it is kept for the next reference.
            self.left = self.left.saturating_sub(out.len());
            return Node::broken(scalar.span);
        }
        let only = matches!(
            parts.as_slice(),
            [Part::Variable { .. } | Part::File { .. }]
        );
        finished(out, scalar, only, from_outside)
    }

    /// The value, and whether it came from outside the file.
    fn variable(
        &mut self,
        name: &str,
        default: Option<&str>,
        span: Span,
    ) -> Option<(String, bool)> {
        let variables = self.variables;
        let value = self
            .known
            .entry(name.to_owned())
            .or_insert_with(|| variables.get(name))
            .clone();
        if value.is_some() {
            self.set.insert(name.to_owned());
        }
        // As in a shell, `:-` also stands in for a variable that is set to nothing.
        match (value, default) {
            (Some(value), None) => Some((value, true)),
            (Some(value), Some(_)) if !value.is_empty() => Some((value, true)),
            (_, Some(default)) => Some((default.to_owned(), false)),
            (None, None) => {
                self.missing.push((name.to_owned(), span));
                None
            }
        }
    }

    fn file(&mut self, path: &str, span: Span, report: &mut Report) -> Option<(String, bool)> {
        if !self.files.contains_key(path) {
            let content = self.read(path);
            self.files.insert(path.to_owned(), content);
        }
        match self.files.get(path)? {
            Ok(content) => Some((content.clone(), true)),
            Err(why) => {
                let message = format!("the file {} cannot be read: {why}", quote(path));
                report.error("missing-file", span, message);
                None
            }
        }
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let content = self
            .variables
            .file(&self.folder.join(path))
            .map_err(|e| e.to_string())?;
        if content.len() > FILE_LIMIT {
            return Err("it is larger than 64 KiB".to_owned());
        }
        // Editors and `echo` end a file with a line break that no secret has.
        let trimmed = content.strip_suffix('\n').unwrap_or(&content);
        Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned())
    }

    /// Reports the variables that are not set, and tells all that were named.
    pub fn finish(self, report: &mut Report) -> BTreeSet<String> {
        for (name, span) in &self.missing {
            let hint = match nearest(name, self.set.iter().map(String::as_str)) {
                Some(near) => {
                    format!("did you mean `{near}`, which is used elsewhere in this file?")
                }
                None => "set it, or give a default: `${NAME:-default}`".to_owned(),
            };
            let message = format!("the variable {} is not set", quote(name));
            report.error("missing-variable", *span, message).hint(hint);
        }
        self.known.into_keys().collect()
    }
}

/// A plain scalar that is one reference and nothing else takes the type of its value; a quoted one
/// stays text. Either keeps its other reading.
fn finished(text: String, scalar: &Scalar<'_>, only: bool, from_variable: bool) -> Node {
    let typed = Some(resolve(&text)).filter(|value| only && !matches!(value, Value::Text(_)));
    let text = Value::Text(text);
    let (value, other) = match typed {
        Some(typed) if scalar.plain => (typed, Some(text)),
        typed => (text, typed),
    };
    let other = other.map(Box::new);
    Node {
        from_variable,
        other,
        ..Node::new(value, scalar.span)
    }
}

fn text_size(node: &Node) -> usize {
    let own = node.as_text().map_or(0, str::len);
    own + match &node.value {
        Value::List(items) => items.iter().map(text_size).sum(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, node)| key.name.len() + text_size(node))
            .sum(),
        _ => 0,
    }
}

fn split(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let escaped = rest[..at].ends_with('$');
        let before = &rest[..at - usize::from(escaped)];
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        let tail = &rest[at..];
        if escaped {
            parts.push(Part::Escape);
            rest = &tail[2..];
            continue;
        }
        let (part, after) = reference(tail);
        parts.push(part);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// The reference that `text` starts with (`${`), and what follows it.
fn reference(text: &str) -> (Part<'_>, &str) {
    let Some(end) = text.find('}') else {
        // Nor does any later reference end, so the rest is done: looking again would be quadratic.
        let why = "the `}` of this reference is missing";
        return (
            Part::Malformed {
                why,
                written: &text[..2],
            },
            "",
        );
    };
    let (written, after) = text.split_at(end + 1);
    let inner = &written[2..end];
    if inner.contains("${") {
        let why = "a reference cannot stand inside another";
        return (Part::Malformed { why, written }, after);
    }
    if let Some(path) = inner.strip_prefix("file:") {
        let bad = path.is_empty() || path.contains('\0');
        let why = "the path of the file is missing";
        let part = if bad {
            Part::Malformed { why, written }
        } else {
            Part::File { path, written }
        };
        return (part, after);
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let part = if is_variable(name) {
        Part::Variable {
            name,
            default,
            written,
        }
    } else {
        Part::Malformed {
            why: "this is not the name of a variable",
            written,
        }
    };
    (part, after)
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Finds the references of a scalar in the characters it was written with, one after the other.
struct Places<'s> {
    raw: &'s str,
    whole: Span,
    at: usize,
    position: (u32, u32),
}

impl<'s> Places<'s> {
    fn new(scalar: &Scalar<'s>) -> Places<'s> {
        let Scalar { raw, span, .. } = *scalar;
        Places {
            raw,
            whole: span,
            at: 0,
            position: (span.line, span.column),
        }
    }

    /// The next place of `written`; the whole scalar where escapes or folding hide it.
    fn find(&mut self, written: &str) -> Span {
        let Some(offset) = self.raw[self.at..].find(written) else {
            // What follows cannot be told either; not to look for it keeps this linear.
            (self.raw, self.at) = ("", 0);
            return self.whole;
        };
        let start = self.at + offset;
        let (line, column) = advance(self.position, &self.raw[self.at..start]);
        self.at = start + written.len();
        self.position = advance((line, column), written);
        let (end_line, end_column) = self.position;
        Span {
            line,
            column,
            end_line,
            end_column,
        }
    }
}

/// The line and column after `text`, which starts at `from`.
pub(super) fn advance(from: (u32, u32), text: &str) -> (u32, u32) {
    let (mut line, mut column) = from;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' | '\r' => (line, column) = (line + 1, 1),
            _ => column += 1,
        }
    }
    (line, column)
}

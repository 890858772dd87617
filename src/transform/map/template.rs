//! Text put together from fields: `"{^.conversationId}:{.sessionId}"`.

use std::fmt::Write;

use super::locate::{Locator, Scope, part};
use crate::diagnostic::Report;
use crate::event::Path;
use crate::setting::{Node, Setting};

/// A template; `{{` and `}}` stand for the braces themselves.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Field(Locator),
}

impl Template {
    pub(super) fn read(node: &Node, depth: usize, report: &mut Report) -> Option<Self> {
        let text = String::read(node, report)?;
        let chars: Vec<char> = text.chars().collect();
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut sound = true;
        let mut at = 0;
        while at < chars.len() {
            match (chars[at], chars.get(at + 1)) {
                ('{', Some('{')) | ('}', Some('}')) => {
                    plain.push(chars[at]);
                    at += 2;
                }
                ('{', _) => {
                    let Some(end) = closing(&chars, at + 1) else {
                        return wrong(node, &text, at, "this `{` is not closed", report);
                    };
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                    let inside = part(node, &text, at + 1, end);
                    let locator = Locator::read(&inside, depth, report);
                    sound &= locator.is_some();
                    pieces.extend(locator.map(Piece::Field));
                    at = end + 1;
                }
                ('}', _) => return wrong(node, &text, at, "this `}` closes nothing", report),
                (other, _) => {
                    plain.push(other);
                    at += 1;
                }
            }
        }
        pieces.push(Piece::Text(plain));
        sound.then_some(Self(pieces))
    }

    /// The text; `None` when a field in it is missing, null or no scalar.
    pub(super) fn fill(&self, scope: Scope<'_, '_>) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                // Writing into a string cannot fail.
                Piece::Field(locator) => {
                    let _ = write!(out, "{}", locator.find(scope)?.as_plain()?);
                }
            }
        }
        Some(out)
    }

    pub(super) fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        for piece in &mut self.0 {
            if let Piece::Field(locator) = piece {
                locator.paths(visit);
            }
        }
    }
}

/// The `}` that ends a path; one inside of quotes belongs to a name.
fn closing(chars: &[char], from: usize) -> Option<usize> {
    let mut quoted = false;
    let found = chars[from..].iter().position(|c| {
        quoted ^= *c == '"';
        *c == '}' && !quoted
    });
    found.map(|offset| from + offset)
}

fn wrong(
    node: &Node,
    text: &str,
    at: usize,
    message: &str,
    report: &mut Report,
) -> Option<Template> {
    let span = part(node, text, at, at + 1).span;
    report
        .error("bad-template", span, message)
        .hint("a brace itself is written twice: `{{` or `}}`");
    None
}

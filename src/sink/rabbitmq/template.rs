//! Text put together from fields: `status.{.status}`.

use std::fmt::Write;

use crate::diagnostic::Report;
use crate::event::{Event, Path};
use crate::setting::{Node, Setting, Shape};

/// Text in which `{.path}` stands for a field; `{{` and `}}` for the braces themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Path),
}

impl Template {
    /// The text itself, whatever is in it.
    pub fn plain(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// One field.
    pub fn field(path: Path) -> Self {
        Self(vec![Piece::Field(path)])
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let tail = &rest[at..];
            if tail.starts_with("{{") || tail.starts_with("}}") {
                plain.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            if tail.starts_with('}') {
                return Err("a `}` closes nothing".to_owned());
            }
            let end = tail.find('}').ok_or("a `{` is not closed")?;
            let path = tail[1..end]
                .parse::<Path>()
                .map_err(|bad| bad.to_string())?;
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Field(path));
            rest = &tail[end + 1..];
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// The text for an event; `None` where a field is missing, null, or no scalar.
    pub fn fill(&self, event: &Event) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Field(path) => {
                    // Writing into a string cannot fail.
                    let _ = write!(out, "{}", event.get(path)?.as_plain()?);
                }
            }
        }
        Some(out)
    }

    /// Shows the paths.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        for piece in &mut self.0 {
            if let Piece::Field(path) = piece {
                visit(path);
            }
        }
    }
}

impl Setting for Template {
    const EXPECTED: &'static str = "text with fields";

    fn shape() -> Shape {
        Shape::Text(Self::EXPECTED)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let text = String::read(node, report)?;
        match Self::parse(&text) {
            Ok(template) => Some(template),
            Err(wrong) => {
                report
                    .error("bad-template", node.span, wrong)
                    .hint("fields stand as `{.status}`, a brace itself as `{{` or `}}`");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn filled(template: &str, json: &str) -> Option<String> {
        let event = Event::parse(json.to_owned(), &Arc::default(), &Arc::default()).unwrap();
        Template::parse(template).unwrap().fill(&event)
    }

    #[test]
    fn fields_are_filled_in_and_braces_are_doubled() {
        let json = r#"{"status":"sent","n":7,"deep":{"a":"x"},"none":null}"#;
        assert_eq!(filled("status.{.status}", json).unwrap(), "status.sent");
        assert_eq!(filled("{.n}-{.deep.a}", json).unwrap(), "7-x");
        assert_eq!(filled("{{{.n}}}", json).unwrap(), "{7}");
        assert_eq!(filled("", json).unwrap(), "");
        for missing in ["{.gone}", "{.none}", "{.deep}"] {
            assert_eq!(filled(missing, json), None, "{missing}");
        }
    }

    #[test]
    fn what_is_not_closed_or_no_path_is_told() {
        for wrong in ["{", "a}", "{.a", "{a}", "{}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}

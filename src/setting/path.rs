//! Paths into events, as settings.

use super::text::inside;
use super::{Node, Setting, Shape};
use crate::diagnostic::Report;
use crate::event::Path;

impl Setting for Path {
    const EXPECTED: &'static str = "a path to a field";

    fn shape() -> Shape {
        Shape::Text(Self::EXPECTED)
    }

    fn told(&self) -> Option<serde_json::Value> {
        Some(self.to_string().into())
    }

    fn read(node: &Node, report: &mut Report) -> Option<Path> {
        let text = String::read(node, report)?;
        match text.parse() {
            Ok(path) => Some(path),
            Err(bad) => {
                let offset = u32::try_from(bad.at).unwrap_or(u32::MAX);
                let message = format!("not a path to a field: expected {}", bad.expected);
                report
                    .error("bad-field-path", inside(node, &text, offset), message)
                    .hint("write it as `.data.participants[0].name`");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Span;
    use crate::setting::Value;

    #[test]
    fn reads_a_path_and_points_at_the_wrong_letter() {
        let mut report = Report::new("f");
        let mut read = |text: &str, length| {
            let node = Node::new(Value::Text(text.into()), Span::on_line(3, 10, length));
            Path::read(&node, &mut report)
        };
        assert_eq!(
            read(".a[].b", 6).map(|path| path.to_string()).as_deref(),
            Some(".a[].b")
        );
        assert!(read(".a..b", 5).is_none());
        assert!(read("a", 3).is_none());
        let found: Vec<_> = report.iter().filter_map(|item| item.span).collect();
        assert_eq!(found, [Span::on_line(3, 11, 1), Span::on_line(3, 13, 1)]);
        assert!(report.iter().all(|item| item.code == "bad-field-path"));
    }
}

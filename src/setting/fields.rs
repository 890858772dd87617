//! A mapping that is being read, field by field.

use super::{Key, Node, Setting, Shape, Sketch, wrong_type};
use crate::diagnostic::{Entry, Report, Span, nearest, quote};

/// Reads one mapping. It remembers which fields were asked for; [`Fields::finish`] reports the
/// others. Ask for every field also when an earlier one was wrong, so that all mistakes show:
///
/// ```
/// # use trunkline::{diagnostic::Report, setting::{Fields, Node}};
/// # use std::time::Duration;
/// fn read(node: &Node, report: &mut Report) -> Option<(String, Duration)> {
///     let mut fields = Fields::new(node, "transform `unique` (dedup)", report)?;
///     let key = fields.required("key");
///     let window = fields.or("window", Duration::from_secs(300));
///     fields.finish();
///     Some((key?, window))
/// }
/// ```
pub struct Fields<'a> {
    entries: &'a [(Key, Node)],
    span: Span,
    what: String,
    asked: Vec<&'static str>,
    open: bool,
    /// Of a tree that no file says: where it is left what was asked for.
    sketch: Option<&'a Sketch>,
    report: &'a mut Report,
}

impl<'a> Fields<'a> {
    /// Starts on `node`; `what` names it in messages. An error (`wrong-type`) if it is no mapping.
    pub fn new(node: &'a Node, what: &str, report: &'a mut Report) -> Option<Fields<'a>> {
        let Some(entries) = node.as_map() else {
            if !node.broken {
                let message = format!("{what} must be a mapping of fields, found {}", node.kind());
                report.error("wrong-type", node.span, message);
            }
            return None;
        };
        let sketch = node.sketch.as_ref();
        if let Some(sketch) = sketch {
            sketch.enter();
        }
        let (span, what, asked) = (node.span, what.to_owned(), Vec::new());
        Some(Fields {
            entries,
            span,
            what,
            asked,
            open: false,
            sketch,
            report,
        })
    }

    fn find(&self, name: &str) -> Option<&'a (Key, Node)> {
        self.entries.iter().find(|(key, _)| key.name == name)
    }

    /// The node of a field, raw; the field counts as known from now on.
    pub fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        if let Some(sketch) = self.sketch {
            sketch.note(name, |asked| asked.known = true);
        }
        self.find(name).map(|(_, node)| node)
    }

    /// Says what a field takes, for the schema of the file, where its node is read by hand or its
    /// type takes more than is meant. Nothing is read here, and the field does not count as known.
    pub fn takes(&self, name: &'static str, shape: impl FnOnce() -> Shape) {
        if let Some(sketch) = self.sketch {
            sketch.note(name, |asked| asked.takes(shape()));
        }
    }

    /// What the type of a field takes; [`Fields::takes`] says it better.
    fn typed(&self, name: &'static str, shape: impl FnOnce() -> Shape) {
        if let Some(sketch) = self.sketch {
            sketch.note(name, |asked| asked.typed(shape()));
        }
    }

    /// Says what each value of a mapping with free names is, for the schema of the file.
    pub fn all_take(&self, shape: impl FnOnce() -> Shape) {
        if let Some(sketch) = self.sketch {
            sketch.every(shape());
        }
    }

    /// A field that means nothing here counts as known where a variable fills it or leaves it empty,
    /// so that one file can serve several purposes. Written out it stays unknown.
    pub fn spare(&mut self, name: &'static str) {
        if let Some(sketch) = self.sketch {
            sketch.note(name, |asked| {
                asked.typed(Shape::Reference);
                asked.known = true;
            });
        }
        let found = self.find(name);
        if found.is_some_and(|(_, node)| node.from_variable || node.is_unset()) {
            self.node(name);
        }
    }

    /// The node of a field; an error (`missing-field`) if it is not there.
    pub fn required_node(&mut self, name: &'static str) -> Option<&'a Node> {
        let node = self.node(name);
        if let Some(sketch) = self.sketch {
            sketch.note(name, |asked| asked.required = true);
        }
        if node.is_none() {
            let message = format!("{} needs the field `{name}`", self.what);
            // A misspelt field is reported as unknown with its hint when the mapping is finished.
            self.report.error("missing-field", self.span, message);
        }
        node
    }

    /// A field without a default: `missing-field` if absent, the type's own error if wrong.
    pub fn required<T: Setting>(&mut self, name: &'static str) -> Option<T> {
        self.typed(name, T::shape);
        let node = self.required_node(name)?;
        T::read(node, self.report)
    }

    /// A field that may be absent. `None` is also what a wrong value gives, which is reported.
    pub fn optional<T: Setting>(&mut self, name: &'static str) -> Option<T> {
        self.typed(name, T::shape);
        let node = self.node(name)?;
        T::read(node, self.report)
    }

    /// A field that may be absent, or empty: what `"${NAME:-}"` leaves of a variable that is not set.
    pub fn filled<T: Setting>(&mut self, name: &'static str) -> Option<T> {
        self.typed(name, T::shape);
        let node = self.node(name).filter(|node| !node.is_unset())?;
        T::read(node, self.report)
    }

    /// A field with a default, which also stands in for a wrong value (which is reported).
    pub fn or<T: Setting>(&mut self, name: &'static str, default: T) -> T {
        if let Some(sketch) = self.sketch {
            sketch.note(name, |asked| asked.default = default.told());
        }
        self.optional(name).unwrap_or(default)
    }

    /// One of a closed set of words; see [`super::choice`].
    pub fn choice<T: Clone>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Option<T> {
        self.typed(name, || Shape::words(choices));
        let node = self.node(name)?;
        super::choice(node, self.report, choices)
    }

    /// Whether the field is there, whatever it holds; it counts as known from now on.
    pub fn has(&mut self, name: &'static str) -> bool {
        self.node(name).is_some()
    }

    /// The place of a field's value, or of the mapping when the field is absent.
    pub fn span_of(&self, name: &str) -> Span {
        self.find(name).map_or(self.span, |(_, node)| node.span)
    }

    /// The place of a field's name, or of the mapping when the field is absent.
    pub fn key_span_of(&self, name: &str) -> Span {
        self.find(name).map_or(self.span, |(key, _)| key.span)
    }

    /// The place of the mapping itself.
    pub fn span(&self) -> Span {
        self.span
    }

    /// What this mapping is called in messages.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// A nested mapping, read by `read` and finished after it. `None` if it is absent.
    pub fn section<R>(
        &mut self,
        name: &'static str,
        what: &str,
        read: impl FnOnce(&mut Fields<'_>) -> Option<R>,
    ) -> Option<R> {
        let node = self.node(name)?;
        let mut fields = Fields::new(node, what, self.report)?;
        let result = read(&mut fields);
        fields.finish();
        result
    }

    /// Each element of a list, read by `read`; an error if it is no list. Empty if it is absent.
    pub fn each<R>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&'a Node, &mut Report) -> Option<R>,
    ) -> Vec<R> {
        let Some(node) = self.node(name) else {
            return Vec::new();
        };
        let Some(items) = node.as_list() else {
            wrong_type(node, "a list", self.report);
            return Vec::new();
        };
        items
            .iter()
            .filter_map(|item| read(item, self.report))
            .collect()
    }

    /// All fields as they are, for mappings whose names are free; every field counts as known.
    pub fn entries(&mut self) -> &'a [(Key, Node)] {
        self.open = true;
        if let Some(sketch) = self.sketch {
            sketch.open();
        }
        self.entries
    }

    /// Reports an error about this mapping.
    pub fn error(
        &mut self,
        code: &'static str,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> Entry<'_> {
        self.report.error(code, span, message)
    }

    /// Reports a warning about this mapping.
    pub fn warning(
        &mut self,
        code: &'static str,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> Entry<'_> {
        self.report.warning(code, span, message)
    }

    /// The report that this writes into, for readers that take one.
    pub fn report(&mut self) -> &mut Report {
        self.report
    }

    /// Ends the reading: every field that nobody asked for is an error (`unknown-field`).
    pub fn finish(self) {
        if self.open {
            return;
        }
        for (key, _) in self.entries {
            if self.asked.contains(&key.name.as_str()) {
                continue;
            }
            let hint = self.hint_for(&key.name);
            let message = format!("{} has no field {}", self.what, quote(&key.name));
            self.report
                .error("unknown-field", key.span, message)
                .hint(hint);
        }
    }

    fn hint_for(&self, name: &str) -> String {
        // A name that the file has already is not what this one was meant to be.
        let free = self
            .asked
            .iter()
            .copied()
            .filter(|asked| self.find(asked).is_none());
        match nearest(name, free) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.asked.is_empty() => "it takes no fields".to_owned(),
            None => format!("its fields are `{}`", self.asked.join("`, `")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::setting::Value;
    use crate::setting::tests::{node, text};

    fn map(entries: Vec<(&str, Node)>) -> Node {
        let key = |(line, name): (u32, &str)| Key {
            name: name.into(),
            span: Span::on_line(line, 1, name.len() as u32),
        };
        let entries = (1..)
            .zip(entries)
            .map(|(line, (name, node))| (key((line, name)), node));
        node(Value::Map(entries.collect()))
    }

    #[test]
    fn fields_know_what_was_asked() {
        let node = map(vec![
            ("type", text("dedup")),
            ("windwo", text("5m")),
            ("xyzzy", node(Value::Int(1))),
            ("count", node(Value::Int(7))),
        ]);
        let mut report = Report::new("f");
        let mut fields = Fields::new(&node, "transform `unique` (dedup)", &mut report).unwrap();
        assert_eq!(fields.required("type"), Some("dedup".to_owned()));
        assert_eq!(
            fields.or("window", Duration::from_secs(1)),
            Duration::from_secs(1)
        );
        assert_eq!(fields.optional::<u32>("count"), Some(7));
        assert_eq!(fields.required::<String>("key"), None);
        assert_eq!(fields.span_of("key"), node.span);
        fields.finish();
        let found: Vec<_> = report.iter().collect();
        let told: Vec<_> = found
            .iter()
            .map(|d| (d.code, d.span.unwrap().line, &*d.message))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "unknown-field",
                    2,
                    "transform `unique` (dedup) has no field `windwo`"
                ),
                (
                    "unknown-field",
                    3,
                    "transform `unique` (dedup) has no field `xyzzy`"
                ),
                (
                    "missing-field",
                    3,
                    "transform `unique` (dedup) needs the field `key`"
                ),
            ]
        );
        assert_eq!(found[0].hint.as_deref(), Some("did you mean `window`?"));
        assert_eq!(
            found[1].hint.as_deref(),
            Some("its fields are `type`, `window`, `count`, `key`")
        );
    }

    #[test]
    fn a_mapping_with_free_names_has_no_unknown_field() {
        let node = map(vec![("any", text("x"))]);
        let mut report = Report::new("f");
        let mut fields = Fields::new(&node, "labels", &mut report).unwrap();
        assert_eq!(fields.entries()[0].0.name, "any");
        fields.finish();
        assert!(report.is_empty());
    }

    #[test]
    fn sections_are_finished_and_lists_read_one_by_one() {
        let inner = map(vec![
            ("max", node(Value::Int(3))),
            ("mux", node(Value::Int(4))),
        ]);
        let node = map(vec![
            ("buffer", inner),
            (
                "rules",
                node(Value::List(vec![text("a"), node(Value::Int(1))])),
            ),
            ("wrong", text("no mapping")),
        ]);
        let mut report = Report::new("f");
        let mut fields = Fields::new(&node, "sink `x`", &mut report).unwrap();
        let max = fields.section("buffer", "the buffer of `x`", |buffer| {
            buffer.required::<u32>("max")
        });
        assert_eq!(max, Some(3));
        assert_eq!(fields.section("wrong", "the part", |_| Some(())), None);
        assert_eq!(fields.section("absent", "the part", |_| Some(())), None);
        assert_eq!(fields.each("rules", String::read), ["a"]);
        fields.finish();
        let mut told: Vec<_> = report.iter().map(|d| d.message).collect();
        told.sort();
        assert_eq!(
            told,
            [
                "expected text, found whole number `1`",
                "the buffer of `x` has no field `mux`",
                "the part must be a mapping of fields, found text",
            ]
        );
    }
}

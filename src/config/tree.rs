//! The tree of a YAML document, built from the parser's events.
//!
//! Events rather than serde: serde's data model has neither the place of a value nor the
//! difference between `5` and `"5"`, and the limits have to hold while the tree grows.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StructureStyle};

use super::expand::{Expander, Scalar};
use super::lines::{self, Standing};
use crate::diagnostic::{Report, Span, quote};
use crate::setting::{Key, Node, Value, Written};

/// The most nodes of a file, with what its aliases repeat.
pub const NODES: usize = 50_000;
/// The deepest nesting. Everything that walks a tree may recurse, because of this limit.
pub const DEPTH: usize = 32;

/// The tree of the one document in `text`; `None`, with the reason in `report`, if there is none.
pub(super) fn build(text: &str, expander: &mut Expander, report: &mut Report) -> Option<Node> {
    let mut options = granit_parser::options! {
        // Above our own limit, which has the better message; below what the parser's own stack minds.
        flow_nesting_limit: 2 * DEPTH,
        block_nesting_limit: 2 * DEPTH,
    };
    options.set_emit_comments(false);
    let mut builder = Builder {
        text,
        expander,
        report,
        open: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        documents: 0,
        root: None,
    };
    match builder.run(Parser::new_from_str_with_options(text, options)) {
        Ok(()) => builder.finish(),
        Err(Stop) => None,
    }
}

/// It opens a file and stands in no column.
const BYTE_ORDER_MARK: char = '\u{feff}';

const NO_NAME: &str = "the name of a field must be text";

/// The document is refused; the reason is in the report.
struct Stop;

type Step = Result<(), Stop>;

struct Builder<'b, 'v> {
    text: &'b str,
    expander: &'b mut Expander<'v>,
    report: &'b mut Report,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
    root: Option<Node>,
}

/// A list or mapping whose end has not come yet.
struct Open {
    content: Content,
    anchor: usize,
    span: Span,
    flow: bool,
    /// The deepest nesting below, of this collection 1.
    height: usize,
}

enum Content {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        names: HashSet<String>,
        key: Option<(Key, bool)>,
    },
}

/// What an alias stands for.
struct Anchored {
    node: Node,
    height: usize,
}

impl Builder<'_, '_> {
    fn run<'i>(
        &mut self,
        events: impl Iterator<Item = Result<(Event<'i>, granit_parser::Span), ScanError>>,
    ) -> Step {
        for event in events {
            let (event, place) = event.map_err(|error| self.refuse_syntax(&error))?;
            self.event(event, place)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, place: granit_parser::Span) -> Step {
        let span = convert(place);
        match event {
            Event::DocumentStart(..) => self.start_document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let forced = self.check_tag(tag.as_deref(), place)?;
                let plain = style == ScalarStyle::Plain && !forced;
                let raw = place
                    .byte_range()
                    .and_then(|range| self.text.get(range))
                    .unwrap_or("");
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let several = block || span.end_line > span.line;
                let written = several.then(|| self.written(&text, place, block)).flatten();
                self.scalar(
                    Scalar {
                        text: &text,
                        plain,
                        span,
                        raw,
                    },
                    written,
                    anchor,
                )
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), place)?;
                self.start(Content::List(Vec::new()), anchor, span, style)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), place)?;
                let (entries, names) = (Vec::new(), HashSet::new());
                self.start(
                    Content::Map {
                        entries,
                        names,
                        key: None,
                    },
                    anchor,
                    span,
                    style,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(id) => self.alias(id, span),
            _ => Ok(()),
        }
    }

    fn start_document(&mut self, span: Span) -> Step {
        self.documents += 1;
        if self.documents > 1 {
            return self.refuse(
                "syntax",
                span,
                "a pipeline file holds one document, here starts another",
            );
        }
        Ok(())
    }

    /// Where the lines of a scalar stand that has several.
    fn written(&self, text: &str, place: granit_parser::Span, block: bool) -> Option<Written> {
        let range = place.byte_range()?;
        let (above, file) = self.text.split_at_checked(range.start)?;
        let line = above.rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let standing = Standing {
            file,
            before: above[line..].trim_start_matches(BYTE_ORDER_MARK),
            length: range.len(),
            line: convert(place).line,
            block,
        };
        lines::written(text, &standing)
    }

    fn scalar(&mut self, scalar: Scalar<'_>, written: Option<Written>, anchor: usize) -> Step {
        self.count(1, 0, scalar.span)?;
        if self.wants_key() {
            let key = Key {
                name: scalar.text.to_owned(),
                span: scalar.span,
            };
            let node = Node::new(Value::Text(key.name.clone()), key.span);
            self.remember(anchor, &node, 0)?;
            return self.key(key);
        }
        let as_is = !scalar.text.contains("${");
        let mut node = self.expander.expand(scalar, self.report).ok_or(Stop)?;
        node.written = written.filter(|_| as_is);
        if node.value == Value::Null && node.span.column == node.span.end_column {
            // The parser puts a value that is not there wherever it noticed: the key is the place.
            node.span = self.pending_key().unwrap_or(node.span);
        }
        self.remember(anchor, &node, 0)?;
        self.place(node, 0)
    }

    /// An alias is replaced by a copy, which counts: that is what bounds a bomb.
    fn alias(&mut self, id: usize, span: Span) -> Step {
        let Some(Anchored { node, height }) = self.anchors.get(&id) else {
            return self.refuse("syntax", span, "the alias stands inside what it refers to");
        };
        let (nodes, height) = (node.count(), *height);
        // A copy that would not fit is not made.
        let fits = self.nodes + nodes <= NODES;
        let mut copy = if fits {
            node.clone()
        } else {
            Node::new(Value::Null, span)
        };
        copy.span = span;
        self.count(nodes, height, span)?;
        self.charge(&copy)?;
        if !self.wants_key() {
            return self.place(copy, height);
        }
        match copy.value {
            Value::Text(name) if !copy.from_variable => self.key(Key { name, span }),
            _ => self.refuse("syntax", span, NO_NAME),
        }
    }

    fn charge(&mut self, node: &Node) -> Step {
        if self.expander.charge(node) {
            return Ok(());
        }
        self.refuse("too-complex", node.span, super::expand::TOO_LONG)
    }

    fn start(
        &mut self,
        content: Content,
        anchor: usize,
        span: Span,
        style: StructureStyle,
    ) -> Step {
        self.count(1, 1, span)?;
        if self.wants_key() {
            return self.refuse("syntax", span, NO_NAME);
        }
        let flow = style == StructureStyle::Flow;
        self.open.push(Open {
            content,
            anchor,
            span,
            flow,
            height: 1,
        });
        Ok(())
    }

    fn end(&mut self, end: Span) -> Step {
        let Some(Open {
            content,
            anchor,
            mut span,
            flow,
            height,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let last = match &content {
            Content::List(items) => items.last().map(|node| node.span),
            Content::Map { entries, .. } => entries.last().map(|(_, node)| node.span),
        };
        // A block ends where its last value does; the parser notices only at the next line.
        let end = if flow { end } else { last.unwrap_or(span) };
        (span.end_line, span.end_column) = (end.end_line, end.end_column);
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        let node = Node::new(value, span);
        self.remember(anchor, &node, height)?;
        self.place(node, height)
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node, height: usize) -> Step {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        parent.height = parent.height.max(height + 1);
        match &mut parent.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, key, .. } => {
                // A field given twice was reported at its second key; the first value stays.
                if let Some((key, true)) = key.take() {
                    entries.push((key, node));
                }
            }
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                content: Content::Map { key: None, .. },
                ..
            })
        )
    }

    fn pending_key(&self) -> Option<Span> {
        match self.open.last().map(|open| &open.content) {
            Some(Content::Map {
                key: Some((key, _)),
                ..
            }) => Some(key.span),
            _ => None,
        }
    }

    fn key(&mut self, found: Key) -> Step {
        if let Some(Open {
            content: Content::Map { names, key, .. },
            ..
        }) = self.open.last_mut()
        {
            let first = names.insert(found.name.clone());
            if !first {
                let message = format!("the field {} is there already", quote(&found.name));
                self.report
                    .error("duplicate-field", found.span, message)
                    .hint("take one of the two out, or call it otherwise");
            }
            *key = Some((found, first));
        }
        Ok(())
    }

    /// Keeps a copy for aliases. Copies count as nodes, or nested anchors would multiply memory.
    fn remember(&mut self, anchor: usize, node: &Node, height: usize) -> Step {
        if anchor == 0 {
            return Ok(());
        }
        self.count(node.count(), 0, node.span)?;
        self.charge(node)?;
        self.anchors.insert(
            anchor,
            Anchored {
                node: node.clone(),
                height,
            },
        );
        Ok(())
    }

    fn count(&mut self, nodes: usize, height: usize, span: Span) -> Step {
        self.nodes += nodes;
        if self.nodes > NODES {
            let message = format!("the file has more than {NODES} values, aliases followed");
            return self.refuse("too-complex", span, &message);
        }
        if self.open.len() + height > DEPTH {
            let message = format!("the file nests deeper than {DEPTH} levels");
            return self.refuse("too-complex", span, &message);
        }
        Ok(())
    }

    /// Whether a tag makes the scalar text; other tags mean types that settings do not have.
    fn check_tag(
        &mut self,
        tag: Option<&granit_parser::Tag>,
        place: granit_parser::Span,
    ) -> Result<bool, Stop> {
        match tag.map(|tag| tag.core_suffix()) {
            None => Ok(false),
            Some(Some("str")) => Ok(true),
            Some(Some("map" | "seq")) => Ok(false),
            Some(_) => {
                let span = convert(place.tag_span().unwrap_or(place));
                let message = "tags (`!...`) have no meaning in a pipeline file";
                self.refuse("syntax", span, message).map(|()| false)
            }
        }
    }

    fn refuse(&mut self, code: &'static str, span: Span, message: &str) -> Step {
        self.report.error(code, span, message);
        Err(Stop)
    }

    fn refuse_syntax(&mut self, error: &ScanError) -> Stop {
        super::syntax::report(self.text, error, self.report);
        Stop
    }

    fn finish(mut self) -> Option<Node> {
        if self.root.is_none() {
            self.report
                .error("syntax", Span::start(), "the file is empty");
        }
        self.root.take()
    }
}

/// The parser counts columns from 0.
fn convert(place: granit_parser::Span) -> Span {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span {
        line: number(place.start.line()),
        column: number(place.start.col() + 1),
        end_line: number(place.end.line()),
        end_column: number(place.end.col() + 1),
    }
}

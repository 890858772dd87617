//! Where a value is taken from: in the event, or, under `each`, around the element in hand.

use crate::diagnostic::{Report, Span};
use crate::event::{Event, Path, Segment, Value};
use crate::setting::{Node, Setting, Value as Written};

/// What a field sees: the event and, under `each`, the elements that were gone through, outermost
/// first and the one in hand last.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a, 's> {
    pub event: &'a Event,
    pub around: &'s [Value<'a>],
}

/// A path with its starting point.
#[derive(Clone, Debug)]
pub(super) struct Locator {
    /// `None`: the whole event. Otherwise that many elements out from the one in hand.
    out: Option<usize>,
    path: Path,
}

impl Locator {
    /// Reads `.x` (of the element in hand), `^.x` (of the element around it), and so on; one step
    /// beyond the outermost is the whole event. `depth` is how many elements there are, 0 without
    /// `each`.
    pub(super) fn read(node: &Node, depth: usize, report: &mut Report) -> Option<Self> {
        let text = String::read(node, report)?;
        let steps = text.len() - text.trim_start_matches('^').len();
        if steps > depth {
            let message = match depth {
                0 => "`^` means nothing without `each`".to_owned(),
                _ => format!("`^` leads beyond the event: `each` is left after {depth} of them"),
            };
            report.error("bad-field-path", node.span, message);
            return None;
        }
        let path = Path::read(&part(node, &text, steps, text.chars().count()), report)?;
        let out = (steps < depth).then_some(steps);
        Some(Self { out, path })
    }

    /// The first place that it leads to.
    pub(super) fn find<'a>(&self, scope: Scope<'a, '_>) -> Option<Value<'a>> {
        match self.out {
            None => scope.event.get(&self.path),
            Some(steps) => self.start(scope, steps)?.follow(self.path.segments()),
        }
    }

    /// Every place that it leads to.
    pub(super) fn each<'a>(&self, scope: Scope<'a, '_>, visit: &mut dyn FnMut(Value<'a>)) {
        match self.out {
            None => scope.event.each(&self.path, visit),
            Some(steps) => {
                if let Some(start) = self.start(scope, steps) {
                    start.each(self.path.segments(), visit);
                }
            }
        }
    }

    fn start<'a>(&self, scope: Scope<'a, '_>, steps: usize) -> Option<Value<'a>> {
        scope.around.iter().rev().nth(steps).copied()
    }

    /// Shows the path, if it starts at the event: only such can be looked up by the parser.
    pub(super) fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        if self.out.is_none() {
            visit(&mut self.path);
        }
    }
}

/// The characters `from..to` of a scalar as a node of their own, so that a mistake in them is
/// shown at its letter. Where the scalar is not in the file letter by letter, the whole is its place.
pub(super) fn part(node: &Node, text: &str, from: usize, to: usize) -> Node {
    let mut part = node.clone();
    let inside = text.chars().skip(from).take(to - from).collect();
    part.value = Written::Text(inside);
    part.other = None;
    let Span {
        line,
        column,
        end_line,
        end_column,
    } = node.span;
    let wide = end_column.saturating_sub(column) as usize;
    let quotes = wide.checked_sub(text.chars().count());
    if let (true, false, Some(quotes @ (0 | 2))) = (line == end_line, node.from_variable, quotes) {
        let column = column + (quotes / 2 + from) as u32;
        part.span = Span::on_line(line, column, (to - from) as u32);
    }
    part
}

/// `each`: the elements of which every one makes an event.
#[derive(Clone, Debug)]
pub(super) struct Each(Path);

impl Each {
    pub(super) fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let path = Path::read(node, report)?;
        if !path.is_multiple() {
            let message = "`each` goes through no array: its path has no `[]`";
            report
                .error("bad-field-path", node.span, message)
                .hint(format!("write `{path}[]`"));
            return None;
        }
        Some(Self(path))
    }

    /// How many elements are around a field: one for each `[]`, and the end of the path.
    pub(super) fn depth(&self) -> usize {
        let segments = self.0.segments();
        let arrays = segments.iter().filter(|one| **one == Segment::Each).count();
        arrays + usize::from(segments.last() != Some(&Segment::Each))
    }

    /// Calls `visit` with the scope of every element until it answers `false`.
    pub(super) fn visit<'a>(&self, event: &'a Event, visit: &mut dyn FnMut(Scope<'a, '_>) -> bool) {
        let mut around = Vec::with_capacity(self.depth());
        let mut walk = Walk {
            event,
            around: &mut around,
            visit,
        };
        walk.step(event.body(), self.0.segments());
    }
}

struct Walk<'a, 'v> {
    event: &'a Event,
    around: &'v mut Vec<Value<'a>>,
    visit: &'v mut dyn FnMut(Scope<'a, '_>) -> bool,
}

impl<'a> Walk<'a, '_> {
    /// `false` once the visitor has seen enough.
    fn step(&mut self, value: Value<'a>, segments: &[Segment]) -> bool {
        match segments.split_first() {
            Some((Segment::Each, rest)) => value.elements().all(|element| {
                self.around.push(element);
                let go_on = match rest.is_empty() {
                    true => self.here(),
                    false => self.step(element, rest),
                };
                self.around.pop();
                go_on
            }),
            Some((one, rest)) => match value.follow(std::slice::from_ref(one)) {
                Some(next) if rest.is_empty() => {
                    self.around.push(next);
                    let go_on = self.here();
                    self.around.pop();
                    go_on
                }
                Some(next) => self.step(next, rest),
                None => true,
            },
            None => true,
        }
    }

    fn here(&mut self) -> bool {
        (self.visit)(Scope {
            event: self.event,
            around: self.around,
        })
    }
}

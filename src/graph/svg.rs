//! A picture of a pipeline as SVG, laid out here: in layers from left to right, so that every arrow
//! leads to the right. Nothing else is needed to look at it than a browser.

use std::collections::HashMap;
use std::fmt::Write;

use super::outline::{Kind, Outline, Shape};
use super::{Pipeline, promise};
use crate::edge::EdgePolicy;
use crate::observe::Promise;

/// All in pixels.
const WIDTH: usize = 168;
const HEIGHT: usize = 46;
const ACROSS: usize = 72;
const DOWN: usize = 30;
const MARGIN: usize = 24;
/// Rounds in which nodes move to where their neighbours are.
const ROUNDS: usize = 4;

const STYLE: &str = "<style>\
text{font:13px system-ui,sans-serif;fill:#1f2328}.kind{font-size:11px;fill:#59636e}\
.source rect.node{fill:#dafbe1;stroke:#1a7f37}.transform rect.node{fill:#ddf4ff;stroke:#0969da}\
.sink rect.node{fill:#fff8c5;stroke:#9a6700}.letters rect.node{fill:#ffebe9;stroke:#cf222e;\
stroke-dasharray:4 3}.edge{fill:none;stroke:#6e7781;stroke-width:1.5}\
.buffer{fill:#ffffff;stroke:#6e7781}.disk{fill:#6e7781}</style>";

/// Where a node is: its column, and its place in it.
struct Layout {
    columns: Vec<Vec<usize>>,
    rows: usize,
}

/// The picture. With more than one way between two nodes each has an arrow of its own.
pub fn svg(outline: &Outline, pipeline: &Pipeline) -> String {
    let layout = Layout::of(outline);
    let letters = usize::from(pipeline.dead_letter.is_some());
    let width = 2 * MARGIN + layout.columns.len() * (WIDTH + ACROSS) - ACROSS.min(WIDTH);
    let height = 2 * MARGIN + (layout.rows + letters) * (HEIGHT + DOWN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n{STYLE}\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#6e7781\"/></marker>\
         </defs>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escaped(&outline.name)
    );
    let places = layout.places();
    edges(outline, &places, &mut out);
    let promises = promise::promises(pipeline);
    for (index, node) in outline.nodes.iter().enumerate() {
        if let Some(place) = places.get(&index) {
            draw(node, *place, pipeline, &promises, &mut out);
        }
    }
    if let Some(letters) = &pipeline.dead_letter {
        let at = (MARGIN, MARGIN + layout.rows * (HEIGHT + DOWN));
        let about = "What nodes without dead letters of their own refuse, masked, with its reason";
        let words = ("dead letters", letters.component);
        node_box("letters", at, words, about, &mut out);
    }
    out.push_str("</svg>\n");
    out
}

impl Layout {
    fn of(outline: &Outline) -> Layout {
        let mut columns: Vec<Vec<usize>> = Vec::new();
        for (index, depth) in depths(outline).into_iter().enumerate() {
            if columns.len() <= depth {
                columns.resize(depth + 1, Vec::new());
            }
            columns[depth].push(index);
        }
        columns.retain(|column| !column.is_empty());
        let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
        let mut layout = Layout { columns, rows };
        for _ in 0..ROUNDS {
            layout.settle(outline);
        }
        layout
    }

    /// Nodes of a column in the order of what they read, so that fewer arrows cross.
    fn settle(&mut self, outline: &Outline) {
        let places = self.places();
        for column in &mut self.columns {
            let weight = |index: usize| {
                let rows = inputs(outline, index).filter_map(|from| places.get(&from));
                let rows: Vec<usize> = rows.map(|place| place.1).collect();
                let own = places.get(&index).map_or(0, |place| place.1);
                rows.iter()
                    .sum::<usize>()
                    .checked_div(rows.len())
                    .unwrap_or(own)
            };
            column.sort_by_key(|index| weight(*index));
        }
    }

    /// The upper left corner of each node; shorter columns stand in the middle.
    fn places(&self) -> HashMap<usize, (usize, usize)> {
        let mut places = HashMap::new();
        for (column, nodes) in self.columns.iter().enumerate() {
            let above = (self.rows - nodes.len()) * (HEIGHT + DOWN) / 2;
            for (row, node) in nodes.iter().enumerate() {
                let x = MARGIN + column * (WIDTH + ACROSS);
                let y = MARGIN + above + row * (HEIGHT + DOWN);
                places.insert(*node, (x, y));
            }
        }
        places
    }
}

/// The nodes that a node reads.
fn inputs(outline: &Outline, index: usize) -> impl Iterator<Item = usize> {
    let names = outline.nodes[index].inputs.iter();
    names.filter_map(|(input, _)| outline.nodes.iter().position(|it| it.name == input.node))
}

/// How many nodes there are at most on a way to each. Checked pipelines have no cycles; the rounds
/// are bounded all the same.
fn depths(outline: &Outline) -> Vec<usize> {
    let mut depths = vec![0; outline.nodes.len()];
    for _ in 0..outline.nodes.len() {
        for index in 0..depths.len() {
            let deepest = inputs(outline, index).map(|from| depths[from] + 1).max();
            depths[index] = deepest.unwrap_or(0);
        }
    }
    // Sinks stand in the last column.
    let last = depths.iter().max().copied().unwrap_or(0);
    for (depth, node) in depths.iter_mut().zip(&outline.nodes) {
        if node.kind == Kind::Sink {
            *depth = last;
        }
    }
    depths
}

fn edges(outline: &Outline, places: &HashMap<usize, (usize, usize)>, out: &mut String) {
    for (to, node) in outline.nodes.iter().enumerate() {
        for (input, _) in &node.inputs {
            let from = outline.nodes.iter().position(|it| it.name == input.node);
            let ends = from.and_then(|from| Some((places.get(&from)?, places.get(&to)?)));
            let Some((from, to)) = ends else { continue };
            let (x1, y1) = (from.0 + WIDTH, from.1 + HEIGHT / 2);
            let (x2, y2) = (to.0, to.1 + HEIGHT / 2);
            let bend = ACROSS / 2;
            let _ = writeln!(
                out,
                "<path class=\"edge\" marker-end=\"url(#arrow)\" d=\"M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}\"/>",
                x1 + bend,
                x2.saturating_sub(bend),
            );
            if !input.output.is_empty() {
                let (x, y) = (x1 + 6, (3 * y1 + y2) / 4);
                let label = escaped(&input.output);
                let _ = writeln!(
                    out,
                    "<text class=\"kind\" x=\"{x}\" y=\"{y}\">{label}</text>"
                );
            }
        }
    }
}

fn draw(
    node: &Shape,
    at: (usize, usize),
    pipeline: &Pipeline,
    promises: &[Promise],
    out: &mut String,
) {
    let class = node.kind.word();
    let words = (node.name.as_str(), node.component.as_str());
    node_box(class, at, words, &about(node, promises), out);
    let (buffer, letters) = beside(node, pipeline);
    if let Some(buffer) = buffer {
        badge(buffer, at, out);
    }
    if let Some(letters) = letters {
        let (x, y) = (at.0 + 10, at.1 + HEIGHT + 13);
        let letters = escaped(letters);
        let _ = writeln!(
            out,
            "<text class=\"kind\" x=\"{x}\" y=\"{y}\">⤷ dead letters: {letters}</text>"
        );
    }
}

/// The buffer in front of a node, and the type of its own dead letters.
fn beside<'p>(node: &Shape, pipeline: &'p Pipeline) -> (Option<&'p EdgePolicy>, Option<&'p str>) {
    let name = node.name.as_str();
    let letters = |it: &'p Option<super::DeadLetterNode>| it.as_ref().map(|it| it.component);
    let source = pipeline.sources.iter().find(|it| *it.name == *name);
    let transform = pipeline.transforms.iter().find(|it| *it.name == *name);
    let sink = pipeline.sinks.iter().find(|it| *it.name == *name);
    match (source, transform, sink) {
        (Some(it), _, _) => (None, letters(&it.dead_letter)),
        (_, Some(it), _) => (it.buffer.as_ref(), letters(&it.dead_letter)),
        (_, _, Some(it)) => (Some(&it.buffer), letters(&it.dead_letter)),
        _ => (None, None),
    }
}

/// A queue at the left side of the node: filled where it is on disk.
fn badge(buffer: &EdgePolicy, (x, y): (usize, usize), out: &mut String) {
    let (class, rests) = match &buffer.disk {
        Some(disk) if disk.spill => ("buffer", "in memory, and on disk when that is full"),
        Some(_) => ("buffer disk", "on disk"),
        None => ("buffer", "in memory"),
    };
    let about = format!(
        "Buffer {rests}; at most {} events wait in memory",
        buffer.max_events
    );
    let _ = write!(out, "<g><title>{}</title>", escaped(&about));
    for bar in 0..3 {
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"4\" height=\"14\"/>",
            x + 8 + bar * 6,
            y + 16,
        );
    }
    out.push_str("</g>\n");
}

/// What a sink is promised, source by source; for others what they are.
fn about(node: &Shape, promises: &[Promise]) -> String {
    let mut about = format!("{} {} ({})", node.kind.word(), node.name, node.component);
    for promise in promises.iter().filter(|it| *it.sink == *node.name) {
        let words = promise.guarantee.words();
        let _ = write!(about, "\n{}: {words} ({})", promise.source, promise.why);
    }
    about
}

fn node_box(
    class: &str,
    (x, y): (usize, usize),
    (name, kind): (&str, &str),
    about: &str,
    out: &mut String,
) {
    let (middle, first, second) = (x + WIDTH / 2 + 8, y + 20, y + 36);
    let _ = writeln!(
        out,
        "<g class=\"{class}\"><title>{}</title><rect class=\"node\" x=\"{x}\" y=\"{y}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"7\"/><text text-anchor=\"middle\" x=\"{middle}\" \
         y=\"{first}\">{}</text><text class=\"kind\" text-anchor=\"middle\" x=\"{middle}\" \
         y=\"{second}\">{}</text></g>",
        escaped(about),
        escaped(&shortened(name)),
        escaped(kind),
    );
}

/// As much of a name as there is room for.
fn shortened(name: &str) -> String {
    const MOST: usize = 19;
    match name.chars().count() > MOST {
        true => name.chars().take(MOST - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

/// Text as XML has it. Characters that XML cannot hold are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            letter if letter < ' ' => {}
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Fixed};
    use crate::graph::check::check;

    const TEXT: &str = "version: 1\nname: p\nsources:\n  a: { type: stdin }\n  b: { type: stdin }\n\
        transforms:\n\
        \x20 kinds: { type: route, inputs: [a, b], routes: { calls: { path: .x, equals: 1 } } }\n\
        \x20 unique: { type: dedup, inputs: [kinds.calls], key: .id, buffer: { type: disk, path: x } }\n\
        sinks:\n  out: { type: stdout, inputs: [unique, kinds.else] }\n\
        \x20 near: { type: blackhole, inputs: [a], dead_letter: { type: stdout } }\n\
        dead_letter: { type: file, path: y }\n";

    fn picture() -> (String, Outline) {
        let checked = check(&config::parse("p.yaml", TEXT, &Fixed::new()));
        let pipeline = checked.pipeline.unwrap();
        (svg(&checked.outline, &pipeline), checked.outline)
    }

    #[test]
    fn every_arrow_leads_to_the_right_and_no_two_nodes_lie_on_each_other() {
        let (_, outline) = picture();
        let layout = Layout::of(&outline);
        let places = layout.places();
        assert_eq!(places.len(), outline.nodes.len());
        for (to, place) in &places {
            assert!(inputs(&outline, *to).all(|from| places[&from].0 < place.0));
            let same = places.values().filter(|other| *other == place).count();
            assert_eq!(same, 1);
        }
        let columns: Vec<_> = layout.columns.iter().map(Vec::len).collect();
        assert_eq!(columns, [2, 1, 1, 2], "sources, route, dedup, sinks");
    }

    #[test]
    fn buffers_dead_letters_and_promises_are_shown() {
        let (svg, _) = picture();
        assert_eq!(svg.matches("class=\"edge\"").count(), 6);
        assert_eq!(svg.matches("Buffer on disk").count(), 1);
        assert_eq!(svg.matches("Buffer in memory").count(), 2);
        assert!(svg.contains("dead letters: stdout") && svg.contains(">file</text>"));
        assert!(svg.contains("\na: best effort ("), "{svg}");
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("<a b=\"&\">\u{1}"), "&lt;a b=&quot;&amp;&quot;&gt;");
    }
}

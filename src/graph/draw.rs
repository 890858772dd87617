//! Pictures of a pipeline: as text, for Mermaid and for Graphviz.

use std::collections::HashSet;
use std::fmt::Write;

use super::outline::{Kind, Outline, Shape};

/// Who reads a node, and from which output.
fn readers<'a>(outline: &'a Outline, node: &'a Shape) -> Vec<(&'a Shape, &'a str)> {
    let of = |reader: &'a Shape| {
        let inputs = reader
            .inputs
            .iter()
            .filter(|(input, _)| input.node == node.name);
        inputs.map(move |(input, _)| (reader, input.output.as_str()))
    };
    outline.nodes.iter().flat_map(of).collect()
}

/// A tree for the terminal. A node with several inputs is drawn once and pointed at after that.
pub fn text(outline: &Outline) -> String {
    let mut out = format!("{}\n", outline.name);
    let mut drawn = HashSet::new();
    let sources: Vec<_> = outline
        .nodes
        .iter()
        .filter(|node| node.kind == Kind::Source)
        .collect();
    for (index, source) in sources.iter().enumerate() {
        let last = index + 1 == sources.len();
        branch(outline, (source, ""), "", last, &mut drawn, &mut out);
    }
    out
}

fn branch<'a>(
    outline: &'a Outline,
    (node, output): (&'a Shape, &str),
    indent: &str,
    last: bool,
    drawn: &mut HashSet<&'a str>,
    out: &mut String,
) {
    let (arm, below) = if last {
        ("└─ ", "   ")
    } else {
        ("├─ ", "│  ")
    };
    let via = if output.is_empty() {
        String::new()
    } else {
        format!("[{output}] ")
    };
    let first = drawn.insert(&node.name);
    let seen = if first { "" } else { " (see above)" };
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{indent}{arm}{via}{} · {}{seen}",
        node.name, node.component
    );
    if !first {
        return;
    }
    let readers = readers(outline, node);
    let indent = format!("{indent}{below}");
    for (index, reader) in readers.iter().enumerate() {
        branch(
            outline,
            *reader,
            &indent,
            index + 1 == readers.len(),
            drawn,
            out,
        );
    }
}

/// A flowchart for Mermaid, which GitHub and GitLab draw inside Markdown.
pub fn mermaid(outline: &Outline) -> String {
    let mut out = String::from("flowchart LR\n");
    for (index, node) in outline.nodes.iter().enumerate() {
        let (open, close) = match node.kind {
            Kind::Source => ("([", "])"),
            Kind::Transform => ("[", "]"),
            Kind::Sink => ("[(", ")]"),
        };
        let label = format!("{}<br/><i>{}</i>", node.name, node.component);
        let _ = writeln!(out, "    n{index}{open}\"{label}\"{close}");
    }
    for (from, to, output) in edges(outline) {
        let label = if output.is_empty() {
            String::new()
        } else {
            format!("|{output}|")
        };
        let _ = writeln!(out, "    n{from} -->{label} n{to}");
    }
    out
}

/// A graph for Graphviz.
pub fn dot(outline: &Outline) -> String {
    let mut out = format!("digraph \"{}\" {{\n    rankdir=LR;\n", outline.name);
    for (index, node) in outline.nodes.iter().enumerate() {
        let shape = match node.kind {
            Kind::Source => "oval",
            Kind::Transform => "box",
            Kind::Sink => "cylinder",
        };
        let label = format!("{}\\n{}", node.name, node.component);
        let _ = writeln!(out, "    n{index} [shape={shape}, label=\"{label}\"];");
    }
    for (from, to, output) in edges(outline) {
        let _ = writeln!(out, "    n{from} -> n{to} [label=\"{output}\"];");
    }
    out.push_str("}\n");
    out
}

/// Edges by node number. Names and types are checked words, so nothing needs escaping.
fn edges(outline: &Outline) -> Vec<(usize, usize, &str)> {
    let mut edges = Vec::new();
    for (to, node) in outline.nodes.iter().enumerate() {
        for (input, _) in &node.inputs {
            let from = outline
                .nodes
                .iter()
                .position(|other| other.name == input.node);
            edges.extend(from.map(|from| (from, to, input.output.as_str())));
        }
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::super::Input;
    use super::*;
    use crate::diagnostic::Span;

    fn outline() -> Outline {
        let node = |name: &str, kind, component: &str, inputs: &[&str]| Shape {
            name: name.into(),
            kind,
            component: component.into(),
            inputs: inputs
                .iter()
                .map(|input| {
                    let (node, output) = input.split_once('.').unwrap_or((input, ""));
                    (
                        Input {
                            node: node.into(),
                            output: output.into(),
                        },
                        Span::start(),
                    )
                })
                .collect(),
            outputs: Vec::new(),
            main: true,
            span: Span::start(),
        };
        let nodes = vec![
            node("exports", Kind::Source, "file", &[]),
            node("by_type", Kind::Transform, "route", &["exports"]),
            node("calls", Kind::Sink, "warehouse", &["by_type.voice"]),
            node(
                "rest",
                Kind::Sink,
                "blackhole",
                &["by_type.else", "exports"],
            ),
        ];
        Outline {
            name: "demo".into(),
            nodes,
        }
    }

    #[test]
    fn draws_a_tree_with_each_node_once() {
        let expected = "demo\n\
            └─ exports · file\n   \
               ├─ by_type · route\n   \
               │  ├─ [voice] calls · warehouse\n   \
               │  └─ [else] rest · blackhole\n   \
               └─ rest · blackhole (see above)\n";
        assert_eq!(text(&outline()), expected);
    }

    #[test]
    fn draws_for_mermaid_and_graphviz() {
        let mermaid = mermaid(&outline());
        assert!(
            mermaid.contains("n0([\"exports<br/><i>file</i>\"])"),
            "{mermaid}"
        );
        assert!(mermaid.contains("n1 -->|voice| n2"), "{mermaid}");
        let dot = dot(&outline());
        assert!(
            dot.contains("n0 -> n3 [label=\"\"];") && dot.ends_with("}\n"),
            "{dot}"
        );
    }
}

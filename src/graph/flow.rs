//! Which nodes a pipeline runs and what each reads, by the names that their meters have.

use std::sync::Arc;

use super::{DeadLetterNode, Input, Pipeline};
use crate::edge::EdgePolicy;
use crate::observe::{FlowInput, FlowNode};

/// The node of the dead letters that the whole pipeline shares.
pub(super) const SHARED_LETTERS: &str = "dead_letter";

/// The node of a node's own dead letters.
pub(super) fn letters_name(node: &str) -> Arc<str> {
    format!("{node}.dead_letter").into()
}

/// The node of the disk buffer in front of a node.
pub(super) fn buffer_name(node: &str) -> Arc<str> {
    format!("{node}.buffer").into()
}

/// Every node after those that it reads, disk buffers in front of theirs, dead letters at the end.
pub(super) fn flow(pipeline: &Pipeline) -> Vec<FlowNode> {
    let mut flow = Flow::default();
    for node in &pipeline.sources {
        flow.node(&node.name, Vec::new(), node.dead_letter.as_ref());
    }
    for node in &pipeline.transforms {
        let inputs = flow.buffered(&node.name, &node.inputs, node.buffer.as_ref());
        flow.node(&node.name, inputs, node.dead_letter.as_ref());
    }
    for node in &pipeline.sinks {
        let inputs = flow.buffered(&node.name, &node.inputs, Some(&node.buffer));
        flow.node(&node.name, inputs, node.dead_letter.as_ref());
    }
    if pipeline.dead_letter.is_some() {
        let inputs = std::mem::take(&mut flow.sharing);
        let name = SHARED_LETTERS.into();
        flow.letters.push(FlowNode { name, inputs });
    }
    flow.nodes.extend(flow.letters);
    flow.nodes
}

#[derive(Default)]
struct Flow {
    nodes: Vec<FlowNode>,
    letters: Vec<FlowNode>,
    /// Nodes without dead letters of their own.
    sharing: Vec<FlowInput>,
}

impl Flow {
    /// What a node reads: its disk buffer, which reads the rest, where it has one.
    fn buffered(
        &mut self,
        node: &Arc<str>,
        inputs: &[Input],
        edge: Option<&EdgePolicy>,
    ) -> Vec<FlowInput> {
        let read = |input: &Input| FlowInput {
            node: input.node.as_str().into(),
            output: input.output.clone(),
        };
        let inputs = inputs.iter().map(read).collect();
        if edge.is_none_or(|edge| edge.disk.is_none()) {
            return inputs;
        }
        let name = buffer_name(node);
        let buffered = whole(&name);
        self.nodes.push(FlowNode { name, inputs });
        vec![buffered]
    }

    fn node(&mut self, name: &Arc<str>, inputs: Vec<FlowInput>, own: Option<&DeadLetterNode>) {
        let name = name.clone();
        match own {
            Some(_) => self.letters.push(FlowNode {
                name: letters_name(&name),
                inputs: vec![whole(&name)],
            }),
            None => self.sharing.push(whole(&name)),
        }
        self.nodes.push(FlowNode { name, inputs });
    }
}

/// The unnamed output.
fn whole(node: &Arc<str>) -> FlowInput {
    FlowInput {
        node: node.clone(),
        output: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Fixed};
    use crate::graph::check::check;

    #[test]
    fn buffers_stand_before_their_nodes_and_dead_letters_at_the_end() {
        let text = "version: 1\nname: p\nsources:\n  a: { type: stdin }\ntransforms:\n\
            \x20 kinds: { type: route, inputs: [a], routes: { calls: { path: .x, equals: 1 } } }\n\
            \x20 unique: { type: dedup, inputs: [kinds.calls], key: .id, buffer: { type: disk, path: x } }\n\
            sinks:\n  out: { type: stdout, inputs: [unique, kinds.else] }\n\
            \x20 near: { type: blackhole, inputs: [a], dead_letter: { type: stdout } }\n\
            dead_letter: { type: file, path: y }\n";
        let checked = check(&config::parse("p.yaml", text, &Fixed::new()));
        let flow = flow(&checked.pipeline.unwrap());
        let told = flow.iter().map(|node| {
            let inputs = node.inputs.iter();
            let inputs: Vec<_> = inputs
                .map(|it| format!("{}.{}", it.node, it.output))
                .collect();
            format!("{} < {}", node.name, inputs.join(" "))
        });
        let expected = [
            "a < ",
            "kinds < a.",
            "unique.buffer < kinds.calls",
            "unique < unique.buffer.",
            "out < unique. kinds.else",
            "near < a.",
            "near.dead_letter < near.",
            "dead_letter < a. kinds. unique. out.",
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }
}

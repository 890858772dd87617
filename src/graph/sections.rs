//! Which nodes have an instance for each lane of a partitioned edge, and how many.
//!
//! An edge with `partition_by` begins a section: the transforms behind it, up to the next edge,
//! are built once for each of its lanes. A node without an edge that reads two sections would
//! have to belong to both.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Input, TransformNode};

/// Where a node belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// The node whose edge begins it; `None` where nothing is partitioned.
    pub begins: Option<Arc<str>>,
    /// Instances of each node in it.
    pub lanes: u32,
}

impl Section {
    const WHOLE: Section = Section {
        begins: None,
        lanes: 1,
    };
}

/// The sections of all transforms, which stand in the order of the flow. A node that mixes
/// sections belongs to the first of them.
pub(super) fn sections(transforms: &[TransformNode]) -> HashMap<Arc<str>, Section> {
    let mut found: HashMap<Arc<str>, Section> = HashMap::new();
    for node in transforms {
        let section = match own(node) {
            Some(section) => section,
            None => read(&found, &node.inputs).next().unwrap_or(Section::WHOLE),
        };
        found.insert(node.name.clone(), section);
    }
    found
}

/// Transforms without an edge that read more than one section, and where two of them begin.
pub(super) fn mixed(transforms: &[TransformNode]) -> Vec<(Arc<str>, Section, Section)> {
    let found = sections(transforms);
    let mut mixed = Vec::new();
    for node in transforms.iter().filter(|node| own(node).is_none()) {
        let mut inputs = read(&found, &node.inputs);
        let Some(first) = inputs.next() else { continue };
        if let Some(other) = inputs.find(|other| *other != first) {
            mixed.push((node.name.clone(), first, other));
        }
    }
    mixed
}

/// The section that a node with an edge begins.
fn own(node: &TransformNode) -> Option<Section> {
    let edge = node.buffer.as_ref()?;
    // The settings bound it far below.
    let lanes = u32::try_from(edge.lanes()).unwrap_or(u32::MAX);
    Some(Section {
        begins: (lanes > 1).then(|| node.name.clone()),
        lanes,
    })
}

/// The sections that a node reads; sources are whole.
fn read<'a>(
    found: &'a HashMap<Arc<str>, Section>,
    inputs: &'a [Input],
) -> impl Iterator<Item = Section> + 'a {
    inputs.iter().map(|input| {
        let section = found.get(input.node.as_str());
        section.cloned().unwrap_or(Section::WHOLE)
    })
}

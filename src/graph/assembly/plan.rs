//! What a new pipeline has in common with the one that runs.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::{Assembly, Changes, Print};
use crate::edge::DiskPolicy;
use crate::event::PathSet;
use crate::failure::Failure;
use crate::graph::sections::sections;
use crate::graph::{Input, Pipeline, StateSetting, TransformNode};
use crate::seal::KeyId;

/// What a node is to be.
struct Wanted {
    print: Print,
    inputs: Vec<Input>,
    lanes: u32,
    aside: bool,
    keep: bool,
}

/// What cannot change while a pipeline runs.
#[derive(PartialEq)]
pub(super) struct Fixed {
    name: Arc<str>,
    state: StateSetting,
    keys: Vec<KeyId>,
    simulated: bool,
    buffers: BTreeMap<Arc<str>, DiskPolicy>,
}

impl Fixed {
    fn of(pipeline: &Pipeline) -> Self {
        let keys = pipeline.encryption.iter().flat_map(|ring| ring.ids());
        let transforms = pipeline.transforms.iter();
        let transforms = transforms.filter_map(|node| Some((&node.name, node.buffer.as_ref()?)));
        let sinks = pipeline.sinks.iter().map(|node| (&node.name, &node.buffer));
        let buffers = transforms.chain(sinks);
        Self {
            name: pipeline.name.clone(),
            state: pipeline.state.clone(),
            keys: keys.collect(),
            simulated: pipeline.simulator.is_some(),
            buffers: buffers
                .filter_map(|(name, edge)| Some((name.clone(), edge.disk.clone()?)))
                .collect(),
        }
    }

    /// Says what differs where it may not. A disk buffer may come, but not go: what lies in it
    /// would lie there for ever.
    fn permits(&self, new: &Fixed) -> Result<(), Failure> {
        let differs = if self.name != new.name {
            "its `name`"
        } else if self.state != new.state {
            "its `state`"
        } else if self.keys != new.keys {
            "its `encryption`"
        } else if self.simulated != new.simulated {
            "whether it has a simulator"
        } else if (self.buffers.iter()).any(|(name, disk)| new.buffers.get(name) != Some(disk)) {
            "a disk buffer"
        } else {
            return Ok(());
        };
        let message = format!("{differs} cannot change while the pipeline runs: restart it");
        Err(Failure::fatal("needs_restart", message))
    }
}

/// The nodes of a new pipeline beside those that run.
pub(super) struct Plan {
    nodes: BTreeMap<Arc<str>, Wanted>,
    sources: BTreeMap<Arc<str>, (Print, bool)>,
    read: HashSet<Input>,
    gone: Vec<String>,
    added: Vec<String>,
    replaced: Vec<String>,
    pub fixed: Fixed,
}

impl Plan {
    /// # Errors
    /// When something differs that cannot change while the pipeline runs.
    pub fn of(running: &Assembly, pipeline: &Pipeline) -> Result<Self, Failure> {
        let fixed = Fixed::of(pipeline);
        running
            .fixed
            .as_ref()
            .map_or(Ok(()), |old| old.permits(&fixed))?;
        let mut plan = Self {
            nodes: BTreeMap::new(),
            sources: BTreeMap::new(),
            read: HashSet::new(),
            gone: Vec::new(),
            added: Vec::new(),
            replaced: Vec::new(),
            fixed,
        };
        plan.want_nodes(pipeline);
        plan.compare(running, pipeline);
        Ok(plan)
    }

    fn want_nodes(&mut self, pipeline: &Pipeline) {
        let shared = pipeline.dead_letter.is_some();
        let transforms = pipeline.transforms.iter().map(|node| &node.inputs);
        let sinks = pipeline.sinks.iter().map(|node| &node.inputs);
        self.read = transforms.chain(sinks).flatten().cloned().collect();
        let sections = sections(&pipeline.transforms);
        let holding = holding(&pipeline.transforms);
        for node in &pipeline.transforms {
            let lanes = sections.get(&node.name).map_or(1, |section| section.lanes);
            let aside = lanes == 1 && !holding.contains(&*node.name);
            let outputs: BTreeSet<&str> = self.read_outputs(&node.name).collect();
            // What it was built with, beside its own settings.
            let letters = (node.dead_letter.is_some(), shared);
            let wanted = Wanted {
                print: node.print.and((lanes, aside, outputs, letters)),
                inputs: node.inputs.clone(),
                lanes,
                aside,
                keep: false,
            };
            self.nodes.insert(node.name.clone(), wanted);
        }
        for node in &pipeline.sinks {
            let letters = (node.dead_letter.is_some(), shared);
            let outputs: BTreeSet<&str> = self.read_outputs(&node.name).collect();
            let wanted = Wanted {
                print: node.print.and((outputs, letters)),
                inputs: node.inputs.clone(),
                lanes: 1,
                aside: false,
                keep: false,
            };
            self.nodes.insert(node.name.clone(), wanted);
        }
    }

    /// What of it runs already.
    fn compare(&mut self, running: &Assembly, pipeline: &Pipeline) {
        let delivery = format!("{:?}", pipeline.delivery);
        for node in &pipeline.sources {
            let letters = (node.dead_letter.is_some(), pipeline.dead_letter.is_some());
            let print = node.print.and((&delivery, letters));
            let old = running.roots.get(&node.name).map(|root| root.print);
            let keep = self.note(&node.name, old, print);
            self.sources.insert(node.name.clone(), (print, keep));
        }
        let names: Vec<Arc<str>> = self.nodes.keys().cloned().collect();
        for name in names {
            let old = running.lives.get(&name).map(|live| live.print);
            let keep = self.note(&name, old, self.nodes[&name].print);
            if let Some(wanted) = self.nodes.get_mut(&name) {
                wanted.keep = keep;
            }
        }
        let running = running.roots.keys().chain(running.lives.keys());
        let gone = running.filter(|name| !self.has(name) && !self.sources.contains_key(*name));
        self.gone = gone.map(|name| name.to_string()).collect();
    }

    fn note(&mut self, name: &str, old: Option<Print>, new: Print) -> bool {
        match old {
            Some(old) if old == new => return true,
            Some(_) => self.replaced.push(name.into()),
            None => self.added.push(name.into()),
        }
        false
    }

    pub fn changes(&self) -> Changes {
        let all = self.nodes.len() + self.sources.len();
        Changes {
            added: self.added.clone(),
            replaced: self.replaced.clone(),
            removed: self.gone.clone(),
            kept: all - self.added.len() - self.replaced.len(),
            given_up: 0,
        }
    }

    /// Whether the new pipeline has this transform or sink.
    pub fn has(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    /// Whether this transform or sink runs already and goes on.
    pub fn keeps(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|wanted| wanted.keep)
    }

    /// Whether this source runs already and goes on.
    pub fn keeps_source(&self, name: &str) -> bool {
        self.sources.get(name).is_some_and(|(_, keep)| *keep)
    }

    /// Print of a source.
    pub fn source_print(&self, name: &str) -> Print {
        self.sources
            .get(name)
            .map(|(print, _)| *print)
            .unwrap_or_default()
    }

    /// Print of a transform or sink.
    pub fn print(&self, name: &str) -> Print {
        self.nodes
            .get(name)
            .map(|wanted| wanted.print)
            .unwrap_or_default()
    }

    /// What a transform or sink reads.
    pub fn inputs(&self, name: &str) -> Vec<Input> {
        self.nodes
            .get(name)
            .map(|wanted| wanted.inputs.clone())
            .unwrap_or_default()
    }

    /// How many instances a node has.
    pub fn lanes(&self, name: &str) -> u32 {
        self.nodes.get(name).map_or(1, |wanted| wanted.lanes)
    }

    /// Whether its large batches may be worked on side by side.
    pub fn aside(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|wanted| wanted.aside)
    }

    /// The outputs of a node that somebody reads.
    pub fn read_outputs<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let read = self.read.iter().filter(move |input| input.node == name);
        read.map(|input| input.output.as_str())
    }
}

/// Nodes that stand in front of one that holds events: large batches must not be worked on side by
/// side there, so that the end of the input finds all of them where they are held.
fn holding(transforms: &[TransformNode]) -> HashSet<String> {
    let mut holding = HashSet::new();
    for node in transforms.iter().rev() {
        if node.part.holds() || holding.contains(&*node.name) {
            holding.extend(node.inputs.iter().map(|input| input.node.clone()));
        }
    }
    holding
}

/// All paths of all components, each with its slot; those that `known` has keep theirs.
pub(super) fn intern(known: &PathSet, pipeline: &mut Pipeline) -> PathSet {
    let mut paths = PathSet::clone(known);
    let mut visit = |path: &mut crate::event::Path| paths.intern(path);
    for node in &mut pipeline.sources {
        node.part.paths(&mut visit);
    }
    for node in &mut pipeline.transforms {
        node.part.paths(&mut visit);
        node.enabled.paths(&mut visit);
        if let Some(edge) = &mut node.buffer {
            edge.paths(&mut visit);
        }
    }
    for node in &mut pipeline.sinks {
        node.part.paths(&mut visit);
        node.enabled.paths(&mut visit);
        node.buffer.paths(&mut visit);
        if let Some(keyed) = &mut node.policy.per_key {
            keyed.paths(&mut visit);
        }
    }
    paths
}

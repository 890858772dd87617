//! Folds a checked pipeline into services, from the sinks back to the sources.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::watch;

use super::pump::{Alarm, Line, Pump};
use super::{DeadLetterNode, Input, Pipeline, SinkNode, SourceNode, TransformNode};
use crate::edge::{Edge, EdgePolicy, Tasks};
use crate::event::PathSet;
use crate::failure::Failure;
use crate::layer::{LetterBox, Output, Redact, SinkContext, SourceContext, TransformContext};
use crate::observe::{NodeKind, NodeMeter, Observer};
use crate::stage::{Phase, Stage};
use crate::state::Store;

/// What a pipeline is folded with.
pub(super) struct Surroundings {
    pub observer: Observer,
    pub store: Store,
    pub tasks: Tasks,
    pub phase: watch::Receiver<Phase>,
    /// Told when a source meets something that ends the run.
    pub alarm: Arc<Alarm>,
}

struct Folding {
    with: Surroundings,
    redact: Arc<dyn Redact>,
    meters: HashMap<Arc<str>, NodeMeter>,
    /// Who reads each output.
    readers: HashMap<Input, Vec<Stage>>,
    shared_letters: Option<Stage>,
    /// Nodes below which something holds events.
    holding: HashSet<String>,
}

/// The sources' pumps. They alone hold the graph: when they have ended, so do all its edges.
pub(super) async fn fold(
    pipeline: Pipeline,
    with: Surroundings,
    ended: &(dyn Fn() -> Box<dyn FnOnce() + Send> + Sync),
) -> Result<Vec<Pump>, Failure> {
    let Pipeline {
        mut sources,
        mut transforms,
        mut sinks,
        dead_letter,
        redact,
        delivery,
        ..
    } = pipeline;
    let paths = Arc::new(intern(&mut sources, &mut transforms, &mut sinks));
    let meters = meters(&with.observer, &sources, &transforms, &sinks);
    let readers = HashMap::new();
    let mut folding = Folding {
        with,
        redact,
        meters,
        readers,
        shared_letters: None,
        holding: HashSet::new(),
    };
    if let Some(node) = dead_letter {
        folding.shared_letters = Some(folding.dead_letter("dead_letter", node).await?);
    }
    for sink in sinks {
        folding.sink(sink).await?;
    }
    for transform in transforms.into_iter().rev() {
        folding.transform(transform).await?;
    }
    let numbers = Arc::new(AtomicU64::new(1));
    let mut pumps = Vec::with_capacity(sources.len());
    for SourceNode {
        name,
        part,
        reconnect,
        dead_letter,
        ..
    } in sources
    {
        let letters = folding.letters(&name, dead_letter).await?;
        let meter = folding.meters[&name].clone();
        let consumers = folding.take(&name, "");
        let line = Line {
            node: name.clone(),
            stage: Stage::new(Output::new(consumers, meter.clone())),
            letters,
            meter,
            store: folding.with.store.clone(),
            policy: delivery,
            phase: folding.with.phase.clone(),
            numbers: numbers.clone(),
            alarm: folding.with.alarm.clone(),
        };
        let open = part.build(SourceContext {
            node: name,
            paths: paths.clone(),
            store: folding.with.store.clone(),
            progress: folding.with.observer.progress(),
        });
        pumps.push(Pump {
            line,
            open,
            reconnect,
            ended: ended(),
        });
    }
    Ok(pumps)
}

/// All paths of all components, each with its slot.
fn intern(
    sources: &mut [SourceNode],
    transforms: &mut [TransformNode],
    sinks: &mut [SinkNode],
) -> PathSet {
    let mut paths = PathSet::default();
    let mut visit = |path: &mut crate::event::Path| paths.intern(path);
    sources
        .iter_mut()
        .for_each(|node| node.part.paths(&mut visit));
    transforms
        .iter_mut()
        .for_each(|node| node.part.paths(&mut visit));
    for sink in sinks {
        sink.part.paths(&mut visit);
        if let Some(keyed) = &mut sink.policy.per_key {
            visit(&mut keyed.key);
        }
    }
    paths
}

/// Registers all nodes, so that the ledger shows them in the order in which data flows.
fn meters(
    observer: &Observer,
    sources: &[SourceNode],
    transforms: &[TransformNode],
    sinks: &[SinkNode],
) -> HashMap<Arc<str>, NodeMeter> {
    let sources = sources
        .iter()
        .map(|n| (&n.name, NodeKind::Source, n.component));
    let transforms = transforms
        .iter()
        .map(|n| (&n.name, NodeKind::Transform, n.component));
    let sinks = sinks.iter().map(|n| (&n.name, NodeKind::Sink, n.component));
    sources
        .chain(transforms)
        .chain(sinks)
        .map(|(name, kind, component)| (name.clone(), observer.node(name, kind, component)))
        .collect()
}

impl Folding {
    fn take(&mut self, node: &str, output: &str) -> Vec<Stage> {
        let input = Input {
            node: node.into(),
            output: output.into(),
        };
        self.readers.remove(&input).unwrap_or_default()
    }

    fn read_by(&mut self, inputs: Vec<Input>, stage: Stage) {
        for input in inputs {
            self.readers.entry(input).or_default().push(stage.clone());
        }
    }

    /// The stage of dead letters: a sink's stack whose own rejects have nowhere to go.
    async fn dead_letter(&self, name: &str, node: DeadLetterNode) -> Result<Stage, Failure> {
        let meter = self
            .with
            .observer
            .node(name, NodeKind::DeadLetter, node.component);
        let letters = LetterBox::new(None, self.redact.clone(), name);
        let context = SinkContext {
            node: name.into(),
            policy: node.policy,
            letters,
            meter: meter.clone(),
        };
        let stack = node
            .part
            .build(context)
            .await
            .map_err(|failure| failure.at(&name.into()))?;
        let edge = Edge::new(stack, EdgePolicy::default(), meter, &self.with.tasks);
        Ok(Stage::new(edge))
    }

    async fn letters(&self, node: &str, own: Option<DeadLetterNode>) -> Result<LetterBox, Failure> {
        let stage = match own {
            Some(own) => Some(
                self.dead_letter(&format!("{node}.dead_letter"), own)
                    .await?,
            ),
            None => self.shared_letters.clone(),
        };
        Ok(LetterBox::new(stage, self.redact.clone(), node))
    }

    async fn sink(&mut self, sink: SinkNode) -> Result<(), Failure> {
        let SinkNode {
            name,
            inputs,
            buffer,
            policy,
            part,
            dead_letter,
            ..
        } = sink;
        let letters = self.letters(&name, dead_letter).await?;
        let meter = self.meters[&name].clone();
        let context = SinkContext {
            node: name.clone(),
            policy,
            letters,
            meter: meter.clone(),
        };
        let stack = part
            .build(context)
            .await
            .map_err(|failure| failure.at(&name))?;
        let edge = Edge::new(stack, buffer, meter, &self.with.tasks);
        self.read_by(inputs, Stage::new(edge));
        Ok(())
    }

    async fn transform(&mut self, node: TransformNode) -> Result<(), Failure> {
        let TransformNode {
            name,
            inputs,
            buffer,
            part,
            dead_letter,
            ..
        } = node;
        let letters = self.letters(&name, dead_letter).await?;
        let meter = self.meters[&name].clone();
        let aside = !self.holding.contains(&*name);
        if part.holds() || !aside {
            self.holding
                .extend(inputs.iter().map(|input| input.node.clone()));
        }
        let outputs: Vec<String> = self
            .readers
            .keys()
            .filter(|i| *i.node == *name)
            .map(|i| i.output.clone())
            .collect();
        let outputs = outputs.into_iter().map(|output| {
            let consumers = self.take(&name, &output);
            (output, Stage::new(Output::new(consumers, meter.clone())))
        });
        let context = TransformContext {
            node: name.clone(),
            outputs: outputs.collect(),
            letters,
            meter: meter.clone(),
            table: self.with.store.table(&name),
            phase: self.with.phase.clone(),
            aside,
        };
        let mut stage = part.build(context).map_err(|failure| failure.at(&name))?;
        if let Some(buffer) = buffer {
            stage = Stage::new(Edge::new(stage, buffer, meter, &self.with.tasks));
        }
        self.read_by(inputs, stage);
        Ok(())
    }
}

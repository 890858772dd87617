//! Builds the nodes of a pipeline that are not there yet.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::bypass::{Bypass, PassOn, drop_disabled};
use super::{Assembly, Consumers, Gate, Live, Plan, Print, Stage};
use crate::edge::{Edge, EdgePolicy};
use crate::failure::Failure;
use crate::graph::flow;
use crate::graph::{DeadLetterNode, Pipeline, SinkNode, TransformNode};
use crate::layer::{Lane, LetterBox, Output, SinkContext, TransformContext};
use crate::observe::{NodeKind, NodeMeter};
use crate::stage::Phase;

/// Nodes that were built, what is to stand behind the gates of each, and where its letters go.
#[derive(Default)]
pub(super) struct Built(pub Vec<(Live, Arc<str>, Vec<Stage>, LetterBox)>);

/// Where dead letters go: gates that are there, and what is to stand behind those that changed.
#[derive(Default)]
pub(super) struct Letters {
    shared: Option<Gate>,
    all: HashMap<Arc<str>, (Print, Gate)>,
    opening: Vec<(Gate, Stage)>,
}

impl Letters {
    pub fn put_in_place(self, into: &mut HashMap<Arc<str>, (Print, Gate)>) {
        for (name, (_, gate)) in std::mem::replace(into, self.all) {
            if !into.contains_key(&name) {
                gate.shut();
            }
        }
        for (gate, stage) in self.opening {
            gate.open_to(stage);
        }
    }
}

impl Assembly {
    /// Registers all nodes, so that the ledger shows them in the order in which data flows.
    pub(super) fn register(&self, pipeline: &Pipeline) {
        let observer = &self.with.observer;
        for node in &pipeline.sources {
            let _ = observer.node(&node.name, NodeKind::Source, node.component);
        }
        for node in &pipeline.transforms {
            self.register_buffer(&node.name, node.buffer.as_ref());
            let _ = observer.node(&node.name, NodeKind::Transform, node.component);
        }
        for node in &pipeline.sinks {
            self.register_buffer(&node.name, Some(&node.buffer));
            let _ = observer.node(&node.name, NodeKind::Sink, node.component);
        }
    }

    /// The meter of a node that was registered.
    pub(super) fn meter(&self, name: &str) -> NodeMeter {
        self.with.observer.node(name, NodeKind::Transform, "")
    }

    pub(super) async fn shared_letters(
        &self,
        node: DeadLetterNode,
        letters: &mut Letters,
    ) -> Result<(), Failure> {
        letters.shared = Some(
            self.dead_letter(flow::SHARED_LETTERS.into(), node, letters)
                .await?,
        );
        Ok(())
    }

    /// The gate to dead letters, and a sink's stack behind it whose own rejects have nowhere to go.
    async fn dead_letter(
        &self,
        name: Arc<str>,
        node: DeadLetterNode,
        letters: &mut Letters,
    ) -> Result<Gate, Failure> {
        let known = self.letters.get(&name);
        let gate = known.map_or_else(|| self.gate(&name), |(_, gate)| gate.clone());
        if known.is_none_or(|(print, _)| *print != node.print) {
            let observer = &self.with.observer;
            let meter = observer.node(&name, NodeKind::DeadLetter, node.component);
            let own = LetterBox::new(None, self.masks.clone(), &name, None);
            let context = SinkContext {
                node: name.clone(),
                policy: node.policy,
                letters: own,
                meter: meter.clone(),
                table: self.with.store.table(&name),
                views: self.with.observer.views(),
                store: self.with.store.clone(),
                outputs: HashMap::new(),
                simulator: self.with.simulator.clone(),
                front: None,
            };
            let built = node.part.build(context).await;
            let stack = built.map_err(|failure| failure.at(&name))?;
            let edge = Edge::new(stack, EdgePolicy::default(), meter, &self.with.tasks);
            letters.opening.push((gate.clone(), Stage::new(edge)));
        }
        letters.all.insert(name, (node.print, gate.clone()));
        Ok(gate)
    }

    pub(super) async fn letter_box(
        &self,
        node: &str,
        own: Option<DeadLetterNode>,
        letters: &mut Letters,
    ) -> Result<LetterBox, Failure> {
        let gate = match own {
            Some(own) => {
                let name = flow::letters_name(node);
                Some(self.dead_letter(name, own, letters).await?)
            }
            None => letters.shared.clone(),
        };
        let stage = gate.map(|gate| gate.stage());
        let keys = self.keys.clone();
        let letters = LetterBox::new(stage, self.masks.clone(), node, keys);
        Ok(letters.dated(self.with.observer.clock()))
    }

    pub(super) async fn build_sink(
        &self,
        sink: SinkNode,
        plan: &Plan,
        letters: &mut Letters,
        built: &mut Built,
    ) -> Result<(), Failure> {
        let name = sink.name;
        // Also of a node that is kept: its dead letters may have changed.
        let letters = self.letter_box(&name, sink.dead_letter, letters).await?;
        if plan.keeps(&name) {
            return Ok(());
        }
        let meter = self.meter(&name);
        let made = outputs_of(plan, &name);
        let context = SinkContext {
            node: name.clone(),
            policy: sink.policy,
            letters: letters.clone(),
            meter: meter.clone(),
            table: self.with.store.table(&name),
            views: self.with.observer.views(),
            store: self.with.store.clone(),
            outputs: self.stages(&name, &made, &meter),
            simulator: self.with.simulator.clone(),
            front: None,
        };
        let dropping = meter.clone();
        let opened = match sink.enabled.is_never() {
            true => Ok(None),
            false => sink.part.build(context).await.map(Some),
        };
        let opened = opened.map(|it| Bypass::around(sink.enabled, it, || drop_disabled(dropping)));
        let stack = opened.map_err(|failure| failure.at(&name))?;
        let lanes = vec![stack; sink.buffer.lanes()];
        let edge = Edge::partitioned(lanes, in_memory(sink.buffer), meter, &self.with.tasks);
        let live = Live {
            print: plan.print(&name),
            inputs: sink.inputs,
            edged: true,
            holds: false,
            gates: Vec::new(),
            outputs: vec![made],
            phase: Arc::new(watch::channel(Phase::Running).0),
            edge: Some(edge.watch()),
            durable: None,
        };
        built.0.push((live, name, vec![Stage::new(edge)], letters));
        Ok(())
    }

    pub(super) async fn build_transform(
        &self,
        node: TransformNode,
        plan: &Plan,
        letters: &mut Letters,
        built: &mut Built,
    ) -> Result<(), Failure> {
        let TransformNode {
            name,
            inputs,
            enabled,
            buffer,
            mut part,
            dead_letter,
            ..
        } = node;
        let letters = self.letter_box(&name, dead_letter, letters).await?;
        if plan.keeps(&name) {
            return Ok(());
        }
        let table = self.with.store.table(&name);
        if !enabled.is_never() {
            let prepared = part.prepare(&table).await;
            prepared.map_err(|failure| failure.at(&name))?;
        }
        let meter = self.meter(&name);
        let phase = Arc::new(watch::channel(Phase::Running).0);
        let lanes = plan.lanes(&name);
        let (mut instances, mut outputs) = (Vec::new(), Vec::new());
        for index in 0..lanes {
            let made = outputs_of(plan, &name);
            let context = || TransformContext {
                node: name.clone(),
                outputs: self.stages(&name, &made, &meter),
                letters: letters.clone(),
                meter: meter.clone(),
                table: self.with.store.table(&name),
                store: self.with.store.clone(),
                phase: phase.subscribe(),
                aside: plan.aside(&name),
                lane: Lane { index, of: lanes },
            };
            let through = match enabled.is_never() {
                true => Ok(None),
                false => part.build(context()).map(Some),
            };
            let through = through.map_err(|failure| failure.at(&name))?;
            let past = || context().plain(PassOn);
            instances.push(Bypass::around(enabled.clone(), through, past));
            outputs.push(made);
        }
        let mut live = Live {
            print: plan.print(&name),
            inputs,
            edged: buffer.is_some(),
            holds: part.holds(),
            gates: Vec::new(),
            outputs,
            phase,
            edge: None,
            durable: None,
        };
        if let Some(policy) = buffer {
            let edge = Edge::partitioned(instances, in_memory(policy), meter, &self.with.tasks);
            live.edge = Some(edge.watch());
            instances = vec![Stage::new(edge)];
        }
        built.0.push((live, name, instances, letters));
        Ok(())
    }
}

impl Assembly {
    /// The entrance of a node, with nothing behind it yet.
    pub(super) fn gate(&self, name: &str) -> Gate {
        Gate::tapped(self.with.observer.taps().entrance(name))
    }

    /// What the node hands its outputs to.
    fn stages(
        &self,
        name: &str,
        outputs: &HashMap<String, Consumers>,
        meter: &NodeMeter,
    ) -> HashMap<String, Stage> {
        let taps = self.with.observer.taps();
        let stage = |(output, consumers): (&String, &Consumers)| {
            let stage = Output::to(consumers.clone(), meter.clone());
            let stage = stage.tapped(taps.out_of(name, output));
            (output.clone(), Stage::new(stage))
        };
        outputs.iter().map(stage).collect()
    }
}

/// The outputs of a node that somebody reads.
fn outputs_of(plan: &Plan, name: &str) -> HashMap<String, Consumers> {
    let read = plan.read_outputs(name);
    read.map(|output| (output.to_owned(), Consumers::default()))
        .collect()
}

/// The part of an edge that lies in memory: behind a disk it blocks, and the disk has the policy.
fn in_memory(policy: EdgePolicy) -> EdgePolicy {
    match &policy.disk {
        Some(_) => policy.behind_disk(),
        None => policy,
    }
}

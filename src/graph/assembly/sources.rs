//! Sources and their pumps.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;

use super::build::Letters;
use super::{Assembly, Consumers, Handle, Plan, Root};
use crate::failure::Failure;
use crate::graph::SourceNode;
use crate::graph::pump::{Line, Pump};
use crate::graph::roots::harness;
use crate::layer::{LetterBox, MAIN, Output, SourceContext};
use crate::stage::Stage;

/// A source on its way into the graph.
pub(super) struct Incoming {
    node: SourceNode,
    letters: LetterBox,
}

impl Assembly {
    /// The dead letters of all sources.
    pub(super) async fn source_letters(
        &self,
        sources: Vec<SourceNode>,
        letters: &mut Letters,
    ) -> Result<Vec<Incoming>, Failure> {
        let mut incoming = Vec::with_capacity(sources.len());
        for mut node in sources {
            let own = node.dead_letter.take();
            let letters = self.letter_box(&node.name, own, letters).await?;
            incoming.push(Incoming { node, letters });
        }
        Ok(incoming)
    }

    /// Stops those that go; of the new ones only those that are to be started are left.
    pub(super) fn exchange_sources(
        &mut self,
        sources: &mut Vec<Incoming>,
        plan: &Plan,
    ) -> Vec<Handle> {
        sources.retain(|source| !plan.keeps_source(&source.node.name));
        let going = self.roots.keys().filter(|name| !plan.keeps_source(name));
        let going: Vec<Arc<str>> = going.cloned().collect();
        let stopped = going.iter().filter_map(|name| self.roots.remove(name));
        stopped
            .map(|root| {
                root.handle.stop();
                root.handle
            })
            .collect()
    }

    /// Waits for the answers that stopped sources still expect, then does without them: what they
    /// are about is read again by whoever comes after.
    pub(super) async fn stop_all(&self, stopped: Vec<Handle>, deadline: Duration) {
        let finished = join_all(stopped.iter().cloned().map(Handle::finished));
        if tokio::time::timeout(deadline, finished).await.is_err() {
            tracing::warn!(
                ?deadline,
                "a source had no answer by the deadline of the reload"
            );
            stopped.iter().for_each(Handle::kill);
            join_all(stopped.into_iter().map(Handle::finished)).await;
        }
    }

    pub(super) fn start_source(&mut self, incoming: Incoming, plan: &Plan) {
        let Incoming { node, letters } = incoming;
        let name = node.name;
        let (reins, ready, handle) = harness();
        let consumers = Consumers::default();
        let open = node.part.build(SourceContext {
            node: name.clone(),
            paths: self.paths.clone(),
            store: self.with.store.clone(),
            progress: self.with.observer.progress(),
            meter: self.meter(&name),
            simulator: self.with.simulator.clone(),
            triggers: self.with.observer.triggers(),
        });
        let root = Root {
            print: plan.source_print(&name),
            consumers: consumers.clone(),
            handle: handle.clone(),
        };
        self.roots.insert(name.clone(), root);
        let meter = self.meter(&name);
        let tap = self.with.observer.taps().out_of(&name, MAIN);
        let pump = Pump {
            line: Line {
                node: name.clone(),
                stage: Stage::new(Output::to(consumers, meter.clone()).tapped(tap)),
                letters,
                meter,
                store: self.with.store.clone(),
                policy: self.policy,
                phase: reins.phase,
                numbers: self.numbers.clone(),
                alarm: self.with.alarm.clone(),
                keeps: false,
            },
            open,
            reconnect: node.reconnect,
            ended: reins.ended,
        };
        // Wired before it is started: its first batch must find whoever reads it.
        self.wire();
        self.with.roots.start_source(ready(name, pump), handle);
    }
}

//! Disk buffers: a journal in front of a node's edge, with a pump of its own.
//!
//! To what lies above it, a disk buffer is where events are delivered; to what lies below it is a
//! source. So both have the whole machinery of deliveries, and the reader's place is committed in
//! one transaction with the state of the stages behind it.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::join_all;
use tokio::sync::watch;

use super::spill::{Back, Front, Handed, Way};
use super::{Assembly, Consumers, Gate, Handle, Live};
use crate::edge::{DiskPolicy, EdgePolicy, WhenFull};
use crate::event::PathSet;
use crate::failure::Failure;
use crate::graph::flow::buffer_name;
use crate::graph::pump::{Line, Pump};
use crate::graph::roots::{harness, stopped};
use crate::graph::{SinkNode, TransformNode};
use crate::journal::{self, Journal, Policy};
use crate::layer::{Backoff, LetterBox, Output};
use crate::observe::{NodeKind, NodeMeter};
use crate::stage::{OpenSource, Source, Stage};

/// A disk buffer that is open.
pub(super) struct Durable {
    front: Gate,
    journal: Journal,
    consumers: Consumers,
    handle: Handle,
    meter: NodeMeter,
    /// The way past the disk, where there is one.
    past: Option<Way>,
}

impl Durable {
    /// Where events come in.
    pub fn front(&self) -> &Gate {
        &self.front
    }

    /// Of its pump.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Hands what comes out to this node.
    pub fn lead_to(&self, live: &Live) {
        self.consumers.set(live.gates.clone());
        if let (Some(past), Some(gate), Some(edge)) = (&self.past, live.gates.first(), &live.edge) {
            past.lead_to(gate.clone(), edge.clone());
        }
    }

    /// Closes the entrance once nothing can come any more, and stops the pump if the run is being
    /// stopped: what is on disk stays there.
    pub fn ebb(
        &self,
        above: Vec<Handle>,
        stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (front, handle) = (self.front.clone(), self.handle.clone());
        async move {
            // Not as soon as their inputs end: what they deliver again has to find the entrance.
            join_all(above.into_iter().map(Handle::finished)).await;
            front.shut();
            stopped(stopping).await;
            handle.stop();
        }
    }

    /// Tells how much is left on disk. Ready when the folder can be opened again, once the
    /// assembly is dropped.
    pub fn tell(&self) -> impl Future<Output = ()> + Send + use<> {
        self.meter.stored(self.journal.stored());
        self.journal.ended()
    }
}

fn journal_policy(disk: &DiskPolicy, edge: &EdgePolicy) -> Policy {
    Policy {
        max_size: disk.max_bytes,
        when_full: match edge.when_full {
            _ if disk.spill => journal::WhenFull::Block,
            WhenFull::Block => journal::WhenFull::Block,
            WhenFull::DropNewest => journal::WhenFull::DropNewest,
            WhenFull::DropOldest => journal::WhenFull::DropOldest,
        },
        sync_wait: disk.sync_wait,
        memory_events: edge.max_events,
        memory_bytes: edge.max_bytes,
        batch_events: edge.batch_events,
        compress: disk.compress,
    }
}

impl Assembly {
    /// Registers a node's disk buffer in front of the node itself.
    pub(super) fn register_buffer(&self, node: &str, edge: Option<&EdgePolicy>) {
        let Some(disk) = edge.and_then(|edge| edge.disk.as_ref()) else {
            return;
        };
        let component = if disk.spill { "spill" } else { "disk" };
        let observer = &self.with.observer;
        let _ = observer.node(&buffer_name(node), NodeKind::Buffer, component);
    }

    /// The disk buffers of a pipeline that are not open yet, by their nodes.
    pub(super) fn missing_durables(
        &self,
        transforms: &[TransformNode],
        sinks: &[SinkNode],
    ) -> Vec<(Arc<str>, EdgePolicy)> {
        let transforms = transforms.iter();
        let transforms = transforms.filter_map(|node| Some((&node.name, node.buffer.as_ref()?)));
        let sinks = sinks.iter().map(|node| (&node.name, &node.buffer));
        let missing = |name: &Arc<str>| {
            let live = self.lives.get(name);
            live.is_none_or(|live| live.durable.is_none())
        };
        transforms
            .chain(sinks)
            .filter(|(name, edge)| edge.disk.is_some() && missing(name))
            .map(|(name, edge)| (name.clone(), edge.clone()))
            .collect()
    }

    /// Opens them, and makes their pumps ready.
    pub(super) async fn open_durables(
        &self,
        missing: Vec<(Arc<str>, EdgePolicy)>,
    ) -> Result<HashMap<Arc<str>, (Durable, LineOf)>, Failure> {
        let mut opened = HashMap::new();
        for (name, edge) in missing {
            if let Some(disk) = &edge.disk {
                let made = self.open_durable(&name, disk, &edge).await;
                let made = made.map_err(|failure| failure.at(&buffer_name(&name)))?;
                opened.insert(name, made);
            }
        }
        Ok(opened)
    }

    async fn open_durable(
        &self,
        node: &str,
        disk: &DiskPolicy,
        edge: &EdgePolicy,
    ) -> Result<(Durable, LineOf), Failure> {
        let name = buffer_name(node);
        let meter = self.meter(&name);
        if let Some(share) = edge.drop_alert {
            meter.set_drops_alert(share);
        }
        let places = self.with.store.checkpoints(&name).await?;
        let (path, keys, of) = (disk.path.clone(), self.keys.clone(), meter.clone());
        let policy = journal_policy(disk, edge);
        // Opening reads the last segment: that is for a thread that may wait.
        let opening = tokio::task::spawn_blocking(move || {
            Journal::open(&path, policy, keys, of, |id| {
                let known = places.into_iter().find(|place| place.key == id.as_slice());
                Ok(known.map(|place| place.value))
            })
        });
        let opened = opening.await;
        let journal = opened.map_err(|panic| {
            Failure::fatal("buffer_io", format!("opening the buffer failed: {panic}"))
        })??;
        meter.resumed(journal.resumed());
        let consumers = Consumers::default();
        let out = Stage::new(Output::to(consumers.clone(), meter.clone()));
        let past = disk.spill.then(|| Way::new(journal.clone(), edge));
        let (front, out) = match &past {
            None => (Stage::new(journal.entrance()), out),
            Some(way) => {
                let front = Front::new(way.clone(), journal.entrance());
                (Stage::new(front), Stage::new(Back::new(way.clone(), out)))
            }
        };
        let (reins, ready, handle) = harness();
        let line = LineOf {
            name,
            out,
            reins,
            ready: Box::new(ready),
            handed: past.as_ref().map(Way::handed),
        };
        let durable = Durable {
            front: Gate::new(front),
            journal,
            consumers,
            handle,
            meter,
            past,
        };
        Ok((durable, line))
    }

    /// Starts the pump of a disk buffer that was put in place.
    pub(super) fn start_durable(&self, durable: &Durable, line: LineOf, letters: LetterBox) {
        let LineOf {
            name,
            out,
            reins,
            ready,
            handed,
        } = line;
        let pump = Pump {
            line: Line {
                node: name.clone(),
                stage: out,
                letters,
                meter: durable.meter.clone(),
                store: self.with.store.clone(),
                policy: self.policy,
                phase: reins.phase,
                numbers: self.numbers.clone(),
                alarm: self.with.alarm.clone(),
                keeps: true,
            },
            open: opener(durable.journal.clone(), self.paths.clone(), handed),
            reconnect: Backoff::default(),
            ended: reins.ended,
        };
        self.with.roots.start(ready(name, pump));
    }
}

/// What is needed to start the pump of a disk buffer.
pub(super) struct LineOf {
    name: Arc<str>,
    out: Stage,
    reins: crate::graph::roots::Reins,
    ready: Box<dyn FnOnce(Arc<str>, Pump) -> crate::graph::roots::Start + Send>,
    handed: Option<Arc<std::sync::atomic::AtomicU64>>,
}

/// Another outlet goes on behind what the last one handed out.
fn opener(
    journal: Journal,
    paths: Arc<PathSet>,
    handed: Option<Arc<std::sync::atomic::AtomicU64>>,
) -> OpenSource {
    Box::new(move || {
        let outlet = journal.outlet(paths.clone());
        let source: Box<dyn Source> = match &handed {
            None => Box::new(outlet),
            Some(handed) => Box::new(Handed::new(outlet, handed.clone())),
        };
        std::future::ready(Ok(source)).boxed()
    })
}

//! The running graph: what was folded, and how another pipeline takes its place.
//!
//! To begin a run is to load a pipeline into an assembly of nothing. Every node has a [`Gate`] as
//! its entrance and hands its output to whoever reads it at the time ([`Consumers`]), so a node can
//! be put in, taken out or exchanged while all others go on.
//!
//! An exchange goes in steps that can be undone until the last of them: new sinks are opened, the
//! gates of what is to go are closed and drained (what is not answered by the deadline is given
//! back to its source), transforms are built on the state that is settled by then, and only then
//! is anything put in place. Whatever is the same in both pipelines is not touched.

mod build;
mod bypass;
mod durable;
mod flagged;
mod plan;
mod sources;
mod spill;
mod tide;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::flow::flow;
use super::print::Print;
use super::pump::{Alarm, PumpPolicy};
use super::roots::{Handle, Roots};
use super::{Input, Pipeline};
use crate::client::genesys::Credentials;
use crate::client::tenants::{Platform, Tenants};
use crate::edge::{EdgeWatch, Tasks};
use crate::event::{Event, PathSet};
use crate::failure::Failure;
use crate::layer::{Consumers, Gate, LetterBox, Redact, Simulated};
use crate::observe::Observer;
use crate::seal::Keyring;
use crate::setting::Secret;
use crate::stage::{Phase, Stage};
use crate::state::Store;

use build::{Built, Letters};
use durable::{Durable, LineOf};
use plan::{Fixed, Plan};

/// What a pipeline is folded with.
pub(super) struct Surroundings {
    pub observer: Observer,
    pub store: Store,
    pub tasks: Tasks,
    pub roots: Roots,
    /// The simulated platform, where the pipeline has one.
    pub simulator: Option<Simulated>,
    /// Told when a source meets something that ends the run.
    pub alarm: Arc<Alarm>,
}

/// What became of a reload, by the names of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Not there before.
    pub added: Vec<String>,
    /// Built anew.
    pub replaced: Vec<String>,
    /// No longer there.
    pub removed: Vec<String>,
    /// Went on untouched.
    pub kept: usize,
    /// Batches that had no answer by the deadline and were given back to their sources.
    pub given_up: usize,
}

/// A transform or sink that runs.
struct Live {
    print: Print,
    inputs: Vec<Input>,
    /// Whether one entrance leads to all its lanes.
    edged: bool,
    holds: bool,
    gates: Vec<Gate>,
    /// By output, for each lane.
    outputs: Vec<HashMap<String, Consumers>>,
    phase: Arc<watch::Sender<Phase>>,
    edge: Option<EdgeWatch>,
    /// The disk buffer in front of the gate.
    durable: Option<Durable>,
}

impl Live {
    /// Where those that read for this lane come in.
    fn entrance(&self, lane: usize) -> Option<&Gate> {
        match &self.durable {
            Some(durable) => Some(durable.front()),
            None if self.edged => self.gates.first(),
            // A file that mixes sections is refused; a pipeline made by hand loses nothing.
            None => self.gates.get(lane % self.gates.len().max(1)),
        }
    }
}

/// A source that runs.
struct Root {
    print: Print,
    consumers: Consumers,
    handle: Handle,
}

/// A disk buffer whose pump is to be started, and where its dead letters go.
type Starting = (Arc<str>, LineOf, LetterBox);

/// Masks by the rules of the pipeline that runs at the time.
struct Masks(RwLock<Arc<dyn Redact>>);

impl Masks {
    fn get(&self) -> Arc<dyn Redact> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, masks: Arc<dyn Redact>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = masks;
    }
}

impl Redact for Masks {
    fn event(&self, event: &mut Event) {
        self.get().event(event);
    }

    fn text(&self, text: &str) -> String {
        self.get().text(text)
    }
}

pub(super) struct Assembly {
    with: Surroundings,
    masks: Arc<Masks>,
    keys: Option<Keyring>,
    policy: PumpPolicy,
    paths: Arc<PathSet>,
    /// Numbers deliveries over all sources of the pipeline.
    numbers: Arc<AtomicU64>,
    lives: BTreeMap<Arc<str>, Live>,
    letters: HashMap<Arc<str>, (Print, Gate)>,
    roots: BTreeMap<Arc<str>, Root>,
    /// Tells the nodes that hold events when nothing more can come.
    tides: JoinSet<()>,
    /// What cannot change while the pipeline runs.
    fixed: Option<Fixed>,
    /// Who sends, as all nodes see it that ask.
    tenants: Option<Tenants>,
}

impl Assembly {
    /// Nothing yet.
    pub fn new(with: Surroundings, pipeline: &Pipeline) -> Self {
        let masks = Arc::new(Masks(RwLock::new(pipeline.redact.clone())));
        let shown = masks.clone();
        let taps = with.observer.taps();
        taps.mask_with(move |event| shown.event(event));
        Self {
            with,
            masks,
            keys: pipeline.encryption.clone(),
            policy: pipeline.delivery,
            paths: Arc::default(),
            numbers: Arc::new(AtomicU64::new(1)),
            lives: BTreeMap::new(),
            letters: HashMap::new(),
            roots: BTreeMap::new(),
            tides: JoinSet::new(),
            fixed: None,
            tenants: None,
        }
    }

    /// The tenants of a new pipeline: nodes that go on see them too.
    fn receive(&mut self, tenants: Option<Tenants>) {
        let Some(tenants) = tenants else { return };
        if let Some(at) = &self.with.simulator {
            tenants.simulate(Platform {
                url: at.url.clone(),
                credentials: Credentials {
                    client_id: at.client_id.clone(),
                    client_secret: Secret::new(at.client_secret.clone()),
                },
                integration: at.integration.clone(),
            });
        }
        match &self.tenants {
            Some(running) => tenants.succeed(running),
            None => self.tenants = Some(tenants),
        }
    }

    /// Puts this pipeline in the place of what runs. What is to go has `deadline` to answer what
    /// it has under way.
    ///
    /// # Errors
    /// What ran goes on as it was.
    pub async fn load(
        &mut self,
        mut pipeline: Pipeline,
        deadline: Duration,
    ) -> Result<Changes, Failure> {
        let plan = Plan::of(self, &pipeline)?;
        let paths = Arc::new(plan::intern(&self.paths, &mut pipeline));
        self.register(&pipeline);
        let flow = flow(&pipeline);
        let Pipeline {
            sources,
            transforms,
            sinks,
            dead_letter,
            redact,
            delivery,
            tenants,
            ..
        } = pipeline;
        let mut changes = plan.changes();

        let mut letters = Letters::default();
        let mut built = Built::default();
        if let Some(node) = dead_letter {
            self.shared_letters(node, &mut letters).await?;
        }
        let missing = self.missing_durables(&transforms, &sinks);
        let durables = self.open_durables(missing).await?;
        for sink in sinks {
            self.build_sink(sink, &plan, &mut letters, &mut built)
                .await?;
        }
        let mut sources = self.source_letters(sources, &mut letters).await?;
        changes.given_up = self.drain(&plan, deadline).await;
        for transform in transforms.into_iter().rev() {
            let made = self.build_transform(transform, &plan, &mut letters, &mut built);
            if let Err(failure) = made.await {
                // Nothing was put in place: what was closed opens to what it had.
                self.going(&plan).for_each(Gate::open);
                return Err(failure);
            }
        }

        // From here on nothing can fail.
        self.receive(tenants);
        self.masks.set(redact);
        self.paths = paths;
        self.policy = delivery;
        letters.put_in_place(&mut self.letters);
        let (opening, starting) = self.put_in_place(built, durables, &plan);
        self.wire();
        for (gate, stage) in opening {
            gate.open_to(stage);
        }
        for (name, line, letters) in starting {
            if let Some(durable) = self.lives.get(&name).and_then(|live| live.durable.as_ref()) {
                self.start_durable(durable, line, letters);
            }
        }
        let stopped = self.exchange_sources(&mut sources, &plan);
        self.stop_all(stopped, deadline).await;
        for source in sources {
            self.start_source(source, &plan);
        }
        self.turn_tides();
        self.with.observer.set_flow(flow);
        self.fixed = Some(plan.fixed);
        Ok(changes)
    }

    /// The gates of what is exchanged or taken out.
    fn going<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a Gate> + 'a {
        let lives = self.lives.iter();
        let going = lives.filter(|(name, _)| !plan.keeps(name));
        going.flat_map(|(_, live)| &live.gates)
    }

    /// Closes the gates of what is to go, and waits until nothing is under way behind them.
    async fn drain(&self, plan: &Plan, deadline: Duration) -> usize {
        let end = Instant::now() + deadline;
        let mut levels: BTreeMap<usize, Vec<&Gate>> = BTreeMap::new();
        for (name, live) in self.lives.iter().filter(|(name, _)| !plan.keeps(name)) {
            levels
                .entry(self.depth(name))
                .or_default()
                .extend(&live.gates);
        }
        let mut given_up = 0;
        // In the order of flow: what is under way behind one gate must find the next one open.
        for gates in levels.into_values() {
            gates.iter().for_each(|gate| gate.close());
            let left = end.saturating_duration_since(Instant::now());
            let left = join_all(gates.iter().map(|gate| gate.drain(left))).await;
            given_up += left.into_iter().sum::<usize>();
        }
        given_up
    }

    /// The longest way from a source.
    fn depth(&self, name: &str) -> usize {
        let inputs = self.lives.get(name).map(|live| &live.inputs);
        let above = inputs.into_iter().flatten();
        let depths = above.map(|input| 1 + self.depth(&input.node));
        depths.max().unwrap_or(0)
    }

    /// Takes out what is gone and puts in what was built; the gates that are to be opened to it.
    fn put_in_place(
        &mut self,
        built: Built,
        mut durables: HashMap<Arc<str>, (Durable, LineOf)>,
        plan: &Plan,
    ) -> (Vec<(Gate, Stage)>, Vec<Starting>) {
        let gone = self.lives.keys().filter(|name| !plan.has(name));
        for name in gone.cloned().collect::<Vec<_>>() {
            if let Some(live) = self.lives.remove(&name) {
                live.gates.iter().for_each(Gate::shut);
                self.with.observer.views().withdraw(&name);
            }
        }
        let (mut opening, mut starting) = (Vec::new(), Vec::new());
        for (mut live, name, stages, letters) in built.0 {
            let old = self.lives.remove(&name);
            let (mut gates, durable) = old.map_or_else(Default::default, |old| {
                // Those who wait at the gate of a node find what takes its place.
                (old.gates, old.durable)
            });
            gates.iter().skip(stages.len()).for_each(Gate::shut);
            gates.resize_with(stages.len(), || self.gate(&name));
            opening.extend(gates.iter().cloned().zip(stages));
            live.gates = gates;
            live.durable = durable;
            if let Some((durable, line)) = durables.remove(&name) {
                live.durable = Some(durable);
                starting.push((name.clone(), line, letters));
            }
            self.lives.insert(name, live);
        }
        for (name, live) in &mut self.lives {
            live.inputs = plan.inputs(name);
        }
        (opening, starting)
    }

    /// Hands every output to those that read it.
    fn wire(&self) {
        let mut readers: HashMap<&Input, Vec<&Live>> = HashMap::new();
        for live in self.lives.values() {
            for input in &live.inputs {
                readers.entry(input).or_default().push(live);
            }
        }
        let gates = |node: &str, output: &str, lane: usize| -> Vec<Gate> {
            let input = Input {
                node: node.into(),
                output: output.into(),
            };
            let readers = readers.get(&input).into_iter().flatten();
            readers
                .filter_map(|live| live.entrance(lane).cloned())
                .collect()
        };
        for (name, root) in &self.roots {
            root.consumers.set(gates(name, "", 0));
        }
        for (name, live) in &self.lives {
            for (lane, outputs) in live.outputs.iter().enumerate() {
                for (output, consumers) in outputs {
                    consumers.set(gates(name, output, lane));
                }
            }
            if let Some(durable) = &live.durable {
                durable.lead_to(live);
            }
        }
    }

    /// Tells what is left on disk, once nothing goes on any more. Ready when all folders can be
    /// opened again, which is after the assembly is dropped.
    pub fn tell(&self) -> impl Future<Output = ()> + Send + use<> {
        let durables = self.lives.values().filter_map(|live| live.durable.as_ref());
        let ended = join_all(durables.map(Durable::tell).collect::<Vec<_>>());
        async move {
            ended.await;
        }
    }
}

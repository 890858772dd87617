//! The scripted ends of a pipeline, and what they have seen.

use futures::FutureExt;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::BoxFuture;
use tokio::sync::Notify;
use tower::ServiceExt;
use trunkline::event::{Batch, Event, Origin, Path, Provenance};
use trunkline::failure::{Cause, Failure, Kind};
use trunkline::layer::{
    Kept, Replays, SinkContext, SinkPart, SourceContext, SourcePart, TransformContext,
    TransformPart,
};
use trunkline::observe::{Observer, render_metrics};
use trunkline::stage::{
    Applied, Checkpoint, Delivery, Letter, OpenSource, Redelivery, Settle, Sink, Source, Split,
    Stage, Subject, Transform,
};
use trunkline::state::Store;

use crate::spec::{self, Faults, Rng, Spec, What, choice};

/// Marks panics that are part of the script.
pub const SCRIPTED: &str = "a scripted panic";

/// Everything that one seed's run has seen.
pub struct World {
    pub spec: Spec,
    pub store: Store,
    state: Mutex<State>,
}

pub struct State {
    pub rng: Rng,
    /// No more faults but those that are the events' own.
    pub calm: bool,
    pub accepted: BTreeMap<String, BTreeSet<String>>,
    /// Node and label, or the text of what was no event.
    pub dead: BTreeSet<(String, String)>,
    /// Reason by node and label.
    pub reasons: BTreeSet<(String, String, String)>,
    pub transports: BTreeMap<String, Transport>,
    pub wrong: Vec<String>,
    /// Last sequence number by sink, source and key.
    last: BTreeMap<(String, String, String), u64>,
    writing: BTreeMap<String, usize>,
    /// Of each run over this world.
    pub observers: Vec<Observer>,
}

/// What stands behind a source, whatever becomes of its connections.
#[derive(Debug, Default)]
pub struct Transport {
    pub queue: VecDeque<usize>,
    /// Handed over and not settled.
    pub out: usize,
    pub out_events: usize,
    /// How often each handing-over was settled.
    pub settled: Vec<u32>,
    /// Deliveries that were settled well.
    pub well: BTreeSet<usize>,
    /// Why others were not.
    pub ill: Vec<(usize, String)>,
    pub stirred: Arc<Notify>,
}

impl State {
    /// What comes again in another run may come behind what went on in this one.
    pub fn reset_order(&mut self) {
        self.last.clear();
    }
}

impl World {
    pub fn new(spec: Spec, store: Store) -> Arc<Self> {
        let transports = spec.sources.iter().map(|source| {
            let queue = (0..source.deliveries.len()).collect();
            let transport = Transport {
                queue,
                ..Transport::default()
            };
            (source.name.clone(), transport)
        });
        let state = State {
            rng: Rng(spec.seed ^ 0xabcd),
            calm: false,
            accepted: BTreeMap::new(),
            dead: BTreeSet::new(),
            reasons: BTreeSet::new(),
            transports: transports.collect(),
            wrong: Vec::new(),
            last: BTreeMap::new(),
            writing: BTreeMap::new(),
            observers: Vec::new(),
        };
        Arc::new(Self {
            spec,
            store,
            state: Mutex::new(state),
        })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|bad| bad.into_inner())
    }

    fn wrong(&self, what: String) {
        self.lock().wrong.push(what);
    }

    /// What is missing of one delivery of a source, were it settled well now.
    pub fn missing(&self, source: &str, delivery: usize) -> Vec<String> {
        let mut missing = Vec::new();
        for index in 0..self.source(source).deliveries[delivery] {
            let label = label(source, delivery, index);
            for due in self.spec.due(source, &label) {
                if !self.is_done(&due) {
                    missing.push(format!("{due:?}"));
                }
            }
        }
        for index in 0..self.source(source).refused[delivery] {
            let text = refused(source, delivery, index);
            if !self
                .lock()
                .dead
                .contains(&(source.to_owned(), text.clone()))
            {
                missing.push(format!("refused record {text}"));
            }
        }
        missing
    }

    /// What the transports know, and the last ledger.
    pub fn told(&self) -> String {
        let state = self.lock();
        let ledgers: Vec<String> = state
            .observers
            .iter()
            .map(|o| o.ledger().render(140, false))
            .collect();
        format!("{:#?}\n{}", state.transports, ledgers.join("\n"))
    }

    pub fn source(&self, name: &str) -> &spec::Source {
        self.spec
            .sources
            .iter()
            .find(|s| s.name == name)
            .expect("a source")
    }

    fn is_done(&self, due: &spec::Due) -> bool {
        let state = self.lock();
        let accepted = state.accepted.get(&due.node);
        if !due.refused && accepted.is_some_and(|labels| labels.contains(&due.label)) {
            return true;
        }
        let way = || due.via.iter().chain([&due.node]);
        // It, or what it was made of, may have been refused anywhere on its way.
        let mut label = due.label.as_str();
        loop {
            if way().any(|node| state.dead.contains(&(node.clone(), label.to_owned()))) {
                return true;
            }
            match label.rsplit_once('/') {
                Some((of, _)) => label = of,
                None => break,
            }
        }
        let dropped = |node: &String| {
            let ledgers = state.observers.iter().map(Observer::ledger);
            let mut dropped = ledgers.filter_map(|l| Some(l.node(node)?.counts.dropped.clone()));
            dropped.any(|d| d.keys().any(|reason| reason.starts_with("buffer_")))
        };
        way().any(|node| self.spec.may_drop(node) && dropped(node))
    }

    /// Everything before the committed place must be done.
    pub fn check_cursor(&self, source: &str) {
        let committed = self.store.checkpoint(source, b"place").now_or_never();
        let committed = committed
            .expect("a store in memory does not wait")
            .expect("memory");
        let place = committed.map_or(0, |v| usize::from(v[0]));
        for delivery in 0..place {
            let missing = self.missing(source, delivery);
            if !missing.is_empty() {
                self.wrong(format!("{source}: cursor at {place}, but {missing:?}"));
            }
        }
    }
}

pub fn label(source: &str, delivery: usize, index: usize) -> String {
    format!("{source}:{delivery}:{index}")
}

fn refused(source: &str, delivery: usize, index: usize) -> String {
    format!("no event {source}:{delivery}:{index}")
}

/// The label of an event, or of the event in a letter.
fn label_of(event: &Event) -> String {
    let mut body = event.body();
    while let Some(inner) = body.member("event") {
        body = inner;
    }
    let label = body.member("label").or_else(|| body.member("text"));
    label
        .and_then(|l| l.as_str().map(|l| l.into_owned()))
        .unwrap_or_default()
}

fn root_of(label: &str) -> &str {
    label.split('/').next().unwrap_or_default()
}

pub struct SimSource {
    pub name: String,
    pub world: Arc<World>,
}

impl SourcePart for SimSource {
    fn replays(&self) -> Replays {
        Replays::Again
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let context = Arc::new(context);
        Box::new(move || {
            let connection = Connection {
                name: self.name.clone(),
                world: self.world.clone(),
                context: context.clone(),
            };
            Box::pin(async move {
                let mut state = connection.world.lock();
                let spec = connection.world.source(&connection.name);
                if !state.calm && state.rng.chance(spec.disconnect) {
                    return Err(Failure::disconnected("refused", "no connection"));
                }
                drop(state);
                Ok(Box::new(connection) as Box<dyn Source>)
            })
        })
    }
}

struct Connection {
    name: String,
    world: Arc<World>,
    context: Arc<SourceContext>,
}

impl Source for Connection {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        Box::pin(async move {
            let gap = self.world.source(&self.name).gap;
            if gap > 0 {
                let wait = self.world.lock().rng.ms(0, gap);
                tokio::time::sleep(wait).await;
            }
            loop {
                let stirred = {
                    let mut state = self.world.lock();
                    let spec = self.world.source(&self.name);
                    if !state.calm && state.rng.chance(spec.disconnect) {
                        return Err(Failure::disconnected("gone", "the connection is gone"));
                    }
                    let transport = state.transports.get_mut(&self.name).expect("known");
                    match transport.queue.pop_front() {
                        Some(delivery) => {
                            drop(state);
                            return Ok(Some(self.hand_over(delivery)));
                        }
                        None if transport.out > 0 && spec.transport => transport.stirred.clone(),
                        None => return Ok(None),
                    }
                };
                stirred.notified().await;
            }
        })
    }
}

impl Connection {
    fn hand_over(&self, delivery: usize) -> Delivery {
        let spec = self.world.source(&self.name).clone();
        let from = Arc::new(Provenance {
            source: self.name.as_str().into(),
            ..Provenance::default()
        });
        let events = (0..spec.deliveries[delivery]).map(|index| {
            let label = label(&self.name, delivery, index);
            let seq = delivery * 1000 + index;
            let key = choice(&label, 7, spec.keys);
            let json = format!(
                r#"{{"label":"{label}","src":"{}","key":"k{key}","seq":{seq}}}"#,
                self.name
            );
            Event::parse(json, &self.context.paths, &from).expect("JSON")
        });
        let events: Batch = events.collect();
        let letters = (0..spec.refused[delivery]).map(|index| {
            let sample = refused(&self.name, delivery, index);
            Letter {
                subject: Subject::Text {
                    length: sample.len() as u64,
                    sample,
                },
                reason: "not_json",
                detail: "no JSON".into(),
                violations: Vec::new(),
                node: Arc::default(),
                attempts: 1,
                origin: Origin::default(),
                position: Default::default(),
                provenance: from.clone(),
            }
        });
        let refused: Vec<Letter> = letters.collect();
        let size = events.len() + refused.len();
        let handing = self.count_out(size, &spec);
        let (world, name) = (self.world.clone(), self.name.clone());
        let settle = Settle::new(move |outcome| async move {
            settled(&world, &name, delivery, handing, size, outcome);
        });
        let last = delivery + 1 == spec.deliveries.len();
        let marked =
            spec.checkpoint > 0 && (last || (delivery as u64).is_multiple_of(spec.checkpoint));
        Delivery {
            refused,
            checkpoints: match marked && !spec.transport {
                true => vec![Checkpoint {
                    key: b"place".to_vec(),
                    value: vec![delivery as u8 + 1],
                }],
                false => Vec::new(),
            },
            redelivery: if spec.transport {
                Redelivery::Source
            } else {
                Redelivery::Engine
            },
            settle,
            ..Delivery::new(events)
        }
    }

    fn count_out(&self, size: usize, spec: &spec::Source) -> usize {
        let mut state = self.world.lock();
        let transport = state.transports.get_mut(&self.name).expect("known");
        let most = self.world.spec.max_events;
        // With checkpoints, what is answered may have to wait before it is settled.
        let over = transport.out_events >= most && (spec.checkpoint == 0 || spec.transport);
        let under_way = transport.out_events;
        transport.out += 1;
        transport.out_events += size;
        transport.settled.push(0);
        let handing = transport.settled.len() - 1;
        if over {
            let name = &self.name;
            state.wrong.push(format!(
                "{name}: {under_way} events under way, at most {most}"
            ));
        }
        handing
    }
}

fn settled(
    world: &World,
    source: &str,
    delivery: usize,
    handing: usize,
    size: usize,
    outcome: Result<(), Failure>,
) {
    let mut state = world.lock();
    let transport = state.transports.get_mut(source).expect("known");
    transport.settled[handing] += 1;
    transport.out -= 1;
    transport.out_events -= size;
    match &outcome {
        Ok(()) => drop(transport.well.insert(delivery)),
        Err(failure) => {
            transport.ill.push((delivery, failure.to_string()));
            // The transport brings it again.
            if world.source(source).transport {
                transport.queue.push_back(delivery);
            }
        }
    }
    transport.stirred.notify_waiters();
    transport.stirred.notify_one();
    drop(state);
    if outcome.is_ok() {
        let missing = world.missing(source, delivery);
        if !missing.is_empty() {
            world.wrong(format!(
                "{source}:{delivery} was settled Ok, but {missing:?}"
            ));
        }
    }
    world.check_cursor(source);
}

/// What a call is going to do.
enum Fate {
    Well,
    Fail,
    Partial,
    Fatal,
}

/// Draws a call's fate, and sleeps, hangs or panics where that is it.
async fn fate(world: &World, faults: &Faults, salt: u64, batch: &Batch) -> Fate {
    let poison = |event: &Event| {
        let label = label_of(event);
        faults.poison > 0 && choice(root_of(&label), salt, faults.poison) == 0
    };
    if batch.events().iter().any(poison) {
        panic!("{SCRIPTED}");
    }
    let (wait, panics, hangs, fate) = {
        let state = &mut *world.lock();
        if state.calm {
            return Fate::Well;
        }
        let rng = &mut state.rng;
        let wait = rng.chance(faults.slow).then(|| rng.ms(1, 30));
        let fate = match () {
            () if rng.chance(faults.fatal) => Fate::Fatal,
            () if rng.chance(faults.fail) => Fate::Fail,
            () if rng.chance(faults.partial) => Fate::Partial,
            () => Fate::Well,
        };
        (
            wait,
            rng.chance(faults.panic),
            rng.chance(faults.hang),
            fate,
        )
    };
    if let Some(wait) = wait {
        tokio::time::sleep(wait).await;
    }
    if panics {
        panic!("{SCRIPTED}");
    }
    if hangs {
        std::future::pending::<()>().await;
    }
    fate
}

#[derive(Clone)]
pub struct SimSink {
    pub name: String,
    pub world: Arc<World>,
    pub faults: Faults,
    pub salt: u64,
    pub letters: bool,
    pub concurrency: usize,
}

impl SinkPart for SimSink {
    fn kept(&self) -> Kept {
        Kept::Lasting {
            idempotent: None,
            limit: None,
        }
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        Box::pin(async move { Ok(context.stack(*self)) })
    }
}

/// Counts the writes at a time.
struct Writing<'a>(&'a SimSink);

impl<'a> Writing<'a> {
    fn begin(sink: &'a SimSink) -> Self {
        let mut state = sink.world.lock();
        let writing = state.writing.entry(sink.name.clone()).or_default();
        *writing += 1;
        let now = *writing;
        if now > sink.concurrency {
            state
                .wrong
                .push(format!("{}: {now} writes at a time", sink.name));
        }
        Self(sink)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(writing) = self.0.world.lock().writing.get_mut(&self.0.name) {
            *writing -= 1;
        }
    }
}

impl Sink for SimSink {
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        let _writing = Writing::begin(self);
        self.check_buffers();
        let fate = fate(&self.world, &self.faults, self.salt, &batch).await;
        if let Fate::Fail = fate {
            return Err(match self.world.lock().rng.chance(0.5) {
                true => Failure::transient("busy", "busy"),
                false => Failure::disconnected("gone", "gone"),
            });
        }
        if let Fate::Fatal = fate {
            return Err(Failure::fatal("disk_full", "no space"));
        }
        let (mut again, mut never) = (Vec::new(), Vec::new());
        for event in &batch {
            let label = label_of(event);
            let state = &mut *self.world.lock();
            let rejects =
                self.faults.never > 0 && choice(&label, self.salt, self.faults.never) == 0;
            if rejects || (!state.calm && state.rng.chance(self.faults.reject)) {
                never.push(event.origin);
            } else if matches!(fate, Fate::Partial) && state.rng.chance(0.5) {
                again.push(event.origin);
            } else {
                self.accept(state, event, label);
            }
        }
        // A sink that names an event names all that share its origin: they come again.
        let rejected = Failure::only(Kind::Rejected, Cause::new("scripted", "no"), never);
        let failed = Failure::only(Kind::Transient, Cause::new("partly", "later"), again);
        Failure::join([rejected.map_or(Ok(()), Err), failed.map_or(Ok(()), Err)])
    }
}

impl SimSink {
    fn accept(&self, state: &mut State, event: &Event, label: String) {
        let text = |name: &str| {
            let value = event.body().member(name);
            value
                .and_then(|v| v.as_str().map(|v| v.into_owned()))
                .unwrap_or_default()
        };
        if self.letters {
            state
                .reasons
                .insert((text("node"), label.clone(), text("reason")));
            state.dead.insert((text("node"), label));
            return;
        }
        let seq = event.body().member("seq").and_then(|v| v.as_i64());
        if let Some(seq) = seq.filter(|_| self.world.spec.ordered) {
            // Copies by several ways come to a fan-in in any order; parts of one event together.
            let key = (self.name.clone(), text("src"), text("key"));
            let last = state.last.insert(key, seq as u64).unwrap_or_default();
            if (seq as u64) < last && self.inputs() == 1 {
                state
                    .wrong
                    .push(format!("{}: {label} came after {last}", self.name));
            }
        }
        state
            .accepted
            .entry(self.name.clone())
            .or_default()
            .insert(label);
    }

    fn inputs(&self) -> usize {
        let sink = self.world.spec.sinks.iter().find(|s| s.name == self.name);
        sink.map_or(0, |s| s.inputs.len())
    }

    /// Now and then: no buffer holds more than it may.
    fn check_buffers(&self) {
        let state = &mut *self.world.lock();
        if !state.rng.chance(0.01) {
            return;
        }
        let text = render_metrics(&state.observers[state.observers.len() - 1..]);
        let figures = |name: &str| -> BTreeMap<String, f64> {
            let lines = text.lines().filter(|line| line.starts_with(name));
            let figure = |line: &str| {
                let (head, value) = line.rsplit_once(' ')?;
                Some((head[name.len()..].to_owned(), value.parse().ok()?))
            };
            lines.filter_map(figure).collect()
        };
        let (fill, most) = (
            figures("trunkline_buffer_events{"),
            figures("trunkline_buffer_capacity_events{"),
        );
        assert!(!fill.is_empty(), "the buffers have figures");
        for (labels, events) in fill {
            // One delivery of twelve events, made three of each twice, may be alone in its buffer.
            let oversize = 12.0 * 81.0;
            if events > most.get(&labels).copied().unwrap_or_default().max(oversize) {
                state.wrong.push(format!("buffer {labels} holds {events}"));
            }
        }
    }
}

#[derive(Clone)]
pub struct SimTransform {
    pub spec: spec::Transform,
    pub world: Arc<World>,
}

impl TransformPart for SimTransform {
    fn build(&self, context: TransformContext) -> Result<Stage, Failure> {
        let names = ["a", "b", "rest"].map(String::from);
        Ok(match self.spec.what {
            What::Route => context.split(self.clone(), &names),
            What::Reject => context.with_rejects(self.clone(), "invalid"),
            What::Dedup => {
                let meter = context.meter.clone();
                context.layered(|inner| dedup(inner, meter))
            }
            _ => context.plain(self.clone()),
        })
    }
}

impl Transform for SimTransform {
    async fn apply(&self, batch: Batch) -> Result<Applied, Failure> {
        let Self { spec, world } = self;
        if !matches!(
            fate(world, &spec.faults, spec.salt, &batch).await,
            Fate::Well
        ) {
            return Err(Failure::transient("busy", "busy"));
        }
        let mut applied = Applied::default();
        let mut kept = Vec::new();
        let mut filtered = 0;
        for event in batch.into_events() {
            let label = label_of(&event);
            match spec.what {
                What::Filter if choice(&label, spec.salt, 4) == 0 => filtered += 1,
                What::Reject if choice(&label, spec.salt, 5) == 0 => {
                    applied
                        .rejected
                        .push(Letter::new(event, "schema", "does not fit"));
                }
                What::Split => {
                    let parts = spec::parts(&label, &spec.name, spec.salt);
                    applied.created += parts.len() as u64 - 1;
                    if let [_] = parts[..] {
                        kept.push(event);
                        continue;
                    }
                    for (number, part) in parts.into_iter().enumerate() {
                        kept.push(part_of(&event, &part, number));
                    }
                }
                _ => kept.push(event),
            }
        }
        applied.batch = kept.into();
        applied.dropped = vec![("filtered", filtered)];
        Ok(applied)
    }
}

fn part_of(event: &Event, label: &str, number: usize) -> Event {
    let json = event.to_json();
    let seq = event.body().member("seq").and_then(|v| v.as_i64());
    let mut part = match seq {
        Some(_) => event.with_body(json).expect("JSON"),
        // A letter on its way to an output: only its label matters.
        None => event.with_body(r#"{"label":""}"#.into()).expect("JSON"),
    };
    part.set(&Path::of(["label"]), format!("\"{label}\""));
    part.origin = event.origin.part(number + 1);
    part
}

impl Split for SimTransform {
    fn split(&self, batch: Batch) -> (Vec<Batch>, Vec<(&'static str, u64)>) {
        let calm = {
            let state = &mut *self.world.lock();
            state.calm || !state.rng.chance(self.spec.faults.panic)
        };
        assert!(calm, "{SCRIPTED}");
        let mut parts = vec![Vec::new(); 3];
        for event in batch.into_events() {
            parts[choice(&label_of(&event), self.spec.salt, 3) as usize].push(event);
        }
        (parts.into_iter().map(Batch::from).collect(), Vec::new())
    }
}

/// Drops what was delivered before: a layer that remembers with the answer.
fn dedup(inner: Stage, meter: trunkline::observe::NodeMeter) -> Stage {
    let seen: Arc<Mutex<HashSet<String>>> = Arc::default();
    Stage::new(tower::service_fn(move |batch: Batch| {
        let (inner, meter, seen) = (inner.clone(), meter.clone(), seen.clone());
        async move {
            let (known, rest): (Vec<Event>, Vec<Event>) = batch
                .into_events()
                .into_iter()
                .partition(|event| seen.lock().expect("sound").contains(&label_of(event)));
            let rest = Batch::from(rest);
            let answer = inner.oneshot(rest.clone()).await;
            let answer = answer.map_err(|failure| failure.named(&rest.origins()));
            let lost = answer
                .as_ref()
                .map_or_else(|f| f.lost(&rest), |()| HashSet::new());
            let well = rest.events().iter().filter(|e| !lost.contains(&e.origin));
            seen.lock().expect("sound").extend(well.map(label_of));
            // One that shares its origin with a lost one goes back with it.
            let shared = answer.as_ref().map_or_else(
                |f| f.lost_of(&known.iter().map(|e| e.origin).collect::<Vec<_>>()),
                |()| HashSet::new(),
            );
            let dropped = known.iter().filter(|e| !shared.contains(&e.origin)).count();
            meter.dropped("duplicate", dropped as u64);
            answer
        }
    }))
}

//! Plays a test: builds the pipeline, does what the steps say, and looks at what came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::feed::{Feed, Gifts, beside};
use super::judge::{Verdict, judge};
use super::tap::{Entry, TappedTransform, Taps, WatchedSink};
use super::{EVENTS, Given, Step, Trial};
use crate::clock::Wall;
use crate::config::{self, Before, Loaded, Variables};
use crate::diagnostic::{Report, Severity};
use crate::edge::EdgePolicy;
use crate::failure::Failure;
use crate::graph::check::check_fed;
use crate::graph::components::Components;
use crate::graph::rehearsal::desk::Desk;
use crate::graph::rehearsal::input::{Ended, Feeding};
use crate::graph::rehearsal::{LONGEST, Outcome, stay_home};
use crate::graph::run::run;
use crate::graph::{Pipeline, StateSetting};
use crate::layer::SourcePart;
use crate::observe::{Alert, Counts, Observer};
use crate::state::Store;

/// Time that passes until everything that can be done without time is done: the clock is paused, and
/// goes on only when nothing else can.
const SETTLE: Duration = Duration::from_millis(1);
/// Mistakes of a file that are told of a test.
const MOST_MISTAKES: usize = 5;
/// How long a stop may take, beyond the grace of the pipeline.
const STOP: Duration = Duration::from_secs(60);

/// What came of a test.
pub(super) struct Found {
    /// Why the run ended before its time.
    pub failure: Option<String>,
    /// By node, or `node.output`: what came out of it, or what a sink took; and how many these are.
    pub events: HashMap<String, (Vec<Value>, u64)>,
    /// What would leave, dead letters, notes.
    pub outcome: Outcome,
    /// Figures by node, over all restarts.
    pub counts: BTreeMap<String, Counts>,
    /// Alerts that were raised, by node.
    pub alerts: BTreeSet<(String, &'static str)>,
    /// How many keys the state has of a node, or why that cannot be said; of those that are asked for.
    pub remembered: HashMap<String, Result<u64, String>>,
}

/// Plays one test of a file that was checked and has no mistakes, on a
/// [`runtime`](crate::graph::rehearsal::runtime) of its own.
///
/// `variables` are those that the file was read with: a test with variables of its own reads it anew.
pub async fn play(
    loaded: &Loaded,
    components: &Components,
    trial: &Trial,
    variables: &dyn Variables,
) -> Verdict {
    let own = (!trial.variables.is_empty()).then(|| {
        let (own, behind) = (&*trial.variables, variables);
        config::parse(&loaded.file, &loaded.text, &Before { own, behind })
    });
    let mut stage = Stage::new(own.as_ref().unwrap_or(loaded), components, trial);
    if let Err(failure) = stage.start() {
        return judge(trial, &stage.found(trial, Some(failure)));
    }
    stage.opened().await;
    stage.give(0, &trial.input).await;
    match &trial.steps {
        None => stage.end(),
        Some(steps) => {
            for (number, step) in steps.iter().enumerate() {
                stage.step(number + 1, step).await;
            }
        }
    }
    let failure = stage.finish().await;
    judge(trial, &stage.found(trial, failure))
}

/// Everything that a test needs, from its beginning to its end.
struct Stage<'a> {
    loaded: &'a Loaded,
    components: &'a Components,
    wall: Wall,
    /// When the clock shows what the steps say.
    due: Instant,
    feeds: BTreeMap<String, Feed>,
    entries: HashMap<String, Entry>,
    taps: Taps,
    desk: Desk,
    sinks: Vec<(Arc<str>, &'static str)>,
    kept: Store,
    counts: BTreeMap<String, Counts>,
    alerts: BTreeSet<(String, &'static str)>,
    life: Option<Life>,
    ended: bool,
    failure: Option<String>,
}

/// The pipeline between two starts.
struct Life {
    running: Option<LocalBoxFuture<'static, Result<(), Failure>>>,
    stop: Option<oneshot::Sender<()>>,
    observer: Observer,
    alerts: Receiver<Alert>,
    grace: Duration,
}

impl<'a> Stage<'a> {
    fn new(loaded: &'a Loaded, components: &'a Components, trial: &Trial) -> Self {
        let base = Path::new(&*loaded.file).parent().unwrap_or(Path::new(""));
        let mut gifts: BTreeMap<String, Gifts> = BTreeMap::new();
        let mut add = |step: usize, given: &[Given]| {
            for Given { source, gift } in given {
                let of = gifts.entry(source.clone()).or_default();
                of.insert(step, beside(base, gift));
            }
        };
        add(0, &trial.input);
        for (number, step) in trial.steps.iter().flatten().enumerate() {
            if let Step::Send(given) = step {
                add(number + 1, given);
            }
        }
        let feeds = gifts.into_iter();
        Self {
            loaded,
            components,
            wall: Wall::from(trial.at),
            due: Instant::now(),
            feeds: feeds
                .map(|(name, gifts)| (name, Feed::new(gifts)))
                .collect(),
            entries: HashMap::new(),
            taps: Taps::default(),
            desk: Desk::new(EVENTS),
            sinks: Vec::new(),
            kept: Store::rehearsed_durable(),
            counts: BTreeMap::new(),
            alerts: BTreeSet::new(),
            life: None,
            ended: false,
            failure: None,
        }
    }

    /// Builds the pipeline, with what it kept, and sets it running.
    fn start(&mut self) -> Result<(), String> {
        let fed: Vec<&str> = self.feeds.keys().map(String::as_str).collect();
        let checked = check_fed(self.loaded, self.components, &fed);
        let mut pipeline = checked.pipeline.ok_or_else(|| mistakes(&checked.report))?;
        self.sinks = (pipeline.sinks.iter())
            .map(|sink| (sink.name.clone(), sink.component))
            .collect();
        let store = match pipeline.state {
            StateSetting::Memory => Store::rehearsed(),
            _ => self.kept.clone(),
        };
        self.replace_ends(&mut pipeline);
        for note in stay_home(&mut pipeline) {
            self.desk.note(note);
        }
        let observer = Observer::with_clock(&pipeline.name, Wall::clone(&self.wall));
        let (stop, stopped) = oneshot::channel();
        let (grace, watched) = (pipeline.grace, observer.clone());
        let alerts = observer.alert_changes();
        let running = async move { run(pipeline, &watched, store, stopped.map(|_| ())).await };
        self.life = Some(Life {
            running: Some(running.boxed_local()),
            stop: Some(stop),
            observer,
            alerts,
            grace,
        });
        Ok(())
    }

    /// As in a rehearsal, but with everything around the sinks as it is in a run.
    fn replace_ends(&mut self, pipeline: &mut Pipeline) {
        for source in &mut pipeline.sources {
            source.part = match self.feeds.get(&*source.name) {
                Some(feed) => feed.part(&*source.part),
                None => Box::new(Ended) as Box<dyn SourcePart>,
            };
            let letters = source.dead_letter.take();
            source.dead_letter = letters.map(|node| self.desk.letters(node));
        }
        for mut node in std::mem::take(&mut pipeline.transforms) {
            node.buffer = node.buffer.as_ref().map(EdgePolicy::behind_disk);
            let letters = node.dead_letter.take();
            node.dead_letter = letters.map(|node| self.desk.letters(node));
            let taps = self.taps.clone();
            let part = node.part;
            node.part = Box::new(TappedTransform { part, taps });
            pipeline.transforms.push(node);
        }
        for mut node in std::mem::take(&mut pipeline.sinks) {
            node.buffer = node.buffer.behind_disk();
            let letters = node.dead_letter.take();
            node.dead_letter = letters.map(|node| self.desk.letters(node));
            let tap = self.taps.of(&node.name);
            let entry = self.entries.entry(node.name.to_string());
            let entry = entry.or_insert_with(|| Entry::new(tap)).clone();
            node.part = Box::new(WatchedSink {
                part: self.desk.sink(node.part, node.component, false),
                taps: self.taps.clone(),
                entry,
            });
            pipeline.sinks.push(node);
        }
        let letters = pipeline.dead_letter.take();
        pipeline.dead_letter = letters.map(|node| self.desk.letters(node));
    }

    /// Waits until all inputs are read, or the run has failed.
    async fn opened(&mut self) {
        let feeds: Vec<Feed> = self.feeds.values().cloned().collect();
        let opened = async {
            for feed in feeds {
                feed.opened().await;
            }
        };
        // A source that is switched off does not open; that is told by what is not found.
        let _ = self.beside(tokio::time::timeout(STOP, opened)).await;
        self.due = Instant::now();
    }

    /// Awaits something while the pipeline runs.
    async fn beside<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = std::pin::pin!(what);
        if let Some(life) = &mut self.life
            && let Some(running) = &mut life.running
        {
            tokio::select! {
                biased;
                ended = running => {
                    life.running = None;
                    self.failure = self.failure.take().or(ended.err().map(|it| it.to_string()));
                }
                done = &mut what => return done,
            }
        }
        what.await
    }

    async fn settle(&mut self) {
        self.beside(tokio::time::sleep(SETTLE)).await;
    }

    async fn give(&mut self, number: usize, given: &[Given]) {
        for Given { source, .. } in given {
            if let Some(feed) = self.feeds.get(source) {
                feed.give(number);
            }
        }
        self.settle().await;
    }

    fn end(&mut self) {
        self.ended = true;
        self.feeds.values().for_each(Feed::end);
    }

    async fn step(&mut self, number: usize, step: &Step) {
        match step {
            Step::Send(given) => self.give(number, given).await,
            Step::Advance(time) => {
                self.due += *time;
                let due = self.due.max(Instant::now() + SETTLE);
                self.beside(tokio::time::sleep_until(due)).await;
            }
            Step::Sinks(faults) => {
                for (name, fault) in faults {
                    if let Some(entry) = self.entries.get(name) {
                        entry.set(fault.clone());
                    }
                }
                self.settle().await;
            }
            Step::Restart => self.restart().await,
            Step::End => {
                self.end();
                self.settle().await;
            }
        }
    }

    async fn restart(&mut self) {
        if let Some(stop) = self.life.as_mut().and_then(|life| life.stop.take()) {
            // One that has ended by itself does not listen.
            let _ = stop.send(());
        }
        let grace = self.life.as_ref().map_or(STOP, |life| life.grace + STOP);
        self.over(grace).await;
        self.read_figures();
        self.life = None;
        self.taps.restart();
        self.feeds.values().for_each(Feed::restart);
        if let Err(failure) = self.start() {
            self.failure.get_or_insert(failure);
        }
        self.opened().await;
        self.settle().await;
    }

    /// Waits until the pipeline has ended, for so long; says whether it has.
    async fn over(&mut self, longest: Duration) -> bool {
        let Some(life) = &mut self.life else {
            return true;
        };
        let Some(running) = &mut life.running else {
            return true;
        };
        let ended = tokio::time::timeout(longest, running).await;
        let Ok(ended) = ended else {
            return false;
        };
        life.running = None;
        self.failure = self.failure.take().or(ended.err().map(|it| it.to_string()));
        true
    }

    /// Where the input has ended, everything is awaited; otherwise things are as they are now.
    async fn finish(&mut self) -> Option<String> {
        if self.ended && !self.over(LONGEST).await {
            let days = LONGEST.as_secs() / 86_400;
            self.failure = Some(format!(
                "something was not answered within {days} days of the test's clock"
            ));
        }
        self.failure.take()
    }

    /// Adds the figures of this life to those before.
    fn read_figures(&mut self) {
        let Some(life) = &mut self.life else { return };
        let ledger = life.observer.ledger();
        if let Err(wrong) = ledger.adds_up() {
            self.failure
                .get_or_insert(format!("the ledger does not add up: {wrong}"));
        }
        for node in ledger.nodes {
            let counts = self.counts.entry(node.name).or_default();
            add(counts, node.counts);
        }
        while let Ok(alert) = life.alerts.try_recv() {
            if alert.active {
                let node = alert.node.unwrap_or_default();
                self.alerts.insert((node, alert.name));
            }
        }
    }

    /// What another start would find in the state, of the nodes of which something is expected.
    fn remembered(&self, trial: &Trial) -> HashMap<String, Result<u64, String>> {
        let mut found = HashMap::new();
        let asked = |name: &str| {
            let mut nodes = trial.expect.nodes.iter();
            nodes.any(|it| it.node == name && it.remembers.is_some())
        };
        let fed: Vec<&str> = self.feeds.keys().map(String::as_str).collect();
        let Some(pipeline) = check_fed(self.loaded, self.components, &fed).pipeline else {
            return found;
        };
        let now = u64::try_from(self.wall.now().as_millisecond()).unwrap_or(0);
        for node in pipeline.transforms.iter().filter(|it| asked(&it.name)) {
            let table = self.kept.table(&node.name);
            let keys = match node.part.remembered(&table, now) {
                Ok(Some(_)) if pipeline.state == StateSetting::Memory => {
                    Err("with `state: { type: memory }` nothing is kept for another start".into())
                }
                Ok(Some(keys)) => Ok(keys),
                Ok(None) => Err("it remembers nothing by keys".into()),
                Err(failure) => Err(failure.to_string()),
            };
            found.insert(node.name.to_string(), keys);
        }
        found
    }

    fn found(&mut self, trial: &Trial, failure: Option<String>) -> Found {
        self.read_figures();
        let remembered = self.remembered(trial);
        let failure = failure.or(self.failure.take());
        let mut events = self.taps.all();
        for (name, feed) in &self.feeds {
            let taken = feed.taken();
            let count = taken.len() as u64;
            events.insert(name.clone(), (taken, count));
        }
        let ledger = match &self.life {
            Some(life) => life.observer.ledger(),
            None => Observer::new("").ledger(),
        };
        let feeding = Feeding::new(0, 0);
        Found {
            failure,
            events,
            outcome: self.desk.outcome(None, &feeding, &self.sinks, ledger),
            counts: std::mem::take(&mut self.counts),
            alerts: std::mem::take(&mut self.alerts),
            remembered,
        }
    }
}

/// What is wrong with the file as this test has it.
fn mistakes(report: &Report) -> String {
    let wrong = report.iter().filter(|it| it.severity == Severity::Error);
    let told = wrong.map(|it| match it.span {
        Some(span) => format!("line {}: {}", span.line, it.message),
        None => it.message.to_string(),
    });
    let told: Vec<String> = told.take(MOST_MISTAKES).collect();
    format!("the file has mistakes: {}", told.join("; "))
}

/// What is held is as it is now; all else adds up.
fn add(counts: &mut Counts, more: Counts) {
    counts.received += more.received;
    counts.created += more.created;
    counts.delivered += more.delivered;
    counts.given_back += more.given_back;
    counts.retries += more.retries;
    counts.held = more.held;
    for (sums, more) in [
        (&mut counts.dropped, more.dropped),
        (&mut counts.dead_lettered, more.dead_lettered),
        (&mut counts.labels, more.labels),
    ] {
        for (reason, count) in more {
            *sums.entry(reason).or_default() += count;
        }
    }
}

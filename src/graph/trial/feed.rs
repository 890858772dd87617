//! What a test gives to its sources, and when.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;

use super::{EVENTS, Gift};
use crate::event::{Batch, Event, EventsBuilder, PathSet, Position, Provenance};
use crate::failure::Failure;
use crate::graph::rehearsal::input::{read, reader};
use crate::layer::{Replays, SourceContext, SourcePart};
use crate::stage::{Delivery, Letter, OpenSource, Settle, Source};

/// What a source hands over at once; it is handed over again after a restart unless it was answered.
#[derive(Clone, Default)]
pub(super) struct Parcel {
    batch: Batch,
    refused: Vec<Letter>,
}

/// Which gifts a source has, by the number of the step that gives them.
pub(super) type Gifts = BTreeMap<usize, Gift>;

/// One source of a test. Clones share it.
#[derive(Clone)]
pub(super) struct Feed(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    gifts: Gifts,
    /// What was read for steps that are not there yet.
    prepared: HashMap<usize, VecDeque<Parcel>>,
    ready: VecDeque<Parcel>,
    /// What was handed over and has no answer.
    open: BTreeMap<u64, Parcel>,
    next: u64,
    opened: bool,
    ended: bool,
    /// All events that it was given.
    lines: u64,
    taken: Vec<Value>,
}

impl Feed {
    pub fn new(gifts: Gifts) -> Self {
        let state = State {
            gifts,
            ..State::default()
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changed: watch::channel(0).0,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.0.changed.send_modify(|changes| *changes += 1);
    }

    /// The source that stands in for the real one.
    pub fn part(&self, real: &dyn SourcePart) -> Box<dyn SourcePart> {
        let files = self.lock();
        let files = files.gifts.iter().filter_map(|(step, gift)| match gift {
            Gift::File(path) => Some((*step, reader(path.clone(), real))),
            Gift::Events(_) => None,
        });
        Box::new(Fed {
            feed: self.clone(),
            files: files.collect(),
        })
    }

    /// Waits until everything that it is given is read.
    pub async fn opened(&self) {
        let mut changed = self.0.changed.subscribe();
        while !self.lock().opened {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// What this step gives is there now.
    pub fn give(&self, step: usize) {
        self.change(|state| {
            let parcels = state.prepared.remove(&step).unwrap_or_default();
            state.ready.extend(parcels);
        });
    }

    pub fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// The pipeline is gone: what had no answer is handed over again to the next.
    pub fn restart(&self) {
        self.change(|state| {
            state.opened = false;
            let open = std::mem::take(&mut state.open);
            for parcel in open.into_values().rev() {
                state.ready.push_front(parcel);
            }
        });
    }

    /// What it has handed over, each once.
    pub fn taken(&self) -> Vec<Value> {
        self.lock().taken.clone()
    }

    /// Reads what is written in the test with the paths of the pipeline that runs now.
    fn prepare(&self, context: &SourceContext, files: Vec<(usize, VecDeque<Parcel>)>) {
        self.change(|state| {
            let from = Arc::new(Provenance {
                source: context.node.clone(),
                object: "".into(),
                received: context.meter.wall().micros(),
            });
            for (step, gift) in std::mem::take(&mut state.gifts) {
                if let Gift::Events(events) = gift {
                    let parcel = parcel(&events, &mut state.lines, &context.paths, &from);
                    state.prepared.insert(step, VecDeque::from([parcel]));
                }
            }
            for (step, parcels) in files {
                state.prepared.insert(step, parcels);
            }
            state.opened = true;
        });
    }

    /// The next parcel, with the number under which its answer is told; `None` at the end.
    async fn next(&self) -> Option<(u64, Parcel)> {
        let mut changed = self.0.changed.subscribe();
        loop {
            {
                let mut state = self.lock();
                if let Some(parcel) = state.ready.pop_front() {
                    let number = state.next;
                    state.next += 1;
                    state.open.insert(number, parcel.clone());
                    return Some((number, parcel));
                }
                if state.ended {
                    return None;
                }
            }
            if changed.changed().await.is_err() {
                return None;
            }
        }
    }

    fn answered(&self, number: u64) {
        let mut state = self.lock();
        if let Some(parcel) = state.open.remove(&number) {
            let events = parcel.batch.events().iter();
            state.taken.extend(events.map(value_of));
        }
    }
}

fn parcel(
    events: &[Value],
    lines: &mut u64,
    paths: &Arc<PathSet>,
    from: &Arc<Provenance>,
) -> Parcel {
    let (mut text, mut places) = (String::new(), Vec::with_capacity(events.len()));
    for event in events {
        let start = text.len();
        text += &event.to_string();
        places.push((start, text.len()));
        text.push('\n');
    }
    let mut builder = EventsBuilder::new(text, paths.clone(), from.clone(), places.len());
    for (start, end) in places {
        *lines += 1;
        let position = Position {
            line: *lines,
            offset: start as u64,
        };
        // The file's own depth is bounded more closely, and no mapping has a member twice.
        let _ = builder.push(start, end, position);
    }
    Parcel {
        batch: builder.finish(),
        refused: Vec::new(),
    }
}

struct Fed {
    feed: Feed,
    files: Vec<(usize, Box<dyn SourcePart>)>,
}

impl SourcePart for Fed {
    fn replays(&self) -> Replays {
        Replays::Again
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let Self { feed, files } = *self;
        let build =
            |(step, part): (usize, Box<dyn SourcePart>)| (step, part.build(context.clone()));
        let files: Arc<Vec<(usize, OpenSource)>> = Arc::new(files.into_iter().map(build).collect());
        Box::new(move || {
            let (feed, files, context) = (feed.clone(), files.clone(), context.clone());
            async move {
                // The paused clock stands still while a blocking task runs.
                let reading = tokio::task::spawn_blocking(move || {
                    let all = files.iter();
                    let all = all.map(|(step, open)| Ok((*step, block_on(parcels(open))?)));
                    all.collect::<Result<Vec<_>, Failure>>()
                });
                let files = reading.await.unwrap_or_else(|_| {
                    let message = "reading the input met an error of its own";
                    Err(Failure::fatal("input_failed", message))
                })?;
                feed.prepare(&context, files);
                Ok(Box::new(Giving(feed)) as Box<dyn Source>)
            }
            .boxed()
        })
    }
}

async fn parcels(open: &OpenSource) -> Result<VecDeque<Parcel>, Failure> {
    let (deliveries, _, is_cut) = read(open, EVENTS).await?;
    if is_cut {
        let message = format!("a test is given at most {EVENTS} events");
        return Err(Failure::fatal("too_many_events", message));
    }
    let parcel = |delivery: Delivery| Parcel {
        batch: delivery.batch,
        refused: delivery.refused,
    };
    Ok(deliveries.into_iter().map(parcel).collect())
}

struct Giving(Feed);

impl Source for Giving {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async move {
            let Some((number, parcel)) = self.0.next().await else {
                return Ok(None);
            };
            let feed = self.0.clone();
            let settle = Settle::new(move |answer: Result<(), Failure>| async move {
                if answer.is_ok() {
                    feed.answered(number);
                }
            });
            Ok(Some(Delivery {
                refused: parcel.refused,
                settle,
                ..Delivery::new(parcel.batch)
            }))
        }
        .boxed()
    }
}

/// Where a file of a test lies: beside the pipeline's.
pub(super) fn beside(base: &std::path::Path, gift: &Gift) -> Gift {
    match gift {
        Gift::File(path) => Gift::File(PathBuf::from(base).join(path)),
        events @ Gift::Events(_) => events.clone(),
    }
}

/// Its JSON.
pub(super) fn value_of(event: &Event) -> Value {
    let json = event.to_json();
    serde_json::from_str(&json).unwrap_or(Value::String(json))
}

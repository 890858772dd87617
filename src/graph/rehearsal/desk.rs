//! Where everything that would leave is gathered, and the sinks that leave it there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tower::{ServiceExt, service_fn};

use super::input::Feeding;
use super::personal::Finder;
use super::{DeadLetter, Left, Outcome, patient};
use crate::event::Batch;
use crate::failure::Failure;
use crate::graph::DeadLetterNode;
use crate::layer::rehearsal::{Leaving, Recorded, Recorder};
use crate::layer::{Kept, SinkContext, SinkPart, VisitPaths};
use crate::observe::Ledger;
use crate::stage::Stage;

/// Where everything is left. Clones share it.
#[derive(Clone)]
pub(in crate::graph) struct Desk(Arc<Shared>);

struct Shared {
    things: usize,
    finder: Arc<Mutex<Finder>>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    recorders: Vec<(Arc<str>, &'static str, bool, Recorder)>,
    letters: Vec<DeadLetter>,
    letter_count: u64,
    notes: Vec<String>,
}

impl Desk {
    pub fn new(things: usize) -> Self {
        Self(Arc::new(Shared {
            things,
            finder: Arc::default(),
            open: Mutex::default(),
        }))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, note: String) {
        self.open().notes.push(note);
    }

    pub fn sink(
        &self,
        part: Box<dyn SinkPart>,
        component: &'static str,
        is_letters: bool,
    ) -> Box<dyn SinkPart> {
        Box::new(Rehearsed {
            part,
            component,
            is_letters,
            desk: self.clone(),
        })
    }

    pub fn letters(&self, node: DeadLetterNode) -> DeadLetterNode {
        DeadLetterNode {
            part: self.sink(node.part, node.component, true),
            policy: patient(),
            ..node
        }
    }

    /// A recorder of its own for a sink.
    fn recorder(&self, node: &Arc<str>, component: &'static str, is_letters: bool) -> Recorder {
        // One that is opened again goes on where it was.
        if let Some(known) = self.open().recorders.iter().find(|it| it.0 == *node) {
            return known.3.clone();
        }
        let (finder, name) = (self.0.finder.clone(), node.clone());
        let look = move |leaving: &Leaving| {
            let mut finder = finder.lock().unwrap_or_else(PoisonError::into_inner);
            finder.look(&name, leaving);
        };
        let recorder = Recorder::new(self.0.things, Box::new(look));
        let open = (node.clone(), component, is_letters, recorder.clone());
        self.open().recorders.push(open);
        recorder
    }

    /// Keeps letters that were kept.
    fn keep(&self, batch: &Batch) {
        let mut open = self.open();
        for event in batch {
            open.letter_count += 1;
            if open.letters.len() < self.0.things {
                let letter: serde_json::Value =
                    serde_json::from_str(&event.to_json()).unwrap_or_default();
                let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
                let (reason, node) = (text("reason"), text("node"));
                open.letters.push(DeadLetter {
                    reason,
                    node,
                    letter,
                });
            }
        }
    }

    pub fn outcome(
        &self,
        failure: Option<String>,
        feeding: &Feeding,
        names: &[(Arc<str>, &'static str)],
        ledger: Ledger,
    ) -> Outcome {
        let mut open = std::mem::take(&mut *self.open());
        let mut notes = std::mem::take(&mut open.notes);
        let mut left = |node: &Arc<str>, component, recorded: Recorded| {
            let said = recorded.notes.iter();
            notes.extend(said.map(|note| format!("{node}: {note}")));
            Left {
                node: node.clone(),
                component,
                count: recorded.count,
                things: recorded.things,
            }
        };
        // Whose answer comes first is left to chance where several wait for one: by their place.
        open.letters
            .sort_by(|one, other| one.place().cmp(&other.place()));
        let (letters, sinks): (Vec<_>, Vec<_>) = open.recorders.into_iter().partition(|it| it.2);
        let sinks = names.iter().map(|(name, component)| {
            // One that is switched off opens nothing.
            let found = sinks.iter().find(|it| it.0 == *name);
            let recorded = found.map(|it| it.3.take()).unwrap_or_default();
            left(name, *component, recorded)
        });
        let sinks = sinks.collect();
        let letters = letters.iter();
        let kept = letters.map(|(node, component, _, it)| {
            let mut recorded = it.take();
            recorded.things.sort_by_key(|it| it.origins.clone());
            left(node, *component, recorded)
        });
        let dead_letter_sinks = kept.collect();
        let finder = self.0.finder.lock();
        Outcome {
            failure,
            events: feeding.read(),
            is_cut: feeding.is_cut(),
            sinks,
            dead_letter_sinks,
            dead_letters: open.letters,
            dead_letter_count: open.letter_count,
            personal_data: finder.unwrap_or_else(PoisonError::into_inner).found(),
            notes,
            ledger,
        }
    }
}

/// A sink without its last step.
struct Rehearsed {
    part: Box<dyn SinkPart>,
    component: &'static str,
    is_letters: bool,
    desk: Desk,
}

impl SinkPart for Rehearsed {
    fn paths(&mut self, visit: VisitPaths<'_>) {
        self.part.paths(visit);
    }

    fn kept(&self) -> Kept {
        self.part.kept()
    }

    fn build(self: Box<Self>, context: SinkContext) -> BoxFuture<'static, Result<Stage, Failure>> {
        let Self {
            part,
            component,
            is_letters,
            desk,
        } = *self;
        let show = desk.recorder(&context.node, component, is_letters);
        async move {
            let stage = part.rehearse(context, show).await?;
            if !is_letters {
                return Ok(stage);
            }
            Ok(Stage::new(service_fn(move |batch: Batch| {
                let (stage, desk) = (stage.clone(), desk.clone());
                async move {
                    let letters = batch.clone();
                    stage.oneshot(batch).await?;
                    desk.keep(&letters);
                    Ok(())
                }
            })))
        }
        .boxed()
    }
}

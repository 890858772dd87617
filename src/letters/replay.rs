//! Letters on their way again: which of them can go, and the source that hands their events over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::outcomes::{SHOWN, Underway};
use super::{Filter, Found, Kept, Letters, Mark, Outcomes, Reveal, Shelf};
use crate::event::{Batch, Event, PathSet, Provenance, Replay};
use crate::failure::Failure;
use crate::layer::{Original, Replays, SourceContext, SourcePart};
use crate::observe::Progress;
use crate::seal::Keyring;
use crate::stage::{Delivery, OpenSource, Redelivery, Settle, Source};

/// Bounds of one delivery.
const BATCH_LETTERS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;
/// Who can be handed an event.
pub struct Taken {
    /// How many letters were asked for.
    pub asked: u64,
    /// What is handed to each node, by its name.
    pub nodes: BTreeMap<String, HashSet<Mark>>,
    /// Bytes of their lines.
    pub bytes: u64,
    /// Those asked for that nobody can be handed, with the reason.
    pub stuck: Vec<String>,
    /// How many of those there are in all.
    pub stuck_count: u64,
    /// How many go with the masked event, since nothing was sealed.
    pub masked: u64,
}

/// Chooses the letters to replay: those that the filter accepts, up to `limit`, whose event can be
/// had, for nodes of which `entrance` says that they can be handed events.
///
/// # Errors
/// When a shelf cannot be read.
pub fn take(
    shelves: &[Arc<dyn Shelf>],
    filter: &Filter,
    limit: u64,
    keys: Option<&Keyring>,
    entrance: impl Fn(&str) -> Result<(), String>,
) -> Result<Taken, Failure> {
    let mut taken = Taken {
        asked: 0,
        nodes: BTreeMap::new(),
        bytes: 0,
        stuck: Vec::new(),
        stuck_count: 0,
        masked: 0,
    };
    for shelf in shelves {
        for found in shelf.letters()? {
            let Found::Letter(kept) = found? else {
                continue;
            };
            if taken.asked == limit || !filter.accepts(&kept) {
                continue;
            }
            taken.asked += 1;
            match entrance(&kept.node).and_then(|()| original(&kept, keys)) {
                Ok(original) => {
                    if !taken.nodes.entry(kept.node).or_default().insert(kept.mark) {
                        // Equal lines are one letter.
                        taken.asked -= 1;
                        continue;
                    }
                    taken.masked += u64::from(matches!(original, Either::Masked(_)));
                    taken.bytes += kept.line.len() as u64;
                }
                Err(why) => {
                    taken.stuck_count += 1;
                    if taken.stuck.len() < SHOWN {
                        taken.stuck.push(format!("{}: {why}", kept.id));
                    }
                }
            }
        }
    }
    Ok(taken)
}

enum Either {
    Whole(Original),
    Masked(Original),
}

fn original(kept: &Kept, keys: Option<&Keyring>) -> Result<Either, String> {
    match kept.reveal(keys) {
        Reveal::Original(original) => Ok(Either::Whole(original)),
        Reveal::Masked(original) => Ok(Either::Masked(original)),
        Reveal::Shut(Some(why)) => Err(format!("its original cannot be had: {why}")),
        Reveal::Shut(None) => {
            Err("its original is encrypted, and the pipeline has no `encryption`".into())
        }
        Reveal::Nothing => Err("there is no event in it".into()),
    }
}

/// Stands in for a source: hands the events of letters to one node.
pub struct Replaying {
    /// Where letters lie, in the order of the [`Outcomes`].
    pub shelves: Vec<Arc<dyn Shelf>>,
    /// Which of them go to this node.
    pub marks: HashSet<Mark>,
    /// What opens the sealed ones.
    pub keys: Option<Keyring>,
    /// Told what became of them.
    pub outcomes: Outcomes,
}

impl SourcePart for Replaying {
    fn replays(&self) -> Replays {
        // A letter lies where it lay until it is settled.
        Replays::Again
    }

    fn build(self: Box<Self>, context: SourceContext) -> OpenSource {
        let this = Arc::new(*self);
        Box::new(move || {
            let (this, paths) = (this.clone(), context.paths.clone());
            let progress = context.progress.clone();
            async move {
                let reading = Reading {
                    left: this.marks.clone(),
                    next: 0,
                    letters: None,
                    sources: HashMap::new(),
                    part: this,
                    paths,
                };
                let reading = Some(reading);
                Ok(Box::new(Opened { reading, progress }) as Box<dyn Source>)
            }
            .boxed()
        })
    }
}

struct Opened {
    /// Away while a thread reads.
    reading: Option<Reading>,
    progress: Progress,
}

struct Reading {
    part: Arc<Replaying>,
    paths: Arc<PathSet>,
    /// Letters not yet handed over: of equal lines only the first is.
    left: HashSet<Mark>,
    /// The shelf that is opened next.
    next: usize,
    letters: Option<(usize, Letters)>,
    /// What letters say about where they came from, shared.
    sources: HashMap<(String, String, i64), Arc<Provenance>>,
}

impl Source for Opened {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async move {
            let Some(mut reading) = self.reading.take() else {
                return Ok(None);
            };
            // A call that is cancelled loses its batch and the reading, and no letter: the run ends.
            let read = tokio::task::spawn_blocking(move || {
                let read = reading.batch();
                (reading, read)
            });
            let (reading, read) = read.await.map_err(|_| {
                Failure::fatal("letters_failed", "reading letters met an error of its own")
            })?;
            let (events, letters, bytes) = read?;
            if letters.is_empty() {
                return Ok(None);
            }
            self.progress.records(letters.len() as u64);
            self.progress.bytes_done(bytes);
            let outcomes = reading.part.outcomes.clone();
            self.reading = Some(reading);
            let settle = move |outcome| async move { outcomes.settle(letters, outcome).await };
            Ok(Some(Delivery {
                // What fails lies where it lay: it is replayed again when somebody asks for it.
                redelivery: Redelivery::Source,
                settle: Settle::new(settle),
                ..Delivery::new(Batch::from(events))
            }))
        }
        .boxed()
    }
}

impl Reading {
    /// The next events with their letters, and how many bytes those have.
    fn batch(&mut self) -> Result<(Vec<Event>, Vec<Underway>, u64), Failure> {
        let (mut events, mut letters, mut bytes) = (Vec::new(), Vec::new(), 0);
        while letters.len() < BATCH_LETTERS && bytes < BATCH_BYTES {
            let Some((shelf, kept)) = self.next_letter()? else {
                break;
            };
            match self.event(&kept) {
                Ok((event, replay)) => {
                    bytes += kept.line.len();
                    events.push(event);
                    let mark = kept.mark;
                    letters.push(Underway {
                        shelf,
                        mark,
                        replay,
                    });
                }
                Err(why) => self.part.outcomes.failed(why, 1),
            }
        }
        Ok((events, letters, bytes as u64))
    }

    fn next_letter(&mut self) -> Result<Option<(usize, Box<Kept>)>, Failure> {
        while !self.left.is_empty() {
            let Some((shelf, letters)) = &mut self.letters else {
                let Some(shelf) = self.part.shelves.get(self.next) else {
                    break;
                };
                self.letters = Some((self.next, shelf.letters()?));
                self.next += 1;
                continue;
            };
            let shelf = *shelf;
            match letters.next().transpose()? {
                None => self.letters = None,
                Some(Found::Letter(kept)) if self.left.remove(&kept.mark) => {
                    return Ok(Some((shelf, kept)));
                }
                Some(_) => {}
            }
        }
        if !self.left.is_empty() {
            let (why, count) = ("it was removed by somebody else", self.left.len());
            self.left.clear();
            self.part.outcomes.failed(why.into(), count as u64);
        }
        Ok(None)
    }

    /// The event as its node had it before, with its history.
    fn event(&mut self, kept: &Kept) -> Result<(Event, Arc<Replay>), String> {
        let original = match original(kept, self.part.keys.as_ref())? {
            Either::Whole(original) | Either::Masked(original) => original,
        };
        let Original { body, facts } = original;
        let key = (kept.source.clone(), kept.object.clone(), facts.received);
        if self.sources.len() > BATCH_LETTERS {
            self.sources.clear();
        }
        let (source, object) = (&*kept.source, &*kept.object);
        let from = self.sources.entry(key).or_insert_with(|| {
            Arc::new(Provenance {
                source: source.into(),
                object: object.into(),
                received: facts.received,
            })
        });
        let mut event = Event::parse(body, &self.paths, from)
            .map_err(|bad| format!("it cannot be read as an event: {bad}"))?;
        facts.give(&mut event);
        event.position = kept.position;
        let replay = Replay::new(kept.id.clone(), kept.attempts, kept.failed_first());
        let replay = Arc::new(replay);
        event.extra_mut().replay = Some(replay.clone());
        Ok((event, replay))
    }
}

#[cfg(test)]
mod tests;

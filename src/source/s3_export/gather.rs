//! The engine's end: pieces are put together to deliveries, with the places to keep.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::flow::{Note, Shared};
use super::framing::Mark;
use super::memory::End;
use super::messages::Ticket;
use super::now;
use crate::codec::{Fed, Feed, Limits};
use crate::event::{Batch, Event};
use crate::failure::Failure;
use crate::layer::SourceContext;
use crate::observe::{NodeMeter, Progress};
use crate::stage::{Checkpoint, Delivery, Letter, Settle, Source};

/// How long the first of several small objects waits for others.
const LINGER: Duration = Duration::from_millis(5);
/// Notes of one delivery, at most.
const MOST_NOTES: usize = 1000;
/// Between two looks at the figures.
const FIGURES: Duration = Duration::from_secs(1);

/// Pieces that go on together.
#[derive(Default)]
struct Gathered {
    events: Vec<Event>,
    /// The only batch so far goes on as it is.
    batch: Option<Batch>,
    refused: Vec<Letter>,
    bytes: u64,
    notes: Vec<Note>,
    /// Records, broken ones included, and bytes as stored.
    read: (u64, u64),
    /// An object came to its end, and so many bytes as stored came since.
    ended: bool,
    begun: u64,
    until: Option<Instant>,
}

impl Gathered {
    fn records(&self) -> usize {
        let batch = self.batch.as_ref().map_or(0, Batch::len);
        self.events.len() + batch + self.refused.len()
    }

    fn has_room_for(&self, fed: &Fed<Mark>, limits: Limits) -> bool {
        let (decoded, bytes) = (&fed.decoded, fed.decoded.batch.bytes());
        let records = self.records() + decoded.records() as usize;
        self.notes.is_empty()
            || (records <= limits.block_records
                && self.bytes + bytes <= limits.block_bytes as u64
                && self.notes.len() < MOST_NOTES)
    }

    fn is_full(&self, limits: Limits) -> bool {
        // A whole block has taken its time; only the small ones are worth a wait.
        self.records() >= limits.block_records.div_ceil(2)
            || self.bytes >= limits.block_bytes as u64 / 2
            || self.notes.len() >= MOST_NOTES
    }

    fn add(&mut self, fed: Fed<Mark>) {
        self.read.0 += fed.decoded.records() - fed.mark.notes;
        self.read.1 += fed.mark.bytes;
        self.begun += fed.mark.bytes;
        if matches!(fed.mark.note, Note::End(..)) {
            (self.ended, self.begun) = (true, 0);
        }
        let batch = fed.decoded.batch;
        self.bytes += batch.bytes();
        if !batch.is_empty() {
            if self.batch.is_none() && self.events.is_empty() {
                self.batch = Some(batch);
            } else {
                self.events
                    .extend(self.batch.take().into_iter().flat_map(Batch::into_events));
                self.events.extend(batch.into_events());
            }
        }
        self.refused.extend(fed.decoded.refused);
        self.notes.push(fed.mark.note);
        self.until.get_or_insert_with(|| Instant::now() + LINGER);
    }
}

/// Objects, one after the other.
pub(super) struct ExportSource {
    feed: Feed<Mark>,
    memory: Shared,
    passed: Arc<Notify>,
    /// Ends them when it is dropped.
    _tasks: JoinSet<()>,
    gathered: Gathered,
    /// Found no room any more.
    spare: Option<Fed<Mark>>,
    /// Comes after what is gathered.
    ended: Option<Result<(), Failure>>,
    limits: Limits,
    meter: NodeMeter,
    progress: Progress,
    figured: Instant,
    objects: u64,
    aside: u64,
    bytes: u64,
    /// Of these, bytes of the object that is not at its end yet.
    begun: u64,
}

impl ExportSource {
    pub(super) fn new(
        feed: Feed<Mark>,
        memory: Shared,
        passed: Arc<Notify>,
        tasks: JoinSet<()>,
        context: &SourceContext,
        limits: Limits,
    ) -> Self {
        Self {
            feed,
            memory,
            passed,
            _tasks: tasks,
            gathered: Gathered::default(),
            spare: None,
            ended: None,
            limits,
            meter: context.meter.clone(),
            progress: context.progress.clone(),
            figured: Instant::now(),
            objects: 0,
            aside: 0,
            bytes: 0,
            begun: 0,
        }
    }

    /// Waits for something, and a moment longer for what belongs to it. Cancel-safe: what came is kept.
    async fn gather(&mut self) {
        if let Some(fed) = self.spare.take() {
            self.gathered.add(fed);
        }
        while self.ended.is_none() && !self.gathered.is_full(self.limits) {
            let next = self.feed.next();
            let fed = match self.gathered.until {
                None => next.await,
                Some(until) => match timeout_at(until, next).await {
                    Ok(fed) => fed,
                    Err(_) => return,
                },
            };
            match fed {
                Some(Ok(fed)) if self.gathered.has_room_for(&fed, self.limits) => {
                    self.gathered.add(fed);
                }
                Some(Ok(fed)) => {
                    self.spare = Some(fed);
                    return;
                }
                Some(Err(failure)) => self.ended = Some(Err(failure)),
                None => self.ended = Some(Ok(())),
            }
        }
    }

    /// What was gathered, as a delivery. From here on it counts as handed over.
    fn deliver(&mut self) -> Option<Delivery> {
        let Gathered {
            events,
            batch,
            refused,
            notes,
            read: (records, bytes),
            ended,
            begun,
            ..
        } = std::mem::take(&mut self.gathered);
        // What was read and not handed over is read again by the next connection, and counts then.
        self.progress.records(records);
        self.progress.bytes_done(bytes);
        self.bytes += bytes;
        self.begun = if ended { begun } else { self.begun + begun };
        let (places, tickets) = self.note(notes);
        let batch = batch.unwrap_or_else(|| Batch::from(events));
        if batch.is_empty() && refused.is_empty() && places.is_empty() {
            return None;
        }
        let settle = match tickets.is_empty() {
            true => Settle::nothing(),
            false => Settle::new(move |result| async move {
                for ticket in tickets {
                    ticket.settle(result.is_ok()).await;
                }
            }),
        };
        Some(Delivery {
            refused,
            checkpoints: places,
            settle,
            ..Delivery::new(batch)
        })
    }

    /// Notes what is handed over; gives the places to keep, and what waits to be settled with them.
    fn note(&mut self, notes: Vec<Note>) -> (Vec<Checkpoint>, Vec<Ticket>) {
        let mut memory = self.memory.lock();
        memory.begun(self.begun);
        // Of an object that several pieces are of, the last place counts.
        let mut places: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let mut keep = |place: Checkpoint| places.insert(place.key, place.value);
        let mut tickets = Vec::new();
        for note in notes {
            match note {
                Note::Part(work, place) => {
                    keep(memory.part(work.id, &work.object, place));
                }
                Note::End(work, end) => {
                    let (place, waiting) = memory.end(work.id, &work.object, end, work.pass);
                    place.map(&mut keep);
                    // Changed before it was read: the message tells of what is there now.
                    if end != End::Again {
                        tickets.extend(waiting);
                    }
                    self.progress.files_done(1);
                    self.objects += u64::from(end == End::Done);
                    // What is tried again and again counts once.
                    let aside = matches!(end, End::Aside | End::Denied) && !work.told;
                    self.aside += u64::from(aside);
                }
                Note::Passed(there) => {
                    memory.end_pass(there.as_ref());
                    self.passed.notify_one();
                }
                Note::Known(ticket) => tickets.push(ticket),
                Note::Letter(_, ticket) => tickets.extend(ticket),
            }
        }
        memory.rest().into_iter().for_each(|place| {
            keep(place);
        });
        if !tickets.is_empty() && places.is_empty() {
            // With a place the delivery waits its turn behind what the messages tell of.
            places.extend(memory.place().map(|place| (place.key, place.value)));
        }
        let places = places.into_iter();
        let places = places
            .map(|(key, value)| Checkpoint { key, value })
            .collect();
        (places, tickets)
    }

    fn figures(&mut self, force: bool) {
        if !force && self.figured.elapsed() < FIGURES {
            return;
        }
        self.figured = Instant::now();
        let memory = self.memory.lock();
        let age = memory
            .oldest()
            .map_or(0, |oldest| (now() - oldest).max(0) / 1_000_000);
        for (name, value) in [
            ("objects_read", self.objects),
            ("objects_set_aside", self.aside),
            ("objects_pending", memory.pending() as u64),
            ("objects_remembered", memory.remembered() as u64),
            ("oldest_unread_seconds", age as u64),
            ("bytes_read", self.bytes),
        ] {
            self.meter.figure(name, value);
        }
    }
}

impl Source for ExportSource {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        async {
            loop {
                self.gather().await;
                let delivery = self.deliver();
                let ends = self.ended.is_some();
                self.figures(ends || delivery.is_none());
                if delivery.is_some() {
                    return Ok(delivery);
                }
                if let Some(ended) = self.ended.take() {
                    self.ended = Some(Ok(()));
                    return ended.map(|()| None);
                }
            }
        }
        .boxed()
    }
}

//! Where batches come out: from memory while the reader keeps up, or else from the disk.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::task::JoinHandle;

use super::Handle;
use super::book::Book;
use super::replay::{Chunk, Replay, Task, Trouble};
use crate::event::{Batch, Event, PathSet};
use crate::failure::Failure;
use crate::stage::{Checkpoint, Delivery, Letter, Redelivery, Settle, Source};

/// How often a place is tried before what cannot be read there counts as damaged.
pub(super) const READ_ATTEMPTS: u32 = 3;

/// The way out of a journal. At most one is in use: a new one goes on behind what was handed out,
/// and an older one ends.
pub struct Outlet {
    handle: Arc<Handle>,
    serial: u64,
    /// Where the range of the next delivery begins: it takes over what was found to be missing.
    from: u64,
    /// What is handed out or read next.
    place: u64,
    ready: VecDeque<Piece>,
    replay: Option<Box<Replay>>,
    /// Reading goes on while nobody waits for it.
    job: Option<JoinHandle<Read>>,
}

/// The reader comes back with what it read.
type Read = (Box<Replay>, Result<Chunk, Trouble>);

/// Events for one delivery.
pub(super) struct Piece {
    /// The sequence number after its last event.
    pub end: u64,
    pub batch: Batch,
    pub refused: Vec<Letter>,
}

/// Where the next events are.
enum Plan {
    Ready,
    Read(Box<Task>),
    Again,
    Wait,
    Over,
}

impl Outlet {
    pub(super) fn new(handle: Arc<Handle>, paths: Arc<PathSet>) -> Self {
        let mut book = handle.core.lock();
        book.outlet += 1;
        // What was given back comes again, and what follows it with it.
        if let Some(failed) = book.failed.take() {
            book.handed = failed.max(book.settled);
            book.forget_memory();
        }
        book.reading = None;
        book.taken = book.handed;
        let (serial, from) = (book.outlet, book.handed);
        drop(book);
        handle.core.arrived.notify_one();
        let replay = Some(Box::new(Replay::new(handle.core.clone(), paths)));
        Self {
            handle,
            serial,
            from,
            place: from,
            ready: VecDeque::new(),
            replay,
            job: None,
        }
    }

    async fn pull(&mut self) -> Result<Option<Delivery>, Failure> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(self.deliver(piece)));
            }
            if let Some(job) = &mut self.job {
                let read = job.await;
                self.job = None;
                let Ok((replay, chunk)) = read else {
                    let text = "reading the buffer ended by a panic";
                    return Err(Failure::fatal("buffer_io", text));
                };
                self.replay = Some(replay);
                self.take(chunk)?;
                continue;
            }
            match self.plan() {
                Plan::Ready | Plan::Again => {}
                Plan::Read(task) => self.read(task),
                Plan::Wait => self.handle.core.arrived.notified().await,
                Plan::Over => {
                    // An older outlet may have taken the news that was meant for a newer one.
                    self.handle.core.arrived.notify_one();
                    return Ok(None);
                }
            }
        }
    }

    fn read(&mut self, task: Box<Task>) {
        self.job = self.replay.take().map(|mut replay| {
            tokio::task::spawn_blocking(move || {
                let chunk = replay.read(&task);
                (replay, chunk)
            })
        });
    }

    fn plan(&mut self) -> Plan {
        let core = self.handle.core.clone();
        let mut book = core.lock();
        if book.outlet != self.serial {
            return Plan::Over;
        }
        book.reading = None;
        book.taken = self.place;
        if self.place == book.synced {
            self.pass(&mut book);
            core.show(&book);
            let over = book.closed && book.line.is_empty() && !book.writing;
            return if over || book.ended {
                Plan::Over
            } else {
                Plan::Wait
            };
        }
        book.forget_below(self.place);
        if book
            .memory
            .front()
            .is_some_and(|(first, _)| *first <= self.place)
        {
            self.recall(&mut book);
            return Plan::Ready;
        }
        let known = book
            .segments
            .partition_point(|segment| segment.first <= self.place);
        let Some(index) = known.checked_sub(1) else {
            let next = book.segments.front();
            let next = next.map_or(book.synced, |segment| segment.first);
            let missing = (self.place, next);
            drop(book);
            core.lose(missing, None, "a segment is missing");
            self.place = next;
            return Plan::Again;
        };
        let limit = book.limit(index);
        let segment = book.segments[index].clone();
        if segment.dropped {
            self.place = limit;
            return Plan::Again;
        }
        let memory = book.memory.front().map_or(limit, |(first, _)| *first);
        let (place, tries) = book.unreadable;
        book.reading = Some(segment.number);
        Plan::Read(Box::new(Task {
            place: self.place,
            limit,
            until: memory.min(limit),
            lenient: place == self.place && tries >= READ_ATTEMPTS,
            segment,
        }))
    }

    /// Nothing more comes for now: what was passed without an event is settled by itself.
    fn pass(&mut self, book: &mut Book) {
        if self.from < self.place {
            book.settle(self.from, self.place);
            book.handed = self.place;
            self.from = self.place;
            self.handle.core.stirred.notify_one();
        }
    }

    /// Takes batches from memory, up to the size of a delivery.
    fn recall(&mut self, book: &mut Book) {
        let most = self.handle.core.policy.batch_events;
        let mut events: Vec<Event> = Vec::new();
        let mut only: Option<Batch> = None;
        let mut end = self.place;
        while let Some((first, batch)) = book.memory.front()
            && (end == self.place || (end - self.place) as usize + batch.len() <= most)
        {
            // The disk may have brought the beginning of the first one.
            let skip = (end - first) as usize;
            let Some((_, batch)) = book.take_front() else {
                break;
            };
            end += (batch.len() - skip) as u64;
            match &only {
                None if events.is_empty() && skip == 0 => only = Some(batch),
                _ => {
                    events.extend(only.take().into_iter().flat_map(Batch::into_events));
                    events.extend(batch.into_events().into_iter().skip(skip));
                }
            }
        }
        let batch = only.unwrap_or_else(|| events.into());
        self.ready = pieces(batch, Vec::new(), end, most);
        (self.place, book.taken) = (end, end);
    }

    fn take(&mut self, chunk: Result<Chunk, Trouble>) -> Result<(), Failure> {
        let core = &self.handle.core;
        let place = self.place;
        match chunk {
            Ok(chunk) => {
                core.lock().unreadable = (0, 0);
                for (lost, at) in &chunk.lost {
                    core.lose(*lost, Some((&chunk.segment, *at)), "a segment is damaged");
                }
                self.place = chunk.place;
                self.ready = pieces(
                    chunk.batch,
                    chunk.refused,
                    chunk.end,
                    core.policy.batch_events,
                );
                Ok(())
            }
            Err(Trouble::Fatal(failure)) => Err(failure),
            Err(Trouble::Io(failure)) => {
                let mut book = core.lock();
                let tries = if book.unreadable.0 == place {
                    book.unreadable.1
                } else {
                    0
                };
                book.unreadable = (place, tries + 1);
                Err(failure)
            }
        }
    }

    fn deliver(&mut self, piece: Piece) -> Delivery {
        let core = self.handle.core.clone();
        let (from, to) = (self.from, piece.end);
        self.from = to;
        let mut book = core.lock();
        book.handed = to;
        book.forget_below(to);
        drop(book);
        let checkpoint = Checkpoint {
            key: core.id.to_vec(),
            value: to.to_be_bytes().to_vec(),
        };
        // The journal must live as long as somebody can still settle a part of it.
        let handle = self.handle.clone();
        let settle = Settle::new(move |result| async move {
            handle.core.settle(from, to, result.is_ok());
        });
        Delivery {
            batch: piece.batch,
            refused: piece.refused,
            checkpoints: vec![checkpoint],
            redelivery: Redelivery::Engine,
            settle,
        }
    }
}

/// Cuts a batch into deliveries. One with refused events has lost the count of its numbers and
/// stays whole.
fn pieces(batch: Batch, refused: Vec<Letter>, end: u64, most: usize) -> VecDeque<Piece> {
    let mut all = VecDeque::new();
    if batch.is_empty() && refused.is_empty() {
        return all;
    }
    if batch.len() <= most || !refused.is_empty() {
        all.push_back(Piece {
            end,
            batch,
            refused,
        });
        return all;
    }
    let mut at = end - batch.len() as u64;
    let mut events = batch.into_events().into_iter().peekable();
    while events.peek().is_some() {
        let batch: Batch = events.by_ref().take(most).collect();
        at += batch.len() as u64;
        all.push_back(Piece {
            end: at,
            batch,
            refused: Vec::new(),
        });
    }
    all
}

impl Source for Outlet {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Delivery>, Failure>> {
        Box::pin(self.pull())
    }
}

//! What the writer, the outlet and the answers share: which segments there are, how far they are
//! synced, handed out and settled, and who waits.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::entrance::Waiting;
use super::format::Id;
use super::ranges::Ranges;
use super::storage::Storage;
use super::{Policy, Stats};
use crate::event::Batch;
use crate::observe::NodeMeter;
use crate::seal::{KeyId, Keyring};

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub number: u64,
    pub name: String,
    /// Sequence number of its first event.
    pub first: u64,
    /// Bytes that may be read: those that were synced.
    pub bytes: u64,
    pub key: Option<KeyId>,
    /// It only says that everything up to the next one was dropped.
    pub dropped: bool,
    /// Something in it could not be read: it is kept in `damaged/`.
    pub damaged: bool,
}

impl Segment {
    /// A file of which only the number is known.
    pub fn unknown(number: u64, name: &str, bytes: u64) -> Self {
        Self {
            number,
            name: name.to_owned(),
            first: 0,
            bytes,
            key: None,
            dropped: false,
            damaged: true,
        }
    }
}

/// Everything that changes, under one lock that nobody holds while it waits for the disk.
pub(super) struct Book {
    /// Batches that wait to be written, in the order of their calls.
    pub line: VecDeque<Waiting>,
    /// In the order of their numbers, and so of their events.
    pub segments: VecDeque<Segment>,
    /// The writer appends to the last one.
    pub active: bool,
    /// A group is being written.
    pub writing: bool,
    /// The sequence number after the last durable event.
    pub synced: u64,
    /// Everything below is settled.
    pub settled: u64,
    /// Settled further on, behind something that is not.
    pub done: Ranges,
    /// Of what is not settled, those that nobody will settle one by one: settled already, lost to
    /// damage, or dropped.
    pub gone: Ranges,
    /// Everything below was handed out.
    pub handed: u64,
    /// Everything below was taken by the outlet, to hand it out.
    pub taken: u64,
    /// The first that was handed out and given back.
    pub failed: Option<u64>,
    /// Batches that were just synced, without a hole, with the sequence number of the first event.
    pub memory: VecDeque<(u64, Batch)>,
    pub memory_events: usize,
    pub memory_bytes: u64,
    /// The segment that the outlet is reading, which therefore cannot be dropped.
    pub reading: Option<u64>,
    /// Which outlet is the newest.
    pub outlet: u64,
    /// Places at which the outlet failed to read, and how often in a row.
    pub unreadable: (u64, u32),
    pub entrances: usize,
    pub closed: bool,
    /// The journal is dropped: the writer ends.
    pub stop: bool,
    /// There is no writer any more.
    pub ended: bool,
    /// Something changed that the writer has to write down.
    pub dirty: bool,
    pub stats: Stats,
}

/// The parts that do not change, and the lock.
pub(super) struct Core {
    pub id: Id,
    pub policy: Policy,
    /// A segment is closed once it has this many bytes.
    pub segment_size: u64,
    pub keys: Option<Keyring>,
    pub storage: Arc<dyn Storage>,
    pub meter: NodeMeter,
    pub book: Mutex<Book>,
    /// Wakes the writer.
    pub stirred: Condvar,
    /// Wakes the outlet.
    pub arrived: Notify,
}

impl Core {
    pub fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome of what was handed out.
    pub fn settle(&self, from: u64, to: u64, is_ok: bool) {
        let mut book = self.lock();
        match is_ok {
            true => book.settle(from, to),
            false => book.failed = Some(book.failed.map_or(from, |first| first.min(from))),
        }
        self.show(&book);
        drop(book);
        self.stirred.notify_one();
    }

    pub fn show(&self, book: &Book) {
        self.meter
            .buffer(book.stored(), book.bytes(), 0, self.policy.max_size);
    }
}

impl Book {
    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Events that are neither settled nor gone.
    pub fn stored(&self) -> u64 {
        self.synced - self.settled - self.gone.total()
    }

    pub fn settle(&mut self, from: u64, to: u64) {
        self.done.insert(from, to);
        self.gone.insert(from, to);
        self.settled = self.done.end_from(self.settled);
        self.done.forget(self.settled);
        self.gone.forget(self.settled);
        self.dirty = true;
    }

    /// The sequence number after the last event that this segment speaks for.
    pub fn limit(&self, index: usize) -> u64 {
        let next = self.segments.get(index + 1);
        next.map_or(self.synced, |segment| segment.first)
    }

    /// Takes over a batch that was just synced, if the outlet comes to it from memory.
    pub fn remember(&mut self, first: u64, batch: Batch, policy: &Policy) {
        let events = batch.len();
        let fits = self.memory_events + events <= policy.memory_events
            && self.memory_bytes + batch.bytes() <= policy.memory_bytes;
        let near = match self.memory.back() {
            Some((last, batch)) => last + batch.len() as u64 == first,
            // The outlet reads what little lies before it from the disk.
            None => first - self.handed.min(first) <= policy.memory_events as u64,
        };
        if near && fits {
            self.memory_events += events;
            self.memory_bytes += batch.bytes();
            self.memory.push_back((first, batch));
        }
    }

    /// Forgets what lies below in memory.
    pub fn forget_below(&mut self, place: u64) {
        while let Some((first, batch)) = self.memory.front()
            && first + batch.len() as u64 <= place
        {
            self.take_front();
        }
    }

    pub fn take_front(&mut self) -> Option<(u64, Batch)> {
        let (first, batch) = self.memory.pop_front()?;
        self.memory_events -= batch.len();
        self.memory_bytes -= batch.bytes();
        Some((first, batch))
    }

    pub fn forget_memory(&mut self) {
        self.memory.clear();
        (self.memory_events, self.memory_bytes) = (0, 0);
    }
}

//! What goes from hand to hand: objects that were found, their bytes, and notes about them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::memory::{End, Id, Memory, Place};
use super::messages::Ticket;
use crate::client::bucket::{Object, ReadError};
use crate::failure::Failure;

/// The memory of a source, through all of its connections: what one has handed over is delivered,
/// and the next must not read it again.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Memory<Ticket>>>);

impl Shared {
    pub(super) fn new(memory: Memory<Ticket>) -> Self {
        Self(Arc::new(Mutex::new(memory)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Memory<Ticket>> {
        // No method leaves it half changed, so what a panicking thread left is sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object to be read.
pub(super) struct Work {
    pub id: Id,
    pub object: Object,
    /// Where an earlier run, or connection, has left off.
    pub from: Option<Place>,
    /// A letter says already that it was denied.
    pub told: bool,
    /// Found by a listing of everything.
    pub pass: bool,
    /// Nothing more of it is wanted.
    unwanted: AtomicBool,
}

impl Work {
    pub(super) fn new(id: Id, object: Object, from: Option<Place>, told: bool, pass: bool) -> Self {
        Self {
            id,
            object,
            from,
            told,
            pass,
            unwanted: AtomicBool::new(false),
        }
    }

    /// Byte of the object at which reading begins: inside an archive there is no other way than from
    /// its beginning.
    pub(super) fn begin(&self) -> u64 {
        match self.from {
            Some(Place {
                position,
                plain: true,
            }) => position.offset,
            _ => 0,
        }
    }

    pub(super) fn give_up(&self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_unwanted(&self) -> bool {
        self.unwanted.load(Ordering::Relaxed)
    }
}

/// From who finds to who fetches, in the order in which it is handed over.
pub(super) enum Step {
    Read(Arc<Work>),
    Note(Note),
    /// Nothing more will be found.
    Fail(Failure),
}

/// Bytes of an object, and their share of what may be read ahead.
pub(super) struct Fetched {
    pub bytes: Bytes,
    pub share: OwnedSemaphorePermit,
}

/// From who fetches to who frames.
pub(super) enum Item {
    /// An object begins; its ranges follow, and an end.
    Begin(Arc<Work>),
    Range(oneshot::Receiver<Result<Fetched, ReadError>>),
    End,
    Note(Note),
    Fail(Failure),
}

/// What a letter says.
pub(super) struct Notice {
    pub reason: &'static str,
    pub detail: String,
    /// The object that it is about, if it is about one.
    pub key: Option<String>,
}

/// What is to be noted once all that was found before is handed over.
pub(super) enum Note {
    /// A part of an object.
    Part(Arc<Work>, Place),
    /// The last of an object.
    End(Arc<Work>, End),
    /// A listing of everything is through. What was there, where times do not tell what is new.
    Passed(Option<HashSet<Id>>),
    /// The object of a message was handed over before.
    Known(Ticket),
    /// A letter that is about no object in the queue, and what waits for it to be written.
    Letter(Notice, Option<Ticket>),
}

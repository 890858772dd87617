//! A batch, or a part of one, that waits.

use super::reply::Part;
use super::split::Piece;
use crate::event::{Batch, Event};

/// A batch in line. One that is thrown away unanswered reads as a failure of its events.
pub(super) struct Item {
    batch: Batch,
    bytes: u64,
    keys: Vec<u64>,
    part: Option<Part>,
    /// Its place among all that ever came.
    number: u64,
}

impl Item {
    pub(super) fn new(piece: Piece, part: Part, number: u64) -> Self {
        Self {
            batch: piece.batch,
            bytes: piece.bytes,
            keys: piece.keys,
            part: Some(part),
            number,
        }
    }

    /// The batch and the way back; `None` when nobody waits for it any more.
    pub(super) fn open(mut self) -> Option<(Batch, Part)> {
        let part = self.part.take()?;
        Some((std::mem::take(&mut self.batch), part))
    }

    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    pub(super) fn events(&self) -> usize {
        self.batch.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Nobody waits for it any more, and it will come again.
    pub(super) fn is_gone(&self) -> bool {
        self.part.as_ref().is_none_or(Part::is_gone)
    }

    /// Takes out the events whose keys are free, as a part of its own.
    pub(super) fn take_free(&mut self, is_free: &dyn Fn(&u64) -> bool) -> Option<Item> {
        let part = self.part.as_ref()?.split();
        let (mut free, mut held) = (Vec::new(), Vec::new());
        let (mut free_keys, mut held_keys) = (Vec::new(), Vec::new());
        let events = std::mem::take(&mut self.batch).into_events();
        for (event, key) in events.into_iter().zip(std::mem::take(&mut self.keys)) {
            let (events, keys) = match is_free(&key) {
                true => (&mut free, &mut free_keys),
                false => (&mut held, &mut held_keys),
            };
            events.push(event);
            keys.push(key);
        }
        let bytes = free.iter().map(Event::length).sum();
        self.bytes -= bytes;
        (self.batch, self.keys) = (held.into(), held_keys);
        Some(Item {
            batch: free.into(),
            bytes,
            keys: free_keys,
            part: Some(part),
            number: self.number,
        })
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            part.lose(self.batch.origins());
        }
    }
}

//! What an event brings along that is replayed from the dead letters.

use std::sync::atomic::{AtomicU8, Ordering};

/// The history of a dead letter whose event is under way again, and what becomes of it. All copies
/// and parts of the event share one.
#[derive(Debug)]
pub struct Replay {
    /// The letter's id.
    pub id: String,
    /// How often it was tried before this replay.
    pub attempts: u32,
    /// When it failed first, in microseconds since 1970 (UTC).
    pub first: i64,
    fate: AtomicU8,
}

const DELIVERED: u8 = 1;
const DEAD_LETTERED: u8 = 2;

impl Replay {
    /// Of a letter that is taken up again.
    pub fn new(id: String, attempts: u32, first: i64) -> Self {
        let fate = AtomicU8::new(0);
        Self {
            id,
            attempts,
            first,
            fate,
        }
    }

    /// A sink, or a buffer that outlives the process, has it.
    pub fn delivered(&self) {
        self.fate.fetch_or(DELIVERED, Ordering::Relaxed);
    }

    /// It is in the dead letters anew.
    pub fn dead_lettered(&self) {
        self.fate.fetch_or(DEAD_LETTERED, Ordering::Relaxed);
    }

    /// Whether a sink took it, or any part of it.
    pub fn is_delivered(&self) -> bool {
        self.fate.load(Ordering::Relaxed) & DELIVERED != 0
    }

    /// Whether a letter about it was written, or about any part of it.
    pub fn is_dead_lettered(&self) -> bool {
        self.fate.load(Ordering::Relaxed) & DEAD_LETTERED != 0
    }
}

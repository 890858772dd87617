//! What can be chosen about a journal, and its fixed bounds.

use std::time::Duration;

/// Bytes of text after which a record is closed.
pub(super) const RECORD_BYTES: usize = 1 << 20;
/// Most events of a record.
pub(super) const RECORD_EVENTS: u32 = 8192;
/// Least size of a segment, in bytes; it is closed once it is that long.
pub(super) const LEAST_SEGMENT: u64 = 64 << 10;
/// Greatest size at which a segment is closed, in bytes.
pub(super) const MOST_SEGMENT: u64 = 64 << 20;

/// What happens to a batch that finds the journal full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits, and those behind it, in order. Nothing is dropped.
    #[default]
    Block,
    /// It is dropped and counted as `buffer_newest`.
    DropNewest,
    /// The oldest segments that nobody has begun to read are dropped and counted as
    /// `buffer_oldest`. Where there are none left, it waits.
    DropOldest,
}

/// What a pipeline file says about a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most bytes on disk; default 1 GiB, at least 1 MiB. A batch is let in if it fits without
    /// compression; one that is larger than all of it goes in alone, once all is settled.
    pub max_size: u64,
    /// Default: block.
    pub when_full: WhenFull,
    /// How long a group gathers before it is written; default 0, at most 1 s. With 0 the next group
    /// gathers while the one before it is synced.
    pub sync_wait: Duration,
    /// Most events that are kept in memory for the reader; default 10,000.
    pub memory_events: usize,
    /// Most bytes of them; default 64 MiB.
    pub memory_bytes: u64,
    /// What comes out is put together up to this many events; default 2,000, at most 8,192.
    pub batch_events: usize,
    /// With LZ4; default true.
    pub compress: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_size: 1 << 30,
            when_full: WhenFull::Block,
            sync_wait: Duration::ZERO,
            memory_events: 10_000,
            memory_bytes: 64 << 20,
            batch_events: 2_000,
            compress: true,
        }
    }
}

impl Policy {
    /// Least bytes on disk that can be asked for: 1 MiB.
    pub const MIN_SIZE: u64 = 1 << 20;
    /// Longest wait for a group to gather.
    pub const MAX_SYNC_WAIT: Duration = Duration::from_secs(1);

    pub(super) fn within_range(self) -> Self {
        Self {
            max_size: self.max_size.max(Self::MIN_SIZE),
            sync_wait: self.sync_wait.min(Self::MAX_SYNC_WAIT),
            batch_events: self.batch_events.clamp(1, RECORD_EVENTS as usize),
            ..self
        }
    }

    pub(super) fn segment_size(&self) -> u64 {
        (self.max_size / 16).clamp(LEAST_SEGMENT, MOST_SEGMENT)
    }
}

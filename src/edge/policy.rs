//! What a pipeline file says about an edge.

use std::hash::Hasher;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use crate::condition::Condition;
use crate::event::{Event, Path};

/// What happens to a batch that finds the edge full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits: the pressure goes upstream. Nothing is dropped.
    #[default]
    Block,
    /// It is dropped and counted as `buffer_newest`; with classes, what came last of a lower class
    /// goes before it does.
    DropNewest,
    /// What has waited longest is dropped and counted as `buffer_oldest`; with classes, of the
    /// lowest class first and never of a higher one than its own.
    DropOldest,
}

/// What a pipeline file says about an edge. Clones are cheap but for the conditions in it.
#[derive(Clone, Debug)]
pub struct EdgePolicy {
    /// Most events waiting, over all lanes; default 10,000.
    pub max_events: usize,
    /// Most bytes waiting, over all lanes; default 64 MiB.
    pub max_bytes: u64,
    /// Default: block. Of an edge on disk it is the disk's ([`EdgePolicy::behind_disk`]).
    pub when_full: WhenFull,
    /// Tasks that take batches out; default 1, which keeps their order. Not used where there are
    /// lanes: each of them has one worker.
    pub workers: NonZeroUsize,
    /// Batches that one worker has under way; they are begun in order. Default 1. In a lane, those
    /// under way at the same time share no key (but see [`EdgePolicy::keys_overlap`]).
    pub in_flight: NonZeroUsize,
    /// Whether batches under way in one lane at the same time may share keys; they are then begun
    /// in order. For a stage that holds events until others of their key come: of one batch at a
    /// time it would wait for what it keeps waiting itself. Default: no.
    pub keys_overlap: bool,
    /// Waiting batches are put together up to this many events, without lingering; default 2,000.
    pub batch_events: usize,
    /// Lanes by key; default: none, one line for all.
    pub partition: Option<PartitionPolicy>,
    /// Classes of events; default: none, all are equal.
    pub priority: Option<PriorityPolicy>,
    /// The edge's place on disk; default: none, in memory only.
    pub disk: Option<DiskPolicy>,
    /// The share (above 0, at most 1) of dropped events that raises the alert `drops`; default:
    /// that of [`NodeMeter`](crate::observe::NodeMeter), 5 %.
    pub drop_alert: Option<f64>,
}

impl Default for EdgePolicy {
    fn default() -> Self {
        Self {
            max_events: 10_000,
            max_bytes: 64 << 20,
            when_full: WhenFull::Block,
            workers: NonZeroUsize::MIN,
            in_flight: NonZeroUsize::MIN,
            keys_overlap: false,
            batch_events: 2_000,
            partition: None,
            priority: None,
            disk: None,
            drop_alert: None,
        }
    }
}

impl EdgePolicy {
    /// Shows the paths of the partition's key and of the classes, so that they can be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        if let Some(partition) = &mut self.partition {
            visit(&mut partition.key);
        }
        for class in self.priority.iter_mut().flat_map(|p| &mut p.classes) {
            class.paths(visit);
        }
    }

    /// How many lanes there are; at least 1.
    pub fn lanes(&self) -> usize {
        self.partition.as_ref().map_or(1, |p| p.partitions.get())
    }

    /// The memory edge behind the disk: what finds it full waits, on disk.
    #[must_use]
    pub fn behind_disk(&self) -> Self {
        Self {
            when_full: WhenFull::Block,
            disk: None,
            ..self.clone()
        }
    }
}

/// Lanes by key. Within a key one batch at a time is under way, in the order of calls; lanes go in
/// parallel.
#[derive(Clone, Debug)]
pub struct PartitionPolicy {
    /// By the text of its value; events without it (or with null or a container there) share the
    /// lane of the empty key. The number `1` and the text `"1"` are the same key.
    pub key: Path,
    /// How many lanes; default: one for each core, at most 64.
    pub partitions: NonZeroUsize,
}

impl PartitionPolicy {
    /// Most lanes of an edge: each has a task and an own instance of what is behind it.
    pub const MOST: usize = 64;

    /// A fingerprint of the event's key: the same in every run and on every machine, since what a
    /// lane keeps on disk must be found by the same lane again.
    pub fn fingerprint(&self, event: &Event) -> u64 {
        let value = event.get(&self.key);
        match value.and_then(|value| value.as_plain()) {
            Some(text) => fingerprint(&text),
            None => fingerprint(""),
        }
    }
}

/// A fingerprint of a key's text; see [`PartitionPolicy::fingerprint`]. The lane of a key is this
/// modulo the number of lanes.
pub fn fingerprint(key: &str) -> u64 {
    // A fixed key: somebody who chooses ids can fill one lane, as with any partitioned log.
    let mut hasher = SipHasher13::new_with_keys(0x7472_756e_6b6c_696e, 0x6c61_6e65_732d_7631);
    hasher.write(key.as_bytes());
    hasher.finish()
}

/// Classes of events within an edge.
#[derive(Clone, Debug)]
pub struct PriorityPolicy {
    /// From the highest to the lowest; what none of them holds for is below all of them.
    pub classes: Vec<Condition>,
    /// After this many batches in a row that passed a waiting lower class, one batch of the class
    /// that has waited longest goes; default 8.
    pub starvation_guard: NonZeroU32,
}

impl PriorityPolicy {
    /// Most conditions.
    pub const MOST: usize = 15;
    /// The guard's default.
    pub const GUARD: u32 = 8;

    /// The event's class: 0 is the lowest, [`PriorityPolicy::classes`]' length the highest.
    pub fn class(&self, event: &Event) -> u8 {
        let place = self.classes.iter().position(|class| class.holds(event));
        // There are at most `MOST`.
        place.map_or(0, |place| (self.classes.len() - place).min(255) as u8)
    }
}

/// An edge's place on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskPolicy {
    /// The folder.
    pub path: PathBuf,
    /// Most bytes in it; default 1 GiB, at least 1 MiB.
    pub max_bytes: u64,
    /// How long a write may wait for others to share its fsync; default zero, at most 1 s.
    pub sync_wait: Duration,
    /// Whether batches are compressed (LZ4); default: yes.
    pub compress: bool,
    /// Memory first, disk only when memory is full (`when_full: spill`); a full disk then blocks.
    pub spill: bool,
}

impl DiskPolicy {
    /// Default of `max_bytes`.
    pub const MAX_BYTES: u64 = 1 << 30;
    /// Least that `max_bytes` may be.
    pub const LEAST_BYTES: u64 = 1 << 20;
    /// Longest `sync_wait`.
    pub const LONGEST_SYNC_WAIT: Duration = Duration::from_secs(1);

    /// With the defaults, in this folder.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            max_bytes: Self::MAX_BYTES,
            sync_wait: Duration::ZERO,
            compress: true,
            spill: false,
        }
    }
}

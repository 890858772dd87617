//! Messages by group: how many of each are under way, which wait, and which are parked.
//!
//! A group that is full lets nobody else wait: its messages stay here, unanswered, or are parked where
//! there is a place for that. As long as a group has parked messages new ones go behind them.
//!
//! What is under way when a group is first parked goes back to the queue when the program ends, and comes
//! again from there although it is older than all that is parked. Its fingerprints are kept with the
//! note that the group is parked: by them it is known, goes ahead, and nothing parked is read before.
//!
//! A copy can reach its parking queue long after whoever published it is gone: a broker that is short of
//! memory reads what lies in its sockets when it has memory again. So a queue that was found dry is looked
//! into again, until nothing can be on its way any more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compact_str::CompactString;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::acks::Acks;
use super::config::Config;
use super::decode::Read1;

/// How long copies may be on their way whose publisher is gone.
const LATE: Duration = Duration::from_secs(3600);

/// A message that was read, and where it is answered.
pub(super) struct Item<A = Acks> {
    pub read: Read1,
    pub tag: u64,
    pub acks: Arc<A>,
    /// Tells it from others over a restart; none where it came from a parking queue.
    pub print: Option<u64>,
    /// It was delivered before.
    pub again: bool,
}

struct Group<A> {
    /// Handed over and not answered.
    in_flight: usize,
    /// Of those in flight, the fingerprints of what came from the queue itself.
    prints: Vec<u64>,
    /// What comes again and is older than all that is parked.
    ahead: HashSet<u64>,
    /// To be handed over.
    pending: VecDeque<Item<A>>,
    /// Whether it stands in the line of those with something to hand over.
    queued: bool,
    /// New messages go to its parking queue.
    parked: bool,
    /// The state store knows that it is parked.
    marked: bool,
    /// What the store knows of it is of an earlier time that it was.
    stale: bool,
    /// On their way to the parking queue.
    publishing: usize,
    /// Grows with every message that is parked.
    epoch: u64,
    /// Nothing was found in the parking queue since something last came there.
    dry: bool,
    /// Not parked any more, and its queue is looked into again.
    left: bool,
}

impl<A> Default for Group<A> {
    fn default() -> Self {
        Self {
            in_flight: 0,
            prints: Vec::new(),
            ahead: HashSet::new(),
            pending: VecDeque::new(),
            queued: false,
            parked: false,
            marked: false,
            stale: false,
            publishing: 0,
            epoch: 0,
            dry: false,
            left: false,
        }
    }
}

impl<A> Group<A> {
    fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.pending.is_empty() && !self.parked && !self.marked
    }

    fn load(&self) -> usize {
        self.in_flight + self.pending.len()
    }

    /// The fingerprints of all that is older than what is parked.
    fn older(&self) -> Vec<u64> {
        let pending = self.pending.iter().filter_map(|item| item.print);
        let known = self.prints.iter().copied().chain(pending);
        known.chain(self.ahead.iter().copied()).collect()
    }
}

struct Known<A> {
    groups: HashMap<CompactString, Group<A>>,
    /// How many of them are parked: asked for with every message.
    parked: usize,
    /// Who has something to hand over, in turn.
    line: VecDeque<CompactString>,
    /// When a publisher was last given up that may have had copies on their way.
    lost: Option<Instant>,
}

/// What becomes of a message that came.
pub(super) enum Place<A = Acks> {
    /// It waits here.
    Kept,
    /// It is to be parked.
    Park(Item<A>),
}

/// A group whose parking queue is to be read.
pub(super) struct Due {
    pub group: CompactString,
    pub room: usize,
    pub epoch: u64,
}

/// All groups of a source. Outlives its connections: what is under way is not taken back by one that dies.
pub(super) struct Groups<A = Acks> {
    known: Mutex<Known<A>>,
    max_per_group: usize,
    max_batch: usize,
    config: Arc<Config>,
    /// What came before may still come again: nothing parked is read before that.
    settling: AtomicBool,
    /// Something can be handed over.
    pub changed: Notify,
    /// A parked group has room, or its queue has something.
    pub room: Notify,
}

impl<A> Groups<A> {
    pub fn new(config: Arc<Config>) -> Self {
        let known = Known {
            groups: HashMap::new(),
            parked: 0,
            line: VecDeque::new(),
            lost: None,
        };
        Self {
            known: Mutex::new(known),
            max_per_group: config.max_per_group,
            max_batch: config.batch_events,
            config,
            settling: AtomicBool::new(true),
            changed: Notify::new(),
            room: Notify::new(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known<A>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection: what waits here comes again from the broker.
    pub fn restart(&self) {
        let mut known = self.known();
        known.line.clear();
        self.settling.store(true, Ordering::Relaxed);
        if known.parked > 0 {
            known.lost = Some(Instant::now());
        }
        for group in known.groups.values_mut() {
            if group.parked {
                group.ahead = group.older().into_iter().collect();
            }
            group.pending.clear();
            (group.queued, group.dry, group.publishing) = (false, false, 0);
        }
        known.groups.retain(|_, group| !group.is_idle());
    }

    /// What was delivered before this connection has come again.
    pub fn settled(&self) {
        self.settling.store(false, Ordering::Relaxed);
        self.room.notify_one();
    }

    /// A publisher is gone that may have had copies on their way.
    pub fn lost(&self) {
        self.known().lost = Some(Instant::now());
    }

    /// A group that was parked when the program last ended, and what was under way then.
    pub fn was_parked(&self, name: &str, ahead: impl Iterator<Item = u64>) {
        let known = &mut *self.known();
        known.lost = Some(Instant::now());
        let group = known.groups.entry(name.into()).or_default();
        known.parked += usize::from(!group.parked);
        (group.parked, group.marked) = (true, true);
        group.ahead = ahead.collect();
    }

    /// A message from the queue itself.
    pub fn arrive(&self, name: &str, item: Item<A>) -> Place<A> {
        let known = &mut *self.known();
        let parked = known.parked;
        let group = known.groups.entry(name.into()).or_default();
        let ahead = item.again && item.print.is_some_and(|print| group.ahead.remove(&print));
        if ahead {
            self.keep(known, name, item);
            return Place::Kept;
        }
        let full = group.load() >= self.max_per_group;
        let parking = self.config.parking.as_ref();
        let may = !name.is_empty()
            && parking.is_some_and(|it| parked < it.max_groups && it.queue_of(name).is_some());
        if group.parked || (full && may) {
            known.parked += usize::from(!group.parked);
            (group.parked, group.left) = (true, false);
            group.publishing += 1;
            group.epoch += 1;
            return Place::Park(item);
        }
        self.keep(known, name, item);
        Place::Kept
    }

    /// A message from a parking queue.
    pub fn fetched(&self, name: &str, item: Item<A>) {
        self.keep(&mut self.known(), name, item);
        self.changed.notify_one();
    }

    fn keep(&self, known: &mut Known<A>, name: &str, item: Item<A>) {
        let group = known.groups.entry(name.into()).or_default();
        group.pending.push_back(item);
        if !group.queued && group.in_flight < self.max_per_group {
            group.queued = true;
            known.line.push_back(name.into());
        }
    }

    /// The next messages of one group, as many as it may have under way.
    pub fn hand_over(&self) -> Option<(CompactString, Vec<Item<A>>)> {
        let mut known = self.known();
        loop {
            let name = known.line.pop_front()?;
            let Some(group) = known.groups.get_mut(&name) else {
                continue;
            };
            group.queued = false;
            let room = self.max_per_group.saturating_sub(group.in_flight);
            let count = group.pending.len().min(room).min(self.max_batch);
            if count == 0 {
                continue;
            }
            let items: Vec<_> = group.pending.drain(..count).collect();
            group.in_flight += count;
            group
                .prints
                .extend(items.iter().filter_map(|item| item.print));
            if !group.pending.is_empty() && group.in_flight < self.max_per_group {
                group.queued = true;
                known.line.push_back(name.clone());
            }
            return Some((name, items));
        }
    }

    /// So many of a group were answered, those of these fingerprints among them.
    pub fn answered(&self, name: &str, count: usize, prints: &HashSet<u64>) {
        let mut known = self.known();
        let Some(group) = known.groups.get_mut(name) else {
            return;
        };
        group.in_flight = group.in_flight.saturating_sub(count);
        group.prints.retain(|print| !prints.contains(print));
        let (parked, waiting) = (group.parked, !group.pending.is_empty());
        let half = group.load() * 2 < self.max_per_group.max(2);
        if group.is_idle() {
            known.groups.remove(name);
        } else if waiting && !group.queued {
            group.queued = true;
            known.line.push_back(name.into());
        }
        drop(known);
        if waiting {
            self.changed.notify_one();
        }
        if parked && half {
            self.room.notify_one();
        }
    }

    /// For the first message of the group that is parked since the store last knew of none: what is
    /// older. The store is to know that before the message is parked.
    pub fn mark(&self, name: &str) -> Option<Vec<u64>> {
        let mut known = self.known();
        let group = known.groups.entry(name.into()).or_default();
        if group.marked && !group.stale {
            return None;
        }
        (group.marked, group.stale) = (true, false);
        Some(group.older())
    }

    /// A message is in its parking queue.
    pub fn published(&self, name: &str) {
        if let Some(group) = self.known().groups.get_mut(name) {
            group.publishing = group.publishing.saturating_sub(1);
            group.dry = false;
        }
        self.room.notify_one();
    }

    /// The parked groups that have become half empty.
    pub fn due(&self) -> Vec<Due> {
        if self.settling.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let known = self.known();
        let groups = known.groups.iter();
        let due = groups
            .filter(|(_, it)| it.parked && !it.dry && it.load() * 2 < self.max_per_group.max(2));
        due.map(|(name, group)| Due {
            group: name.clone(),
            room: self.max_per_group - group.load(),
            epoch: group.epoch,
        })
        .collect()
    }

    /// Nothing was in its parking queue when its epoch was this one. True when nothing is parked any
    /// more: new messages do not go there from now on.
    pub fn found_dry(&self, name: &str, epoch: u64) -> bool {
        let known = &mut *self.known();
        let Some(group) = known.groups.get_mut(name) else {
            return false;
        };
        if group.publishing > 0 {
            group.dry = true;
            return false;
        }
        let over = group.epoch == epoch;
        if over {
            known.parked -= usize::from(group.parked);
            (group.parked, group.stale, group.left) = (false, true, true);
            group.ahead.clear();
        }
        over
    }

    /// The groups that are not parked any more and whose queues are to be looked into again.
    pub fn left(&self) -> Vec<CompactString> {
        let known = self.known();
        let left = known.groups.iter().filter(|(_, it)| it.left);
        left.map(|(name, _)| name.clone()).collect()
    }

    /// Something came into the queue of a group that was not parked any more. It is parked again, and
    /// what comes from now on goes behind.
    pub fn came_late(&self, name: &str) {
        let known = &mut *self.known();
        let group = known.groups.entry(name.into()).or_default();
        known.parked += usize::from(!group.parked);
        (group.parked, group.left, group.dry) = (true, false, false);
        group.epoch += 1;
    }

    /// Whether the store is to forget the group, as nothing of it is parked or on its way.
    pub fn unmark(&self, name: &str) -> bool {
        let mut known = self.known();
        if known.lost.is_some_and(|at| at.elapsed() < LATE) {
            return false;
        }
        let Some(group) = known.groups.get_mut(name) else {
            return false;
        };
        let over = group.marked && !group.parked;
        group.marked &= !over;
        group.left &= !over;
        if group.is_idle() {
            known.groups.remove(name);
        }
        over
    }

    /// Groups that are parked.
    pub fn parked(&self) -> usize {
        self.known().parked
    }

    /// Their names.
    pub fn all_parked(&self) -> Vec<CompactString> {
        let known = self.known();
        let parked = known.groups.iter().filter(|(_, it)| it.parked);
        parked.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests;

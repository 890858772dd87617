//! All that the view remembers, and its rows in the state store.
//!
//! Its rows are described in `rows`.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, VecDeque};

use super::config::Config;
use super::conversation::{Conversation, Merged};
use super::days::Days;
use super::facts::Fact;
use super::rows::{self, Key, Rows};
use crate::event::Origin;
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::state::Op;

/// Graves that one batch clears away.
const SWEEP: usize = 256;
/// Alert while open conversations are forgotten for want of room.
const FULL: &str = "interactions_full";

/// How much is remembered.
#[derive(Clone, Copy, Debug)]
struct Limits {
    conversations: usize,
    /// Milliseconds.
    forget_after: u64,
    abandon_after: u64,
}

impl Limits {
    fn of(config: &Config) -> Self {
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            conversations: config.max_interactions,
            forget_after: ms(config.forget_after),
            abandon_after: ms(config.abandon_after),
        }
    }
}

/// See the module.
pub(super) struct Board {
    limits: Limits,
    all: HashMap<u128, Remembered>,
    /// Those that are open and those that are not, the one that was heard of longest ago first.
    open: BTreeMap<u64, u128>,
    closed: BTreeMap<u64, u128>,
    days: Days,
    /// When a grave can go (milliseconds since 1970), and its key and version.
    graves: VecDeque<(u64, u128, u64)>,
    /// Of the last change; grows over restarts.
    version: u64,
    /// Of the last change, in milliseconds since 1970.
    updated: u64,
    tally: Tally,
    /// The alert is raised.
    full: bool,
    meter: NodeMeter,
}

struct Remembered {
    conversation: Conversation,
    /// Its place in `open` or `closed`.
    turn: u64,
}

/// What was not kept, since the start.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Conversations that were forgotten before their time, for want of room.
    crowded_out: u64,
    /// Conversations that had not ended, and of which nothing came for too long.
    abandoned: u64,
    /// Events of days that are no longer kept.
    outside: u64,
}

impl Board {
    /// With what the table remembers. Blocks.
    ///
    /// # Errors
    /// Fatal when the state store cannot be read.
    pub fn open(config: &Config, rows: &Rows, meter: NodeMeter, now: u64) -> Result<Self, Failure> {
        let mut board = Self {
            limits: Limits::of(config),
            all: HashMap::new(),
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
            days: Days::new(config.days()),
            graves: VecDeque::new(),
            version: 0,
            updated: 0,
            tally: Tally::default(),
            full: false,
            meter,
        };
        board.load(rows)?;
        if board.updated == 0 {
            board.updated = now;
        }
        board.show();
        Ok(board)
    }

    /// From now on by these settings.
    pub fn set(&mut self, config: &Config) {
        self.limits = Limits::of(config);
        self.days.keep(config.days());
    }

    fn load(&mut self, rows: &Rows) -> Result<(), Failure> {
        let Some(table) = rows.table() else {
            return Ok(());
        };
        let (mut known, mut bad) = (Vec::new(), 0_u64);
        table.scan(&mut |key, value| {
            let well = match Key::of(key) {
                Some(Key::Conversation(hash)) => match Conversation::of_row(value) {
                    Some((version, conversation)) => {
                        self.version = self.version.max(version);
                        known.push((hash, conversation));
                        true
                    }
                    None => self.load_grave(hash, value),
                },
                Some(Key::Minute(minute)) => self.load_minute(minute, value),
                None => false,
            };
            bad += u64::from(!well);
        })?;
        if bad > 0 {
            tracing::warn!(
                node = self.meter.name(),
                "{bad} rows of the state make no sense here"
            );
        }
        // In the order in which they were heard of, so that the right ones are forgotten first.
        known.sort_by_key(|(_, conversation)| conversation.heard);
        for (hash, conversation) in known {
            self.updated = self.updated.max(conversation.heard);
            for minute in conversation.minutes() {
                self.days.count(minute);
            }
            self.place(hash, conversation);
        }
        self.drop_days(rows);
        Ok(())
    }

    fn load_grave(&mut self, hash: u128, row: &[u8]) -> bool {
        let Some(version) = rows::grave_of(row) else {
            return false;
        };
        self.version = self.version.max(version);
        // Whatever was under way then is so no longer.
        self.graves.push_back((0, hash, version));
        true
    }

    fn load_minute(&mut self, minute: u32, row: &[u8]) -> bool {
        let Some((version, count)) = rows::minute_of(row) else {
            return false;
        };
        self.version = self.version.max(version);
        self.days.load(minute, count);
        true
    }

    /// Takes events in; tells those whose conversation has no room for them. `now` in milliseconds since 1970.
    pub fn take(&mut self, facts: &[Fact<'_>], now: u64, rows: &Rows) -> Vec<Origin> {
        let (mut changed, mut refused) = (HashMap::new(), Vec::new());
        for fact in facts {
            match self.merge(fact, now) {
                Merged::Full => refused.push(fact.origin),
                Merged::Known => {}
                Merged::Changed | Merged::New => {
                    let deliveries: &mut Vec<u64> = changed.entry(fact.key).or_default();
                    let delivery = fact.origin.delivery();
                    if !deliveries.contains(&delivery) {
                        deliveries.push(delivery);
                    }
                }
            }
        }
        if !changed.is_empty() {
            self.updated = self.updated.max(now);
        }
        self.note(changed, rows);
        self.forget_old(now, rows);
        self.drop_days(rows);
        self.show();
        refused
    }

    fn merge(&mut self, fact: &Fact<'_>, now: u64) -> Merged {
        let (conversation, merged) = match self.all.entry(fact.key) {
            Entry::Vacant(_) => {
                let mut conversation = Conversation::new(fact, now);
                let merged = conversation.merge(fact, now);
                (conversation, merged)
            }
            Entry::Occupied(mut known) => {
                let merged = known.get_mut().conversation.merge(fact, now);
                if matches!(merged, Merged::Known | Merged::Full) {
                    return merged;
                }
                let known = known.remove();
                self.open.remove(&known.turn);
                self.closed.remove(&known.turn);
                (known.conversation, merged)
            }
        };
        if merged == Merged::New && !self.days.count(fact.minute()) {
            self.tally.outside += 1;
        }
        self.place(fact.key, conversation);
        merged
    }

    /// Puts it at the end of its line.
    fn place(&mut self, hash: u128, conversation: Conversation) {
        let line = match conversation.is_open() {
            true => &mut self.open,
            false => &mut self.closed,
        };
        self.version += 1;
        let turn = self.version;
        line.insert(turn, hash);
        self.all.insert(hash, Remembered { conversation, turn });
    }

    /// Notes each changed conversation under every delivery that changed it: whichever is committed
    /// finds its events in the row.
    fn note(&self, changed: HashMap<u128, Vec<u64>>, rows: &Rows) {
        let Some(table) = rows.table() else { return };
        for (hash, deliveries) in changed {
            let Some(known) = self.all.get(&hash) else {
                continue;
            };
            let value = known.conversation.to_row(self.version);
            for delivery in deliveries {
                let op = Op::PutNewer {
                    key: Key::Conversation(hash).bytes(),
                    version: self.version,
                    value: value.clone(),
                };
                table.note(delivery, op);
            }
        }
    }

    fn forget_old(&mut self, now: u64, rows: &Rows) {
        let limits = self.limits;
        while let Some(hash) = self.oldest(&self.closed, now, limits.forget_after) {
            self.forget(hash, now, rows);
        }
        while let Some(hash) = self.oldest(&self.open, now, limits.abandon_after) {
            self.tally.abandoned += 1;
            self.forget(hash, now, rows);
        }
        let mut open_ones = false;
        while self.all.len() > limits.conversations {
            let ended = self.closed.first_key_value();
            open_ones |= ended.is_none();
            let Some((_, hash)) = ended.or_else(|| self.open.first_key_value()) else {
                break;
            };
            self.tally.crowded_out += 1;
            self.forget(*hash, now, rows);
        }
        self.alert(open_ones);
        for _ in 0..SWEEP {
            let Some((_, hash, version)) = self.graves.pop_front_if(|grave| grave.0 <= now) else {
                break;
            };
            if let Some(table) = rows.table() {
                let key = Key::Conversation(hash).bytes();
                table.note_soon(Op::DeleteOlder { key, version });
            }
        }
    }

    /// The first of the line if nothing was heard of it for so long.
    fn oldest(&self, line: &BTreeMap<u64, u128>, now: u64, after: u64) -> Option<u128> {
        let (_, hash) = line.first_key_value()?;
        let heard = self.all.get(hash)?.conversation.heard;
        (heard.saturating_add(after) <= now).then_some(*hash)
    }

    fn alert(&mut self, open_ones: bool) {
        let most = self.limits.conversations;
        if open_ones == self.full {
            return;
        }
        if open_ones {
            self.full = true;
            let message = format!("more than {most} open interactions: the oldest are not counted");
            self.meter.alert(FULL, message, true);
        } else if self.all.len() < most - most / 10 {
            self.full = false;
            self.meter
                .alert(FULL, "there is room for interactions again", false);
        }
    }

    /// Forgets a conversation: its events are counted by their minutes' rows from now on.
    fn forget(&mut self, hash: u128, now: u64, rows: &Rows) {
        let Some(Remembered { conversation, turn }) = self.all.remove(&hash) else {
            return;
        };
        self.open.remove(&turn);
        self.closed.remove(&turn);
        let mut folded = BTreeMap::new();
        for minute in conversation.minutes() {
            if let Some(count) = self.days.fold(minute) {
                folded.insert(minute, count);
            }
        }
        self.version += 1;
        let Some(table) = rows.table() else { return };
        let version = self.version;
        let minute = |(minute, count): (u32, u32)| Op::PutNewer {
            key: Key::Minute(minute).bytes(),
            version,
            value: rows::minute(version, count),
        };
        let mut ops: Vec<Op> = folded.into_iter().map(minute).collect();
        ops.push(Op::PutNewer {
            key: Key::Conversation(hash).bytes(),
            version,
            value: rows::grave(version),
        });
        table.note_all_soon(ops);
        let until = now.saturating_add(self.limits.forget_after);
        self.graves.push_back((until, hash, version));
    }

    /// Days too many go, with their rows.
    fn drop_days(&mut self, rows: &Rows) {
        while let Some(minutes) = self.days.pushed_out() {
            let Some(table) = rows.table() else { continue };
            let version = self.version;
            let gone = minutes.into_iter().map(|minute| Op::DeleteOlder {
                key: Key::Minute(minute).bytes(),
                version,
            });
            table.note_all_soon(gone.collect());
        }
    }

    fn show(&self) {
        let figures = [
            ("active_interactions", self.open.len() as u64),
            ("remembered_interactions", self.all.len() as u64),
            ("crowded_out_interactions", self.tally.crowded_out),
            ("abandoned_interactions", self.tally.abandoned),
            ("events_outside_retention", self.tally.outside),
        ];
        for (name, value) in figures {
            self.meter.figure(name, value);
        }
    }

    /// How many conversations are open.
    pub fn active(&self) -> usize {
        self.open.len()
    }

    /// Grows with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When anything last changed, in milliseconds since 1970; at first, when it was opened.
    pub fn updated(&self) -> u64 {
        self.updated
    }

    /// The conversation of this hash.
    pub fn conversation(&self, hash: u128) -> Option<&Conversation> {
        self.all.get(&hash).map(|known| &known.conversation)
    }

    /// The counts.
    pub fn days(&self) -> &Days {
        &self.days
    }
}

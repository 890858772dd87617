//! What was told to whom, and what became of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::random::Uuid;
use super::write::{self, Object};

/// Participant, communication, state.
pub(super) type Shows = Vec<(Uuid, Uuid, &'static str)>;

/// How far back a frame's fate can still change.
const AMENDABLE: usize = 65_536;

/// A frame, told to one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Number of the frame; a frame that several channels are told has one.
    pub n: u64,
    /// When it happened, simulated.
    pub at: Timestamp,
    /// When it was told, real.
    pub wall: Timestamp,
    /// Topic (of the `events` protocol: event type).
    pub topic: Arc<str>,
    /// The conversation.
    pub conversation: String,
    /// What it shows: each communication with its state. A detail event, or one of the `events`
    /// protocol, shows one; presence and routing status show none.
    pub shows: Vec<Shown>,
    /// What became of it. It can change once: from [`Fate::Delivered`] to [`Fate::Unknown`].
    pub fate: Fate,
    /// Number of the channel, from 1. 0: a topic that was subscribed to once, and that no channel
    /// had at the time.
    pub channel: u64,
    /// `duplicate`, `late`, `stale` where the frame itself is a fault.
    pub fault: Option<&'static str>,
}

/// The state of a communication, as a frame showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its participant.
    pub participant: String,
    /// The communication's id.
    pub communication: String,
    /// As spelt in the frame.
    pub state: &'static str,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Written and flushed to a socket that is open, or was closed in order.
    Delivered,
    /// There was no socket, or it was dead, or its client did not read.
    NoSocket,
    /// Left out by the fault `drop`.
    FaultDropped,
    /// Written less than a second before the client broke the connection: nobody can say.
    Unknown,
}

impl Fate {
    /// As in the oracle's file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NoSocket => "no_socket",
            Self::FaultDropped => "fault_dropped",
            Self::Unknown => "unknown",
        }
    }
}

/// Figures since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps of conversations.
    pub steps: u64,
    /// Frames made, whoever was told.
    pub frames: u64,
    /// Frames told to channels, by what became of them.
    pub delivered: u64,
    /// See [`Fate::NoSocket`].
    pub no_socket: u64,
    /// See [`Fate::FaultDropped`].
    pub fault_dropped: u64,
    /// See [`Fate::Unknown`].
    pub unknown: u64,
    /// Frames that wait in a queue, or for their time.
    pub waiting: u64,
    /// Frames told twice on purpose.
    pub duplicated: u64,
    /// Frames told late or out of order on purpose.
    pub late: u64,
    /// Snapshots told again after a newer one.
    pub stale: u64,
    /// Conversations begun by the generator.
    pub conversations: u64,
    /// Conversations open now.
    pub open: u64,
    /// HTTP requests answered.
    pub requests: u64,
    /// Requests refused with 429.
    pub limited: u64,
    /// Access tokens given.
    pub tokens: u64,
    /// Channels that exist now.
    pub channels: u64,
    /// Channels deleted to make room for another.
    pub evicted: u64,
    /// Sockets open now.
    pub sockets: u64,
    /// Sockets opened since the start.
    pub opened: u64,
    /// Outbound messages that a webhook took.
    pub webhooks: u64,
    /// Those that it did not take, after all retries.
    pub webhooks_failed: u64,
    /// Those on their way.
    pub webhooks_waiting: u64,
    /// Sockets cut off because their clients did not read.
    pub cut_off: u64,
}

/// What all tellings of a frame share.
pub(super) struct Meta {
    pub(super) n: u64,
    pub(super) at: i64,
    pub(super) wall: i64,
    pub(super) topic: Arc<str>,
    pub(super) conversation: Uuid,
    pub(super) shows: Arc<Shows>,
}

struct Entry {
    meta: Arc<Meta>,
    channel: u64,
    fate: Fate,
    fault: Option<&'static str>,
}

pub(super) struct Oracle {
    file: Option<BufWriter<File>>,
    /// What could not be written: the file's last error.
    pub(super) broken: Option<String>,
    kept: VecDeque<Entry>,
    most: usize,
    line: String,
    pub(super) counts: Counts,
}

impl Oracle {
    /// # Errors
    /// When the file cannot be created.
    pub(super) fn new(path: Option<&Path>, most: usize) -> io::Result<Self> {
        Ok(Self {
            file: path
                .map(File::create)
                .transpose()?
                .map(|file| BufWriter::with_capacity(1 << 18, file)),
            broken: None,
            kept: VecDeque::new(),
            most,
            line: String::new(),
            counts: Counts::default(),
        })
    }

    /// True when somebody will read what frames show.
    pub(super) fn listens(&self) -> bool {
        self.file.is_some() || self.most > 0
    }

    pub(super) fn note(
        &mut self,
        meta: &Arc<Meta>,
        channel: u64,
        fate: Fate,
        fault: Option<&'static str>,
    ) {
        *self.counter(fate) += 1;
        self.write(meta, channel, fate, fault);
        if self.most > 0 {
            if self.kept.len() == self.most {
                self.kept.pop_front();
            }
            let meta = Arc::clone(meta);
            self.kept.push_back(Entry {
                meta,
                channel,
                fate,
                fault,
            });
        }
    }

    /// A frame that was thought delivered may not have been. The file has a second line for it, and
    /// the last one holds.
    pub(super) fn doubt(&mut self, meta: &Arc<Meta>, channel: u64, fault: Option<&'static str>) {
        self.counts.delivered = self.counts.delivered.saturating_sub(1);
        self.counts.unknown += 1;
        self.write(meta, channel, Fate::Unknown, fault);
        let mut latest = self.kept.iter_mut().rev().take(AMENDABLE);
        if let Some(entry) = latest.find(|it| {
            it.channel == channel && it.fate == Fate::Delivered && Arc::ptr_eq(&it.meta, meta)
        }) {
            entry.fate = Fate::Unknown;
        }
    }

    fn counter(&mut self, fate: Fate) -> &mut u64 {
        match fate {
            Fate::Delivered => &mut self.counts.delivered,
            Fate::NoSocket => &mut self.counts.no_socket,
            Fate::FaultDropped => &mut self.counts.fault_dropped,
            Fate::Unknown => &mut self.counts.unknown,
        }
    }

    fn write(&mut self, meta: &Meta, channel: u64, fate: Fate, fault: Option<&'static str>) {
        let Some(file) = &mut self.file else { return };
        self.line.clear();
        line(&mut self.line, meta, channel, fate, fault);
        if let Err(error) = file.write_all(self.line.as_bytes()) {
            self.broken = Some(error.to_string());
            self.file = None;
        }
    }

    pub(super) fn flush(&mut self) {
        if let Some(Err(error)) = self.file.as_mut().map(Write::flush) {
            self.broken = Some(error.to_string());
            self.file = None;
        }
    }

    pub(super) fn told(&self) -> Vec<Told> {
        self.kept.iter().map(Entry::told).collect()
    }
}

impl Entry {
    fn told(&self) -> Told {
        let meta = &self.meta;
        let shown = |(participant, communication, state): &(Uuid, Uuid, &'static str)| Shown {
            participant: text(*participant),
            communication: text(*communication),
            state,
        };
        Told {
            n: meta.n,
            at: timestamp(meta.at),
            wall: timestamp(meta.wall),
            topic: Arc::clone(&meta.topic),
            conversation: text(meta.conversation),
            shows: meta.shows.iter().map(shown).collect(),
            fate: self.fate,
            channel: self.channel,
            fault: self.fault,
        }
    }
}

pub(super) fn text(id: Uuid) -> String {
    let mut out = String::with_capacity(36);
    write::uuid(&mut out, id);
    out
}

pub(super) fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

fn line(out: &mut String, meta: &Meta, channel: u64, fate: Fate, fault: Option<&'static str>) {
    let mut object = Object::new(out);
    object.number("n", meta.n.cast_signed());
    object.time("at", meta.at);
    object.word("wall", &format!("{:.6}", timestamp(meta.wall)));
    object.word("topic", &meta.topic);
    object.uuid("conversation", meta.conversation);
    write::list(
        object.name("shows"),
        meta.shows.iter(),
        |out, (participant, communication, state)| {
            out.push_str("[\"");
            write::uuid(out, *participant);
            out.push_str("\",\"");
            write::uuid(out, *communication);
            out.push_str("\",\"");
            out.push_str(state);
            out.push_str("\"]");
        },
    );
    object.word("fate", fate.as_str());
    object.number("channel", channel.cast_signed());
    if let Some(fault) = fault {
        object.word("fault", fault);
    }
    object.end();
    out.push('\n');
}

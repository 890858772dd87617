//! What a pipeline file says about the source.

mod read;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::client::genesys::Credentials;
use crate::event::Path;
use crate::layer::{Backoff, VisitPaths};
use crate::setting::{Fields, Size};

use read::{
    DAY, duration, read_auth, read_backoff, read_channels, read_fill, read_host, read_queue,
    read_topics, size, wanted,
};

/// What is spoken on the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The platform's notification service: channels and topics.
    Notifications,
    /// One socket of events, subscribed by a frame.
    Events,
}

/// Where the platform is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A region by its domain, with an environment in front for the socket of events.
    Region(String, Option<String>),
    /// All hosts in one.
    At(String),
    /// The simulator of this run.
    Simulator,
}

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All there are, read from the platform.
    All,
    /// These ids.
    These(Vec<String>),
}

/// How many channels may be used, of those that all workers of the OAuth client share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Channels of the OAuth client, whoever made them; default and at most 20.
    pub max: usize,
    /// Kept free for roll-overs; default 2.
    pub reserve: usize,
    /// Topics of a channel; default and at most 1,000.
    pub topics: usize,
}

/// What happens after a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Default true.
    pub enabled: bool,
    /// Most conversations that are kept in mind, and that are re-read after one gap; default 50,000.
    pub max_conversations: usize,
    /// Re-reads side by side; default 4.
    pub concurrency: usize,
    /// Whether the platform is asked for conversations that nothing was heard of; default true.
    pub unknown: bool,
    /// How far before the gap such a conversation may have begun; default 1 h.
    pub look_back: Duration,
}

/// The fields of the source `genesys_websocket`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Default `notifications`.
    pub protocol: Protocol,
    /// `region`, `endpoint` or `environment`; the simulator where none is named.
    pub host: Host,
    /// `auth`.
    pub auth: Option<Credentials>,
    /// `topics`, with placeholders.
    pub topics: Vec<String>,
    /// For `{queue}`; default all.
    pub queues: Wanted,
    /// For `{user}`; default all.
    pub users: Wanted,
    /// How often `all` is read again; default 15 min.
    pub refresh: Duration,
    /// The channels.
    pub channels: Channels,
    /// A socket on which nothing is heard for so long is dead; default 40 s, since the platform
    /// says something every 30 s.
    pub heartbeat_timeout: Duration,
    /// Default 15 s, or a third of `heartbeat_timeout` where that is shorter.
    pub ping_interval: Duration,
    /// Age at which a channel is replaced; default 23 h of the 24 h that it lives.
    pub roll_over: Duration,
    /// For the socket and its handshake; default 10 s.
    pub connect_timeout: Duration,
    /// Between tries to connect; default 500 ms to 30 s.
    pub backoff: Backoff,
    /// Longest frame in bytes; default 8 MiB.
    pub max_frame: usize,
    /// Frames between the sockets and the engine; default 10,000.
    pub queue_frames: usize,
    /// Their bytes; default 64 MiB.
    pub queue_bytes: usize,
    /// After a gap.
    pub fill: Fill,
    /// Whether a restart takes its channels up again; default true.
    pub reuse_channels: bool,
    /// What is looked at in each event.
    pub(super) seen: Seen,
}

/// The members that tell which conversation an event is about, and whether it has ended.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub topic: Path,
    pub id: Path,
    pub conversation: Path,
    pub participants: Path,
    pub end: Path,
    pub time: Path,
    pub kind: Path,
    pub interaction: Path,
    pub state: Path,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            topic: Path::of(["topicName"]),
            id: Path::of(["eventBody", "id"]),
            conversation: Path::of(["eventBody", "conversationId"]),
            participants: Path::of(["eventBody", "participants"]),
            end: Path::of(["eventBody", "endTime"]),
            time: Path::of(["metadata", "time"]),
            kind: Path::of(["eventType"]),
            interaction: Path::of(["data", "interactionId"]),
            state: Path::of(["data", "state"]),
        }
    }
}

impl Seen {
    pub fn visit(&mut self, visit: VisitPaths<'_>) {
        visit(&mut self.topic);
        visit(&mut self.id);
        visit(&mut self.conversation);
        visit(&mut self.participants);
        visit(&mut self.end);
        visit(&mut self.time);
        visit(&mut self.kind);
        visit(&mut self.interaction);
        visit(&mut self.state);
    }
}

impl Config {
    /// Reads the fields.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let protocol = fields.choice(
            "protocol",
            &[
                ("notifications", Protocol::Notifications),
                ("events", Protocol::Events),
            ],
        );
        let wrong = fields.has("protocol") && protocol.is_none();
        let protocol = protocol.unwrap_or(Protocol::Notifications);
        let (auth, auth_said) = read_auth(fields);
        let host = read_host(fields, protocol, auth_said);
        let topics = read_topics(fields, protocol);
        let (queue_frames, queue_bytes) = read_queue(fields);
        let heartbeat = duration(fields, "heartbeat_timeout", Duration::from_secs(40), DAY);
        // Several pings before the time is out, also where that is set short.
        let ping = (heartbeat / 3).clamp(Duration::from_millis(1), Duration::from_secs(15));
        let config = Self {
            protocol,
            host: host.clone().unwrap_or(Host::Simulator),
            auth,
            topics: topics.clone().unwrap_or_default(),
            queues: wanted(fields, "queues"),
            users: wanted(fields, "users"),
            refresh: duration(fields, "refresh", Duration::from_secs(900), DAY),
            channels: read_channels(fields),
            heartbeat_timeout: heartbeat,
            ping_interval: duration(fields, "ping_interval", ping, DAY),
            roll_over: duration(fields, "roll_over", Duration::from_secs(23 * 3600), DAY),
            connect_timeout: duration(fields, "connect_timeout", Duration::from_secs(10), DAY),
            backoff: read_backoff(fields),
            max_frame: size(fields, "max_frame", Size(8 << 20)),
            queue_frames,
            queue_bytes,
            fill: read_fill(fields),
            reuse_channels: fields.or("reuse_channels", true),
            seen: Seen::default(),
        };
        if config.ping_interval >= config.heartbeat_timeout {
            let message = "`ping_interval` has to be shorter than `heartbeat_timeout`";
            let span = fields.span_of("ping_interval");
            fields.error("conflicting-limits", span, message);
        }
        // The defaults stood in so that every mistake was found.
        (!wrong && host.is_some() && topics.is_some()).then_some(config)
    }

    /// Whether the run has to have a simulator: neither a region nor an endpoint is named.
    pub fn wants_simulator(&self) -> bool {
        self.host == Host::Simulator
    }
}

//! What a pipeline file says about the source.

use std::time::Duration;

use super::topics::{self, Bad};
use crate::client::genesys::{Credentials, Endpoints, is_region};
use crate::event::Path;
use crate::layer::{Backoff, VisitPaths};
use crate::setting::{Fields, Node, Secret, Setting, Size, Value, wrong_type};

/// Topics of `protocol: events` where none are named.
const EVENTS: [&str; 4] = [
    "interaction.participant.joined",
    "interaction.participant.left",
    "interaction.participant.roleChanged",
    "interaction.lifecycleStateChange",
];
/// The region of an environment where none is named.
const REGION: &str = "mypurecloud.com";

const MOST_CHANNELS: usize = 20;
const MOST_TOPICS: usize = 1000;
const MOST_FRAMES: usize = 1_000_000;
const MOST_BYTES: u64 = 2 << 30;
const MOST_KNOWN: usize = 1_000_000;
const DAY: Duration = Duration::from_secs(86_400);

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
    /// Default 15 s.
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
        let config = Self {
            protocol,
            host: host.clone().unwrap_or(Host::Simulator),
            auth,
            topics: topics.clone().unwrap_or_default(),
            queues: wanted(fields, "queues"),
            users: wanted(fields, "users"),
            refresh: duration(fields, "refresh", Duration::from_secs(900), DAY),
            channels: read_channels(fields),
            heartbeat_timeout: duration(fields, "heartbeat_timeout", Duration::from_secs(40), DAY),
            ping_interval: duration(fields, "ping_interval", Duration::from_secs(15), DAY),
            roll_over: duration(fields, "roll_over", Duration::from_secs(23 * 3600), DAY),
            connect_timeout: duration(fields, "connect_timeout", Duration::from_secs(10), DAY),
            backoff: read_backoff(fields),
            max_frame: size(fields, "max_frame", Size(8 << 20)),
            queue_frames: 0,
            queue_bytes: 0,
            fill: read_fill(fields),
            reuse_channels: fields.or("reuse_channels", true),
            seen: Seen::default(),
        };
        let (queue_frames, queue_bytes) = read_queue(fields);
        if config.ping_interval >= config.heartbeat_timeout {
            let message = "`ping_interval` has to be shorter than `heartbeat_timeout`";
            let span = fields.span_of("ping_interval");
            fields.error("conflicting-limits", span, message);
        }
        if wrong || host.is_none() || topics.is_none() {
            return None;
        }
        Some(Self {
            queue_frames,
            queue_bytes,
            ..config
        })
    }

    /// Whether the run has to have a simulator: neither a region nor an endpoint is named.
    pub fn wants_simulator(&self) -> bool {
        self.host == Host::Simulator
    }
}

/// Whether the field is there and says something: a variable with an empty default says nothing.
fn said(node: Option<&Node>) -> bool {
    node.is_some_and(|node| {
        node.as_text() != Some("") && (node.value != Value::Null || node.is_broken())
    })
}

fn text(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let node = fields.node(name).filter(|node| said(Some(node)))?;
    String::read(node, fields.report())
}

/// The credentials, and whether the file says anything about them.
fn read_auth(fields: &mut Fields<'_>) -> (Option<Credentials>, bool) {
    let mut anything = said(fields.node("auth"));
    let auth = fields.section("auth", "`auth`", |auth| {
        let (id, secret) = (auth.node("client_id"), auth.node("client_secret"));
        anything = said(id) || said(secret);
        if !anything {
            return None;
        }
        for (name, node) in [("client_id", id), ("client_secret", secret)] {
            if !said(node) {
                let message = format!("`auth` needs the field `{name}` too");
                let span = node.map_or(auth.span(), |node| node.span);
                auth.error("missing-field", span, message);
            }
        }
        if let Some(node) = secret.filter(|node| said(Some(node)) && !node.from_variable) {
            let message = "the secret of the OAuth client is written into the file";
            let hint = "name a variable or a file: `\"${GENESYS_CLIENT_SECRET}\"`";
            auth.warning("plain-secret", node.span, message).hint(hint);
        }
        let id = id.filter(|node| said(Some(node)));
        let secret = secret.filter(|node| said(Some(node)));
        let client_id = id.and_then(|node| String::read(node, auth.report()));
        let client_secret = secret.and_then(|node| Secret::read(node, auth.report()));
        Some(Credentials {
            client_id: client_id?,
            client_secret: client_secret?,
        })
    });
    (auth, anything)
}

/// `None` when it is wrong.
fn read_host(fields: &mut Fields<'_>, protocol: Protocol, auth: bool) -> Option<Host> {
    let region = text(fields, "region");
    let endpoint = text(fields, "endpoint");
    let environment = text(fields, "environment");
    let mut good = true;
    let mut wrong = |fields: &mut Fields<'_>, code, name, message: &str| {
        let span = fields.span_of(name);
        fields.error(code, span, message);
        good = false;
    };
    if region.as_deref().is_some_and(|region| !is_region(region)) {
        let message = "`region` is no domain such as `mypurecloud.ie` or `euw2.pure.cloud`";
        wrong(fields, "unknown-value", "region", message);
    }
    if endpoint
        .as_deref()
        .is_some_and(|url| Endpoints::at(url).is_err())
    {
        let message = "`endpoint` is no URL of `http` or `https` without a query";
        wrong(fields, "bad-url", "endpoint", message);
    }
    let dotted = environment.as_ref().map(|name| format!("{name}.{REGION}"));
    if dotted.is_some_and(|host| !is_region(&host)) {
        let message = "`environment` is no name of a host";
        wrong(fields, "unknown-value", "environment", message);
    }
    if environment.is_some() && protocol == Protocol::Notifications {
        let message = "`environment` is for `protocol: events`; name a `region`";
        wrong(fields, "conflicting-fields", "environment", message);
    }
    if endpoint.is_some() && (region.is_some() || environment.is_some()) {
        let message = "`endpoint` stands for all hosts, so it excludes `region` and `environment`";
        wrong(fields, "conflicting-fields", "endpoint", message);
    }
    let host = match (endpoint, region, environment) {
        (Some(url), _, _) => Host::At(url),
        (None, None, None) => Host::Simulator,
        (None, region, environment) => {
            Host::Region(region.unwrap_or_else(|| REGION.to_owned()), environment)
        }
    };
    if host == Host::Simulator && auth {
        let message = "`auth` needs a `region` or an `endpoint` to go with it";
        wrong(fields, "missing-field", "auth", message);
    }
    if host != Host::Simulator && !auth {
        let message = "a `region` or `endpoint` needs `auth` with `client_id` and `client_secret`";
        let span = fields.span();
        fields.error("missing-field", span, message);
        good = false;
    }
    good.then_some(host)
}

fn read_topics(fields: &mut Fields<'_>, protocol: Protocol) -> Option<Vec<String>> {
    if protocol == Protocol::Events && !fields.has("topics") {
        return Some(EVENTS.map(str::to_owned).into());
    }
    fields.required_node("topics")?;
    let span = fields.span_of("topics");
    let mut good = true;
    let topics = fields.each("topics", |node, report| {
        let topic = String::read(node, report);
        let bad = topic
            .as_deref()
            .and_then(|topic| topics::check(topic).err());
        if let Some(Bad {
            code,
            message,
            hint,
        }) = bad
        {
            report.error(code, node.span, message).hint(hint);
        }
        good &= topic.is_some() && bad.is_none();
        topic
    });
    let node = fields.node("topics").and_then(Node::as_list);
    if good && node.is_some_and(<[Node]>::is_empty) {
        let message = "`topics` needs at least one topic";
        fields.error("empty-value", span, message);
    }
    (good && !topics.is_empty()).then_some(topics)
}

fn wanted(fields: &mut Fields<'_>, name: &'static str) -> Wanted {
    let Some(node) = fields.node(name) else {
        return Wanted::All;
    };
    if node.as_text() == Some("all") {
        return Wanted::All;
    }
    if node.as_list().is_none() {
        wrong_type(node, "`all` or a list of ids", fields.report());
        return Wanted::All;
    }
    let ids: Option<Vec<String>> = Vec::read(node, fields.report());
    let ids = ids.unwrap_or_default();
    if ids
        .iter()
        .any(|id| id.is_empty() || topics::check(id).is_err())
    {
        let message = format!("an id in `{name}` is empty, too long or has characters of no id");
        fields.error("unknown-value", node.span, message);
    }
    Wanted::These(ids)
}

fn read_channels(fields: &mut Fields<'_>) -> Channels {
    let mut channels = Channels {
        max: MOST_CHANNELS,
        reserve: 2,
        topics: MOST_TOPICS,
    };
    fields.section("channels", "`channels`", |section| {
        channels.max = number(section, "max", MOST_CHANNELS, 1..=MOST_CHANNELS);
        let reserve = 2.min(channels.max - 1);
        channels.reserve = number(section, "reserve", reserve, 0..=MOST_CHANNELS - 1);
        channels.topics = number(section, "topics", MOST_TOPICS, 1..=MOST_TOPICS);
        if channels.reserve >= channels.max {
            let message = "`reserve` leaves no channel of `max`";
            let span = section.span_of("reserve");
            section.error("conflicting-limits", span, message);
        }
        Some(())
    });
    channels
}

fn read_backoff(fields: &mut Fields<'_>) -> Backoff {
    let mut backoff = Backoff {
        first: Duration::from_millis(500),
        most: Duration::from_secs(30),
    };
    fields.section("backoff", "`backoff`", |section| {
        backoff.first = duration(section, "first", backoff.first, DAY);
        backoff.most = duration(section, "most", backoff.most.max(backoff.first), DAY);
        if backoff.most < backoff.first {
            let message = "`most` is shorter than `first`";
            let span = section.span_of("most");
            section.error("conflicting-limits", span, message);
        }
        Some(())
    });
    backoff
}

fn read_queue(fields: &mut Fields<'_>) -> (usize, usize) {
    let (mut frames, mut bytes) = (10_000, 64 << 20);
    fields.section("queue", "`queue`", |section| {
        frames = number(section, "frames", frames, 1..=MOST_FRAMES);
        bytes = size(section, "bytes", Size(64 << 20));
        Some(())
    });
    (frames, bytes)
}

fn read_fill(fields: &mut Fields<'_>) -> Fill {
    let mut fill = Fill {
        enabled: true,
        max_conversations: 50_000,
        concurrency: 4,
        unknown: true,
        look_back: Duration::from_secs(3600),
    };
    fields.section("gap_fill", "`gap_fill`", |section| {
        fill.enabled = section.or("enabled", true);
        fill.max_conversations = number(section, "max_conversations", 50_000, 1..=MOST_KNOWN);
        fill.concurrency = number(section, "concurrency", 4, 1..=64);
        fill.unknown = section.or("unknown", true);
        fill.look_back = duration(section, "look_back", fill.look_back, 7 * DAY);
        Some(())
    });
    fill
}

/// A duration above zero.
fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    most: Duration,
) -> Duration {
    let value = fields.or(name, default);
    if value.is_zero() || value > most {
        let message = format!(
            "`{name}` has to be above zero and at most {} h",
            most.as_secs() / 3600
        );
        fields.error("out-of-range", fields.span_of(name), message);
        return default;
    }
    value
}

fn number(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: usize,
    range: std::ops::RangeInclusive<usize>,
) -> usize {
    let value = fields.or(name, default);
    if !range.contains(&value) {
        let message = format!(
            "`{name}` has to be between {} and {}",
            range.start(),
            range.end()
        );
        fields.error("out-of-range", fields.span_of(name), message);
        return default;
    }
    value
}

fn size(fields: &mut Fields<'_>, name: &'static str, default: Size) -> usize {
    let value = fields.or(name, default);
    if !(1024..=MOST_BYTES).contains(&value.0) {
        let message = format!("`{name}` has to be between 1 KiB and 2 GiB");
        fields.error("out-of-range", fields.span_of(name), message);
        return default.bytes();
    }
    value.bytes()
}

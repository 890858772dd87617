//! What can be set.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

/// The platform, and what goes wrong with it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens. Default: loopback, a free port.
    pub address: SocketAddr,
    /// OAuth clients that it knows. Default: one, `simulator` with the secret `simulator`.
    pub clients: Vec<Client>,
    /// What everything random comes from. Default 1.
    pub seed: u64,
    /// Steps of conversations in a second of real time, 0.01 to 50,000; default 50. Each step is a
    /// frame on the topic of its queue, and another on every other topic that it concerns and that
    /// somebody subscribed to.
    pub rate: f64,
    /// Simulated seconds in a real one, 0.1 to 10,000. Default 1.
    pub speed: f64,
    /// Where simulated time begins. Default: now.
    pub start: Option<Timestamp>,
    /// Queues of the organisation, 1 to 10,000. Default 8.
    pub queues: u32,
    /// Agents, 1 to 100,000. Default 40.
    pub users: u32,
    /// Conversations open at once, 1 to 100,000. Default: so many that one lasts five simulated
    /// minutes on average, at least 20 and at most 5,000.
    pub conversations: Option<u32>,
    /// Ended conversations that REST still answers for; the oldest are forgotten. Default 10,000.
    pub kept: usize,
    /// Bounds of the platform.
    pub limits: Limits,
    /// What goes wrong by itself.
    pub faults: Faults,
    /// The Open Messaging integration.
    pub integration: Integration,
    /// A file with one JSON line for each frame told. Default: none.
    pub oracle: Option<PathBuf>,
    /// A file with every detail event in its EventBridge envelope, one a line. Default: none.
    pub eventbridge: Option<PathBuf>,
    /// How many of the last frames told [`super::Control::oracle`] answers with. Default 100,000.
    pub oracle_kept: usize,
    /// Stops generating after so many steps. Default: never.
    pub total: Option<u64>,
    /// Begins paused, so that a client can subscribe before the first frame. Default false.
    pub paused: bool,
    /// HTTP status of a refused token request: 400 or 401 (which of them the platform answers is
    /// not certain). Default 400.
    pub refusal: u16,
}

/// An OAuth client of the grant `client_credentials`.
#[derive(Clone)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
    /// Permissions such as `routing:queue:view`; `*` stands for any word or, alone, for all.
    pub permissions: Vec<String>,
}

impl Client {
    /// A client that may do everything.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            permissions: vec!["*".to_owned()],
        }
    }

    pub(super) fn may(&self, permission: &str) -> bool {
        self.permissions.iter().any(|held| {
            let mut words = permission.split(':');
            held == "*"
                || held
                    .split(':')
                    .all(|word| words.next().is_some_and(|it| word == "*" || word == it))
        })
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Client({})", self.id)
    }
}

/// Bounds of the platform. Spans are of simulated time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Channels of one client; one more evicts another. Default 20.
    pub channels: usize,
    /// Topics of one channel. Default 1,000.
    pub topics: usize,
    /// Life of a token. Default 24 h (the platform: 300 s to 48 h).
    pub token: Duration,
    /// Life of a channel; subscribing again extends it. Default 24 h.
    pub channel: Duration,
    /// Requests of one token in a fixed window of a minute. Default 300.
    pub requests: u32,
    /// Lower limits of paths: a prefix such as `/api/v2/users`, and requests in a minute.
    pub paths: Vec<(String, u32)>,
    /// Between two heartbeats of a socket. Default 30 s.
    pub heartbeat: Duration,
    /// Between the warning and a planned close. Default 60 s.
    pub warning: Duration,
    /// A socket whose client is silent for so long is closed with 1001. Default: never.
    pub idle: Option<Duration>,
    /// Connections at once, of all clients. Default 1,024.
    pub sockets: usize,
    /// Frames that wait for a client that does not read; one more, and it is cut off. Default 16,384.
    pub queue: usize,
    /// The same in bytes. Default 64 MiB.
    pub queue_bytes: usize,
    /// How far analytics jobs lag behind. Default 1 h.
    pub analytics_lag: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            channels: 20,
            topics: 1_000,
            token: DAY,
            channel: DAY,
            requests: 300,
            paths: Vec::new(),
            heartbeat: Duration::from_secs(30),
            warning: Duration::from_secs(60),
            idle: None,
            sockets: 1_024,
            queue: 16_384,
            queue_bytes: 64 << 20,
            analytics_lag: Duration::from_secs(3_600),
        }
    }
}

/// What goes wrong by itself. Shares are of frames, 0 to 1, each 0 by default.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Told twice.
    pub duplicate: f64,
    /// Told after up to eight later frames of the channel.
    pub reorder: f64,
    /// Told up to ten simulated seconds late.
    pub delay: f64,
    /// Not told.
    pub drop: f64,
    /// Followed by the snapshot before it.
    pub stale_snapshot: f64,
    /// With a value of an enum that nobody has heard of.
    pub unknown_enum: f64,
    /// With a member that nobody has heard of.
    pub unknown_field: f64,
    /// Without the members that may be missing.
    pub missing_optional: f64,
    /// Planned closes that come without their warning.
    pub closing_unannounced: f64,
    /// Sockets die after about so much simulated time (half to one and a half of it): silently,
    /// abruptly, with 1001 or as planned. Default: they live.
    pub socket_life: Option<Duration>,
    /// What goes wrong with messages that are sent to the platform.
    pub sends: SendFaults,
}

/// What goes wrong with calls that send a message. Shares are of calls, 0 to 1, each 0 by default.
#[derive(Clone, Debug, Default)]
pub struct SendFaults {
    /// Refused with 429 and `Retry-After: 1`; nothing is done.
    pub throttled: f64,
    /// Refused with 401, as if the token were not good any more; nothing is done.
    pub unauthorized: f64,
    /// Refused with 503; nothing is done.
    pub failed: f64,
    /// Done, and never answered.
    pub lost: f64,
    /// Done, and answered with 504.
    pub gateway: f64,
    /// How long each answer takes. Default: none.
    pub delay: Option<Duration>,
}

/// The Open Messaging integration.
#[derive(Clone)]
pub struct Integration {
    /// Its id.
    pub id: String,
    /// Where outbound messages are posted. Default: nowhere.
    pub webhook: Option<String>,
    /// What signs them; more than 15 characters.
    pub secret: String,
    /// The webhook is told what became of each message, by a receipt. Default: it is not.
    pub receipts: bool,
}

impl std::fmt::Debug for Integration {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Integration({})", self.id)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clients: vec![Client::new("simulator", "simulator")],
            seed: 1,
            rate: 50.0,
            speed: 1.0,
            start: None,
            queues: 8,
            users: 40,
            conversations: None,
            kept: 10_000,
            limits: Limits::default(),
            faults: Faults::default(),
            integration: Integration {
                id: "0e0e0e0e-0000-4000-8000-000000000001".to_owned(),
                webhook: None,
                secret: "a-secret-of-the-simulator".to_owned(),
                receipts: false,
            },
            oracle: None,
            eventbridge: None,
            oracle_kept: 100_000,
            total: None,
            paused: false,
            refusal: 400,
        }
    }
}

impl Config {
    /// # Errors
    /// Names the setting that is out of its range.
    pub fn check(&self) -> io::Result<()> {
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()));
        if !(0.01..=50_000.0).contains(&self.rate) {
            return wrong("the rate is 0.01 to 50000 a second");
        }
        if !(0.1..=10_000.0).contains(&self.speed) {
            return wrong("the speed is 0.1 to 10000");
        }
        if !(1..=10_000).contains(&self.queues) || !(1..=100_000).contains(&self.users) {
            return wrong("there are 1 to 10000 queues and 1 to 100000 users");
        }
        if self
            .conversations
            .is_some_and(|at_once| !(1..=100_000).contains(&at_once))
        {
            return wrong("1 to 100000 conversations are open at once");
        }
        if self.clients.is_empty() {
            return wrong("nobody could log in: there is no client");
        }
        if self.integration.secret.len() < 16 {
            return wrong("the secret of a webhook has more than 15 characters");
        }
        self.faults.check()
    }

    /// Whether simulated time is another than that of this machine.
    pub(super) fn is_elsewhen(&self) -> bool {
        self.start.is_some() || (self.speed - 1.0).abs() > f64::EPSILON
    }

    /// Conversations open at once.
    pub(super) fn at_once(&self) -> usize {
        // A conversation has some fifteen steps.
        let five_minutes = self.rate / self.speed * 300.0 / 15.0;
        self.conversations
            .map_or(five_minutes.clamp(20.0, 5_000.0) as usize, |set| {
                set as usize
            })
    }
}

impl Faults {
    /// # Errors
    /// When a share is not between 0 and 1.
    pub fn check(&self) -> io::Result<()> {
        let shares = [
            self.duplicate,
            self.reorder,
            self.delay,
            self.drop,
            self.stale_snapshot,
            self.unknown_enum,
            self.unknown_field,
            self.missing_optional,
            self.closing_unannounced,
            self.sends.throttled,
            self.sends.unauthorized,
            self.sends.failed,
            self.sends.lost,
            self.sends.gateway,
        ];
        match shares.iter().all(|share| (0.0..=1.0).contains(share)) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the share of a fault is 0 to 1",
            )),
        }
    }
}

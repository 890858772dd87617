//! `simulator:` of a pipeline: the platform on loopback, for runs without an account.
//!
//! It is started with the run where a source asks for it, and not otherwise: a file with this section
//! reads the real platform as soon as its variables name one.

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::common::Address;
use crate::client::genesys::Credentials;
use crate::client::tenants;
use crate::failure::Failure;
use crate::layer::Simulated;
use crate::setting::{Fields, Secret, Setting, Share};
use crate::simulator::{Client, Config, Faults, Integration, Limits, SendFaults, Simulator};

/// What a source is given that has no account of its own.
const CLIENT: (&str, &str) = ("trunkline", "simulated");

/// What the section says.
#[derive(Clone, Debug)]
pub struct Platform {
    config: Config,
    /// Simulated time begins at the beginning of the day (UTC) on which the run begins.
    today: bool,
}

impl Platform {
    /// What stands in for it where it is not started: at an address that nobody has.
    pub(super) fn stand_in(&self) -> tenants::Platform {
        tenants::Platform {
            // RFC 2606: no such name will ever be found.
            url: "http://simulator.invalid".to_owned(),
            credentials: Credentials {
                client_id: CLIENT.0.to_owned(),
                client_secret: Secret::new(CLIENT.1.to_owned()),
            },
            integration: self.config.integration.id.clone(),
        }
    }
}

/// `simulator:`; `None` when it is absent.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Platform> {
    let default = Config::default();
    fields.section("simulator", "simulator", |f| {
        let address = f.optional::<Address>("address");
        let (start, today) = start(f);
        let config = Config {
            address: address.map_or(default.address, |address| address.0),
            clients: vec![Client::new(CLIENT.0, CLIENT.1)],
            seed: f.or("seed", default.seed),
            rate: f.or("rate", default.rate),
            speed: f.or("speed", default.speed),
            start,
            queues: f.or("queues", default.queues),
            users: f.or("users", default.users),
            conversations: f.optional("conversations"),
            limits: limits(f, default.limits),
            faults: faults(f),
            oracle: f.optional::<PathBuf>("oracle"),
            integration: integration(f, default.integration),
            ..default
        };
        if let Err(wrong) = config.check() {
            let message = format!("the simulator cannot run so: {wrong}");
            f.error("out-of-range", f.span(), message);
        }
        Some(Platform { config, today })
    })
}

/// `start`: `now` (the default), `today` (its beginning, UTC), or a time.
fn start(f: &mut Fields<'_>) -> (Option<Timestamp>, bool) {
    f.takes("start", String::shape);
    let Some(node) = f.node("start") else {
        return (None, false);
    };
    match node.as_text() {
        Some("now") => (None, false),
        Some("today") => (None, true),
        text => {
            let time = text.and_then(|text| text.parse().ok());
            if time.is_none() {
                let message = format!("{} is no time to begin at", node.shown());
                f.error("unknown-value", node.span, message)
                    .hint("`now`, `today`, or a time such as `2026-01-02T03:04:05Z`");
            }
            (time, false)
        }
    }
}

fn midnight() -> Option<Timestamp> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let midnight = today.to_zoned(TimeZone::UTC).ok()?;
    Some(midnight.timestamp())
}

fn limits(f: &mut Fields<'_>, default: Limits) -> Limits {
    let read = |f: &mut Fields<'_>| {
        Some(Limits {
            channels: f.or("channels", default.channels),
            topics: f.or("topics", default.topics),
            token: f.or("token", default.token),
            channel: f.or("channel", default.channel),
            requests: f.or("requests", default.requests),
            heartbeat: f.or("heartbeat", default.heartbeat),
            ..default.clone()
        })
    };
    let said = f.section("limits", "`limits` of the simulator", read);
    said.unwrap_or(default)
}

/// `webhook: { url, secret, receipts }`: where messages are posted, what signs them, and whether the
/// webhook is told what became of them.
fn integration(f: &mut Fields<'_>, default: Integration) -> Integration {
    let read = |f: &mut Fields<'_>| {
        let url = f.required::<String>("url");
        let secret = f.optional::<Secret>("secret");
        Some(Integration {
            webhook: Some(url?),
            secret: secret.map_or(default.secret.clone(), |it| it.expose().to_owned()),
            receipts: f.or("receipts", false),
            ..default.clone()
        })
    };
    let said = f.section("webhook", "`webhook` of the simulator", read);
    said.unwrap_or(default)
}

fn faults(f: &mut Fields<'_>) -> Faults {
    let read = |f: &mut Fields<'_>| {
        let mut share = |name| f.or(name, Share(0.0)).0;
        Some(Faults {
            duplicate: share("duplicate"),
            reorder: share("reorder"),
            delay: share("delay"),
            drop: share("drop"),
            stale_snapshot: share("stale_snapshot"),
            unknown_enum: share("unknown_enum"),
            unknown_field: share("unknown_field"),
            missing_optional: share("missing_optional"),
            closing_unannounced: share("closing_unannounced"),
            socket_life: f.optional("socket_life"),
            sends: sends(f),
        })
    };
    let said = f.section("faults", "`faults` of the simulator", read);
    said.unwrap_or_default()
}

/// `sends` of the faults: what goes wrong with messages.
fn sends(f: &mut Fields<'_>) -> SendFaults {
    let read = |f: &mut Fields<'_>| {
        let mut share = |name| f.or(name, Share(0.0)).0;
        Some(SendFaults {
            throttled: share("throttled"),
            unauthorized: share("unauthorized"),
            failed: share("failed"),
            lost: share("lost"),
            gateway: share("gateway"),
            delay: f.optional("delay"),
        })
    };
    let said = f.section("sends", "`sends` of the faults", read);
    said.unwrap_or_default()
}

/// Starts the platform that a pipeline's sources ask for.
///
/// # Errors
/// `Fatal` (`simulator`), when its address cannot be bound or the oracle's file not be made.
pub(super) async fn start_platform(platform: Platform) -> Result<(Simulator, Simulated), Failure> {
    let Platform { mut config, today } = platform;
    let integration = config.integration.id.clone();
    if today {
        config.start = midnight();
    }
    let simulator = Simulator::start(config).await;
    let simulator = simulator.map_err(|error| {
        Failure::fatal("simulator", format!("the simulator cannot start: {error}"))
    })?;
    let at = Simulated {
        url: simulator.url(),
        client_id: CLIENT.0.to_owned(),
        client_secret: CLIENT.1.to_owned(),
        integration,
    };
    tracing::info!(
        url = at.url,
        "the Genesys Cloud simulator runs in this process"
    );
    Ok((simulator, at))
}

//! The connection, and waiting for it.

use std::error::Error;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, Value};
use tokio::sync::{Mutex, watch};

use crate::failure::Failure;
use crate::state::new_seed;

/// How long connecting, and each answer, may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Waits between two attempts: the first, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long the start waits for a Redis that is away, before it says so and fails.
const START: Duration = Duration::from_secs(30);

/// Answers by which Redis says that it cannot now, and may later.
const PASSING: [&str; 14] = [
    "OOM",
    "LOADING",
    "BUSY",
    "READONLY",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "UNKILLABLE",
    "ASK",
];

/// The way to one Redis.
pub(super) struct Link {
    client: Client,
    /// The hash that holds the seed.
    meta: String,
    open: Mutex<Open>,
    away: watch::Sender<Option<String>>,
}

#[derive(Default)]
struct Open {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a failure closes the one that it was on and no newer one.
    number: u64,
    seed: Option<[u8; 16]>,
}

/// Why it did not go well.
enum Trouble {
    /// It may go well later.
    Passing(String),
    /// A person must act.
    Lasting(Failure),
}

impl Link {
    pub fn new(url: &str, meta: String) -> Result<Self, Failure> {
        // What is wrong with it is not said: it may be the password.
        let bad = |_| Failure::fatal("state_io", "the URL of the state is not one of a Redis");
        Ok(Self {
            client: Client::open(url).map_err(bad)?,
            meta,
            open: Mutex::default(),
            away: watch::channel(None).0,
        })
    }

    pub fn away(&self) -> watch::Receiver<Option<String>> {
        self.away.subscribe()
    }

    /// Connects for the first time, and reads the seed of the hashes, or makes it.
    pub async fn first(&self) -> Result<[u8; 16], Failure> {
        let until = tokio::time::Instant::now() + START;
        let mut ping = redis::cmd("HGET");
        ping.arg(&self.meta).arg("seed");
        let mut wait = FIRST_WAIT;
        loop {
            match self.attempt(&ping).await {
                Ok(_) => {
                    self.away.send_replace(None);
                    let seed = self.open.lock().await.seed;
                    return seed.ok_or_else(|| lasting("the seed of the state is missing"));
                }
                Err(Trouble::Lasting(failure)) => return Err(failure),
                Err(Trouble::Passing(text)) if is_refusal(&text) => return Err(lasting(&text)),
                Err(Trouble::Passing(text)) => {
                    if tokio::time::Instant::now() + wait > until {
                        return Err(Failure::fatal("state_away", text));
                    }
                    self.tell(&text);
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Asks until there is an answer, or nobody wants one.
    ///
    /// # Errors
    /// Transient (`state_away`) when nobody wanted it any longer; fatal (`state_io`) when no
    /// waiting will help.
    pub async fn hold(&self, cmd: &Cmd, wanted: impl Fn() -> bool) -> Result<Value, Failure> {
        let mut wait = FIRST_WAIT;
        loop {
            match self.attempt(cmd).await {
                Ok(value) => {
                    self.away.send_if_modified(|away| away.take().is_some());
                    return Ok(value);
                }
                Err(Trouble::Lasting(failure)) => return Err(failure),
                Err(Trouble::Passing(text)) => {
                    self.tell(&text);
                    if !wanted() {
                        return Err(Failure::transient("state_away", text));
                    }
                }
            }
            // Many may wait: they should not all come back at once.
            let mut jitter = [0];
            let _ = getrandom::fill(&mut jitter);
            tokio::time::sleep(wait.mul_f64(0.75 + f64::from(jitter[0]) / 1024.0)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn tell(&self, text: &str) {
        self.away.send_if_modified(|away| {
            let first = away.is_none();
            if first {
                *away = Some(text.to_owned());
            }
            first
        });
    }

    async fn attempt(&self, cmd: &Cmd) -> Result<Value, Trouble> {
        let (mut connection, number) = self.connection().await?;
        // The outer bound is for a connection that does not even take the request.
        let asked = tokio::time::timeout(2 * PATIENCE, cmd.query_async(&mut connection));
        let answer = asked.await.unwrap_or_else(|_| Err(timed_out()));
        match answer {
            Ok(value) => Ok(value),
            Err(error) => {
                if error.code().is_none() || is_of_the_connection(&error) {
                    let mut open = self.open.lock().await;
                    if open.number == number {
                        open.connection = None;
                    }
                }
                Err(explain(&error))
            }
        }
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), Trouble> {
        let mut open = self.open.lock().await;
        if let Some(connection) = &open.connection {
            return Ok((connection.clone(), open.number));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connecting = async {
            let mut connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            let seed = self.seed(&mut connection, open.seed).await?;
            Ok((connection, seed))
        };
        let connected = tokio::time::timeout(2 * PATIENCE, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(timed_out()));
        let (connection, seed) = connected.map_err(|error| explain(&error))?;
        let seed: [u8; 16] = seed
            .try_into()
            .map_err(|_| Trouble::Lasting(lasting("the seed of the state in Redis is damaged")))?;
        if open.seed.is_some_and(|before| before != seed) {
            let text = "the state in Redis was replaced while it was in use: start again";
            return Err(Trouble::Lasting(Failure::fatal("state_corrupt", text)));
        }
        open.seed = Some(seed);
        open.number += 1;
        open.connection = Some(connection.clone());
        Ok((connection, open.number))
    }

    /// The seed that is there; ours, where Redis has forgotten everything.
    async fn seed(
        &self,
        connection: &mut MultiplexedConnection,
        ours: Option<[u8; 16]>,
    ) -> Result<Vec<u8>, RedisError> {
        let read = || {
            let mut cmd = redis::cmd("HGET");
            cmd.arg(&self.meta).arg("seed");
            cmd
        };
        let found: Option<Vec<u8>> = read().query_async(connection).await?;
        if let Some(found) = found {
            return Ok(found);
        }
        let new = ours.unwrap_or_else(new_seed);
        let mut put = redis::cmd("HSETNX");
        put.arg(&self.meta).arg("seed").arg(&new[..]);
        put.query_async::<()>(connection).await?;
        read().query_async(connection).await
    }
}

fn timed_out() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

fn lasting(text: &str) -> Failure {
    Failure::fatal("state_io", text.to_owned())
}

/// Answers that no waiting changes at the start: a password that was given is a wrong one.
fn is_refusal(text: &str) -> bool {
    ["NOAUTH", "WRONGPASS", "NOPERM"]
        .iter()
        .any(|code| text.contains(code))
}

/// After a failover the old server answers like this for as long as the connection lives.
fn is_of_the_connection(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "NOAUTH"))
}

/// For people: never with what was sent, nor with the address, which may hold a password.
fn explain(error: &RedisError) -> Trouble {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return Trouble::Passing("Redis answers WRONGPASS or NOAUTH".into());
    }
    let detail = error.detail().unwrap_or_default();
    let code = match error.code() {
        // Before version 7, what a script met stands in the text.
        Some("ERR") if detail.contains("OOM ") => Some("OOM"),
        code => code,
    };
    match code {
        Some(code) if PASSING.contains(&code) => Trouble::Passing(format!("Redis answers {code}")),
        Some(code) => Trouble::Lasting(lasting(&format!("Redis refuses what is asked: {code}"))),
        None => match error.kind() {
            ErrorKind::InvalidClientConfig => {
                Trouble::Lasting(lasting("the URL of the state cannot be used"))
            }
            _ if error.is_timeout() => Trouble::Passing("Redis does not answer".into()),
            // What the system or TLS says holds nothing that was sent.
            ErrorKind::Io if error.source().is_some() => {
                Trouble::Passing(format!("Redis cannot be reached: {error}"))
            }
            _ => Trouble::Passing("Redis cannot be reached".into()),
        },
    }
}

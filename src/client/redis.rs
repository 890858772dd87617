//! A Redis that is asked for small things: one try each, so that whoever asks can do without it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisError};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::setting::Secret;

/// How long connecting and an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nobody tries to connect after it went wrong: who asks meanwhile is answered at once.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether this can be the URL of a Redis.
pub fn is_url(url: &str) -> bool {
    redis::Client::open(url).is_ok()
}

/// The way to one Redis. What it was asked is never in an error, nor its URL.
pub struct Redis {
    url: Secret,
    open: tokio::sync::Mutex<Open>,
    away: Mutex<Option<String>>,
}

#[derive(Default)]
struct Open {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a failure closes the one that it was on and no newer one.
    number: u64,
    failed: Option<Instant>,
}

impl Redis {
    /// Connects when it is asked for the first time.
    pub fn new(url: Secret) -> Self {
        Self {
            url,
            open: tokio::sync::Mutex::default(),
            away: Mutex::default(),
        }
    }

    /// Why it is away; `None` while it answers, or was not asked.
    pub fn away(&self) -> Option<String> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.clone()
    }

    /// Asks once.
    ///
    /// # Errors
    /// Transient (`redis_away`): it cannot be reached, does not answer in time or refuses. What was
    /// asked may have been done.
    pub async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Failure> {
        let answer = self.attempt(cmd).await;
        let why = answer.as_ref().err().cloned();
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = why;
        answer.map_err(|why| Failure::transient("redis_away", why))
    }

    async fn attempt<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, String> {
        let (mut connection, number) = self.connection().await?;
        let asked = tokio::time::timeout(2 * PATIENCE, cmd.query_async::<T>(&mut connection));
        let error = match asked.await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
        };
        let lost = error.code().is_none();
        let replaced = matches!(error.code(), Some("READONLY" | "MASTERDOWN" | "NOAUTH"));
        if lost || replaced {
            let mut open = self.open.lock().await;
            if open.number == number {
                open.connection = None;
            }
        }
        Err(explain(&error))
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), String> {
        let mut open = self.open.lock().await;
        if let Some(connection) = &open.connection {
            return Ok((connection.clone(), open.number));
        }
        if open.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err("Redis cannot be reached".to_owned());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connecting = async {
            let client = redis::Client::open(self.url.expose())?;
            client
                .get_multiplexed_async_connection_with_config(&config)
                .await
        };
        match tokio::time::timeout(2 * PATIENCE, connecting).await {
            Ok(Ok(connection)) => {
                open.connection = Some(connection.clone());
                open.number += 1;
                open.failed = None;
                Ok((connection, open.number))
            }
            failed => {
                open.failed = Some(Instant::now());
                Err(match failed {
                    Ok(Err(error)) => explain(&error),
                    _ => "Redis does not answer".to_owned(),
                })
            }
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Redis([secret])")
    }
}

/// For people: without what was sent, and without the address, which may hold a password.
fn explain(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("Redis answers {code}"),
        None if error.is_timeout() => "Redis does not answer".to_owned(),
        None => "Redis cannot be reached".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_is_away_is_told_without_its_password() {
        // Nobody listens on port 1.
        let redis = Redis::new(Secret::new("redis://:hush@127.0.0.1:1"));
        let failure = redis.ask::<String>(&redis::cmd("PING")).await.unwrap_err();
        assert_eq!(failure.losses()[0].cause.reason, "redis_away");
        let told = format!("{failure} {redis:?} {:?}", redis.away());
        assert!(
            !told.contains("hush") && !told.contains("127.0.0.1"),
            "{told}"
        );
        assert!(redis.away().is_some());
    }
}

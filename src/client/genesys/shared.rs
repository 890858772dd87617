//! Budgets that several workers share through a Redis.
//!
//! One window for each organisation, on the server's clock: a script takes a place or says how long
//! there is none, so workers cannot take the same one. It also counts the workers that asked in the
//! last minute; while Redis is away each keeps to its share of the budget by the last count.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::window::Rate;
use crate::client::redis::Redis;
use crate::setting::Secret;

/// Takes a place: `{0, used, workers}`, or `{milliseconds to wait, used, workers}`. Keys: the window,
/// the workers. Arguments: places, length of a window in milliseconds, who asks.
const TAKE: &str = r#"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local events, per = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 60000)
redis.call('PEXPIRE', KEYS[2], 120000)
local workers = redis.call('ZCARD', KEYS[2])
local w = redis.call('HMGET', KEYS[1], 'ends', 'used', 'paused')
local ends, used, paused = tonumber(w[1]) or 0, tonumber(w[2]) or 0, tonumber(w[3]) or 0
if paused > now then return {paused - now, used, workers} end
if now >= ends or ends > now + per then ends = now + per; used = 0 end
if used >= events then return {ends - now, used, workers} end
redis.call('HSET', KEYS[1], 'ends', string.format('%.0f', ends), 'used', used + 1)
redis.call('PEXPIRE', KEYS[1], per * 2 + 300000)
return {0, used + 1, workers}
"#;

/// Nobody goes for so many milliseconds.
const PAUSE: &str = r#"
local t = redis.call('TIME')
local paused = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1])
local known = tonumber(redis.call('HGET', KEYS[1], 'paused') or 0)
if paused > known then redis.call('HSET', KEYS[1], 'paused', string.format('%.0f', paused)) end
redis.call('PEXPIRE', KEYS[1], 600000)
return 0
"#;

/// The Redis of the budgets of all organisations.
#[derive(Clone, Debug)]
pub struct Shares(Arc<World>);

#[derive(Debug)]
struct World {
    redis: Redis,
    worker: String,
}

impl Shares {
    /// Connects when the first place is taken.
    pub fn new(url: Secret) -> Self {
        let mut worker = [0; 8];
        // Without randomness all workers seem one, and each takes more of a share than its own.
        let _ = getrandom::fill(&mut worker);
        Self(Arc::new(World {
            redis: Redis::new(url),
            worker: format!("{:016x}", u64::from_be_bytes(worker)),
        }))
    }

    /// The budget of an organisation.
    pub fn of(&self, tenant: &str, organization: &str) -> Shared {
        // The ids have no slash in them.
        let name = format!("trunkline:budget:{{{tenant}/{organization}}}");
        Shared {
            shares: self.clone(),
            name,
            workers: AtomicU64::new(0),
        }
    }

    /// Why it is away, while it is.
    pub fn away(&self) -> Option<String> {
        self.0.redis.away()
    }
}

/// The budget of one organisation in it.
pub struct Shared {
    shares: Shares,
    name: String,
    /// Workers that asked in the last minute, as told last; 0: not told yet.
    workers: AtomicU64,
}

/// What came of asking for a place.
pub(super) enum Grant {
    /// It may go.
    Taken { used: u64 },
    /// Not for so long.
    Wait { wait: Duration, used: u64 },
    /// Nobody can tell; so many share the budget.
    Away { workers: u64 },
}

impl Shared {
    pub(super) async fn take(&self, rate: Rate) -> Grant {
        let world = &self.shares.0;
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(TAKE)
            .arg(2)
            .arg(&self.name)
            .arg(format!("{}:workers", self.name))
            .arg(rate.events)
            .arg(milliseconds(rate.per))
            .arg(&world.worker);
        match world.redis.ask::<(u64, u64, u64)>(&cmd).await {
            Ok((wait, used, workers)) => {
                self.workers.store(workers.max(1), Relaxed);
                match wait {
                    0 => Grant::Taken { used },
                    wait => Grant::Wait {
                        wait: Duration::from_millis(wait),
                        used,
                    },
                }
            }
            // Who has never been told how many there are takes half.
            Err(_) => Grant::Away {
                workers: match self.workers.load(Relaxed) {
                    0 => 2,
                    told => told,
                },
            },
        }
    }

    pub(super) async fn pause(&self, wait: Duration) {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(PAUSE)
            .arg(1)
            .arg(&self.name)
            .arg(milliseconds(wait));
        // While Redis is away each worker learns it from its own answers.
        let _ = self.shares.0.redis.ask::<u64>(&cmd).await;
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

//! Making channels without taking those of others.
//!
//! An OAuth client has 20 channels, shared by every worker under its credentials, and making one
//! too many deletes one that is in use. So channels are counted before one is made, twice and with
//! a random pause between, and again after it: workers that start together mostly see each other,
//! and the reserve takes those that do not. There is no call that deletes a channel; one that is not
//! needed any more is kept and used again in place of a new one.

use std::time::Duration;

use tokio::sync::Mutex;

use super::config::Channels;
use super::memory::Grip;
use super::now;
use crate::client::genesys::{CallError, Client};

/// Longest pause between the two counts.
const PAUSE_MS: u32 = 300;
/// Channels that are kept to be used again.
const SPARES: usize = 20;

/// Makes the channels of a source, one at a time.
pub(super) struct Maker {
    client: Client,
    limits: Channels,
    spares: Mutex<Vec<Grip>>,
}

/// Why there is no channel.
#[derive(Debug)]
pub(super) enum NotMade {
    /// One more would be too many.
    Full,
    /// A call failed.
    Failed(CallError),
}

impl From<CallError> for NotMade {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

impl Maker {
    pub fn new(client: Client, limits: Channels) -> Self {
        Self {
            client,
            limits,
            spares: Mutex::default(),
        }
    }

    /// A channel for new topics, or (`roll`) in place of one that is still in use: only that may
    /// use the reserve.
    pub async fn make(&self, roll: bool) -> Result<Grip, NotMade> {
        let mut spares = self.spares.lock().await;
        while let Some(spare) = spares.pop() {
            // One of ours already: it takes no room.
            if self.client.has_channel(&spare.channel).await? {
                // Its topics are set next, and with that it lives for another day.
                let made = now();
                return Ok(Grip { made, ..spare });
            }
        }
        let limit = match roll {
            true => self.limits.max,
            false => self.limits.max - self.limits.reserve,
        };
        self.has_room(limit).await?;
        let pause = getrandom::u32().unwrap_or(0) % PAUSE_MS;
        tokio::time::sleep(Duration::from_millis(u64::from(pause))).await;
        self.has_room(limit).await?;
        let channel = self.client.make_channel().await?;
        let made = Grip {
            channel,
            made: now(),
        };
        if self
            .client
            .count_channels()
            .await
            .is_ok_and(|count| count > limit)
        {
            // Somebody made one at the same moment: give way. Without a socket it is the first that
            // the platform takes for others, and if it is still there later, it is used.
            spares.push(made);
            return Err(NotMade::Full);
        }
        Ok(made)
    }

    async fn has_room(&self, limit: usize) -> Result<(), NotMade> {
        let count = self.client.count_channels().await?;
        if count < limit {
            Ok(())
        } else {
            Err(NotMade::Full)
        }
    }

    /// A channel that nobody uses now, but that is still there.
    pub async fn give_back(&self, grip: Grip) {
        let mut spares = self.spares.lock().await;
        if spares.len() < SPARES {
            spares.push(grip);
        }
    }
}

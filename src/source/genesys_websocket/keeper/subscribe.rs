//! The topics of a channel that has its socket: set anew when they change, and when nobody knows
//! whether they are there.

use tokio::time::Instant;

use super::super::now;
use super::super::opening::{Obstacle, roll_after, subscribe};
use super::super::queue::Item;
use super::{Current, Keeper};

/// As many doublings of the first wait, for a socket that is heard meanwhile.
const CALM: u32 = 4;

impl Keeper {
    pub(super) fn may_subscribe(&self) -> bool {
        self.current.is_some() && self.subscribing.is_none()
    }

    /// Puts the topics on the channel of the current socket.
    pub(super) fn subscribe(&mut self) {
        self.subscribe_at = None;
        let grip = self
            .current
            .as_ref()
            .and_then(|current| current.grip.clone());
        let Some(grip) = grip else { return };
        let (context, number) = (self.context.clone(), self.number);
        let topics = self.topics.borrow_and_update().clone();
        self.subscribing = Some(Box::pin(async move {
            subscribe(&context, number, &grip.channel, &topics).await
        }));
    }

    pub(super) async fn subscribed(&mut self, answer: Result<bool, Obstacle>) {
        match answer {
            Ok(true) => {
                // With that the channel lives for another day.
                let (config, at) = (&self.context.config, now());
                let roll = roll_after(config, self.number, at);
                if let Some(Current {
                    grip: Some(grip),
                    roll_at,
                    ..
                }) = &mut self.current
                {
                    (grip.made, *roll_at) = (at, Instant::now() + roll);
                    self.context.memory.hold(self.number, Some(grip.clone()));
                }
            }
            Ok(false) => self.lost("channel_gone", true).await,
            Err(Obstacle::Fatal(failure)) => self.context.inlet.tell(Item::Failed(failure)).await,
            Err(Obstacle::Full) => {}
            Err(Obstacle::Later(why, _, asked)) => {
                let (source, channel) = (&self.context.node, self.number);
                tracing::warn!(%source, channel, "topics not set yet: {why}");
                let wait = self.context.config.backoff.wait(CALM, asked);
                self.subscribe_at = Some(Instant::now() + wait);
            }
        }
    }
}

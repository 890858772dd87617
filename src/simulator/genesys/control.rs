//! What a test, or the command line, does to a running platform.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde_json::json;

use super::channel::{Channel, Ending};
use super::config::{Config, Faults};
use super::faults::{Heard, SendFault};
use super::oracle::{Counts, Told, text, timestamp};
use super::outbound::{self, Receipt};
use super::platform::{Platform, Shared};
use super::random::Uuid;

/// Changes what the platform does, and asks what it did. Works for as long as the platform runs.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

/// How a socket dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It stays open; nothing comes any more and nobody answers.
    Silent,
    /// The connection ends without a close frame.
    Abrupt,
    /// A close frame with this code.
    Code(u16),
}

impl From<How> for Ending {
    fn from(how: How) -> Self {
        match how {
            How::Silent => Self::Silent,
            How::Abrupt => Self::Abrupt,
            How::Code(code) => Self::Code(code),
        }
    }
}

impl Control {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Ends the socket of a channel (by its number, from 1), or of all. Answers how many.
    pub fn kill(&self, channel: Option<u64>, how: How) -> usize {
        let mut killed = 0;
        self.each(channel, |it| {
            killed += usize::from(it.socket.is_some());
            it.hang_up(how.into());
        });
        killed
    }

    /// A planned close of all sockets: with its warning, and the close a minute (simulated) later;
    /// or at once and without.
    pub fn closing(&self, announced: bool) {
        let now = self.shared.clock.now();
        let warning = super::channels::micros(self.shared.platform().config.limits.warning);
        self.each(None, |it| {
            if announced {
                it.warn();
                if let Some(socket) = &mut it.socket {
                    let (at, how) = (now + warning, None);
                    socket.death = Some(super::channel::Death {
                        at,
                        how,
                        warned: true,
                    });
                }
            } else {
                it.hang_up(Ending::Code(1000));
            }
        });
    }

    fn each(&self, channel: Option<u64>, mut act: impl FnMut(&mut Channel)) {
        let mut platform = self.shared.platform();
        let channels = platform.teller.channels.all_mut();
        channels
            .filter(|it| channel.is_none_or(|number| it.number == number))
            .for_each(&mut act);
    }

    /// Deletes a channel as if another one had been made beyond the limit. Answers its number.
    pub fn evict(&self) -> Option<u64> {
        let mut platform = self.shared.platform();
        let Platform { teller, .. } = &mut *platform;
        teller.channels.evict(None, &mut teller.oracle)
    }

    /// Takes all tokens back: says so on every channel (`v2.system.token_revoked.…`), and deletes the
    /// channels.
    pub fn revoke_tokens(&self) {
        let mut platform = self.shared.platform();
        platform.tokens.revoke(None);
        let numbers: Vec<u64> = platform.teller.channels.all().map(|it| it.number).collect();
        for number in numbers {
            system(
                &mut platform,
                number,
                "token_revoked",
                "user_tokens_revoked",
            );
            let Platform { teller, .. } = &mut *platform;
            teller
                .channels
                .remove(number, Ending::Code(1000), &mut teller.oracle);
        }
    }

    /// Tells every channel that it is no longer subscribed (`v2.system.no_longer_subscribed.…`), and
    /// takes its topics away; the sockets stay.
    pub fn no_longer_subscribed(&self) {
        let mut platform = self.shared.platform();
        let numbers: Vec<u64> = platform.teller.channels.all().map(|it| it.number).collect();
        for number in numbers {
            system(
                &mut platform,
                number,
                "no_longer_subscribed",
                "another_channel_subscribed",
            );
            platform.teller.channels.set(number, Vec::new());
        }
    }

    /// Nothing happens in conversations until [`Self::resume`].
    pub fn pause(&self) {
        self.shared.platform().paused = true;
    }

    /// Goes on.
    pub fn resume(&self) {
        self.shared.platform().paused = false;
    }

    /// Goes on at another rate: steps a second, 0.01 to 50,000. Conversations open at once stay as
    /// many, so they get longer or shorter.
    ///
    /// # Errors
    /// When the rate is out of its range.
    pub fn set_rate(&self, rate: f64) -> io::Result<()> {
        let mut platform = self.shared.platform();
        let config = Config {
            rate,
            ..platform.config.clone()
        };
        config.check()?;
        platform.config.rate = rate;
        Ok(())
    }

    /// Numbers of the channels that have a socket.
    pub fn sockets(&self) -> Vec<u64> {
        let platform = self.shared.platform();
        let open = platform
            .teller
            .channels
            .all()
            .filter(|it| it.socket.is_some());
        open.map(|it| it.number).collect()
    }

    /// Changes what goes wrong; the life of sockets, of those opened from now on.
    ///
    /// # Errors
    /// When a share is not between 0 and 1.
    pub fn set_faults(&self, faults: Faults) -> io::Result<()> {
        faults.check()?;
        self.shared.platform().config.faults = faults;
        Ok(())
    }

    /// Figures since the start.
    pub fn counts(&self) -> Counts {
        let platform = self.shared.platform();
        let (mut waiting, mut channels) = (0, 0);
        for channel in platform.teller.channels.all() {
            channels += 1;
            waiting += channel.waiting();
        }
        Counts {
            waiting: waiting as u64,
            channels,
            conversations: platform.timeline.begun(),
            open: platform.timeline.open() as u64,
            sockets: platform.sockets,
            ..platform.teller.oracle.counts
        }
    }

    /// The last frames told, in the order in which their fates were known.
    pub fn oracle(&self) -> Vec<Told> {
        self.shared.platform().teller.oracle.told()
    }

    /// Posts a receipt to the webhook: what became of an outbound message (`Sent`, `Delivered`,
    /// `Failed`…), whatever was said of it before. False: there is no such message.
    pub fn receipt(&self, message: &str, status: &str, reason: Option<&str>) -> bool {
        let mut platform = self.shared.platform();
        let known = Uuid::parse(message).and_then(|id| platform.sent.get(&id).copied());
        let found = known.and_then(|id| platform.timeline.get(id));
        let Some(customer) = found.map(|it| it.customer.address.clone()) else {
            return false;
        };
        let receipt = Receipt {
            message: message.to_owned(),
            conversation: known.map(text).unwrap_or_default(),
            integration: platform.config.integration.id.clone(),
            customer,
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            outbound: true,
        };
        let body = receipt.body(&self.shared);
        outbound::post(&self.shared, &mut platform, message.to_owned(), body, None).is_ok()
    }

    /// The last messages that the platform took (200,000 at most), in order: also those whose senders
    /// were never told.
    pub fn messages(&self) -> Vec<Heard> {
        self.shared.platform().log.taken()
    }

    /// When each of the last calls came that wanted to send a message (200,000 at most), whatever came
    /// of it.
    pub fn tries(&self) -> Vec<Instant> {
        self.shared.platform().log.tried()
    }

    /// What becomes of the next calls that send a message, one after another; then chance decides again.
    pub fn plan_sends(&self, faults: impl IntoIterator<Item = SendFault>) {
        self.shared.platform().log.sends.extend(faults);
    }

    /// The same for calls that neither send a message nor log in.
    pub fn plan_others(&self, faults: impl IntoIterator<Item = SendFault>) {
        self.shared.platform().log.others.extend(faults);
    }

    /// Writes out what the files do not have yet.
    ///
    /// # Errors
    /// When something could not be written, now or before.
    pub fn flush_oracle(&self) -> io::Result<()> {
        let mut platform = self.shared.platform();
        let broken = platform.teller.flush();
        broken.map_or(Ok(()), |error| Err(io::Error::other(error)))
    }

    /// Simulated time.
    pub fn now(&self) -> Timestamp {
        timestamp(self.shared.clock.now())
    }

    /// Ids of the organisation's queues, in order.
    pub fn queues(&self) -> Vec<String> {
        let platform = self.shared.platform();
        (0..platform.config.queues)
            .map(|number| text(platform.org.queue(number)))
            .collect()
    }

    /// Ids of its agents, in order.
    pub fn users(&self) -> Vec<String> {
        let platform = self.shared.platform();
        (0..platform.config.users)
            .map(|number| text(platform.org.user(number)))
            .collect()
    }
}

/// A message of the service about a channel.
fn system(platform: &mut Platform, number: u64, kind: &str, reason: &str) {
    let correlation = text(platform.random.uuid());
    let organisation = text(platform.org.id());
    let clients = &platform.config.clients;
    let Some(channel) = platform.teller.channels.get_mut(number) else {
        return;
    };
    let client = &clients[channel.client].id;
    let body = json!({
        "topicName": format!("v2.system.{kind}.{client}"), "version": "2",
        "eventBody": {
            "channelId": channel.id, "systemTopicType": kind, "correlationId": correlation,
            "organizationId": organisation, "oauthClientId": client, "reason": reason,
            "message": reason.replace('_', " "), "data": {},
        },
        "metadata": {"CorrelationId": correlation},
    });
    channel.system(body.to_string());
}

//! Keeps one channel heard: connects it, reads it, watches over it, replaces it in time.
//!
//! One task for each channel. It always has at most one socket that it listens to (`current`), one
//! that goes out of use (`retiring`, read for a short while beside its successor, so that nothing
//! falls between the two), and one that is being opened.

mod subscribe;
mod waits;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::unconstrained;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::config::Protocol;
use super::memory::Grip;
use super::now;
use super::opening::{Context, Obstacle, On, Open, open, roll_after};
use super::queue::{Item, Missed};
use super::socket::{Heard, Socket};
use crate::failure::Failure;

use waits::{done, next, old, until, why};

/// A socket that has lived for so long was good: back-off begins anew after it.
const STEADY: Duration = Duration::from_secs(5);
/// For how long the old socket is read beside the new one.
const OVERLAP: Duration = Duration::from_secs(2);
/// For how long no channel at all may be open before the engine is told.
const DARK: Duration = Duration::from_secs(60);
/// Frames that are still taken from a socket that goes: more than its buffers hold.
const MOST_LEFT: usize = 100_000;
/// How often it is looked whether all is read.
const LOOK: Duration = Duration::from_secs(1);
/// How often the time is told at which a channel was last heard.
const TELL: Duration = Duration::from_secs(1);
/// In place of "never".
const FAR: Duration = Duration::from_secs(30 * 86_400);

/// The task of a channel.
pub(super) struct Keeper {
    context: Arc<Context>,
    number: u32,
    topics: watch::Receiver<Arc<Vec<String>>>,
    current: Option<Current>,
    retiring: Option<Retiring>,
    opening: Option<BoxFuture<'static, Result<Open, Obstacle>>>,
    /// When the next one may be opened, while one is wanted.
    next_try: Option<Instant>,
    subscribing: Option<BoxFuture<'static, Result<bool, Obstacle>>>,
    subscribe_at: Option<Instant>,
    /// To go on with, when the socket is lost but the channel is not.
    grip: Option<Grip>,
    /// Whether there was a channel, so that a new one replaces it.
    had: bool,
    attempts: u32,
    /// Since when nothing is heard, and why.
    deaf: Option<(i64, &'static str)>,
    told: Instant,
}

/// A socket that goes out of use.
struct Retiring {
    socket: Socket,
    grip: Option<Grip>,
    /// When it was last heard before its successor was opened, and when that was.
    heard: i64,
    opened: i64,
    /// Whether it was heard since. If not, it may have been dead for a while by then, and nobody else
    /// listened.
    alive: bool,
    /// When it is told goodbye; after that, when it is dropped.
    at: Instant,
    told: bool,
}

struct Current {
    socket: Socket,
    grip: Option<Grip>,
    opened: Instant,
    heard: Instant,
    /// Up to when all that was said is known to be heard, in microseconds since 1970: when nothing
    /// was left to be read, before the last word was. Later than that something may have been said,
    /// and lost behind a word that was read late.
    at: i64,
    /// When nothing was left to be read, the last time that it was looked.
    drained: i64,
    roll_at: Instant,
}

impl Keeper {
    /// `since` is when an earlier connection was last heard, and why it ended.
    pub fn new(
        context: Arc<Context>,
        number: u32,
        topics: watch::Receiver<Arc<Vec<String>>>,
        since: Option<(i64, &'static str)>,
    ) -> Self {
        let grip = context.memory.grip(number);
        Self {
            number,
            topics,
            current: None,
            retiring: None,
            opening: None,
            next_try: Some(Instant::now()),
            subscribing: None,
            subscribe_at: None,
            had: grip.is_some(),
            grip,
            attempts: 0,
            deaf: since,
            told: Instant::now(),
            context,
        }
    }

    /// Runs until it is ended from outside, or cannot go on.
    pub async fn run(mut self) {
        let mut pings = self.pings();
        let mut looks = self.looks();
        loop {
            self.look().await;
            let (silence, roll) = (self.silence(), self.roll());
            let retire = self.retiring.as_ref().map(|old| old.at);
            // No branch comes first: a busy socket must not keep its successor from being opened.
            tokio::select! {
                heard = next(&mut self.current) => self.hears(heard).await,
                heard = old(&mut self.retiring) => self.hears_old(heard).await,
                opened = done(&mut self.opening) => match opened {
                    Ok(open) => self.opened(open).await,
                    Err(obstacle) => self.hindered(obstacle).await,
                },
                answer = done(&mut self.subscribing) => self.subscribed(answer).await,
                () = until(self.next_try), if self.opening.is_none() => self.start(),
                () = until(self.subscribe_at), if self.may_subscribe() => self.subscribe(),
                Ok(()) = self.topics.changed() => self.subscribe_at = Some(Instant::now()),
                _ = pings.tick() => self.ping().await,
                _ = looks.tick() => {}
                () = until(silence) => self.silent().await,
                () = until(roll), if self.opening.is_none() => self.replace(),
                () = until(retire) => self.dismiss().await,
            }
        }
    }

    fn pings(&self) -> Interval {
        let mut pings = interval(self.context.config.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings
    }

    fn looks(&self) -> Interval {
        let timeout = self.context.config.heartbeat_timeout;
        let mut looks = interval(LOOK.min(timeout / 40).max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks
    }

    /// Takes what is there to be read, one word at a time; where nothing is, notes the time.
    async fn look(&mut self) {
        match unconstrained(next(&mut self.current)).now_or_never() {
            Some(heard) => self.hears(heard).await,
            None => {
                if let Some(current) = &mut self.current {
                    current.drained = now();
                }
            }
        }
    }

    async fn ping(&mut self) {
        if let Some(current) = &mut self.current {
            current.socket.ping().await;
        }
    }

    /// When the socket counts as dead.
    fn silence(&self) -> Option<Instant> {
        let timeout = self.context.config.heartbeat_timeout;
        self.current.as_ref().map(|current| current.heard + timeout)
    }

    fn roll(&self) -> Option<Instant> {
        let waits = self.next_try.is_some();
        self.current
            .as_ref()
            .filter(|_| !waits)
            .map(|current| current.roll_at)
    }

    /// Nothing was heard for too long; or this task could not listen for so long, and there is
    /// something to be heard now.
    async fn silent(&mut self) {
        match unconstrained(next(&mut self.current)).now_or_never() {
            Some(heard) => self.hears(heard).await,
            None => self.lost("silent", false).await,
        }
    }

    async fn hears(&mut self, heard: Heard) {
        let Some(current) = &mut self.current else {
            return;
        };
        if let Heard::Closed(code) = heard {
            // Not a sign of life: it may have been dead for a while.
            return self.lost(why(code), false).await;
        }
        current.heard = Instant::now();
        current.at = current.drained;
        if current.opened.elapsed() > STEADY {
            // It works: the next failure is another one.
            self.attempts = 0;
        }
        match heard {
            Heard::Closing => self.replace(),
            Heard::Unsubscribed => return self.lost("no_longer_subscribed", true).await,
            Heard::Revoked => {
                self.context.client.revoked();
                return self.lost("token_revoked", true).await;
            }
            Heard::Alive | Heard::Closed(_) => {}
            event => {
                if self.passes(event).await {
                    return self.lost("bad_frame", false).await;
                }
            }
        }
        if self.told.elapsed() >= TELL {
            self.tell_heard().await;
        }
    }

    async fn tell_heard(&mut self) {
        let Some(current) = &self.current else { return };
        let (channel, at) = (self.number, current.at);
        self.told = Instant::now();
        self.context.inlet.tell(Item::Heard { channel, at }).await;
    }

    /// Hands a frame to the engine; says whether the socket is broken after it.
    async fn passes(&mut self, heard: Heard) -> bool {
        let (channel, inlet) = (self.number, &self.context.inlet);
        let mut ends = false;
        match heard {
            Heard::Event(text) => inlet.frame(channel, text).await,
            Heard::Refused {
                reason,
                sample,
                length,
                broken,
            } => {
                ends = broken;
                let item = Item::Refused {
                    channel,
                    reason,
                    sample,
                    length,
                };
                inlet.tell(item).await;
            }
            _ => {}
        }
        // Waiting for the engine is no silence of the platform.
        if let Some(current) = &mut self.current {
            current.heard = Instant::now();
        }
        ends
    }

    async fn hears_old(&mut self, heard: Heard) {
        if let Some(old) = &mut self.retiring {
            // A close that says why comes behind everything else that was said.
            old.alive |= !matches!(heard, Heard::Closed(None));
        }
        match heard {
            Heard::Event(_) | Heard::Refused { broken: false, .. } => {
                self.passes(heard).await;
            }
            Heard::Closed(_) | Heard::Refused { .. } => self.retire().await,
            _ => {}
        }
    }

    /// The old socket is told goodbye. What was on its way is still read, until the other side
    /// answers.
    async fn dismiss(&mut self) {
        match &mut self.retiring {
            Some(old) if !old.told => {
                old.told = true;
                old.at = Instant::now() + OVERLAP;
                old.socket.goodbye().await;
            }
            _ => self.retire().await,
        }
    }

    /// The old socket goes, and its channel is kept for the next one that is needed.
    async fn retire(&mut self) {
        // What has arrived by now may have come to nobody else.
        for _ in 0..MOST_LEFT {
            match unconstrained(old(&mut self.retiring)).now_or_never() {
                None | Some(Heard::Closed(_) | Heard::Refused { broken: true, .. }) => break,
                Some(heard) => {
                    if let Some(old) = &mut self.retiring {
                        old.alive = true;
                    }
                    self.passes(heard).await;
                }
            }
        }
        let Some(Retiring {
            grip,
            heard,
            opened,
            alive,
            ..
        }) = self.retiring.take()
        else {
            return;
        };
        if !alive {
            self.missed(heard, opened, "silent").await;
        }
        // With a new socket on the same channel it is not the channel that goes.
        let ours = self.context.memory.grip(self.number);
        let is_ours = |old: &Grip| ours.as_ref().is_some_and(|it| it.channel == old.channel);
        if let Some(grip) = grip.filter(|old| !is_ours(old)) {
            self.context.maker.give_back(grip).await;
        }
    }

    /// The current socket is dead; with `gone` its channel too.
    async fn lost(&mut self, reason: &'static str, gone: bool) {
        let Some(current) = self.current.take() else {
            return;
        };
        let (source, channel) = (&self.context.node, self.number);
        self.attempts += 1;
        (self.subscribing, self.subscribe_at) = (None, None);
        let grip = current.grip.filter(|_| !gone);
        let old = self.retiring.take_if(|old| !old.told);
        if let Some(Retiring {
            socket,
            grip: old,
            heard,
            alive,
            ..
        }) = old
        {
            // The new one died young, and the old one still lives.
            tracing::info!(%source, channel, reason, "the new socket is lost; the old one stays");
            self.context.memory.hold(channel, old.clone());
            if let Some(grip) = grip.filter(|grip| old.as_ref() != Some(grip)) {
                self.context.maker.give_back(grip).await;
            }
            let (opened, roll_at) = (Instant::now(), Instant::now() + self.wait(None));
            // Of one that gave no sign of life it is not known that it has heard what followed.
            let at = if alive { current.at } else { heard };
            self.current = Some(Current {
                socket,
                grip: old,
                opened,
                heard: opened,
                at,
                drained: at,
                roll_at,
            });
            return;
        }
        tracing::info!(%source, channel, reason, "the socket is lost");
        self.deaf = Some((current.at, reason));
        self.context.board.open(channel, false);
        if gone {
            self.context.memory.hold(channel, None);
        }
        self.grip = grip;
        // The first try goes at once: what is lost is counted in seconds.
        let wait = if self.attempts <= 1 {
            Duration::ZERO
        } else {
            self.wait(None)
        };
        self.next_try.get_or_insert(Instant::now() + wait);
    }

    fn wait(&self, asked: Option<Duration>) -> Duration {
        self.context.config.backoff.wait(self.attempts, asked)
    }

    /// Begins to open a socket: in place of nothing, or of one that is still heard.
    fn start(&mut self) {
        self.next_try = None;
        let on = match self.grip.take() {
            Some(grip) => On::Old(grip),
            None => On::New(self.had),
        };
        let topics = self.topics.borrow().clone();
        let opening = open(self.context.clone(), self.number, topics, on);
        self.opening = Some(Box::pin(opening));
    }

    /// A successor is wanted, now.
    fn replace(&mut self) {
        if self.opening.is_none() {
            self.grip = None;
            self.start();
        }
    }

    async fn opened(&mut self, open: Open) {
        let at = now();
        let channel = self.number;
        if let Some((from, reason)) = self.deaf.take() {
            self.missed(from, at, reason).await;
        }
        let made = open.grip.as_ref().map_or(at, |grip| grip.made);
        let roll = match self.context.config.protocol {
            Protocol::Notifications => roll_after(&self.context.config, channel, made),
            Protocol::Events => FAR,
        };
        self.context.memory.hold(channel, open.grip.clone());
        self.had |= open.grip.is_some();
        let new = Current {
            socket: open.socket,
            grip: open.grip,
            opened: Instant::now(),
            heard: Instant::now(),
            at,
            drained: at,
            roll_at: Instant::now() + roll,
        };
        if let Some(mut old) = self.current.replace(new) {
            self.retire().await;
            old.socket.ping().await;
            self.retiring = Some(Retiring {
                socket: old.socket,
                grip: old.grip,
                heard: old.at,
                opened: at,
                alive: false,
                at: Instant::now() + OVERLAP,
                told: false,
            });
        }
        self.subscribing = None;
        self.next_try = None;
        // They may have changed meanwhile.
        let same = open.subscribed && Arc::ptr_eq(&open.topics, &self.topics.borrow());
        self.subscribe_at = (!same).then(Instant::now);
        self.context.board.full(channel, false);
        self.context.board.open(channel, true);
        self.tell_heard().await;
    }

    async fn missed(&mut self, from: i64, to: i64, reason: &'static str) {
        let missed = Missed {
            channel: self.number,
            from,
            // Clocks may be set back; a gap is never negative.
            to: to.max(from),
            told: None,
            reason,
        };
        self.context.inlet.tell(Item::Missed(missed)).await;
    }

    async fn hindered(&mut self, obstacle: Obstacle) {
        self.attempts += 1;
        let (source, channel) = (&self.context.node, self.number);
        let full = matches!(obstacle, Obstacle::Full);
        let (why, wait) = match obstacle {
            Obstacle::Full => match &self.current {
                // No room for a successor: the same channel lives on with a new socket.
                Some(current) if current.grip.is_some() => {
                    self.grip.clone_from(&current.grip);
                    self.context.board.full(channel, false);
                    ("no room for another channel".to_owned(), Duration::ZERO)
                }
                _ => (
                    "no room for a channel".to_owned(),
                    self.context.config.backoff.most,
                ),
            },
            Obstacle::Later(why, grip, asked) => {
                self.grip = grip;
                (why, self.wait(asked))
            }
            Obstacle::Fatal(failure) => {
                let why = failure.to_string();
                self.context.inlet.tell(Item::Failed(failure)).await;
                (why, self.context.config.backoff.most)
            }
        };
        tracing::info!(%source, channel, ?wait, attempt = self.attempts, "not connected: {why}");
        self.next_try = Some(Instant::now() + wait);
        if !full && self.context.board.dark() > DARK {
            let message = format!("no channel could be opened for a minute: {why}");
            let failure = Failure::disconnected("genesys_unreachable", message);
            self.context.inlet.tell(Item::Failed(failure)).await;
        }
    }
}

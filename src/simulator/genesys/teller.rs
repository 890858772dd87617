//! Tells each step of a conversation on every topic that it concerns and that somebody has, or had.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::bridge::Bridge;
use super::channel::Frame;
use super::channels::Channels;
use super::config::Config;
use super::conversation::{Before, Conversation, Participant};
use super::oracle::{Fate, Meta, Oracle, Shows};
use super::random::{Random, Uuid};
use super::script::Step;
use super::snapshot::{self, Family, Organisation, Twist};
use super::topic::INTERACTION;
use super::words::{Purpose, State};
use super::{detail, flat, interaction, write};

pub(super) struct Teller {
    pub(super) channels: Channels,
    pub(super) oracle: Oracle,
    bridge: Option<Bridge>,
    org: Organisation,
    random: Random,
    /// Reused from frame to frame.
    body: String,
    flat: String,
    topic: String,
}

/// What all frames of a step have in common.
struct Scene<'s> {
    conversation: Uuid,
    shows: Arc<Shows>,
    config: &'s Config,
    at: i64,
    wall: i64,
    fault: Option<&'static str>,
}

impl Teller {
    /// # Errors
    /// When a file cannot be created.
    pub(super) fn new(config: &Config, org: Organisation) -> io::Result<Self> {
        Ok(Self {
            channels: Channels::new(config.seed),
            oracle: Oracle::new(config.oracle.as_deref(), config.oracle_kept)?,
            bridge: config
                .eventbridge
                .as_deref()
                .map(|path| Bridge::new(path, config.seed))
                .transpose()?,
            org,
            random: Random::new(config.seed, 6),
            body: String::new(),
            flat: String::new(),
            topic: String::new(),
        })
    }

    /// Writes the files out. Answers what could not be written, now or before.
    pub(super) fn flush(&mut self) -> Option<String> {
        self.oracle.flush();
        let bridge = self
            .bridge
            .as_mut()
            .and_then(|it| it.flush().map(str::to_owned));
        self.oracle.broken.clone().or(bridge)
    }

    /// Tells a step: who was changed by it is marked `fresh`.
    pub(super) fn tell(&mut self, it: &mut Conversation, step: &Step, config: &Config, at: i64) {
        if !it.participants.iter().any(|one| one.fresh) {
            return;
        }
        let faults = &config.faults;
        let twist = Twist {
            unknown_enum: self.random.share(faults.unknown_enum),
            unknown_field: self.random.share(faults.unknown_field),
            missing: self.random.share(faults.missing_optional),
        };
        let shows = match self.oracle.listens() {
            true => snapshot::shows(it, twist),
            false => Shows::new(),
        };
        let scene = Scene {
            conversation: it.id,
            shows: Arc::new(shows),
            config,
            at,
            wall: Timestamp::now().as_microsecond(),
            fault: None,
        };
        self.snapshots(it, &scene, twist);
        self.flattened(it, &scene, twist);
        self.details(it, step, &scene);
        self.users(it, &scene);
        self.interactions(it, &scene);
    }

    fn snapshots(&mut self, it: &mut Conversation, scene: &Scene<'_>, twist: Twist) {
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        self.tell_queue_and_users(it, scene, "", &mut body, |body, it, org| {
            snapshot::conversation(body, it, org, Family::Event, twist);
        });
        let stale_share = scene.config.faults.stale_snapshot;
        if stale_share > 0.0 && !body.is_empty() {
            if let Some(mut before) = it.before.take()
                && self.random.share(stale_share)
            {
                let shows = Arc::clone(&before.shows);
                let stale = Scene {
                    shows,
                    fault: Some("stale"),
                    ..*scene
                };
                self.oracle.counts.stale += 1;
                self.tell_queue_and_users(it, &stale, "", &mut before.body, |_, _, _| {});
            }
            it.before = Some(Before {
                body: body.clone(),
                shows: Arc::clone(&scene.shows),
            });
        }
        self.body = body;
    }

    fn flattened(&mut self, it: &mut Conversation, scene: &Scene<'_>, twist: Twist) {
        let mut body = std::mem::take(&mut self.flat);
        body.clear();
        let suffix = it.media.spelling().event;
        self.tell_queue_and_users(it, scene, suffix, &mut body, |body, it, org| {
            flat::conversation(body, it, org, Family::Event, twist);
        });
        self.flat = body;
    }

    /// Tells the queue, and the agents who are there or have just left. The body is written when
    /// the first one turns out to be listening, and is the same for all.
    fn tell_queue_and_users(
        &mut self,
        it: &Conversation,
        scene: &Scene<'_>,
        suffix: &str,
        body: &mut String,
        render: impl Fn(&mut String, &Conversation, Organisation),
    ) {
        let mut once = |teller: &mut Self, prefix: &str, id: Uuid| {
            teller.topic.clear();
            teller.topic.push_str(prefix);
            write::uuid(&mut teller.topic, id);
            teller.topic.push_str(".conversations");
            if !suffix.is_empty() {
                teller.topic.push('.');
                teller.topic.push_str(suffix);
            }
            if teller.channels.listeners(&teller.topic).is_some() {
                if body.is_empty() {
                    render(body, it, teller.org);
                }
                teller.frame(scene, body);
            }
        };
        once(self, "v2.routing.queues.", self.org.queue(it.queue));
        for (at, one) in it.participants.iter().enumerate() {
            let Some(user) = one.user else { continue };
            let concerned = one.fresh || !one.state.is_over();
            // Who was asked twice is told once.
            let again = it.participants[..at].iter().any(|earlier| {
                earlier.user == Some(user) && (earlier.fresh || !earlier.state.is_over())
            });
            if concerned && !again {
                once(self, "v2.users.", self.org.user(user));
            }
        }
    }

    fn details(&mut self, it: &Conversation, step: &Step, scene: &Scene<'_>) {
        if self.channels.details == 0 && self.bridge.is_none() {
            return;
        }
        let mut body = String::new();
        for (happened, at) in step {
            let Some(one) = it.participants.get(*at) else {
                continue;
            };
            self.topic.clear();
            self.topic.push_str("v2.detail.events.conversation.");
            write::uuid(&mut self.topic, it.id);
            self.topic.push('.');
            self.topic.push_str(detail::suffix(*happened));
            let listens = self.channels.listeners(&self.topic).is_some();
            if !listens && self.bridge.is_none() {
                continue;
            }
            body.clear();
            detail::event(&mut body, *happened, it, one, self.org, scene.at);
            if let Some(bridge) = &mut self.bridge {
                bridge.event(detail::suffix(*happened), it.id, &body, self.org, scene.at);
            }
            if listens {
                // Such an event tells of one participant.
                let shows = Arc::new(vec![(one.id, one.session, one.state.word())]);
                self.frame(&Scene { shows, ..*scene }, &body);
            }
        }
    }

    /// Routing status and activity of agents who began or ended to talk.
    fn users(&mut self, it: &Conversation, scene: &Scene<'_>) {
        let scene = Scene {
            shows: Arc::default(),
            ..*scene
        };
        let agents = |one: &&Participant| one.fresh && one.purpose == Purpose::Agent;
        for one in it.participants.iter().filter(agents) {
            let Some(user) = one.user else { continue };
            let status = match one.state {
                State::Connected => "INTERACTING",
                state if state.is_over() => "IDLE",
                _ => continue,
            };
            for suffix in [".routingStatus", ".activity", ".presence"] {
                self.topic.clear();
                self.topic.push_str("v2.users.");
                write::uuid(&mut self.topic, self.org.user(user));
                self.topic.push_str(suffix);
                if self.channels.listeners(&self.topic).is_some() {
                    let body = interaction::user(suffix, self.org, user, status, scene.at);
                    self.frame(&scene, &body);
                }
            }
        }
    }

    /// The `events` protocol: a frame for each participant whose state is another one.
    fn interactions(&mut self, it: &mut Conversation, scene: &Scene<'_>) {
        if INTERACTION
            .iter()
            .all(|topic| self.channels.listeners(topic).is_none())
        {
            return;
        }
        for at in 0..it.participants.len() {
            let one = &mut it.participants[at];
            let before = one.told.replace(one.state);
            if before == Some(one.state) {
                continue;
            }
            let one = &it.participants[at];
            for kind in interaction::kinds(before, one.state) {
                let Some((topic, _)) = self.channels.listeners(kind) else {
                    continue;
                };
                let topic = Arc::clone(topic);
                let id = self.random.uuid();
                let text = interaction::event(kind, id, it, one, self.org, scene.at);
                let shows = Arc::new(vec![(one.id, one.session, one.state.word())]);
                self.send(&Scene { shows, ..*scene }, topic, text);
            }
        }
    }

    /// A notification on the topic in `self.topic`, which is known.
    fn frame(&mut self, scene: &Scene<'_>, body: &str) {
        let Some((topic, _)) = self.channels.listeners(&self.topic) else {
            return;
        };
        let topic = Arc::clone(topic);
        let mut text = String::with_capacity(body.len() + topic.len() + 120);
        text.push_str("{\"topicName\":\"");
        text.push_str(&topic);
        text.push_str("\",\"version\":\"2\",\"eventBody\":");
        text.push_str(body);
        text.push_str(",\"metadata\":{\"CorrelationId\":\"");
        write::uuid(&mut text, self.random.uuid());
        text.push('"');
        // The platform's frames have no time of their own, and the time of their arrival does for one.
        // Where the clock is not ours it does not, and frames say theirs.
        if scene.config.is_elsewhen() {
            text.push_str(",\"time\":\"");
            write::time(&mut text, scene.at);
            text.push('"');
        }
        text.push_str("}}");
        self.send(scene, topic, text);
    }

    fn send(&mut self, scene: &Scene<'_>, topic: Arc<str>, text: String) {
        self.oracle.counts.frames += 1;
        let meta = Arc::new(Meta {
            n: self.oracle.counts.frames,
            at: scene.at,
            wall: scene.wall,
            topic: Arc::clone(&topic),
            conversation: scene.conversation,
            shows: Arc::clone(&scene.shows),
        });
        let text = Utf8Bytes::from(text);
        let listeners = self
            .channels
            .listeners(&topic)
            .map_or_else(Vec::new, |it| it.1.to_vec());
        if listeners.is_empty() {
            self.oracle.note(&meta, 0, Fate::NoSocket, scene.fault);
        }
        let config = scene.config;
        for number in listeners {
            let Some(channel) = self.channels.get_mut(number) else {
                continue;
            };
            let frame = Frame {
                meta: Arc::clone(&meta),
                text: text.clone(),
                fault: scene.fault,
            };
            channel.tell(
                frame,
                &config.faults,
                &config.limits,
                &mut self.oracle,
                scene.at,
            );
        }
    }
}

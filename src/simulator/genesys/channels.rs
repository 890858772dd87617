//! All channels: who has which topic, who is evicted, what is due.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::channel::{Channel, Death, Ending, Entry, HEARTBEAT, Protocol, Socket, Warning};
use super::config::{Faults, Limits};
use super::oracle::Oracle;
use super::random::Random;

/// Topics remembered after the last subscription to them ended.
const MAX_KNOWN: usize = 50_000;

pub(super) struct Channels {
    by_number: BTreeMap<u64, Channel>,
    by_id: HashMap<String, u64>,
    /// Single topics and the numbers of the channels that have them. One without channels was
    /// subscribed to once: what is told on it meanwhile was missed by somebody.
    listeners: HashMap<Arc<str>, Vec<u64>>,
    /// How many of the topics are of single conversations; 0 saves looking for them.
    pub(super) details: usize,
    made: u64,
    uses: u64,
    random: Random,
}

impl Channels {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            by_number: BTreeMap::new(),
            by_id: HashMap::new(),
            listeners: HashMap::new(),
            details: 0,
            made: 0,
            uses: 0,
            random: Random::new(seed, 3),
        }
    }

    /// Makes a channel. One too many evicts: those without a socket first, among them the one whose
    /// use is oldest.
    pub(super) fn make(
        &mut self,
        (client, token): (usize, &str),
        protocol: Protocol,
        limits: &Limits,
        oracle: &mut Oracle,
        now: i64,
    ) -> &mut Channel {
        if protocol == Protocol::Notifications {
            while self.of_client(client).count() >= limits.channels.max(1) {
                self.evict(Some(client), oracle);
            }
        }
        self.made += 1;
        let number = self.made;
        let id = format!(
            "streaming-{}-{:016x}{:016x}",
            number % 8,
            self.random.next(),
            self.random.next()
        );
        self.uses += 1;
        let channel = Channel {
            number,
            id: id.clone(),
            client,
            token: token.to_owned(),
            protocol,
            expires: now + micros(limits.channel),
            used: now,
            use_order: self.uses,
            entries: Vec::new(),
            socket: None,
            warning: Warning::Due,
            random: Random::new(self.random.next(), number),
            held: Vec::new(),
        };
        self.by_id.insert(id, number);
        self.by_number.entry(number).or_insert(channel)
    }

    fn of_client(&self, client: usize) -> impl Iterator<Item = &Channel> {
        let notifications = |it: &&Channel| it.protocol == Protocol::Notifications;
        self.by_number
            .values()
            .filter(notifications)
            .filter(move |it| it.client == client)
    }

    /// Deletes the channel that the rule names, of a client or of all. Its listener is not told.
    pub(super) fn evict(&mut self, client: Option<usize>, oracle: &mut Oracle) -> Option<u64> {
        let all = self
            .by_number
            .values()
            .filter(|it| it.protocol == Protocol::Notifications);
        let candidates = all.filter(|it| client.is_none_or(|client| it.client == client));
        let number = candidates
            .min_by_key(|it| (it.socket.is_some(), it.use_order))?
            .number;
        oracle.counts.evicted += 1;
        self.remove(number, Ending::Abrupt, oracle);
        Some(number)
    }

    /// Deletes a channel.
    pub(super) fn remove(&mut self, number: u64, how: Ending, oracle: &mut Oracle) {
        self.set(number, Vec::new());
        if let Some(mut channel) = self.by_number.remove(&number) {
            channel.hang_up(how);
            channel.abandon(oracle);
            self.by_id.remove(&channel.id);
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<&Channel> {
        self.by_id
            .get(id)
            .and_then(|number| self.by_number.get(number))
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Channel> {
        self.by_number.get_mut(&number)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Channel> {
        self.by_number.values()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.by_number.values_mut()
    }

    /// Marks a channel as used.
    pub(super) fn touch(&mut self, number: u64, now: i64) {
        self.uses += 1;
        let uses = self.uses;
        if let Some(channel) = self.by_number.get_mut(&number) {
            channel.used = now;
            channel.use_order = uses;
        }
    }

    /// Gives a channel these topics instead of what it had.
    pub(super) fn set(&mut self, number: u64, entries: Vec<Entry>) {
        let Some(channel) = self.by_number.get_mut(&number) else {
            return;
        };
        let before = std::mem::replace(&mut channel.entries, entries);
        let now: Vec<String> = channel
            .entries
            .iter()
            .flat_map(|it| it.singles.iter().cloned())
            .collect();
        for topic in before.iter().flat_map(|it| &it.singles) {
            if let Some(listeners) = self.listeners.get_mut(topic.as_str())
                && let Some(at) = listeners.iter().position(|it| *it == number)
            {
                listeners.swap_remove(at);
                self.details -= usize::from(is_detail(topic));
            }
        }
        for topic in now {
            let detail = usize::from(is_detail(&topic));
            let listeners = self.listeners.entry(topic.into()).or_default();
            // A topic that comes twice, alone and combined, is told once.
            if !listeners.contains(&number) {
                listeners.push(number);
                self.details += detail;
            }
        }
        if self.listeners.len() > MAX_KNOWN {
            self.listeners.retain(|_, listeners| !listeners.is_empty());
        }
    }

    /// The topic and who has it; `None` when nobody ever had.
    pub(super) fn listeners(&self, topic: &str) -> Option<(&Arc<str>, &[u64])> {
        let (topic, listeners) = self.listeners.get_key_value(topic)?;
        Some((topic, listeners))
    }

    /// Gives a channel its socket. One that it had is closed: a channel has one.
    pub(super) fn attach(
        &mut self,
        number: u64,
        socket: Socket,
        faults: &Faults,
        limits: &Limits,
        now: i64,
    ) {
        self.touch(number, now);
        let Some(channel) = self.by_number.get_mut(&number) else {
            return;
        };
        channel.hang_up(Ending::Code(1000));
        let death = Death::draw(faults, &mut channel.random, now);
        let beat = now + micros(limits.heartbeat);
        channel.socket = Some(Socket {
            death,
            beat,
            heard: now,
            ..socket
        });
    }

    /// The socket's task has ended.
    pub(super) fn detach(&mut self, number: u64, socket: u64, oracle: &mut Oracle) {
        let Some(channel) = self.by_number.get_mut(&number) else {
            return;
        };
        if channel.socket.as_ref().is_some_and(|it| it.id == socket) {
            channel.socket = None;
        }
        if channel.protocol == Protocol::Events {
            self.remove(number, Ending::Abrupt, oracle);
        }
    }

    /// Does what is due: heartbeats, warnings, deaths, expiry, frames kept back.
    pub(super) fn tend(&mut self, faults: &Faults, limits: &Limits, oracle: &mut Oracle, now: i64) {
        let mut expired = Vec::new();
        for channel in self.by_number.values_mut() {
            channel.release(now, limits, oracle);
            if channel.protocol == Protocol::Notifications {
                // On a clock that runs fast both can be due at once.
                let warns = now >= channel.expires - micros(limits.warning);
                if warns && channel.warning == Warning::Due {
                    channel.warning = Warning::Given;
                    if !channel.random.share(faults.closing_unannounced) {
                        channel.warn();
                    }
                }
                if now >= channel.expires {
                    expired.push(channel.number);
                }
            }
            tend_socket(channel, faults, limits, now);
        }
        for number in expired {
            self.remove(number, Ending::Code(1000), oracle);
        }
    }
}

fn tend_socket(channel: &mut Channel, faults: &Faults, limits: &Limits, now: i64) {
    let Some(socket) = &mut channel.socket else {
        return;
    };
    let is_due = now >= socket.beat;
    if is_due {
        // A clock that runs fast can pass several; one is said.
        let beat = micros(limits.heartbeat).max(1);
        socket.beat += (now - socket.beat) / beat * beat + beat;
    }
    let idle = limits
        .idle
        .is_some_and(|idle| now - socket.heard > micros(idle));
    let mut warns = false;
    let mut dies = None;
    if let Some(death) = &mut socket.death {
        if death.how.is_none() && !death.warned && now >= death.at - micros(limits.warning) {
            death.warned = true;
            warns = !channel.random.share(faults.closing_unannounced);
        }
        if now >= death.at {
            dies = Some(death.how.unwrap_or(Ending::Code(1000)));
        }
    }
    if is_due && channel.protocol == Protocol::Notifications {
        channel.system(HEARTBEAT.to_owned());
    }
    if warns && channel.protocol == Protocol::Notifications {
        channel.warn();
    }
    if let Some(how) = dies.or(idle.then_some(Ending::Code(1001))) {
        channel.hang_up(how);
    }
}

fn is_detail(topic: &str) -> bool {
    topic.starts_with("v2.detail.events.conversation.")
}

/// A span on the simulated scale.
pub(super) fn micros(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4)
}

//! `genesys_normalize`: makes participant events, all of one shape, of what Genesys Cloud sends.
//!
//! ```yaml
//! participants:
//!   type: genesys_normalize
//!   inputs: [genesys]
//!   infer: true          # also the states that a snapshot's times prove
//!   others: drop         # what is not about a participant: drop, pass or reject
//!   include: []          # personal data: names, addresses, attributes
//!   drift: values        # what to count of what the platform does not document: values, fields, off
//! ```
//!
//! **Input.** Notifications (`{topicName, version, eventBody, metadata}`) about conversations of
//! users and queues (full snapshots), of one medium (the flattened shape) and detail events; the same
//! in envelopes of EventBridge; conversations as the REST API replies them (topic
//! `trunkline.conversation.reread`, or bare); and events that have the output's form already, which
//! are checked and go on as they are.
//!
//! **Output.**
//!
//! ```json
//! {"eventId":"9f…","eventType":"participant.state","timestamp":"2026-01-02T03:04:05.100Z",
//!  "data":{"interactionId":"…","participantId":"…","state":"connected","role":"agent",
//!          "mediaType":"call","direction":"inbound","queueId":"…","userId":"…","sessionId":"…",
//!          "held":false,"topic":"v2.users.{id}.conversations"}}
//! ```
//!
//! - One event for each communication of a participant in a snapshot; for a participant without any,
//!   one with its own times. `state`, `disconnectType`, `direction` and the like are spelled as in
//!   snapshots, whoever sent them (`NO_ANSWER_TRANSFER` is `transfer.noanswer`, `terminated` is
//!   `disconnected`); `mediaType` is `call`, `message`, `email`, `chat`, `callback`, `cobrowse`,
//!   `video`, `screenshare`, …; `role` is the purpose. What is not known stays absent; unknown words
//!   go on as they came.
//! - `timestamp` is the state's own time: when it was connected, held, parked, resumed, disconnected.
//!   States before that have none in most snapshots: then it is the alerting's or the participant's
//!   start where it is told, else the latest time in the snapshot, else the envelope's, and the time
//!   of arrival when there is none at all.
//! - `eventId` is a hash of the fact: conversation, participant, communication, state, the state's
//!   own time, held. A repeat, another topic, another channel, a snapshot that comes late and a
//!   re-read by REST give the same identifier: `dedup` by `.eventId` keeps one. The topics of one
//!   medium do not name the communication; they tell the first of that medium.
//! - With `infer`, a snapshot also yields the states that its times prove, with `inferred: true` and
//!   the identifier that they have when they are told. A lost snapshot then costs no more than what
//!   has no time (that it rang).
//! - Detail events: `customer.start`, `acd.start`, `flow.start`, `voicemail.start` are `connected`,
//!   `….end` is `disconnected`, `user.start` is `alerting` (`dialing` when outbound), `acw` and
//!   `wrapup` are themselves. A `user.end` with an interaction behind it also yields (`infer`) that
//!   it was connected. The others (`attributes`, `contact`, `outbound`, `flow.outcome`, and kinds that
//!   are new) have no `state`, and their `eventType` is `participant.attributes` and so on. `detail`
//!   names the kind.
//!
//! **Ledger.** Dropped: `not_a_participant_event`, `no_participants`, `no_state` (a snapshot that
//! tells no state at all). Rejected, to the dead letters: `missing_interaction_id`,
//! `missing_event_id`, `bad_timestamp`, `too_many_participants` (more than 500), `too_large`,
//! `bad_json`, and with `others: reject` `not_a_participant_event`.
//!
//! **Drift** is counted per kind: `call_state`, `disconnect_type`, `media_type`, `direction`,
//! `purpose`, `recording_state`, `acd_outcome`, `detail_kind`, `participant_id` (a participant without
//! one, which is left out), and with `drift: fields` also `field`.

mod about;

pub use about::ABOUT;

mod detail;
mod drift;
mod envelope;
mod facts;
mod identity;
mod record;
mod refusal;
mod snapshot;
mod spelling;

use std::sync::Arc;

use crate::event::{Batch, Event, Path};
use crate::failure::Failure;
use crate::observe::NodeMeter;
use crate::setting::{Fields, Shape, choice};
use crate::stage::{Applied, Transform};

use detail::Detail;
use drift::{Drift, Mode};
use envelope::{Frame, Told};
use record::Records;
use refusal::{Refusal, time_of};
use snapshot::Conversation;

/// Why an event is dropped, or rejected: not about a participant.
const OTHER: &str = "not_a_participant_event";
/// Why a snapshot is dropped: nobody is in it.
const NO_PARTICIPANTS: &str = "no_participants";
/// Why a snapshot is dropped: those who are in it are in no state.
const NO_STATE: &str = "no_state";

/// What a topic says behind its family.
type Media<'a> = Option<&'a str>;

/// The settings.
#[derive(Clone, Debug)]
pub struct Config {
    infer: bool,
    others: Others,
    include: Include,
    drift: Mode,
    paths: Paths,
}

/// What becomes of events that are not about a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    Drop,
    Pass,
    Reject,
}

/// Personal data that goes along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Include {
    names: bool,
    addresses: bool,
    attributes: bool,
}

/// What is read of every event.
#[derive(Clone, Debug)]
struct Paths {
    topic: Path,
    body: Path,
    detail: Path,
    detail_type: Path,
    time: Path,
    event_id: Path,
    timestamp: Path,
    data: Path,
    interaction: Path,
    participants: Path,
    told_at: Path,
}

impl Paths {
    fn new() -> Self {
        Self {
            topic: Path::of(["topicName"]),
            body: Path::of(["eventBody"]),
            detail: Path::of(["detail"]),
            detail_type: Path::of(["detail-type"]),
            time: Path::of(["time"]),
            event_id: Path::of(["eventId"]),
            timestamp: Path::of(["timestamp"]),
            data: Path::of(["data"]),
            interaction: Path::of(["data", "interactionId"]),
            participants: Path::of(["participants"]),
            told_at: Path::of(["metadata", "time"]),
        }
    }
}

impl Config {
    /// Reads `infer` (default true), `others` (`drop`, the default, `pass` or `reject`), `include`
    /// (a list of `names`, `addresses` and `attributes`; none of them by default) and `drift`
    /// (`values`, the default, `fields` or `off`).
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        let infer = fields.or("infer", true);
        let others = [
            ("drop", Others::Drop),
            ("pass", Others::Pass),
            ("reject", Others::Reject),
        ];
        let others = fields.choice("others", &others);
        let modes = [
            ("values", Mode::Values),
            ("fields", Mode::Fields),
            ("off", Mode::Off),
        ];
        let drift = fields.choice("drift", &modes);
        let words = [("names", 0), ("addresses", 1), ("attributes", 2)];
        fields.takes("include", || Shape::words(&words).list());
        let asked = fields.each("include", |node, report| choice(node, report, &words));
        Some(Self {
            infer,
            others: others.unwrap_or(Others::Drop),
            include: Include {
                names: asked.contains(&0),
                addresses: asked.contains(&1),
                attributes: asked.contains(&2),
            },
            drift: drift.unwrap_or(Mode::Values),
            paths: Paths::new(),
        })
    }

    /// Shows every path, to be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        let paths = &mut self.paths;
        visit(&mut paths.topic);
        visit(&mut paths.body);
        visit(&mut paths.detail);
        visit(&mut paths.detail_type);
        visit(&mut paths.time);
        visit(&mut paths.event_id);
        visit(&mut paths.timestamp);
        visit(&mut paths.data);
        visit(&mut paths.interaction);
        visit(&mut paths.participants);
        visit(&mut paths.told_at);
    }

    /// The transform itself; drift is counted at the meter.
    pub fn open(self, meter: NodeMeter) -> Normalize {
        let config = Arc::new(self);
        Normalize { config, meter }
    }
}

/// Makes participant events.
#[derive(Clone)]
pub struct Normalize {
    config: Arc<Config>,
    meter: NodeMeter,
}

/// What becomes of an event.
enum Outcome {
    /// It goes on as it is.
    Same,
    /// These go on in its place, at least one.
    Made(Vec<Event>),
    /// It is dropped, for this reason.
    Dropped(&'static str),
}

impl Transform for Normalize {
    async fn apply(&self, batch: Batch) -> Result<Applied, Failure> {
        let mut drift = Drift::new(self.config.drift);
        let mut applied = Applied::default();
        let mut made = Vec::with_capacity(batch.len());
        for event in batch.into_events() {
            match self.config.normalize(&event, &mut drift) {
                Ok(Outcome::Same) => made.push(event),
                Ok(Outcome::Made(events)) => {
                    applied.created += events.len() as u64 - 1;
                    made.extend(events);
                }
                Ok(Outcome::Dropped(reason)) => count(&mut applied.dropped, reason),
                Err(refusal) => applied.rejected.push(refusal.letter(event)),
            }
        }
        drift.report(&self.meter);
        applied.batch = made.into();
        Ok(applied)
    }
}

fn count(dropped: &mut Vec<(&'static str, u64)>, reason: &'static str) {
    match dropped.iter_mut().find(|(known, _)| *known == reason) {
        Some((_, count)) => *count += 1,
        None => dropped.push((reason, 1)),
    }
}

impl Config {
    fn normalize(&self, event: &Event, drift: &mut Drift) -> Result<Outcome, Refusal> {
        match Frame::of(event, &self.paths) {
            Frame::Snapshot(told) => self.snapshot(event, &told, drift),
            Frame::Detail(told) => self.detail(event, &told, drift),
            Frame::Canonical => self.canonical(event),
            Frame::Other => match self.others {
                Others::Drop => Ok(Outcome::Dropped(OTHER)),
                Others::Pass => Ok(Outcome::Same),
                Others::Reject => Err(Refusal::OTHER),
            },
        }
    }

    /// An event that has its form already, if it has what the rest of the pipeline lives on.
    fn canonical(&self, event: &Event) -> Result<Outcome, Refusal> {
        let is_there = |path| {
            let value = event.get(path).and_then(|value| value.as_plain());
            value.is_some_and(|text| !text.is_empty())
        };
        if !is_there(&self.paths.interaction) {
            return Err(Refusal::NO_INTERACTION);
        }
        if !is_there(&self.paths.event_id) {
            return Err(Refusal::NO_EVENT_ID);
        }
        let time = event.get(&self.paths.timestamp).map(time_of).transpose()?;
        match time.flatten() {
            Some(_) => Ok(Outcome::Same),
            None => Err(Refusal::BAD_TIME),
        }
    }

    fn detail(
        &self,
        event: &Event,
        told: &Told<'_>,
        drift: &mut Drift,
    ) -> Result<Outcome, Refusal> {
        let detail = Detail::read(told, drift)?;
        let mut records = Records::new(event.length() as usize, self.include, 2);
        if let Some(connected) = detail.connected.filter(|_| self.infer) {
            records.detail(&detail, told.family, Some(connected))?;
        }
        records.detail(&detail, told.family, None)?;
        finish(event, records)
    }

    fn snapshot(
        &self,
        event: &Event,
        told: &Told<'_>,
        drift: &mut Drift,
    ) -> Result<Outcome, Refusal> {
        let media = told.rest.as_deref();
        let conversation = Conversation::read(told.body, media, drift)?;
        if conversation.parties.is_empty() {
            return Ok(Outcome::Dropped(NO_PARTICIPANTS));
        }
        let mut facts = Vec::with_capacity(2 * conversation.parties.len());
        facts::of_conversation(&conversation, self.infer, drift, &mut facts);
        if facts.is_empty() {
            return Ok(Outcome::Dropped(NO_STATE));
        }
        let mut latest = None;
        let mut time = |fact: &facts::Fact<'_, '_>| match fact.own.or(fact.near) {
            Some(time) => time,
            None => *latest.get_or_insert_with(|| latest_of(event, told)),
        };
        let mut timed: Vec<_> = facts.iter().map(|fact| (time(fact), fact)).collect();
        // As it happened. What is of the same time stays as the snapshot has it.
        timed.sort_by_key(|(time, _)| *time);
        let mut records = Records::new(event.length() as usize, self.include, timed.len());
        for (time, fact) in timed {
            records.fact(&conversation, fact, (told.family, media), time)?;
        }
        finish(event, records)
    }
}

/// The events that one becomes. One alone is the event itself in another form.
fn finish(event: &Event, records: Records) -> Result<Outcome, Refusal> {
    let (text, places) = records.finish()?;
    let events = event.with_bodies(text, &places);
    let mut events = events.map_err(|_| Refusal::UNUSABLE)?;
    if events.len() > 1 {
        for (index, made) in events.iter_mut().enumerate() {
            made.origin = event.origin.part(index + 1);
        }
    }
    Ok(Outcome::Made(events))
}

/// How old a snapshot is at most, in milliseconds since 1970: the latest time in it; without any
/// that of its envelope, and that of its arrival when there is none at all.
fn latest_of(event: &Event, told: &Told<'_>) -> i64 {
    let envelope = || {
        let mut times = told.times.iter().flatten();
        times.find_map(|value| time_of(*value).ok().flatten())
    };
    let arrived = || event.provenance().received.max(0) / 1000;
    snapshot::latest(told.body)
        .or_else(envelope)
        .unwrap_or_else(arrived)
}

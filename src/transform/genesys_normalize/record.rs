//! Writing participant events: their bodies lie one after the other in one text.

use std::borrow::Cow;

use super::detail::Detail;
use super::facts::Fact;
use super::identity::Identity;
use super::refusal::Refusal;
use super::snapshot::{Addresses, Conversation};
use super::{Include, Media};
use crate::clock::format_timestamp;
use crate::event::{Value, write_json_str};

/// Most bytes that one event may become: so many for each of its own, and so many more. What is
/// included is repeated in each participant event.
const GROWTH: usize = 16;
const SPARE: usize = 1 << 20;

/// About what a body takes with identifiers as the platform has them, in bytes.
const USUAL: usize = 480;

/// The bodies that one event becomes.
pub(super) struct Records {
    text: Vec<u8>,
    places: Vec<(usize, usize)>,
    limit: usize,
    include: Include,
}

impl Records {
    /// For so many bodies out of an event of this length in bytes.
    pub(super) fn new(length: usize, include: Include, bodies: usize) -> Self {
        Self {
            text: Vec::with_capacity(bodies * USUAL),
            places: Vec::with_capacity(bodies),
            limit: length * GROWTH + SPARE,
            include,
        }
    }

    /// The text, and where in it the bodies lie.
    pub(super) fn finish(self) -> Result<(String, Vec<(usize, usize)>), Refusal> {
        let text = String::from_utf8(self.text).map_err(|_| Refusal::UNUSABLE)?;
        Ok((text, self.places))
    }

    /// Appends what a snapshot tells. `time` stands in for the state's own, in milliseconds.
    pub(super) fn fact(
        &mut self,
        conversation: &Conversation<'_>,
        fact: &Fact<'_, '_>,
        topic: (&str, Media<'_>),
        time: i64,
    ) -> Result<(), Refusal> {
        let (start, party, leg) = (self.text.len(), fact.party, fact.leg);
        let identity = fact.identity(&conversation.id);
        self.head(&identity, None, fact.own.unwrap_or(time));
        self.member("interactionId", &conversation.id);
        self.member("participantId", &party.id);
        self.member("state", &fact.state);
        self.some("role", &party.role);
        self.some("mediaType", &leg.media);
        self.some("direction", &leg.direction);
        self.copy("queueId", party.queue);
        self.copy("userId", party.user);
        let id = leg.id.and_then(|id| id.as_plain());
        self.some("sessionId", &id);
        self.flag("held", fact.held);
        if fact.state == "disconnected" {
            self.some("disconnectType", &leg.disconnect);
        }
        self.some("recordingState", &conversation.recording);
        if conversation.secure_pause {
            self.flag("securePause", true);
        }
        self.copy("utilizationLabelId", conversation.utilization);
        self.included(party.name, party.addresses, party.attributes);
        self.tail(fact.inferred, topic, start)
    }

    /// Appends a detail; or, `inferred`, the connection that its durations prove.
    pub(super) fn detail(
        &mut self,
        detail: &Detail<'_>,
        topic: &str,
        inferred: Option<i64>,
    ) -> Result<(), Refusal> {
        let start = self.text.len();
        let identity = detail.identity(inferred.is_some());
        let (state, time) = match inferred {
            Some(time) => (Some("connected"), time),
            None => (detail.state, detail.time),
        };
        let kind = Some(&*detail.kind).filter(|_| state.is_none());
        self.head(&identity, kind, time);
        self.member("interactionId", &detail.conversation);
        self.some("participantId", &detail.participant);
        self.some("state", &state.map(Cow::Borrowed));
        self.some("role", &detail.role.map(Cow::Borrowed));
        self.some("mediaType", &detail.media);
        self.some("direction", &detail.direction);
        self.copy("queueId", detail.queue);
        self.copy("userId", detail.user);
        self.some("sessionId", &detail.session);
        if inferred.is_none() {
            self.some("disconnectType", &detail.disconnect);
            self.some("outcome", &detail.outcome);
            self.copy("answeredUserId", detail.answered_by);
            self.copy("wrapupCode", detail.wrapup_code);
        }
        self.included(None, detail.addresses, detail.attributes);
        self.member("detail", &detail.kind);
        self.tail(inferred.is_some(), (topic, Some(&detail.kind)), start)
    }

    /// Begins a body: about a state, or something else of this kind.
    fn head(&mut self, identity: &Identity, kind: Option<&str>, time: i64) {
        self.raw(b"{\"eventId\":\"");
        self.raw(&identity.digits());
        self.raw(b"\",\"eventType\":");
        match kind {
            None => self.raw(b"\"participant.state\""),
            Some(kind) => write_json_str(&format!("participant.{kind}"), &mut self.text),
        }
        self.raw(b",\"timestamp\":\"");
        let time = format_timestamp(time.saturating_mul(1000));
        self.raw(time.as_bytes());
        self.raw(b"\",\"data\":{");
    }

    /// Ends a body that began at `start`.
    fn tail(
        &mut self,
        inferred: bool,
        (topic, rest): (&str, Media<'_>),
        start: usize,
    ) -> Result<(), Refusal> {
        if inferred {
            self.flag("inferred", true);
        }
        match rest {
            None => self.member("topic", topic),
            Some(rest) => self.member("topic", &format!("{topic}.{rest}")),
        }
        self.raw(b"}}");
        self.places.push((start, self.text.len()));
        match self.text.len() > self.limit {
            true => Err(Refusal::TOO_LARGE),
            false => Ok(()),
        }
    }

    fn included(
        &mut self,
        name: Option<Value<'_>>,
        addresses: Addresses<'_>,
        attributes: Option<Value<'_>>,
    ) {
        if self.include.names {
            self.copy("name", name);
        }
        if self.include.addresses {
            self.copy("address", addresses.address);
            self.copy("ani", addresses.ani);
            self.copy("dnis", addresses.dnis);
        }
        if self.include.attributes {
            self.copy("attributes", attributes);
        }
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    fn key(&mut self, name: &str) {
        if self.text.last() != Some(&b'{') {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.raw(name.as_bytes());
        self.raw(b"\":");
    }

    fn member(&mut self, name: &str, text: &str) {
        self.key(name);
        write_json_str(text, &mut self.text);
    }

    fn some(&mut self, name: &str, text: &Option<Cow<'_, str>>) {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            self.member(name, text);
        }
    }

    fn flag(&mut self, name: &str, flag: bool) {
        self.key(name);
        self.raw(if flag { b"true" } else { b"false" });
    }

    /// A value as it came.
    fn copy(&mut self, name: &str, value: Option<Value<'_>>) {
        if let Some(value) = value {
            self.key(name);
            value.write_json(&mut self.text);
        }
    }
}

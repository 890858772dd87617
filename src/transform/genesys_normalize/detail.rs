//! Detail events (`v2.detail.events.conversation.{id}.*`): one thing that happened, with its time.
//!
//! What they mean, as far as the platform's people have said it: `user.start` comes when an agent is
//! alerted, `user.end` also after a rejection or a requeue, so it is the end of that session and not
//! of the conversation. `acw` comes again when a message conversation is taken up again.

use std::borrow::Cow;

use super::drift::{self, Drift};
use super::envelope::Told;
use super::identity::Identity;
use super::refusal::{Refusal, time_of};
use super::snapshot::Addresses;
use super::spelling::{DIRECTIONS, DISCONNECTS, MEDIA, OUTCOMES};
use crate::event::{Kind, Value};

/// What a kind of detail says about its participant.
enum Says {
    /// The state.
    State(&'static str),
    /// A user was asked: alerted, or dialled for.
    Asked,
    /// Nothing about the state.
    Nothing,
}

/// The kinds, with the purpose of the participant where it follows.
const KINDS: &[(&str, Says, Option<&str>)] = &[
    ("acd.end", Says::State("disconnected"), Some("acd")),
    ("acd.start", Says::State("connected"), Some("acd")),
    ("acw", Says::State("acw"), Some("agent")),
    ("attributes", Says::Nothing, None),
    ("contact", Says::Nothing, None),
    (
        "customer.end",
        Says::State("disconnected"),
        Some("customer"),
    ),
    ("customer.start", Says::State("connected"), Some("customer")),
    ("flow.end", Says::State("disconnected"), None),
    ("flow.outcome", Says::Nothing, None),
    ("flow.start", Says::State("connected"), None),
    ("outbound", Says::Nothing, None),
    ("user.end", Says::State("disconnected"), None),
    ("user.start", Says::Asked, None),
    (
        "voicemail.end",
        Says::State("disconnected"),
        Some("voicemail"),
    ),
    (
        "voicemail.start",
        Says::State("connected"),
        Some("voicemail"),
    ),
    ("wrapup", Says::State("wrapup"), Some("agent")),
];

/// A detail event.
pub(super) struct Detail<'a> {
    pub kind: Cow<'a, str>,
    pub conversation: Cow<'a, str>,
    pub participant: Option<Cow<'a, str>>,
    pub session: Option<Cow<'a, str>>,
    pub state: Option<&'static str>,
    pub role: Option<&'static str>,
    /// Milliseconds since 1970.
    pub time: i64,
    /// When the session was connected, where its end proves that it was. Milliseconds since 1970.
    pub connected: Option<i64>,
    pub media: Option<Cow<'a, str>>,
    pub direction: Option<Cow<'a, str>>,
    pub disconnect: Option<Cow<'a, str>>,
    pub outcome: Option<Cow<'a, str>>,
    pub user: Option<Value<'a>>,
    pub queue: Option<Value<'a>>,
    pub answered_by: Option<Value<'a>>,
    pub wrapup_code: Option<Value<'a>>,
    pub addresses: Addresses<'a>,
    pub attributes: Option<Value<'a>>,
    flow: Option<Cow<'a, str>>,
    interacting: i64,
    held: i64,
}

impl<'a> Detail<'a> {
    /// Reads a detail.
    ///
    /// # Errors
    /// Without the conversation or the time.
    pub(super) fn read(told: &Told<'a>, drift: &mut Drift) -> Result<Self, Refusal> {
        let mut detail = Self::empty(told.rest.clone().unwrap_or_default());
        let mut time = None;
        for (name, value) in told.body.members() {
            match &*name {
                "eventTime" => time = time_of(value)?,
                _ => detail.take(&name, value, drift)?,
            }
        }
        drift.fields(told.body, drift::DETAIL);
        if detail.conversation.is_empty() {
            return Err(Refusal::NO_INTERACTION);
        }
        detail.time = time.ok_or(Refusal::BAD_TIME)?;
        detail.interpret(drift);
        Ok(detail)
    }

    fn empty(kind: Cow<'a, str>) -> Self {
        Self {
            kind,
            conversation: Cow::Borrowed(""),
            participant: None,
            session: None,
            state: None,
            role: None,
            time: 0,
            connected: None,
            media: None,
            direction: None,
            disconnect: None,
            outcome: None,
            user: None,
            queue: None,
            answered_by: None,
            wrapup_code: None,
            addresses: Addresses::default(),
            attributes: None,
            flow: None,
            interacting: 0,
            held: 0,
        }
    }

    fn take(&mut self, name: &str, value: Value<'a>, drift: &mut Drift) -> Result<(), Refusal> {
        let text = || value.as_str().filter(|text| !text.is_empty());
        let some = |value: Value<'a>| text().map(|_| value);
        match name {
            "conversationId" => self.conversation = value.as_plain().unwrap_or_default(),
            "participantId" => self.participant = value.as_plain(),
            "sessionId" => self.session = value.as_plain(),
            "mediaType" => self.media = text().map(|text| MEDIA.read(text, drift)),
            "direction" => self.direction = text().map(|text| DIRECTIONS.read(text, drift)),
            "disconnectType" => self.disconnect = text().map(|text| DISCONNECTS.read(text, drift)),
            "acdOutcome" => self.outcome = text().map(|text| OUTCOMES.read(text, drift)),
            "flowType" => self.flow = text(),
            "userId" => self.user = some(value),
            "queueId" => self.queue = some(value),
            "answeredUserId" => self.answered_by = some(value),
            "wrapupCode" => self.wrapup_code = some(value),
            "addressFrom" => self.addresses.address = some(value),
            "ani" => self.addresses.ani = some(value),
            "dnis" => self.addresses.dnis = some(value),
            "attributes" => self.attributes = Some(value).filter(|it| it.kind() == Kind::Object),
            "interactingDurationMs" => self.interacting = value.as_i64().unwrap_or(0),
            "heldDurationMs" => self.held = value.as_i64().unwrap_or(0),
            _ => {}
        }
        Ok(())
    }

    /// What the kind says.
    fn interpret(&mut self, drift: &mut Drift) {
        let Some((_, says, role)) = KINDS.iter().find(|(kind, ..)| *kind == self.kind) else {
            drift.value("detail_kind");
            return;
        };
        self.state = match says {
            Says::State(state) => Some(*state),
            Says::Asked if self.direction.as_deref() == Some("outbound") => Some("dialing"),
            Says::Asked => Some("alerting"),
            Says::Nothing => None,
        };
        self.role = role.or_else(|| self.inferred_role());
        if self.kind == "user.end" && self.interacting > 0 {
            let since = self.interacting.saturating_add(self.held.max(0));
            let at = self.time.saturating_sub(since);
            self.connected = Some(at).filter(|at| *at >= 0);
        }
    }

    fn inferred_role(&self) -> Option<&'static str> {
        if self.kind.starts_with("user.") {
            // On the platform, too, an agent is a user in front of a queue.
            return Some(if self.queue.is_some() {
                "agent"
            } else {
                "user"
            });
        }
        if !self.kind.starts_with("flow.") {
            return None;
        }
        let flow = self.flow.as_deref().unwrap_or_default();
        let is = |word: &str| {
            let mut windows = flow.as_bytes().windows(word.len());
            windows.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        };
        Some(match () {
            () if is("bot") => "botflow",
            () if is("call") || flow.is_empty() => "ivr",
            () => "workflow",
        })
    }

    /// What tells this event from every other. Events about attributes have no session, and there
    /// may be several of one time.
    pub(super) fn identity(&self, inferred: bool) -> Identity {
        let mut identity = Identity::of_detail();
        identity.text(&self.kind);
        identity.flag(inferred);
        identity.text(&self.conversation);
        identity.text(self.participant.as_deref().unwrap_or_default());
        identity.text(self.session.as_deref().unwrap_or_default());
        identity.time(Some(self.time));
        if let Some(attributes) = self.attributes.filter(|_| self.kind == "attributes") {
            identity.members(attributes);
        }
        identity
    }
}

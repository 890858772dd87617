//! Conversations as snapshots have them, in three shapes that are told apart by what is there:
//! participants with a list of communications for each medium (topics of users and queues, replies
//! of the REST API), participants that have the state themselves (topics of one medium), and
//! participants of whom only the times are known.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::drift::{self, Drift};
use super::refusal::{Refusal, time_of};
use super::spelling::{DIRECTIONS, DISCONNECTS, MEDIA, PURPOSES, RECORDINGS, Words};
use crate::event::{Kind, Value};

/// Most communications of one conversation, participants without any counted too.
const MAX_LEGS: usize = 500;

/// The lists of communications of a participant.
const LISTS: &[&str] = &[
    "calls",
    "callbacks",
    "chats",
    "cobrowsesessions",
    "emails",
    "internalMessages",
    "messages",
    "screenMonitorings",
    "screenshares",
    "socialExpressions",
    "videos",
];

/// A conversation.
pub(super) struct Conversation<'a> {
    pub id: Cow<'a, str>,
    pub recording: Option<Cow<'a, str>>,
    pub secure_pause: bool,
    pub utilization: Option<Value<'a>>,
    pub parties: Vec<Party<'a>>,
}

/// A participant.
#[derive(Default)]
pub(super) struct Party<'a> {
    pub id: Cow<'a, str>,
    pub role: Option<Cow<'a, str>>,
    pub user: Option<Value<'a>>,
    pub queue: Option<Value<'a>>,
    pub name: Option<Value<'a>>,
    pub addresses: Addresses<'a>,
    pub attributes: Option<Value<'a>>,
    /// What stands at the participant itself: its whole communication in the flattened shape.
    pub own: Leg<'a>,
    /// The communications, where they have lists of their own.
    pub legs: SmallVec<[Leg<'a>; 2]>,
}

/// Where somebody can be reached.
#[derive(Clone, Copy, Default)]
pub(super) struct Addresses<'a> {
    pub address: Option<Value<'a>>,
    pub ani: Option<Value<'a>>,
    pub dnis: Option<Value<'a>>,
}

/// A communication of a participant. Times are milliseconds since 1970.
#[derive(Default)]
pub(super) struct Leg<'a> {
    pub id: Option<Value<'a>>,
    pub media: Option<Cow<'a, str>>,
    /// The first of its medium, which is what the flattened shape tells.
    pub is_first: bool,
    pub state: Option<Value<'a>>,
    pub direction: Option<Cow<'a, str>>,
    pub disconnect: Option<Cow<'a, str>>,
    pub held: bool,
    pub opened: Option<i64>,
    pub connected: Option<i64>,
    pub on_hold: Option<i64>,
    pub parked: Option<i64>,
    pub resumed: Option<i64>,
    pub ended: Option<i64>,
}

impl<'a> Conversation<'a> {
    /// Reads a conversation; `media` is what a topic of one medium says.
    ///
    /// # Errors
    /// Without an identifier, with a time that is none, with too many communications.
    pub(super) fn read(
        body: Value<'a>,
        media: Option<&'a str>,
        drift: &mut Drift,
    ) -> Result<Self, Refusal> {
        let mut conversation = Self {
            id: Cow::Borrowed(""),
            recording: None,
            secure_pause: false,
            utilization: None,
            parties: Vec::new(),
        };
        let mut participants = None;
        for (name, value) in body.members() {
            match &*name {
                "id" => conversation.id = value.as_plain().unwrap_or_default(),
                "participants" => participants = Some(value),
                "recordingState" => {
                    conversation.recording = word(value, &RECORDINGS, drift);
                }
                "securePause" => conversation.secure_pause = value.as_bool() == Some(true),
                "utilizationLabelId" => conversation.utilization = text_value(value),
                _ => {}
            }
        }
        if conversation.id.is_empty() {
            return Err(Refusal::NO_INTERACTION);
        }
        drift.fields(body, drift::CONVERSATION);
        let mut room = MAX_LEGS;
        for value in participants.into_iter().flat_map(|list| list.elements()) {
            let party = Party::read(value, media, &mut room, drift)?;
            match party.id.is_empty() {
                // The others of the conversation must not suffer for it.
                true => drift.value("participant_id"),
                false => conversation.parties.push(party),
            }
        }
        Ok(conversation)
    }
}

impl<'a> Party<'a> {
    fn read(
        value: Value<'a>,
        media: Option<&'a str>,
        room: &mut usize,
        drift: &mut Drift,
    ) -> Result<Self, Refusal> {
        let mut party = Self::default();
        let mut lists: SmallVec<[(&'static str, Value<'a>); 2]> = SmallVec::new();
        for (name, value) in value.members() {
            match &*name {
                "id" => party.id = value.as_plain().unwrap_or_default(),
                "purpose" => party.role = word(value, &PURPOSES, drift),
                "userId" => party.user = text_value(value),
                "queueId" => party.queue = text_value(value),
                "user" => party.user = party.user.or_else(|| id_in(value)),
                "queue" => party.queue = party.queue.or_else(|| id_in(value)),
                "name" => party.name = text_value(value),
                "address" => party.addresses.address = text_value(value),
                "ani" => party.addresses.ani = text_value(value),
                "dnis" => party.addresses.dnis = text_value(value),
                "attributes" => {
                    party.attributes = Some(value).filter(|it| it.kind() == Kind::Object);
                }
                name if value.kind() == Kind::Array => {
                    let list = LISTS.iter().find(|list| **list == name);
                    lists.extend(list.map(|list| (*list, value)));
                }
                name => party.own.take(name, value, drift)?,
            }
        }
        drift.fields(value, drift::PARTICIPANT);
        party.own.is_first = true;
        // A participant with a state of its own is of the flattened shape: its `messages` are the
        // messages that were sent, and no communications.
        if party.own.state.is_some() || media.is_some() {
            party.own.media = media.map(|media| MEDIA.read(media.into(), drift));
        } else {
            for (list, value) in lists {
                party.take_legs(list, value, room, drift)?;
            }
        }
        if party.legs.is_empty() {
            *room = room.checked_sub(1).ok_or(Refusal::TOO_MANY)?;
        }
        Ok(party)
    }

    fn take_legs(
        &mut self,
        list: &'static str,
        legs: Value<'a>,
        room: &mut usize,
        drift: &mut Drift,
    ) -> Result<(), Refusal> {
        for (index, value) in legs.elements().enumerate() {
            *room = room.checked_sub(1).ok_or(Refusal::TOO_MANY)?;
            let mut leg = Leg {
                media: MEDIA.known(list).map(Cow::Borrowed),
                is_first: index == 0,
                ..Leg::default()
            };
            for (name, value) in value.members() {
                leg.take(&name, value, drift)?;
            }
            drift.fields(value, drift::COMMUNICATION);
            self.legs.push(leg);
        }
        Ok(())
    }
}

impl<'a> Leg<'a> {
    /// Takes a member of a communication, or of a participant that is its own communication.
    fn take(&mut self, name: &str, value: Value<'a>, drift: &mut Drift) -> Result<(), Refusal> {
        let place = match name {
            "connectedTime" => &mut self.connected,
            "startHoldTime" => &mut self.on_hold,
            "parkTime" => &mut self.parked,
            "resumeTime" => &mut self.resumed,
            "disconnectedTime" => &mut self.ended,
            // Where both are there they mean the same, up to the work that follows.
            "endTime" if self.ended.is_none() => &mut self.ended,
            // Only replies of the REST API and the flattened shape have these.
            "startAlertingTime" => &mut self.opened,
            "startTime" if self.opened.is_none() => &mut self.opened,
            "id" => {
                self.id = Some(value);
                return Ok(());
            }
            "state" => {
                self.state = text_value(value);
                return Ok(());
            }
            "direction" => {
                self.direction = word(value, &DIRECTIONS, drift);
                return Ok(());
            }
            "disconnectType" => {
                self.disconnect = word(value, &DISCONNECTS, drift);
                return Ok(());
            }
            "held" => {
                self.held = value.as_bool() == Some(true);
                return Ok(());
            }
            _ => return Ok(()),
        };
        *place = time_of(value)?;
        Ok(())
    }
}

/// A string that says something.
fn text_value(value: Value<'_>) -> Option<Value<'_>> {
    Some(value).filter(|it| it.as_str().is_some_and(|text| !text.is_empty()))
}

fn word<'a>(value: Value<'a>, words: &Words, drift: &mut Drift) -> Option<Cow<'a, str>> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(words.read(text, drift))
}

fn id_in(value: Value<'_>) -> Option<Value<'_>> {
    value.member("id").and_then(text_value)
}

/// Times of what has happened, wherever they stand in a conversation. What is planned (a callback)
/// is not among them.
const PAST: &[&str] = &[
    "connectedTime",
    "disconnectedTime",
    "endAcwTime",
    "endTime",
    "messageTime",
    "parkTime",
    "resumeTime",
    "startAcwTime",
    "startAlertingTime",
    "startHoldTime",
    "startTime",
];

/// The latest time in a snapshot, in milliseconds: the snapshot is not older than that.
pub(super) fn latest(value: Value<'_>) -> Option<i64> {
    match value.kind() {
        Kind::Array => value.elements().filter_map(latest).max(),
        Kind::Object => {
            let members = value.members().filter_map(|(name, value)| match &*name {
                // Of the customer's own making.
                "attributes" => None,
                name if PAST.contains(&name) => time_of(value).ok().flatten(),
                _ => latest(value),
            });
            members.max()
        }
        _ => None,
    }
}

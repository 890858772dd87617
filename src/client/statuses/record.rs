//! What is known of a message.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::genesys::Sent;
use crate::clock::Wall;

/// How far a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has heard of it.
    #[default]
    New,
    /// It is being sent, or was when the process died.
    Sending,
    /// It was tried, and is certainly not sent.
    Waiting,
    /// The platform has it.
    Sent,
    /// The platform will not have it as it is.
    Failed,
    /// It was tried, and nobody knows.
    Unknown,
    /// The platform had it, and a receipt says that the customer has it.
    Delivered,
    /// The platform had it, and a receipt says that the customer will not get it.
    Undelivered,
}

impl State {
    /// The word of a status event.
    pub fn word(self) -> &'static str {
        match self {
            Self::New | Self::Sending | Self::Waiting => "accepted",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed | Self::Undelivered => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the platform took the message, whatever became of it then.
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Sent | Self::Delivered | Self::Undelivered)
    }
}

/// What a receipt says of a message that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is further than it was.
    Ahead,
    /// As was known.
    Same,
    /// It was further already, or something else was final.
    Behind,
}

/// What is written down of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Record {
    /// How far it is.
    pub state: State,
    /// Tries so far.
    pub attempts: u32,
    /// When the state was last changed (RFC 3339).
    pub at: String,
    /// The message's own time: every try has the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The platform's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_message_id: Option<String>,
    /// The platform's conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of what was asked for over HTTP: a hash of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// It may have been sent before: the customer may have it twice.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// What its times are read from.
    #[serde(skip)]
    pub wall: Wall,
}

/// Whose status it is, as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ids<'a> {
    /// Its own id.
    pub message: Option<&'a str>,
    /// Who sends.
    pub tenant: Option<&'a str>,
    /// Through which organisation.
    pub organization: Option<&'a str>,
    /// In which conversation, where the platform does not say.
    pub conversation: Option<&'a str>,
}

impl<'a> Ids<'a> {
    /// Of a key such as `tenant/organization/message`.
    pub fn of(key: &'a str) -> Self {
        let mut parts = key.splitn(3, '/');
        Self {
            tenant: parts.next(),
            organization: parts.next(),
            message: parts.next(),
            conversation: None,
        }
    }
}

/// A time, as the platform writes times.
fn written(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// Now, as the platform writes times.
pub fn now() -> String {
    written(Timestamp::now())
}

impl Record {
    /// The same, dated by this clock.
    #[must_use]
    pub fn dated(self, wall: &Wall) -> Self {
        Self {
            wall: wall.clone(),
            ..self
        }
    }

    fn now(&self) -> String {
        written(self.wall.now())
    }

    /// The time of the message: what it says, else that of its first try.
    pub fn time_of(&mut self, said: Option<&str>) -> String {
        if let Some(said) = said {
            return said.to_owned();
        }
        let wall = &self.wall;
        self.time.get_or_insert_with(|| written(wall.now())).clone()
    }

    /// One more try.
    pub fn begin(&mut self) {
        self.state = State::Sending;
        self.attempts = self.attempts.saturating_add(1);
        self.at = self.now();
        self.reason = None;
    }

    /// A receipt came. Nothing ever goes back: `sent`, then one of `delivered` and `failed`, of which the
    /// first holds.
    pub fn receive(&mut self, state: State, reason: Option<String>) -> Progress {
        match (self.state, state) {
            (State::Sent, State::Delivered | State::Undelivered) => {
                self.state = state;
                self.at = self.now();
                self.reason = reason;
                Progress::Ahead
            }
            (known, told) if known == told => Progress::Same,
            _ => Progress::Behind,
        }
    }

    /// The status event: what is told of the message with these ids.
    pub fn told(&self, ids: &Ids<'_>) -> Value {
        let at = if self.at.is_empty() {
            self.now()
        } else {
            self.at.clone()
        };
        json!({
            "messageId": ids.message, "tenantId": ids.tenant, "organizationId": ids.organization,
            "status": self.state.word(), "time": at,
            "platformMessageId": self.platform_message_id,
            "conversationId": self.conversation_id.as_deref().or(ids.conversation),
            "reason": self.reason, "attempts": self.attempts, "repeated": self.repeated,
        })
    }

    /// The platform has it.
    pub fn sent(&mut self, sent: Sent) {
        self.state = State::Sent;
        self.at = self.now();
        self.platform_message_id = sent.message;
        self.conversation_id = sent.conversation;
    }
}

/// The records of messages under way: what may not be written down yet. The oldest goes when there
/// are too many.
pub struct Recent {
    most: usize,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    records: HashMap<String, Record>,
    order: VecDeque<String>,
}

impl Recent {
    /// Of at most so many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            all: Mutex::default(),
        }
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered of a message.
    pub fn get(&self, key: &str) -> Option<Record> {
        self.all().records.get(key).cloned()
    }

    /// Remembers it.
    pub fn put(&self, key: &str, record: &Record) {
        let mut all = self.all();
        if all.records.insert(key.to_owned(), record.clone()).is_none() {
            all.order.push_back(key.to_owned());
        }
        // Keys that were forgotten are still in the line: it is cleared of them as it grows.
        while all.order.len() > 2 * self.most || all.records.len() > self.most {
            let Some(oldest) = all.order.pop_front() else {
                return;
            };
            all.records.remove(&oldest);
        }
    }

    /// It is written down.
    pub fn forget(&self, key: &str) {
        let mut all = self.all();
        if all.records.remove(key).is_some() && all.records.is_empty() {
            all.order.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes() {
        let recent = Recent::new(3);
        for n in 0..10 {
            recent.put(&n.to_string(), &Record::default());
            recent.put("same", &Record::default());
        }
        assert_eq!(recent.all().records.len(), 3);
        assert!(recent.get("0").is_none() && recent.get("9").is_some());
        for n in 0..1_000 {
            recent.put(&n.to_string(), &Record::default());
            recent.forget(&n.to_string());
        }
        assert!(recent.all().order.len() <= 6);
    }

    #[test]
    fn receipts_go_ahead_and_never_back() {
        use State::{Delivered, Failed, Sending, Sent, Undelivered};
        let cases = [
            (Sent, Sent, Progress::Same, Sent),
            (Sent, Delivered, Progress::Ahead, Delivered),
            (Sent, Undelivered, Progress::Ahead, Undelivered),
            (Delivered, Delivered, Progress::Same, Delivered),
            (Delivered, Sent, Progress::Behind, Delivered),
            (Delivered, Undelivered, Progress::Behind, Delivered),
            (Undelivered, Delivered, Progress::Behind, Undelivered),
            (Undelivered, Sent, Progress::Behind, Undelivered),
            (Sending, Delivered, Progress::Behind, Sending),
            (Failed, Delivered, Progress::Behind, Failed),
        ];
        for (known, told, progress, left) in cases {
            let mut record = Record {
                state: known,
                ..Record::default()
            };
            let case = format!("{known:?} and a receipt of {told:?}");
            assert_eq!(record.receive(told, None), progress, "{case}");
            assert_eq!(record.state, left, "{case}");
        }
    }

    #[test]
    fn the_first_time_stays() {
        let mut record = Record::default();
        let first = record.time_of(None);
        assert_eq!(record.time_of(None), first);
        assert_eq!(
            record.time_of(Some("2026-01-02T03:04:05Z")),
            "2026-01-02T03:04:05Z"
        );
    }
}

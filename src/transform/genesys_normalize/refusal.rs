//! Why an event is not taken, and the reading of times, which is where most of it happens.

use crate::clock::{parse_epoch, parse_lenient};
use crate::event::{Event, Kind, Value};
use crate::stage::Letter;

/// Why an event is rejected: never with a value of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The word in the ledger and in the letter.
    pub reason: &'static str,
    /// For people.
    pub detail: &'static str,
}

impl Refusal {
    pub(super) const NO_INTERACTION: Self = Self {
        reason: "missing_interaction_id",
        detail: "the event does not say which conversation it is of",
    };
    pub(super) const NO_EVENT_ID: Self = Self {
        reason: "missing_event_id",
        detail: "an event of this form needs an `eventId`",
    };
    pub(super) const BAD_TIME: Self = Self {
        reason: "bad_timestamp",
        detail: "a time that is needed is missing, or is no time from 1970 on",
    };
    pub(super) const TOO_MANY: Self = Self {
        reason: "too_many_participants",
        detail: "more than 500 communications of participants in one conversation",
    };
    pub(super) const TOO_LARGE: Self = Self {
        reason: "too_large",
        detail: "the participant events of this one would be many times its size",
    };
    pub(super) const UNUSABLE: Self = Self {
        reason: "bad_json",
        detail: "what was to be included is nested too deep, or names a member twice",
    };
    pub(super) const OTHER: Self = Self {
        reason: super::OTHER,
        detail: "the event is not about a participant of a conversation",
    };

    pub(super) fn letter(self, event: Event) -> Letter {
        Letter::new(event, self.reason, self.detail)
    }
}

/// A time in milliseconds since 1970; none where there is no value.
///
/// # Errors
/// For what is there and is no time, or one before 1970: as a time of an event it would hold up
/// everything that is ordered by time.
pub(super) fn time_of(value: Value<'_>) -> Result<Option<i64>, Refusal> {
    if value.kind() == Kind::Null {
        return Ok(None);
    }
    let micros = match value.kind() {
        Kind::Text => value.as_str().and_then(|text| parse_lenient(&text)),
        Kind::Number => value.as_number().and_then(parse_epoch),
        _ => None,
    };
    match micros {
        Some(micros) if micros >= 0 => Ok(Some(micros / 1000)),
        _ => Err(Refusal::BAD_TIME),
    }
}

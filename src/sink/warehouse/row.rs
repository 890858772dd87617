//! From an event to a row: what the columns hold, checked, the same for every dialect.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::model::{
    AGENT_ID, DIRECTION, EVENT_ID, EVENT_TIMESTAMP, INPUTS, INTERACTION_ID, INTERACTION_TYPE, Kind,
    QUEUE_NAME, RECORDING_URL, STATE_NAME, WIDTH,
};
use super::refusal::Refusal;
use crate::clock::{parse_epoch, parse_timestamp};
use crate::event::{self, Event, Origin, Path, Value};

/// First and last millisecond of the years 1 to 9999: the times that every dialect can hold, and
/// that sort as text as they do as numbers.
pub(super) const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// What an event says for each column, as text. Empty text and null are nothing.
pub(super) struct Cells<'e> {
    pub origin: Origin,
    pub text: [Option<Cow<'e, str>>; WIDTH],
    /// Milliseconds since 1970, where the event has a time that can be read.
    pub time: Option<i64>,
    pub counter: i64,
}

impl Cells<'_> {
    /// Checks column by column, and answers the two that are no text: time and duration.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self) -> Result<(i64, Option<i32>), Refusal> {
        let mut duration = None;
        for (place, input) in INPUTS.iter().enumerate() {
            let cell = self.text[place].as_deref();
            match (input.kind, cell) {
                (_, None) if place == EVENT_ID => return Err(Refusal::MissingEventId),
                (_, None) if place == INTERACTION_ID => return Err(Refusal::MissingInteractionId),
                (Kind::Timestamp, _) if self.time.is_none() => return Err(Refusal::BadTimestamp),
                (Kind::Text(most), Some(cell)) if is_longer(cell, most) => {
                    return Err(Refusal::TooLong(place));
                }
                (Kind::Integer, Some(cell)) => {
                    let number = cell.parse().map_err(|_| Refusal::WrongType(place))?;
                    duration = Some(number);
                }
                _ => {}
            }
        }
        Ok((self.time.ok_or(Refusal::BadTimestamp)?, duration))
    }
}

/// Reads the cells.
///
/// # Errors
/// When a value is of a kind that its column cannot take, which its text would no longer show.
pub(super) fn read<'e>(paths: &[Path; WIDTH], event: &'e Event) -> Result<Cells<'e>, Refusal> {
    let mut text = [const { None }; WIDTH];
    let mut time = event.time;
    for (place, path) in paths.iter().enumerate() {
        let known = place == EVENT_TIMESTAMP && time.is_some();
        let Some(value) = (!known).then(|| event.get(path)).flatten() else {
            continue;
        };
        match INPUTS[place].kind {
            Kind::Timestamp => (time, text[place]) = timestamp(value)?,
            Kind::Integer => text[place] = integer(value, place)?,
            _ => text[place] = plain(value, place)?,
        }
    }
    Ok(Cells {
        origin: event.origin,
        text,
        time: time
            .map(|micros| micros.div_euclid(1000))
            .filter(|ms| TIMES.contains(ms)),
        // Beyond what the column holds there is nothing to tell apart any more.
        counter: i64::try_from(event.counter).unwrap_or(i64::MAX),
    })
}

fn plain(value: Value<'_>, place: usize) -> Result<Option<Cow<'_, str>>, Refusal> {
    match value.kind() {
        event::Kind::Null => Ok(None),
        event::Kind::Text => {
            let text = value.as_str().filter(|text| !text.is_empty());
            // Some databases end text at a zero character, others refuse it.
            let zero = text.as_ref().is_some_and(|text| text.contains('\0'));
            if zero {
                Err(Refusal::WrongType(place))
            } else {
                Ok(text)
            }
        }
        _ => Err(Refusal::WrongType(place)),
    }
}

fn integer(value: Value<'_>, place: usize) -> Result<Option<Cow<'_, str>>, Refusal> {
    match value.kind() {
        event::Kind::Null => Ok(None),
        event::Kind::Number => Ok(Some(match value.as_i64() {
            Some(number) => Cow::Owned(number.to_string()),
            None => value.as_plain().unwrap_or_default(),
        })),
        event::Kind::Text if value.as_str().is_some_and(|text| text.is_empty()) => Ok(None),
        _ => Err(Refusal::WrongType(place)),
    }
}

type Time<'e> = (Option<i64>, Option<Cow<'e, str>>);

/// RFC 3339 text, or a number since 1970.
fn timestamp(value: Value<'_>) -> Result<Time<'_>, Refusal> {
    let read = match value.kind() {
        event::Kind::Number => value.as_plain().and_then(|text| parse_epoch(&text)),
        _ => value.as_str().and_then(|text| parse_timestamp(&text)),
    };
    if read.is_some() {
        return Ok((read, None));
    }
    match plain(value, EVENT_TIMESTAMP) {
        Ok(text) => Ok((None, text)),
        Err(_) => Err(Refusal::BadTimestamp),
    }
}

/// A row that every dialect can hold.
pub(super) struct Row<'e> {
    pub origin: Origin,
    text: [Option<Cow<'e, str>>; WIDTH],
    /// Milliseconds since 1970, within the years 1 to 9999.
    pub time: i64,
    pub counter: i64,
    pub duration: Option<i32>,
}

impl<'e> Row<'e> {
    /// Checks the cells, column by column.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(cells: Cells<'e>) -> Result<Self, Refusal> {
        let (time, duration) = cells.verify()?;
        Ok(Self {
            origin: cells.origin,
            text: cells.text,
            time,
            counter: cells.counter,
            duration,
        })
    }

    /// A column's text, if it has any.
    pub fn text(&self, place: usize) -> Option<&str> {
        self.text[place].as_deref()
    }

    /// The key. Never empty: [`Row::check`] saw to it.
    pub fn event_id(&self) -> &str {
        self.text(EVENT_ID).unwrap_or_default()
    }

    /// Which of two rows of one event is the newer one: the order of the facts' guard.
    pub fn order(&self, other: &Self) -> Ordering {
        let texts = |row: &'_ Self, places: &[usize]| -> Ordering {
            places
                .iter()
                .map(|place| row.text(*place).cmp(&other.text(*place)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        };
        (self.time, self.counter)
            .cmp(&(other.time, other.counter))
            .then_with(|| {
                let first = [INTERACTION_ID, INTERACTION_TYPE, DIRECTION, STATE_NAME];
                texts(self, &first)
            })
            .then_with(|| self.duration.cmp(&other.duration))
            .then_with(|| texts(self, &[QUEUE_NAME, AGENT_ID]))
    }

    /// The same for the recordings' guard.
    pub fn recording_order(&self, other: &Self) -> Ordering {
        let key = |row: &Self| (row.time, row.counter);
        key(self)
            .cmp(&key(other))
            .then_with(|| self.text(INTERACTION_ID).cmp(&other.text(INTERACTION_ID)))
            .then_with(|| self.text(RECORDING_URL).cmp(&other.text(RECORDING_URL)))
    }
}

/// A length counts characters, as the standard has it; bytes are never fewer.
fn is_longer(text: &str, most: usize) -> bool {
    text.len() > most && text.chars().count() > most
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::config::default_paths;
    use super::*;
    use crate::event::{PathSet, Provenance};

    fn event(json: &str) -> Event {
        let (set, from) = (
            Arc::new(PathSet::default()),
            Arc::new(Provenance::default()),
        );
        Event::parse(json.to_owned(), &set, &from).unwrap()
    }

    fn refusal(json: &str) -> Option<(&'static str, String)> {
        let event = event(json);
        let cells = read(&default_paths(), &event);
        let refusal = cells.and_then(Row::check).err()?;
        Some((refusal.reason(), refusal.message()))
    }

    const GOOD: &str = r#""event_id":"e","interaction_id":"i","timestamp":"2026-01-02T03:04:05Z""#;

    #[test]
    fn takes_what_it_should_and_empties_what_is_empty() {
        let event = event(&format!(
            r#"{{{GOOD},"type":"","state":null,"duration_seconds":12.0,"queue_name":"Ä"}}"#
        ));
        let row = read(&default_paths(), &event)
            .and_then(Row::check)
            .ok()
            .unwrap();
        assert_eq!((row.event_id(), row.time), ("e", 1_767_323_045_000));
        assert_eq!(row.text(INTERACTION_TYPE), None);
        assert_eq!((row.duration, row.text(QUEUE_NAME)), (Some(12), Some("Ä")));
    }

    #[test]
    fn the_events_own_time_comes_first_and_is_cut_to_milliseconds() {
        let mut event = event(r#"{"event_id":"e","interaction_id":"i","timestamp":"never"}"#);
        event.time = Some(-1);
        let row = read(&default_paths(), &event)
            .and_then(Row::check)
            .ok()
            .unwrap();
        assert_eq!(row.time, -1);
    }

    #[test]
    fn refuses_with_the_reason() {
        let long = "x".repeat(256);
        let fits = "é".repeat(255);
        for (json, reason) in [
            (format!(r#"{{{GOOD}}}"#), None),
            (format!(r#"{{{GOOD},"queue_name":"{fits}"}}"#), None),
            (r#"{"interaction_id":"i"}"#.into(), Some("missing_event_id")),
            (
                r#"{"event_id":"e","interaction_id":""}"#.into(),
                Some("missing_interaction_id"),
            ),
            (
                r#"{"event_id":"e","interaction_id":"i"}"#.into(),
                Some("bad_timestamp"),
            ),
            (
                r#"{"event_id":"e","interaction_id":"i","timestamp":"yesterday"}"#.into(),
                Some("bad_timestamp"),
            ),
            (
                r#"{"event_id":"e","interaction_id":"i","timestamp":true}"#.into(),
                Some("bad_timestamp"),
            ),
            (
                format!(r#"{{{GOOD},"agent_id":"{long}"}}"#),
                Some("value_too_long"),
            ),
            (format!(r#"{{{GOOD},"agent_id":5}}"#), Some("wrong_type")),
            (
                format!(r#"{{{GOOD},"agent_id":"a\u0000b"}}"#),
                Some("wrong_type"),
            ),
            (
                format!(r#"{{{GOOD},"duration_seconds":"345"}}"#),
                Some("wrong_type"),
            ),
            (
                format!(r#"{{{GOOD},"duration_seconds":1.5}}"#),
                Some("wrong_type"),
            ),
            (
                format!(r#"{{{GOOD},"duration_seconds":3000000000}}"#),
                Some("wrong_type"),
            ),
            (
                format!(r#"{{{GOOD},"duration_seconds":1e400}}"#),
                Some("wrong_type"),
            ),
        ] {
            assert_eq!(refusal(&json).map(|(reason, _)| reason), reason, "{json}");
        }
        let (_, message) = refusal(&format!(r#"{{{GOOD},"agent_id":"{long}"}}"#)).unwrap();
        assert!(message.contains("`agent_id`") && !message.contains(&long));
    }
}

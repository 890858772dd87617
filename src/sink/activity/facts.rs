//! What an event says about its conversation.

use std::borrow::Cow;
use std::hash::Hasher;

use siphasher::sip::SipHasher13 as Sip64;
use siphasher::sip128::{Hasher128, SipHasher13 as Sip128};

use super::config::Config;
use crate::clock::{parse_epoch, parse_lenient};
use crate::event::{Event, Kind, Origin, Path, Value};

/// Bytes of an id or a state: longer ones are none.
const LONGEST: usize = 256;
/// How far ahead of the clock a time may lie: clocks differ, and simulated ones run fast, but one
/// of another unit would push real days out of the heatmap.
const AHEAD_SECONDS: i64 = 31 * 86_400;

/// What a state does to a conversation. Of two states of one time, the greater counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// Neither opens nor closes: what was before stands.
    Neutral,
    Opens,
    Closes,
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Fact<'e> {
    /// Stands for the conversation's id.
    pub key: u128,
    pub interaction: Cow<'e, str>,
    /// Empty: the conversation as a whole.
    pub participant: Cow<'e, str>,
    /// Empty: none was told.
    pub state: Cow<'e, str>,
    pub turn: Turn,
    /// Microseconds since 1970.
    pub time: i64,
    /// The same for an event and its repeats.
    pub identity: u64,
    pub origin: Origin,
}

impl Fact<'_> {
    /// Minutes since 1970.
    pub fn minute(&self) -> u32 {
        // The reader lets no other times through.
        u32::try_from(self.time / 60_000_000).unwrap_or_default()
    }
}

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    MissingInteraction,
    BadTimestamp,
    BadValue,
    /// Its conversation has more events than are remembered of one.
    TooMany,
}

impl Refusal {
    /// Stable word for the dead letters.
    pub fn reason(self) -> &'static str {
        match self {
            Self::MissingInteraction => "missing_interaction_id",
            Self::BadTimestamp => "bad_timestamp",
            Self::BadValue => "bad_activity",
            Self::TooMany => "too_many_events",
        }
    }

    /// For people.
    pub fn message(self) -> &'static str {
        match self {
            Self::MissingInteraction => "the event has no interaction to count it for",
            Self::BadTimestamp => "the event's time is missing, no point in time, or far ahead",
            Self::BadValue => "an id or the state of the event is longer than 256 bytes",
            Self::TooMany => "the interaction has more events than are remembered of one",
        }
    }
}

/// Hashes under the store's own key, so that rows and memory name no conversation by its id.
#[derive(Clone)]
pub(super) struct Hashes {
    long: Sip128,
    short: Sip64,
}

impl Hashes {
    pub fn new(seed: [u8; 16]) -> Self {
        Self {
            long: Sip128::new_with_key(&seed),
            short: Sip64::new_with_key(&seed.map(|byte| byte ^ 0x36)),
        }
    }

    pub fn conversation(&self, id: &str) -> u128 {
        let mut hasher = self.long;
        hasher.write(id.as_bytes());
        hasher.finish128().into()
    }

    /// `id` alone where there is one; else what was said, of whom and when.
    fn identity(&self, id: Option<&str>, participant: &str, state: &str, time: i64) -> u64 {
        let mut hasher = self.short;
        match id {
            Some(id) => {
                hasher.write_u8(1);
                hasher.write(id.as_bytes());
            }
            None => {
                hasher.write_u8(2);
                hasher.write_i64(time);
                hasher.write_u64(participant.len() as u64);
                hasher.write(participant.as_bytes());
                hasher.write(state.as_bytes());
            }
        }
        hasher.finish()
    }
}

/// Reads events by the configuration.
pub(super) struct Reader {
    config: Config,
    hashes: Hashes,
}

impl Reader {
    pub fn new(config: Config, hashes: Hashes) -> Self {
        Self { config, hashes }
    }

    /// Reads an event; `now` in milliseconds since 1970.
    pub fn read<'e>(&self, event: &'e Event, now: u64) -> Result<Fact<'e>, Refusal> {
        let config = &self.config;
        let interaction = text(event, &config.interaction)?;
        if interaction.is_empty() {
            return Err(Refusal::MissingInteraction);
        }
        let time = event.get(&config.time).and_then(time_of);
        let latest = (now / 1000).cast_signed().saturating_add(AHEAD_SECONDS);
        let well = |time: &i64| (0..=latest.saturating_mul(1_000_000)).contains(time);
        let time = time.filter(well).ok_or(Refusal::BadTimestamp)?;
        let participant = text(event, &config.participant)?;
        let state = text(event, &config.state)?;
        // An id may be anything: it is hashed and not kept.
        let id = event.get(&config.id).and_then(|value| value.as_plain());
        let id = id.as_deref().filter(|id| !id.is_empty());
        Ok(Fact {
            key: self.hashes.conversation(&interaction),
            turn: self.turn(&state),
            identity: self.hashes.identity(id, &participant, &state, time),
            interaction,
            participant,
            state,
            time,
            origin: event.origin,
        })
    }

    fn turn(&self, state: &str) -> Turn {
        let among = |words: &[String]| words.iter().any(|word| word.eq_ignore_ascii_case(state));
        match () {
            () if among(&self.config.close) => Turn::Closes,
            () if among(&self.config.open) => Turn::Opens,
            () => Turn::Neutral,
        }
    }
}

/// A scalar as text, empty where there is none.
fn text<'e>(event: &'e Event, path: &Path) -> Result<Cow<'e, str>, Refusal> {
    let text = event.get(path).and_then(|value| value.as_plain());
    let text = text.unwrap_or_default();
    if text.len() > LONGEST {
        return Err(Refusal::BadValue);
    }
    Ok(text)
}

fn time_of(value: Value<'_>) -> Option<i64> {
    match value.kind() {
        Kind::Text => parse_lenient(&value.as_str()?),
        Kind::Number => parse_epoch(value.as_number()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::defaults;
    use super::*;

    const NOW: u64 = 1_795_000_000_000;

    fn read(json: &str) -> Result<(Turn, u128, u64, i64), Refusal> {
        let event = Event::parse(json.into(), &Default::default(), &Default::default()).unwrap();
        let reader = Reader::new(defaults(), Hashes::new([7; 16]));
        let fact = reader.read(&event, NOW)?;
        Ok((fact.turn, fact.key, fact.identity, fact.time))
    }

    fn told(time: &str, id: &str, state: &str) -> String {
        format!(
            r#"{{{id}"timestamp":{time},"data":{{"interactionId":"i","participantId":"p","state":"{state}"}}}}"#
        )
    }

    #[test]
    fn states_turn_and_events_are_told_apart() {
        let at = "\"2026-11-01T10:00:00Z\"";
        let first = read(&told(at, "\"eventId\":\"e1\",", "Connected")).unwrap();
        assert_eq!(first.0, Turn::Opens);
        assert_eq!(read(&told(at, "", "TERMINATED")).unwrap().0, Turn::Closes);
        assert_eq!(read(&told(at, "", "held")).unwrap().0, Turn::Neutral);
        let other = read(&told(at, "\"eventId\":\"e2\",", "connected")).unwrap();
        assert_eq!(first.1, other.1, "one conversation");
        assert_ne!(first.2, other.2, "two events");
        // Without an id the same fact told with another offset is the same event.
        let a = read(&told(at, "", "connected")).unwrap();
        let b = read(&told("\"2026-11-01T11:00:00+01:00\"", "", "connected")).unwrap();
        assert_eq!(a, b);
        assert_ne!(a.2, read(&told(at, "", "held")).unwrap().2);
        assert_eq!(read(&told("1793527200000", "", "connected")).unwrap(), a);
    }

    #[test]
    fn what_cannot_be_counted_is_refused_with_its_reason() {
        let long = "x".repeat(257);
        let cases = [
            (
                r#"{"timestamp":"2026-11-01T10:00:00Z"}"#.to_owned(),
                Refusal::MissingInteraction,
            ),
            (
                r#"{"data":{"interactionId":"i"}}"#.to_owned(),
                Refusal::BadTimestamp,
            ),
            (
                told("\"yesterday\"", "", "connected"),
                Refusal::BadTimestamp,
            ),
            (
                told("\"1960-01-01T00:00:00Z\"", "", "connected"),
                Refusal::BadTimestamp,
            ),
            (
                told("\"2036-11-01T10:00:00Z\"", "", "connected"),
                Refusal::BadTimestamp,
            ),
            (told("null", "", "connected"), Refusal::BadTimestamp),
            (told("1", "", &long), Refusal::BadValue),
        ];
        for (json, refusal) in cases {
            assert_eq!(read(&json), Err(refusal), "{json}");
        }
    }
}

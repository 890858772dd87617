//! What the stage reads of an event, once, before it takes the lock.

use compact_str::CompactString;

use super::config::{By, Config};
use super::hash::Keys;
use crate::clock::{VectorClock, parse_epoch, parse_lenient};
use crate::event::{Event, Kind, Path, Value};

/// Rank of a state that `order` does not name: nothing is known of what it must follow.
pub(super) const UNRANKED: u8 = u8::MAX;

/// What decides about an event's place in its conversation.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Hash of the conversation's key.
    pub conversation: u128,
    /// Hash of the body.
    pub body: u64,
    /// The event's own time.
    pub time: i64,
    /// By lifecycle the time, by sequence the number, by vector clock the sum of its counters,
    /// which grows along every causal chain.
    pub place: i64,
    /// By lifecycle the group of the state, or [`UNRANKED`]; else 0.
    pub rank: u8,
    /// By lifecycle a hash of whose state it is; 0 where nobody is named.
    pub participant: u64,
    /// By vector clock.
    pub stamp: Option<Box<Stamp>>,
}

/// An event's clock, with hashes for names, and its own node among them.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    pub clock: VectorClock,
    pub node: CompactString,
}

impl Facts {
    /// Events of a conversation wait in this order, and after that in that of their arrival.
    pub fn order(&self) -> (i64, u8) {
        (self.place, self.rank)
    }
}

/// Why an event cannot be put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    MissingKey,
    BadTimestamp,
    BadSequence,
    BadClock,
}

impl Refusal {
    /// Word for the ledger.
    pub fn reason(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::BadTimestamp => "bad_timestamp",
            Self::BadSequence => "bad_sequence",
            Self::BadClock => "bad_clock",
        }
    }

    /// For people.
    pub fn message(self) -> &'static str {
        match self {
            Self::MissingKey => "the event has no key to tell its conversation by",
            Self::BadTimestamp => "the event's time is missing or no point in time",
            Self::BadSequence => "the event's number is missing or no whole number from 0",
            Self::BadClock => "the event's vector clock or its node is missing or bad",
        }
    }
}

/// Reads events by the configuration.
pub(super) struct Reader {
    key: Path,
    time: Path,
    by: By,
    keys: Keys,
}

impl Reader {
    pub fn new(config: &Config, seed: [u8; 16]) -> Self {
        Self {
            key: config.key.clone(),
            time: config.time.clone(),
            by: config.by.clone(),
            keys: Keys::new(seed),
        }
    }

    /// Reads an event. `scratch` saves an allocation; what it holds does not matter.
    pub fn read(&self, event: &Event, scratch: &mut Vec<u8>) -> Result<Facts, Refusal> {
        let key = event.get(&self.key).and_then(|value| value.as_plain());
        let key = key.filter(|key| !key.is_empty());
        let conversation = self.keys.conversation(&key.ok_or(Refusal::MissingKey)?);
        let time = event.get(&self.time).and_then(time_of);
        let time = time.ok_or(Refusal::BadTimestamp)?;
        let mut participant = 0;
        let (place, rank, stamp) = match &self.by {
            By::Lifecycle(lifecycle) => {
                let state = lifecycle.path.as_ref().and_then(|path| event.get(path));
                let of = lifecycle.participant.as_ref();
                let of = of.and_then(|path| event.get(path)?.as_plain());
                participant = of.map_or(0, |of| self.keys.node(&of));
                (time, rank_of(state, &lifecycle.order), None)
            }
            By::Sequence { path, .. } => {
                let number = event.get(path).and_then(number_of);
                (number.ok_or(Refusal::BadSequence)?, 0, None)
            }
            By::VectorClock { path, node } => {
                let stamp = self.stamp(event, path, node).ok_or(Refusal::BadClock)?;
                let sum = stamp.clock.iter().fold(0, |sum: i64, (_, counter)| {
                    sum.saturating_add(i64::try_from(counter).unwrap_or(i64::MAX))
                });
                (sum, 0, Some(Box::new(stamp)))
            }
        };
        scratch.clear();
        event.write_json(scratch);
        Ok(Facts {
            conversation,
            body: self.keys.body(scratch),
            time,
            place,
            rank,
            participant,
            stamp,
        })
    }

    fn stamp(&self, event: &Event, path: &Path, node: &Path) -> Option<Stamp> {
        // Names are hashed on the way in: they are of one length, and no name gets into the state.
        let hashed = |name: &str| Keys::node_name(self.keys.node(name));
        let own = event.get(node)?.as_plain()?;
        let value = event.get(path).filter(|v| v.kind() == Kind::Object)?;
        let mut good = true;
        let counters = value.members().map_while(|(name, counter)| {
            let counter = counter
                .as_number()
                .and_then(|text| text.parse::<u64>().ok());
            good &= counter.is_some() && !name.is_empty();
            counter.map(|counter| (hashed(&name), counter))
        });
        let clock = VectorClock::from_counters(counters).ok()?;
        let node = hashed(&own);
        // An event that its own node has not counted is no event of that node.
        (good && clock.get(&node) > 0).then(|| Stamp { clock, node })
    }
}

fn time_of(value: Value<'_>) -> Option<i64> {
    match value.kind() {
        Kind::Text => parse_lenient(&value.as_str()?),
        Kind::Number => parse_epoch(value.as_number()?),
        _ => None,
    }
}

/// A whole number from 0, also as a string, since sources differ.
fn number_of(value: Value<'_>) -> Option<i64> {
    let number = match value.kind() {
        Kind::Text => value.as_str()?.parse().ok()?,
        _ => value.as_i64()?,
    };
    (0..i64::MAX).contains(&number).then_some(number)
}

fn rank_of(state: Option<Value<'_>>, order: &[Vec<String>]) -> u8 {
    let Some(state) = state.and_then(|value| value.as_plain()) else {
        return UNRANKED;
    };
    let holds = |group: &Vec<String>| group.iter().any(|s| s.eq_ignore_ascii_case(&state));
    // `order` has at most 64 groups.
    order.iter().position(holds).map_or(UNRANKED, |at| at as u8)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{clocked, event, lifecycle, sequenced};
    use super::*;

    fn read(config: &Config, json: &str) -> Result<Facts, Refusal> {
        Reader::new(config, [1; 16]).read(&event(0, json), &mut Vec::new())
    }

    #[test]
    fn reads_keys_times_and_ranks_in_every_form() {
        let config = lifecycle();
        let a = read(
            &config,
            r#"{"id":"x","at":"1970-01-01T00:00:01Z","state":"OFFERED"}"#,
        );
        let b = read(&config, r#"{"id":"x","at":1,"state":"offered"}"#);
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!((a.conversation, a.order()), (b.conversation, b.order()));
        assert_eq!((a.time, a.rank), (1_000_000, 0));
        assert_ne!(a.body, b.body);
        let other = read(&config, r#"{"id":7,"at":1}"#).unwrap();
        assert_eq!(other.rank, UNRANKED);
        assert_ne!(other.conversation, a.conversation);
    }

    #[test]
    fn refuses_with_the_first_reason() {
        for (json, refusal) in [
            (r#"{"at":1,"state":"offered"}"#, Refusal::MissingKey),
            (r#"{"id":"","at":1}"#, Refusal::MissingKey),
            (r#"{"id":{},"at":1}"#, Refusal::MissingKey),
            ("[]", Refusal::MissingKey),
            (r#"{"id":"x"}"#, Refusal::BadTimestamp),
            (r#"{"id":"x","at":"soon"}"#, Refusal::BadTimestamp),
            (r#"{"id":"x","at":true}"#, Refusal::BadTimestamp),
        ] {
            assert_eq!(read(&lifecycle(), json).unwrap_err(), refusal, "{json}");
        }
        for number in ["-1", "1.5", "\"x\"", "null", "9223372036854775807"] {
            let json = format!(r#"{{"id":"x","at":1,"n":{number}}}"#);
            let refusal = read(&sequenced(), &json).unwrap_err();
            assert_eq!(refusal, Refusal::BadSequence, "{json}");
        }
    }

    #[test]
    fn reads_clocks_and_refuses_what_is_none() {
        let stamp = |clock: &str, node: &str| {
            let json = format!(r#"{{"id":"x","at":1,"clock":{clock},"node":{node}}}"#);
            read(&clocked(), &json)
        };
        let good = stamp(r#"{"a":1,"b":2}"#, "\"a\"").unwrap();
        let inside = good.stamp.unwrap();
        assert_eq!((good.place, inside.clock.get(&inside.node)), (3, 1));
        assert!(!inside.clock.to_string().contains("\"a\""));
        for (clock, node) in [
            (r#"{"a":1}"#, "\"b\""),
            (r#"{"a":1}"#, "null"),
            (r#"{"a":-1}"#, "\"a\""),
            (r#"{"a":1,"b":"2"}"#, "\"a\""),
            (r#"{"a":1,"a":2}"#, "\"a\""),
            ("[1]", "\"a\""),
            ("null", "\"a\""),
        ] {
            assert_eq!(
                stamp(clock, node).unwrap_err(),
                Refusal::BadClock,
                "{clock}"
            );
        }
    }
}

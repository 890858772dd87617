//! One conversation: the latest state of each participant, and which events it has had.
//!
//! Everything here is a maximum, a minimum or a set, so the order and the repeats of events leave
//! nothing behind. Its row in the state store holds all of it: whichever of several deliveries is
//! committed first, an event is either in the row with all that it did, or not at all.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::facts::{Fact, Turn};

/// Events that are remembered of one conversation, to know their repeats.
pub(super) const MOST_EVENTS: usize = 4096;
/// The form of a row, as its first byte.
const ROW: u8 = 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    pub id: CompactString,
    /// Time of the first and of the last event, in microseconds since 1970.
    pub first: i64,
    pub last: i64,
    /// When it was last said to have ended as a whole.
    ended: Option<i64>,
    participants: BTreeMap<CompactString, Participant>,
    /// What tells an event from others, with its minute since 1970; in order.
    events: Vec<(u64, u32)>,
    /// When something new was last heard, in milliseconds since 1970.
    pub heard: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Participant {
    latest: Latest,
    /// Of what opens or closes: when, and which. Closing is the greater.
    turned: Option<(i64, Turn)>,
}

/// The latest state by time, then by what it does, then by its name: any order gives the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Latest {
    time: i64,
    turn: Turn,
    state: CompactString,
}

/// A participant as it is shown.
pub(super) struct Standing<'c> {
    pub participant: &'c str,
    pub state: &'c str,
    /// Since when, in microseconds since 1970.
    pub time: i64,
    pub open: bool,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// It was there already, with all that it says.
    Known,
    /// It was there, and says something that was not known.
    Changed,
    /// It is one more.
    New,
    /// There is no room for it.
    Full,
}

impl Conversation {
    /// Of the event that is its first.
    pub fn new(fact: &Fact<'_>, now: u64) -> Self {
        Self {
            id: (&*fact.interaction).into(),
            first: fact.time,
            last: fact.time,
            ended: None,
            participants: BTreeMap::new(),
            events: Vec::new(),
            heard: now,
        }
    }

    /// Takes an event in.
    pub fn merge(&mut self, fact: &Fact<'_>, now: u64) -> Merged {
        let known = self
            .events
            .binary_search_by_key(&fact.identity, |event| event.0);
        if let Err(at) = known {
            if self.events.len() >= MOST_EVENTS {
                return Merged::Full;
            }
            self.events.insert(at, (fact.identity, fact.minute()));
        }
        let changed = self.learn(fact);
        if changed || known.is_err() {
            self.heard = self.heard.max(now);
        }
        match known {
            Err(_) => Merged::New,
            Ok(_) if changed => Merged::Changed,
            Ok(_) => Merged::Known,
        }
    }

    /// Whether it says anything that was not known.
    fn learn(&mut self, fact: &Fact<'_>) -> bool {
        let mut changed = fact.time < self.first || fact.time > self.last;
        self.first = self.first.min(fact.time);
        self.last = self.last.max(fact.time);
        if fact.state.is_empty() {
            return changed;
        }
        let whole = fact.participant.is_empty();
        if whole && fact.turn == Turn::Closes && self.ended.is_none_or(|it| it < fact.time) {
            self.ended = Some(fact.time);
            changed = true;
        }
        let (time, turn) = (fact.time, fact.turn);
        let state: CompactString = (&*fact.state).into();
        let latest = Latest { time, turn, state };
        let turned = (turn != Turn::Neutral).then_some((time, turn));
        match self.participants.get_mut(&*fact.participant) {
            None => {
                let name = (&*fact.participant).into();
                self.participants
                    .insert(name, Participant { latest, turned });
                changed = true;
            }
            Some(known) => {
                changed |= latest > known.latest || turned > known.turned;
                known.turned = known.turned.max(turned);
                if latest > known.latest {
                    known.latest = latest;
                }
            }
        }
        changed
    }

    /// Whether any participant was last opened, and not closed since, alone or with the whole.
    pub fn is_open(&self) -> bool {
        self.participants.values().any(|it| self.opens(it))
    }

    fn opens(&self, participant: &Participant) -> bool {
        let since = participant.turned.filter(|turned| turned.1 == Turn::Opens);
        since.is_some_and(|(time, _)| self.ended.is_none_or(|ended| time > ended))
    }

    /// Its participants in the order of their names; the whole is the one without a name.
    pub fn standings(&self) -> impl Iterator<Item = Standing<'_>> {
        self.participants.iter().map(|(name, it)| Standing {
            participant: name,
            state: &it.latest.state,
            time: it.latest.time,
            open: self.opens(it),
        })
    }

    /// How many events it has had.
    pub fn events(&self) -> usize {
        self.events.len()
    }

    /// The minutes of its events.
    pub fn minutes(&self) -> impl Iterator<Item = u32> {
        self.events.iter().map(|event| event.1)
    }

    /// Its row, in which everything is big-endian; `version` is that of the row.
    pub fn to_row(&self, version: u64) -> Vec<u8> {
        let participants = self.participants.len() * 64;
        let mut row = Vec::with_capacity(64 + participants + 12 * self.events.len());
        row.push(ROW);
        row.extend(version.to_be_bytes());
        row.extend(self.heard.to_be_bytes());
        row.extend(self.first.to_be_bytes());
        row.extend(self.last.to_be_bytes());
        put_time(&mut row, self.ended);
        put_text(&mut row, &self.id);
        row.extend((self.participants.len() as u16).to_be_bytes());
        for (name, participant) in &self.participants {
            put_text(&mut row, name);
            put_text(&mut row, &participant.latest.state);
            row.extend(participant.latest.time.to_be_bytes());
            row.push(participant.latest.turn as u8);
            put_time(&mut row, participant.turned.map(|turned| turned.0));
            row.push(participant.turned.map_or(0, |turned| turned.1 as u8));
        }
        for (identity, minute) in &self.events {
            row.extend(identity.to_be_bytes());
            row.extend(minute.to_be_bytes());
        }
        row
    }

    /// The reverse of [`to_row`](Self::to_row); `None` for what was never written by it.
    pub fn of_row(row: &[u8]) -> Option<(u64, Self)> {
        let mut row = Row(row);
        let [ROW] = row.take()? else { return None };
        let version = u64::from_be_bytes(row.take()?);
        let heard = u64::from_be_bytes(row.take()?);
        let (first, last) = (row.time()?, row.time()?);
        let (ended, id) = (row.optional_time()?, row.text()?);
        let mut participants = BTreeMap::new();
        for _ in 0..u16::from_be_bytes(row.take()?) {
            let (name, state) = (row.text()?, row.text()?);
            let (time, turn) = (row.time()?, row.turn()?);
            let latest = Latest { time, turn, state };
            let (time, turn) = (row.optional_time()?, row.turn()?);
            let turned = time.map(|time| (time, turn));
            participants.insert(name, Participant { latest, turned });
        }
        let (events, []) = row.0.as_chunks::<12>() else {
            return None;
        };
        let event = |bytes: &[u8; 12]| {
            let mut event = Row(bytes);
            Some((
                u64::from_be_bytes(event.take()?),
                u32::from_be_bytes(event.take()?),
            ))
        };
        let events = events.iter().map(event).collect::<Option<Vec<_>>>()?;
        let sorted = events.is_sorted_by(|a, b| a.0 < b.0) && events.len() <= MOST_EVENTS;
        let conversation = Self {
            id,
            first,
            last,
            ended,
            participants,
            events,
            heard,
        };
        sorted.then_some((version, conversation))
    }
}

fn put_text(row: &mut Vec<u8>, text: &str) {
    // The reader lets at most 256 bytes through.
    row.extend((text.len() as u16).to_be_bytes());
    row.extend(text.as_bytes());
}

fn put_time(row: &mut Vec<u8>, time: Option<i64>) {
    // No event is before 1970.
    row.extend(time.unwrap_or(-1).to_be_bytes());
}

/// What is left of a row.
struct Row<'r>(&'r [u8]);

impl Row<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn time(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn optional_time(&mut self) -> Option<Option<i64>> {
        self.time().map(|time| (time >= 0).then_some(time))
    }

    fn turn(&mut self) -> Option<Turn> {
        let all = [Turn::Neutral, Turn::Opens, Turn::Closes];
        let [turn] = self.take()?;
        all.get(usize::from(turn)).copied()
    }

    fn text(&mut self) -> Option<CompactString> {
        let length = usize::from(u16::from_be_bytes(self.take()?));
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        CompactString::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Origin;

    fn fact(participant: &'static str, state: &'static str, seconds: i64) -> Fact<'static> {
        let turn = match state {
            "connected" => Turn::Opens,
            "disconnected" | "ended" => Turn::Closes,
            _ => Turn::Neutral,
        };
        Fact {
            key: 1,
            interaction: "i".into(),
            participant: participant.into(),
            state: state.into(),
            turn,
            time: seconds * 1_000_000,
            identity: ((seconds as u64) << 8) + (participant.len() + state.len()) as u64,
            origin: Origin::default(),
        }
    }

    fn of(facts: &[Fact<'static>]) -> Conversation {
        let mut conversation = Conversation::new(&facts[0], 5);
        for fact in facts {
            conversation.merge(fact, 5);
        }
        conversation
    }

    #[test]
    fn open_while_any_participant_is() {
        let (up, down) = (
            fact("agent", "connected", 10),
            fact("agent", "disconnected", 20),
        );
        let customer = fact("customer", "connected", 5);
        assert!(of(std::slice::from_ref(&up)).is_open());
        assert!(
            !of(&[down.clone(), up.clone()]).is_open(),
            "the earlier came later"
        );
        assert!(of(&[up.clone(), down.clone(), customer.clone()]).is_open());
        // A state that does neither leaves open what is open, and closed what is closed.
        let held = fact("agent", "held", 15);
        assert!(of(&[up.clone(), held.clone()]).is_open());
        assert!(!of(&[up.clone(), down.clone(), fact("agent", "wrapup", 30)]).is_open());
        assert!(!of(&[held]).is_open(), "nothing opened it");
        // Of one time, closing counts.
        assert!(!of(&[fact("agent", "disconnected", 10), up.clone()]).is_open());
        // The end of the whole ends those who never said so; one who comes later opens it again.
        let ended = fact("", "ended", 30);
        assert!(!of(&[ended.clone(), customer.clone(), up.clone()]).is_open());
        assert!(of(&[fact("late", "connected", 31), ended, customer]).is_open());
    }

    #[test]
    fn repeats_are_known_and_the_room_has_an_end() {
        let first = fact("a", "connected", 1);
        let mut conversation = Conversation::new(&first, 5);
        assert_eq!(conversation.merge(&first, 5), Merged::New);
        assert_eq!(conversation.merge(&first, 6), Merged::Known);
        assert_eq!(conversation.heard, 5, "a repeat is no news");
        let mut same_id = fact("b", "connected", 9);
        same_id.identity = first.identity;
        assert_eq!(conversation.merge(&same_id, 7), Merged::Changed);
        assert_eq!(conversation.events(), 1);
        for n in 0..MOST_EVENTS as i64 {
            conversation.merge(&fact("a", "talking", 100 + n), 8);
        }
        assert_eq!(conversation.events(), MOST_EVENTS);
        assert_eq!(
            conversation.merge(&fact("a", "talking", 1), 8),
            Merged::Full
        );
        assert_eq!(conversation.merge(&first, 8), Merged::Known);
    }

    #[test]
    fn a_row_holds_all_of_it_and_a_damaged_one_is_none() {
        let conversation = of(&[
            fact("agent", "connected", 10),
            fact("customer", "alerting", 4),
            fact("", "ended", 30),
        ]);
        let row = conversation.to_row(77);
        assert_eq!(Conversation::of_row(&row), Some((77, conversation)));
        for cut in 0..row.len() {
            let shorter = Conversation::of_row(&row[..cut]);
            // Only a cut between two events leaves a row.
            assert!(
                shorter.is_none() || (row.len() - cut).is_multiple_of(12),
                "{cut}"
            );
        }
        let mut other = row.clone();
        other[0] = 9;
        assert_eq!(Conversation::of_row(&other), None);
    }
}

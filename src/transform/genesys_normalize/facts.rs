//! What a snapshot tells: the state of each communication, and the earlier states that its times
//! prove, so that a snapshot that was lost costs as little as possible.

use std::borrow::Cow;

use super::drift::Drift;
use super::identity::Identity;
use super::snapshot::{Conversation, Leg, Party};
use super::spelling::STATES;

/// A communication was in a state.
pub(super) struct Fact<'c, 'a> {
    pub party: &'c Party<'a>,
    pub leg: &'c Leg<'a>,
    pub state: Cow<'a, str>,
    /// The state's own time in milliseconds, where the platform tells it.
    pub own: Option<i64>,
    /// The time that is told instead, where there is one that is near.
    pub near: Option<i64>,
    pub held: bool,
    /// Not told but proven by a time.
    pub inferred: bool,
}

/// Appends all that the conversation tells, for each communication in the order in which it was.
pub(super) fn of_conversation<'c, 'a>(
    conversation: &'c Conversation<'a>,
    infer: bool,
    drift: &mut Drift,
    facts: &mut Vec<Fact<'c, 'a>>,
) {
    for party in &conversation.parties {
        if party.legs.is_empty() {
            Telling::of(party, &party.own, drift).tell(infer, facts);
        }
        for leg in &party.legs {
            Telling::of(party, leg, drift).tell(infer, facts);
        }
    }
}

/// A communication with its times.
struct Telling<'c, 'a> {
    party: &'c Party<'a>,
    leg: &'c Leg<'a>,
    state: Option<Cow<'a, str>>,
    connected: Option<i64>,
    ended: Option<i64>,
}

impl<'c, 'a> Telling<'c, 'a> {
    fn of(party: &'c Party<'a>, leg: &'c Leg<'a>, drift: &mut Drift) -> Self {
        let text = leg.state.and_then(|state| state.as_str());
        let state = text.map(|text| STATES.read(text, drift));
        let (mut connected, mut ended) = (leg.connected, leg.ended);
        // The participant's times are those of its only communication. Of several nobody knows
        // which: a second call that was never answered must not look as if it had been.
        let opening = state.as_deref().is_some_and(is_opening);
        if party.legs.len() == 1 && !opening {
            connected = connected.or(party.own.connected);
            ended = ended.or(party.own.ended);
        }
        Self {
            party,
            leg,
            state,
            connected,
            ended,
        }
    }

    /// Appends the facts, earliest first.
    fn tell(self, infer: bool, facts: &mut Vec<Fact<'c, 'a>>) {
        let Some((state, own, held)) = self.current() else {
            return;
        };
        let opening = is_opening(&state);
        if infer && !opening && state != "none" {
            let earlier = [
                ("connected", self.connected),
                ("parked", self.leg.parked),
                ("connected", self.leg.resumed),
                // The state is a new word, or what is done with the recording of a call.
                ("disconnected", self.ended.filter(|_| !is_lasting(&state))),
            ];
            for (proven, at) in earlier {
                let is_told = !held && proven == state && at == own;
                if at.is_some() && !is_told {
                    facts.push(self.fact(Cow::Borrowed(proven), at, false, true));
                }
            }
        }
        let alone = self.party.legs.len() == 1;
        let opened = self.leg.opened.or(self.party.own.opened.filter(|_| alone));
        let near = opened.filter(|_| opening);
        let told = self.fact(state, own, held, false);
        facts.push(Fact { near, ..told });
    }

    fn fact(
        &self,
        state: Cow<'a, str>,
        own: Option<i64>,
        held: bool,
        inferred: bool,
    ) -> Fact<'c, 'a> {
        Fact {
            party: self.party,
            leg: self.leg,
            state,
            own,
            near: None,
            held,
            inferred,
        }
    }

    /// The state that it is in, with its own time, and whether it is held.
    fn current(&self) -> Option<(Cow<'a, str>, Option<i64>, bool)> {
        let leg = self.leg;
        let state = match (&self.state, self.ended, self.connected) {
            (Some(state), ..) => state.clone(),
            (None, Some(_), _) => Cow::Borrowed("disconnected"),
            (None, None, Some(_)) => Cow::Borrowed("connected"),
            (None, None, None) => return None,
        };
        let own = match &*state {
            "connected" if leg.held => return Some((state, leg.on_hold, true)),
            "connected" => leg.resumed.max(self.connected),
            "disconnected" => self.ended,
            "parked" => leg.parked,
            _ => None,
        };
        Some((state, own, false))
    }
}

/// States before the first connection.
fn is_opening(state: &str) -> bool {
    matches!(
        state,
        "alerting" | "dialing" | "contacting" | "offering" | "scheduled"
    )
}

/// States in which a time of an end is that of an earlier session, or is told anyway.
fn is_lasting(state: &str) -> bool {
    matches!(state, "connected" | "parked" | "disconnected")
}

impl Fact<'_, '_> {
    /// The same for everybody who tells the same: of the times only the state's own counts, and the
    /// topic does not. The flattened shape has no identifier of the communication and tells the
    /// first of its medium, so for that one the medium stands in.
    pub(super) fn identity(&self, conversation: &str) -> Identity {
        let mut identity = Identity::of_snapshot();
        identity.text(conversation);
        identity.text(&self.party.id);
        let id = self.leg.id.and_then(|id| id.as_plain());
        match id.filter(|_| !self.leg.is_first) {
            Some(id) => identity.text(&id),
            None => identity.text(self.leg.media.as_deref().unwrap_or_default()),
        }
        identity.text(&self.state);
        identity.time(self.own);
        identity.flag(self.held);
        identity
    }
}

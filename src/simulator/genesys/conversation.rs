//! A conversation as the platform knows it: the one truth behind all shapes. Times are microseconds
//! since 1970, simulated.

use super::random::{Random, Uuid};
use super::words::{Direction, Ending, Media, Purpose, State};

pub(super) struct Conversation {
    pub(super) id: Uuid,
    pub(super) media: Media,
    pub(super) direction: Direction,
    pub(super) start: i64,
    pub(super) end: Option<i64>,
    /// Index of the queue that it is in.
    pub(super) queue: u32,
    pub(super) customer: Customer,
    pub(super) participants: Vec<Participant>,
    /// Names and values that a flow has set, as a JSON object; empty: none.
    pub(super) attributes: String,
    /// Messages said through Open Messaging; their text is in no event.
    pub(super) said: Vec<Said>,
    /// Steps taken.
    pub(super) steps: u32,
    /// Opened by a client rather than by the generator.
    pub(super) foreign: bool,
    /// Decides what happens next.
    pub(super) random: Random,
    /// Where in its script it is.
    pub(super) phase: Phase,
    /// How often an agent was tried without an answer.
    pub(super) tries: u32,
    pub(super) reopened: bool,
    /// The snapshot told before the last, for the fault `stale_snapshot`.
    pub(super) before: Option<Before>,
}

/// A snapshot told earlier: its body, and what it shows.
pub(super) struct Before {
    pub(super) body: String,
    pub(super) shows: std::sync::Arc<super::oracle::Shows>,
}

/// Who the conversation is with.
#[derive(Clone)]
pub(super) struct Customer {
    pub(super) name: String,
    /// `tel:+1…` or an address.
    pub(super) address: String,
}

pub(super) struct Said {
    pub(super) id: Uuid,
    pub(super) at: i64,
    pub(super) outbound: bool,
    /// Last receipt: `Delivered` or `Failed`.
    pub(super) receipt: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Arriving,
    Greeted,
    InFlow,
    Waiting,
    Alerting,
    Talking,
    Holding,
    Parked,
    WrappingUp,
    Reopening,
    Ended,
}

/// One who takes part, with its only communication.
pub(super) struct Participant {
    pub(super) id: Uuid,
    pub(super) session: Uuid,
    pub(super) purpose: Purpose,
    pub(super) user: Option<u32>,
    pub(super) queue: Option<u32>,
    pub(super) state: State,
    pub(super) initial: State,
    pub(super) ending: Option<Ending>,
    pub(super) start: i64,
    pub(super) connected: Option<i64>,
    pub(super) end: Option<i64>,
    /// Since when the other side is on hold.
    pub(super) held: Option<i64>,
    pub(super) wrap_up: WrapUp,
    /// The state that the `events` protocol told last.
    pub(super) told: Option<State>,
    /// Changed by the last step.
    pub(super) fresh: bool,
}

/// After-call work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WrapUp {
    None,
    Pending { since: i64 },
    Complete { since: i64, until: i64, code: u8 },
}

/// Wrap-up codes that agents choose from.
pub(super) const CODES: [&str; 5] = ["Resolved", "Follow up", "Sale", "Wrong number", "Complaint"];

impl Participant {
    pub(super) fn go(&mut self, state: State, now: i64) {
        self.state = state;
        self.fresh = true;
        if state == State::Connected && self.connected.is_none() {
            self.connected = Some(now);
        }
    }

    pub(super) fn leave(&mut self, ending: Ending, now: i64) {
        if self.state.is_over() {
            return;
        }
        self.go(State::Disconnected, now);
        self.ending = Some(ending);
        self.end = Some(now);
        self.held = None;
    }
}

impl Conversation {
    /// Lets somebody in.
    pub(super) fn join(&mut self, purpose: Purpose, state: State, now: i64) -> &mut Participant {
        let participant = Participant {
            id: self.random.uuid(),
            session: self.random.uuid(),
            purpose,
            user: None,
            queue: (purpose != Purpose::Ivr).then_some(self.queue),
            state,
            initial: state,
            ending: None,
            start: now,
            connected: (state == State::Connected).then_some(now),
            end: None,
            held: None,
            wrap_up: WrapUp::None,
            told: None,
            fresh: true,
        };
        let at = self.participants.len();
        self.participants.push(participant);
        &mut self.participants[at]
    }

    /// The last participant of a purpose that has not left.
    pub(super) fn present(&mut self, purpose: Purpose) -> Option<&mut Participant> {
        let mut latest = self.participants.iter_mut().rev();
        latest.find(|it| it.purpose == purpose && !it.state.is_over())
    }

    /// All who are there leave.
    pub(super) fn close(&mut self, ending: Ending, now: i64) {
        for participant in &mut self.participants {
            participant.leave(ending, now);
        }
    }

    /// The customer's session that others are connected with.
    pub(super) fn peer(&self) -> Option<Uuid> {
        let mut latest = self.participants.iter().rev();
        latest
            .find(|it| it.purpose == Purpose::Customer)
            .map(|it| it.session)
    }
}

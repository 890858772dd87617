//! Conversations, before anybody wrote of them.

use super::random::Random;
use super::truth::Made;

pub const AGENTS: [&str; 6] = [
    "ana.silva",
    "ben.okoye",
    "carla.meyer",
    "emma.larsen",
    "farid.haddad",
    "grace.kim",
];
const QUEUES: [&str; 4] = ["Support", "Billing", "Réclamations", "VIP"];
const CALLERS: [&str; 4] = [
    "Margaret Holloway",
    "Tadeusz Kowalczyk",
    "Aoife Gallagher",
    "Lucía Fernández",
];
/// 2026-03-02T08:00:00Z.
const FIRST: u64 = 1_772_438_400_000;

/// Something that happened in a conversation.
pub struct Moment {
    pub id: String,
    pub state: &'static str,
    pub at: u64,
}

/// A conversation.
pub struct Conversation {
    pub id: String,
    /// As Genesys Cloud has it: the kind that a record says is `call` for `voice`.
    pub media: &'static str,
    pub direction: &'static str,
    pub queue: &'static str,
    pub agent: &'static str,
    pub caller: String,
    pub caller_name: String,
    pub address: String,
    pub moments: Vec<Moment>,
    pub seconds: u64,
}

impl Conversation {
    /// The conversation of this number, each some minutes after the one before.
    pub fn make(random: &mut Random, number: usize, made: &mut Made) -> Conversation {
        let mut at = FIRST + number as u64 * 97_000 + random.below(60_000) as u64;
        let mut moments = Vec::new();
        for state in [
            "started",
            "queued",
            "connected",
            "disconnected",
            "completed",
        ] {
            at += 1_000 + random.below(40_000) as u64;
            let id = random.uuid();
            moments.push(Moment { id, state, at });
        }
        let (area, line) = (random.of(&["212", "415", "617"]), random.below(100));
        let caller = made.is_personal(format!("+1{area}55501{line:02}"));
        let host = random.below(256);
        Conversation {
            id: random.uuid(),
            media: random.of(&["voice", "voice", "chat"]),
            direction: random.of(&["inbound", "inbound", "outbound"]),
            queue: random.of(&QUEUES),
            agent: random.of(&AGENTS),
            caller,
            caller_name: made.is_personal(random.of(&CALLERS).to_owned()),
            address: made.is_personal(format!("203.0.113.{host}")),
            moments,
            seconds: 20 + random.below(900) as u64,
        }
    }

    /// The kind, as the warehouse has it.
    pub fn kind(&self) -> String {
        match self.media {
            "voice" => "call".to_owned(),
            other => other.to_owned(),
        }
    }

    pub fn start(&self) -> u64 {
        self.moments[0].at
    }

    pub fn end(&self) -> u64 {
        self.moments[self.moments.len() - 1].at
    }
}

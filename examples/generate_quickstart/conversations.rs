//! Conversations and their events, in the shape of the exports.

use super::random::Random;

const QUEUES: [&str; 9] = [
    "Support",
    "Billing",
    "Sales DE",
    "Sales EN",
    "Retention",
    "Réclamations",
    "VIP",
    "Night shift",
    "Überlauf",
];
const AGENTS: [&str; 26] = [
    "ana.silva",
    "ben.okoye",
    "carla.meyer",
    "dmitri.pavlov",
    "emma.larsen",
    "farid.haddad",
    "grace.kim",
    "hugo.martin",
    "ines.costa",
    "jonas.weber",
    "karin.lund",
    "liam.byrne",
    "mona.rahman",
    "nils.berg",
    "olga.novak",
    "pablo.ruiz",
    "qing.zhao",
    "rosa.conti",
    "sven.dahl",
    "tara.singh",
    "uma.patel",
    "vera.horn",
    "wim.devries",
    "xenia.petrou",
    "yusuf.demir",
    "zoe.clark",
];
const CALLERS: [&str; 6] = [
    "Margaret Holloway",
    "Tadeusz Kowalczyk",
    "Aoife Gallagher",
    "Björn Sandström",
    "Lucía Fernández",
    "Oluwaseun Adebayo",
];
/// Test numbers of the card companies.
const CARDS: [&str; 5] = [
    "4111111111111111",
    "5555 5555 5555 4444",
    "4012-8888-8888-1881",
    "378282246310005",
    "6011 1111 1111 1117",
];

/// One event as a line of JSON, with what the page and the expectations need to know of it.
#[derive(Clone)]
pub struct Event {
    pub json: String,
    pub id: String,
    pub interaction: String,
    /// Milliseconds since 1970.
    pub at: u64,
    pub state: &'static str,
    /// The hour, as `dim_time` has it.
    pub hour: String,
    pub queue: Option<&'static str>,
    /// As it is after masking.
    pub agent: Option<String>,
    pub has_recording: bool,
}

/// Personal data that the input holds: none of it may come out.
#[derive(Default)]
pub struct Personal {
    pub phones: Vec<String>,
    pub emails: Vec<String>,
    pub cards: Vec<String>,
    /// Names, addresses of machines, of recordings.
    pub others: Vec<String>,
}

/// What was put in on purpose, by what the page calls it.
#[derive(Default)]
pub struct Peculiar {
    pub numbers_as_text: usize,
    pub epochs: usize,
    pub without_queue: usize,
    pub without_agent: usize,
    pub unknown_fields: usize,
}

/// Makes conversations.
pub struct Maker {
    pub random: Random,
    pub personal: Personal,
    pub peculiar: Peculiar,
}

impl Maker {
    /// A telephone number of a range kept for fiction, in one of the ways in which people write it.
    pub fn phone(&mut self) -> String {
        let number = self.random.below(100);
        let area = self.random.of(&["212", "415", "617", "206"]);
        let line = format!("01{number:02}");
        let long = self.random.below(1000);
        let phone = match self.random.below(6) {
            0 => format!("({area}) 555-{line}"),
            1 => format!("{area}-555-{line}"),
            2 => format!("+44 20 7946 0{long:03}"),
            3 => format!("+49 30 23125 {long:03}"),
            _ => format!("+1{area}555{line}"),
        };
        self.personal.phones.push(phone.clone());
        phone
    }

    pub fn email(&mut self) -> String {
        let number = self.random.below(10_000);
        let email = format!(
            "{}{number}@mail.example.com",
            self.random.of(&["m.holloway", "tk", "lucia.f"])
        );
        self.personal.emails.push(email.clone());
        email
    }

    pub fn card(&mut self) -> &'static str {
        let card = self.random.of(&CARDS);
        self.personal.cards.push(card.to_owned());
        card
    }

    fn other(&mut self, text: String) -> String {
        self.personal.others.push(text.clone());
        text
    }

    /// Free text as people type it.
    fn note(&mut self) -> String {
        match self.random.below(4) {
            0 => format!("Please call back at {} before noon", self.phone()),
            1 => format!("wants the invoice to {}, thanks", self.email()),
            2 => format!(
                "paid with {} / ref INV-2026-000{}",
                self.card(),
                self.random.below(900)
            ),
            _ => format!("Rückruf: {} oder {}", self.phone(), self.email()),
        }
    }

    /// The conversation of this number: its events in order.
    pub fn conversation(&mut self, number: usize) -> Vec<Event> {
        let id = self.random.uuid();
        let kind = self.random.of(&["call", "call", "call", "chat", "email"]);
        let direction = self.random.of(&["inbound", "inbound", "outbound"]);
        let agent = self.random.of(&AGENTS);
        let queue = self.random.of(&QUEUES);
        // Eight days of conversations, each some minutes after the other.
        let mut at =
            1_772_409_600_000 + number as u64 * 790_000 + self.random.below(600_000) as u64;
        let mut states = vec!["started", "queued", "connected"];
        if self.random.once_in(3) {
            states.push("wrapup");
        }
        states.push("completed");
        let caller = self.phone();
        let mut events = Vec::new();
        for state in states {
            at += 1000 + self.random.below(120_000) as u64;
            let agent = matches!(state, "connected" | "wrapup" | "completed").then_some(agent);
            events.push(self.event(&id, state, at, (kind, direction), (agent, queue), &caller));
        }
        events
    }

    fn event(
        &mut self,
        interaction: &str,
        state: &'static str,
        at: u64,
        (kind, direction): (&str, &str),
        (agent, queue): (Option<&str>, &'static str),
        caller: &str,
    ) -> Event {
        let id = self.random.uuid();
        let mut json = format!("{{\"event_id\":\"{id}\"");
        let mut field = |name: &str, value: String| json.push_str(&format!(",\"{name}\":{value}"));
        let text = |value: &str| format!("\"{value}\"");
        // Some exports have milliseconds since 1970 where others have text.
        let epoch = self.random.once_in(40);
        self.peculiar.epochs += usize::from(epoch);
        field(
            "timestamp",
            if epoch {
                at.to_string()
            } else {
                text(&time(at))
            },
        );
        field("interaction_id", text(interaction));
        field("type", text(kind));
        field("direction", text(direction));
        field("state", text(state));
        if state == "completed" {
            let seconds = 20 + self.random.below(1500);
            let as_text = self.random.once_in(5);
            self.peculiar.numbers_as_text += usize::from(as_text);
            field(
                "duration_seconds",
                if as_text {
                    text(&seconds.to_string())
                } else {
                    seconds.to_string()
                },
            );
        }
        let queue = (!self.random.once_in(25)).then_some(queue);
        match queue {
            Some(queue) => field("queue_name", text(queue)),
            None => self.peculiar.without_queue += 1,
        }
        match agent {
            Some(agent) => {
                let email = format!("{agent}@company.example.com");
                field("agent_id", text(&format!("user:{email}")));
                self.personal.emails.push(email);
            }
            None => self.peculiar.without_agent += 1,
        }
        // Three in four come half masked, as they should.
        let shown = match self.random.below(4) {
            0 => caller.to_owned(),
            _ => "+1***-***-0199".to_owned(),
        };
        field("caller_number_masked", text(&shown));
        let has_recording = state == "completed" && kind == "call" && !self.random.once_in(10);
        if has_recording {
            let url = format!(
                "https://recordings.example.com/{interaction}/{}.opus",
                self.random.uuid()
            );
            field("recording_url", text(&self.other(url)));
        }
        self.surplus(&mut json);
        json.push('}');
        Event {
            json,
            id,
            interaction: interaction.to_owned(),
            at,
            state,
            hour: format!("{}:00:00.000Z", &time(at)[..13]),
            queue,
            agent: agent.map(|agent| format!("user:{}***@***.com", &agent[..1])),
            has_recording,
        }
    }

    /// What stands at the end of a record: metadata, and what nobody has announced.
    fn surplus(&mut self, json: &mut String) {
        let (a, b) = (self.random.below(256), self.random.below(256));
        let ip = match self.random.below(8) {
            0 => format!("2001:db8:{a:x}::{b:x}"),
            _ => format!("203.0.113.{b}"),
        };
        let ip = self.other(ip);
        json.push_str(&format!(
            ",\"metadata\":{{\"source_ip\":\"{ip}\",\"campaign_id\":\"c-{a}\""
        ));
        if self.random.once_in(6) {
            let note = self.note();
            json.push_str(&format!(",\"note\":\"{note}\""));
        }
        json.push('}');
        if self.random.once_in(12) {
            self.peculiar.unknown_fields += 1;
            let name = self.random.of(&CALLERS).to_owned();
            let name = self.other(name);
            let phone = self.phone();
            // Not as text but as a number, and with an address that hides its `@`.
            let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
            self.personal.phones.push(digits.clone());
            let email = self.email();
            let hidden = email.replace('@', "\\u0040");
            self.personal.emails.push(hidden.clone());
            json.push_str(&format!(
                ",\"customer_name\":\"{name}\",\"schema_rev\":7,\"contact\":{{\"reach\":[\"tel:{phone}\",\"{hidden}\"]}}"
            ));
        }
    }
}

/// RFC 3339 of milliseconds since 1970; the input lies within March 2026.
pub fn time(ms: u64) -> String {
    const MARCH: u64 = 1_772_323_200_000;
    let (day, rest) = ((ms - MARCH) / 86_400_000 + 1, (ms - MARCH) % 86_400_000);
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1000 % 60, rest % 1000);
    format!("2026-03-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

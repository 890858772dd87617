//! The workload: events of a contact center as JSON lines, the same for every run.
//!
//! About 576 bytes each; 5 % repeat an event of the last 10,000 to the letter; 10 % carry a time
//! that is up to 2 s too early. About 4,000 events to a second of event time, 50,000 conversations
//! under way.

use std::fmt::Write as _;
use std::io::{self, Write};

/// splitmix64: small, fast and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, share: f64) -> bool {
        ((self.next() >> 11) as f64) < share * (1u64 << 53) as f64
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xfff,
            0x8000 | b >> 48 & 0x3fff,
            b & 0xffff_ffff_ffff
        )
    }
}

const STATES: [&str; 7] = [
    "alerting",
    "dialing",
    "contacting",
    "connected",
    "onhold",
    "disconnected",
    "terminated",
];
const ROLES: [&str; 7] = [
    "customer",
    "agent",
    "supervisor",
    "external",
    "ivr",
    "acd",
    "voicemail",
];
const QUEUES: [&str; 8] = [
    "support-tier1",
    "support-tier2",
    "billing",
    "sales-inbound",
    "retention",
    "claims_emea",
    "vip-gold",
    "after-hours-overflow",
];
const MEDIA: [&str; 5] = ["voice", "chat", "email", "callback", "message"];
const LANGUAGES: [&str; 6] = ["en-US", "en-GB", "de-DE", "fr-FR", "es-MX", "ja-JP"];
const NAMES: [&str; 8] = [
    "smith", "ng", "garcia", "muller", "okafor", "tanaka", "lee", "kowalska",
];
const SITES: [&str; 3] = ["east", "west", "emea"];

/// 09:00 UTC, in milliseconds of the day.
const START: u64 = 9 * 3_600_000;

fn time(ms: u64) -> String {
    let (s, ms) = (ms / 1000, ms % 1000);
    format!(
        "2026-11-20T{:02}:{:02}:{:02}.{ms:03}Z",
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

/// Writes the events; returns how many bytes that were.
pub fn write(count: usize, out: &mut impl Write) -> io::Result<u64> {
    let mut random = Random(20_261_120);
    let agents: Vec<String> = (0..2000)
        .map(|n| {
            let (name, site) = (random.pick(&NAMES), random.pick(&SITES));
            format!("user:agent{n:04}.{name}@{site}.example.com")
        })
        .collect();
    let mut conversations: Vec<String> = (0..50_000).map(|_| random.uuid()).collect();
    let mut ring: Vec<String> = vec![String::new(); 10_000];
    let (mut now, mut bytes) = (START, 0);
    for i in 0..count {
        now += u64::from(random.below(4) == 0);
        let line = if i > 100 && random.chance(0.05) {
            ring[random.below(i.min(ring.len()) as u64) as usize].clone()
        } else {
            event(&mut random, now, &agents, &mut conversations)
        };
        out.write_all(line.as_bytes())?;
        bytes += line.len() as u64;
        let place = i % ring.len();
        ring[place] = line;
    }
    Ok(bytes)
}

fn event(r: &mut Random, now: u64, agents: &[String], conversations: &mut [String]) -> String {
    let early = if r.chance(0.1053) {
        1 + r.below(2000)
    } else {
        0
    };
    let place = r.below(conversations.len() as u64) as usize;
    if r.chance(0.02) {
        conversations[place] = r.uuid();
    }
    let kind = match r.below(100) {
        0..35 => "joined",
        35..65 => "left",
        65..75 => "roleChanged",
        _ => "lifecycleStateChange",
    };
    let mut line = String::with_capacity(640);
    let _ = writeln!(
        line,
        "{{\"eventId\":\"{}\",\"eventType\":\"interaction.participant.{kind}\",\"timestamp\":\"{}\",\
         \"data\":{{\"interactionId\":\"{}\",\"participantId\":\"{}\",\"state\":\"{}\",\"role\":\"{}\",\
         \"caller_number\":\"+1415555{:04}\",\"queue_name\":\"{}\",\"agent_id\":\"{}\",\
         \"recording_url\":\"https://rec.example.com/v2/{:016x}.wav\",\
         \"metadata\":{{\"mediaType\":\"{}\",\"language\":\"{}\",\"priority\":{},\"transferred\":{},\"holdSeconds\":{}.{:02}}}}}}}",
        r.uuid(),
        time(now - early),
        conversations[place],
        r.uuid(),
        r.pick(&STATES),
        r.pick(&ROLES),
        r.below(10_000),
        r.pick(&QUEUES),
        agents[r.below(2000) as usize],
        r.next(),
        r.pick(&MEDIA),
        r.pick(&LANGUAGES),
        r.below(10),
        r.chance(0.15),
        r.below(300),
        r.below(100),
    );
    line
}

//! What the simulator says that it told, held against what came out of the pipeline.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use trunkline::event::Labels;
use trunkline::observe::Gap;

/// How long the simulator holds a frame back at most: up to eight later ones of its channel.
const HELD_BACK: SignedDuration = SignedDuration::from_secs(2);

/// A communication of a participant in a state: conversation, participant, communication, state.
pub type Fact = [String; 4];

/// One frame of the simulator, and what became of it.
#[derive(Debug)]
pub struct Told {
    pub n: u64,
    pub channel: u64,
    pub at: Timestamp,
    pub wall: Timestamp,
    pub delivered: bool,
    pub fate: String,
    /// Held back on purpose: it was to be told some time after `wall`.
    pub late: bool,
    pub facts: Vec<Fact>,
}

/// An event as it came to the sink.
pub struct Got {
    pub id: String,
    pub fact: Fact,
    pub time: Timestamp,
    pub counter: u64,
    pub labels: Labels,
}

/// What became of a frame can change once: its last line holds.
pub fn read(lines: &str) -> Vec<Told> {
    let mut all: BTreeMap<(u64, u64), Told> = BTreeMap::new();
    for line in lines.lines() {
        let told = told(line);
        all.insert((told.n, told.channel), told);
    }
    all.into_values().collect()
}

fn told(line: &str) -> Told {
    let told: Value = serde_json::from_str(line).unwrap();
    let time = |name: &str| told[name].as_str().unwrap().parse().unwrap();
    let fate = told["fate"].as_str().unwrap().to_owned();
    let shows = told["shows"].as_array().unwrap().iter();
    let facts = shows.map(|shown| {
        let part = |at: usize| shown[at].as_str().unwrap().to_owned();
        let conversation = told["conversation"].as_str().unwrap().to_owned();
        // The two are spellings of one state.
        let state = part(2).replace("terminated", "disconnected");
        [conversation, part(0), part(1), state]
    });
    let number = |name: &str| told[name].as_u64().unwrap();
    Told {
        n: number("n"),
        channel: number("channel"),
        at: time("at"),
        wall: time("wall"),
        delivered: fate == "delivered",
        late: told["fault"] == "late",
        facts: facts.collect(),
        fate,
    }
}

/// What came of holding one against the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Facts that the simulator put on an open socket.
    pub delivered: usize,
    /// Facts that were told only while nobody listened, and came all the same.
    pub recovered: usize,
    /// Facts that were told only while nobody listened, within a gap that was counted.
    pub counted: usize,
}

/// Events that came twice.
pub fn repeats(got: &[Got]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let again = got.iter().filter(|event| !seen.insert(event.id.as_str()));
    again.map(|event| event.id.as_str()).collect()
}

/// Every fact is in the sink, or was told only within gaps.
pub fn hold(told: &[Told], got: &[Got], gaps: &[Gap], slack: SignedDuration) -> Verdict {
    let came: BTreeSet<&Fact> = got.iter().map(|event| &event.fact).collect();
    let mut all: BTreeMap<&Fact, Vec<&Told>> = BTreeMap::new();
    for told in told {
        for fact in &told.facts {
            all.entry(fact).or_default().push(told);
        }
    }
    let mut verdict = Verdict::default();
    for (fact, tellings) in all {
        let delivered = tellings.iter().find(|told| told.delivered);
        match (delivered, came.contains(fact)) {
            (Some(_), true) => verdict.delivered += 1,
            (Some(told), false) => {
                panic!("{}", found(fact, "was delivered", told, &tellings, gaps))
            }
            (None, true) => verdict.recovered += 1,
            (None, false) => {
                for told in &tellings {
                    // Nobody can say of what was on its way when a client hung up.
                    let unheard = matches!(told.fate.as_str(), "no_socket" | "unknown");
                    let until = match told.late {
                        true => told.wall + HELD_BACK,
                        false => told.wall,
                    };
                    let within =
                        |gap: &Gap| gap.from - slack <= until && told.wall <= gap.to + slack;
                    let counted = unheard && gaps.iter().any(within);
                    let why = || found(fact, "is in no gap", told, &tellings, gaps);
                    assert!(counted, "{}", why());
                }
                verdict.counted += 1;
            }
        }
    }
    verdict
}

/// Everything about a fact that is missing.
fn found(fact: &Fact, what: &str, of: &Told, tellings: &[&Told], gaps: &[Gap]) -> String {
    let near = |gap: &&Gap| (gap.to - of.wall).get_seconds().abs() < 3;
    let gaps = gaps.iter().filter(near);
    let gaps: Vec<_> = gaps
        .map(|gap| format!("{} to {} {}", gap.from, gap.to, gap.reason))
        .collect();
    let tellings = tellings.iter();
    let tellings: Vec<_> = tellings
        .map(|told| {
            format!(
                "{} #{} on {}: {}",
                told.wall, told.n, told.channel, told.fate
            )
        })
        .collect();
    let (tellings, gaps) = (tellings.join("\n"), gaps.join("\n"));
    format!(
        "{fact:?}, told at {}, {what}\n{tellings}\ngaps:\n{gaps}",
        of.wall
    )
}

/// In each conversation counters count, times never go back but for what is labelled, and the states
/// of each communication come as they were told.
pub fn ordered(told: &[Told], got: &[Got]) {
    let mut first: HashMap<&Fact, Timestamp> = HashMap::new();
    for told in told {
        for fact in &told.facts {
            let at = first.entry(fact).or_insert(told.at);
            *at = (*at).min(told.at);
        }
    }
    let mut conversations: HashMap<&str, (u64, Timestamp)> = HashMap::new();
    let mut last: HashMap<&[String], (Timestamp, &Got)> = HashMap::new();
    for event in got {
        let conversation = event.fact[0].as_str();
        let (counter, time) = conversations
            .entry(conversation)
            .or_insert((0, Timestamp::MIN));
        assert_eq!(event.counter, *counter + 1, "{conversation}");
        *counter += 1;
        if event.labels.contains(Labels::LATE) {
            continue;
        }
        assert!(event.time >= *time, "{} goes back in time", event.id);
        *time = event.time;
        let Some(at) = first.get(&event.fact) else {
            continue;
        };
        let communication = &event.fact[..3];
        if let Some((before, other)) = last.insert(communication, (*at, event)) {
            let (one, two) = (&other.fact, &event.fact);
            assert!(before <= *at, "{one:?} came before {two:?}");
        }
    }
}

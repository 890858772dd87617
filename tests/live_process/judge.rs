//! Holds what is left against what the simulator says that it told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use crate::left::Left;

/// A communication of a participant in a state: conversation, participant, communication, state.
pub type Fact = [String; 4];

/// What lies between a frame's telling and its hearing, at most: a gap begins when something was heard,
/// and what was told just before that may still have been on its way.
const WAY: SignedDuration = SignedDuration::from_millis(500);

/// A time in which nothing was heard.
pub struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
    pub reason: String,
}

impl Gap {
    pub fn seconds(&self) -> f64 {
        self.to.duration_since(self.from).as_secs_f64()
    }

    fn holds(&self, at: Timestamp) -> bool {
        self.from - WAY <= at && at <= self.to + WAY
    }
}

/// A frame of the simulator on one channel, and what became of it.
pub struct Told {
    pub wall: Timestamp,
    pub fate: String,
    pub facts: Vec<Fact>,
}

/// Reads the oracle's file. A frame has a second line when its fate has changed.
pub fn read(lines: &str) -> Vec<Told> {
    let mut all: BTreeMap<String, Told> = BTreeMap::new();
    for line in lines.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let frame = format!("{} {} {}", line["n"], line["channel"], line["fault"]);
        all.insert(frame, told(&line));
    }
    all.into_values().collect()
}

fn told(line: &Json) -> Told {
    let facts = line["shows"].as_array().unwrap().iter().map(|shown| {
        let part = |at: usize| shown[at].as_str().unwrap().to_owned();
        let conversation = line["conversation"].as_str().unwrap().to_owned();
        // The two are spellings of one state.
        let state = part(2).replace("terminated", "disconnected");
        [conversation, part(0), part(1), state]
    });
    Told {
        wall: line["wall"].as_str().unwrap().parse().unwrap(),
        fate: line["fate"].as_str().unwrap().to_owned(),
        facts: facts.collect(),
    }
}

/// What became of the facts that were told.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Delivered, and there.
    pub heard: usize,
    /// Of those, delivered outside of every gap.
    pub safe: usize,
    /// Never delivered, and there all the same.
    pub recovered: usize,
    /// Never delivered, and told within gaps only.
    pub counted: usize,
    /// Delivered to a run that was killed with it in its hands, within the gap that this is.
    pub in_hands: usize,
}

/// Every fact is in the sink, or was told only within gaps.
pub fn hold(told: &[Told], left: &Left, gaps: &[Gap], wrong: &mut Vec<String>) -> Verdict {
    let came: BTreeSet<&Fact> = left.lines.iter().map(|line| &line.fact).collect();
    let mut all: BTreeMap<&Fact, Vec<&Told>> = BTreeMap::new();
    for told in told {
        for fact in &told.facts {
            all.entry(fact).or_default().push(told);
        }
    }
    let mut verdict = Verdict::default();
    for (fact, tellings) in all {
        // What a process had in its hands when it was killed is lost with it, and with that alone.
        let excused = |told: &Told| {
            let delivered = told.fate == "delivered";
            let excuses = |gap: &&Gap| !delivered || gap.reason == "restart";
            gaps.iter().filter(excuses).any(|gap| gap.holds(told.wall))
        };
        let open = tellings.iter().find(|told| !excused(told));
        let is_delivered = |told: &&&Told| told.fate == "delivered";
        let mut delivered = tellings.iter().filter(is_delivered).peekable();
        let heard = delivered.peek().is_some();
        match (came.contains(fact), open) {
            (true, _) if heard => {
                verdict.heard += 1;
                verdict.safe += usize::from(delivered.any(|told| !excused(told)));
            }
            (true, _) => verdict.recovered += 1,
            (false, None) if heard => verdict.in_hands += 1,
            (false, None) => verdict.counted += 1,
            (false, Some(told)) => {
                let (fate, wall) = (&told.fate, told.wall);
                wrong.push(format!("{fact:?}: {fate} at {wall}, in no gap, and lost"));
            }
        }
    }
    verdict
}

/// An event is in the file once, but for what a crash repeats: never twice of one run, and never after
/// a run that ended well. Answers how many were repeated.
pub fn repeats(left: &Left, wrong: &mut Vec<String>) -> usize {
    let mut seen: HashMap<&str, (usize, &Fact)> = HashMap::new();
    let mut repeated = 0;
    for line in &left.lines {
        let Some((life, fact)) = seen.insert(&line.id, (line.life, &line.fact)) else {
            continue;
        };
        repeated += 1;
        let id = &line.id;
        if life == line.life {
            wrong.push(format!("{id} came twice in run {life}"));
        }
        if left
            .ended
            .iter()
            .any(|ended| (life..line.life).contains(ended))
        {
            wrong.push(format!(
                "{id} of run {life} came again in run {}",
                line.life
            ));
        }
        if *fact != line.fact {
            wrong.push(format!("{id} is {fact:?} and {:?}", line.fact));
        }
    }
    repeated
}

/// In each conversation counters count on, also from one run to the next. What a crash repeats has the
/// counter that it had; where that was not kept, what follows is repeated too, and the last one stands.
pub fn ordered(left: &Left, wrong: &mut Vec<String>) {
    let mut most: HashMap<&str, u64> = HashMap::new();
    let mut stands: HashMap<&str, (&str, u64)> = HashMap::new();
    let mut written: HashMap<(&str, u64), usize> = HashMap::new();
    for point in &left.points {
        let (conversation, counter) = (point.conversation.as_str(), point.counter);
        let most = most.entry(conversation).or_default();
        let first = stands.insert(&point.id, (conversation, counter)).is_none();
        let life = written.insert((conversation, counter), point.life);
        let again = life.is_some_and(|life| life < point.life);
        if counter != *most + 1 && !again {
            let (id, run) = (&point.id, point.life);
            wrong.push(format!(
                "{conversation}: {id} has {counter} in run {run} after {most}; new: {first}"
            ));
        }
        *most = counter.max(*most);
    }
    let mut numbers: HashMap<&str, Vec<u64>> = HashMap::new();
    for (conversation, counter) in stands.into_values() {
        numbers.entry(conversation).or_default().push(counter);
    }
    for (conversation, mut counters) in numbers {
        counters.sort_unstable();
        if !counters.iter().copied().eq(1..=counters.len() as u64) {
            wrong.push(format!("{conversation}: {counters:?}"));
        }
    }
    let ids = |all: &mut dyn Iterator<Item = String>| all.collect::<BTreeSet<String>>();
    let lines = ids(&mut left.lines.iter().map(|line| line.id.clone()));
    let points = ids(&mut left.points.iter().map(|point| point.id.clone()));
    if lines != points {
        wrong.push("the two sinks have different events".to_owned());
    }
}

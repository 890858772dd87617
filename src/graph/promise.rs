//! What is promised for each source and each sink that its events reach, by the real configuration.
//!
//! A promise is about events that were read, against a crash of the process at any moment. It rests
//! on three facts: whether the source can deliver again, what the buffers on the way do, and what
//! becomes of an event that is written twice. Of several ways to a sink the weakest counts.

use std::collections::HashMap;
use std::sync::Arc;

use super::{DeadLetterNode, Input, Pipeline, SinkNode, SourceNode, StateSetting};
use crate::edge::{EdgePolicy, WhenFull};
use crate::layer::{Kept, Replays};
use crate::observe::{Guarantee, Promise};

/// One promise for each sink that a source reaches: sources and sinks in the order of the file.
pub fn promises(pipeline: &Pipeline) -> Vec<Promise> {
    let mut found = Vec::new();
    for source in &pipeline.sources {
        let ways = ways(pipeline, source);
        for sink in &pipeline.sinks {
            let way = joined(&ways, &sink.inputs);
            let Some(way) = way.map(|way| way.over(&sink.name, &sink.buffer)) else {
                continue;
            };
            let way = way.past(sink.dead_letter.as_ref());
            found.push(promise(pipeline, source, sink, &way));
        }
    }
    found
}

/// What all ways from a source to some node have in common, and the worst that is on any of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Way {
    /// The node behind the first buffer that drops when it is full.
    drops: Option<Arc<str>>,
    /// The node behind the first buffer on disk; `None` as soon as one way has none.
    disk: Option<Arc<str>>,
    /// Whether some buffer on some way keeps events on disk, and whether one only spills there.
    keeps: bool,
    spills: bool,
    /// Whether a refused event of some node goes to the pipeline's own dead letters.
    shared_letters: bool,
    /// Whether some node's own dead letters keep nothing.
    forgets_letters: bool,
}

impl Way {
    /// Through the buffer in front of this node.
    fn over(mut self, node: &Arc<str>, edge: &EdgePolicy) -> Self {
        let drops = match edge.when_full {
            WhenFull::Block => false,
            WhenFull::DropNewest | WhenFull::DropOldest => true,
        };
        if drops {
            self.drops.get_or_insert_with(|| node.clone());
        }
        self.keeps |= edge.disk.is_some();
        match &edge.disk {
            // What is in memory while the rest has spilled is as a crash finds it.
            Some(disk) if disk.spill => self.spills = true,
            Some(_) => drop(self.disk.get_or_insert_with(|| node.clone())),
            None => {}
        }
        self
    }

    /// Past a node with these dead letters.
    fn past(mut self, letters: Option<&DeadLetterNode>) -> Self {
        match letters {
            Some(own) => self.forgets_letters |= own.part.kept() == Kept::Nothing,
            None => self.shared_letters = true,
        }
        self
    }

    /// This way or the other one.
    fn or(self, other: &Way) -> Self {
        Self {
            drops: self.drops.or_else(|| other.drops.clone()),
            disk: self.disk.filter(|_| other.disk.is_some()),
            keeps: self.keeps || other.keeps,
            spills: self.spills || other.spills,
            shared_letters: self.shared_letters || other.shared_letters,
            forgets_letters: self.forgets_letters || other.forgets_letters,
        }
    }
}

/// How each node that events of this source reach is reached. Transforms stand in the order of the
/// flow, so one pass over them is enough, however many ways there are.
fn ways<'p>(pipeline: &'p Pipeline, source: &'p SourceNode) -> HashMap<&'p str, Way> {
    let from = Way::default().past(source.dead_letter.as_ref());
    let mut ways = HashMap::from([(&*source.name, from)]);
    for node in &pipeline.transforms {
        let Some(mut way) = joined(&ways, &node.inputs) else {
            continue;
        };
        if let Some(buffer) = &node.buffer {
            way = way.over(&node.name, buffer);
        }
        ways.insert(&node.name, way.past(node.dead_letter.as_ref()));
    }
    ways
}

fn joined(ways: &HashMap<&str, Way>, inputs: &[Input]) -> Option<Way> {
    let mut reached = inputs.iter().filter_map(|it| ways.get(it.node.as_str()));
    let first = reached.next()?.clone();
    Some(reached.fold(first, Way::or))
}

/// What comes to a sink again at the start that follows a crash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// All that there ever was: a sink that begins anew misses nothing.
    Everything,
    /// What was not settled, from the place that the state or a buffer on disk keeps.
    Unsettled,
    Nothing,
}

impl Again {
    fn of(pipeline: &Pipeline, source: &SourceNode, way: &Way) -> Self {
        match source.part.replays() {
            Replays::Again if pipeline.state == StateSetting::Memory => Self::Everything,
            Replays::Again => Self::Unsettled,
            Replays::Gone(_) if way.keeps => Self::Unsettled,
            Replays::Gone(_) => Self::Nothing,
        }
    }
}

/// A guarantee, and the clauses that it rests on.
struct Finding {
    guarantee: Guarantee,
    why: Vec<String>,
}

impl Finding {
    /// Never more than this, for this reason. Reasons that weaken it stand in front.
    fn at_most(&mut self, guarantee: Guarantee, why: impl Into<String>) {
        self.guarantee = self.guarantee.min(guarantee);
        self.why.insert(0, why.into());
    }

    fn note(&mut self, why: impl Into<String>) {
        self.why.push(why.into());
    }
}

fn promise(pipeline: &Pipeline, source: &SourceNode, sink: &SinkNode, way: &Way) -> Promise {
    let mut finding = Finding {
        guarantee: Guarantee::EffectivelyOnce,
        why: Vec::new(),
    };
    let again = Again::of(pipeline, source, way);
    written(sink, again, &mut finding);
    read(source, way, again, &mut finding);
    if let Some(node) = &way.drops {
        let why = format!("events are dropped when the buffer of `{node}` is full");
        finding.at_most(Guarantee::BestEffort, why);
    }
    if way.spills {
        finding.note("after a crash what had spilled goes ahead of what was in memory");
    }
    refused(pipeline, way, &mut finding);
    Promise {
        source: source.name.clone(),
        sink: sink.name.clone(),
        guarantee: finding.guarantee,
        why: finding.why.join("; "),
    }
}

/// What becomes of an event in the sink.
fn written(sink: &SinkNode, again: Again, finding: &mut Finding) {
    match sink.part.kept() {
        Kept::Nothing => finding.at_most(Guarantee::BestEffort, "the sink keeps nothing"),
        Kept::UntilRestart if again == Again::Everything => {
            finding.at_most(Guarantee::AtLeastOnce, "each start begins anew");
        }
        Kept::UntilRestart => {
            let why = "each start empties the sink, and what was settled does not come again";
            finding.at_most(Guarantee::BestEffort, why);
        }
        Kept::Lasting { idempotent, limit } => {
            match (idempotent, again) {
                (Some(why), _) => finding.note(why),
                (None, Again::Everything) => {
                    finding.at_most(Guarantee::AtLeastOnce, "each start repeats everything");
                }
                (None, Again::Unsettled) => {
                    let why = "a crash repeats what was not settled";
                    finding.at_most(Guarantee::AtLeastOnce, why);
                }
                // Nothing comes twice, and `read` says what that means.
                (None, Again::Nothing) => {}
            }
            limit.into_iter().for_each(|limit| finding.note(limit));
        }
    }
}

/// Whether what was read and not settled comes again after a crash.
fn read(source: &SourceNode, way: &Way, again: Again, finding: &mut Finding) {
    match (source.part.replays(), &way.disk) {
        (Replays::Again, _) if again == Again::Everything => {
            finding.note("state in memory: each start reads everything again");
        }
        (Replays::Again, _) => {}
        (Replays::Gone(why), Some(node)) => finding.note(format!(
            "from the fsync of the buffer of `{node}` on: what it did not yet cover is lost in a \
             crash, {why}"
        )),
        (Replays::Gone(why), None) => finding.at_most(
            Guarantee::BestEffort,
            format!("what was not settled is lost in a crash, {why}"),
        ),
    }
}

/// What becomes of events that some node refuses.
fn refused(pipeline: &Pipeline, way: &Way, finding: &mut Finding) {
    let shared = pipeline.dead_letter.as_ref().filter(|_| way.shared_letters);
    if way.shared_letters && shared.is_none() {
        finding.note("no dead letters: the first refused event stops the run");
    }
    let forgets = shared.is_some_and(|letters| letters.part.kept() == Kept::Nothing);
    if forgets || way.forgets_letters {
        finding.note("refused events are not kept");
    }
}

#[cfg(test)]
mod tests;

//! What is in the bucket, and what a warehouse has to have in the end.

use std::collections::{BTreeMap, BTreeSet};

/// A shipped object.
pub struct Object {
    pub key: String,
    pub bytes: Vec<u8>,
    /// What is in it once it is decompressed, as far as it can be.
    pub text: Vec<u8>,
}

/// A row of the facts, as it is after masking.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    pub event_id: String,
    pub interaction_id: String,
    /// Milliseconds since 1970.
    pub at: u64,
    pub kind: String,
    pub direction: Option<String>,
    pub state: String,
    pub seconds: Option<u64>,
    pub queue: Option<String>,
    pub agent: Option<String>,
}

/// A row of the recordings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recording {
    pub event_id: String,
    pub interaction_id: String,
}

/// Everything that was made.
#[derive(Default)]
pub struct Made {
    pub objects: Vec<Object>,
    /// By `event_id`.
    pub facts: BTreeMap<String, Fact>,
    pub recordings: BTreeSet<Recording>,
    /// Personal data that the input holds: none of it may come out.
    pub personal: BTreeSet<String>,
    /// Dead letters: node and reason, how many.
    pub letters: BTreeMap<(&'static str, &'static str), usize>,
    /// Records that say again what was said.
    pub repeats: usize,
}

impl Made {
    /// A fact was told; whichever tells of the later time stays, in any order of telling.
    pub fn tell(&mut self, fact: &Fact) {
        let known = self.facts.entry(fact.event_id.clone());
        known
            .and_modify(|known| {
                self.repeats += 1;
                if fact.at > known.at {
                    *known = fact.clone();
                }
            })
            .or_insert_with(|| fact.clone());
    }

    pub fn letter(&mut self, node: &'static str, reason: &'static str) {
        *self.letters.entry((node, reason)).or_default() += 1;
    }

    pub fn object(&mut self, key: impl Into<String>, bytes: Vec<u8>, text: Vec<u8>) {
        self.objects.push(Object {
            key: key.into(),
            bytes,
            text,
        });
    }

    pub fn is_personal(&mut self, text: String) -> String {
        self.personal.insert(text.clone());
        text
    }
}

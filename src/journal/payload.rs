//! What lies in a record: the bodies of its events, one after the other, and what the engine knows
//! of each.
//!
//! ```text
//! payload := bodies  facts*  length of the bodies 4
//! facts   := length  place [origin]  line  offset  flags [time] [counter] [labels] [priority]
//!            [tenant] [headers]
//! ```
//!
//! Bodies come first, so that a record's text becomes the events' own without a copy. Numbers are
//! varints; `place` says which of the origins met so far, and the next number brings a new one.

use std::sync::Arc;

use crate::event::{Event, Labels, Provenance};

pub(super) const TIME: u8 = 1;
pub(super) const COUNTER: u8 = 2;
pub(super) const LABELS: u8 = 4;
pub(super) const PRIORITY: u8 = 8;
pub(super) const TENANT: u8 = 16;
pub(super) const HEADERS: u8 = 32;

/// How many origins are looked through for one that is known; a further one is written again.
const RECENT_ORIGINS: usize = 16;
/// Gathers the events of one record.
#[derive(Default)]
pub(super) struct Encoder {
    text: Vec<u8>,
    facts: Vec<u8>,
    origins: Vec<Arc<Provenance>>,
    events: u32,
}

impl Encoder {
    pub fn events(&self) -> u32 {
        self.events
    }

    /// Bytes of the payload so far.
    pub fn length(&self) -> usize {
        self.text.len() + self.facts.len() + 4
    }

    /// Adds an event. `false`, and nothing added, when its body is longer than `most` bytes.
    pub fn push(&mut self, event: &Event, most: usize) -> bool {
        let start = self.text.len();
        event.write_json(&mut self.text);
        let length = self.text.len() - start;
        if length > most {
            self.text.truncate(start);
            return false;
        }
        put(&mut self.facts, length as u64);
        self.put_origin(event.provenance());
        put(&mut self.facts, event.position.line);
        put(&mut self.facts, event.position.offset);
        self.put_rest(event);
        self.events += 1;
        true
    }

    fn put_origin(&mut self, origin: &Arc<Provenance>) {
        // Events of one chunk come in a row, so the last one is nearly always the one.
        let mut recent = self.origins.iter().enumerate().rev().take(RECENT_ORIGINS);
        let known = recent.find(|(_, one)| Arc::ptr_eq(one, origin));
        if let Some((place, _)) = known {
            return put(&mut self.facts, place as u64);
        }
        put(&mut self.facts, self.origins.len() as u64);
        put_text(&mut self.facts, &origin.source);
        put_text(&mut self.facts, &origin.object);
        put_signed(&mut self.facts, origin.received);
        self.origins.push(origin.clone());
    }

    fn put_rest(&mut self, event: &Event) {
        let extra = event.extra();
        let tenant = extra.and_then(|extra| extra.tenant.as_ref());
        let headers = extra.map_or(&[][..], |extra| &extra.headers[..]);
        let labels = label_bits(event.labels);
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        let facts = &mut self.facts;
        facts.push(
            flag(event.time.is_some(), TIME)
                | flag(event.counter > 0, COUNTER)
                | flag(labels > 0, LABELS)
                | flag(event.priority > 0, PRIORITY)
                | flag(tenant.is_some(), TENANT)
                | flag(!headers.is_empty(), HEADERS),
        );
        if let Some(time) = event.time {
            put_signed(facts, time);
        }
        if event.counter > 0 {
            put(facts, event.counter);
        }
        facts.extend((labels > 0).then_some(labels));
        facts.extend((event.priority > 0).then_some(event.priority));
        if let Some(tenant) = tenant {
            put_text(facts, tenant);
        }
        if !headers.is_empty() {
            put(facts, headers.len() as u64);
            for (name, value) in headers {
                put_text(facts, name);
                put_text(facts, value);
            }
        }
    }

    /// Appends the payload to `out` and begins the next one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&self.facts);
        out.extend_from_slice(&(self.text.len() as u32).to_le_bytes());
        self.clear();
    }

    /// Forgets what was gathered.
    pub fn clear(&mut self) {
        self.text.clear();
        self.facts.clear();
        self.origins.clear();
        self.events = 0;
    }
}

/// The labels as bits, in the order of [`Labels::ALL`].
fn label_bits(labels: Labels) -> u8 {
    if labels.is_empty() {
        return 0;
    }
    let set = Labels::ALL.into_iter().enumerate();
    set.fold(0, |bits, (bit, (label, _))| {
        bits | u8::from(labels.contains(label)) << bit
    })
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Small numbers of either sign are short.
fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number << 1 ^ number >> 63) as u64);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

//! From a record's payload back to its events. The bytes may be any: nothing is reserved that is
//! not paid for by bytes that are there.

use std::sync::Arc;

use super::payload::{COUNTER, HEADERS, LABELS, PRIORITY, TENANT, TIME};
use super::policy::RECORD_EVENTS;
use crate::event::{Batch, Event, EventsBuilder, Extra, Labels, PathSet, Position, Provenance};
use crate::stage::{Letter, Subject};

/// The least that is written of an event: five numbers.
const LEAST_FACTS: usize = 5;
/// Most bytes of a body that a letter shows.
const SAMPLE_BYTES: usize = 256;

/// What is known of an event beside its body.
pub(super) struct Facts {
    /// Its body in the record's text.
    pub start: usize,
    pub end: usize,
    /// Index of its origin.
    pub origin: usize,
    pub position: Position,
    time: Option<i64>,
    counter: u64,
    labels: Labels,
    priority: u8,
    extra: Option<Extra>,
}

/// A record's payload, taken apart. The bodies are not parsed yet.
pub(super) struct Payload {
    pub text: String,
    pub facts: Vec<Facts>,
    pub origins: Vec<Arc<Provenance>>,
}

/// Reads facts; `None` wherever the bytes are not what an [`Encoder`] writes.
struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if part << shift >> shift != part {
                return None;
            }
            number |= part << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn origin(&mut self, known: &mut Vec<Arc<Provenance>>) -> Option<usize> {
        let place = usize::try_from(self.number()?).ok()?;
        if place == known.len() {
            known.push(Arc::new(Provenance {
                source: self.text()?.into(),
                object: self.text()?.into(),
                received: self.signed()?,
            }));
        }
        (place < known.len()).then_some(place)
    }

    fn facts(&mut self, start: usize, known: &mut Vec<Arc<Provenance>>) -> Option<Facts> {
        let end = start.checked_add(usize::try_from(self.number()?).ok()?)?;
        let origin = self.origin(known)?;
        let (line, offset) = (self.number()?, self.number()?);
        let flags = self.byte()?;
        let has = |bit: u8| flags & bit != 0;
        Some(Facts {
            start,
            end,
            origin,
            position: Position { line, offset },
            time: if has(TIME) {
                Some(self.signed()?)
            } else {
                None
            },
            counter: if has(COUNTER) { self.number()? } else { 0 },
            labels: labels_of(if has(LABELS) { self.byte()? } else { 0 }),
            priority: if has(PRIORITY) { self.byte()? } else { 0 },
            extra: self.extra(has(TENANT), has(HEADERS))?,
        })
    }

    fn extra(&mut self, tenant: bool, headers: bool) -> Option<Option<Extra>> {
        if !tenant && !headers {
            return Some(None);
        }
        let mut extra = Extra::default();
        if tenant {
            extra.tenant = Some(self.text()?.into());
        }
        let count = if headers { self.number()? } else { 0 };
        // Not reserved: the count is whatever lies there, while each entry takes bytes.
        for _ in 0..count {
            let name = self.text()?.into();
            extra.headers.push((name, self.text()?.to_owned()));
        }
        Some(Some(extra))
    }
}

impl Payload {
    /// Takes a plain payload of so many events apart. `None` when it is not one.
    pub fn read(mut bytes: Vec<u8>, events: u32) -> Option<Self> {
        let (rest, length) = bytes.split_last_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (_, facts) = rest.split_at_checked(length)?;
        if events > RECORD_EVENTS {
            return None;
        }
        let events = events as usize;
        // What is reserved below is paid for by bytes that are there.
        if events > facts.len() / LEAST_FACTS {
            return None;
        }
        let (mut reading, mut all) = (Reading(facts), Vec::with_capacity(events));
        let (mut origins, mut start) = (Vec::new(), 0);
        for _ in 0..events {
            let one = reading.facts(start, &mut origins)?;
            start = one.end;
            all.push(one);
        }
        if start != length || !reading.0.is_empty() {
            return None;
        }
        bytes.truncate(length);
        let text = String::from_utf8(bytes).ok()?;
        let whole = all.iter().all(|one| text.is_char_boundary(one.end));
        whole.then_some(Self {
            text,
            facts: all,
            origins,
        })
    }

    /// Parses the bodies of the events from `skip` up to `keep`. What is no JSON for this
    /// pipeline (a member that it now reads may be there twice) goes to the dead letters.
    pub fn events(
        mut self,
        skip: usize,
        keep: usize,
        paths: &Arc<PathSet>,
    ) -> (Batch, Vec<Letter>) {
        self.facts.truncate(keep);
        self.facts.drain(..skip.min(self.facts.len()));
        if self.origins.len() == 1 {
            let from = self.origins[0].clone();
            return parse(self.text, self.facts, paths, &from);
        }
        self.events_of_many(paths)
    }

    /// One text for each origin, since a text has one; then all in their order again.
    fn events_of_many(self, paths: &Arc<PathSet>) -> (Batch, Vec<Letter>) {
        let mut parts: Vec<(String, Vec<Facts>)> = Vec::new();
        parts.resize_with(self.origins.len(), Default::default);
        let mut order = Vec::with_capacity(self.facts.len());
        for mut one in self.facts {
            let (text, facts) = &mut parts[one.origin];
            order.push(one.origin);
            let start = text.len();
            text.push_str(&self.text[one.start..one.end]);
            (one.start, one.end) = (start, text.len());
            facts.push(one);
        }
        let mut refused = Vec::new();
        let mut parsed = Vec::with_capacity(parts.len());
        for ((text, facts), from) in parts.into_iter().zip(&self.origins) {
            let (events, mut letters) = parse_each(text, facts, paths, from);
            parsed.push(events.into_iter());
            refused.append(&mut letters);
        }
        let next = |origin: usize| parsed[origin].next().flatten();
        let events: Vec<Event> = order.into_iter().filter_map(next).collect();
        (events.into(), refused)
    }
}

/// As [`parse`], with a place for each body: `None` where it was refused.
fn parse_each(
    text: String,
    facts: Vec<Facts>,
    paths: &Arc<PathSet>,
    from: &Arc<Provenance>,
) -> (Vec<Option<Event>>, Vec<Letter>) {
    let places: Vec<Position> = facts.iter().map(|one| one.position).collect();
    let (batch, refused) = parse(text, facts, paths, from);
    let mut events = batch.into_events().into_iter().peekable();
    let mut missing = refused.iter().peekable();
    let place = |position: Position| {
        // Refused bodies keep their order, so the first that is missing is the next of them.
        let lacks = missing.next_if(|letter| letter.position == position);
        if lacks.is_some() { None } else { events.next() }
    };
    (places.into_iter().map(place).collect(), refused)
}

fn parse(
    text: String,
    facts: Vec<Facts>,
    paths: &Arc<PathSet>,
    from: &Arc<Provenance>,
) -> (Batch, Vec<Letter>) {
    let mut builder = EventsBuilder::new(text, paths.clone(), from.clone(), facts.len());
    let mut refused = Vec::new();
    let mut taken = Vec::with_capacity(facts.len());
    for one in facts {
        match builder.push(one.start, one.end, one.position) {
            Ok(()) => taken.push(one),
            Err(bad) => {
                let body = &builder.text()[one.start..one.end];
                refused.push(letter(
                    body,
                    bad.reason,
                    bad.to_string(),
                    one.position,
                    from,
                ));
            }
        }
    }
    let mut batch = builder.finish();
    for (event, one) in batch.make_mut().iter_mut().zip(taken) {
        event.time = one.time;
        event.counter = one.counter;
        event.labels = one.labels;
        event.priority = one.priority;
        if let Some(extra) = one.extra {
            *event.extra_mut() = extra;
        }
    }
    (batch, refused)
}

fn letter(
    body: &str,
    reason: &'static str,
    detail: String,
    position: Position,
    from: &Arc<Provenance>,
) -> Letter {
    Letter {
        subject: Subject::Text {
            sample: body[..body.floor_char_boundary(SAMPLE_BYTES)].to_owned(),
            length: body.len() as u64,
        },
        reason,
        detail,
        violations: Vec::new(),
        node: from.source.clone(),
        attempts: 1,
        origin: Default::default(),
        position,
        provenance: from.clone(),
    }
}

fn labels_of(bits: u8) -> Labels {
    let mut labels = Labels::default();
    for (bit, (label, _)) in Labels::ALL.into_iter().enumerate() {
        if bits >> bit & 1 != 0 {
            labels.insert(label);
        }
    }
    labels
}

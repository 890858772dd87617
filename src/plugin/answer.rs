//! From what a plugin answered to what goes on, what was dropped and what is rejected.

use super::ears::Ears;
use super::guest::Fault;
use super::wire::Outcome;
use crate::event::{Batch, Event, Origin};
use crate::stage::{Applied, Letter};

/// Why an event was rejected that the plugin rejects.
const REJECTED: &str = "plugin_rejected";

/// What became of one event.
#[derive(Debug)]
pub(super) enum Fate {
    /// The plugin answered.
    Told(Outcome),
    /// It failed with this event alone.
    Failed(Fault),
}

const NO_BODY: Fault = Fault::Answer("it replaced an event by nothing");
const MANY_BODIES: Fault = Fault::Answer("it replaced an event by more than 4095");
const BAD_BODY: Fault = Fault::Answer("it replaced an event by what is no usable JSON");

/// One fate for each event of the batch, in order.
pub(super) fn applied(batch: Batch, fates: Vec<Fate>, ears: &Ears) -> Applied {
    // Nearly always all of a batch fares alike, and one that is kept as a whole is not touched.
    if fates
        .iter()
        .all(|fate| matches!(fate, Fate::Told(Outcome::Keep)))
    {
        return batch.into();
    }
    let mut made = made(batch.events(), &fates).into_iter();
    let mut applied = Applied::default();
    let mut on = Vec::with_capacity(batch.len());
    for (event, fate) in batch.into_events().into_iter().zip(fates) {
        match fate {
            Fate::Told(Outcome::Keep) => on.push(event),
            Fate::Told(Outcome::Drop(said)) => dropped(&mut applied, ears, &said),
            Fate::Told(Outcome::Reject(rejection)) => {
                let (reason, message) = (ears.reason(&rejection.reason), rejection.message);
                let detail = format!("{reason}: {}", ears.clean(&message));
                applied.rejected.push(Letter::new(event, REJECTED, detail));
            }
            Fate::Failed(fault) => applied.rejected.push(letter(event, &fault)),
            Fate::Told(Outcome::Replace(bodies)) => {
                let parts: Vec<_> = made.by_ref().take(expected(&bodies)).collect();
                // All of it or nothing: half of what it makes would look like the whole.
                match parts.into_iter().collect::<Option<Vec<_>>>() {
                    None => applied.rejected.push(letter(event, &BAD_BODY)),
                    Some(_) if bodies.is_empty() => applied.rejected.push(letter(event, &NO_BODY)),
                    Some(parts) if parts.is_empty() => {
                        applied.rejected.push(letter(event, &MANY_BODIES));
                    }
                    Some(parts) => replaced(parts, &mut on, &mut applied),
                }
            }
        }
    }
    applied.batch = on.into();
    applied
}

/// How many of the bodies are made into events: of too many none.
fn expected(bodies: &[String]) -> usize {
    match bodies.len() <= Origin::MAX_PARTS {
        true => bodies.len(),
        false => 0,
    }
}

/// All new bodies as events, those of one event after those of the one before it.
fn made(events: &[Event], fates: &[Fate]) -> Vec<Option<Event>> {
    let mut parts = Vec::with_capacity(fates.len());
    for (event, fate) in events.iter().zip(fates) {
        if let Fate::Told(Outcome::Replace(bodies)) = fate {
            let bodies = bodies.iter().take(expected(bodies));
            parts.extend(bodies.map(|body| (event, body.as_str())));
        }
    }
    let made = Event::with_texts(&parts).into_iter();
    made.map(Result::ok).collect()
}

fn replaced(parts: Vec<Event>, on: &mut Vec<Event>, applied: &mut Applied) {
    let several = parts.len() > 1;
    applied.created += parts.len() as u64 - 1;
    on.extend(parts.into_iter().zip(1..).map(|(mut part, number)| {
        if several {
            part.origin = part.origin.part(number);
        }
        part
    }));
}

fn dropped(applied: &mut Applied, ears: &Ears, said: &str) {
    let reason = format!("plugin:{}", ears.reason(said));
    match applied.dropped_as.iter_mut().find(|(it, _)| *it == reason) {
        Some((_, count)) => *count += 1,
        None => applied.dropped_as.push((reason, 1)),
    }
}

fn letter(event: Event, fault: &Fault) -> Letter {
    Letter::new(event, fault.reason(), fault.detail())
}

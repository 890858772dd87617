//! `map`: turns records of one shape into records of another.
//!
//! ```yaml
//! facts:
//!   type: map
//!   inputs: [x]
//!   when: { path: .detail-type, starts_with: v2. }   # others pass through as they are
//!   each: .participants[].sessions[]                 # one record for each element
//!   fields:
//!     event_id: { template: "{^^.conversationId}:{.sessionId}" }
//!     agent:    ^.userId
//!     seconds:  { between: [.segments[].segmentStart, .segments[].segmentEnd], as: integer }
//!     # The latest of all times, and `earliest` likewise.
//!     known: { latest: [.segments[].segmentStart, .segments[].segmentEnd] }
//!     .metadata.provider: .provider
//!     # What is known of an event besides its body: the object that it was read from.
//!     day: { meta: object, pattern: 'year=(\d+)/month=(\d+)', take: "{1}-{2}" }
//! ```
//!
//! Under `each`, `.x` is of the element in hand, `^.x` of the element around it, and so on outwards;
//! one step beyond the outermost element is the event. In the example: session, participant, event.
//!
//! With `keep: none` (the default) a record has the `fields` and nothing else; one without a value
//! is left out. With `keep: all` it is the event with changes: `fields` set, `rename`, `default` and
//! `drop`. A value that cannot be converted rejects the event (reason `map`) or becomes null, as
//! `on_error` says.

mod about;

pub use about::ABOUT;

mod check;
mod field;
mod item;
mod json;
mod laid;
mod locate;
mod shape;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use field::{Field, Trouble};
#[cfg(test)]
use item::Cast;
use item::Item;
use laid::Laid;
use locate::{Each, Scope};
use shape::Shape;

use crate::condition::Condition;
use crate::event::{Batch, Event, Origin, Path};
use crate::failure::Failure;
use crate::stage::{Applied, Letter, Transform};

/// Why an event was rejected, in the ledger and in the letters.
const REASON: &str = "map";
/// Why an event was dropped: `each` led to nothing.
const EMPTY: &str = "empty";

/// Most bytes that one event may become: so many for each of its own, and so many more. `each`
/// could otherwise repeat one long value thousands of times.
const GROWTH: usize = 16;
const SPARE: usize = 1 << 20;

/// The settings.
#[derive(Clone, Debug)]
pub struct Config(Plan);

#[derive(Clone, Debug)]
struct Plan {
    when: Option<Condition>,
    make: Make,
    on_error: OnError,
}

#[derive(Clone, Debug)]
enum Make {
    /// `keep: none`
    New {
        each: Option<Each>,
        fields: Vec<Named>,
        shape: Shape,
    },
    /// `keep: all`
    Over(Laid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnError {
    Reject,
    Null,
}

/// A field with its name and its place in the output.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    path: Path,
    field: Field,
}

/// Why an event is rejected; never with a value of it.
#[derive(Debug)]
struct Mistake {
    field: String,
    why: &'static str,
}

impl Config {
    /// Shows every path, so that it can be interned.
    pub fn paths(&mut self, visit: &mut dyn FnMut(&mut Path)) {
        if let Some(when) = &mut self.0.when {
            when.paths(visit);
        }
        match &mut self.0.make {
            Make::New { fields, .. } => {
                fields.iter_mut().for_each(|named| named.field.paths(visit));
            }
            Make::Over(laid) => laid.paths(visit),
        }
    }

    /// The transform itself.
    pub fn open(self) -> Map {
        Map(Arc::new(self.0))
    }
}

/// Makes records of another shape.
#[derive(Clone, Debug)]
pub struct Map(Arc<Plan>);

impl Transform for Map {
    async fn apply(&self, batch: Batch) -> Result<Applied, Failure> {
        Ok(match &self.0.make {
            Make::New {
                each,
                fields,
                shape,
            } => self.0.make_new(batch, each.as_ref(), fields, shape),
            Make::Over(laid) => self.0.lay_over(batch, laid),
        })
    }
}

impl Plan {
    fn takes(&self, event: &Event) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(event))
    }

    fn lay_over(&self, mut batch: Batch, laid: &Laid) -> Applied {
        if !batch.events().iter().any(|event| self.takes(event)) {
            return batch.into();
        }
        let mut mistakes: Vec<(usize, Mistake)> = Vec::new();
        for (index, event) in batch.make_mut().iter_mut().enumerate() {
            if self.takes(event)
                && let Err(mistake) = laid.apply(event, self.on_error)
            {
                mistakes.push((index, mistake));
            }
        }
        if mistakes.is_empty() {
            return batch.into();
        }
        let mut applied = Applied::default();
        let mut mistakes = mistakes.into_iter().peekable();
        let mut kept = Vec::with_capacity(batch.len());
        for (index, event) in batch.into_events().into_iter().enumerate() {
            match mistakes.next_if(|(wrong, _)| *wrong == index) {
                Some((_, mistake)) => applied.rejected.push(mistake.letter(event)),
                None => kept.push(event),
            }
        }
        applied.batch = kept.into();
        applied
    }

    fn make_new(
        &self,
        batch: Batch,
        each: Option<&Each>,
        fields: &[Named],
        shape: &Shape,
    ) -> Applied {
        if !batch.events().iter().any(|event| self.takes(event)) {
            return batch.into();
        }
        let mut applied = Applied::default();
        let mut made = Vec::with_capacity(batch.len());
        let mut empty = 0;
        for event in batch.into_events() {
            if !self.takes(&event) {
                made.push(event);
                continue;
            }
            let before = made.len();
            let maker = Maker {
                fields,
                shape,
                on_error: self.on_error,
            };
            match maker.make(&event, each, &mut made) {
                Ok(()) if made.len() == before => empty += 1,
                Ok(()) => applied.created += (made.len() - before - 1) as u64,
                Err(mistake) => {
                    // All of it or nothing: half a conversation would look like a whole one.
                    made.truncate(before);
                    applied.rejected.push(mistake.letter(event));
                }
            }
        }
        applied
            .dropped
            .extend((empty > 0).then_some((EMPTY, empty)));
        applied.batch = made.into();
        applied
    }
}

/// Makes the records of one event.
struct Maker<'p> {
    fields: &'p [Named],
    shape: &'p Shape,
    on_error: OnError,
}

impl Maker<'_> {
    fn make(
        &self,
        event: &Event,
        each: Option<&Each>,
        made: &mut Vec<Event>,
    ) -> Result<(), Mistake> {
        let mut room = event.length() as usize * GROWTH + SPARE;
        let Some(each) = each else {
            let scope = Scope { event, around: &[] };
            made.push(self.one(scope, &mut room)?);
            return Ok(());
        };
        let mut parts = 0;
        let mut answer = Ok(());
        each.visit(event, &mut |scope| {
            parts += 1;
            answer = match parts > Origin::MAX_PARTS {
                true => Err(Mistake::whole("`each` leads to more than 4095 elements")),
                false => self.one(scope, &mut room).map(|mut record| {
                    record.origin = event.origin.part(parts);
                    made.push(record);
                }),
            };
            answer.is_ok()
        });
        answer
    }

    fn one(&self, scope: Scope<'_, '_>, room: &mut usize) -> Result<Event, Mistake> {
        let mut out = Vec::with_capacity(512);
        self.shape.write(&mut out, &mut |number, out| {
            let item = self.fields[number].value(scope, self.on_error)?;
            if let Some(item) = &item {
                item.write_json(out);
            }
            match out.len() > *room {
                true => Err(Mistake::whole("it makes too much of one event")),
                false => Ok(item.is_some()),
            }
        })?;
        *room -= out.len().min(*room);
        let is_bad = |_| Mistake::whole("what it makes is no usable JSON");
        let text = String::from_utf8(out).map_err(|_| Mistake::whole("it is not text"))?;
        scope.event.with_body(text).map_err(is_bad)
    }
}

impl Named {
    fn value<'a>(
        &'a self,
        scope: Scope<'a, '_>,
        on_error: OnError,
    ) -> Result<Option<Item<'a>>, Mistake> {
        match (self.field.value(scope), on_error) {
            (Ok(item), _) => Ok(item),
            (Err(Trouble::Failed(_)), OnError::Null) => Ok(Some(Item::Null)),
            (Err(Trouble::Failed(why) | Trouble::Refused(why)), _) => Err(Mistake {
                field: self.name.clone(),
                why,
            }),
        }
    }
}

impl Mistake {
    /// About no field in particular.
    fn whole(why: &'static str) -> Self {
        Self {
            field: String::new(),
            why,
        }
    }

    fn letter(self, event: Event) -> Letter {
        let detail = match self.field.as_str() {
            "" => self.why.to_owned(),
            field => format!("`{field}`: {}", self.why),
        };
        Letter::new(event, REASON, detail)
    }
}

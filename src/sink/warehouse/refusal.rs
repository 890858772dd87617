//! Why single events are not taken.

use super::model::{INPUTS, Kind};
use crate::event::Origin;
use crate::failure::{Cause, Failure, Kind as FailureKind, Loss, Which};

/// What is wrong with an event. A column is named by its place among the inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    MissingEventId,
    MissingInteractionId,
    BadTimestamp,
    TooLong(usize),
    WrongType(usize),
    /// The database refuses it, for example by a constraint that somebody gave the table; in its
    /// words, without values.
    Constraint(String),
}

impl Refusal {
    /// The stable word for ledgers and dead letters.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::MissingEventId => "missing_event_id",
            Refusal::MissingInteractionId => "missing_interaction_id",
            Refusal::BadTimestamp => "bad_timestamp",
            Refusal::TooLong(_) => "value_too_long",
            Refusal::WrongType(_) => "wrong_type",
            Refusal::Constraint(_) => "constraint",
        }
    }

    /// For people; holds no value of the event.
    pub fn message(&self) -> String {
        let name = |place: usize| INPUTS[place].name;
        match self {
            Refusal::MissingEventId => "the event has no `event_id`".to_owned(),
            Refusal::MissingInteractionId => "the event has no `interaction_id`".to_owned(),
            Refusal::BadTimestamp => "the event has no time that can be read \
                 (RFC 3339 with its offset, or a number since 1970)"
                .to_owned(),
            Refusal::TooLong(place) => match INPUTS[*place].kind {
                Kind::Text(most) => {
                    format!("column `{}` takes at most {most} characters", name(*place))
                }
                _ => format!("column `{}` cannot take so much", name(*place)),
            },
            Refusal::WrongType(place) => match INPUTS[*place].kind {
                Kind::Integer => {
                    format!("column `{}` takes a whole number of 32 bits", name(*place))
                }
                _ => format!(
                    "column `{}` takes text without a zero character",
                    name(*place)
                ),
            },
            Refusal::Constraint(reason) => reason.clone(),
        }
    }
}

/// The events of a batch that were refused, by what is wrong with them.
#[derive(Default)]
pub(super) struct Refusals(Vec<(Refusal, Vec<Origin>)>);

impl Refusals {
    pub fn push(&mut self, refusal: Refusal, origin: Origin) {
        // A short list: there are few more refusals than reasons, columns and constraints.
        match self.0.iter_mut().find(|(known, _)| *known == refusal) {
            Some((_, origins)) => origins.push(origin),
            None => self.0.push((refusal, vec![origin])),
        }
    }

    /// `Ok` if there are none.
    pub fn into_result(self) -> Result<(), Failure> {
        let losses = self.0.into_iter().map(|(refusal, origins)| Loss {
            kind: FailureKind::Rejected,
            node: Default::default(),
            which: Which::Only(origins),
            cause: Cause::new(refusal.reason(), refusal.message()),
        });
        Failure::from_losses(losses.collect()).map_or(Ok(()), Err)
    }
}

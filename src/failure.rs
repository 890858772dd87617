//! What a stage answers when it did not deliver.
//!
//! A [`Failure`] names the *origins* it speaks of, not indices: indices do not survive transforms
//! that drop, split or reorder. Its kind is decided where the error is born and nowhere else.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Batch, Origin};

/// What can be done about a failure. Ordered by how bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It may go well if tried again (time-out, busy, throttled).
    Transient,
    /// The connection is dead; a new one may work.
    Disconnected,
    /// These events will never be taken as they are.
    Rejected,
    /// Nothing will go well until a person acts (disk full, access revoked): the run stops.
    Fatal,
}

/// Which events of the batch a loss speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of the batch that was handed over in that call.
    All,
    /// Those of these origins.
    Only(Vec<Origin>),
}

/// Why, in a form that a ledger can count and a person can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Stable word for counters and dead letters, such as `timeout` or `not_json`.
    pub reason: &'static str,
    /// For people. Never holds a value of an event or a secret.
    pub message: Cow<'static, str>,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// How often it was tried, from 1; whoever tries again fills it in.
    pub attempts: u32,
}

/// The reason of a rejection that comes of silence: the other side may have done what it was asked, and
/// must not be asked again. Breakers count it as a failure of that side.
pub const UNANSWERED: &str = "unanswered";

impl Cause {
    /// A cause with no wish about when to try again.
    pub fn new(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry_after: None,
            attempts: 1,
        }
    }
}

/// Events that were not delivered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What can be done.
    pub kind: Kind,
    /// The node where it was born; empty until the node's own wrapper fills it in.
    pub node: Arc<str>,
    /// Which events.
    pub which: Which,
    /// Why.
    pub cause: Cause,
}

/// One or more losses. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(Vec<Loss>);

impl Failure {
    /// The whole batch failed.
    pub fn new(kind: Kind, cause: Cause) -> Self {
        Self(vec![Loss {
            kind,
            node: Arc::default(),
            which: Which::All,
            cause,
        }])
    }

    /// Some events failed. `None` when `origins` is empty.
    pub fn only(kind: Kind, cause: Cause, origins: Vec<Origin>) -> Option<Self> {
        let which = Which::Only(origins);
        let empty = which == Which::Only(Vec::new());
        (!empty).then(|| {
            Self(vec![Loss {
                kind,
                node: Arc::default(),
                which,
                cause,
            }])
        })
    }

    /// From losses; `None` when there is none.
    pub fn from_losses(losses: Vec<Loss>) -> Option<Self> {
        (!losses.is_empty()).then_some(Self(losses))
    }

    /// A transient failure of the whole batch.
    pub fn transient(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Transient, Cause::new(reason, message))
    }

    /// A rejection of the whole batch.
    pub fn rejected(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Rejected, Cause::new(reason, message))
    }

    /// A failure that stops the run.
    pub fn fatal(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Fatal, Cause::new(reason, message))
    }

    /// A connection that is gone.
    pub fn disconnected(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Disconnected, Cause::new(reason, message))
    }

    /// The losses; at least one.
    pub fn losses(&self) -> &[Loss] {
        &self.0
    }

    /// The losses themselves.
    pub fn into_losses(self) -> Vec<Loss> {
        self.0
    }

    /// The worst kind among the losses.
    pub fn kind(&self) -> Kind {
        self.0
            .iter()
            .map(|loss| loss.kind)
            .max()
            .unwrap_or(Kind::Transient)
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Failure) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Fills in the node where it was born, unless one is there.
    #[must_use]
    pub fn at(mut self, node: &Arc<str>) -> Self {
        for loss in self.0.iter_mut().filter(|loss| loss.node.is_empty()) {
            loss.node = node.clone();
        }
        self
    }

    /// "All" written out as these origins. To be called wherever a batch was made smaller or put
    /// together from several, since "all" means another thing on each side of that.
    #[must_use]
    pub fn named(mut self, origins: &[Origin]) -> Self {
        for loss in self.0.iter_mut().filter(|loss| loss.which == Which::All) {
            loss.which = Which::Only(origins.to_vec());
        }
        self
    }

    /// True when every loss speaks of the whole batch or the first does.
    pub fn is_all(&self) -> bool {
        self.0.iter().any(|loss| loss.which == Which::All)
    }

    /// The origins among `batch` that were lost.
    pub fn lost(&self, batch: &Batch) -> HashSet<Origin> {
        self.lost_of(&batch.origins())
    }

    /// Those of `origins` that were lost. What a stage further down made of an event (a part) takes
    /// the event along, and an event its parts.
    pub fn lost_of(&self, origins: &[Origin]) -> HashSet<Origin> {
        let (mut named, mut wholes) = (HashSet::new(), HashSet::new());
        for loss in &self.0 {
            match &loss.which {
                Which::All => return origins.iter().copied().collect(),
                Which::Only(lost) => named.extend(lost.iter().copied()),
            }
        }
        wholes.extend(named.iter().map(|origin| origin.whole()));
        let is_lost = |origin: &Origin| {
            let whole = origin.whole();
            named.contains(origin)
                || named.contains(&whole)
                || (whole == *origin && wholes.contains(origin))
        };
        origins.iter().copied().filter(is_lost).collect()
    }

    /// How many of `origins` were lost, each as often as it is there.
    pub fn count(&self, origins: &[Origin]) -> u64 {
        let lost = self.lost_of(origins);
        origins.iter().filter(|o| lost.contains(o)).count() as u64
    }

    /// How long the slowest of the other sides asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0
            .iter()
            .filter_map(|loss| loss.cause.retry_after)
            .max()
    }

    /// Answers of several branches as one: `Ok` only when all are.
    ///
    /// # Errors
    /// All failures together.
    pub fn join(answers: impl IntoIterator<Item = Result<(), Failure>>) -> Result<(), Failure> {
        let failures = answers.into_iter().filter_map(Result::err);
        failures.reduce(Failure::and).map_or(Ok(()), Err)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, loss) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("; ")?;
            }
            if !loss.node.is_empty() {
                write!(out, "`{}`: ", loss.node)?;
            }
            write!(out, "{} ({}", loss.cause.message, loss.cause.reason)?;
            if let Which::Only(origins) = &loss.which {
                write!(out, ", {} events", origins.len())?;
            }
            out.write_str(")")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_part_takes_its_event_along_but_not_the_other_parts() {
        let event = Origin::new(7, 3);
        let other = Origin::new(7, 4);
        let cause = || Cause::new("x", "y");
        let part = Failure::only(Kind::Transient, cause(), vec![event.part(2)]).unwrap();
        let all = [event, event.part(1), event.part(2), other];
        assert_eq!(part.lost_of(&all), HashSet::from([event, event.part(2)]));
        let whole = Failure::only(Kind::Transient, cause(), vec![event]).unwrap();
        assert_eq!(whole.lost_of(&all), HashSet::from([all[0], all[1], all[2]]));
        let unknown = Failure::only(Kind::Transient, cause(), vec![Origin::new(8, 3)]).unwrap();
        assert!(unknown.lost_of(&all).is_empty());
    }

    #[test]
    fn joins_and_names() {
        let origins = [Origin::new(1, 0), Origin::new(1, 1)];
        let a = Failure::transient("timeout", "slow")
            .at(&"a".into())
            .named(&origins);
        let b = Failure::fatal("disk_full", "no space").at(&"b".into());
        let both = Failure::join([Ok(()), Err(a.clone()), Err(b)]).unwrap_err();
        assert_eq!(both.kind(), Kind::Fatal);
        assert_eq!(both.losses()[0].which, Which::Only(origins.to_vec()));
        assert_eq!(
            both.to_string(),
            "`a`: slow (timeout, 2 events); `b`: no space (disk_full)"
        );
        assert!(Failure::only(Kind::Rejected, Cause::new("x", "y"), vec![]).is_none());
        assert_eq!(a.at(&"other".into()).losses()[0].node.as_ref(), "a");
    }
}

//! What may go on, and what is to be said about what goes on out of order.

use super::config::{By, Config};
use super::conversation::Conversation;
use super::reading::{Facts, UNRANKED};
use crate::clock::VectorClock;
use crate::event::Labels;

/// The three ways to know what comes before what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// By time and rank; says whether a conversation must begin with rank 0.
    Lifecycle { opener: bool },
    /// By number.
    Sequence,
    /// By clock.
    VectorClock,
}

impl Rules {
    pub fn new(config: &Config) -> Self {
        match &config.by {
            By::Lifecycle(lifecycle) => Self::Lifecycle {
                opener: lifecycle.opener_required && lifecycle.path.is_some(),
            },
            By::Sequence { .. } => Self::Sequence,
            By::VectorClock { .. } => Self::VectorClock,
        }
    }

    /// True when the event need not wait for a predecessor: all are there, or it is late itself.
    pub fn may_go(self, after: &Conversation, facts: &Facts) -> bool {
        match self {
            Self::Lifecycle { .. } => !self.is_orphan(after, facts),
            Self::Sequence => facts.place <= after.position.saturating_add(1),
            Self::VectorClock => with_clock(after, facts, |seen, _, clock, node| {
                clock.get(node) <= seen.get(node) || clock.is_next_after(seen, node)
            }),
        }
    }

    /// The labels of an event that goes on now. `follows`: it goes right behind the opener that it
    /// waited for, so an earlier time of its own only says that two machines' clocks differ.
    pub fn labels(self, after: &Conversation, facts: &Facts, follows: bool) -> Labels {
        let mut labels = Labels::default();
        let mut label = |label, applies| {
            if applies {
                labels.insert(label);
            }
        };
        match self {
            Self::Lifecycle { .. } => {
                label(Labels::ORPHAN, self.is_orphan(after, facts));
                let late = !follows && after.is_past(facts.time, facts.rank, facts.participant);
                label(Labels::LATE, late);
            }
            Self::Sequence => {
                label(Labels::LATE, facts.place <= after.position);
                let gap = facts.place > after.position.saturating_add(1);
                label(Labels::GAP, gap);
            }
            Self::VectorClock => {
                with_clock(after, facts, |seen, last, clock, node| {
                    let late = clock.get(node) <= seen.get(node);
                    label(Labels::LATE, late);
                    label(Labels::GAP, !late && !clock.is_next_after(seen, node));
                    label(Labels::CONCURRENT, clock.concurrent(last));
                    true
                });
            }
        }
        labels
    }

    /// The conversation after this event.
    pub fn advance(self, conversation: &mut Conversation, facts: Facts) {
        conversation.advance(facts.time, facts.rank, facts.participant);
        match self {
            Self::Lifecycle { .. } => conversation.opened |= facts.rank == 0,
            Self::Sequence => conversation.position = conversation.position.max(facts.place),
            Self::VectorClock => {
                let Some(stamp) = facts.stamp else { return };
                let clocks = conversation.clocks.get_or_insert_default();
                // A conversation of more nodes than a clock has room for forgets the later ones:
                // their events go on, with a label where they had to wait.
                let _ = clocks.seen.merge(&stamp.clock);
                clocks.last = stamp.clock;
            }
        }
    }

    fn is_orphan(self, after: &Conversation, facts: &Facts) -> bool {
        self == Self::Lifecycle { opener: true }
            && !after.opened
            && facts.rank != 0
            && facts.rank != UNRANKED
    }
}

/// Calls `f` with all that was seen, the clock that went on last, and the event's clock and node.
fn with_clock(
    after: &Conversation,
    facts: &Facts,
    f: impl FnOnce(&VectorClock, &VectorClock, &VectorClock, &str) -> bool,
) -> bool {
    let none = VectorClock::new();
    let Some(stamp) = &facts.stamp else {
        return true;
    };
    let (seen, last) = match &after.clocks {
        Some(clocks) => (&clocks.seen, &clocks.last),
        None => (&none, &none),
    };
    f(seen, last, &stamp.clock, &stamp.node)
}

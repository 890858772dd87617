//! What stages pass to each other: a run of events, cloned in O(1).

use std::sync::Arc;

use super::{Event, Origin};

/// Events in order. A clone shares them; [`Batch::make_mut`] copies only where it is shared.
#[derive(Clone, Debug, Default)]
pub struct Batch(Arc<Vec<Event>>);

impl Batch {
    /// How many events.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bodies' size in bytes, as they came.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|event| u64::from(event.length)).sum()
    }

    /// The events, to read.
    pub fn events(&self) -> &[Event] {
        &self.0
    }

    /// The events, to change.
    pub fn make_mut(&mut self) -> &mut Vec<Event> {
        Arc::make_mut(&mut self.0)
    }

    /// The events themselves; copied only where the batch is shared.
    pub fn into_events(self) -> Vec<Event> {
        Arc::try_unwrap(self.0).unwrap_or_else(|shared| (*shared).clone())
    }

    /// The events' origins, in order.
    pub fn origins(&self) -> Vec<Origin> {
        self.0.iter().map(|event| event.origin).collect()
    }
}

impl From<Vec<Event>> for Batch {
    fn from(events: Vec<Event>) -> Self {
        Self(Arc::new(events))
    }
}

impl FromIterator<Event> for Batch {
    fn from_iter<T: IntoIterator<Item = Event>>(events: T) -> Self {
        events.into_iter().collect::<Vec<_>>().into()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

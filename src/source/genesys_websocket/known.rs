//! Which conversations each channel has told of and not told the end of: what is re-read after a
//! gap. Bounded: of too many the one that was first seen is forgotten.

use std::collections::VecDeque;

use compact_str::CompactString;
use hashbrown::HashMap;

use super::config::Seen;
use crate::event::{Event, Kind};

/// The topic of what is re-read.
pub(super) const REREAD: &str = "trunkline.conversation.reread";

/// What an event says about its conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub id: CompactString,
    pub ended: bool,
}

/// The conversations of all channels.
pub(super) struct Known {
    /// With the channel and the number of its place in the order.
    ids: HashMap<CompactString, (u32, u64)>,
    /// In the order of their first sight; those that are gone are left until it is cleared up.
    order: VecDeque<(u64, CompactString)>,
    next: u64,
    most: usize,
}

impl Known {
    pub fn new(most: usize) -> Self {
        Self {
            ids: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
            most,
        }
    }

    /// Takes in what an event of a channel told.
    pub fn take(&mut self, channel: u32, told: Told) {
        if told.ended {
            self.ids.remove(&told.id);
            return;
        }
        if let Some((of, _)) = self.ids.get_mut(&told.id) {
            *of = channel;
            return;
        }
        while self.ids.len() >= self.most {
            self.forget_first();
        }
        self.order.push_back((self.next, told.id.clone()));
        self.ids.insert(told.id, (channel, self.next));
        self.next += 1;
        // The order is never much longer than what is known.
        if self.order.len() > 2 * self.ids.len() + 1024 {
            let ids = &self.ids;
            let there = |(number, id): &(u64, CompactString)| {
                ids.get(id).is_some_and(|(_, at)| at == number)
            };
            self.order.retain(there);
        }
    }

    fn forget_first(&mut self) {
        while let Some((number, id)) = self.order.pop_front() {
            if self.ids.get(&id).is_some_and(|(_, at)| *at == number) {
                self.ids.remove(&id);
                return;
            }
        }
    }

    /// A conversation that is not there any more.
    pub fn gone(&mut self, id: &str) {
        self.ids.remove(id);
    }

    /// Those of a channel.
    pub fn of(&self, channel: u32) -> Vec<CompactString> {
        let ours = self.ids.iter().filter(|(_, (of, _))| *of == channel);
        ours.map(|(id, _)| id.clone()).collect()
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// What an event tells; `None` where it is about no conversation. A few look-ups of interned paths.
pub(super) fn look(event: &Event, seen: &Seen) -> Option<Told> {
    if let Some(topic) = event.text(&seen.topic) {
        return of_topic(event, &topic, seen);
    }
    let id = event.text(&seen.interaction)?;
    let kind = event.text(&seen.kind).unwrap_or_default();
    let state = event.text(&seen.state).unwrap_or_default();
    // Of a participant the same words mean that one has left.
    let ended = kind.contains("lifecycle") && is_final(&state);
    told(&id, ended)
}

fn of_topic(event: &Event, topic: &str, seen: &Seen) -> Option<Told> {
    if let Some(id) = event.text(&seen.conversation) {
        return told(&id, topic.ends_with(".customer.end"));
    }
    // `v2.users.{id}.presence` and others have ids too, of other things.
    let snapshot = topic.ends_with(".conversations") || topic.contains(".conversations.");
    if !snapshot && topic != REREAD {
        return None;
    }
    let id = event.text(&seen.id)?;
    let over = event
        .get(&seen.end)
        .is_some_and(|end| end.kind() != Kind::Null);
    told(&id, over || all_left(event, seen))
}

/// Whether there are participants, and none of them is left.
fn all_left(event: &Event, seen: &Seen) -> bool {
    let Some(participants) = event.get(&seen.participants) else {
        return false;
    };
    let mut count = 0;
    let left = participants.elements().all(|participant| {
        count += 1;
        let end = participant.member("endTime");
        let state = || participant.member("state")?.as_str();
        end.is_some_and(|end| end.kind() == Kind::Text)
            || state().is_some_and(|state| is_final(&state))
    });
    left && count > 0
}

fn is_final(state: &str) -> bool {
    ["disconnected", "terminated", "ended"]
        .iter()
        .any(|word| state.eq_ignore_ascii_case(word))
}

/// Ids are short; what is not is none, and would cost memory.
fn told(id: &str, ended: bool) -> Option<Told> {
    let usable = !id.is_empty() && id.len() <= 128;
    usable.then(|| Told {
        id: id.into(),
        ended,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::PathSet;

    fn tell(json: &str) -> Option<(String, bool)> {
        let (mut paths, mut seen) = (PathSet::default(), Seen::default());
        seen.visit(&mut |path| paths.intern(path));
        let event = Event::parse(json.to_owned(), &Arc::new(paths), &Arc::default()).unwrap();
        look(&event, &seen).map(|told| (told.id.to_string(), told.ended))
    }

    #[test]
    fn conversations_and_their_ends_are_seen_in_all_shapes() {
        let open = r#"{"topicName":"v2.users.u.conversations","eventBody":{"id":"c","participants":[{"endTime":"t"},{"id":"p"}]}}"#;
        assert_eq!(tell(open), Some(("c".into(), false)));
        let over = r#"{"topicName":"v2.users.u.conversations","eventBody":{"id":"c","participants":[{"endTime":"t"}]}}"#;
        assert_eq!(tell(over), Some(("c".into(), true)));
        let flat = r#"{"topicName":"v2.users.u.conversations.calls","eventBody":{"id":"c","participants":[{"state":"terminated"}]}}"#;
        assert_eq!(tell(flat), Some(("c".into(), true)));
        let detail = r#"{"topicName":"v2.detail.events.conversation.c.customer.end","eventBody":{"conversationId":"c"}}"#;
        assert_eq!(tell(detail), Some(("c".into(), true)));
        let user = r#"{"topicName":"v2.detail.events.conversation.c.user.end","eventBody":{"conversationId":"c"}}"#;
        assert_eq!(tell(user), Some(("c".into(), false)));
        let reread =
            r#"{"topicName":"trunkline.conversation.reread","eventBody":{"id":"c","endTime":"t"}}"#;
        assert_eq!(tell(reread), Some(("c".into(), true)));
        let event = r#"{"eventType":"interaction.lifecycleStateChange","data":{"interactionId":"c","state":"ended"}}"#;
        assert_eq!(tell(event), Some(("c".into(), true)));
        let left = r#"{"eventType":"interaction.participant.left","data":{"interactionId":"c","state":"disconnected"}}"#;
        assert_eq!(tell(left), Some(("c".into(), false)));
    }

    #[test]
    fn other_things_with_ids_are_no_conversations() {
        assert_eq!(
            tell(r#"{"topicName":"v2.users.u.routingStatus","eventBody":{"id":"u"}}"#),
            None
        );
        assert_eq!(
            tell(r#"{"topicName":"v2.users.u.conversationsummary","eventBody":{"id":"u"}}"#),
            None
        );
        assert_eq!(tell(r#"{"a":1}"#), None);
        assert_eq!(
            tell(r#"{"topicName":"v2.users.u.conversations","eventBody":{"id":7}}"#),
            None
        );
    }

    #[test]
    fn too_many_and_ended_ones_are_forgotten() {
        let mut known = Known::new(3);
        let open = |id: usize| told(&format!("c{id}"), false).unwrap();
        (0..5).for_each(|id| known.take(id as u32 % 2, open(id)));
        let mut odd = known.of(1);
        odd.sort();
        assert_eq!((known.len(), odd), (3, vec!["c3".into()]));
        known.take(0, told("c3", true).unwrap());
        known.gone("c4");
        assert_eq!(known.of(0), ["c2"]);
        for id in 0..100_000 {
            known.take(0, open(id));
            known.take(0, told(&format!("c{id}"), true).unwrap());
        }
        assert!(known.order.len() < 2000, "{}", known.order.len());
    }
}

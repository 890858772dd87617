//! What an event is: which envelope it came in, and what its topic is about.

use std::borrow::Cow;

use super::Paths;
use crate::event::{Event, Kind, Value};

/// The topic under which a conversation comes that was read again over REST.
const REREAD: &str = "trunkline.conversation.reread";

/// What an event is.
pub(super) enum Frame<'a> {
    /// A snapshot of a conversation.
    Snapshot(Told<'a>),
    /// One thing that happened in it.
    Detail(Told<'a>),
    /// Of the form that this transform makes.
    Canonical,
    /// Not about a participant.
    Other,
}

/// What a topic tells.
pub(super) struct Told<'a> {
    /// The conversation, or the detail.
    pub body: Value<'a>,
    /// The topic with `{id}` in the place of its identifier; what `data.topic` says.
    pub family: &'static str,
    /// What the topic names behind the family: a medium, or the kind of a detail.
    pub rest: Option<Cow<'a, str>>,
    /// The envelope's own times, best first.
    pub times: [Option<Value<'a>>; 2],
}

/// Families of topics: what is before the identifier, what is behind it.
const FAMILIES: &[(&str, &str, &str)] = &[
    ("v2.users.", ".conversations", "v2.users.{id}.conversations"),
    (
        "v2.routing.queues.",
        ".conversations",
        "v2.routing.queues.{id}.conversations",
    ),
    (DETAIL, "", "v2.detail.events.conversation.{id}"),
];

const DETAIL: &str = "v2.detail.events.conversation.";

impl<'a> Frame<'a> {
    /// Looks at an event.
    pub(super) fn of(event: &'a Event, paths: &Paths) -> Self {
        if let Some(topic) = event.text(&paths.topic) {
            let body = event.get(&paths.body);
            // The simulator says it where its clock is not ours.
            let at = event.get(&paths.told_at);
            return Self::told(topic, body, [at, None]);
        }
        if let Some(detail) = event.get(&paths.detail) {
            // The type is what rules on the way here have looked at; it has `{id}` for the
            // identifier, or the identifier itself.
            let topic = event.text(&paths.detail_type);
            let topic = topic.or_else(|| detail.member("topicName")?.as_str());
            let times = [detail.member("timestamp"), event.get(&paths.time)];
            return match topic {
                Some(topic) => Self::told(topic, detail.member("eventBody"), times),
                None => Self::Other,
            };
        }
        if event.get(&paths.event_id).is_some() || event.get(&paths.data).is_some() {
            return Self::Canonical;
        }
        // A conversation as a reply of the REST API has it, out of a file.
        match event.get(&paths.participants).map(|list| list.kind()) {
            Some(Kind::Array) => {
                Self::told(Cow::Borrowed(REREAD), Some(event.body()), [None, None])
            }
            _ => Self::Other,
        }
    }

    fn told(topic: Cow<'a, str>, body: Option<Value<'a>>, times: [Option<Value<'a>>; 2]) -> Self {
        let body = body.filter(|body| body.kind() == Kind::Object);
        let (Some(body), Some((family, at))) = (body, family(&topic)) else {
            return Self::Other;
        };
        let rest = at.map(|at| match topic {
            Cow::Borrowed(topic) => Cow::Borrowed(&topic[at..]),
            Cow::Owned(topic) => Cow::Owned(topic[at..].to_owned()),
        });
        let told = Told {
            body,
            family,
            rest,
            times,
        };
        match family.starts_with(DETAIL) {
            true => Self::Detail(told),
            false => Self::Snapshot(told),
        }
    }
}

/// The family of a topic, and where in its name that begins which the family leaves open.
fn family(topic: &str) -> Option<(&'static str, Option<usize>)> {
    if topic == REREAD {
        return Some((REREAD, None));
    }
    for &(before, behind, family) in FAMILIES {
        let Some(id) = topic.strip_prefix(before) else {
            continue;
        };
        let end = before.len() + id.find('.').filter(|length| *length > 0)?;
        let rest = topic[end..].strip_prefix(behind)?;
        let at = topic.len() - rest.len();
        return match rest.strip_prefix('.') {
            Some(rest) if !rest.is_empty() => Some((family, Some(at + 1))),
            // Each detail is of a kind.
            None if rest.is_empty() && !behind.is_empty() => Some((family, None)),
            _ => None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_families_of_topics() {
        let of = |topic: &'static str| {
            family(topic).map(|(family, at)| (family, at.map(|at| &topic[at..])))
        };
        for (topic, expected) in [
            (
                "v2.users.u-1.conversations",
                Some(("v2.users.{id}.conversations", None)),
            ),
            (
                "v2.users.u-1.conversations.calls",
                Some(("v2.users.{id}.conversations", Some("calls"))),
            ),
            (
                "v2.routing.queues.q-1.conversations.messages",
                Some(("v2.routing.queues.{id}.conversations", Some("messages"))),
            ),
            (
                "v2.detail.events.conversation.c-1.user.end",
                Some(("v2.detail.events.conversation.{id}", Some("user.end"))),
            ),
            (
                "v2.detail.events.conversation.{id}.acw",
                Some(("v2.detail.events.conversation.{id}", Some("acw"))),
            ),
            (REREAD, Some((REREAD, None))),
            ("v2.users.u-1.conversationsummary", None),
            ("v2.users.u-1.presence", None),
            ("v2.users.u-1?presence&routingStatus", None),
            ("v2.users..conversations", None),
            ("v2.users.u-1.conversations.", None),
            ("v2.detail.events.conversation.c-1", None),
            ("v2.detail.events.conversation.c-1.", None),
            ("v2.detail.events.agent.u-1.state", None),
            ("v2.conversations.chats.c-1.messages", None),
            ("channel.metadata", None),
            ("", None),
        ] {
            assert_eq!(of(topic), expected, "{topic}");
        }
    }
}

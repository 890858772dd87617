//! The topics that there are, and who may have them.

use super::config::Client;

/// Longest topic in characters.
pub(super) const MAX_LENGTH: usize = 200;
/// Most single topics that one combined entry may stand for.
const MAX_COMBINED: usize = 32;

/// A kind of topic.
pub(super) struct Kind {
    /// With `{id}` where an id stands.
    pub(super) template: &'static str,
    /// What a client needs for it.
    pub(super) permission: &'static str,
}

const fn kind(template: &'static str, permission: &'static str) -> Kind {
    Kind {
        template,
        permission,
    }
}

const CONVERSATION: &str = "conversation:communication:view";
const DETAIL: &str = "analytics:conversationDetail:view";
const QUEUE: &str = "routing:queue:view";
const PRESENCE: &str = "presence:presence:view";

/// Topics that can be subscribed to.
pub(super) const KINDS: &[Kind] = &[
    kind("v2.users.{id}.conversations", CONVERSATION),
    kind("v2.users.{id}.conversations.calls", CONVERSATION),
    kind("v2.users.{id}.conversations.messages", CONVERSATION),
    kind("v2.users.{id}.conversations.emails", CONVERSATION),
    kind("v2.users.{id}.conversations.callbacks", CONVERSATION),
    kind("v2.routing.queues.{id}.conversations", CONVERSATION),
    kind("v2.routing.queues.{id}.conversations.calls", CONVERSATION),
    kind(
        "v2.routing.queues.{id}.conversations.messages",
        CONVERSATION,
    ),
    kind("v2.routing.queues.{id}.conversations.emails", CONVERSATION),
    kind(
        "v2.routing.queues.{id}.conversations.callbacks",
        CONVERSATION,
    ),
    kind("v2.routing.queues.{id}.users", QUEUE),
    kind("v2.users.{id}.presence", PRESENCE),
    kind("v2.users.{id}.routingStatus", PRESENCE),
    kind("v2.users.{id}.activity", PRESENCE),
    kind("v2.users.{id}.station", PRESENCE),
    kind("v2.users.{id}.tokens", "oauth:client:view"),
    kind("v2.detail.events.conversation.{id}.acd.start", DETAIL),
    kind("v2.detail.events.conversation.{id}.acd.end", DETAIL),
    kind("v2.detail.events.conversation.{id}.acw", DETAIL),
    kind("v2.detail.events.conversation.{id}.attributes", DETAIL),
    kind("v2.detail.events.conversation.{id}.contact", DETAIL),
    kind("v2.detail.events.conversation.{id}.customer.start", DETAIL),
    kind("v2.detail.events.conversation.{id}.customer.end", DETAIL),
    kind("v2.detail.events.conversation.{id}.flow.start", DETAIL),
    kind("v2.detail.events.conversation.{id}.flow.end", DETAIL),
    kind("v2.detail.events.conversation.{id}.flow.outcome", DETAIL),
    kind("v2.detail.events.conversation.{id}.outbound", DETAIL),
    kind("v2.detail.events.conversation.{id}.user.start", DETAIL),
    kind("v2.detail.events.conversation.{id}.user.end", DETAIL),
    kind("v2.detail.events.conversation.{id}.voicemail.start", DETAIL),
    kind("v2.detail.events.conversation.{id}.voicemail.end", DETAIL),
    kind("v2.detail.events.conversation.{id}.wrapup", DETAIL),
    kind("v2.detail.events.agent.{id}.state", DETAIL),
    kind(
        "v2.analytics.queues.{id}.observations",
        "analytics:queueObservation:view",
    ),
    kind(
        "v2.analytics.users.{id}.observations",
        "analytics:userObservation:view",
    ),
    kind(
        "v2.analytics.conversations.details.jobs.availability",
        DETAIL,
    ),
];

/// What the `events` protocol can be asked for.
pub(super) const INTERACTION: [&str; 4] = [
    "interaction.participant.joined",
    "interaction.participant.left",
    "interaction.participant.roleChanged",
    "interaction.lifecycleStateChange",
];

/// Why a topic is not given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    TooLong,
    Unknown,
    /// Lacks this permission.
    Permission(&'static str),
}

/// The single topics that an entry stands for: itself, or a combined one's parts
/// (`v2.users.{id}?presence&routingStatus`). Events of those arrive under their single names.
pub(super) fn singles(asked: &str, client: &Client) -> Result<Vec<String>, Refused> {
    // Characters, not bytes; a topic so long in bytes is not worth counting.
    if asked.len() > 4 * MAX_LENGTH || asked.chars().count() > MAX_LENGTH {
        return Err(Refused::TooLong);
    }
    let names: Vec<String> = match asked.split_once('?') {
        None => vec![asked.to_owned()],
        Some((prefix, parts)) => parts
            .split('&')
            .take(MAX_COMBINED)
            .map(|part| format!("{prefix}.{part}"))
            .collect(),
    };
    for name in &names {
        let kind = find(name).ok_or(Refused::Unknown)?;
        if !client.may(kind.permission) {
            return Err(Refused::Permission(kind.permission));
        }
    }
    Ok(names)
}

fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| {
        let mut words = name.split('.');
        let fits = kind.template.split('.').all(|wanted| {
            words.next().is_some_and(|word| match wanted {
                "{id}" => !word.is_empty() && !word.contains(['{', '}', '*', '?', ' ']),
                wanted => word == wanted,
            })
        });
        fits && words.next().is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_known_or_refused() {
        let mut client = Client::new("a", "b");
        let ok = |asked: &str| singles(asked, &Client::new("a", "b"));
        assert_eq!(
            ok("v2.users.u1.conversations").unwrap(),
            ["v2.users.u1.conversations"]
        );
        let combined = ok("v2.users.u1?presence&routingStatus&conversations.calls").unwrap();
        assert_eq!(combined.len(), 3);
        assert_eq!(combined[2], "v2.users.u1.conversations.calls");
        for unknown in [
            "v2.users.u1",
            "v2.users..presence",
            "v2.users.*.presence",
            "v2.users.u1?presence&x",
            "",
        ] {
            assert_eq!(ok(unknown), Err(Refused::Unknown), "{unknown}");
        }
        // A wildcard over all conversations exists on EventBridge alone.
        assert_eq!(
            ok("v2.detail.events.conversation.{id}.acw"),
            Err(Refused::Unknown)
        );
        let long = format!("v2.users.{}.presence", "é".repeat(182));
        assert_eq!(long.chars().count(), 200);
        assert!(ok(&long).is_ok());
        assert_eq!(ok(&format!("{long}x")), Err(Refused::TooLong));
        client.permissions = vec!["presence:*:view".to_owned()];
        assert!(singles("v2.users.u1.presence", &client).is_ok());
        assert_eq!(
            singles("v2.users.u1.conversations", &client),
            Err(Refused::Permission(CONVERSATION))
        );
    }
}

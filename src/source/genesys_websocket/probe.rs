//! What can be found out about the platform without making a channel.

use std::time::Duration;

use super::config::{Config, Host, Protocol};
use super::topics::{needs_queues, needs_users};
use super::whereabouts::whereabouts;
use crate::client::genesys::{CallError, Client, Manner};
use crate::layer::{Finding, Grade};

/// For one request.
const QUESTION: Duration = Duration::from_secs(8);
/// Topics that are named in a message, at most.
const MOST_NAMED: usize = 5;

/// Looks, without changing anything, whether the credentials are taken, the topics are ones that the
/// platform has, the lists that stand behind placeholders can be read, and channels are left.
pub(super) async fn probe(config: &Config) -> Vec<Finding> {
    if config.host == Host::Simulator {
        let message = "the platform is simulated: it starts with the run";
        return vec![Finding::new(Grade::Good, message)];
    }
    let manner = Manner {
        timeout: QUESTION,
        tries: 2,
        most_wait: Duration::from_secs(2),
        ..Manner::default()
    };
    let opened = whereabouts(config, None)
        .and_then(|(endpoints, credentials, _)| Client::new(endpoints, credentials, manner));
    let client = match opened {
        Ok(client) => client,
        Err(failure) => return vec![Finding::new(Grade::Error, failure.to_string())],
    };
    if let Err(failure) = client.token().await {
        return vec![Finding::new(Grade::Error, failure.to_string())];
    }
    let mut found = vec![Finding::new(
        Grade::Good,
        "the platform takes the credentials",
    )];
    if config.protocol == Protocol::Notifications {
        let (channels, topics) = futures::join!(channels(&client, config), topics(&client, config));
        found.extend([channels, topics]);
    }
    let (queues, users) = futures::join!(
        readable(&client, needs_queues(&config.topics), "queues"),
        readable(&client, needs_users(&config.topics), "users")
    );
    found.extend(queues);
    found.extend(users);
    found
}

/// A call that was refused: the source cannot do without; one without an answer says nothing for sure.
fn refused(error: &CallError) -> Finding {
    Finding::new(Grade::Error, error.to_string())
}

async fn channels(client: &Client, config: &Config) -> Finding {
    let most = config.channels.max;
    match client.count_channels().await {
        Err(error) => refused(&error),
        Ok(used) if used + config.channels.reserve >= most => Finding::new(
            Grade::Warning,
            format!(
                "{used} of {most} channels of the OAuth client are in use: what others hold, or an \
                 earlier run has left, is missing here until it expires"
            ),
        ),
        Ok(used) => Finding::new(
            Grade::Good,
            format!("{used} of {most} channels of the OAuth client are in use"),
        ),
    }
}

async fn topics(client: &Client, config: &Config) -> Finding {
    let available = match client.available_topics().await {
        Err(error) => return refused(&error),
        Ok(available) => available,
    };
    let wanted = config.topics.iter().flat_map(|topic| parts(topic));
    let unknown = wanted.filter(|topic| !available.iter().any(|it| is_of(topic, it)));
    let unknown: Vec<String> = unknown.collect();
    if unknown.is_empty() {
        let message = "the platform has all topics; whether the credentials have the permissions for \
             them is told when they are subscribed to";
        return Finding::new(Grade::Good, message);
    }
    let named = unknown.iter().take(MOST_NAMED).cloned();
    let named = named.collect::<Vec<_>>().join("`, `");
    let message = format!(
        "{} topics that the platform does not list: `{named}`",
        unknown.len()
    );
    Finding::new(Grade::Warning, message)
}

/// `v2.users.{user}?presence&station` stands for two topics.
fn parts(topic: &str) -> Vec<String> {
    match topic.split_once('?') {
        None => vec![topic.to_owned()],
        Some((base, ends)) => ends.split('&').map(|end| format!("{base}.{end}")).collect(),
    }
}

/// Whether a topic is of this form, in which `{id}` stands for something.
fn is_of(topic: &str, form: &str) -> bool {
    let (mut parts, mut forms) = (topic.split('.'), form.split('.'));
    loop {
        match (parts.next(), forms.next()) {
            (None, None) => return true,
            (Some(_), Some(form)) if form.starts_with('{') => {}
            (Some(part), Some(form)) if part == form => {}
            _ => return false,
        }
    }
}

async fn readable(client: &Client, needed: bool, what: &'static str) -> Option<Finding> {
    if !needed {
        return None;
    }
    let read = match what {
        "queues" => client.has_queues().await,
        _ => client.has_users().await,
    };
    Some(match read {
        Ok(true) => Finding::new(Grade::Good, format!("the {what} can be read")),
        Ok(false) => Finding::new(
            Grade::Warning,
            format!("the credentials see no {what}, and so no topics of them"),
        ),
        Err(error) => refused(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_of_the_forms_that_the_platform_lists() {
        let form = "v2.users.{id}.presence";
        assert!(is_of("v2.users.{user}.presence", form));
        assert!(is_of("v2.users.1-2.presence", form));
        for other in [
            "v2.users.1",
            "v2.users.1.presence.x",
            "v2.queues.1.presence",
        ] {
            assert!(!is_of(other, form), "{other}");
        }
        let both = parts("v2.users.{user}?presence&station");
        assert_eq!(
            both,
            ["v2.users.{user}.presence", "v2.users.{user}.station"]
        );
    }
}

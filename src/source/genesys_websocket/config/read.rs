//! The fields of the source, one by one.

use std::time::Duration;

use super::super::topics::{self, Bad};
use super::{Channels, Fill, Host, Protocol, Wanted};
use crate::client::genesys::{Credentials, Endpoints, is_region};
use crate::layer::Backoff;
use crate::setting::{Fields, Node, Secret, Setting, Shape, Size, Value, wrong_type};

/// Topics of `protocol: events` where none are named.
const EVENTS: [&str; 4] = [
    "interaction.participant.joined",
    "interaction.participant.left",
    "interaction.participant.roleChanged",
    "interaction.lifecycleStateChange",
];
/// The region of an environment where none is named.
const REGION: &str = "mypurecloud.com";
const MOST_CHANNELS: usize = 20;
const MOST_TOPICS: usize = 1000;
const MOST_FRAMES: usize = 1_000_000;
const MOST_BYTES: u64 = 2 << 30;
const MOST_KNOWN: usize = 1_000_000;
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Whether the field is there and says something: a variable with an empty default says nothing.
fn said(node: Option<&Node>) -> bool {
    node.is_some_and(|node| {
        node.as_text() != Some("") && (node.value != Value::Null || node.is_broken())
    })
}

fn text(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    fields.takes(name, || String::shape().or(Shape::Nothing));
    let node = fields.node(name).filter(|node| said(Some(node)))?;
    String::read(node, fields.report())
}

/// The credentials, and whether the file says anything about them.
pub(super) fn read_auth(fields: &mut Fields<'_>) -> (Option<Credentials>, bool) {
    let mut anything = said(fields.node("auth"));
    let auth = fields.section("auth", "`auth`", |auth| {
        auth.takes("client_id", || String::shape().or(Shape::Nothing));
        auth.takes("client_secret", || Secret::shape().or(Shape::Nothing));
        let (id, secret) = (auth.node("client_id"), auth.node("client_secret"));
        anything = said(id) || said(secret);
        if !anything {
            return None;
        }
        for (name, node) in [("client_id", id), ("client_secret", secret)] {
            if !said(node) {
                let message = format!("`auth` needs the field `{name}` too");
                let span = node.map_or(auth.span(), |node| node.span);
                auth.error("missing-field", span, message);
            }
        }
        if let Some(node) = secret.filter(|node| said(Some(node)) && !node.from_variable) {
            let message = "the secret of the OAuth client is written into the file";
            let hint = "name a variable or a file: `\"${GENESYS_CLIENT_SECRET}\"`";
            auth.warning("plain-secret", node.span, message).hint(hint);
        }
        let id = id.filter(|node| said(Some(node)));
        let secret = secret.filter(|node| said(Some(node)));
        let client_id = id.and_then(|node| String::read(node, auth.report()));
        let client_secret = secret.and_then(|node| Secret::read(node, auth.report()));
        Some(Credentials {
            client_id: client_id?,
            client_secret: client_secret?,
        })
    });
    (auth, anything)
}

/// `None` when it is wrong.
pub(super) fn read_host(fields: &mut Fields<'_>, protocol: Protocol, auth: bool) -> Option<Host> {
    let region = text(fields, "region");
    let endpoint = text(fields, "endpoint");
    let environment = text(fields, "environment");
    let mut good = true;
    let mut wrong = |fields: &mut Fields<'_>, code, name, message: &str| {
        let span = fields.span_of(name);
        fields.error(code, span, message);
        good = false;
    };
    if region.as_deref().is_some_and(|region| !is_region(region)) {
        let message = "`region` is no domain such as `mypurecloud.ie` or `euw2.pure.cloud`";
        wrong(fields, "unknown-value", "region", message);
    }
    if endpoint
        .as_deref()
        .is_some_and(|url| Endpoints::at(url).is_err())
    {
        let message = "`endpoint` is no URL of `http` or `https` without a query";
        wrong(fields, "bad-url", "endpoint", message);
    }
    let dotted = environment.as_ref().map(|name| format!("{name}.{REGION}"));
    if dotted.is_some_and(|host| !is_region(&host)) {
        let message = "`environment` is no name of a host";
        wrong(fields, "unknown-value", "environment", message);
    }
    if environment.is_some() && protocol == Protocol::Notifications {
        let message = "`environment` is for `protocol: events`; name a `region`";
        wrong(fields, "conflicting-fields", "environment", message);
    }
    if endpoint.is_some() && (region.is_some() || environment.is_some()) {
        let message = "`endpoint` stands for all hosts, so it excludes `region` and `environment`";
        wrong(fields, "conflicting-fields", "endpoint", message);
    }
    let host = match (endpoint, region, environment) {
        (Some(url), _, _) => Host::At(url),
        (None, None, None) => Host::Simulator,
        (None, region, environment) => {
            Host::Region(region.unwrap_or_else(|| REGION.to_owned()), environment)
        }
    };
    if host == Host::Simulator && auth {
        let message = "`auth` needs a `region` or an `endpoint` to go with it";
        wrong(fields, "missing-field", "auth", message);
    }
    if host != Host::Simulator && !auth {
        let message = "a `region` or `endpoint` needs `auth` with `client_id` and `client_secret`";
        let span = fields.span();
        fields.error("missing-field", span, message);
        good = false;
    }
    good.then_some(host)
}

pub(super) fn read_topics(fields: &mut Fields<'_>, protocol: Protocol) -> Option<Vec<String>> {
    fields.takes("topics", || String::shape().list());
    if protocol == Protocol::Events && !fields.has("topics") {
        return Some(EVENTS.map(str::to_owned).into());
    }
    fields.required_node("topics")?;
    let span = fields.span_of("topics");
    let mut good = true;
    let topics = fields.each("topics", |node, report| {
        let topic = String::read(node, report);
        let bad = topic
            .as_deref()
            .and_then(|topic| topics::check(topic).err());
        if let Some(Bad {
            code,
            message,
            hint,
        }) = bad
        {
            report.error(code, node.span, message).hint(hint);
        }
        good &= topic.is_some() && bad.is_none();
        topic
    });
    let node = fields.node("topics").and_then(Node::as_list);
    if good && node.is_some_and(<[Node]>::is_empty) {
        let message = "`topics` needs at least one topic";
        fields.error("empty-value", span, message);
    }
    (good && !topics.is_empty()).then_some(topics)
}

pub(super) fn wanted(fields: &mut Fields<'_>, name: &'static str) -> Wanted {
    fields.takes(name, || {
        let all = Shape::Words(vec!["all".to_owned()]);
        all.or(String::shape().list())
    });
    let Some(node) = fields.node(name) else {
        return Wanted::All;
    };
    if node.as_text() == Some("all") {
        return Wanted::All;
    }
    if node.as_list().is_none() {
        wrong_type(node, "`all` or a list of ids", fields.report());
        return Wanted::All;
    }
    let ids: Option<Vec<String>> = Vec::read(node, fields.report());
    let ids = ids.unwrap_or_default();
    if ids
        .iter()
        .any(|id| id.is_empty() || topics::check(id).is_err())
    {
        let message = format!("an id in `{name}` is empty, too long or has characters of no id");
        fields.error("unknown-value", node.span, message);
    }
    Wanted::These(ids)
}

pub(super) fn read_channels(fields: &mut Fields<'_>) -> Channels {
    let mut channels = Channels {
        max: MOST_CHANNELS,
        reserve: 2,
        topics: MOST_TOPICS,
    };
    fields.section("channels", "`channels`", |section| {
        channels.max = number(section, "max", MOST_CHANNELS, 1..=MOST_CHANNELS);
        let reserve = 2.min(channels.max - 1);
        channels.reserve = number(section, "reserve", reserve, 0..=MOST_CHANNELS - 1);
        channels.topics = number(section, "topics", MOST_TOPICS, 1..=MOST_TOPICS);
        if channels.reserve >= channels.max {
            let message = "`reserve` leaves no channel of `max`";
            let span = section.span_of("reserve");
            section.error("conflicting-limits", span, message);
        }
        Some(())
    });
    channels
}

pub(super) fn read_backoff(fields: &mut Fields<'_>) -> Backoff {
    let mut backoff = Backoff {
        first: Duration::from_millis(500),
        most: Duration::from_secs(30),
    };
    fields.section("backoff", "`backoff`", |section| {
        backoff.first = duration(section, "first", backoff.first, DAY);
        backoff.most = duration(section, "most", backoff.most.max(backoff.first), DAY);
        if backoff.most < backoff.first {
            let message = "`most` is shorter than `first`";
            let span = section.span_of("most");
            section.error("conflicting-limits", span, message);
        }
        Some(())
    });
    backoff
}

pub(super) fn read_queue(fields: &mut Fields<'_>) -> (usize, usize) {
    let (mut frames, mut bytes) = (10_000, 64 << 20);
    fields.section("queue", "`queue`", |section| {
        frames = number(section, "frames", frames, 1..=MOST_FRAMES);
        bytes = size(section, "bytes", Size(64 << 20));
        Some(())
    });
    (frames, bytes)
}

pub(super) fn read_fill(fields: &mut Fields<'_>) -> Fill {
    let mut fill = Fill {
        enabled: true,
        max_conversations: 50_000,
        concurrency: 4,
        unknown: true,
        look_back: Duration::from_secs(3600),
    };
    fields.section("gap_fill", "`gap_fill`", |section| {
        fill.enabled = section.or("enabled", true);
        fill.max_conversations = number(section, "max_conversations", 50_000, 1..=MOST_KNOWN);
        fill.concurrency = number(section, "concurrency", 4, 1..=64);
        fill.unknown = section.or("unknown", true);
        fill.look_back = duration(section, "look_back", fill.look_back, 7 * DAY);
        Some(())
    });
    fill
}

/// A duration above zero.
pub(super) fn duration(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Duration,
    most: Duration,
) -> Duration {
    let value = fields.or(name, default);
    if value.is_zero() || value > most {
        let message = format!(
            "`{name}` has to be above zero and at most {} h",
            most.as_secs() / 3600
        );
        fields.error("out-of-range", fields.span_of(name), message);
        return default;
    }
    value
}

fn number(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: usize,
    range: std::ops::RangeInclusive<usize>,
) -> usize {
    let value = fields.or(name, default);
    if !range.contains(&value) {
        let message = format!(
            "`{name}` has to be between {} and {}",
            range.start(),
            range.end()
        );
        fields.error("out-of-range", fields.span_of(name), message);
        return default;
    }
    value
}

pub(super) fn size(fields: &mut Fields<'_>, name: &'static str, default: Size) -> usize {
    let value = fields.or(name, default);
    if !(1024..=MOST_BYTES).contains(&value.0) {
        let message = format!("`{name}` has to be between 1 KiB and 2 GiB");
        fields.error("out-of-range", fields.span_of(name), message);
        return default.bytes();
    }
    value.bytes()
}

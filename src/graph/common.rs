//! The settings that nodes have in common: limits, retries, breakers.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::PumpPolicy;
use crate::diagnostic::Report;
use crate::event::Path;
use crate::layer::{Backoff, BreakerPolicy, KeyedPolicy, RatePolicy, RetryPolicy, StackPolicy};
use crate::setting::{Fields, Node, Setting, Shape, Share, Size, Value};

/// A number from 1.
pub(super) fn positive(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: NonZeroUsize,
) -> NonZeroUsize {
    fields.takes(name, || Shape::from(1));
    let Some(number) = fields.optional::<usize>(name) else {
        return default;
    };
    NonZeroUsize::new(number).unwrap_or_else(|| {
        let span = fields.span_of(name);
        fields.error("out-of-range", span, format!("`{name}` must be at least 1"));
        default
    })
}

pub(super) fn positive_u32(fields: &mut Fields<'_>, name: &'static str) -> Option<NonZeroU32> {
    let most = i64::from(u32::MAX);
    fields.takes(name, || Shape::Int { least: 1, most });
    let number = fields.optional::<u32>(name)?;
    let positive = NonZeroU32::new(number);
    if positive.is_none() {
        let span = fields.span_of(name);
        fields.error("out-of-range", span, format!("`{name}` must be at least 1"));
    }
    positive
}

/// A span of time above zero.
fn some_time(fields: &mut Fields<'_>, name: &'static str, default: Duration) -> Duration {
    let time = fields.or(name, default);
    if time.is_zero() {
        let span = fields.span_of(name);
        fields.error(
            "out-of-range",
            span,
            format!("`{name}` must be longer than zero"),
        );
        return default;
    }
    time
}

/// A number that a default says is from 1.
pub(super) fn nonzero(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
}

/// `{ first, most }` of a back-off, as fields of the mapping itself.
fn backoff(f: &mut Fields<'_>, default: Backoff) -> Backoff {
    let first = some_time(f, "backoff", default.first);
    let most = some_time(f, "max_backoff", default.most.max(first));
    if most < first {
        let span = f.span_of("max_backoff");
        let message = format!("`max_backoff` {most:?} is shorter than `backoff` {first:?}");
        f.error("conflicting-limits", span, message);
    }
    Backoff { first, most }
}

/// `reconnect:` of a source.
pub(super) fn reconnect(fields: &mut Fields<'_>) -> Backoff {
    let read = |f: &mut Fields<'_>| Some(backoff(f, Backoff::default()));
    fields
        .section("reconnect", "reconnect", read)
        .unwrap_or_default()
}

/// `false` switches a layer off; a mapping sets it.
fn unless_off<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    default: Option<T>,
    read: impl FnOnce(&mut Fields<'_>) -> Option<T>,
) -> Option<T> {
    fields.takes(name, || Shape::Off);
    match fields.node(name).map(|node| &node.value) {
        None => default,
        Some(Value::Bool(false)) => None,
        Some(_) => fields.section(name, name, read),
    }
}

fn breaker(f: &mut Fields<'_>) -> Option<BreakerPolicy> {
    let default = BreakerPolicy::default();
    let policy = BreakerPolicy {
        failures: f.or("failures", Share(default.failures)).0,
        window: some_time(f, "window", default.window),
        min_calls: positive_u32(f, "min_calls").map_or(default.min_calls, NonZeroU32::get),
        open_for: some_time(f, "open_for", default.open_for),
        probes: positive_u32(f, "probes").map_or(default.probes, NonZeroU32::get),
    };
    if policy.failures <= 0.0 {
        let span = f.span_of("failures");
        f.error(
            "out-of-range",
            span,
            "a breaker that opens at 0 % failures is always open",
        );
    }
    Some(policy)
}

fn rate(f: &mut Fields<'_>) -> Option<RatePolicy> {
    f.required_node("events");
    // All are asked for before any is given up: what is not asked for counts as unknown.
    let (events, burst) = (positive_u32(f, "events"), positive_u32(f, "burst"));
    let per = some_time(f, "per", Duration::from_secs(1));
    Some(RatePolicy {
        events: events?,
        per,
        burst,
    })
}

fn retry(f: &mut Fields<'_>) -> Option<RetryPolicy> {
    let default = RetryPolicy::default();
    Some(RetryPolicy {
        attempts: positive_u32(f, "attempts").map_or(default.attempts, NonZeroU32::get),
        backoff: backoff(f, default.backoff),
    })
}

/// The stack around a sink: `timeout`, `rate_limit`, `concurrency`, `breaker`, `retry`, `per_key`.
pub(super) fn stack(fields: &mut Fields<'_>) -> StackPolicy {
    let default = StackPolicy::default();
    StackPolicy {
        timeout: some_time(fields, "timeout", default.timeout),
        rate_limit: unless_off(fields, "rate_limit", None, rate),
        concurrency: positive(fields, "concurrency", default.concurrency),
        breaker: unless_off(fields, "breaker", default.breaker, breaker),
        retry: unless_off(fields, "retry", Some(default.retry), retry).unwrap_or(RetryPolicy {
            attempts: 1,
            ..default.retry
        }),
        per_key: fields.section("per_key", "per_key", |f| {
            let key = f.required::<Path>("key");
            let max_keys = positive(f, "max_keys", nonzero(KeyedPolicy::MAX_KEYS)).get();
            f.takes("order_by", || Path::shape().list());
            let order_by = f.each("order_by", Path::read);
            Some(KeyedPolicy {
                key: key?,
                within: None,
                max_keys,
                order_by,
            })
        }),
    }
}

/// `delivery:` of a pipeline.
pub(super) fn delivery(fields: &mut Fields<'_>) -> PumpPolicy {
    let default = PumpPolicy::default();
    let read = |f: &mut Fields<'_>| {
        Some(PumpPolicy {
            max_events: positive(f, "max_events", nonzero(default.max_events)).get(),
            max_bytes: f.or("max_bytes", Size(default.max_bytes)).0,
            deadline: some_time(f, "deadline", default.deadline),
            backoff: backoff(f, default.backoff),
        })
    };
    fields
        .section("delivery", "delivery", read)
        .unwrap_or(default)
}

/// A socket address such as `127.0.0.1:9100`.
pub(super) struct Address(pub std::net::SocketAddr);

impl Setting for Address {
    const EXPECTED: &'static str = "an address such as 127.0.0.1:9100";

    fn shape() -> Shape {
        Shape::Text(Self::EXPECTED)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        let text = String::read(node, report)?;
        match text.parse() {
            Ok(address) => Some(Self(address)),
            Err(_) => {
                let message = format!("{} is not an IP address and a port", node.shown());
                report
                    .error("bad-address", node.span, message)
                    .hint("write it as 127.0.0.1:9100");
                None
            }
        }
    }
}

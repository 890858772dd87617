//! What a pipeline file says of who keeps statuses.

use std::time::Duration;

use url::Url;

use crate::client::redis::is_url;
use crate::setting::{Fields, Secret, Value};

/// How long the status of a message is kept, unless told.
const KEEP: Duration = Duration::from_secs(7 * 86_400);
const LEAST_KEEP: Duration = Duration::from_secs(3600);
const MOST_KEEP: Duration = Duration::from_secs(31 * 86_400);

/// Who keeps the status of each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statuses {
    /// `local`: the pipeline's state.
    Local {
        /// `keep`: default 7 days.
        keep: Duration,
    },
    /// `{ redis: url }`.
    Redis {
        /// Where it is.
        url: Secret,
        /// `keep`: default 7 days.
        keep: Duration,
    },
    /// `{ http: url, token }`: `PUT` and `GET {url}/messages/{id}/status`.
    Http {
        /// In front of `/messages/{id}/status`.
        url: Url,
        /// Sent as `Authorization: Bearer`; default none.
        token: Option<Secret>,
    },
}

impl Statuses {
    /// From now on the pipeline's state keeps them; whether another did.
    pub fn stay_home(&mut self) -> bool {
        let away = !matches!(self, Self::Local { .. });
        if away {
            *self = Self::Local { keep: KEEP };
        }
        away
    }

    /// `statuses: local`, or a section with `redis`, `http` and `token`, or `keep` alone.
    pub fn check(fields: &mut Fields<'_>) -> Option<Self> {
        match fields.node("statuses").map(|node| &node.value) {
            None => Some(Self::Local { keep: KEEP }),
            Some(Value::Map(_)) => {
                let read = fields.section("statuses", "`statuses`", |f| Some(statuses(f)));
                read.flatten()
            }
            Some(_) => {
                let local = Self::Local { keep: KEEP };
                fields.choice("statuses", &[("local", local)])
            }
        }
    }
}

fn statuses(f: &mut Fields<'_>) -> Option<Statuses> {
    let redis = f.optional::<Secret>("redis");
    let http = f.optional::<String>("http");
    let token = f.filled::<Secret>("token");
    let keep = f.or("keep", KEEP);
    if !(LEAST_KEEP..=MOST_KEEP).contains(&keep) {
        f.error(
            "out-of-range",
            f.span_of("keep"),
            "`keep` is not between 1h and 31d",
        );
    }
    match (redis, http) {
        (Some(_), Some(_)) => {
            let message = "`redis` and `http` exclude each other: one keeps the statuses";
            f.error("conflicting-fields", f.key_span_of("http"), message);
            None
        }
        (Some(url), None) => {
            if !is_url(url.expose()) {
                let message = "this is not the URL of a Redis";
                f.error("bad-url", f.span_of("redis"), message)
                    .hint("such as `redis://host:6379`, or a variable: `\"${REDIS_URL}\"`");
            }
            Some(Statuses::Redis { url, keep })
        }
        (None, Some(url)) => {
            let url = Url::parse(&url).ok().filter(|url| {
                let http = ["http", "https"].contains(&url.scheme()) && url.has_host();
                let bare = url.username().is_empty() && url.password().is_none();
                http && bare && url.query().is_none()
            });
            if url.is_none() {
                let message = "`http` is no URL of `http` or `https` without a query";
                f.error("bad-url", f.span_of("http"), message);
            }
            Some(Statuses::Http { url: url?, token })
        }
        (None, None) => Some(Statuses::Local { keep }),
    }
}

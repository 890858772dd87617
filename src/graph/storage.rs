//! Where a pipeline keeps its state, as its file says it.

use std::path::PathBuf;
use std::time::Duration;

use super::StateSetting;
use crate::setting::{Fields, Secret};
use crate::state::Remote;

/// Reads `state`: `type` is `memory`, the default, `embedded` or `redis`.
pub(super) fn check(fields: &mut Fields<'_>) -> StateSetting {
    #[derive(Clone, Copy)]
    enum Kind {
        Memory,
        Embedded,
        Redis,
    }
    let read = |f: &mut Fields<'_>| {
        let kinds = [
            ("memory", Kind::Memory),
            ("embedded", Kind::Embedded),
            ("redis", Kind::Redis),
        ];
        let kind = match f.has("type") {
            true => f.choice("type", &kinds),
            false => Some(Kind::Embedded),
        };
        match kind {
            Some(Kind::Memory) => Some(StateSetting::Memory),
            Some(Kind::Embedded) => f.required::<PathBuf>("path").map(StateSetting::Embedded),
            Some(Kind::Redis) => redis(f).map(StateSetting::Redis),
            // These belong to one of the types: which one is meant is not known.
            None => {
                for name in ["path", "url", "prefix", "lease"] {
                    f.has(name);
                }
                None
            }
        }
    };
    fields
        .section("state", "state", read)
        .unwrap_or(StateSetting::Memory)
}

fn redis(fields: &mut Fields<'_>) -> Option<Remote> {
    let url = fields.required::<Secret>("url");
    let prefix = fields.or("prefix", Remote::PREFIX.to_owned());
    let lease = fields.or("lease", Remote::LEASE);
    let mut well = true;
    if url
        .as_ref()
        .is_some_and(|url| !Remote::is_url(url.expose()))
    {
        fields
            .error("bad-url", fields.span_of("url"), "this is not the URL of a Redis")
            .hint("such as `redis://host:6379`, `rediss://user:password@host:6379/0` for TLS, or a variable: `\"${REDIS_URL}\"`");
        well = false;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
    if prefix.is_empty() || prefix.len() > 64 || !prefix.chars().all(plain) {
        fields
            .error(
                "bad-name",
                fields.span_of("prefix"),
                "this cannot begin the names of keys",
            )
            .hint("use letters, digits, `_`, `-`, `.` and `:`, at most 64");
        well = false;
    }
    let (shortest, longest) = (Duration::from_secs(1), Duration::from_secs(3600));
    if !(shortest..=longest).contains(&lease) {
        fields.error(
            "out-of-range",
            fields.span_of("lease"),
            "`lease` is not between 1s and 1h",
        );
        well = false;
    }
    well.then_some(Remote {
        url: url?,
        prefix,
        lease,
    })
}

//! `tenants:` of a pipeline file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::description::{Description, Manner};
use super::is_id;
use crate::client::redis::is_url;
use crate::diagnostic::{Report, quote};
use crate::setting::{Fields, Node, Secret};

/// How long an answer of the service is good, unless told.
const TTL: Duration = Duration::from_secs(300);
const TIMEOUT: Duration = Duration::from_secs(5);
const NEGATIVE_TTL: Duration = Duration::from_secs(30);
const MAX_TENANTS: usize = 10_000;
/// Most tenants that may be asked to be remembered.
const MOST_TENANTS: usize = 1_000_000;

/// What a pipeline file says of tenants.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who tells.
    pub told: Told,
    /// `shared_budget`: a Redis through which workers share the budgets of organisations; default that
    /// of the pipeline's state where it is one, else none.
    pub shared_budget: Option<Secret>,
}

/// Who tells of tenants.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// `list`, or `file`: a file of YAML or JSON with the same in it.
    List(BTreeMap<String, Description>),
    /// `service`.
    Service(Service),
    /// Nobody: there is one tenant, whose organisation is simulated.
    Demo,
}

/// A service that is asked `GET {url}/tenants/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `url`: in front of `/tenants/{id}`.
    pub url: Url,
    /// `token`: sent as `Authorization: Bearer`; default none.
    pub token: Option<Secret>,
    /// `ttl`: how long an answer is good; default 5 minutes. It is asked again in the background when
    /// four fifths of that are over.
    pub ttl: Duration,
    /// `timeout` of a request; default 5 s.
    pub timeout: Duration,
    /// `negative_ttl`: how long nobody asks again for a tenant that is not known; default 30 s.
    pub negative_ttl: Duration,
    /// `max_tenants`: how many are remembered; default 10,000. The one that was asked for least recently
    /// goes first.
    pub max_tenants: usize,
}

/// A file of tenants that was read.
pub struct Content {
    /// What is in it; `None` where it could not be made out.
    pub tree: Option<Node>,
    /// What is wrong with it.
    pub report: Report,
}

impl Config {
    /// No tenants but the simulated one.
    pub(super) fn demo() -> Self {
        Self {
            told: Told::Demo,
            shared_budget: None,
        }
    }

    /// Reads the section; all mistakes go into the report. `open` reads a file that it names.
    pub fn check(
        fields: &mut Fields<'_>,
        open: &mut dyn FnMut(PathBuf) -> Content,
    ) -> Option<Self> {
        let shared_budget = fields.filled::<Secret>("shared_budget");
        if (shared_budget.as_ref()).is_some_and(|url| !is_url(url.expose())) {
            fields
                .error(
                    "bad-url",
                    fields.span_of("shared_budget"),
                    "this is not the URL of a Redis",
                )
                .hint("such as `redis://host:6379`, or a variable: `\"${REDIS_URL}\"`");
        }
        let ways = ["service", "list", "file"].map(|name| (name, fields.has(name)));
        let said: Vec<_> = ways.iter().filter(|(_, said)| *said).collect();
        if said.len() > 1 {
            let (one, other) = (said[0].0, said[1].0);
            let span = fields.key_span_of(other);
            let message = format!("`tenants` has `{one}` and `{other}`: they are told by one");
            fields.error("conflicting-fields", span, message);
        }
        let service = fields.section("service", "`service` of the tenants", service);
        let list = fields.node("list");
        let list = list.and_then(|node| tenants(node, fields.report()));
        let file = fields.optional::<PathBuf>("file").and_then(|path| {
            let Content { tree, mut report } = open(path);
            let read = tree.and_then(|tree| tenants(&tree, &mut report));
            fields.report().append(report);
            read
        });
        let told = match (service, list.or(file)) {
            (Some(service), _) => Told::Service(service),
            (None, Some(list)) => Told::List(list),
            (None, None) => {
                if said.is_empty() {
                    let message = "`tenants` says nothing of any tenant";
                    fields
                        .error("missing-field", fields.span(), message)
                        .hint("write `list:` with tenants, `file:` or `service: { url: ... }`");
                }
                return None;
            }
        };
        Some(Self {
            told,
            shared_budget,
        })
    }

    /// With budgets that are shared through this Redis, unless something else was said.
    #[must_use]
    pub fn or_shared_by(mut self, redis: Option<Secret>) -> Self {
        self.shared_budget = self.shared_budget.or(redis);
        self
    }

    /// Whether an organisation is the simulated platform.
    pub fn wants_simulator(&self) -> bool {
        match &self.told {
            Told::List(list) => list.values().any(Description::is_simulated),
            Told::Service(_) => false,
            Told::Demo => true,
        }
    }
}

fn service(f: &mut Fields<'_>) -> Option<Service> {
    let url = f.required::<String>("url");
    let token = f.filled::<Secret>("token");
    let mut time = |name, default: Duration| {
        let time = f.or(name, default);
        if time.is_zero() {
            let message = format!("`{name}` must be longer than nothing");
            f.error("out-of-range", f.span_of(name), message);
        }
        time
    };
    let (ttl, timeout) = (time("ttl", TTL), time("timeout", TIMEOUT));
    let negative_ttl = time("negative_ttl", NEGATIVE_TTL);
    let max_tenants = f.or("max_tenants", MAX_TENANTS);
    if !(1..=MOST_TENANTS).contains(&max_tenants) {
        let message = format!("`max_tenants` is not between 1 and {MOST_TENANTS}");
        f.error("out-of-range", f.span_of("max_tenants"), message);
    }
    let parsed = Url::parse(url.as_deref()?).ok().filter(is_base);
    if parsed.is_none() {
        let message = "`url` is no URL of `http` or `https` without a query";
        f.error("bad-url", f.span_of("url"), message);
    }
    Some(Service {
        url: parsed?,
        token,
        ttl,
        timeout,
        negative_ttl,
        max_tenants,
    })
}

/// Whether a path can be put behind it, and no credentials lie in it that an error might show.
pub(super) fn is_base(url: &Url) -> bool {
    let bare = url.username().is_empty() && url.password().is_none();
    ["http", "https"].contains(&url.scheme())
        && url.has_host()
        && bare
        && url.query().is_none()
        && url.fragment().is_none()
}

/// A mapping of tenants.
fn tenants(node: &Node, report: &mut Report) -> Option<BTreeMap<String, Description>> {
    let mut fields = Fields::new(node, "the list of tenants", report)?;
    let entries = fields.entries();
    if entries.is_empty() {
        let span = fields.span();
        fields.error("empty-value", span, "the list of tenants is empty");
    }
    let mut tenants = BTreeMap::new();
    for (key, node) in entries {
        let what = format!("tenant {}", quote(&key.name));
        if !is_id(&key.name) {
            let message = format!("{} cannot be the id of a tenant", quote(&key.name));
            fields.error("bad-name", key.span, message).hint(ID_HINT);
        }
        let Some(mut own) = Fields::new(node, &what, fields.report()) else {
            continue;
        };
        let read = Description::check(&mut own, &what, Manner::Written);
        own.finish();
        tenants.extend(read.map(|read| (key.name.clone(), read)));
    }
    Some(tenants)
}

/// What an id may be.
pub(super) const ID_HINT: &str =
    "1 to 128 bytes without slashes and control characters, and neither `.` nor `..`";

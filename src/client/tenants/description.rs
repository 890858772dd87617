//! What is told of one tenant, by a file or a service.

use std::collections::BTreeMap;
use std::time::Duration;

use super::config::ID_HINT;
use super::is_id;
use crate::client::genesys::{Credentials, Endpoints, Rate, is_region};
use crate::diagnostic::{Report, Severity, Span, quote};
use crate::layer::BreakerPolicy;
use crate::setting::{Fields, Key, Node, Secret, Setting, Share, Value};

/// Most organisations of one tenant, and most integrations of one of them, that are taken.
const MOST: usize = 1_000;
/// Most messages in the time of a rate.
const MOST_RATE: u32 = 1_000_000;

/// A tenant as it is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// `organizations`, by their ids.
    pub organizations: BTreeMap<String, About>,
    /// `flags`: what is switched on or off for the tenant.
    pub flags: BTreeMap<String, bool>,
}

/// An organisation as it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// `region`, `endpoint` or `simulator: true`.
    pub place: Place,
    /// `auth: { client_id, client_secret }`; none for a simulated one.
    pub credentials: Option<Credentials>,
    /// `integrations`: ids of those that may be used; default any.
    pub integrations: Vec<String>,
    /// `rate_limit: { events, per }`; default 300 in a minute, which is the platform's own.
    pub rate: Rate,
    /// `breaker`, where it is another than the sink's.
    pub breaker: Option<BreakerPolicy>,
    /// `policy`; default `at_least_once`.
    pub policy: Policy,
    /// `webhook_secret`: what the platform signs its calls with; default none.
    pub webhook_secret: Option<Secret>,
}

/// Where an organisation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The domain of a region.
    Region(String),
    /// All its hosts in one.
    At(String),
    /// The simulated platform of the run.
    Simulator,
}

/// What becomes of a message of which nobody knows whether it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It is sent again: a customer may get it twice.
    #[default]
    AtLeastOnce,
    /// It is not sent again, and goes to the dead letters.
    AtMostOnce,
}

/// How a description is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// By hand, in a file: what is not known is a mistake.
    Written,
    /// From a service, which may know more than is read here.
    Answered,
}

impl Description {
    /// The one of a pipeline that names no tenants.
    pub(super) fn demo(integration: Option<String>) -> Self {
        let about = About {
            place: Place::Simulator,
            credentials: None,
            integrations: integration.into_iter().collect(),
            rate: Rate::default(),
            breaker: None,
            policy: Policy::default(),
            webhook_secret: None,
        };
        Self {
            organizations: BTreeMap::from([(super::DEMO.to_owned(), about)]),
            flags: BTreeMap::new(),
        }
    }

    /// One with this organisation, of which nobody told.
    pub(super) fn made_up(organization: &str) -> Self {
        let about = About {
            // RFC 2606: no such name will ever be found.
            place: Place::At("http://organization.invalid".to_owned()),
            credentials: Some(Credentials {
                client_id: String::new(),
                client_secret: Secret::new(String::new()),
            }),
            integrations: vec!["the-integration".to_owned()],
            rate: Rate::default(),
            breaker: None,
            policy: Policy::default(),
            webhook_secret: None,
        };
        Self {
            organizations: BTreeMap::from([(organization.to_owned(), about)]),
            flags: BTreeMap::new(),
        }
    }

    pub(super) fn is_simulated(&self) -> bool {
        let mut all = self.organizations.values();
        all.any(|about| about.place == Place::Simulator)
    }

    /// Of JSON as a service answers it.
    ///
    /// # Errors
    /// What is wrong with it, without any value.
    pub(super) fn read(json: &serde_json::Value) -> Result<Self, String> {
        let (node, mut report) = (node(json), Report::new("the answer"));
        let mut read = None;
        if let Some(mut fields) = Fields::new(&node, "the answer", &mut report) {
            fields.entries();
            read = Self::check(&mut fields, "the tenant", Manner::Answered);
            fields.finish();
        }
        let wrong = report.iter().find(|it| it.severity == Severity::Error);
        match (read, wrong) {
            (Some(read), None) => Ok(read),
            (_, Some(wrong)) => Err(wrong.message.clone()),
            (None, None) => Err("it is no description of a tenant".to_owned()),
        }
    }

    pub(super) fn check(fields: &mut Fields<'_>, what: &str, manner: Manner) -> Option<Self> {
        let mut organizations = BTreeMap::new();
        let node = fields.required_node("organizations");
        let flags = fields.section("flags", &format!("`flags` of {what}"), flags);
        let mut own = Fields::new(
            node?,
            &format!("`organizations` of {what}"),
            fields.report(),
        )?;
        let entries = own.entries();
        if entries.is_empty() || entries.len() > MOST {
            let message = format!("{what} has none or more than {MOST} organisations");
            own.error("out-of-range", own.span(), message);
        }
        for (key, node) in entries.iter().take(MOST) {
            let what = format!("organisation {} of {what}", shown(key, manner));
            if !is_id(&key.name) {
                let message = format!("{what} has an id that cannot be one");
                own.error("bad-name", key.span, message).hint(ID_HINT);
            }
            let Some(mut fields) = Fields::new(node, &what, own.report()) else {
                continue;
            };
            if manner == Manner::Answered {
                fields.entries();
            }
            let about = About::check(&mut fields, manner);
            fields.finish();
            organizations.extend(about.map(|about| (key.name.clone(), about)));
        }
        Some(Self {
            organizations,
            flags: flags.unwrap_or_default(),
        })
    }
}

/// A name that came from outside is not repeated.
fn shown(key: &Key, manner: Manner) -> String {
    match manner {
        Manner::Written => quote(&key.name),
        Manner::Answered => "in the answer".to_owned(),
    }
}

fn flags(fields: &mut Fields<'_>) -> Option<BTreeMap<String, bool>> {
    let mut flags = BTreeMap::new();
    fields.all_take(bool::shape);
    for (key, node) in fields.entries().iter().take(MOST) {
        let read = bool::read(node, fields.report());
        flags.extend(read.map(|on| (key.name.clone(), on)));
    }
    Some(flags)
}

impl About {
    fn check(fields: &mut Fields<'_>, manner: Manner) -> Option<Self> {
        let open = manner == Manner::Answered;
        let place = place(fields, manner);
        let simulated = place == Some(Place::Simulator);
        let credentials = fields.section("auth", "`auth`", |f| {
            if open {
                f.entries();
            }
            credentials(f)
        });
        if !fields.has("auth") && !simulated {
            let message = "`auth` with `client_id` and `client_secret` is missing";
            fields.error("missing-field", fields.span(), message);
        }
        fields.takes("integrations", || String::shape().list());
        let integrations = fields.each("integrations", String::read);
        if integrations.len() > MOST {
            let message = format!("more than {MOST} integrations");
            fields.error("out-of-range", fields.span_of("integrations"), message);
        }
        let rate = fields.section("rate_limit", "`rate_limit`", |f| Some(rate(f)));
        let breaker = fields.section("breaker", "`breaker`", |f| Some(breaker(f)));
        let policies = [
            ("at_least_once", Policy::AtLeastOnce),
            ("at_most_once", Policy::AtMostOnce),
        ];
        let policy = fields.choice("policy", &policies).unwrap_or_default();
        let webhook_secret = fields.filled::<Secret>("webhook_secret");
        if credentials.is_none() && !simulated {
            return None;
        }
        Some(Self {
            place: place?,
            credentials,
            integrations,
            rate: rate.unwrap_or_default(),
            breaker,
            policy,
            webhook_secret,
        })
    }
}

fn place(fields: &mut Fields<'_>, manner: Manner) -> Option<Place> {
    let region = fields.filled::<String>("region");
    let endpoint = fields.filled::<String>("endpoint");
    let simulator = match manner {
        Manner::Written => fields.or("simulator", false),
        Manner::Answered => false,
    };
    if region.as_deref().is_some_and(|region| !is_region(region)) {
        let message = "`region` is no domain such as `mypurecloud.ie` or `euw2.pure.cloud`";
        fields.error("unknown-value", fields.span_of("region"), message);
    }
    if (endpoint.as_deref()).is_some_and(|url| Endpoints::at(url).is_err()) {
        let message = "`endpoint` is no URL of `http` or `https` without a query";
        fields.error("bad-url", fields.span_of("endpoint"), message);
    }
    let said = [region.is_some(), endpoint.is_some(), simulator];
    match said.into_iter().filter(|said| *said).count() {
        0 => {
            let message = format!("{} names no `region`", fields.what());
            let span = fields.span();
            let entry = fields.error("missing-field", span, message);
            entry.hint("or an `endpoint`, or `simulator: true`");
        }
        1 => {}
        _ => {
            let message = "`region`, `endpoint` and `simulator` exclude each other";
            fields.error("conflicting-fields", fields.span(), message);
        }
    }
    match (region, endpoint) {
        _ if simulator => Some(Place::Simulator),
        (Some(region), _) => Some(Place::Region(region)),
        (None, endpoint) => endpoint.map(Place::At),
    }
}

fn credentials(f: &mut Fields<'_>) -> Option<Credentials> {
    let client_id = f.required::<String>("client_id");
    f.takes("client_secret", Secret::shape);
    let secret = f.required_node("client_secret");
    let written = secret.filter(|node| !node.from_variable && node.as_text() != Some(""));
    if let Some(node) = written {
        let message = "the secret of the OAuth client is written into the file";
        f.warning("plain-secret", node.span, message)
            .hint("name a variable or a file: `\"${GENESYS_CLIENT_SECRET}\"`");
    }
    let client_secret = secret.and_then(|node| Secret::read(node, f.report()));
    Some(Credentials {
        client_id: client_id?,
        client_secret: client_secret?,
    })
}

fn rate(f: &mut Fields<'_>) -> Rate {
    let default = Rate::default();
    let events = f.or("events", default.events);
    let per = f.or("per", default.per);
    if !(1..=MOST_RATE).contains(&events) {
        let message = format!("`events` is not between 1 and {MOST_RATE}");
        f.error("out-of-range", f.span_of("events"), message);
    }
    let (shortest, longest) = (Duration::from_millis(100), Duration::from_secs(86_400));
    if !(shortest..=longest).contains(&per) {
        let message = "`per` is not between 100ms and 1d";
        f.error("out-of-range", f.span_of("per"), message);
    }
    Rate { events, per }
}

fn breaker(f: &mut Fields<'_>) -> BreakerPolicy {
    let default = BreakerPolicy::default();
    let policy = BreakerPolicy {
        failures: f.or("failures", Share(default.failures)).0,
        window: f.or("window", default.window),
        min_calls: f.or("min_calls", default.min_calls),
        open_for: f.or("open_for", default.open_for),
        probes: f.or("probes", default.probes),
    };
    let never = policy.window.is_zero() || policy.open_for.is_zero();
    if policy.failures <= 0.0 || policy.min_calls == 0 || policy.probes == 0 || never {
        f.error("out-of-range", f.span(), "a breaker has no zeros in it");
    }
    policy
}

/// JSON as a tree of settings. None of its values is ever shown.
fn node(json: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let value = match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, float) => Value::Float(float.unwrap_or(f64::INFINITY)),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(members) => {
            // Many write null for what is not there.
            let said = members.iter().filter(|(_, value)| !value.is_null());
            let entry = |(name, value): (&String, &Json)| {
                let (name, span) = (name.clone(), Span::start());
                (Key { name, span }, node(value))
            };
            Value::Map(said.map(entry).collect())
        }
    };
    let mut node = Node::new(value, Span::start());
    node.from_variable = true;
    node
}

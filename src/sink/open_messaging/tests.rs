//! The sink in its stack, on a paused clock, against a platform that answers as it is told.

mod answers;
mod apart;
mod crashes;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;
use crate::client::genesys::script::{Answer, Heard, Script};
use crate::client::genesys::{Credentials, Rate};
use crate::client::tenants::{self, Description, Place, Told};
use crate::diagnostic::Report;
use crate::event::{Origin, PathSet};
use crate::layer::testing::kept;
use crate::layer::{LetterBox, RetryPolicy, StackPolicy};
use crate::observe::{NodeKind, Observer};
use crate::setting::{Fields as Settings, Node, Secret, Value};
use crate::state::Store;

const SECOND: Duration = Duration::from_secs(1);
const SECRET: &str = "hush-hush";

/// A tenant `acme` with organisations of these names, each with a script of its own.
struct Bench {
    tenants: Tenants,
    scripts: BTreeMap<&'static str, Script>,
    store: Store,
    observer: Observer,
    letters: LetterBox,
    dead: Arc<Mutex<Vec<String>>>,
    told: Arc<Mutex<Vec<Json>>>,
    /// Statuses are not taken so many times.
    refuse: Arc<Mutex<usize>>,
    statuses: crate::client::statuses::Statuses,
    timeout: Duration,
}

impl Bench {
    fn new(policy: Policy, scripts: Vec<(&'static str, Script)>) -> Self {
        Self::with(
            policy,
            Rate {
                events: 1_000_000,
                per: SECOND,
            },
            scripts,
        )
    }

    fn with(policy: Policy, rate: Rate, scripts: Vec<(&'static str, Script)>) -> Self {
        let about = || tenants::About {
            place: Place::At("http://127.0.0.1:1".into()),
            credentials: Some(Credentials {
                client_id: "the-client".into(),
                client_secret: Secret::new(SECRET),
            }),
            integrations: vec!["i-1".into()],
            rate,
            breaker: None,
            policy,
            webhook_secret: None,
        };
        let description = Description {
            organizations: scripts
                .iter()
                .map(|(name, _)| ((*name).into(), about()))
                .collect(),
            flags: BTreeMap::new(),
        };
        let tenants = Tenants::new(tenants::Config {
            told: Told::List(BTreeMap::from([("acme".to_owned(), description)])),
            shared_budget: None,
        });
        let (letters, dead) = kept();
        Self {
            tenants,
            scripts: scripts.into_iter().collect(),
            store: Store::memory_durable(),
            observer: Observer::new("p"),
            letters,
            dead,
            told: Arc::default(),
            refuse: Arc::default(),
            statuses: crate::client::statuses::Statuses::Local {
                keep: 7 * 86_400 * SECOND,
            },
            timeout: 30 * SECOND,
        }
    }

    /// Another sink over the same state and platform: what a restart finds.
    async fn open(&self) -> Stage {
        for (name, script) in &self.scripts {
            let organization = self.tenants.organization("acme", name).await.unwrap();
            organization.client().plays(script);
        }
        let mut report = Report::new("f");
        let node = Node::new(Value::Map(Vec::new()), Default::default());
        let mut fields = Settings::new(&node, "the sink", &mut report).unwrap();
        let mut config = Config::check(&mut fields).unwrap();
        config.statuses = self.statuses.clone();
        config.accepted = false;
        config.meet(&self.tenants);
        let (told, refuse) = (self.told.clone(), self.refuse.clone());
        let out = tower::service_fn(move |batch: Batch| {
            let (told, refuse) = (told.clone(), refuse.clone());
            async move {
                let mut refuse = refuse.lock().unwrap();
                if *refuse > 0 {
                    *refuse -= 1;
                    return Err(Failure::transient("busy", "busy"));
                }
                let events = batch.events().iter().map(Event::to_json);
                let events = events.map(|event| serde_json::from_str(&event).unwrap());
                told.lock().unwrap().extend(events);
                Ok(())
            }
        });
        let meter = self
            .observer
            .node("messages", NodeKind::Sink, "open_messaging");
        let policy = StackPolicy {
            timeout: self.timeout,
            concurrency: CALLS,
            retry: RetryPolicy {
                attempts: u32::MAX,
                ..RetryPolicy::default()
            },
            per_key: Some(config.apart()),
            ..StackPolicy::default()
        };
        let context = SinkContext {
            node: "messages".into(),
            policy,
            letters: self.letters.clone(),
            meter,
            table: self.store.table("messages"),
            views: self.observer.views(),
            store: self.store.clone(),
            outputs: HashMap::from([(STATUSES.to_owned(), Stage::new(out))]),
            simulator: None,
            front: None,
        };
        config.build(context).unwrap()
    }

    fn script(&self, name: &str) -> &Script {
        &self.scripts[name]
    }

    fn heard(&self) -> Vec<Heard> {
        self.scripts.values().next().unwrap().heard()
    }

    /// The reasons of the dead letters.
    fn reasons(&self) -> Vec<String> {
        let dead = self.dead.lock().unwrap();
        let reason = |letter: &String| {
            let letter: Json = serde_json::from_str(letter).unwrap();
            letter["reason"].as_str().unwrap().to_owned()
        };
        dead.iter().map(reason).collect()
    }

    /// The words of the statuses told.
    fn words(&self) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.iter()
            .map(|it| it["status"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A message to `to` through `organization`.
fn message(id: &str, organization: &str, to: &str) -> Json {
    json!({
        "messageId": id, "tenantId": "acme", "organizationId": organization,
        "recipient": {"id": to, "idType": "Opaque"}, "textBody": "hello",
    })
}

fn event(number: u64, body: &Json) -> Event {
    let paths = Arc::new(PathSet::default());
    let mut event = Event::parse(body.to_string(), &paths, &Arc::default()).unwrap();
    event.origin = Origin::new(number, 0);
    event
}

fn batch(number: u64, body: &Json) -> Batch {
    Batch::from(vec![event(number, body)])
}

/// Delivers one message; gives up after `most`.
async fn deliver(stage: &Stage, body: &Json, most: Duration) -> Option<Result<(), Failure>> {
    let call = stage.clone().oneshot(batch(1, body));
    tokio::time::timeout(most, call).await.ok()
}

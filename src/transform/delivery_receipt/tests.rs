use std::collections::HashMap;
use std::sync::Mutex as Locked;

use futures::future::ready;

use super::*;
use crate::client::genesys::Sent;
use crate::config::{Fixed, parse};
use crate::event::{Origin, PathSet};
use crate::layer::testing::{counts, kept, meter};
use crate::layer::{Lane, MAIN, Output};
use crate::observe::Observer;
use crate::stage::Phase;
use crate::state::Store;

const KEY: &str = "acme/eu/m-1";

struct World {
    stage: Stage,
    seen: HashMap<&'static str, Arc<Locked<Vec<String>>>>,
    book: Book,
    observer: Observer,
}

fn world(wait: Duration) -> World {
    let store = Store::memory();
    let statuses = Statuses::Local {
        keep: Duration::from_secs(86_400),
    };
    let mut config = Config {
        statuses: statuses.clone(),
        sink: "messages".into(),
        wait,
        paths: Paths {
            id: Path::of(["id"]),
            kind: Path::of(["type"]),
            status: Path::of(["status"]),
            reasons: Path::of(["reasons"]),
            told: Path::of(["platformMessageId"]),
        },
    };
    config.paths(&mut |_| {});
    let (observer, meter) = meter();
    let mut seen = HashMap::new();
    let mut outputs = HashMap::new();
    for name in [MAIN, "messages", "unknown"] {
        let lines: Arc<Locked<Vec<String>>> = Arc::default();
        seen.insert(name, lines.clone());
        let stage = tower::service_fn(move |batch: Batch| {
            let all = batch.events().iter().map(Event::to_json);
            lines.lock().unwrap().extend(all);
            ready(Ok(()))
        });
        let stage = Output::new(vec![Stage::new(stage)], meter.clone());
        outputs.insert(name.to_owned(), Stage::new(stage));
    }
    let context = TransformContext {
        node: "outcomes".into(),
        outputs,
        letters: kept().0,
        meter,
        table: store.table("outcomes"),
        store: store.clone(),
        phase: tokio::sync::watch::channel(Phase::Running).1,
        aside: true,
        lane: Lane::WHOLE,
    };
    World {
        stage: config.build(context).unwrap(),
        seen,
        book: Book::open(&statuses, "messages", &store).unwrap(),
        observer,
    }
}

impl World {
    async fn sent(&self, platform: &str) {
        let mut record = Record::default();
        record.begin();
        record.sent(Sent {
            message: Some(platform.into()),
            conversation: Some("c-1".into()),
        });
        self.book.write(KEY, &record).await.unwrap();
    }

    async fn post(&self, bodies: &[&str]) -> Result<(), Failure> {
        let paths: Arc<PathSet> = Arc::default();
        let events = bodies.iter().enumerate().map(|(at, body)| {
            let mut event = Event::parse((*body).to_owned(), &paths, &Arc::default()).unwrap();
            event.origin = Origin::new(1, at);
            event
        });
        let batch = Batch::from(events.collect::<Vec<_>>());
        self.stage.clone().oneshot(batch).await
    }

    fn of(&self, name: &str) -> Vec<String> {
        self.seen[name].lock().unwrap().clone()
    }
}

fn receipt(status: &str) -> String {
    format!(
        r#"{{"id":"p-1","channel":{{"id":"i"}},"type":"Receipt","status":"{status}","reasons":[{{"code":"GeneralError","message":"said"}}]}}"#
    )
}

#[tokio::test]
async fn a_receipt_makes_a_status_of_its_message_and_never_goes_back() {
    let world = world(Duration::ZERO);
    world.sent("p-1").await;
    let all = ["Sent", "Delivered", "Failed", "Sent", "Delivered"].map(receipt);
    for body in &all {
        world.post(&[body]).await.unwrap();
    }
    let told = world.of(MAIN);
    assert_eq!(
        told.len(),
        2,
        "the second is the one that came again: {told:?}"
    );
    let status: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
    for (name, value) in [
        ("messageId", "m-1"),
        ("tenantId", "acme"),
        ("organizationId", "eu"),
        ("status", "delivered"),
        ("platformMessageId", "p-1"),
        ("conversationId", "c-1"),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
    assert!(status["reason"].is_null());
    let known = world.book.read(KEY).await.unwrap().unwrap();
    assert_eq!(known.state, State::Delivered);
    let counted = counts(&world.observer);
    assert_eq!(counted.dropped["late_receipt"], 3);
    assert_eq!((counted.received, counted.delivered), (5, 2));
}

#[tokio::test]
async fn a_failure_has_the_platforms_code_and_none_of_its_words() {
    let world = world(Duration::ZERO);
    world.sent("p-1").await;
    world.post(&[&receipt("Failed")]).await.unwrap();
    let told = &world.of(MAIN)[0];
    assert!(told.contains(r#""reason":"GeneralError""#) && told.contains(r#""status":"failed""#));
    assert!(!told.contains("said"));
}

#[tokio::test]
async fn what_is_no_receipt_and_who_is_not_known_have_outputs_of_their_own() {
    let world = world(Duration::ZERO);
    let text = r#"{"id":"p-2","type":"Text","text":"hello"}"#;
    let (lost, odd) = (receipt("Delivered"), receipt("Removed"));
    world.post(&[text, &lost, &odd]).await.unwrap();
    assert_eq!(world.of("messages"), [text]);
    assert_eq!(world.of("unknown"), [lost, odd]);
    assert!(world.of(MAIN).is_empty());
    assert_eq!(counts(&world.observer).labels["unknown_message"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_waits_for_the_answer_that_it_has_overtaken() {
    let world = world(Duration::from_secs(2));
    let body = receipt("Delivered");
    let bodies = [&*body];
    let (posted, ()) = futures::join!(world.post(&bodies), async {
        sleep(Duration::from_secs(1)).await;
        world.sent("p-1").await;
    });
    posted.unwrap();
    assert_eq!((world.of(MAIN).len(), world.of("unknown").len()), (1, 0));
}

#[test]
fn the_sink_has_to_be_named_where_its_statuses_lie_in_the_state() {
    let told = |of: &str| {
        let text = format!(
            "version: 1\nname: p\nsources:\n  in: {{ type: stdin }}\ntransforms:\n  \
             r: {{ type: delivery_receipt, inputs: [in]{of} }}\nsinks:\n  \
             out: {{ type: blackhole, inputs: [r, r.messages, r.unknown] }}\n  \
             sent: {{ type: open_messaging, inputs: [in] }}\nsimulator: {{}}\n\
             dead_letter: {{ type: blackhole }}\n"
        );
        let checked = crate::graph::check::check(&parse("p.yaml", &text, &Fixed::new()));
        let codes = checked.report.iter().map(|it| it.code);
        codes.collect::<Vec<_>>()
    };
    assert_eq!(told(""), ["missing-field"]);
    assert_eq!(told(", sink: sent, wait: 2m"), ["out-of-range"]);
    assert_eq!(told(", sink: out"), ["unknown-value"]);
    assert!(told(", sink: sent").is_empty());
    assert!(told(", statuses: { http: \"https://state.example\" }").is_empty());
}

//! The sink with its view, over stores that are opened again.

mod orders;
mod restarts;
mod speed;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::Value;

use super::config::tests::defaults;
use super::history::History;
use super::*;
use crate::event::Event;
use crate::layer::{LetterBox, Redact, StackPolicy};
use crate::observe::{NodeKind, Observer, Query, ViewAnswer};
use crate::state::Store;

/// 20 November 2026, 12:00 UTC, a Friday.
pub(super) const NOON: i64 = 1_795_176_000;

struct Plain;

impl Redact for Plain {
    fn event(&self, _: &mut Event) {}

    fn text(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// A sink that runs over a store, with a clock that is set by hand.
struct Bed {
    sink: Activity,
    observer: Observer,
    clock: Arc<AtomicI64>,
    store: Store,
}

impl Bed {
    async fn new(config: Config, store: &Store) -> Self {
        Self::with(
            config,
            store,
            &Observer::new("p"),
            Arc::new(AtomicI64::new(NOON)),
        )
        .await
    }

    async fn with(config: Config, store: &Store, seen: &Observer, clock: Arc<AtomicI64>) -> Self {
        let (observer, ticking) = (seen.clone(), clock.clone());
        let now = move || Timestamp::from_second(ticking.load(Ordering::SeqCst)).unwrap();
        let context = SinkContext {
            node: "wall".into(),
            policy: StackPolicy::default(),
            letters: LetterBox::new(None, Arc::new(Plain), "wall", None),
            meter: observer.node("wall", NodeKind::Sink, "activity"),
            table: store.table("wall"),
            views: observer.views(),
            store: store.clone(),
            outputs: std::collections::HashMap::new(),
            simulator: None,
            front: None,
        };
        let sink = open_at(config, &context, Arc::new(now)).await.unwrap();
        Self {
            sink,
            observer,
            clock,
            store: store.clone(),
        }
    }

    /// The same pipeline at its next start.
    async fn again(self, config: Config, store: &Store) -> Self {
        let clock = self.clock.clone();
        Self::with(config, store, &Observer::new("p"), clock).await
    }

    fn pass(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> ViewAnswer {
        let query: Vec<(String, String)> = query
            .iter()
            .map(|(a, b)| ((*a).into(), (*b).into()))
            .collect();
        let (_, view) = self.observer.views().all().remove(0);
        let query: &Query = &query;
        view.answer(path, query).unwrap().await
    }

    async fn state(&self) -> Value {
        serde_json::from_slice(&self.ask("state", &[]).await.body).unwrap()
    }

    async fn active(&self) -> u64 {
        self.state().await["activeInteractions"].as_u64().unwrap()
    }

    async fn total(&self) -> u64 {
        let answer = self.ask("heatmap", &[]).await;
        let heatmap: Value = serde_json::from_slice(&answer.body).unwrap();
        heatmap["total"].as_u64().unwrap()
    }

    fn figure(&self, name: &str) -> u64 {
        self.observer.ledger().node("wall").unwrap().figures[name]
    }
}

/// An event of delivery `delivery`; `at` in seconds since noon.
fn event(delivery: u64, interaction: &str, participant: &str, state: &str, at: i64) -> Event {
    let time = Timestamp::from_second(NOON + at).unwrap();
    let json = format!(
        r#"{{"eventId":"{interaction}/{participant}/{state}/{at}","timestamp":"{time}","data":
        {{"interactionId":"{interaction}","participantId":"{participant}","state":"{state}"}}}}"#
    );
    let mut event = Event::parse(json, &Default::default(), &Default::default()).unwrap();
    event.origin = Origin::new(delivery, 0);
    event
}

fn batch(events: Vec<Event>) -> Batch {
    events.into()
}

async fn commit(store: &Store, deliveries: &[u64]) {
    store.commit(deliveries.to_vec(), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn the_answer_has_the_shape_that_was_agreed() {
    let bed = Bed::new(defaults(), &Store::memory()).await;
    let calls = vec![
        event(1, "a", "agent", "connected", 61),
        event(1, "a", "agent", "connected", 61),
        event(1, "b", "agent", "in-progress", 120),
        event(1, "c", "agent", "disconnected", 120),
    ];
    bed.sink.write(batch(calls)).await.unwrap();
    let answer = bed.ask("state", &[]).await;
    assert_eq!(
        (answer.status, answer.content_type),
        (200, "application/json")
    );
    let text = String::from_utf8(answer.body).unwrap();
    let from = r#"{"activeInteractions":2,"heatmap":{"data":[["#;
    assert!(text.starts_with(from), "{text}");
    assert!(
        text.ends_with(r#"]]},"lastUpdated":"2026-11-20T12:00:00.000Z"}"#),
        "{text}"
    );
    let state: Value = serde_json::from_str(&text).unwrap();
    let rows = state["heatmap"]["data"].as_array().unwrap();
    assert_eq!(rows.len(), 24);
    assert!(rows.iter().all(|row| row.as_array().unwrap().len() == 60));
    assert_eq!((&rows[12][1], &rows[12][2]), (&1.into(), &2.into()));
    // What was kept of the answer goes when anything changes, and with the day.
    bed.sink
        .write(batch(vec![event(2, "a", "agent", "disconnected", 180)]))
        .await
        .unwrap();
    assert_eq!(bed.active().await, 1);
    bed.pass(86_400);
    assert_eq!(bed.state().await["heatmap"]["data"][12][1], 0);
}

#[tokio::test]
async fn one_interaction_is_shown_with_its_participants() {
    let bed = Bed::new(defaults(), &Store::memory()).await;
    let events = vec![
        event(1, "a", "customer", "connected", 0),
        event(1, "a", "agent", "alerting", 5),
    ];
    bed.sink.write(batch(events)).await.unwrap();
    let answer = bed.ask("interactions/a", &[]).await;
    let known: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&known["active"], &known["events"]),
        (&true.into(), &2.into())
    );
    let agent = &known["participants"][0];
    assert_eq!(
        (&agent["participantId"], &agent["state"]),
        (&"agent".into(), &"alerting".into())
    );
    assert_eq!(
        (&agent["open"], &agent["time"]),
        (&false.into(), &"2026-11-20T12:00:05.000Z".into())
    );
    assert_eq!(known["firstEvent"], "2026-11-20T12:00:00.000Z");
    let missing = bed.ask("interactions/b", &[]).await;
    assert_eq!(
        (missing.status, missing.content_type),
        (404, "application/problem+json")
    );
    let (_, view) = bed.observer.views().all().remove(0);
    assert!(view.clone().answer("interactions/", &[]).is_none());
    assert!(view.answer("nothing", &[]).is_none());
}

#[tokio::test]
async fn a_heatmap_of_any_day_and_zone_and_the_parameter_that_is_wrong() {
    let mut config = defaults();
    config.timezone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let bed = Bed::new(config, &Store::memory()).await;
    bed.sink
        .write(batch(vec![event(1, "a", "p", "connected", 0)]))
        .await
        .unwrap();
    let json = async |query: &[(&str, &str)]| -> Value {
        let answer = bed.ask("heatmap", query).await;
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).unwrap()
    };
    let own = json(&[]).await;
    assert_eq!(
        (&own["date"], &own["timezone"]),
        (&"2026-11-20".into(), &"Europe/Berlin".into())
    );
    assert_eq!(
        (&own["data"][13][0], &own["busiest"]["hour"]),
        (&1.into(), &13.into())
    );
    let tokyo = json(&[("tz", "Asia/Tokyo"), ("date", "2026-11-20"), ("_", "1")]).await;
    assert_eq!(tokyo["data"][21][0], 1);
    let before = json(&[("date", "2026-11-19")]).await;
    assert_eq!(
        (&before["total"], &before["busiest"]),
        (&0.into(), &Value::Null)
    );
    for (name, value) in [
        ("date", "yesterday"),
        ("date", "2026-02-30"),
        ("date", "1969-12-31"),
        ("date", "20261120"),
        ("tz", "Mars/Base"),
        ("tz", "../etc/passwd"),
        ("format", "gif"),
        ("datum", "2026-11-20"),
    ] {
        let answer = bed.ask("heatmap", &[(name, value)]).await;
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (answer.status, &problem["parameter"]),
            (400, &name.into()),
            "{value}"
        );
    }
    assert!(bed.ask("heatmap", &[("date", "9999-12-31")]).await.status < 500);
    let png = bed.ask("heatmap", &[("format", "png")]).await;
    assert_eq!(
        (png.content_type, &png.body[1..4]),
        ("image/png", &b"PNG"[..])
    );
    let svg = bed.ask("heatmap", &[("format", "svg")]).await;
    assert_eq!(svg.content_type, "image/svg+xml");
    assert!(
        String::from_utf8(svg.body)
            .unwrap()
            .contains("Friday, 20 November 2026")
    );
}

#[tokio::test]
async fn what_cannot_be_counted_is_named_with_its_reason_and_the_rest_is_counted() {
    let bed = Bed::new(defaults(), &Store::memory()).await;
    let mut events = vec![event(1, "a", "p", "connected", 0)];
    for (index, json) in [
        r#"{"timestamp":"2026-11-20T12:00:00Z"}"#,
        r#"{"timestamp":"noon","data":{"interactionId":"a"}}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let mut event =
            Event::parse(json.into(), &Default::default(), &Default::default()).unwrap();
        event.origin = Origin::new(1, index + 1);
        events.push(event);
    }
    let failure = bed.sink.write(batch(events)).await.unwrap_err();
    let reasons: Vec<_> = failure
        .losses()
        .iter()
        .map(|loss| loss.cause.reason)
        .collect();
    assert_eq!(reasons, ["missing_interaction_id", "bad_timestamp"]);
    assert_eq!(failure.kind(), Kind::Rejected);
    assert_eq!(bed.active().await, 1);
}

#[tokio::test]
async fn those_that_ended_make_room_first() {
    let mut config = defaults();
    config.max_interactions = 3;
    let bed = Bed::new(config, &Store::memory()).await;
    for (interaction, state) in [
        ("open", "connected"),
        ("over", "ended"),
        ("x", "connected"),
        ("y", "connected"),
    ] {
        bed.sink
            .write(batch(vec![event(1, interaction, "p", state, 0)]))
            .await
            .unwrap();
    }
    assert_eq!((bed.active().await, bed.total().await), (3, 4));
    assert_eq!(bed.ask("interactions/over", &[]).await.status, 404);
    assert!(
        bed.observer.alerts().is_empty(),
        "nothing open was forgotten"
    );
    bed.pass(7 * 86_400);
    bed.sink
        .write(batch(vec![event(2, "z", "p", "connected", 0)]))
        .await
        .unwrap();
    assert_eq!(
        (bed.active().await, bed.figure("abandoned_interactions")),
        (1, 3)
    );
}

#[tokio::test]
async fn a_node_in_place_of_another_goes_on_with_its_memory() {
    let (store, observer) = (Store::memory(), Observer::new("p"));
    let clock = Arc::new(AtomicI64::new(NOON));
    let before = Bed::with(defaults(), &store, &observer, clock.clone()).await;
    before
        .sink
        .write(batch(vec![event(1, "a", "p", "connected", 0)]))
        .await
        .unwrap();
    let mut config = defaults();
    config.timezone = jiff::tz::TimeZone::get("Asia/Tokyo").unwrap();
    let after = Bed::with(config, &store, &observer, clock).await;
    // What the one before still has under way is not lost either.
    before
        .sink
        .write(batch(vec![event(1, "b", "p", "connected", 0)]))
        .await
        .unwrap();
    assert_eq!(after.active().await, 2);
    assert_eq!(after.state().await["heatmap"]["data"][21][0], 2);
    assert_eq!(observer.views().all().len(), 1);
}

#[test]
fn the_view_says_what_it_promises() {
    let kept = defaults().kept();
    assert!(matches!(
        kept,
        Kept::Lasting {
            idempotent: Some(_),
            limit: Some(_)
        }
    ));
}

/// A server that answers every query with what is told, once.
async fn influx(told: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        while !text.contains("_value") {
            let mut part = [0; 4096];
            let count = stream.read(&mut part).await.unwrap();
            text.push_str(std::str::from_utf8(&part[..count]).unwrap());
        }
        stream.write_all(told.as_bytes()).await.unwrap();
        text
    });
    (url, asked)
}

#[tokio::test]
async fn a_day_that_is_no_longer_kept_is_asked_of_the_history() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nConnection: close\r\n\r\n\
                  #datatype,string,long,dateTime:RFC3339,long\r\n#group,false,false,false,false\r\n\
                  #default,_result,,,\r\n,result,table,_time,_value\r\n\
                  ,,0,2026-11-01T09:15:00Z,7\r\n";
    let (url, asked) = influx(answer).await;
    let config = |url: &str| {
        let mut config = defaults();
        config.history = Some(History {
            server: crate::client::influx::Server {
                url: url.parse().unwrap(),
                org: String::new(),
                bucket: "calls".to_owned(),
                token: None,
            },
            series: Default::default(),
            timeout: std::time::Duration::from_secs(5),
        });
        config
    };
    let mut small = config(&url);
    small.retention = std::time::Duration::from_secs(86_400);
    let bed = Bed::new(small, &Store::memory()).await;
    for day in 0..3 {
        let event = event(day, "a", "p", "held", -(day as i64) * 86_400);
        bed.sink.write(batch(vec![event])).await.unwrap();
    }
    let old = &[("date", "2026-11-01"), ("tz", "Europe/Berlin")];
    let answer = bed.ask("heatmap", old).await;
    let heatmap: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&heatmap["source"], &heatmap["total"]),
        (&"history".into(), &7.into())
    );
    assert_eq!(heatmap["data"][10][15], 7);
    let query = asked.await.unwrap();
    assert!(query.contains("2026-10-31T23:00:00.000Z"), "{query}");
    // What is kept is not asked for; nobody listens there any more.
    assert_eq!(
        bed.ask("heatmap", &[("date", "2026-11-20")]).await.status,
        200
    );
    let gone = bed.ask("heatmap", old).await;
    assert_eq!(gone.status, 503);
    assert!(!String::from_utf8(gone.body).unwrap().contains("127.0.0.1"));
}

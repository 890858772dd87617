//! The sink `influxdb` against real servers, and against one that says everything the API can say.
//!
//! VictoriaMetrics takes the v2 path at speed and refuses nothing; InfluxDB 1.6 refuses points with
//! the errors of the storage engine that version 2 has too. Flux, tokens and limits need the stub.

#[path = "influxdb/answers.rs"]
mod answers;
#[path = "influxdb/counters.rs"]
mod counters;
#[path = "influxdb/flux.rs"]
mod flux;
#[path = "influxdb/looks.rs"]
mod looks;
#[path = "influxdb/runs.rs"]
mod runs;
#[path = "influxdb/servers.rs"]
mod servers;
#[path = "influxdb/stub.rs"]
mod stub;

use std::time::Duration;

use runs::{Run, participants, until};
use servers::{Influx, VictoriaMetrics};

/// Against a server that goes away for a moment.
const PATIENT: &str = "timeout: 5s, breaker: { open_for: 100ms }, \
    retry: { attempts: 50, backoff: 50ms, max_backoff: 200ms }";

#[tokio::test(flavor = "multi_thread")]
async fn victoria_metrics_has_every_point() {
    let server = VictoriaMetrics::start().await;
    let events = participants(20_000);
    let run = Run::start(&events, &format!("url: '{}', bucket: b", server.url()));
    let (ledger, letters) = run.ended().await;
    assert_eq!((ledger.whole.delivered, letters.len()), (20_000, 0));
    let points = server.points("vector_clock").await;
    assert_eq!(points.len(), 20_000);
    let point = &points["p, 3661"];
    assert_eq!(point["metric"]["interactionId"], "i-1");
    assert_eq!(point["metric"]["state"], "connected");
    // 2026-01-02T01:01:01Z
    assert_eq!(
        point["timestamps"],
        serde_json::json!([1_767_315_661_000_i64])
    );
    assert_eq!(point["values"], serde_json::json!([0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_victoria_metrics_goes_away_during_a_load() {
    let mut server = VictoriaMetrics::start().await;
    let limits = "rate_limit: { events: 20000, per: 1s, burst: 1000 }, max_batch: { events: 500 }";
    let sink = format!("url: '{}', bucket: b, {limits}, {PATIENT}", server.url());
    let run = Run::start(&participants(40_000), &sink);
    for from in [5_000, 15_000] {
        until("under way", async || run.delivered() > from).await;
        server.stop();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(run.delivered() < 40_000, "it went away too late");
        server.restart().await;
    }
    let (ledger, letters) = run.ended().await;
    assert_eq!((ledger.whole.delivered, letters.len()), (40_000, 0));
    assert!(ledger.whole.retries > 0);
    assert_eq!(server.points("vector_clock").await.len(), 40_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_influxdb_is_killed_during_a_load() {
    let mut server = Influx::start().await;
    server.ask("CREATE DATABASE b").await;
    let limits = "rate_limit: { events: 20000, per: 1s, burst: 1000 }, max_batch: { events: 500 }";
    let sink = format!("url: '{}', bucket: b, {limits}, {PATIENT}", server.url());
    let run = Run::start(&participants(40_000), &sink);
    for from in [5_000, 15_000] {
        until("under way", async || run.delivered() > from).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(run.delivered() < 40_000, "it was killed too late");
        server.restart().await;
    }
    let (ledger, letters) = run.ended().await;
    assert_eq!((ledger.whole.delivered, letters.len()), (40_000, 0));
    // A point that was written twice is one.
    let count = server
        .ask("SELECT count(vector_clock) FROM participant_state")
        .await;
    assert_eq!(count, 40_000);
}

/// Values of a field `v`, which is a float where nothing is said.
fn measured(count: usize, odd: impl Fn(usize) -> Option<&'static str>) -> Vec<String> {
    let event = |n: usize| {
        let value = odd(n).map_or_else(|| format!("{n}.5"), str::to_owned);
        format!(r#"{{"at":{},"id":"{n}","v":{value}}}"#, 1_760_000_000 + n)
    };
    (0..count).map(event).collect()
}

const MEASURED: &str = "measurement: m, tags: { id: .id }, fields: { v: .v }, time: .at";

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_refuses_points_of_another_type_and_those_alone() {
    let server = Influx::start().await;
    server.ask("CREATE DATABASE b").await;
    let sink = format!("url: '{}', bucket: b, {MEASURED}", server.url());
    let (ledger, _) = Run::start(&measured(1, |_| None), &sink).ended().await;
    assert_eq!(ledger.whole.delivered, 1);

    let odd = |n: usize| {
        [(7, "\"text\""), (8, "true"), (1_999, "3")]
            .into_iter()
            .find(|(at, _)| *at == n)
    };
    let events = measured(2_000, |n| odd(n).map(|(_, value)| value));
    let (ledger, mut letters) = Run::start(&events, &sink).ended().await;
    assert_eq!(ledger.whole.delivered, 1_997);
    letters.sort_by_key(|(_, event)| event["at"].as_u64());
    let ids: Vec<_> = letters
        .iter()
        .map(|(reason, event)| (reason.as_str(), event["id"].as_str().unwrap()))
        .collect();
    let reason = "influx_type_conflict";
    assert_eq!(ids, [(reason, "7"), (reason, "8"), (reason, "1999")]);
    assert_eq!(server.ask("SELECT count(v) FROM m").await, 1_997);

    // Where all are refused that is found out at once.
    let (ledger, letters) = Run::start(&measured(2_000, |_| Some("\"text\"")), &sink)
        .ended()
        .await;
    assert_eq!((ledger.whole.delivered, letters.len()), (0, 2_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_refuses_points_that_are_too_old_and_those_alone() {
    let server = Influx::start().await;
    server
        .ask("CREATE DATABASE b WITH DURATION 1h SHARD DURATION 1h")
        .await;
    let now = jiff::Timestamp::now().as_second();
    let at = |n: i64| if n % 100 == 50 { n } else { now - n };
    let event = |n: i64| format!(r#"{{"at":{},"id":"{n}","v":1.5}}"#, at(n));
    let events: Vec<_> = (0..300).map(event).collect();
    let sink = format!("url: '{}', bucket: b, {MEASURED}", server.url());
    let (ledger, letters) = Run::start(&events, &sink).ended().await;
    assert_eq!(ledger.whole.delivered, 297);
    assert_eq!(letters.len(), 3);
    assert!(
        letters
            .iter()
            .all(|(reason, _)| reason == "influx_retention"),
        "{letters:?}"
    );
    assert_eq!(server.ask("SELECT count(v) FROM m").await, 297);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_read_by_influxdb_as_it_was_meant() {
    let server = Influx::start().await;
    server.ask("CREATE DATABASE b").await;
    let texts = [
        "a b", "a,b=c", "\\", "a\\", "a\\b", "\"q\"", "x\ny", "ö ü", "#", "a\\,b", "'", "=\\",
    ];
    let event = |(n, text): (usize, &&str)| {
        let text = serde_json::to_string(text).unwrap();
        format!(
            r#"{{"at":{},"id":"{n}","t":{text},"v":{text}}}"#,
            1_760_000_000 + n
        )
    };
    let events: Vec<_> = texts.iter().enumerate().map(event).collect();
    let sink = format!(
        "url: '{}', bucket: b, measurement: 'odd, m', tags: {{ id: .id, 't, x': .t }}, fields: {{ 'v =': .v }}, time: .at",
        server.url()
    );
    let (ledger, letters) = Run::start(&events, &sink).ended().await;
    assert_eq!((ledger.whole.delivered, letters.len()), (12, 0));
    for (n, text) in texts.iter().enumerate() {
        let found = server
            .ask(&format!("SELECT \"v =\" FROM \"odd, m\" WHERE id = '{n}'"))
            .await;
        assert_eq!(found, text.replace('\n', "\\n"), "{text:?}");
    }
    let tag = server
        .ask("SELECT \"v =\" FROM \"odd, m\" WHERE \"t, x\" = 'a,b=c'")
        .await;
    assert_eq!(tag, "a,b=c");
}

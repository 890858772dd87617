//! Components that are switched on and off, for all events or for some.

#[path = "kit/world.rs"]
#[allow(dead_code)] // Each of the tests that share it uses a part.
mod world;

use trunkline::config::{Fixed, parse};
use trunkline::graph::check::check;
use world::{World, start};

fn file(count: &str, out: &str, other: &str) -> String {
    format!(
        "
version: 1
name: p
sources:
  in: {{ type: stdin, framing: lines }}
  off: {{ type: stdin, framing: lines, enabled: false }}
transforms:
  even: {{ type: filter, inputs: [in, off], where: {{ path: .even, equals: true }}, enabled: {count} }}
sinks:
  out: {{ type: blackhole, inputs: [even], enabled: {out} }}
  other: {{ type: blackhole, inputs: [even], enabled: {other} }}
dead_letter: {{ type: blackhole }}
"
    )
}

fn lines() -> Vec<String> {
    let line = |id: usize| {
        format!(
            r#"{{"id":{id},"even":{},"late":{}}}"#,
            id.is_multiple_of(2),
            id > 3
        )
    };
    (0..6).map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_off_lets_events_by_or_drops_them_and_is_never_opened() {
    let world = World::default();
    let running = start(world.pipeline(&file("false", "true", "false")));
    world.send("in", lines());
    world.until("out", 6).await;
    let ledger = running.stop().await;
    let counts = |node: &str| ledger.node(node).unwrap().counts.clone();
    // Each of the six goes to two sinks.
    let even = counts("even");
    assert_eq!((even.received, even.delivered, even.created), (6, 12, 6));
    assert_eq!(counts("other").dropped["disabled"], 6);
    assert!(world.written("other").is_empty());
    assert!(ledger.node("off").is_none(), "it is not read at all");
}

#[tokio::test(start_paused = true)]
async fn a_condition_says_for_which_events_and_a_reload_changes_it() {
    let world = World::default();
    let late = "{ when: { path: .late, equals: true } }";
    let running = start(world.pipeline(&file(late, late, "true")));
    world.send("in", lines());
    // 0 to 3 go by the filter; of 4 and 5 it takes 4.
    let mut all = world.until("other", 5).await;
    all.sort();
    let line = lines();
    assert_eq!(all, line[..5]);
    world.until("out", 1).await;
    let changes = running
        .reload(world.pipeline(&file("true", late, "true")))
        .await
        .unwrap();
    assert_eq!(changes.replaced, ["even"]);
    world.send("in", lines());
    assert_eq!(world.until("other", 8).await.len(), 8);
    let ledger = running.stop().await;
    let counts = |node: &str| ledger.node(node).unwrap().counts.clone();
    assert_eq!(world.written("out"), [line[4].as_str(), line[4].as_str()]);
    assert_eq!(counts("out").dropped["disabled"], 6);
    assert_eq!(counts("even").received, 12);
}

/// A file of which much is off, with this instead of some of it.
fn spare(with: &[(&str, &str)]) -> Vec<(&'static str, u32)> {
    let mut text = r#"
version: 1
name: p
sources:
  in: { type: stdin, framing: lines }
  queue: { type: rabbitmq, enabled: { set: "${QUEUE:-}" }, url: "${URL:-}", queue: "${QUEUE:-}", prefetch: "${PREFETCH:-}" }
  hook: { type: genesys_webhook, enabled: { set: "${SECRET:-}" }, listen: "${LISTEN:-}", secret: "${SECRET:-}" }
  live: { type: genesys_websocket, enabled: false, region: "${REGION:-}", auth: { client_id: "${ID:-}", client_secret: "${SECRET:-}" }, topics: [users] }
transforms:
  once: { type: dedup, inputs: [in, queue, hook, live], enabled: { set: "${KEY:-}" }, key: "${KEY:-}", window: "${WINDOW:-}" }
sinks:
  out:
    type: blackhole
    inputs: [once]
    dead_letter: { type: rabbitmq, enabled: { set: "${URL:-}" }, url: "${URL:-}", queue: "${QUEUE:-}" }
  told: { type: rabbitmq, inputs: [once], enabled: { set: "${URL:-}" }, url: "${URL:-}", exchange: "${EXCHANGE:-}" }
  curves: { type: influxdb, inputs: [once], enabled: { unset: "here" }, url: "${URL:-}", org: "${ORG:-}", bucket: "${BUCKET:-}", token: "${TOKEN:-}", measurement: m, time: .at, fields: { n: .n } }
  letters: { type: open_messaging, inputs: [once], enabled: false, statuses: { redis: "${REDIS:-}" } }
  statuses: { type: blackhole, inputs: [letters.statuses] }
dead_letter: { type: blackhole }
"#
    .to_owned();
    for (from, to) in with {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let checked = check(&parse("p.yaml", &text, &Fixed::default()));
    let told: Vec<_> = (checked.report.iter())
        .map(|it| (it.code, it.span.map_or(0, |span| span.line)))
        .collect();
    assert_eq!(checked.pipeline.is_some(), !checked.report.has_errors());
    told
}

#[test]
fn what_a_component_that_is_off_was_left_unset_is_not_held_against_it() {
    assert_eq!(spare(&[]), []);
    // On, each of them misses it.
    let on = |field: &str| spare(&[(field, "enabled: true")]);
    for (field, line) in [
        (r#"enabled: { set: "${QUEUE:-}" }"#, 6),
        (r#"enabled: { set: "${SECRET:-}" }"#, 7),
        (r#"enabled: { set: "${KEY:-}" }"#, 10),
        (r#"enabled: { unset: "here" }"#, 17),
    ] {
        let told = on(field);
        assert!(told.iter().any(|(_, at)| *at == line), "{field}: {told:?}");
    }
}

#[test]
fn real_mistakes_of_a_component_that_is_off_show() {
    for (with, code, line) in [
        (("prefetch:", "prefetsh:"), "unknown-field", 6),
        ((r#""${PREFETCH:-}""#, "[1]"), "wrong-type", 6),
        ((r#"queue: "${QUEUE:-}","#, ""), "missing-field", 6),
        (
            (r#"secret: "${SECRET:-}""#, "secret: written-into-the-file"),
            "plain-secret",
            0,
        ),
        (
            (r#"window: "${WINDOW:-}""#, "window: soon"),
            "bad-duration",
            10,
        ),
        (("type: influxdb", "type: influx"), "unknown-component", 17),
        (
            (r#"url: "${URL:-}", exchange"#, "url: nowhere, exchange"),
            "bad-url",
            16,
        ),
        (
            (
                r#"url: "${URL:-}", queue: "${QUEUE:-}" }
  told"#,
                "urls: x }
  told",
            ),
            "unknown-field",
            15,
        ),
    ] {
        let told = spare(&[with]);
        assert!(told.contains(&(code, line)), "{with:?}: {told:?}");
    }
}

/// One tenant has the flag, the other has it not, and `tenants` is where that is said.
fn by_flag(tenants: &str) -> String {
    format!(
        "
version: 1
name: p
tenants: {tenants}
sources:
  in: {{ type: stdin, framing: lines }}
transforms:
  even: {{ type: filter, inputs: [in], where: {{ path: .even, equals: true }}, enabled: {{ flag: even-only }} }}
sinks:
  out: {{ type: blackhole, inputs: [even] }}
  flagged: {{ type: blackhole, inputs: [even], enabled: {{ flag: shown, tenant: .of.tenant }} }}
dead_letter: {{ type: blackhole }}
"
    )
}

fn listed(acme: &str, other: &str) -> String {
    let tenant = |flags: &str| {
        format!(
            "{{ flags: {flags}, organizations: {{ eu: {{ region: mypurecloud.ie, auth: {{ client_id: a, client_secret: b }} }} }} }}"
        )
    };
    by_flag(&format!(
        "{{ list: {{ acme: {}, other: {} }} }}",
        tenant(acme),
        tenant(other)
    ))
}

fn of_tenants(tenants: &[&str]) -> Vec<String> {
    let line = |(id, tenant): (usize, &&str)| {
        let even = id % 2 == 0;
        format!(r#"{{"id":{id},"even":{even},"tenantId":"{tenant}","of":{{"tenant":"{tenant}"}}}}"#)
    };
    tenants.iter().enumerate().map(line).collect()
}

#[tokio::test(start_paused = true)]
async fn a_flag_switches_a_component_on_for_the_tenants_that_have_it() {
    let world = World::default();
    let text = listed("{ even-only: true, shown: true }", "{ shown: false }");
    let running = start(world.pipeline(&text));
    let lines = of_tenants(&["acme", "acme", "other", "other", "nobody", "nobody"]);
    let mut sent = lines.clone();
    sent.push(r#"{"id":9,"tenantId":7}"#.to_owned());
    world.send("in", sent.clone());
    // Of `acme` the even one, of all others both; who has no tenant has no flag.
    let mut all = world.until("out", 6).await;
    all.sort();
    let mut awaited = sent.clone();
    awaited.remove(1);
    awaited.sort();
    assert_eq!(all, awaited);
    assert_eq!(world.until("flagged", 1).await, lines[..1]);
    // A reload with other flags is seen by components that go on.
    let text = listed("{ shown: false }", "{ even-only: true, shown: true }");
    let changes = running.reload(world.pipeline(&text)).await.unwrap();
    assert!(changes.replaced.is_empty(), "{changes:?}");
    world.send("in", lines.clone());
    assert_eq!(world.until("out", 11).await.len(), 11);
    assert_eq!(world.until("flagged", 2).await[1], lines[2]);
    let ledger = running.stop().await;
    let counts = |node: &str| ledger.node(node).unwrap().counts.clone();
    assert_eq!(counts("flagged").dropped["disabled"], 9);
    assert_eq!(counts("even").received, 13);
}

#[test]
fn a_flag_needs_tenants_and_events() {
    let codes = |text: &str| -> Vec<_> {
        let checked = check(&parse("p.yaml", text, &Fixed::default()));
        let errors = checked.report.iter().filter(|it| it.code != "plain-secret");
        errors.map(|it| it.code).collect()
    };
    let good = listed("{}", "{}");
    assert_eq!(codes(&good), [""; 0]);
    let nobody = by_flag("{}").replace("tenants: {}", "");
    assert_eq!(codes(&nobody), ["missing-field", "missing-field"]);
    for (from, to, code) in [
        (
            "framing: lines",
            "framing: lines, enabled: { flag: x }",
            "conflicting-fields",
        ),
        (
            "{ flag: even-only }",
            "{ flag: x, set: y }",
            "conflicting-fields",
        ),
        ("{ flag: even-only }", "{ flag: [x] }", "wrong-type"),
        ("{ flag: even-only }", "{ flag: \"\" }", "out-of-range"),
        (
            "{ flag: even-only }",
            "{ flag: x, tenant: \".a[].b\" }",
            "bad-field-path",
        ),
        (
            "{ flag: even-only }",
            "{ tenant: .a }",
            "conflicting-fields",
        ),
    ] {
        let told = codes(&good.replacen(from, to, 1));
        assert!(told.contains(&code), "{to}: {told:?}");
    }
}

/// Tells of tenants: of some late, and at first not at all.
async fn service() -> String {
    use axum::extract::Path;
    use axum::http::StatusCode;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let failures = std::sync::Arc::new(AtomicUsize::new(2));
    let tell = move |Path(id): Path<String>| {
        let failures = failures.clone();
        async move {
            if id == "late" {
                tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            }
            let left = |left: usize| left.checked_sub(1);
            if id == "away"
                && failures
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, left)
                    .is_ok()
            {
                return (StatusCode::SERVICE_UNAVAILABLE, String::new());
            }
            let told = r#"{"flags":{"shown":true},"organizations":{"eu":{"region":"mypurecloud.ie","auth":{"client_id":"a","client_secret":"b"}}}}"#;
            (StatusCode::OK, told.to_owned())
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().route("/tenants/{id}", axum::routing::get(tell));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_service_is_asked_for_flags_nobody_overtakes_and_nothing_is_lost() {
    let world = World::default();
    let text = by_flag(&format!(
        "{{ service: {{ url: \"{}\", ttl: 1h }} }}",
        service().await
    ));
    let running = start(world.pipeline(&text));
    let lines = of_tenants(&["quick", "late", "quick", "quick"]);
    for line in &lines {
        world.send("in", [line.clone()]);
    }
    assert_eq!(world.until("flagged", 4).await, lines);
    // Whom nobody can be asked for is neither on nor off: it comes again.
    let away = of_tenants(&["away"]);
    world.send("in", away.clone());
    assert_eq!(world.until("flagged", 5).await[4], away[0]);
    let ledger = running.stop().await;
    assert!(
        !ledger
            .node("flagged")
            .unwrap()
            .counts
            .dropped
            .contains_key("disabled")
    );
}

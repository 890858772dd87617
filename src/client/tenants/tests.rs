//! Tenants of a list, and a service over real sockets that is away, slow, or lies.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value as Json, json};
use url::Url;

use super::*;
use crate::diagnostic::Report;
use crate::setting::{Fields, Key, Node, Secret, Value};

/// What the service answers next (the last one stays), and what it was asked.
#[derive(Default)]
struct Script {
    answers: VecDeque<(u16, String, Duration)>,
    asked: Vec<(String, String)>,
}

type Shared = Arc<Mutex<Script>>;

async fn serve(State(script): State<Shared>, uri: Uri, headers: HeaderMap) -> (StatusCode, String) {
    let (status, body, after) = {
        let mut script = script.lock().unwrap();
        let token = headers
            .get("authorization")
            .map_or("", |it| it.to_str().unwrap());
        script.asked.push((uri.to_string(), token.to_owned()));
        match script.answers.len() {
            1 => script.answers[0].clone(),
            _ => script.answers.pop_front().unwrap(),
        }
    };
    tokio::time::sleep(after).await;
    (StatusCode::from_u16(status).unwrap(), body)
}

async fn start(answers: Vec<(u16, Json)>, ttl: Duration) -> (Tenants, Shared) {
    let answers = answers.into_iter();
    let script = Arc::new(Mutex::new(Script {
        answers: answers
            .map(|(status, body)| (status, body.to_string(), Duration::ZERO))
            .collect(),
        ..Script::default()
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let app = Router::new().fallback(serve).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let tenants = Tenants::new(Config {
        told: Told::Service(Service {
            url: Url::parse(&url).unwrap(),
            token: Some(Secret::new("hush-hush")),
            ttl,
            timeout: Duration::from_millis(300),
            negative_ttl: Duration::from_secs(60),
            max_tenants: 3,
        }),
        shared_budget: None,
    });
    (tenants, script)
}

fn acme(secret: &str) -> Json {
    json!({
        "id": "acme", "since": 2020, "flags": {"media": true},
        "organizations": {"eu": {
            "region": "mypurecloud.ie", "auth": {"client_id": "id", "client_secret": secret, "kind": "x"},
            "integrations": ["i-1"], "rate_limit": {"events": 600, "per": "1m"}, "policy": "at_most_once",
            "colour": null, "breaker": null,
        }},
    })
}

fn asked(script: &Shared) -> usize {
    script.lock().unwrap().asked.len()
}

const LONG: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_tenant_is_asked_for_once_by_many_and_holds_what_was_told() {
    let (tenants, script) = start(vec![(200, acme("s-1"))], LONG).await;
    let calls = (0..50).map(|_| tenants.organization("acme", "eu"));
    let answers = futures::future::join_all(calls).await;
    let eu = answers[0].as_ref().unwrap();
    assert!(
        answers
            .iter()
            .all(|it| Arc::ptr_eq(it.as_ref().unwrap(), eu))
    );
    assert_eq!(
        script.lock().unwrap().asked,
        [("/v1/tenants/acme".into(), "Bearer hush-hush".into())]
    );
    assert_eq!(
        (eu.policy, eu.flag("media"), eu.flag("x")),
        (Policy::AtMostOnce, Some(true), None)
    );
    assert_eq!((eu.integration(), eu.allows("i-2")), (Some("i-1"), false));
    assert_eq!(eu.client().usage().allowed, 600);
    let unknown = tenants.organization("acme", "us").await.unwrap_err();
    assert_eq!((unknown, asked(&script)), (Lookup::UnknownOrganization, 1));
}

#[tokio::test]
async fn one_that_is_not_known_is_asked_for_once_and_an_id_is_no_path() {
    let (tenants, script) = start(vec![(404, json!({}))], LONG).await;
    for _ in 0..3 {
        let id = "a b?c%2F#é";
        assert_eq!(tenants.tenant(id).await.unwrap_err(), Lookup::UnknownTenant);
    }
    let path = script.lock().unwrap().asked[0].0.clone();
    assert_eq!(
        (path.as_str(), asked(&script)),
        ("/v1/tenants/a%20b%3Fc%252F%23%C3%A9", 1)
    );
    for id in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\\b",
        "a\nb",
        &"x".repeat(129),
    ] {
        assert_eq!(
            tenants.tenant(id).await.unwrap_err(),
            Lookup::UnknownTenant,
            "{id:?}"
        );
    }
    assert_eq!(asked(&script), 1);
}

#[tokio::test]
async fn the_last_good_answer_serves_while_the_service_is_away_or_lies() {
    let answers = [
        (500, json!({})),
        (200, json!({"organizations": 7})),
        (
            200,
            json!({"organizations": {"eu": {"region": "x y", "auth": {}}}}),
        ),
        (302, json!({})),
    ];
    for answer in answers {
        let (tenants, script) = start(
            vec![(200, acme("s-1")), answer.clone()],
            Duration::from_millis(50),
        )
        .await;
        let first = tenants.organization("acme", "eu").await.unwrap();
        assert_eq!(tenants.stale(), None);
        tokio::time::sleep(Duration::from_millis(80)).await;
        let second = tenants.organization("acme", "eu").await.unwrap();
        assert!(Arc::ptr_eq(&first, &second), "{answer:?}");
        let stale = tenants.stale().unwrap();
        assert!(
            !stale.why.contains("s-1") && !stale.why.contains("hush"),
            "{stale:?}"
        );
        assert!(asked(&script) >= 2);
    }
}

#[tokio::test]
async fn a_service_that_never_told_is_waited_for_and_not_for_long() {
    let (tenants, script) = start(vec![(200, acme("s-1"))], LONG).await;
    script.lock().unwrap().answers[0].2 = Duration::from_secs(60);
    let from = Instant::now();
    let away = tenants.tenant("acme").await.unwrap_err();
    assert!(from.elapsed() < Duration::from_secs(10));
    let failure = Failure::from(away);
    assert_eq!(
        (failure.kind(), failure.losses()[0].cause.reason),
        (Kind::Transient, "tenants_away")
    );
    // Nobody asks again at once.
    tenants.tenant("acme").await.unwrap_err();
    assert_eq!(asked(&script), 1);
}

#[tokio::test]
async fn an_answer_is_renewed_in_the_background_and_other_credentials_are_another_client() {
    let other_rate = {
        let mut changed = acme("s-1");
        changed["organizations"]["eu"]["rate_limit"]["events"] = json!(60);
        changed
    };
    let answers = vec![(200, acme("s-1")), (200, other_rate), (200, acme("s-2"))];
    let (tenants, script) = start(answers, Duration::from_secs(1)).await;
    let first = tenants.organization("acme", "eu").await.unwrap();
    first.client().turn().await;
    let changed = |from: Arc<Organization>| {
        let tenants = tenants.clone();
        async move {
            loop {
                let now = tenants.organization("acme", "eu").await.unwrap();
                if !Arc::ptr_eq(&now, &from) {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let second = changed(first.clone()).await;
    let usage = second.client().usage();
    assert_eq!(
        (usage.allowed, usage.used),
        (60, 1),
        "the same client at another rate"
    );
    let third = changed(second).await;
    assert_eq!(third.client().usage().used, 0, "another client");
    assert!(asked(&script) >= 3);
}

#[tokio::test]
async fn what_is_remembered_and_read_is_bounded() {
    let (tenants, _) = start(vec![(200, acme("s-1"))], LONG).await;
    for n in 0..10 {
        tenants.tenant(&format!("t-{n}")).await.unwrap();
    }
    assert_eq!(tenants.counts().0, 3);
    let (tenants, script) = start(vec![(200, json!({}))], LONG).await;
    script.lock().unwrap().answers[0].1 = format!("\"{}\"", "x".repeat(2 << 20));
    let away = tenants.tenant("acme").await.unwrap_err();
    assert!(matches!(away, Lookup::Away(failure) if failure.to_string().contains("too long")));
}

#[tokio::test]
async fn a_reload_is_seen_by_those_who_hold_the_old_ones() {
    let list = |secret: &str| {
        let description = Description::read(&acme(secret)).unwrap();
        Tenants::new(Config {
            told: Told::List(BTreeMap::from([("acme".to_owned(), description)])),
            shared_budget: None,
        })
    };
    let running = list("s-1");
    let first = running.organization("acme", "eu").await.unwrap();
    first.client().turn().await;
    let same = list("s-1");
    same.succeed(&running);
    let again = same.organization("acme", "eu").await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "nothing changed");
    let other = list("s-2");
    other.succeed(&running);
    for tenants in [&running, &same, &other] {
        let now = tenants.organization("acme", "eu").await.unwrap();
        assert_eq!(
            now.client().usage().used,
            0,
            "other credentials, another client"
        );
    }
}

fn section(yaml: &[(&str, Node)]) -> Node {
    let key = |name: &str| Key {
        name: name.to_owned(),
        span: Default::default(),
    };
    let entries = yaml.iter().map(|(name, node)| (key(name), node.clone()));
    Node::new(Value::Map(entries.collect()), Default::default())
}

#[test]
fn every_mistake_of_a_list_shows_and_no_secret() {
    let text = |text: &str| Node::new(Value::Text(text.into()), Default::default());
    let eu = section(&[
        ("region", text("no region")),
        ("endpoint", text("ftp://x")),
        (
            "auth",
            section(&[
                ("client_id", text("id")),
                ("client_secret", text("hunter2")),
            ]),
        ),
        (
            "rate_limit",
            section(&[("events", Node::new(Value::Int(0), Default::default()))]),
        ),
        ("policy", text("exactly_once")),
        ("colour", text("red")),
    ]);
    let tenant = section(&[(
        "organizations",
        section(&[("eu", eu), ("a/b", section(&[]))]),
    )]);
    let node = section(&[("list", section(&[("acme", tenant)]))]);
    let mut report = Report::new("f");
    let mut fields = Fields::new(&node, "`tenants`", &mut report).unwrap();
    let mut open = |_| unreachable!("no file is named");
    Config::check(&mut fields, &mut open);
    fields.finish();
    let mut codes: Vec<_> = report.iter().map(|it| it.code).collect();
    codes.sort_unstable();
    let expected = [
        "bad-name",
        "bad-url",
        "conflicting-fields",
        "missing-field",
        "missing-field",
        "out-of-range",
        "plain-secret",
        "unknown-field",
        "unknown-value",
        "unknown-value",
    ];
    assert_eq!(codes, expected);
    assert!(report.iter().all(|it| !it.message.contains("hunter2")));
}

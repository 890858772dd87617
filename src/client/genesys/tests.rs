//! The client against a small server over real sockets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::*;
use crate::failure::Kind;
use url::Url;

const SECRET: &str = "hush-hush";

/// What a path answers next; the last one stays.
#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
    after: Duration,
}

impl Answer {
    fn of(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.to_string(),
            after: Duration::ZERO,
        }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

#[derive(Default)]
struct Script {
    tokens: VecDeque<Answer>,
    api: VecDeque<Answer>,
    /// Path with query, authorization, body.
    calls: Vec<(String, String, String)>,
    token_calls: Vec<(String, String)>,
}

type Shared = Arc<Mutex<Script>>;

fn play(answers: &mut VecDeque<Answer>) -> Answer {
    match answers.len() {
        0 => Answer::of(500, json!({})),
        1 => answers[0].clone(),
        _ => answers.pop_front().unwrap(),
    }
}

async fn serve(
    State(script): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let auth = headers
        .get("authorization")
        .map_or("", |it| it.to_str().unwrap())
        .to_owned();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let answer = {
        let mut script = script.lock().unwrap();
        if uri.path() == "/oauth/token" {
            script.token_calls.push((auth, body));
            play(&mut script.tokens)
        } else {
            script.calls.push((uri.to_string(), auth, body));
            play(&mut script.api)
        }
    };
    tokio::time::sleep(answer.after).await;
    let mut response = (StatusCode::from_u16(answer.status).unwrap(), answer.body).into_response();
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn granted(token: &str, life: u64) -> Answer {
    Answer::of(
        200,
        json!({ "access_token": token, "token_type": "bearer", "expires_in": life }),
    )
}

async fn start(tokens: Vec<Answer>, api: Vec<Answer>) -> (Client, Shared) {
    let script = Arc::new(Mutex::new(Script {
        tokens: tokens.into(),
        api: api.into(),
        ..Script::default()
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(serve).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let credentials = Credentials {
        client_id: "the-id".into(),
        client_secret: Secret::new(SECRET),
    };
    let manner = Manner {
        answer_bytes: 100_000,
        first_wait: Duration::from_millis(10),
        ..Manner::default()
    };
    let client = Client::new(Endpoints::at(&url).unwrap(), credentials, manner).unwrap();
    (client, script)
}

fn get() -> Call<'static> {
    Call::new("a call", Method::GET, "/x")
}

fn counts(script: &Shared) -> (usize, usize) {
    let script = script.lock().unwrap();
    (script.token_calls.len(), script.calls.len())
}

#[tokio::test]
async fn fifty_callers_ask_for_one_token() {
    let token = Answer {
        after: Duration::from_millis(50),
        ..granted("token-1", 86_400)
    };
    let (client, script) = start(vec![token], vec![Answer::of(200, json!({}))]).await;
    let calls = (0..50).map(|_| client.call::<Value>(get()));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(counts(&script), (1, 50));
    let script = script.lock().unwrap();
    let basic = "Basic dGhlLWlkOmh1c2gtaHVzaA==".to_owned();
    assert_eq!(
        script.token_calls[0],
        (basic, "grant_type=client_credentials".to_owned())
    );
    assert!(
        script
            .calls
            .iter()
            .all(|(path, auth, _)| path == "/api/v2/x" && auth == "Bearer token-1")
    );
}

#[tokio::test]
async fn a_token_near_its_end_is_renewed_by_one_while_the_others_go_on() {
    // Nine tenths of one second.
    let slow = Answer {
        after: Duration::from_millis(100),
        ..granted("token-2", 86_400)
    };
    let (client, script) = start(vec![granted("token-1", 1), slow], vec![]).await;
    let first = client.token().await.unwrap();
    let begin = Instant::now();
    while counts(&script).0 < 2 && begin.elapsed() < Duration::from_secs(5) {
        let asked = Instant::now();
        let token = client.token().await.unwrap();
        if token.expose() == first.expose() {
            assert!(
                asked.elapsed() < Duration::from_millis(90),
                "it waited for the new one"
            );
        }
        tokio::task::yield_now().await;
    }
    let mut token = client.token().await.unwrap();
    while token.expose() == "token-1" && begin.elapsed() < Duration::from_secs(5) {
        tokio::task::yield_now().await;
        token = client.token().await.unwrap();
    }
    assert_eq!((token.expose(), counts(&script).0), ("token-2", 2));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_repeated_once() {
    let refused = Answer::of(
        401,
        json!({ "code": "bad.credentials", "message": "Invalid login credentials token-1" }),
    );
    let tokens = vec![granted("token-1", 86_400), granted("token-2", 86_400)];
    let (client, script) = start(
        tokens,
        vec![refused.clone(), Answer::of(200, json!({ "a": 1 }))],
    )
    .await;
    assert_eq!(
        client.call::<Value>(get()).await.unwrap(),
        json!({ "a": 1 })
    );
    assert_eq!(counts(&script), (2, 2));
    assert_eq!(script.lock().unwrap().calls[1].1, "Bearer token-2");
    let (client, script) = start(vec![granted("token-1", 86_400)], vec![refused]).await;
    let error = client.call::<Value>(get()).await.unwrap_err();
    assert_eq!((error.status(), counts(&script)), (Some(401), (2, 2)));
    assert!(!error.to_string().contains("token-1"), "{error}");
}

#[tokio::test]
async fn refused_credentials_are_fatal_in_the_words_of_the_login_host() {
    for status in [400, 401] {
        let body = json!({
            "error": "invalid_client",
            "description": "client not found",
            "error_description": format!("client not found {SECRET}"),
        });
        let answer = Answer::of(status, body).with("ININ-Correlation-Id", "c-1");
        let (client, script) = start(vec![answer], vec![]).await;
        let error = client.call::<Value>(get()).await.unwrap_err();
        assert!(error.is_fatal());
        let failure = Failure::from(error);
        assert_eq!(failure.kind(), Kind::Fatal);
        let text = format!("{failure} {failure:?} {client:?}");
        assert!(
            text.contains("invalid_client: client not found [secret] [correlation c-1]"),
            "{text}"
        );
        assert!(
            !text.contains(SECRET) && !text.contains("dGhlLWlk"),
            "{text}"
        );
        assert_eq!(counts(&script), (1, 0));
    }
}

#[tokio::test]
async fn a_busy_login_host_is_asked_again_as_late_as_it_says() {
    let busy = Answer::of(429, json!({ "error": "busy" })).with("Retry-After", "0.2");
    let (client, script) = start(
        vec![busy, granted("t", 60)],
        vec![Answer::of(200, json!(1))],
    )
    .await;
    let begin = Instant::now();
    assert_eq!(client.call::<u8>(get()).await.unwrap(), 1);
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert_eq!(counts(&script).0, 2);
    // Who waited for the try that failed does not make another.
    let busy = Answer {
        after: Duration::from_millis(50),
        ..Answer::of(503, json!({}))
    };
    let (client, script) = start(vec![busy], vec![]).await;
    let tokens = futures::future::join_all((0..20).map(|_| client.token())).await;
    assert!(
        tokens
            .iter()
            .all(|token| token.as_ref().unwrap_err().kind() == Kind::Transient)
    );
    assert_eq!(counts(&script).0, 1);
}

#[tokio::test]
async fn a_rate_limit_is_obeyed_by_all() {
    let body = json!({ "code": "too.many.requests", "limit": { "key": "k", "namespace": "n", "value": 300 } });
    let limited = Answer::of(429, body.clone()).with("Retry-After", "0.3");
    let (client, script) = start(
        vec![granted("t", 600)],
        vec![limited, Answer::of(200, json!(1))],
    )
    .await;
    let begin = Instant::now();
    client.call::<u8>(get()).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert_eq!(counts(&script).1, 2);
    // Without it the reset counts, and what is asked for is not waited for without end.
    let reset = Answer::of(429, body.clone()).with("inin-ratelimit-reset", "0.3");
    let (client, _script) = start(
        vec![granted("t", 600)],
        vec![reset, Answer::of(200, json!(1))],
    )
    .await;
    let begin = Instant::now();
    let other = client.clone();
    let first = tokio::spawn(async move { other.call::<u8>(get()).await });
    first.await.unwrap().unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let long = Answer::of(429, body).with("Retry-After", "9999");
    let (client, script) = start(vec![granted("t", 600)], vec![long]).await;
    let error = client.call::<u8>(get()).await.unwrap_err();
    assert_eq!(counts(&script).1, 1);
    assert!(error.to_string().contains("limit k = 300"), "{error}");
    assert_eq!(
        Failure::from(error).retry_after(),
        Some(Duration::from_secs(9999))
    );
}

#[tokio::test]
async fn what_may_go_well_later_is_tried_again_but_not_for_ever() {
    let away = Answer::of(503, json!({}));
    let (client, script) = start(vec![granted("t", 600)], vec![away.clone()]).await;
    let error = client.call::<Value>(get()).await.unwrap_err();
    assert_eq!((error.status(), counts(&script).1), (Some(503), 5));
    // Nobody knows whether it was made.
    let (client, script) = start(vec![granted("t", 600)], vec![away]).await;
    client.make_channel().await.unwrap_err();
    assert_eq!(counts(&script).1, 1);
    let wrong = Answer::of(400, json!({}));
    let (client, script) = start(vec![granted("t", 600)], vec![wrong]).await;
    let error = client.call::<Value>(get()).await.unwrap_err();
    assert_eq!(counts(&script).1, 1);
    assert_eq!(Failure::from(error).kind(), Kind::Rejected);
}

#[tokio::test]
async fn an_answer_is_bounded_and_has_to_be_what_was_asked_for() {
    let long = Answer::of(200, json!("x".repeat(200_000)));
    let (client, _script) = start(vec![granted("t", 600)], vec![long]).await;
    let error = client.call::<Value>(get()).await.unwrap_err();
    assert!(error.to_string().contains("longer than is read"), "{error}");
    let other = Answer::of(
        200,
        json!({ "connectUri": "wss://h/channels/secret-id", "id": 7 }),
    );
    let (client, _script) = start(vec![granted("t", 600)], vec![other]).await;
    let error = client.make_channel().await.unwrap_err();
    assert!(!error.to_string().contains("secret-id"), "{error}");
}

#[tokio::test]
async fn channels_are_made_counted_and_given_their_topics() {
    let made = json!({ "connectUri": "ws://127.0.0.1/channels/chan-9", "id": "chan-9", "expires": "2026-01-01T00:00:00Z" });
    let answers = json!({ "entities": [
        { "id": "a", "state": "Permitted" },
        { "id": "b", "state": "Rejected", "rejectionReason": "no", "missingPermissions": ["p:q:r"] },
        { "id": "c" },
    ] });
    let gone = Answer::of(
        404,
        json!({ "code": "not.found", "message": "channel chan-9 not found" }),
    );
    let api = vec![
        Answer::of(200, made),
        Answer::of(200, json!({ "entities": [{}, { "id": "chan-9" }] })),
        Answer::of(200, answers),
        Answer::of(404, json!({})),
        gone,
    ];
    let (client, script) = start(vec![granted("t", 600)], api).await;
    let channel = client.make_channel().await.unwrap();
    assert_eq!(client.count_channels().await.unwrap(), 2);
    let topics = ["a", "b", "c"].map(str::to_owned);
    let answered = client.set_topics(&channel, &topics).await.unwrap();
    let refused: Vec<bool> = answered.iter().map(Topic::is_rejected).collect();
    assert_eq!(refused, [false, true, false]);
    assert!(!client.has_channel(&channel).await.unwrap());
    let error = client.set_topics(&channel, &topics).await.unwrap_err();
    assert!(
        error.to_string().contains("channel [secret] not found"),
        "{error}"
    );
    assert!(!format!("{channel:?}").contains("chan-9"));
    let script = script.lock().unwrap();
    assert_eq!(
        script.calls[1].0,
        "/api/v2/notifications/channels?includechannels=oauthclient"
    );
    assert_eq!(
        (script.calls[2].0.as_str(), script.calls[2].2.as_str()),
        (
            "/api/v2/notifications/channels/chan-9/subscriptions?ignoreErrors=true",
            "[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}]"
        )
    );
}

#[tokio::test]
async fn a_channel_without_tls_is_refused_by_who_calls_with_it() {
    let plain = Url::parse("ws://h/channels/x").unwrap();
    assert!(
        !Endpoints::at("https://gateway.example")
            .unwrap()
            .allows(&plain)
    );
    let odd = json!({ "connectUri": "file:///etc/passwd", "id": "c" });
    let (client, _script) = start(vec![granted("t", 600)], vec![Answer::of(200, odd)]).await;
    let error = client.make_channel().await.unwrap_err();
    assert!(error.to_string().contains("no `wss` URI"), "{error}");
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let page = |from: usize, count: usize| {
        let entities: Vec<Value> = (from..from + count)
            .map(|n| json!({ "id": format!("q{n}") }))
            .collect();
        Answer::of(200, json!({ "entities": entities, "pageCount": 2 }))
    };
    let (client, script) = start(vec![granted("t", 600)], vec![page(0, 100), page(100, 7)]).await;
    let queues = client.queues().await.unwrap();
    assert_eq!((queues.len(), queues[106].as_str()), (107, "q106"));
    assert_eq!(
        script.lock().unwrap().calls[1].0,
        "/api/v2/routing/queues?pageSize=100&pageNumber=2"
    );
    let found = json!({ "conversations": [{ "conversationId": "c" }, {}] });
    let (client, script) = start(vec![granted("t", 600)], vec![Answer::of(200, found)]).await;
    let ids = client.conversations_between("A", "B", 10).await.unwrap();
    assert_eq!(ids, ["c"]);
    let body: Value = serde_json::from_str(&script.lock().unwrap().calls[0].2).unwrap();
    assert_eq!(body["interval"], "A/B");
    let gone = Answer::of(404, json!({}));
    let (client, _script) = start(vec![granted("t", 600)], vec![gone]).await;
    assert_eq!(client.conversation("../users").await.unwrap(), None);
}

//! What each answer of the platform comes to: how many calls, tokens and sends, and what is told.

use super::*;

const ONCE: Policy = Policy::AtMostOnce;
const LEAST: Policy = Policy::AtLeastOnce;

const REFUSED: &[&str] = &["platform_refused"];
const DONE: &[&str] = &["sent"];
const FAILED: &[&str] = &["failed"];

/// Answers, then: sends, tokens, reasons of dead letters, statuses, least and most seconds.
type Row = (
    &'static str,
    Policy,
    Vec<Answer>,
    (
        usize,
        usize,
        &'static [&'static str],
        &'static [&'static str],
    ),
    (u64, u64),
);

fn error(status: u16) -> Answer {
    Answer::error(status, "some.code")
}

fn rows() -> Vec<Row> {
    let sent = Answer::sent;
    let slow_down = || error(429).with("retry-after", "7");
    let silent = || Answer::silence(20 * SECOND);
    let (refused, done, failed) = (REFUSED, DONE, FAILED);
    vec![
        ("taken", LEAST, vec![sent()], (1, 1, &[], done), (0, 1)),
        ("taken", ONCE, vec![sent()], (1, 1, &[], done), (0, 1)),
        (
            "401 once",
            LEAST,
            vec![error(401), sent()],
            (2, 2, &[], done),
            (0, 1),
        ),
        (
            "404",
            LEAST,
            vec![error(404)],
            (1, 1, &["not_found"], failed),
            (0, 1),
        ),
        (
            "400",
            LEAST,
            vec![error(400)],
            (1, 1, refused, failed),
            (0, 1),
        ),
        (
            "403",
            LEAST,
            vec![error(403)],
            (1, 1, refused, failed),
            (0, 1),
        ),
        (
            "413",
            ONCE,
            vec![error(413)],
            (1, 1, refused, failed),
            (0, 1),
        ),
        (
            "422",
            ONCE,
            vec![error(422)],
            (1, 1, refused, failed),
            (0, 1),
        ),
        (
            "429",
            LEAST,
            vec![slow_down(), sent()],
            (2, 1, &[], done),
            (7, 8),
        ),
        (
            "429",
            ONCE,
            vec![slow_down(), sent()],
            (2, 1, &[], done),
            (7, 8),
        ),
        (
            "500",
            LEAST,
            vec![error(500), sent()],
            (2, 1, &[], done),
            (0, 1),
        ),
        (
            "502",
            LEAST,
            vec![error(502), sent()],
            (2, 1, &[], done),
            (0, 1),
        ),
        (
            "503",
            ONCE,
            vec![error(503), sent()],
            (2, 1, &[], done),
            (0, 1),
        ),
        (
            "504",
            LEAST,
            vec![error(504), sent()],
            (2, 1, &[], done),
            (0, 1),
        ),
        (
            "504",
            ONCE,
            vec![error(504)],
            (1, 1, &["unanswered"], &["unknown"]),
            (0, 1),
        ),
        (
            "no connection",
            LEAST,
            vec![Answer::refused(), sent()],
            (2, 1, &[], done),
            (0, 1),
        ),
        (
            "no connection",
            ONCE,
            vec![Answer::refused(), sent()],
            (2, 1, &[], done),
            (0, 1),
        ),
        (
            "no answer",
            LEAST,
            vec![silent(), sent()],
            (2, 1, &[], done),
            (20, 21),
        ),
        (
            "no answer",
            ONCE,
            vec![silent()],
            (1, 1, &["unanswered"], &["unknown"]),
            (20, 21),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_answer_comes_to_what_the_policy_says() {
    for (name, policy, answers, (sends, tokens, reasons, words), (least, most)) in rows() {
        let bench = Bench::new(policy, vec![("eu", Script::of(answers))]);
        let (stage, from) = (bench.open().await, Instant::now());
        let answer = deliver(&stage, &message("m-1", "eu", "ada"), 600 * SECOND).await;
        let name = format!("{name}, {policy:?}");
        assert_eq!(answer, Some(Ok(())), "{name}");
        let took = from.elapsed();
        assert!((least..=most).contains(&took.as_secs()), "{name}: {took:?}");
        assert_eq!(bench.heard().len(), sends, "{name}: sends");
        assert_eq!(bench.script("eu").tokens(), tokens, "{name}: tokens");
        assert_eq!(bench.reasons(), reasons, "{name}: dead letters");
        assert_eq!(bench.words(), words, "{name}: statuses");
        // What the platform says may repeat what was sent.
        let dead = bench.dead.lock().unwrap().join("\n");
        assert!(!dead.contains("the text was"), "{name}: {dead}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_twice_holds_the_message_and_asks_no_more_than_it_may() {
    let bench = Bench::new(LEAST, vec![("eu", Script::of(vec![error(401)]))]);
    let stage = bench.open().await;
    let answer = deliver(&stage, &message("m-1", "eu", "ada"), SECOND).await;
    assert!(answer.is_none() && bench.reasons().is_empty(), "it waits");
    let (sends, tokens) = (bench.heard().len(), bench.script("eu").tokens());
    assert!(
        sends >= 2 && tokens <= sends,
        "{sends} sends, {tokens} tokens"
    );
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_hold_the_organisation_and_end_no_run() {
    let bench = Bench::new(LEAST, vec![("eu", Script::of(vec![Answer::sent()]))]);
    let stage = bench.open().await;
    let words = json!({"error": "invalid_client", "description": SECRET});
    bench.script("eu").login(Some(Answer::of(400, words)));
    let call = tokio::spawn(
        stage
            .clone()
            .oneshot(batch(1, &message("m-1", "eu", "ada"))),
    );
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!((bench.heard().len(), bench.reasons().len()), (0, 0));
    assert!(
        bench
            .observer
            .alerts()
            .iter()
            .any(|it| it.name == "breaker_open")
    );
    bench.script("eu").login(None);
    assert_eq!(call.await.unwrap(), Ok(()));
    assert_eq!(
        (bench.heard().len(), bench.words()),
        (1, vec!["sent".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn the_limit_that_a_429_names_is_obeyed_by_all_that_follow() {
    let limit = json!({"key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": 10});
    let body = json!({"code": "too.many.requests", "status": 429, "limit": limit});
    let refused = Answer::of(429, body).with("retry-after", "60");
    let script = Script::new(move |number, _| match number {
        0 => refused.clone(),
        _ => Answer::sent(),
    });
    let bench = Bench::new(LEAST, vec![("eu", script)]);
    let (stage, from) = (bench.open().await, Instant::now());
    let calls = (0..25).map(|n| {
        let body = message(&n.to_string(), "eu", &n.to_string());
        stage.clone().oneshot(batch(n + 1, &body))
    });
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    let minutes: Vec<u64> = (bench.heard().iter().filter(|it| it.at > from + SECOND))
        .map(|it| (it.at - from).as_secs() / 60)
        .collect();
    for minute in 1..4 {
        let sends = minutes.iter().filter(|it| **it == minute).count();
        assert!(sends <= 10, "{sends} in minute {minute}");
    }
    assert_eq!(bench.words().len(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_failed_is_a_failure_although_http_says_200() {
    let failed =
        json!({"type": "Receipt", "status": "Failed", "reasons": [{"code": "UnknownMessage"}]});
    let bench = Bench::new(
        LEAST,
        vec![("eu", Script::of(vec![Answer::of(200, failed)]))],
    );
    let stage = bench.open().await;
    let mut body = message("m-1", "eu", "ada");
    body["receipt"] = json!({"messageId": "platform-7", "status": "Delivered"});
    assert_eq!(deliver(&stage, &body, 60 * SECOND).await, Some(Ok(())));
    assert_eq!(bench.reasons(), ["platform_refused"]);
    assert!(
        bench.heard()[0]
            .path
            .ends_with("/messages/i-1/inbound/open/receipt")
    );
    assert!(bench.dead.lock().unwrap()[0].contains("200 UnknownMessage"));
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_message_is_said_and_nothing_is_sent() {
    let bench = Bench::new(LEAST, vec![("eu", Script::of(vec![Answer::sent()]))]);
    let stage = bench.open().await;
    let long = "x".repeat(2_001);
    let image = |url: &str| json!([{"attachment": {"mediaType": "Image", "url": url}}]);
    let cases = [
        ("bad_text", json!({"textBody": ""})),
        ("bad_text", json!({"textBody": long})),
        ("bad_text", json!({"textBody": 7})),
        ("bad_recipient", json!({"recipient": {"idType": "Email"}})),
        ("bad_recipient", json!({"recipient": {"id": "a\u{0}b"}})),
        (
            "bad_recipient",
            json!({"recipient": {"id": "a", "idType": "Fax"}}),
        ),
        ("bad_id", json!({"messageId": "x".repeat(300)})),
        (
            "bad_id",
            json!({"recipient": null, "conversationId": "", "communicationId": "c"}),
        ),
        ("bad_kind", json!({"kind": "telegram"})),
        ("bad_time", json!({"time": "yesterday"})),
        ("unknown_tenant", json!({"tenantId": "nobody"})),
        ("unknown_tenant", json!({"tenantId": "../acme"})),
        ("unknown_organization", json!({"organizationId": "us"})),
        ("integration_not_allowed", json!({"integrationId": "i-2"})),
        (
            "media_not_allowed",
            json!({"content": image("https://example.org/a.png")}),
        ),
        (
            "bad_attachment",
            json!({"kind": "inbound", "content": image("http://example.org/a")}),
        ),
        (
            "bad_attachment",
            json!({"kind": "inbound", "content": image("https://a:b@example.org/a")}),
        ),
        (
            "bad_attachment",
            json!({"kind": "inbound", "content": [{"attachment": []}]}),
        ),
        (
            "bad_attachment",
            json!({"kind": "inbound", "content": [{"attachment": {"mediaType": "Gif", "url": "https://e.org/a"}}]}),
        ),
        ("bad_metadata", json!({"kind": "inbound", "metadata": "x"})),
        (
            "bad_receipt",
            json!({"receipt": {"messageId": "m", "status": "Read"}}),
        ),
    ];
    for (number, (reason, change)) in cases.iter().enumerate() {
        let mut body = message("m-1", "eu", "ada");
        let changes = change.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(changes);
        let answer = deliver(&stage, &body, 60 * SECOND).await;
        assert_eq!(answer, Some(Ok(())), "{change}");
        assert_eq!(bench.reasons().last().unwrap(), reason, "case {number}");
        let letter = bench.dead.lock().unwrap().last().unwrap().clone();
        let letter: Json = serde_json::from_str(&letter).unwrap();
        let detail = letter["detail"].as_str().unwrap_or_default();
        assert!(
            !detail.contains("xxx") && !detail.contains("telegram"),
            "{detail}"
        );
    }
    assert!(bench.heard().is_empty());
    assert_eq!(bench.words(), vec!["failed"; cases.len()]);
}

#[tokio::test(start_paused = true)]
async fn each_kind_goes_where_the_platform_takes_it() {
    let bench = Bench::new(LEAST, vec![("eu", Script::of(vec![Answer::sent()]))]);
    let stage = bench.open().await;
    let cases = [
        (json!({}), "/agentless"),
        (
            json!({"conversationId": "c-1", "communicationId": "d/2"}),
            "/c-1/communications/d%2F2/messages",
        ),
        (
            json!({"kind": "inbound", "time": "2026-01-02T03:04:05Z"}),
            "/i-1/inbound/open/message",
        ),
        (json!({"kind": "event"}), "/i-1/inbound/open/event"),
    ];
    for (number, (change, path)) in cases.iter().enumerate() {
        let mut body = message(&format!("m-{number}"), "eu", "ada");
        let changes = change.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(changes);
        assert_eq!(deliver(&stage, &body, 60 * SECOND).await, Some(Ok(())));
        let heard = bench.heard().pop().unwrap();
        assert!(heard.path.ends_with(path), "{} for {path}", heard.path);
        assert_eq!(heard.token, "Bearer token-1");
    }
    let heard = bench.heard();
    assert_eq!(heard[0].body["fromAddress"], "i-1");
    assert_eq!(heard[1].body, json!({"textBody": "hello"}));
    assert_eq!(heard[2].body["channel"]["messageId"], "m-2");
    assert_eq!(heard[2].body["channel"]["time"], "2026-01-02T03:04:05.000Z");
    let told = bench.told.lock().unwrap();
    assert_eq!(told[0]["platformMessageId"], "platform-1");
    assert_eq!(told[0]["conversationId"], "conversation-1");
}

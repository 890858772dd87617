//! Conversations over HTTP, against the simulated platform: every call, every error, and what becomes
//! of messages that were sent.

#[path = "conversations/schema.rs"]
mod schema;
#[path = "conversations/world.rs"]
mod world;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::simulator::{SendFault, SendFaults};
use world::{INTEGRATION, Options, World};

const NOBODY: &str = "11111111-2222-4333-8444-555555555555";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_opened_attended_written_to_read_and_closed() {
    let world = World::new(Options::default()).await;
    let path = world.opened("ada").await;
    let read = world.get(&path).await;
    assert_eq!(read.is(200).body["state"], "open");
    let purposes = |it: &Value| -> Vec<String> {
        let all = it["participants"].as_array().unwrap().iter();
        all.map(|one| one["purpose"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(purposes(&read.body), ["customer", "acd"]);
    // Nobody is there to speak.
    let text = json!({"textBody": "hello", "messageId": "m-1"});
    let messages = format!("{path}/messages");
    world
        .post(&messages, text.clone())
        .await
        .is_problem(409, "nobody-there");
    let user = world.platform.control().users()[3].clone();
    let joined = world
        .post(&format!("{path}/participants"), json!({"userId": user}))
        .await;
    assert_eq!(joined.is(202).body["userId"], user);
    let read = world.get(&path).await;
    assert_eq!(purposes(&read.body), ["customer", "acd", "agent"]);
    assert_eq!(read.body["participants"][2]["userId"], user);
    assert!(
        !read.body.to_string().contains("ada"),
        "no names, no addresses"
    );
    let sent = world.post(&messages, text.clone()).await;
    assert_eq!(sent.is(201).body["status"], "sent");
    let platform = sent.text("platformMessageId");
    // The same again is answered, and not sent.
    let again = world.post(&messages, text).await;
    assert_eq!(again.is(201).text("platformMessageId"), platform);
    let heard = world.platform.control().messages();
    assert_eq!(heard.iter().filter(|it| it.text == "hello").count(), 1);
    world.delete(&path).await.is(204);
    world.delete(&path).await.is(204);
    let read = world.get(&path).await;
    assert_eq!(read.is(200).body["state"], "ended");
    let late = json!({"textBody": "too late"});
    world
        .post(&messages, late)
        .await
        .is_problem(409, "conversation-ended");
    let user = json!({"userId": user});
    let joined = world.post(&format!("{path}/participants"), user).await;
    joined.is_problem(409, "conversation-ended");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_and_a_customers_message_open_conversations_too() {
    let world = World::new(Options::default()).await;
    let all = "tenants/acme/conversations";
    let body = json!({"recipient": {"id": "bob", "idType": "Opaque"}, "textBody": "hi bob"});
    let sent = world.post_once(all, "key-1", body.clone()).await;
    assert_eq!(sent.is(201).body["messageId"], "key-1");
    let place = sent.headers["location"].to_str().unwrap().to_owned();
    let place = place.strip_prefix("/api/v1/").unwrap();
    let read = world.get(place).await;
    assert_eq!(
        read.is(200).body["conversationId"],
        sent.body["conversationId"]
    );
    let again = world.post_once(all, "key-1", body).await;
    assert_eq!(again.is(201).body, sent.body);
    assert_eq!(world.platform.control().messages().len(), 1);
    let inbound = json!({
        "direction": "inbound", "recipient": {"id": "eve", "idType": "Email", "nickname": "Eve"},
        "textBody": "help", "content": [{"contentType": "Attachment",
            "attachment": {"mediaType": "Image", "url": "https://example.org/a.png"}}],
    });
    let told = world.post(all, inbound.clone()).await;
    let joined = world.post(all, inbound).await;
    assert_eq!(
        told.is(201).body["conversationId"],
        joined.is(201).body["conversationId"]
    );
    assert_ne!(told.body["messageId"], joined.body["messageId"]);
    // An agent's side, with a key: made once.
    let queue = world.platform.control().queues()[0].clone();
    let body = json!({"recipient": {"id": "kim"}, "queueId": queue});
    let first = world.post_once(all, "key-2", body.clone()).await;
    let second = world.post_once(all, "key-2", body.clone()).await;
    assert_eq!(first.is(201).body, second.is(201).body);
    let other = world.post(all, body).await;
    assert_ne!(
        other.is(201).body["conversationId"],
        first.body["conversationId"]
    );
    // Who came in is told again as well, and comes in once.
    let path = format!("{all}/{}/participants", first.text("conversationId"));
    let user = json!({"userId": world.platform.control().users()[0]});
    let first = world.post_once(&path, "key-3", user.clone()).await;
    let second = world.post_once(&path, "key-3", user).await;
    assert_eq!(first.is(202).body, second.is(202).body);
    let read = world.get(path.trim_end_matches("/participants")).await;
    assert_eq!(read.body["participants"].as_array().unwrap().len(), 3);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_or_not_right_is_told_so() {
    let world = World::new(Options::default()).await;
    let all = "tenants/acme/conversations";
    let new = json!({"recipient": {"id": "ada"}, "textBody": "x"});
    let missing = format!("{all}/{NOBODY}");
    let none = world.get(&missing).await;
    none.is_problem(404, "unknown-conversation");
    world
        .get(&format!("{all}/no-uuid"))
        .await
        .is_problem(404, "unknown-conversation");
    world
        .delete(&missing)
        .await
        .is_problem(404, "unknown-conversation");
    let text = json!({"textBody": "x"});
    let none = world
        .post(&format!("{missing}/messages"), text.clone())
        .await;
    none.is_problem(404, "unknown-conversation");
    let user = json!({"userId": NOBODY});
    let none = world
        .post(&format!("{missing}/participants"), user.clone())
        .await;
    none.is_problem(404, "unknown-conversation");
    let path = world.opened("ada").await;
    let none = world.post(&format!("{path}/participants"), user).await;
    none.is_problem(404, "unknown-participant");
    let on = json!({"textBody": "x", "communicationId": NOBODY});
    let none = world.post(&format!("{path}/messages"), on).await;
    none.is_problem(404, "unknown-conversation");
    let none = world
        .post("tenants/nobody/conversations", new.clone())
        .await;
    none.is_problem(404, "unknown-tenant");
    let which = world.post("tenants/many/conversations", new.clone()).await;
    which.is_problem(422, "organization-required");
    let named = "tenants/many/conversations?organization=";
    world
        .post(&format!("{named}two"), new.clone())
        .await
        .is(201);
    world
        .post(&format!("{named}three"), new.clone())
        .await
        .is_problem(404, "unknown-organization");
    let mut body = new.clone();
    body["organizationId"] = json!("one");
    world
        .post(&format!("{named}two"), body.clone())
        .await
        .is_problem(409, "conflicting-organization");
    world.post("tenants/many/conversations", body).await.is(201);
    for query in [
        "?organisation=eu",
        "?organization=eu&organization=eu",
        "?organization=",
    ] {
        let answer = world.post(&format!("{all}{query}"), new.clone()).await;
        answer.is_problem(400, "bad-parameter");
    }
    let mut body = new.clone();
    body["integrationId"] = json!("another");
    world
        .post(all, body)
        .await
        .is_problem(404, "unknown-integration");
    let wrong = json!({"recipient": {"id": ""}, "textBody": "x".repeat(2001), "secret-name": 1});
    let answer = world.post(all, wrong).await;
    answer.is_problem(422, "invalid");
    let paths: Vec<&str> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["", "/textBody", "/recipient/id"]);
    assert!(!answer.body.to_string().contains("secret-name"));
    let answer = world.post_once(all, "a key", new.clone()).await;
    answer.is_problem(422, "bad-key");
    let mut body = new.clone();
    body["messageId"] = json!("m-1");
    world
        .post_once(all, "m-2", body)
        .await
        .is_problem(409, "conflicting-key");
    let plain = world.request(Method::POST, all).body("{}");
    world.send(plain).await.is_problem(415, "not-json");
    let kind = |body: &'static str| {
        let request = world.request(Method::POST, all);
        request
            .header("content-type", "application/json")
            .body(body)
    };
    world.send(kind("{")).await.is_problem(400, "unreadable");
    world.send(kind("[]")).await.is_problem(422, "invalid");
    // A body that is too long may be refused before it was read whole.
    let long = kind("").body(" ".repeat(600_000)).send().await;
    assert!(long.is_err() || long.unwrap().status() == 413);
    let put = world.send(world.request(Method::PUT, &path)).await;
    assert_eq!(put.is(405).headers["allow"], "DELETE, GET, HEAD");
    let get = world.get(all).await;
    assert_eq!(get.is(405).headers["allow"], "POST");
    let url = format!("http://{}/api/v1/{path}", world.address);
    let stranger = world.client.get(url).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_that_is_used_up_and_a_platform_that_fails_say_when_to_come_again() {
    let world = World::new(Options {
        events: 3,
        ..Options::default()
    })
    .await;
    let all = "tenants/acme/conversations";
    let new = json!({"recipient": {"id": "ada"}, "textBody": "x"});
    for _ in 0..3 {
        world.post(all, new.clone()).await.is(201);
    }
    let over = world.post(all, new.clone()).await;
    over.is_problem(429, "rate-limited");
    assert!(
        over.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 0
    );
    assert_eq!(
        world.platform.control().messages().len(),
        3,
        "it was not sent"
    );
    world.end().await;

    let failing = SendFaults {
        failed: 1.0,
        ..SendFaults::default()
    };
    let world = World::new(Options {
        sends: failing,
        ..Options::default()
    })
    .await;
    let away = world.post(all, new.clone()).await;
    away.is(503);
    assert!(away.headers.contains_key("retry-after"), "{away:?}");
    assert_eq!(world.platform.control().messages().len(), 0);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_uncertain_is_told_so_and_done_again_only_where_the_policy_says() {
    for (policy, taken) in [("at_least_once", 2), ("at_most_once", 1)] {
        // The platform takes it, and its gateway gives up.
        let sends = SendFaults {
            gateway: 1.0,
            ..SendFaults::default()
        };
        let world = World::new(Options {
            policy,
            sends,
            ..Options::default()
        })
        .await;
        let all = "tenants/acme/conversations";
        let new = json!({"recipient": {"id": "ada"}, "textBody": "x"});
        let first = world.post_once(all, "k", new.clone()).await;
        assert!([503, 504].contains(&first.status), "{first:?}");
        let second = world.post_once(all, "k", new).await;
        match policy {
            "at_most_once" => {
                first.is_problem(504, "uncertain");
                second.is_problem(409, "uncertain");
            }
            _ => assert!([503, 504].contains(&second.status), "{second:?}"),
        }
        assert_eq!(world.platform.control().messages().len(), taken, "{policy}");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_that_hung_up_had_begun_is_finished_and_known() {
    let sends = SendFaults {
        delay: Some(Duration::from_secs(2)),
        ..SendFaults::default()
    };
    let world = World::new(Options {
        sends,
        policy: "at_most_once",
        ..Options::default()
    })
    .await;
    let all = "tenants/acme/conversations";
    let new = json!({"recipient": {"id": "ada"}, "textBody": "x"});
    let request = world.request(Method::POST, all).json(&new);
    let request = request.header("idempotency-key", "k");
    let waits = tokio::spawn(request.send());
    let tried = |world: &World| world.platform.control().tries().len();
    world.until("it is sent", |world| tried(world) == 1).await;
    waits.abort();
    assert!(waits.await.is_err(), "nobody waits for the answer any more");
    // While it is worked on that is told, and then what came of it.
    let early = world.post_once(all, "k", new.clone()).await;
    early.is_problem(409, "in-progress");
    assert_eq!(early.headers["retry-after"], "1");
    let last = loop {
        let answer = world.post_once(all, "k", new.clone()).await;
        if answer.status != 409 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(last.is(201).body["status"], "sent");
    assert_eq!(tried(&world), 1);
    // Each asking tells it again; the platform's receipt may be told before this line.
    world
        .until("it is told", |world| !world.statuses("k").is_empty())
        .await;
    let told = world.statuses("k");
    assert_eq!(told[0]["status"], "sent", "{told:?}");
    let known = |it: &Value| it["status"] == "sent" || it["status"] == "delivered";
    assert!(told.iter().all(known), "{told:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_of_one_request() {
    let world = World::new(Options::default()).await;
    let all = "tenants/acme/conversations";
    let new = json!({"recipient": {"id": "ada"}, "textBody": "x"});
    world.post_once(all, "k-1", new.clone()).await.is(201);
    let other = json!({"recipient": {"id": "ada"}, "textBody": "y"});
    let used = world.post_once(all, "k-1", other).await;
    used.is_problem(422, "used-key");
    // The order of members and spaces make no other request of it.
    let spaced = r#"{ "textBody": "x",  "recipient": {"id": "ada"} }"#;
    let same = world.request(Method::POST, all).body(spaced);
    let same = same.header("content-type", "application/json");
    let same = world.send(same.header("idempotency-key", "k-1")).await;
    same.is(201);
    let begin = json!({"recipient": {"id": "bob"}});
    world.post_once(all, "k-2", begin).await.is(201);
    let other = json!({"recipient": {"id": "eve"}});
    let used = world.post_once(all, "k-2", other).await;
    used.is_problem(422, "used-key");
    let path = world.attended("kim").await;
    let (messages, joins) = (format!("{path}/messages"), format!("{path}/participants"));
    let text = |text: &str| json!({"textBody": text});
    world.post_once(&messages, "k-3", text("x")).await.is(201);
    let used = world.post_once(&messages, "k-3", text("y")).await;
    used.is_problem(422, "used-key");
    // The same text in another conversation is another request.
    let elsewhere = format!("{}/messages", world.attended("lee").await);
    let used = world.post_once(&elsewhere, "k-3", text("x")).await;
    used.is_problem(422, "used-key");
    let user = |number: usize| json!({"userId": world.platform.control().users()[number]});
    world.post_once(&joins, "k-4", user(5)).await.is(202);
    let used = world.post_once(&joins, "k-4", user(6)).await;
    used.is_problem(422, "used-key");
    let sent = world.platform.control().messages();
    assert_eq!(sent.iter().filter(|it| it.text == "x").count(), 2);
    assert_eq!(sent.iter().filter(|it| it.text == "y").count(), 0);
    let media = json!({"textBody": "x", "content": []});
    let media = world.post(&messages, media).await;
    assert_eq!(
        media.is_problem(422, "invalid").body["errors"][0]["path"],
        "/content"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_that_fails_is_told_so_and_its_breaker_hears_of_it() {
    let world = World::new(Options::default()).await;
    let control = world.platform.control();
    let path = world.opened("ada").await;
    let plan = |fault: SendFault| control.plan_others([fault]);
    for status in [500, 503] {
        plan(SendFault::Refused(status));
        let away = world.get(&path).await;
        away.is_problem(503, "platform-away");
        assert!(away.headers.contains_key("retry-after"), "{away:?}");
    }
    plan(SendFault::Throttled {
        wait: 1,
        limit: None,
    });
    let over = world.get(&path).await;
    over.is_problem(429, "rate-limited");
    assert_eq!(over.headers["retry-after"], "1");
    let all = "tenants/acme/conversations";
    let new = |who: &str| json!({"recipient": {"id": who}});
    for fault in [
        SendFault::Gateway(502),
        SendFault::Gateway(504),
        SendFault::Cut,
    ] {
        plan(fault);
        let untold = world.post(all, new("bob")).await;
        untold.is_problem(504, "uncertain");
    }
    world.get(&path).await.is(200);
    // An event, so that there is a breaker; then nothing but failures of what is asked for over HTTP.
    let message = json!({
        "messageId": "m-1", "tenantId": "acme", "organizationId": "eu",
        "recipient": {"id": "ada"}, "textBody": "from the queue",
    });
    let file = world.folder.path().join("messages.ndjson");
    std::fs::write(file, format!("{message}\n")).unwrap();
    world
        .until("m-1 is sent", |world| !world.statuses("m-1").is_empty())
        .await;
    control.plan_others(std::iter::repeat_n(SendFault::Refused(503), 20));
    let mut failed = 0;
    let open = loop {
        let answer = world.get(&path).await;
        if answer.body["type"] != "urn:trunkline:problem:platform-away" {
            break answer;
        }
        failed += 1;
    };
    open.is_problem(503, "breaker-open");
    assert!(open.headers.contains_key("retry-after"));
    assert!((4..=6).contains(&failed), "{failed}");
    let before = control.counts().requests;
    world.get(&path).await.is_problem(503, "breaker-open");
    assert_eq!(control.counts().requests, before, "nothing is asked for");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_are_tied_to_the_messages_that_were_sent() {
    let world = World::new(Options::default()).await;
    let control = world.platform.control();
    let message = json!({
        "messageId": "m-1", "tenantId": "acme", "organizationId": "eu",
        "recipient": {"id": "ada"}, "textBody": "from the queue",
    });
    let file = world.folder.path().join("messages.ndjson");
    std::fs::write(file, format!("{message}\n")).unwrap();
    // The platform posts a receipt of its own accord, perhaps before it answers.
    let is = |id: &str, status: &str| {
        let (id, status) = (id.to_owned(), status.to_owned());
        move |world: &World| world.statuses(&id).iter().any(|it| it["status"] == *status)
    };
    world
        .until("m-1 is delivered", is("m-1", "delivered"))
        .await;
    let told = world.statuses("m-1");
    let words: Vec<_> = told
        .iter()
        .map(|it| it["status"].as_str().unwrap())
        .collect();
    assert!(
        words == ["sent", "delivered"] || words == ["delivered", "sent"],
        "{words:?}"
    );
    let (sent, delivered) = (&told[0], &told[1]);
    for name in [
        "messageId",
        "tenantId",
        "organizationId",
        "platformMessageId",
        "conversationId",
    ] {
        assert_eq!(sent[name], delivered[name], "{name}");
        assert!(sent[name].is_string(), "{name}");
    }
    // Late, contradicting and unknown ones change nothing.
    let platform = sent["platformMessageId"].as_str().unwrap();
    for status in ["Sent", "Failed"] {
        assert!(control.receipt(platform, status, Some("GeneralError")));
    }
    // Of a message over HTTP they are known as well.
    let path = world.attended("bob").await;
    let text = json!({"textBody": "hello", "messageId": "m-2"});
    world.post(&format!("{path}/messages"), text).await.is(201);
    world
        .until("m-2 is delivered", is("m-2", "delivered"))
        .await;
    world
        .until("the webhook has them all", |world| {
            world.platform.control().counts().webhooks_waiting == 0
        })
        .await;
    assert_eq!(world.statuses("m-1").len(), 2);
    // What agents write, and what customers are told to have written, is no status.
    let others = world.lines("others.ndjson");
    assert!(
        others
            .iter()
            .any(|it| it["type"] == "Text" && it["text"] == "hello")
    );
    assert!(
        others.iter().all(|it| it["type"] != "Receipt"),
        "{others:?}"
    );
    world.end().await;
}

/// The document is what is served, and everything that a test here asks for is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_interface_describes_itself() {
    let world = World::new(Options::default()).await;
    let document = world.get("openapi.json").await;
    document.is(200);
    assert_eq!(document.headers["content-type"], "application/json");
    let paths = document.body["paths"].as_object().unwrap();
    for path in [
        "",
        "/{conversation}",
        "/{conversation}/messages",
        "/{conversation}/participants",
    ] {
        assert!(paths.contains_key(&format!("/api/v1/tenants/{{tenant}}/conversations{path}")));
    }
    let text = document.body.to_string();
    assert!(!text.contains(INTEGRATION));
    world.end().await;
}

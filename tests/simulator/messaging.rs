//! Open Messaging, with a middleware's own webhook on the other side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use trunkline::simulator::{Config, Integration};

use crate::client::{quiet, started, told, until};

const ID: &str = "11111111-2222-4333-8444-555555555555";
const SECRET: &str = "sixteen-letters-or-more";

#[derive(Clone, Default)]
struct Hook {
    taken: Arc<Mutex<Vec<(String, Bytes)>>>,
    calls: Arc<AtomicUsize>,
    /// So many calls are refused first.
    refuse: Arc<AtomicUsize>,
}

async fn take(State(hook): State<Hook>, headers: HeaderMap, body: Bytes) -> StatusCode {
    hook.calls.fetch_add(1, Ordering::SeqCst);
    let left = hook.refuse.load(Ordering::SeqCst);
    if left > 0 {
        hook.refuse.store(left - 1, Ordering::SeqCst);
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let signature = headers["x-hub-signature-256"].to_str().unwrap().to_owned();
    hook.taken.lock().unwrap().push((signature, body));
    StatusCode::OK
}

async fn config() -> (Config, Hook) {
    let hook = Hook::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = Some(format!("http://{}/hook", listener.local_addr().unwrap()));
    let router = Router::new()
        .route("/hook", post(take))
        .with_state(hook.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let integration = Integration {
        id: ID.into(),
        webhook,
        secret: SECRET.into(),
        receipts: false,
    };
    (
        Config {
            integration,
            speed: 100.0,
            ..quiet()
        },
        hook,
    )
}

fn inbound(from: &str, text: &str) -> Value {
    json!({
        "channel": {
            "from": {"id": from, "idType": "Email", "nickname": "Ada"},
            "messageId": "mw-1", "time": "2026-01-02T03:04:05.000Z",
        },
        "text": text,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_begins_a_conversation_and_the_next_joins_it() {
    let (config, _) = config().await;
    let (simulator, client) = started(config).await;
    let topics = crate::client::queue_topics(&simulator);
    let (_, mut socket) = client.listen(&topics).await;
    let path = format!("/api/v2/conversations/messages/{ID}/inbound/open/message");
    let reply = client
        .post(&path, inbound("ada@example.org", "hello"))
        .await;
    assert_eq!(reply.status(), 200);
    let first: Value = reply.json().await.unwrap();
    assert_eq!(
        (&first["type"], &first["text"]),
        (&json!("Text"), &json!("hello"))
    );
    assert_eq!(first["channel"]["messageId"], "mw-1");
    assert_ne!(first["id"], "mw-1");
    // It is told, without its text.
    let frame = told(&mut socket).await.unwrap();
    assert_eq!(frame["eventBody"]["id"], first["conversationId"]);
    let message = &frame["eventBody"]["participants"][0]["messages"][0];
    assert_eq!(message["fromAddress"], "ada@example.org");
    assert_eq!(message["messages"][0]["messageId"], first["id"]);
    assert!(!frame.to_string().contains("hello"));
    let again: Value = client
        .post(&path, inbound("ada@example.org", "more"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(again["conversationId"], first["conversationId"]);
    let other: Value = client
        .post(&path, inbound("bob@example.org", "hi"))
        .await
        .json()
        .await
        .unwrap();
    assert_ne!(other["conversationId"], first["conversationId"]);
    let id = first["conversationId"].as_str().unwrap();
    let read = client
        .read(&format!("/api/v2/conversations/messages/{id}"))
        .await;
    assert_eq!(read["participants"][0]["purpose"], "customer");
    // Its end ends it: the next message begins another.
    let ended = client
        .ask(
            reqwest::Method::PATCH,
            &format!("/api/v2/conversations/messages/{id}"),
            Some(json!({"state": "disconnected"})),
        )
        .await;
    assert_eq!(ended.status(), 200);
    let anew: Value = client
        .post(&path, inbound("ada@example.org", "again"))
        .await
        .json()
        .await
        .unwrap();
    assert_ne!(anew["conversationId"], first["conversationId"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbound_messages_are_checked() {
    let (config, _) = config().await;
    let (_simulator, client) = started(config).await;
    let path = format!("/api/v2/conversations/messages/{ID}/inbound/open");
    let mut wrong = inbound("a", "x");
    wrong["channel"]["from"]["idType"] = json!("Carrier pigeon");
    let two = json!({"channel": {"from": {"id": "a"}}, "content": [{"attachment": {}}, {"attachment": {}}]});
    for (body, why) in [
        (json!({"text": "x"}), "nobody"),
        (inbound("a", ""), "nothing"),
        (inbound("a", &"x".repeat(2_001)), "too long"),
        (wrong, "idType"),
        (two, "attachments"),
    ] {
        assert_eq!(
            client.post(&format!("{path}/message"), body).await.status(),
            400,
            "{why}"
        );
    }
    let elsewhere = path.replace(ID, "other");
    assert_eq!(
        client
            .post(&format!("{elsewhere}/message"), inbound("a", "x"))
            .await
            .status(),
        404
    );
    let typing = json!({"channel": {"from": {"id": "a"}}, "events": [{"eventType": "Typing"}]});
    let answer: Value = client
        .post(&format!("{path}/event"), typing)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["events"][0]["typing"]["type"], "On");
    let receipt =
        json!({"id": "nobody-sent-it", "channel": {"to": {"id": "a"}}, "status": "Delivered"});
    let answer: Value = client
        .post(&format!("{path}/receipt"), receipt.clone())
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["status"], "Failed");
    let mut published = receipt;
    published["status"] = json!("Published");
    assert_eq!(
        client
            .post(&format!("{path}/receipt"), published)
            .await
            .status(),
        400
    );
    // The older path, where the body names the integration.
    let mut old = inbound("c", "hi");
    old["channel"]["to"] = json!({"id": ID});
    let reply = client
        .post("/api/v2/conversations/messages/inbound/open", old)
        .await;
    assert_eq!(reply.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_out_is_signed_and_posted_until_it_is_taken() {
    let (config, hook) = config().await;
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    hook.refuse.store(2, Ordering::SeqCst);
    let body = json!({
        "fromAddress": ID, "toAddress": "ada@example.org", "toAddressMessengerType": "open", "textBody": "Grüße",
    });
    let path = "/api/v2/conversations/messages/agentless";
    let reply = client.post(path, body.clone()).await;
    assert_eq!(reply.status(), 200);
    let sent: Value = reply.json().await.unwrap();
    assert_eq!(sent["messengerType"], "open");
    until("the webhook", || control.counts().webhooks == 1).await;
    assert_eq!(hook.calls.load(Ordering::SeqCst), 3);
    let (signature, raw) = hook.taken.lock().unwrap()[0].clone();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&raw);
    let expected = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(signature, format!("sha256={expected}"));
    let posted: Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!(posted["id"], sent["id"]);
    assert_eq!(
        (&posted["direction"], &posted["text"]),
        (&json!("Outbound"), &json!("Grüße"))
    );
    assert_eq!(posted["conversationId"], sent["conversationId"]);
    // A receipt is taken, and shows in the conversation.
    let receipt = json!({"id": sent["id"], "channel": {"to": {"id": "ada@example.org"}}, "status": "Delivered"});
    let to = format!("/api/v2/conversations/messages/{ID}/inbound/open/receipt");
    let answer: Value = client.post(&to, receipt).await.json().await.unwrap();
    assert_eq!(answer["status"], "Delivered");
    let id = sent["conversationId"].as_str().unwrap();
    let read = client.read(&format!("/api/v2/conversations/{id}")).await;
    let message = &read["participants"][0]["messages"][0]["messages"][0];
    assert_eq!(message["messageStatus"], "delivery-success");
    // Six attempts in all, then it has failed.
    hook.refuse.store(100, Ordering::SeqCst);
    let before = hook.calls.load(Ordering::SeqCst);
    client.post(path, body.clone()).await;
    until("all attempts", || control.counts().webhooks_failed == 1).await;
    assert_eq!(hook.calls.load(Ordering::SeqCst) - before, 6);
    for (name, value) in [
        ("toAddressMessengerType", "sms"),
        ("textBody", ""),
        ("fromAddress", ""),
    ] {
        let mut wrong = body.clone();
        wrong[name] = json!(value);
        assert_eq!(client.post(path, wrong).await.status(), 400, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_answers_in_the_conversation() {
    let (config, hook) = config().await;
    // One agent at a time, and time enough.
    let config = Config {
        rate: 100.0,
        conversations: Some(1),
        queues: 1,
        ..config
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let topic = format!(
        "v2.routing.queues.{}.conversations.messages",
        control.queues()[0]
    );
    let (_, mut socket) = client.listen(&[topic]).await;
    control.resume();
    // Paused when an agent talks; it may have gone on before that, and then the next one is taken.
    let (id, session) = loop {
        let frame = told(&mut socket).await.unwrap();
        let of = |one: &Value| one["purpose"] == "agent" && one["state"] == "connected";
        if !frame["eventBody"]["participants"]
            .as_array()
            .unwrap()
            .iter()
            .any(of)
        {
            continue;
        }
        control.pause();
        let id = frame["eventBody"]["id"].as_str().unwrap();
        let read = client.read(&format!("/api/v2/conversations/{id}")).await;
        let mut all = read["participants"].as_array().unwrap().iter();
        let there = |one: &&Value| {
            one["purpose"] == "agent" && one["messages"][0]["state"] != "disconnected"
        };
        if let Some(agent) = all.find(there) {
            break (
                id.to_owned(),
                agent["messages"][0]["id"].as_str().unwrap().to_owned(),
            );
        }
        control.resume();
    };
    let path = format!("/api/v2/conversations/messages/{id}/communications/{session}");
    let reply = client
        .post(
            &format!("{path}/messages"),
            json!({"textBody": "How can I help?"}),
        )
        .await;
    assert_eq!(reply.status(), 200);
    let sent: Value = reply.json().await.unwrap();
    assert_eq!(sent["status"], "queued");
    until("the webhook", || control.counts().webhooks == 1).await;
    let raw = hook.taken.lock().unwrap()[0].1.clone();
    assert_eq!(
        serde_json::from_slice::<Value>(&raw).unwrap()["originatingEntity"],
        "Human"
    );
    let both = json!({"textBody": "x", "mediaIds": ["y"]});
    assert_eq!(
        client
            .post(&format!("{path}/messages"), both)
            .await
            .status(),
        400
    );
    let typing = json!({"typing": {"type": "On", "duration": 5000}});
    assert_eq!(
        client
            .post(&format!("{path}/typing"), typing)
            .await
            .status(),
        204
    );
    let media: Value = client
        .post(&format!("{path}/messages/media"), json!({}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(media["status"], "uploading");
    let nobody = path.replace(&session, "nobody");
    assert_eq!(
        client
            .post(&format!("{nobody}/messages"), json!({"textBody": "x"}))
            .await
            .status(),
        404
    );
}

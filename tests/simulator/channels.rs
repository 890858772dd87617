//! Channels, their limits and what they are subscribed to.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use trunkline::simulator::{Client as Known, Config, Limits, Simulator};

use crate::client::{Client, connect, frame, quiet, say, started, told, until};

fn topic(user: usize) -> String {
    format!("v2.users.u{user}.conversations")
}

async fn exists(client: &Client, id: &str) -> bool {
    let path = format!("/api/v2/notifications/channels/{id}");
    client.ask(Method::HEAD, &path, None).await.status() == 200
}

#[tokio::test]
async fn the_twenty_first_channel_evicts_the_oldest_without_a_socket() {
    let (simulator, client) = started(quiet()).await;
    let mut made = Vec::new();
    for _ in 0..20 {
        made.push(client.channel().await);
    }
    // The first has a socket; the second was used last.
    let mut first = connect(&made[0].1).await;
    assert_eq!(
        client.subscribe(&made[1].0, &[topic(1)]).await.status(),
        200
    );
    client.channel().await;
    assert!(exists(&client, &made[0].0).await && exists(&client, &made[1].0).await);
    assert!(!exists(&client, &made[2].0).await);
    client.channel().await;
    assert!(!exists(&client, &made[3].0).await && exists(&client, &made[4].0).await);
    // Another client has twenty of its own: none of these is touched by it, nor seen.
    assert_eq!(simulator.control().counts().channels, 20);
    assert_eq!(simulator.control().counts().evicted, 2);
    // All with sockets: the one whose use is oldest goes, and its socket with it.
    let body = client.read("/api/v2/notifications/channels").await;
    let uris = body["entities"].as_array().unwrap();
    assert_eq!(uris.len(), 20);
    let mut sockets = Vec::new();
    for entity in uris.iter().filter(|it| it["id"] != made[0].0) {
        sockets.push(connect(entity["connectUri"].as_str().unwrap()).await);
    }
    client.channel().await;
    assert!(!exists(&client, &made[0].0).await);
    assert_eq!(frame(&mut first).await, None);
    let gone = connect_async(&made[0].1).await.unwrap_err();
    assert!(matches!(gone, Error::Http(reply) if reply.status() == 401));
}

#[tokio::test]
async fn channels_of_another_token_are_hidden() {
    let clients = vec![Known::new("simulator", "simulator"), Known::new("b", "b")];
    let (simulator, client) = started(Config { clients, ..quiet() }).await;
    let (id, _) = client.channel().await;
    let again = Client::login(&simulator.url(), "simulator", "simulator").await;
    let list = "/api/v2/notifications/channels";
    assert_eq!(again.read(list).await["entities"], json!([]));
    let all = again
        .read(&format!("{list}?includechannels=oauthclient"))
        .await;
    assert_eq!(all["entities"][0]["id"], Value::Null);
    assert!(all["entities"][0]["expires"].is_string());
    assert_eq!(
        again
            .get(&format!("{list}?includechannels=all"))
            .await
            .status(),
        400
    );
    let other = Client::login(&simulator.url(), "b", "b").await;
    assert!(!exists(&other, &id).await && exists(&again, &id).await);
}

#[tokio::test]
async fn subscriptions_are_added_replaced_listed_and_deleted() {
    let limits = Limits {
        topics: 3,
        ..Limits::default()
    };
    let (_simulator, client) = started(Config { limits, ..quiet() }).await;
    let (id, _) = client.channel().await;
    let path = format!("/api/v2/notifications/channels/{id}/subscriptions");
    let ids = async || {
        let body = client.read(&path).await;
        let all = body["entities"].as_array().unwrap().iter();
        all.map(|it| it["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let reply = client
        .post(&path, json!([{"id": topic(1)}, {"id": topic(1)}]))
        .await;
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["entities"][0]["state"], "Permitted");
    client.post(&path, json!([{"id": topic(2)}])).await;
    assert_eq!(ids().await, [topic(1), topic(2)]);
    assert_eq!(client.subscribe(&id, &[topic(3)]).await.status(), 200);
    assert_eq!(ids().await, [topic(3)]);
    // One too many: nothing of it is taken. A combined entry is one.
    let many = json!([{"id": topic(4)}, {"id": topic(5)}, {"id": topic(6)}]);
    assert_eq!(client.post(&path, many).await.status(), 400);
    assert_eq!(ids().await, [topic(3)]);
    let combined = json!([{"id": "v2.users.a?presence&routingStatus"}, {"id": topic(5)}]);
    assert_eq!(client.post(&path, combined).await.status(), 200);
    assert_eq!(ids().await.len(), 3);
    for bad in [
        "v2.users.u1.weather".to_owned(),
        "v2.detail.events.conversation.*.acw".to_owned(),
        topic(1).replace("u1", &"x".repeat(200)),
    ] {
        assert_eq!(
            client.post(&path, json!([{"id": bad}])).await.status(),
            400,
            "{bad}"
        );
    }
    assert_eq!(client.ask(Method::DELETE, &path, None).await.status(), 200);
    assert!(ids().await.is_empty());
}

#[tokio::test]
async fn one_topic_without_permission_refuses_all_unless_errors_are_ignored() {
    let permissions = vec!["presence:*:view".to_owned()];
    let known = Known {
        permissions,
        ..Known::new("few", "s")
    };
    let simulator = Simulator::start(Config {
        clients: vec![known],
        ..quiet()
    })
    .await
    .unwrap();
    let client = Client::login(&simulator.url(), "few", "s").await;
    let (id, _) = client.channel().await;
    let path = format!("/api/v2/notifications/channels/{id}/subscriptions");
    let both = json!([{"id": "v2.users.a.presence"}, {"id": topic(1)}]);
    let reply = client.post(&path, both.clone()).await;
    assert_eq!(reply.status(), 403);
    assert_eq!(client.read(&path).await["entities"], json!([]));
    let reply = client
        .post(&format!("{path}?ignoreErrors=true"), both)
        .await;
    assert_eq!(reply.status(), 200);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["entities"][0]["state"], "Permitted");
    let rejected = &body["entities"][1];
    assert_eq!(rejected["state"], "Rejected");
    assert_eq!(
        rejected["missingPermissions"],
        json!(["conversation:communication:view"])
    );
    assert_eq!(
        client.read(&path).await["entities"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn combined_topics_arrive_under_their_single_names() {
    let (simulator, client) = started(Config {
        rate: 2_000.0,
        users: 1,
        ..quiet()
    })
    .await;
    let user = simulator.control().users()[0].clone();
    let asked = format!("v2.users.{user}?routingStatus&conversations");
    let (_, mut socket) = client.listen(&[asked]).await;
    simulator.control().resume();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        let frame = told(&mut socket).await.unwrap();
        assert_eq!(frame["version"], "2");
        seen.insert(frame["topicName"].as_str().unwrap().to_owned());
    }
    let expected = ["conversations", "routingStatus"].map(|it| format!("v2.users.{user}.{it}"));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_channel_lives_a_day_and_subscribing_extends_it() {
    // A life of 20,000 s takes 2 s.
    let (simulator, client) = started(Config {
        speed: 10_000.0,
        limits: Limits {
            channel: Duration::from_secs(20_000),
            ..Limits::default()
        },
        ..quiet()
    })
    .await;
    let control = simulator.control();
    let (id, uri) = client.channel().await;
    let mut socket = connect(&uri).await;
    let begun = control.now();
    let hours = |from: jiff::Timestamp, to: jiff::Timestamp| to.duration_since(from).as_hours();
    until("three hours", || hours(begun, control.now()) >= 3).await;
    assert_eq!(client.subscribe(&id, &[topic(1)]).await.status(), 200);
    until("six hours", || hours(begun, control.now()) >= 6).await;
    assert!(
        exists(&client, &id).await,
        "20,000 s are over; it was extended"
    );
    let mut warned = false;
    while let Some(frame) = frame(&mut socket).await {
        warned |= frame["topicName"] == "v2.system.socket_closing";
    }
    assert!(warned);
    assert!(!exists(&client, &id).await);
    assert!(hours(begun, control.now()) >= 8);
}

#[tokio::test]
async fn topics_can_be_asked_for_over_the_socket() {
    let (_simulator, client) = started(quiet()).await;
    let (id, mut socket) = client.listen(&[]).await;
    say(
        &mut socket,
        json!({"message": "subscribe", "topics": [topic(1)], "correlationId": "x"}),
    )
    .await;
    let answer = frame(&mut socket).await.unwrap();
    assert_eq!(
        (
            &answer["result"],
            &answer["status"],
            &answer["correlationId"]
        ),
        (&json!("200"), &json!("subscribed"), &json!("x"))
    );
    say(
        &mut socket,
        json!({"message": "subscribe", "topics": ["v2.nothing"]}),
    )
    .await;
    let answer = frame(&mut socket).await.unwrap();
    assert_eq!(
        (&answer["result"], &answer["status"]),
        (&json!("400"), &json!("failure"))
    );
    let body = client
        .read(&format!(
            "/api/v2/notifications/channels/{id}/subscriptions"
        ))
        .await;
    assert_eq!(body["entities"][0]["id"], topic(1));
}

#[tokio::test]
async fn the_topics_that_there_are_can_be_asked_for() {
    let (_simulator, client) = started(quiet()).await;
    let path = "/api/v2/notifications/availabletopics?expand=requiresPermissions,transports";
    let body = client.read(path).await;
    let all = body["entities"].as_array().unwrap();
    let queue = all
        .iter()
        .find(|it| it["id"] == "v2.routing.queues.{id}.conversations")
        .unwrap();
    assert_eq!(
        queue["requiresPermissions"],
        json!(["conversation:communication:view"])
    );
    assert!(all.len() > 30 && queue["schema"].is_null());
}

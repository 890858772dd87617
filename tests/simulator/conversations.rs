//! Conversations, analytics and the directory by REST.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use trunkline::simulator::{Config, Limits};

use crate::client::{Client, queue_topics, quiet, started, told, until};

/// A platform that has told some, and is paused; and the last snapshot.
async fn told_some(
    config: Config,
    topic_of: &str,
) -> (trunkline::simulator::Simulator, Client, Value) {
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let (_, mut socket) = client.listen(&queue_topics(&simulator)).await;
    control.resume();
    let frame = loop {
        let frame = told(&mut socket).await.unwrap();
        let participants = frame["eventBody"]["participants"].as_array().unwrap();
        let agent = participants.iter().find(|it| it["purpose"] == "agent");
        if agent.is_some_and(|it| it[topic_of][0]["state"] == "connected") {
            break frame;
        }
    };
    control.pause();
    (simulator, client, frame)
}

fn fast() -> Config {
    // Slow enough that the conversation that was seen has not moved on when it is paused.
    Config {
        rate: 400.0,
        conversations: Some(50),
        ..quiet()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_reads_as_it_was_told() {
    let (_simulator, client, frame) = told_some(fast(), "calls").await;
    let body = &frame["eventBody"];
    let id = body["id"].as_str().unwrap();
    let read = client.read(&format!("/api/v2/conversations/{id}")).await;
    assert_eq!(read["id"], body["id"]);
    assert_eq!(read["recordingState"], "NONE");
    assert!(read["startTime"].is_string());
    for (told, read) in body["participants"]
        .as_array()
        .unwrap()
        .iter()
        .zip(read["participants"].as_array().unwrap())
    {
        for name in ["id", "purpose", "userId", "queueId"] {
            assert_eq!(told[name], read[name]);
        }
        assert_eq!(told["calls"][0]["id"], read["calls"][0]["id"]);
        assert!(read["calls"][0]["segments"].is_array() && told["calls"][0]["segments"].is_null());
    }
    let flat = client
        .read(&format!("/api/v2/conversations/calls/{id}"))
        .await;
    assert_eq!(flat["participants"][0]["purpose"], "customer");
    assert!(flat["participants"][0]["state"].is_string());
    assert_eq!(
        client
            .get(&format!("/api/v2/conversations/messages/{id}"))
            .await
            .status(),
        404
    );
    assert_eq!(
        client.read("/api/v2/conversations").await["entities"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_can_be_ended_and_given_attributes() {
    let (simulator, client, frame) = told_some(fast(), "calls").await;
    let id = frame["eventBody"]["id"].as_str().unwrap();
    let path = format!("/api/v2/conversations/{id}");
    let one = frame["eventBody"]["participants"][0]["id"]
        .as_str()
        .unwrap();
    let attributes = json!({"attributes": {"tier": "gold"}});
    let to = format!("{path}/participants/{one}/attributes");
    assert_eq!(
        client
            .ask(Method::PATCH, &to, Some(attributes))
            .await
            .status(),
        200
    );
    let bad = json!({"attributes": {"tier": 5}});
    assert_eq!(
        client.ask(Method::PATCH, &to, Some(bad)).await.status(),
        400
    );
    assert_eq!(
        client.read(&path).await["participants"][0]["attributes"]["tier"],
        "gold"
    );
    assert_eq!(
        client
            .ask(Method::POST, &format!("{path}/disconnect"), None)
            .await
            .status(),
        202
    );
    let read = client.read(&path).await;
    assert!(read["endTime"].is_string());
    assert_eq!(
        read["participants"][0]["calls"][0]["disconnectType"],
        "client"
    );
    assert_eq!(client.ask(Method::DELETE, &path, None).await.status(), 400);
    // The end was told: the last frame shows it.
    let control = simulator.control();
    until("it is told", || {
        control
            .oracle()
            .last()
            .is_some_and(|it| it.shows.iter().all(|it| it.state == "disconnected"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ended_is_kept_for_a_while_and_forgotten() {
    let config = Config {
        rate: 20_000.0,
        conversations: Some(10),
        kept: 20,
        total: Some(5_000),
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    let (_, mut socket) = client.listen(&queue_topics(&simulator)).await;
    control.resume();
    let first = told(&mut socket).await.unwrap();
    until("the end", || control.counts().steps == 5_000).await;
    let id = first["eventBody"]["id"].as_str().unwrap();
    assert_eq!(
        client
            .get(&format!("/api/v2/conversations/{id}"))
            .await
            .status(),
        404
    );
    assert!(control.counts().conversations > 200);
    assert!(control.counts().open <= 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analytics_answers_at_once_or_by_a_job_in_pages() {
    let limits = Limits {
        analytics_lag: Duration::from_secs(20),
        requests: 10_000,
        ..Limits::default()
    };
    let config = Config {
        rate: 2_000.0,
        speed: 10.0,
        total: Some(3_000),
        limits,
        ..quiet()
    };
    let (simulator, client) = started(config).await;
    let control = simulator.control();
    control.resume();
    until("the end", || control.counts().steps == 3_000).await;
    let all = json!({"interval": "2020-01-01T00:00:00Z/2100-01-01T00:00:00Z", "paging": {"pageSize": 50, "pageNumber": 1}});
    let details = "/api/v2/analytics/conversations/details";
    let reply = client.post(&format!("{details}/query"), all.clone()).await;
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["conversations"].as_array().unwrap().len(), 50);
    assert!(body["totalHits"].as_u64().unwrap() > 100);
    let session = &body["conversations"][0]["participants"][0]["sessions"][0];
    assert!(
        ["voice", "message", "email", "callback"].contains(&session["mediaType"].as_str().unwrap())
    );
    assert!(session["segments"].is_array() && session["metrics"].is_array());
    let bad = client
        .post(
            &format!("{details}/query"),
            json!({"interval": "yesterday"}),
        )
        .await;
    assert_eq!(bad.status(), 400);
    // Data has to be as old as the lag before a job finds it.
    let begun = control.now();
    until("the lag", || {
        control.now().duration_since(begun).as_secs() > 25
    })
    .await;
    let reply = client.post(&format!("{details}/jobs"), all).await;
    assert_eq!(reply.status(), 202);
    let job: Value = reply.json().await.unwrap();
    let job = format!("{details}/jobs/{}", job["jobId"].as_str().unwrap());
    assert_eq!(client.get(&format!("{job}/results")).await.status(), 400);
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "FULFILLED") {
        let state = client.read(&job).await["state"]
            .as_str()
            .unwrap()
            .to_owned();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
    assert_eq!(states, ["QUEUED", "PENDING", "FULFILLED"]);
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client
            .read(&format!("{job}/results?pageSize=100{cursor}"))
            .await;
        let ids = page["conversations"].as_array().unwrap().iter();
        found.extend(ids.map(|it| it["conversationId"].as_str().unwrap().to_owned()));
        assert!(page["dataAvailabilityDate"].is_string());
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found.len() as u64, body["totalHits"].as_u64().unwrap());
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len() as u64, body["totalHits"].as_u64().unwrap());
    assert_eq!(
        client
            .get(&format!("{job}/results?cursor=x"))
            .await
            .status(),
        400
    );
}

#[tokio::test]
async fn users_and_queues_come_in_pages() {
    let (simulator, client) = started(Config {
        users: 30,
        queues: 3,
        ..quiet()
    })
    .await;
    let first = client.read("/api/v2/users?pageSize=20").await;
    let second = client.read("/api/v2/users?pageSize=20&pageNumber=2").await;
    let third = client.read("/api/v2/users?pageSize=20&pageNumber=3").await;
    let ids = |page: &Value| -> Vec<String> {
        page["entities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        [&ids(&first)[..], &ids(&second)[..]].concat(),
        simulator.control().users()
    );
    assert_eq!(
        (&first["pageCount"], &first["total"]),
        (&json!(2), &json!(30))
    );
    assert!(first["nextUri"].is_string() && second["nextUri"].is_null());
    assert_eq!(third["entities"], json!([]));
    let queues = client.read("/api/v2/routing/queues").await;
    assert_eq!(ids(&queues), simulator.control().queues());
    let one = client
        .read(&format!("/api/v2/routing/queues/{}", ids(&queues)[2]))
        .await;
    assert_eq!(one["name"], "Queue 3");
    let limits = client
        .read("/api/v2/organizations/limits/namespaces/platform.api")
        .await;
    assert_eq!(limits["entities"][0]["value"], 300);
    assert_eq!(
        client
            .get("/api/v2/organizations/limits/namespaces/no")
            .await
            .status(),
        404
    );
}

use std::collections::HashMap;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::task::JoinHandle;

use super::signature::{Secrets, sign};
use super::*;
use crate::observe::{NodeKind, Observer, Progress, Triggers};
use crate::setting::Secret;
use crate::state::Store;

const SECRET: &str = "a-secret-of-sixteen";
const RECEIPT: &str =
    r#"{"id":"m1","channel":{"id":"shop"},"type":"Receipt","status":"Delivered"}"#;

struct World {
    source: Webhook,
    url: String,
    client: reqwest::Client,
    observer: Observer,
}

impl World {
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let bound = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config {
            listen: bound.local_addr().unwrap(),
            path: "/hook".into(),
            secrets: Secrets {
                shared: Some(Secret::new(SECRET)),
                each: HashMap::new(),
            },
            tls: None,
            max_body: 1000,
            answer_within: Duration::from_secs(8),
            max_waiting: 10,
            max_connections: 10,
        };
        change(&mut config);
        let observer = Observer::new("p");
        let context = SourceContext {
            node: "receipts".into(),
            paths: Arc::default(),
            store: Store::memory(),
            progress: Progress::default(),
            meter: observer.node("receipts", NodeKind::Source, "genesys_webhook"),
            simulator: None,
            triggers: Triggers::default(),
        };
        Self {
            url: format!("http://{}", config.listen),
            source: listen(bound, None, &config, &context),
            client: crate::client::http::client(Duration::from_secs(30)).unwrap(),
            observer,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    fn post(&self, body: &str, signature: &str) -> JoinHandle<reqwest::Response> {
        let request = self.request(Method::POST, "/hook");
        let request = request.header("X-Hub-Signature-256", signature);
        let sent = request.body(body.to_owned()).send();
        tokio::spawn(async { sent.await.unwrap() })
    }

    async fn arrived(&mut self) -> Delivery {
        self.source.next().await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_post_is_answered_by_what_became_of_it() {
    let mut world = World::with(|_| {}).await;
    let well = world.post(RECEIPT, &sign(SECRET, RECEIPT.as_bytes()));
    let delivery = world.arrived().await;
    let text = delivery.batch.events()[0].to_json();
    assert_eq!(text, RECEIPT);
    assert!(!well.is_finished(), "nothing is said before it is known");
    delivery.settle.run(Ok(())).await;
    assert_eq!(well.await.unwrap().status(), StatusCode::OK);

    let badly = world.post(RECEIPT, &sign(SECRET, RECEIPT.as_bytes()));
    let delivery = world.arrived().await;
    let lost = Failure::transient("down", "the sink is down");
    delivery.settle.run(Err(lost)).await;
    let answer = badly.await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "5");

    let lost = world.post(RECEIPT, &sign(SECRET, RECEIPT.as_bytes()));
    drop(world.arrived().await);
    let status = lost.await.unwrap().status();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_takes_too_long_is_to_be_posted_again() {
    let mut world = World::with(|config| {
        config.answer_within = Duration::from_millis(200);
        config.max_waiting = 1;
    })
    .await;
    // One is worked on, one waits, and for the third there is no room.
    let posts: Vec<_> = (0..3)
        .map(|_| world.post(RECEIPT, &sign(SECRET, RECEIPT.as_bytes())))
        .collect();
    let delivery = world.arrived().await;
    for post in posts {
        let status = post.await.unwrap().status();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    // Nobody listens any more, which is no reason to fail.
    delivery.settle.run(Ok(())).await;
}

#[tokio::test]
async fn what_the_platform_did_not_sign_is_not_taken() {
    let mut world = World::with(|_| {}).await;
    for signature in [
        "",
        "sha256=AAAA",
        &sign("another-secret-of-16", RECEIPT.as_bytes()),
    ] {
        let answer = world.post(RECEIPT, signature).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    let counted = world.observer.ledger();
    assert_eq!(counted.node("receipts").unwrap().drift["signature"], 3);
    let status = |request: RequestBuilder| async { request.send().await.unwrap().status() };
    assert_eq!(
        status(world.request(Method::GET, "/hook")).await,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        status(world.request(Method::POST, "/other")).await,
        StatusCode::NOT_FOUND
    );
    let long = " ".repeat(1001);
    let answer = world
        .post(&long, &sign(SECRET, long.as_bytes()))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let next = tokio::time::timeout(Duration::from_millis(50), world.source.next());
    assert!(next.await.is_err(), "none of them came through");
}

#[tokio::test]
async fn what_is_signed_and_no_event_goes_to_the_dead_letters() {
    let mut world = World::with(|_| {}).await;
    let post = world.post("not json", &sign(SECRET, b"not json"));
    let delivery = world.arrived().await;
    assert_eq!((delivery.batch.len(), delivery.refused.len()), (0, 1));
    delivery.settle.run(Ok(())).await;
    assert_eq!(post.await.unwrap().status(), StatusCode::OK);
    let empty = world.post("", &sign(SECRET, b""));
    let delivery = world.arrived().await;
    assert_eq!(delivery.refused.len(), 1);
    delivery.settle.run(Ok(())).await;
    assert_eq!(empty.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_end_of_the_source_is_the_end_of_the_listening() {
    let mut world = World::with(|_| {}).await;
    let post = world.post(RECEIPT, &sign(SECRET, RECEIPT.as_bytes()));
    let delivery = world.arrived().await;
    let url = world.url.clone();
    drop(world.source);
    delivery.settle.run(Ok(())).await;
    assert_eq!(
        post.await.unwrap().status(),
        StatusCode::OK,
        "what is under way is answered"
    );
    let address = url.trim_start_matches("http://").to_owned();
    // The connection of the client may still be served; a new one is not taken.
    let gone = async {
        while tokio::net::TcpStream::connect(&address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
}

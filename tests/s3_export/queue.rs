//! Objects that the messages of a queue tell of.

use serde_json::{Value as Json, json};

use crate::bench::{Bench, lines, records};
use crate::on;
use crate::storage::{Kind, Shelf, StorageServer, ask_queues, messages, request};

/// A queue that is told of every object.
struct Setting {
    server: StorageServer,
    shelf: Shelf,
    url: String,
}

impl Setting {
    async fn new() -> Self {
        let server = StorageServer::start(Kind::Moto).await;
        let shelf = server.bucket("exports").await;
        let mut setting = Self {
            server,
            shelf,
            url: String::new(),
        };
        let made = setting
            .ask("CreateQueue", json!({ "QueueName": "told" }))
            .await;
        setting.url = made["QueueUrl"].as_str().unwrap().to_owned();
        let wanted = "<NotificationConfiguration><QueueConfiguration><Id>new</Id>\
             <Queue>arn:aws:sqs:us-east-1:123456789012:told</Queue>\
             <Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>";
        let url = format!("{}/exports?notification", setting.server.url());
        request("PUT", &url, wanted.into()).await;
        setting
    }

    async fn ask(&self, action: &str, body: Json) -> Json {
        ask_queues(&self.server.url(), action, body).await
    }

    async fn send(&self, body: &str) {
        let message = json!({ "QueueUrl": self.url, "MessageBody": body });
        self.ask("SendMessage", message).await;
    }

    /// Messages that are there, hidden ones included.
    async fn messages(&self) -> u64 {
        messages(&self.server.url(), &self.url).await
    }

    fn yaml(&self, more: &str) -> String {
        let sqs = format!("sqs: {{ queue_url: \"{}\", wait: 1s, {more} }}", self.url);
        on(&self.server, &sqs)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_deleted_once_their_objects_are_settled() {
    let setting = Setting::new().await;
    let mut bench = Bench::new(&setting.yaml("visibility: 30s"));
    let looked = |bench: &Bench| bench.figure("messages") > 0;
    bench.until("the test event", looked).await;
    // Behind the first look: only a message can tell of it.
    setting
        .shelf
        .put("a b+c.json", lines(&records("a", 3)))
        .await;
    let delivery = loop {
        let delivery = bench.next().await.unwrap().unwrap();
        if !delivery.batch.is_empty() {
            break delivery;
        }
        bench.settle(delivery).await;
    };
    bench.see(&delivery);
    assert_eq!(bench.bodies, records("a", 3));
    assert_eq!(
        setting.messages().await,
        1,
        "the test event is gone, this one is not"
    );
    bench.settle(delivery).await;
    assert_eq!(setting.messages().await, 0);
    // It is told of again, and is known.
    let record = r#"{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put",
        "s3":{"bucket":{"name":"exports"},"object":{"key":"a+b%2Bc.json"}}}]}"#;
    setting.send(record).await;
    bench
        .until("told twice", |bench| bench.figure("messages") >= 3)
        .await;
    let began = tokio::time::Instant::now();
    while setting.messages().await > 0 {
        assert!(
            began.elapsed() < crate::bench::PATIENCE,
            "it is still there"
        );
        bench.try_step().await;
    }
    bench.has_once(records("a", 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_is_told_once_and_stays_unless_it_is_to_go() {
    let setting = Setting::new().await;
    setting.send("{\"password\":\"hunter2\"").await;
    let mut bench = Bench::new(&setting.yaml("visibility: 5s"));
    bench
        .until("a letter", |bench| !bench.letters.is_empty())
        .await;
    assert_eq!(bench.letters[0].0, "bad_message");
    assert_eq!(setting.messages().await, 1);
    // Hidden for a while, and not told again when it comes back.
    bench
        .until("it came again", |bench| bench.figure("bad_messages") == 2)
        .await;
    assert_eq!((bench.letters.len(), setting.messages().await), (1, 1));
    drop(bench);

    let mut deleting = Bench::new(&setting.yaml("visibility: 5s, on_bad_message: delete"));
    deleting
        .until("a letter", |bench| !bench.letters.is_empty())
        .await;
    assert_eq!(setting.messages().await, 0);
}

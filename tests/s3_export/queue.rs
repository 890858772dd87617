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
        let setting = Self::unheard().await;
        let wanted = "<NotificationConfiguration><QueueConfiguration><Id>new</Id>\
             <Queue>arn:aws:sqs:us-east-1:123456789012:told</Queue>\
             <Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>";
        let url = format!("{}/exports?notification", setting.server.url());
        request("PUT", &url, wanted.into()).await;
        setting
    }

    /// A queue that is told of nothing but by the test.
    async fn unheard() -> Self {
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

/// A message that tells of all these keys.
fn telling(keys: &[&str]) -> String {
    let record = |key: &&str| {
        json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": { "bucket": { "name": "exports" }, "object": { "key": key } } })
    };
    json!({ "Records": keys.iter().map(record).collect::<Vec<_>>() }).to_string()
}

/// The next delivery with events in it.
async fn filled(bench: &mut Bench) -> trunkline::stage::Delivery {
    loop {
        let delivery = bench.next().await.unwrap().unwrap();
        bench.see(&delivery);
        if !delivery.batch.is_empty() {
            return delivery;
        }
        bench.settle(delivery).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_hidden_for_as_long_as_its_objects_take() {
    let setting = Setting::new().await;
    let mut bench = Bench::new(&setting.yaml("visibility: 5s"));
    let looked = |bench: &Bench| bench.figure("messages") > 0;
    bench.until("the test event", looked).await;
    setting.shelf.put("slow", lines(&records("slow", 3))).await;
    let delivery = filled(&mut bench).await;
    // Longer than its five seconds, others who wait for it get nothing.
    for _ in 0..4 {
        let ask = json!({ "QueueUrl": setting.url, "WaitTimeSeconds": 3, "VisibilityTimeout": 1 });
        let got = setting.ask("ReceiveMessage", ask).await;
        assert!(got["Messages"].is_null(), "{got}");
    }
    assert_eq!(
        setting.messages().await,
        1,
        "it is not deleted before the answer"
    );
    bench.settle(delivery).await;
    assert_eq!(setting.messages().await, 0);
    bench.has_once(records("slow", 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_several_objects_goes_with_the_last_of_them() {
    let setting = Setting::unheard().await;
    setting.send(r#"{"Event":"s3:TestEvent"}"#).await;
    let yaml = setting.yaml("visibility: 30s") + "\nbatch_events: 60";
    let mut bench = Bench::new(&yaml);
    let looked = |bench: &Bench| bench.figure("messages") > 0;
    bench.until("the test event", looked).await;
    for key in ["a", "b"] {
        setting.shelf.put(key, lines(&records(key, 50))).await;
    }
    setting.send(&telling(&["a", "b"])).await;
    let first = filled(&mut bench).await;
    let second = filled(&mut bench).await;
    assert_eq!(bench.bodies, [records("a", 50), records("b", 50)].concat());
    bench.settle(second).await;
    assert_eq!(setting.messages().await, 1);
    bench.settle(first).await;
    assert_eq!(setting.messages().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_object_of_a_message_does_not_keep_the_others() {
    let setting = Setting::unheard().await;
    setting.send(r#"{"Event":"s3:TestEvent"}"#).await;
    let mut bench = Bench::new(&setting.yaml("visibility: 5s"));
    let looked = |bench: &Bench| bench.figure("messages") > 0;
    bench.until("the test event", looked).await;
    for key in ["a", "z"] {
        setting.shelf.put(key, lines(&records(key, 2))).await;
    }
    setting.send(&telling(&["a", "x/../y", "z"])).await;
    bench
        .until("both, and told", |bench| {
            bench.bodies.len() == 4 && !bench.letters.is_empty()
        })
        .await;
    // The message stays, and what was read of it is not read again.
    bench
        .until("it came again", |bench| bench.figure("bad_messages") == 2)
        .await;
    bench.has_once(["a", "z"].iter().flat_map(|name| records(name, 2)));
    assert_eq!(bench.letters.len(), 1, "{:?}", bench.letters);
    assert_eq!(bench.letters[0].0, "object_key");
    assert!(
        bench.letters[0].1.ends_with("exports/x/../y"),
        "{:?}",
        bench.letters
    );
    assert_eq!((setting.messages().await, bench.reopened), (1, 0));
    drop(bench);

    let mut deleting = Bench::new(&setting.yaml("visibility: 5s, on_bad_message: delete"));
    deleting
        .until("a letter", |bench| !bench.letters.is_empty())
        .await;
    let began = tokio::time::Instant::now();
    while setting.messages().await > 0 {
        assert!(
            began.elapsed() < crate::bench::PATIENCE,
            "it is still there"
        );
        deleting.try_step().await;
    }
}

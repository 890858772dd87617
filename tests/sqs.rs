//! From S3 to SQS through moto: what is told of new objects, and what becomes of a message.

#[path = "kit/storage.rs"]
mod storage;

use std::time::Duration;

use trunkline::client::bucket::{Bucket, Keys};
use trunkline::client::sqs::{Queue, Settings, notified};
use trunkline::failure::Kind as FailureKind;
use trunkline::layer::{Finding, Grade};
use trunkline::setting::Secret;

use storage::{Kind, StorageServer};

const ACCOUNT: &str = "123456789012";

fn settings(server: &StorageServer, name: &str) -> Settings {
    let url = |path: &str| format!("{}/{path}", server.url()).parse().unwrap();
    Settings {
        queue_url: url(&format!("{ACCOUNT}/{name}")),
        region: None,
        endpoint: Some(url("")),
        keys: Some(Keys {
            access_key_id: Secret::new("AKIAHUSH"),
            secret_access_key: Secret::new("hush"),
            session_token: None,
        }),
    }
}

/// A call of SQS's query protocol, which the server still takes.
async fn call(server: &StorageServer, form: &str) {
    // It knows by the scope which service is meant.
    let by = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/sqs/aws4_request, \
        SignedHeaders=host, Signature=00";
    let headers = [
        ("authorization", by),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    storage::answer("POST", &server.url(), headers.into(), form.into()).await;
}

/// A queue that hears of new objects in the bucket `exports`.
async fn hearing(server: &StorageServer) -> (Queue, storage::Shelf) {
    let shelf = server.bucket("exports").await;
    call(
        server,
        "Action=CreateQueue&QueueName=told&Attribute.1.Name=VisibilityTimeout&Attribute.1.Value=2",
    )
    .await;
    let notify = format!(
        "<NotificationConfiguration><QueueConfiguration>\
         <Queue>arn:aws:sqs:us-east-1:{ACCOUNT}:told</Queue><Event>s3:ObjectCreated:*</Event>\
         </QueueConfiguration></NotificationConfiguration>"
    );
    let url = format!("{}/exports?notification", server.url());
    storage::request("PUT", &url, notify.into()).await;
    let queue = Queue::open(&settings(server, "told")).await.unwrap();
    (queue, shelf)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_objects_are_told_and_can_be_read() {
    let server = StorageServer::start(Kind::Moto).await;
    let (queue, shelf) = hearing(&server).await;
    let wait = Duration::from_secs(5);
    // The first message says that there will be messages.
    let first = queue.receive(10, wait, None).await.unwrap();
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].body.contains("s3:TestEvent"), "{first:?}");
    assert_eq!(notified(&first[0].body), Ok(Vec::new()));
    assert!(
        queue
            .delete(&[first[0].receipt.clone()])
            .await
            .unwrap()
            .is_empty()
    );

    let keys = ["2026/hour=07/a b+c%.json", "2026/ü 電話.json"];
    for key in keys {
        shelf.put(key, "{}").await;
    }
    let bucket = Bucket::open(&server.location("exports")).await.unwrap();
    let mut told = Vec::new();
    while told.len() < keys.len() {
        let messages = queue.receive(10, wait, None).await.unwrap();
        assert!(!messages.is_empty(), "only {told:?}");
        for message in &messages {
            assert_eq!(message.received, 1);
            assert!(message.sent_millis > 1_700_000_000_000, "{message:?}");
            for found in notified(&message.body).unwrap() {
                let object = bucket.head(&found.key).await.unwrap();
                assert_eq!(found.bucket, "exports");
                assert_eq!(found.size, Some(object.size));
                assert_eq!(found.etag.as_deref(), Some(object.version.as_str()));
                told.push(found.key);
            }
        }
        let receipts: Vec<_> = messages
            .into_iter()
            .map(|message| message.receipt)
            .collect();
        assert!(queue.delete(&receipts).await.unwrap().is_empty());
    }
    told.sort_unstable();
    assert_eq!(told, keys);
    let attributes = queue.attributes().await.unwrap();
    assert_eq!((attributes.waiting, attributes.in_flight), (0, 0));
    assert_eq!(attributes.visibility, Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_not_deleted_comes_again_and_not_before_its_time() {
    let server = StorageServer::start(Kind::Moto).await;
    let (queue, _) = hearing(&server).await;
    let wait = Duration::from_secs(5);
    let first = queue.receive(1, wait, None).await.unwrap().remove(0);
    // Held for longer than the queue would, it is not seen when that time is over.
    assert!(
        queue
            .extend(&first.receipt, Duration::from_secs(60))
            .await
            .unwrap()
    );
    assert!(
        queue
            .receive(1, Duration::from_secs(3), None)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(queue.attributes().await.unwrap().in_flight, 1);
    // Given back, it comes at once.
    assert!(queue.extend(&first.receipt, Duration::ZERO).await.unwrap());
    let again = queue
        .receive(1, wait, Some(Duration::from_secs(60)))
        .await
        .unwrap()
        .remove(0);
    assert_eq!((&again.id, again.received), (&first.id, 2));
    let batch: Vec<_> = (0..12)
        .map(|place| Secret::new(format!("no receipt {place}")))
        .collect();
    let left = queue.delete(&batch).await.unwrap();
    assert_eq!(left, (0..12).collect::<Vec<_>>());
    assert!(
        queue
            .delete(std::slice::from_ref(&again.receipt))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        !queue
            .extend(&again.receipt, Duration::from_secs(5))
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_without_anything_secret() {
    let mut server = StorageServer::start(Kind::Moto).await;
    let nobody = Queue::open(&settings(&server, "nobody")).await.unwrap();
    let failure = nobody.receive(1, Duration::ZERO, None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Fatal, "{failure:?}");
    assert!(
        format!("{failure:?}").contains("no queue of this name"),
        "{failure:?}"
    );
    server.kill();
    let failure = nobody.attributes().await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Disconnected, "{failure:?}");
    assert!(
        !format!("{failure:?}").to_lowercase().contains("hush"),
        "{failure:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_tells_what_a_person_should_know_of_a_queue() {
    let mut server = StorageServer::start(Kind::Moto).await;
    let (queue, shelf) = hearing(&server).await;
    let has = |found: &[Finding], grade, words: &str| {
        let is = |it: &Finding| it.grade == grade && it.message.contains(words);
        assert!(
            found.iter().any(is),
            "no {grade:?} of `{words}` in {found:#?}"
        );
    };
    shelf.put("a", "{}").await;
    let found = Queue::probe(&settings(&server, "told")).await;
    has(&found, Grade::Warning, "not encrypted on the way");
    has(&found, Grade::Good, "about 2 messages wait");
    has(&found, Grade::Warning, "no redrive policy");
    // No message was taken.
    let messages = queue
        .receive(10, Duration::from_secs(5), None)
        .await
        .unwrap();
    assert_eq!(messages[0].received, 1);

    call(&server, "Action=CreateQueue&QueueName=dead").await;
    let policy = format!(
        "Action=SetQueueAttributes&QueueUrl={}/{ACCOUNT}/told\
         &Attribute.1.Name=RedrivePolicy&Attribute.1.Value={{\"maxReceiveCount\":\"5\",\
         \"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:{ACCOUNT}:dead\"}}\
         &Attribute.2.Name=SqsManagedSseEnabled&Attribute.2.Value=true",
        server.url()
    );
    call(&server, &policy).await;
    let found = Queue::probe(&settings(&server, "told")).await;
    has(&found, Grade::Good, "after 5 receipts");
    has(&found, Grade::Good, "encrypted at rest");

    let found = Queue::probe(&settings(&server, "nobody")).await;
    has(&found, Grade::Error, "no queue of this name");
    server.kill();
    let found = Queue::probe(&settings(&server, "told")).await;
    assert_eq!(found.last().unwrap().grade, Grade::Error, "{found:?}");
}

//! One meaning for all object storage: the same table of expectations against each server, and what
//! happens when a server dies, is told a wrong secret, or lies.

#[path = "bucket/liar.rs"]
mod liar;
#[path = "kit/storage.rs"]
mod storage;
#[path = "bucket/table.rs"]
mod table;

use std::sync::Arc;

use futures::StreamExt;
use trunkline::client::bucket::{Bucket, Location, Object, ReadError, Store};
use trunkline::failure::{Failure, Kind as FailureKind};
use trunkline::layer::Grade;
use trunkline::setting::Secret;

use liar::{Liar, Lie};
use storage::{Kind, Shelf, StorageServer};

async fn all(bucket: &Bucket, prefix: &str, after: Option<&str>) -> Result<Vec<Object>, Failure> {
    let mut pages = bucket.list(prefix, after);
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page?;
        assert!(page.len() <= 1_000, "a page of {}", page.len());
        found.extend(page);
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_by_moto() {
    let server = StorageServer::start(Kind::Moto).await;
    let shelf = server.bucket("exports").await;
    table::check(
        &server.location("exports"),
        &server.location("other"),
        &shelf,
        &table::ODD,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_by_s3s_fs() {
    let server = StorageServer::start(Kind::S3sFs).await;
    let shelf = server.bucket("exports").await;
    // It says that keys are encoded, and they are not: those that are the same either way.
    let both = |key: &&str| !key.contains(['+', '%']);
    let odd: Vec<_> = table::ODD.into_iter().filter(both).collect();
    table::check(
        &server.location("exports"),
        &server.location("other"),
        &shelf,
        &odd,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_by_azurite() {
    let server = StorageServer::start(Kind::Azurite).await;
    let shelf = server.bucket("exports").await;
    table::check(
        &server.location("exports"),
        &server.location("other"),
        &shelf,
        &table::ODD,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_by_the_xml_of_moto() {
    let server = StorageServer::start(Kind::Moto).await;
    let shelf = server.bucket("exports").await;
    table::check(
        &server.google("exports"),
        &server.google("other"),
        &shelf,
        &table::ODD,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_folder() {
    let dir = tempfile::tempdir().unwrap();
    let exports = dir.path().join("exports");
    std::fs::create_dir(&exports).unwrap();
    let location = |path| Location {
        store: Store::Folder(path),
        prefix: String::new(),
    };
    let other = location(dir.path().join("other"));
    let shelf = Shelf::Folder(exports.clone());
    table::check(&location(exports), &other, &shelf, &table::ODD).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_for_a_person_to_mend() {
    for kind in [Kind::S3sFs, Kind::Azurite] {
        let server = StorageServer::start(kind).await;
        let shelf = server.bucket("exports").await;
        shelf.put("a", "text").await;
        let mut location = server.location("exports");
        match &mut location.store {
            Store::S3(s3) => s3.keys = Some(storage::keys("hush-wrong")),
            Store::Azure(azure) => azure.access_key = Some(Secret::new("aHVzaA==")),
            _ => unreachable!(),
        }
        let bucket = Bucket::open(&location).await.unwrap();
        let listed = all(&bucket, "", None).await.unwrap_err();
        let read = Failure::from(bucket.read("a", 0..4, None).await.unwrap_err());
        for failure in [listed, read] {
            assert_eq!(failure.kind(), FailureKind::Fatal, "{failure:?}");
            let told = format!("{failure:?}");
            assert!(told.contains("_credentials"), "{told}");
            assert!(!told.contains("hush") && !told.contains("aHVz"), "{told}");
        }
        let findings = bucket.probe().await;
        assert!(
            findings.iter().any(|found| found.grade == Grade::Error),
            "{findings:?}"
        );
    }
}

/// Reads in a circle while the server dies and comes back: all that is read is right, what is not is
/// an error that passes, and afterwards all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_gives_an_error_and_never_half() {
    let mut server = StorageServer::start(Kind::S3sFs).await;
    let shelf = server.bucket("exports").await;
    let body: Vec<u8> = (0..24_000_000u32)
        .map(|place| (place % 251) as u8)
        .collect();
    shelf.put("large", body.clone()).await;
    let bucket = Bucket::open(&server.location("exports")).await.unwrap();
    let version = bucket.head("large").await.unwrap().version;
    let body = Arc::new(body);
    let (told, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let reader = {
        let (bucket, version, body) = (bucket.clone(), version.clone(), body.clone());
        tokio::spawn(async move {
            loop {
                let read = bucket
                    .read("large", 0..body.len() as u64, Some(&version))
                    .await;
                let read = read.map(|bytes| assert!(bytes == body[..], "other bytes"));
                if told.send(read).is_err() {
                    return;
                }
            }
        })
    };
    hear.recv().await.unwrap().unwrap();
    server.kill();
    let error = loop {
        if let Err(error) = hear.recv().await.unwrap() {
            break error;
        }
    };
    assert!(error.is_passing(), "{error:?}");
    server.restart().await;
    // Errors from before may still be in the way.
    while hear.recv().await.unwrap().is_err() {}
    assert_eq!(bucket.head("large").await.unwrap().version, version);
    drop(hear);
    reader.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_a_connection_to_be_tried_again() {
    let mut server = StorageServer::start(Kind::S3sFs).await;
    let bucket = Bucket::open(&server.location("exports")).await.unwrap();
    server.kill();
    let failure = all(&bucket, "", None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Disconnected, "{failure:?}");
    let findings = bucket.probe().await;
    assert_eq!(findings.last().unwrap().grade, Grade::Error, "{findings:?}");
}

/// What a lie ends in.
enum Ends {
    Passing,
    Changed,
    Denied(&'static str),
    Failed(FailureKind, &'static str),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lies_is_not_believed() {
    for (name, lie, ends) in liar::reads() {
        let liar = Liar::start(lie).await;
        for location in liar.locations() {
            let bucket = Bucket::open(&location).await.unwrap();
            let error = bucket.read("a", 0..10, Some("v1")).await.unwrap_err();
            let good = match &ends {
                Ends::Passing => error.is_passing(),
                Ends::Changed => error == ReadError::Changed,
                // What is told by codes of AWS is told by AWS.
                _ if !matches!(location.store, Store::S3(_)) => true,
                Ends::Denied(reason) => {
                    matches!(&error, ReadError::Denied(failure) if says(failure, reason))
                }
                Ends::Failed(kind, reason) => matches!(&error, ReadError::Failed(failure)
                    if failure.kind() == *kind && says(failure, reason)),
            };
            assert!(good, "{name} at {location}: {error:?}");
            assert!(!format!("{error:?}").contains("hush"), "{name}: {error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_lies_ends() {
    for (name, lie) in liar::listings() {
        let liar = Liar::start(lie).await;
        for location in liar.locations() {
            let bucket = Bucket::open(&location).await.unwrap();
            let listed = all(&bucket, "p/", None).await;
            // Only S3's order is known to be that of bytes, and only its client looks what the XML
            // calls itself.
            let strict = matches!(location.store, Store::S3(_));
            let loose = ["keys out of turn", "an error that is called a success"];
            match listed {
                Err(failure) => assert!(!format!("{failure:?}").contains("hush"), "{failure:?}"),
                Ok(found) => {
                    assert!(
                        !strict && loose.contains(&name),
                        "{name} at {location}: {found:?}"
                    );
                }
            }
        }
    }
}

fn says(failure: &Failure, reason: &str) -> bool {
    failure.losses()[0].cause.reason == reason
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_tells_what_a_person_should_know() {
    let server = StorageServer::start(Kind::Moto).await;
    let shelf = server.bucket("exports").await;
    shelf.put("a.json", "{}").await;
    let url = format!("{}/exports", server.url());
    let bucket = Bucket::open(&server.location("exports")).await.unwrap();
    let has = |findings: &[trunkline::layer::Finding], grade, words: &str| {
        let found = findings
            .iter()
            .any(|f| f.grade == grade && f.message.contains(words));
        assert!(found, "no {grade:?} of `{words}` in {findings:#?}");
    };
    let findings = bucket.probe().await;
    has(&findings, Grade::Warning, "not encrypted on the way");
    has(&findings, Grade::Good, "can be listed and read");
    has(&findings, Grade::Warning, "nothing encrypts");
    assert_eq!(
        all(&bucket, "", None).await.unwrap().len(),
        1,
        "nothing was written"
    );
    assert!(findings.iter().all(|found| found.grade != Grade::Error));

    let encryption = r#"<ServerSideEncryptionConfiguration><Rule>
        <ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>
        </ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"#;
    storage::request("PUT", &format!("{url}?encryption"), encryption.into()).await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*",
        "Action":"s3:GetObject","Resource":"arn:aws:s3:::exports/*"}]}"#;
    storage::request("PUT", &format!("{url}?policy"), policy.into()).await;
    let findings = bucket.probe().await;
    has(&findings, Grade::Good, "KMS");
    has(&findings, Grade::Warning, "anybody");

    let missing = Bucket::open(&server.location("other")).await.unwrap();
    let findings = missing.probe().await;
    has(&findings, Grade::Error, "no bucket of this name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stalls_does_not_hold_a_probe_for_long() {
    let liar = Liar::start(Lie::Silent).await;
    let bucket = Bucket::open(&liar.locations()[0]).await.unwrap();
    let began = std::time::Instant::now();
    let findings = bucket.probe().await;
    assert!(
        findings.iter().any(|found| found.grade == Grade::Error),
        "{findings:?}"
    );
    assert!(began.elapsed().as_secs() < 19, "{:?}", began.elapsed());
}

//! Azure and Google from end to end: the same as S3.

use crate::bench::{Bench, gzip, lines, records};
use crate::storage::{ACCOUNT, ACCOUNT_KEY, Kind, Shelf, StorageServer};

/// Whatever comes, in whatever order: each record once, and over a restart inside of an object.
async fn check(shelf: &Shelf, yaml: &str) {
    let names = ["2026/11/05/a.gz", "2026/11/05/b", "x y+z%ü.json"];
    let all: Vec<_> = names.iter().map(|name| records(name, 400)).collect();
    shelf.put(names[0], gzip(&lines(&all[0]))).await;
    shelf.put(names[1], lines(&all[1])).await;
    shelf.put(names[2], format!("[{}]", all[2].join(","))).await;
    shelf.put("skipped.txt", "no JSON").await;
    let more =
        "poll: 50ms\nexclude: [\"*.txt\"]\nrange: 8KiB\nmax_read_ahead: 32KiB\nbatch_events: 50";
    let yaml = format!("{yaml}\n{more}");
    let mut first = Bench::new(&yaml);
    first.until("some", |bench| bench.bodies.len() >= 500).await;
    // Handed over and never answered: it comes again.
    drop(first.next().await.unwrap());
    let mut bench = Bench::over(first.store, &yaml);
    bench.bodies = first.bodies;
    bench.until("all", |bench| bench.bodies.len() >= 1200).await;
    assert_eq!(bench.bodies, all.concat(), "in the order of the keys");
    shelf
        .put("2026/11/04/late", lines(&records("late", 3)))
        .await;
    shelf.put(names[1], lines(&records("new", 3))).await;
    bench
        .until("late", |bench| bench.bodies.len() >= 1206)
        .await;
    shelf.put("c.gz", "no archive").await;
    bench.until("told", |bench| !bench.letters.is_empty()).await;
    assert_eq!(bench.letters[0].0, "corrupt_object");
    assert!(
        bench.letters[0].1.ends_with("exports/c.gz"),
        "{:?}",
        bench.letters
    );
    bench.has_once(
        all.concat()
            .into_iter()
            .chain(records("late", 3))
            .chain(records("new", 3)),
    );
    assert_eq!((bench.letters.len(), bench.reopened), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_is_read_as_s3_is() {
    let server = StorageServer::start(Kind::Azurite).await;
    let shelf = server.bucket("exports").await;
    let yaml = format!(
        "url: az://exports\nendpoint: {}/{ACCOUNT}\nauth: {{ account: {ACCOUNT}, access_key: \"{ACCOUNT_KEY}\" }}",
        server.url()
    );
    check(&shelf, &yaml).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn google_is_read_as_s3_is() {
    let server = StorageServer::start(Kind::Moto).await;
    let shelf = server.bucket("exports").await;
    let account =
        r#"{"disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}"#;
    let yaml = format!(
        "url: gs://exports\nendpoint: {}\nauth: {{ service_account: '{account}' }}",
        server.url()
    );
    check(&shelf, &yaml).await;
}

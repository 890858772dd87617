//! What holds for every store.

use trunkline::client::bucket::{Bucket, Location, ReadError};
use trunkline::failure::Kind;

use super::all;
use super::storage::Shelf;

/// Keys that need care in URLs, XML, paths or shells, in the order of their bytes.
const ODD: [&str; 9] = [
    "odd/a b.json",
    "odd/a&b;c=d.json",
    "odd/a+b.json",
    "odd/a-b/c.json",
    "odd/a.json",
    "odd/a/b.json",
    "odd/50%25 (1).json",
    "odd/hour=07/x.json",
    "odd/ü 電話📞.json",
];

pub async fn check(location: &Location, other: &Location, shelf: &Shelf) {
    let bucket = Bucket::open(location).await.unwrap();
    let missing = Bucket::open(other).await.unwrap();
    let failure = all(&missing, "", None).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Fatal, "{failure:?}");
    assert!(all(&bucket, "", None).await.unwrap().is_empty());
    paging(&bucket, shelf).await;
    odd_keys(&bucket, shelf).await;
    ranges(&bucket, shelf).await;
    changes(&bucket, shelf).await;
}

async fn paging(bucket: &Bucket, shelf: &Shelf) {
    let keys: Vec<String> = (0..1_205).map(|place| format!("many/{place:04}")).collect();
    for part in keys.chunks(8) {
        let puts = part.iter().map(|key| shelf.put(key, "x"));
        futures::future::join_all(puts).await;
    }
    let listed = |found: Vec<trunkline::client::bucket::Object>| -> Vec<String> {
        found.into_iter().map(|object| object.key).collect()
    };
    assert_eq!(listed(all(bucket, "many/", None).await.unwrap()), keys);
    assert_eq!(listed(all(bucket, "", None).await.unwrap()), keys);
    // After a key that is there, and after one that is not.
    let after = all(bucket, "many/", Some("many/0117")).await.unwrap();
    assert_eq!(listed(after), keys[118..]);
    let after = all(bucket, "many/", Some("many/0117!")).await.unwrap();
    assert_eq!(listed(after), keys[118..]);
    // A prefix is characters, not folders.
    let some = all(bucket, "many/11", None).await.unwrap();
    assert_eq!(listed(some), keys[1_100..1_200]);
    assert!(all(bucket, "man/", None).await.unwrap().is_empty());
    let object = &all(bucket, "many/0000", None).await.unwrap()[0];
    let now = jiff::Timestamp::now().as_microsecond();
    assert!(
        (now - object.modified_micros).abs() < 600_000_000,
        "{object:?}"
    );
    assert!(object.size == 1 && !object.version.is_empty(), "{object:?}");
    assert_eq!(
        bucket.head("many/0000").await.unwrap().version,
        object.version
    );
}

async fn odd_keys(bucket: &Bucket, shelf: &Shelf) {
    let mut sorted = ODD;
    sorted.sort_unstable();
    for key in ODD {
        shelf.put(key, key.as_bytes()).await;
    }
    let found = all(bucket, "odd/", None).await.unwrap();
    let keys: Vec<_> = found.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, sorted);
    for object in &found {
        let head = bucket.head(&object.key).await.unwrap();
        assert_eq!((&head.key, head.size), (&object.key, object.size));
        let read = bucket
            .read(&object.key, 0..object.size, Some(&object.version))
            .await;
        assert_eq!(read.unwrap(), object.key.as_bytes(), "{}", object.key);
    }
    let after = all(bucket, "odd/", Some("odd/a+b.json")).await.unwrap();
    assert_eq!(after[0].key, "odd/a-b/c.json");
    let after = all(bucket, "odd/", Some("odd/a-b/b")).await.unwrap();
    assert_eq!(after[0].key, "odd/a-b/c.json");
}

async fn ranges(bucket: &Bucket, shelf: &Shelf) {
    let body: Vec<u8> = (0..100_000u32).map(|place| (place % 251) as u8).collect();
    shelf.put("range", body.clone()).await;
    let version = bucket.head("range").await.unwrap().version;
    for range in [0..1, 0..100_000, 99_999..100_000, 4_096..70_001] {
        let read = bucket
            .read("range", range.clone(), Some(&version))
            .await
            .unwrap();
        assert!(
            read == body[range.start as usize..range.end as usize],
            "{range:?}"
        );
    }
    assert!(
        bucket
            .read("range", 5..5, Some(&version))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        bucket.read("range", 5..5, Some("v0")).await.unwrap_err(),
        ReadError::Changed
    );
    for range in [
        0..100_001,
        100_000..100_001,
        99_999..100_002,
        200_000..200_010,
    ] {
        let error = bucket
            .read("range", range.clone(), Some(&version))
            .await
            .unwrap_err();
        let rejected = matches!(&error, ReadError::Failed(f) if f.kind() == Kind::Rejected);
        assert!(rejected, "{range:?}: {error:?}");
    }
    let much = bucket.read("range", 0..(1 << 40), None).await.unwrap_err();
    assert!(matches!(&much, ReadError::Failed(f) if f.kind() == Kind::Rejected));
    shelf.put("empty", "").await;
    let empty = bucket.head("empty").await.unwrap();
    assert_eq!(empty.size, 0);
    assert!(
        bucket
            .read("empty", 0..0, Some(&empty.version))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn changes(bucket: &Bucket, shelf: &Shelf) {
    shelf.put("change", "before").await;
    let before = bucket.head("change").await.unwrap();
    shelf.put("change", "after!").await;
    let error = bucket
        .read("change", 0..6, Some(&before.version))
        .await
        .unwrap_err();
    assert_eq!(error, ReadError::Changed);
    let after = bucket.head("change").await.unwrap();
    assert_ne!(after.version, before.version);
    let read = bucket
        .read("change", 0..6, Some(&after.version))
        .await
        .unwrap();
    assert_eq!(read, "after!");
    assert_eq!(bucket.read("change", 0..6, None).await.unwrap(), "after!");
    shelf.remove("change").await;
    let error = bucket
        .read("change", 0..6, Some(&after.version))
        .await
        .unwrap_err();
    assert_eq!(error, ReadError::Gone);
    assert_eq!(
        bucket.read("change", 0..6, None).await.unwrap_err(),
        ReadError::Gone
    );
    assert_eq!(bucket.head("change").await.unwrap_err(), ReadError::Gone);
    for key in ["../exports/range", "/range", "never"] {
        let error = bucket.head(key).await.unwrap_err();
        assert!(!error.is_passing(), "{key}: {error:?}");
    }
}

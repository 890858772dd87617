//! A disk that is full, read-only or broken is a clear failure, and recovery is by itself.

use std::io::ErrorKind;

use super::disk::{Kind, Trouble};
use super::*;

fn trouble(at: Kind, error: ErrorKind, written: usize) -> Trouble {
    Trouble {
        at,
        times: 1,
        error,
        written,
    }
}

/// Each kind of failure at each place: the batch is told, the next one goes in, and of the failed
/// one nothing comes out, neither now nor after a restart.
#[tokio::test]
async fn a_group_that_failed_is_told_and_never_comes_out() {
    let troubles = [
        trouble(Kind::Append, ErrorKind::StorageFull, 0),
        trouble(Kind::Append, ErrorKind::StorageFull, 70),
        trouble(Kind::Append, ErrorKind::StorageFull, 300),
        trouble(Kind::Sync, ErrorKind::Other, 0),
        trouble(Kind::Create, ErrorKind::ReadOnlyFilesystem, 0),
        trouble(Kind::SyncFolder, ErrorKind::Other, 0),
    ];
    for (index, one) in troubles.into_iter().enumerate() {
        for with_truncate in [true, false] {
            let disk = Disk::default();
            // The first three find a segment that is open, the others begin one.
            let begins = index > 3;
            let setting = if begins {
                Setting::small()
            } else {
                Setting::default()
            };
            let process = setting.open(&disk);
            process.append(0..10).await.unwrap();
            if !with_truncate {
                disk.fail(trouble(Kind::Truncate, ErrorKind::Other, 0));
                disk.fail(trouble(Kind::Remove, ErrorKind::Other, 0));
            }
            disk.fail(one);
            let failure = process.append(10..20).await.unwrap_err();
            let cause = &failure.losses()[0].cause;
            assert_eq!(cause.reason, "buffer_io", "{one:?}");
            assert!(cause.message.contains("/buffer"), "{}", cause.message);
            assert_eq!(failure.kind(), crate::failure::Kind::Transient);
            process.append(20..30).await.unwrap();
            drop(process);
            let process = setting.open(&disk);
            let all = process.drain().await;
            let expected: Vec<u64> = (0..10).chain(20..30).collect();
            let without: Vec<u64> = all
                .iter()
                .copied()
                .filter(|n| !(10..20).contains(n))
                .collect();
            assert_eq!(without, expected, "{one:?}");
            assert!(all.len() <= 30, "{one:?} {with_truncate}: {all:?}");
            assert_eq!(
                process.dropped("buffer_damaged"),
                0,
                "{one:?} {with_truncate}"
            );
        }
    }
}

#[tokio::test]
async fn a_disk_that_stays_full_fails_each_call_and_leaves_no_litter() {
    let disk = Disk::default();
    let setting = Setting::default();
    let process = setting.open(&disk);
    process.append(0..5).await.unwrap();
    disk.fail(Trouble {
        times: 1000,
        ..trouble(Kind::Append, ErrorKind::StorageFull, 0)
    });
    for _ in 0..20 {
        process.append(5..10).await.unwrap_err();
    }
    assert!(disk.segments().len() <= 2, "{:?}", disk.segments());
    let mut outlet = process.outlet();
    let delivery = outlet.next().await.unwrap().unwrap();
    assert_eq!(
        numbers(&delivery),
        [0, 1, 2, 3, 4],
        "what is there can still be read"
    );
}

#[tokio::test]
async fn a_place_that_cannot_be_read_is_tried_and_then_counts_as_damaged() {
    let disk = Disk::default();
    let setting = Setting::small_from_disk();
    let process = setting.open(&disk);
    process.append(0..10).await.unwrap();
    process.append(10..20).await.unwrap();
    disk.fail(Trouble {
        times: 1,
        ..trouble(Kind::Read, ErrorKind::Other, 0)
    });
    let failure = process.outlet().next().await.err().unwrap();
    assert_eq!(failure.kind(), crate::failure::Kind::Transient);
    let mut outlet = process.outlet();
    let delivery = outlet.next().await.unwrap().unwrap();
    assert_eq!(
        numbers(&delivery),
        (0..10).collect::<Vec<_>>(),
        "it went well"
    );
    disk.fail(Trouble {
        times: outlet::READ_ATTEMPTS + 2,
        ..trouble(Kind::Read, ErrorKind::Other, 0)
    });
    for _ in 0..outlet::READ_ATTEMPTS {
        process.outlet().next().await.err().unwrap();
    }
    process.append(20..30).await.unwrap();
    let mut outlet = process.outlet();
    let delivery = outlet.next().await.unwrap().unwrap();
    assert_eq!(numbers(&delivery), (20..30).collect::<Vec<_>>());
    assert_eq!(process.dropped("buffer_damaged"), 10);
}

#[tokio::test]
async fn a_segment_that_cannot_be_removed_is_tried_again() {
    let disk = Disk::default();
    let process = Setting::small().open(&disk);
    process.append(0..10).await.unwrap();
    disk.fail(trouble(Kind::Remove, ErrorKind::Other, 0));
    process.append(10..20).await.unwrap();
    assert_eq!(process.drain().await.len(), 20);
    process.append(20..30).await.unwrap();
    assert_eq!(process.drain().await.len(), 10);
    drop(process);
    assert_eq!(disk.segments().len(), 1);
}

/// A writer that is gone answers, and is not waited for.
#[tokio::test]
async fn a_writer_that_is_gone_is_a_lost_reply() {
    let process = Setting::default().open(&Disk::default());
    process.journal.handle.core.lock().stop = true;
    process.journal.handle.core.stirred.notify_one();
    while !process.journal.handle.core.lock().ended {
        tokio::task::yield_now().await;
    }
    let failure = process.append(0..5).await.unwrap_err();
    assert_eq!(failure.losses()[0].cause.reason, "lost_reply");
    assert!(process.outlet().next().await.unwrap().is_none());
}

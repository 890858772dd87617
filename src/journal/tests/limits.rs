//! What happens when the journal is full.

use super::*;

/// About 20 kB a batch, so that the least size is soon reached.
fn large(number: u64) -> Batch {
    let event = |at: u64| {
        let json = format!(r#"{{"n":{},"x":"{}"}}"#, number * 10 + at, "x".repeat(2000));
        Event::parse(json, &Arc::default(), &Arc::default()).unwrap()
    };
    (0..10).map(event).collect()
}

fn full_setting(when_full: WhenFull) -> Setting {
    let mut setting = Setting {
        segment_size: policy::LEAST_SEGMENT,
        ..Setting::default()
    };
    setting.policy.max_size = Policy::MIN_SIZE;
    setting.policy.when_full = when_full;
    setting
}

async fn put(process: &Process, number: u64) -> Result<(), Failure> {
    process.journal.entrance().oneshot(large(number)).await
}

#[tokio::test]
async fn callers_wait_in_line_until_there_is_room() {
    let disk = Disk::default();
    let process = full_setting(WhenFull::Block).open(&disk);
    let _open = process.journal.entrance();
    let calls = (0..100).map(|number| put(&process, number));
    let mut calls = Box::pin(futures::future::join_all(calls));
    let mut outlet = process.outlet();
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        let next = outlet.next();
        let delivery = tokio::select! {
            biased;
            delivery = next => delivery.unwrap().unwrap(),
            answers = &mut calls => {
                assert!(answers.iter().all(Result::is_ok));
                calls = Box::pin(futures::future::join_all(Vec::new()));
                continue;
            }
        };
        assert!(process.journal.bytes() <= Policy::MIN_SIZE);
        seen.extend(numbers(&delivery));
        delivery.settle.run(Ok(())).await;
    }
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    let written = process.journal.stats().bytes;
    assert!(written > Policy::MIN_SIZE * 3 / 2, "{written}");
}

#[tokio::test]
async fn the_newest_are_dropped_and_counted() {
    let process = full_setting(WhenFull::DropNewest).open(&Disk::default());
    for number in 0..100 {
        put(&process, number).await.unwrap();
        assert!(process.journal.bytes() <= Policy::MIN_SIZE);
    }
    let dropped = process.dropped("buffer_newest");
    assert!((400..600).contains(&dropped), "{dropped}");
    let kept = process.drain().await;
    assert_eq!(kept, (0..1000 - dropped).collect::<Vec<_>>());
    let ledger = process.observer.ledger();
    assert_eq!(ledger.node("buffer").unwrap().counts.received, 1000);
}

#[tokio::test]
async fn the_oldest_unread_segments_are_dropped_and_the_next_start_knows() {
    let disk = Disk::default();
    let setting = full_setting(WhenFull::DropOldest);
    let process = setting.open(&disk);
    let mut outlet = process.outlet();
    put(&process, 0).await.unwrap();
    // Handed out and not settled: the first segment stays.
    let first = outlet.next().await.unwrap().unwrap();
    for number in 1..200 {
        put(&process, number).await.unwrap();
        assert!(process.journal.bytes() <= Policy::MIN_SIZE);
    }
    let dropped = process.dropped("buffer_oldest");
    assert!(dropped > 1000, "{dropped}");
    assert_eq!(process.journal.stored(), 2000 - dropped);
    first.settle.run(Err(Failure::transient("x", "y"))).await;
    drop((outlet, process));

    let process = setting.open(&disk);
    assert_eq!(process.journal.resumed(), 2000 - dropped);
    let kept = process.drain().await;
    assert_eq!(kept.len() as u64, 2000 - dropped);
    assert_eq!((kept[0], kept.last()), (0, Some(&1999)));
    assert_eq!(process.dropped("buffer_damaged"), 0);
    assert_eq!(process.journal.stored(), 0);
}

#[tokio::test]
async fn a_batch_larger_than_the_whole_goes_in_alone() {
    let process = full_setting(WhenFull::Block).open(&Disk::default());
    let json = format!(r#"{{"n":7,"x":"{}"}}"#, "x".repeat(2 << 20));
    let event = Event::parse(json, &Arc::default(), &Arc::default()).unwrap();
    put(&process, 0).await.unwrap();
    let mut entrance = process.journal.entrance();
    let mut huge = entrance.call(vec![event].into());
    assert!(futures::poll!(&mut huge).is_pending());
    let mut outlet = process.outlet();
    let first = outlet.next().await.unwrap().unwrap();
    first.settle.run(Ok(())).await;
    huge.await.unwrap();
    let second = outlet.next().await.unwrap().unwrap();
    assert_eq!(numbers(&second), [7]);
    assert_eq!(second.batch.events()[0].length(), (2 << 20) + 14);
}

/// Who goes away takes its place in the line with it.
#[tokio::test]
async fn a_caller_that_goes_away_while_it_waits_is_not_written() {
    let process = full_setting(WhenFull::Block).open(&Disk::default());
    let mut waiting: Vec<_> = (0..80)
        .map(|number| Box::pin(put(&process, number)))
        .collect();
    let mut answered = 0;
    for call in &mut waiting {
        if let std::task::Poll::Ready(answer) = futures::poll!(call) {
            answer.unwrap();
            answered += 1;
        }
    }
    drop(waiting.drain(..));
    let drained = drain_until_written(&process).await;
    let ledger = process.observer.ledger();
    let counts = &ledger.node("buffer").unwrap().counts;
    // What was written although nobody heard of it counts as a copy.
    assert_eq!(counts.created, counts.given_back);
    let stored = process.journal.stored();
    assert_eq!(counts.received, stored + drained);
    assert!(answered <= 80);
}

async fn drain_until_written(process: &Process) -> u64 {
    // The writer may still be at work on what was given up: one more call stands behind it.
    let mut last = Box::pin(put(process, 99));
    if let std::task::Poll::Ready(answer) = futures::poll!(&mut last) {
        answer.unwrap();
        return 0;
    }
    let mut outlet = process.outlet();
    let mut drained = 0;
    loop {
        // Its answer may come after its event was drained, and then there is no other.
        let delivery = tokio::select! {
            biased;
            answer = &mut last => {
                answer.unwrap();
                return drained;
            }
            delivery = outlet.next() => delivery.unwrap().unwrap(),
        };
        drained += delivery.batch.len() as u64;
        delivery.settle.run(Ok(())).await;
    }
}

/// A replay of ten times what may be in memory takes as much as it may, and no more.
#[tokio::test]
async fn what_does_not_fit_into_memory_is_read_back_from_the_disk_in_order() {
    let mut setting = Setting::small();
    setting.policy.memory_events = 50;
    setting.policy.batch_events = 30;
    let process = setting.open(&Disk::default());
    for start in 0..50 {
        process.append(start * 10..start * 10 + 10).await.unwrap();
        let book = process.journal.handle.core.lock();
        assert!(book.memory_events <= 50);
        let kept: usize = book.memory.iter().map(|(_, batch)| batch.len()).sum();
        assert_eq!(kept, book.memory_events);
    }
    let mut outlet = process.outlet();
    let mut next = 0;
    while next < 500 {
        let delivery = outlet.next().await.unwrap().unwrap();
        assert!(delivery.batch.len() <= 40);
        for number in numbers(&delivery) {
            assert_eq!(number, next);
            next += 1;
        }
        // More comes while the reader is behind.
        if next < 200 {
            process.append(0..0).await.unwrap();
        }
    }
}

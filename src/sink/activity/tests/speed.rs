//! How long readers and writers keep each other waiting. Printed; the bounds are loose, since this
//! runs unoptimised beside other work.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_do_not_hold_up_the_writer() {
    let bed = Bed::new(defaults(), &Store::memory_durable()).await;
    let batches: Vec<Batch> = (0..100)
        .map(|n: i64| {
            let calls = (0..200).map(|call| {
                let state = if (n + call) % 4 == 0 {
                    "disconnected"
                } else {
                    "connected"
                };
                event(
                    n as u64,
                    &format!("c{}", (call * 7 + n) % 1000),
                    "agent",
                    state,
                    n - 40_000,
                )
            });
            batch(calls.collect())
        })
        .collect();
    let (_, view) = bed.observer.views().all().remove(0);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let reading = tokio::spawn(async move {
        let (mut answers, mut longest, mut stopped) = (0_u32, Duration::ZERO, stopped);
        while stopped.try_recv().is_err() {
            let begun = Instant::now();
            let state = view.clone().answer("state", &[]).unwrap().await;
            longest = longest.max(begun.elapsed());
            answers += u32::from(state.status == 200);
            tokio::task::yield_now().await;
        }
        (answers, longest)
    });
    let begun = Instant::now();
    for batch in batches {
        bed.sink.write(batch).await.unwrap();
    }
    let written = begun.elapsed();
    stop.send(()).unwrap();
    let (answers, longest) = reading.await.unwrap();
    let rate = 20_000.0 / written.as_secs_f64();
    println!("{rate:.0} events/s beside {answers} answers, of which the longest took {longest:?}");
    assert!(written < Duration::from_secs(20) && longest < Duration::from_secs(2));

    let begun = Instant::now();
    for _ in 0..10_000 {
        assert_eq!(bed.ask("state", &[]).await.status, 200);
    }
    println!(
        "10,000 answers of what did not change in {:?}",
        begun.elapsed()
    );
}

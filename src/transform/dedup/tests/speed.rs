//! What it costs: `cargo test --release --lib dedup -- --nocapture`.

use super::*;

const BATCH: usize = 1000;

/// A batch as a source makes it, 5 % of it repeats of recent events.
fn batch(delivery: usize, paths: &Arc<PathSet>) -> Batch {
    let (mut json, mut ends) = (String::new(), vec![0]);
    for index in 0..BATCH {
        let number = delivery * BATCH + index;
        let number = number - if number % 20 == 19 { 19 } else { 0 };
        let id = (number as u128).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        json.push_str(&format!("{{\"id\":\"{id:032x}-{number:03x}\"}}"));
        ends.push(json.len());
    }
    let mut builder = EventsBuilder::new(json, paths.clone(), provenance(), BATCH);
    for place in ends.windows(2) {
        builder
            .push(place[0], place[1], Position::default())
            .unwrap();
    }
    let mut batch = builder.finish();
    for (index, event) in batch.make_mut().iter_mut().enumerate() {
        event.origin = Origin::new(delivery as u64, index);
    }
    batch
}

/// The mean without the slowest fiftieth: those are the ones that another process interrupted.
fn mean(mut nanos: Vec<u128>) -> u128 {
    nanos.sort_unstable();
    nanos.truncate((nanos.len() * 49 / 50).max(1));
    nanos.iter().sum::<u128>() / nanos.len() as u128
}

async fn measure(max_keys: usize, store: Store) {
    let max = Value::Int(max_keys as i64);
    let mut config = config([("key", text(".id")), ("max_keys", max)]).unwrap();
    // A debug build only shows that it runs.
    let scale = if cfg!(debug_assertions) { 100 } else { 1 };
    let deliveries = 2_000 / scale;
    let mut paths = PathSet::default();
    config.paths(&mut |path| paths.intern(path));
    let paths = Arc::new(paths);
    let observer = Observer::new("test");
    let meter = observer.node("unique", NodeKind::Transform, "dedup");
    let dedup = Dedup::open(&config, store.table("unique"), meter, Lane::WHOLE).unwrap();
    let shared = dedup.0.clone();
    // What goes on is kept until the clock has stopped: freeing it is not this stage's cost.
    let kept: Arc<Mutex<Vec<Batch>>> = Arc::default();
    let keep = kept.clone();
    let mut stage = dedup.layer(Stage::new(service_fn(move |batch| {
        keep.lock().unwrap().push(batch);
        async { Ok(()) }
    })));
    let (mut calls, mut commits) = (Vec::new(), Vec::new());
    for delivery in 0..deliveries {
        let batch = batch(delivery, &paths);
        let started = std::time::Instant::now();
        stage.ready().await.unwrap().call(batch).await.unwrap();
        calls.push(started.elapsed().as_nanos());
        store.commit(vec![delivery as u64], vec![]).await.unwrap();
        commits.push(started.elapsed().as_nanos() - calls[delivery]);
        kept.lock().unwrap().clear();
    }
    let per_event = mean(calls) / BATCH as u128;
    let commit = mean(commits) / 1000;
    let bytes = shared.lock().window.allocated() / max_keys;
    let how = if store.is_durable() { ", durable" } else { "" };
    println!(
        "dedup, {max_keys} keys{how}: {per_event} ns/event, commit {commit} us, {bytes} bytes per key"
    );
    assert_eq!(
        observer
            .ledger()
            .node("unique")
            .unwrap()
            .counts
            .dropped_total(),
        (deliveries * BATCH) as u64 / 20
    );
}

#[tokio::test]
async fn costs_little() {
    measure(100_000, Store::memory()).await;
    measure(1_000_000, Store::memory()).await;
    let dir = tempfile::tempdir().unwrap();
    measure(100_000, Store::open(dir.path(), None).unwrap()).await;
}

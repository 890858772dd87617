//! The memory of the window of `dedup`, filled through the real stage.

use std::sync::Arc;

use tower::{Service, ServiceExt, service_fn};
use trunkline::diagnostic::{Report, Span};
use trunkline::event::{Batch, EventsBuilder, Origin, PathSet, Position, Provenance};
use trunkline::layer::Lane;
use trunkline::observe::{NodeKind, Observer};
use trunkline::setting::{Fields, Key, Node, Value};
use trunkline::stage::Stage;
use trunkline::state::Store;
use trunkline::transform::dedup::{Config, Dedup};

const BATCH: usize = 1000;

/// Sizes in millions of keys, and the memory that must be free (GB) for a size to be tried.
const SIZES: [(usize, u64); 3] = [(1, 1), (10, 3), (50, 9)];

pub fn measure() {
    println!("\ndedup, keys in the window, in memory");
    println!(
        "{:>10} {:>10} {:>12} {:>12} {:>14}",
        "max_keys", "keys seen", "memory MB", "bytes/key", "events/s"
    );
    for (millions, needed) in SIZES {
        if free() < needed * 1_000_000 {
            println!("{millions:>8} M   not measured: needs {needed} GB of free memory");
            continue;
        }
        let keys = millions * 1_000_000;
        // Filled once over, as at any time after the first window has passed.
        let Some(found) = crate::run(&["window", &keys.to_string()]) else {
            continue;
        };
        let [seen, kilobytes, rate] = found[..] else {
            continue;
        };
        println!(
            "{millions:>8} M {:>9.0} M {:>12.1} {:>12.1} {rate:>14.0}",
            seen / 1e6,
            kilobytes / 1e3,
            kilobytes * 1024.0 / keys as f64
        );
    }
}

/// A number of kilobytes in /proc/self/status.
pub fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    kilobytes(&status, name)
}

fn free() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kilobytes(&info, "MemAvailable")
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name));
    let word = line.and_then(|line| line.split_whitespace().nth(1));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Two generations of keys and a little more: the most that the window ever holds.
pub fn child(max_keys: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let mut paths = PathSet::default();
    let mut config = config(max_keys);
    config.paths(&mut |path| paths.intern(path));
    let paths = Arc::new(paths);
    let observer = Observer::new("bench");
    let meter = observer.node("unique", NodeKind::Transform, "dedup");
    let table = Store::memory().table("unique");
    let dedup = Dedup::open(&config, table, meter, Lane::WHOLE).expect("it opens");
    let mut stage = dedup.layer(Stage::new(service_fn(async |_: Batch| Ok(()))));
    let before = memory("VmRSS");
    let deliveries = 2 * max_keys / BATCH;
    let started = std::time::Instant::now();
    runtime.expect("a runtime").block_on(async {
        for delivery in 0..deliveries {
            let ready = stage.ready().await.expect("ready");
            ready
                .call(batch(delivery, &paths))
                .await
                .expect("delivered");
        }
    });
    let rate = (deliveries * BATCH) as f64 / started.elapsed().as_secs_f64();
    println!("{} {} {rate}", deliveries * BATCH, memory("VmRSS") - before);
}

fn config(max_keys: usize) -> Config {
    let span = Span::on_line(1, 1, 1);
    let entry = |(name, value): (&str, Value)| {
        let name = name.into();
        (Key { name, span }, Node::new(value, span))
    };
    let fields = [
        ("key", Value::Text(".id".into())),
        ("max_keys", Value::Int(max_keys as i64)),
        ("window", Value::Text("24h".into())),
    ];
    let node = Node::new(Value::Map(fields.map(entry).into()), span);
    let mut report = Report::new("bench");
    let mut fields = Fields::new(&node, "`unique`", &mut report).expect("a map");
    Config::check(&mut fields).expect("it is right")
}

fn batch(delivery: usize, paths: &Arc<PathSet>) -> Batch {
    let (mut json, mut ends) = (String::new(), vec![0]);
    for index in 0..BATCH {
        json.push_str(&format!("{{\"id\":\"{}\"}}", delivery * BATCH + index));
        ends.push(json.len());
    }
    let provenance = Arc::new(Provenance {
        source: "bench".into(),
        object: "".into(),
        received: 0,
    });
    let mut builder = EventsBuilder::new(json, paths.clone(), provenance, BATCH);
    for place in ends.windows(2) {
        let pushed = builder.push(place[0], place[1], Position::default());
        pushed.expect("it is JSON");
    }
    let mut batch = builder.finish();
    for (index, event) in batch.make_mut().iter_mut().enumerate() {
        event.origin = Origin::new(delivery as u64, index);
    }
    batch
}

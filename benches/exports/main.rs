//! `cargo bench --bench exports -- [small OBJECTS] [big BYTES]`: how fast a bucket is read.
//!
//! `small` (default 20,000 objects of 1 KB, and an eighth of them): the whole program reads them from s3s-fs and throws
//! them away; beside it, on the same objects in the same run, the same requests one at a time, and
//! side by side with nothing behind them. The limit of this server on this machine is what it gives a
//! bare HTTP client that signs nothing, asks for no version and looks at no answer, while the server
//! has no signature to check. Another stream processor publishes 563 objects of 1 KB a second, one at a time.
//!
//! `big` (default 1 GB of JSON lines in one gzip object): records and bytes a second, and the most
//! memory that the process had; beside it, how fast one thread inflates the same bytes from memory and
//! does nothing else, since a member of gzip cannot be taken up in its middle.

#[path = "../../tests/kit/storage.rs"]
mod storage;

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use storage::{ACCESS_KEY, Kind, SECRET_KEY, StorageServer};
use trunkline::client::bucket::{Bucket, Object};

const PUBLISHED: f64 = 563.0;
const SIDE_BY_SIDE: [usize; 2] = [16, 64];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: u64| {
        let at = arguments.iter().position(|it| it == name)?;
        let said = arguments.get(at + 1).and_then(|it| it.parse().ok());
        Some(said.unwrap_or(default))
    };
    let (mut small, mut big) = (number("small", 20_000), number("big", 1_000_000_000));
    if small.is_none() && big.is_none() {
        (small, big) = (Some(20_000), Some(1_000_000_000));
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        if let Some(objects) = small {
            // Few enough that finding them takes no time, and many.
            for objects in [objects / 8, objects] {
                many_small(objects as usize).await;
            }
        }
        if let Some(bytes) = big {
            one_big(bytes).await;
        }
    });
}

/// About a kilobyte of JSON in one line.
fn line(number: u64) -> String {
    // Words in an order of their own in each line: gzip makes about a fifth of them.
    let words = [
        "agent", "queue", "call", "hold", "wrapup", "billing", "transfer", "callback",
    ];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut filling = String::with_capacity(1000);
    while filling.len() < 890 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        filling.push_str(words[(state >> 61) as usize]);
        filling.push_str(&format!(" {:x} ", state >> 52 & 0xff));
    }
    format!(
        "{{\"event_id\":\"{number:016}\",\"timestamp\":\"2026-03-02T08:00:00Z\",\"text\":\"{filling}\"}}\n"
    )
}

async fn many_small(objects: usize) {
    let server = StorageServer::start(Kind::S3sFs).await;
    let folder = server.dir.path().join("small");
    for number in 0..objects {
        let hour = folder.join(format!("2026/03/02/{:02}", number * 24 / objects));
        fs::create_dir_all(&hour).unwrap();
        fs::write(hour.join(format!("{number:08}.json")), line(number as u64)).unwrap();
    }
    println!("{objects} objects of {} bytes in s3s-fs", line(0).len());

    let bucket = Bucket::open(&server.location("small")).await.unwrap();
    let begun = Instant::now();
    let pages: Vec<Vec<Object>> = bucket.list("", None).try_collect().await.unwrap();
    let listing = begun.elapsed();
    let listed: Vec<Object> = pages.into_iter().flatten().collect();
    assert_eq!(listed.len(), objects);
    let listed_rate = objects as f64 / listing.as_secs_f64();
    println!(
        "  listing alone                {listed_rate:9.0} objects/s: {:.1} s, since s3s-fs looks at \
         every file for every page of 1,000",
        listing.as_secs_f64()
    );
    let alone = rate(&bucket, &listed[..objects.min(3000)], 1).await;
    println!("  one at a time                {alone:9.0} objects/s");
    let mut limit: f64 = 0.0;
    let open = StorageServer::start(Kind::S3sFsOpen).await;
    std::os::unix::fs::symlink(&folder, open.dir.path().join("small")).unwrap();
    for parallel in SIDE_BY_SIDE {
        let reached = bare(&open, &listed, parallel).await;
        limit = limit.max(reached);
        println!(
            "  {parallel:2} bare requests side by side {reached:8.0} objects/s: the limit of the server"
        );
    }
    drop(open);
    for parallel in SIDE_BY_SIDE {
        let reached = rate(&bucket, &listed, parallel).await;
        println!(
            "  {parallel:2} requests side by side     {reached:9.0} objects/s, nothing behind them"
        );
    }
    for parallel in SIDE_BY_SIDE {
        let place = tempfile::tempdir().unwrap();
        let (elapsed, peak) = run(&server, "small", parallel, place.path(), objects as u64);
        let reached = objects as f64 / elapsed.as_secs_f64();
        // It lists while it reads.
        let limit = limit.min(listed_rate);
        println!(
            "  the program, parallel: {parallel:2}    {reached:9.0} objects/s, start and end included: \
             {:.1} x one at a time, {:.0} % of the limit, {:.1} x {PUBLISHED}; peak {} MB",
            reached / alone,
            reached / limit * 100.0,
            reached / PUBLISHED,
            peak / 1000
        );
    }
}

/// Objects a second by plain requests.
async fn rate(bucket: &Bucket, objects: &[Object], parallel: usize) -> f64 {
    let begun = Instant::now();
    futures::stream::iter(objects)
        .map(|object| bucket.read(&object.key, 0..object.size, None))
        .buffer_unordered(parallel)
        .for_each(|read| async move { assert!(!read.unwrap().is_empty()) })
        .await;
    objects.len() as f64 / begun.elapsed().as_secs_f64()
}

/// Objects a second by a client that does nothing but ask.
async fn bare(server: &StorageServer, objects: &[Object], parallel: usize) -> f64 {
    let client = trunkline::client::http::client(Duration::from_secs(60)).unwrap();
    let get = async |object: &Object| {
        let url = format!("{}/small/{}", server.url(), object.key);
        let answer = client.get(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        assert!(!answer.bytes().await.unwrap().is_empty());
    };
    let begun = Instant::now();
    futures::stream::iter(objects)
        .map(get)
        .buffer_unordered(parallel)
        .for_each(async |()| {})
        .await;
    objects.len() as f64 / begun.elapsed().as_secs_f64()
}

async fn one_big(bytes: u64) {
    let server = StorageServer::start(Kind::S3sFs).await;
    let folder = server.dir.path().join("big");
    fs::create_dir_all(&folder).unwrap();
    let file = BufWriter::new(File::create(folder.join("big.ndjson.gz")).unwrap());
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let (mut written, mut records) = (0, 0);
    while written < bytes {
        let line = line(records);
        gzip.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        records += 1;
    }
    gzip.finish().unwrap().flush().unwrap();
    let size = fs::metadata(folder.join("big.ndjson.gz")).unwrap().len();
    println!("{written} bytes in a gzip object of {size}");
    let packed = fs::read(folder.join("big.ndjson.gz")).unwrap();
    let begun = Instant::now();
    let mut inflated = flate2::read::MultiGzDecoder::new(&packed[..]);
    let mut part = vec![0; 64 << 10];
    let mut length = 0;
    loop {
        match inflated.read(&mut part).unwrap() {
            0 => break,
            read => length += read as u64,
        }
    }
    assert_eq!(length, written);
    drop(packed);
    let alone = written as f64 / 1e6 / begun.elapsed().as_secs_f64();
    println!("  inflating alone, one thread: {alone:.0} MB/s of text");
    let place = tempfile::tempdir().unwrap();
    let (elapsed, peak) = run(&server, "big", 16, place.path(), records);
    println!(
        "  the program: {:.0} records/s, {:.0} MB/s of text, {:.0} % of inflating alone; peak {} MB",
        records as f64 / elapsed.as_secs_f64(),
        written as f64 / 1e6 / elapsed.as_secs_f64(),
        written as f64 / 1e4 / elapsed.as_secs_f64() / alone,
        peak / 1000
    );
}

/// Runs the program over a bucket until all is read; how long, and its most memory in kilobytes.
fn run(
    server: &StorageServer,
    bucket: &str,
    parallel: usize,
    place: &Path,
    records: u64,
) -> (Duration, u64) {
    let pipeline = place.join("pipeline.yaml");
    let summary = place.join("summary.json");
    let text = format!(
        "version: 1\nname: bench\nstate: {{ type: embedded, path: {0}/state }}\n\
         sources:\n  in: {{ type: s3_export, url: 's3://{bucket}', endpoint: '{1}', region: us-east-1,\n    \
         read: once, parallel: {parallel}, auth: {{ access_key_id: {ACCESS_KEY}, \
         secret_access_key: {SECRET_KEY} }} }}\n\
         sinks:\n  out: {{ type: blackhole, inputs: [in] }}\n",
        place.display(),
        server.url()
    );
    fs::write(&pipeline, text).unwrap();
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["run", "--summary"])
        .arg(&summary)
        .arg(&pipeline)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(most_memory(&child));
        std::thread::sleep(Duration::from_millis(5));
    }
    let elapsed = begun.elapsed();
    assert!(child.wait().unwrap().success(), "the run failed");
    let told: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(summary).unwrap()).unwrap();
    assert_eq!(told["whole"]["delivered"], records, "nothing is missing");
    (elapsed, peak)
}

fn most_memory(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

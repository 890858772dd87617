//! The source `s3_export` against folders and real servers: whatever happens, each record of each
//! object comes once.

#[path = "s3_export/bench.rs"]
mod bench;
#[path = "s3_export/fake.rs"]
mod fake;
#[path = "s3_export/hostile.rs"]
mod hostile;
#[path = "s3_export/looks.rs"]
mod looks;
#[path = "s3_export/others.rs"]
mod others;
#[path = "s3_export/queue.rs"]
mod queue;
#[path = "s3_export/restart.rs"]
mod restart;
#[path = "s3_export/settings.rs"]
mod settings;
#[path = "kit/storage.rs"]
mod storage;

use std::fs;
use std::path::Path;
use std::time::Duration;

use bench::{Bench, gzip, lines, records};
use storage::{ACCESS_KEY, Kind, SECRET_KEY, Shelf, StorageServer};

fn put(folder: &Path, key: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The fields of a folder, read once.
fn once(folder: &Path, more: &str) -> String {
    format!("url: {}\nread: once\n{more}", folder.display())
}

/// The fields of a bucket on a server of a test.
pub fn on(server: &StorageServer, more: &str) -> String {
    format!(
        "url: s3://exports\nendpoint: {}\nregion: us-east-1\n\
         auth: {{ access_key_id: {ACCESS_KEY}, secret_access_key: {SECRET_KEY} }}\n{more}",
        server.url()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_a_folder_is_read_once_and_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["a", "b", "c", "d", "e"].map(|name| records(name, 30));
    put(dir.path(), "2026/11/05/07/a.json", lines(&all[0]));
    put(dir.path(), "2026/11/05/08/b.json.gz", gzip(&lines(&all[1])));
    put(dir.path(), "2026/11/05/09/c", all[2].concat());
    put(
        dir.path(),
        "2026/11/05/10/d",
        format!("\u{feff}[{}]", all[3].join(",")),
    );
    let zstd = zstd::encode_all(&lines(&all[4])[..], 1).unwrap();
    put(dir.path(), "2026/11/05/11/e.zst", zstd);
    put(dir.path(), "2026/11/05/12/empty.json", "");
    put(dir.path(), "2026/11/05/12/_skipped.json", "no JSON");
    let yaml = once(dir.path(), "exclude: [\"_*\"]");
    let mut bench = Bench::new(&yaml);
    bench.drain().await;
    assert_eq!(bench.bodies, all.concat(), "in the order of the keys");
    assert!(bench.letters.is_empty(), "{:?}", bench.letters);
    let progress = bench.progress.snapshot();
    assert_eq!((progress.files_total, progress.files_done), (Some(6), 6));
    assert_eq!(progress.bytes_total, Some(progress.bytes_done));
    assert_eq!(progress.records, 150);
    let mut again = Bench::over(bench.store, &yaml);
    again.drain().await;
    assert!(again.bodies.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_objects_go_on_together() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..500 {
        let name = format!("{number:03}");
        put(dir.path(), &name, lines(&records(&name, 2)));
    }
    let mut bench = Bench::new(&once(dir.path(), ""));
    let mut deliveries = 0;
    while bench.step().await.unwrap() {
        deliveries += 1;
    }
    assert_eq!(bench.bodies.len(), 1000);
    assert!(deliveries < 100, "{deliveries} deliveries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_wherever_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["a.gz", "b", "c"].map(|name| records(name, 400));
    put(dir.path(), "a.gz", gzip(&lines(&all[0])));
    put(dir.path(), "b", lines(&all[1]));
    put(dir.path(), "c", format!("[{}]", all[2].join(",")));
    let yaml = once(
        dir.path(),
        "range: 4KiB\nmax_read_ahead: 16KiB\nbatch_events: 50",
    );
    for settled in 0.. {
        let mut first = Bench::new(&yaml);
        let mut over = false;
        for _ in 0..settled {
            over |= !first.step().await.unwrap();
        }
        // Handed over, but never answered: it comes again.
        drop(first.next().await.unwrap());
        let mut second = Bench::over(first.store, &yaml);
        second.bodies = first.bodies;
        second.drain().await;
        assert_eq!(second.bodies, all.concat(), "after {settled} deliveries");
        if over {
            assert!(
                settled > 20,
                "{settled} deliveries are too few to say anything"
            );
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_objects_are_set_aside_until_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let good = records("good", 300);
    let broken = gzip(&lines(&good));
    put(dir.path(), "a.gz", &broken[..broken.len() - 20]);
    put(dir.path(), "b.gz", lines(&good));
    put(dir.path(), "c.json", gzip(&lines(&records("c", 5))));
    let yaml = once(dir.path(), "batch_events: 50");
    let mut bench = Bench::new(&yaml);
    bench.drain().await;
    let object = |name: &str| dir.path().join(name).display().to_string();
    let corrupt: Vec<_> = bench
        .letters
        .iter()
        .filter(|it| it.0 == "corrupt_object")
        .collect();
    assert_eq!(corrupt.len(), 2, "{:?}", bench.letters);
    assert_eq!(
        (&corrupt[0].1, &corrupt[1].1),
        (&object("a.gz"), &object("b.gz"))
    );
    assert!(
        bench.bodies.len() > 150,
        "the whole records before the damage"
    );
    assert!(
        bench.bodies.iter().any(|body| body.contains("\"c\"")),
        "it is gzip all the same"
    );
    let mut again = Bench::over(bench.store, &yaml);
    again.drain().await;
    assert!(
        again.bodies.is_empty() && again.letters.is_empty(),
        "it is told once"
    );
    put(dir.path(), "b.gz", gzip(&lines(&good)));
    let mut mended = Bench::over(again.store, &yaml);
    mended.drain().await;
    assert_eq!(mended.bodies, good);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_moved_in_late_are_found_and_the_times_choose() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "2026/11/06/00/b", lines(&records("b", 1)));
    let yaml = once(dir.path(), "");
    let mut first = Bench::new(&yaml);
    first.drain().await;
    // It sorts before what was read, and its time is that of long ago.
    put(dir.path(), "2026/11/05/00/a", lines(&records("a", 1)));
    let file = fs::File::open(dir.path().join("2026/11/05/00/a")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(86_400))
        .unwrap();
    let mut second = Bench::over(first.store, &yaml);
    second.drain().await;
    assert_eq!(second.bodies, records("a", 1));
    let more = "from: 2026-11-05\nto: 2026-11-06T00:00:00Z";
    let mut ranged = Bench::new(&once(dir.path(), more));
    ranged.drain().await;
    assert_eq!(ranged.bodies, records("a", 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_bucket_shows_what_comes_late_and_what_changes() {
    let server = StorageServer::start(Kind::Moto).await;
    let shelf = server.bucket("exports").await;
    shelf.put("b", lines(&records("b", 2))).await;
    let mut bench = Bench::new(&on(&server, "poll: 50ms"));
    bench.until("b", |bench| bench.bodies.len() == 2).await;
    shelf.put("a", lines(&records("a", 2))).await;
    bench.until("a", |bench| bench.bodies.len() == 4).await;
    shelf.put("b", lines(&records("b2", 2))).await;
    bench
        .until("the new b", |bench| bench.bodies.len() == 6)
        .await;
    bench.has_once(["a", "b", "b2"].iter().flat_map(|name| records(name, 2)));
    assert_eq!(bench.figure("objects_pending"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_has_it_look_at_once() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a", lines(&records("a", 1)));
    let mut bench = Bench::new(&format!("url: {}\npoll: 12h", dir.path().display()));
    bench.until("a", |bench| bench.bodies.len() == 1).await;
    put(dir.path(), "b", lines(&records("b", 1)));
    bench.triggers.of("exports").unwrap().pull();
    bench.until("b", |bench| bench.bodies.len() == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changes_while_it_is_read_is_told_and_read_anew() {
    let server = StorageServer::start(Kind::Moto).await;
    let shelf = server.bucket("exports").await;
    let (old, new) = (records("old", 3000), records("new", 3000));
    shelf.put("a", lines(&old)).await;
    let more = "poll: 50ms\nrange: 8KiB\nmax_read_ahead: 8KiB\nbatch_events: 20";
    let mut bench = Bench::new(&on(&server, more));
    assert!(bench.step().await.unwrap());
    shelf.put("a", lines(&new)).await;
    let last = new.last().unwrap().clone();
    bench
        .until("the new", |bench| bench.bodies.last() == Some(&last))
        .await;
    let told: Vec<_> = bench
        .letters
        .iter()
        .filter(|it| it.0 == "object_changed")
        .collect();
    assert_eq!(told.len(), 1, "{:?}", bench.letters);
    assert!(told[0].1.ends_with("exports/a"), "{told:?}");
    let counts = bench.counts();
    assert!(new.iter().all(|body| counts.get(body.as_str()) == Some(&1)));
    assert!(counts.len() < 6000, "the old was not read to its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_costs_nothing() {
    let mut server = StorageServer::start(Kind::S3sFs).await;
    let shelf = server.bucket("exports").await;
    let names: Vec<String> = (0..40).map(|number| format!("{number:02}.gz")).collect();
    fill(&shelf, &names).await;
    let more = "poll: 50ms\nrange: 8KiB\nmax_read_ahead: 32KiB\nbatch_events: 100\nparallel: 4";
    let mut bench = Bench::new(&on(&server, more));
    for part in 1..4 {
        bench
            .until("a part", |bench| bench.bodies.len() > part * 3000)
            .await;
        server.kill();
        let reopened = bench.reopened;
        bench.until("told", |bench| bench.reopened > reopened).await;
        server.restart().await;
    }
    bench
        .until("all", |bench| bench.bodies.len() >= 40 * 400)
        .await;
    bench.has_once(names.iter().flat_map(|name| records(name, 400)));
    assert!(bench.letters.is_empty(), "{:?}", bench.letters);
}

async fn fill(shelf: &Shelf, names: &[String]) {
    for name in names {
        shelf.put(name, gzip(&lines(&records(name, 400)))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_ends_the_run() {
    let server = StorageServer::start(Kind::S3sFs).await;
    server.bucket("exports").await;
    let yaml = on(&server, "").replace(SECRET_KEY, "another-secret");
    let failure = match Bench::new(&yaml).next().await {
        Err(failure) => failure,
        Ok(_) => panic!("it was let in"),
    };
    assert_eq!(failure.kind(), trunkline::failure::Kind::Fatal);
    assert!(!failure.to_string().contains("another-secret"));
}

/// What is to be read and what was read, over a restart and a store that dies: each byte counts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_exact_over_a_restart_and_a_broken_connection() {
    let mut server = StorageServer::start(Kind::S3sFs).await;
    let shelf = server.bucket("exports").await;
    let all = [records("a", 20), records("b", 4000), records("c", 300)];
    let bytes = [lines(&all[0]), lines(&all[1]), gzip(&lines(&all[2]))];
    for (name, bytes) in ["a.json", "b.json", "c.json.gz"].iter().zip(&bytes) {
        shelf.put(name, bytes.clone()).await;
    }
    let sizes = bytes.map(|bytes| bytes.len() as u64);
    let slow = "read: once\nrange: 4KiB\nmax_read_ahead: 4KiB\nbatch_events: 10\nparallel: 1";
    let mut first = Bench::new(&on(&server, slow));
    first.until("in b", |bench| bench.bodies.len() > 100).await;
    let before = std::mem::take(&mut first.bodies);
    let (store, known) = (first.store.clone(), before.len());
    drop(first);

    let mut bench = Bench::over(store, &on(&server, slow));
    bench.bodies = before;
    bench
        .until("further", |bench| bench.bodies.len() > 250)
        .await;
    server.kill();
    let (restarted, ()) = tokio::join!(
        async {
            // Longer than one request is tried.
            tokio::time::sleep(Duration::from_secs(3)).await;
            server.restart().await;
        },
        bench.drain()
    );
    let () = restarted;
    assert!(bench.reopened > 0);
    bench.has_once(all.concat());
    let now = bench.progress.snapshot();
    assert_eq!((now.files_total, now.files_done), (Some(3), 3));
    let whole: u64 = sizes.iter().sum();
    assert_eq!((now.bytes_total, now.bytes_done), (Some(whole), whole));
    assert_eq!(now.records, (20 + 4000 + 300 - known) as u64);
    // What the first has read cost the second no time; what it read again itself did.
    assert_eq!(now.files_skipped, 1);
    let begun = now.bytes_skipped - sizes[0];
    assert!(begun > 0 && begun < 18_000, "{now:?}");
}

/// Objects behind the window are remembered as a whole, and that outlives the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_window_is_not_read_again_by_the_next_process() {
    let server = StorageServer::start(Kind::S3sFs).await;
    let shelf = server.bucket("exports").await;
    for name in ["a", "b", "c"] {
        shelf.put(name, lines(&records(name, 5))).await;
    }
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let yaml = on(&server, "read: once\nlook_back: 1s");
    let mut first = Bench::new(&yaml);
    first.drain().await;
    assert_eq!(
        (first.bodies.len(), first.figure("objects_remembered")),
        (15, 0)
    );
    let mut second = Bench::over(first.store.clone(), &yaml);
    second.drain().await;
    assert_eq!(second.bodies, Vec::<String>::new());
}

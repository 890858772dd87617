//! A bucket of S3 into PostgreSQL, stopped, killed, and with servers that die on the way.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Client;

use crate::expect_whole;
use crate::place::{Ended, HOURS, Place, RECORDS, Running};
use crate::server::Server;
use crate::storage::{ACCESS_KEY, Kind, SECRET_KEY, StorageServer};

const LOADED: i64 = (HOURS * (RECORDS - 3)) as i64;

struct World {
    store: StorageServer,
    database: Server,
    place: Place,
}

impl World {
    async fn new(more: &str) -> World {
        let (store, database) = (StorageServer::start(Kind::S3sFs).await, Server::start());
        store.bucket("exports").await;
        let bucket = format!(
            "url: s3://exports/of, endpoint: '{}', region: eu-central-1, \
             auth: {{ access_key_id: {ACCESS_KEY}, secret_access_key: {SECRET_KEY} }}{more}",
            store.url()
        );
        let url = database.url("postgres");
        // What fails goes back at once, and is delivered again by the engine.
        let warehouse =
            format!("dialect: postgresql, url: '{url}', tls: off, retry: {{ attempts: 1 }}");
        let place = Place::with(&bucket, &warehouse);
        copy(&place.path("exports"), &store.dir.path().join("exports/of"));
        World {
            store,
            database,
            place,
        }
    }

    async fn client(&self) -> Client {
        self.database.client("postgres").await
    }

    /// Waits until a run that goes on has loaded so many.
    async fn until_facts(&self, running: &mut Running, least: i64) {
        let (client, end) = (
            self.client().await,
            Instant::now() + Duration::from_secs(120),
        );
        let count = "SELECT count(*) FROM cc_analytics.fact_interactions";
        loop {
            let loaded = client.query_one(count, &[]).await;
            if loaded.is_ok_and(|row| row.get::<_, i64>(0) >= least) {
                return;
            }
            assert!(Instant::now() < end, "{}", running.said());
            assert!(!running.is_over(), "it ended too early: {}", running.said());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Facts, and what the ledger says of them in the warehouse.
    async fn expect_tables(&self) {
        let view = "SELECT sum(records_read)::bigint, sum(records_loaded)::bigint, \
                    sum(fact_rows)::bigint, count(*) FILTER (WHERE records_loaded <> fact_rows) \
                    FROM cc_analytics.completeness_by_hour";
        let row = self.client().await.query_one(view, &[]).await.unwrap();
        let figures: [i64; 4] = std::array::from_fn(|place| row.get(place));
        let read = (HOURS * RECORDS + 1) as i64;
        assert_eq!(figures, [read, LOADED, LOADED, 0]);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (
            entry.as_ref().unwrap().path(),
            to.join(entry.unwrap().file_name()),
        );
        match from.is_dir() {
            true => copy(&from, &to),
            false => fs::copy(from, to).map(|_| ()).unwrap(),
        }
    }
}

async fn ended(running: Running) -> Ended {
    tokio::task::spawn_blocking(|| running.wait())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_loaded_whole_over_stops_kills_and_deaths_of_servers() {
    let mut world = World::new("").await;
    let dry = world.place.backfill(&["--dry-run", "--format", "text"]);
    let objects = world.place.objects_in_range();
    let all = format!("would read {objects} objects");
    assert!(
        dry.code == Some(0) && dry.stdout.contains(&all),
        "{}",
        dry.stdout
    );

    // Stopped: what is under way is delivered, and the ledger is that of what was read.
    let slow = ["--throttle", "20KiB/s"];
    let mut running = world.place.start(&slow);
    world.until_facts(&mut running, 40).await;
    running.signal("TERM");
    let stopped = ended(running).await;
    assert_eq!(stopped.code, Some(3), "{}", stopped.stderr);
    let summary = stopped.json();
    assert_eq!(
        (&summary["stopped"], &summary["reconciles"]),
        (&true.into(), &true.into())
    );
    let done = summary["objects_done"].as_u64().unwrap();
    assert!(
        done < objects && summary["total"]["read"].as_u64() >= Some(40),
        "{summary:#}"
    );

    // Killed.
    let mut running = world.place.start(&slow);
    world.until_facts(&mut running, 120).await;
    running.signal("KILL");
    assert_eq!(ended(running).await.code, None);

    // The store and the database die, once while the other is alive and once both.
    let mut running = world.place.start(&slow);
    world.until_facts(&mut running, 160).await;
    world.store.kill();
    sleep(Duration::from_millis(500)).await;
    world.database.kill();
    world.store.restart().await;
    sleep(Duration::from_millis(500)).await;
    world.database.restart();
    world.until_facts(&mut running, 240).await;
    world.store.kill();
    sleep(Duration::from_millis(1500)).await;
    world.store.restart().await;
    let run = ended(running).await;
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("resuming: "), "{}", run.stderr);
    let summary = run.json();
    expect_whole(&summary);
    // Objects that were found twice, before and after the store died, are counted once.
    let figures = ["objects_done", "objects_total"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(figures, [objects; 2], "{}", run.stderr);
    assert_eq!(summary["bytes_done"], summary["bytes_total"], "{summary:#}");
    world.expect_tables().await;
}

/// The pipeline says where records have their time, and the command line has the last word.
#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_says_where_records_have_their_time() {
    let world = World::new(", event_time: [.nowhere, .event_at]").await;
    let timeless = world.place.backfill(&[]);
    assert_eq!(timeless.code, Some(0), "{}", timeless.stderr);
    assert!(
        timeless.stderr.contains(".nowhere, .event_at"),
        "{}",
        timeless.stderr
    );
    let summary = timeless.json();
    let hours = summary["hours"].as_array().unwrap();
    assert_eq!(
        (hours.len(), &hours[0]["hour"]),
        (1, &"no time".into()),
        "{summary:#}"
    );

    let own = world.place.path("own").display().to_string();
    let timed = ["--event-time", ".timestamp", "--state", &own];
    let timed = world.place.backfill(&timed);
    assert_eq!(timed.code, Some(0), "{}", timed.stderr);
    expect_whole(&timed.json());
}

/// Stopped while the database is away, it gives back what it could not deliver, and counts none of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_delivered_before_the_end_is_not_counted() {
    let mut world = World::new("").await;
    let mut running = world.place.start(&["--throttle", "20KiB/s"]);
    world.until_facts(&mut running, 40).await;
    world.database.kill();
    sleep(Duration::from_millis(1500)).await;
    running.signal("TERM");
    let stopped = ended(running).await;
    // The ledger could not be written to the warehouse, which is said.
    assert_eq!(stopped.code, Some(1), "{}", stopped.stderr);
    let summary = stopped.json();
    let figure = |name: &str| summary["total"][name].as_u64().unwrap();
    let told = figure("loaded") + figure("dropped") + figure("refused");
    assert_eq!(
        (figure("read"), figure("unexplained")),
        (told, 0),
        "{summary:#}"
    );
    let given_back = summary["ledger"]["whole"]["given_back"].as_u64();
    assert!(given_back > Some(0), "{summary:#}");

    world.database.restart();
    let run = world.place.backfill(&[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    expect_whole(&run.json());
    world.expect_tables().await;
}

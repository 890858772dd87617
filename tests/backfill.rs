//! `trunkline backfill`: the real binary, a folder of archives, SQLite.

#[path = "backfill/bucket.rs"]
mod bucket;
#[path = "backfill/place.rs"]
mod place;
#[path = "warehouse_postgres/server.rs"]
mod server;
#[path = "kit/storage.rs"]
mod storage;

use std::time::{Duration, Instant};

use place::{HOURS, Place, RECORDS};

/// Of each hour's records: one is a repeat, one is refused by the warehouse, and one is a line that
/// is no JSON, which has no hour.
fn expect_whole(summary: &serde_json::Value) {
    let hours = summary["hours"].as_array().unwrap();
    let timed: Vec<_> = hours.iter().filter(|it| it["hour"] != "no time").collect();
    assert_eq!(timed.len(), HOURS as usize, "{summary:#}");
    for hour in timed {
        let figures = ["read", "loaded", "dropped", "refused", "unexplained"];
        let figures = figures.map(|name| hour[name].as_u64().unwrap());
        assert_eq!(figures, [RECORDS - 1, RECORDS - 3, 1, 1, 0], "{hour:#}");
        assert_eq!(hour["facts_there"], RECORDS - 3, "{hour:#}");
    }
    let total = &summary["total"];
    assert_eq!(total["read"], HOURS * RECORDS + 1, "{total:#}");
    // And the archive that is damaged, about which there is one letter.
    assert_eq!(total["refused"], 2 * HOURS + 1);
    assert_eq!(summary["reconciles"], true, "{summary:#}");
    assert_eq!(summary["complete"], true);
}

#[test]
fn a_range_is_loaded_and_every_record_is_accounted_for() {
    let place = Place::new();
    let run = place.backfill(&[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let summary = run.json();
    expect_whole(&summary);
    assert_eq!(summary["total"]["rows_written"], HOURS * (RECORDS - 3));
    // What lies before and behind the range is not read.
    assert_eq!(summary["objects_done"], place.objects_in_range());
    assert_eq!(summary["objects_total"], place.objects_in_range());
    let facts = place.facts();
    assert_eq!(facts.len() as u64, HOURS * (RECORDS - 3));
    assert!(facts.iter().all(|row| row.contains("2026-01-01T")));
    // The ledger stands in the warehouse too, and beside it the facts.
    let view = "SELECT sum(records_loaded), sum(fact_rows), sum(records_refused) FROM completeness_by_hour";
    let expected = format!("{0}|{0}|{1}", HOURS * (RECORDS - 3), 2 * HOURS + 1);
    assert_eq!(place.query(view), [expected]);
    // The live run's state, letters and address are left alone.
    assert!(!place.path("dead.ndjson").exists() && !place.path("state/state.redb").exists());
    let letters = place.path("state/backfill-2026-01-01-2026-01-02/dead-letters.ndjson");
    let letters = std::fs::read_to_string(letters).unwrap();
    assert_eq!(letters.lines().count() as u64, 2 * HOURS + 1);

    // The same command again has nothing to do, and says the same.
    let again = place.backfill(&[]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let objects = place.objects_in_range();
    let resuming = format!("resuming: {objects} of {objects} objects done");
    assert!(again.stderr.contains(&resuming), "{}", again.stderr);
    assert_eq!(again.json()["total"], summary["total"]);
    assert_eq!(place.facts(), facts);
    assert_eq!(place.query(view).len(), 1);
}

#[test]
fn what_was_stopped_goes_on_and_comes_to_the_same() {
    let whole = Place::new();
    assert_eq!(whole.backfill(&[]).code, Some(0));
    let place = Place::new();
    let mut slow = place.start(&["--throttle", "20KiB/s"]);
    place.until_facts(&mut slow, 50);
    slow.signal("INT");
    let stopped = slow.wait();
    assert_eq!(stopped.code, Some(3), "{}", stopped.stderr);
    let summary = stopped.json();
    assert_eq!(
        (&summary["stopped"], &summary["reconciles"]),
        (&true.into(), &true.into())
    );
    let done = summary["objects_done"].as_u64().unwrap();
    assert!(done < place.objects_in_range(), "{summary:#}");
    let resumed = place.backfill(&[]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    assert!(resumed.stderr.contains("resuming: "), "{}", resumed.stderr);
    expect_whole(&resumed.json());
    assert_eq!(place.facts(), whole.facts());
}

#[test]
fn what_was_killed_goes_on_and_comes_to_the_same() {
    let whole = Place::new();
    assert_eq!(whole.backfill(&[]).code, Some(0));
    let place = Place::new();
    for facts in [1, 60, 150] {
        let mut slow = place.start(&["--throttle", "20KiB/s"]);
        place.until_facts(&mut slow, facts);
        slow.signal("KILL");
        assert_eq!(slow.wait().code, None);
    }
    let resumed = place.backfill(&[]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
    expect_whole(&resumed.json());
    assert_eq!(place.facts(), whole.facts());
}

/// A server that dies in the middle and comes back costs time, and no record.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_the_ledger_too_and_may_die_on_the_way() {
    let mut server = server::Server::start();
    let place = Place::with_warehouse(&format!(
        "dialect: postgresql, url: '{}', tls: off",
        server.url("postgres")
    ));
    let slow = place.start(&["--throttle", "20KiB/s"]);
    let client = server.client("postgres").await;
    let count = "SELECT count(*) FROM cc_analytics.fact_interactions";
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let loaded = client.query_one(count, &[]).await;
        if loaded.is_ok_and(|row| row.get::<_, i64>(0) > 50) {
            break;
        }
        assert!(Instant::now() < end, "{}", slow.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill();
    server.restart();
    let run = tokio::task::spawn_blocking(|| slow.wait()).await.unwrap();
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    expect_whole(&run.json());
    let client = server.client("postgres").await;
    let view = "SELECT sum(records_loaded)::bigint, sum(fact_rows)::bigint \
                FROM cc_analytics.completeness_by_hour";
    let row = client.query_one(view, &[]).await.unwrap();
    let loaded = (HOURS * (RECORDS - 3)) as i64;
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1)),
        (loaded, loaded)
    );
}

/// New rows are told from those that were there, hour by hour, also where a staging table is between.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_new_rows_from_those_that_were_there() {
    let server = server::Server::start();
    let client = server.client("postgres").await;
    for staging in [false, true] {
        let place = Place::with_warehouse(&format!(
            "dialect: postgresql, url: '{}', tls: off, staging: {staging}, schema: s_{staging}",
            server.url("postgres")
        ));
        let told = |run: place::Ended| -> Vec<(u64, u64)> {
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            let summary = run.json();
            expect_whole(&summary);
            let hours = summary["hours"].as_array().unwrap().clone();
            let of = |hour: &serde_json::Value, name: &str| hour[name].as_u64().unwrap();
            let timed = hours.iter().filter(|hour| hour["hour"] != "no time");
            timed
                .map(|hour| (of(hour, "rows_written"), of(hour, "rows_unchanged")))
                .collect()
        };
        let all = vec![(RECORDS - 3, 0); HOURS as usize];
        assert_eq!(told(place.backfill(&[])), all, "staging: {staging}");
        // Another run, that knows nothing of the first: one hour is gone, and one row is older.
        std::fs::remove_dir_all(place.path("state")).unwrap();
        let change = format!(
            "SET search_path TO s_{staging}; \
             DELETE FROM fact_interactions WHERE event_timestamp < '2026-01-01 01:00'; \
             UPDATE fact_interactions SET event_timestamp = '2025-01-01' \
             WHERE event_timestamp = '2026-01-01 02:30'"
        );
        client.batch_execute(&change).await.unwrap();
        let mut due = vec![(0, RECORDS - 3); HOURS as usize];
        (due[0], due[2]) = ((RECORDS - 3, 0), (1, RECORDS - 4));
        assert_eq!(told(place.backfill(&[])), due, "staging: {staging}");
    }
}

#[test]
fn a_throttle_holds() {
    let place = Place::new();
    let begun = Instant::now();
    let run = place.backfill(&["--throttle", "20KiB/s", "--format", "text"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    // A second's worth may go at once.
    let least = place.bytes_in_range().saturating_sub(20 << 10) as f64 / f64::from(20 << 10);
    let took = begun.elapsed();
    assert!(
        took >= Duration::from_secs_f64(least * 0.8),
        "{took:?} {least}"
    );
    assert!(
        run.stdout.contains("2026-01-01T00:00Z") && run.stdout.contains('✓'),
        "{}",
        run.stdout
    );
}

#[test]
fn a_dry_run_lists_and_writes_nothing() {
    let place = Place::new();
    let run = place.backfill(&["--dry-run"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let objects = place.objects_in_range();
    assert!(
        run.stdout
            .contains(&format!("would read {objects} objects")),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("2026-01-01 "), "{}", run.stdout);
    assert!(!place.path("w.db").exists() && !place.path("state").exists());
}

#[test]
fn what_cannot_be_is_said_before_anything_is_done() {
    let place = Place::new();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let run = place.run(arguments);
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
    };
    refused(
        &["--from", "2026-01-02", "--to", "2026-01-01"],
        1,
        "the range is empty",
    );
    refused(&["--from", "soon", "--to", "2026-01-01"], 2, "write a date");
    let range = ["--from", "2026-01-01", "--to", "2026-01-02"];
    let with = |more: [&'static str; 2]| [range.as_slice(), &more].concat();
    refused(&with(["--source", "nobody"]), 1, "no source `nobody`");
    refused(&with(["--event-time", "a b"]), 1, "--event-time");
    refused(&with(["--throttle", "fast"]), 2, "write a rate");
    assert!(!place.path("w.db").exists() && !place.path("state").exists());
}

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path as FilePath;

use super::*;
use crate::config::{Fixed, parse};
use crate::graph::check::check;
use crate::observe::{Hour, HourCounts, Ledger};

/// 2026-01-01T00:00:00Z.
const FIRST: i64 = 490_896;

const YAML: &str = "
version: 1
name: p
state: { type: embedded, path: FOLDER/state }
dead_letter: { type: file, path: FOLDER/dead.ndjson }
sources:
  in: { type: file, path: 'FOLDER/in/*.ndjson', batch_events: 7 }
  other: { type: file, path: FOLDER/other.ndjson }
transforms:
  wanted: { type: filter, inputs: [in, other], where: { not: { path: .type, equals: test } } }
  way: { type: route, inputs: [wanted], routes: { kept: { path: .lost, exists: false } }, else: nobody }
  unique: { type: dedup, inputs: [way.kept], key: .event_id, window: 1h }
sinks:
  warehouse: { type: warehouse, inputs: [unique], path: FOLDER/w.db, buffer: { type: disk, path: FOLDER/b } }
";

fn pipeline(folder: &FilePath) -> Pipeline {
    let yaml = YAML.replace("FOLDER", &folder.display().to_string());
    let checked = check(&parse("p.yaml", &yaml, &Fixed::new()));
    let mut pipeline = checked
        .pipeline
        .unwrap_or_else(|| panic!("{:?}", checked.report));
    let path: Path = ".timestamp".parse().unwrap();
    prepare(&mut pipeline, "in", vec![path]);
    pipeline
}

/// Twenty records of each of `hours`; of each twenty one is filtered out, one goes nowhere, one is a
/// repeat and one is refused by the warehouse.
fn write(folder: &FilePath, name: &str, hours: std::ops::Range<i64>) {
    let mut text = String::new();
    for hour in hours {
        for n in 0..20 {
            let id = if n == 3 { 2 } else { n };
            let time = format!("2026-01-01T{hour:02}:{n:02}:00Z");
            let odd = match n {
                0 => r#","type":"test""#,
                1 => r#","lost":true"#,
                4 => r#","duration_seconds":"long""#,
                _ => "",
            };
            writeln!(
                text,
                r#"{{"event_id":"{hour}-{id}","interaction_id":"i","timestamp":"{time}"{odd}}}"#
            )
            .unwrap();
        }
    }
    text.push_str("no json\n");
    fs::create_dir_all(folder.join("in")).unwrap();
    fs::write(folder.join("in").join(name), text).unwrap();
}

async fn run_once(folder: &FilePath) -> (BTreeMap<Hour, HourCounts>, Hours, Ledger) {
    let pipeline = pipeline(folder);
    let observer = Observer::new("p");
    let store = crate::graph::run::open_store(&pipeline).await.unwrap();
    let never = std::future::pending();
    backfill(pipeline, &observer, store, never).await.unwrap();
    let ledger = observer.ledger();
    assert_eq!(ledger.adds_up(), Ok(()));
    let source = observer.node("in", crate::observe::NodeKind::Source, "file");
    let hours = source.hours().unwrap().clone();
    (hours.read(), hours, ledger)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_accounted_for_in_its_hour_and_a_second_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("other.ndjson"), "{\"never\":\"read\"}\n").unwrap();
    write(folder, "a.ndjson", 0..3);
    let (hours, all, ledger) = run_once(folder).await;
    let expected = HourCounts {
        read: 20,
        loaded: 16,
        dropped: 3,
        refused: 1,
        rows_written: 16,
        ..HourCounts::default()
    };
    for hour in 0..3 {
        assert_eq!(hours[&Hour::At(FIRST + hour)], expected, "hour {hour}");
    }
    let unknown = hours[&Hour::Unknown];
    assert_eq!(
        (unknown.read, unknown.refused, unknown.unexplained),
        (1, 1, 0)
    );
    assert_eq!(hours.len(), 4);
    let ids = all.loaded_ids().unwrap();
    assert_eq!(ids, (0..3).map(|hour| (FIRST + hour, 16)).collect());
    assert_eq!(ledger.whole.received, 61, "the other source is not read");
    assert!(
        !folder.join("b").exists(),
        "a backfill needs no buffer on disk"
    );

    // The same command again finds one more file, and its figures are added.
    write(folder, "b.ndjson", 2..4);
    let (hours, all, ledger) = run_once(folder).await;
    assert_eq!(ledger.whole.received, 41);
    assert_eq!(hours[&Hour::At(FIRST)], expected);
    assert_eq!(hours[&Hour::At(FIRST + 3)], expected);
    // What was delivered is a repeat, and so is what the dead letters hold.
    let twice = hours[&Hour::At(FIRST + 2)];
    assert_eq!(
        (twice.read, twice.loaded, twice.dropped, twice.refused),
        (40, 16, 23, 1)
    );
    assert_eq!(all.loaded_ids().unwrap(), BTreeMap::from([(FIRST + 3, 16)]));
}

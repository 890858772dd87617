use super::*;
use crate::observe::RunState;

/// 2026-01-01T00:00:00Z.
const FIRST: i64 = 490_896;

fn counts(read: u64, loaded: u64, refused: u64) -> HourCounts {
    HourCounts {
        read,
        loaded,
        refused,
        unexplained: read - loaded - refused,
        ..HourCounts::default()
    }
}

fn summary(hours: impl IntoIterator<Item = (Hour, HourCounts)>) -> Summary {
    let observer = Observer::new("p");
    observer.set_state(RunState::Stopped);
    let aimed = Aimed {
        source: "exports".into(),
        state: "data/state/backfill".into(),
    };
    let day = 86_400_000_000;
    let range = Range::new(20_454 * day, 20_455 * day).unwrap();
    let mut summary = Summary::new("p", &aimed, &range, &observer, false);
    summary.hours = hours.into_iter().collect();
    summary.check();
    summary
}

#[test]
fn what_is_accounted_for_reconciles_and_what_is_not_is_named() {
    let good = summary([
        (Hour::At(FIRST), counts(120, 118, 2)),
        (Hour::Unknown, counts(1, 0, 1)),
    ]);
    assert!(good.is_good());
    let text = good.render(false);
    assert!(
        text.contains("2026-01-01T00:00Z") && text.contains("no time"),
        "{text}"
    );
    assert!(
        text.contains("read 121 records = loaded 118 + refused 3"),
        "{text}"
    );

    let bad = summary([(Hour::At(FIRST + 1), counts(120, 117, 2))]);
    assert!(!bad.is_good());
    let text = bad.render(false);
    assert!(
        text.contains("✗ 2026-01-01T01:00Z: read 120, unexplained 1"),
        "{text}"
    );
    assert!(bad.render(true).contains("\u{1b}[1m\u{1b}[31m"));
    let json: Json = serde_json::from_str(&bad.to_json()).unwrap();
    assert_eq!(json["reconciles"], false);
    assert_eq!(json["hours"][0]["hour"], "2026-01-01T01:00Z");
    assert_eq!(json["hours"][0]["unexplained"], 1);
}

#[test]
fn a_warehouse_has_at_least_what_was_loaded() {
    let mut summary = summary([(Hour::At(FIRST), counts(3, 3, 0))]);
    summary.expected = Some(BTreeMap::from([(FIRST, 2), (FIRST + 5, 1)]));
    assert_eq!(summary.span(), Some((FIRST, FIRST + 5)));
    let sink: Arc<str> = "w".into();
    // The live run has written more: that is no mistake.
    let facts = BTreeMap::from([(FIRST, 9), (FIRST + 5, 1)]);
    summary.found(Found {
        sink: sink.clone(),
        facts,
    });
    assert!(summary.is_good());
    let facts = BTreeMap::from([(FIRST, 1), (FIRST + 5, 1)]);
    summary.found(Found { sink, facts });
    assert_eq!(summary.wrong.len(), 1);
    let text = summary.render(false);
    assert!(
        text.contains("loaded 2 different events, and `w` has 1 of that hour"),
        "{text}"
    );
}

#[test]
fn long_ranges_are_shown_by_the_day() {
    let hours = (0..24 * 4).map(|hour| (Hour::At(FIRST + hour), counts(10, 10, 0)));
    let summary = summary(hours);
    let rows = summary.rows();
    let labels: Vec<_> = rows
        .iter()
        .map(|row| (row.0.as_str(), row.1.read))
        .collect();
    assert_eq!(labels[..2], [("2026-01-01", 240), ("2026-01-02", 240)]);
    assert_eq!(rows.len(), 4);
}

#[test]
fn many_mistakes_are_not_listed_one_by_one() {
    let hours = (0..100).map(|hour| (Hour::At(FIRST + hour), counts(1, 0, 0)));
    let summary = summary(hours);
    assert_eq!(summary.wrong.len(), MOST_WRONG + 1);
    assert_eq!(summary.wrong[MOST_WRONG], "and 80 more hours");
}

use super::*;
use crate::observe::{NodeKind, Observer, RunState};

fn quickstart() -> Observer {
    let observer = Observer::new("quickstart");
    let source = observer.node("exports", NodeKind::Source, "file");
    let unique = observer.node("unique", NodeKind::Transform, "dedup");
    let ordered = observer.node("ordered", NodeKind::Transform, "causal_reorder");
    let sink = observer.node("warehouse", NodeKind::Sink, "warehouse");
    source.received(4_210, 0);
    source.delivered(4_210, 0);
    unique.received(4_210, 0);
    unique.dropped("duplicate", 260);
    unique.delivered(3_950, 0);
    ordered.received(3_950, 0);
    ordered.label("late", 12);
    ordered.delivered(3_950, 0);
    sink.received(3_950, 0);
    sink.dead_lettered("schema", 150);
    sink.delivered(3_800, 0);
    sink.retried(1_000);
    observer
}

fn ledger(observer: &Observer) -> Ledger {
    let mut ledger = observer.ledger();
    ledger.seconds = 1.24;
    ledger
}

#[test]
fn a_run_that_adds_up() {
    let observer = quickstart();
    observer.set_state(RunState::Stopped);
    let expected = "\
quickstart: stopped after 1.2 s

node       received  delivered  dropped  dead-lettered
exports       4,210      4,210        0              0
unique        4,210      3,950      260              0
    dropped duplicate: 260
ordered       3,950      3,950        0              0
    labelled late: 12
warehouse     3,950      3,800        0            150
    dead-lettered schema: 150
    retries: 1,000
──────────────────────────────────────────────────────
the whole     4,210      3,800      260            150

received 4,210 = delivered 3,800 + dropped 260 + dead-lettered 150 ✓
";
    assert_eq!(ledger(&observer).render(100, false), expected);
}

#[test]
fn a_run_that_does_not_add_up_says_where_and_by_how_much() {
    let observer = quickstart();
    observer
        .node("ordered", NodeKind::Transform, "")
        .received(1_001, 0);
    observer
        .node("exports", NodeKind::Source, "")
        .delivered(2, 0);
    observer
        .node("exports", NodeKind::Source, "")
        .received(1, 0);
    observer.set_state(RunState::Stopped);
    let text = ledger(&observer).render(100, false);
    let last: Vec<&str> = text.lines().rev().take(3).collect();
    assert_eq!(
        last,
        [
            "ordered: received 4,951 = delivered 3,950 + held 1,001 ✗ does not add up by 1,001",
            "exports: received 4,211 = delivered 4,212 ✗ does not add up by 1",
            "received 4,211 = delivered 3,800 + dropped 260 + dead-lettered 150 + held 1 \
             ✗ does not add up by 1",
        ]
    );
    assert!(
        text.contains("held"),
        "the column appears when it has something to say"
    );
}

#[test]
fn a_narrow_terminal_cuts_names_and_no_figure() {
    let observer = Observer::new("p");
    let name = "a_name_that_is_much_longer_than_any_terminal_would_like_to_show";
    observer
        .node(name, NodeKind::Source, "file")
        .received(1_234_567, 0);
    let text = observer.ledger().render(70, false);
    let row = text
        .lines()
        .find(|line| line.contains("1,234,567"))
        .unwrap();
    assert!(
        row.starts_with("a_name_that_") && row.contains('…'),
        "{row}"
    );
    assert!(
        text.lines().all(|line| line.chars().count() <= 70),
        "{text}"
    );
    // No width at all must still give a table.
    assert!(observer.ledger().render(0, false).contains("1,234,567"));
}

#[test]
fn a_reason_cannot_write_to_the_terminal() {
    let observer = Observer::new("p");
    let node = observer.node("n", NodeKind::Sink, "x");
    node.dead_lettered("\x1b[2J\nreceived 0 = delivered 0 ✓", 1);
    let text = observer.ledger().render(80, false);
    assert!(!text.contains('\x1b'));
    assert!(
        text.contains("    dead-lettered \u{fffd}[2J\u{fffd}received"),
        "{text}"
    );
}

#[test]
fn colours_are_closed_on_every_line_and_add_nothing_else() {
    let observer = quickstart();
    observer.set_state(RunState::Stopped);
    let plain = ledger(&observer).render(100, false);
    let colour = ledger(&observer).render(100, true);
    assert!(!plain.contains('\x1b'));
    let mut stripped = String::new();
    for line in colour.lines() {
        let opened = line.matches("\x1b[").count();
        assert!(opened == 0 || line.ends_with("\x1b[0m"), "{line:?}");
        let mut rest = line;
        while let Some(at) = rest.find("\x1b[") {
            stripped.push_str(&rest[..at]);
            rest = &rest[at + rest[at..].find('m').unwrap() + 1..];
        }
        stripped.push_str(rest);
        stripped.push('\n');
    }
    assert_eq!(stripped, plain);
}

#[test]
fn separators_stand_between_groups_of_three() {
    let cases = [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (1_234_567, "1,234,567"),
    ];
    for (n, text) in cases {
        assert_eq!(thousands(n), text);
    }
    assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
    assert_eq!(grouped(-1_234), "-1,234");
    assert_eq!(grouped(-123), "-123");
}

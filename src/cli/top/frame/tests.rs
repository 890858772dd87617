use super::*;
use crate::cli::top::reading::{Pipeline, shown, tests::readings};

fn all() -> Vec<Shown> {
    let [before, now] = readings();
    shown(&before, &now)
}

fn text(lines: &[Line], width: usize) -> String {
    let lines = lines.iter().map(|line| line.render(width, false) + "\n");
    lines.collect()
}

fn drawn(shown: &[Shown], choice: &mut Choice, size: (usize, usize)) -> String {
    text(&screen(shown, choice, "http://here", None, size), size.0)
}

const WIDE: &str = "\
calls  running  0:00:11  in 5,000/s  out 1,500/s  held 700  http://here
! breaker_open out: the circuit breaker of `acme` is open
NODE         TYPE             IN/S  OUT/S    P50     P99  BUFFER             HELD  DROPPED  DEAD  RETRIES  BREAKER  REASONS
in           stdin           5,000  5,000
unique       dedup           5,000  1,500                                            7,000                          duplicate 6,000, filtered 1,000
out          open_messaging  1,500    3.0  10 ms  100 ms  █████▎░░  65% 650   700              7        4  open     schema 7
dead_letter  file                0      0

KEY     WAITING   OLDEST         BUDGET  BREAKER    NODE
acme        650   75.5 s         12/300  open       out
q quit  p pause  s sort: flow  ↑↓ scroll  Tab 1/2
";

#[test]
fn a_screen_shows_every_figure() {
    let shown = drawn(&all(), &mut Choice::default(), (160, 40));
    assert_eq!(shown, WIDE, "\n{shown}");
}

const NARROW: &str = "\
calls  running  0:00:11  in 5,000/s  ou…
! breaker_open out: the circuit breaker…
NODE          IN/S  OUT/S     P99  DEAD
in           5,000  5,000
unique       5,000  1,500
out          1,500    3.0  100 ms     7
dead_letter      0      0

KEY     WAITING   OLDEST         BUDGET…
acme        650   75.5 s         12/300…
q quit  p pause  s sort: flow  ↑↓ scrol…
";

#[test]
fn a_narrow_terminal_loses_columns_and_no_lines() {
    let shown = drawn(&all(), &mut Choice::default(), (40, 40));
    assert_eq!(shown, NARROW, "\n{shown}");
    for width in 0..170 {
        let shown = drawn(&all(), &mut Choice::default(), (width, 40));
        assert_eq!(shown.lines().count(), 11, "{width} columns");
        assert!(
            shown.lines().all(|line| line.width() <= width),
            "{width} columns"
        );
    }
}

#[test]
fn a_low_terminal_scrolls_and_never_past_the_end() {
    let (all, mut choice) = (all(), Choice::default());
    let body = |choice: &mut Choice| {
        let shown = drawn(&all, choice, (160, 7));
        assert_eq!(shown.lines().count(), 7, "{shown}");
        let lines = shown.lines().skip(3).take(3);
        let names: Vec<_> = lines
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect();
        (names.join(" "), shown.contains("↓ 4 more"))
    };
    assert_eq!(body(&mut choice), ("in unique out".into(), true));
    choice.press(Key::Down, 2);
    assert_eq!(body(&mut choice).0, "unique out dead_letter");
    choice.press(Key::PageDown, 2);
    assert_eq!(body(&mut choice).0, " KEY acme");
    choice.press(Key::PageDown, 2);
    choice.press(Key::End, 2);
    assert_eq!(body(&mut choice).0, " KEY acme");
    choice.press(Key::Up, 2);
    assert_eq!(body(&mut choice).0, "dead_letter  KEY");
    choice.press(Key::Home, 2);
    assert_eq!(body(&mut choice).0, "in unique out");
    for height in 0..20 {
        let lines = screen(&all, &mut choice, "", None, (80, height));
        assert!(lines.len() <= height.max(5), "{height}: {}", lines.len());
    }
}

#[test]
fn the_order_and_the_pipeline_are_chosen_by_keys() {
    let (all, mut choice) = (all(), Choice::default());
    let first = |choice: &mut Choice| {
        let shown = drawn(&all, choice, (160, 40));
        shown
            .lines()
            .nth(3)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut firsts = vec![first(&mut choice)];
    for _ in 0..7 {
        choice.press(Key::Sort, 2);
        firsts.push(first(&mut choice));
    }
    // Flow, in, out, p99, buffer, dropped, name, and flow again.
    assert_eq!(
        firsts,
        [
            "in",
            "in",
            "in",
            "out",
            "out",
            "unique",
            "dead_letter",
            "in"
        ]
    );
    choice.press(Key::Next, 2);
    let other = drawn(&all, &mut choice, (160, 40));
    assert!(
        other.starts_with("other  failed: the disk is full"),
        "{other}"
    );
    choice.press(Key::Previous, 2);
    assert_eq!(choice.pipeline, 0);
    choice.press(Key::Pause, 2);
    assert!(drawn(&all, &mut choice, (160, 40)).ends_with("PAUSED\n"));
    assert!(!choice.press(Key::Quit, 2));
}

#[test]
fn a_process_that_is_gone_is_told_above_what_it_said_last() {
    let lines = screen(
        &all(),
        &mut Choice::default(),
        "",
        Some("x does not answer"),
        (80, 40),
    );
    let shown = text(&lines, 80);
    assert!(
        shown.starts_with("x does not answer; trying again\ncalls  running"),
        "{shown}"
    );
    let empty = text(
        &screen(&[], &mut Choice::default(), "here", None, (80, 40)),
        80,
    );
    assert!(
        empty.starts_with("no pipeline runs at here\nq quit"),
        "{empty}"
    );
}

#[test]
fn nothing_reaches_the_terminal_as_a_command() {
    let hostile = "\u{1b}]0;x\u{7}\u{202e}\n";
    let text = serde_json::json!([{
        "name": hostile, "state": hostile, "reason": hostile,
        "alerts": [{"name": hostile, "node": hostile, "message": hostile}],
        "nodes": [{"name": hostile, "component": hostile, "dropped": {hostile: 1},
                   "breaker": {"state": hostile},
                   "keys": [{"key": hostile, "breaker": hostile}]}],
    }]);
    let read: Vec<Pipeline> = serde_json::from_value(text).unwrap();
    let shown = shown(&[], &read);
    let lines = [
        screen(
            &shown,
            &mut Choice::default(),
            hostile,
            Some(hostile),
            (200, 40),
        ),
        whole(&shown[0], 200),
    ]
    .concat();
    for line in lines {
        let line = line.render(200, false);
        assert!(
            !line.chars().any(char::is_control) && !line.contains('\u{202e}'),
            "{line:?}"
        );
    }
}

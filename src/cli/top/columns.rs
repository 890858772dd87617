//! The table of nodes: as many columns as the terminal has room for.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::frame::{Line, cut};
use super::reading::Row;
use crate::cli::table::tame;
use crate::observe::thousands;

/// Between two columns.
const GAP: usize = 2;
/// Longest name that is shown.
const NAME: usize = 28;
/// Cells of a bar.
const BAR: usize = 8;
/// What is left for the reasons, at least; with less there are none.
const REASONS: usize = 12;
/// From here on a buffer is shown as nearly full.
const NEARLY_FULL: f64 = 0.8;

/// A column: its title, whether it is kept longer than others where there is little room (the
/// smallest is kept longest), and what it says of a node.
struct Column {
    title: &'static str,
    keep: usize,
    cell: fn(&Row) -> (String, Style),
}

const COLUMNS: [Column; 12] = [
    Column {
        title: "NODE",
        keep: 0,
        cell: |row| (cut(&tame(&row.name), NAME), Style::new().bold()),
    },
    Column {
        title: "TYPE",
        keep: 11,
        cell: |row| (cut(&tame(&row.component), 18), Style::new().dimmed()),
    },
    Column {
        title: "IN/S",
        keep: 1,
        cell: |row| (rate(row.into), Style::new()),
    },
    Column {
        title: "OUT/S",
        keep: 2,
        cell: |row| (rate(row.out), Style::new()),
    },
    Column {
        title: "P50",
        keep: 9,
        cell: |row| (time(row.p50), Style::new()),
    },
    Column {
        title: "P99",
        keep: 4,
        cell: |row| (time(row.p99), Style::new()),
    },
    Column {
        title: "BUFFER",
        keep: 3,
        cell: buffer,
    },
    Column {
        title: "HELD",
        keep: 10,
        cell: |row| (count(u64::try_from(row.held).unwrap_or(0)), Style::new()),
    },
    Column {
        title: "DROPPED",
        keep: 5,
        cell: |row| (count(row.dropped_total()), Style::new()),
    },
    Column {
        title: "DEAD",
        keep: 6,
        cell: |row| {
            let dead = row.dead_total();
            let style = match dead {
                0 => Style::new(),
                _ => AnsiColor::Yellow.on_default(),
            };
            (count(dead), style)
        },
    },
    Column {
        title: "RETRIES",
        keep: 8,
        cell: |row| (count(row.retries), Style::new()),
    },
    Column {
        title: "BREAKER",
        keep: 7,
        cell: breaker,
    },
];

/// Names and types are read from the left, figures from the right.
fn is_word(title: &str) -> bool {
    matches!(title, "NODE" | "TYPE" | "BUFFER" | "BREAKER")
}

/// The head, and a line for each node. Of a narrow terminal columns are lost, never lines.
pub(super) fn lines(rows: &[&Row], width: usize) -> (Line, Vec<Line>) {
    let cells: Vec<Vec<_>> = rows
        .iter()
        .map(|row| COLUMNS.iter().map(|column| (column.cell)(row)).collect())
        .collect();
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let widest = cells.iter().map(|row| row[at].0.width()).max();
            column.title.width().max(widest.unwrap_or(0))
        })
        .collect();
    let (kept, left) = fitting(&widths, width);
    let mut head = Line::default();
    let strong = Style::new().bold();
    for (place, at) in kept.iter().enumerate() {
        let title = COLUMNS[*at].title;
        head.push(placed(title, widths[*at], title, place), strong);
    }
    if left >= REASONS {
        head.push("  REASONS", strong);
    }
    let line = |(row, cells): (&&Row, &Vec<(String, Style)>)| {
        let mut line = Line::default();
        for (place, at) in kept.iter().enumerate() {
            let (text, style) = &cells[*at];
            let text = placed(text, widths[*at], COLUMNS[*at].title, place);
            line.push(text, *style);
        }
        if left >= REASONS {
            line.push(cut(&format!("  {}", reasons(row)), left), Style::new());
        }
        line
    };
    (head, rows.iter().zip(&cells).map(line).collect())
}

/// A cell with the gap in front of it.
fn placed(text: &str, width: usize, title: &str, place: usize) -> String {
    let gap = " ".repeat(if place == 0 { 0 } else { GAP });
    let fill = " ".repeat(width.saturating_sub(text.width()));
    match is_word(title) {
        true => format!("{gap}{text}{fill}"),
        false => format!("{gap}{fill}{text}"),
    }
}

/// The columns that there is room for, the most important first served, and what is left beside them.
fn fitting(widths: &[usize], width: usize) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..widths.len()).collect();
    order.sort_by_key(|at| COLUMNS[*at].keep);
    let (mut kept, mut used) = (Vec::new(), 0);
    for at in order {
        let wide = widths[at] + if kept.is_empty() { 0 } else { GAP };
        // The name is there however little room there is.
        if kept.is_empty() || used + wide <= width {
            kept.push(at);
            used += wide;
        }
    }
    kept.sort_unstable();
    (kept, width.saturating_sub(used))
}

/// Why events did not go on, most often first.
fn reasons(row: &Row) -> String {
    let all = row.dropped.iter().chain(&row.dead_lettered);
    let mut all: Vec<_> = all.filter(|(_, n)| **n > 0).collect();
    all.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    let told = all.iter().take(8);
    let told: Vec<_> = told
        .map(|(why, n)| format!("{} {}", tame(why), thousands(**n)))
        .collect();
    told.join(", ")
}

/// Keys with limits of their own that somebody should look at, below a head.
pub(super) fn keys(rows: &[&Row], width: usize) -> Vec<Line> {
    let all = rows
        .iter()
        .flat_map(|row| row.keys.iter().map(|key| (&row.name, key)));
    let all: Vec<_> = all.collect();
    if all.is_empty() {
        return Vec::new();
    }
    let names = all.iter().map(|(_, key)| tame(&key.key).width());
    let named = names.max().unwrap_or(0).clamp(3, NAME);
    let head = format!(
        "{:named$}  {:>9}  {:>7}  {:>13}  {:9}  NODE",
        "KEY", "WAITING", "OLDEST", "BUDGET", "BREAKER"
    );
    let mut lines = vec![Line::default(), Line::styled(head, Style::new().bold())];
    for (node, key) in all {
        let name = cut(&tame(&key.key), named);
        let fill = " ".repeat(named.saturating_sub(name.width()));
        let budget = match key.allowed {
            0 => String::new(),
            allowed => format!("{}/{}", count(key.used), count(allowed)),
        };
        let (waiting, oldest) = (count(key.waiting), time(Some(key.oldest)));
        let mut line = Line::plain(format!(
            "{name}{fill}  {waiting:>9}  {oldest:>7}  {budget:>13}  "
        ));
        let state = key.breaker.as_deref().unwrap_or("");
        line.push(format!("{:9}", cut(&tame(state), 9)), standing(state));
        line.push(cut(&format!("  {}", tame(node)), width), Style::new());
        lines.push(line);
    }
    lines
}

fn buffer(row: &Row) -> (String, Style) {
    let (Some(fill), Some(buffer)) = (row.fill, row.buffer) else {
        return (String::new(), Style::new());
    };
    let style = match fill {
        full if full >= NEARLY_FULL => AnsiColor::Red.on_default(),
        half if half >= NEARLY_FULL / 2.0 => AnsiColor::Yellow.on_default(),
        _ => AnsiColor::Green.on_default(),
    };
    let percent = (fill * 100.0).round();
    (
        format!("{} {percent:>3}% {}", bar(fill), count(buffer.events)),
        style,
    )
}

/// Eighths of cells, so that little is not nothing.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
#[allow(clippy::cast_precision_loss)]
fn bar(fill: f64) -> String {
    const PARTS: [char; 8] = ['░', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (fill * (BAR * 8) as f64).ceil() as usize;
    let (cells, rest) = (eighths / 8, eighths % 8);
    let mut bar = "█".repeat(cells.min(BAR));
    if cells < BAR {
        bar.push(PARTS[rest]);
        bar.push_str(&"░".repeat(BAR - cells - 1));
    }
    bar
}

fn breaker(row: &Row) -> (String, Style) {
    let Some(breaker) = &row.breaker else {
        return (String::new(), Style::new());
    };
    let style = standing(&breaker.state);
    match (breaker.state.as_str(), breaker.open) {
        ("open", open) if open > 1 => (format!("{open} open"), style),
        (state, _) => (cut(&tame(state), 9), style),
    }
}

fn standing(breaker: &str) -> Style {
    match breaker {
        "open" => AnsiColor::Red.on_default().bold(),
        "half_open" => AnsiColor::Yellow.on_default(),
        _ => Style::new().dimmed(),
    }
}

/// Nothing where there is nothing: zeros hide what is not zero.
fn count(n: u64) -> String {
    match n {
        0 => String::new(),
        n => thousands(n),
    }
}

/// Events a second: `1,234`, `3.5`, `–` where it is not known.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "–".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(few) if few < 10.0 => format!("{few:.1}"),
        Some(many) => thousands(many.round() as u64),
    }
}

/// A time in seconds with three digits or so.
fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => String::new(),
        Some(0.0) => "0".to_owned(),
        Some(s) if s < 0.001 => format!("{:.0} µs", s * 1e6),
        Some(s) if s < 0.01 => format!("{:.1} ms", s * 1e3),
        Some(s) if s < 1.0 => format!("{:.0} ms", s * 1e3),
        Some(s) if s < 120.0 => format!("{s:.1} s"),
        Some(s) => lasted(s),
    }
}

/// `1:02:03`, with days in front where there are any.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn lasted(seconds: f64) -> String {
    let all = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (all / 86_400, all / 3_600 % 24, all / 60 % 60);
    match days {
        0 => format!("{hours}:{minutes:02}:{:02}", all % 60),
        _ => format!("{days}d {hours:02}:{minutes:02}:{:02}", all % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_they_are_full() {
        assert_eq!(bar(0.0), "░░░░░░░░");
        assert_eq!(bar(0.5), "████░░░░");
        assert_eq!(bar(1.0), "████████");
        assert_eq!(bar(0.001), "▏░░░░░░░", "little is not nothing");
        for fill in 0..=100 {
            assert_eq!(bar(f64::from(fill) / 100.0).width(), BAR);
        }
    }

    #[test]
    fn figures_are_short() {
        let rates = [None, Some(0.0), Some(3.46), Some(12_345.6)].map(rate);
        assert_eq!(rates, ["–", "0", "3.5", "12,346"]);
        let times = [0.000_05, 0.001_2, 0.25, 75.5, 7_384.0].map(|s| time(Some(s)));
        assert_eq!(times, ["50 µs", "1.2 ms", "250 ms", "75.5 s", "2:03:04"]);
        assert_eq!(lasted(90_061.0), "1d 01:01:01");
    }

    #[test]
    fn narrow_terminals_lose_columns_and_the_name_last() {
        let widths = [10; COLUMNS.len()];
        let titles = |width| {
            let (kept, _) = fitting(&widths, width);
            kept.iter().map(|at| COLUMNS[*at].title).collect::<Vec<_>>()
        };
        assert_eq!(titles(500).len(), COLUMNS.len());
        assert_eq!(titles(60), ["NODE", "IN/S", "OUT/S", "P99", "BUFFER"]);
        assert_eq!(titles(22), ["NODE", "IN/S"]);
        assert_eq!(titles(3), ["NODE"]);
    }
}

//! The hours of a backfill as a table for the terminal.

use anstyle::{AnsiColor, Style};

use crate::observe::HourCounts;

/// Where everything is accounted for.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Where it is not.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// An hour or a day, its figures, and how many facts a warehouse has of it.
pub(super) type Row = (String, HourCounts, Option<u64>);

/// A column: its title, its figure, and whether it stays when it is zero throughout.
type Column = (&'static str, fn(&Row) -> Option<u64>, bool);

const COLUMNS: [Column; 9] = [
    ("READ", |row| Some(row.1.read), true),
    ("LOADED", |row| Some(row.1.loaded), true),
    ("WRITTEN", |row| Some(row.1.rows_written), false),
    ("SAME", |row| Some(row.1.rows_unchanged), false),
    ("ELSEWHERE", |row| Some(row.1.elsewhere), false),
    ("DROPPED", |row| Some(row.1.dropped), true),
    ("REFUSED", |row| Some(row.1.refused), true),
    ("UNEXPLAINED", |row| Some(row.1.unexplained), false),
    ("FACTS THERE", |row| row.2, false),
];

/// Names to the left, figures to the right, and a mark that does not need colours.
pub(super) fn render(rows: &[Row], colour: bool) -> String {
    let shown = |column: &&Column| column.2 || rows.iter().any(|row| column.1(row) > Some(0));
    let columns: Vec<&Column> = COLUMNS.iter().filter(shown).collect();
    let label = rows.iter().map(|row| row.0.chars().count()).max();
    let label = label.unwrap_or(0).max("HOUR".len());
    let cell = |figure: Option<u64>| figure.map_or(String::new(), |figure| figure.to_string());
    let width = |column: &Column| {
        let widths = rows.iter().map(|row| cell(column.1(row)).len());
        widths.chain([column.0.len()]).max().unwrap_or(0)
    };
    let line = |name: &str, cells: &mut dyn Iterator<Item = (String, usize)>, mark: &str| {
        let cells = cells.map(|(cell, width)| format!("  {cell:>width$}"));
        let text = format!("{name:<label$}{}  {mark}", cells.collect::<String>());
        text.trim_end().to_owned()
    };
    let paint = |style: Style, text: &str| match colour {
        true => format!("{style}{text}{style:#}\n"),
        false => format!("{text}\n"),
    };
    let mut head = columns
        .iter()
        .map(|column| (column.0.to_owned(), width(column)));
    let mut text = paint(Style::new().bold(), &line("HOUR", &mut head, ""));
    for row in rows {
        let (style, mark) = match row.1.unexplained {
            0 => (Style::new(), "✓"),
            _ => (BAD, "✗"),
        };
        let mut cells = columns
            .iter()
            .map(|column| (cell(column.1(row)), width(column)));
        text.push_str(&paint(style, &line(&row.0, &mut cells, mark)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_below_their_titles_and_columns_of_zeros_are_left_out() {
        let counts = |read, unexplained| HourCounts {
            read,
            loaded: read - unexplained,
            unexplained,
            ..HourCounts::default()
        };
        let good = ("2026-01-01T00:00Z".to_owned(), counts(120, 0), Some(7));
        let bad = ("no time".to_owned(), counts(3, 1), None);
        let text = render(&[good.clone(), bad], false);
        let expected = "\
HOUR               READ  LOADED  DROPPED  REFUSED  UNEXPLAINED  FACTS THERE
2026-01-01T00:00Z   120     120        0        0            0            7  ✓
no time               3       2        0        0            1               ✗
";
        assert_eq!(text, expected);
        assert!(!render(&[good], true).contains("UNEXPLAINED"));
    }
}

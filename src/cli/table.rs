//! Tables of commands that list things.

use anstyle::{AnsiColor, Style};

/// Widest cell.
const CELL: usize = 48;

/// Rows below a head; each column as wide as its widest cell.
pub(super) struct Table<const N: usize> {
    head: [&'static str; N],
    rows: Vec<([String; N], Style)>,
    colour: bool,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&'static str; N], colour: bool) -> Self {
        Self {
            head,
            rows: Vec::new(),
            colour,
        }
    }

    /// Adds a row. Cells are shown as a terminal may show them.
    pub(super) fn push(&mut self, cells: [String; N]) {
        self.push_styled(cells, Style::new());
    }

    /// Adds a row that stands out, in this style where there are colours.
    pub(super) fn push_styled(&mut self, cells: [String; N], style: Style) {
        let style = if self.colour { style } else { Style::new() };
        self.rows
            .push((cells.map(|cell| short(&tame(&cell))), style));
    }

    pub(super) fn render(&self) -> String {
        let mut widths = self.head.map(|name| name.chars().count());
        for (row, _) in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: &[String; N], style: Style| {
            let cells = cells.iter().zip(widths);
            let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
            let text = padded.collect::<Vec<_>>().join("  ");
            format!("{style}{}{style:#}\n", text.trim_end())
        };
        let strong = match self.colour {
            true => AnsiColor::Green.on_default().bold(),
            false => Style::new(),
        };
        let head = line(&self.head.map(str::to_owned), strong);
        let rows = self.rows.iter().map(|(cells, style)| line(cells, *style));
        rows.fold(head, |text, row| text + &row)
    }
}

/// The end of a path says more than its beginning.
fn short(cell: &str) -> String {
    match cell.chars().count() {
        0..=CELL => cell.to_owned(),
        long => {
            let end: String = cell.chars().skip(long - CELL + 1).collect();
            format!("…{end}")
        }
    }
}

/// Text from outside as a terminal may show it: one line, and nothing that a terminal obeys.
pub(super) fn tame(text: &str) -> String {
    let safe = |c: char| match c {
        c if c.is_control() || crate::diagnostic::is_direction(c) => '\u{b7}',
        c => c,
    };
    text.chars().map(safe).collect()
}

/// `1.5 MiB`.
pub(super) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = count as f64;
    let mut unit = "B";
    for larger in units {
        if shown < 1024.0 {
            break;
        }
        (shown, unit) = (shown / 1024.0, larger);
    }
    match unit {
        "B" => format!("{count} B"),
        _ => format!("{shown:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_reaches_the_terminal_as_a_command() {
        let mut table = Table::new(["A", "LONGER"], false);
        table.push(["x".into(), "\u{1b}[31mred\n".into()]);
        table.push_styled(["y".repeat(60), "z".into()], AnsiColor::Red.on_default());
        let text = table.render();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1].trim_start_matches('x').trim(), "·[31mred·");
        assert_eq!(lines[2], format!("…{}  z", "y".repeat(47)));
        assert_eq!(lines[0].find("LONGER"), Some(CELL + 2));
        let mut coloured = Table::new(["A"], true);
        coloured.push_styled(["x".into()], AnsiColor::Red.on_default());
        assert!(coloured.render().contains("\u{1b}[31mx"));
    }

    #[test]
    fn sizes_are_short() {
        let shown = [0, 1023, 1024, 1536 << 10, 5 << 40].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 TiB"]);
    }
}

//! The ledger as a table for the terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::ledger::{Counts, Ledger};

/// Between two columns.
const GAP: usize = 2;
/// Names are cut to fit the width, but never below this.
const LEAST_NAME: usize = 12;

/// A column of figures: its title, its figure, and whether it is shown when it is zero throughout.
struct Column {
    title: &'static str,
    figure: fn(&Counts) -> i128,
    always: bool,
}

const COLUMNS: [Column; 7] = [
    Column {
        title: "received",
        figure: |c| c.received.into(),
        always: true,
    },
    Column {
        title: "created",
        figure: |c| c.created.into(),
        always: false,
    },
    Column {
        title: "delivered",
        figure: |c| c.delivered.into(),
        always: true,
    },
    Column {
        title: "dropped",
        figure: |c| c.dropped_total().into(),
        always: true,
    },
    Column {
        title: "dead-lettered",
        figure: |c| c.dead_lettered_total().into(),
        always: true,
    },
    Column {
        title: "given back",
        figure: |c| c.given_back.into(),
        always: false,
    },
    Column {
        title: "held",
        figure: |c| c.held.into(),
        always: false,
    },
];

/// `n` with a comma between groups of three digits.
#[must_use]
pub fn thousands(n: u64) -> String {
    grouped(n.into())
}

fn grouped(n: i128) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if n < 0 {
        text.push('-');
    }
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `text` without control characters (a reason may come from a remote system, and must not move the
/// cursor), cut to `width` characters.
fn cell(text: &str, width: usize) -> String {
    let clean = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c });
    if text.chars().count() <= width {
        clean.collect()
    } else {
        clean.take(width.saturating_sub(1)).chain(['…']).collect()
    }
}

struct Painter {
    text: String,
    colour: bool,
}

impl Painter {
    fn line(&mut self, style: Style, line: &str) {
        let line = line.trim_end();
        // Writing to a String does not fail.
        let _ = if self.colour && style != Style::new() {
            writeln!(self.text, "{style}{line}{style:#}")
        } else {
            writeln!(self.text, "{line}")
        };
    }
}

/// How wide each part of a row is.
struct Layout<'a> {
    name: usize,
    columns: Vec<(&'a Column, usize)>,
}

impl Layout<'_> {
    fn new(ledger: &Ledger, width: usize) -> Self {
        let rows = || {
            ledger
                .nodes
                .iter()
                .map(|node| &node.counts)
                .chain([&ledger.whole])
        };
        let columns: Vec<_> = COLUMNS
            .iter()
            .filter(|column| column.always || rows().any(|row| (column.figure)(row) != 0))
            .map(|column| {
                let figures = rows().map(|row| grouped((column.figure)(row)).len());
                (
                    column,
                    figures.chain([column.title.len()]).max().unwrap_or(0),
                )
            })
            .collect();
        let figures: usize = columns.iter().map(|(_, width)| width + GAP).sum();
        let names = ledger.nodes.iter().map(|node| node.name.chars().count());
        let longest = names.chain(["the whole".len()]).max().unwrap_or(0);
        Self {
            name: longest.min(width.saturating_sub(figures).max(LEAST_NAME)),
            columns,
        }
    }

    fn width(&self) -> usize {
        self.name
            + self
                .columns
                .iter()
                .map(|(_, width)| width + GAP)
                .sum::<usize>()
    }

    fn row(&self, name: &str, figure: impl Fn(&Column) -> String) -> String {
        let mut row = format!("{:<width$}", cell(name, self.name), width = self.name);
        for (column, width) in &self.columns {
            let _ = write!(row, "{:gap$}{:>width$}", "", figure(column), gap = GAP);
        }
        row
    }
}

/// What stands under a node: its figures by reason, and what is not in a column.
fn notes(counts: &Counts) -> Vec<String> {
    let by_reason = [
        ("dropped", &counts.dropped),
        ("dead-lettered", &counts.dead_lettered),
        ("labelled", &counts.labels),
    ];
    let mut notes = Vec::new();
    for (word, reasons) in by_reason {
        for (reason, n) in reasons {
            notes.push(format!("{word} {}: {}", cell(reason, 60), thousands(*n)));
        }
    }
    for (word, n) in [
        ("received again", counts.redelivered),
        ("retries", counts.retries),
    ] {
        if n > 0 {
            notes.push(format!("{word}: {}", thousands(n)));
        }
    }
    notes
}

pub(super) fn render(ledger: &Ledger, width: usize, colour: bool) -> String {
    let layout = Layout::new(ledger, width);
    let mut out = Painter {
        text: String::new(),
        colour,
    };
    let (bold, dim, plain) = (Style::new().bold(), Style::new().dimmed(), Style::new());

    out.line(bold, &headline(ledger));
    out.line(plain, "");
    out.line(bold, &layout.row("node", |column| column.title.to_owned()));
    for node in &ledger.nodes {
        let row = layout.row(&node.name, |column| grouped((column.figure)(&node.counts)));
        out.line(plain, &row);
        for note in notes(&node.counts) {
            out.line(dim, &format!("    {note}"));
        }
    }
    out.line(dim, &"─".repeat(layout.width()));
    let whole = layout.row("the whole", |column| {
        grouped((column.figure)(&ledger.whole))
    });
    out.line(bold, &whole);
    out.line(plain, "");
    verdict(ledger, &mut out);
    out.text
}

fn headline(ledger: &Ledger) -> String {
    let state = ledger.run.word();
    let took = if ledger.seconds < 60.0 {
        format!("{:.1} s", ledger.seconds)
    } else {
        let minutes = (ledger.seconds / 60.0).floor();
        format!(
            "{minutes} min {:.0} s",
            (ledger.seconds - minutes * 60.0).floor()
        )
    };
    format!("{}: {state} after {took}", cell(&ledger.pipeline, 60))
}

/// The closing lines: the equation and whether it holds, then each node where it does not.
fn verdict(ledger: &Ledger, out: &mut Painter) {
    let good = Style::new().fg_color(Some(AnsiColor::Green.into()));
    let bad = Style::new().fg_color(Some(AnsiColor::Red.into())).bold();
    let equation = ledger.whole.equation();
    match ledger.whole.off_by(&ledger.run) {
        0 => out.line(good, &format!("{equation} ✓")),
        off => out.line(
            bad,
            &format!("{equation} ✗ does not add up by {}", thousands(off)),
        ),
    }
    for node in &ledger.nodes {
        let off = node.counts.off_by(&ledger.run);
        if off > 0 {
            let (name, equation) = (cell(&node.name, 60), node.counts.equation());
            let off = thousands(off);
            out.line(
                bad,
                &format!("{name}: {equation} ✗ does not add up by {off}"),
            );
        }
    }
}

#[cfg(test)]
mod tests;

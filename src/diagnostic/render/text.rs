//! The form for people: message, place, source line, carets, hint.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar;

use super::Sources;
use crate::diagnostic::{Diagnostic, Report, Severity, Span, is_direction};

/// How many columns of a source line are shown; of a longer one, a window around the span.
const WIDTH: usize = 100;
/// How much of a long line is shown before the span.
const BEFORE: usize = 40;
/// How many characters on either side of the span are looked at for that.
const NEAR: usize = 4 * WIDTH;
const TAB: usize = 4;
const FRAME: Style = AnsiColor::Blue.on_default().bold();

/// All diagnostics, an empty line between two. With `color` styled by ANSI sequences.
pub fn text(report: &Report, sources: &Sources, color: bool) -> String {
    let mut page = Page {
        out: String::new(),
        color,
    };
    for found in report.iter() {
        if !page.out.is_empty() {
            page.out.push('\n');
        }
        page.diagnostic(&found, [sources, &report.texts]);
    }
    page.out
}

struct Page {
    out: String,
    color: bool,
}

impl Page {
    fn diagnostic(&mut self, found: &Diagnostic, sources: [&Sources; 2]) {
        let tone = match found.severity {
            Severity::Error => AnsiColor::Red,
            Severity::Warning => AnsiColor::Yellow,
        };
        let strong = tone.on_default().bold();
        let head = self.paint(strong, &format!("{}[{}]", found.severity, found.code));
        let _ = writeln!(self.out, "{head}: {}", tame(&found.message));
        match found.span {
            Some(span) => self.place(&found.file, span, sources, strong),
            None => {
                let arrow = self.paint(FRAME, "-->");
                let _ = writeln!(self.out, "  {arrow} {}", tame(&found.file));
            }
        }
        if let Some(hint) = &found.hint {
            let word = self.paint(AnsiColor::Cyan.on_default().bold(), "hint");
            let _ = writeln!(self.out, "{word}: {}", tame(hint));
        }
    }

    fn place(&mut self, file: &str, span: Span, sources: [&Sources; 2], strong: Style) {
        let number = span.line.to_string();
        let pad = " ".repeat(number.len() + 1);
        let arrow = self.paint(FRAME, "-->");
        let _ = writeln!(
            self.out,
            "{pad}{arrow} {}:{}:{}",
            tame(file),
            span.line,
            span.column
        );
        let Some(line) = sources.iter().find_map(|it| it.line(file, span.line)) else {
            return;
        };
        let (shown, start, length) = window(line, span);
        let (bar, number) = (self.paint(FRAME, "|"), self.paint(FRAME, &number));
        let carets = self.paint(strong, &"^".repeat(length));
        let space = if shown.is_empty() { "" } else { " " };
        let _ = writeln!(self.out, "{pad} {bar}");
        let _ = writeln!(self.out, " {number} {bar}{space}{shown}");
        let _ = writeln!(self.out, "{pad} {bar} {}{carets}", " ".repeat(start));
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.color {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// The part of `line` to show, and where in it the carets start and how many there are, in columns
/// of the terminal. A span that goes on past the line is underlined to the line's end.
fn window(line: &str, span: Span) -> (String, usize, usize) {
    let index = |column: u32| {
        usize::try_from(column)
            .unwrap_or(usize::MAX)
            .saturating_sub(1)
    };
    let total = line.chars().count();
    let first = index(span.column).min(total);
    let last = match span.end_line > span.line {
        true => line.trim_end().chars().count(),
        false => index(span.end_column),
    };
    // Of a line of a megabyte, only the neighbourhood of the span is laid out.
    let skipped = first.saturating_sub(NEAR);
    let cells: Vec<Cell> = line
        .chars()
        .skip(skipped)
        .take(2 * NEAR)
        .map(cell)
        .collect();
    let (first, last) = (
        first - skipped,
        last.saturating_sub(skipped).min(cells.len()),
    );
    let more = skipped + cells.len() < total;
    let (mut from, mut to) = (0, cells.len());
    if skipped > 0 || more || columns(&cells) > WIDTH {
        from = back(&cells, first, BEFORE);
        to = from + fitting(&cells[from..], WIDTH);
    }
    let shown: String = cells[from..to]
        .iter()
        .map(|cell| cell.text.as_str())
        .collect();
    let (cut_left, cut_right) = (skipped + from > 0, more || to < cells.len());
    let (left, right) = (
        if cut_left { "…" } else { "" },
        if cut_right { "…" } else { "" },
    );
    let start = usize::from(cut_left) + columns(&cells[from..first]);
    let length = columns(&cells[first..last.min(to).max(first)]).max(1);
    (
        format!("{left}{shown}{right}").trim_end().to_owned(),
        start,
        length,
    )
}

fn columns(cells: &[Cell]) -> usize {
    cells.iter().map(|cell| cell.width).sum()
}

/// The character at most `columns` columns before the character `at`.
fn back(cells: &[Cell], at: usize, columns: usize) -> usize {
    let mut from = at;
    let mut used = 0;
    while from > 0 && used + cells[from - 1].width <= columns {
        from -= 1;
        used += cells[from].width;
    }
    from
}

/// How many of the characters fit into `columns`.
fn fitting(cells: &[Cell], columns: usize) -> usize {
    let mut used = 0;
    cells
        .iter()
        .take_while(|cell| {
            used += cell.width;
            used <= columns
        })
        .count()
}

/// A character as the terminal gets it.
struct Cell {
    text: String,
    width: usize,
}

fn cell(letter: char) -> Cell {
    match letter {
        '\t' => Cell {
            text: " ".repeat(TAB),
            width: TAB,
        },
        letter if letter.is_control() || is_direction(letter) => Cell {
            text: "\u{fffd}".to_owned(),
            width: 1,
        },
        letter => Cell {
            text: letter.to_string(),
            width: letter.width().unwrap_or(0),
        },
    }
}

/// One line without anything that a terminal would obey.
fn tame(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_control() || is_direction(letter) {
                ' '
            } else {
                letter
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str, span: Span) -> String {
        let mut report = Report::new("f.yaml");
        report.error("wrong-type", span, "m");
        let mut sources = Sources::new();
        sources.insert("f.yaml", line);
        text(&report, &sources, false)
    }

    #[test]
    fn message_place_line_carets_and_hint() {
        let mut report = Report::new("p.yaml");
        report
            .warning("unused-component", Span::on_line(10, 3, 2), "idle")
            .hint("use it");
        report.error("unreadable-file", None, "gone");
        let mut sources = Sources::new();
        sources.insert("p.yaml", format!("{}  ab: 1", "\n".repeat(9)));
        assert_eq!(
            text(&report, &sources, false),
            "error[unreadable-file]: gone\n  --> p.yaml\n\n\
             warning[unused-component]: idle\n   --> p.yaml:10:3\n    |\n 10 |   ab: 1\n    |   ^^\nhint: use it\n"
        );
    }

    #[test]
    fn colour_only_when_asked() {
        let mut report = Report::new("f");
        report.error("wrong-type", Span::start(), "m").hint("h");
        let sources = Sources::new();
        assert!(!text(&report, &sources, false).contains('\u{1b}'));
        assert!(
            text(&report, &sources, true)
                .starts_with("\u{1b}[1m\u{1b}[31merror[wrong-type]\u{1b}[0m: m")
        );
    }

    #[test]
    fn tabs_and_wide_characters_keep_the_carets_aligned() {
        assert!(shown("\tab", Span::on_line(1, 2, 2)).ends_with(" 1 |     ab\n   |     ^^\n"));
        assert!(shown("日本: x", Span::on_line(1, 5, 1)).ends_with(" 1 | 日本: x\n   |       ^\n"));
        assert!(shown("日本", Span::on_line(1, 1, 2)).ends_with("   | ^^^^\n"));
        assert!(
            shown("e\u{301}x", Span::on_line(1, 3, 1)).ends_with("   |  ^\n"),
            "combining"
        );
        assert!(shown("a\u{1b}[2Jb", Span::on_line(1, 6, 1)).contains(" 1 | a\u{fffd}[2Jb\n"));
    }

    #[test]
    fn a_long_line_is_shown_around_the_span() {
        let line = format!("{}needle{}", "a".repeat(500), "b".repeat(500));
        let page = shown(&line, Span::on_line(1, 501, 6));
        let (source, carets) = page
            .split_once(" 1 | ")
            .unwrap()
            .1
            .split_once("\n   | ")
            .unwrap();
        assert!(source.starts_with('…') && source.ends_with('…'), "{source}");
        assert_eq!(source.chars().count(), WIDTH + 2);
        let at = source.chars().position(|c| c == 'n').unwrap();
        assert_eq!(carets, format!("{}^^^^^^\n", " ".repeat(at)));
        let start = shown(&line, Span::on_line(1, 1, 3));
        assert!(start.contains(" 1 | aaa") && start.contains("…\n   | ^^^\n"));
    }

    #[test]
    fn spans_past_the_line_or_the_file_stay_in_bounds() {
        let several = Span {
            line: 1,
            column: 4,
            end_line: 3,
            end_column: 2,
        };
        assert!(shown("a: b c  \nd", several).ends_with(" 1 | a: b c\n   |    ^^^\n"));
        assert!(shown("ab", Span::on_line(1, 99, 9)).ends_with("   |   ^\n"));
        assert!(shown("", Span::start()).ends_with(" 1 |\n   | ^\n"));
        assert!(
            shown("a", Span::on_line(7, 1, 1)).ends_with("f.yaml:7:1\n"),
            "no such line"
        );
        shown(
            "x",
            Span {
                line: 0,
                column: 0,
                end_line: 0,
                end_column: 0,
            },
        );
        shown(
            "x",
            Span {
                line: 1,
                column: u32::MAX,
                end_line: 1,
                end_column: 0,
            },
        );
    }
}

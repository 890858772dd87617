//! What `trunkline top` draws, out of readings alone: lines of styled pieces, no wider than asked.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::columns;
use super::keys::Key;
use super::reading::Shown;
use crate::cli::table::tame;
use crate::observe::thousands;

/// Alerts that are shown; there may be many, and the table has to be seen.
const MOST_ALERTS: usize = 5;
/// Lines around the table in the screen: the title, the head of the table, the line of keys.
const AROUND: usize = 3;

/// In what order nodes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Flow,
    In,
    Out,
    Latency,
    Buffer,
    Dropped,
    Name,
}

const SORTS: [(Sort, &str); 7] = [
    (Sort::Flow, "flow"),
    (Sort::In, "in/s"),
    (Sort::Out, "out/s"),
    (Sort::Latency, "p99"),
    (Sort::Buffer, "buffer"),
    (Sort::Dropped, "dropped"),
    (Sort::Name, "name"),
];

impl Sort {
    fn next(self) -> Self {
        let at = SORTS.iter().position(|(sort, _)| *sort == self);
        SORTS[at.map_or(0, |at| (at + 1) % SORTS.len())].0
    }

    fn word(self) -> &'static str {
        let found = SORTS.iter().find(|(sort, _)| *sort == self);
        found.map_or("", |(_, word)| word)
    }
}

/// What somebody has chosen to see. Lives as long as the command.
#[derive(Default)]
pub(super) struct Choice {
    pub pipeline: usize,
    pub sort: Sort,
    pub scroll: usize,
    pub paused: bool,
    /// Lines of the table that fitted last.
    page: usize,
    /// Lines of the table that there were last.
    lines: usize,
}

impl Choice {
    /// Whether the command goes on.
    pub fn press(&mut self, key: Key, pipelines: usize) -> bool {
        let page = self.page.max(1);
        match key {
            Key::Quit => return false,
            Key::Pause => self.paused = !self.paused,
            Key::Sort => self.sort = self.sort.next(),
            Key::Next => self.choose(1, pipelines),
            Key::Previous => self.choose(pipelines.saturating_sub(1), pipelines),
            Key::Up => self.scroll = self.scroll.saturating_sub(1),
            Key::Down => self.scroll += 1,
            Key::PageUp => self.scroll = self.scroll.saturating_sub(page),
            Key::PageDown => self.scroll += page,
            Key::Home => self.scroll = 0,
            Key::End => self.scroll = usize::MAX,
        }
        self.bound();
        true
    }

    fn choose(&mut self, on: usize, pipelines: usize) {
        self.pipeline = (self.pipeline + on) % pipelines.max(1);
        self.scroll = 0;
    }

    /// Never past the end.
    fn bound(&mut self) {
        self.scroll = self.scroll.min(self.lines.saturating_sub(self.page));
    }
}

/// A line of pieces, each with its style.
#[derive(Clone, Default)]
pub(super) struct Line(Vec<(String, Style)>);

impl Line {
    pub fn plain(text: impl Into<String>) -> Self {
        Self::styled(text, Style::new())
    }

    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self(vec![(text.into(), style)])
    }

    pub fn push(&mut self, text: impl Into<String>, style: Style) {
        self.0.push((text.into(), style));
    }

    /// As much of it as there is room for. Names are tamed here: nothing passes that a terminal obeys.
    pub fn render(&self, width: usize, colour: bool) -> String {
        let (mut out, mut left) = (String::new(), width);
        for (text, style) in &self.0 {
            let text = tame(text);
            let shown = cut(&text, left);
            left -= shown.width().min(left);
            match colour {
                true => out.push_str(&format!("{style}{shown}{style:#}")),
                false => out.push_str(&shown),
            }
        }
        out.trim_end().to_owned()
    }
}

/// The beginning of a text, as many columns of a terminal as there are.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        // One is left for the sign that something is missing.
        if used + 1 > width {
            break;
        }
        out.push(letter);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// A screen: `height` lines of at most `width` columns. `trouble` is why nothing newer is shown.
pub(super) fn screen(
    shown: &[Shown],
    choice: &mut Choice,
    place: &str,
    trouble: Option<&str>,
    (width, height): (usize, usize),
) -> Vec<Line> {
    choice.pipeline = choice.pipeline.min(shown.len().saturating_sub(1));
    let pipeline = shown.get(choice.pipeline);
    let mut lines = Vec::new();
    if let Some(trouble) = trouble {
        let bad = AnsiColor::Red.on_default().bold();
        lines.push(Line::styled(format!("{trouble}; trying again"), bad));
    }
    let Some(pipeline) = pipeline else {
        lines.push(Line::plain(format!("no pipeline runs at {place}")));
        lines.push(hints(choice, 0));
        return lines;
    };
    lines.push(title(pipeline, Some(place)));
    lines.extend(alerts(pipeline));
    let (head, body) = table(pipeline, choice.sort, width);
    let room = height.saturating_sub(lines.len() + AROUND - 1).max(1);
    (choice.page, choice.lines) = (room, body.len());
    choice.bound();
    lines.push(head);
    let more = body.len().saturating_sub(choice.scroll + room);
    lines.extend(body.into_iter().skip(choice.scroll).take(room));
    let mut foot = hints(choice, shown.len());
    if more > 0 {
        foot.push(format!("  ↓ {more} more"), Style::new().bold());
    }
    lines.push(foot);
    lines
}

/// All of a pipeline, however long, for `--once`.
pub(super) fn whole(pipeline: &Shown, width: usize) -> Vec<Line> {
    let mut lines = vec![title(pipeline, None)];
    lines.extend(alerts(pipeline));
    let (head, body) = table(pipeline, Sort::Flow, width);
    lines.push(head);
    lines.extend(body);
    lines
}

fn title(pipeline: &Shown, place: Option<&str>) -> Line {
    let mut line = Line::styled(pipeline.name.clone(), Style::new().bold());
    let state = match pipeline.state.as_str() {
        "running" => AnsiColor::Green.on_default(),
        "failed" => AnsiColor::Red.on_default().bold(),
        _ => AnsiColor::Yellow.on_default(),
    };
    line.push("  ", Style::new());
    line.push(pipeline.state.clone(), state);
    if let Some(reason) = &pipeline.reason {
        line.push(format!(": {reason}"), state);
    }
    let (into, out) = (columns::rate(pipeline.into), columns::rate(pipeline.out));
    let held = u64::try_from(pipeline.held).unwrap_or(0);
    let held = thousands(held);
    let lasted = columns::lasted(pipeline.seconds);
    let figures = format!("  {lasted}  in {into}/s  out {out}/s  held {held}");
    line.push(figures, Style::new());
    if let Some(place) = place {
        line.push(format!("  {place}"), Style::new().dimmed());
    }
    line
}

fn alerts(pipeline: &Shown) -> Vec<Line> {
    let style = AnsiColor::Red.on_default();
    let alert = |alert: &super::reading::Alert| {
        let node = alert.node.as_deref().unwrap_or("pipeline");
        Line::styled(format!("! {} {node}: {}", alert.name, alert.message), style)
    };
    let all = pipeline.alerts.len();
    let shown = pipeline.alerts.iter().take(MOST_ALERTS);
    let mut lines: Vec<Line> = shown.map(alert).collect();
    if all > MOST_ALERTS {
        let more = all - MOST_ALERTS;
        lines.push(Line::styled(format!("! and {more} more alerts"), style));
    }
    lines
}

/// The head of the table, and its lines: nodes, and below them the keys that wait.
fn table(pipeline: &Shown, sort: Sort, width: usize) -> (Line, Vec<Line>) {
    let mut rows: Vec<_> = pipeline.nodes.iter().collect();
    let down = |figure: Option<f64>| -figure.unwrap_or(-1.0);
    match sort {
        Sort::Flow => {}
        Sort::In => rows.sort_by(|a, b| down(a.into).total_cmp(&down(b.into))),
        Sort::Out => rows.sort_by(|a, b| down(a.out).total_cmp(&down(b.out))),
        Sort::Latency => rows.sort_by(|a, b| down(a.p99).total_cmp(&down(b.p99))),
        Sort::Buffer => rows.sort_by(|a, b| down(a.fill).total_cmp(&down(b.fill))),
        Sort::Dropped => rows.sort_by_key(|row| std::cmp::Reverse(row.dropped_total())),
        Sort::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
    }
    let (head, mut lines) = columns::lines(&rows, width);
    lines.extend(columns::keys(&rows, width));
    (head, lines)
}

fn hints(choice: &Choice, pipelines: usize) -> Line {
    let pause = if choice.paused { "p go on" } else { "p pause" };
    let mut text = format!("q quit  {pause}  s sort: {}  ↑↓ scroll", choice.sort.word());
    if pipelines > 1 {
        text.push_str(&format!("  Tab {}/{pipelines}", choice.pipeline + 1));
    }
    let mut line = Line::styled(text, Style::new().dimmed());
    if choice.paused {
        line.push("  PAUSED", AnsiColor::Yellow.on_default().bold());
    }
    line
}

#[cfg(test)]
mod tests;
